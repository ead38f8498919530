//! Markers of template engines and of strings of JavaScript: `{{x}}`, `${x}`, `<%= x %>`, `##X##`.

use super::lex::is_word;
use super::values::Values;
use crate::check::comments::{block_comment, line_end};
use std::ops::Range;

/// A marker and, if it is a plain name, the name.
#[derive(Debug, PartialEq)]
pub(super) struct Marker {
    range: Range<usize>,
    name: Option<String>,
}

/// The markers of a text, outside comments.
pub(super) fn markers(text: &str) -> Vec<Marker> {
    let mut found = Vec::new();
    let openings = ["{{", "${", "<%", "{%", "##", "<{", ", {", ",{", "= {", "({", "[{"];
    if !openings.iter().any(|open| text.contains(open)) {
        return found;
    }
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"//") {
            at = line_end(bytes, at);
        } else if bytes[at..].starts_with(b"/*") {
            at = block_comment(bytes, at).0;
        } else if let Some(end) = marker_end(text, at) {
            let inside =
                text[at..end].trim_matches(['{', '}', '$', '<', '>', '%', '=', '-', '#', ' ']);
            let is_name = !inside.is_empty()
                && inside.bytes().all(|byte| is_word(byte) || byte == b'.')
                && !inside.starts_with(|first: char| first.is_ascii_digit());
            found.push(Marker { range: at..end, name: is_name.then(|| inside.to_owned()) });
            at = end;
        } else {
            at += 1;
        }
    }
    found
}

fn marker_end(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let closing = |open: &str, close: &str| {
        let inside = rest.strip_prefix(open)?;
        let length = inside.find(close)?;
        Some((&inside[..length], at + open.len() + length + close.len()))
    };
    // `{{` and `}}` are also blocks of WGSL, which have statements.
    if let Some((inside, end)) = closing("{{", "}}") {
        let is_one = !inside.contains([';', '\n', '{', '}', '=']) && !inside.trim().is_empty();
        return is_one.then_some(end);
    }
    if let Some((inside, end)) = closing("${", "}") {
        // Braces inside belong to the marker.
        let opened = inside.matches('{').count();
        let end = (0..opened).try_fold(end, |end, _| Some(end + text[end..].find('}')? + 1));
        return end;
    }
    // A brace where WGSL has a type or a value.
    if let Some((inside, end)) = closing("{", "}") {
        let before = text[..at].trim_end_matches([' ', '\t']);
        let is_value = before.ends_with(['<', ',', '=', '(', '[']) && !before.ends_with("<=");
        let is_name = !inside.trim().is_empty() && inside.trim().bytes().all(is_word);
        return (is_value && is_name).then_some(end);
    }
    if let Some((inside, end)) = closing("##", "##") {
        return (!inside.is_empty() && inside.bytes().all(is_word)).then_some(end);
    }
    closing("<%", "%>").or_else(|| closing("{%", "%}")).map(|(_, end)| end)
}

/// The text with the values of its markers, or the first place without one and what to say of it.
pub(super) fn filled(
    text: &str,
    markers: &[Marker],
    values: &Values,
) -> Result<String, (usize, String)> {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let value_of = |marker: &Marker| values.get(marker.name.as_deref()?);
    let missing: Vec<_> = markers.iter().filter(|one| value_of(one).is_none()).collect();
    if let Some(first) = missing.first() {
        let mut names: Vec<_> = missing.iter().filter_map(|one| one.name.as_deref()).collect();
        names.sort_unstable();
        names.dedup();
        let shown: String = text[first.range.clone()].chars().take(40).collect();
        let advice = if names.is_empty() {
            "check what is made of it".to_owned()
        } else {
            let flags: Vec<_> =
                names.iter().take(8).map(|name| format!("-D {name}=VALUE")).collect();
            format!("give values: {}", flags.join(" "))
        };
        return Err((first.range.start, format!("a template: {advice} (at `{shown}`)")));
    }
    for marker in markers {
        out.push_str(&text[at..marker.range.start]);
        out.push_str(value_of(marker).map_or("", String::as_str));
        at = marker.range.end;
    }
    out.push_str(&text[at..]);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_found_and_filled_and_blocks_are_none() {
        let text = "const n = {{ n }}; const m = ${m}; // {{ x }}\n<%= k %>";
        let found = markers(text);
        assert_eq!(found.len(), 3);
        let values = ["n", "m", "k"].map(|name| (name.to_owned(), format!("{name}1")));
        let text = filled(text, &found, &Values::from(values));
        assert_eq!(text.as_deref(), Ok("const n = n1; const m = m1; // {{ x }}\nk1"));
        assert_eq!(markers("var x: texture_storage_2d<{FORMAT}, write>;").len(), 1);
        for plain in [
            "fn f() {{ a(); }}",
            "@if(A) {b}",
            "import a::{b};",
            "fn f() {a}",
            "fn f() {{}}",
            "fn f() { if a {{\n}} }",
        ] {
            assert_eq!(markers(plain), [], "{plain}");
        }
        let text = "${ a ? `x${b}` : 1 } ${c}";
        let found = markers(text);
        let (at, message) = filled(text, &found, &Values::new()).unwrap_err();
        assert_eq!(at, 0);
        assert!(message.starts_with("a template: give values: -D c=VALUE"), "{message}");
    }
}
