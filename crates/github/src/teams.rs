//! An organization's teams, and who is in them.

use http::header::LINK;
use mergeline_domain::Login;
use mergeline_domain::teams_file::{ListedAccount, ListedTeam};
use mergeline_source::{ListedRepository, OwnedRepositories};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::answer::Answer;
use crate::client::{GitHubRequest, GitHubSession};
use crate::text::Text;
use crate::{GitHubError, link};

/// More pages than any organization has, of teams or of members.
const MAX_PAGES: u32 = 1_000;
/// GitHub's kind of account for people.
const PERSON: &str = "User";
/// GitHub's kind of account for organizations.
const ORGANIZATION: &str = "Organization";

#[derive(Deserialize)]
struct TeamItem {
    slug: Text,
    name: Text,
    #[serde(default)]
    parent: Option<ParentItem>,
}

#[derive(Deserialize)]
struct ParentItem {
    slug: Text,
}

#[derive(Deserialize)]
struct AccountItem {
    login: Text,
    id: i64,
    #[serde(rename = "type", default)]
    kind: Text,
}

impl AccountItem {
    fn listed(&self) -> ListedAccount {
        ListedAccount {
            login: Login::from_github(&self.login),
            id: self.id.into(),
            // A server that does not say it has no bots either.
            is_person: self.kind.is_empty() || *self.kind == *PERSON,
        }
    }
}

/// Who may own repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// An organization, which may have teams.
    Organization,
    /// A person, who has none.
    Person(ListedAccount),
}

impl GitHubSession {
    /// What kind of account this is; `None` if there is none.
    ///
    /// # Errors
    /// Any GitHub error except 404.
    pub async fn owner_kind(&self, login: &str) -> Result<Option<Owner>, GitHubError> {
        let url = self.github.url(&format!("/users/{login}"), None);
        match self.send(GitHubRequest::get(url), Answer::decode::<AccountItem>).await {
            Ok(item) if *item.kind == *ORGANIZATION => Ok(Some(Owner::Organization)),
            Ok(item) => Ok(Some(Owner::Person(item.listed()))),
            Err(GitHubError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The teams of an organization that the token may see, without their members.
    ///
    /// Source: GitHub, "List teams". It needs *Members*, read, of a fine-grained token, `read:org` of a classic one.
    ///
    /// # Errors
    /// [`GitHubError::NotFound`] or [`GitHubError::Forbidden`] if the token may not list them, and any other GitHub error.
    pub async fn teams_of(&self, organization: &str) -> Result<Vec<ListedTeam>, GitHubError> {
        let items: Vec<TeamItem> = self.all_of(&format!("/orgs/{organization}/teams")).await?;
        let listed = items.into_iter().map(|item| ListedTeam {
            slug: item.slug.into_clean(),
            name: item.name.into_clean(),
            parent: item.parent.map(|parent| parent.slug.into_clean()),
            members: Vec::new(),
        });
        Ok(listed.collect())
    }

    /// The members of a team, with those of the teams that it contains.
    ///
    /// Source: GitHub, "List team members".
    ///
    /// # Errors
    /// Any GitHub error.
    pub async fn members_of_team(&self, organization: &str, slug: &str) -> Result<Vec<ListedAccount>, GitHubError> {
        // The slug is GitHub's own. Only what would change the path must not be in it.
        let slug: String = url::form_urlencoded::byte_serialize(slug.as_bytes()).collect();
        self.accounts(&format!("/orgs/{organization}/teams/{slug}/members")).await
    }

    /// The members of an organization that the token may see.
    ///
    /// Source: GitHub, "List organization members".
    ///
    /// # Errors
    /// Any GitHub error.
    pub async fn members_of(&self, organization: &str) -> Result<Vec<ListedAccount>, GitHubError> {
        self.accounts(&format!("/orgs/{organization}/members")).await
    }

    /// The repositories of any owner that the token's account may see, and why some are missing.
    ///
    /// Source: GitHub, "List repositories for the authenticated user".
    ///
    /// # Errors
    /// [`GitHubError::Forbidden`] for tokens of an App, which have no account, and any other GitHub error.
    pub async fn visible_repositories(&self) -> Result<OwnedRepositories, GitHubError> {
        let (repositories, incomplete) = self.own_repositories().await?;
        let repositories: Vec<ListedRepository> = repositories.into_values().collect();
        Ok(OwnedRepositories { repositories, incomplete })
    }

    async fn accounts(&self, path: &str) -> Result<Vec<ListedAccount>, GitHubError> {
        let items: Vec<AccountItem> = self.all_of(path).await?;
        Ok(items.iter().map(AccountItem::listed).collect())
    }

    /// The items on all pages of a list.
    async fn all_of<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, GitHubError> {
        let mut all = Vec::new();
        for page in 1..=MAX_PAGES {
            let url = self.github.url(path, Some(&format!("per_page=100&page={page}")));
            let (items, has_next) = self
                .send(GitHubRequest::get(url), |answer| {
                    let has_next = link::has_next(answer.header(&LINK), page)?;
                    Ok((answer.decode::<Vec<T>>()?, has_next))
                })
                .await?;
            all.extend(items);
            if !has_next {
                return Ok(all);
            }
        }
        Err(GitHubError::invalid(format!("the pages of {path} never end")))
    }
}
