//! Decoded data sets in the user's cache folder, found by the content of their files.
//!
//! A file is written under a temporary name and renamed, so that programs that run at once never
//! see a part of it. One that is damaged is decoded again.

use std::path::PathBuf;

use serde::Serialize;

use super::safetensors;
use crate::{
    data::content::Content,
    digest::sha256_hex,
    files::{cache_dir, read_bounded, write_atomically},
};

/// Changes whenever the same files would give other pixels.
const VERSION: &str = "saliq decoded data 1";
/// Sets with less than this many bytes of pixels are decoded each time.
const LEAST_BYTES: usize = 1 << 20;
/// Sets with more than this many bytes of pixels too.
const MOST_BYTES: usize = 4 << 30;
/// Length of a checksum in hexadecimal.
const SUM: usize = 64;

/// The key of everything that the decoded set depends on.
pub(super) fn key(inputs: &impl Serialize) -> String {
    let text = serde_json::to_string(inputs).unwrap_or_default();
    sha256_hex([VERSION.as_bytes(), text.as_bytes()])
}

fn file(key: &str) -> Option<PathBuf> {
    Some(cache_dir()?.join("decoded").join(format!("{key}.set")))
}

/// The set with this key, if it was stored.
pub(super) fn load(key: &str) -> Option<Content> {
    let path = file(key).filter(|path| path.is_file())?;
    let bytes = read_bounded(&path, 2 * MOST_BYTES as u64).ok()?;
    let (sum, content) = bytes.split_at_checked(SUM)?;
    if sha256_hex([content]).as_bytes() != sum {
        log::info!("{}: is damaged; the data set is decoded again", path.display());
        return None;
    }
    safetensors::parse(&path, content).ok()
}

/// Stores a set. That it cannot be stored is not an error.
pub(super) fn store(key: &str, content: &Content) {
    let bytes: usize = content.parts().map(|part| part.split.images.len()).sum();
    let Some(path) = file(key).filter(|_| (LEAST_BYTES..=MOST_BYTES).contains(&bytes)) else {
        return;
    };
    let Ok(bytes) = safetensors::to_bytes(content) else { return };
    let with_sum = [sha256_hex([&bytes[..]]).as_bytes(), &bytes].concat();
    if let Err(error) = write_atomically(&path, &with_sum) {
        log::info!("the decoded data set is not kept: {error}");
    }
}
