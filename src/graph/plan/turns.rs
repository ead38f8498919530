//! Places that are written in turns.

/// Where a gradient is while it is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The logits', or the images'.
    Own,
    /// A place that is written in turns: whether for all images, which.
    Turn(bool, usize),
}

/// Places that are written in turns: which are taken, for a chunk and for all images.
#[derive(Default)]
pub(super) struct Turns([Vec<bool>; 2]);

impl Turns {
    /// The first that is free, which is taken.
    pub fn take(&mut self, whole: bool) -> usize {
        let taken = &mut self.0[usize::from(whole)];
        let turn = taken.iter().position(|taken| !taken).unwrap_or(taken.len());
        *at_turn(taken, turn) = true;
        turn
    }

    pub fn free(&mut self, place: Place) {
        if let Place::Turn(whole, turn) = place {
            self.0[usize::from(whole)][turn] = false;
        }
    }
}

/// The `turn`-th of `all`, which grow.
pub(super) fn at_turn<T: Default>(all: &mut Vec<T>, turn: usize) -> &mut T {
    if all.len() <= turn {
        all.resize_with(turn + 1, T::default);
    }
    &mut all[turn]
}
