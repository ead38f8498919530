//! As much of the grammar as linking needs: where attributes and statements end.

use super::lex::{Kind, Token, closing, tokens};
use super::texts::{Text, Texts};
use std::sync::Arc;

/// The index behind the attributes that start at `at`.
pub(super) fn behind_attributes(texts: &Texts, tokens: &[Token], mut at: usize) -> usize {
    while tokens.get(at).is_some_and(|token| token.is(b'@')) {
        at += 2;
        let is_else = texts.is(tokens, at - 1, "else");
        if !is_else && tokens.get(at).is_some_and(|token| token.is(b'(')) {
            at = closing(tokens, at) + 1;
        }
    }
    at.min(tokens.len())
}

/// The index behind the declaration, statement or case that starts at `at`.
pub(super) fn statement_end(texts: &Texts, tokens: &[Token], at: usize) -> usize {
    let is_import = texts.is(tokens, at, "import");
    let mut index = at;
    while let Some(token) = tokens.get(index) {
        match token.kind {
            Kind::Symbol(b'(' | b'[') => index = closing(tokens, index),
            Kind::Symbol(b'{') => {
                index = closing(tokens, index);
                let goes_on = is_import
                    || texts.is(tokens, index + 1, "else")
                    || texts.is(tokens, index + 1, "continuing");
                if !goes_on {
                    return index + 1;
                }
            }
            Kind::Symbol(b';') => return index + 1,
            Kind::Symbol(b')' | b']' | b'}') => return index,
            _ => {}
        }
        index += 1;
    }
    tokens.len()
}

/// The declaration of plain WGSL that holds a byte: its range and its name.
pub(in crate::check) fn declaration_at(
    text: &str,
    offset: usize,
) -> Option<(std::ops::Range<usize>, Option<String>)> {
    let mut all = Vec::new();
    tokens(text, 0, 0..text.len(), &mut all);
    let mut texts = Texts::default();
    texts.add(Arc::new(Text::new("", text)));
    let mut at = 0;
    while at < all.len() {
        let behind = behind_attributes(&texts, &all, at);
        let end = statement_end(&texts, &all, behind).max(behind + 1).min(all.len());
        let range = all[at].start as usize..all[end - 1].end as usize;
        if range.end > offset {
            let name = all[behind.min(end - 1)..end]
                .windows(2)
                .find(|pair| {
                    pair[1].kind == Kind::Word && (pair[0].is(b'>') || pair[0].kind == Kind::Word)
                })
                .map(|pair| text[pair[1].range()].to_owned());
            return Some((range, name));
        }
        at = end;
    }
    None
}
