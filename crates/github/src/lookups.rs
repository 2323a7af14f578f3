//! Lookups of single things: a repository, a pull request, an owner's repositories, the token itself.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use http::header::LINK;
use mergeline_domain::{ExternalId, PullRequest, RepoName};
use mergeline_source::{
    ListedRepository, OwnedRepositories, RepositoryFacts, RepositoryIdentity, RepositoryKey, UndecodableItem,
};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::answer::Answer;
use crate::client::{GitHubRequest, GitHubSession};
use crate::model::{Time, decode_single};
use crate::text::Text;
use crate::{GitHubError, link};

/// The prefix of installation tokens.
const INSTALLATION_TOKEN: &str = "ghs_";
const WITHOUT_TOKEN: &str = "without a token GitHub lists only public repositories";
/// More pages of repositories than any owner has.
const MAX_PAGES: u32 = 500;

/// The repositories among these that belong to the owner.
fn owned(owner: &str, found: BTreeMap<RepoName, ListedRepository>, incomplete: Option<String>) -> OwnedRepositories {
    let is_owned = |one: &ListedRepository| one.name.owner().eq_ignore_ascii_case(owner);
    OwnedRepositories { repositories: found.into_values().filter(is_owned).collect(), incomplete }
}

/// What was listed so far.
#[derive(Default)]
struct Found {
    repositories: BTreeMap<RepoName, ListedRepository>,
    /// Why GitHub left something out.
    reason: Option<String>,
}

fn not_owners_token(owner: &str) -> String {
    format!(
        "the token is not {owner}'s: GitHub lists only the user's public repositories, and those shared with the token's account"
    )
}

/// One of the hourly limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct RateLimit {
    /// Requests or points per hour.
    pub limit: u32,
    /// How many remain.
    pub remaining: u32,
    /// When the limit resets.
    #[serde(rename = "reset", with = "chrono::serde::ts_seconds")]
    pub resets_at: DateTime<Utc>,
}

/// What GitHub reports about the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenReport {
    /// The kind of credentials in use.
    pub kind: &'static str,
    /// Scopes of a classic token.
    pub scopes: Option<String>,
    /// When the token expires, if it does.
    pub expires_at: Option<DateTime<Utc>>,
    /// Requests per hour; `None` on servers without limits.
    pub rest: Option<RateLimit>,
    /// GraphQL points per hour.
    pub graphql: Option<RateLimit>,
}

#[derive(Deserialize)]
struct RepositoryItem {
    id: i64,
    full_name: Text,
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    created_at: Option<Time>,
    /// Servers that do not send this have no such setting.
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

/// The repositories that an App's installation has access to.
#[derive(Deserialize)]
struct GivenRepositories {
    repositories: Vec<RepositoryItem>,
}

#[derive(Deserialize)]
struct LoginItem {
    login: Text,
}

#[derive(Deserialize)]
struct AccountItem {
    id: i64,
}

fn facts(item: RepositoryItem) -> Result<RepositoryFacts, GitHubError> {
    let name = item.full_name.parse().map_err(|_| GitHubError::invalid("a repository's name"))?;
    let created_at = item.created_at.and_then(Time::at);
    Ok(RepositoryFacts {
        identity: RepositoryIdentity { id: item.id.into(), name, created_at },
        has_pull_requests: item.has_pull_requests,
        is_archived: item.archived,
    })
}

fn listed(item: RepositoryItem) -> Result<ListedRepository, GitHubError> {
    let RepositoryFacts { identity, is_archived, .. } = facts(item)?;
    Ok(ListedRepository { name: identity.name, id: identity.id, is_archived })
}

impl GitHubSession {
    /// Looks up a repository.
    ///
    /// # Errors
    /// [`GitHubError::NotFound`] if the token can see no such repository, and any other GitHub error.
    pub async fn repository(&self, key: RepositoryKey<'_>) -> Result<RepositoryFacts, GitHubError> {
        let path = match key {
            RepositoryKey::Name(name) => format!("/repos/{name}"),
            RepositoryKey::Id(id) => format!("/repositories/{id}"),
        };
        facts(self.repository_item(&path).await?)
    }

    async fn repository_item(&self, path: &str) -> Result<RepositoryItem, GitHubError> {
        self.send(GitHubRequest::get(self.github.url(path, None)), Answer::decode).await
    }

    /// One pull request, or why it cannot be decoded.
    ///
    /// # Errors
    /// [`GitHubError::NotFound`] if it does not exist, and any other GitHub error.
    pub async fn pull_request(
        &self,
        repository: &RepoName,
        number: i64,
    ) -> Result<Result<PullRequest, UndecodableItem>, GitHubError> {
        let url = self.github.url(&format!("/repos/{repository}/pulls/{number}"), None);
        self.send(GitHubRequest::get(url), |answer| {
            let body = answer.body()?;
            // Truncated JSON is GitHub's fault. Complete JSON that cannot be decoded is an undecodable pull request.
            serde_json::from_slice::<IgnoredAny>(&body).map_err(|error| GitHubError::of_json(&error))?;
            Ok(decode_single(&body, number))
        })
        .await
    }

    /// The repositories of an owner (organization or person) that GitHub lists to the token.
    ///
    /// Source: GitHub. "List organization repositories", "List repositories for the authenticated user" and "List
    /// repositories accessible to the app installation" include private ones. "List repositories for a user" does
    /// not.
    ///
    /// # Errors
    /// [`GitHubError::NotFound`] if the owner does not exist, and any other GitHub error.
    pub async fn repositories_of(&self, owner: &str) -> Result<OwnedRepositories, GitHubError> {
        let mut found = Found::default();
        match self.list(&format!("/orgs/{owner}/repos"), "", &mut found).await {
            Ok(()) => {
                let reason = if self.has_token().await? { found.reason } else { Some(WITHOUT_TOKEN.to_owned()) };
                return Ok(owned(owner, found.repositories, reason));
            }
            Err(GitHubError::NotFound) => {}
            Err(error) => return Err(error),
        }
        let mut found = Found::default();
        let Some(token) = self.token().await? else {
            self.list(&format!("/users/{owner}/repos"), "", &mut found).await?;
            return Ok(owned(owner, found.repositories, Some(WITHOUT_TOKEN.to_owned())));
        };
        if token.expose_secret().starts_with(INSTALLATION_TOKEN) {
            // Public repositories are not always among those that the App has access to.
            self.list(&format!("/users/{owner}/repos"), "", &mut found).await?;
            let mut given = Found::default();
            self.list_given(&mut given).await?;
            let is_given = given.repositories.keys().any(|name| name.owner().eq_ignore_ascii_case(owner));
            found.repositories.append(&mut given.repositories);
            let reason = (!is_given && !self.is_of_installation().await?).then(|| not_owners_token(owner));
            return Ok(owned(owner, found.repositories, reason));
        }
        let is_own = self.login_of_token().await?.is_some_and(|login| login.eq_ignore_ascii_case(owner));
        if is_own {
            self.list("/user/repos", "affiliation=owner&", &mut found).await?;
            return Ok(owned(owner, found.repositories, found.reason));
        }
        self.list(&format!("/users/{owner}/repos"), "", &mut found).await?;
        match self.list("/user/repos", "affiliation=collaborator&", &mut found).await {
            // Not every kind of token may list these.
            Ok(()) | Err(GitHubError::Forbidden { .. } | GitHubError::NotFound) => {}
            Err(error) => return Err(error),
        }
        Ok(owned(owner, found.repositories, found.reason.or_else(|| Some(not_owners_token(owner)))))
    }

    /// The repositories of any owner that the token's account may see, by name, and why some are missing.
    pub(crate) async fn own_repositories(
        &self,
    ) -> Result<(BTreeMap<RepoName, ListedRepository>, Option<String>), GitHubError> {
        let mut found = Found::default();
        self.list("/user/repos", "", &mut found).await?;
        Ok((found.repositories, found.reason))
    }

    /// The login of the token's account; `None` if it has no account.
    async fn login_of_token(&self) -> Result<Option<String>, GitHubError> {
        let url = self.github.url("/user", None);
        match self.send(GitHubRequest::get(url), Answer::decode::<LoginItem>).await {
            Ok(item) => Ok(Some(item.login.to_string())),
            Err(GitHubError::Forbidden { .. } | GitHubError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn list(&self, path: &str, query: &str, found: &mut Found) -> Result<(), GitHubError> {
        self.pages_of(path, query, found, Answer::decode::<Vec<RepositoryItem>>).await
    }

    /// Lists the repositories that an App's installation has access to.
    async fn list_given(&self, found: &mut Found) -> Result<(), GitHubError> {
        let read = |answer: &Answer| Ok(answer.decode::<GivenRepositories>()?.repositories);
        self.pages_of("/installation/repositories", "", found, read).await
    }

    async fn pages_of(
        &self,
        path: &str,
        query: &str,
        found: &mut Found,
        read: impl Fn(&Answer) -> Result<Vec<RepositoryItem>, GitHubError>,
    ) -> Result<(), GitHubError> {
        for page in 1..=MAX_PAGES {
            let url = self.github.url(path, Some(&format!("{query}per_page=100&page={page}")));
            let (items, has_next, reason) = self
                .send(GitHubRequest::get(url), |answer| {
                    let has_next = link::has_next(answer.header(&LINK), page)?;
                    Ok((read(answer)?, has_next, answer.left_out()))
                })
                .await?;
            for item in items {
                let one = listed(item)?;
                found.repositories.insert(one.name.clone(), one);
            }
            found.reason = reason.map(str::to_owned).or(found.reason.take());
            if !has_next {
                return Ok(());
            }
        }
        Err(GitHubError::invalid("the pages of repositories never end"))
    }

    /// The number of an account; `None` if the login does not exist.
    ///
    /// # Errors
    /// Any GitHub error except 404.
    pub async fn account_id(&self, login: &str) -> Result<Option<ExternalId>, GitHubError> {
        let url = self.github.url(&format!("/users/{login}"), None);
        match self.send(GitHubRequest::get(url), Answer::decode::<AccountItem>).await {
            Ok(item) => Ok(Some(item.id.into())),
            Err(GitHubError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What GitHub reports about the token. This request is free of charge against the limits.
    ///
    /// # Errors
    /// [`GitHubError::Unauthorized`] if the token is refused, and any other GitHub error.
    pub async fn token_report(&self) -> Result<TokenReport, GitHubError> {
        let url = self.github.url("/rate_limit", None);
        let kind = self.github.credentials().kind();
        let report = self
            .send(GitHubRequest::get(url), |answer| {
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
            // Enterprise servers without limits respond with 404.
            Err(GitHubError::NotFound) => {
                let expires_at = self.usage().token_expires_at;
                Ok(TokenReport { kind, scopes: None, expires_at, rest: None, graphql: None })
            }
            report => report,
        }
    }
}
