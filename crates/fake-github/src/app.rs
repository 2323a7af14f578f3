//! An App of GitHub, where it is installed, and its tokens.

use std::collections::{BTreeMap, BTreeSet};

/// The prefix of installation tokens.
pub(crate) const TOKEN_PREFIX: &str = "ghs_";
/// The number of the first installation.
const FIRST_INSTALLATION: i64 = 40_000_001;

/// An installed App.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) id: String,
    /// Owners by installation number.
    pub(crate) installations: BTreeMap<i64, String>,
    /// Owners by valid installation token.
    pub(crate) tokens: BTreeMap<String, String>,
    tokens_given: u32,
    /// Owners where it is suspended.
    pub(crate) suspended: BTreeSet<String>,
}

impl App {
    pub(crate) fn new(id: &str, owners: &[&str]) -> Self {
        let installations = (FIRST_INSTALLATION..).zip(owners.iter().map(|owner| (*owner).to_owned())).collect();
        Self { id: id.to_owned(), installations, tokens: BTreeMap::new(), tokens_given: 0, suspended: BTreeSet::new() }
    }

    pub(crate) fn expire_tokens(&mut self) {
        self.tokens.clear();
    }

    pub(crate) fn suspend(&mut self, owner: &str, is_suspended: bool) {
        if is_suspended {
            self.suspended.insert(owner.to_owned());
        } else {
            self.suspended.remove(owner);
        }
    }

    pub(crate) fn token_for(&mut self, owner: &str) -> String {
        self.tokens_given += 1;
        let token = format!("{TOKEN_PREFIX}{}_{owner}", self.tokens_given);
        self.tokens.insert(token.clone(), owner.to_owned());
        token
    }
}
