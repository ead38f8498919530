//! The parts of a PNG file that decoders leave to their callers.

use std::io::Cursor;

use image::{
    ImageError, ImageFormat, ImageResult, Limits,
    codecs::png::PngDecoder,
    error::{DecodingError, ImageFormatHint},
    metadata::Orientation,
};

/// Bytes of a decoder besides the pixels and what the file holds: profiles and texts may inflate to
/// a thousand times their size, and the decoder leaves out a profile that does not fit.
const BESIDE_PIXELS: u64 = 16 << 20;

/// A decoder for a file whose palette it can be given, within the sides of `limits`.
pub(crate) fn decoder(bytes: &[u8], mut limits: Limits) -> ImageResult<PngDecoder<Cursor<&[u8]>>> {
    if !has_whole_palette(bytes) {
        let hint = ImageFormatHint::Exact(ImageFormat::Png);
        let reason = "a palette has 1 to 256 colours of 3 bytes";
        return Err(ImageError::Decoding(DecodingError::new(hint, reason)));
    }
    let most = BESIDE_PIXELS + bytes.len() as u64;
    limits.max_alloc = Some(limits.max_alloc.map_or(most, |given| given.min(most)));
    PngDecoder::with_limits(Cursor::new(bytes), limits)
}

/// Declared lengths and data of the chunks of type `kind`, up to the end of the file (PNG
/// specification, 5.3); a truncated chunk has no data.
pub(crate) fn chunks(bytes: &[u8], kind: [u8; 4]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    let chunks = std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let (own_kind, behind) = behind.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length) as usize;
        // Four bytes of checksum follow the data.
        rest = length.checked_add(4).and_then(|end| behind.get(end..)).unwrap_or_default();
        Some((*own_kind, length, behind.get(..length).unwrap_or_default()))
    });
    chunks.filter(move |(own_kind, ..)| *own_kind == kind).map(|(_, length, data)| (length, data))
}

/// Whether a palette has 1 to 256 whole colours (PNG specification, 11.2.2): the decoder assumes it
/// and panics if the last one is incomplete.
fn has_whole_palette(bytes: &[u8]) -> bool {
    chunks(bytes, *b"PLTE").all(|(length, _)| length % 3 == 0 && (3..=768).contains(&length))
}

/// The orientation of EXIF, if there is one; the chunk may follow the pixels.
pub(crate) fn orientation(bytes: &[u8]) -> Option<Orientation> {
    chunks(bytes, *b"eXIf").find_map(|(_, data)| Orientation::from_exif_chunk(data))
}
