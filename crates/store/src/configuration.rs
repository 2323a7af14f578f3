//! Teams, people and repositories: the configuration in force, and how a teams file changes it.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use mergeline_domain::insight::CustomMetric;
use mergeline_domain::messages::ChannelEntry;
use mergeline_domain::plan::{
    Current, Doubt, KnownAccount, KnownMembership, KnownRepository, KnownTeam, PersonChange, Plan, PlanSettings,
    PlannedAccount, Terms,
};
use mergeline_domain::progress::{CollectionProgress, ProgressEvent};
use mergeline_domain::teams_file::{DeliverySettings, GoalEntry, InstanceEntry, InvestmentEntry, TeamsFile};
use mergeline_domain::{
    AccessLines, ExternalId, Forge, Login, MembershipId, PersonId, Problems, RepoEntry, RepoName, RepoPattern,
    RepoRules, Roster, TeamId, TeamSlug, names_of, parse_zone,
};
use serde::Serialize;
use sqlx::types::Json;

use crate::attributions::{
    PULL_REQUESTS_AT_ONCE, Reattributed, attribute_next, count_differing, hold_alone, mark, mark_person, people,
    stored_period, stored_weight,
};
use crate::delivery::write_services;
use crate::events::EventKind;
use crate::progress::{advance_all, foresee_all};
use crate::repositories::repositories;
use crate::revision::{Revision, parse_stored, stored_name};
use crate::session::Session;
use crate::{Reader, Repository, StoreError, Writer};

/// One revision of the configuration, as the input of a collection.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The revision.
    pub revision: Revision,
    /// The people and their memberships.
    pub roster: Roster,
    /// The repositories, least recently served first.
    pub repositories: Vec<Repository>,
    /// The patterns for further repositories, with their exclusions.
    pub rules: RepoRules,
    /// Whether patterns include archived repositories.
    pub includes_archived: bool,
}

/// How a teams file is applied.
#[derive(Debug, Clone, Copy)]
pub struct ApplyOptions {
    /// Only report what would change.
    pub dry_run: bool,
    /// Apply even if a large part of the memberships would be removed.
    pub allow_removals: bool,
    /// How many stored pull requests may be reattributed in the same transaction.
    pub at_once: u32,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        Self { dry_run: false, allow_removals: false, at_once: PULL_REQUESTS_AT_ONCE }
    }
}

/// What applying a teams file did, or would do.
#[derive(Debug, Clone, Serialize)]
pub struct Applied {
    /// The changes.
    #[serde(flatten)]
    pub plan: Plan,
    /// Stored pull requests whose attributions changed.
    pub pull_requests_reattributed: usize,
    /// People whose stored pull requests keep their old attributions until [`Writer::reattribute`] has processed them.
    pub people_to_reattribute: i64,
    /// The next collection rereads changes since then, for a person whose pull requests were not kept before.
    pub reopens_since: Option<DateTime<Utc>>,
    /// Pull requests whose reviewers the next collection rereads, because the list of bots changed.
    pub histories_reopened: i64,
}

impl Applied {
    /// The plan without any further effects.
    fn unchanged(plan: Plan) -> Self {
        Self {
            plan,
            pull_requests_reattributed: 0,
            people_to_reattribute: 0,
            reopens_since: None,
            histories_reopened: 0,
        }
    }

    /// Adds the result of a reattribution step.
    pub fn note(&mut self, step: Reattributed) {
        self.pull_requests_reattributed += step.pull_requests;
        self.people_to_reattribute = step.people_left;
    }
}

impl std::fmt::Display for Applied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.plan.fmt(f)?;
        if self.pull_requests_reattributed > 0 {
            writeln!(f, "~ {} stored pull requests count differently", self.pull_requests_reattributed)?;
        }
        if self.people_to_reattribute > 0 {
            let (people, count) =
                if self.people_to_reattribute == 1 { ("person", "counts") } else { ("people", "count") };
            writeln!(
                f,
                "! {} {people} still {count} as before: the next collection updates their stored pull requests first",
                self.people_to_reattribute
            )?;
        }
        if let Some(since) = self.reopens_since {
            let since = since.with_timezone(&self.plan.settings.timezone).format("%Y-%m-%d %H:%M %Z");
            writeln!(f, "! a person is new: the next collection reads every repository again, back to {since}")?;
        }
        if self.histories_reopened > 0 {
            let count = self.histories_reopened;
            writeln!(f, "! the bots changed: the next collection reads the reviewers of {count} pull requests again")?;
        }
        Ok(())
    }
}

/// Why a teams file was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It contradicts the configuration in force.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// It would remove so many memberships that it is more likely broken than intended.
    #[error(
        "config.too_many_removals: {removed} of {before} memberships would go\n  help: look at `mergeline teams plan`; when \
         it is meant, apply it with --allow-removals (or set ALLOW_REMOVALS=true for one run)"
    )]
    TooManyRemovals {
        /// How many would be removed or end.
        removed: usize,
        /// How many there are now.
        before: usize,
    },
    /// The database does not know its time zone by any name, so it cannot compute weeks.
    #[error(
        "config.unknown_timezone: the database does not know the time zone {0}, nor another name of it\n  help: {UNKNOWN_ZONE_HELP}"
    )]
    UnknownTimezone(Tz),
    /// The database failed; nothing was applied.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What to do about a time zone that the database does not know.
pub const UNKNOWN_ZONE_HELP: &str =
    "name another time zone in the teams file, or update the time zones of the database server (its package tzdata)";

impl From<sqlx::Error> for ApplyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Reader {
    /// What applying a teams file would change. Takes one statement. Unlike a dry run, it does not count the affected
    /// pull requests.
    ///
    /// # Errors
    /// When the file contradicts the configuration in force, names a time zone that the database does not know, or the
    /// database fails.
    pub async fn plan(&self, file: &TeamsFile, now: DateTime<Utc>) -> Result<Plan, ApplyError> {
        let seen = self.with_deadline(async |connection| Ok(planned(connection, file, now).await)).await??;
        Ok(seen.plan)
    }

    /// The first of a zone's names that the database knows; `None` when it knows none of them. The lists of IANA names
    /// in PostgreSQL and in this program differ by age, and by what their systems leave out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known_zone(&self, zone: Tz) -> Result<Option<Tz>, StoreError> {
        let (_, known) = self.with_deadline(async |connection| current(connection, zone).await).await?;
        Ok(known)
    }

    /// Doubts about the configured logins, based on what is known about their accounts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn doubts(&self) -> Result<Vec<Doubt>, StoreError> {
        let (current, _) = self.with_deadline(async |connection| current(connection, Tz::UTC).await).await?;
        Ok(current.doubts())
    }

    /// The people of the configuration in force with its revision; `None` before the first teams file was applied.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn roster(&self) -> Result<Option<(Revision, Roster)>, StoreError> {
        self.at_one_instant(Self::read_roster).await
    }

    async fn read_roster(connection: &mut Session) -> Result<Option<(Revision, Roster)>, StoreError> {
        let settings = sqlx::query!(r#"select revision as "revision!", bots as "bots!" from configuration_in_force"#)
            .fetch_optional(&mut *connection)
            .await?;
        let Some(settings) = settings else { return Ok(None) };
        let people = people(connection, None).await?;
        Ok(Some((Revision(settings.revision), Roster::new(people, logins(&settings.bots)))))
    }

    /// Reads in one transaction with one consistent snapshot of the data.
    pub(crate) async fn at_one_instant<T>(
        &self,
        read: impl AsyncFnOnce(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with_deadline(async |connection| {
            sqlx::query!("set transaction isolation level repeatable read, read only")
                .execute(&mut *connection)
                .await?;
            read(connection).await
        })
        .await
    }

    /// The configuration in force; `None` before the first teams file was applied.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        self.at_one_instant(Self::read_snapshot).await
    }

    async fn read_snapshot(connection: &mut Session) -> Result<Option<Snapshot>, StoreError> {
        let settings = sqlx::query!(
            r#"select
                revision as "revision!", bots as "bots!", repository_rules as "rules!",
                includes_archived as "includes_archived!"
            from configuration_in_force"#
        )
        .fetch_optional(&mut *connection)
        .await?;
        let Some(settings) = settings else { return Ok(None) };
        let people = people(connection, None).await?;
        Ok(Some(Snapshot {
            revision: Revision(settings.revision),
            roster: Roster::new(people, logins(&settings.bots)),
            repositories: repositories(connection, None).await?,
            rules: stored_rules(&settings.rules)?,
            includes_archived: settings.includes_archived,
        }))
    }
}

impl Writer {
    /// Makes a teams file the configuration in force, in one transaction, all or nothing. Applying the same file again
    /// changes nothing and takes one statement and no lock. Corrected memberships stay as history. Stored pull requests
    /// are reattributed without requests to GitHub: up to `at_once` of them in the same transaction, the rest by
    /// [`Writer::reattribute`]. Until then, responses for the affected teams say so.
    ///
    /// A time zone that the database knows only by another name is stored under that name.
    ///
    /// # Errors
    /// When the file contradicts the configuration in force, would remove too much, names a time zone that the database
    /// does not know, or the database fails.
    pub async fn apply(
        &self,
        file: &TeamsFile,
        options: ApplyOptions,
        now: DateTime<Utc>,
    ) -> Result<Applied, ApplyError> {
        // Nearly every file is already in force. This check takes no lock.
        let seen = self.with_deadline(async |connection| Ok(planned(connection, file, now).await)).await??;
        if seen.plan.is_in_force() {
            return Ok(Applied::unchanged(seen.plan));
        }
        if options.dry_run {
            return Ok(self.with_deadline(async |connection| foresee(connection, seen).await).await?);
        }
        let mut transaction = self.pool.begin().await?;
        hold_alone(&mut transaction).await?;
        let Planned { current, plan } = planned(&mut transaction, file, now).await?;
        if plan.removes_too_much() && !options.allow_removals {
            return Err(ApplyError::TooManyRemovals { removed: plan.losses(), before: plan.memberships_before });
        }
        let people = write_people(&mut transaction, &plan).await?;
        let mut applied = Applied::unchanged(plan);
        if !applied.plan.is_empty() {
            let revision = write_settings(&mut transaction, &applied.plan, now).await?;
            write_repositories(&mut transaction, &applied.plan, now).await?;
            write_teams(&mut transaction, &applied.plan, now).await?;
            write_memberships(&mut transaction, &applied.plan, &people.by_login, revision).await?;
            delete_without_account(&mut transaction, &people.moved).await?;
            if moves_deployments(&current, &applied.plan) {
                write_services(&mut transaction, &applied.plan.settings.delivery, revision, now).await?;
            }
            let changes = applied.plan.changes_by_person(&current);
            mark(&mut transaction, &changes).await?;
            if bots_differ(&current, &applied.plan) {
                applied.histories_reopened = count_histories(&mut transaction).await?;
                reopen_histories(&mut transaction).await?;
            }
            if newly_since(&changes).is_some() || applied.plan.people.iter().any(|person| !person.is_stored()) {
                reopen_outside_reviews(&mut transaction).await?;
            }
            applied.note(attribute_next(&mut transaction, options.at_once).await?);
            if let Some(since) = newly_since(&changes) {
                let progress = advance_all(&mut transaction, ProgressEvent::Reopened { since }).await?;
                applied.reopens_since = reopened_since(&progress);
            }
            let (subject, payload) = (revision.0.to_string(), summary(&applied.plan));
            self.record_event(&mut transaction, EventKind::ConfigurationApplied, &subject, &payload, now).await?;
        }
        transaction.commit().await?;
        Ok(applied)
    }

    /// Merges two people: the person whose account is known by its id, and the one configured with the account's new
    /// login. Memberships move to the known person, whose stored pull requests are reattributed. Every roster that was
    /// read before is stale afterwards.
    ///
    /// # Errors
    /// [`StoreError::DuplicatePerson`] when the memberships of the two overlap in a team.
    pub async fn merge_people(
        &self,
        known: PersonId,
        configured: PersonId,
        external_id: &ExternalId,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.once(async |connection| Self::merge_into(connection, known, configured, external_id, now).await).await
    }

    async fn merge_into(
        connection: &mut Session,
        known: PersonId,
        configured: PersonId,
        external_id: &ExternalId,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        hold_alone(connection).await?;
        let logins = sqlx::query!(
            "select k.instance_id, k.configured_login as known, c.configured_login as configured, c.other_logins
            from accounts as k
            inner join accounts as c on k.instance_id = c.instance_id
            inner join instances as i on k.instance_id = i.id and i.forge = 'github'
            where
                k.person_id = $1 and c.person_id = $2 and c.external_id is null
                and (k.external_id is null or k.external_id = $3)",
            known.0,
            configured.0,
            external_id.as_str()
        )
        .fetch_optional(&mut *connection)
        .await?;
        // The work on another repository has already merged them.
        let Some(logins) = logins else { return Ok(()) };
        let overlap = sqlx::query_scalar!(
            "select t.slug
            from team_memberships as k
            inner join team_memberships as c
                on k.team_id = c.team_id
                and tstzrange(k.joined_at, k.left_at, '[)') && tstzrange(c.joined_at, c.left_at, '[)')
            inner join teams as t on k.team_id = t.id
            where k.person_id = $1 and c.person_id = $2 and k.removed_in is null and c.removed_in is null
            order by t.slug
            limit 1",
            known.0,
            configured.0
        )
        .fetch_optional(&mut *connection)
        .await?;
        if let Some(team) = overlap {
            return Err(StoreError::DuplicatePerson { known: logins.known, configured: logins.configured, team });
        }
        sqlx::query!("update team_memberships set person_id = $1 where person_id = $2", known.0, configured.0)
            .execute(&mut *connection)
            .await?;
        // Accounts at other instances move too. Where both have one, the next teams file says which it is.
        sqlx::query!(
            "update accounts as a set person_id = $1
            where
                a.person_id = $2
                and not exists (select from accounts as k where k.person_id = $1 and k.instance_id = a.instance_id)",
            known.0,
            configured.0
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!("delete from accounts where person_id = $1", configured.0).execute(&mut *connection).await?;
        sqlx::query!("update pull_request_reviews set reviewer_id = $1 where reviewer_id = $2", known.0, configured.0)
            .execute(&mut *connection)
            .await?;
        sqlx::query!("delete from people where id = $1", configured.0).execute(&mut *connection).await?;
        sqlx::query!(
            "update accounts
            set
                configured_login = $2, login = $2, external_id = coalesce(external_id, $3),
                other_logins = other_logins || $4::text []
            where person_id = $1 and instance_id = $5",
            known.0,
            logins.configured,
            external_id.as_str(),
            &logins.other_logins,
            logins.instance_id
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            "insert into configurations (
                applied_at, timezone, bots, repository_patterns, includes_archived, min_group_size, repository_rules,
                delivery, access, goals, investment, channels, metrics
            )
            select
                $1, timezone, bots, repository_patterns, includes_archived, min_group_size, repository_rules, delivery, access,
                goals, investment, channels, metrics
            from configuration_in_force",
            now
        )
        .execute(&mut *connection)
        .await?;
        mark_person(connection, known).await?;
        attribute_next(connection, PULL_REQUESTS_AT_ONCE).await?;
        Ok(())
    }
}

fn logins(stored: &[String]) -> Vec<Login> {
    stored.iter().map(|login| Login::from_github(login)).collect()
}

fn stored_instant(microseconds: i64) -> Result<DateTime<Utc>, StoreError> {
    let instant = DateTime::from_timestamp_micros(microseconds);
    instant.ok_or_else(|| StoreError::Other(format!("a stored time of {microseconds} microseconds").into()))
}

fn stored_rules(rules: &[String]) -> Result<RepoRules, StoreError> {
    Ok(RepoRules::new(rules.iter().map(|rule| parse_stored(rule)).collect::<Result<Vec<RepoEntry>, _>>()?))
}

fn stored_instances(instances: &[InstanceRow]) -> Result<Vec<InstanceEntry>, StoreError> {
    instances.iter().map(|(forge, url)| Ok(InstanceEntry { forge: parse_stored(forge)?, url: url.clone() })).collect()
}

fn stored_group_size(size: i32) -> Result<Option<u8>, StoreError> {
    let size = u8::try_from(size).map_err(|error| StoreError::Other(error.into()))?;
    Ok((size > 0).then_some(size))
}

/// The columns of JSON rows.
type SettingsRow = (
    String,
    Vec<String>,
    Vec<String>,
    bool,
    i32,
    DeliverySettings,
    AccessLines,
    Vec<GoalEntry>,
    Vec<InvestmentEntry>,
    Vec<ChannelEntry>,
    Vec<CustomMetric>,
);
type RepositoryRow = (String, Option<String>, bool);
type AccountRow = (i64, String, Option<String>, String, String, Vec<String>);
type InstanceRow = (String, String);
type MembershipRow = (i64, i64, i64, i32, Option<i64>, Option<i64>);
type TeamRow = (i64, String, String, bool, bool);

/// The configuration in force, and what a teams file would change.
struct Planned {
    current: Current,
    plan: Plan,
}

/// Compares a teams file with the configuration in force, in one statement. A time zone that the database knows only by
/// another name is replaced by that name.
async fn planned(connection: &mut Session, file: &TeamsFile, now: DateTime<Utc>) -> Result<Planned, ApplyError> {
    let (current, timezone) = current(connection, file.timezone).await?;
    let timezone = timezone.ok_or(ApplyError::UnknownTimezone(file.timezone))?;
    let plan = if timezone == file.timezone {
        Plan::between(&current, file, now)?
    } else {
        Plan::between(&current, &TeamsFile { timezone, ..file.clone() }, now)?
    };
    Ok(Planned { current, plan })
}

/// Everything a teams file is compared with, and the first of a zone's names that the database knows.
async fn current(connection: &mut Session, zone: Tz) -> Result<(Current, Option<Tz>), StoreError> {
    let names: Vec<&str> = names_of(zone).into_iter().map(Tz::name).collect();
    let row = sqlx::query_file!("queries/current_configuration.sql", &names as &[&str]).fetch_one(connection).await?;
    let settings = row
        .settings
        .map(
            |Json((
                timezone,
                bots,
                rules,
                include_archived,
                min_group_size,
                delivery,
                access,
                goals,
                investment,
                channels,
                metrics,
            ))| {
                Ok::<_, StoreError>(PlanSettings {
                    timezone: parse_stored(&timezone)?,
                    bots: logins(&bots),
                    rules: stored_rules(&rules)?,
                    include_archived,
                    min_group_size: stored_group_size(min_group_size)?,
                    instances: stored_instances(&row.instances)?,
                    delivery,
                    access,
                    goals,
                    investment,
                    channels,
                    metrics,
                })
            },
        )
        .transpose()?;
    let (mut repositories, mut found_repositories) = (Vec::new(), Vec::new());
    for (name, current_name, is_found) in row.repositories.0 {
        let name = stored_name(&name)?;
        let current_name = current_name.as_deref().map(stored_name).transpose()?;
        if is_found {
            found_repositories.push(current_name.unwrap_or(name));
        } else {
            repositories.push(KnownRepository { name, current_name });
        }
    }
    let accounts = row
        .accounts
        .0
        .into_iter()
        .map(|(person, forge, external_id, configured_login, login, other_logins)| {
            let forge = parse_stored(&forge)?;
            Ok(KnownAccount {
                person: PersonId(person),
                external_id: external_id.map(ExternalId::from),
                configured_login: Login::of(forge, &configured_login),
                login: Login::of(forge, &login),
                other_logins: other_logins.iter().map(|login| Login::of(forge, login)).collect(),
            })
        })
        .collect::<Result<_, StoreError>>()?;
    let mut memberships: HashMap<i64, Vec<KnownMembership>> = HashMap::new();
    for (id, team, person, units, joined_at, left_at) in row.memberships.0 {
        let period =
            stored_period(joined_at.map(stored_instant).transpose()?, left_at.map(stored_instant).transpose()?)?;
        let terms = Terms { weight: stored_weight(units)?, period };
        let membership = KnownMembership { id: MembershipId(id), person: PersonId(person), terms };
        memberships.entry(team).or_default().push(membership);
    }
    let teams = row
        .teams
        .0
        .into_iter()
        .map(|(id, slug, name, is_archived, has_numbers)| {
            Ok(KnownTeam {
                id: TeamId(id),
                slug: parse_stored::<TeamSlug>(&slug)?,
                name,
                is_archived,
                has_numbers,
                memberships: memberships.remove(&id).unwrap_or_default(),
            })
        })
        .collect::<Result<_, StoreError>>()?;
    let timezone = row.timezone.and_then(|name| parse_zone(&name));
    let read_since = row.read_since;
    Ok((Current { settings, repositories, found_repositories, accounts, teams, read_since }, timezone))
}

/// The people of a plan, as they are stored.
struct WrittenPeople {
    /// The person of each login.
    by_login: HashMap<Login, PersonId>,
    /// People who lost an account, and who has it now.
    moved: Vec<(PersonId, PersonId)>,
}

/// Stores new people and new facts about the accounts of known people.
async fn write_people(connection: &mut Session, plan: &Plan) -> Result<WrittenPeople, StoreError> {
    let new = plan.people.iter().filter(|person| person.known.is_none()).count();
    let mut added = sqlx::query_scalar!(
        "insert into people select from generate_series(1, $1) returning id",
        i32::try_from(new).unwrap_or(i32::MAX)
    )
    .fetch_all(&mut *connection)
    .await?
    .into_iter()
    .map(PersonId);
    let mut people: HashMap<Login, PersonId> = HashMap::new();
    let mut columns = AccountColumns::default();
    for person in &plan.people {
        let Some(id) = person.known.or_else(|| added.next()) else { continue };
        people.extend(person.logins().map(|login| (login.clone(), id)));
        if !person.is_stored() {
            person.accounts.iter().for_each(|account| columns.add(id, account));
        }
    }
    columns.write(connection).await?;
    Ok(WrittenPeople { by_login: people, moved: columns.moved })
}

/// Deletes people who have lost their last account. Memberships that they still have, in teams that are archived, go to
/// the person who has the account now, if that person has none at the same time.
async fn delete_without_account(connection: &mut Session, moved: &[(PersonId, PersonId)]) -> Result<(), StoreError> {
    for (former, present) in moved {
        sqlx::query!(
            "update pull_request_reviews set reviewer_id = $2
            where reviewer_id = $1 and not exists (select from accounts as a where a.person_id = $1)",
            former.0,
            present.0
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            "update team_memberships as m set person_id = $2
            where
                m.person_id = $1
                and not exists (select from accounts as a where a.person_id = $1)
                and not exists (
                    select from team_memberships as o
                    where
                        o.person_id = $2 and o.team_id = m.team_id and o.removed_in is null and m.removed_in is null
                        and tstzrange(o.joined_at, o.left_at, '[)') && tstzrange(m.joined_at, m.left_at, '[)')
                )",
            former.0,
            present.0
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            "delete from people as p
            where
                p.id = $1
                and not exists (select from accounts as a where a.person_id = p.id)
                and not exists (select from team_memberships as m where m.person_id = p.id)",
            former.0
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Accounts, as columns for one statement.
#[derive(Default)]
struct AccountColumns {
    people: Vec<i64>,
    forges: Vec<&'static str>,
    external_ids: Vec<Option<String>>,
    configured_logins: Vec<String>,
    logins: Vec<String>,
    others: Vec<String>,
    /// People who lose an account, and who gets it.
    moved: Vec<(PersonId, PersonId)>,
    /// The accounts that have gone to another person, or that the file replaces.
    former_people: Vec<i64>,
    former_forges: Vec<&'static str>,
}

impl AccountColumns {
    fn add(&mut self, person: PersonId, account: &PlannedAccount) {
        let known = account.known.as_ref();
        let forge = <&str>::from(account.login.forge());
        self.people.push(person.0);
        self.forges.push(forge);
        self.external_ids.push(account.external_id.as_ref().map(ExternalId::to_string));
        self.configured_logins.push(account.login.as_str().to_owned());
        // Where nobody is seen, the file says what an account is called.
        let is_seen = account.login.forge() == Forge::GitHub;
        let login = known.filter(|_| is_seen).map_or(&account.login, |known| &known.login);
        self.logins.push(login.as_str().to_owned());
        let former = known.into_iter().flat_map(|known| known.other_logins.iter().chain([&known.login]));
        let others = account.other_logins.iter().chain(former).filter(|other| **other != *login);
        self.others.push(joined(others));
        let owner = known.map(|known| known.person);
        if owner == Some(person) {
            return;
        }
        self.moved.extend(owner.map(|owner| (owner, person)));
        // The account of another person, and one in whose place the file has another one.
        for former in owner.into_iter().chain([person]) {
            self.former_people.push(former.0);
            self.former_forges.push(forge);
        }
    }

    async fn write(&self, connection: &mut Session) -> Result<(), StoreError> {
        sqlx::query!(
            "delete from accounts as a
            using unnest($1::bigint [], $2::text []) as f (person_id, forge)
            inner join instances as i on f.forge = i.forge
            where a.person_id = f.person_id and a.instance_id = i.id",
            &self.former_people,
            &self.former_forges as &[&str]
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            "insert into accounts as a (tenant_id, person_id, instance_id, external_id, configured_login, login, other_logins)
            select i.tenant_id, f.person_id, i.id, f.external_id, f.configured_login, f.login, string_to_array(f.others, ' ')
            from unnest($1::bigint [], $2::text [], $3::text [], $4::text [], $5::text [], $6::text [])
                as f (person_id, forge, external_id, configured_login, login, others)
            inner join instances as i on f.forge = i.forge
            on conflict (tenant_id, person_id, instance_id) do update
            set
                configured_login = excluded.configured_login,
                login = excluded.login,
                external_id = coalesce(a.external_id, excluded.external_id),
                other_logins = a.other_logins || excluded.other_logins",
            &self.people,
            &self.forges as &[&str],
            &self.external_ids as &[Option<String>],
            &self.configured_logins,
            &self.logins,
            &self.others
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// Joined by spaces, which logins cannot contain. Statements do not accept arrays of arrays with different lengths.
fn joined<'a>(logins: impl Iterator<Item = &'a Login>) -> String {
    logins.map(Login::as_str).collect::<Vec<_>>().join(" ")
}

async fn write_settings(connection: &mut Session, plan: &Plan, now: DateTime<Utc>) -> Result<Revision, StoreError> {
    let settings = &plan.settings;
    let bots: Vec<String> = settings.bots.iter().map(Login::to_string).collect();
    let patterns: Vec<String> = settings.rules.patterns().map(RepoPattern::to_string).collect();
    let rules: Vec<String> = settings.rules.clone().into();
    let revision = sqlx::query_scalar!(
        "insert into configurations (
            applied_at, timezone, bots, repository_patterns, includes_archived, min_group_size, repository_rules, delivery, access,
            goals, investment, channels, metrics
        )
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) returning revision",
        now,
        settings.timezone.name(),
        &bots,
        &patterns,
        settings.include_archived,
        settings.min_group_size.map_or(0, i32::from),
        &rules,
        Json(&settings.delivery) as _,
        Json(&settings.access) as _,
        Json(&settings.goals) as _,
        Json(&settings.investment) as _,
        Json(&settings.channels) as _,
        Json(&settings.metrics) as _
    )
    .fetch_one(&mut *connection)
    .await?;
    // Addresses of people are kept only while they matter.
    sqlx::query!("update configurations set access = '[]' where revision < $1 and access <> '[]'", revision)
        .execute(&mut *connection)
        .await?;
    let (forges, urls): (Vec<&str>, Vec<&str>) =
        settings.instances.iter().map(|instance| (<&str>::from(instance.forge), instance.url.as_str())).unzip();
    sqlx::query!(
        "update instances as i set base_url = f.url
        from unnest($1::text [], $2::text []) as f (forge, url)
        where i.forge = f.forge and i.base_url <> f.url",
        &forges as &[&str],
        &urls as &[&str]
    )
    .execute(&mut *connection)
    .await?;
    // Repositories of a removed pattern are removed with it.
    sqlx::query!(
        "update repositories set removed_at = $2
        where pattern is not null and removed_at is null and pattern <> all($1)",
        &patterns,
        now
    )
    .execute(connection)
    .await?;
    Ok(Revision(revision))
}

async fn write_repositories(connection: &mut Session, plan: &Plan, now: DateTime<Utc>) -> Result<(), StoreError> {
    let removed: Vec<&str> = plan.repositories_removed.iter().map(RepoName::as_str).collect();
    sqlx::query!(
        "update repositories set removed_at = $2 where name = any($1) and removed_at is null",
        &removed as &[&str],
        now
    )
    .execute(&mut *connection)
    .await?;
    let excluded: Vec<&str> = plan.repositories_excluded.iter().map(RepoName::as_str).collect();
    sqlx::query!(
        "update repositories set removed_at = $2
        where pattern is not null and display_name = any($1) and removed_at is null",
        &excluded as &[&str],
        now
    )
    .execute(&mut *connection)
    .await?;
    rename_repositories(connection, plan).await?;
    for name in &plan.repositories_added {
        // A repository that returns keeps its pull requests and continues where it stopped. So does one that was
        // renamed, or that a pattern had added.
        let restored = sqlx::query!(
            "update repositories set removed_at = null, name = $1, pattern = null
            where id = (
                select id from repositories
                where (name = $1 or current_name = $1) and (removed_at is not null or pattern is not null)
                order by removed_at desc nulls first, id desc
                limit 1
            )",
            name.as_str()
        )
        .execute(&mut *connection)
        .await?;
        if restored.rows_affected() == 0 {
            sqlx::query!("insert into repositories (name, added_at) values ($1, $2)", name.as_str(), now)
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}

/// Renames repositories as in the file. A name may move from one repository to another, so all of them get a temporary
/// name first.
async fn rename_repositories(connection: &mut Session, plan: &Plan) -> Result<(), StoreError> {
    if plan.repositories_renamed.is_empty() {
        return Ok(());
    }
    let (before, after): (Vec<&str>, Vec<&str>) =
        plan.repositories_renamed.iter().map(|(before, after)| (before.as_str(), after.as_str())).unzip();
    let renamed = sqlx::query!(
        r#"update repositories as r
        set name = 'renamed/' || gen_random_uuid()::text
        from unnest($1::text [], $2::text []) as f (former, name)
        where r.name = f.former and r.removed_at is null and r.pattern is null
        returning r.id, f.name as "name!""#,
        &before as &[&str],
        &after as &[&str]
    )
    .fetch_all(&mut *connection)
    .await?;
    let ids: Vec<i64> = renamed.iter().map(|row| row.id).collect();
    let names: Vec<String> = renamed.into_iter().map(|row| row.name).collect();
    sqlx::query!(
        "update repositories as r set name = f.name
        from unnest($1::bigint [], $2::text []) as f (id, name)
        where r.id = f.id",
        &ids,
        &names
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_teams(connection: &mut Session, plan: &Plan, now: DateTime<Utc>) -> Result<(), StoreError> {
    write_slugs(connection, plan).await?;
    for (slug, name) in plan.teams_added.iter().chain(&plan.teams_restored).chain(&plan.teams_renamed) {
        sqlx::query!(
            "insert into teams (slug, name, created_at) values ($1, $2, $3)
            on conflict (tenant_id, slug) do update set name = excluded.name, archived_at = null",
            slug.as_str(),
            name,
            now
        )
        .execute(&mut *connection)
        .await?;
    }
    let archived: Vec<&str> = plan.teams_archived.iter().map(TeamSlug::as_str).collect();
    sqlx::query!(
        "update teams set archived_at = $2 where slug = any($1) and archived_at is null",
        &archived as &[&str],
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives teams their new slugs. Two teams may swap slugs, so all of them get a temporary one first.
async fn write_slugs(connection: &mut Session, plan: &Plan) -> Result<(), StoreError> {
    if plan.slugs_changed.is_empty() {
        return Ok(());
    }
    let (before, after): (Vec<&str>, Vec<&str>) =
        plan.slugs_changed.iter().map(|(before, after)| (before.as_str(), after.as_str())).unzip();
    let moved = sqlx::query!(
        r#"update teams as t
        set slug = 't' || replace(gen_random_uuid()::text, '-', '')
        from unnest($1::text [], $2::text []) as f (former, slug)
        where t.slug = f.former
        returning t.id, f.slug as "slug!""#,
        &before as &[&str],
        &after as &[&str]
    )
    .fetch_all(&mut *connection)
    .await?;
    let ids: Vec<i64> = moved.iter().map(|row| row.id).collect();
    let slugs: Vec<String> = moved.into_iter().map(|row| row.slug).collect();
    sqlx::query!(
        "update teams as t set slug = f.slug
        from unnest($1::bigint [], $2::text []) as f (id, slug)
        where t.id = f.id",
        &ids,
        &slugs
    )
    .execute(&mut *connection)
    .await?;
    // Goals of former teams files stay those of their team.
    sqlx::query!(
        "update configurations as c
        set goals = (
            select
                jsonb_agg(
                    case when f.slug is null then g.goal else jsonb_set(g.goal, '{team}', to_jsonb(f.slug)) end
                    order by g.place
                )
            from jsonb_array_elements(c.goals) with ordinality as g (goal, place)
            left join unnest($1::text [], $2::text []) as f (former, slug) on g.goal ->> 'team' = f.former
        )
        where c.goals <> '[]' and c.revision < (select max(m.revision) from configurations as m)",
        &before as &[&str],
        &after as &[&str]
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_memberships(
    connection: &mut Session,
    plan: &Plan,
    people: &HashMap<Login, PersonId>,
    revision: Revision,
) -> Result<(), StoreError> {
    let replaced: Vec<i64> =
        plan.memberships.iter().filter_map(|change| change.kind.replaced()).map(|id| id.0).collect();
    // Removed first, because a corrected membership would overlap the one it replaces.
    sqlx::query!("update team_memberships set removed_in = $2 where id = any($1)", &replaced, revision.0)
        .execute(&mut *connection)
        .await?;
    let mut columns = MembershipColumns::default();
    for change in &plan.memberships {
        let Some(Terms { weight, period }) = change.kind.after() else { continue };
        columns.teams.push(change.team.to_string());
        columns.people.push(people.get(&change.login).map(|id| id.0));
        columns.replaced.push(change.kind.replaced().map(|id| id.0));
        columns.units.push(i32::from(weight.units()));
        columns.joined_at.push(period.from());
        columns.left_at.push(period.to());
    }
    // The replaced row knows its person. In the file, the same login may now mean another person.
    sqlx::query!(
        "insert into team_memberships (tenant_id, team_id, person_id, weight, joined_at, left_at, added_in)
        select t.tenant_id, t.id, coalesce(m.person_id, f.person_id), f.units / 10000.0, f.joined_at, f.left_at, $7
        from unnest(
            $1::text [], $2::bigint [], $3::bigint [], $4::integer [], $5::timestamptz [], $6::timestamptz []
        ) with ordinality as f (team, person_id, replaced, units, joined_at, left_at, position)
        inner join teams as t on f.team = t.slug
        left join team_memberships as m on f.replaced = m.id
        order by f.position",
        &columns.teams,
        &columns.people as &[Option<i64>],
        &columns.replaced as &[Option<i64>],
        &columns.units,
        &columns.joined_at as &[Option<DateTime<Utc>>],
        &columns.left_at as &[Option<DateTime<Utc>>],
        revision.0
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// New memberships, as columns for one statement.
#[derive(Default)]
struct MembershipColumns {
    teams: Vec<String>,
    people: Vec<Option<i64>>,
    replaced: Vec<Option<i64>>,
    units: Vec<i32>,
    joined_at: Vec<Option<DateTime<Utc>>>,
    left_at: Vec<Option<DateTime<Utc>>>,
}

/// The earliest time from which a person is now a member and was not before. Pull requests of people outside the teams
/// were never stored. `Some(None)` is the beginning of time.
#[expect(clippy::option_option, reason = "nowhere and the beginning of time are different")]
fn newly_since(changes: &[PersonChange]) -> Option<Option<DateTime<Utc>>> {
    // None, the beginning of time, is less than every instant.
    changes.iter().filter_map(PersonChange::newly_since).min()
}

/// What an event says about an applied file: names of teams and repositories, and how many memberships changed.
fn summary(plan: &Plan) -> serde_json::Value {
    let slugs = |teams: &[(TeamSlug, String)]| teams.iter().map(|(slug, _)| slug.to_string()).collect::<Vec<_>>();
    serde_json::json!({
        "memberships_changed": plan.memberships.len(),
        "teams_added": slugs(&plan.teams_added),
        "teams_archived": plan.teams_archived,
        "repositories_added": plan.repositories_added,
        "repositories_removed": plan.repositories_removed,
    })
}

/// From when on repositories are read again, the earliest; `None` if nothing was read before.
fn reopened_since<'a>(progress: impl IntoIterator<Item = &'a CollectionProgress>) -> Option<DateTime<Utc>> {
    progress.into_iter().filter_map(|progress| progress.reopened_since).min()
}

/// Whether the list of bots changed.
fn bots_differ(current: &Current, plan: &Plan) -> bool {
    let bots = |settings: &PlanSettings| settings.bots.iter().cloned().collect::<HashSet<Login>>();
    current.settings.as_ref().is_some_and(|before| bots(before) != bots(&plan.settings))
}

/// Whether deployments may belong to other services or teams afterwards.
fn moves_deployments(current: &Current, plan: &Plan) -> bool {
    let before = current.settings.as_ref().map(|settings| &settings.delivery);
    before != Some(&plan.settings.delivery)
        || !plan.repositories_added.is_empty()
        || !plan.repositories_removed.is_empty()
        || !plan.repositories_renamed.is_empty()
        || !plan.repositories_excluded.is_empty()
}

/// What applying would do. Writes nothing and takes no lock.
async fn foresee(connection: &mut Session, planned: Planned) -> Result<Applied, StoreError> {
    let Planned { current, plan } = planned;
    let changes = plan.changes_by_person(&current);
    let mut applied = Applied::unchanged(plan);
    applied.pull_requests_reattributed = count_differing(connection, &changes).await?;
    if let Some(since) = newly_since(&changes) {
        let foreseen = foresee_all(connection, ProgressEvent::Reopened { since }).await?;
        applied.reopens_since = reopened_since(foreseen.iter().map(|(_, progress)| progress));
    }
    if bots_differ(&current, &applied.plan) {
        applied.histories_reopened = count_histories(connection).await?;
    }
    Ok(applied)
}

/// Schedules the histories of all pull requests to be read again. Logins of reviewers are not stored, and with another set of
/// bots another review may be the first by a person. Known values stay until then.
async fn reopen_histories(connection: &mut Session) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into reopened_histories (tenant_id, repository_id)
        select tenant_id, id from repositories where pull_requests > without_details
        on conflict (tenant_id, repository_id)
        do update set done_number = excluded.done_number, only_outside = excluded.only_outside"
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Schedules the reviews by people outside to be read again, after people were added who may have made them. Nothing else is read
/// again, and phases stay known.
async fn reopen_outside_reviews(connection: &mut Session) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into reopened_histories as h (tenant_id, repository_id, only_outside)
        select r.tenant_id, r.id, true
        from repositories as r
        where
            exists (
                select from pull_requests as p
                inner join pull_request_reviews as v on p.id = v.pull_request_id
                where p.repository_id = r.id and p.reviews_at is not null and v.reviewer_id is null
            )
        -- If everything is to be read again, it still is.
        on conflict (tenant_id, repository_id) do update set done_number = excluded.done_number"
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// How many pull requests have a known history.
async fn count_histories(connection: &mut Session) -> Result<i64, StoreError> {
    let known = sqlx::query_scalar!(
        r#"select coalesce(sum(pull_requests - without_details), 0)::bigint as "known!" from repositories"#
    );
    Ok(known.fetch_one(connection).await?)
}
