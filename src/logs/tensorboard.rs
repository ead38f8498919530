//! TensorBoard's event files: records with masked CRC-32C around messages of `event.proto`, and a
//! reader of them.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use crc::{CRC_32_ISCSI, Crc};
use prost::Message;

use crate::{Error, Result};

const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// What TensorBoard adds to the rotated sum of a record.
const MASK: u32 = 0xa282_ead8;
/// The beginning of the names of event files.
pub(super) const PREFIX: &str = "events.out.tfevents.";
/// Largest record that is read, in bytes.
const LARGEST: usize = 1 << 26;

/// `tensorflow.Event`, as far as it is used here.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    /// Number of steps.
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// The version of the format, in the first record.
    #[prost(string, optional, tag = "3")]
    pub file_version: Option<String>,
    /// Values.
    #[prost(message, optional, tag = "5")]
    pub summary: Option<Summary>,
    /// A start of the program: earlier events of this step and of later ones do not count.
    #[prost(message, optional, tag = "7")]
    pub session_log: Option<SessionLog>,
}

/// `tensorflow.SessionLog`.
#[derive(Clone, PartialEq, Message)]
pub struct SessionLog {
    /// 1: START.
    #[prost(int32, tag = "1")]
    pub status: i32,
}

/// `tensorflow.Summary`.
#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    /// The values.
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

/// `tensorflow.Summary.Value`: one of a number, a picture and a histogram.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    /// The name of the curve.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// A number.
    #[prost(float, optional, tag = "2")]
    pub simple_value: Option<f32>,
    /// A picture.
    #[prost(message, optional, tag = "4")]
    pub image: Option<Image>,
    /// A histogram.
    #[prost(message, optional, tag = "5")]
    pub histo: Option<Histogram>,
}

/// `tensorflow.Summary.Image`.
#[derive(Clone, PartialEq, Message)]
pub struct Image {
    /// Rows.
    #[prost(int32, tag = "1")]
    pub height: i32,
    /// Columns.
    #[prost(int32, tag = "2")]
    pub width: i32,
    /// 3: RGB.
    #[prost(int32, tag = "3")]
    pub colorspace: i32,
    /// A PNG file.
    #[prost(bytes = "vec", tag = "4")]
    pub encoded_image_string: Vec<u8>,
}

/// `tensorflow.HistogramProto`: `bucket[i]` values lie above `bucket_limit[i - 1]` and at most at
/// `bucket_limit[i]`.
#[derive(Clone, PartialEq, Message)]
pub struct Histogram {
    /// Smallest value.
    #[prost(double, tag = "1")]
    pub min: f64,
    /// Largest value.
    #[prost(double, tag = "2")]
    pub max: f64,
    /// Number of values.
    #[prost(double, tag = "3")]
    pub num: f64,
    /// Their sum.
    #[prost(double, tag = "4")]
    pub sum: f64,
    /// The sum of their squares.
    #[prost(double, tag = "5")]
    pub sum_squares: f64,
    /// Upper ends of the buckets, in order.
    #[prost(double, repeated, tag = "6")]
    pub bucket_limit: Vec<f64>,
    /// Values in the buckets.
    #[prost(double, repeated, tag = "7")]
    pub bucket: Vec<f64>,
}

/// Buckets of a histogram.
const BUCKETS: usize = 30;

impl Histogram {
    /// The histogram of the finite values of `values`, in buckets of equal width.
    pub fn of(values: &[f32]) -> Histogram {
        let finite = || values.iter().copied().filter(|value| value.is_finite()).map(f64::from);
        let mut histogram = Histogram {
            min: finite().fold(f64::INFINITY, f64::min),
            max: finite().fold(f64::NEG_INFINITY, f64::max),
            ..Histogram::default()
        };
        if histogram.min > histogram.max {
            return Histogram::default();
        }
        let width = ((histogram.max - histogram.min) / BUCKETS as f64).max(f64::MIN_POSITIVE);
        histogram.bucket_limit =
            (1..=BUCKETS).map(|index| histogram.min + width * index as f64).collect();
        histogram.bucket_limit[BUCKETS - 1] = histogram.max;
        histogram.bucket = vec![0.0; BUCKETS];
        for value in finite() {
            let place = ((value - histogram.min) / width).ceil() as usize;
            histogram.bucket[place.saturating_sub(1).min(BUCKETS - 1)] += 1.0;
            histogram.num += 1.0;
            histogram.sum += value;
            histogram.sum_squares += value * value;
        }
        histogram
    }
}

impl Value {
    /// A number.
    pub fn scalar(tag: &str, value: f64) -> Value {
        Value { tag: tag.into(), simple_value: Some(value as f32), ..Value::default() }
    }
}

/// An event file that grows.
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
    waiting: Vec<u8>,
}

impl EventFile {
    /// A new file in `folder`. After `steps` steps, what earlier files say of later ones does not
    /// count any more.
    pub fn create(folder: &Path, steps: u64) -> Result<EventFile> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // TensorBoard reads the files of a folder in the order of their names.
        let name = format!("{PREFIX}{:010}.saliq.{}", since.as_secs(), std::process::id());
        let (path, file) = (0..1000)
            .map(|attempt| folder.join(format!("{name}.{attempt}")))
            .find_map(|path| match OpenOptions::new().write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => None,
                opened => Some((path, opened)),
            })
            .unwrap_or_else(|| (folder.join(&name), Err(std::io::ErrorKind::AlreadyExists.into())));
        let file = file.map_err(Error::io("cannot write", &path))?;
        let mut events = EventFile { path, file, waiting: Vec::new() };
        events.append(&Event { file_version: Some("brain.Event:2".into()), ..EventFile::at(0) });
        if steps > 0 {
            let start = Some(SessionLog { status: 1 });
            events.append(&Event { session_log: start, ..EventFile::at(steps + 1) });
        }
        events.flush()?;
        Ok(events)
    }

    fn at(step: u64) -> Event {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Event { wall_time: since.as_secs_f64(), step: step as i64, ..Event::default() }
    }

    /// Adds values of step `step`, which the next [`Self::flush`] writes.
    pub fn add(&mut self, step: u64, value: Vec<Value>) {
        if !value.is_empty() {
            self.append(&Event { summary: Some(Summary { value }), ..EventFile::at(step) });
        }
    }

    fn append(&mut self, event: &Event) {
        self.waiting.extend_from_slice(&record(&event.encode_to_vec()));
    }

    /// Bytes that are not in the file yet.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Writes what was added.
    pub fn flush(&mut self) -> Result<()> {
        self.file.write_all(&self.waiting).map_err(Error::io("cannot write", &self.path))?;
        self.waiting.clear();
        Ok(())
    }
}

fn masked(bytes: &[u8]) -> u32 {
    CRC32C.checksum(bytes).rotate_right(15).wrapping_add(MASK)
}

/// A record: the length, its sum, the data, their sum.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut bytes = length.to_vec();
    bytes.extend(masked(&length).to_le_bytes());
    bytes.extend_from_slice(data);
    bytes.extend(masked(data).to_le_bytes());
    bytes
}

/// The events in the bytes of an event file, up to an incomplete last record.
///
/// # Errors
/// [`Error::Format`] for a record that is damaged; `path` names the file.
pub fn read_events(path: &Path, bytes: &[u8]) -> Result<Vec<Event>> {
    let damaged = |at: usize| Error::format(path, format!("byte {at}: the record is damaged"));
    let (mut events, mut at) = (Vec::new(), 0);
    while let Some((head, rest)) = bytes.get(at..).and_then(|rest| rest.split_at_checked(12)) {
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |sum, &b| sum << 8 | u64::from(b));
        let length = word(&head[..8]);
        if word(&head[8..]) != u64::from(masked(&head[..8])) || length > LARGEST as u64 {
            return Err(damaged(at));
        }
        let length = length as usize;
        let Some(data) = rest.get(..length + 4) else { break };
        let (data, sum) = data.split_at(length);
        if word(sum) != u64::from(masked(data)) {
            return Err(damaged(at));
        }
        events.push(Event::decode(data).map_err(|_| damaged(at))?);
        at += 16 + length;
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_sums_of_the_format() {
        // From RFC 3720, B.4: 32 bytes of zeros.
        assert_eq!(CRC32C.checksum(&[0; 32]), 0x8a91_36aa);
        // The first record that TensorBoard's own writer makes, without its time.
        let event = Event { file_version: Some("brain.Event:2".into()), ..Event::default() };
        let bytes = record(&event.encode_to_vec());
        assert_eq!(bytes[..8], 15_u64.to_le_bytes());
        assert_eq!(&bytes[12..14], [0x1a, 13]);
        let path = Path::new("events");
        assert_eq!(read_events(path, &bytes).unwrap(), std::slice::from_ref(&event));
        // An incomplete record is being written; a changed one is an error.
        let two = [bytes.clone(), bytes.clone()].concat();
        assert_eq!(read_events(path, &two[..two.len() - 1]).unwrap().len(), 1);
        for at in [0, 9, 14, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(read_events(path, &changed).is_err(), "{at}");
        }
    }

    #[test]
    fn histograms_count_every_finite_value() {
        let histogram = Histogram::of(&[-1.0, -1.0, 0.0, 2.0, f32::NAN, f32::INFINITY]);
        assert_eq!((histogram.min, histogram.max, histogram.num), (-1.0, 2.0, 4.0));
        assert_eq!((histogram.sum, histogram.sum_squares), (0.0, 6.0));
        assert_eq!(histogram.bucket.iter().sum::<f64>(), 4.0);
        assert_eq!((histogram.bucket[0], histogram.bucket[BUCKETS - 1]), (2.0, 1.0));
        assert!(histogram.bucket_limit.windows(2).all(|pair| pair[0] < pair[1]));
        let flat = Histogram::of(&[3.0; 5]);
        assert_eq!((flat.bucket.iter().sum::<f64>(), flat.bucket_limit.len()), (5.0, BUCKETS));
        assert_eq!(Histogram::of(&[f32::NAN]), Histogram::default());
    }
}
