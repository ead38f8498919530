//! Sets in the formats of others.

use md5::Md5;
use sha2::Digest;

use super::*;
use crate::{
    data::remote::{Keep, RemoteSet, SETS, Source, Sum},
    digest::{hex, sha256_hex},
};

fn tar_gz(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *bytes).unwrap();
    }
    gzip(&archive.into_inner().unwrap())
}

fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn md5(bytes: &[u8]) -> Sum {
    Sum::Md5(leak(hex(&Md5::digest(bytes))))
}

/// A set of one file, `name`, at the server.
fn set(server: &Server, name: &'static str, sum: Sum, keep: Keep) -> RemoteSet {
    let urls = vec![leak(format!("{}/{name}", server.base))].leak();
    RemoteSet {
        name: "toy",
        shape: Shape::new(1, 1, 1),
        classes: 1,
        train: 1,
        test: 1,
        licence: "",
        class_names: &[],
        sources: vec![Source { name, urls, sum, most: 100_000, keep }].leak(),
    }
}

fn fetch(set: &RemoteSet, into: &Path) -> (Result<PathBuf>, Vec<String>) {
    let fetcher = Fetcher::with(insecure(), Duration::ZERO, PATIENCE);
    let mut events = Vec::new();
    let result = crate::data::fetch_remote::fetch(&fetcher, set, into, &mut |event| {
        if !matches!(event, Progress::Advanced { .. }) {
            events.push(format!("{event:?}"));
        }
    });
    (result, events)
}

fn failing(set: &RemoteSet, into: &Path) -> String {
    fetch(set, into).0.unwrap_err().to_string()
}

/// A server whose files are all `bytes`.
fn serving(bytes: Vec<u8>) -> Server {
    Server::start(move |_, range, _| Reply::file(&bytes, range))
}

#[test]
fn members_of_archives_are_kept_and_pinned() {
    let members: [(&str, &[u8]); 4] = [
        ("cifar/train.bin", b"training"),
        ("cifar/readme.html", b"not wanted"),
        ("../../cifar/test.bin", b"test"),
        ("cifar/", b""),
    ];
    const WANTED: &[&str] = &["train.bin", "test.bin"];
    // tar refuses to write `..`, which a hostile archive may have.
    let tar = tar_gz(&[members[0], members[1], ("deep/er/test.bin", b"test")]);
    for (name, bytes, keep) in
        [("set.tar.gz", tar, Keep::Tar(WANTED)), ("set.zip", zipped(&members), Keep::Zip(WANTED))]
    {
        let sum = Sum::Sha256(leak(sha256_hex([&bytes[..]])));
        let server = serving(bytes);
        let set = set(&server, name, sum, keep);
        let into = tempfile::tempdir().unwrap();
        let (folder, events) = fetch(&set, into.path());
        let folder = folder.unwrap();
        assert!(set.is_in(&folder) && events.len() == 2, "{events:?}");
        assert_eq!(fs::read(folder.join("train.bin")).unwrap(), b"training");
        assert_eq!(fs::read(folder.join("test.bin")).unwrap(), b"test");
        // Two files and their sums, and nothing outside.
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3, "{name}");
        assert_eq!(fs::read_dir(into.path()).unwrap().count(), 1);
        let (again, events) = fetch(&set, into.path());
        again.unwrap();
        assert!(events.iter().all(|event| event.starts_with("Present")), "{events:?}");
        assert_eq!(server.requests().len(), 1);

        fs::write(folder.join("test.bin"), "changed").unwrap();
        let error = failing(&set, into.path());
        assert!(error.contains("not the file of the first download"), "{error}");
        fs::remove_file(folder.join("test.bin")).unwrap();
        fetch(&set, into.path()).0.unwrap();
        assert_eq!(fs::read(folder.join("test.bin")).unwrap(), b"test");
    }
}

#[test]
fn files_have_their_published_sum() {
    let bytes = content(9);
    let server = serving(bytes.clone());
    let good = set(&server, "set.npz", md5(&bytes), Keep::File);
    let into = tempfile::tempdir().unwrap();
    let folder = fetch(&good, into.path()).0.unwrap();
    assert_eq!(fs::read(folder.join("set.npz")).unwrap(), bytes);
    let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    assert_eq!(sums, format!("{}  set.npz\n", sha256_hex([&bytes[..]])));

    // A file that stood there before is known by the published sum.
    fs::remove_file(folder.join("SHA256SUMS")).unwrap();
    let (again, events) = fetch(&good, into.path());
    again.unwrap();
    assert!(events[0].starts_with("Present"), "{events:?}");
    fs::remove_file(folder.join("SHA256SUMS")).unwrap();
    fs::write(folder.join("set.npz"), "own").unwrap();
    let error = failing(&good, into.path());
    assert!(error.contains("not the published file") && error.contains("move it away"), "{error}");

    let into = tempfile::tempdir().unwrap();
    let bad = set(&server, "set.npz", md5(b"other"), Keep::File);
    let error = failing(&bad, into.path());
    assert!(
        error.contains("MD5") && error.contains("could not download set.npz of toy"),
        "{error}"
    );
    assert_eq!(fs::read_dir(into.path().join("toy")).unwrap().count(), 0);
}

/// Half of a file is continued, and checked as a whole.
#[test]
fn a_broken_download_goes_on() {
    let bytes = content(3);
    let sent = bytes.clone();
    let server = Server::start(move |_, range, before| Reply {
        cut: (before == 0).then_some(15_000),
        ..Reply::file(&sent, range)
    });
    let into = tempfile::tempdir().unwrap();
    let set = set(&server, "set.npz", md5(&bytes), Keep::File);
    let (folder, events) = fetch(&set, into.path());
    assert_eq!(fs::read(folder.unwrap().join("set.npz")).unwrap(), bytes);
    assert!(events.iter().any(|event| event.contains("resumed_at: 15000")), "{events:?}");
}

#[test]
fn archives_that_lack_or_exceed_are_refused() {
    let large = vec![7u8; 100_001];
    for (bytes, said) in [
        (tar_gz(&[("a/train.bin", b"x")]), "has no member test.bin"),
        (tar_gz(&[("train.bin", &large), ("test.bin", b"x")]), "has more than 100000 bytes"),
        (gzip(b"no archive at all, and longer than a header of tar"), "damaged"),
    ] {
        let sum = md5(&bytes);
        let server = serving(bytes);
        let into = tempfile::tempdir().unwrap();
        let error = failing(
            &set(&server, "s.tar.gz", sum, Keep::Tar(&["train.bin", "test.bin"])),
            into.path(),
        );
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn the_list_is_sound() {
    for set in SETS {
        assert!(set.class_names.is_empty() || set.class_names.len() == set.classes as usize);
        for source in set.sources {
            assert!(source.urls.iter().all(|url| url.starts_with("https://")), "{}", set.name);
            let (Sum::Md5(sum) | Sum::Sha256(sum)) = source.sum;
            let length = if matches!(source.sum, Sum::Md5(_)) { 32 } else { 64 };
            assert!(sum.len() == length && sum.bytes().all(|b| b.is_ascii_hexdigit()));
        }
        assert_eq!(SETS.iter().filter(|other| other.name == set.name).count(), 1);
    }
}
