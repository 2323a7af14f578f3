//! Errors between Mergeline and GitHub.

use std::time::Duration;

use mergeline_domain::Recovery;
use mergeline_http_client::NoAuthorities;

/// Which of GitHub's limits is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The hourly limit, or its reserve for others.
    Primary,
    /// A limit against bursts and expensive requests.
    Secondary,
}

/// Why GitHub refuses a request although it knows the credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The token lacks a permission. Also any refusal whose message is not recognized.
    Permission,
    /// The token is not authorized for the organization.
    SingleSignOn,
    /// The organization allows certain addresses only.
    IpAllowList,
    /// The organization does not allow classic tokens.
    ClassicToken,
    /// The organization does not allow fine-grained tokens.
    FineGrainedToken,
    /// The organization does not allow tokens with such a long lifetime.
    TokenLifetime,
    /// The organization has not approved the token's OAuth App.
    OAuthApp,
    /// The App's installation at the owner is suspended, or its tokens are refused.
    Installation,
    /// The token's account is suspended.
    Account,
}

impl Refusal {
    /// The cause that GitHub's message names. GitHub documents few of its messages and rewords them, so this looks
    /// for words that any version must contain.
    pub(crate) fn of(sentence: &str) -> Self {
        let sentence = plain(sentence);
        let says = |text: &str| sentence.contains(text);
        if let Some(cause) = Self::of_tokens(&sentence) {
            return cause;
        }
        if says("ip allow list") || says("ip allowlist") || says("ip address") {
            Self::IpAllowList
        } else if says("saml") || says("single sign on") {
            Self::SingleSignOn
        } else if says("oauth app") || says("third party app") {
            Self::OAuthApp
        } else if says("suspended") && (says("installation") || says("github app")) {
            Self::Installation
        } else if says("suspended") && says("account") {
            Self::Account
        } else {
            Self::Permission
        }
    }

    /// The kind of token that a rule forbids: the first kind named in the forbidding clause. Other clauses name
    /// alternatives.
    fn of_tokens(sentence: &str) -> Option<Self> {
        let forbids = ["forbid", "not allow", "not permit", "disallow", "prohibit", "block", "restrict", "disabled"];
        let clause = sentence
            .split(['.', ';', ':'])
            .find(|clause| clause.contains("token") && forbids.iter().any(|word| clause.contains(word)))?;
        let place = |word: &str| clause.find(word).unwrap_or(usize::MAX);
        if clause.contains("lifetime") || clause.contains("expir") {
            return Some(Self::TokenLifetime);
        }
        match (place("classic"), place("fine grained")) {
            (usize::MAX, usize::MAX) => None,
            (classic, fine_grained) if classic < fine_grained => Some(Self::ClassicToken),
            _ => Some(Self::FineGrainedToken),
        }
    }

    /// Whether everything else of the same owner is refused too.
    fn concerns_owner(self) -> bool {
        match self {
            Self::IpAllowList
            | Self::ClassicToken
            | Self::FineGrainedToken
            | Self::TokenLifetime
            | Self::Installation => true,
            Self::Permission | Self::SingleSignOn | Self::OAuthApp | Self::Account => false,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Permission => "the token may not read this",
            Self::SingleSignOn => "the organization demands single sign-on",
            Self::IpAllowList => "the organization does not admit this machine's address",
            Self::ClassicToken => "the organization does not admit classic tokens",
            Self::FineGrainedToken => "the organization does not admit fine-grained tokens",
            Self::TokenLifetime => "the organization does not admit tokens that live so long",
            Self::OAuthApp => "the organization has not approved the OAuth App that the token is of",
            Self::Installation => "the GitHub App is suspended or refused there",
            Self::Account => "the token's account is suspended",
        }
    }
}

/// A message in lower case, with single spaces, without hyphens, and without quoted names, which may contain any
/// words.
fn plain(sentence: &str) -> String {
    let words = sentence.split_whitespace().filter(|word| !word.starts_with(['`', '\'', '"', '\u{2018}', '\u{201c}']));
    words.collect::<Vec<_>>().join(" ").to_lowercase().replace(['-', '\u{2010}', '\u{2011}'], " ")
}

/// GitHub's own message, to append to Mergeline's.
fn said(message: &str) -> String {
    // Advice may follow.
    let message = message.trim_end_matches('.');
    if message.is_empty() { String::new() } else { format!("; GitHub says: {message}") }
}

/// Why GitHub did not provide what was requested. It never contains a token or a body, only GitHub's message about a
/// refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitHubError {
    /// 401.
    #[error("GitHub refused the token (401): it is wrong, revoked or expired")]
    Unauthorized,
    /// The GitHub App is unknown, or the key does not belong to it.
    #[error("GitHub refused the GitHub App{}", said(message))]
    AppRefused {
        /// GitHub's message.
        message: String,
    },
    /// 403 that is not a rate limit.
    #[error("{} (403){}", cause.as_str(), said(message))]
    Forbidden {
        /// The cause.
        cause: Refusal,
        /// GitHub's message, bounded and without control characters.
        message: String,
    },
    /// GraphQL returns a pull request without some of its parts.
    #[error("the token may not read all of a pull request: give it read access to contents, for the commits")]
    InsufficientPermission,
    /// 404: GitHub responds the same to missing things and to those that the token may not see.
    #[error("not found (404): the repository does not exist, or the token may not see it")]
    NotFound,
    /// 404 from the GraphQL address: not the repository's fault.
    #[error("there is no GraphQL API at {url} (404), which provides the phases of pull requests")]
    NoGraphql {
        /// The GraphQL address.
        url: String,
    },
    /// 410 or 451, or 403 for a repository that GitHub blocks.
    #[error("GitHub no longer offers this ({status}){}", said(message))]
    Gone {
        /// The status.
        status: u16,
        /// GitHub's message.
        message: String,
    },
    /// The hourly or a secondary limit.
    #[error("GitHub's {} is reached{}", match limit {
        Limit::Primary => "rate limit",
        Limit::Secondary => "secondary rate limit",
    }, retry_in.map(|pause| format!("; retry in {} s", pause.as_secs())).unwrap_or_default())]
    RateLimited {
        /// Which one.
        limit: Limit,
        /// How long GitHub asks to wait, if it says so.
        retry_in: Option<Duration>,
    },
    /// 5xx, or another unexpected status.
    #[error("GitHub answered with status {status}")]
    UnexpectedStatus {
        /// The status.
        status: u16,
    },
    /// A response that does not match GitHub's documentation.
    #[error("GitHub's response cannot be used: {reason}")]
    InvalidAnswer {
        /// Why.
        reason: String,
    },
    /// A response points to another host. The token is not sent there.
    #[error("GitHub's response leads to another host, {host}: not followed")]
    CrossHostRedirect {
        /// The other host.
        host: String,
    },
    /// GraphQL responded with errors, so the data is incomplete.
    #[error("GitHub's response is incomplete: {reason}")]
    PartialAnswer {
        /// GitHub's message.
        reason: String,
    },
    /// GraphQL does not know this pull request. It may be gone, or the token may not see it.
    #[error("an incomplete response: {reason}")]
    NodeNotFound {
        /// GitHub's message.
        reason: String,
    },
    /// A response that is too large, for Mergeline or for GitHub: request less at once.
    #[error("the request was too large: {reason}")]
    TooMuch {
        /// What was too large.
        reason: String,
    },
    /// A truncated response.
    #[error("GitHub's response ended early: {reason}")]
    Truncated {
        /// How the truncation was detected.
        reason: String,
    },
    /// A page that cannot be read, not even in smaller parts.
    #[error(
        "page {page} of the list ({page_size} pull requests on a page) cannot be read, and its rows {first} to {last} not one by \
         one either: {cause}"
    )]
    PageUnreadable {
        /// Its number.
        page: u32,
        /// How many pull requests are on it.
        page_size: u8,
        /// The first of the rows that were requested alone.
        first: u32,
        /// The last of them.
        last: u32,
        /// The error of the last one.
        cause: Box<GitHubError>,
    },
    /// No certificate authority is known, so GitHub cannot be asked.
    #[error("{reason}")]
    NoAuthorities {
        /// What is wrong with the authorities.
        reason: String,
    },
    /// There was no response.
    #[error(
        "GitHub cannot be reached{}: {reason}",
        proxy.as_ref().map(|proxy| format!(" by the proxy {proxy}")).unwrap_or_default()
    )]
    Transport {
        /// Why.
        reason: String,
        /// The proxy in use, without user and password.
        proxy: Option<String>,
    },
    /// The deadline of the work has passed.
    #[error("out of time")]
    OutOfTime,
}

impl GitHubError {
    /// A stable code for logs, the ledger and alarms.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthorized => "github_unauthorized",
            Self::AppRefused { .. } => "github_app_refused",
            Self::Forbidden { cause, .. } => match cause {
                Refusal::Permission => "github_forbidden",
                Refusal::SingleSignOn => "github_sso_required",
                Refusal::IpAllowList => "github_ip_not_allowed",
                Refusal::ClassicToken | Refusal::FineGrainedToken | Refusal::TokenLifetime | Refusal::OAuthApp => {
                    "github_token_not_allowed"
                }
                Refusal::Installation => "github_app_suspended",
                Refusal::Account => "github_account_suspended",
            },
            Self::InsufficientPermission => "github_insufficient_permission",
            Self::NotFound => "repo_not_accessible",
            Self::NoGraphql { .. } => "github_no_graphql",
            Self::Gone { .. } => "repo_unavailable",
            Self::RateLimited { .. } => "github_rate_limited",
            Self::UnexpectedStatus { .. } => "github_status",
            Self::InvalidAnswer { .. } => "github_invalid_answer",
            Self::CrossHostRedirect { .. } => "github_cross_host_redirect",
            Self::PartialAnswer { .. } | Self::NodeNotFound { .. } => "github_partial_answer",
            Self::TooMuch { .. } => "github_too_much",
            Self::Truncated { .. } => "github_truncated",
            Self::PageUnreadable { cause, .. } => cause.code(),
            Self::NoAuthorities { .. } => "no_authorities",
            Self::Transport { .. } => "github_unreachable",
            Self::OutOfTime => "out_of_time",
        }
    }

    /// What it takes to recover. Only what may bring another answer with nothing changed on this side is retried.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::RateLimited { retry_in, .. } => Recovery::Retry { after: *retry_in },
            Self::OutOfTime => Recovery::MoreTime,
            Self::UnexpectedStatus { .. }
            | Self::InvalidAnswer { .. }
            | Self::PartialAnswer { .. }
            | Self::NodeNotFound { .. }
            | Self::TooMuch { .. }
            | Self::Truncated { .. }
            | Self::PageUnreadable { .. }
            | Self::Transport { .. } => Recovery::RETRY,
            Self::Unauthorized
            | Self::AppRefused { .. }
            | Self::Forbidden { .. }
            | Self::InsufficientPermission
            | Self::NotFound
            | Self::NoGraphql { .. }
            | Self::Gone { .. }
            | Self::NoAuthorities { .. }
            | Self::CrossHostRedirect { .. } => Recovery::NeedsPerson,
        }
    }

    /// Whether the token itself, or the App that creates it, is refused. Then every request with it fails.
    pub fn is_token_refused(&self) -> bool {
        matches!(self, Self::Unauthorized | Self::AppRefused { .. })
    }

    /// Whether everything of the same owner is refused for the same reason.
    pub fn concerns_owner(&self) -> bool {
        matches!(self, Self::Forbidden { cause, .. } if cause.concerns_owner())
    }

    /// Whether only the App is refused, so that a personal token may work.
    pub fn is_app_refused(&self) -> bool {
        matches!(self, Self::AppRefused { .. } | Self::Forbidden { cause: Refusal::Installation, .. })
    }

    /// What to do about a refusal caused by the credentials or their owner's settings.
    pub fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unauthorized => "make a new token at GitHub, and set it in GITHUB_PAT",
            Self::AppRefused { .. } => {
                "check that GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY are of the same App, that the App still exists, and this \
                 machine's clock"
            }
            Self::Forbidden { cause, .. } => match cause {
                Refusal::Permission => "give the token read access to pull requests of this repository",
                Refusal::SingleSignOn => {
                    "authorize the token for the organization: *Configure SSO* next to it in the list of tokens at GitHub"
                }
                Refusal::IpAllowList => {
                    "let an owner of the organization add the address that requests come from to its IP allow list"
                }
                Refusal::ClassicToken => {
                    "make a fine-grained token for the organization, or install a GitHub App there"
                }
                Refusal::FineGrainedToken => {
                    "make a classic token with the scope `repo`, or install a GitHub App there"
                }
                Refusal::TokenLifetime => "let the token expire sooner, in its settings at GitHub, or make another one",
                Refusal::OAuthApp => "make a personal token, and set it in GITHUB_PAT",
                Refusal::Installation => {
                    "let the owner unsuspend or install the App (Settings, GitHub Apps), or set a personal token in GITHUB_PAT \
                     as well"
                }
                Refusal::Account => "set a token of an account that is not suspended in GITHUB_PAT",
            },
            _ => return None,
        })
    }

    /// What a person can do about it.
    pub fn help(&self) -> &'static str {
        if let Some(advice) = self.advice() {
            return advice;
        }
        match self {
            Self::PageUnreadable { cause, .. } => cause.help(),
            Self::InsufficientPermission => "give the token read access to contents of this repository",
            Self::NotFound => {
                "check the spelling, and give the token access to it; or leave it out of `repositories` in the teams file, where \
                 `!owner/name` takes it out of a pattern"
            }
            Self::NoGraphql { .. } => {
                "check GITHUB_API_URL, and that any proxy in front of the server allows /api/graphql; COLLECT_DETAILS=false collects \
                 without phases"
            }
            Self::Gone { .. } => "remove it from the teams file if it will not come back; collected data stays",
            Self::RateLimited { .. } => "wait; with a token GitHub allows more requests",
            Self::Transport { reason, .. } if reason.contains("UnknownIssuer") => {
                "set SSL_CERT_FILE to a file with the authority that signed the server's certificate"
            }
            Self::Transport { proxy: Some(_), .. } => "check HTTPS_PROXY and NO_PROXY, and what the proxy allows",
            Self::Transport { proxy: None, .. } => {
                "check the network and GITHUB_API_URL; where only a proxy leads out, name it in HTTPS_PROXY"
            }
            Self::NoAuthorities { .. } => NoAuthorities::HELP,
            Self::InvalidAnswer { .. } | Self::CrossHostRedirect { .. } => "check GITHUB_API_URL",
            _ => "try again later; https://www.githubstatus.com shows outages",
        }
    }

    /// Whether a smaller request may succeed. GitHub gives up after ten seconds of work, and GitHub or a proxy before
    /// it may fail at a single pull request.
    pub fn wants_smaller_page(&self) -> bool {
        matches!(self, Self::TooMuch { .. } | Self::Truncated { .. } | Self::UnexpectedStatus { status: 500..=599 })
    }

    /// Why a response is not JSON. Truncated JSON is a separate error.
    pub(crate) fn of_json(error: &serde_json::Error) -> Self {
        if error.is_eof() { Self::Truncated { reason: error.to_string() } } else { Self::invalid(error.to_string()) }
    }

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::InvalidAnswer { reason: crate::text::clean(&reason.into()) }
    }
}
