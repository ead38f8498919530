//! `saliq data fetch`: downloads over HTTPS from several mirrors. A download continues where it
//! stopped, is checked against pinned SHA-256 sums of the decompressed files, and gets its name
//! only when it is whole.

use std::{
    fs::{self, File, TryLockError},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use ureq::{
    Agent,
    config::Config,
    http::{HeaderMap, header},
};

use super::{
    catalog::{self, Entry, PinnedFile},
    format::idx,
    published::{verify, verify_file},
};
use crate::{Error, Result};

/// Number of attempts at one mirror with fewer than [`WORTHWHILE`] new bytes, before the next
/// mirror is tried.
const ATTEMPTS: u32 = 3;
/// An attempt with this many new bytes does not count as failed.
const WORTHWHILE: u64 = 1 << 20;
/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// Number of bytes that must arrive in that time.
const SLOWEST: u64 = 16 << 10;
/// A gzip file may be longer than its content by this (random data, headers).
const GZIP_OVERHEAD: u64 = 64 << 10;

/// Progress of a download, for progress bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// The file existed already and is the published one.
    Present {
        /// Its name, without `.gz`.
        file: &'a str,
    },
    /// A download begins or begins again.
    Started {
        /// Its name, without `.gz`.
        file: &'a str,
        /// The file's URL on the mirror.
        url: &'a str,
        /// Number of bytes of an earlier attempt.
        resumed_at: u64,
        /// Total number of bytes, if the mirror gives it.
        total: Option<u64>,
    },
    /// More bytes arrived.
    Advanced {
        /// Its name, without `.gz`.
        file: &'a str,
        /// Bytes so far, including `resumed_at`.
        bytes: u64,
        /// Total number of bytes, if the mirror gives it.
        total: Option<u64>,
    },
    /// An attempt failed; the same or the next mirror is tried, if any is left.
    Failed {
        /// Its name, without `.gz`.
        file: &'a str,
        /// The file's URL on the mirror.
        url: &'a str,
        /// The reason.
        reason: &'a str,
    },
    /// The file is complete, verified and in place.
    Finished {
        /// Its name, without `.gz`.
        file: &'a str,
    },
}

/// Downloads the data set `name` into the folder `into/name`, which is returned. Existing files are
/// verified and kept. Partial files of an interrupted download (`*.part`) are continued.
///
/// # Errors
/// [`Error::Usage`] for an unknown or embedded set; [`Error::Download`] if no mirror delivers a
/// file with the right checksum, or if another process downloads it; [`Error::Format`] if a
/// different file has the name of one; [`Error::Io`] if it cannot be written.
pub fn fetch(name: &str, into: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<PathBuf> {
    let entry = catalog::find(name)
        .ok_or_else(|| Error::Usage(format!("unknown data set '{name}'{}", catalog::hint(name))))?;
    if entry.embedded.is_some() {
        return Err(Error::Usage(format!(
            "{name} is built in, there is nothing to download; use it by its name"
        )));
    }
    Fetcher::new().fetch(entry, into, progress)
}

/// A file to download.
pub(super) struct Wanted<'a> {
    /// The data set that it belongs to.
    pub set: &'a str,
    /// Its name, for people.
    pub file: &'a str,
    /// Its addresses, the preferred one first.
    pub urls: Vec<String>,
    /// Most bytes that it can have.
    pub limit: u64,
    /// Whether the part is the file, or why not.
    pub check: &'a dyn Fn(&mut File) -> Result<(), String>,
}

/// How one attempt failed.
enum Failure {
    /// Another attempt at the same mirror may succeed.
    Retry(String),
    /// Another attempt at this mirror would fail too.
    NextMirror(String),
    /// The problem is local, not on the network.
    Local(Error),
}

/// The network client, separate so that tests can use their own server.
pub(super) struct Fetcher {
    agent: Agent,
    /// Pause before the second attempt at a mirror; it doubles with each further attempt.
    pause: Duration,
    /// See [`PATIENCE`].
    patience: Duration,
}

impl Fetcher {
    pub fn new() -> Self {
        // Holds for every redirect too.
        let secure = Agent::config_builder().https_only(true).build();
        Fetcher::with(secure, Duration::from_millis(500), PATIENCE)
    }

    /// A client with the security and proxy settings of `base`.
    fn with(base: Config, pause: Duration, patience: Duration) -> Self {
        let config = Agent::config_builder()
            .https_only(base.https_only())
            .tls_config(base.tls_config().clone())
            .proxy(base.proxy().cloned())
            .http_status_as_error(false)
            .max_redirects(5)
            .user_agent(concat!("saliq/", env!("CARGO_PKG_VERSION")))
            // The files are gzip files themselves, and lengths and ranges must refer to the stored
            // bytes.
            .accept_encoding("identity")
            .timeout_resolve(Some(Duration::from_secs(15)))
            .timeout_connect(Some(Duration::from_secs(15)))
            .timeout_recv_response(Some(patience))
            .timeout_per_read(Some(patience))
            .build();
        Fetcher { agent: config.new_agent(), pause, patience }
    }

    fn fetch(
        &self,
        entry: &Entry,
        into: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<PathBuf> {
        let folder = into.join(entry.name);
        fs::create_dir_all(&folder).map_err(Error::io("cannot create the folder", &folder))?;
        for (role, file) in entry.files.iter().enumerate() {
            match idx::find_file(&folder, role) {
                None => self.fetch_file(entry, file, &folder, progress)?,
                Some(path) => match verify_file(&path, file) {
                    Ok(()) => progress(Progress::Present { file: file.name }),
                    // The file may be the user's own version of the set, so it is not replaced.
                    Err(reason) => {
                        return Err(Error::format(
                            path,
                            format!("{reason}; move it away and run the command again"),
                        ));
                    }
                },
            }
        }
        Ok(folder)
    }

    fn fetch_file(
        &self,
        entry: &Entry,
        file: &PinnedFile,
        folder: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<()> {
        let target = folder.join(format!("{}.gz", file.name));
        let address = |mirror: &&str| format!("{mirror}{}.gz", file.name);
        let check = |part: &mut File| verify_part(part, file);
        let wanted = Wanted {
            set: entry.name,
            file: file.name,
            urls: entry.mirrors.iter().map(address).collect(),
            limit: file.bytes + GZIP_OVERHEAD,
            check: &check,
        };
        self.get(&wanted, &target, progress)?;
        progress(Progress::Finished { file: file.name });
        Ok(())
    }

    /// Downloads a file to `target`, by way of `target.part`, which is continued if it is there.
    pub fn get(
        &self,
        wanted: &Wanted<'_>,
        target: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<()> {
        let mut part_path = target.as_os_str().to_owned();
        part_path.push(".part");
        let part_path = PathBuf::from(part_path);
        let mut part = open_part(&part_path)?;
        // The process may have stopped between the last byte and the renaming.
        let whole = length(&part, &part_path)? > 0 && (wanted.check)(&mut part).is_ok();
        if !whole && let Err(error) = self.download(wanted, &mut part, &part_path, progress) {
            if length(&part, &part_path)? == 0 {
                // There is nothing to resume. The download's error matters more than this one's.
                let _ = fs::remove_file(&part_path);
            }
            return Err(error);
        }
        part.sync_all().map_err(Error::io("cannot write", &part_path))?;
        fs::rename(&part_path, target)
            .map_err(Error::io("cannot put the download in place", target))
    }

    /// Fills `part` from the first mirror that delivers the published file.
    fn download(
        &self,
        wanted: &Wanted<'_>,
        part: &mut File,
        part_path: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<()> {
        let mut reasons = Vec::new();
        for url in &wanted.urls {
            let mut attempts = 0;
            loop {
                let before = length(part, part_path)?;
                let (reason, again) = match self.attempt(url, wanted, part, part_path, progress) {
                    Ok(()) => return Ok(()),
                    Err(Failure::Local(error)) => return Err(error),
                    Err(Failure::Retry(reason)) => (reason, true),
                    Err(Failure::NextMirror(reason)) => (reason, false),
                };
                progress(Progress::Failed { file: wanted.file, url, reason: &reason });
                attempts += u32::from(length(part, part_path)? < before + WORTHWHILE);
                if !again || attempts >= ATTEMPTS {
                    reasons.push(format!("{url}: {reason}"));
                    break;
                }
                thread::sleep(self.pause * (1 << attempts));
            }
        }
        let folder = part_path.parent().unwrap_or(part_path).display();
        Err(Error::Download(format!(
            "could not download {} of {}: {}; check the connection and run the command again (it \
             goes on where it stopped), or put the files into {folder} yourself",
            wanted.file,
            wanted.set,
            reasons.join("; ")
        )))
    }

    /// One request; on success `part` is the published file.
    fn attempt(
        &self,
        url: &str,
        wanted: &Wanted<'_>,
        part: &mut File,
        part_path: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), Failure> {
        let local = |error| Failure::Local(Error::io("cannot write", part_path)(error));
        let (file, limit) = (wanted.file, wanted.limit);
        let too_large = |what: &str| format!("{what}, more than the {limit} expected at most");

        let mut have = length(part, part_path).map_err(Failure::Local)?;
        if have >= limit {
            part.set_len(0).map_err(local)?;
            have = 0;
        }
        let mut request = self.agent.get(url);
        if have > 0 {
            request = request.header(header::RANGE, format!("bytes={have}-"));
        }
        let response = request.call().map_err(|error| match error {
            ureq::Error::RequireHttpsOnly(address) => {
                Failure::NextMirror(format!("{address} is not HTTPS"))
            }
            ureq::Error::BadUri(_)
            | ureq::Error::TooManyRedirects
            | ureq::Error::RedirectFailed => Failure::NextMirror(error.to_string()),
            _ => Failure::Retry(error.to_string()),
        })?;
        let body_length = response.body().content_length();
        let (start, total) = match response.status().as_u16() {
            200 => (0, body_length),
            206 => match content_range(response.headers()) {
                // The server can declare any length; one that overflows the sum is too large for
                // the file.
                Some((start, total)) if start == have => {
                    (have, total.or(body_length.map(|length| have.saturating_add(length))))
                }
                _ => {
                    part.set_len(0).map_err(local)?;
                    return Err(Failure::Retry(
                        "answered with another range than asked for".into(),
                    ));
                }
            },
            416 => {
                part.set_len(0).map_err(local)?; // longer than the file: of something else
                return Err(Failure::Retry(
                    "the part downloaded before does not fit this file".into(),
                ));
            }
            status @ (408 | 425 | 429 | 500..) => {
                return Err(Failure::Retry(format!("answered with status {status}")));
            }
            status => return Err(Failure::NextMirror(format!("answered with status {status}"))),
        };
        if let Some(total) = total.filter(|&total| total > limit) {
            return Err(Failure::NextMirror(too_large(&format!("offers {total} bytes"))));
        }
        part.set_len(start).map_err(local)?;
        part.seek(SeekFrom::Start(start)).map_err(local)?;
        progress(Progress::Started { file, url, resumed_at: start, total });

        let mut body = response.into_body().into_reader();
        let (mut buffer, mut bytes) = (vec![0; 1 << 16], start);
        let mut mark = (Instant::now(), start);
        loop {
            let read = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(Failure::Retry(format!("broke off after {bytes} bytes ({error})")));
                }
            };
            bytes += read as u64;
            if bytes > limit {
                part.set_len(0).map_err(local)?;
                return Err(Failure::NextMirror(too_large("sends more than it should")));
            }
            part.write_all(&buffer[..read]).map_err(local)?;
            progress(Progress::Advanced { file, bytes, total });
            // A server that sends single bytes would never time out.
            if mark.0.elapsed() >= self.patience {
                if bytes < mark.1 + SLOWEST {
                    return Err(Failure::Retry(format!(
                        "is too slow: {} bytes in {:.0?}",
                        bytes - mark.1,
                        mark.0.elapsed()
                    )));
                }
                mark = (Instant::now(), bytes);
            }
        }
        if let Some(total) = total.filter(|&total| bytes < total) {
            return Err(Failure::Retry(format!("broke off after {bytes} of {total} bytes")));
        }
        (wanted.check)(part).or_else(|reason| {
            part.set_len(0).map_err(local)?;
            // A continued file may consist of halves from two mirrors that do not match, so it is
            // tried once more from the beginning.
            Err(if start > 0 { Failure::Retry(reason) } else { Failure::NextMirror(reason) })
        })
    }
}

/// Opens or creates the partial file and locks it against other processes. A link that leads
/// elsewhere is refused.
fn open_part(path: &Path) -> Result<File> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(Error::format(
            path,
            "is not a regular file; move it away and run the command again",
        ));
    }
    let part = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(Error::io("cannot write", path))?;
    match part.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::Download(format!(
            "{}: another process is downloading this file; wait for it",
            path.display()
        ))),
        // Some network file systems cannot lock; the download continues without a lock.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(part),
    }
}

fn length(part: &File, path: &Path) -> Result<u64> {
    Ok(part.metadata().map_err(Error::io("cannot read", path))?.len())
}

fn verify_part(part: &mut File, file: &PinnedFile) -> Result<(), String> {
    part.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
    verify(BufReader::new(part), file)
}

/// First byte and total length of a `Content-Range: bytes FIRST-LAST/TOTAL` header; the total may
/// be `*`.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?.trim().strip_prefix("bytes ")?;
    let (span, total) = range.split_once('/')?;
    let (first, _) = span.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

#[cfg(test)]
mod tests;
