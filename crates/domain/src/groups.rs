//! Puts things into groups, pair by pair.

/// Numbered things, each in a group. At first, each is alone.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// Each thing's parent, or itself. Things with a common ancestor are one group.
    parents: Vec<usize>,
}

impl Groups {
    /// Adds a thing. Returns its number.
    pub(crate) fn add(&mut self) -> usize {
        self.parents.push(self.parents.len());
        self.parents.len() - 1
    }

    /// The group of a thing: the lowest number in it.
    pub(crate) fn of(&self, thing: usize) -> usize {
        let mut root = thing;
        while self.parents[root] != root {
            root = self.parents[root];
        }
        root
    }

    /// Makes the groups of two things one. Returns it.
    pub(crate) fn join(&mut self, one: usize, other: usize) -> usize {
        let (one, other) = (self.of(one), self.of(other));
        let (low, high) = (one.min(other), one.max(other));
        self.parents[high] = low;
        low
    }
}
