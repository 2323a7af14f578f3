//! Selects the token for each owner.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::answer::Answer;
use crate::client::{GitHubRequest, Session};
use crate::text::Text;
use crate::{GitHubError, GitHubSettings, Refusal, link};

/// An installation token lives an hour. A token that is about to expire is not used for new requests.
const TOKEN_MARGIN: TimeDelta = TimeDelta::minutes(5);
/// How long the list of installations is cached.
const INSTALLATIONS_KEEP: TimeDelta = TimeDelta::hours(1);
/// How long a refusal of the App itself is cached.
const REFUSAL_KEEP: TimeDelta = TimeDelta::minutes(5);
/// GitHub accepts ten minutes at most, and clocks differ.
const JWT_LIFE: TimeDelta = TimeDelta::minutes(9);
const JWT_BACKDATE: TimeDelta = TimeDelta::minutes(1);
/// More pages of installations than any App has.
const MAX_PAGES: u32 = 100;

/// A personal token, a GitHub App, both or none. An installed App's token is used, unless GitHub refuses it and there
/// is a personal one.
#[derive(Debug)]
pub(crate) struct Credentials {
    personal: Option<SecretString>,
    app: Option<App>,
}

pub(crate) struct App {
    id: String,
    key: EncodingKey,
    state: Mutex<AppState>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct AppState {
    installations: HashMap<String, Installed>,
    listed_at: Option<DateTime<Utc>>,
    /// Why GitHub refused the App itself, and when.
    refused: Option<(GitHubError, DateTime<Utc>)>,
    tokens: HashMap<i64, (SecretString, DateTime<Utc>)>,
}

/// An installation from GitHub's list.
struct Installed {
    id: i64,
    /// Why its token is not requested until installations are listed again, in GitHub's words.
    refused: Option<String>,
    /// Whether GitHub refused a token of it that was just made.
    is_renewed: bool,
}

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

#[derive(Serialize)]
struct Claims<'a> {
    iat: i64,
    exp: i64,
    iss: &'a str,
}

impl Credentials {
    pub(crate) fn new(settings: &GitHubSettings) -> Self {
        let app =
            settings.app.as_ref().map(|app| App { id: app.id.clone(), key: app.key.clone(), state: Mutex::default() });
        Self { personal: settings.token.clone(), app }
    }

    /// The kinds of credentials, for display.
    pub(crate) fn kind(&self) -> &'static str {
        match (&self.personal, &self.app) {
            (Some(token), None) => match token.expose_secret() {
                token if token.starts_with("github_pat_") => "a fine-grained personal token",
                token if token.starts_with("ghp_") => "a classic personal token",
                token if token.starts_with("ghs_") => "an installation token, which expires within the hour",
                _ => "a token of unknown kind",
            },
            (None, Some(_)) => "a GitHub App",
            (Some(_), Some(_)) => "a GitHub App, and a personal token where it is not installed",
            (None, None) => "no token: public repositories without reviews, commits and sizes, 60 requests an hour",
        }
    }

    /// Whose limits a token counts against: an installation's, or those of the token's account.
    pub(crate) async fn holder(&self, token: Option<&SecretString>) -> SecretString {
        let Some(token) = token else { return SecretString::default() };
        if let Some(app) = &self.app {
            let state = app.state.lock().await;
            let is_this = |(known, _): &(SecretString, _)| known.expose_secret() == token.expose_secret();
            if let Some((installation, _)) = state.tokens.iter().find(|(_, known)| is_this(known)) {
                return SecretString::from(format!("installation {installation}"));
            }
        }
        token.clone()
    }

    /// The same for the App's own requests.
    pub(crate) fn app_holder(&self) -> SecretString {
        SecretString::from(self.app.as_ref().map(|app| format!("app {}", app.id)).unwrap_or_default())
    }

    /// The token for an owner. The personal one is for owners without the App, and for owners where GitHub refuses
    /// the App.
    pub(crate) async fn token(
        &self,
        session: &Session<'_>,
        owner: Option<&str>,
    ) -> Result<Option<SecretString>, GitHubError> {
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

    /// Whether this is an App installation's token.
    pub(crate) async fn is_of_installation(&self, token: Option<&SecretString>) -> bool {
        let (Some(app), Some(token)) = (&self.app, token) else { return false };
        let state = app.state.lock().await;
        state.tokens.values().any(|(known, _)| known.expose_secret() == token.expose_secret())
    }

    /// Whether there is an App. Its tokens are valid for one owner each.
    pub(crate) fn has_app(&self) -> bool {
        self.app.is_some()
    }

    /// Why the App is not used for an owner, although it is installed there or that is unknown.
    pub(crate) async fn app_refusal(&self, session: &Session<'_>, owner: &str) -> Result<(), GitHubError> {
        match &self.app {
            Some(app) => app.token(session, owner).await.map(drop),
            None => Ok(()),
        }
    }

    /// Forgets an installation token that GitHub refused with this error, because a new one or the personal one may
    /// work. Returns whether another try is worthwhile.
    pub(crate) async fn forget(&self, token: Option<&SecretString>, refusal: &GitHubError) -> bool {
        let (Some(app), Some(token)) = (&self.app, token) else { return false };
        let state = &mut *app.state.lock().await;
        let is_this = |(known, _): &(SecretString, _)| known.expose_secret() == token.expose_secret();
        let found = state.tokens.iter().find(|(_, known)| is_this(known)).map(|(id, _)| *id);
        let Some(id) = found else { return false };
        state.tokens.remove(&id);
        if let Some(installed) = state.installations.values_mut().find(|installed| installed.id == id) {
            if installed.is_renewed {
                installed.refused = Some(refusal.to_string());
            }
            installed.is_renewed = true;
        }
        true
    }
}

impl App {
    /// The installation token for an owner; `None` if the App is not installed there.
    async fn token(&self, session: &Session<'_>, owner: &str) -> Result<Option<SecretString>, GitHubError> {
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

    async fn installations(&self, session: &Session<'_>) -> Result<HashMap<String, Installed>, GitHubError> {
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

    /// A JWT that identifies the App. Source: GitHub, "Generating a JSON Web Token (JWT) for a GitHub App".
    fn jwt(&self, now: DateTime<Utc>) -> Result<SecretString, GitHubError> {
        let claims = Claims { iat: (now - JWT_BACKDATE).timestamp(), exp: (now + JWT_LIFE).timestamp(), iss: &self.id };
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key)
            .map(SecretString::from)
            // The cause may quote the key.
            .map_err(|_| GitHubError::AppRefused { message: String::new() })
    }
}
