//! What may fail inside a file.

/// What does not work, in words that follow the name of a node or file.
pub(super) type Fallible<T> = Result<T, String>;
