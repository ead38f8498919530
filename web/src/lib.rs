//! saliq in a browser: what the page's workers call. Plain data crosses as JSON, arrays as typed
//! arrays. `page/` calls it; docs/browser.md describes the page.

mod engine;
mod error;
mod shaders;

pub use engine::Engine;
pub use shaders::{check, translate};
