//! A personal token, a GitHub App, and what is known of its installations.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::sync::Mutex;

use crate::{GitHubError, GitHubSettings};

/// GitHub accepts ten minutes at most, and clocks differ.
const JWT_LIFE: TimeDelta = TimeDelta::minutes(9);
const JWT_BACKDATE: TimeDelta = TimeDelta::minutes(1);

/// A personal token, a GitHub App, both or none. An installed App's token is used, unless GitHub refuses it and there
/// is a personal one.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) personal: Option<SecretString>,
    pub(crate) app: Option<App>,
}

pub(crate) struct App {
    id: String,
    key: EncodingKey,
    pub(crate) state: Mutex<AppState>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Default)]
pub(crate) struct AppState {
    pub(crate) installations: HashMap<String, Installed>,
    pub(crate) listed_at: Option<DateTime<Utc>>,
    /// Why GitHub refused the App itself, and when.
    pub(crate) refused: Option<(GitHubError, DateTime<Utc>)>,
    pub(crate) tokens: HashMap<i64, (SecretString, DateTime<Utc>)>,
}

/// An installation from GitHub's list.
pub(crate) struct Installed {
    pub(crate) id: i64,
    /// Why its token is not requested until installations are listed again, in GitHub's words.
    pub(crate) refused: Option<String>,
    /// Whether GitHub refused a token of it that was just made.
    pub(crate) is_renewed: bool,
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
    /// A JWT that identifies the App. Source: GitHub, "Generating a JSON Web Token (JWT) for a GitHub App".
    pub(crate) fn jwt(&self, now: DateTime<Utc>) -> Result<SecretString, GitHubError> {
        let claims = Claims { iat: (now - JWT_BACKDATE).timestamp(), exp: (now + JWT_LIFE).timestamp(), iss: &self.id };
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key)
            .map(SecretString::from)
            // The cause may quote the key.
            .map_err(|_| GitHubError::AppRefused { message: String::new() })
    }
}
