//! Bounds of a protobuf file, checked before it is decoded: an empty message takes two bytes in the
//! file and some hundred in memory.

use super::Fallible;

/// Most parts (nodes, their names and attributes, constants) of a file; networks have thousands.
const MOST_PARTS: usize = 1 << 20;
/// Deepest part that is counted: model, graph, node, attribute, tensor, its external data.
const DEPTH: usize = 5;

/// Field numbers of the messages inside a message of the schema.
fn inner(kind: Kind, field: u64) -> Option<Kind> {
    Some(match (kind, field) {
        (Kind::Model, 7) => Kind::Graph,
        (Kind::Graph, 1) => Kind::Node,
        (Kind::Graph, 5) | (Kind::Attribute, 5) => Kind::Tensor,
        (Kind::Node, 5) => Kind::Attribute,
        (Kind::Model, 8 | 14) | (Kind::Graph, 11 | 12) | (Kind::Tensor, 13) => Kind::Other,
        _ => return None,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Other,
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in 0..10 {
            let (&byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            value |= u64::from(byte & 127) << (7 * shift).min(63);
            if byte < 128 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let (front, rest) = self.bytes.split_at_checked(usize::try_from(count).ok()?)?;
        self.bytes = rest;
        Some(front)
    }

    /// The next field: its number, and its content if it is a message, text or list.
    fn field(&mut self) -> Option<(u64, Option<&'a [u8]>)> {
        let key = self.varint()?;
        let content = match key & 7 {
            0 => self.varint().map(|_| None)?,
            1 => self.take(8).map(|_| None)?,
            2 => {
                let length = self.varint()?;
                Some(self.take(length)?)
            }
            5 => self.take(4).map(|_| None)?,
            _ => return None,
        };
        Some((key >> 3, content))
    }
}

/// Whether `bytes` can be an ONNX model: fields up to the end, a graph among them.
pub(crate) fn is_model(bytes: &[u8]) -> bool {
    let mut reader = Reader { bytes };
    let mut has_graph = false;
    while !reader.bytes.is_empty() {
        match reader.field() {
            Some((7, Some(_))) => has_graph = true,
            Some((1..=25, _)) => {}
            _ => return false,
        }
    }
    has_graph
}

/// Refuses a file of too many parts.
pub(super) fn check(bytes: &[u8]) -> Fallible<()> {
    let mut parts = 0;
    count(bytes, Kind::Model, 0, &mut parts)
}

fn count(bytes: &[u8], kind: Kind, depth: usize, parts: &mut usize) -> Fallible<()> {
    let mut reader = Reader { bytes };
    while !reader.bytes.is_empty() {
        let (field, content) =
            reader.field().ok_or("is damaged or cut off: its protobuf fields do not fit it")?;
        // Numbers of a tensor take no more memory than a few times their bytes.
        let is_number = content.is_none() && kind == Kind::Tensor;
        *parts += usize::from(!is_number);
        if *parts > MOST_PARTS {
            return Err(format!("has more than {MOST_PARTS} nodes, names and constants"));
        }
        if let (Some(content), Some(kind)) = (content, inner(kind, field))
            && depth < DEPTH
        {
            count(content, kind, depth + 1, parts)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_before_they_are_decoded() {
        // Empty nodes in a graph.
        let nodes = [0x0a, 0x00].repeat(MOST_PARTS + 1);
        let mut length = nodes.len();
        let mut bytes = vec![0x3a];
        while length > 127 {
            bytes.push((length & 127) as u8 | 128);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend(&nodes);
        assert!(is_model(&bytes));
        assert!(check(&bytes).unwrap_err().contains("more than"));
        assert!(check(&bytes[..100]).unwrap_err().contains("cut off"));
        assert!(check(&[0xff; 40]).unwrap_err().contains("cut off"));
        assert!(!is_model(b"<html></html>"));
        assert!(!is_model(&[0x08, 0x07]));
    }
}
