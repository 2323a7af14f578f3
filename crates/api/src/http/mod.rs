//! Shared handling of all requests and responses.

pub(crate) mod admission;
pub(crate) mod context;
pub(crate) mod cursors;
pub(crate) mod envelope;
pub(crate) mod errors;
pub(crate) mod etag;
pub(crate) mod exposition;
pub(crate) mod layers;
pub(crate) mod negotiation;
pub(crate) mod operation;
pub(crate) mod parameters;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod tables;
