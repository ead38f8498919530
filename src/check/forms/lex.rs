//! Tokens of WGSL and its dialects. The lexer knows no keywords and never fails: what it does not
//! know is a symbol of one character.

use std::ops::Range;

use crate::check::comments::{block_comment, line_end};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or a keyword.
    Word,
    /// A number with its suffix.
    Number,
    /// `::`.
    Path,
    /// `#{NAME}` or `#NAME`: the value of a definition.
    Marker,
    /// `"…"` on one line: the path of a file.
    Quoted,
    /// Any other character; `>>` is two of them, because templates close with each.
    Symbol(u8),
}

/// A token: where its text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    /// Number of the file in [`super::Texts`].
    pub file: u32,
    pub start: u32,
    pub end: u32,
}

impl Token {
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    pub fn is(self, symbol: u8) -> bool {
        self.kind == Kind::Symbol(symbol)
    }
}

/// Tokens of `text[range]`, without comments and white space.
pub(super) fn tokens(text: &str, file: u32, range: Range<usize>, out: &mut Vec<Token>) {
    let bytes = &text.as_bytes()[..range.end];
    let mut at = range.start;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        let next = bytes.get(at + 1).copied();
        let kind = match byte {
            b'/' if next == Some(b'/') => {
                at = line_end(bytes, at);
                continue;
            }
            b'/' if next == Some(b'*') => {
                at = block_comment(bytes, at).0;
                continue;
            }
            _ if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            _ if is_word(byte) && !byte.is_ascii_digit() => {
                at = word_end(bytes, at);
                Kind::Word
            }
            b'0'..=b'9' => {
                at = number_end(bytes, at);
                Kind::Number
            }
            b':' if next == Some(b':') => {
                at += 2;
                Kind::Path
            }
            b'"' => match bytes[at + 1..].iter().position(|byte| matches!(byte, b'"' | b'\n')) {
                Some(length) if bytes[at + 1 + length] == b'"' => {
                    at += length + 2;
                    Kind::Quoted
                }
                _ => {
                    at += 1;
                    Kind::Symbol(byte)
                }
            },
            b'#' if next == Some(b'{') => match marker_end(bytes, at) {
                Some(end) => {
                    at = end;
                    Kind::Marker
                }
                None => {
                    at += 1;
                    Kind::Symbol(byte)
                }
            },
            b'#' if next.is_some_and(|next| is_word(next) && !next.is_ascii_digit()) => {
                at = word_end(bytes, at + 1);
                Kind::Marker
            }
            _ => {
                at += 1;
                Kind::Symbol(byte)
            }
        };
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        out.push(Token { kind, file, start: place(start), end: place(at) });
    }
}

/// Whether a byte is part of a word: letters of other scripts are bytes from 128 on.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn word_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|&byte| !is_word(byte)).map_or(bytes.len(), |length| at + length)
}

fn number_end(bytes: &[u8], start: usize) -> usize {
    let is_hexadecimal = matches!(bytes[start..], [b'0', b'x' | b'X', ..]);
    let mut at = start;
    while let Some(&byte) = bytes.get(at) {
        let signs = if is_hexadecimal { b"pP" } else { b"eE" };
        let is_sign = matches!(byte, b'+' | b'-') && signs.contains(&bytes[at - 1]) && at > start;
        if !(byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' || is_sign) {
            break;
        }
        at += 1;
    }
    at
}

/// End of `#{NAME}`.
fn marker_end(bytes: &[u8], at: usize) -> Option<usize> {
    let end = word_end(bytes, at + 2);
    (end > at + 2 && bytes.get(end) == Some(&b'}')).then_some(end + 1)
}

/// The index of the token that closes the bracket at `open`, or of the last token. `<` is no
/// bracket.
pub(super) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0i64;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            Kind::Symbol(b'(' | b'[' | b'{') => depth += 1,
            Kind::Symbol(b')' | b']' | b'}') => {
                depth -= 1;
                if depth <= 0 {
                    return index;
                }
            }
            _ => {}
        }
    }
    tokens.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        let mut all = Vec::new();
        tokens(text, 0, 0..text.len(), &mut all);
        all.iter().map(|token| &text[token.range()]).collect()
    }

    #[test]
    fn words_numbers_and_symbols_without_comments() {
        assert_eq!(
            words("/* a::b /* x */ */ let é = 0x1.8p-3f+1e-2 // c\n>>a::b #{N}u"),
            ["let", "é", "=", "0x1.8p-3f", "+", "1e-2", ">", ">", "a", "::", "b", "#{N}", "u"]
        );
        assert_eq!(words("/* open"), [""; 0]);
    }
}
