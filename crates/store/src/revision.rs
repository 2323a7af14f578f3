//! The revision of the configuration, and reading what is stored as text.

use mergeline_domain::RepoName;
use serde::Serialize;

use crate::StoreError;

/// The revision number of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Revision(pub i64);

/// Parses a stored value. The schema's checks ensure that this version knows it. A newer version may have stored another one
/// before it was rolled back; the error names that one.
pub(crate) fn parse_stored<T: std::str::FromStr>(text: &str) -> Result<T, StoreError>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse()
        .map_err(|error: T::Err| StoreError::Other(format!("the stored `{text}` is not known here: {error}").into()))
}

/// A stored name of a repository, whose owner may have several path elements.
pub(crate) fn stored_name(path: &str) -> Result<RepoName, StoreError> {
    RepoName::from_path(path).map_err(|error| StoreError::Other(error.into()))
}
