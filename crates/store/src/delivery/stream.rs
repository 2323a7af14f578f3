//! Reads the stored facts of a service, as the domain derives from them.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use mergeline_domain::delivery::{
    CommitGraph, Deployment, DeploymentId, DeploymentOutcome, MergedPullRequest, Oid, PullRequestId, Revision, Stream,
    Via,
};
use mergeline_domain::{TeamId, Weight};

use super::deployments::stored_oid;
use super::incidents::Incidents;
use super::rules::DeliveryRules;
use crate::attributions::stored_weight;
use crate::session::Session;
use crate::{RepositoryId, StoreError};

/// The stored facts of a service's deployments to production.
pub(super) struct StoredStream {
    pub(super) stream: Stream,
    /// The pull requests whose details are not read yet.
    pub(super) undetailed: HashSet<PullRequestId>,
    /// Which teams each pull request counts for.
    pub(super) weights: HashMap<PullRequestId, Vec<(TeamId, Weight)>>,
}

impl StoredStream {
    /// Reads it.
    pub(super) async fn read(
        connection: &mut Session,
        service: i64,
        rules: &DeliveryRules,
        incidents: &Incidents,
    ) -> Result<Self, StoreError> {
        let deployments = deployments(connection, service).await?;
        if deployments.is_empty() {
            return Ok(Self { stream: Stream::default(), undetailed: HashSet::new(), weights: HashMap::new() });
        }
        let repositories = sqlx::query_scalar!(
            r#"select repository_id as "repository_id!" from repositories_of_services where service_id = $1
            union
            select v.repository_id
            from deployment_revisions as v
            inner join deployments as d on v.deployment_id = d.id
            where d.service_id = $1
            order by 1"#,
            service
        )
        .fetch_all(&mut *connection)
        .await?;
        let mut commits = BTreeMap::new();
        for repository in &repositories {
            commits.insert(RepositoryId(*repository), commit_graph(connection, *repository).await?);
        }
        let (pull_requests, undetailed) = pull_requests(connection, service, rules, incidents).await?;
        let weights = weights(connection, service).await?;
        let stream = Stream { deployments, pull_requests, commits };
        Ok(Self { stream, undetailed, weights })
    }
}

/// The finished deployments of a service to production.
async fn deployments(connection: &mut Session, service: i64) -> Result<Vec<Deployment>, StoreError> {
    let rows = sqlx::query!(
        r#"select
            d.id, d.external_id, d.environment, d.succeeded_at, d.failed_at, d.failed_afterwards_at, d.is_declared_failed,
            d.is_declared_rework, v.repository_id as "repository_id?", v.oid as "oid?",
            -- Hardly any has one, and this looks at all of them.
            case when d.remedies is not null then (
                select o.id from deployments as o
                where
                    o.source = d.source and o.instance_id is not distinct from d.instance_id
                    and o.sender is not distinct from d.sender and o.external_id = d.remedies
            ) end as remedies
        from deployments as d
        left join deployment_revisions as v on d.id = v.deployment_id
        where
            d.service_id = $1 and d.environment_group = 'production' and d.deleted_at is null
            and d.outcome in ('succeeded', 'failed')
        order by d.id, v.repository_id"#,
        service
    )
    .fetch_all(connection)
    .await?;
    let mut deployments: Vec<Deployment> = Vec::new();
    for row in rows {
        if deployments.last().is_none_or(|last| last.id.0 != row.id) {
            let outcome = match (row.succeeded_at, row.failed_at) {
                (Some(at), _) => DeploymentOutcome::Succeeded { at, failed_afterwards_at: row.failed_afterwards_at },
                (None, Some(at)) => DeploymentOutcome::Failed { at },
                (None, None) => DeploymentOutcome::Unfinished,
            };
            deployments.push(Deployment {
                id: DeploymentId(row.id),
                source_id: row.external_id,
                environment: row.environment,
                revisions: Vec::new(),
                outcome,
                is_declared_failed: row.is_declared_failed,
                is_declared_rework: row.is_declared_rework,
                remedies: row.remedies.map(DeploymentId),
            });
        }
        if let (Some(last), Some(repository), Some(oid)) = (deployments.last_mut(), row.repository_id, row.oid) {
            last.revisions.push(Revision { repository: RepositoryId(repository), oid: stored_oid(&oid)? });
        }
    }
    Ok(deployments)
}

/// The commits of a repository, without those whose ancestors are not all read.
async fn commit_graph(connection: &mut Session, repository: i64) -> Result<CommitGraph, StoreError> {
    // Most have one parent, and an array takes long to read.
    let rows = sqlx::query!(
        r#"select oid, committed_at, parents[1] as parent, case when cardinality(parents) > 1 then parents[2:] end as others
        from commits
        where repository_id = $1"#,
        repository
    )
    .fetch_all(&mut *connection)
    .await?;
    let floor = sqlx::query_scalar!(
        "select min(c.committed_at)
        from deployment_revisions as v
        inner join deployments as d on v.deployment_id = d.id
        inner join commits as c on v.repository_id = c.repository_id and v.oid = c.oid
        where
            v.repository_id = $1 and d.environment_group = 'production' and d.deleted_at is null
            and d.outcome in ('succeeded', 'failed')",
        repository
    )
    .fetch_one(&mut *connection)
    .await?;
    let Some(floor) = floor else { return Ok(CommitGraph::default()) };
    let mut graph = CommitGraph::complete_since(floor);
    for row in rows {
        let parents = row.parent.iter().chain(row.others.iter().flatten());
        let parents = parents.map(|oid| stored_oid(oid)).collect::<Result<Vec<Oid>, _>>()?;
        graph.insert(stored_oid(&row.oid)?, parents, row.committed_at);
    }
    let open = sqlx::query_scalar!(
        "select oid from open_commits where repository_id = $1 and committed_at >= $2",
        repository,
        floor
    )
    .fetch_all(connection)
    .await?;
    let open = open.iter().map(|oid| stored_oid(oid)).collect::<Result<HashSet<Oid>, _>>()?;
    graph.forget_descendants_of(&open);
    Ok(graph)
}

/// The merged pull requests of a service, and those whose details are not read yet.
async fn pull_requests(
    connection: &mut Session,
    service: i64,
    rules: &DeliveryRules,
    incidents: &Incidents,
) -> Result<(Vec<MergedPullRequest>, HashSet<PullRequestId>), StoreError> {
    let rows = sqlx::query!(
        r#"select
            p.id, p.repository_id, p.number, p.merged_at as "merged_at!", p.merge_commit, p.head_commit,
            p.merge_committed_at, p.reverts, p.closes, p.labels, p.head_ref, p.detailed_at
        from repositories_of_services as o
        inner join services as s on o.service_id = s.id
        inner join pull_requests as p on o.repository_id = p.repository_id
        where
            o.service_id = $1 and p.merged_at is not null and p.deleted_at is null
            and (
                s.paths is null
                or p.id in (select t.pull_request_id from pull_request_services as t where t.service_id = $1 and t.is_touched)
            )
        order by p.id"#,
        service
    )
    .fetch_all(connection)
    .await?;
    let mut undetailed = HashSet::new();
    let pull_requests = rows.into_iter().map(|row| {
        let id = PullRequestId(row.id);
        if row.detailed_at.is_none() {
            undetailed.insert(id);
        }
        let labels = row.labels.unwrap_or_default();
        MergedPullRequest {
            id,
            repository: RepositoryId(row.repository_id),
            number: row.number,
            merged_at: row.merged_at,
            commit: recognized_by(row.merge_commit.as_deref(), row.head_commit.as_deref()),
            committed_at: row.merge_committed_at,
            reverts: row.reverts,
            is_hotfix: rules.hotfix.is_hotfix(&labels, row.head_ref.as_deref()),
            closes: incidents.closed_by(RepositoryId(row.repository_id), &row.closes.unwrap_or_default()),
        }
    });
    let pull_requests = pull_requests.collect();
    Ok((pull_requests, undetailed))
}

/// The commit by which a pull request is recognized. What is no commit's id is as good as none.
fn recognized_by(merge_commit: Option<&str>, head_commit: Option<&str>) -> Option<(Oid, Via)> {
    match merge_commit {
        Some(oid) => oid.parse().ok().map(|oid| (oid, Via::MergeCommit)),
        None => head_commit?.parse().ok().map(|oid| (oid, Via::HeadCommit)),
    }
}

/// Which teams the merged pull requests of a service count for.
async fn weights(
    connection: &mut Session,
    service: i64,
) -> Result<HashMap<PullRequestId, Vec<(TeamId, Weight)>>, StoreError> {
    let rows = sqlx::query!(
        r#"select a.pull_request_id, a.team_id, (a.weight * 10000)::integer as "units!"
        from repositories_of_services as o
        inner join pr_attributions as a on o.repository_id = a.repository_id
        where o.service_id = $1 and a.merged_at is not null
        order by a.pull_request_id, a.team_id"#,
        service
    )
    .fetch_all(connection)
    .await?;
    let mut weights: HashMap<PullRequestId, Vec<(TeamId, Weight)>> = HashMap::new();
    for row in rows {
        let weight = (TeamId(row.team_id), stored_weight(row.units)?);
        weights.entry(PullRequestId(row.pull_request_id)).or_default().push(weight);
    }
    Ok(weights)
}

/// The instant of a remedy or a delivery, with the deployment, as two columns.
pub(super) fn columns_of(of: Option<(DeploymentId, DateTime<Utc>)>) -> (Option<i64>, Option<DateTime<Utc>>) {
    (of.map(|(id, _)| id.0), of.map(|(_, at)| at))
}
