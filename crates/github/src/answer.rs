//! A response from GitHub, and what its status means.

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use flate2::read::GzDecoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, StatusCode};

use crate::limits::{ReportedLimit, Resource};
use crate::retry::LONGEST_PAUSE;
use crate::text::{Text, sentence};
use crate::{GitHubError, Limit, Refusal};

/// A page of 100 is about 0.15 MB zipped and 2.3 MB plain; long descriptions can triple that.
pub(crate) const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
const RATE_LIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const RATE_LIMIT_RESOURCE: HeaderName = HeaderName::from_static("x-ratelimit-resource");
const SINGLE_SIGN_ON: HeaderName = HeaderName::from_static("x-github-sso");
const ENTERPRISE_VERSION: HeaderName = HeaderName::from_static("x-github-enterprise-version");
const MEDIA_TYPE: HeaderName = HeaderName::from_static("x-github-media-type");
const TOKEN_EXPIRATION: HeaderName = HeaderName::from_static("github-authentication-token-expiration");
const SCOPES: HeaderName = HeaderName::from_static("x-oauth-scopes");

/// GitHub's message for a repository that it blocks, with status 403 or 451.
const BLOCKED: &str = "Repository access blocked";
/// GitHub's message for an App that it does not know.
const UNKNOWN_APP: &str = "Integration not found";

/// The body of a refusal.
#[derive(serde::Deserialize, Default)]
struct Said {
    #[serde(default)]
    message: Text,
    block: Option<Block>,
}

/// Why GitHub blocks a repository.
#[derive(serde::Deserialize)]
struct Block {
    #[serde(default)]
    reason: Text,
}

impl Said {
    /// The message, bounded and without control characters.
    fn sentence(&self) -> String {
        let mut sentence = sentence(&self.message.clean());
        if let Some(reason) = self.block.as_ref().map(|block| block.reason.clean()).filter(|reason| !reason.is_empty())
        {
            sentence.push_str(" (");
            sentence.extend(reason.chars().take(40));
            sentence.push(')');
        }
        sentence
    }
}

/// A response whose body is still compressed. Decompressing and decoding happen in one step, so only one plain page
/// is in memory at a time.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    packed: Bytes,
    /// When it arrived, by our clock. GitHub's own clock is preferred.
    arrived_at: DateTime<Utc>,
}

impl Answer {
    pub(crate) fn new(status: StatusCode, headers: HeaderMap, packed: Bytes, arrived_at: DateTime<Utc>) -> Self {
        Self { status, headers, packed, arrived_at }
    }

    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn number(&self, name: &HeaderName) -> Option<u32> {
        self.header(name).and_then(|text| text.trim().parse().ok())
    }

    /// GitHub's clock.
    pub(crate) fn date(&self) -> Option<DateTime<Utc>> {
        DateTime::parse_from_rfc2822(self.header(&DATE)?).ok().map(|date| date.to_utc())
    }

    /// What remains of the limit that this response counted against. Servers without limits send nothing, or 0 of 0.
    pub(crate) fn limit(&self) -> Option<(Resource, ReportedLimit)> {
        let limit = self.number(&RATE_LIMIT_LIMIT).filter(|limit| *limit > 0)?;
        let remaining = self.number(&RATE_LIMIT_REMAINING)?;
        let resource =
            if self.header(&RATE_LIMIT_RESOURCE) == Some("graphql") { Resource::GraphQl } else { Resource::Rest };
        Some((resource, ReportedLimit { limit, remaining, reset_in: self.reset_in()? }))
    }

    /// The time until the limit resets, by GitHub's own clock: zero for a reset in the past, and at most one window.
    fn reset_in(&self) -> Option<Duration> {
        let seconds: i64 = self.header(&RATE_LIMIT_RESET)?.trim().parse().ok()?;
        let reset = DateTime::<Utc>::from_timestamp(seconds, 0)?;
        Some((reset - self.date().unwrap_or(self.arrived_at)).to_std().unwrap_or_default().min(LONGEST_PAUSE))
    }

    /// When the token expires. GitHub includes it in responses to tokens that do expire.
    pub(crate) fn token_expires_at(&self) -> Option<DateTime<Utc>> {
        let text = self.header(&TOKEN_EXPIRATION)?;
        let form = ["%Y-%m-%d %H:%M:%S %z", "%Y-%m-%d %H:%M:%S UTC"];
        DateTime::parse_from_str(text, form[0])
            .map(|at| at.to_utc())
            .or_else(|_| chrono::NaiveDateTime::parse_from_str(text, form[1]).map(|at| at.and_utc()))
            .ok()
    }

    /// The scopes of a classic token.
    pub(crate) fn scopes(&self) -> Option<&str> {
        self.header(&SCOPES)
    }

    /// Why a list of repositories lacks some that the token's account may see.
    ///
    /// Source: GitHub, "Authenticating to the REST API", "Authorizing a token for use with SAML SSO".
    pub(crate) fn left_out(&self) -> Option<&'static str> {
        let has_scope = |scopes: &str| scopes.split(',').any(|scope| scope.trim() == "repo");
        if self.header(&SINGLE_SIGN_ON).is_some_and(|text| text.starts_with("partial-results")) {
            return Some("the token is not authorized for all organizations with single sign-on");
        }
        // Only classic tokens have scopes.
        let is_public_only = self.scopes().is_some_and(|scopes| !has_scope(scopes));
        is_public_only.then_some("the token lacks the scope `repo`: GitHub lists only public repositories to it")
    }

    /// Whether a site may have sent this instead of the API: the API identifies itself in every response.
    ///
    /// Source: GitHub, "Getting started with the REST API", "Media types".
    pub(crate) fn may_be_of_a_site(&self) -> bool {
        let is_usable = self.status == StatusCode::NOT_MODIFIED || self.status.is_success() && self.is_json();
        !is_usable && !self.status.is_server_error() && !self.headers.contains_key(MEDIA_TYPE)
    }

    /// Whether an Enterprise server's API has responded, even if only to ask for a token.
    ///
    /// Source: GitHub, "About versions of GitHub Enterprise Server".
    pub(crate) fn is_of_enterprise_server(&self) -> bool {
        self.headers.contains_key(ENTERPRISE_VERSION)
    }

    fn is_json(&self) -> bool {
        self.header(&CONTENT_TYPE).is_some_and(|content_type| content_type.contains("json"))
    }

    /// Turns every status except 200, 201 and 304 into the error that a caller can act on.
    pub(crate) fn check(&self) -> Result<(), GitHubError> {
        match self.status.as_u16() {
            200 | 201 => self.check_content_type(),
            304 => Ok(()),
            401 => Err(GitHubError::Unauthorized),
            403 | 429 => Err(self.limit_or_forbidden()),
            404 => Err(GitHubError::NotFound),
            status @ (410 | 451) => Err(GitHubError::Gone { status, message: self.said().sentence() }),
            status => Err(GitHubError::UnexpectedStatus { status }),
        }
    }

    /// A login page comes with status 200 as well.
    fn check_content_type(&self) -> Result<(), GitHubError> {
        if self.is_json() {
            return Ok(());
        }
        let content_type = self.header(&CONTENT_TYPE).unwrap_or_default();
        Err(GitHubError::invalid(format!("`{content_type}` instead of JSON: the response is not from GitHub's API")))
    }

    /// A 403 is a limit if GitHub gives a time to retry or says that nothing remains, and a permission otherwise.
    ///
    /// Source: GitHub, "Rate limits for the REST API". Enterprise servers without limits say 0 of 0.
    fn limit_or_forbidden(&self) -> GitHubError {
        let is_used_up = self.number(&RATE_LIMIT_REMAINING) == Some(0) && self.number(&RATE_LIMIT_LIMIT) != Some(0);
        // Bounded like a reset: a broken clock must not postpone work for years.
        let retry_in = self.number(&RETRY_AFTER).map(|seconds| Duration::from_secs(seconds.into()).min(LONGEST_PAUSE));
        if retry_in.is_none() && is_used_up {
            return GitHubError::RateLimited { limit: Limit::Primary, retry_in: self.reset_in() };
        }
        let said = self.said();
        // A secondary limit may come with neither header. Then only its message shows it.
        let is_limit = self.headers.contains_key(RETRY_AFTER)
            || self.status == StatusCode::TOO_MANY_REQUESTS
            || said.message.to_lowercase().contains("rate limit");
        if is_limit {
            return GitHubError::RateLimited { limit: Limit::Secondary, retry_in };
        }
        if said.block.is_some() || said.message.starts_with(BLOCKED) {
            return GitHubError::Gone { status: self.status.as_u16(), message: said.sentence() };
        }
        let cause = match Refusal::of(&said.message) {
            Refusal::Permission if self.headers.contains_key(SINGLE_SIGN_ON) => Refusal::SingleSignOn,
            cause => cause,
        };
        GitHubError::Forbidden { cause, message: said.sentence() }
    }

    /// GitHub's message about a refusal; empty if the response is not from GitHub.
    fn said(&self) -> Said {
        self.body().ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default()
    }

    /// A refusal of the App's own request. The App's JWT is made here, so there is no other one to try.
    pub(crate) fn refusal_of_app(&self, error: GitHubError) -> GitHubError {
        let said = self.said();
        match error {
            GitHubError::Unauthorized => GitHubError::AppRefused { message: said.sentence() },
            GitHubError::NotFound if said.message.starts_with(UNKNOWN_APP) => {
                GitHubError::AppRefused { message: said.sentence() }
            }
            other => other,
        }
    }

    /// The body, decompressed up to the size limit.
    pub(crate) fn body(&self) -> Result<Bytes, GitHubError> {
        if self.headers.get(CONTENT_ENCODING).is_none_or(|value| value.as_bytes() != b"gzip") {
            return Ok(self.packed.clone());
        }
        let mut plain = Vec::with_capacity((self.packed.len() * 16).min(MAX_BODY_BYTES));
        let limit = MAX_BODY_BYTES as u64 + 1;
        GzDecoder::new(&self.packed[..])
            .take(limit)
            .read_to_end(&mut plain)
            .map_err(|error| GitHubError::Truncated { reason: format!("invalid gzip: {error}") })?;
        if plain.len() > MAX_BODY_BYTES { Err(too_large()) } else { Ok(plain.into()) }
    }

    /// Decodes a body of which only a few fields matter.
    pub(crate) fn decode<T: serde::de::DeserializeOwned>(&self) -> Result<T, GitHubError> {
        serde_json::from_slice(&self.body()?).map_err(|error| GitHubError::invalid(error.to_string()))
    }
}

pub(crate) fn too_large() -> GitHubError {
    GitHubError::TooMuch { reason: format!("a response of more than {} MB", MAX_BODY_BYTES / 1024 / 1024) }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::text::MAX_SENTENCE;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Answer {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let now = DateTime::from_timestamp(1_000_000, 0).expect("in range");
        Answer::new(StatusCode::from_u16(status).expect("a status"), headers, Bytes::from_static(body.as_bytes()), now)
    }

    fn refusal(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> GitHubError {
        answer(status, headers, body).check().expect_err("refused")
    }

    #[test]
    fn g09_limit_permission_and_sso_refusals_are_distinct() {
        let limit = refusal(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1000060")], "{}");
        let in_a_minute = Some(Duration::from_secs(60));
        assert_eq!(limit, GitHubError::RateLimited { limit: Limit::Primary, retry_in: in_a_minute });
        let body = r#"{"message": "Resource not accessible by personal access token"}"#;
        let permission = refusal(403, &[("x-ratelimit-remaining", "4999")], body);
        assert_eq!(permission, forbidden(Refusal::Permission, "Resource not accessible by personal access token"));
        let single_sign_on = refusal(403, &[("x-github-sso", "required; url=x")], "{}");
        assert_eq!(single_sign_on, forbidden(Refusal::SingleSignOn, ""));
        let codes = [limit.code(), permission.code(), single_sign_on.code()];
        assert_eq!(codes, ["github_rate_limited", "github_forbidden", "github_sso_required"]);
    }

    fn forbidden(cause: Refusal, message: &str) -> GitHubError {
        GitHubError::Forbidden { cause, message: message.to_owned() }
    }

    #[test]
    fn g09_each_refusal_keeps_cause_and_github_message() {
        let allow_list = "Although you appear to have the correct authorization credentials, the `acme` organization has an IP \
                          allow list enabled, and your IP address is not permitted to access this resource.";
        let classic = "`acme` forbids access via a personal access token (classic). Please use a GitHub App, OAuth App, or a \
                       personal access token with fine-grained permissions.";
        let fine_grained = "`acme` forbids access via a fine-grained personal access token. Please use a GitHub App, OAuth App, \
                            or a personal access token (classic).";
        let lifetime = "The 'acme' organization forbids access via a fine-grained personal access tokens if the token's lifetime \
                        is greater than 90 days. Please adjust your token's lifetime at the following URL: \
                        https://github.com/settings/personal-access-tokens/1";
        let of_classic = "The 'Acme' enterprise forbids access via a personal access tokens (classic) if the token's lifetime is \
                          greater than 365 days. Please adjust your token's lifetime at the following URL: \
                          https://github.com/settings/tokens/1";
        let sso = "Resource protected by organization SAML enforcement. You must grant your Personal Access token access to this \
                   organization.";
        let oauth = "Although you appear to have the correct authorization credentials, the `acme` organization has enabled OAuth \
                     App access restrictions, meaning that data access to third-parties is limited.";
        for (sentence, cause, code) in [
            (allow_list, Refusal::IpAllowList, "github_ip_not_allowed"),
            (classic, Refusal::ClassicToken, "github_token_not_allowed"),
            (fine_grained, Refusal::FineGrainedToken, "github_token_not_allowed"),
            (lifetime, Refusal::TokenLifetime, "github_token_not_allowed"),
            (of_classic, Refusal::TokenLifetime, "github_token_not_allowed"),
            (sso, Refusal::SingleSignOn, "github_sso_required"),
            (oauth, Refusal::OAuthApp, "github_token_not_allowed"),
            ("This installation has been suspended", Refusal::Installation, "github_app_suspended"),
            ("Sorry. Your account was suspended.", Refusal::Account, "github_account_suspended"),
            ("Resource not accessible by integration", Refusal::Permission, "github_forbidden"),
            ("An unknown sentence", Refusal::Permission, "github_forbidden"),
        ] {
            let body = serde_json::json!({ "message": sentence, "documentation_url": "https://docs.github.com" });
            let refused = refusal(403, &[], body.to_string().leak());
            assert_eq!(refused, forbidden(cause, sentence));
            assert_eq!(refused.code(), code);
            assert!(
                refused.to_string().ends_with(sentence.trim_end_matches('.')) && refused.advice().is_some(),
                "{refused}"
            );
        }
    }

    #[test]
    fn g09_rewording_a_refusal_keeps_its_cause() {
        for (cause, sentences) in [
            (
                Refusal::FineGrainedToken,
                &[
                    "`classic-games` forbids access via a fine-grained personal access token. Use a personal access token (classic).",
                    "The 'acme' organization forbids access via a fine-grained personal access tokens",
                    "Fine-grained personal access tokens are not allowed by `acme`; use a personal access token (classic)",
                    "Access with fine grained tokens has been disabled by the enterprise. Please use a classic one.",
                    "Please use a personal access token (classic): `acme` does not allow fine\u{2011}grained  tokens.",
                    "`acme` restricts access via fine-grained tokens and admits classic ones",
                ][..],
            ),
            (
                Refusal::ClassicToken,
                &[
                    "`fine-grained` forbids access via a personal access token (classic). Use a fine-grained one.",
                    "Classic personal access tokens are not permitted; use a fine-grained personal access token",
                    "\"acme\" blocks classic tokens, use fine-grained ones",
                ],
            ),
            (
                Refusal::TokenLifetime,
                &[
                    "`acme` forbids access via a fine-grained personal access token if the token's lifetime exceeds 366 days.",
                    "Personal access tokens that do not expire are not allowed by the `acme` organization",
                ],
            ),
            (
                Refusal::IpAllowList,
                &["`acme` has an IP allowlist enabled", "Your IP address is not on the list of `acme`"],
            ),
            (
                Refusal::SingleSignOn,
                &[
                    "Resource protected by organization SAML enforcement",
                    "Authorize the token for single sign-on of `acme`",
                ],
            ),
            (
                Refusal::OAuthApp,
                &["`acme` has enabled third-party application restrictions", "OAuth Apps need approval here"],
            ),
            (Refusal::Installation, &["This GitHub App was suspended by `acme`", "The installation is suspended"]),
            (Refusal::Account, &["Your account is suspended. Please visit https://support.github.com"]),
            (
                Refusal::Permission,
                &[
                    "Resource not accessible by personal access token",
                    "Resource not accessible by integration",
                    "Must have admin rights to Repository. `saml-lab` and 'classic' are names",
                    "The organization is not associated with an enterprise",
                    "",
                ],
            ),
        ] {
            for sentence in sentences {
                assert_eq!(Refusal::of(sentence), cause, "{sentence}");
            }
        }
    }

    #[test]
    fn g09_a_blocked_repository_is_not_a_permission_error() {
        let body = r#"{"message": "Repository access blocked", "block": {"reason": "dmca", "created_at": "2021-04-22T17:53:56Z"}}"#;
        for status in [403, 451] {
            let message = "Repository access blocked (dmca)".to_owned();
            assert_eq!(refusal(status, &[], body), GitHubError::Gone { status, message });
        }
    }

    #[test]
    fn the_github_message_is_bounded_without_control_characters() {
        let body = serde_json::json!({ "message": format!("\u{1b}[2J\u{0}No{}", "!".repeat(100_000)) });
        let refused = refusal(403, &[], body.to_string().leak());
        let GitHubError::Forbidden { message, .. } = &refused else { panic!("{refused:?}") };
        assert!(message.starts_with("[2JNo!!") && message.chars().count() == MAX_SENTENCE, "{message}");
        for body in ["", "<html>", "[]", r#"{"message": 7}"#] {
            assert_eq!(refusal(403, &[], body), forbidden(Refusal::Permission, ""), "{body}");
        }
    }

    #[test]
    fn header_status_or_message_identifies_a_secondary_limit() {
        let secondary = |retry_in| GitHubError::RateLimited { limit: Limit::Secondary, retry_in };
        let in_seven = Some(Duration::from_secs(7));
        assert_eq!(refusal(403, &[("retry-after", "7"), ("x-ratelimit-remaining", "0")], "{}"), secondary(in_seven));
        assert_eq!(refusal(429, &[], "{}"), secondary(None));
        assert_eq!(refusal(403, &[], r#"{"message": "You have exceeded a secondary rate limit."}"#), secondary(None));
    }

    #[test]
    fn f14_zero_limits_and_past_resets_cause_no_wait() {
        assert_eq!(answer(200, &[("x-ratelimit-limit", "0"), ("x-ratelimit-remaining", "0")], "").limit(), None);
        let headers = [("x-ratelimit-limit", "0"), ("x-ratelimit-remaining", "0")];
        assert_eq!(refusal(403, &headers, "{}"), forbidden(Refusal::Permission, ""));
        for reset in ["0", "-62135596800", "999"] {
            let past = refusal(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", reset)], "{}");
            let at_once = Some(Duration::ZERO);
            assert_eq!(past, GitHubError::RateLimited { limit: Limit::Primary, retry_in: at_once }, "{reset}");
        }
    }

    #[test]
    fn f14_a_century_long_retry_after_becomes_an_hour() {
        for seconds in ["3661", "4294967295"] {
            let refused = refusal(429, &[("retry-after", seconds)], "{}");
            let retry_in = Some(LONGEST_PAUSE);
            assert_eq!(refused, GitHubError::RateLimited { limit: Limit::Secondary, retry_in }, "{seconds}");
        }
    }

    #[test]
    fn a_list_reports_what_sso_and_scopes_omit() {
        let left_out = |headers: &[(&'static str, &'static str)]| answer(200, headers, "[]").left_out().is_some();
        assert!(left_out(&[("x-github-sso", "partial-results; organizations=21955855,20582480")]));
        assert!(left_out(&[("x-oauth-scopes", "read:org, public_repo")]) && left_out(&[("x-oauth-scopes", "")]));
        assert!(!left_out(&[("x-oauth-scopes", "read:org, repo")]) && !left_out(&[]));
    }

    #[test]
    fn g20_non_numeric_limits_are_ignored() {
        let headers = [("x-ratelimit-limit", "soon"), ("x-ratelimit-remaining", ""), ("x-ratelimit-reset", "never")];
        assert_eq!(answer(200, &headers, "").limit(), None);
        assert_eq!(refusal(403, &headers, "{}"), forbidden(Refusal::Permission, ""));
    }

    #[test]
    fn f31_a_reset_is_measured_by_the_github_clock() {
        let headers = [
            ("date", "Mon, 12 Jan 1970 13:46:30 GMT"),
            ("x-ratelimit-limit", "60"),
            ("x-ratelimit-remaining", "5"),
            ("x-ratelimit-reset", "1000000"),
        ];
        let reset_in = answer(200, &headers, "").limit().map(|(_, reported)| reported.reset_in);
        assert_eq!(reset_in, Some(Duration::from_secs(10)));
    }

    #[test]
    fn both_token_expiration_formats_are_parsed() {
        for text in ["2026-12-31 10:00:00 UTC", "2026-12-31 12:00:00 +0200"] {
            let expires = answer(200, &[("github-authentication-token-expiration", text)], "").token_expires_at();
            assert_eq!(expires.map(|at| at.to_rfc3339()), Some("2026-12-31T10:00:00+00:00".to_owned()), "{text}");
        }
    }
}
