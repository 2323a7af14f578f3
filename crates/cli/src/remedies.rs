//! What to do about errors.

use std::borrow::Cow;

use mergeline_store::StoreError;

use crate::environment::variable;

/// What to do about a database error; `None` if the error already says it.
pub(crate) fn of_database(error: &StoreError) -> Option<Cow<'static, str>> {
    Some(Cow::Borrowed(match error {
        StoreError::MayNotCreate { grant } => return Some(grant_remedy(grant).into()),
        StoreError::MayNotConnect { grant } => {
            return Some(format!("as the owner of the database or a superuser, run `{grant};`").into());
        }
        StoreError::NoSchema { statements, .. } => {
            return Some(format!("{}; or let search_path name an existing schema", grant_remedy(statements)).into());
        }
        StoreError::Unavailable(_) if variable("DB_URL").is_none() => {
            "it is the private PostgreSQL: `mergeline doctor` says what is wrong with it"
        }
        StoreError::Unavailable(_) => "check host, port and network of DB_URL, and whether the server runs",
        StoreError::Unauthorized(_) => "check user and password of DB_URL",
        StoreError::DiskFull(_) => "give the server more disk space",
        StoreError::ReadOnly(_) => "name the primary in DB_URL, not a replica",
        StoreError::Timeout(_) | StoreError::Conflict(_) => "try again; the server's log shows what it waited for",
        StoreError::Other(_) => "check the server's log",
        _ => return None,
    }))
}

/// What to do for a login that may not create tables.
pub(crate) fn grant_remedy(grant: &str) -> String {
    format!("in this database, as its owner or a superuser, run `{grant};`, then `mergeline migrate`")
}
