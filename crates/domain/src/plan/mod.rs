//! What applying a teams file would change, computed from plain data before anything is written.

mod checks;
mod doubts;
mod effects;
mod people;
mod repositories;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fmt::Write as _;

use chrono::{DateTime, NaiveTime, Utc};
use chrono_tz::Tz;
use serde::{Serialize, Serializer};
use strum::IntoEnumIterator;

use crate::delivery::SourceRules;
use crate::insight::CustomMetric;
use crate::messages::ChannelEntry;
use crate::start_of_day;
use crate::teams_file::{
    DeliverySettings, GoalEntry, InstanceEntry, InvestmentEntry, ServiceEntry, TeamEntry, TeamsFile,
};
use crate::{
    AccessChange, AccessLines, ExternalId, Forge, ListChange, Login, MembershipId, Period, PersonId, Problem, Problems,
    RepoName, RepoRules, ServiceSlug, TeamId, TeamSlug, Weight,
};
use checks::{Holding, Holdings, Standing};
pub use doubts::{Account, Doubt, Successor};
pub use effects::PersonChange;
pub use people::{PlannedAccount, PlannedPerson};
use people::{Resolved, resolve};

/// The state before the file is applied.
#[derive(Debug, Clone, Default)]
pub struct Current {
    /// The settings in force; `None` before the first configuration.
    pub settings: Option<PlanSettings>,
    /// The repositories that are collected because they are named.
    pub repositories: Vec<KnownRepository>,
    /// The repositories that are collected because a pattern matches them.
    pub found_repositories: Vec<RepoName>,
    /// The accounts of everyone who was ever configured, by person and forge.
    pub accounts: Vec<KnownAccount>,
    /// All teams, including archived ones.
    pub teams: Vec<KnownTeam>,
    /// Since when anything was read from a repository; `None` before the first was complete.
    pub read_since: Option<DateTime<Utc>>,
}

/// The global settings of a teams file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanSettings {
    /// The time zone of the file.
    #[serde(serialize_with = "zone_name")]
    pub timezone: Tz,
    /// Logins that count as bots.
    pub bots: Vec<Login>,
    /// Patterns of repositories to collect, with their exclusions.
    #[serde(rename = "patterns")]
    pub rules: RepoRules,
    /// Whether patterns also match archived repositories.
    pub include_archived: bool,
    /// The smallest group of people whose statistics are shown; `None` shows all.
    pub min_group_size: Option<u8>,
    /// The server of each forge.
    pub instances: Vec<InstanceEntry>,
    /// Services, environments, windows and hotfixes.
    pub delivery: DeliverySettings,
    /// Who may see what on the page.
    pub access: AccessLines,
    /// Goals and working agreements.
    pub goals: Vec<GoalEntry>,
    /// Kinds of work, in the order in which they are tried.
    pub investment: Vec<InvestmentEntry>,
    /// Where messages go.
    pub channels: Vec<ChannelEntry>,
    /// Metrics of the file's own.
    pub metrics: Vec<CustomMetric>,
}

impl From<&TeamsFile> for PlanSettings {
    fn from(file: &TeamsFile) -> Self {
        Self {
            timezone: file.timezone,
            bots: file.bots.clone(),
            rules: file.rules.clone(),
            include_archived: file.include_archived,
            min_group_size: file.min_group_size,
            instances: Forge::iter().map(|forge| file.instance(forge)).collect(),
            delivery: file.delivery.clone(),
            access: file.access.clone(),
            goals: file.goals.clone(),
            investment: file.investment.clone(),
            channels: file.channels.clone(),
            metrics: file.metrics.clone(),
        }
    }
}

/// A repository that was already named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRepository {
    /// Its name in the configuration.
    pub name: RepoName,
    /// Its current name at GitHub, once known.
    pub current_name: Option<RepoName>,
}

/// An account that was already configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAccount {
    /// The person who has it.
    pub person: PersonId,
    /// The account's id at its forge, once it is known.
    pub external_id: Option<ExternalId>,
    /// Its login in the configuration.
    pub configured_login: Login,
    /// The login that the forge last reported.
    pub login: Login,
    /// Other logins under which it was configured or seen.
    pub other_logins: Vec<Login>,
}

impl KnownAccount {
    /// The forge that it belongs to.
    pub fn forge(&self) -> Forge {
        self.login.forge()
    }

    /// Whether it has, or had, this login.
    fn had(&self, login: &Login) -> bool {
        self.configured_login == *login || self.login == *login || self.other_logins.contains(login)
    }
}

/// A team that was already configured.
#[derive(Debug, Clone)]
pub struct KnownTeam {
    /// The team's number.
    pub id: TeamId,
    /// The slug.
    pub slug: TeamSlug,
    /// The display name.
    pub name: String,
    /// Whether it was removed from the configuration.
    pub is_archived: bool,
    /// Whether anything counts for it.
    pub has_numbers: bool,
    /// Its memberships, past and future.
    pub memberships: Vec<KnownMembership>,
}

/// A membership that was already configured.
#[derive(Debug, Clone, Copy)]
pub struct KnownMembership {
    /// The membership's number.
    pub id: MembershipId,
    /// The person.
    pub person: PersonId,
    /// Share and period.
    pub terms: Terms,
}

/// A share during a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Terms {
    /// The share of the person's work.
    pub weight: Weight,
    /// When it applies.
    #[serde(flatten)]
    pub period: Period,
}

/// One change of a membership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MembershipChange {
    /// The team.
    pub team: TeamSlug,
    /// The person's login in the file, or in the store for a removal.
    pub login: Login,
    /// The kind of change.
    #[serde(flatten)]
    pub kind: ChangeKind,
}

/// What happens to a membership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Added {
        /// The new terms.
        after: Terms,
    },
    /// Only its end moves, to an earlier time.
    Ended {
        /// The row to replace.
        #[serde(skip)]
        id: MembershipId,
        /// The old terms.
        before: Terms,
        /// The new terms.
        after: Terms,
    },
    /// Its weight or its period is corrected.
    Changed {
        /// The row to replace.
        #[serde(skip)]
        id: MembershipId,
        /// The old terms.
        before: Terms,
        /// The new terms.
        after: Terms,
    },
    /// It is no longer in the file, as if it had never been.
    Removed {
        /// The row to remove.
        #[serde(skip)]
        id: MembershipId,
        /// The old terms.
        before: Terms,
    },
}

impl ChangeKind {
    /// The row that stops counting.
    pub fn replaced(&self) -> Option<MembershipId> {
        match self {
            Self::Added { .. } => None,
            Self::Ended { id, .. } | Self::Changed { id, .. } | Self::Removed { id, .. } => Some(*id),
        }
    }

    /// The terms that stop counting.
    pub fn before(&self) -> Option<Terms> {
        match self {
            Self::Added { .. } => None,
            Self::Ended { before, .. } | Self::Changed { before, .. } | Self::Removed { before, .. } => Some(*before),
        }
    }

    /// The terms that start counting.
    pub fn after(&self) -> Option<Terms> {
        match self {
            Self::Added { after } | Self::Ended { after, .. } | Self::Changed { after, .. } => Some(*after),
            Self::Removed { .. } => None,
        }
    }
}

/// Everything that applying a teams file changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The file's global settings.
    #[serde(flatten)]
    pub settings: PlanSettings,
    /// Whether these settings differ from those in force.
    pub settings_changed: bool,
    /// What reported the deployments of services that name no source so far, and what does from now on, if that changes.
    pub source_changed: Option<(String, String)>,
    /// Repositories to start collecting.
    pub repositories_added: Vec<RepoName>,
    /// Repositories that are no longer collected; their data stays.
    pub repositories_removed: Vec<RepoName>,
    /// Repositories for which the file now uses GitHub's current name: the former name, and the new one.
    pub repositories_renamed: Vec<(RepoName, RepoName)>,
    /// Repositories that a pattern matches and that are now excluded; their data stays.
    pub repositories_excluded: Vec<RepoName>,
    /// Repositories with another name at GitHub than in the file: the file's name, and GitHub's.
    pub repositories_now_called: Vec<(RepoName, RepoName)>,
    /// Every repository that the file names.
    #[serde(skip)]
    pub repositories_named: HashSet<RepoName>,
    /// New teams, with their names.
    pub teams_added: Vec<(TeamSlug, String)>,
    /// Archived teams that are restored, with their names.
    pub teams_restored: Vec<(TeamSlug, String)>,
    /// Teams with a new name.
    pub teams_renamed: Vec<(TeamSlug, String)>,
    /// Teams with a new slug: the former slug, and the new one.
    pub slugs_changed: Vec<(TeamSlug, TeamSlug)>,
    /// Teams that are no longer in the file. Their past stays, and their memberships end today. If nothing counts for a
    /// team, it has no past, and its memberships are removed.
    pub teams_archived: Vec<TeamSlug>,
    /// Archived teams for which nothing counts.
    #[serde(skip)]
    pub teams_without_numbers: HashSet<TeamSlug>,
    /// Teams whose `renamed_from` names a team that was never known.
    #[serde(skip)]
    pub former_slugs_unknown: Vec<(TeamSlug, TeamSlug)>,
    /// Every person of the file.
    #[serde(skip)]
    pub people: Vec<PlannedPerson>,
    /// The membership changes, by team and login.
    pub memberships: Vec<MembershipChange>,
    /// How many memberships of active teams were in force before.
    pub memberships_before: usize,
    /// People whose weights sum to less than 1 today, with the remainder in ten-thousandths.
    pub unallocated: Vec<(Login, u64)>,
    /// Logins that may mean someone other than the person they count for.
    pub doubts: Vec<Doubt>,
    /// Services that change: a sign, the slug and what changes.
    #[serde(skip)]
    pub services_changed: Vec<(char, ServiceSlug, String)>,
    /// Lines of `access` that go and come.
    pub access_changed: AccessChange,
    /// Goals that go and come.
    pub goals_changed: ListChange<GoalEntry>,
    /// Channels that go and come.
    pub channels_changed: ListChange<ChannelEntry>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it by reference")]
fn zone_name<S: Serializer>(zone: &Tz, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(zone.name())
}

/// A person during planning: a known person, or the nth new person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Who {
    Known(PersonId),
    New(usize),
}

impl Plan {
    /// Compares the file with the state in force.
    ///
    /// # Errors
    /// If two logins of the file turn out to be one person with overlapping memberships or more than one whole share,
    /// including archived teams.
    pub fn between(current: &Current, file: &TeamsFile, now: DateTime<Utc>) -> Result<Self, Problems> {
        let Resolved { people, guessed } = resolve(current, file);
        checks::refuse(checks::two_accounts_at_github(&people))?;
        let mut who: HashMap<&Login, Who> = HashMap::new();
        for (index, person) in people.iter().enumerate() {
            let identity = person.known.map_or(Who::New(index), Who::Known);
            who.extend(person.logins().map(|login| (login, identity)));
        }
        let mut logins: HashMap<PersonId, &Login> = HashMap::new();
        for account in &current.accounts {
            logins.entry(account.person).or_insert(&account.configured_login);
        }
        let today = start_of_day(now.with_timezone(&file.timezone).date_naive(), file.timezone);
        let repositories = repositories::resolve(&current.repositories, &file.repositories);
        let mut plan = Self {
            settings_changed: current.settings.as_ref() != Some(&PlanSettings::from(file)),
            settings: file.into(),
            source_changed: source_changed(current, file),
            repositories_added: repositories.added,
            repositories_removed: repositories.removed,
            repositories_renamed: repositories.renamed,
            repositories_excluded: excluded(current, file),
            repositories_now_called: repositories.now_called,
            repositories_named: file.repositories.iter().cloned().collect(),
            teams_added: Vec::new(),
            teams_restored: Vec::new(),
            teams_renamed: Vec::new(),
            slugs_changed: Vec::new(),
            teams_archived: Vec::new(),
            teams_without_numbers: HashSet::new(),
            former_slugs_unknown: Vec::new(),
            memberships: Vec::new(),
            memberships_before: 0,
            unallocated: Vec::new(),
            doubts: doubts::of_file(current, file, &people, &guessed),
            people: people.clone(),
            services_changed: services_changed(current, file),
            access_changed: access_changed(current, file),
            goals_changed: ListChange::between(current.settings.as_ref().map_or(&[], |it| &it.goals), &file.goals),
            channels_changed: ListChange::between(
                current.settings.as_ref().map_or(&[], |it| &it.channels),
                &file.channels,
            ),
        };
        let known = plan.teams_by_slug(&current.teams, file)?;
        let mut holdings = Holdings::default();
        for team in &file.teams {
            let before = known.get(&team.slug).copied();
            plan.note_team(team, before);
            plan.diff_team(team, before, &who, &logins);
            let standing = match before {
                None => Standing::New,
                Some(known) if known.is_archived => Standing::Restored,
                Some(_) => Standing::Kept,
            };
            for member in &team.members {
                let terms = Terms { weight: member.weight, period: member.period };
                let (login, team) = (member.login.clone(), team.slug.clone());
                let holding = Holding { login, team, terms, standing };
                holdings.add(who[&member.login], holding);
            }
        }
        let slugs: HashSet<&TeamSlug> = file.teams.iter().map(|team| &team.slug).collect();
        for (slug, team) in known.iter().filter(|(slug, _)| !slugs.contains(slug)) {
            if !team.is_archived || (!team.has_numbers && !team.memberships.is_empty()) {
                plan.archive(slug, team, today, &logins);
            }
            let standing = if team.is_archived { Standing::Archived } else { Standing::Leaving };
            for membership in team.memberships.iter().filter(|_| team.has_numbers) {
                // Already closed if it was archived before. Cutting it again at today would change nothing.
                if let Some(period) = membership.terms.period.ending_at(today) {
                    let terms = Terms { period, ..membership.terms };
                    let (login, team) = (login_of(&logins, membership.person), (*slug).clone());
                    let holding = Holding { login, team, terms, standing };
                    holdings.add(Who::Known(membership.person), holding);
                }
            }
        }
        plan.memberships.sort_by(|a, b| (&a.team, &a.login).cmp(&(&b.team, &b.login)));
        plan.unallocated = holdings.unallocated(now);
        checks::refuse(holdings.check(file))?;
        Ok(plan)
    }

    /// The known teams, by the slugs that they will have after the file is applied.
    fn teams_by_slug<'a>(
        &mut self,
        teams: &'a [KnownTeam],
        file: &TeamsFile,
    ) -> Result<BTreeMap<TeamSlug, &'a KnownTeam>, Problems> {
        let mut known: BTreeMap<TeamSlug, &KnownTeam> = teams.iter().map(|team| (team.slug.clone(), team)).collect();
        let mut problems = Vec::new();
        for team in &file.teams {
            let Some(former) = &team.renamed_from else { continue };
            match (known.get(former).copied(), known.get(&team.slug).copied()) {
                (None, Some(_)) => {}
                (None, None) => self.former_slugs_unknown.push((team.slug.clone(), former.clone())),
                (Some(renamed), None) => {
                    known.remove(former);
                    known.insert(team.slug.clone(), renamed);
                    self.slugs_changed.push((former.clone(), team.slug.clone()));
                }
                // Nothing counts for one of the two, so the other one is the team.
                (Some(renamed), Some(taken)) if renamed.has_numbers && !taken.has_numbers => {
                    known.insert(former.clone(), taken);
                    known.insert(team.slug.clone(), renamed);
                    self.slugs_changed.push((former.clone(), team.slug.clone()));
                    self.slugs_changed.push((team.slug.clone(), former.clone()));
                }
                (Some(renamed), Some(_)) if !renamed.has_numbers => {}
                (Some(_), Some(_)) => {
                    let message = format!(
                        "`{former}` and `{slug}` are two teams already, and pull requests count for either",
                        slug = team.slug
                    );
                    let help = format!(
                        "remove `renamed_from: {former}`: `{former}` keeps its past and is archived, `{slug}` continues",
                        slug = team.slug
                    );
                    problems.push(Problem::setting("config.renamed_from", team.slug.as_str(), message, help));
                }
            }
        }
        checks::refuse(problems)?;
        Ok(known)
    }

    /// Whether applying would change nothing.
    pub fn is_empty(&self) -> bool {
        !self.settings_changed
            && self.repositories_added.is_empty()
            && self.repositories_removed.is_empty()
            && self.repositories_renamed.is_empty()
            && self.repositories_excluded.is_empty()
            && self.teams_added.is_empty()
            && self.teams_restored.is_empty()
            && self.teams_renamed.is_empty()
            && self.slugs_changed.is_empty()
            && self.teams_archived.is_empty()
            && self.memberships.is_empty()
    }

    /// Whether applying would change nothing and there is nothing new to learn about people.
    pub fn is_in_force(&self) -> bool {
        self.is_empty() && self.people.iter().all(PlannedPerson::is_stored)
    }

    /// How many memberships are removed without a successor. Those of archived teams are included if something counts
    /// for them.
    pub fn losses(&self) -> usize {
        let counts = |change: &&MembershipChange| !self.teams_without_numbers.contains(&change.team);
        let is_loss = |change: &&MembershipChange| match change.kind {
            ChangeKind::Removed { .. } => true,
            ChangeKind::Ended { .. } => self.teams_archived.contains(&change.team),
            ChangeKind::Added { .. } | ChangeKind::Changed { .. } => false,
        };
        self.memberships.iter().filter(counts).filter(is_loss).count()
    }

    /// Whether the plan removes so much that the file is probably broken: more than a quarter of the memberships, and
    /// more than a handful.
    pub fn removes_too_much(&self) -> bool {
        const HANDFUL: usize = 5;
        self.losses() > HANDFUL && self.losses() * 4 > self.memberships_before
    }

    fn note_team(&mut self, team: &TeamEntry, before: Option<&KnownTeam>) {
        let named = (team.slug.clone(), team.name.clone());
        match before {
            None => self.teams_added.push(named),
            Some(known) if known.is_archived => self.teams_restored.push(named),
            Some(known) if known.name != team.name => self.teams_renamed.push(named),
            Some(_) => {}
        }
    }

    fn diff_team(
        &mut self,
        team: &TeamEntry,
        before: Option<&KnownTeam>,
        who: &HashMap<&Login, Who>,
        logins: &HashMap<PersonId, &Login>,
    ) {
        let mut wanted: BTreeMap<Who, (Login, Vec<Terms>)> = BTreeMap::new();
        for member in &team.members {
            let terms = Terms { weight: member.weight, period: member.period };
            wanted.entry(who[&member.login]).or_insert_with(|| (member.login.clone(), Vec::new())).1.push(terms);
        }
        let mut had: BTreeMap<PersonId, Vec<KnownMembership>> = BTreeMap::new();
        for membership in before.iter().flat_map(|team| &team.memberships) {
            had.entry(membership.person).or_default().push(*membership);
        }
        if before.is_some_and(|team| !team.is_archived) {
            self.memberships_before += had.values().map(Vec::len).sum::<usize>();
        }
        for (who, (login, terms)) in wanted {
            let old = match who {
                Who::Known(id) => had.remove(&id).unwrap_or_default(),
                Who::New(_) => Vec::new(),
            };
            let change = |kind| MembershipChange { team: team.slug.clone(), login: login.clone(), kind };
            self.memberships.extend(diff_terms(old, terms).into_iter().map(change));
        }
        for (person, old) in had {
            for membership in old {
                let login = login_of(logins, person);
                let kind = ChangeKind::Removed { id: membership.id, before: membership.terms };
                self.memberships.push(MembershipChange { team: team.slug.clone(), login, kind });
            }
        }
    }

    fn archive(&mut self, slug: &TeamSlug, team: &KnownTeam, today: DateTime<Utc>, logins: &HashMap<PersonId, &Login>) {
        self.teams_archived.push(slug.clone());
        if team.has_numbers {
            self.memberships_before += team.memberships.len();
        } else {
            self.teams_without_numbers.insert(slug.clone());
        }
        for KnownMembership { id, person, terms: before } in team.memberships.iter().copied() {
            let kind = match before.period.ending_at(today).filter(|_| team.has_numbers) {
                Some(period) if period == before.period => continue,
                Some(period) => ChangeKind::Ended { id, before, after: Terms { period, ..before } },
                None => ChangeKind::Removed { id, before },
            };
            self.memberships.push(MembershipChange { team: slug.clone(), login: login_of(logins, person), kind });
        }
    }
}

fn login_of(logins: &HashMap<PersonId, &Login>, id: PersonId) -> Login {
    logins.get(&id).map_or_else(|| Login::from_github(&format!("person-{id}")), |login| (*login).clone())
}

/// The source of deployments so far, and the new one.
fn source_changed(current: &Current, file: &TeamsFile) -> Option<(String, String)> {
    let before = source_text(current.settings.as_ref()?.delivery.source_rules());
    let after = source_text(file.delivery.source_rules());
    (before != after).then_some((before, after))
}

fn source_text(rules: Option<SourceRules>) -> String {
    rules.map_or_else(|| "the default".to_owned(), |rules| rules.to_string())
}

fn paths_text(paths: Option<&[String]>) -> String {
    paths.map_or_else(|| "all files".to_owned(), |paths| format!("paths {}", paths.join(", ")))
}

/// What changes of who may see what.
fn access_changed(current: &Current, file: &TeamsFile) -> AccessChange {
    let nobody = AccessLines::default();
    AccessChange::between(current.settings.as_ref().map_or(&nobody, |settings| &settings.access), &file.access)
}

/// What changes of services: of new and changed ones what they consist of.
fn services_changed(current: &Current, file: &TeamsFile) -> Vec<(char, ServiceSlug, String)> {
    let known = current.settings.as_ref().map_or(&[][..], |settings| &settings.delivery.services);
    let mut changes = Vec::new();
    for service in &file.delivery.services {
        let before = known.iter().find(|it| it.slug == service.slug);
        if before == Some(service) {
            continue;
        }
        let owners = service.owners.iter().map(|owner| format!("{} {}", owner.team, owner.weight));
        let owners: Vec<String> = owners.collect();
        let owners = if owners.is_empty() { "no owners".to_owned() } else { owners.join(", ") };
        let repositories: Vec<&str> = service.repositories.iter().map(RepoName::as_str).collect();
        let sign = if before.is_some() { '~' } else { '+' };
        let mut note = format!("{}; {owners}", repositories.join(", "));
        let former = before.and_then(|before| before.paths.as_deref());
        if service.paths.is_some() || former.is_some() {
            let _ = write!(note, "; {}", paths_text(service.paths.as_deref()));
        }
        if before.is_some() && former != service.paths.as_deref() {
            let _ = write!(note, ", before {}", paths_text(former));
            if service.paths.is_some() {
                note.push_str("; the next run compares its pull requests with them");
            }
        }
        let environments = service.environments.iter().flatten().map(String::as_str).collect::<Vec<_>>();
        if !environments.is_empty() {
            let _ = write!(note, "; environments {}", environments.join(", "));
        }
        let (source, former) = (service.source_rules(), before.and_then(ServiceEntry::source_rules));
        if source.is_some() || former.is_some() {
            let _ = write!(note, "; deployments by {}", source_text(source.clone()));
        }
        if before.is_some() && former != source {
            let _ = write!(note, ", before by {}", source_text(former));
        }
        changes.push((sign, service.slug.clone(), note));
    }
    let is_gone = |it: &&ServiceEntry| file.delivery.services.iter().all(|service| service.slug != it.slug);
    changes.extend(known.iter().filter(is_gone).map(|it| {
        ('-', it.slug.clone(), "archived: its deployments go to the services of their repositories".to_owned())
    }));
    changes
}

/// Repositories that patterns matched so far and that are now excluded. Repositories that are also named stay.
fn excluded(current: &Current, file: &TeamsFile) -> Vec<RepoName> {
    let named: HashSet<&RepoName> = file.repositories.iter().collect();
    let is_excluded = |name: &&RepoName| file.rules.exclude(name) && !named.contains(name);
    current.found_repositories.iter().filter(is_excluded).cloned().collect()
}

/// Pairs a person's old and new terms in one team. Equal terms stay, terms with the same start are one changed
/// membership, and the rest are paired in order of time.
fn diff_terms(old: Vec<KnownMembership>, new: Vec<Terms>) -> Vec<ChangeKind> {
    let mut old = old;
    let mut new = new;
    old.retain(|membership| match new.iter().position(|terms| *terms == membership.terms) {
        Some(index) => {
            new.remove(index);
            false
        }
        None => true,
    });
    old.sort_by_key(|membership| membership.terms.period.from());
    new.sort_by_key(|terms| terms.period.from());
    let mut changes = Vec::new();
    old.retain(|membership| {
        let same_start = new.iter().position(|terms| terms.period.from() == membership.terms.period.from());
        match same_start {
            Some(index) => {
                changes.push(changed(*membership, new.remove(index)));
                false
            }
            None => true,
        }
    });
    let mut new = new.into_iter();
    for membership in old {
        changes.push(match new.next() {
            Some(terms) => changed(membership, terms),
            None => ChangeKind::Removed { id: membership.id, before: membership.terms },
        });
    }
    changes.extend(new.map(|after| ChangeKind::Added { after }));
    changes
}

fn changed(old: KnownMembership, after: Terms) -> ChangeKind {
    let KnownMembership { id, terms: before, .. } = old;
    let same_start = before.weight == after.weight && before.period.from() == after.period.from();
    let ends_earlier = after.period.to().is_some_and(|to| before.period.to().is_none_or(|before| to < before));
    if same_start && ends_earlier {
        ChangeKind::Ended { id, before, after }
    } else {
        ChangeKind::Changed { id, before, after }
    }
}

/// The settings that have no lines of their own, and kinds of work on a line each.
impl fmt::Display for PlanSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            timezone,
            bots,
            rules,
            include_archived,
            min_group_size,
            instances,
            delivery,
            access: _,
            goals: _,
            channels: _,
            investment,
            metrics,
        } = self;
        let bots: Vec<_> = bots.iter().map(Login::as_str).collect();
        let bots = if bots.is_empty() { "none named".to_owned() } else { bots.join(", ") };
        let groups = min_group_size.map_or_else(|| "any".to_owned(), |size| size.to_string());
        write!(f, "~ settings    timezone {}, bots: {bots}, min_group_size: {groups}", timezone.name())?;
        if !rules.is_empty() {
            let archived = if *include_archived { ", archived ones too" } else { "" };
            write!(f, ", all repositories of {rules}{archived}")?;
        }
        for instance in instances.iter().filter(|instance| instance.url != instance.forge.public_url()) {
            write!(f, ", {} at {}", instance.forge, instance.url)?;
        }
        writeln!(f, "{delivery}")?;
        for rule in investment {
            writeln!(f, "  investment  {rule}")?;
        }
        for metric in metrics {
            writeln!(f, "  metric      {metric}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            writeln!(f, "Nothing changes.")?;
        }
        if self.settings_changed {
            write!(f, "{}", self.settings)?;
        }
        if let Some((before, after)) = &self.source_changed {
            writeln!(f, "~ deployments by {after} (before: {before})")?;
        }
        for (sign, service, note) in &self.services_changed {
            writeln!(f, "{sign} service     {service} ({note})")?;
        }
        let AccessChange { removed, added, is_reordered } = &self.access_changed;
        for (sign, lines) in [('-', removed), ('+', added)] {
            for line in lines {
                writeln!(f, "{sign} access      {line}")?;
            }
        }
        if *is_reordered {
            writeln!(f, "~ access      the lines have another order, and the first one about somebody decides")?;
        }
        for (sign, goals) in [('-', &self.goals_changed.removed), ('+', &self.goals_changed.added)] {
            for goal in goals {
                writeln!(f, "{sign} goal        {goal}")?;
            }
        }
        for (sign, channels) in [('-', &self.channels_changed.removed), ('+', &self.channels_changed.added)] {
            for channel in channels {
                writeln!(f, "{sign} channel     {channel}")?;
            }
        }
        for (sign, repositories) in [('+', &self.repositories_added), ('-', &self.repositories_removed)] {
            for repository in repositories {
                writeln!(f, "{sign} repository  {repository}")?;
            }
        }
        for (former, name) in &self.repositories_renamed {
            writeln!(f, "~ repository  {name} (called {former} before)")?;
        }
        for repository in &self.repositories_excluded {
            writeln!(f, "- repository  {repository} (excluded)")?;
        }
        let teams = [
            ('+', &self.teams_added, ""),
            ('+', &self.teams_restored, ", restored"),
            ('~', &self.teams_renamed, ", renamed"),
        ];
        for (sign, teams, note) in teams {
            for (slug, name) in teams {
                writeln!(f, "{sign} team        {slug} ({name}{note})")?;
            }
        }
        for (former, slug) in &self.slugs_changed {
            writeln!(f, "~ team        {slug} (called {former} before)")?;
        }
        for slug in &self.teams_archived {
            let past =
                if self.teams_without_numbers.contains(slug) { "nothing counts for it" } else { "its past stays" };
            writeln!(f, "- team        {slug} (archived: {past})")?;
        }
        for MembershipChange { team, login, kind } in &self.memberships {
            let who = format!("{login} in {team}");
            match kind {
                ChangeKind::Added { after } => writeln!(f, "+ membership  {who}: {}", self.terms(after))?,
                ChangeKind::Ended { after, .. } => writeln!(f, "~ membership  {who} ended: {}", self.terms(after))?,
                ChangeKind::Changed { before, after, .. } => {
                    writeln!(f, "~ membership  {who} changed: {} (was {})", self.terms(after), self.terms(before))?;
                }
                ChangeKind::Removed { before, .. } => {
                    writeln!(f, "- membership  {who} removed, as if it had never been (was {})", self.terms(before))?;
                }
            }
        }
        self.fmt_logins(f)?;
        self.fmt_now_called(f)?;
        for (slug, former) in &self.former_slugs_unknown {
            writeln!(f, "! {slug}: there was never a team {former}, so `renamed_from: {former}` has no effect")?;
        }
        for (login, units) in &self.unallocated {
            writeln!(f, "! {login} has {} unallocated today: it counts for no team", Weight::format_units(*units))?;
        }
        Ok(())
    }
}

impl Plan {
    /// Notes about logins. A login that is in doubt has its lines there.
    fn fmt_logins(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_in_doubt = |login: &Login| self.doubts.iter().any(|doubt| doubt.login() == login);
        let accounts = self.people.iter().flat_map(|person| &person.accounts);
        for PlannedAccount { login, other_logins, now_called, external_id, .. } in accounts {
            for other in other_logins {
                writeln!(
                    f,
                    "! {other} and {login} are one account: if {other} is someone else now, write `id: …` beside it"
                )?;
            }
            let Some(now) = now_called.as_ref().filter(|_| !is_in_doubt(login)) else { continue };
            let is_anothers = self.people.iter().flat_map(PlannedPerson::logins).any(|other| other == now);
            match external_id.as_ref().filter(|_| is_anothers) {
                None => writeln!(f, "! {login} is now called {now} at GitHub: write {now} in the teams file")?,
                Some(id) => writeln!(
                    f,
                    "! {login} is now called {now} at GitHub, and {now} is another one in the teams file: write \
                     `{{ github: {now}, id: {id} }}` in place of {login}"
                )?,
            }
        }
        for doubt in &self.doubts {
            writeln!(f, "! {doubt}")?;
        }
        Ok(())
    }

    /// The lines to write for repositories with a new name. If a name moved from one repository of the file to another,
    /// the lines belong together: applied one by one, the file would name one repository twice and omit another.
    fn fmt_now_called(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moves = &self.repositories_now_called;
        let (moved_on, alone): (Vec<_>, Vec<_>) = moves.iter().partition(|(name, now)| {
            moves.iter().any(|(former, _)| former == now) || moves.iter().any(|(_, other)| other == name)
        });
        for (name, now) in alone {
            if self.repositories_named.contains(now) {
                writeln!(
                    f,
                    "! {name} is now called {now} at GitHub, and the teams file names {now} too: collect first, \
                     then `mergeline teams plan` says what to write"
                )?;
            } else {
                writeln!(f, "! {name} is now called {now} at GitHub: write {now} in the teams file")?;
            }
        }
        if !moved_on.is_empty() {
            writeln!(
                f,
                "! repositories have taken over each other's names at GitHub: in the teams file, write together"
            )?;
            for (name, now) in moved_on {
                writeln!(f, "    - {now}  # in place of {name}")?;
            }
        }
        Ok(())
    }

    fn terms(&self, terms: &Terms) -> String {
        let at = |instant: DateTime<Utc>| {
            let local = instant.with_timezone(&self.settings.timezone);
            if local.time() == NaiveTime::MIN { local.date_naive().to_string() } else { instant.to_rfc3339() }
        };
        let from = terms.period.from().map_or_else(String::new, |from| format!(" from {}", at(from)));
        let to = terms.period.to().map_or_else(String::new, |to| format!(" to {}", at(to)));
        format!("weight {}{from}{to}", terms.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn file(members: &str) -> TeamsFile {
        let text = format!("version: 1\nrepositories: [acme/api]\nteams:\n  - slug: pay\n    members:\n{members}");
        TeamsFile::parse("teams.yaml", text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// A file with this line and its only team.
    fn file_with(line: &str) -> TeamsFile {
        let text = format!(
            "version: 1\nrepositories: [acme/api]\n{line}\nteams: [{{ slug: pay, members: [{{ github: ana }}] }}]"
        );
        TeamsFile::parse("teams.yaml", text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn now() -> DateTime<Utc> {
        "2026-06-15T12:00:00Z".parse().expect("an instant")
    }

    /// The state after applying a plan to an empty store, numbered in order.
    pub(super) fn applied(file: &TeamsFile, archived: bool) -> Current {
        let plan = Plan::between(&Current::default(), file, now()).expect("a plan");
        let ids = || (1..).map(PersonId).zip(&plan.people);
        let account = |person: PersonId, account: &PlannedAccount| KnownAccount {
            person,
            external_id: account.external_id.clone(),
            configured_login: account.login.clone(),
            login: account.login.clone(),
            other_logins: account.other_logins.clone(),
        };
        let accounts: Vec<KnownAccount> =
            ids().flat_map(|(id, person)| person.accounts.iter().map(move |one| account(id, one))).collect();
        let id_of =
            |login: &Login| ids().find(|(_, person)| person.logins().any(|one| one == login)).expect("planned").0;
        let teams = (1..)
            .zip(&plan.teams_added)
            .map(|(id, (slug, name))| KnownTeam {
                id: TeamId(id),
                slug: slug.clone(),
                name: name.clone(),
                is_archived: archived,
                has_numbers: true,
                memberships: (1..)
                    .zip(plan.memberships.iter().filter(|change| change.team == *slug))
                    .map(|(id, change)| KnownMembership {
                        id: MembershipId(id),
                        person: id_of(&change.login),
                        terms: change.kind.after().expect("added"),
                    })
                    .collect(),
            })
            .collect();
        let settings = Some(plan.settings.clone());
        let known = |name: RepoName| KnownRepository { name, current_name: None };
        let repositories = plan.repositories_added.into_iter().map(known).collect();
        Current { settings, repositories, accounts, teams, ..Current::default() }
    }

    fn printed(before: &str, after: &str) -> String {
        Plan::between(&applied(&file(before), false), &file(after), now()).expect("a plan").to_string()
    }

    #[test]
    fn applying_the_same_file_again_changes_nothing() {
        let members = "      - { github: ana, weight: 0.5, from: 2026-01-01 }\n      - { github: bob }\n";
        let plan = Plan::between(&applied(&file(members), false), &file(members), now()).expect("a plan");
        assert!(plan.is_empty(), "{plan}");
    }

    #[test]
    fn changing_or_omitting_the_group_size_changes_settings() {
        let (three, all) = (file_with("privacy: { min_group_size: 3 }"), file_with(""));
        let between = |before: &TeamsFile, after: &TeamsFile| {
            Plan::between(&applied(before, false), after, now()).expect("a plan").to_string()
        };
        insta::assert_snapshot!(between(&all, &three), @"~ settings    timezone UTC, bots: none named, min_group_size: 3");
        insta::assert_snapshot!(between(&three, &all), @"~ settings    timezone UTC, bots: none named, min_group_size: any");
        assert_eq!(between(&three, &three), "Nothing changes.\n");
    }

    #[test]
    fn a_changed_source_of_deployments_is_shown_with_the_former_one() {
        let of_file = |source: &str| file_with(&format!("deployments: {source}"));
        let of_service =
            |source: &str| file_with(&format!("services: [{{ slug: shop, repositories: [acme/api]{source} }}]"));
        let between = |before: &TeamsFile, after: &TeamsFile| {
            let plan = Plan::between(&applied(before, false), after, now()).expect("a plan").to_string();
            plan.lines().filter(|line| !line.starts_with("~ settings")).collect::<Vec<_>>().join("\n")
        };
        let merges = of_file("{ source: merges, branch: main }");
        insta::assert_snapshot!(between(&of_file("{ workflow: deploy.yml }"), &merges), @"~ deployments by merges branch main (before: github-actions workflow deploy.yml)");
        insta::assert_snapshot!(between(&merges, &file_with("")), @"~ deployments by the default (before: merges branch main)");
        let events = of_service(", deployments: { source: events }");
        insta::assert_snapshot!(between(&of_service(""), &events), @"~ service     shop (acme/api; no owners; deployments by events, before by the default)");
        insta::assert_snapshot!(between(&events, &of_service(", environments: [live]")), @"~ service     shop (acme/api; no owners; environments live; deployments by the default, before by events)");
    }

    #[test]
    fn an_earlier_end_or_new_weight_changes_memberships() {
        let before = "      - { github: ana }\n      - { github: bob, from: 2026-01-01 }\n";
        insta::assert_snapshot!(printed(before, "      - { github: ana, to: 2026-03-01 }\n      - { github: bob, weight: 0.5, from: 2026-01-01 }\n"), @r"
        ~ membership  ana in pay ended: weight 1 to 2026-03-01
        ~ membership  bob in pay changed: weight 0.5 from 2026-01-01 (was weight 1 from 2026-01-01)
        ! bob has 0.5 unallocated today: it counts for no team
        ");
    }

    #[test]
    fn a_membership_missing_from_the_file_is_removed() {
        insta::assert_snapshot!(printed("      - { github: ana }\n      - { github: bob }\n", "      - { github: ana }\n"), @"- membership  bob in pay removed, as if it had never been (was weight 1)");
    }

    #[test]
    fn a_team_missing_from_the_file_is_archived() {
        let after = TeamsFile::parse("t", b"version: 1\nrepositories: [acme/api]\nteams: [{ slug: ops, members: [{ github: ana, from: 2026-06-15 }] }]")
            .expect("valid");
        let plan = Plan::between(&applied(&file("      - { github: ana }\n"), false), &after, now()).expect("a plan");
        insta::assert_snapshot!(plan, @r"
        + team        ops (ops)
        - team        pay (archived: its past stays)
        + membership  ana in ops: weight 1 from 2026-06-15
        ~ membership  ana in pay ended: weight 1 to 2026-06-15
        ");
    }

    #[test]
    fn another_team_cannot_inherit_an_archived_past() {
        let after = TeamsFile::parse(
            "t",
            b"version: 1\nrepositories: [acme/api]\nteams: [{ slug: ops, members: [{ github: ana }] }]",
        )
        .expect("valid");
        let problems =
            Plan::between(&applied(&file("      - { github: ana }\n"), false), &after, now()).expect_err("refused");
        insta::assert_snapshot!(problems, @r"
        pay: config.weight_sum: the team `pay` is not in the file, but its past still counts: with it, the weights of `ana` sum to more than 1 from the beginning
          help: if `ops` is the same team under a new slug, write
                  - slug: ops
                    renamed_from: pay
                if it is another team, start the memberships there when those in `pay` ended: `from: 2026-06-15`
        ");
    }

    /// A file with these teams.
    fn teams(teams: &str) -> TeamsFile {
        file_with_teams("", teams)
    }

    /// A file with this line and these teams.
    fn file_with_teams(line: &str, teams: &str) -> TeamsFile {
        let text = format!("version: 1\nrepositories: [acme/api]\n{line}\nteams: [{teams}]\n");
        TeamsFile::parse("teams.yaml", text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    pub(super) fn plan(current: &Current, file: &TeamsFile) -> Plan {
        Plan::between(current, file, now()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn the_suggested_lines_distinguish_renamed_teams_from_others() {
        let before = applied(&teams("{ slug: pay, members: [{ github: ana }, { github: bob }] }"), false);
        let members = "members: [{ github: ana }, { github: bob }]";
        let without = teams(&format!("{{ slug: checkout, {members} }}"));
        let refused = Plan::between(&before, &without, now()).expect_err("whose past is it?");
        assert_eq!(refused.list.len(), 1, "one for the team, not one for each person: {refused}");
        let refusal = refused.to_string();
        assert!(refusal.contains("\n          - slug: checkout\n            renamed_from: pay\n"), "{refusal}");
        let with = teams(&format!("{{ slug: checkout, renamed_from: pay, {members} }}"));
        insta::assert_snapshot!(plan(&before, &with), @r"
        ~ team        checkout (checkout, renamed)
        ~ team        checkout (called pay before)
        ");
    }

    #[test]
    fn a_new_slug_is_refused_without_excess_weights() {
        let halves = "members: [{ github: ana, weight: 0.5 }, { github: bob, weight: 0.5 }]";
        let before = applied(&teams(&format!("{{ slug: pay, {halves} }}")), false);
        let refused =
            |file: &TeamsFile| Plan::between(&before, file, now()).expect_err("whose past is it?").to_string();
        insta::assert_snapshot!(refused(&teams(&format!("{{ slug: checkout, {halves} }}"))), @r"
        pay: config.renamed_from: the team `pay` is not in the file, but its past still counts: it would count for `checkout` again, with `ana` and 1 more
          help: if `checkout` is the same team under a new slug, write
                  - slug: checkout
                    renamed_from: pay
                if it is another team, start the memberships there when those in `pay` ended: `from: 2026-06-15`
                if they really belonged to both at once, apply a file with neither of the two first, and `checkout` then
        ");
        let allowed = |text: &str| file_with_teams("allow_weights_above_one: true", text);
        let whole = "{ slug: checkout, members: [{ github: ana }, { github: bob }] }";
        for file in [
            allowed(whole),
            // Someone left at the same time, and someone joined.
            teams("{ slug: checkout, members: [{ github: ana, weight: 0.5 }, { github: eve }] }"),
            // It is split into two.
            teams(
                "{ slug: checkout, members: [{ github: ana, weight: 0.5 }] }, { slug: risk, members: [{ github: bob, weight: 0.5 }] }",
            ),
        ] {
            let refusal = refused(&file);
            assert!(refusal.contains("\n          - slug: checkout\n            renamed_from: pay\n"), "{refusal}");
        }
        let renamed = plan(&before, &teams(&format!("{{ slug: checkout, renamed_from: pay, {halves} }}")));
        assert_eq!((renamed.teams_added.len(), renamed.memberships.len()), (0, 0), "{renamed}");
    }

    #[test]
    fn a_successor_team_starts_where_the_former_ended() {
        let halves = "members: [{ github: ana, weight: 0.5 }, { github: bob, weight: 0.5 }]";
        let mut before = applied(&teams(&format!("{{ slug: pay, {halves} }}")), false);
        let later = halves.replace("0.5", "0.5, from: 2026-06-15");
        assert_eq!(plan(&before, &teams(&format!("{{ slug: checkout, {later} }}"))).teams_archived.len(), 1);
        let few = "{ slug: checkout, members: [{ github: eve }] }";
        assert_eq!(plan(&before, &teams(few)).teams_archived.len(), 1, "no one is in both");
        // Archived by an earlier file, so the overlap of the two is intentional.
        before.teams[0].is_archived = true;
        let both = plan(&before, &teams(&format!("{{ slug: checkout, {halves} }}")));
        assert_eq!((both.teams_added.len(), both.memberships.len()), (1, 2), "{both}");
        // The other way around, `renamed_from` cannot help: each of the two has a past.
        let mut two = applied(&teams(&format!("{{ slug: pay, {halves} }}, {{ slug: checkout, {halves} }}")), false);
        two.teams[1].is_archived = true;
        let refusal =
            Plan::between(&two, &teams(&format!("{{ slug: checkout, {halves} }}")), now()).expect_err("again");
        assert!(
            !refusal.to_string().contains("renamed_from: pay") && refusal.to_string().contains("`from: 2026-06-15`"),
            "{refusal}"
        );
    }

    #[test]
    fn a_leftover_former_slug_changes_nothing() {
        let file = teams("{ slug: checkout, renamed_from: pay, members: [{ github: ana }] }");
        insta::assert_snapshot!(plan(&Current::default(), &file), @r"
        ~ settings    timezone UTC, bots: none named, min_group_size: any
        + repository  acme/api
        + team        checkout (checkout)
        + membership  ana in checkout: weight 1
        ! checkout: there was never a team pay, so `renamed_from: pay` has no effect
        ");
        assert!(plan(&applied(&file, false), &file).is_empty());
    }

    #[test]
    fn an_empty_team_may_change_its_slug() {
        let members = (0..8).map(|n| format!("{{ github: u{n} }}")).collect::<Vec<_>>().join(", ");
        let mut before = applied(&teams(&format!("{{ slug: pay, members: [{members}] }}")), false);
        before.teams[0].has_numbers = false;
        let after = plan(&before, &teams(&format!("{{ slug: checkout, members: [{members}] }}")));
        assert_eq!((after.teams_added.len(), after.teams_archived.len(), after.memberships.len()), (1, 1, 16));
        assert!(!after.removes_too_much(), "{after}");
        assert_eq!(after.to_string().lines().nth(1), Some("- team        pay (archived: nothing counts for it)"));
    }

    #[test]
    fn only_an_empty_team_gives_up_its_slug() {
        let both = "{ slug: pay, members: [{ github: ana }] }, { slug: checkout, members: [{ github: bob }] }";
        let mut before = applied(&teams(both), false);
        let file = teams("{ slug: checkout, renamed_from: pay, members: [{ github: ana }] }");
        let refused = Plan::between(&before, &file, now()).expect_err("either counts");
        assert_eq!(refused.list[0].code, "config.renamed_from");
        before.teams[1].has_numbers = false;
        insta::assert_snapshot!(plan(&before, &file), @r"
        ~ team        checkout (checkout, renamed)
        ~ team        checkout (called pay before)
        ~ team        pay (called checkout before)
        - team        pay (archived: nothing counts for it)
        - membership  bob in pay removed, as if it had never been (was weight 1)
        ");
    }

    #[test]
    fn former_and_present_login_are_one_person() {
        let both =
            "      - { github: ana, to: 2026-03-01 }\n      - { github: ana-b, weight: 0.5, from: 2026-03-01 }\n";
        let mut current = applied(&file("      - { github: ana, id: 7 }\n"), false);
        current.accounts[0].login = Login::from_github("ana-b");
        insta::assert_snapshot!(plan(&current, &file(both)), @r"
        ~ membership  ana in pay ended: weight 1 to 2026-03-01
        + membership  ana in pay: weight 0.5 from 2026-03-01
        ! ana and ana-b are one account: if ana is someone else now, write `id: …` beside it
        ! ana-b has 0.5 unallocated today: it counts for no team
        ");
        // Afterwards the account is known by its new login, with the former one as another login.
        let person = &mut current.accounts[0];
        (person.configured_login, person.other_logins) = (person.login.clone(), vec![Login::from_github("ana")]);
        let after = plan(&current, &file(both));
        assert_eq!((after.people.len(), after.people[0].known), (1, Some(PersonId(1))));
        assert_eq!(after.losses(), 0, "{after}");
        // On its own, the former login may belong to someone who registered it since.
        let alone = plan(&current, &file("      - { github: ana }\n"));
        assert_eq!(alone.people[0].known, None);
    }

    #[test]
    fn two_logins_with_one_number_are_one_new_person() {
        let both = file(
            "      - { github: ana, id: 7, to: 2026-03-01 }\n      - { github: ana-b, id: 7, from: 2026-03-01 }\n",
        );
        let first = plan(&Current::default(), &both);
        assert_eq!(first.people.len(), 1);
        assert_eq!(
            (first.people[0].accounts[0].login.as_str(), first.people[0].accounts[0].other_logins.len()),
            ("ana-b", 1)
        );
        assert!(plan(&applied(&both, false), &both).is_empty());
    }

    #[test]
    fn following_moved_logins_keeps_everybody_in_place() {
        let mut current =
            applied(&file("      - { github: ana, id: 7 }\n      - { github: bob, id: 8, weight: 0.5 }\n"), false);
        current.accounts[0].login = Login::from_github("ana-b");
        current.accounts[1].login = Login::from_github("ana");
        let unchanged = plan(&current, &file("      - { github: ana }\n      - { github: bob, weight: 0.5 }\n"));
        assert!(unchanged.is_empty(), "{unchanged}");
        let corrected = plan(&current, &file("      - { github: ana-b }\n      - { github: ana, weight: 0.5 }\n"));
        assert!(corrected.is_empty(), "{corrected}");
    }

    #[test]
    fn an_account_at_another_forge_joins_its_person() {
        let github = "      - { github: ana, to: 2026-01-01 }\n";
        let before = applied(&file(&format!("{github}      - {{ gitlab: ana, from: 2026-01-01 }}\n")), false);
        let people: Vec<PersonId> = before.accounts.iter().map(|account| account.person).collect();
        assert_eq!(people, [PersonId(1), PersonId(2)], "nothing in the file joins them");
        let joined = plan(
            &before,
            &file("      - { github: ana, gitlab: ana, to: 2026-01-01 }\n      - { gitlab: ana, from: 2026-01-01 }\n"),
        );
        let known: Vec<_> = joined.people.iter().map(|person| (person.known, person.accounts.len())).collect();
        assert_eq!(known, [(Some(PersonId(1)), 2)], "the account at GitHub keeps the past");
        assert!(!joined.is_in_force() && !joined.people[0].is_stored());
        // And a line may separate them again.
        let together = applied(&file("      - { github: ana, gitlab: ana, to: 2026-01-01 }\n"), false);
        let apart = plan(&together, &file(&format!("{github}      - {{ gitlab: ana, from: 2026-01-01 }}\n")));
        let known: Vec<_> = apart.people.iter().map(|person| person.known).collect();
        assert_eq!(known, [Some(PersonId(1)), None]);
    }

    #[test]
    fn logins_of_one_account_elsewhere_are_merged() {
        // Both GitHub logins are one account, as a collection has found out.
        let members = "      - { github: ana, gitlab: one, to: 2026-01-01 }\n      \
                       - { github: ana-b, gitlab: two, from: 2026-01-01 }\n";
        let mut current = applied(&file(members), false);
        current.accounts.retain(|account| account.person == PersonId(1));
        current.accounts[0].other_logins = vec![Login::from_github("ana-b")];
        let planned = plan(&current, &file(members));
        let accounts: Vec<usize> = planned.people.iter().map(|person| person.accounts.len()).collect();
        assert_eq!(accounts, [2], "one at each forge");
        assert_eq!(planned.people[0].accounts[1].other_logins.len(), 1);
    }

    #[test]
    fn two_accounts_at_github_are_two_people() {
        let apart = "      - { github: ana, gitlab: one }\n      - { github: ben, gitlab: two }\n";
        let mut current = applied(&file(apart), false);
        let other =
            current.accounts.iter().position(|account| account.login.to_string() == "gitlab:two").expect("known");
        current.accounts.remove(other);
        let first =
            current.accounts.iter_mut().find(|account| account.login.to_string() == "gitlab:one").expect("known");
        first.other_logins = vec![Login::of(Forge::GitLab, "two")];
        let refused = Plan::between(&current, &file(apart), now()).expect_err("one GitLab account of two people");
        assert_eq!(refused.list[0].code, "config.accounts", "{refused}");
    }

    #[test]
    fn a_person_may_be_known_by_another_forge_alone() {
        let members = "      - { gitlab: ana, weight: 0.5 }\n";
        let current = applied(&file(members), false);
        let same = plan(&current, &file(members));
        assert!(same.is_in_force(), "{same}");
        let with_github = plan(&current, &file("      - { github: ana, gitlab: ana, weight: 0.5 }\n"));
        assert_eq!(with_github.people[0].known, Some(PersonId(1)), "the same person with one more account");
        assert!(with_github.is_empty() && !with_github.is_in_force(), "{with_github}");
        assert!(current.doubts().is_empty(), "nobody is seen at a forge that is not collected");
    }

    #[test]
    fn the_address_of_an_instance_is_a_setting() {
        let current = applied(&file_with("timezone: UTC"), false);
        let planned = plan(&current, &file_with("instances: [{ forge: gitlab, url: https://git.example.com }]"));
        assert!(planned.to_string().contains("gitlab at https://git.example.com"), "{planned}");
    }

    #[test]
    fn people_below_a_full_share_are_reported() {
        let members = "      - { github: ana, id: 7, weight: 0.5 }\n      - { github: bob, weight: 0.25 }\n";
        let other = "      - { github: ana-b, id: 7, weight: 0.5 }\n";
        let text = format!(
            "version: 1\nrepositories: [a/b]\nteams:\n  - slug: pay\n    members:\n{members}  - slug: web\n    members:\n{other}"
        );
        let file = TeamsFile::parse("teams.yaml", text.as_bytes()).expect("valid");
        let left = plan(&Current::default(), &file).unallocated;
        assert_eq!(left, [(Login::from_github("bob"), 7_500)]);
    }

    #[test]
    fn a_restored_team_keeps_its_history() {
        let current = applied(&file("      - { github: ana }\n"), true);
        let plan = Plan::between(&current, &file("      - { github: ana }\n"), now()).expect("a plan");
        insta::assert_snapshot!(plan, @"+ team        pay (pay, restored)");
    }

    #[test]
    fn a_renamed_account_matches_under_either_login() {
        let mut current = applied(&file("      - { github: ana, id: 7 }\n"), false);
        current.accounts[0].login = Login::from_github("ana-b");
        let old_name = Plan::between(&current, &file("      - { github: ana }\n"), now()).expect("a plan");
        insta::assert_snapshot!(old_name, @r"
        Nothing changes.
        ! ana is now called ana-b at GitHub: write ana-b in the teams file
        ");
        let new_name = Plan::between(&current, &file("      - { github: ana-b }\n"), now()).expect("a plan");
        assert!(new_name.is_empty(), "{new_name}");
    }

    #[test]
    fn a_login_with_another_number_is_new() {
        let current = applied(&file("      - { github: ana, id: 7 }\n"), false);
        let plan = Plan::between(&current, &file("      - { github: ana, id: 8 }\n"), now()).expect("a plan");
        assert_eq!(plan.people[0].known, None);
        assert_eq!(plan.losses(), 1);
    }

    #[test]
    fn two_logins_of_one_account_must_not_overlap() {
        let mut current = applied(&file("      - { github: ana, id: 7 }\n"), false);
        current.accounts[0].login = Login::from_github("ana-b");
        let both = file("      - { github: ana }\n      - { github: ana-b }\n");
        let problems = Plan::between(&current, &both, now()).expect_err("refused");
        assert_eq!(problems.list[0].code, "config.period_overlap");
    }

    #[test]
    fn removing_over_a_quarter_is_a_mass_removal() {
        let members = |count: usize| (0..count).map(|n| format!("      - {{ github: u{n} }}\n")).collect::<String>();
        let removes = |from, to| {
            Plan::between(&applied(&file(&members(from)), false), &file(&members(to)), now())
                .expect("a plan")
                .removes_too_much()
        };
        assert!(removes(20, 14));
        assert!(!removes(40, 34));
        assert!(!removes(6, 1));
    }

    #[test]
    fn moved_repository_names_are_followed_without_loss() {
        let named = |names: &str| {
            let text =
                format!("version: 1\nrepositories: [{names}]\nteams: [{{ slug: pay, members: [{{ github: ana }}] }}]");
            TeamsFile::parse("teams.yaml", text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"))
        };
        let name = |text: &str| text.parse::<RepoName>().expect("valid");
        let mut current = applied(&named("acme/a, acme/b"), false);
        current.repositories[0].current_name = Some(name("acme/b"));
        current.repositories[1].current_name = Some(name("acme/c"));
        insta::assert_snapshot!(plan(&current, &named("acme/a, acme/b")), @r"
        Nothing changes.
        ! repositories have taken over each other's names at GitHub: in the teams file, write together
            - acme/b  # in place of acme/a
            - acme/c  # in place of acme/b
        ");
        insta::assert_snapshot!(plan(&current, &named("acme/b, acme/c")), @r"
        ~ repository  acme/b (called acme/a before)
        ~ repository  acme/c (called acme/b before)
        ");
        // Only one of the two lines is corrected.
        insta::assert_snapshot!(plan(&current, &named("acme/a, acme/c")), @r"
        ~ repository  acme/c (called acme/b before)
        ! acme/a is now called acme/b at GitHub: write acme/b in the teams file
        ");
        // The current name of the second one is not known yet.
        current.repositories[1].current_name = Some(name("acme/b"));
        insta::assert_snapshot!(plan(&current, &named("acme/a, acme/b")), @r"
        Nothing changes.
        ! acme/a is now called acme/b at GitHub, and the teams file names acme/b too: collect first, then `mergeline teams plan` says what to write
        ");
        // Two repositories exchange their names: the file names both.
        current.repositories[1].current_name = Some(name("acme/a"));
        assert_eq!(plan(&current, &named("acme/a, acme/b")).to_string(), "Nothing changes.\n");
    }

    #[test]
    fn excluding_removes_pattern_repositories_unless_named() {
        let file = |repositories: &str| {
            let text = format!(
                "version: 1\nrepositories: {repositories}\nteams: [{{ slug: pay, members: [{{ github: ana }}] }}]"
            );
            TeamsFile::parse("teams.yaml", text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"))
        };
        let mut current = applied(&file("[acme/*]"), false);
        current.found_repositories =
            ["acme/api", "acme/mirror", "acme/old-archive"].map(|n| n.parse().expect("valid")).into();
        insta::assert_snapshot!(plan(&current, &file("[acme/*, '!acme/mirror', '!acme/*-archive']")), @r"
        ~ settings    timezone UTC, bots: none named, min_group_size: any, all repositories of acme/*, !acme/mirror, !acme/*-archive
        - repository  acme/mirror (excluded)
        - repository  acme/old-archive (excluded)
        ");
        let named = plan(&current, &file("[acme/*, '!acme/mirror', acme/mirror]"));
        assert!(named.repositories_excluded.is_empty(), "{named}");
    }
}
