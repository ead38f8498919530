//! Definitions (`-D`, `#define`) and the conditions over them.

use super::lex::{Kind, Token};
use super::texts::Texts;
use std::collections::BTreeMap;

/// Definitions by name; a name without a value has an empty one.
pub(in crate::check) type Values = BTreeMap<String, String>;

/// Largest depth of brackets and negations in a condition.
const MAX_DEPTH: u32 = 100;

/// The value that a condition has, or why it has none.
pub(super) struct Condition<'a> {
    texts: &'a Texts,
    tokens: &'a [Token],
    values: &'a Values,
    at: usize,
    depth: u32,
    /// Names that were read, with what they are compared with.
    pub names: Vec<(String, Option<String>)>,
}

/// Names that a condition reads, with what they are compared with.
pub(super) type ReadNames = Vec<(String, Option<String>)>;

/// The value of a condition and the names that it reads.
pub(super) fn evaluate(
    texts: &Texts,
    tokens: &[Token],
    values: &Values,
) -> Result<(bool, ReadNames), String> {
    let mut condition = Condition { texts, tokens, values, at: 0, depth: 0, names: Vec::new() };
    let value = condition.any()?;
    if condition.at < tokens.len() {
        return Err("a condition is names with `!`, `&&`, `||`, brackets and comparisons".into());
    }
    Ok((value, condition.names))
}

impl Condition<'_> {
    fn symbol(&self, at: usize) -> Option<u8> {
        match self.tokens.get(at)?.kind {
            Kind::Symbol(symbol) => Some(symbol),
            _ => None,
        }
    }

    fn twice(&mut self, symbol: u8) -> bool {
        let found =
            self.symbol(self.at) == Some(symbol) && self.symbol(self.at + 1) == Some(symbol);
        self.at += if found { 2 } else { 0 };
        found
    }

    fn any(&mut self) -> Result<bool, String> {
        let mut value = self.all()?;
        while self.twice(b'|') {
            value |= self.all()?;
        }
        Ok(value)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut value = self.one()?;
        while self.twice(b'&') {
            value &= self.one()?;
        }
        Ok(value)
    }

    fn one(&mut self) -> Result<bool, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("the condition is nested too deep".into());
        }
        let value = self.one_inside()?;
        self.depth -= 1;
        Ok(value)
    }

    fn one_inside(&mut self) -> Result<bool, String> {
        let missing = || "a condition ends too early".to_owned();
        match self.tokens.get(self.at).map(|token| token.kind).ok_or_else(missing)? {
            Kind::Symbol(b'!') => {
                self.at += 1;
                Ok(!self.one()?)
            }
            Kind::Symbol(b'(') => {
                self.at += 1;
                let value = self.any()?;
                if self.symbol(self.at) != Some(b')') {
                    return Err("a bracket of the condition is not closed".into());
                }
                self.at += 1;
                Ok(value)
            }
            Kind::Word | Kind::Number | Kind::Marker => self.comparison(),
            _ => Err("a condition is names with `!`, `&&`, `||` and brackets".into()),
        }
    }

    /// The text of an operand and, for a name, the name.
    fn operand(&mut self) -> Option<(String, Option<String>)> {
        let negative = self.symbol(self.at) == Some(b'-');
        self.at += usize::from(negative);
        let token = *self.tokens.get(self.at)?;
        let text = self.texts.of(token);
        self.at += 1;
        match token.kind {
            Kind::Number => Some((format!("{}{text}", if negative { "-" } else { "" }), None)),
            Kind::Word if matches!(text, "true" | "false") => Some((text.to_owned(), None)),
            Kind::Word if text == "defined" => {
                let open = self.symbol(self.at) == Some(b'(');
                let name = self.texts.of(*self.tokens.get(self.at + usize::from(open))?);
                self.at += if open { 3 } else { 1 };
                let defined = self.values.contains_key(name);
                Some((defined.to_string(), Some(name.to_owned())))
            }
            Kind::Word | Kind::Marker => {
                let name = name_of_marker(text);
                let value = self.values.get(name).cloned();
                Some((value.unwrap_or_else(|| "false".into()), Some(name.to_owned())))
            }
            _ => None,
        }
    }

    fn comparison(&mut self) -> Result<bool, String> {
        let wrong = || "a condition compares a name with a number".to_owned();
        let (left, name) = self.operand().ok_or_else(wrong)?;
        let operator = match (self.symbol(self.at), self.symbol(self.at + 1)) {
            (Some(first @ (b'=' | b'!' | b'<' | b'>')), Some(b'=')) => [first, b'='],
            (Some(first @ (b'<' | b'>')), _) => [first, b' '],
            _ => {
                self.names.extend(name.map(|name| (name, None)));
                return Ok(!matches!(left.as_str(), "false" | "0"));
            }
        };
        self.at += if operator[1] == b'=' { 2 } else { 1 };
        let (right, other) = self.operand().ok_or_else(wrong)?;
        self.names.extend(name.map(|name| (name, Some(right.clone()))));
        self.names.extend(other.map(|name| (name, Some(left.clone()))));
        let number = |text: &str| match text {
            "" | "true" => Some(1.0),
            "false" => Some(0.0),
            _ => text.trim_end_matches(['u', 'i', 'f']).parse::<f64>().ok(),
        };
        let order = match (number(&left), number(&right)) {
            (Some(left), Some(right)) => left.total_cmp(&right),
            _ => left.cmp(&right),
        };
        Ok(match &operator {
            b"==" => order.is_eq(),
            b"!=" => order.is_ne(),
            b"<=" => order.is_le(),
            b">=" => order.is_ge(),
            b"< " => order.is_lt(),
            _ => order.is_gt(),
        })
    }
}

/// `NAME` of `#{NAME}` and `#NAME`.
pub(super) fn name_of_marker(text: &str) -> &str {
    text.trim_start_matches(['#', '{']).trim_end_matches('}')
}

#[cfg(test)]
mod tests {
    use super::super::{lex::tokens, texts::Text};
    use super::*;

    fn value(text: &str) -> Result<bool, String> {
        let values = Values::from([("A".into(), String::new()), ("N".into(), "3".into())]);
        let mut texts = Texts::default();
        texts.add(Text::new("a", text).into());
        let mut all = Vec::new();
        tokens(text, 0, 0..text.len(), &mut all);
        evaluate(&texts, &all, &values).map(|(value, _)| value)
    }

    #[test]
    fn conditions_have_the_usual_precedence() {
        for (text, expected) in [
            ("A", true),
            ("!A || B", false),
            ("B && B || A", true),
            ("!(A && B) && (N == 3)", true),
            ("N >= 4", false),
            ("N != 3u", false),
            ("defined(A) && !defined(B)", true),
            ("true && N < 10", true),
        ] {
            assert_eq!(value(text), Ok(expected), "{text}");
        }
        for text in ["", "A &&", "(A", "A B", "A ==", "!".repeat(5_000).as_str()] {
            assert!(value(text).is_err(), "{text}");
        }
    }
}
