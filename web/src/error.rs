//! Errors of the library as JavaScript's.

use saliq::Error;
use wasm_bindgen::JsValue;

/// An `Error` whose name tells a lost device from the rest.
pub fn to_js(error: Error) -> JsValue {
    let own = js_sys::Error::new(&error.to_string());
    own.set_name(match error {
        Error::DeviceLost(_) => "DeviceLost",
        Error::OutOfMemory(_) => "OutOfMemory",
        Error::Usage(_) | Error::Settings(_) | Error::Unsaid { .. } => "Usage",
        _ => "Saliq",
    });
    own.into()
}

/// An `Error` of the page's own use.
pub fn said(message: &str) -> JsValue {
    js_sys::Error::new(message).into()
}

/// `value` as JSON.
pub fn json(value: &impl serde::Serialize) -> Result<String, JsValue> {
    serde_json::to_string(value).map_err(|error| said(&error.to_string()))
}
