//! The reviews that a team gave and got.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use mergeline_domain::insight::{GivenReview, TeamShare};
use mergeline_domain::{Period, PersonId, TeamId};

use crate::attributions::{stored_period, stored_weight};
use crate::revision::parse_stored;
use crate::session::Session;
use crate::{Filter, ReadSession, StoreError, TeamRef};

/// Which pull requests may have reviews that are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadReviews {
    /// How many of the team.
    pub of_team: usize,
    /// Whether there are any, of the team or of others.
    pub is_any: bool,
}

impl ReadSession {
    /// The reviews that were submitted in the filter's range and in which a team has a part, as the author's or the reviewer's, by the
    /// memberships at their time.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(target = "spans", name = "query", level = "debug", skip_all, fields(query = "reviews"))]
    pub async fn reviews(&mut self, team: TeamId, filter: &Filter) -> Result<Vec<GivenReview>, StoreError> {
        let repositories = filter.repository_ids();
        let rows = sqlx::query_file!(
            "queries/reviews.sql",
            team.0,
            filter.from,
            filter.to,
            repositories.as_deref(),
            filter.base.as_deref()
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let involved: BTreeSet<i64> =
            rows.iter().flat_map(|row| [Some(row.author_id), row.reviewer_id]).flatten().collect();
        let involved: Vec<i64> = involved.into_iter().collect();
        let memberships = memberships(&mut self.connection, &involved).await?;
        let teams_of = |person: i64, at: DateTime<Utc>| -> Vec<TeamShare> {
            let of_person = memberships.get(&person).into_iter().flatten();
            of_person.filter(|(period, _)| period.contains(at)).map(|(_, share)| *share).collect()
        };
        // Who was removed from the file counts for nobody.
        let is_in_file = |person: &i64| memberships.contains_key(person);
        let reviews = rows.into_iter().map(|row| {
            let reviewer = row.reviewer_id.filter(is_in_file);
            GivenReview {
                author: PersonId(row.author_id),
                reviewer: reviewer.map(PersonId),
                author_teams: teams_of(row.author_id, row.submitted_at),
                reviewer_teams: reviewer.map(|person| teams_of(person, row.submitted_at)).unwrap_or_default(),
                submitted_at: row.submitted_at,
                wait: row.wait,
            }
        });
        Ok(reviews.collect())
    }

    /// Which pull requests may have reviews in the filter's range that were not read.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(
        target = "spans",
        name = "query",
        level = "debug",
        skip_all,
        fields(query = "unread_reviews")
    )]
    pub async fn unread_reviews(&mut self, team: TeamId, filter: &Filter) -> Result<UnreadReviews, StoreError> {
        let repositories = filter.repository_ids();
        let row = sqlx::query_file!(
            "queries/unread_reviews.sql",
            team.0,
            filter.from,
            filter.to,
            repositories.as_deref(),
            filter.base.as_deref()
        )
        .fetch_one(&mut *self.connection)
        .await?;
        let of_team = usize::try_from(row.of_team).unwrap_or_default();
        Ok(UnreadReviews { of_team, is_any: row.any || of_team > 0 })
    }

    /// Teams by their numbers, archived ones too.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn teams_by_id(&mut self, ids: &[TeamId]) -> Result<Vec<TeamRef>, StoreError> {
        let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
        let rows = sqlx::query!("select id, slug, name from teams where id = any($1) order by id", &ids)
            .fetch_all(&mut *self.connection)
            .await?;
        let teams = rows
            .into_iter()
            .map(|row| Ok(TeamRef { id: TeamId(row.id), slug: parse_stored(&row.slug)?, name: row.name }));
        teams.collect()
    }
}

/// The memberships in force of these people. Who has none is not in the teams file.
async fn memberships(
    connection: &mut Session,
    people: &[i64],
) -> Result<HashMap<i64, Vec<(Period, TeamShare)>>, StoreError> {
    let rows = sqlx::query!(
        r#"select person_id, team_id, (weight * 10000)::integer as "units!", joined_at, left_at
        from team_memberships
        where person_id = any($1) and removed_in is null
        order by id"#,
        people
    )
    .fetch_all(connection)
    .await?;
    let mut memberships: HashMap<i64, Vec<(Period, TeamShare)>> = HashMap::new();
    for row in rows {
        let share = (TeamId(row.team_id), stored_weight(row.units)?);
        memberships.entry(row.person_id).or_default().push((stored_period(row.joined_at, row.left_at)?, share));
    }
    Ok(memberships)
}
