//! Protects the program from hostile shaders: bounds on nesting before a parser recurses, threads
//! with a large stack, and panics turned into reports.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::comments::{block_comment, line_end};
use crate::panics::caught;

/// Stack size of a checking thread. naga recurses over expressions, statements and types;
/// only touched pages use memory. Frames are larger in a build without optimisation.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 256 << 20 } else { 64 << 20 };

/// Largest number of nested brackets; naga itself gives up near 200 nested expressions or blocks.
const MAX_NESTING: u32 = 200;
/// Largest number of operators, member accesses and brackets between two separators: an upper bound
/// on the depth of an expression tree.
const MAX_OPERATORS: u32 = 4_000;
/// Largest number of `else` in one file: each `else if` of a chain is a nested block.
const MAX_ELSE: u32 = 2_000;
/// Largest number of global declarations, because each may depend on the one before it.
const MAX_DECLARATIONS: u32 = 10_000;

/// Refuses source whose syntax tree could be too deep for the recursive code of naga; `Err` gives
/// the reason.
///
/// This is a scan over characters and not a parser: it skips comments and over-estimates the depth.
pub(super) fn bounded_depth(source: &str) -> Result<(), String> {
    let bytes = source.as_bytes();
    let (mut operators, mut elses, mut declarations) = (0u32, 0u32, 0u32);
    // Number of open `<` per open bracket: a `>` closes none outside its bracket.
    let mut angles = vec![0u32];
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let next = bytes.get(at + 1).copied();
        match byte {
            b'/' if next == Some(b'/') => at = line_end(bytes, at),
            b'/' if next == Some(b'*') => {
                let (end, depth) = block_comment(bytes, at);
                if depth > MAX_OPERATORS {
                    return Err(format!("more than {MAX_OPERATORS} nested comments"));
                }
                at = end - 1;
            }
            b'(' | b'[' | b'{' => {
                angles.push(0);
                operators += 1;
            }
            b')' | b']' if angles.len() > 1 => drop(angles.pop()),
            b'}' | b';' => {
                if byte == b'}' && angles.len() > 1 {
                    angles.pop();
                }
                angles.fill(0);
                operators = 0;
                declarations += u32::from(angles.len() == 1);
            }
            b',' => operators = 0,
            b'<' if matches!(next, Some(b'<' | b'=')) => {
                operators += 1;
                at += 1;
            }
            b'<' => {
                operators += 1;
                if let Some(open) = angles.last_mut() {
                    *open += 1;
                }
            }
            b'>' => {
                if let Some(open) = angles.last_mut() {
                    *open = open.saturating_sub(1);
                }
            }
            b'e' if bytes[at..].starts_with(b"else") => elses += 1,
            b'+' | b'-' | b'*' | b'/' | b'%' | b'&' | b'|' | b'^' | b'!' | b'~' | b'=' | b'.'
            | b':' | b'@' => operators += 1,
            _ => {}
        }
        let nesting = angles.len() as u32 - 1;
        let exceeded = [
            (nesting > MAX_NESTING, "nested brackets", MAX_NESTING),
            (
                byte == b'<' && angles.iter().sum::<u32>() > MAX_OPERATORS,
                "nested `<`",
                MAX_OPERATORS,
            ),
            (operators > MAX_OPERATORS, "operators in one expression", MAX_OPERATORS),
            (elses > MAX_ELSE, "`else` branches", MAX_ELSE),
            (declarations > MAX_DECLARATIONS, "global declarations", MAX_DECLARATIONS),
        ];
        if let Some((_, what, limit)) = exceeded.into_iter().find(|(over, _, _)| *over) {
            let line = bytes[..at.min(bytes.len())].iter().filter(|&&b| b == b'\n').count() + 1;
            return Err(format!(
                "line {line}: more than {limit} {what}; split the shader, the checker goes no \
                 deeper"
            ));
        }
        at += 1;
    }
    Ok(())
}

/// Applies `work` to every item on all cores, on threads with a large stack, and keeps the order.
/// `instead` makes the result of an item whose work panicked, or for which no thread could be
/// started.
pub(super) fn parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    instead: impl Fn(&T, &str) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<R>>> = Mutex::new(items.iter().map(|_| None).collect());
    let worker = || {
        while let Some((index, item)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, items.get(i)?)))
        {
            let result = caught(|| work(item))
                .unwrap_or_else(|| instead(item, "the validator crashed on this shader"));
            results.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(result);
        }
    };
    let threads = thread::available_parallelism().map_or(1, |n| n.get()).min(items.len());
    // Where there are no threads, a panic ends the program anyway.
    if cfg!(target_family = "wasm") {
        worker();
    }
    thread::scope(|scope| {
        for _ in 0..threads {
            // If a thread cannot be started, the others do its share. If none can be started, every
            // item is reported below.
            let _ = thread::Builder::new()
                .name("saliq-check".into())
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, worker);
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let missing = |item| instead(item, "no thread could be started to check this shader");
    items
        .iter()
        .zip(results)
        .map(|(item, result)| result.unwrap_or_else(|| missing(item)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_source_is_within_bounds_and_comments_do_not_count() {
        let comment =
            "/* ((( /* ((( */ ".repeat(100) + &"*/".repeat(100) + &"// ((((\n".repeat(100);
        assert_eq!(
            bounded_depth(&format!("{comment}fn f(a: vec2<f32>) -> f32 {{ return a.x; }}")),
            Ok(())
        );
    }

    #[test]
    fn depth_is_refused_whatever_makes_it() {
        for (source, what) in [
            ("(".repeat(201), "nested brackets"),
            ("-".repeat(5_000), "operators"),
            ("a<b,".repeat(5_000), "nested `<`"),
            ("{} else ".repeat(3_000), "else"),
            ("const a=1;".repeat(30_000), "declarations"),
            ("/*".repeat(5_000), "comments"),
        ] {
            let reason = bounded_depth(&source).expect_err("too deep");
            assert!(reason.contains(what), "{reason}");
        }
    }

    #[test]
    fn a_panic_spoils_only_its_own_item() {
        let results =
            parallel(&[1, 2, 3], |n| if *n == 2 { panic!("boom") } else { *n }, |_, _| -1);
        assert_eq!(results, [1, -1, 3]);
    }
}
