//! Lines that start with `#`: conditions, definitions and imports of the preprocessors that
//! shaders are written for.

use super::conditions::Dependence;
use super::lex::{self, Token, is_word};
use super::lines::directive;
use super::texts::Texts;
use super::values::{Values, evaluate};
use crate::check::comments::{block_comment, line_end};
use std::ops::Range;

/// A part of a file, in order.
#[derive(Debug)]
pub(super) enum Piece {
    /// Text that conditions keep.
    Text(Range<usize>),
    /// What is behind `#import`.
    Import(Range<usize>),
    /// What is behind `#include`.
    Include(Range<usize>),
}

/// The parts of a file.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    pub pieces: Vec<Piece>,
    /// The path of `#define_import_path`.
    pub module: Option<String>,
    /// Names that conditions read, with what they are compared with.
    pub names: Vec<(String, Option<String>)>,
    /// Faults with their places.
    pub faults: Vec<(Range<usize>, String)>,
}

struct Branch {
    /// Whether what is around it is kept.
    outer: bool,
    /// Whether one of its branches was kept.
    taken: bool,
    active: bool,
    start: Range<usize>,
}

/// Splits file `file`, with the definitions `values`, to which the file adds its own.
pub(super) fn split(texts: &Texts, file: u32, values: &mut Values) -> Pieces {
    let Some(source) = texts.files.get(file as usize) else { return Pieces::default() };
    let text = source.text.as_str();
    let bytes = text.as_bytes();
    let mut all = Pieces::default();
    let mut branches: Vec<Branch> = Vec::new();
    let mut kept_from: Option<usize> = Some(0);
    let mut at = 0;
    // The end of a block comment that goes on over lines.
    let mut comment = 0;
    while at < bytes.len() {
        let end = line_end(bytes, at);
        let found = if at >= comment { directive(text, at) } else { None };
        let Some((word, behind)) = found else {
            comment = comment.max(open_comment(bytes, at.max(comment), end));
            at = end + 1;
            continue;
        };
        let mut end = end;
        if matches!(word, "import" | "from") {
            // An open brace takes in the lines up to its end.
            while open_braces(&bytes[behind..end]) && end < bytes.len() {
                end = line_end(bytes, end + 1);
            }
        }
        let arguments = behind..without_comment(bytes, behind, end);
        let active = branches.last().is_none_or(|branch| branch.active);
        if let Some(start) = kept_from.take().filter(|_| active && at > 0) {
            all.pieces.push(Piece::Text(start..at));
        }
        let condition = |word: &str, range: Range<usize>, all: &mut Pieces| {
            let argument = text[range.clone()].trim();
            let is_simple = matches!(word, "ifdef" | "ifndef" | "elifdef");
            if is_simple {
                let name = argument.split_whitespace().next().unwrap_or_default();
                all.names.push((name.to_owned(), None));
                return values.contains_key(name) == (word != "ifndef");
            }
            let mut tokens: Vec<Token> = Vec::new();
            lex::tokens(text, file, range.clone(), &mut tokens);
            match evaluate(texts, &tokens, values) {
                Ok((value, read)) => {
                    all.names.extend(read);
                    value
                }
                Err(message) => {
                    all.faults.push((range, message));
                    false
                }
            }
        };
        match word {
            "ifdef" | "ifndef" | "if" => {
                let value = condition(word, arguments.clone(), &mut all);
                branches.push(Branch {
                    outer: active,
                    taken: value,
                    active: active && value,
                    start: at..end,
                });
            }
            "else" | "elif" | "elifdef" | "elseif" => {
                let argument = text[arguments.clone()].trim_start();
                let inner = arguments.end - argument.len();
                let second = argument.split_whitespace().next().unwrap_or_default();
                let value = match (word, second) {
                    ("else", "ifdef" | "ifndef" | "if") => {
                        condition(second, inner + second.len()..arguments.end, &mut all)
                    }
                    ("else", _) => true,
                    ("elifdef", _) => condition("elifdef", arguments.clone(), &mut all),
                    _ => condition("if", arguments.clone(), &mut all),
                };
                match branches.last_mut() {
                    Some(branch) => {
                        branch.active = branch.outer && !branch.taken && value;
                        branch.taken |= value;
                    }
                    None => all.faults.push((at..end, format!("#{word} without an #if"))),
                }
            }
            "endif" if branches.pop().is_none() => {
                all.faults.push((at..end, "#endif without an #if".into()));
            }
            "define" if active => {
                let argument = text[arguments].trim();
                let length =
                    argument.bytes().position(|byte| !is_word(byte)).unwrap_or(argument.len());
                let (name, value) = argument.split_at(length);
                // What the command line gives is stronger.
                values.entry(name.to_owned()).or_insert_with(|| value.trim().to_owned());
            }
            "undef" if active => {
                values.remove(text[arguments].trim());
            }
            "define_import_path" if active => {
                let path: String =
                    text[arguments].trim().trim_end_matches(';').split_whitespace().collect();
                all.module = Some(path);
            }
            "import" if active => all.pieces.push(Piece::Import(arguments)),
            "include" if active => all.pieces.push(Piece::Include(arguments)),
            _ => {}
        }
        at = end + 1;
        kept_from = branches.last().is_none_or(|branch| branch.active).then_some(at);
    }
    if let Some(start) = kept_from.filter(|start| *start < text.len()) {
        all.pieces.push(Piece::Text(start..text.len()));
    }
    if let Some(branch) = branches.first() {
        all.faults.push((branch.start.clone(), "an #if without its #endif".into()));
    }
    all
}

/// Conditions of the branches of an `#if` so far, with the value that takes each.
type Chain = Vec<(Vec<Token>, bool)>;

/// The conditions of directives of file `file`, with what depends on them.
pub(super) fn dependences(texts: &Texts, file: u32) -> Vec<Dependence> {
    let mut found = Vec::new();
    let Some(source) = texts.files.get(file as usize) else { return found };
    let text = source.text.as_str();
    let bytes = text.as_bytes();
    // Conditions of the branches so far of each open #if, and where the last branch began.
    let mut open: Vec<(Chain, u32)> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let end = line_end(bytes, at);
        if let Some((word, behind)) = directive(text, at) {
            let is_branch = matches!(word, "else" | "elif" | "elifdef" | "elseif" | "endif");
            if is_branch && let Some((chain, start)) = open.last_mut() {
                for (index, (condition, value)) in chain.iter().enumerate() {
                    // The branches in front of the last were not taken.
                    let is_last = index + 1 == chain.len();
                    found.push(Dependence {
                        range: *start..at as u32,
                        condition: condition.clone(),
                        value: *value == is_last,
                    });
                }
                *start = at as u32;
            }
            let tokens_of = |range: Range<usize>| {
                let mut all = Vec::new();
                lex::tokens(text, file, range, &mut all);
                all
            };
            let behind = behind..without_comment(bytes, behind, end);
            match word {
                "ifdef" | "if" => open.push((vec![(tokens_of(behind), true)], at as u32)),
                "ifndef" => open.push((vec![(tokens_of(behind), false)], at as u32)),
                "endif" => drop(open.pop()),
                "else" | "elif" | "elifdef" | "elseif" => {
                    let mut condition = tokens_of(behind);
                    let mut value = true;
                    if word == "else" && !condition.is_empty() {
                        value = texts.of(condition[0]) != "ifndef";
                        condition.remove(0);
                    }
                    if let Some((chain, _)) = open.last_mut() {
                        // A last #else has a condition that always holds.
                        chain.push((condition, value));
                    }
                }
                _ => {}
            }
        }
        at = end + 1;
    }
    found.retain(|one| !one.condition.is_empty());
    found
}

/// The end of a block comment that a line opens and does not close, or 0.
fn open_comment(bytes: &[u8], mut at: usize, end: usize) -> usize {
    while at < end {
        match bytes[at..] {
            [b'/', b'/', ..] => return 0,
            [b'/', b'*', ..] => {
                let closed = block_comment(bytes, at).0;
                if closed > end {
                    return closed;
                }
                at = closed;
            }
            _ => at += 1,
        }
    }
    0
}

fn open_braces(bytes: &[u8]) -> bool {
    let count = |symbol| bytes.iter().filter(|&&byte| byte == symbol).count();
    count(b'{') > count(b'}')
}

/// The end of what is in front of a comment at the end of a line; `//` in quotes is none.
fn without_comment(bytes: &[u8], start: usize, end: usize) -> usize {
    let mut is_quoted = false;
    for at in start..end {
        is_quoted ^= bytes[at] == b'"';
        if !is_quoted && bytes[at..end].starts_with(b"//") && !bytes[start..end].contains(&b'{') {
            return at;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::super::texts::Text;
    use super::*;

    fn kept(text: &str, defined: &[(&str, &str)]) -> (String, Pieces) {
        let mut values: Values =
            defined.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let mut texts = Texts::default();
        texts.add(Text::new("a", text).into());
        let all = split(&texts, 0, &mut values);
        let words = |piece: &Piece| match piece {
            Piece::Text(range) => text[range.clone()].to_owned(),
            Piece::Import(range) => format!("<{}>", text[range.clone()].trim()),
            Piece::Include(range) => format!("[{}]", text[range.clone()].trim()),
        };
        (all.pieces.iter().map(words).collect::<String>().replace('\n', ""), all)
    }

    #[test]
    fn branches_definitions_and_imports() {
        let text = "a\n#ifdef X\nb\n#else ifdef Y\nc\n#else\nd\n#endif\ne\n";
        assert_eq!(kept(text, &[]).0, "ade");
        assert_eq!(kept(text, &[("X", "")]).0, "abe");
        assert_eq!(kept(text, &[("Y", "1")]).0, "ace");
        let text = "#if N >= 2\na\n# if N == 3\nb\n#endif\n#elif M\nc\n#endif";
        assert_eq!(kept(text, &[("N", "3")]).0, "ab");
        assert_eq!(kept(text, &[("N", "2")]).0, "a");
        assert_eq!(kept(text, &[("M", "true")]).0, "c");
        let (text, all) = kept(
            "#define_import_path a::b // c\n#import \"embedded://x\"::{y,\n z}\n\
             /*\n#import no\n*/\n\
             #include \"f\" // g\n#define Q 4\n#if Q == 4\nh #{Q}\n#endif\n// #import no",
            &[],
        );
        assert_eq!(text, "<\"embedded://x\"::{y, z}>/*#import no*/[\"f\"]h #{Q}// #import no");
        assert_eq!(all.module.as_deref(), Some("a::b"));
        assert!(all.faults.is_empty());
    }

    #[test]
    fn branches_that_do_not_end_are_faults() {
        for text in ["#if A\n", "#endif\n", "#else\n", "#if\n#endif\n"] {
            assert_eq!(kept(text, &[]).1.faults.len(), 1, "{text}");
        }
    }
}
