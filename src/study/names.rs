//! Names of a study's files.

/// A name as a part of a file's name, whatever it is made of: no path, no dots, never too long for
/// a file system.
pub fn slug(name: &str) -> String {
    let name = crate::config::short_name(name);
    name.chars()
        .take(64)
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
        .collect()
}
