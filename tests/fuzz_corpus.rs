//! Runs the fuzz targets on the stored inputs and on former crashers: none crashes, and none takes
//! more memory than its format may.

mod allocations;
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::{fs, path::Path};

use allocations::peak_growth;
use targets::TARGETS;

#[global_allocator]
static ALLOCATOR: allocations::Watching = allocations::Watching;

/// The files of a folder, by name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| (entry.path().display().to_string(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// A single test, because the memory of the process is measured.
#[test]
fn what_the_fuzzer_found_is_survived_within_bounds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let table: Vec<Vec<&str>> = include_str!("../fuzz/targets.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(table.iter().map(|row| row[0]).collect::<Vec<_>>(), TARGETS.map(|(name, _)| name));
    for (row, (name, call)) in table.iter().zip(TARGETS) {
        let limit = row[2].parse::<usize>().unwrap() << 20;
        let corpus = files(&root.join("corpus").join(name));
        assert!(!corpus.is_empty(), "no corpus for {name}");
        let size: usize = corpus.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(size <= 96 << 10, "{name}: the corpus is to be minimised, it has {size} bytes");
        call(b""); // what is made once
        for (file, bytes) in corpus.into_iter().chain(files(&root.join("crashes").join(name))) {
            let ((), grown) = peak_growth(|| call(&bytes));
            assert!(grown <= limit, "{file}: {grown} bytes of memory, {limit} are allowed");
        }
    }
}
