//! Reads gzip streams as gzip and Python's `gzip` do: members one after another, with zero bytes
//! between and behind them.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// What is said of content for which [`is_bomb`] holds.
pub(super) const BOMB: &str = "grows to more than 256 MiB and 400 times its size, as no images do";

/// Whether `packed` bytes grow to `content` bytes as no images do: blank content makes
/// gigabytes of a small file.
pub(super) fn is_bomb(packed: u64, content: u64) -> bool {
    content > 256 << 20 && content > packed.saturating_mul(400)
}

/// Input whose bytes are counted.
struct Counted<R> {
    input: R,
    taken: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.taken += read as u64;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.taken += count as u64;
        self.input.consume(count);
    }
}

/// The decompressed content of all members of `input` (RFC 1952, 2.2).
///
/// Zero bytes behind a member are padding, which tapes and some mirrors add. Any other byte that
/// does not begin a member is an error of kind `InvalidData` with a message that says so.
pub(super) struct GzipReader<R> {
    /// `None` behind the last member.
    member: Option<GzDecoder<Counted<R>>>,
    is_first: bool,
    /// Decompressed bytes.
    given: u64,
}

impl<R: BufRead> GzipReader<R> {
    pub fn new(input: R) -> Self {
        let input = Counted { input, taken: 0 };
        GzipReader { member: Some(GzDecoder::new(input)), is_first: true, given: 0 }
    }
}

impl<R: BufRead> Read for GzipReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(mut member) = self.member.take() {
            match member.read(buffer) {
                Ok(0) => {
                    let mut rest = member.into_inner();
                    if skip_zeros(&mut rest)? {
                        self.member = Some(GzDecoder::new(rest));
                        self.is_first = false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    self.member = Some(member);
                    return Err(error);
                }
                Err(_) if !self.is_first && member.header().is_none() => return Err(trailing()),
                result => {
                    self.given += *result.as_ref().unwrap_or(&0) as u64;
                    if is_bomb(member.get_ref().taken, self.given) {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, BOMB));
                    }
                    self.member = Some(member);
                    return result;
                }
            }
        }
        Ok(0)
    }
}

/// Skips zero bytes; returns whether other bytes follow.
fn skip_zeros(input: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let available = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            available => available?,
        };
        let zeros = available.iter().take_while(|&&byte| byte == 0).count();
        let (is_end, found) = (available.is_empty(), zeros < available.len());
        input.consume(zeros);
        if is_end || found {
            return Ok(found);
        }
    }
}

fn trailing() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "bytes behind the end of the gzip stream that are neither zeros nor another gzip stream",
    )
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn member(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).expect("packed");
        encoder.finish().expect("packed")
    }

    /// Reads in pieces of every small size, so that members and padding end anywhere in a piece.
    fn read(bytes: &[u8]) -> Result<Vec<u8>, String> {
        let results = [1, 2, 7, 4096].map(|piece| {
            let mut content = Vec::new();
            let mut reader = GzipReader::new(BufReader::with_capacity(piece, bytes));
            reader.read_to_end(&mut content).map(|_| content).map_err(|error| error.to_string())
        });
        assert!(results.iter().all(|result| *result == results[0]), "{results:?}");
        results.into_iter().next().expect("four")
    }

    #[test]
    fn members_and_padding_are_read() {
        let (one, two) = (member(b"one"), member(b"two"));
        for padding in [0, 1, 511, 5000] {
            let zeros = vec![0; padding];
            assert_eq!(read(&[&one[..], &zeros].concat()), Ok(b"one".to_vec()), "{padding}");
            assert_eq!(
                read(&[&one[..], &zeros, &two, &zeros].concat()),
                Ok(b"onetwo".to_vec()),
                "{padding}"
            );
        }
        assert_eq!(read(&[member(b""), member(b"x")].concat()), Ok(b"x".to_vec()));
    }

    #[test]
    fn content_that_grows_without_end_is_refused() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let zeros = vec![0; 1 << 20];
        (0..300).for_each(|_| encoder.write_all(&zeros).expect("packed"));
        let bomb = encoder.finish().expect("packed");
        let mut reader = GzipReader::new(&bomb[..]);
        let error = io::copy(&mut reader, &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("400 times"), "{error}");
        // A large file may hold blanks.
        assert!(!is_bomb(1 << 20, 300 << 20) && !is_bomb(1 << 10, 200 << 20));
        assert!(is_bomb(1 << 20, 401 << 20));
    }

    #[test]
    fn anything_else_behind_is_refused() {
        let (one, two) = (member(b"one"), member(b"two"));
        for garbage in
            [&b"x"[..], b"\0\0garbage", b"\x1f\x00", b"\x1f\x8b\x07\0\0\0\0\0\0\0", b"<html>"]
        {
            let message = read(&[&one[..], garbage].concat()).expect_err("garbage");
            assert!(
                message.contains("behind the end of the gzip stream"),
                "{garbage:?}: {message}"
            );
        }
        for length in 1..one.len() {
            assert!(read(&one[..length]).is_err(), "{length}");
        }
        for length in 11..two.len() {
            assert!(read(&[&one[..], &two[..length]].concat()).is_err(), "{length}");
        }
    }
}
