//! A key of a sweep with its values: a list, or a range.

use toml::Value;

/// Most values of a key.
const MOST: usize = 10_000;

/// A key with the values that it takes one after another.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Key of the configuration.
    pub key: String,
    /// Its values, at least one.
    pub values: Vec<Value>,
}

impl Axis {
    /// The values of `key`: a list, a table `{ from, to, steps, scale }`, or a single value.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn new(key: &str, value: Value) -> Result<Axis, String> {
        let is_range = |table: &toml::Table| {
            ["from", "to", "scale"].iter().any(|key| table.contains_key(*key))
        };
        let values = match value {
            Value::Array(values) => values,
            Value::Table(table) if is_range(&table) => range(&table)?,
            one => vec![one],
        };
        if values.is_empty() {
            return Err("has no values".into());
        }
        if values.len() > MOST {
            return Err(format!("has more than {MOST} values"));
        }
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = values.iter().find(|value| !seen.insert(text_of(value))) {
            return Err(format!("has the value {} twice", text_of(twice)));
        }
        Ok(Axis { key: key.into(), values })
    }
}

/// A value as text, as it is compared and shown: lists as on the command line, `4,2`.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text_of).collect::<Vec<_>>().join(","),
        Value::Float(number) => {
            let size = number.abs();
            let is_long = size != 0.0 && !(1e-4..1e7).contains(&size);
            if is_long { format!("{number:e}") } else { number.to_string() }
        }
        other => other.to_string(),
    }
}

/// The values of `{ from = 1e-3, to = 1e-1, steps = 5, scale = "log" }`.
fn range(table: &toml::Table) -> Result<Vec<Value>, String> {
    if let Some(key) =
        table.keys().find(|key| !["from", "to", "steps", "scale"].contains(&key.as_str()))
    {
        return Err(format!("a range has from, to, steps and scale, not `{key}`"));
    }
    let number = |key: &str| match table.get(key) {
        Some(Value::Integer(number)) => Ok((*number as f64, true)),
        Some(Value::Float(number)) if number.is_finite() => Ok((*number, false)),
        Some(_) => Err(format!("`{key}` of a range is a number")),
        None => Err(format!("a range needs `{key}`")),
    };
    let ((from, first_whole), (to, last_whole)) = (number("from")?, number("to")?);
    let is_log = match table.get("scale").map(|scale| scale.as_str()) {
        None | Some(Some("linear")) => false,
        Some(Some("log")) => true,
        Some(_) => return Err("`scale` of a range is \"linear\" or \"log\"".into()),
    };
    let is_whole = first_whole && last_whole;
    let steps = match table.get("steps") {
        Some(Value::Integer(steps)) if (1..=MOST as i64).contains(steps) => *steps as usize,
        Some(_) => return Err(format!("`steps` of a range is a whole number from 1 to {MOST}")),
        None if is_whole && !is_log && (to - from).abs() < MOST as f64 => {
            (to - from).abs() as usize + 1
        }
        None => return Err("a range needs `steps`, the number of its values".into()),
    };
    if is_log && !(from > 0.0 && to > 0.0) {
        return Err("a range with scale = \"log\" begins and ends above 0".into());
    }
    if steps > 1 && from == to {
        return Err("the range begins and ends with the same number".into());
    }
    let at = |index: usize| {
        let share = if steps > 1 { index as f64 / (steps - 1) as f64 } else { 0.0 };
        match is_log {
            _ if index == 0 => from,
            _ if index + 1 == steps => to,
            true => (from.ln() + share * (to.ln() - from.ln())).exp(),
            false => from + share * (to - from),
        }
    };
    let mut values: Vec<Value> = (0..steps)
        .map(|index| match is_whole {
            true => Value::Integer(at(index).round() as i64),
            false => Value::Float(rounded(at(index))),
        })
        .collect();
    values.dedup();
    Ok(values)
}

/// `value` with six significant digits, so that a thousandth is 0.001.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Result<Vec<String>, String> {
        let table: toml::Table = toml::from_str(&format!("key = {text}")).unwrap();
        Axis::new("key", table["key"].clone()).map(|axis| axis.values.iter().map(text_of).collect())
    }

    #[test]
    fn lists_and_ranges_are_values() {
        let found = |text: &str| values(text).unwrap().join(" ");
        assert_eq!(found("[\"32\", \"4,2\"]"), "32 4,2");
        assert_eq!(found("[[4, 2], 8]"), "4,2 8");
        assert_eq!(found("true"), "true");
        assert_eq!(found("[1e-5, 1e30, 0.0, 0.25]"), "1e-5 1e30 0 0.25");
        let log = "{ from = 1e-3, to = 1e-1, steps = 5, scale = \"log\" }";
        assert_eq!(found(log), "0.001 0.00316228 0.01 0.0316228 0.1");
        assert_eq!(found("{ from = 0.0, to = 0.3, steps = 4 }"), "0 0.1 0.2 0.3");
        assert_eq!(found("{ from = 3, to = 5 }"), "3 4 5");
        assert_eq!(found("{ from = 8, to = 64, steps = 4, scale = \"log\" }"), "8 16 32 64");
        assert_eq!(found("{ from = 5, to = 3 }"), "5 4 3");
    }

    #[test]
    fn what_is_no_range_is_said() {
        for (text, expected) in [
            ("[]", "no values"),
            ("[1, 1]", "value 1 twice"),
            ("{ from = 1.0, to = 2.0 }", "needs `steps`"),
            ("{ from = 1, steps = 3 }", "needs `to`"),
            ("{ from = 0, to = 1, steps = 3, scale = \"log\" }", "above 0"),
            ("{ from = 1, to = 2, steps = 0 }", "from 1 to"),
            ("{ from = 1, to = 2, by = 1 }", "not `by`"),
            ("{ from = \"a\", to = 2 }", "is a number"),
            ("{ from = 1.5, to = 1.5, steps = 2 }", "same number"),
            ("{ from = 1, to = 2, scale = 3 }", "\"linear\" or \"log\""),
        ] {
            let said = values(text).unwrap_err();
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
