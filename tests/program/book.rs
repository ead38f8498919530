//! The book: its commands run, with sizes cut down, and its links lead somewhere.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::support::{SMALL_NETWORK, saliq};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The blocks of `page` that begin with ```` ```LANGUAGE ````.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let (mut found, mut current): (Vec<String>, Option<String>) = (Vec::new(), None);
    for line in page.lines() {
        match &mut current {
            None if line.trim() == format!("```{language}") => current = Some(String::new()),
            Some(_) if line.trim() == "```" => found.extend(current.take()),
            Some(block) => {
                block.push_str(line);
                block.push('\n');
            }
            None => {}
        }
    }
    found
}

/// The commands of a block, continued lines joined.
fn commands(block: &str) -> Vec<String> {
    let joined = block.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(String::from).collect()
}

/// What limits the sizes of a command. A network that is quick to compile is trained unless one is
/// named or an existing run is continued.
fn cut_down(words: &[String]) -> Vec<String> {
    let has = |flag: &str| words.iter().any(|word| word == flag);
    let mut cut = words.to_vec();
    let mut set = |flag: &str, value: &str| match cut.iter().position(|word| word == flag) {
        Some(place) => cut[place + 1] = value.into(),
        None => cut.extend([flag.to_string(), value.to_string()]),
    };
    let small: &[(&str, &str)] = match words[0].as_str() {
        "train" => &[("--train-limit", "64"), ("--test-limit", "20"), ("--batch-size", "32")],
        "reproduce" => &[
            ("--config", "small.toml"),
            ("--dataset", "mnist-mini"),
            ("--bits", "2,2"),
            ("--sgt", "true"),
            ("--train-limit", "64"),
            ("--test-limit", "20"),
        ],
        "explain" | "compare" | "drop" if !has("--indices") => &[("--count", "4")],
        _ => &[],
    };
    for (flag, value) in small {
        set(flag, value);
    }
    if words[0] == "train" && !has("--config") && !has("--resume") && !has("--network") {
        set("--network", "small.toml");
    }
    if words[0] == "train" && has("--epochs") && !has("--resume") {
        set("--epochs", "1");
    }
    if words[0] == "export" && has("--verify") {
        set("--verify", "2");
    }
    cut
}

/// Runs a command of a page in `folder`.
fn run(page: &str, folder: &Path, command: &str) {
    let (command, target) = match command.split_once(" > ") {
        Some((command, target)) => (command, Some(target.trim())),
        None => (command, None),
    };
    let words: Vec<String> = command.split_whitespace().map(String::from).collect();
    assert_eq!(words[0], "saliq", "{page}: a command of another program: {command}");
    let stdout = match target {
        Some(target) => Stdio::from(fs::File::create(folder.join(target)).unwrap()),
        None => Stdio::null(),
    };
    let words = cut_down(&words[1..]);
    let output = saliq()
        .args(&words)
        .current_dir(folder)
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{page}: saliq {}: {said}", words.join(" "));
}

/// Runs all commands of a page, in order, in one folder.
fn run_page(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small.toml"), SMALL_NETWORK).unwrap();
    if name == "from-pytorch.md" {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/from_pytorch");
        for file in ["resnet.onnx", "lenet5.safetensors", "mobilenet.onnx"] {
            fs::copy(models.join(file), folder.path().join(file)).unwrap();
        }
    }
    let page = read(&docs().join(name));
    for block in blocks(&page, "toml").iter().filter(|block| block.starts_with("# grid.toml")) {
        let cut = block.replace("500", "64").replace("[sweep]", "test-limit = 20\n[sweep]");
        fs::write(folder.path().join("grid.toml"), cut + SMALL_NETWORK).unwrap();
    }
    let mut count = 0;
    for command in blocks(&page, "sh").iter().flat_map(|block| commands(block)) {
        run(name, folder.path(), &command);
        count += 1;
    }
    assert!(count > 0, "{name}: no commands");
}

macro_rules! pages {
    ($($name:ident: $page:literal,)+) => {
        $(#[test]
        fn $name() {
            run_page($page);
        })+

        const RUN: &[&str] = &[$($page,)+];
    };
}

pages! {
    install: "book/install.md",
    first_maps: "book/first-maps.md",
    train: "book/train.md",
    quantize: "book/quantize.md",
    explain: "book/explain.md",
    judge: "book/judge.md",
    reproduce: "book/reproduce.md",
    deploy: "book/deploy.md",
    from_pytorch: "from-pytorch.md",
    sweeps: "sweeps.md",
    logs: "logs.md",
    scripting: "scripting.md",
}

#[test]
fn every_page_of_the_book_with_commands_is_run() {
    for entry in fs::read_dir(docs().join("book")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "md") {
            continue;
        }
        let name = format!("book/{}", path.file_name().unwrap().to_string_lossy());
        assert!(
            RUN.contains(&name.as_str()) || blocks(&read(&path), "sh").is_empty(),
            "{name}: its commands are not run"
        );
    }
}

/// The targets of the links of a page, without those to other sites.
fn links(page: &str) -> Vec<String> {
    let mut outside = String::new();
    let mut in_block = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            outside.push_str(line);
            outside.push(' ');
        }
    }
    let targets = outside.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .map(|target| target.split_whitespace().collect())
        .collect()
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        text.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_lead_to_pages() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["", "docs", "docs/book", "docs/results", "python"];
    let mut count = 0;
    for folder in folders {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|ending| ending != "md") {
                continue;
            }
            let page = read(&path);
            for link in links(&page) {
                let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
                let target = match file {
                    "" => path.clone(),
                    file => path.parent().unwrap().join(file),
                };
                assert!(target.exists(), "{}: {link}", path.display());
                if !anchor.is_empty() && target.extension().is_some_and(|ending| ending == "md") {
                    let known = anchors(&read(&target));
                    assert!(known.iter().any(|own| own == anchor), "{}: {link}", path.display());
                }
                count += 1;
            }
        }
    }
    assert!(count > 50);
}

/// Every page is a chapter, and chapters link to chapters alone: others would be missing in the
/// HTML.
#[test]
fn links_of_chapters_stay_in_the_book() {
    let summary = read(&docs().join("SUMMARY.md"));
    let chapters: Vec<PathBuf> =
        links(&summary).iter().map(|link| docs().join(link).canonicalize().unwrap()).collect();
    // The first one is the index of the HTML too, which is in this folder.
    assert_eq!(chapters[0].parent(), docs().canonicalize().ok().as_deref());
    for folder in ["", "book", "results"] {
        for entry in fs::read_dir(docs().join(folder)).unwrap() {
            let page = entry.unwrap().path().canonicalize().unwrap();
            let is_page = page.extension().is_some_and(|ending| ending == "md");
            let is_chapter = chapters.contains(&page) || page.ends_with("SUMMARY.md");
            assert!(is_chapter || !is_page, "{}: is no chapter", page.display());
        }
    }
    for chapter in &chapters {
        for link in links(&read(chapter)) {
            let file = link.split('#').next().unwrap_or_default();
            if !file.ends_with(".md") {
                continue;
            }
            let target = chapter.parent().unwrap().join(file).canonicalize().unwrap();
            assert!(chapters.contains(&target), "{}: {link}", chapter.display());
        }
    }
}
