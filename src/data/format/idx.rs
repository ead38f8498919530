//! The IDX format of MNIST, raw or gzip: two zero bytes, a type, a rank, big-endian sizes, then the
//! elements.
//!
//! Every declared size is checked before it is used: against [`MAX_BYTES`] and the other limits,
//! then against the bytes of the file. Decompression stops one byte after the declared size. Memory
//! never exceeds about twice the real content of the file.

use std::{
    io::{self, BufRead, Read, Write},
    path::{Path, PathBuf},
};

use crate::{
    Error, Result,
    config::Shape,
    data::{
        dataset::Split,
        read::{decompressed, open},
    },
    digest::sha256_hex,
    files::DEFLATE_BEST_RATIO,
};

/// The expected kind of file, for messages.
pub(in crate::data) const WHAT: &str = "an IDX file";

/// Type of unsigned bytes.
const BYTE: u8 = 0x08;
/// Type of 32-bit integers.
const INT: u8 = 0x0c;
/// Columns of QMNIST's labels.
const QMNIST_COLUMNS: u32 = 8;
/// Largest label.
const MAX_LABEL: u32 = 65_535;

/// Largest number of bytes of pixels in one file, 4 GiB.
pub const MAX_BYTES: u64 = 4 << 30;
/// Largest number of images or labels in one file.
pub const MAX_COUNT: u32 = 1 << 24;
/// Largest number of rows or columns of an image.
pub const MAX_SIDE: u32 = 4096;
/// Largest number of channels of an image.
pub const MAX_CHANNELS: u32 = 64;

/// Common spellings of the four file names: those of MNIST, dotted names of some copies, and rank 4
/// for several channels.
const SPELLINGS: [&[&str]; 4] = [
    &[
        "train-images-idx3-ubyte",
        "train-images.idx3-ubyte",
        "train-images-idx4-ubyte",
        "train-images.idx4-ubyte",
    ],
    &["train-labels-idx1-ubyte", "train-labels.idx1-ubyte"],
    &[
        "t10k-images-idx3-ubyte",
        "t10k-images.idx3-ubyte",
        "t10k-images-idx4-ubyte",
        "t10k-images.idx4-ubyte",
    ],
    &["t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte"],
];

/// The images of one file, all of one shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Channels × height × width of each; rank-3 files have one channel.
    pub shape: Shape,
    /// N·C·H·W bytes, 0 to 255, in N, C, H, W order.
    pub pixels: Vec<u8>,
}

impl Images {
    /// Number of images.
    pub fn count(&self) -> usize {
        self.pixels.len() / (self.shape.elements() as usize).max(1)
    }
}

/// The files of training images, training labels, test images and test labels in `folder`, or the
/// names of the missing ones.
pub(in crate::data) fn find_files(folder: &Path) -> Result<[PathBuf; 4], Vec<&'static str>> {
    let found = [0, 1, 2, 3].map(|role| find_file(folder, role));
    match found {
        [Some(a), Some(b), Some(c), Some(d)] => Ok([a, b, c, d]),
        _ => Err(found
            .iter()
            .zip(SPELLINGS)
            .filter(|(file, _)| file.is_none())
            .map(|(_, names)| names[0])
            .collect()),
    }
}

/// The file with this role (0 to 3, in the order of [`find_files`]) in `folder`, with any spelling;
/// a raw file comes before a gzip file.
pub(in crate::data) fn find_file(folder: &Path, role: usize) -> Option<PathBuf> {
    let names = SPELLINGS.get(role)?.iter();
    names
        .flat_map(|name| [folder.join(name), folder.join(format!("{name}.gz"))])
        .find(|path| path.is_file())
}

/// Reads an IDX file of unsigned bytes of rank 3 (N×H×W) or 4 (N×C×H×W), raw or gzip. If the sizes
/// could also be N×H×W×C, a warning goes to the log.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Format`] if it is not exactly such a file, or
/// has its channels last.
pub fn read_images(path: &Path) -> Result<Images> {
    let (input, length) = open(path, WHAT)?;
    images(path, input, length)
}

/// Reads an IDX file of labels, raw or gzip: unsigned bytes or 32-bit integers of rank 1, or the
/// first column of QMNIST's eight. Errors as [`read_images`].
pub fn read_labels(path: &Path) -> Result<Vec<u32>> {
    let (input, length) = open(path, WHAT)?;
    labels(path, input, length)
}

/// [`read_images`] on bytes in memory; `path` only names them in errors.
pub fn parse_images(path: &Path, bytes: &[u8]) -> Result<Images> {
    images(path, bytes, bytes.len() as u64)
}

/// [`read_labels`] on bytes in memory; `path` only names them in errors.
pub fn parse_labels(path: &Path, bytes: &[u8]) -> Result<Vec<u32>> {
    labels(path, bytes, bytes.len() as u64)
}

/// Writes `pixels` (N·C·H·W bytes) as raw IDX: rank 3 for one channel, else rank 4.
///
/// # Errors
/// `InvalidInput` if `pixels` is not a whole number of images or there are 2^32 or more.
pub fn write_images(mut out: impl Write, shape: Shape, pixels: &[u8]) -> io::Result<()> {
    let elements = shape.elements() as usize;
    if elements == 0 || !pixels.len().is_multiple_of(elements) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a whole number of images"));
    }
    size_u32(pixels.len() / elements)?;
    out.write_all(&image_header(shape, pixels.len() / elements))?;
    out.write_all(pixels)
}

/// Writes `labels` as raw IDX of rank 1: bytes, or 32-bit integers if a label is above 255.
///
/// # Errors
/// `InvalidInput` if there are 2^32 or more.
pub fn write_labels(mut out: impl Write, labels: &[u32]) -> io::Result<()> {
    size_u32(labels.len())?;
    out.write_all(&label_file(labels))
}

/// The raw file of `labels` (fewer than 2^32).
fn label_file(labels: &[u32]) -> Vec<u8> {
    let narrow: Option<Vec<u8>> = labels.iter().map(|&label| u8::try_from(label).ok()).collect();
    let mut file = header(&[labels.len() as u32]);
    match narrow {
        Some(bytes) => file.extend(bytes),
        None => {
            file[2] = INT;
            file.extend(labels.iter().flat_map(|label| label.to_be_bytes()));
        }
    }
    file
}

fn size_u32(size: usize) -> io::Result<u32> {
    u32::try_from(size)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "too many items for an IDX file"))
}

/// SHA-256 of the two raw files of `split`, whose images have `shape`.
pub(in crate::data) fn sums(shape: Shape, split: &Split) -> [String; 2] {
    let images = image_header(shape, split.len());
    let labels = label_file(&split.labels);
    [sha256_hex([&images[..], &split.images]), sha256_hex([&labels[..]])]
}

/// The header of a raw file of `count` images (below 2^32): rank 3 for one channel, else rank 4.
fn image_header(shape: Shape, count: usize) -> Vec<u8> {
    match shape.channels {
        1 => header(&[count as u32, shape.height, shape.width]),
        channels => header(&[count as u32, channels, shape.height, shape.width]),
    }
}

/// The header of a raw file of unsigned bytes with these sizes.
fn header(sizes: &[u32]) -> Vec<u8> {
    let mut header = vec![0, 0, 0x08, sizes.len() as u8];
    header.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    header
}

fn images(path: &Path, input: impl BufRead, length: u64) -> Result<Images> {
    let (sizes, _, pixels) = parse(path, input, length, true)?;
    if Order::of(&sizes) == Order::Either {
        log::warn!(
            "{}: sizes {sizes:?} could be channels-first or channels-last; read as channels-first: \
             {}",
            path.display(),
            describe(&sizes)
        );
    }
    let shape = match sizes[..] {
        [_, height, width] => Shape::new(1, height, width),
        [_, channels, height, width] => Shape::new(channels, height, width),
        _ => {
            return Err(Error::format(path, "is not an IDX file of images"));
        } // `parse` allows no other rank
    };
    Ok(Images { shape, pixels })
}

fn labels(path: &Path, input: impl BufRead, length: u64) -> Result<Vec<u32>> {
    let (sizes, kind, bytes) = parse(path, input, length, false)?;
    if kind != INT {
        return Ok(bytes.into_iter().map(u32::from).collect());
    }
    // The class is in the first column of QMNIST's labels.
    let columns = sizes.get(1).map_or(1, |&columns| columns as usize);
    let label = |(index, row): (usize, &[u8])| {
        let value = i32::from_be_bytes([row[0], row[1], row[2], row[3]]);
        let label = u32::try_from(value).ok().filter(|&label| label <= MAX_LABEL);
        label.ok_or_else(|| {
            let reason = format!("label {value} of image {index} is not in 0 to {MAX_LABEL}");
            Error::format(path, reason)
        })
    };
    bytes.chunks_exact(4 * columns).enumerate().map(label).collect()
}

/// Sizes, type and elements of an IDX file of images (or labels); `length` is that of `input`
/// before decompression.
fn parse(
    path: &Path,
    input: impl BufRead,
    length: u64,
    images: bool,
) -> Result<(Vec<u32>, u8, Vec<u8>)> {
    let (mut content, gzip) = decompressed(input).map_err(Error::io("cannot read", path))?;
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            Error::format(
                path,
                format!("damaged or truncated gzip data ({error}); get the file again"),
            )
        }
        _ => Error::io("cannot read", path)(error),
    };
    let mut take = |bytes: usize| {
        let mut buffer = Vec::with_capacity(bytes);
        content.by_ref().take(bytes as u64).read_to_end(&mut buffer).map_err(failed)?;
        if buffer.len() < bytes {
            return Err(Error::format(path, "ends within its IDX header; get the file again"));
        }
        Ok(buffer)
    };
    let magic = take(4)?;
    let (kind, rank) = check_magic(&magic, images).map_err(|reason| Error::format(path, reason))?;
    let sizes: Vec<u32> = take(4 * rank)?
        .chunks_exact(4)
        .map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let declared = check_sizes(&sizes, kind).map_err(|reason| Error::format(path, reason))?;

    let what = describe(&sizes);
    let header = 4 + 4 * rank as u64;
    let truncated = |found: &str| {
        Error::format(
            path,
            format!(
                "truncated: its header declares {what} ({declared} bytes), {found}; get the file \
                 again"
            ),
        )
    };
    let mut bytes = Vec::new();
    if gzip {
        // A shorter gzip file cannot contain the declared size.
        if header + declared > length.saturating_mul(DEFLATE_BEST_RATIO) {
            return Err(truncated(&format!("which {length} bytes of gzip cannot hold")));
        }
    } else {
        let found = length.saturating_sub(header);
        if found < declared {
            return Err(truncated(&format!("the file has {found}")));
        }
        bytes.try_reserve_exact(declared as usize).map_err(|_| out_of_memory(path, declared))?;
    }
    content.by_ref().take(declared + 1).read_to_end(&mut bytes).map_err(|error| {
        match error.kind() {
            io::ErrorKind::OutOfMemory => out_of_memory(path, declared),
            _ => failed(error),
        }
    })?;
    match bytes.len() as u64 {
        found if found < declared => Err(truncated(&format!("the file has {found}"))),
        found if found > declared => Err(Error::format(
            path,
            format!("has data after the {what} that its header declares; get the file again"),
        )),
        _ => Ok((sizes, kind, bytes)),
    }
}

fn out_of_memory(path: &Path, bytes: u64) -> Error {
    Error::format(path, format!("needs {bytes} bytes of memory, more than there is"))
}

/// Type and rank, if the first four bytes belong to a file of images (or labels) that is read.
fn check_magic(magic: &[u8], images: bool) -> Result<(u8, usize), String> {
    let wanted = if images {
        "images (unsigned bytes, rank 3 or 4)"
    } else {
        "labels (unsigned bytes or 32-bit integers, rank 1)"
    };
    if let &[rank @ 1..=4, BYTE..=0x0e, 0, 0] = magic {
        return Err(format!(
            "looks little-endian (its header begins with {rank:02x} and ends with 00); IDX files \
             are big-endian: write its header and numbers again"
        ));
    }
    if magic[..2] == [0x1f, 0x8b] {
        return Err("was packed with gzip twice; unpack it once".into());
    }
    let &[0, 0, kind, rank] = magic else {
        return Err(format!(
            "is not an IDX file of {wanted}: begins with {magic:02x?}, not [00, 00, 08, {}]",
            if images { "03" } else { "01" }
        ));
    };
    let foreign = match kind {
        BYTE => None,
        INT if !images => None,
        0x09 => Some("signed bytes"),
        0x0b => Some("16-bit integers"),
        INT => Some("32-bit integers"),
        0x0d => Some("32-bit floats"),
        0x0e => Some("64-bit floats"),
        _ => {
            return Err(format!(
                "is not an IDX file of {wanted}: unknown element type 0x{kind:02x}"
            ));
        }
    };
    if let Some(kind) = foreign {
        return Err(format!("is an IDX file of {kind}; {wanted} are needed here"));
    }
    match (rank, images) {
        (3 | 4, true) | (1, false) => Ok((kind, rank.into())),
        (2, false) if kind == INT => Ok((kind, 2)),
        (1, true) => Err(format!("is an IDX file of labels; {wanted} are needed here")),
        (3 | 4, false) => Err(format!("is an IDX file of images; {wanted} are needed here")),
        _ => Err(format!("is an IDX file of rank {rank}; {wanted} are needed here")),
    }
}

/// The number of bytes that follow the header, if all sizes are within bounds.
fn check_sizes(sizes: &[u32], kind: u8) -> Result<u64, String> {
    let (&count, dimensions) = sizes.split_first().ok_or("declares no sizes")?;
    let channels = if dimensions.len() == 3 { dimensions[0] } else { 1 };
    let sides = if dimensions.len() < 2 { &[] } else { &dimensions[dimensions.len() - 2..] };
    if sizes.contains(&0) {
        return Err(format!("is empty: its header declares {}", describe(sizes)));
    }
    if let ([_, height, width, channels], Order::ChannelsLast) = (sizes, Order::of(sizes)) {
        return Err(format!(
            "its sizes {sizes:?} look like channels-last: {channels} channels of {height}×{width}; \
             images are read as N × channels × height × width, so transpose them first (NumPy: \
             a.transpose(0, 3, 1, 2))"
        ));
    }
    if let &[_, columns] = sizes
        && columns != QMNIST_COLUMNS
    {
        return Err(format!(
            "has labels of {columns} columns; one column is read, or QMNIST's {QMNIST_COLUMNS}, of \
             which the first is the class"
        ));
    }
    if count > MAX_COUNT || channels > MAX_CHANNELS || sides.iter().any(|&side| side > MAX_SIDE) {
        return Err(format!(
            "its header declares {}; at most {MAX_COUNT} items of \
             {MAX_CHANNELS}×{MAX_SIDE}×{MAX_SIDE} are supported",
            describe(sizes)
        ));
    }
    // At most 2^24 · 2^6 · 2^12 · 2^12, which fits.
    let bytes = sizes.iter().map(|&size| u64::from(size)).product::<u64>()
        * if kind == INT { 4 } else { 1 };
    if bytes > MAX_BYTES || usize::try_from(bytes).is_err() {
        return Err(format!(
            "its header declares {}, {bytes} bytes; at most {MAX_BYTES} are supported",
            describe(sizes)
        ));
    }
    Ok(bytes)
}

/// The position of the channels in the sizes of a file of images, as far as the sizes show it. IDX
/// itself has no rule; saliq reads N×C×H×W.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// N×C×H×W, or no channels.
    ChannelsFirst,
    /// N×H×W×C.
    ChannelsLast,
    /// Both are possible.
    Either,
}

impl Order {
    /// Pictures have 1, 3 or 4 channels. Such a last size is a number of channels if the first size
    /// is larger than any number of channels of a picture. Exceptions are square planes of N×C×H×W,
    /// and columns (one-dimensional signals have many channels of N×1).
    fn of(sizes: &[u32]) -> Order {
        let &[_, first, middle, last] = sizes else { return Order::ChannelsFirst };
        let is_channels = |size: u32| matches!(size, 1 | 3 | 4);
        let is_plane = middle == last || (last == 1 && first != middle);
        match (is_channels(last), first <= 4 || is_plane) {
            (false, _) => Order::ChannelsFirst,
            (true, true) => Order::Either,
            (true, false) => Order::ChannelsLast,
        }
    }
}

fn describe(sizes: &[u32]) -> String {
    match *sizes {
        [count] => format!("{count} labels"),
        [count, height, width] => format!("{count} images of {height}×{width}"),
        [count, channels, height, width] => {
            format!("{count} images of {channels}×{height}×{width}")
        }
        _ => format!("sizes {sizes:?}"),
    }
}
