//! `@if`, `@elif` and `@else` of WESL on declarations, statements, members, parameters, arguments,
//! imports and blocks.

use super::lex::{Kind, Token, closing};
use super::syntax::{behind_attributes, statement_end};
use super::texts::{Fault, Texts};
use super::values::{Values, evaluate};

/// What an open bracket holds.
#[derive(Clone, Copy, PartialEq)]
enum Inside {
    /// Declarations, statements or cases.
    Statements,
    /// Members of a structure, or parameters.
    Types,
    /// Arguments.
    Values,
}

struct Level {
    inside: Inside,
    /// Whether a branch of the chain of conditions that ends here was taken.
    taken: Option<bool>,
    /// Whether its closing bracket is left out.
    is_spliced: bool,
}

/// Removes what conditions exclude. `names` are the names that conditions read, in order.
pub(super) fn apply(
    texts: &Texts,
    tokens: &[Token],
    values: &Values,
    names: &mut Vec<(String, Option<String>)>,
) -> Result<Vec<Token>, Fault> {
    let mut kept = Vec::with_capacity(tokens.len());
    let level = |inside| Level { inside, taken: None, is_spliced: false };
    let mut levels = vec![level(Inside::Statements)];
    // What the next brackets hold: behind `struct` and behind `fn`.
    let (mut struct_next, mut parameters_next) = (false, false);
    let mut at = 0;
    while let Some(&token) = tokens.get(at) {
        let is_condition = |at: usize| {
            ["if", "elif", "else"].iter().find(|word| texts.is(tokens, at, word)).copied()
        };
        match token.kind {
            Kind::Symbol(b'@') => {
                let end = behind_attributes(texts, tokens, at);
                // The attributes of one node: at most one is a condition, or `@else @if(…)`.
                let mut include: Option<bool> = None;
                let mut attributes = Vec::new();
                let mut start = at;
                while start < end {
                    let next = behind_one(texts, tokens, start);
                    if let Some(word) = is_condition(start + 1) {
                        let Some(level) = levels.last_mut() else { break };
                        let mut value = true;
                        if word != "else" {
                            let open = start + 2;
                            if !tokens.get(open).is_some_and(|token| token.is(b'(')) {
                                let message = format!("@{word} needs a condition in brackets");
                                return Err(Fault { rule: "condition", token, message });
                            }
                            let condition = &tokens[open + 1..next.saturating_sub(1).max(open + 1)];
                            let (result, read) =
                                evaluate(texts, condition, values).map_err(|message| Fault {
                                    rule: "condition",
                                    token: tokens[start],
                                    message,
                                })?;
                            names.extend(read);
                            value = result;
                        }
                        let is_second = include.is_some();
                        if word == "if" && !is_second {
                            include = Some(value);
                            level.taken = Some(value);
                        } else {
                            let taken = if is_second && word == "if" {
                                // `@else @if(X)`: the `@else` took what was left.
                                let was_left = include == Some(true);
                                level.taken = Some(!was_left || value);
                                include = Some(was_left && value);
                                start = next;
                                continue;
                            } else {
                                level.taken.ok_or_else(|| Fault {
                                    rule: "condition",
                                    token: tokens[start],
                                    message: format!("@{word} without an @if in front of it"),
                                })?
                            };
                            include = Some(!taken && value);
                            level.taken = Some(taken || value);
                        }
                    } else {
                        attributes.extend_from_slice(&tokens[start..next]);
                    }
                    start = next;
                }
                let level = levels.last_mut();
                match include {
                    None => {
                        kept.extend(attributes);
                        at = end;
                    }
                    Some(true) => {
                        kept.extend(attributes);
                        at = end;
                        // A block of declarations has no scope of its own, and one in a function
                        // none if what it declares is used behind it.
                        if tokens.get(at).is_some_and(|token| token.is(b'{'))
                            && (levels.iter().skip(1).all(|level| level.is_spliced)
                                || declares_for_later(texts, tokens, at))
                        {
                            levels.push(Level {
                                inside: Inside::Statements,
                                taken: None,
                                is_spliced: true,
                            });
                            at += 1;
                        }
                    }
                    Some(false) => {
                        let inside = level.map_or(Inside::Statements, |level| level.inside);
                        at = node_end(texts, tokens, end, inside);
                    }
                }
                continue;
            }
            Kind::Word => {
                struct_next |= texts.of(token) == "struct";
                parameters_next |= texts.of(token) == "fn";
            }
            Kind::Symbol(b'{') => {
                let inside = if std::mem::take(&mut struct_next) {
                    Inside::Types
                } else {
                    Inside::Statements
                };
                levels.push(level(inside));
            }
            Kind::Symbol(b'(') => {
                let inside = if std::mem::take(&mut parameters_next) {
                    Inside::Types
                } else {
                    Inside::Values
                };
                levels.push(level(inside));
            }
            Kind::Symbol(b'[') => levels.push(level(Inside::Values)),
            Kind::Symbol(b')' | b']' | b'}')
                if levels.len() > 1 && levels.pop().is_some_and(|level| level.is_spliced) =>
            {
                at += 1;
                continue;
            }
            _ => {}
        }
        kept.push(token);
        at += 1;
    }
    Ok(kept)
}

/// Whether the block at `open` declares a name that is used behind it before it is declared there.
fn declares_for_later(texts: &Texts, tokens: &[Token], open: usize) -> bool {
    let end = closing(tokens, open);
    let mut depth = 0i64;
    let mut names: Vec<&str> = Vec::new();
    let declared = |at: usize| {
        if !["let", "var", "const"].iter().any(|word| texts.is(tokens, at, word)) {
            return None;
        }
        let mut name = at + 1;
        if tokens.get(name).is_some_and(|token| token.is(b'<')) {
            while tokens.get(name).is_some_and(|token| !token.is(b'>')) {
                name += 1;
            }
            name += 1;
        }
        tokens.get(name).filter(|token| token.kind == Kind::Word).map(|_| name)
    };
    for at in open + 1..end {
        match tokens[at].kind {
            Kind::Symbol(b'(' | b'[' | b'{') => depth += 1,
            Kind::Symbol(b')' | b']' | b'}') => depth -= 1,
            Kind::Word if depth == 0 && names.len() < 1_000 => {
                names.extend(declared(at).map(|name| texts.of(tokens[name])));
            }
            _ => {}
        }
    }
    if names.is_empty() {
        return false;
    }
    let mut at = end + 1;
    let mut depth = 0i64;
    while let Some(token) = tokens.get(at) {
        match token.kind {
            // The other branches of the condition.
            Kind::Symbol(b'@') => {
                let is_branch =
                    ["if", "elif", "else"].iter().any(|word| texts.is(tokens, at + 1, word));
                at = behind_attributes(texts, tokens, at);
                if is_branch && tokens.get(at).is_some_and(|token| token.is(b'{')) {
                    at = closing(tokens, at) + 1;
                }
                continue;
            }
            Kind::Symbol(b'(' | b'[' | b'{') => depth += 1,
            Kind::Symbol(b')' | b']' | b'}') => {
                depth -= 1;
                if depth < 0 {
                    return false;
                }
            }
            Kind::Word => {
                if let Some(name) = declared(at) {
                    names.retain(|own| *own != texts.of(tokens[name]));
                    at = name + 1;
                    continue;
                }
                let is_member = tokens[at - 1].is(b'.');
                if !is_member && names.contains(&texts.of(*token)) {
                    return true;
                }
            }
            _ => {}
        }
        at += 1;
    }
    false
}

fn behind_one(texts: &Texts, tokens: &[Token], at: usize) -> usize {
    let has_arguments =
        !texts.is(tokens, at + 1, "else") && tokens.get(at + 2).is_some_and(|token| token.is(b'('));
    if has_arguments { closing(tokens, at + 2) + 1 } else { (at + 2).min(tokens.len()) }
}

/// The index behind the node that starts at `at`, behind its attributes.
fn node_end(texts: &Texts, tokens: &[Token], at: usize, inside: Inside) -> usize {
    if inside == Inside::Statements {
        return statement_end(texts, tokens, at);
    }
    let mut angles = 0i64;
    let mut index = at;
    while let Some(token) = tokens.get(index) {
        match token.kind {
            Kind::Symbol(b'(' | b'[' | b'{') => index = closing(tokens, index),
            Kind::Symbol(b')' | b']' | b'}') => return index,
            Kind::Symbol(b'<') if inside == Inside::Types => angles += 1,
            Kind::Symbol(b'>') if inside == Inside::Types => angles -= 1,
            Kind::Symbol(b',' | b';') if angles <= 0 => return index + 1,
            _ => {}
        }
        index += 1;
    }
    tokens.len()
}

/// What a stretch of a file depends on: its condition, and the value that it must have.
#[derive(Debug)]
pub(super) struct Dependence {
    /// Bytes of the stretch.
    pub range: std::ops::Range<u32>,
    pub condition: Vec<Token>,
    pub value: bool,
}

/// The conditions of `@if`, `@elif` and `@else` in tokens of one file, with what depends on them.
pub(super) fn dependences(texts: &Texts, tokens: &[Token]) -> Vec<Dependence> {
    let mut found = Vec::new();
    // Conditions of the chain that ends at an index.
    let mut chains: std::collections::HashMap<usize, Vec<Vec<Token>>> =
        std::collections::HashMap::new();
    let mut inside = vec![Inside::Statements];
    let (mut struct_next, mut parameters_next) = (false, false);
    let mut at = 0;
    while let Some(&token) = tokens.get(at) {
        match token.kind {
            Kind::Symbol(b'@') => {
                let end = behind_attributes(texts, tokens, at);
                let mut start = at;
                while start < end {
                    let next = behind_one(texts, tokens, start);
                    let word = tokens.get(start + 1).map_or("", |token| texts.of(*token));
                    if matches!(word, "if" | "elif" | "else") {
                        let within = inside.last().copied().unwrap_or(Inside::Statements);
                        let last = node_end(texts, tokens, end, within).max(end);
                        let mut chain = match word {
                            "if" => Vec::new(),
                            _ => chains.remove(&at).unwrap_or_default(),
                        };
                        let range =
                            token.start..tokens.get(last.wrapping_sub(1)).map_or(0, |t| t.end);
                        for condition in &chain {
                            found.push(Dependence {
                                range: range.clone(),
                                condition: condition.clone(),
                                value: false,
                            });
                        }
                        if word != "else" && start + 3 <= next {
                            let condition =
                                tokens[start + 3..next.saturating_sub(1).max(start + 3)].to_vec();
                            found.push(Dependence {
                                range,
                                condition: condition.clone(),
                                value: true,
                            });
                            chain.push(condition);
                        }
                        chains.insert(last, chain);
                    }
                    start = next;
                }
                at = end;
                continue;
            }
            Kind::Word => {
                struct_next |= texts.of(token) == "struct";
                parameters_next |= texts.of(token) == "fn";
            }
            Kind::Symbol(b'{') => inside.push(if std::mem::take(&mut struct_next) {
                Inside::Types
            } else {
                Inside::Statements
            }),
            Kind::Symbol(b'(') => inside.push(if std::mem::take(&mut parameters_next) {
                Inside::Types
            } else {
                Inside::Values
            }),
            Kind::Symbol(b'[') => inside.push(Inside::Values),
            Kind::Symbol(b')' | b']' | b'}') if inside.len() > 1 => drop(inside.pop()),
            _ => {}
        }
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::{lex, texts::Text};
    use super::*;

    fn applied(text: &str, defined: &[&str]) -> Result<String, String> {
        let values = defined.iter().map(|name| (name.to_string(), String::new())).collect();
        let mut texts = Texts::default();
        texts.add(Text::new("a", text).into());
        let mut tokens = Vec::new();
        lex::tokens(text, 0, 0..text.len(), &mut tokens);
        let kept = apply(&texts, &tokens, &values, &mut Vec::new()).map_err(|f| f.message)?;
        let words: Vec<_> = kept.iter().map(|token| texts.of(*token)).collect();
        Ok(words.join(" "))
    }

    #[test]
    fn every_kind_of_node_is_kept_or_removed() {
        for (text, without, with) in [
            ("@if(A) const a = 1; const b = 2;", "const b = 2 ;", "const a = 1 ; const b = 2 ;"),
            (
                "@if(A) fn f() { if x { } } @else fn g() { }",
                "fn g ( ) { }",
                "fn f ( ) { if x { } }",
            ),
            (
                "struct S { @if(A) a: array<u32, 4>, b: f32 }",
                "struct S { b : f32 }",
                "struct S { a : array < u32 , 4 > , b : f32 }",
            ),
            (
                "fn f(@if(A) a: u32, b: u32) { }",
                "fn f ( b : u32 ) { }",
                "fn f ( a : u32 , b : u32 ) { }",
            ),
            (
                "fn f() { @if(A) if a { } else if b { } else { c(); } d(); }",
                "fn f ( ) { d ( ) ; }",
                "fn f ( ) { if a { } else if b { } else { c ( ) ; } d ( ) ; }",
            ),
            (
                "@if(A) { import a::{b, c}; const x = 1; } const y = 1;",
                "const y = 1 ;",
                "import a :: { b , c } ; const x = 1 ; const y = 1 ;",
            ),
            (
                "@group(0) @if(A) @binding(1) var x: u32;",
                "",
                "@ group ( 0 ) @ binding ( 1 ) var x : u32 ;",
            ),
            ("@if(B) x; @elif(A) y; @else z;", "z ;", "y ;"),
            ("@if(B) x; @else @if(A) y; @else z;", "z ;", "y ;"),
            (
                "fn f() { switch x { @if(A) case 1: { } default { } } }",
                "fn f ( ) { switch x { default { } } }",
                "fn f ( ) { switch x { case 1 : { } default { } } }",
            ),
            ("g(@if(A) 1, 2)", "g ( 2 )", "g ( 1 , 2 )"),
            (
                "fn f() { @if(A) { let x = 1; } @else { let x = 2; } g(x); }",
                "fn f ( ) { let x = 2 ; g ( x ) ; }",
                "fn f ( ) { let x = 1 ; g ( x ) ; }",
            ),
            (
                "fn f() { @if(A) { let x = 1; } let x = 2; g(x); }",
                "fn f ( ) { let x = 2 ; g ( x ) ; }",
                "fn f ( ) { { let x = 1 ; } let x = 2 ; g ( x ) ; }",
            ),
        ] {
            assert_eq!(applied(text, &[]).as_deref(), Ok(without), "{text}");
            assert_eq!(applied(text, &["A"]).as_deref(), Ok(with), "{text}");
        }
    }

    #[test]
    fn hostile_conditions_end() {
        for text in ["@else x;", "@if x", "@if(", "@if(A", "@", "@if()x;", "@elif(A) x;"] {
            let _ = applied(text, &[]);
        }
        assert!(applied("@else x;", &[]).is_err());
    }
}
