//! Single things: a repository, a pull request, an owner's repositories, the token itself.

use chrono::{DateTime, Utc};
use http::header::LINK;
use mergeline_domain::{GithubId, PullRequest, RepoName};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::answer::Answer;
use crate::client::{Question, Session};
use crate::model::{RepositoryIdentity, UndecodableItem, decode_single};
use crate::text::Text;
use crate::{GitHubError, link};

/// More pages of repositories than any owner has.
const MAX_PAGES: u32 = 500;

/// A repository in an owner's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRepository {
    /// `owner/name`.
    pub name: RepoName,
    /// Whether it is archived.
    pub is_archived: bool,
}

/// What is left of one of the hourly limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct RateLimit {
    /// All in all.
    pub limit: u32,
    /// What is left.
    pub remaining: u32,
    /// When it starts anew.
    #[serde(rename = "reset", with = "chrono::serde::ts_seconds")]
    pub resets_at: DateTime<Utc>,
}

/// What GitHub says about the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenReport {
    /// What kind of credentials there are.
    pub kind: &'static str,
    /// Scopes of a classic token.
    pub scopes: Option<String>,
    /// When the token expires, if it does.
    pub expires_at: Option<DateTime<Utc>>,
    /// Requests an hour; `None` on servers without limits.
    pub rest: Option<RateLimit>,
    /// Points of GraphQL an hour.
    pub graphql: Option<RateLimit>,
}

#[derive(Deserialize)]
struct RepositoryItem {
    id: GithubId,
    full_name: Text,
    #[serde(default)]
    archived: bool,
    /// Servers that do not say it have no such switch.
    #[serde(default = "yes")]
    has_pull_requests: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct RateLimits {
    resources: Resources,
}

#[derive(Deserialize)]
struct Resources {
    core: Option<RateLimit>,
    graphql: Option<RateLimit>,
}

#[derive(Deserialize)]
struct AccountItem {
    id: GithubId,
}

fn identity(item: &RepositoryItem) -> Result<RepositoryIdentity, GitHubError> {
    let name = item.full_name.parse().map_err(|_| GitHubError::invalid("a repository's name"))?;
    Ok(RepositoryIdentity { id: item.id, name })
}

impl Session<'_> {
    /// Which repository a name means.
    ///
    /// # Errors
    /// [`GitHubError::NotFound`] when there is none that the token may see, and whatever else GitHub says.
    pub async fn repository(&self, name: &RepoName) -> Result<RepositoryIdentity, GitHubError> {
        self.repository_at(&format!("/repos/{name}")).await
    }

    /// Which name a repository has now.
    ///
    /// # Errors
    /// [`GitHubError::NotFound`] when there is none that the token may see, and whatever else GitHub says.
    pub async fn repository_by_id(&self, id: GithubId) -> Result<RepositoryIdentity, GitHubError> {
        self.repository_at(&format!("/repositories/{id}")).await
    }

    /// Which repository a name means, and whether it has pull requests at all: they can be switched off in its settings, and
    /// its list of them is then a 404.
    ///
    /// # Errors
    /// [`GitHubError::NotFound`] when there is none that the token may see, and whatever else GitHub says.
    pub async fn has_pull_requests(&self, name: &RepoName) -> Result<(RepositoryIdentity, bool), GitHubError> {
        let item = self.repository_item(&format!("/repos/{name}")).await?;
        Ok((identity(&item)?, item.has_pull_requests))
    }

    async fn repository_at(&self, path: &str) -> Result<RepositoryIdentity, GitHubError> {
        identity(&self.repository_item(path).await?)
    }

    async fn repository_item(&self, path: &str) -> Result<RepositoryItem, GitHubError> {
        self.ask(Question::get(self.github.url(path, None)), Answer::decode).await
    }

    /// One pull request, or why it cannot be understood.
    ///
    /// # Errors
    /// [`GitHubError::NotFound`] when it is not there, and whatever else GitHub says.
    pub async fn pull_request(
        &self,
        repository: &RepoName,
        number: i64,
    ) -> Result<Result<PullRequest, UndecodableItem>, GitHubError> {
        let url = self.github.url(&format!("/repos/{repository}/pulls/{number}"), None);
        self.ask(Question::get(url), |answer| {
            let body = answer.body()?;
            // Half an answer is GitHub's fault; what is whole and cannot be understood is the pull request's.
            serde_json::from_slice::<IgnoredAny>(&body).map_err(|error| GitHubError::of_json(&error))?;
            Ok(decode_single(&body))
        })
        .await
    }

    /// All repositories of an owner, an organisation or a person, that the token may see.
    ///
    /// # Errors
    /// [`GitHubError::NotFound`] when there is no such owner, and whatever else GitHub says.
    pub async fn repositories_of(&self, owner: &str) -> Result<Vec<ListedRepository>, GitHubError> {
        let organisation = self.repositories_below(&format!("/orgs/{owner}/repos")).await;
        match organisation {
            Err(GitHubError::NotFound) => self.repositories_below(&format!("/users/{owner}/repos")).await,
            outcome => outcome,
        }
    }

    async fn repositories_below(&self, path: &str) -> Result<Vec<ListedRepository>, GitHubError> {
        let mut found = Vec::new();
        for page in 1..=MAX_PAGES {
            let url = self.github.url(path, Some(&format!("per_page=100&page={page}")));
            let (items, has_next) = self
                .ask(Question::get(url), |answer| {
                    let has_next = answer.header(&LINK).and_then(link::next_page).is_some();
                    Ok((answer.decode::<Vec<RepositoryItem>>()?, has_next))
                })
                .await?;
            for item in items {
                let name = item.full_name.parse().map_err(|_| GitHubError::invalid("a repository's name"))?;
                found.push(ListedRepository { name, is_archived: item.archived });
            }
            if !has_next {
                return Ok(found);
            }
        }
        Err(GitHubError::invalid("the pages of repositories have no end"))
    }

    /// The number of an account, `None` when there is no such login.
    ///
    /// # Errors
    /// Whatever GitHub says but 404.
    pub async fn account_id(&self, login: &str) -> Result<Option<GithubId>, GitHubError> {
        let url = self.github.url(&format!("/users/{login}"), None);
        match self.ask(Question::get(url), Answer::decode::<AccountItem>).await {
            Ok(item) => Ok(Some(item.id)),
            Err(GitHubError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What GitHub says about the token. Costs nothing of the limits.
    ///
    /// # Errors
    /// [`GitHubError::Unauthorized`] for a token that is refused, and whatever else GitHub says.
    pub async fn token_report(&self) -> Result<TokenReport, GitHubError> {
        let url = self.github.url("/rate_limit", None);
        let kind = self.github.credentials().kind();
        let report = self
            .ask(Question::get(url), |answer| {
                let limits: RateLimits = answer.decode()?;
                Ok(TokenReport {
                    kind,
                    scopes: answer.scopes().map(str::to_owned),
                    expires_at: answer.token_expires_at(),
                    rest: limits.resources.core,
                    graphql: limits.resources.graphql,
                })
            })
            .await;
        match report {
            // What an Enterprise server without limits says.
            Err(GitHubError::NotFound) => {
                let expires_at = self.usage().token_expires_at;
                Ok(TokenReport { kind, scopes: None, expires_at, rest: None, graphql: None })
            }
            report => report,
        }
    }
}
