//! Places of operations and values.

/// Place of an operation in [`super::Graph::ops`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub(super) usize);

/// Place of a value in [`super::Graph::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub(super) usize);

impl ValueId {
    /// What the network is given.
    pub(super) const IMAGES: ValueId = ValueId(0);

    /// The place.
    pub fn index(self) -> usize {
        self.0
    }
}

impl OpId {
    /// The place.
    pub fn index(self) -> usize {
        self.0
    }
}
