//! Searches of bits that stand in a study's folder: what `saliq search STUDY/runs/FLOAT --out
//! STUDY/search/NAME` wrote becomes a section of the report.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    report::{Block, Section, Table, fixed, thousands},
    search::Rule,
};

/// The folder of searches in a study's folder.
const FOLDER: &str = "search";
const RESULT_FILE: &str = "search.json";
/// Largest file that is read, and most searches that are shown.
const MOST_BYTES: u64 = 16 << 20;
const MOST_SEARCHES: usize = 32;

/// What of a `search.json` is shown.
#[derive(Deserialize)]
struct Search {
    dataset: String,
    budget: Budget,
    frontier: Vec<Found>,
    answer: Vec<String>,
}

#[derive(Deserialize)]
struct Budget {
    unit: String,
    limit: u64,
}

#[derive(Deserialize)]
struct Found {
    rule: String,
    unit: String,
    limit: u64,
    bits: Vec<String>,
    accuracy: f64,
    alignment: f64,
    bit_ops: u64,
    bytes: u64,
}

/// The section, if the study in `root` has searches. Files that are no results are left out.
pub(super) fn section(root: &Path) -> Option<Section> {
    let mut folders: Vec<PathBuf> =
        fs::read_dir(root.join(FOLDER)).ok()?.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let mut blocks = Vec::new();
    for folder in folders.into_iter().take(MOST_SEARCHES) {
        let Some(search) = read(&folder.join(RESULT_FILE)) else { continue };
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        blocks.push(Block::Heading(format!("{}: {}", search.dataset, name.unwrap_or_default())));
        blocks.extend(search.answer.iter().cloned().map(Block::Paragraph));
        blocks.push(Block::Table(table(&search)));
    }
    let title = "Can bits be chosen so that quantization does not spoil the maps?".into();
    (!blocks.is_empty()).then_some(Section { title, blocks })
}

fn read(file: &Path) -> Option<Search> {
    let mut text = String::new();
    let opened = fs::File::open(file).ok()?;
    opened.take(MOST_BYTES).read_to_string(&mut text).ok()?;
    let parsed = serde_json::from_str(&text);
    parsed.inspect_err(|error| log::warn!("{}: not shown: {error}", file.display())).ok()
}

fn table(search: &Search) -> Table {
    let at_budget = |found: &&Found| {
        (&found.unit, found.limit) == (&search.budget.unit, search.budget.limit)
            && found.rule != Rule::Random.name()
    };
    let row = |found: &Found| {
        [
            found.rule.clone(),
            found.bits.join(","),
            format!("{:.2}", 100.0 * found.accuracy),
            fixed(found.alignment, 3),
            thousands(found.bit_ops),
            thousands(found.bytes),
        ]
    };
    let rows: Vec<_> = search.frontier.iter().filter(at_budget).map(row).collect();
    Table::new(["bits by", "bits", "accuracy %", "rank correlation", "BitOPs", "bytes"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_of_a_study_become_a_section() {
        let root = tempfile::tempdir().unwrap();
        assert!(section(root.path()).is_none());
        let write = |name: &str, text: &str| {
            let folder = root.path().join(FOLDER).join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(RESULT_FILE), text).unwrap();
        };
        write("broken", "{");
        assert!(section(root.path()).is_none());
        let found = |rule: &str, limit: u64| {
            format!(
                "{{\"rule\":\"{rule}\",\"unit\":\"bytes\",\"limit\":{limit},\"bits\":[\"4\",\
                 \"w2a32\"],\"accuracy\":0.5,\"alignment\":0.25,\"bit_ops\":7,\"bytes\":9}}"
            )
        };
        let points = [found("search", 9), found("random", 9), found("search", 8)].join(",");
        write(
            "own",
            &format!(
                "{{\"dataset\":\"digits\",\"budget\":{{\"unit\":\"bytes\",\"limit\":9}},\
                 \"frontier\":[{points}],\"answer\":[\"Yes.\"]}}"
            ),
        );
        let made = section(root.path()).unwrap();
        assert!(matches!(&made.blocks[0], Block::Heading(name) if name == "digits: own"));
        assert!(matches!(&made.blocks[1], Block::Paragraph(said) if said == "Yes."));
        let Block::Table(table) = &made.blocks[2] else { panic!("no table") };
        assert_eq!(table.rows, [["search", "4,w2a32", "50.00", "0.250", "7", "9"]]);
    }
}
