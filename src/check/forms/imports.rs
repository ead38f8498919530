//! What an import names: `a::b::{c as d, e::f}` of WESL and naga_oil, and the older
//! `a::b c, d` of naga_oil.

use super::lex::{Kind, Token};
use super::texts::Texts;

/// Deepest nesting of braces in an import, and most names.
const MAX_DEPTH: usize = 32;
const MAX_NAMES: usize = 10_000;
/// Longest path.
const MAX_PATH: usize = 100;

/// One imported name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Import {
    /// A path of at least one part; a quoted path of a file is one part with its quotes.
    pub path: Vec<String>,
    /// The name that it has where it is imported.
    pub alias: String,
    /// Where it is.
    pub token: Token,
}

/// The imports of a statement: what is behind the word `import`, without the semicolon.
pub(super) fn parse(texts: &Texts, tokens: &[Token]) -> Result<Vec<Import>, (Token, String)> {
    let mut parser = Parser { texts, tokens, at: 0, found: Vec::new() };
    parser.list(&[], 0)?;
    match tokens.get(parser.at) {
        Some(token) => Err((*token, "an import is a path, `as NAME` and `{…}`".into())),
        None => Ok(parser.found),
    }
}

struct Parser<'a> {
    texts: &'a Texts,
    tokens: &'a [Token],
    at: usize,
    found: Vec<Import>,
}

impl Parser<'_> {
    fn is(&self, symbol: u8) -> bool {
        self.tokens.get(self.at).is_some_and(|token| token.is(symbol))
    }

    fn list(&mut self, prefix: &[String], depth: usize) -> Result<(), (Token, String)> {
        loop {
            if self.at >= self.tokens.len() || self.is(b'}') {
                return Ok(());
            }
            self.one(prefix, depth)?;
            if self.is(b',') {
                self.at += 1;
            } else {
                return Ok(());
            }
        }
    }

    fn one(&mut self, prefix: &[String], depth: usize) -> Result<(), (Token, String)> {
        let mut path = prefix.to_vec();
        let first = self.tokens[self.at];
        let mut last = first;
        while let Some(&token) = self.tokens.get(self.at) {
            match token.kind {
                Kind::Word | Kind::Quoted if path.len() < MAX_PATH => {
                    let text = self.texts.of(token);
                    if !(text == "self" && path.len() == prefix.len() && !prefix.is_empty()) {
                        path.push(text.to_owned());
                    }
                    last = token;
                    self.at += 1;
                }
                Kind::Symbol(b'{') => {
                    if depth >= MAX_DEPTH {
                        return Err((token, "the import is nested too deep".into()));
                    }
                    self.at += 1;
                    self.list(&path, depth + 1)?;
                    if !self.is(b'}') {
                        return Err((token, "a brace of the import is not closed".into()));
                    }
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err((token, "an import is a path of names".into())),
            }
            if self.tokens.get(self.at).is_some_and(|token| token.kind == Kind::Path) {
                self.at += 1;
                continue;
            }
            break;
        }
        let mut alias = path.last().cloned().unwrap_or_default();
        if self.texts.is(self.tokens, self.at, "as") {
            if let Some(&token) = self.tokens.get(self.at + 1).filter(|t| t.kind == Kind::Word) {
                alias = self.texts.of(token).to_owned();
                last = token;
            }
            self.at += 2;
        } else if depth == 0
            && self.tokens.get(self.at).is_some_and(|token| token.kind == Kind::Word)
        {
            // `a::b c, d` imports `a::b::c` and `a::b::d`.
            return self.list(&path, depth + 1);
        }
        if self.found.len() >= MAX_NAMES {
            return Err((first, "too many imports".into()));
        }
        let token = Token { kind: Kind::Word, file: first.file, start: first.start, end: last.end };
        self.found.push(Import { path, alias, token });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{lex, texts::Text};
    use super::*;

    fn parsed(text: &str) -> Result<Vec<(String, String)>, String> {
        let mut texts = Texts::default();
        texts.add(Text::new("a", text).into());
        let mut tokens = Vec::new();
        lex::tokens(text, 0, 0..text.len(), &mut tokens);
        let found = parse(&texts, &tokens).map_err(|(_, message)| message)?;
        Ok(found.into_iter().map(|one| (one.path.join("/"), one.alias)).collect())
    }

    #[test]
    fn paths_braces_aliases_and_the_older_form() {
        let pairs = |all: &[(&str, &str)]| {
            Ok(all.iter().map(|(path, alias)| (path.to_string(), alias.to_string())).collect())
        };
        assert_eq!(
            parsed("a::{b as c, d::{e, self,},}"),
            pairs(&[("a/b", "c"), ("a/d/e", "e"), ("a/d", "d")])
        );
        assert_eq!(parsed("a::b c, d"), pairs(&[("a/b/c", "c"), ("a/b/d", "d")]));
        assert_eq!(parsed("\"x/y.wgsl\"::f"), pairs(&[("\"x/y.wgsl\"/f", "f")]));
        assert_eq!(parsed("a::b, c::d as e"), pairs(&[("a/b", "b"), ("c/d", "e")]));
        for text in ["a::{b", "{".repeat(5_000).as_str(), "a::<b>", "a b::c d e::{"] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
