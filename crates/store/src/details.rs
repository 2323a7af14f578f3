//! Details of stored pull requests from GraphQL.

use chrono::{DateTime, SecondsFormat, Utc};
use mergeline_domain::{CountedReview, Details, ExternalId};

use crate::attributions::lock_configuration;
use crate::delivery::{derive, lock_services};
use crate::repositories::{bump_data_version, renew_lease};
use crate::session::Session;
use crate::{Lease, Reader, RepositoryId, Revision, StoreError, Writer};

/// A stored pull request whose details must be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithoutDetails {
    /// Its GraphQL node ID.
    pub node_id: String,
    /// Its number in the repository.
    pub number: i64,
    /// The state whose details are wanted.
    pub updated_at: DateTime<Utc>,
}

impl Reader {
    /// Stored pull requests without details as of their last change, the most recently changed first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn without_details(
        &self,
        repository: RepositoryId,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<WithoutDetails>, StoreError> {
        let query = sqlx::query_as!(
            WithoutDetails,
            r#"select node_id as "node_id!", number, updated_at from pull_requests
            where
                repository_id = $1
                and detailed_at is distinct from updated_at
                and deleted_at is null
                and node_id is not null
                and (detail_retry_at is null or detail_retry_at <= $2)
            order by updated_at desc, id
            limit $3"#,
            repository.0,
            now,
            i64::from(limit)
        );
        self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await
    }

    /// Stored pull requests with details as of their last change, but without reviews, the most recently changed first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn without_reviews(
        &self,
        repository: RepositoryId,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<WithoutDetails>, StoreError> {
        let query = sqlx::query_as!(
            WithoutDetails,
            r#"select node_id as "node_id!", number, updated_at from pull_requests
            where
                repository_id = $1
                and reviews_at is distinct from updated_at
                and detailed_at is not distinct from updated_at
                and deleted_at is null
                and node_id is not null
                and (detail_retry_at is null or detail_retry_at <= $2)
            order by updated_at desc, id
            limit $3"#,
            repository.0,
            now,
            i64::from(limit)
        );
        self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await
    }

    /// How many stored pull requests of a repository have no details as of their last change.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_without_details(&self, repository: RepositoryId) -> Result<i64, StoreError> {
        let query = sqlx::query_scalar!("select without_details from repositories where id = $1", repository.0);
        self.with_deadline(async |connection| Ok(query.fetch_one(connection).await?)).await
    }
}

impl Writer {
    /// Stores details, replaces the reviews, and updates the phases of the pull requests' attributions. Details of an outdated
    /// state are skipped and read again later.
    ///
    /// # Errors
    /// [`StoreError::StaleConfiguration`] when the reviewers' bots come from a roster that is no longer in force,
    /// [`StoreError::LostLease`] when another worker has taken over.
    pub async fn store_details(
        &self,
        lease: &Lease,
        revision: Revision,
        details: &[(WithoutDetails, Details)],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let columns = Columns::of(details);
        self.in_transaction(async |connection| {
            lock_configuration(connection, revision).await?;
            renew_lease(connection, lease, now).await?;
            let services = lock_services(connection, &[lease.repository]).await?;
            let stored = sqlx::query_file!(
                "queries/store_details.sql",
                lease.repository.0,
                &columns.node_id as &[&str],
                &columns.updated_at,
                &columns.first_commit_at as &[Option<DateTime<Utc>>],
                &columns.first_review_at as &[Option<DateTime<Utc>>],
                &columns.first_approval_at as &[Option<DateTime<Utc>>],
                &columns.ready_at as &[Option<DateTime<Utc>>],
                &columns.draft_periods,
                &columns.is_draft_history_incomplete,
                &columns.additions,
                &columns.deletions,
                &columns.changed_files,
                &columns.merge_commit as &[Option<&str>],
                &columns.base_ref as &[Option<&str>],
                &columns.has_unread_commits,
                &columns.merge_committed_at as &[Option<DateTime<Utc>>],
                &columns.head_commit as &[Option<&str>],
                &columns.head_ref as &[Option<&str>],
                &columns.labels,
                &columns.reverts as &[Option<i64>],
                &columns.closes,
                &columns.has_unread_reviews
            )
            .fetch_all(&mut *connection)
            .await?;
            let stored = stored.into_iter().filter_map(|row| {
                let index = usize::try_from(row.place).ok()?.checked_sub(1)?;
                Some((row.id, details.get(index)?.1.reviews.as_slice()))
            });
            replace_reviews(connection, &stored.collect::<Vec<_>>()).await?;
            sqlx::query!(
                "update pr_attributions as a
                set
                    coding_seconds = p.coding_seconds, pickup_seconds = p.pickup_seconds, review_seconds = p.review_seconds,
                    lead_seconds = lead_seconds(p)
                from pull_requests as p
                where
                    p.node_id = any($2) and p.repository_id = $1 and a.pull_request_id = p.id
                    and (a.coding_seconds, a.pickup_seconds, a.review_seconds, a.lead_seconds)
                    is distinct from (p.coding_seconds, p.pickup_seconds, p.review_seconds, lead_seconds(p))",
                lease.repository.0,
                &columns.node_id as &[&str]
            )
            .execute(&mut *connection)
            .await?;
            derive(connection, &services).await?;
            bump_data_version(connection, lease).await
        })
        .await
    }

    /// Delays the next attempt for pull requests whose details GitHub does not return: an hour, doubled up to two days.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when another worker has taken over.
    pub async fn postpone_details(
        &self,
        lease: &Lease,
        node_ids: &[String],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            renew_lease(connection, lease, now).await?;
            sqlx::query!(
                "update pull_requests
                set detail_failures = detail_failures + 1,
                    detail_retry_at = $3::timestamptz + interval '1 hour' * least(2 ^ detail_failures, 48)
                where
                    repository_id = $1 and node_id = any($2)
                    -- Said twice, it counts once.
                    and (detail_retry_at is null or detail_retry_at <= $3)",
                lease.repository.0,
                node_ids,
                now
            )
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }
}

/// Replaces all reviews of these pull requests. The reviewers are those of the teams file: by their accounts, or by their logins
/// until they were seen. Of others nothing is kept.
async fn replace_reviews(connection: &mut Session, reviews: &[(i64, &[CountedReview])]) -> Result<(), StoreError> {
    let pull_requests: Vec<i64> = reviews.iter().map(|(pull_request, _)| *pull_request).collect();
    sqlx::query!("delete from pull_request_reviews where pull_request_id = any($1)", &pull_requests)
        .execute(&mut *connection)
        .await?;
    let (mut of, mut places, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let (mut logins, mut accounts) = (Vec::new(), Vec::new());
    for (pull_request, reviews) in reviews {
        for (place, review) in (1_i32..).zip(*reviews) {
            of.push(*pull_request);
            places.push(place);
            logins.push(review.login.as_str());
            accounts.push(review.account.as_ref().map(ExternalId::as_str));
            times.push(review.submitted_at);
        }
    }
    sqlx::query!(
        "insert into pull_request_reviews (pull_request_id, place, author_id, reviewer_id, submitted_at)
        select
            p.id,
            i.place,
            p.author_id,
            (
                select a.person_id
                from accounts as a
                where
                    a.instance_id = p.instance_id
                    and (a.external_id = i.account or a.external_id is null and a.configured_login = i.login)
                    and exists (select from team_memberships as m where m.person_id = a.person_id and m.removed_in is null)
                order by a.external_id nulls last
                limit 1
            ),
            i.submitted_at
        from unnest($1::bigint [], $2::integer [], $3::text [], $4::text [], $5::timestamptz []) as i (
            pull_request_id, place, login, account, submitted_at
        )
        inner join pull_requests as p on i.pull_request_id = p.id",
        &of,
        &places,
        &logins as &[&str],
        &accounts as &[Option<&str>],
        &times
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[derive(Default)]
struct Columns<'a> {
    node_id: Vec<&'a str>,
    updated_at: Vec<DateTime<Utc>>,
    first_commit_at: Vec<Option<DateTime<Utc>>>,
    first_review_at: Vec<Option<DateTime<Utc>>>,
    first_approval_at: Vec<Option<DateTime<Utc>>>,
    ready_at: Vec<Option<DateTime<Utc>>>,
    /// Multiranges in PostgreSQL's text form, because an array of arrays cannot be ragged.
    draft_periods: Vec<String>,
    is_draft_history_incomplete: Vec<bool>,
    additions: Vec<i32>,
    deletions: Vec<i32>,
    changed_files: Vec<i32>,
    merge_commit: Vec<Option<&'a str>>,
    base_ref: Vec<Option<&'a str>>,
    has_unread_commits: Vec<bool>,
    merge_committed_at: Vec<Option<DateTime<Utc>>>,
    head_commit: Vec<Option<&'a str>>,
    head_ref: Vec<Option<&'a str>>,
    labels: Vec<serde_json::Value>,
    reverts: Vec<Option<i64>>,
    closes: Vec<serde_json::Value>,
    has_unread_reviews: Vec<bool>,
}

impl<'a> Columns<'a> {
    fn of(all: &'a [(WithoutDetails, Details)]) -> Self {
        let count = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
        let mut columns = Self::default();
        for (wanted, details) in all {
            columns.node_id.push(&wanted.node_id);
            columns.updated_at.push(wanted.updated_at);
            columns.first_commit_at.push(details.first_commit_at);
            columns.first_review_at.push(details.first_review_at);
            columns.first_approval_at.push(details.first_approval_at);
            columns.ready_at.push(details.ready_at);
            columns.draft_periods.push(multirange(&details.draft_periods));
            columns.is_draft_history_incomplete.push(details.is_draft_history_incomplete);
            columns.additions.push(count(details.additions));
            columns.deletions.push(count(details.deletions));
            columns.changed_files.push(count(details.changed_files));
            columns.merge_commit.push(details.merge_commit.as_deref());
            columns.base_ref.push(details.base_ref.as_deref());
            columns.has_unread_commits.push(details.has_unread_commits);
            columns.merge_committed_at.push(details.merge_committed_at);
            columns.head_commit.push(details.head_commit.as_deref());
            columns.head_ref.push(details.head_ref.as_deref());
            columns.labels.push(details.labels.as_slice().into());
            columns.reverts.push(details.reverts);
            columns.closes.push(details.closes.as_slice().into());
            columns.has_unread_reviews.push(details.has_unread_reviews);
        }
        columns
    }
}

fn multirange(periods: &[(DateTime<Utc>, Option<DateTime<Utc>>)]) -> String {
    let text = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Micros, true);
    let ranges: Vec<String> =
        periods.iter().map(|(from, to)| format!("[{},{})", text(*from), to.map(text).unwrap_or_default())).collect();
    format!("{{{}}}", ranges.join(","))
}
