//! CSV files: a label and the pixels of an image a line, as Kaggle's Digit Recognizer and
//! mnist-in-csv have them.

use std::{
    cell::Cell,
    collections::BTreeSet,
    io::{self, BufRead, Cursor, Read},
    path::{Path, PathBuf},
};

use csv::{ByteRecord, ReaderBuilder, Trim};

use super::array::MAX_LABEL;
use crate::{
    Error, Result,
    config::Shape,
    data::{
        content::{Content, Part},
        dataset::Split,
        pixels::MAX_BYTES,
        read::{decompressed, open},
    },
};

/// Largest number of columns: an image of 3×512×512 with its label.
const MAX_COLUMNS: usize = 1 << 20;

/// Bytes by which the format is judged.
const MAX_HEAD: u64 = 1 << 16;

/// Largest number of bytes of a line, which is held in memory whole: 16 a value.
const MAX_LINE: u64 = 16 * MAX_COLUMNS as u64;

/// Input that fails where a record takes more than [`MAX_LINE`] bytes.
struct BoundedLines<'a, R> {
    input: R,
    /// Bytes since the last record; a buffer in front of the records may be ahead.
    taken: &'a Cell<u64>,
}

impl<R: Read> Read for BoundedLines<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.taken.set(self.taken.get() + count as u64);
        if self.taken.get() > MAX_LINE {
            let text = format!("a line has more than {} MiB", MAX_LINE >> 20);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(count)
    }
}

/// The files of a set: training (or all) images, and test images.
#[derive(Clone, Debug)]
pub(in crate::data) struct CsvFiles {
    pub train: PathBuf,
    pub test: Option<PathBuf>,
}

impl CsvFiles {
    /// Reads both files.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] with the line of what is wrong.
    pub fn read(&self) -> Result<Content> {
        let rows = |path: &PathBuf| {
            let (input, _) = open(path, "a CSV file")?;
            parse_rows(path, input)
        };
        let train = rows(&self.train)?;
        let test = self.test.as_ref().map(rows).transpose()?;
        content(train, test)
    }
}

/// Reads the bytes of a file of all images; `path` only names them in errors.
pub(in crate::data) fn parse(path: &Path, bytes: &[u8]) -> Result<Content> {
    content(parse_rows(path, bytes)?, None)
}

/// The rows of a file.
struct Rows {
    name: String,
    labels: Vec<String>,
    values: Vec<u8>,
    /// Numbers of pixels an image.
    columns: usize,
    /// Names of the columns of pixels.
    header: Option<Vec<String>>,
}

fn content(train: Rows, test: Option<Rows>) -> Result<Content> {
    if let Some(test) = test.as_ref().filter(|test| test.columns != train.columns) {
        return Err(Error::Data(format!(
            "{} has {} pixels an image, {} has {}; they must agree",
            train.name, train.columns, test.name, test.columns
        )));
    }
    let all = || train.labels.iter().chain(test.iter().flat_map(|test| &test.labels));
    let number = |text: &String| {
        let value = text.parse::<f64>().ok()?;
        (value.fract() == 0.0).then_some(value)
    };
    let numbers = all().all(|text| text.parse::<f64>().is_ok());
    let names: BTreeSet<String> = if numbers { BTreeSet::new() } else { all().cloned().collect() };
    let names: Vec<String> = names.into_iter().collect();
    if names.len() > MAX_LABEL as usize + 1 {
        return Err(Error::Data(format!("{}: more than 65,536 classes", train.name)));
    }
    let part = |rows: Rows| -> Result<Part> {
        let label = |(index, text): (usize, &String)| {
            let named = || names.binary_search(text).ok().map(|place| place as u32);
            let counted = || {
                let value = number(text)?;
                (0.0..=f64::from(MAX_LABEL)).contains(&value).then_some(value as u32)
            };
            let found = if numbers { counted() } else { named() };
            found.ok_or_else(|| {
                Error::format(
                    &rows.name,
                    format!(
                        "label {text} of image {index} is not a class number (0 to {MAX_LABEL})"
                    ),
                )
            })
        };
        let labels = rows.labels.iter().enumerate().map(label).collect::<Result<Vec<u32>>>()?;
        let (shape, is_interleaved) = shape(&rows)?;
        let images = if is_interleaved { planes(&rows.values, shape) } else { rows.values };
        Ok(Part { shape, split: Split { images, labels }, files: Vec::new(), name: rows.name })
    };
    let test = test.map(part).transpose()?;
    let train = part(train)?;
    let class_names = (!numbers).then_some(names);
    Ok(Content { train, test, class_names, ..Content::default() })
}

fn planes(values: &[u8], shape: Shape) -> Vec<u8> {
    let pixels = shape.pixels() as usize;
    let image = |image: &[u8]| -> Vec<u8> {
        (0..3).flat_map(|channel| image.iter().skip(channel).step_by(3).copied()).collect()
    };
    values.chunks_exact(3 * pixels).flat_map(image).collect()
}

/// The shape of the images, and whether colours lie side by side. Names of columns such as `28x28`
/// give rows and columns; else images are square.
fn shape(rows: &Rows) -> Result<(Shape, bool)> {
    let last = rows.header.as_ref().and_then(|header| header.last());
    let named = last.and_then(|name| {
        let (height, width) = name.split_once('x')?;
        let (height, width) = (height.parse::<u32>().ok()?, width.parse::<u32>().ok()?);
        let fits = height.checked_mul(width).is_some_and(|size| size as usize == rows.columns);
        fits.then_some(Shape::new(1, height, width))
    });
    let root = |count: usize| {
        let side = (count as f64).sqrt().round() as usize;
        (side * side == count).then_some(side as u32)
    };
    if let Some(shape) = named {
        return Ok((shape, false));
    }
    if let Some(side) = root(rows.columns) {
        return Ok((Shape::new(1, side, side), false));
    }
    match rows.columns.is_multiple_of(3).then(|| root(rows.columns / 3)).flatten() {
        Some(side) => Ok((Shape::new(3, side, side), true)),
        None => Err(Error::format(
            &rows.name,
            format!(
                "{} pixels an image are neither a square nor three of one; columns named 1x1 to \
                 HEIGHTxWIDTH give other sizes",
                rows.columns
            ),
        )),
    }
}

fn parse_rows(path: &Path, input: impl BufRead) -> Result<Rows> {
    let wrong = |reason: String| Error::format(path, reason);
    let (content, _) = decompressed(input).map_err(Error::io("cannot read", path))?;
    // Of a gzip file, no more is read than the pixels that are kept could take as text.
    let mut content = content.take(5 * MAX_BYTES);
    let mut head = Vec::new();
    let begun = content.by_ref().take(MAX_HEAD).read_to_end(&mut head);
    begun.map_err(|error| wrong(format!("damaged: {error}")))?;
    if head.starts_with(&[0xef, 0xbb, 0xbf]) {
        head.drain(..3);
    }
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        return Err(wrong("is text in UTF-16; save it in UTF-8".into()));
    }
    if head.contains(&0) {
        return Err(wrong("is not text: no format of data sets begins so".into()));
    }
    for (other, name) in [(b';', "semicolons (;)"), (b'\t', "tabs")] {
        if line.contains(&other) && !line.contains(&b',') {
            return Err(wrong(format!(
                "its values are separated by {name}; save it with commas (,)"
            )));
        }
    }
    let taken = Cell::new(0);
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(BoundedLines { input: Cursor::new(head).chain(content), taken: &taken });
    let mut rows = Rows {
        name: path.display().to_string(),
        labels: Vec::new(),
        values: Vec::new(),
        columns: 0,
        header: None,
    };
    let (mut record, mut label_at, mut is_first) = (ByteRecord::new(), 0, true);
    loop {
        let more = reader
            .read_byte_record(&mut record)
            .map_err(|error| wrong(format!("damaged: {error}")))?;
        if !more {
            break;
        }
        taken.set(0);
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() > MAX_COLUMNS {
            return Err(wrong(format!("line {line} has more than {MAX_COLUMNS} values")));
        }
        let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
        if is_first {
            is_first = false;
            if record.len() < 2 {
                return Err(wrong(
                    "its first line has one value; a label and the pixels of an image, separated \
                     by commas, are needed"
                        .into(),
                ));
            }
            rows.columns = record.len() - 1;
            let names: Vec<String> = record.iter().map(text).collect();
            let is_number = |name: &String| name.parse::<f64>().is_ok();
            // A header has names in the columns of pixels.
            if names.iter().filter(|name| !is_number(name)).count() > 1
                || names.len() == 2 && !names.iter().any(is_number)
            {
                let is_label = |name: &String| {
                    matches!(
                        name.to_lowercase().as_str(),
                        "label" | "labels" | "class" | "target" | "y"
                    )
                };
                label_at = names.iter().position(is_label).unwrap_or(0);
                if label_at != 0 && label_at != names.len() - 1 {
                    return Err(wrong(format!(
                        "column {} is the label; it is read in the first or the last column",
                        label_at + 1
                    )));
                }
                if !names.iter().any(is_label) && names[0].to_lowercase().contains("pixel") {
                    return Err(wrong("has no column called label".into()));
                }
                let pixels = names.into_iter().enumerate().filter(|&(at, _)| at != label_at);
                rows.header = Some(pixels.map(|(_, name)| name).collect());
                continue;
            }
        }
        if record.len() != rows.columns + 1 {
            return Err(wrong(format!(
                "line {line} has {} values, the lines before have {}",
                record.len(),
                rows.columns + 1
            )));
        }
        for (column, field) in record.iter().enumerate() {
            if column == label_at {
                if field.is_empty() {
                    return Err(wrong(format!("line {line} has no label")));
                }
                rows.labels.push(text(field));
                continue;
            }
            let value = pixel(field).ok_or_else(|| {
                let name = text(field);
                wrong(match name.parse::<f64>() {
                    Ok(number) if number.fract() != 0.0 => format!(
                        "line {line}, column {}: {name} is not a whole number; pixels are 0..255 \
                         (multiply pixels of 0..1 by 255)",
                        column + 1
                    ),
                    _ if name.is_empty() => {
                        format!("line {line}, column {}: is empty; pixels are 0..255", column + 1)
                    }
                    _ => format!(
                        "line {line}, column {}: {name} is not a pixel (0..255)",
                        column + 1
                    ),
                })
            })?;
            rows.values.push(value);
        }
        if rows.values.len() as u64 > MAX_BYTES {
            return Err(wrong(format!("has more than {} GiB of pixels", MAX_BYTES >> 30)));
        }
    }
    if rows.labels.is_empty() {
        return Err(wrong("holds no images".into()));
    }
    Ok(rows)
}

/// A pixel: a whole number from 0 to 255, also as 17.0.
fn pixel(field: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(field).ok()?;
    if let Ok(value) = text.parse::<u8>() {
        return Some(value);
    }
    let value = text.parse::<f64>().ok()?;
    (value.fract() == 0.0 && (0.0..=255.0).contains(&value)).then_some(value as u8)
}
