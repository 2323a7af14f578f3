#![doc = include_str!("../README.md")]

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod github;
mod incidents;
mod notice;
mod secrets;
mod signature;

use chrono::{DateTime, Utc};
use http::HeaderMap;
use mergeline_domain::RepoName;
use mergeline_domain::delivery::{IncidentChange, IncidentEvent};
use mergeline_domain::one_line;
use serde::Serialize;

pub use notice::{Carried, ChangeNotice};
pub use secrets::WebhookSecrets;
pub use signature::{Refused, SignedWith};

/// A kind of webhook: whose format and signature a delivery has.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Plugin {
    /// GitHub, or GitHub Enterprise Server.
    #[strum(serialize = "github")]
    #[serde(rename = "github")]
    GitHub,
    /// PagerDuty, webhooks of version 3.
    #[strum(serialize = "pagerduty")]
    #[serde(rename = "pagerduty")]
    PagerDuty,
    /// incident.io.
    IncidentIo,
    /// A contact point of Grafana Alerting.
    Grafana,
    /// Any program that signs like GitHub, with the body of `POST /v1/incidents`.
    Generic,
}

impl Plugin {
    /// All of them.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;
}

/// A delivery whose signature was right.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// Whose it is.
    pub plugin: Plugin,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, as it came.
    pub body: &'a [u8],
    /// When it came.
    pub received_at: DateTime<Utc>,
}

/// What a delivery says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// By which a delivery that comes again is recognized; `None` if its sender gives it no id.
    pub id: Option<String>,
    /// What it is about, for the record, such as `deployment_status.created`.
    pub kind: String,
    /// What it means.
    pub meaning: Meaning,
}

/// What a delivery means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing that matters here.
    Nothing,
    /// Something of a repository changed. Unless it can never change again, it is read from its source: deliveries come late, twice, in
    /// any order or not at all.
    Changed(ChangedRepository),
    /// Something happened to incidents.
    Incidents(Vec<IncidentMessage>),
}

/// A repository that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedRepository {
    /// Its id at its source.
    pub id: i64,
    /// Its current name.
    pub name: RepoName,
    /// When the pull request of the delivery last changed: the list must show that.
    pub updated_at: Option<DateTime<Utc>>,
    /// What the delivery itself says, if that will never change.
    pub carried: Option<Carried>,
}

/// What happened to an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentMessage {
    /// The incident, as far as the delivery tells of it. Its service is what the webhook was set up for.
    pub incident: IncidentEvent,
    /// What became of it, and when.
    pub change: Option<IncidentChange>,
}

/// Why a delivery cannot be used, although its signature is right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The body has another format than JSON.
    #[error("the body is not application/json: choose this content type where the webhook is set up")]
    ContentType,
    /// The body is no JSON, or something in it is missing.
    #[error("the body cannot be read: {0}")]
    Body(String),
    /// A header is missing.
    #[error("the header {0} is missing")]
    Header(&'static str),
}

impl Unusable {
    /// A body that is not what it should be. The message may quote it.
    fn unreadable(error: impl std::fmt::Display) -> Self {
        const LONGEST: usize = 300;
        Self::Body(one_line(&error.to_string(), LONGEST))
    }
}

impl Delivery<'_> {
    /// Reads what it says.
    ///
    /// # Errors
    /// If it is not what its plugin sends.
    pub fn read(&self) -> Result<Message, Unusable> {
        let media_type = self.header("content-type").unwrap_or_default();
        let is_json = media_type.split(';').next().is_some_and(|it| it.trim().eq_ignore_ascii_case("application/json"));
        if !is_json {
            return Err(Unusable::ContentType);
        }
        match self.plugin {
            Plugin::GitHub => github::read(self),
            Plugin::PagerDuty => incidents::pagerduty(self),
            Plugin::IncidentIo => incidents::incident_io(self),
            Plugin::Grafana => incidents::grafana(self),
            Plugin::Generic => incidents::generic(self),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn parse<'b, T: serde::Deserialize<'b>>(&'b self) -> Result<T, Unusable> {
        serde_json::from_slice(self.body).map_err(Unusable::unreadable)
    }
}
