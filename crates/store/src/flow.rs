//! How long a team's pull requests took, and how much of people it had for them.

use chrono::{DateTime, Utc};
use mergeline_domain::delivery::HotfixRules;
use mergeline_domain::insight::FlowTimes;
use mergeline_domain::teams_file::{DeliverySettings, InvestmentEntry};
use mergeline_domain::{TeamId, Weight};
use sqlx::types::Json;

use crate::attributions::{stored_period, stored_weight};
use crate::{Filter, ReadSession, StoreError, TeamMembership};

/// A merged pull request, as rules for kinds of work see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvestedPullRequest {
    /// Its title.
    pub title: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// The branch that it came from, if that is known.
    pub branch: Option<String>,
    /// Whether it takes another one back.
    pub is_revert: bool,
    /// The team's share in it.
    pub weight: Weight,
}

impl ReadSession {
    /// The pull requests of a team that were merged since an instant, and those that are open; of the filter only its repositories and
    /// its branch matter.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(target = "spans", name = "query", level = "debug", skip_all, fields(query = "flow_times"))]
    pub async fn flow_times(
        &mut self,
        team: TeamId,
        since: DateTime<Utc>,
        filter: &Filter,
    ) -> Result<Vec<FlowTimes>, StoreError> {
        let repositories = filter.repository_ids();
        let query =
            sqlx::query_file!("queries/flow_times.sql", team.0, since, repositories.as_deref(), filter.base.as_deref());
        let times = query.fetch_all(&mut *self.connection).await?.into_iter().map(|row| {
            Ok(FlowTimes {
                id: row.id,
                ready_at: row.ready_at,
                merged_at: row.merged_at,
                seconds: [row.coding_seconds, row.pickup_seconds, row.review_seconds, row.deploy_seconds],
                has_details: row.has_details,
                lines: row.lines.and_then(|lines| u64::try_from(lines).ok()),
                weight: stored_weight(row.weight_units)?,
                person: row.author_id,
            })
        });
        times.collect()
    }

    /// The rules for kinds of work that are in force, and what a hotfix is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn investment_rules(&mut self) -> Result<(Vec<InvestmentEntry>, HotfixRules), StoreError> {
        let row = sqlx::query!(
            r#"select c.investment as "investment!: Json<Vec<InvestmentEntry>>", c.delivery as "delivery!: Json<DeliverySettings>"
            from configuration_in_force as c"#
        );
        let Some(row) = row.fetch_optional(&mut *self.connection).await? else {
            return Ok((Vec::new(), HotfixRules::default()));
        };
        let (labels, branches) = (row.delivery.hotfix_labels(), row.delivery.hotfix_branches());
        let hotfixes = HotfixRules::new(&labels, &branches).map_err(|error| StoreError::Other(error.into()))?;
        Ok((row.investment.0, hotfixes))
    }

    /// The pull requests of a team that were merged, as rules for kinds of work see them.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(
        target = "spans",
        name = "query",
        level = "debug",
        skip_all,
        fields(query = "invested_pull_requests")
    )]
    pub async fn invested_pull_requests(
        &mut self,
        team: TeamId,
        filter: &Filter,
    ) -> Result<Vec<InvestedPullRequest>, StoreError> {
        let repositories = filter.repository_ids();
        let query = sqlx::query_file!(
            "queries/invested_pull_requests.sql",
            team.0,
            filter.from,
            filter.to,
            repositories.as_deref(),
            filter.base.as_deref()
        );
        let found = query.fetch_all(&mut *self.connection).await?.into_iter().map(|row| {
            Ok(InvestedPullRequest {
                title: row.title,
                labels: row.labels,
                branch: row.head_ref,
                is_revert: row.is_revert,
                weight: stored_weight(row.weight_units)?,
            })
        });
        found.collect()
    }

    /// The memberships of a team, past, present and to come.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn memberships(&mut self, team: TeamId) -> Result<Vec<TeamMembership>, StoreError> {
        let rows = sqlx::query!(
            r#"select m.id, m.person_id, (m.weight * 10000)::integer as "weight_units!", m.joined_at, m.left_at
            from team_memberships as m
            where m.team_id = $1 and m.removed_in is null
            order by m.id"#,
            team.0
        );
        let memberships = rows.fetch_all(&mut *self.connection).await?.into_iter().map(|row| {
            Ok(TeamMembership {
                id: row.id,
                person: row.person_id,
                weight: stored_weight(row.weight_units)?,
                period: stored_period(row.joined_at, row.left_at)?,
            })
        });
        memberships.collect()
    }
}
