//! Issues with a label, which are incidents.

use std::collections::HashSet;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use http::header::LINK;
use mergeline_domain::RepoName;
use mergeline_source::{Closing, Etag, IncidentList, ListedIncident};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::answer::Answer;
use crate::client::GitHubSession;
use crate::model::is_sane;
use crate::text::Text;
use crate::{GitHubError, link};

/// No repository has more incidents than fit on these.
const MAX_PAGES: u32 = 100;

#[derive(Deserialize)]
struct IssueItem {
    id: i64,
    number: i64,
    title: Text,
    #[serde(default)]
    html_url: Option<Text>,
    labels: Vec<LabelItem>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    closed_at: Option<DateTime<Utc>>,
    #[serde(default)]
    state_reason: Option<Text>,
    /// GitHub lists pull requests with issues.
    #[serde(default)]
    pull_request: Option<IgnoredAny>,
}

/// A label, as its name or as an object with it.
#[derive(Deserialize)]
#[serde(untagged)]
enum LabelItem {
    Name(Text),
    Object {
        #[serde(default)]
        name: Option<Text>,
    },
}

struct Page {
    incidents: Vec<ListedIncident>,
    has_next: bool,
    etag: Option<Etag>,
}

impl GitHubSession {
    /// All issues of a repository with this label, without pull requests; `None` if the list is the one that the ETag was given
    /// for. An empty list is no proof that there are none: the token may lack *Issues*.
    ///
    /// Source: GitHub, "List repository issues". Several labels would mean all of them.
    ///
    /// # Errors
    /// [`GitHubError::NotFound`] also if the token lacks *Issues*, and any other error from GitHub or the connection to it.
    pub async fn labeled_issues(
        &self,
        repository: &RepoName,
        label: &str,
        known: Option<&Etag>,
    ) -> Result<Option<IncidentList>, GitHubError> {
        let mut list = IncidentList::default();
        let mut seen = HashSet::new();
        for number in 1..=MAX_PAGES {
            let Some(page) = self.issues_page(repository, Some(label), number, known).await? else { return Ok(None) };
            if number == 1 {
                list.etag = page.etag;
            }
            list.incidents.extend(page.incidents.into_iter().filter(|incident| seen.insert(incident.id.clone())));
            if !page.has_next {
                return Ok(Some(list));
            }
        }
        Err(GitHubError::invalid("the pages never end"))
    }

    /// Whether any issue can be read, among the thousand issues and pull requests that were last updated.
    ///
    /// # Errors
    /// As [`Self::labeled_issues`].
    pub async fn has_issues(&self, repository: &RepoName) -> Result<bool, GitHubError> {
        /// Pull requests are listed with issues, and change more often.
        const PAGES: u32 = 10;
        for number in 1..=PAGES {
            match self.issues_page(repository, None, number, None).await? {
                Some(page) if !page.incidents.is_empty() => return Ok(true),
                Some(page) if page.has_next => {}
                _ => break,
            }
        }
        Ok(false)
    }

    /// A page of issues and pull requests. Sorted by update: any change moves an issue to the first page, whose ETag counts.
    async fn issues_page(
        &self,
        repository: &RepoName,
        label: Option<&str>,
        number: u32,
        known: Option<&Etag>,
    ) -> Result<Option<Page>, GitHubError> {
        let mut query = "state=all&sort=updated&direction=desc&per_page=100".to_owned();
        if let Some(label) = label {
            let label: String = url::form_urlencoded::byte_serialize(label.as_bytes()).collect();
            query = format!("labels={label}&{query}");
        }
        if number > 1 {
            let _ = write!(query, "&page={number}");
        }
        let url = self.github.url(&format!("/repos/{repository}/issues"), Some(&query));
        let known = known.filter(|_| number == 1);
        self.if_changed(url, number == 1, known, |answer, etag| read(answer, number, etag)).await
    }
}

fn read(answer: &Answer, number: u32, etag: Option<Etag>) -> Result<Page, GitHubError> {
    let body = answer.body()?;
    let items: Vec<IssueItem> = serde_json::from_slice(&body).map_err(|error| GitHubError::of_json(&error))?;
    let mut incidents = Vec::with_capacity(items.len());
    for item in items.into_iter().filter(|item| item.pull_request.is_none()) {
        let times = [Some(item.created_at), Some(item.updated_at), item.closed_at];
        if let Some(at) = times.into_iter().flatten().find(|at| !is_sane(*at)) {
            return Err(GitHubError::invalid(format!("an issue is of {at}, which is out of range")));
        }
        let meaning = match item.state_reason.as_deref() {
            Some("not_planned") => Closing::Dismissed,
            Some("duplicate") => Closing::Merged,
            _ => Closing::Resolved,
        };
        let labels = item.labels.into_iter().filter_map(|label| match label {
            LabelItem::Name(name) => Some(name.into_clean()),
            LabelItem::Object { name } => name.map(Text::into_clean),
        });
        incidents.push(ListedIncident {
            id: item.id.into(),
            number: item.number,
            title: item.title.into_clean(),
            labels: labels.collect(),
            url: item.html_url.map(Text::into_clean),
            opened_at: item.created_at,
            updated_at: item.updated_at,
            closed: item.closed_at.map(|at| (at, meaning)),
        });
    }
    Ok(Page { incidents, has_next: link::has_next(answer.header(&LINK), number)?, etag })
}
