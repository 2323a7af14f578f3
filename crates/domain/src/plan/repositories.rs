//! Resolves the repository names of a file: known repositories, by the configured name or by GitHub's, or new ones.

use std::collections::{HashMap, HashSet};

use super::KnownRepository;
use crate::RepoName;

/// The resolved names of repositories.
pub(super) struct Resolved {
    pub(super) added: Vec<RepoName>,
    pub(super) removed: Vec<RepoName>,
    /// The former configured name, and the new one.
    pub(super) renamed: Vec<(RepoName, RepoName)>,
    /// The name in the file, and the name at GitHub.
    pub(super) now_called: Vec<(RepoName, RepoName)>,
}

pub(super) fn resolve(known: &[KnownRepository], named: &[RepoName]) -> Resolved {
    let file: HashSet<&RepoName> = named.iter().collect();
    let by_name: HashMap<&RepoName, &KnownRepository> = known.iter().map(|one| (&one.name, one)).collect();
    let by_current: HashMap<&RepoName, &KnownRepository> =
        known.iter().filter_map(|one| Some((one.current_name.as_ref()?, one))).collect();
    // A name may have moved from one repository to another. A file that uses the new name of the former owner was
    // corrected and means the new owner. Every other file is older than the change.
    let find = |name: &RepoName| {
        let (former, present) = (by_name.get(name).copied(), by_current.get(name).copied());
        match (former, present) {
            (Some(former), Some(present)) if former != present => {
                let is_called_otherwise =
                    former.current_name.as_ref().is_some_and(|now| now != name && file.contains(now));
                Some(if is_called_otherwise && !file.contains(&present.name) { present } else { former })
            }
            (former, present) => former.or(present),
        }
    };
    let mut resolved = Resolved { added: Vec::new(), removed: Vec::new(), renamed: Vec::new(), now_called: Vec::new() };
    let mut kept: HashSet<&RepoName> = HashSet::new();
    for name in named {
        match find(name).filter(|known| kept.insert(&known.name)) {
            None => resolved.added.push(name.clone()),
            Some(known) if known.name != *name => resolved.renamed.push((known.name.clone(), name.clone())),
            Some(known) => {
                let other = known.current_name.as_ref().filter(|now| *now != name);
                resolved.now_called.extend(other.map(|now| (name.clone(), now.clone())));
            }
        }
    }
    resolved.now_called = without_circles(&resolved.now_called);
    resolved.removed = known.iter().filter(|one| !kept.contains(&one.name)).map(|one| one.name.clone()).collect();
    resolved
}

/// Repositories that exchanged their names keep the names of the file, because it does not matter which is which.
fn without_circles(now_called: &[(RepoName, RepoName)]) -> Vec<(RepoName, RepoName)> {
    let moves: HashMap<&RepoName, &RepoName> = now_called.iter().map(|(name, now)| (name, now)).collect();
    // A path longer than the list is a cycle.
    let is_circle = |name: &RepoName| {
        let mut way = std::iter::successors(Some(name), |name| moves.get(*name).copied());
        way.by_ref().skip(1).take(moves.len()).any(|other| other == name)
    };
    now_called.iter().filter(|(name, _)| !is_circle(name)).cloned().collect()
}
