//! Commits and their ancestry.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use chrono::{DateTime, Utc};
use thiserror::Error;

/// The id of a commit: a SHA-1 or SHA-256 digest.
// In place, because large repositories have many.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Oid {
    /// After a short digest there are zeros.
    bytes: [u8; SHA256],
    len: u8,
}

const SHA1: usize = 20;
const SHA256: usize = 32;

/// A digest is random already: a part of it is enough.
impl Hash for Oid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.bytes[SHA1 - 8..SHA1]);
    }
}

/// Why something is not the id of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OidError {
    /// The text is not one.
    #[error("{0:?} is not the id of a commit: it has 40 or 64 hexadecimal digits")]
    Text(String),
    /// There are too few or too many bytes.
    #[error("{0} bytes are not the id of a commit: it has 20 or 32")]
    Length(usize),
}

impl Oid {
    /// The digest: 20 or 32 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl FromStr for Oid {
    type Err = OidError;

    fn from_str(text: &str) -> Result<Self, OidError> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
            [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
            _ => None,
        });
        let bytes: Option<Vec<u8>> = pairs.collect();
        let oid = bytes.and_then(|bytes| Self::try_from(&*bytes).ok());
        oid.ok_or_else(|| OidError::Text(text.chars().take(80).collect()))
    }
}

impl TryFrom<&[u8]> for Oid {
    type Error = OidError;

    fn try_from(bytes: &[u8]) -> Result<Self, OidError> {
        let (len, mut own) = (bytes.len(), [0; SHA256]);
        match (u8::try_from(len), own.get_mut(..len)) {
            (Ok(short), Some(part)) if matches!(len, SHA1 | SHA256) => {
                part.copy_from_slice(bytes);
                Ok(Self { bytes: own, len: short })
            }
            _ => Err(OidError::Length(len)),
        }
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Debug, Clone)]
struct Commit {
    parents: Box<[Oid]>,
    committed_at: DateTime<Utc>,
}

/// The commits of one repository that are reachable from what was deployed.
#[derive(Debug, Clone, Default)]
pub struct CommitGraph {
    complete_since: Option<DateTime<Utc>>,
    commits: HashMap<Oid, Commit>,
}

/// The length of the longest known path below each commit.
pub(super) type Generations<'a> = HashMap<&'a Oid, u32>;

impl CommitGraph {
    /// An empty graph in which ancestors will be missing only if they are older than this. In the default one, none are.
    pub fn complete_since(since: DateTime<Utc>) -> Self {
        Self { complete_since: Some(since), ..Self::default() }
    }

    /// Adds a commit. Commits never change, so adding it again does nothing.
    pub fn insert(&mut self, oid: Oid, parents: Vec<Oid>, committed_at: DateTime<Utc>) {
        self.commits.entry(oid).or_insert(Commit { parents: parents.into(), committed_at });
    }

    /// Takes all commits out that are descendants of an open one, whose own ancestors are not all known.
    pub fn forget_descendants_of(&mut self, open: &HashSet<Oid>) {
        if open.is_empty() {
            return;
        }
        let mut children: HashMap<&Oid, Vec<&Oid>> = HashMap::new();
        for (oid, commit) in &self.commits {
            for parent in &commit.parents {
                children.entry(parent).or_default().push(oid);
            }
        }
        let mut forgotten: HashSet<Oid> = HashSet::new();
        let mut waiting: Vec<&Oid> = open.iter().collect();
        while let Some(oid) = waiting.pop() {
            if forgotten.insert(*oid) {
                waiting.extend(children.get(oid).into_iter().flatten());
            }
        }
        self.commits.retain(|oid, _| !forgotten.contains(oid));
    }

    /// Whether the commit is known.
    pub fn contains(&self, oid: &Oid) -> bool {
        self.commits.contains_key(oid)
    }

    /// When a commit was made, if it is known.
    pub fn committed_at(&self, oid: &Oid) -> Option<DateTime<Utc>> {
        self.commits.get(oid).map(|commit| commit.committed_at)
    }

    /// The commits that `from` reaches without passing one in `seen` or one from before the floor.
    pub(super) fn newly_reached<'a>(
        &'a self,
        from: &Oid,
        seen: &HashSet<&'a Oid>,
        floor: DateTime<Utc>,
    ) -> HashSet<&'a Oid> {
        let mut reached = HashSet::new();
        let mut waiting = vec![from];
        while let Some(oid) = waiting.pop() {
            let Some((oid, commit)) = self.commits.get_key_value(oid) else { continue };
            if commit.committed_at >= floor && !seen.contains(oid) && reached.insert(oid) {
                waiting.extend(&commit.parents);
            }
        }
        reached
    }

    /// Whether `descendant` lacks `ancestor`: is neither it nor one of its descendants. Where commits in between are missing,
    /// it does not, because commits from before the floor count as contained.
    pub(super) fn lacks(&self, descendant: &Oid, ancestor: &Oid, generations: &Generations<'_>) -> bool {
        let committed_at = self.committed_at(ancestor);
        let may_be_hidden = self.complete_since.is_some_and(|since| committed_at.is_none_or(|at| at < since));
        // An ancestor has a lower generation, as far as the graph is complete.
        let lowest = generations.get(ancestor).copied().filter(|_| !may_be_hidden);
        let mut passed = HashSet::new();
        let mut waiting = vec![descendant];
        let mut is_anything_missing = false;
        while let Some(oid) = waiting.pop() {
            if oid == ancestor {
                return false;
            }
            let Some(commit) = self.commits.get(oid) else {
                is_anything_missing = true;
                continue;
            };
            let is_below = lowest.is_some_and(|lowest| generations.get(oid).is_some_and(|own| *own <= lowest));
            if !is_below && passed.insert(oid) {
                waiting.extend(&commit.parents);
            }
        }
        !(may_be_hidden && is_anything_missing)
    }

    /// The generation of each commit.
    pub(super) fn generations(&self) -> Generations<'_> {
        let mut generations = Generations::new();
        let mut waiting: Vec<&Oid> = self.commits.keys().collect();
        while let Some(oid) = waiting.last().copied() {
            let Some((oid, commit)) = self.commits.get_key_value(oid).filter(|(oid, _)| !generations.contains_key(oid))
            else {
                waiting.pop();
                continue;
            };
            let known = commit.parents.iter().filter(|parent| self.commits.contains_key(parent));
            let open: Vec<&Oid> = known.clone().filter(|parent| !generations.contains_key(parent)).collect();
            if open.is_empty() {
                let highest = known.filter_map(|parent| generations.get(parent)).max();
                generations.insert(oid, highest.map_or(0, |highest| highest + 1));
                waiting.pop();
            } else {
                waiting.extend(open);
            }
        }
        generations
    }
}
