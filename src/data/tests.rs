//! Tests of the lookup of data sets, with every place in a temporary folder.

use std::{fs, path::PathBuf};

use super::*;
use crate::config::{Normalize, PixelNormalization, Shape};

const NAMES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// A tiny set with the labels 0..`n` in `folder`.
fn write_set(folder: &Path, n: u8) {
    fs::create_dir_all(folder).unwrap();
    let labels: Vec<u32> = (0..n.into()).collect();
    for name in NAMES {
        let mut bytes = Vec::new();
        if name.contains("images") {
            idx::write_images(&mut bytes, Shape::new(1, 2, 2), &vec![n; 4 * labels.len()]).unwrap();
        } else {
            idx::write_labels(&mut bytes, &labels).unwrap();
        }
        fs::write(folder.join(name), bytes).unwrap();
    }
}

fn read_from(name: &str, places: &Places) -> Result<Dataset> {
    load_from(name, places, &ReadOptions::default(), &mut |_, _| {})
}

/// Four places in `root`, none of which exists yet.
fn places(root: &Path) -> Places {
    let at = |name: &str| Some(root.join(name));
    Places {
        data_dir: at("flag"),
        environment: at("environment"),
        cache: at("cache"),
        system: at("system"),
    }
}

fn found(places: &Places, name: &str) -> Option<PathBuf> {
    places.list().into_iter().find(|row| row.name == name).unwrap().found
}

/// A set that `fetch` stored has its name and its classes, by name and by path; a folder with that
/// name here is a user's own.
#[test]
fn fetched_sets_are_found_by_name() {
    let root = tempfile::tempdir().unwrap();
    let places = places(root.path());
    let error = read_from("kmnist", &places).unwrap_err().to_string();
    assert!(error.contains("Get it with `saliq data fetch kmnist`"), "{error}");
    let folder = root.path().join("cache/kmnist");
    write_set(&folder, 10);
    assert_eq!(found(&places, "kmnist"), None, "the files are those of another source");
    for name in NAMES {
        fs::rename(folder.join(name), folder.join(format!("{name}.gz"))).unwrap();
    }
    assert_eq!(found(&places, "kmnist"), Some(folder.clone()));
    let path = folder.to_str().unwrap();
    for dataset in [read_from("kmnist", &places).unwrap(), read_from(path, &places).unwrap()] {
        assert_eq!((&dataset.name[..], &dataset.class_names[3][..]), ("kmnist", "tsu"));
        assert!(!dataset.is_named() && dataset.source == path);
    }
}

#[test]
fn places_are_searched_in_order() {
    let root = tempfile::tempdir().unwrap();
    let places = places(root.path());
    assert_eq!(found(&places, "mnist"), None);
    // From the last place to the first: each new set takes precedence.
    for folder in [
        "system/mnist",
        "cache/mnist",
        "environment",
        "environment/MNIST/raw",
        "environment/mnist",
        "flag",
        "flag/MNIST/raw",
        "flag/mnist",
    ] {
        write_set(&root.path().join(folder), 3);
        assert_eq!(found(&places, "mnist"), Some(root.path().join(folder)));
        assert_eq!(
            read_from("mnist", &places).unwrap().source,
            root.path().join(folder).display().to_string()
        );
    }
    assert_eq!(found(&places, "mnist-mini"), None);
}

#[test]
fn an_incomplete_folder_is_passed_over_and_named_in_the_error() {
    let root = tempfile::tempdir().unwrap();
    let places = places(root.path());
    write_set(&root.path().join("flag/mnist"), 3);
    fs::remove_file(root.path().join("flag/mnist/t10k-labels-idx1-ubyte")).unwrap();
    let error = read_from("mnist", &places).unwrap_err();
    assert!(matches!(error, crate::Error::Data(_)));
    let text = error.to_string();
    for part in [
        "flag/mnist (lacks t10k-labels-idx1-ubyte)",
        "environment/MNIST/raw",
        "cache/mnist",
        "system/mnist",
    ] {
        assert!(text.contains(&part.replace('/', std::path::MAIN_SEPARATOR_STR)), "{part}: {text}");
    }
    assert!(
        text.contains("`saliq data fetch mnist`")
            && text.contains("mnist-mini")
            && !text.contains('\n'),
        "{text}"
    );
    write_set(&root.path().join("cache/mnist"), 3);
    assert_eq!(found(&places, "mnist"), Some(root.path().join("cache/mnist")));
}

#[test]
fn a_place_that_holds_another_set_is_not_taken_for_this_one() {
    let root = tempfile::tempdir().unwrap();
    let places = places(root.path());
    let flag = root.path().join("flag");
    write_set(&flag, 3);
    let labels = catalog::find("mnist-mini").unwrap().embedded.unwrap()[3];
    fs::remove_file(flag.join(NAMES[3])).unwrap();
    fs::write(flag.join(format!("{}.gz", NAMES[3])), labels).unwrap();
    let text = read_from("fashion-mnist", &places).unwrap_err().to_string();
    assert!(text.contains("flag (holds mnist-mini)"), "{text}");
}

#[test]
fn a_named_set_keeps_its_classes_and_normalization_whatever_the_files() {
    let root = tempfile::tempdir().unwrap();
    write_set(&root.path().join("flag"), 3);
    let set = read_from("fashion-mnist", &places(root.path())).unwrap();
    assert_eq!(
        (set.classes, set.class_names[9].as_str(), set.shape),
        (10, "Ankle boot", Shape::new(1, 2, 2))
    );
    assert_eq!(
        set.normalization(&Normalize::Standard),
        PixelNormalization::uniform(0.2860, 0.3530)
    );
    write_set(&root.path().join("flag"), 11);
    let text = read_from("fashion-mnist", &places(root.path())).unwrap_err().to_string();
    assert!(text.contains("label 10 of image 10 is not one of the 10 classes"), "{text}");
}

#[test]
fn sums_of_the_embedded_sets_are_those_pinned() {
    // `check::sums` only warns; this test compares the same sums.
    for entry in catalog::CATALOG.iter().filter(|entry| entry.embedded.is_some()) {
        let set = read_from(entry.name, &Places::default()).unwrap();
        let sums = [&set.train, &set.test].map(|split| idx::sums(set.shape, split));
        assert_eq!(sums.concat(), entry.files.map(|file| file.sha256.to_string()));
        for (file, bytes) in entry.files.iter().zip(entry.embedded.unwrap()) {
            assert!(bytes.len() as u64 <= file.bytes, "{}", file.name);
        }
    }
}
