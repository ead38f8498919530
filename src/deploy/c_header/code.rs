//! Text of C.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

/// Lines of a function, indented by their braces.
#[derive(Default)]
pub(super) struct Code {
    text: String,
    depth: usize,
}

impl Code {
    pub fn line(&mut self, line: impl AsRef<str>) {
        let line = line.as_ref();
        if line.starts_with('}') {
            self.depth -= 1;
        }
        self.text.push_str(&"    ".repeat(self.depth));
        self.text.push_str(line);
        self.text.push('\n');
        if line.ends_with('{') {
            self.depth += 1;
        }
    }

    /// `for` of a variable below `end` in steps of `step`, where there is more than one step; else
    /// the loop's body follows alone, and the variable is not there. Returns the variable for
    /// [`place`]: its name, or none.
    pub fn count<'a>(&mut self, variable: &'a str, end: u32, step: u32) -> &'a str {
        if end <= step {
            return "";
        }
        let next = if step == 1 { "++".into() } else { format!(" += {step}") };
        self.line(format!(
            "for (uint32_t {variable} = 0; {variable} < {end}; {variable}{next}) {{"
        ));
        variable
    }

    /// Ends what [`Self::count`] began with the same numbers.
    pub fn end_count(&mut self, end: u32, step: u32) {
        if end > step {
            self.line("}");
        }
    }

    pub fn finish(self) -> String {
        debug_assert_eq!(self.depth, 0, "{}", self.text);
        self.text
    }
}

/// A sum in C of `base` and of variables times constants. What is 0 is left out: a factor of 0, and
/// a variable that is not there, whose name is empty.
pub(super) fn place(base: &str, terms: &[(&str, u32)]) -> String {
    let mut text = base.to_string();
    for (variable, factor) in terms {
        match (variable.is_empty(), factor) {
            (true, _) | (_, 0) => {}
            (_, 1) => text.push_str(&format!(" + {variable}")),
            _ => text.push_str(&format!(" + {variable} * {factor}")),
        }
    }
    text.strip_prefix(" + ").unwrap_or(&text).to_string()
}

/// An index of [`place`]; `0` where nothing is left.
pub(super) fn index(terms: &[(&str, u32)], constant: u32) -> String {
    let text = place("", terms);
    match (text.is_empty(), constant) {
        (true, _) => constant.to_string(),
        (_, 0) => text,
        _ => format!("{text} + {constant}"),
    }
}

/// `base + offset`, or `base` alone.
pub(super) fn added(base: &str, offset: impl Display) -> String {
    match &offset.to_string()[..] {
        "0" => base.to_string(),
        offset => format!("{base} + {offset}"),
    }
}

/// A float with all its digits.
pub(super) fn float(value: f32) -> String {
    format!("{value:e}f")
}

/// `value` as a float of 32 bits that C can write.
pub(super) fn finite(value: f64) -> String {
    float(value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32)
}

/// An array of constants, which is not empty.
pub(super) fn array(declaration: &str, values: Vec<String>) -> String {
    let lines: Vec<String> =
        values.chunks(16).map(|line| format!("    {},\n", line.join(", "))).collect();
    format!("static const {declaration}[{}] = {{\n{}}};\n", values.len(), lines.concat())
}

/// Names in C, each given once.
#[derive(Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// `wanted`, or with a number where it is taken.
    pub fn give(&mut self, wanted: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let wanted: String = wanted.chars().map(plain).collect();
        let numbered = (2..).map(|number| format!("{wanted}_{number}"));
        let mut names = std::iter::once(wanted.clone()).chain(numbered);
        names.find(|name| self.0.insert(name.clone())).unwrap_or(wanted)
    }
}

/// Functions; those with the same text are one.
#[derive(Default)]
pub(super) struct Functions {
    by_text: BTreeMap<String, String>,
    pub text: String,
}

impl Functions {
    /// The name of the function `text`, in which `@name@` stands for it: `wanted` if it is new.
    pub fn add(&mut self, names: &mut Names, wanted: &str, comment: &str, text: &str) -> String {
        if let Some(name) = self.by_text.get(text) {
            return name.clone();
        }
        let name = names.give(wanted);
        self.text.push_str(&format!("/* {comment} */\n{}\n", text.replace("@name@", &name)));
        self.by_text.insert(text.to_string(), name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_keep_all_their_digits() {
        for value in [0.0, 1.0, -1e-7, 0.1, f32::MAX, f32::MIN_POSITIVE] {
            let text = float(value);
            assert_eq!(text.trim_end_matches('f').parse::<f32>().ok(), Some(value));
            assert!(text.contains('e'), "{text} is an integer to C");
        }
    }

    #[test]
    fn places_say_only_what_is_not_nothing() {
        assert_eq!(place("from", &[("y", 12), ("x", 1), ("", 3), ("z", 0)]), "from + y * 12 + x");
        assert_eq!([index(&[("x", 2)], 0), index(&[("x", 0)], 0)], ["x * 2", "0"]);
        assert_eq!([index(&[("x", 2)], 5), index(&[("", 2)], 7)], ["x * 2 + 5", "7"]);
    }

    #[test]
    fn a_name_is_given_once() {
        let mut names = Names::default();
        let given = ["a.b", "a_b", "a_b_2", "c"].map(|name| names.give(name));
        assert_eq!(given, ["a_b", "a_b_2", "a_b_2_2", "c"]);
    }
}
