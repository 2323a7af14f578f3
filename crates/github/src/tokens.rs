//! Selects the token for each owner, and requests it from GitHub where it is an installation's.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use http::Method;
use secrecy::SecretString;
use serde::Deserialize;

use crate::answer::Answer;
use crate::client::{GitHubRequest, GitHubSession};
use crate::credentials::{App, AppState, Credentials, Installed};
use crate::text::Text;
use crate::{GitHubError, Refusal, link};

/// An installation token lives an hour. A token that is about to expire is not used for new requests.
const TOKEN_MARGIN: TimeDelta = TimeDelta::minutes(5);
/// How long the list of installations is cached.
const INSTALLATIONS_KEEP: TimeDelta = TimeDelta::hours(1);
/// How long a refusal of the App itself is cached.
const REFUSAL_KEEP: TimeDelta = TimeDelta::minutes(5);
/// More pages of installations than any App has.
const MAX_PAGES: u32 = 100;

#[derive(Deserialize)]
struct Installation {
    id: i64,
    account: Option<Account>,
    #[serde(default)]
    suspended_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct Account {
    login: Text,
}

#[derive(Deserialize)]
struct AccessToken {
    token: SecretString,
    expires_at: DateTime<Utc>,
}

impl GitHubSession {
    /// Checks whether GitHub accepts the App for the owner, if there is an App. If not, the personal token is used
    /// instead.
    ///
    /// # Errors
    /// Why an App gets no token.
    pub async fn check_app(&self) -> Result<(), GitHubError> {
        let Some(owner) = self.owner() else { return Ok(()) };
        Box::pin(self.github.credentials().app_refusal(self, owner)).await
    }

    /// The token for the owner.
    pub(crate) async fn token(&self) -> Result<Option<SecretString>, GitHubError> {
        // Boxed, because getting an installation token sends a request itself.
        Box::pin(self.github.credentials().token(self, self.owner())).await
    }
}

impl Credentials {
    /// The token for an owner. The personal one is for owners without the App, and for owners where GitHub refuses
    /// the App.
    async fn token(&self, session: &GitHubSession, owner: Option<&str>) -> Result<Option<SecretString>, GitHubError> {
        if let (Some(app), Some(owner)) = (&self.app, owner) {
            match app.token(session, owner).await {
                Ok(Some(token)) => return Ok(Some(token)),
                Ok(None) => {}
                Err(error) if error.is_app_refused() && self.personal.is_some() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.personal.clone())
    }

    /// Why the App is not used for an owner, although it is installed there or that is unknown.
    async fn app_refusal(&self, session: &GitHubSession, owner: &str) -> Result<(), GitHubError> {
        match &self.app {
            Some(app) => app.token(session, owner).await.map(drop),
            None => Ok(()),
        }
    }
}

impl App {
    /// The installation token for an owner; `None` if the App is not installed there.
    async fn token(&self, session: &GitHubSession, owner: &str) -> Result<Option<SecretString>, GitHubError> {
        let now = session.now();
        // Held during the request: others that need the same token wait for it instead of requesting it too.
        let mut state = self.state.lock().await;
        if state.refused.as_ref().is_some_and(|(_, at)| now - at > REFUSAL_KEEP) {
            state.refused = None;
        }
        if let Some((refusal, _)) = &state.refused {
            return Err(refusal.clone());
        }
        if state.listed_at.is_none_or(|at| now - at > INSTALLATIONS_KEEP) {
            match self.installations(session).await {
                Ok(installations) => (state.installations, state.listed_at) = (installations, Some(now)),
                Err(error) => {
                    if error.is_app_refused() {
                        state.refused = Some((error.clone(), now));
                        tracing::warn!("{error}");
                    }
                    return Err(error);
                }
            }
        }
        let AppState { installations, tokens, .. } = &mut *state;
        let Some(installed) = installations.get_mut(owner) else { return Ok(None) };
        if let Some(message) = &installed.refused {
            return Err(GitHubError::Forbidden { cause: Refusal::Installation, message: message.clone() });
        }
        if let Some((token, expires_at)) = tokens.get(&installed.id)
            && *expires_at - now > TOKEN_MARGIN
        {
            return Ok(Some(token.clone()));
        }
        let url = session.github.url(&format!("/app/installations/{}/access_tokens", installed.id), None);
        let request = GitHubRequest {
            method: Method::POST,
            body: Some(serde_json::json!({})),
            bearer: Some(self.jwt(now)?),
            ..GitHubRequest::get(url)
        };
        match Box::pin(session.send(request, Answer::decode::<AccessToken>)).await {
            Ok(AccessToken { token, expires_at }) => {
                tokens.insert(installed.id, (token.clone(), expires_at));
                Ok(Some(token))
            }
            // Uninstalled since the list was read.
            Err(GitHubError::NotFound) => {
                installations.remove(owner);
                Ok(None)
            }
            Err(error) => {
                if let GitHubError::Forbidden { cause: Refusal::Installation, message } = &error {
                    tracing::warn!(owner, "{error}");
                    installed.refused = Some(message.clone());
                }
                Err(error)
            }
        }
    }

    async fn installations(&self, session: &GitHubSession) -> Result<HashMap<String, Installed>, GitHubError> {
        let mut found = HashMap::new();
        for page in 1..=MAX_PAGES {
            let url = session.github.url("/app/installations", Some(&format!("per_page=100&page={page}")));
            let request = GitHubRequest { bearer: Some(self.jwt(session.now())?), ..GitHubRequest::get(url) };
            let (items, has_next) = Box::pin(session.send(request, |answer| {
                let has_next = link::has_next(answer.header(&http::header::LINK), page)?;
                Ok((answer.decode::<Vec<Installation>>()?, has_next))
            }))
            .await?;
            found.extend(items.into_iter().filter_map(|one| {
                // GitHub's message if the token were requested.
                let refused = one.suspended_at.map(|_| "This installation has been suspended".to_owned());
                let owner = one.account?.login.to_lowercase();
                Some((owner, Installed { id: one.id, refused, is_renewed: false }))
            }));
            if !has_next {
                return Ok(found);
            }
        }
        Err(GitHubError::invalid("the pages of installations never end"))
    }
}
