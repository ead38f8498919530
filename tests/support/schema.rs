//! JSON Schemas of what the program prints: makes them from outputs, and checks outputs against
//! them. As much of the language as these schemas use.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use serde_json::{Value, json};

/// What the outputs are, by the names of their schemas.
pub const TITLES: [(&str, &str); 34] = [
    ("demo", "saliq demo --json and results.json: the models of the demo"),
    ("train", "saliq train --json: the result of a training"),
    ("train-lines", "A line of saliq train --json=lines"),
    ("metrics", "A line of metrics.jsonl in a run folder"),
    ("eval", "saliq eval --json: accuracy, loss, per-class figures, confusion matrix"),
    ("cost", "saliq cost --json: operations, bits, bytes of a model"),
    ("cost-paper", "saliq cost --accounting paper --json: FLOPs as the paper counts them"),
    ("devices", "saliq devices --json: adapters, features, limits"),
    ("explain", "saliq explain --json: what was explained and written"),
    ("compare", "saliq compare --json and compare.json: models against a reference"),
    ("drop", "saliq drop --json and drop.json: accuracy as features are removed"),
    ("quantize", "saliq quantize --json: post-training quantization against float"),
    ("search", "saliq search --json and search.json: bits of each layer within a budget"),
    ("search-plan", "saliq search --plan --json: the passes of a search"),
    ("export", "saliq export --json: the file that was written"),
    ("import", "saliq import --json: what was understood of a model"),
    ("networks", "saliq networks --json: the networks known by name"),
    ("network", "saliq networks NAME --json: the layers of a network"),
    ("data-list", "saliq data list --json: the data sets known by name"),
    ("data-info", "saliq data info --json: what is read of a data set"),
    ("data-fetch", "saliq data fetch --json: where the data sets are"),
    ("data-convert", "saliq data convert --json: the file that was written"),
    ("sweep", "saliq sweep --json and sweep.json: the runs of a sweep"),
    ("sweep-plan", "saliq sweep --plan --json: the runs to be made"),
    ("runs", "saliq runs --json: the runs below a folder"),
    ("watch", "saliq watch --json: how far a run is"),
    ("reproduce", "saliq reproduce --json, saliq report --json and report.json: a study"),
    ("reproduce-plan", "saliq reproduce --plan --json: the models and their time"),
    ("bench", "saliq bench --json: times of the step, its kernels, the peaks"),
    ("bench-inference", "saliq bench --inference MODEL --json: times of an inference"),
    ("bench-sweep", "saliq bench --sweep WHAT --json: how the time of a step grows"),
    ("tiles", "saliq bench --autotune --json, saliq devices --tuning --json: tile sizes"),
    ("check", "saliq check --json: shaders and findings"),
    ("man", "saliq man --json: the manual pages that were written"),
];

/// Objects whose keys are names and not part of the format.
const MAPS: [&str; 11] = [
    "alpha",
    "bits",
    "methods",
    "step_size",
    "offset",
    "weight_range",
    "settings",
    "metrics",
    "counts",
    "features",
    "limits",
];
/// Numbers that are null where they are not finite or unknown.
const NULLABLE: [&str; 6] = ["low", "high", "p", "mean", "loss", "value"];

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The schema of all of `samples`, which are values of the key `key`.
pub fn infer(samples: &[&Value], key: &str) -> Value {
    let objects: Vec<_> = samples.iter().filter_map(|value| value.as_object()).collect();
    // Lines of several kinds have a schema each.
    let kinds: BTreeSet<&str> =
        objects.iter().filter_map(|own| own.get("kind")?.as_str()).collect();
    if objects.len() == samples.len() && kinds.len() > 1 && key == "line" {
        let of_kind = |kind: &&str| {
            let own: Vec<&Value> =
                samples.iter().copied().filter(|value| value["kind"] == **kind).collect();
            let mut schema = infer(&own, "object");
            schema["properties"]["kind"] = json!({ "const": kind });
            schema
        };
        return json!({ "oneOf": kinds.iter().map(of_kind).collect::<Vec<_>>() });
    }
    let mut types: BTreeSet<&str> = samples.iter().map(|value| kind_of(value)).collect();
    if types.contains("number") {
        types.remove("integer");
    }
    if NULLABLE.contains(&key) && types.contains("number") {
        types.insert("null");
    }
    let mut schema = json!({});
    let types: Vec<&str> = types.into_iter().collect();
    match types[..] {
        [] => return json!({}),
        [one] => schema["type"] = one.into(),
        _ => schema["type"] = json!(types),
    }
    let items: Vec<&Value> =
        samples.iter().filter_map(|value| value.as_array()).flatten().collect();
    if types.contains(&"array") && !items.is_empty() {
        schema["items"] = infer(&items, "item");
    }
    if objects.is_empty() {
        return schema;
    }
    if MAPS.contains(&key) {
        let values: Vec<&Value> = objects.iter().flat_map(|own| own.values()).collect();
        schema["additionalProperties"] = infer(&values, "entry");
        return schema;
    }
    let mut by_key: BTreeMap<&String, Vec<&Value>> = BTreeMap::new();
    for (key, value) in objects.iter().flat_map(|own| own.iter()) {
        by_key.entry(key).or_default().push(value);
    }
    let required: Vec<&String> =
        by_key.iter().filter(|(_, own)| own.len() == objects.len()).map(|(key, _)| *key).collect();
    schema["required"] = json!(required);
    let properties = by_key.iter().map(|(key, own)| ((*key).clone(), infer(own, key)));
    schema["properties"] = Value::Object(properties.collect());
    schema
}

/// Checks `values` against the schema `name`. With `SALIQ_WRITE_SCHEMAS=1` it is made anew from
/// them before.
#[track_caller]
pub fn hold(name: &str, values: &[Value]) {
    let [(_, title)] = TITLES.iter().filter(|own| own.0 == name).collect::<Vec<_>>()[..] else {
        panic!("{name}: no title")
    };
    if std::env::var_os("SALIQ_WRITE_SCHEMAS").is_some() {
        let samples: Vec<&Value> = values.iter().collect();
        let mut whole = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": title,
        });
        let inner = infer(&samples, "line");
        whole.as_object_mut().unwrap().extend(inner.as_object().unwrap().clone());
        let text = serde_json::to_string_pretty(&whole).unwrap() + "\n";
        fs::write(file(name), text).unwrap();
    }
    fits(name, values);
}

fn file(name: &str) -> PathBuf {
    super::root().join("docs/schemas").join(format!("{name}.json"))
}

/// Checks `values`, further ones, against the schema `name`.
#[track_caller]
pub fn fits(name: &str, values: &[Value]) {
    let file = file(name);
    let stored =
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let stored: Value = serde_json::from_str(&stored).unwrap();
    for value in values {
        check(&stored, value, name).unwrap_or_else(|said| {
            panic!("{said}\nSALIQ_WRITE_SCHEMAS=1 makes the schemas anew\n{value:#}")
        });
    }
}

/// What is wrong with `value`, with its place.
pub fn check(schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    if let Some(options) = schema["oneOf"].as_array() {
        let failures: Vec<String> =
            options.iter().filter_map(|own| check(own, value, place).err()).collect();
        return match options.len() - failures.len() {
            1 => Ok(()),
            count => Err(format!("{place}: fits {count} of the forms: {}", failures.join("; "))),
        };
    }
    if let Some(only) = schema.get("const")
        && only != value
    {
        return Err(format!("{place}: is {value}, not {only}"));
    }
    let kind = kind_of(value);
    let allowed: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => vec![kind],
    };
    let is_whole_number = kind == "integer" && allowed.contains(&"number");
    if !(is_whole_number || allowed.contains(&kind)) {
        return Err(format!("{place}: is of type {kind}, not {allowed:?}"));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        check(&schema["items"], item, &format!("{place}[{index}]"))?;
    }
    let Some(object) = value.as_object() else { return Ok(()) };
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(key) {
            return Err(format!("{place}: lacks {key}"));
        }
    }
    for (key, own) in object {
        let place = format!("{place}.{key}");
        match (&schema["properties"][key], &schema["additionalProperties"]) {
            // A reader may meet keys of later versions; the tests may not.
            (Value::Null, Value::Null) => return Err(format!("{place}: is not described")),
            (Value::Null, rest) => check(rest, own, &place)?,
            (described, _) => check(described, own, &place)?,
        }
    }
    Ok(())
}
