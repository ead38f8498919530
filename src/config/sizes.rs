//! Sizes of windows as files have them: one number where both axes or all sides are alike.

use serde::{Deserialize, Deserializer, de::Error as _, ser::SerializeMap};
use serde_json::Value;

/// `value` as a size.
pub(super) fn size(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|size| u32::try_from(size).ok())
}

/// `value` as a list of `N` sizes.
fn sizes<const N: usize>(value: &Value) -> Option<[u32; N]> {
    let all: Option<Vec<u32>> = value.as_array()?.iter().map(size).collect();
    all?.try_into().ok()
}

/// What `read` makes of a value; else that `needed` is needed. Errors come from where the value is
/// read: so they have its line.
pub(super) fn value<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    needed: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    read(&value).ok_or_else(|| D::Error::custom(format!("{needed} is needed, not {value}")))
}

/// A number for both axes, or one each.
pub(super) fn pair<'de, D: Deserializer<'de>>(
    deserializer: D,
    key: &str,
) -> Result<[u32; 2], D::Error> {
    let read = |value: &Value| size(value).map(|size| [size; 2]).or_else(|| sizes(value));
    value(deserializer, &format!("{key}: a number or [height, width]"), read)
}

/// The sizes of a window.
pub(super) fn kernel<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u32; 2], D::Error> {
    pair(deserializer, "kernel")
}

/// Pixels above, to the left, below and to the right: a number for all, or one each of the axes or
/// of the sides.
pub(super) fn sides(value: &Value) -> Option<[u32; 4]> {
    let axes = || sizes(value).map(|[y, x]| [y, x, y, x]);
    size(value).map(|size| [size; 4]).or_else(axes).or_else(|| sizes(value))
}

/// Writes `pair` as one number where it is one.
pub(super) fn write_pair<M: SerializeMap>(
    map: &mut M,
    key: &'static str,
    [y, x]: [u32; 2],
) -> Result<(), M::Error> {
    if y == x { map.serialize_entry(key, &y) } else { map.serialize_entry(key, &[y, x]) }
}

/// Writes `sides` as a pair or one number where they are one.
pub(super) fn write_sides<M: SerializeMap>(
    map: &mut M,
    key: &'static str,
    sides: [u32; 4],
) -> Result<(), M::Error> {
    let [top, left, bottom, right] = sides;
    match [top, left] == [bottom, right] {
        true => write_pair(map, key, [top, left]),
        false => map.serialize_entry(key, &sides),
    }
}
