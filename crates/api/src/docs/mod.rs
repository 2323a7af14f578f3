//! The API's own description, made from the operations.

mod openapi;
mod page;

pub(crate) use openapi::openapi;
pub(crate) use page::page;
