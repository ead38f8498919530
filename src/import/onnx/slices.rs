//! What a Slice takes.

use super::Fallible;

/// A Slice along one axis, as the node has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) axis: i64,
    pub(super) step: i64,
}

/// `count` elements, `step` apart, from `first` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) first: i64,
    pub(super) step: i64,
    pub(super) count: i64,
}

impl Slice {
    /// The slices of a node; `list` gives an attribute by name, or the input of a number.
    pub(super) fn of_node(
        list: impl Fn(&str, usize) -> Fallible<Option<Vec<i64>>>,
    ) -> Fallible<Vec<Slice>> {
        let starts = list("starts", 1)?.ok_or("it has no starts")?;
        let ends = list("ends", 2)?.ok_or("it has no ends")?;
        let axes = list("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = list("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return Err("its starts, ends, axes and steps differ in number".into());
        }
        let of =
            |at: usize| Slice { start: starts[at], end: ends[at], axis: axes[at], step: steps[at] };
        Ok((0..starts.len()).map(of).collect())
    }

    /// What it takes of `size` elements.
    pub(super) fn taken(self, size: i64) -> Fallible<Taken> {
        let Slice { start, end, step, .. } = self;
        if step == 0 {
            return Err("a step is 0".into());
        }
        let within = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
        let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
        let first = within(start).clamp(low.max(0), high);
        let end = within(end).clamp(low, high);
        let distance = i128::from(end) - i128::from(first);
        let wide = i128::from(step);
        let count = ((distance + wide - wide.signum()) / wide).max(0);
        if count == 0 {
            return Err("it leaves nothing".into());
        }
        // With one element left the step is not taken.
        let step = if count == 1 { 1 } else { step };
        Ok(Taken { first, step, count: count as i64 })
    }
}

impl Taken {
    /// Its elements.
    pub(super) fn places(self) -> impl Iterator<Item = i64> {
        (0..self.count).map(move |at| self.first + at * self.step)
    }
}
