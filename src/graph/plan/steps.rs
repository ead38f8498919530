//! What a plan has to know of a network.

/// Where what a step reads comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The images.
    Images,
    /// The step of this number, counted from 0, which stands further in front.
    Step(usize),
}

impl Source {
    /// The step, where it is one.
    pub fn step(self) -> Option<usize> {
        match self {
            Source::Images => None,
            Source::Step(index) => Some(index),
        }
    }
}

/// The number of a memory that values are kept in.
pub type StorageId = usize;

/// The activation that a step applies to what it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepActivation {
    /// None.
    None,
    /// A ReLU without levels: its derivative is 0 or 1.
    Relu,
    /// Another.
    Other,
}

/// An operation, with what is computed with it, as far as gradients on their way back depend on it.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it reads.
    pub sources: Vec<Source>,
    /// The step that reads its value, where it is the only one.
    pub reader: Option<usize>,
    /// Bytes an image of the gradient with respect to each of these.
    pub input_bytes: Vec<u64>,
    /// Of each of these: whether its gradient is stored as that of the output.
    pub keeps_format: Vec<bool>,
    /// Whether the gradient of its output is that of each input.
    pub hands_on: bool,
    /// Whether the gradient of its input replaces that of its output.
    pub is_in_place: bool,
    /// Whether it multiplies its inputs: each one's gradient is computed from the others' values.
    pub multiplies: bool,
    /// Whether its kernel can multiply the gradient of its input by a ReLU's derivative.
    pub rectifies: bool,
    /// What it applies to what it makes.
    pub activation: StepActivation,
    /// Where its value is kept. A step that works in place has that of the step in front.
    pub value: StorageId,
    /// Where that is kept which the activation's derivative is computed from.
    pub state: StorageId,
    /// Bytes an image of its value.
    pub value_bytes: u64,
}

/// The steps of a pass and the memory that their values are in.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    /// In the order in which they are computed.
    pub all: Vec<Step>,
    /// Bytes of each memory.
    pub storages: Vec<u64>,
}

impl Steps {
    /// The step that makes the first value that step `index` reads.
    pub(super) fn front(&self, index: usize) -> Option<usize> {
        self.all[index].sources.first().and_then(|source| source.step())
    }

    /// Whether the value of step `index` is that of the step in front, which it changes.
    pub(super) fn shares_value(&self, index: usize) -> bool {
        self.front(index).is_some_and(|front| self.all[front].value == self.all[index].value)
    }
}
