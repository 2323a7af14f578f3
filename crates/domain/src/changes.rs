//! What differs between two lists.

use serde::Serialize;

/// What goes from a list, and what comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListChange<T> {
    /// Entries that are not in the new list, or not so.
    pub removed: Vec<T>,
    /// Entries that are new in it.
    pub added: Vec<T>,
}

impl<T: Clone + PartialEq> ListChange<T> {
    /// From `before` to `after`.
    pub fn between(before: &[T], after: &[T]) -> Self {
        let missing_in = |entries: &[T], others: &[T]| -> Vec<T> {
            entries.iter().filter(|entry| !others.contains(entry)).cloned().collect()
        };
        Self { removed: missing_in(before, after), added: missing_in(after, before) }
    }
}
