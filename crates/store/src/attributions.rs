//! Which teams stored pull requests count for. A membership change marks the affected people, and their pull requests
//! are reattributed in steps of bounded size. Each pull request changes in one transaction. The marks record the
//! progress, so that any process can continue.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use mergeline_domain::plan::PersonChange;
use mergeline_domain::{
    Attribution, ExternalId, Login, Membership, MembershipId, Period, Person, PersonId, TeamId, Weight,
};

use crate::delivery::{derive, lock_services};
use crate::revision::parse_stored;
use crate::session::Session;
use crate::{RepositoryId, Revision, StoreError, Writer};

/// How many stored pull requests are reattributed in one transaction. This takes some tenths of a second on an idle
/// machine, and pages wait for it.
pub const PULL_REQUESTS_AT_ONCE: u32 = 2_000;

/// How many people are processed in one transaction. Bounds memory, does not affect correctness.
const PEOPLE_AT_ONCE: i64 = 1_000;

/// How many spans are counted in one statement. Bounds its time, does not affect correctness.
const SPANS_AT_ONCE: usize = 1_000;

/// Pages take this lock shared. Membership changes and reattribution take it exclusively. So no page uses a roster that
/// has just been replaced, and no pull request changes while it is attributed. Each tenant has its own. The number is
/// arbitrary.
const CONFIGURATION_LOCK: i32 = 0x6d67_6c63;

/// Blocks storing pull requests and changing memberships until the transaction ends.
pub(crate) async fn hold_alone(connection: &mut Session) -> Result<(), StoreError> {
    let tenant = connection.tenant().id();
    sqlx::query!("select pg_advisory_xact_lock($1, $2)", CONFIGURATION_LOCK, tenant).execute(connection).await?;
    Ok(())
}

/// Blocks membership changes until the transaction ends.
pub(crate) async fn hold_together(connection: &mut Session) -> Result<(), StoreError> {
    let tenant = connection.tenant().id();
    sqlx::query!("select pg_advisory_xact_lock_shared($1, $2)", CONFIGURATION_LOCK, tenant).execute(connection).await?;
    Ok(())
}

/// Blocks membership changes until the transaction ends. Fails if the roster is no longer in force.
pub(crate) async fn lock_configuration(connection: &mut Session, revision: Revision) -> Result<(), StoreError> {
    hold_together(connection).await?;
    let in_force = sqlx::query_scalar!(r#"select revision as "revision!" from configuration_in_force"#)
        .fetch_one(connection)
        .await?;
    if in_force == revision.0 { Ok(()) } else { Err(StoreError::StaleConfiguration) }
}

/// The result of a reattribution step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reattributed {
    /// Pull requests whose attributions changed. Does not include those of a step whose reply was lost.
    pub pull_requests: usize,
    /// People with pull requests that still count as before.
    pub people_left: i64,
    /// Repositories whose histories must still be marked to be read again.
    pub repositories_left: i64,
}

impl Reattributed {
    /// Whether nothing is left to do.
    pub fn is_finished(&self) -> bool {
        self.people_left == 0 && self.repositories_left == 0
    }
}

impl Writer {
    /// Continues the work of an applied teams file: reattributes up to `at_once` stored pull requests, or marks their
    /// histories to be read again, in one transaction. Call it until nothing is left, from any process at any time.
    /// Takes no lock if there is nothing to do.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reattribute(&self, at_once: u32) -> Result<Reattributed, StoreError> {
        let left = self.with_deadline(what_is_left).await?;
        if left.is_finished() {
            return Ok(left);
        }
        self.in_transaction(async |connection| {
            hold_alone(connection).await?;
            attribute_next(connection, at_once).await
        })
        .await
    }
}

/// What is left to do.
async fn what_is_left(connection: &mut Session) -> Result<Reattributed, StoreError> {
    let left = sqlx::query!(
        r#"select
            (select count(distinct person_id) from reattributions) as "people!",
            (select count(*) from reopened_histories) as "repositories!""#
    )
    .fetch_one(connection)
    .await?;
    Ok(Reattributed { pull_requests: 0, people_left: left.people, repositories_left: left.repositories })
}

/// Marks people whose pull requests must be reattributed, with the teams that this may affect.
pub(crate) async fn mark(connection: &mut Session, changes: &[PersonChange]) -> Result<(), StoreError> {
    let (mut people, mut teams) = (Vec::new(), Vec::new());
    for change in changes {
        let Some(person) = change.known else { continue };
        for team in change.teams() {
            people.push(person.0);
            teams.push(team.as_str());
        }
    }
    sqlx::query!(
        "insert into reattributions (tenant_id, person_id, team_id)
        select t.tenant_id, f.person_id, t.id
        from unnest($1::bigint [], $2::text []) as f (person_id, team)
        inner join teams as t on f.team = t.slug
        where exists (select from pull_requests as p where p.author_id = f.person_id and p.deleted_at is null)
        on conflict (tenant_id, person_id, team_id) do nothing",
        &people,
        &teams as &[&str]
    )
    .execute(&mut *connection)
    .await?;
    begin_again(connection, &people).await
}

/// Like [`mark`], for all teams of one person.
pub(crate) async fn mark_person(connection: &mut Session, person: PersonId) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into reattributions (tenant_id, person_id, team_id)
        select distinct m.tenant_id, m.person_id, m.team_id
        from team_memberships as m
        where
            m.person_id = $1 and m.removed_in is null
            and exists (select from pull_requests as p where p.author_id = m.person_id and p.deleted_at is null)
        on conflict (tenant_id, person_id, team_id) do nothing",
        person.0
    )
    .execute(&mut *connection)
    .await?;
    begin_again(connection, &[person.0]).await
}

/// Resets the progress for these people, because it was based on memberships that are no longer in force.
async fn begin_again(connection: &mut Session, people: &[i64]) -> Result<(), StoreError> {
    sqlx::query!(
        "update reattributions set done_at = default, done_id = default where person_id = any($1) and done_id > 0",
        people
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Reattributes the next marked pull requests. The caller must hold the lock alone.
pub(crate) async fn attribute_next(connection: &mut Session, at_once: u32) -> Result<Reattributed, StoreError> {
    let due = sqlx::query_scalar!(
        "select distinct person_id from reattributions order by person_id limit $1",
        PEOPLE_AT_ONCE
    )
    .fetch_all(&mut *connection)
    .await?;
    // One more than wanted, to know where to continue.
    let mut rows = sqlx::query_file!("queries/next_to_attribute.sql", &due, i64::from(at_once) + 1)
        .fetch_all(&mut *connection)
        .await?;
    let at_once = usize::try_from(at_once).unwrap_or(usize::MAX);
    let next = rows.get(at_once).map(|row| row.author_id);
    rows.truncate(at_once);
    let authors: HashMap<i64, Person> =
        people(&mut *connection, Some(&due)).await?.into_iter().map(|person| (person.id.0, person)).collect();
    let mut wanted = WantedAttributions::default();
    for row in &rows {
        let attributions = authors.get(&row.author_id).map(|person| person.attribute_at(row.instant));
        wanted.replace(row.id, &attributions.unwrap_or_default());
    }
    let mut pull_requests = 0;
    if !rows.is_empty() {
        pull_requests = wanted.write(&mut *connection).await?;
        let repositories: BTreeSet<i64> = rows.iter().map(|row| row.repository_id).collect();
        let repositories: Vec<i64> = repositories.into_iter().collect();
        note_changes(connection, &repositories).await?;
        let repositories: Vec<RepositoryId> = repositories.into_iter().map(RepositoryId).collect();
        let services = lock_services(connection, &repositories).await?;
        derive(connection, &services).await?;
    }
    let done: Vec<i64> = due.into_iter().filter(|person| next.is_none_or(|next| *person < next)).collect();
    sqlx::query!("delete from reattributions where person_id = any($1)", &done).execute(&mut *connection).await?;
    if let (Some(last), Some(next)) = (rows.last(), next)
        && last.author_id == next
    {
        sqlx::query!(
            "update reattributions set done_at = $2, done_id = $3 where person_id = $1",
            next,
            last.instant,
            last.id
        )
        .execute(&mut *connection)
        .await?;
    }
    if next.is_none() {
        reopen_next(connection, at_once.saturating_sub(rows.len())).await?;
    }
    Ok(Reattributed { pull_requests, ..what_is_left(connection).await? })
}

/// Marks the histories of up to `at_once` pull requests to be read again.
async fn reopen_next(connection: &mut Session, at_once: usize) -> Result<(), StoreError> {
    let mut at_once = at_once;
    while at_once > 0 {
        let of = sqlx::query!(
            "select repository_id, done_number, only_outside from reopened_histories order by repository_id limit 1"
        )
        .fetch_optional(&mut *connection)
        .await?;
        let Some(of) = of else { break };
        let numbers = sqlx::query_scalar!(
            "update pull_requests as p
            set
                detailed_at = case when $4 then p.detailed_at end,
                reviews_at = null,
                detail_retry_at = null
            from (
                select o.id from pull_requests as o
                where
                    o.repository_id = $1 and o.number > $2 and o.deleted_at is null
                    and case
                        when $4
                            then
                                o.reviews_at is not null
                                and exists (
                                    select from pull_request_reviews as v
                                    where v.pull_request_id = o.id and v.reviewer_id is null
                                )
                        else o.detailed_at is not null
                    end
                order by o.number
                limit $3
            ) as n
            where p.id = n.id
            returning p.number",
            of.repository_id,
            of.done_number,
            i64::try_from(at_once).unwrap_or(i64::MAX),
            of.only_outside
        )
        .fetch_all(&mut *connection)
        .await?;
        if numbers.len() < at_once {
            sqlx::query!("delete from reopened_histories where repository_id = $1", of.repository_id)
                .execute(&mut *connection)
                .await?;
        } else {
            let last = numbers.iter().max().copied().unwrap_or(of.done_number);
            sqlx::query!(
                "update reopened_histories set done_number = $2 where repository_id = $1",
                of.repository_id,
                last
            )
            .execute(&mut *connection)
            .await?;
        }
        if !numbers.is_empty() {
            note_changes(connection, &[of.repository_id]).await?;
        }
        at_once -= numbers.len();
    }
    Ok(())
}

/// Raises data versions, which invalidates earlier responses.
async fn note_changes(connection: &mut Session, repositories: &[i64]) -> Result<(), StoreError> {
    sqlx::query!("update repositories set data_version = data_version + 1 where id = any($1)", repositories)
        .execute(connection)
        .await?;
    Ok(())
}

/// How many stored pull requests count differently after these changes.
pub(crate) async fn count_differing(connection: &mut Session, changes: &[PersonChange]) -> Result<usize, StoreError> {
    let mut count = 0;
    let spans: Vec<(i64, Period)> = changes
        .iter()
        .filter_map(|change| Some((change.known?.0, change)))
        .flat_map(|(person, change)| change.differing().into_iter().map(move |span| (person, span)))
        .collect();
    for spans in spans.chunks(SPANS_AT_ONCE) {
        let people: Vec<i64> = spans.iter().map(|(person, _)| *person).collect();
        let from: Vec<Option<DateTime<Utc>>> = spans.iter().map(|(_, span)| span.from()).collect();
        let to: Vec<Option<DateTime<Utc>>> = spans.iter().map(|(_, span)| span.to()).collect();
        let counted = sqlx::query_scalar!(
            r#"select count(*) as "count!"
            from unnest($1::bigint [], $2::timestamptz [], $3::timestamptz []) as s (person_id, from_at, to_at)
            inner join pull_requests as p
                on
                    p.author_id = s.person_id
                    and p.attributed_at >= coalesce(s.from_at, '-infinity')
                    and p.attributed_at < coalesce(s.to_at, 'infinity')
            where p.deleted_at is null"#,
            &people,
            &from as &[Option<DateTime<Utc>>],
            &to as &[Option<DateTime<Utc>>]
        )
        .fetch_one(&mut *connection)
        .await?;
        count += usize::try_from(counted).unwrap_or_default();
    }
    Ok(count)
}

/// The new attributions of pull requests, as columns for one statement.
#[derive(Default)]
pub(crate) struct WantedAttributions {
    replaced: Vec<i64>,
    pull_requests: Vec<i64>,
    teams: Vec<i64>,
    memberships: Vec<i64>,
    units: Vec<i32>,
}

impl WantedAttributions {
    /// Replaces all shares of a pull request with these.
    pub(crate) fn replace(&mut self, pull_request: i64, attributions: &[Attribution]) {
        self.replaced.push(pull_request);
        for attribution in attributions {
            self.pull_requests.push(pull_request);
            self.teams.push(attribution.team.0);
            self.memberships.push(attribution.membership.0);
            self.units.push(i32::from(attribution.weight.units()));
        }
    }

    /// Writes them. Returns how many pull requests now count differently.
    pub(crate) async fn write(&self, connection: &mut Session) -> Result<usize, StoreError> {
        let changed = sqlx::query_file_scalar!(
            "queries/replace_attributions.sql",
            &self.replaced,
            &self.pull_requests,
            &self.teams,
            &self.memberships,
            &self.units
        )
        .fetch_one(connection)
        .await?;
        Ok(usize::try_from(changed).unwrap_or_default())
    }
}

/// The relevant people, or those of `only`, with all memberships in force: the members, and the accounts of former
/// members, so that people who return with another login are recognized. Each with the account at the first instance,
/// GitHub, or at another one without an account there.
pub(crate) async fn people(connection: &mut Session, only: Option<&[i64]>) -> Result<Vec<Person>, StoreError> {
    let rows = sqlx::query!(
        r#"select
            a.person_id as "id!", i.forge as "forge!", a.external_id, a.login as "login!", m.id as "membership_id?",
            m.team_id as "team_id?", (m.weight * 10000)::integer as units, m.joined_at, m.left_at
        from (
            select distinct on (person_id) person_id, instance_id, external_id, login
            from accounts
            where $1::bigint [] is null or person_id = any($1)
            order by person_id, instance_id
        ) as a
        inner join instances as i on a.instance_id = i.id
        left join team_memberships as m on a.person_id = m.person_id and m.removed_in is null
        where m.id is not null or a.external_id is not null
        order by a.person_id, m.id"#,
        only
    )
    .fetch_all(connection)
    .await?;
    let mut people: Vec<Person> = Vec::new();
    for row in rows {
        if people.last().is_none_or(|person| person.id.0 != row.id) {
            let login = Login::of(parse_stored(&row.forge)?, &row.login);
            let external_id = row.external_id.map(ExternalId::from);
            people.push(Person { id: PersonId(row.id), login, external_id, memberships: Vec::new() });
        }
        if let (Some(person), Some(id), Some(team), Some(units)) =
            (people.last_mut(), row.membership_id, row.team_id, row.units)
        {
            let period = stored_period(row.joined_at, row.left_at)?;
            let (id, team, weight) = (MembershipId(id), TeamId(team), stored_weight(units)?);
            person.memberships.push(Membership { id, team, weight, period });
        }
    }
    Ok(people)
}

pub(crate) fn stored_weight(units: i32) -> Result<Weight, StoreError> {
    let weight = u16::try_from(units).ok().and_then(Weight::from_units);
    weight.ok_or_else(|| StoreError::Other(format!("a stored weight of {units} ten-thousandths").into()))
}

pub(crate) fn stored_period(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Result<Period, StoreError> {
    Period::new(from, to).map_err(|error| StoreError::Other(error.into()))
}
