//! Ends of lines and comments of WGSL, on bytes.

/// Index of the line break that ends the line, or the length.
pub(super) fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |length| at + length)
}

/// Index behind the nestable block comment that starts at `at`, or the length, and how deep
/// comments in it are nested.
pub(super) fn block_comment(bytes: &[u8], mut at: usize) -> (usize, u32) {
    let (mut depth, mut deepest) = (0u32, 0);
    while at < bytes.len() {
        match bytes[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                deepest = deepest.max(depth);
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return (at, deepest);
                }
            }
            _ => at += 1,
        }
    }
    (bytes.len(), deepest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_nested() {
        let text = b"x /* a /* b */ c */ y";
        assert_eq!(block_comment(text, 2), (19, 2));
        assert_eq!(block_comment(&text[..14], 2), (14, 2));
        assert_eq!(block_comment(b"/**/", 0), (4, 1));
        assert_eq!((line_end(b"a\nb", 0), line_end(b"a\nb", 2)), (1, 3));
    }
}
