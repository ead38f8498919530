//! Lines that are directives.

use super::lex::is_word;

const WORDS: [&str; 15] = [
    "import",
    "include",
    "define_import_path",
    "ifdef",
    "ifndef",
    "if",
    "elif",
    "elifdef",
    "elseif",
    "else",
    "endif",
    "define",
    "undef",
    "pragma",
    "from",
];

/// Word and position behind it of the directive that the line at `at` starts with.
pub(super) fn directive(text: &str, at: usize) -> Option<(&str, usize)> {
    let line = text[at..].split('\n').next()?;
    let code = line.trim_start();
    let rest = code.strip_prefix('#')?;
    let word = rest.trim_start();
    let length = word.bytes().position(|byte| !is_word(byte)).unwrap_or(word.len());
    let start = at + (line.len() - code.len()) + 1 + (rest.len() - word.len());
    WORDS.contains(&&word[..length]).then(|| (&text[start..start + length], start + length))
}

/// Whether a line of the text is a directive.
pub(super) fn has_directive(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find('#') {
        let start = rest[..at].rfind('\n').map_or(0, |line| line + 1);
        if rest[start..at].trim().is_empty() && directive(rest, start).is_some() {
            return true;
        }
        rest = &rest[at + 1..];
        let base = rest.find('\n').map_or(rest.len(), |line| line + 1);
        rest = &rest[base..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_alone_in_front_of_their_lines() {
        assert!(!has_directive("fn f() {}\n#{X}\n// #if\n"));
        assert!(has_directive("fn f() {}\n  # ifdef X\n"));
    }
}
