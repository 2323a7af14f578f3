//! The commits of a repository.

use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use crate::FakeGitCommit;

/// The commits of a repository by their ids.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    by_oid: BTreeMap<String, FakeGitCommit>,
    /// The histories that were asked for.
    logs: Mutex<HashMap<String, Arc<Vec<String>>>>,
}

impl Commits {
    pub(crate) fn extend(&mut self, commits: impl IntoIterator<Item = FakeGitCommit>) {
        self.by_oid.extend(commits.into_iter().map(|commit| (commit.oid.clone(), commit)));
        self.logs = Mutex::default();
    }

    pub(crate) fn remove(&mut self, oid: &str) {
        self.by_oid.remove(oid);
        self.logs = Mutex::default();
    }

    pub(crate) fn get(&self, oid: &str) -> Option<&FakeGitCommit> {
        self.by_oid.get(oid)
    }

    /// The commit and its ancestors, newest first by date, like `git log`.
    pub(crate) fn log(&self, from: &str) -> Arc<Vec<String>> {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let log = logs.entry(from.to_owned()).or_insert_with(|| Arc::new(self.walk(from)));
        Arc::clone(log)
    }

    fn walk(&self, from: &str) -> Vec<String> {
        let mut waiting: BinaryHeap<(DateTime<Utc>, &str)> = BinaryHeap::new();
        let mut seen = HashSet::new();
        let mut log = Vec::new();
        let start = self.get(from);
        waiting.extend(start.map(|commit| (commit.committed_at, commit.oid.as_str())));
        while let Some((_, oid)) = waiting.pop() {
            if !seen.insert(oid) {
                continue;
            }
            log.push(oid.to_owned());
            let parents = self.get(oid).into_iter().flat_map(|commit| &commit.parents);
            waiting.extend(parents.filter_map(|parent| self.get(parent)).map(|it| (it.committed_at, it.oid.as_str())));
        }
        log
    }
}
