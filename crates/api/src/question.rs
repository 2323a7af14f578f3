//! What all questions about a team go through: who asks, what exactly, and what it is answered from.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, RawQuery};
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use mergeline_domain::{RepoName, monday_of};
use mergeline_store::{Filter, Interval, Reader, RepositoryId, Standing, StoreError, TeamHead};

use crate::access::{Access, Scope};
use crate::answer::{DATA_AS_OF, Tag};
use crate::error::{ApiError, Detail};
use crate::model::{
    Meta, MetaCoverage, MetaFilters, MetaRange, NOT_FOR_PEOPLE, instant, quarantined, reattributing, uncollected,
    unlisted, unread,
};
use crate::negotiation::{Accept, Format};
use crate::parameters::{Otherwise, Parameter, Query, Range, team_ref};
use crate::router::Api;

/// A request about a team, as it came.
#[derive(Debug)]
pub(crate) struct TeamRequest {
    team: Result<Path<String>, PathRejection>,
    query: String,
    headers: HeaderMap,
    access: Access,
}

impl<S: Send + Sync> FromRequestParts<S> for TeamRequest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let access = Access::from_request_parts(parts, state).await?;
        let team = Path::<String>::from_request_parts(parts, state).await;
        let query = match RawQuery::from_request_parts(parts, state).await {
            Ok(RawQuery(query)) => query.unwrap_or_default(),
            Err(never) => match never {},
        };
        Ok(Self { team, query, headers: parts.headers.clone(), access })
    }
}

/// What an endpoint about a team is asked with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Endpoint {
    pub(crate) definition: &'static str,
    /// All formulas that the answer is made with.
    pub(crate) definitions: &'static [&'static str],
    pub(crate) scope: Scope,
    pub(crate) parameters: &'static [&'static Parameter],
    pub(crate) otherwise: Otherwise,
    pub(crate) has_csv: bool,
    /// Whether as many days before the range are asked for as well.
    pub(crate) looks_back: bool,
    /// Whether pull requests are summed up, where `privacy.min_group_size` hides small groups.
    pub(crate) sums_up: bool,
}

/// A request about a team that exists, understood in full.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) team: TeamHead,
    pub(crate) query: Query,
    pub(crate) range: Range,
    pub(crate) filter: Filter,
    pub(crate) format: Format,
    pub(crate) standing: Standing,
    pub(crate) now: DateTime<Utc>,
    /// Whether all was read that could have been, and is counted: only then a 0 means that there is nothing.
    pub(crate) is_read: bool,
    /// Whether the request comes from a key that is limited to teams.
    pub(crate) is_limited: bool,
    /// What a reader has to know about the collection.
    warnings: Vec<String>,
    /// What the answer is known by.
    tag: Tag,
    endpoint: Endpoint,
    headers: HeaderMap,
}

impl TeamRequest {
    /// The team of the path, if the request may know of it, and how far the collection of these repositories has come, of all
    /// without any.
    pub(crate) async fn team(
        &self,
        api: &Api,
        repositories: &[RepoName],
    ) -> Result<(TeamHead, Standing, Reader), ApiError> {
        const UNKNOWN: ApiError = ApiError::NotFound("There is no such team.");
        let Ok(Path(team)) = &self.team else {
            return Err(ApiError::parameter("team_id", "invalid", "it is not UTF-8"));
        };
        let team = team_ref(team)?;
        let (reader, mut standing) = api.store.reader_with_standing(Some(&team), repositories).await?;
        let team = standing.team.take().ok_or(UNKNOWN)?;
        // A key that is limited to teams does not learn which others there are.
        if self.access.sees(&team.slug) { Ok((team, standing, reader)) } else { Err(UNKNOWN) }
    }

    pub(crate) fn query(&self, parameters: &[&Parameter]) -> Result<Query, ApiError> {
        Query::parse(&self.query, parameters)
    }

    pub(crate) fn accept(&self) -> Accept {
        Accept::of(&self.headers)
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// Understands the request in full, or says what is wrong with it. With the connection that the team was found on.
    pub(crate) async fn understand(self, api: &Api, endpoint: &Endpoint) -> Result<(Question, Reader), ApiError> {
        self.access.require(endpoint.scope)?;
        let query = self.query(endpoint.parameters)?;
        let format = self.accept().choose(query.format, endpoint.has_csv)?;
        let (team, mut standing, mut reader) = self.team(api, &query.repositories).await?;
        let now = (api.clock)();
        let hides_small_groups = endpoint.sums_up && standing.min_group_size > 0;
        let range = if hides_small_groups {
            query.whole_weeks(standing.timezone, now, endpoint.otherwise)?
        } else {
            query.range(standing.timezone, now, endpoint.otherwise)?
        };
        // With the week that is not over, what is hidden changes.
        let running_week = hides_small_groups.then(|| monday_of(now.with_timezone(&range.zone).date_naive()));
        let is_limited = self.access.is_limited_to_teams();
        let repositories = repository_ids(&mut reader, &query, is_limited.then_some(&team)).await?;
        let filter = Filter { from: range.start(), to: range.end(), repositories, base: query.base.clone() };
        let asked = if endpoint.looks_back { Range { from: range.before().from, ..range } } else { range };
        let mut warnings = unread(&standing.coverage, &asked, now, !is_limited);
        warnings.extend(reattributing(&standing.coverage));
        let is_read = warnings.is_empty();
        if standing.coverage.quarantined > 0 {
            standing.coverage.quarantined = reader.quarantined(&filter).await?;
        }
        warnings.extend(quarantined(&standing.coverage));
        warnings.extend(uncollected(&standing.coverage, !is_limited));
        warnings.extend(unlisted(&standing.coverage, !is_limited));
        // A key that is limited to teams does not learn from a tag what happens in repositories of others.
        let data_version = match self.access.only_teams() {
            Some(teams) => format!("{teams:?} {}", reader.data_versions_of_teams(teams).await?),
            None => standing.data_version.to_string(),
        };
        let identity = format!(
            "{} {:?} {:?} {data_version} {team:?} {range:?} {query:?} {:?} {format:?} {running_week:?}",
            endpoint.definition, endpoint.definitions, standing.revision, filter.repositories
        );
        let tag = tag(&identity, &standing, &warnings, &range, is_limited);
        let question = Question {
            team,
            query,
            range,
            filter,
            format,
            standing,
            now,
            is_read,
            is_limited,
            warnings,
            tag,
            endpoint: *endpoint,
            headers: self.headers,
        };
        Ok((question, reader))
    }
}

/// The repositories of the filter; a name that nobody knows would only ever give zeros. To a key that is limited to a team only
/// those are known that the team has pull requests in: which others there are is not told.
async fn repository_ids(
    reader: &mut Reader,
    query: &Query,
    only_of: Option<&TeamHead>,
) -> Result<Option<Vec<RepositoryId>>, ApiError> {
    if query.repositories.is_empty() {
        return Ok(None);
    }
    let found = reader.repository_ids(&query.repositories, only_of.map(|team| team.id)).await?;
    let is_unknown = |name: &&RepoName| found.iter().all(|(known, _)| known != name.as_str());
    let unknown = query.repositories.iter().filter(is_unknown).map(|name| {
        let message = format!("`{name}` is not among the collected repositories");
        Detail { parameter: "repo".to_owned(), reason: "unknown_repository", message }
    });
    let unknown: Vec<Detail> = unknown.collect();
    if !unknown.is_empty() {
        return Err(ApiError::Validation(unknown));
    }
    Ok(Some(found.into_iter().map(|(_, id)| id).collect()))
}

/// What an answer is known by: the formula, the configuration, what changed last, the question, the day that the data reaches
/// (with which buckets become complete), and what is said about the collection. Not when data was last looked at without a
/// change: [`DATA_AS_OF`] says that.
fn tag(identity: &str, standing: &Standing, warnings: &[String], range: &Range, is_limited: bool) -> Tag {
    let coverage = &standing.coverage;
    let reached = coverage.complete_until.map(|at| at.with_timezone(&range.zone).date_naive());
    let lists = [&coverage.failing, &coverage.pending, &coverage.never_collected];
    // As the answer has them.
    let repositories = if is_limited { format!("{:?}", lists.map(Vec::len)) } else { format!("{lists:?}") };
    let state = format!(
        "{reached:?} {repositories} {:?} {} {} {warnings:?}",
        coverage.covered_since, coverage.collected, coverage.quarantined
    );
    Tag::of(&[identity, &state])
}

impl Question {
    /// Whether durations of few people are hidden.
    pub(crate) fn hides_small_groups(&self) -> bool {
        self.endpoint.sums_up && self.standing.min_group_size > 0
    }

    /// What an error of the database says about the question: a time zone that it does not know is the client's where it was asked
    /// for, else the file's.
    pub(crate) fn refusal(&self, error: StoreError) -> ApiError {
        match error {
            StoreError::UnknownValue(_) if self.query.names_a_zone() => {
                ApiError::parameter("tz", "invalid", "this database does not know the time zone")
            }
            StoreError::UnknownValue(cause) => {
                tracing::error!("The database does not know the teams file's time zone {}: {cause}", self.range.zone);
                ApiError::UnknownTimezone(self.range.zone)
            }
            error => error.into(),
        }
    }

    /// `304` when the client has the answer already: nothing is summed for it.
    pub(crate) fn unless_known(&self) -> Option<Response> {
        self.tag.is_known(&self.headers).then(|| self.with_freshness(self.tag.not_modified()))
    }

    /// The answer with its tag and freshness.
    pub(crate) fn tagged(&self, response: Response) -> Response {
        self.with_freshness(self.tag.on(response))
    }

    pub(crate) fn with_freshness(&self, mut response: Response) -> Response {
        let as_of = self.standing.coverage.data_as_of.map(instant);
        if let Some(value) = as_of.and_then(|text| HeaderValue::from_str(&text).ok()) {
            response.headers_mut().insert(DATA_AS_OF, value);
        }
        response
    }

    pub(crate) fn meta(&self, interval: Option<Interval>) -> Meta {
        Meta {
            definition: self.endpoint.definition,
            definitions: self.endpoint.definitions,
            timezone: self.range.zone.name().to_owned(),
            interval: interval.map(Interval::as_str),
            range: MetaRange::from(&self.range),
            filters: MetaFilters::from(&self.query),
            data_as_of: self.standing.coverage.data_as_of.map(instant),
            // With a table it is a header: those have their limits, and names of repositories none.
            coverage: MetaCoverage::of(&self.standing.coverage, !self.is_limited && self.format != Format::Csv),
            warnings: self.warnings.clone(),
            caveat: NOT_FOR_PEOPLE,
        }
    }
}
