//! Downloads of sets in the formats of others: single files, and members of archives.
//!
//! `SHA256SUMS` in a set's folder has the sums of what is kept, from the first download on: a file
//! that changes later, or one that a server gives differently, is told.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use md5::Md5;
use sha2::{Digest, Sha256};

use super::fetch::{Fetcher, Progress, Wanted};
use crate::{
    Error, Result,
    data::remote::{Keep, RemoteSet, Source, Sum},
    digest::{hex, hex_of},
    files::{stage_with, write_atomically},
};

/// The file with the sums of what is kept.
const SUMS: &str = "SHA256SUMS";

/// The digest of what is left of `input`.
fn hashed<D: Digest>(input: impl Read) -> io::Result<String> {
    hex_of::<D>(input, 1 << 16).map(|(sum, _)| sum)
}

/// The SHA-256 of the file at `path`.
fn sum_of(path: &Path) -> Result<String> {
    File::open(path).and_then(hashed::<Sha256>).map_err(Error::io("cannot read", path))
}

/// Verifies a download against its published sum.
fn verify(file: &mut File, sum: Sum) -> Result<(), String> {
    file.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
    let unread = |error: io::Error| error.to_string();
    let (kind, found, published) = match sum {
        Sum::Md5(published) => ("MD5", hashed::<Md5>(file).map_err(unread)?, published),
        Sum::Sha256(published) => ("SHA-256", hashed::<Sha256>(file).map_err(unread)?, published),
    };
    match found == published {
        true => Ok(()),
        false => Err(format!("not the published file: {kind} {found} instead of {published}")),
    }
}

/// The sums in the folder, by file.
fn read_sums(folder: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(folder.join(SUMS)).unwrap_or_default();
    let line = |line: &str| {
        let (sum, name) = line.split_once("  ")?;
        Some((name.to_string(), sum.to_string()))
    };
    text.lines().filter_map(line).collect()
}

/// The SHA-256 of a file that is there. It is the one of the first download, `own`; without that, a
/// file of the user's own is known by its published sum.
fn known(path: &Path, source: &Source, own: Option<&String>) -> Result<String> {
    let found = sum_of(path)?;
    let is_right = match own {
        Some(own) if *own == found => Ok(()),
        Some(own) => {
            Err(format!("not the file of the first download: SHA-256 {found} instead of {own}"))
        }
        None if matches!(source.keep, Keep::File) => {
            let mut file = File::open(path).map_err(Error::io("cannot read", path))?;
            verify(&mut file, source.sum)
        }
        None => Ok(()),
    };
    match is_right {
        Ok(()) => Ok(found),
        Err(reason) => {
            let reason = format!("{reason}; move it away and run the command again");
            Err(Error::format(path, reason))
        }
    }
}

/// Downloads `set` into the folder `into/NAME`, which is returned. Files that are there are kept if
/// they are those of the first download.
///
/// # Errors
/// As for [`super::fetch()`].
pub(super) fn fetch(
    fetcher: &Fetcher,
    set: &RemoteSet,
    into: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf> {
    let folder = into.join(set.name);
    fs::create_dir_all(&folder).map_err(Error::io("cannot create the folder", &folder))?;
    let mut sums = read_sums(&folder);
    for source in set.sources {
        let names = source.kept();
        if names.iter().all(|name| folder.join(name).is_file()) {
            for name in names {
                let found = known(&folder.join(name), source, sums.get(name))?;
                sums.insert(name.into(), found);
                progress(Progress::Present { file: name });
            }
            continue;
        }
        let target = folder.join(source.name);
        let check = |file: &mut File| verify(file, source.sum);
        let wanted = Wanted {
            set: set.name,
            file: source.name,
            urls: source.urls.iter().map(ToString::to_string).collect(),
            limit: source.most,
            check: &check,
        };
        fetcher.get(&wanted, &target, progress)?;
        for (name, sum) in unpack(source, &target)? {
            if let Some(own) = sums.get(name).filter(|own| **own != sum) {
                let path = folder.join(name);
                let _ = fs::remove_file(&path);
                return Err(Error::Download(format!(
                    "{}: the server has another file than at the first download: SHA-256 {sum} \
                     instead of {own}; remove {} if that is right",
                    path.display(),
                    folder.join(SUMS).display()
                )));
            }
            sums.insert(name.into(), sum);
        }
        if !matches!(source.keep, Keep::File) {
            fs::remove_file(&target).map_err(Error::io("cannot remove", &target))?;
        }
        progress(Progress::Finished { file: source.name });
    }
    let text: String = sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
    write_atomically(&folder.join(SUMS), text.as_bytes())?;
    Ok(folder)
}

/// Puts what is kept of the download at `path` into its folder; returns the sums.
fn unpack(source: &Source, path: &Path) -> Result<Vec<(&'static str, String)>> {
    let open = || File::open(path).map_err(Error::io("cannot read", path));
    let damaged = |error: String| Error::format(path, format!("damaged: {error}"));
    let mut found = Vec::new();
    match source.keep {
        Keep::File => found.push((source.name, sum_of(path)?)),
        Keep::Tar(members) => {
            let mut archive = tar::Archive::new(GzDecoder::new(BufReader::new(open()?)));
            let entries = archive.entries().map_err(|error| damaged(error.to_string()))?;
            for entry in entries {
                let entry = entry.map_err(|error| damaged(error.to_string()))?;
                let name = entry.path().ok().and_then(|path| member(&path, members));
                if let Some(name) = name.filter(|_| entry.header().entry_type().is_file()) {
                    found.push((name, store(path, name, entry, source.most)?));
                }
            }
        }
        Keep::Zip(members) => {
            let mut archive = zip::ZipArchive::new(BufReader::new(open()?))
                .map_err(|error| damaged(error.to_string()))?;
            for index in 0..archive.len() {
                let entry = archive.by_index(index).map_err(|error| damaged(error.to_string()))?;
                let name = member(Path::new(entry.name()), members);
                if let Some(name) = name.filter(|_| entry.is_file()) {
                    found.push((name, store(path, name, entry, source.most)?));
                }
            }
        }
    }
    match source.kept().into_iter().find(|name| found.iter().all(|(own, _)| own != name)) {
        Some(missing) => Err(Error::format(path, format!("has no member {missing}"))),
        None => Ok(found),
    }
}

/// The member that `path` in an archive is, by its name alone.
fn member(path: &Path, members: &'static [&'static str]) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?;
    members.iter().copied().find(|member| *member == name)
}

/// Writes a member beside its archive; returns its SHA-256.
fn store(archive: &Path, name: &str, mut input: impl Read, most: u64) -> Result<String> {
    let folder = archive.parent().unwrap_or(Path::new("."));
    let path = folder.join(name);
    let damaged = |error: io::Error| Error::format(archive, format!("damaged: {name}: {error}"));
    let (mut hash, mut buffer, mut length) = (Sha256::new(), vec![0; 1 << 16], 0);
    let staged = stage_with(&path, |file| {
        loop {
            let read = match input.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(damaged(error)),
            };
            length += read as u64;
            if length > most {
                let reason = format!("its member {name} has more than {most} bytes");
                return Err(Error::format(archive, reason));
            }
            hash.update(&buffer[..read]);
            file.write_all(&buffer[..read]).map_err(Error::io("cannot write", &path))?;
        }
    })?;
    staged.commit()?;
    Ok(hex(&hash.finalize()))
}
