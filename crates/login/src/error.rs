//! Why a login failed, or a token was refused.

/// Why a login failed, or a token was refused. The text is for logs; people see a sentence for the code.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The login was not started in this browser, or more than ten minutes ago.
    #[error("the login was not started in this browser, or is too old")]
    NotStarted,
    /// The answer belongs to another login.
    #[error("the state of the answer is not that of the login")]
    OtherLogin,
    /// The provider refused, with its code.
    #[error("the provider answered {0}")]
    Refused(String),
    /// The provider did not answer, or not in time.
    #[error("the provider cannot be used: {0}")]
    Unreachable(String),
    /// What the provider says about itself contradicts the settings.
    #[error("the provider does not fit the settings: {0}")]
    Unsuitable(String),
    /// The provider did not exchange the code.
    #[error("the provider refused the code: {0}")]
    CodeRefused(String),
    /// The token proves nothing.
    #[error("the token is not accepted: {0}")]
    Token(String),
    /// Lines of `access:` name groups, and the provider left this person's out because there are too many.
    #[error("the person is in more groups than the provider writes into a token")]
    TooManyGroups,
    /// A line of `access:` denies a group something, and the token does not say which groups the person is in.
    #[error(
        "the token has no groups, and a line of `access` denies one something: check OIDC_SCOPES and OIDC_GROUPS_CLAIM"
    )]
    NoGroups,
}

impl LoginError {
    /// A short, stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotStarted | Self::OtherLogin => "login_expired",
            Self::Refused(_) => "login_refused",
            Self::Unreachable(_) => "provider_unreachable",
            Self::Unsuitable(_) | Self::CodeRefused(_) | Self::NoGroups => "provider_settings",
            Self::Token(_) => "login_invalid",
            Self::TooManyGroups => "too_many_groups",
        }
    }
}
