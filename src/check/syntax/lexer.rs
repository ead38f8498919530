//! Tokens of WGSL, with the template lists found as the specification says ("Template lists").

use super::tree::{Bytes, Literal};
use crate::check::comments::block_comment;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'s> {
    Word(&'s str),
    Number(Literal),
    /// Punctuation; `TemplateOpen` and `TemplateClose` for the brackets of a template list.
    Symbol(&'static str),
    TemplateOpen,
    TemplateClose,
    End,
}

/// All tokens; `Err` for a character that begins none.
pub fn tokens(source: &str) -> Result<Vec<(Token<'_>, Bytes)>, (Bytes, String)> {
    let templates = template_brackets(source);
    let mut templates = templates.into_iter().peekable();
    let bytes = source.as_bytes();
    let mut found = Vec::with_capacity(source.len() / 4);
    let mut at = 0;
    loop {
        at = skip_blank(source, at);
        let Some(&byte) = bytes.get(at) else { break };
        while templates.next_if(|bracket| *bracket < at).is_some() {}
        if templates.peek() == Some(&at) {
            let token = if byte == b'<' { Token::TemplateOpen } else { Token::TemplateClose };
            found.push((token, at..at + 1));
            at += 1;
            continue;
        }
        let number = byte.is_ascii_digit()
            || (byte == b'.' && bytes.get(at + 1).is_some_and(u8::is_ascii_digit));
        let (token, end) = if number {
            let (literal, end) = number_at(source, at)
                .ok_or_else(|| (at..at + 1, "this is not a number of WGSL".to_owned()))?;
            (Token::Number(literal), end)
        } else if let Some(end) = word_at(source, at) {
            (Token::Word(&source[at..end]), end)
        } else if let Some(symbol) =
            SYMBOLS.iter().find(|symbol| bytes[at..].starts_with(symbol.as_bytes()))
        {
            (Token::Symbol(symbol), at + symbol.len())
        } else {
            return Err((at..at + 1, "this character begins nothing in WGSL".to_owned()));
        };
        found.push((token, at..end));
        at = end;
    }
    found.push((Token::End, source.len()..source.len()));
    Ok(found)
}

/// The longest first.
const SYMBOLS: [&str; 45] = [
    "<<=", ">>=", "->", "&&", "||", "==", "!=", "<=", ">=", "<<", ">>", "++", "--", "+=", "-=",
    "*=", "/=", "%=", "&=", "|=", "^=", "(", ")", "[", "]", "{", "}", ";", ":", ",", ".", "@", "=",
    "<", ">", "+", "-", "*", "/", "%", "&", "|", "^", "!", "~",
];

/// Behind blank space and comments.
fn skip_blank(source: &str, mut at: usize) -> usize {
    let bytes = source.as_bytes();
    loop {
        match bytes.get(at) {
            Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c) => at += 1,
            Some(b'/') if bytes.get(at + 1) == Some(&b'/') => {
                at = line_end(source, at);
            }
            Some(b'/') if bytes.get(at + 1) == Some(&b'*') => {
                at = block_comment(bytes, at).0;
            }
            Some(byte) if *byte >= 0x80 => match source[at..].chars().next() {
                Some(
                    c @ ('\u{85}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{feff}'),
                ) => at += c.len_utf8(),
                _ => return at,
            },
            _ => return at,
        }
    }
}

/// The end of a line as WGSL has it, for a comment.
fn line_end(source: &str, at: usize) -> usize {
    let breaks = ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];
    source[at..].find(breaks).map_or(source.len(), |length| at + length)
}

fn word_at(source: &str, at: usize) -> Option<usize> {
    let mut chars = source[at..].char_indices();
    let (_, first) = chars.next()?;
    if !(first == '_' || first.is_alphabetic()) {
        return None;
    }
    let end = chars
        .find(|(_, c)| !(c.is_alphanumeric() || *c == '_' || is_mark(*c)))
        .map_or(source.len(), |(length, _)| at + length);
    Some(end)
}

/// Combining marks may continue a name.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}')
}

/// A number and its end.
fn number_at(source: &str, at: usize) -> Option<(Literal, usize)> {
    let bytes = source.as_bytes();
    let hex = bytes[at..].starts_with(b"0x") || bytes[at..].starts_with(b"0X");
    let digits_at = if hex { at + 2 } else { at };
    let mut end = digits_at;
    let is_digit = |byte: u8| if hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() };
    let mut float = false;
    while let Some(&byte) = bytes.get(end) {
        match byte {
            _ if is_digit(byte) => end += 1,
            b'.' if !float => {
                float = true;
                end += 1;
            }
            _ => break,
        }
    }
    let mantissa_end = end;
    let exponent: &[u8] = if hex { b"pP" } else { b"eE" };
    if bytes.get(end).is_some_and(|byte| exponent.contains(byte)) {
        let mut after = end + 1;
        if matches!(bytes.get(after), Some(b'+' | b'-')) {
            after += 1;
        }
        let digits = after;
        while bytes.get(after).is_some_and(u8::is_ascii_digit) {
            after += 1;
        }
        if after > digits {
            float = true;
            end = after;
        }
    }
    let text = &source[at..end];
    let suffixes: &[&'static str] = match (hex, float) {
        (true, false) => &["li", "lu", "i", "u"],
        (true, true) | (false, true) => &["lf", "f", "h"],
        (false, false) => &["li", "lu", "lf", "i", "u", "f", "h"],
    };
    let mut suffix = "";
    for candidate in suffixes {
        if bytes[end..].starts_with(candidate.as_bytes()) {
            suffix = candidate;
            break;
        }
    }
    let behind = end + suffix.len();
    if word_at(source, behind).is_some() || bytes.get(behind).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let is_float = float || suffix.ends_with('f') || suffix == "h";
    let literal = if is_float {
        let value = if hex {
            hex_float(&source[digits_at..mantissa_end], &source[mantissa_end..end])?
        } else {
            text.parse().ok()?
        };
        Literal::Float(value, suffix)
    } else if hex {
        let digits = &source[digits_at..end];
        Literal::Int(i128::from_str_radix(digits, 16).ok()?, suffix)
    } else {
        let leading_zero = text.len() > 1 && text.starts_with('0');
        if leading_zero {
            return None;
        }
        Literal::Int(text.parse().ok()?, suffix)
    };
    Some((literal, behind))
}

/// The value of a hexadecimal float: `mantissa` without `0x`, `exponent` with its `p`.
fn hex_float(mantissa: &str, exponent: &str) -> Option<f64> {
    let power: i32 = match exponent.get(1..) {
        Some(text) => text.parse().unwrap_or(i32::MAX / 2),
        None => 0,
    };
    let (mut value, mut scale, mut fraction) = (0.0f64, 0i32, false);
    for c in mantissa.chars() {
        match c.to_digit(16) {
            Some(digit) => {
                value = value * 16.0 + f64::from(digit);
                scale -= if fraction { 4 } else { 0 };
            }
            None => fraction = true,
        }
    }
    if value == 0.0 {
        return Some(0.0);
    }
    Some(value * 2f64.powi(power.saturating_add(scale).clamp(-4_000, 4_000)))
}

/// Places of the `<` and `>` of template lists, in order.
fn template_brackets(source: &str) -> Vec<usize> {
    let bytes = source.as_bytes();
    let mut brackets = Vec::new();
    let mut pending: Vec<(usize, usize)> = Vec::new();
    let mut nesting = 0usize;
    let mut at = 0;
    loop {
        at = skip_blank(source, at);
        let Some(&byte) = bytes.get(at) else { break };
        let next = bytes.get(at + 1).copied();
        if byte.is_ascii_digit() {
            // The letters of a number are no name.
            while bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'.') {
                at += 1;
            }
            continue;
        }
        if let Some(end) = word_at(source, at) {
            at = skip_blank(source, end);
            if bytes.get(at) == Some(&b'<') {
                match bytes.get(at + 1) {
                    Some(b'<' | b'=') => at += 2,
                    _ => {
                        pending.push((at, nesting));
                        at += 1;
                    }
                }
            }
            continue;
        }
        let close = |pending: &mut Vec<(usize, usize)>, nesting: usize| {
            while pending.last().is_some_and(|(_, depth)| *depth >= nesting) {
                pending.pop();
            }
        };
        match byte {
            b'>' => {
                if let Some((open, _)) = pending.pop_if(|(_, depth)| *depth == nesting) {
                    brackets.extend([open, at]);
                    at += 1;
                } else {
                    at += if next == Some(b'=') { 2 } else { 1 };
                }
            }
            b'(' | b'[' => {
                nesting += 1;
                at += 1;
            }
            b')' | b']' => {
                close(&mut pending, nesting);
                nesting = nesting.saturating_sub(1);
                at += 1;
            }
            b'!' => at += if next == Some(b'=') { 2 } else { 1 },
            b'=' if next == Some(b'=') => at += 2,
            b'=' | b';' | b'{' | b':' => {
                nesting = 0;
                pending.clear();
                at += 1;
            }
            b'&' | b'|' if next == Some(byte) => {
                close(&mut pending, nesting);
                at += 2;
            }
            _ => at += source[at..].chars().next().map_or(1, char::len_utf8),
        }
    }
    brackets.sort_unstable();
    brackets
}
