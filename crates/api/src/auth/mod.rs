//! Authentication and authorization.

pub(crate) mod access;
pub(crate) mod callers;
pub(crate) mod hosts;
pub(crate) mod keys;
pub(crate) mod origins;
pub(crate) mod scope;
pub(crate) mod sessions;
pub(crate) mod tokens;
