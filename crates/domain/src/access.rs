//! Who may see what: the lines of `access:` in the teams file, by which people who log in to the page get a role.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::ListChange;
use crate::TeamSlug;

/// What somebody may do. Nobody gets sums by person, in any role.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    /// Sees the numbers of the teams that are named, or of all.
    Viewer,
    /// Also sees the pull requests of the teams that are named.
    Lead,
    /// Sees numbers and pull requests of all teams.
    Manager,
    /// Also sees the collection.
    Admin,
}

/// Whom a line is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// Everyone whom the provider puts into this group, spelled as the provider does.
    Group(String),
    /// The person with this address, in lower case. It counts only if the provider has verified it.
    Email(String),
    /// Everyone with an address of this domain, in lower case.
    Domain(String),
    /// The account with this identifier at the provider (its claim `sub`).
    Subject(String),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(name) => write!(f, "group {name}"),
            Self::Email(address) => write!(f, "email {address}"),
            Self::Domain(name) => write!(f, "domain {name}"),
            Self::Subject(id) => write!(f, "subject {id}"),
        }
    }
}

/// A line of `access:`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLine {
    /// Whom it is about.
    #[serde(flatten)]
    pub who: Who,
    /// What they may do; `None` denies them everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The only teams that they see; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<TeamSlug>,
    /// Logins before this instant no longer count: these people must log in again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<DateTime<Utc>>,
}

impl fmt::Display for AccessLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.who)?;
        match self.role {
            Some(role) => write!(f, "{role}")?,
            None => f.write_str("nothing")?,
        }
        if !self.teams.is_empty() {
            let teams: Vec<&str> = self.teams.iter().map(TeamSlug::as_str).collect();
            write!(f, " of {}", teams.join(", "))?;
        }
        if let Some(instant) = self.not_before {
            write!(f, ", for logins since {}", instant.format("%Y-%m-%dT%H:%M:%SZ"))?;
        }
        Ok(())
    }
}

/// What a provider said about somebody who logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Their identifier at the provider.
    pub subject: String,
    /// Their address, in lower case, if the provider has verified it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// An address that the provider has not verified. It can only deny.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_email: Option<String>,
    /// The domain that they belong to, in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Their groups.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// When they logged in.
    pub logged_in_at: DateTime<Utc>,
}

/// The domain of an e-mail address.
pub fn domain_of(address: &str) -> Option<&str> {
    address.rsplit_once('@').map(|(_, domain)| domain)
}

/// Why somebody gets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No line is about them.
    NoLine,
    /// This line, counted from 1, denies them everything.
    Denied {
        /// The line.
        line: usize,
    },
    /// By this line, counted from 1, they must log in again.
    LoginTooOld {
        /// The line.
        line: usize,
    },
}

/// What somebody gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant<'a> {
    /// By which line, counted from 1.
    pub line: usize,
    /// What they may do.
    pub role: Role,
    /// The only teams that they see; empty for all.
    pub teams: &'a [TeamSlug],
}

/// The lines of `access:`, in the order of the file. The first one about somebody decides; without one, nobody gets anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccessLines(Vec<AccessLine>);

impl AccessLines {
    /// These lines.
    pub fn new(lines: impl IntoIterator<Item = AccessLine>) -> Self {
        Self(lines.into_iter().collect())
    }

    /// The lines, in order.
    pub fn iter(&self) -> impl Iterator<Item = &AccessLine> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The groups that lines name. Others do not matter.
    pub fn groups(&self) -> BTreeSet<&str> {
        self.0
            .iter()
            .filter_map(|line| if let Who::Group(name) = &line.who { Some(name.as_str()) } else { None })
            .collect()
    }

    /// Whether a line denies a group something. Then it must be known in which groups somebody is.
    pub fn deny_groups(&self) -> bool {
        self.0.iter().any(|line| line.role.is_none() && matches!(line.who, Who::Group(_)))
    }

    /// What somebody gets, and by which line.
    ///
    /// # Errors
    /// Why they get nothing.
    pub fn decide(&self, person: &Identity) -> Result<Grant<'_>, Refusal> {
        // Somebody who is denied something must not get it because the provider did not verify who they are.
        let claimed = |line: &AccessLine| person.claimed_email.as_deref().filter(|_| line.role.is_none());
        let is_about = |line: &AccessLine| match &line.who {
            Who::Group(name) => person.groups.contains(name),
            Who::Email(address) => person.email.as_ref() == Some(address) || claimed(line) == Some(address),
            Who::Domain(name) => {
                person.domain.as_ref() == Some(name) || claimed(line).and_then(domain_of) == Some(name)
            }
            Who::Subject(id) => person.subject == *id,
        };
        let (line, found) = (1..).zip(&self.0).find(|(_, line)| is_about(line)).ok_or(Refusal::NoLine)?;
        let role = found.role.ok_or(Refusal::Denied { line })?;
        if found.not_before.is_some_and(|instant| person.logged_in_at < instant) {
            return Err(Refusal::LoginTooOld { line });
        }
        Ok(Grant { line, role, teams: &found.teams })
    }
}

/// What differs between two lists of lines: those that go, those that come, and whether only the order changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AccessChange {
    /// Lines that are no longer there.
    pub removed: Vec<AccessLine>,
    /// Lines that were not there.
    pub added: Vec<AccessLine>,
    /// Whether the lines that stay have another order.
    pub is_reordered: bool,
}

impl AccessChange {
    /// From `before` to `after`.
    pub fn between(before: &AccessLines, after: &AccessLines) -> Self {
        let ListChange { removed, added } = ListChange::between(&before.0, &after.0);
        let kept = |lines: &AccessLines, others: &AccessLines| -> Vec<AccessLine> {
            lines.iter().filter(|line| others.0.contains(line)).cloned().collect()
        };
        Self { removed, added, is_reordered: kept(before, after) != kept(after, before) }
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(who: Who, role: Option<Role>) -> AccessLine {
        AccessLine { who, role, teams: Vec::new(), not_before: None }
    }

    fn ana() -> Identity {
        Identity {
            subject: "1".to_owned(),
            email: Some("ana@acme.com".to_owned()),
            claimed_email: None,
            domain: Some("acme.com".to_owned()),
            groups: BTreeSet::from(["payments".to_owned(), "all".to_owned()]),
            logged_in_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_first_line_about_somebody_decides_and_without_one_nobody_gets_anything() {
        let group = |name: &str| Who::Group(name.to_owned());
        let lines = AccessLines::new([
            line(group("managers"), Some(Role::Manager)),
            line(group("payments"), Some(Role::Lead)),
            line(Who::Email("ana@acme.com".to_owned()), Some(Role::Admin)),
            line(Who::Domain("acme.com".to_owned()), Some(Role::Viewer)),
        ]);
        let decided = |person: &Identity| lines.decide(person).map(|grant| (grant.line, grant.role));
        assert_eq!(decided(&ana()), Ok((2, Role::Lead)));
        assert_eq!(decided(&Identity { groups: BTreeSet::new(), ..ana() }), Ok((3, Role::Admin)));
        let nobody = Identity { groups: BTreeSet::new(), email: None, ..ana() };
        assert_eq!(decided(&nobody), Ok((4, Role::Viewer)));
        assert_eq!(decided(&Identity { domain: None, ..nobody }), Err(Refusal::NoLine));
        assert_eq!(AccessLines::default().decide(&ana()), Err(Refusal::NoLine));
        assert_eq!(lines.groups(), BTreeSet::from(["managers", "payments"]));
    }

    #[test]
    fn a_line_can_deny_and_can_end_older_logins() {
        let denied = AccessLines::new([
            line(Who::Subject("1".to_owned()), None),
            line(Who::Domain("acme.com".to_owned()), Some(Role::Viewer)),
        ]);
        assert_eq!(denied.decide(&ana()), Err(Refusal::Denied { line: 1 }));
        assert!(denied.decide(&Identity { subject: "2".to_owned(), ..ana() }).is_ok());
        assert!(!denied.deny_groups());
        // An address that is not verified denies, and gives nothing.
        let bob = |role| line(Who::Email("bob@acme.com".to_owned()), role);
        let claimed = Identity { email: None, claimed_email: Some("bob@acme.com".to_owned()), ..ana() };
        let payments = || line(Who::Group("payments".to_owned()), Some(Role::Lead));
        assert_eq!(AccessLines::new([bob(None), payments()]).decide(&claimed), Err(Refusal::Denied { line: 1 }));
        assert_eq!(AccessLines::new([bob(Some(Role::Admin)), payments()]).decide(&claimed).map(|it| it.line), Ok(2));
        let since = DateTime::from_timestamp(1_000, 0);
        let lines = AccessLines::new([
            AccessLine { not_before: since, ..line(Who::Group("payments".to_owned()), Some(Role::Lead)) },
            line(Who::Domain("acme.com".to_owned()), Some(Role::Viewer)),
        ]);
        assert_eq!(lines.decide(&ana()), Err(Refusal::LoginTooOld { line: 1 }), "and no later line helps");
        assert!(lines.decide(&Identity { logged_in_at: since.unwrap_or_default(), ..ana() }).is_ok());
    }

    #[test]
    fn lines_keep_their_form_in_json() -> Result<(), serde_json::Error> {
        let json = r#"[{"group":"payments","role":"lead","teams":["payments"]},{"email":"ana@acme.com"},{"subject":"7","role":"admin","not_before":"2026-06-01T00:00:00Z"}]"#;
        let lines: AccessLines = serde_json::from_str(json)?;
        assert_eq!(serde_json::to_string(&lines)?, json);
        assert_eq!(
            lines.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "group payments: lead of payments",
                "email ana@acme.com: nothing",
                "subject 7: admin, for logins since 2026-06-01T00:00:00Z",
            ]
        );
        Ok(())
    }

    #[test]
    fn a_change_names_what_goes_and_comes() {
        let one = line(Who::Group("one".to_owned()), Some(Role::Viewer));
        let two = line(Who::Group("two".to_owned()), Some(Role::Viewer));
        let before = AccessLines::new([one.clone(), two.clone()]);
        let change = AccessChange::between(&before, &AccessLines::new([two.clone(), one.clone()]));
        assert!(change.is_reordered && change.removed.is_empty() && change.added.is_empty());
        let change = AccessChange::between(&before, &AccessLines::new([one.clone()]));
        assert_eq!((change.removed, change.added, change.is_reordered), (vec![two], vec![], false));
        assert!(AccessChange::between(&before, &before).is_empty());
    }
}
