//! Erasing a person: finds and deletes everything stored about them.

use chrono::{DateTime, Utc};
use mergeline_domain::{ExternalId, Forge, Login, PersonId};
use serde::Serialize;

use crate::attributions::hold_alone;
use crate::delivery::{derive, forget_deliveries, lock_services};
use crate::session::Session;
use crate::{Reader, RepositoryId, StoreError, Writer};

/// How many pull requests are deleted in one transaction.
const PULL_REQUESTS_AT_ONCE: i64 = 1_000;

/// Of how many reviews the reviewer is forgotten in one transaction.
const REVIEWS_AT_ONCE: i64 = 2_000;

/// The number of rows for a repository or team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    /// `owner/name`, or a team's slug.
    pub name: String,
    /// How many.
    pub count: i64,
}

/// An account that has, or had, a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The person.
    #[serde(skip)]
    pub person: PersonId,
    /// The forge that it belongs to.
    #[serde(skip)]
    pub forge: Forge,
    /// The account's id at its forge; `None` when it was never seen.
    pub external_id: Option<ExternalId>,
    /// The login last seen there.
    pub login: String,
    /// All known logins of the person's accounts, including that one.
    pub logins: Vec<String>,
    /// Teams of the configuration in force that have it as a member at any time.
    pub teams: Vec<String>,
}

/// What is stored about a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Traces {
    /// Pull requests, by repository.
    pub pull_requests: Vec<Count>,
    /// Shares of these pull requests, by team.
    pub shares: Vec<Count>,
    /// Memberships by team, including corrected and ended ones.
    pub memberships: Vec<Count>,
    /// Reviews that the person made, by repository.
    pub reviews: Vec<Count>,
    /// Messages that quote one of the logins, and former configurations that list one as a bot.
    pub messages: i64,
}

impl Traces {
    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.pull_requests.is_empty() && self.memberships.is_empty() && self.reviews.is_empty() && self.messages == 0
    }
}

/// How much is stored in total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// Pull requests.
    pub pull_requests: i64,
    /// People.
    pub people: i64,
}

impl Reader {
    /// The accounts that have, or had, a login.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn accounts_of(&self, login: &Login) -> Result<Vec<Account>, StoreError> {
        let query = sqlx::query!(
            r#"select
                a.person_id as id, a.external_id, a.login,
                array(
                    select distinct case f.forge when 'github' then l else f.forge || ':' || l end as name
                    from accounts as o
                    inner join instances as f on o.instance_id = f.id
                    cross join unnest(o.other_logins || o.login || o.configured_login) as l
                    where o.person_id = a.person_id
                    order by name
                ) as "logins!",
                array(
                    select distinct t.slug
                    from team_memberships as m
                    inner join teams as t on m.team_id = t.id
                    where m.person_id = a.person_id and m.removed_in is null and t.archived_at is null
                    order by t.slug
                ) as "teams!"
            from accounts as a
            inner join instances as i on a.instance_id = i.id
            where i.forge = $2 and $1 = any(a.other_logins || a.login || a.configured_login)
            order by a.person_id"#,
            login.as_str(),
            <&str>::from(login.forge())
        );
        let rows = self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await?;
        Ok(rows
            .into_iter()
            .map(|row| Account {
                person: PersonId(row.id),
                forge: login.forge(),
                external_id: row.external_id.map(ExternalId::from),
                login: row.login,
                logins: row.logins,
                teams: row.teams,
            })
            .collect())
    }

    /// What is stored about a person, and how often any of these logins is mentioned.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn traces(&self, person: Option<PersonId>, logins: &[String]) -> Result<Traces, StoreError> {
        let person = person.map(|person| person.0);
        self.at_one_instant(async |connection| {
            let pull_requests = sqlx::query_as!(
                Count,
                r#"select r.display_name as "name!", count(*) as "count!"
                from pull_requests as p
                inner join repositories as r on p.repository_id = r.id
                where p.author_id = $1
                group by 1
                order by 1"#,
                person
            )
            .fetch_all(&mut *connection)
            .await?;
            let shares = sqlx::query_as!(
                Count,
                r#"select t.slug as name, count(*) as "count!"
                from pull_requests as p
                inner join pr_attributions as a on p.id = a.pull_request_id
                inner join teams as t on a.team_id = t.id
                where p.author_id = $1
                group by 1
                order by 1"#,
                person
            )
            .fetch_all(&mut *connection)
            .await?;
            let memberships = sqlx::query_as!(
                Count,
                r#"select t.slug as name, count(*) as "count!"
                from team_memberships as m
                inner join teams as t on m.team_id = t.id
                where m.person_id = $1
                group by 1
                order by 1"#,
                person
            )
            .fetch_all(&mut *connection)
            .await?;
            let reviews = sqlx::query_as!(
                Count,
                r#"select r.display_name as "name!", count(*) as "count!"
                from pull_request_reviews as v
                inner join pull_requests as p on v.pull_request_id = p.id
                inner join repositories as r on p.repository_id = r.id
                where v.reviewer_id = $1
                group by 1
                order by 1"#,
                person
            )
            .fetch_all(&mut *connection)
            .await?;
            let messages = sqlx::query_scalar!(
                r#"select
                    (
                        select count(*) from collection_results as c
                        where exists (select from unnest($1::text []) as l where strpos(c.error_message, '`' || l || '`') > 0)
                    ) + (
                        select count(*) from collection_runs as n
                        where exists (
                            select from unnest($1::text []) as l
                            where strpos(array_to_string(n.problems, ' '), '`' || l || '`') > 0
                        )
                    ) + (
                        select count(*) from quarantined_pull_requests as q
                        where exists (select from unnest($1::text []) as l where strpos(q.reason, '`' || l || '`') > 0)
                    ) + (
                        select count(*) from events as e
                        where
                            lower(e.actor_name) = any($1)
                            or exists (select from unnest($1::text []) as l where strpos(e.payload::text, '`' || l || '`') > 0)
                    ) + (
                        select count(*) from configurations as c
                        where c.bots && $1 and c.revision <> (select max(l.revision) from configurations as l)
                    ) as "count!""#,
                logins
            )
            .fetch_one(&mut *connection)
            .await?;
            Ok(Traces { pull_requests, shares, memberships, reviews, messages })
        })
        .await
    }

    /// How much is stored in total.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stored(&self) -> Result<Stored, StoreError> {
        let query = sqlx::query_as!(
            Stored,
            r#"select
                (select count(*) from pull_requests) as "pull_requests!",
                (select count(*) from people) as "people!""#
        );
        self.with_deadline(async |connection| Ok(query.fetch_one(connection).await?)).await
    }
}

impl Writer {
    /// Deletes a batch of what is stored about a person, small enough for a short transaction: pull requests first, then who made
    /// the reviews of others' pull requests, and with the last of them the rest. The last batch also replaces these logins in messages. Returns whether there is
    /// more; if so, call it again. Only the teams file can bring the person back.
    ///
    /// # Errors
    /// [`StoreError::StaleConfiguration`] when the person is in the configuration in force.
    pub async fn erase(
        &self,
        person: Option<PersonId>,
        logins: &[String],
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        self.in_transaction(async |connection| {
            hold_alone(connection).await?;
            if let Some(person) = person {
                refuse_members(connection, person).await?;
                end_memberships(connection, person, now).await?;
                if delete_pull_requests_of(connection, person).await? || forget_reviewer(connection, person).await? {
                    return Ok(true);
                }
                sqlx::query!("delete from team_memberships where person_id = $1", person.0)
                    .execute(&mut *connection)
                    .await?;
                sqlx::query!("delete from accounts where person_id = $1", person.0).execute(&mut *connection).await?;
                sqlx::query!("delete from people where id = $1", person.0).execute(&mut *connection).await?;
            }
            forget_logins(connection, logins).await?;
            Ok(false)
        })
        .await
    }
}

/// Refuses to erase a person whom the next collection would bring back.
async fn refuse_members(connection: &mut Session, person: PersonId) -> Result<(), StoreError> {
    let is_member = sqlx::query_scalar!(
        r#"select exists (
            select from team_memberships as m
            inner join teams as t on m.team_id = t.id
            where m.person_id = $1 and m.removed_in is null and t.archived_at is null
        ) as "is_member!""#,
        person.0
    )
    .fetch_one(connection)
    .await?;
    if is_member { Err(StoreError::StaleConfiguration) } else { Ok(()) }
}

/// Removes the person from archived teams. Collections with a roster that was read earlier must read it again.
async fn end_memberships(connection: &mut Session, person: PersonId, now: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query!(
        "with changed as (
            insert into configurations (
                applied_at, timezone, bots, repository_patterns, includes_archived, min_group_size, repository_rules,
                delivery, access, goals
            )
            select
                $2, timezone, bots, repository_patterns, includes_archived, min_group_size, repository_rules, delivery, access,
                goals
            from configuration_in_force
            where exists (select from team_memberships where person_id = $1 and removed_in is null)
            returning revision
        )
        update team_memberships set removed_in = (select revision from changed)
        where person_id = $1 and removed_in is null",
        person.0,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes a batch of a person's pull requests. Returns whether there may be more.
async fn delete_pull_requests_of(connection: &mut Session, person: PersonId) -> Result<bool, StoreError> {
    let pull_requests = sqlx::query_scalar!(
        "select id from pull_requests where author_id = $1 order by id limit $2",
        person.0,
        PULL_REQUESTS_AT_ONCE
    )
    .fetch_all(&mut *connection)
    .await?;
    delete_pull_requests(connection, &pull_requests).await?;
    Ok(i64::try_from(pull_requests.len()).unwrap_or(i64::MAX) >= PULL_REQUESTS_AT_ONCE)
}

/// Makes a batch of a person's reviews those of somebody outside: that a pull request was reviewed, and when, belongs to its author
/// too. Returns whether there may be more.
async fn forget_reviewer(connection: &mut Session, person: PersonId) -> Result<bool, StoreError> {
    let repositories = sqlx::query_scalar!(
        r#"with forgotten as (
            update pull_request_reviews as v set reviewer_id = null
            from (
                select pull_request_id, place from pull_request_reviews where reviewer_id = $1
                order by pull_request_id, place
                limit $2
            ) as n
            where v.pull_request_id = n.pull_request_id and v.place = n.place
            returning v.pull_request_id
        )
        select p.repository_id
        from forgotten as f
        inner join pull_requests as p on f.pull_request_id = p.id"#,
        person.0,
        REVIEWS_AT_ONCE
    )
    .fetch_all(&mut *connection)
    .await?;
    // Invalidates earlier responses, in a fixed order.
    sqlx::query!(
        "with touched as (select r.id from repositories as r where r.id = any($1) order by r.id for no key update)
        update repositories set data_version = data_version + 1 where id in (select id from touched)",
        &repositories
    )
    .execute(connection)
    .await?;
    Ok(i64::try_from(repositories.len()).unwrap_or(i64::MAX) >= REVIEWS_AT_ONCE)
}

/// Records that pull requests are deleted, for the teams that their authors are or were in.
pub(crate) async fn note_loss(connection: &mut Session, pull_requests: &[i64]) -> Result<(), StoreError> {
    // Locked in a fixed order, so that two repositories cannot deadlock.
    sqlx::query!(
        "with touched as (
            select t.id from teams as t
            where t.id in (
                select m.team_id
                from pull_requests as p
                inner join team_memberships as m on p.author_id = m.person_id
                where p.id = any($1)
            )
            order by t.id
            for no key update
        )
        update teams set data_version = data_version + 1 where id in (select id from touched)",
        pull_requests
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes pull requests with their attributions, and invalidates earlier responses.
pub(crate) async fn delete_pull_requests(connection: &mut Session, pull_requests: &[i64]) -> Result<(), StoreError> {
    if pull_requests.is_empty() {
        return Ok(());
    }
    note_loss(connection, pull_requests).await?;
    // Locks the repository first, like a collection does.
    sqlx::query!(
        "update repositories set data_version = data_version + 1
        where id in (select p.repository_id from pull_requests as p where p.id = any($1))",
        pull_requests
    )
    .execute(&mut *connection)
    .await?;
    let repositories = sqlx::query_scalar!(
        "select distinct repository_id from pull_requests where id = any($1) order by repository_id",
        pull_requests
    )
    .fetch_all(&mut *connection)
    .await?;
    let repositories: Vec<RepositoryId> = repositories.into_iter().map(RepositoryId).collect();
    let services = lock_services(connection, &repositories).await?;
    forget_deliveries(connection, pull_requests).await?;
    sqlx::query!("delete from pr_attributions where pull_request_id = any($1)", pull_requests)
        .execute(&mut *connection)
        .await?;
    sqlx::query!("delete from pull_requests where id = any($1)", pull_requests).execute(&mut *connection).await?;
    derive(connection, &services).await
}

/// Replaces logins quoted in messages, and removes them from the bots of former configurations.
async fn forget_logins(connection: &mut Session, logins: &[String]) -> Result<(), StoreError> {
    for login in logins {
        let quoted = format!("`{login}`");
        sqlx::query!(
            "update collection_results set error_message = replace(error_message, $1, '`[erased]`')
            where strpos(error_message, $1) > 0",
            quoted
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            "update collection_runs
            set problems = array(select replace(p.text, $1, '`[erased]`') from unnest(problems) with ordinality as p (text, place) order by p.place)
            where strpos(array_to_string(problems, ' '), $1) > 0",
            quoted
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            "update quarantined_pull_requests set reason = replace(reason, $1, '`[erased]`') where strpos(reason, $1) > 0",
            quoted
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            "update events
            set
                payload = replace(payload::text, $1, '`[erased]`')::jsonb,
                actor_name = case when lower(actor_name) = $2 then '[erased]' else actor_name end
            where strpos(payload::text, $1) > 0 or lower(actor_name) = $2",
            quoted,
            login
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            "update configurations set bots = array_remove(bots, $1)
            where $1 = any(bots) and revision <> (select max(c.revision) from configurations as c)",
            login
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
