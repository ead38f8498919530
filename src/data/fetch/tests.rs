//! Downloads from a small server on this machine that misbehaves on request.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use flate2::{Compression, write::GzEncoder};

use super::*;
use crate::config::Shape;

/// What the server answers.
#[derive(Clone)]
struct Reply {
    status: u16,
    headers: Vec<String>,
    body: Vec<u8>,
    /// Close the connection after this many bytes of the body.
    cut: Option<usize>,
}

impl Reply {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Reply { status, headers: Vec::new(), body: body.into(), cut: None }
    }

    /// The file, from `range` on if there is one, as a well-behaved server does.
    fn file(content: &[u8], range: Option<u64>) -> Self {
        let Some(first) = range else { return Reply::new(200, content) };
        let total = content.len();
        match content.get(first as usize..).filter(|rest| !rest.is_empty()) {
            Some(rest) => {
                Reply { headers: vec![format!("Content-Range: bytes {first}-{}/{total}", total - 1)], ..Reply::new(206, rest) }
            }
            None => Reply { headers: vec![format!("Content-Range: bytes */{total}")], ..Reply::new(416, []) },
        }
    }
}

/// Serves until dropped; `log` holds each request as `PATH FIRST-BYTE`.
struct Server {
    base: String,
    address: std::net::SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// `answer` gets the path, the first byte asked for, and how many requests came before.
    fn start(answer: impl Fn(&str, Option<u64>, usize) -> Reply + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let seen = log.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (path, range) = read_request(stream.as_ref().unwrap());
                if path == "/stop" {
                    break;
                }
                let before = seen.lock().unwrap().len();
                seen.lock().unwrap().push(format!("{path} {}", range.unwrap_or(0)));
                send(&mut stream.unwrap(), &answer(&path, range, before));
            }
        });
        Server { base: format!("http://{address}"), address, log, thread: Some(thread) }
    }

    fn requests(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = TcpStream::connect(self.address).and_then(|mut stream| stream.write_all(b"GET /stop HTTP/1.1\r\n\r\n"));
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the server thread panicked");
    }
}

fn read_request(stream: &TcpStream) -> (String, Option<u64>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default().to_string();
    let mut range = None;
    for line in lines.take_while(|line| !line.is_empty()) {
        let line = line.to_lowercase();
        if let Some(value) = line.strip_prefix("range: bytes=") {
            range = value.trim_end_matches('-').parse().ok();
        }
    }
    (path, range)
}

fn send(stream: &mut TcpStream, reply: &Reply) {
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", reply.status);
    if !reply.headers.iter().any(|header| header.starts_with("Transfer-Encoding")) {
        head += &format!("Content-Length: {}\r\n", reply.body.len());
    }
    for header in &reply.headers {
        head += &format!("{header}\r\n");
    }
    // The client may have hung up on purpose.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(b"\r\n"));
    let _ = stream.write_all(&reply.body[..reply.cut.unwrap_or(reply.body.len())]);
}

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

const NAMES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// A set of four files with the contents 0 to 3, from these mirrors.
fn entry(mirrors: &[&str]) -> Entry {
    let file = |index: usize| PinnedFile {
        name: NAMES[index],
        sha256: leak(catalog::sha256_hex([&content(index as u32)[..]])),
        bytes: 40_000,
    };
    Entry {
        name: "toy",
        shape: Shape::new(1, 1, 1),
        class_names: &[],
        train: 1,
        test: 1,
        normalization: (0.0, 1.0),
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
    let insecure = Agent::config_builder().https_only(false).proxy(None).build();
    let mut events = Vec::new();
    let mut progress = |event: Progress<'_>| {
        if !matches!(event, Progress::Advanced { .. }) {
            events.push(format!("{event:?}"));
        }
    };
    let result = Fetcher::with(insecure, Duration::ZERO).fetch(entry, into, &mut progress);
    (result, events)
}

/// Fetches only the first file: the others are there.
fn fetch_first(entry: &Entry, into: &Path, part: Option<&[u8]>) -> Result<PathBuf> {
    let folder = into.join("toy");
    fs::create_dir_all(&folder).unwrap();
    for (index, name) in NAMES.iter().enumerate().skip(1) {
        fs::write(folder.join(name), content(index as u32)).unwrap();
    }
    if let Some(part) = part {
        fs::write(folder.join(format!("{}.gz.part", NAMES[0])), part).unwrap();
    }
    fetch_from(entry, into).0
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
        assert_eq!(fs::read(into.path().join("toy").join(format!("{name}.gz"))).unwrap(), gzip(&content(index as u32)));
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
    let server =
        Server::start(|path, range, before| Reply { cut: (before == 0).then_some(15_000), ..Reply::file(&file_at(path), range) });
    let into = tempfile::tempdir().unwrap();
    fetch_first(&entry(&[&server.base]), into.path(), None).unwrap();
    assert!(first_is_complete(into.path()));
    assert_eq!(server.requests(), [format!("/{}.gz 0", NAMES[0]), format!("/{}.gz 15000", NAMES[0])]);
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
        ..if before == 0 { Reply::new(206, vec![1; 100]) } else { Reply::file(&file_at(path), range) }
    });
    let into = tempfile::tempdir().unwrap();
    fetch_first(&entry(&[&server.base]), into.path(), Some(&gzip(&content(0))[..30_000])).unwrap();
    assert!(first_is_complete(into.path()));
    assert_eq!(server.requests(), [format!("/{}.gz 30000", NAMES[0]), format!("/{}.gz 0", NAMES[0])]);
}

/// Answers `bad` below `/bad/` and the file elsewhere; the fetch must end with the latter after `tries` of the former.
fn next_mirror_after(bad: Reply, tries: usize) {
    let server = Server::start(
        move |path, range, _| {
            if path.starts_with("/bad/") { bad.clone() } else { Reply::file(&file_at(path), range) }
        },
    );
    let into = tempfile::tempdir().unwrap();
    let mirrors = [format!("{}/bad", server.base), format!("{}/good", server.base)];
    fetch_first(&entry(&[&mirrors[0], &mirrors[1]]), into.path(), None).unwrap();
    assert!(first_is_complete(into.path()));
    let (bad, good): (Vec<_>, Vec<_>) = server.requests().into_iter().partition(|request| request.starts_with("/bad/"));
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
    next_mirror_after(Reply { headers: vec!["Transfer-Encoding: chunked".into()], ..Reply::new(200, chunked) }, 1);
}

#[test]
fn redirects_in_a_circle_lead_to_the_next_mirror() {
    // One request and five redirects.
    next_mirror_after(Reply { headers: vec!["Location: /bad/again".into()], ..Reply::new(302, "") }, 6);
}

#[test]
fn when_every_mirror_fails_the_error_says_why() {
    let server = Server::start(|_, _, _| Reply::new(404, ""));
    let into = tempfile::tempdir().unwrap();
    let mirrors = [format!("{}/a", server.base), format!("{}/b", server.base)];
    let error = fetch_from(&entry(&[&mirrors[0], &mirrors[1]]), into.path()).0.unwrap_err();
    assert!(matches!(error, Error::Download(_)));
    let text = error.to_string();
    assert!(text.contains(&format!("{}/train-images-idx3-ubyte.gz: answered with status 404", mirrors[0])), "{text}");
    assert!(text.contains(&mirrors[1]) && !text.contains('\n'), "{text}");
    assert_eq!(fs::read_dir(into.path().join("toy")).unwrap().count(), 0, "an empty part is of no use");
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
    let error = Fetcher::new().fetch(&entry(&[&server.base]), into.path(), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("is not HTTPS"), "{error}");
    assert!(server.requests().is_empty());
    let mirrors = catalog::CATALOG.iter().flat_map(|entry| entry.mirrors);
    assert!(mirrors.clone().all(|mirror| mirror.starts_with("https://") && mirror.ends_with('/')));
    assert_eq!(mirrors.count(), 4);
}

#[test]
fn unknown_and_embedded_names_are_usage_errors() {
    let into = tempfile::tempdir().unwrap();
    for (name, part) in [("fasion-mnist", "did you mean fashion-mnist?"), ("mnist-mini", "built in"), ("zzz", "known: mnist,")] {
        let error = fetch(name, into.path(), &mut |_| {}).unwrap_err();
        assert!(matches!(&error, Error::Usage(text) if text.contains(part)), "{error}");
    }
}
