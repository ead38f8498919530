//! A small server on this machine, plain or with TLS, that misbehaves on request.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};

/// A certificate for `localhost` and 127.0.0.1, for these tests alone: nobody trusts it, and
/// everybody has its key.
pub const CERTIFICATE: &[u8] = include_bytes!("localhost.der");
const KEY: &[u8] = include_bytes!("localhost-key.der");

/// What the server answers.
#[derive(Clone, Default)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Header lines beside `Connection` and, unless one of them says how the body ends,
    /// `Content-Length`.
    pub headers: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
    /// Close the connection after this many bytes of the body.
    pub cut: Option<usize>,
    /// Then say nothing more, until the client hangs up.
    pub stall: bool,
    /// Pause before each byte of the body.
    pub drip: Option<Duration>,
    /// Sent in place of everything above.
    pub raw: Option<Vec<u8>>,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Reply { status, body: body.into(), ..Reply::default() }
    }

    /// The file, from `range` on if there is one, as a well-behaved server does.
    pub fn file(content: &[u8], range: Option<u64>) -> Self {
        let Some(first) = range else { return Reply::new(200, content) };
        let total = content.len();
        match content.get(first as usize..).filter(|rest| !rest.is_empty()) {
            Some(rest) => Reply {
                headers: vec![format!("Content-Range: bytes {first}-{}/{total}", total - 1)],
                ..Reply::new(206, rest)
            },
            None => Reply {
                headers: vec![format!("Content-Range: bytes */{total}")],
                ..Reply::new(416, [])
            },
        }
    }
}

/// Serves until dropped; `log` holds each request as `PATH FIRST-BYTE`.
pub struct Server {
    /// Where it is, such as `http://127.0.0.1:1234`.
    pub base: String,
    stop: Arc<std::sync::atomic::AtomicBool>,
    address: std::net::SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// `answer` gets the path, the first byte asked for, and how many requests came before.
    pub fn start(answer: impl Fn(&str, Option<u64>, usize) -> Reply + Send + 'static) -> Server {
        Server::with(None, answer)
    }

    /// As [`Self::start`], over TLS with [`CERTIFICATE`].
    pub fn secure(answer: impl Fn(&str, Option<u64>, usize) -> Reply + Send + 'static) -> Server {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let key = PrivateKeyDer::try_from(KEY).unwrap();
        let config =
            versions.with_no_client_auth().with_single_cert(vec![CERTIFICATE.into()], key).unwrap();
        Server::with(Some(Arc::new(config)), answer)
    }

    fn with(
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&str, Option<u64>, usize) -> Reply + Send + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (seen, stopped) = (log.clone(), stop.clone());
        let base = format!("{}://{address}", if tls.is_some() { "https" } else { "http" });
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map(Result::unwrap) {
                if stopped.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                let serve = |stream: &mut dyn Connection| {
                    let Some((path, range)) = read_request(stream) else { return };
                    let before = seen.lock().unwrap().len();
                    seen.lock().unwrap().push(format!("{path} {}", range.unwrap_or(0)));
                    send(stream, &answer(&path, range, before));
                };
                match &tls {
                    None => serve(&mut { stream }),
                    Some(config) => {
                        let mut stream = StreamOwned::new(
                            ServerConnection::new(config.clone()).unwrap(),
                            stream,
                        );
                        serve(&mut stream);
                        stream.conn.send_close_notify();
                        let _ = stream.flush();
                    }
                }
            }
        });
        Server { base, stop, address, log, thread: Some(thread) }
    }

    pub fn requests(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the server thread panicked");
    }
}

trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

/// Path and first byte asked for; nothing where the client hung up first.
fn read_request(stream: &mut dyn Connection) -> Option<(String, Option<u64>)> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1).unwrap_or_default().to_string();
    let mut range = None;
    for line in lines.take_while(|line| !line.is_empty()) {
        let line = line.to_lowercase();
        if let Some(value) = line.strip_prefix("range: bytes=") {
            range = value.trim_end_matches('-').parse().ok();
        }
    }
    Some((path, range))
}

/// Errors are passed over: the client may have hung up on purpose.
fn send(stream: &mut dyn Connection, reply: &Reply) {
    if let Some(raw) = &reply.raw {
        let _ = stream.write_all(raw).and_then(|()| stream.flush());
        if reply.stall {
            let _ = stream.read(&mut [0]);
        }
        return;
    }
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", reply.status);
    if !reply.headers.iter().any(|header| {
        header.starts_with("Transfer-Encoding") || header.starts_with("Content-Length")
    }) {
        head += &format!("Content-Length: {}\r\n", reply.body.len());
    }
    for header in &reply.headers {
        head += &format!("{header}\r\n");
    }
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(b"\r\n"))
        .and_then(|()| stream.flush());
    let body = &reply.body[..reply.cut.unwrap_or(reply.body.len())];
    match reply.drip {
        None => drop(stream.write_all(body)),
        Some(pause) => {
            for byte in body.chunks(1) {
                if stream.write_all(byte).and_then(|()| stream.flush()).is_err() {
                    break;
                }
                std::thread::sleep(pause);
            }
        }
    }
    let _ = stream.flush();
    if reply.stall {
        let _ = stream.read(&mut [0]);
    }
}
