//! Who the logins of a teams file are, according to the file alone.

use std::collections::HashMap;

use super::MemberEntry;
use crate::groups::Groups;
use crate::{ExternalId, Forge, Login};

/// The logins of a file, grouped into people: logins with the same account id, and those on one line, are one person.
#[derive(Debug, Default)]
pub(super) struct FilePeople<'a> {
    numbers: HashMap<&'a Login, usize>,
    groups: Groups,
}

impl<'a> FilePeople<'a> {
    pub(super) fn of(members: impl IntoIterator<Item = &'a MemberEntry>) -> Self {
        let mut people = Self::default();
        let mut by_id: HashMap<(Forge, &ExternalId), usize> = HashMap::new();
        for member in members {
            let login = people.number(&member.login);
            if let Some(id) = &member.external_id {
                let same = *by_id.entry((member.login.forge(), id)).or_insert(login);
                people.groups.join(login, same);
            }
            for other in &member.other_accounts {
                let other = people.number(other);
                people.groups.join(login, other);
            }
        }
        people
    }

    /// The person of a login, as a number that means nothing outside.
    pub(super) fn person(&self, login: &Login) -> Option<usize> {
        self.numbers.get(login).map(|number| self.groups.of(*number))
    }

    fn number(&mut self, login: &'a Login) -> usize {
        let groups = &mut self.groups;
        *self.numbers.entry(login).or_insert_with(|| groups.add())
    }
}
