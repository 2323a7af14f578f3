//! The tenant whose rows a transaction sees.

/// An organization in the database. One database serves one by default, the first; nobody has to name it.
///
/// Handles such as [`Reader`](crate::Reader) carry it. No parameter, header or address of a request chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(i32);

impl Tenant {
    /// The one that is made with the schema.
    pub const FIRST: Self = Self(1);

    /// The tenant with this number in the table `tenants`.
    pub const fn new(id: i32) -> Self {
        Self(id)
    }

    /// Its number.
    pub const fn id(self) -> i32 {
        self.0
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self::FIRST
    }
}
