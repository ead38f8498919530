//! Downloads from a small server on this machine that misbehaves on request.

mod hostile;
mod remote;
mod server;

use std::io::Write;

use flate2::{Compression, write::GzEncoder};

use self::server::{Reply, Server};
use super::*;
use crate::config::{PixelNormalization, Shape};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// 40,000 bytes that do not compress, different for each `seed`.
fn content(seed: u32) -> Vec<u8> {
    let step = |x: &mut u32| {
        *x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((*x >> 24) as u8)
    };
    std::iter::repeat_n((), 40_000).scan(seed, |x, ()| step(x)).collect()
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

const NAMES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// A set of four files with the contents 0 to 3, from these mirrors.
fn entry(mirrors: &[&str]) -> Entry {
    let file = |index: usize| PinnedFile {
        name: NAMES[index],
        sha256: leak(crate::digest::sha256_hex([&content(index as u32)[..]])),
        bytes: 40_000,
    };
    Entry {
        name: "toy",
        shape: Shape::new(1, 1, 1),
        class_names: &[],
        train: 1,
        test: 1,
        normalization: PixelNormalization::uniform(0.0, 1.0),
        licence: "",
        torchvision: None,
        mirrors: mirrors.iter().map(|mirror| leak(format!("{mirror}/"))).collect::<Vec<_>>().leak(),
        files: [file(0), file(1), file(2), file(3)],
        embedded: None,
    }
}

/// The gzip file that belongs to a path of the server.
fn file_at(path: &str) -> Vec<u8> {
    let index = NAMES.iter().position(|name| path.ends_with(&format!("/{name}.gz"))).unwrap();
    gzip(&content(index as u32))
}

/// Fetches over plain HTTP (this machine only) without pauses; what happened, in words.
fn fetch_from(entry: &Entry, into: &Path) -> (Result<PathBuf>, Vec<String>) {
    fetch_with(Fetcher::with(insecure(), Duration::ZERO, PATIENCE), entry, into)
}

fn insecure() -> Config {
    Agent::config_builder().https_only(false).proxy(None).build()
}

fn fetch_with(fetcher: Fetcher, entry: &Entry, into: &Path) -> (Result<PathBuf>, Vec<String>) {
    let mut events = Vec::new();
    let mut progress = |event: Progress<'_>| {
        if !matches!(event, Progress::Advanced { .. }) {
            events.push(format!("{event:?}"));
        }
    };
    let result = fetcher.fetch(entry, into, &mut progress);
    (result, events)
}

/// Fetches only the first file: the others are there.
fn fetch_first(entry: &Entry, into: &Path, part: Option<&[u8]>) -> Result<PathBuf> {
    prepare_first(into, part);
    fetch_from(entry, into).0
}

/// All files but the first, of which there is `part`.
fn prepare_first(into: &Path, part: Option<&[u8]>) {
    let folder = into.join("toy");
    fs::create_dir_all(&folder).unwrap();
    for (index, name) in NAMES.iter().enumerate().skip(1) {
        fs::write(folder.join(name), content(index as u32)).unwrap();
    }
    if let Some(part) = part {
        fs::write(folder.join(format!("{}.gz.part", NAMES[0])), part).unwrap();
    }
}

fn first_is_complete(into: &Path) -> bool {
    fs::read(into.join("toy").join(format!("{}.gz", NAMES[0]))).unwrap() == gzip(&content(0))
        && !into.join("toy").join(format!("{}.gz.part", NAMES[0])).exists()
}

#[test]
fn all_files_arrive_and_are_not_fetched_again() {
    let server = Server::start(|path, range, _| Reply::file(&file_at(path), range));
    let into = tempfile::tempdir().unwrap();
    let entry = entry(&[&server.base]);
    let (folder, events) = fetch_from(&entry, into.path());
    assert_eq!(folder.unwrap(), into.path().join("toy"));
    assert_eq!(events.iter().filter(|event| event.starts_with("Finished")).count(), 4);
    for (index, name) in NAMES.iter().enumerate() {
        assert_eq!(
            fs::read(into.path().join("toy").join(format!("{name}.gz"))).unwrap(),
            gzip(&content(index as u32))
        );
    }
    assert_eq!(fs::read_dir(into.path().join("toy")).unwrap().count(), 4);
    assert_eq!(server.requests().len(), 4);

    let (again, events) = fetch_from(&entry, into.path());
    again.unwrap();
    assert_eq!(events.iter().filter(|event| event.starts_with("Present")).count(), 4);
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn a_download_that_breaks_off_is_resumed() {
    let server = Server::start(|path, range, before| Reply {
        cut: (before == 0).then_some(15_000),
        ..Reply::file(&file_at(path), range)
    });
    let into = tempfile::tempdir().unwrap();
    fetch_first(&entry(&[&server.base]), into.path(), None).unwrap();
    assert!(first_is_complete(into.path()));
    assert_eq!(
        server.requests(),
        [format!("/{}.gz 0", NAMES[0]), format!("/{}.gz 15000", NAMES[0])]
    );
}

#[test]
fn what_an_earlier_process_left_is_resumed() {
    let server = Server::start(|path, range, _| Reply::file(&file_at(path), range));
    let into = tempfile::tempdir().unwrap();
    fetch_first(&entry(&[&server.base]), into.path(), Some(&gzip(&content(0))[..30_000])).unwrap();
    assert!(first_is_complete(into.path()));
    assert_eq!(server.requests(), [format!("/{}.gz 30000", NAMES[0])]);
}

#[test]
fn a_whole_part_needs_no_request() {
    let server = Server::start(|path, range, _| Reply::file(&file_at(path), range));
    let into = tempfile::tempdir().unwrap();
    fetch_first(&entry(&[&server.base]), into.path(), Some(&gzip(&content(0)))).unwrap();
    assert!(first_is_complete(into.path()));
    assert!(server.requests().is_empty());
}

#[test]
fn a_part_of_something_else_is_thrown_away() {
    // In the place of a beginning, longer than the file (status 416), and beyond the size limit.
    for part in [vec![7; 1000], vec![7; 60_000], vec![7; 200_000]] {
        let server = Server::start(|path, range, _| Reply::file(&file_at(path), range));
        let into = tempfile::tempdir().unwrap();
        fetch_first(&entry(&[&server.base]), into.path(), Some(&part)).unwrap();
        assert!(first_is_complete(into.path()));
        assert_eq!(server.requests().last().unwrap(), &format!("/{}.gz 0", NAMES[0]));
    }
}

#[test]
fn a_server_without_ranges_starts_over() {
    let server = Server::start(|path, _, _| Reply::file(&file_at(path), None));
    let into = tempfile::tempdir().unwrap();
    fetch_first(&entry(&[&server.base]), into.path(), Some(&gzip(&content(0))[..30_000])).unwrap();
    assert!(first_is_complete(into.path()));
}

#[test]
fn a_range_other_than_asked_for_is_not_appended() {
    let server = Server::start(|path, range, before| Reply {
        headers: vec!["Content-Range: bytes 5-40000/40001".into()],
        ..if before == 0 {
            Reply::new(206, vec![1; 100])
        } else {
            Reply::file(&file_at(path), range)
        }
    });
    let into = tempfile::tempdir().unwrap();
    fetch_first(&entry(&[&server.base]), into.path(), Some(&gzip(&content(0))[..30_000])).unwrap();
    assert!(first_is_complete(into.path()));
    assert_eq!(
        server.requests(),
        [format!("/{}.gz 30000", NAMES[0]), format!("/{}.gz 0", NAMES[0])]
    );
}

/// Answers `bad` below `/bad/` and the file elsewhere; the fetch must end with the latter after
/// `tries` of the former.
fn next_mirror_after(bad: Reply, tries: usize) {
    let server = Server::start(move |path, range, _| {
        if path.starts_with("/bad/") { bad.clone() } else { Reply::file(&file_at(path), range) }
    });
    let into = tempfile::tempdir().unwrap();
    let mirrors = [format!("{}/bad", server.base), format!("{}/good", server.base)];
    fetch_first(&entry(&[&mirrors[0], &mirrors[1]]), into.path(), None).unwrap();
    assert!(first_is_complete(into.path()));
    let (bad, good): (Vec<_>, Vec<_>) =
        server.requests().into_iter().partition(|request| request.starts_with("/bad/"));
    assert_eq!((bad.len(), good.len()), (tries, 1), "{bad:?} {good:?}");
}

#[test]
fn wrong_content_leads_to_the_next_mirror() {
    next_mirror_after(Reply::new(200, gzip(&content(9))), 1);
    next_mirror_after(Reply::new(200, "<html>Please log in</html>"), 1);
    next_mirror_after(Reply::new(200, &gzip(&content(0))[..20_000]), 1);
}

#[test]
fn a_gzip_bomb_leads_to_the_next_mirror() {
    let bomb = gzip(&vec![0; 10_000_000]);
    assert!(bomb.len() < 100_000, "must pass the limit on the download: {}", bomb.len());
    next_mirror_after(Reply::new(200, bomb), 1);
}

#[test]
fn error_statuses_lead_to_the_next_mirror() {
    next_mirror_after(Reply::new(404, "not here"), 1);
    next_mirror_after(Reply::new(503, "later"), ATTEMPTS as usize);
}

#[test]
fn too_large_a_file_leads_to_the_next_mirror() {
    next_mirror_after(Reply::new(200, vec![0; 200_000]), 1);
    // Without a length, the limit is met on the way.
    let chunk = 200_000;
    let mut chunked = format!("{chunk:x}\r\n").into_bytes();
    chunked.extend(vec![0; chunk]);
    chunked.extend(b"\r\n0\r\n\r\n");
    next_mirror_after(
        Reply { headers: vec!["Transfer-Encoding: chunked".into()], ..Reply::new(200, chunked) },
        1,
    );
}

#[test]
fn redirects_in_a_circle_lead_to_the_next_mirror() {
    // One request and five redirects.
    next_mirror_after(
        Reply { headers: vec!["Location: /bad/again".into()], ..Reply::new(302, "") },
        6,
    );
}

#[test]
fn when_every_mirror_fails_the_error_says_why() {
    let server = Server::start(|_, _, _| Reply::new(404, ""));
    let into = tempfile::tempdir().unwrap();
    let mirrors = [format!("{}/a", server.base), format!("{}/b", server.base)];
    let error = fetch_from(&entry(&[&mirrors[0], &mirrors[1]]), into.path()).0.unwrap_err();
    assert!(matches!(error, Error::Download(_)));
    let text = error.to_string();
    assert!(
        text.contains(&format!(
            "{}/train-images-idx3-ubyte.gz: answered with status 404",
            mirrors[0]
        )),
        "{text}"
    );
    assert!(text.contains(&mirrors[1]) && !text.contains('\n'), "{text}");
    assert_eq!(
        fs::read_dir(into.path().join("toy")).unwrap().count(),
        0,
        "an empty part is of no use"
    );
}

#[test]
fn a_different_file_in_its_place_is_left_alone() {
    let server = Server::start(|path, range, _| Reply::file(&file_at(path), range));
    let into = tempfile::tempdir().unwrap();
    let own = into.path().join("toy").join(NAMES[0]);
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    fs::write(&own, "my own").unwrap();
    let error = fetch_from(&entry(&[&server.base]), into.path()).0.unwrap_err();
    assert!(error.to_string().contains("move it away"), "{error}");
    assert_eq!(fs::read(&own).unwrap(), b"my own");
    assert!(server.requests().is_empty());
}

#[test]
fn two_downloads_of_one_file_do_not_mix() {
    let server = Server::start(|path, range, _| Reply::file(&file_at(path), range));
    let into = tempfile::tempdir().unwrap();
    let folder = into.path().join("toy");
    fs::create_dir_all(&folder).unwrap();
    let _other = open_part(&folder.join(format!("{}.gz.part", NAMES[0]))).unwrap();
    let error = fetch_from(&entry(&[&server.base]), into.path()).0.unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    assert!(server.requests().is_empty());
}

#[test]
fn plain_http_is_refused_before_connecting() {
    let server = Server::start(|path, range, _| Reply::file(&file_at(path), range));
    let into = tempfile::tempdir().unwrap();
    let error =
        Fetcher::new().fetch(&entry(&[&server.base]), into.path(), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("is not HTTPS"), "{error}");
    assert!(server.requests().is_empty());
    let mirrors = catalog::CATALOG.iter().flat_map(|entry| entry.mirrors);
    assert!(mirrors.clone().all(|mirror| mirror.starts_with("https://") && mirror.ends_with('/')));
    assert_eq!(mirrors.count(), 4);
}

#[test]
fn unknown_and_embedded_names_are_usage_errors() {
    let into = tempfile::tempdir().unwrap();
    for (name, part) in [
        ("fasion-mnist", "did you mean fashion-mnist?"),
        ("mnist-mini", "built in"),
        ("zzz", "known: mnist,"),
    ] {
        let error = fetch(name, into.path(), &mut |_| {}).unwrap_err();
        assert!(matches!(&error, Error::Usage(text) if text.contains(part)), "{error}");
    }
}
