//! Decoded data sets in the user's cache folder, found by the content of their files.
//!
//! A file is written under a temporary name and renamed, so that programs that run at once never
//! see a part of it. One that is damaged is decoded again. The folder has a bound.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

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
/// Most bytes of all sets in the folder; the ones that were used longest ago go first.
const MOST_OF_ALL: u64 = 8 << 30;
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
    let content = safetensors::parse(&path, content).ok()?;
    // The time of the last change is that of the last use.
    let touched = fs::File::options().append(true).open(&path);
    let _ = touched.and_then(|file| file.set_modified(SystemTime::now()));
    Some(content)
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
    if let Some(folder) = path.parent() {
        prune(folder, &path, MOST_OF_ALL);
    }
}

/// Removes sets from `folder` until they have at most `most` bytes, the one that was used longest
/// ago first; `newest` stays. Another process may remove them too.
fn prune(folder: &Path, newest: &Path, most: u64) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let set = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let found = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        let path = entry.path();
        let is_set = path.extension().is_some_and(|ending| ending == "set");
        is_set.then_some((found.modified().ok()?, path, found.len()))
    };
    let mut sets: Vec<(SystemTime, PathBuf, u64)> = entries.filter_map(set).collect();
    sets.sort();
    let mut bytes: u64 = sets.iter().map(|(.., length)| length).sum();
    for (_, path, length) in sets.iter().filter(|(_, path, _)| path != newest) {
        if bytes <= most {
            return;
        }
        if fs::remove_file(path).is_ok() {
            log::info!("{}: removed, {most} bytes of decoded sets are kept", path.display());
        }
        bytes -= length;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_sets_used_longest_ago_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (age, name) in ["b.set", "c.set", "a.set", "own.txt"].iter().enumerate() {
            fs::write(at(name), [0; 100]).unwrap();
            let file = fs::File::options().append(true).open(at(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(100 * age as u64)).unwrap();
        }
        let left = || {
            let names = fs::read_dir(folder.path()).unwrap();
            let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
            let mut names: Vec<_> = names.map(name).collect();
            names.sort();
            names
        };
        prune(folder.path(), &at("a.set"), 300);
        assert_eq!(left().len(), 4);
        // The oldest set is the one that was just stored.
        prune(folder.path(), &at("a.set"), 250);
        assert_eq!(left(), ["a.set", "b.set", "own.txt"]);
        prune(folder.path(), &at("a.set"), 0);
        assert_eq!(left(), ["a.set", "own.txt"]);
    }
}
