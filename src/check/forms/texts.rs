//! The files that were read for one shader.

use super::lex::{Kind, Token, tokens};
use super::lines::has_directive;
use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

/// A file's text.
#[derive(Debug, Default)]
pub(in crate::check) struct Text {
    pub path: PathBuf,
    pub text: String,
    /// Its tokens as those of file 0, where no line is a directive.
    pub(super) tokens: OnceLock<Option<Vec<Token>>>,
}

impl Text {
    pub(in crate::check) fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Text { path: path.into(), text: text.into(), tokens: OnceLock::new() }
    }

    /// The tokens of a text without directives, made once.
    pub(super) fn tokens(&self) -> Option<&[Token]> {
        let made = || {
            if has_directive(&self.text) {
                return None;
            }
            let mut all = Vec::new();
            tokens(&self.text, 0, 0..self.text.len(), &mut all);
            Some(all)
        };
        self.tokens.get_or_init(made).as_deref()
    }
}

/// Files by number.
#[derive(Clone, Debug, Default)]
pub(in crate::check) struct Texts {
    pub files: Vec<Arc<Text>>,
}

impl Texts {
    pub(super) fn add(&mut self, text: Arc<Text>) -> u32 {
        self.files.push(text);
        self.files.len() as u32 - 1
    }

    /// The number of a file that was added.
    pub(super) fn number(&self, path: &std::path::Path) -> Option<u32> {
        self.files.iter().position(|file| file.path == path).map(|index| index as u32)
    }

    pub(super) fn of(&self, token: Token) -> &str {
        self.files.get(token.file as usize).map_or("", |file| &file.text[token.range()])
    }

    /// Whether token `index` is the word `word`.
    pub(super) fn is(&self, tokens: &[Token], index: usize, word: &str) -> bool {
        tokens.get(index).is_some_and(|token| token.kind == Kind::Word && self.of(*token) == word)
    }
}

/// A fault of a form, before it is located.
pub(super) struct Fault {
    pub rule: &'static str,
    pub token: Token,
    pub message: String,
}
