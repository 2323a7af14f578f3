//! The API's answers, asked for within this process: tables and scripts show what `serve` answers.

use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use chrono::{DateTime, NaiveDate, Utc};
use http_body_util::BodyExt;
use mergeline_api::{Api, router};
use mergeline_domain::TeamSlug;
use mergeline_store::Store;
use serde::Deserialize;
use serde_json::Value;
use tower::ServiceExt;

use crate::failure::Failure;

/// A person waits longer for a table than a program for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Asks the API without a listener.
pub(crate) struct Answers {
    router: Router,
}

/// What the tables show of a team's velocity.
#[derive(Debug, Deserialize)]
pub(crate) struct Velocity {
    pub(crate) data: Buckets,
    pub(crate) meta: Meta,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Buckets {
    pub(crate) team: TeamName,
    #[serde(rename = "buckets")]
    pub(crate) weeks: Vec<Bucket>,
    pub(crate) total: Numbers,
}

#[derive(Debug, Deserialize)]
pub(crate) struct TeamName {
    pub(crate) name: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Bucket {
    #[serde(rename = "bucket")]
    pub(crate) label: String,
    /// The first day after it.
    pub(crate) end: NaiveDate,
    pub(crate) complete: bool,
    #[serde(flatten)]
    pub(crate) numbers: Numbers,
}

/// Counts are null where they are those of too few people.
#[derive(Debug, Deserialize)]
pub(crate) struct Numbers {
    pub(crate) prs_merged: Option<i64>,
    pub(crate) prs_merged_weighted: Option<f64>,
    pub(crate) contributors: Option<i64>,
    pub(crate) cycle_time: Durations,
    pub(crate) phases: Phases,
    #[serde(default)]
    pub(crate) suppressed: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Phases {
    pub(crate) coding: Durations,
    pub(crate) pickup: Durations,
    pub(crate) review: Durations,
}

/// Hours; null where there are none.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Durations {
    pub(crate) n: Option<i64>,
    pub(crate) weight: Option<f64>,
    pub(crate) mean_hours: Option<f64>,
    pub(crate) p50_hours: Option<f64>,
    pub(crate) p75_hours: Option<f64>,
    pub(crate) p90_hours: Option<f64>,
    pub(crate) p95_hours: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Meta {
    pub(crate) timezone: String,
    pub(crate) range: Range,
    pub(crate) warnings: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Range {
    pub(crate) from: NaiveDate,
}

impl Answers {
    pub(crate) fn new(store: &Store, clock: fn() -> DateTime<Utc>) -> Self {
        Self { router: router(Api::new(store.clone(), TIMEOUT, clock)) }
    }

    /// A team's merged pull requests by week.
    ///
    /// # Errors
    /// [`Failure::Input`] when the query cannot be used.
    pub(crate) async fn velocity(&self, team: &TeamSlug, query: &str) -> Result<Velocity, Failure> {
        Ok(serde_json::from_value(self.get(team, "velocity", query).await?).context("an answer of the API")?)
    }

    /// Velocity and lead time of these teams, as the API answers them.
    ///
    /// # Errors
    /// [`Failure::Input`] when the query cannot be used.
    pub(crate) async fn as_json(&self, teams: &[TeamSlug], query: &str) -> Result<Value, Failure> {
        let mut all = Vec::new();
        for team in teams {
            let mut answers = serde_json::Map::new();
            for metric in ["velocity", "lead-time"] {
                answers.insert(metric.to_owned(), self.get(team, metric, query).await?);
            }
            all.push(Value::Object(answers));
        }
        Ok(serde_json::json!({ "teams": all }))
    }

    async fn get(&self, team: &TeamSlug, metric: &str, query: &str) -> Result<Value, Failure> {
        let path = format!("/v1/metrics/team/{team}/{metric}?{query}");
        let request = Request::get(&path).header(header::HOST, "localhost").body(Body::empty());
        let request = request.map_err(anyhow::Error::from)?;
        let response = self.router.clone().oneshot(request).await.map_err(anyhow::Error::from)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(anyhow::Error::from)?.to_bytes();
        let answer: Value = serde_json::from_slice(&body)?;
        if status.is_success() {
            return Ok(answer);
        }
        let error = &answer["error"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let details = error["details"].as_array().into_iter().flatten();
        let details: Vec<String> =
            details.map(|detail| format!("{}: {}", text(&detail["parameter"]), text(&detail["message"]))).collect();
        let message = if details.is_empty() { text(&error["message"]) } else { details.join("; ") };
        if status == StatusCode::BAD_REQUEST {
            return Err(Failure::Input(message));
        }
        Err(Failure::Other(anyhow::anyhow!("{message} ({})", text(&error["code"]))))
    }
}
