//! Folders of IDX files under all names that are in use: those of MNIST, EMNIST
//! (`emnist-letters-test-images-idx3-ubyte`) and QMNIST (`qmnist-train-labels-idx2-int`), in any
//! case, also where archives unpack them to (`MNIST/raw`, `gzip`, a folder a file).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    idx_set::{SetFile, idx_part},
    names,
};
use crate::{Error, Result, data::content::Content, files::read_bounded};

/// Largest file of class names.
const MAX_NAMES: u64 = 1 << 16;

/// The files of training images, training labels, test images and test labels.
#[derive(Clone, Debug)]
pub(in crate::data) struct IdxFolder {
    folder: PathBuf,
    /// What stands before `train` in the names, such as `emnist-letters`.
    prefix: String,
    files: [SetFile; 4],
}

/// The prefix and the role (0 to 3) that a file's name gives it.
fn role(name: &str) -> Option<(String, usize)> {
    let lower = name.to_lowercase();
    let plain = lower.strip_suffix(".gz").unwrap_or(&lower);
    let known = [
        ("train-images", 0),
        ("train-labels", 1),
        ("t10k-images", 2),
        ("test-images", 2),
        ("t10k-labels", 3),
        ("test-labels", 3),
    ];
    known.iter().find_map(|&(part, role)| {
        let (prefix, kind) = plain.split_once(part)?;
        let kind = kind.strip_prefix(['-', '.'])?.strip_prefix("idx")?;
        let ends = kind.ends_with("-ubyte") || kind.ends_with("-int") || kind.ends_with(".ubyte");
        let prefix = prefix.strip_suffix(['-', '_']).unwrap_or(prefix);
        (ends || kind.len() <= 1).then(|| (prefix.to_string(), role))
    })
}

/// The IDX files in `folder`, also in folders that have the names of files.
fn files_of(folder: &Path) -> Result<Vec<(String, usize, PathBuf)>> {
    let mut found = Vec::new();
    for item in names::list(folder)? {
        let name = item.name().to_string_lossy().into_owned();
        let Some((prefix, number)) = role(&name) else { continue };
        if !item.is_folder {
            found.push((prefix, number, item.path));
            continue;
        }
        for inside in names::list(&item.path)?.into_iter().filter(|inside| !inside.is_folder) {
            if role(&inside.name().to_string_lossy()) == Some((prefix.clone(), number)) {
                found.push((prefix.clone(), number, inside.path));
            }
        }
    }
    Ok(found)
}

impl IdxFolder {
    /// The set in `folder`, if there is any such file.
    ///
    /// # Errors
    /// [`Error::Data`] if files are missing, or if there are those of several sets.
    pub fn find(folder: &Path) -> Result<Option<IdxFolder>> {
        let mut place = folder.to_path_buf();
        let mut found = files_of(&place)?;
        if found.is_empty() {
            let folders = names::list(folder)?.into_iter().filter(|item| item.is_folder);
            let nested = folders.flat_map(|item| [item.path.join("raw"), item.path]);
            let is_usual = |path: &PathBuf| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
                matches!(name.as_str(), "raw" | "gzip") && path.is_dir()
            };
            for inside in nested.filter(is_usual) {
                found = files_of(&inside)?;
                if !found.is_empty() {
                    place = inside;
                    break;
                }
            }
        }
        let mut sets: BTreeMap<String, [Option<PathBuf>; 4]> = BTreeMap::new();
        for (prefix, number, path) in found {
            let slot = &mut sets.entry(prefix).or_default()[number];
            // A raw file comes before a gzip file.
            let is_packed = |path: &Path| {
                path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
            };
            if slot.as_ref().is_none_or(|other| is_packed(other) && !is_packed(&path)) {
                *slot = Some(path);
            }
        }
        if sets.len() > 1 {
            let names: Vec<&str> = sets.keys().map(String::as_str).collect();
            return Err(Error::Data(format!(
                "{}: holds several data sets ({}); put the files of one into a folder of its own",
                place.display(),
                names.join(", ").trim_start_matches(", ")
            )));
        }
        let Some((prefix, files)) = sets.into_iter().next() else { return Ok(None) };
        match files {
            [Some(a), Some(b), Some(c), Some(d)] => {
                let files = [a, b, c, d].map(SetFile::at);
                Ok(Some(IdxFolder { folder: place, prefix, files }))
            }
            files => {
                let t10k = if prefix.is_empty() { "t10k" } else { "test" };
                let before = if prefix.is_empty() { String::new() } else { format!("{prefix}-") };
                let names = [
                    "train-images-idx3-ubyte".to_string(),
                    "train-labels-idx1-ubyte".to_string(),
                    format!("{t10k}-images-idx3-ubyte"),
                    format!("{t10k}-labels-idx1-ubyte"),
                ];
                let missing: Vec<String> = names
                    .iter()
                    .zip(&files)
                    .filter(|(_, file)| file.is_none())
                    .map(|(name, _)| format!("{before}{name}"))
                    .collect();
                Err(Error::Data(format!(
                    "{}: not a folder with a data set: lacks {} (each raw or with .gz)",
                    place.display(),
                    missing.join(", ")
                )))
            }
        }
    }

    /// Reads the four files.
    ///
    /// # Errors
    /// Errors of [`super::idx::read_images`] and [`super::idx::read_labels`].
    pub fn read(&self) -> Result<Content> {
        let [train_images, train_labels, test_images, test_labels] = &self.files;
        let train = idx_part(train_images, train_labels, None)?;
        let test = idx_part(test_images, test_labels, None)?;
        let highest = train.split.labels.iter().chain(&test.split.labels).max().copied();
        let class_names = self.mapping(highest.unwrap_or(0))?;
        let mut warnings = Vec::new();
        if self.prefix.starts_with("emnist") {
            warnings.push(
                "EMNIST's files hold transposed images; the setting transpose turns them upright"
                    .into(),
            );
        }
        Ok(Content {
            train,
            test: Some(test),
            least_classes: 2,
            class_names,
            warnings,
            ..Content::default()
        })
    }

    /// The characters of EMNIST's classes, if its file of them is there: lines of a label and the
    /// codes of its characters, of which the last is taken.
    fn mapping(&self, highest: u32) -> Result<Option<Vec<String>>> {
        let path = self.folder.join(format!("{}-mapping.txt", self.prefix));
        if self.prefix.is_empty() || !path.is_file() {
            return Ok(None);
        }
        let bytes = read_bounded(&path, MAX_NAMES)?;
        let text = String::from_utf8_lossy(&bytes);
        let line = |line: &str| {
            let numbers = line
                .split_whitespace()
                .map(|word| word.parse::<u32>().ok())
                .collect::<Option<Vec<_>>>()?;
            let (&label, codes) = numbers.split_first()?;
            Some((label, char::from_u32(*codes.last()?).filter(|c| c.is_ascii_graphic())?))
        };
        let lines = text.lines().filter(|text| !text.trim().is_empty()).map(line);
        let Some(lines) = lines.collect::<Option<BTreeMap<u32, char>>>() else {
            return Err(Error::format(path, "is not a list of labels and codes of characters"));
        };
        // Labels of `letters` count from 1.
        let name = |label: u32| match lines.get(&label) {
            Some(character) => Some(character.to_string()),
            None if label == 0 => Some("N/A".into()),
            None => None,
        };
        Ok((0..=highest).map(name).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_use_are_known() {
        for (name, prefix, number) in [
            ("train-images-idx3-ubyte", "", 0),
            ("t10k-labels.idx1-ubyte", "", 3),
            ("TRAIN-IMAGES-IDX3-UBYTE.GZ", "", 0),
            ("emnist-letters-test-images-idx3-ubyte.gz", "emnist-letters", 2),
            ("qmnist-train-labels-idx2-int.gz", "qmnist", 1),
        ] {
            assert_eq!(role(name), Some((prefix.into(), number)), "{name}");
        }
        for name in ["train-images", "train-images.png", "train-images-idx.txt", "labels"] {
            assert_eq!(role(name), None, "{name}");
        }
    }
}
