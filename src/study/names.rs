//! Names of a study's files.

/// Converts a name into a valid part of a file name: without separators and dots, and short enough
/// for a file system.
pub fn slug(name: &str) -> String {
    let name = crate::config::short_name(name);
    name.chars()
        .take(64)
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
        .collect()
}
