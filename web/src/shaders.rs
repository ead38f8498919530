//! The check of a user's shader. It runs in a worker of its own: a text that is too deep for the
//! browser's stack ends only that.

use saliq::check::{check_bytes, to_json, translations};
use serde_json::json;
use wasm_bindgen::prelude::wasm_bindgen;

/// The JSON of `saliq check --json` for `text`, whose name is `shader.wgsl`.
#[wasm_bindgen]
pub fn check(text: &str) -> String {
    to_json(&[check_bytes("shader.wgsl", text.into())]).to_string()
}

/// A list of `{language, text}`, or of `{language, reason}` where there is no translation.
#[wasm_bindgen]
pub fn translate(text: &str) -> String {
    let made = match translations(text) {
        Ok(made) => made,
        Err(reason) => return json!([{ "language": "WGSL", "reason": reason }]).to_string(),
    };
    let rows: Vec<_> = made
        .into_iter()
        .map(|one| match one.text {
            Ok(text) => json!({ "language": one.language, "text": text }),
            Err(reason) => json!({ "language": one.language, "reason": reason }),
        })
        .collect();
    serde_json::Value::from(rows).to_string()
}
