//! Published releases, and annotated tags.
//!
//! By GraphQL: REST does not have the commit of a release, and its `created_at` is the date of that commit.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_domain::RepoName;
use mergeline_domain::delivery::{DeploymentState, DeploymentStateKind, Origin};
use mergeline_source::ReportedDeployment;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::GitHubError;
use crate::client::GitHubSession;
use crate::graphql::{Connection, Cost, Decoded, data};
use crate::model::is_sane;
use crate::text::Text;

const RELEASES: &str = include_str!("queries/releases.graphql");
const TAGS: &str = include_str!("queries/tags.graphql");

/// No repository has more than fit on these.
const MAX_PAGES: usize = 200;
/// How long a release may be a draft before it is published: the list is sorted by the creation of the draft.
const LONGEST_DRAFT: TimeDelta = TimeDelta::days(90);
/// How much older than its tag a commit may be: tags are sorted by the date of the commit.
const LONGEST_WAIT: TimeDelta = TimeDelta::days(90);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InRepository<T> {
    #[serde(default)]
    rate_limit: Option<Cost>,
    repository: Option<T>,
}

#[derive(Deserialize)]
struct Releases {
    releases: Connection<ReleaseNode>,
}

#[derive(Deserialize)]
struct Tags {
    /// Null without *Contents*.
    refs: Option<Connection<RefNode>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReleaseNode {
    id: String,
    tag_name: Text,
    created_at: DateTime<Utc>,
    /// Null for a draft.
    published_at: Option<DateTime<Utc>>,
    is_draft: bool,
    is_prerelease: bool,
    #[serde(default)]
    url: Option<Text>,
    /// Null if the tag does not exist any more.
    tag_commit: Option<CommitNode>,
}

#[derive(Deserialize)]
struct CommitNode {
    oid: String,
}

#[derive(Deserialize)]
struct RefNode {
    /// Of its repository and name, and so the same when it is moved.
    id: String,
    name: Text,
    target: Option<TargetNode>,
}

/// An annotated tag; without fields if it is a light one.
#[derive(Deserialize)]
struct TargetNode {
    #[serde(default)]
    tagger: Option<TaggerNode>,
    #[serde(default)]
    target: Option<TaggedNode>,
}

#[derive(Deserialize)]
struct TaggerNode {
    date: Option<DateTime<Utc>>,
}

/// What is tagged; without fields if it is no commit.
#[derive(Deserialize)]
struct TaggedNode {
    #[serde(default)]
    oid: Option<String>,
}

impl GitHubSession {
    /// The releases of a repository that were published since an instant, and the annotated tags of that time if `with_tags` is
    /// set. Drafts are left out. A light tag has no time of its own.
    ///
    /// An empty list is no proof that there are none: the token may lack *Contents*.
    ///
    /// # Errors
    /// Any error from GitHub or the connection to it.
    pub async fn releases(
        &self,
        repository: &RepoName,
        since: DateTime<Utc>,
        with_tags: bool,
    ) -> Result<Vec<ReportedDeployment>, GitHubError> {
        let mut found = Vec::new();
        self.each_page(
            repository,
            RELEASES,
            |found: Releases| Ok(found.releases),
            |node: ReleaseNode| {
                let is_old = node.created_at < since - LONGEST_DRAFT;
                found.extend(release(node)?.filter(|it| it.created_at >= since));
                Ok(is_old)
            },
        )
        .await?;
        if with_tags {
            let list = |found: Tags| found.refs.ok_or(GitHubError::InsufficientPermission);
            self.each_page(repository, TAGS, list, |node: RefNode| {
                let Some(tag) = tag(node)? else { return Ok(false) };
                let is_old = tag.created_at < since - LONGEST_WAIT;
                found.extend(Some(tag).filter(|it| it.created_at >= since));
                Ok(is_old)
            })
            .await?;
        }
        Ok(found)
    }

    /// Takes what a list has, page after page, until something is too old.
    async fn each_page<L: DeserializeOwned, N>(
        &self,
        repository: &RepoName,
        query: &str,
        list: impl Fn(L) -> Result<Connection<N>, GitHubError>,
        mut take: impl FnMut(N) -> Result<bool, GitHubError>,
    ) -> Result<(), GitHubError> {
        let mut cursors = HashSet::new();
        let mut after: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let variables = json!({ "owner": repository.owner(), "name": repository.name(), "after": after });
            let found: L = match self.graphql(query, variables, in_repository).await {
                Err(GitHubError::NodeNotFound { .. }) => return Err(GitHubError::NotFound),
                found => found?,
            };
            let page = list(found)?;
            let mut is_old = false;
            for node in page.nodes {
                is_old |= take(node)?;
            }
            after = page.page_info.next(&mut cursors)?;
            if is_old || after.is_none() {
                return Ok(());
            }
        }
        Err(GitHubError::invalid("the pages never end"))
    }
}

fn in_repository<T: DeserializeOwned>(body: &[u8]) -> Result<Decoded<T>, GitHubError> {
    let InRepository { rate_limit, repository } = data::<InRepository<T>>(body, 1)?;
    let data = repository.ok_or_else(|| GitHubError::NodeNotFound { reason: "no repository".to_owned() })?;
    Ok(Decoded { data, cost: rate_limit.unwrap_or_default().cost })
}

fn checked(at: DateTime<Utc>) -> Result<DateTime<Utc>, GitHubError> {
    let error = || GitHubError::invalid(format!("a release is of {at}, which is out of range"));
    is_sane(at).then_some(at).ok_or_else(error)
}

/// A release as a deployment; `None` for a draft.
fn release(node: ReleaseNode) -> Result<Option<ReportedDeployment>, GitHubError> {
    let Some(at) = node.published_at.filter(|_| !node.is_draft) else { return Ok(None) };
    let (at, tag) = (checked(at)?, node.tag_name.into_clean());
    Ok(Some(ReportedDeployment {
        id: node.id.into(),
        origin: Origin::Release { tag: tag.clone(), is_prerelease: node.is_prerelease },
        commit: node.tag_commit.and_then(|commit| commit.oid.parse().ok()),
        created_at: at,
        end: Some(DeploymentState { at, kind: DeploymentStateKind::Success }),
        version: Some(tag),
        url: node.url.map(Text::into_clean),
    }))
}

/// A tag as a deployment; `None` for a light one.
fn tag(node: RefNode) -> Result<Option<ReportedDeployment>, GitHubError> {
    let Some(target) = node.target else { return Ok(None) };
    let Some(at) = target.tagger.and_then(|tagger| tagger.date) else { return Ok(None) };
    let (at, tag) = (checked(at)?, node.name.into_clean());
    Ok(Some(ReportedDeployment {
        id: node.id.into(),
        origin: Origin::Tag { tag: tag.clone() },
        commit: target.target.and_then(|commit| commit.oid?.parse().ok()),
        created_at: at,
        end: Some(DeploymentState { at, kind: DeploymentStateKind::Success }),
        version: Some(tag),
        url: None,
    }))
}
