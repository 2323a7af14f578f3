//! Strict parsing of paths and query strings. The OpenAPI document describes exactly what is accepted here.

use chrono::{Datelike, NaiveDate, Weekday};
use chrono_tz::Tz;
use mergeline_domain::delivery::{FailureReason, ServiceId};
use mergeline_domain::insight::{Horizon, WEEKS_AHEAD};
use mergeline_domain::metrics::{Basis, Edition, Interval, InvalidParameter, Lookback, LookbackError, RangeRequest};
use mergeline_domain::{RepoName, TeamId, parse_zone};
use mergeline_reporting::{DeliveryQuery, DoraQuery, DoraSubject, ReportQuery};
use mergeline_store::{ListedState, PullRequestList, PullRequestOrder, ServiceSelector, TeamSelector, Wait};
use serde_json::{Value, json};

use super::errors::ApiError;
use super::negotiation::Format;

/// Dates outside these years are mistakes.
const YEARS: std::ops::Range<i32> = 1970..2200;
/// A team with more repositories does not need a filter.
const MAX_REPOSITORIES: usize = 50;
/// GitHub allows branch names of 255 bytes; a schema can only count characters.
const MAX_BRANCH: usize = 255;
/// The maximum number of rows on a page.
const MAX_LIMIT: u32 = 1_000;
const DEFAULT_LIMIT: u32 = 100;
/// Nobody plans more pull requests than these.
const MOST_COUNTED: u32 = 100_000;
/// A year.
const MAX_DAYS: u32 = 366;
/// `owner.name` of GitHub's longest names.
const MAX_SERVICE: usize = 200;
const BASES: [(&str, Basis); 2] = [("delivered", Basis::Delivered), ("owned", Basis::Owned)];
const SEVERITIES: [&str; 4] = ["critical", "high", "medium", "low"];

/// A query parameter, as the OpenAPI document describes it.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) schema: fn() -> Value,
}

/// `owner/name`, where the name is not `.` or `..` and does not end with `.git`. It works without lookahead, which not
/// every consumer of the document supports: a name that does not end with `.git` differs from it in one of its last
/// four characters.
fn repository_pattern() -> String {
    const ANY: &str = "[A-Za-z0-9._-]";
    const BUT_DOT: &str = "[A-Za-z0-9_-]";
    const BUT_T: &str = "[A-SU-Za-su-z0-9_-]";
    const BUT_I: &str = "[A-HJ-Za-hj-z0-9._-]";
    const BUT_G: &str = "[A-FH-Za-fh-z0-9._-]";
    let names = [
        format!("{ANY}{{0,99}}{BUT_T}"),
        format!("{BUT_DOT}[.]"),
        format!("{ANY}{{2,99}}[.]"),
        format!("{ANY}{{0,98}}{BUT_I}[tT]"),
        format!("{ANY}{{0,97}}{BUT_G}[iI][tT]"),
        format!("{ANY}{{0,96}}{BUT_DOT}[gG][iI][tT]"),
        "[tT]|[iI][tT]|[gG][iI][tT]".to_owned(),
    ];
    format!("^[A-Za-z0-9][A-Za-z0-9_-]{{0,99}}/({})$", names.join("|"))
}

/// A day in [`YEARS`].
fn day(example: &str) -> Value {
    json!({
        "type": "string", "format": "date",
        "pattern": "^(19[7-9]|2[01][0-9])[0-9]-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$",
        "examples": [example]
    })
}

pub(crate) const FROM: Parameter = Parameter {
    name: "from",
    description: "The first day of the range, in the time zone `tz`.",
    schema: || day("2026-06-01"),
};
pub(crate) const TO: Parameter = Parameter {
    name: "to",
    description: "The first day after the range; default: the day after today.",
    schema: || day("2026-07-01"),
};
pub(crate) const SUMMARY_FROM: Parameter = Parameter {
    description: "The first day of the range, in the time zone `tz`; default: four weeks before `to`.",
    ..FROM
};
pub(crate) const SUMMARY_TO: Parameter = Parameter {
    description: "The first day after the range. Default: the day after today with `from`, otherwise this week's Monday.",
    ..TO
};
pub(crate) const LAST: Parameter = Parameter {
    name: "last",
    description: "Instead of `from` and `to`: a number of days, weeks, months or years up to now, including the current one.",
    schema: || {
        json!({
            "type": "string",
            // The same limits as `Lookback::MAX`.
            "pattern": "^P(([1-9][0-9]{0,2}|[12][0-9]{3}|3[0-6][0-9]{2}|3700)D|([1-9][0-9]?|[1-4][0-9]{2}|5[01][0-9]|52[0-8])W|\
                        ([1-9][0-9]?|1[01][0-9]|12[01])M|([1-9]|10)Y)$",
            "examples": ["P12W"]
        })
    },
};
pub(crate) const WEEK: Parameter = Parameter {
    name: "week",
    description: "Instead of `from` and `to`: one ISO week.",
    schema: || {
        let has_53_weeks = |year: &i32| NaiveDate::from_isoywd_opt(*year, 53, Weekday::Mon).is_some();
        let long_years: Vec<String> = YEARS.filter(has_53_weeks).map(|year| year.to_string()).collect();
        json!({
            "type": "string",
            "pattern": format!("^((19[7-9]|2[01][0-9])[0-9]-W(0[1-9]|[1-4][0-9]|5[0-2])|({})-W53)$", long_years.join("|")),
            "examples": ["2026-W23"]
        })
    },
};
pub(crate) const DAYS: Parameter = Parameter {
    name: "days",
    description: "Instead of `from` and `to`: a number of days up to now, including today.",
    schema: || json!({ "type": "integer", "minimum": 1, "maximum": MAX_DAYS, "examples": [30] }),
};
pub(crate) const SERVICE: Parameter = Parameter {
    name: "service",
    description: "Only what happened in this service, by number or slug. Not allowed if the teams file sets privacy.min_group_size.",
    schema: service_schema,
};
pub(crate) const OUTCOME: Parameter = Parameter {
    name: "outcome",
    description: "Only what this became of.",
    schema: || json!({ "type": "string", "enum": OUTCOMES }),
};
pub(crate) const WEBHOOK_SERVICE: Parameter = Parameter {
    name: "service",
    description: "The service whose incidents come by this webhook: its number or slug, or a repository of its own.",
    schema: service_schema,
};
pub(crate) const TEAM: Parameter = Parameter {
    name: "team",
    description: "Only what this team has a share of, by number or slug.",
    schema: team_schema,
};
pub(crate) const ENVIRONMENT: Parameter = Parameter {
    name: "environment",
    description: "The name of an environment, or `production` (the default) or `transient` (previews) for all that are.",
    schema: || name_schema("staging"),
};
pub(crate) const BASIS: Parameter = Parameter {
    name: "basis",
    description: "By what a deployment belongs to teams: `delivered` by the pull requests in it, `owned` by who owns its service.",
    schema: || json!({ "type": "string", "enum": BASES.map(|(name, _)| name), "default": "delivered" }),
};
pub(crate) const FAILURES: Parameter = Parameter {
    name: "failures",
    description: "Which reasons make a deployment a failed one, separated by commas; default: all.",
    schema: || json!({ "type": "array", "minItems": 1, "items": { "type": "string", "enum": names(FailureReason::ALL) } }),
};
pub(crate) const SEVERITY: Parameter = Parameter {
    name: "severity",
    description: "Only incidents of these severities, separated by commas; default: all, also those without one.",
    schema: || json!({ "type": "array", "minItems": 1, "items": { "type": "string", "enum": SEVERITIES } }),
};
pub(crate) const EDITION: Parameter = Parameter {
    name: "edition",
    description: "The edition of the DORA report whose classes are shown; without it, none are.",
    schema: || json!({ "type": "string", "enum": names(Edition::ALL) }),
};
pub(crate) const TZ: Parameter = Parameter {
    name: "tz",
    description: "An IANA time zone; default: the teams file's. Not allowed if the teams file sets privacy.min_group_size.",
    schema: || {
        let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let names: Vec<&str> = names.filter(|name| parse_zone(name).is_some()).collect();
        json!({ "type": "string", "enum": names, "examples": ["Europe/Oslo"] })
    },
};
pub(crate) const INTERVAL: Parameter = Parameter {
    name: "interval",
    description: "The calendar unit of a bucket. If the teams file sets privacy.min_group_size, only week is allowed.",
    schema: || json!({ "type": "string", "enum": ["day", "week", "month", "quarter"] }),
};
pub(crate) const REPO: Parameter = Parameter {
    name: "repo",
    description: "Only pull requests in these repositories, separated by commas. Not allowed if the teams file sets privacy.min_group_size.",
    schema: || {
        json!({
            "type": "array", "minItems": 1, "maxItems": MAX_REPOSITORIES,
            "items": { "type": "string", "pattern": repository_pattern() },
            "examples": [["acme/api", "acme/web"]]
        })
    },
};
pub(crate) const BASE: Parameter = Parameter {
    name: "base",
    description: "Only pull requests into this branch. Not allowed if the teams file sets privacy.min_group_size.",
    schema: || name_schema("main"),
};
pub(crate) const WEIGHTING: Parameter = Parameter {
    name: "weighting",
    description: "`allocated` counts a pull request with its author's share in the team, `full` with 1. `full` is not allowed if the teams \
                  file sets privacy.min_group_size.",
    schema: || json!({ "type": "string", "enum": ["allocated", "full"], "default": "allocated" }),
};
pub(crate) const FORMAT: Parameter = Parameter {
    name: "format",
    description: "The format of the response; overrides `Accept`.",
    schema: || json!({ "type": "string", "enum": ["json", "csv"] }),
};
pub(crate) const BOM: Parameter = Parameter {
    name: "bom",
    description: "With CSV: `1` adds a byte order mark, so that Excel reads non-ASCII characters correctly.",
    schema: || json!({ "type": "string", "enum": ["0", "1"], "default": "0" }),
};
pub(crate) const STATE: Parameter = Parameter {
    name: "state",
    description: "Only pull requests in this state; open ones are listed regardless of the range. `delivered`: those of the team that first \
                  reached production in the range, which are the ones of `change_lead_time`.",
    schema: || json!({ "type": "string", "enum": names(ListedState::ALL) }),
};
pub(crate) const MISSING: Parameter = Parameter {
    name: "missing",
    description: "Why they are not known to be in production: no deployment contains them yet, or that cannot be said, because their details \
                  or files were not read.",
    schema: || json!({ "type": "string", "enum": names(&WAITS), "default": "not_deployed_yet" }),
};
pub(crate) const SORT: Parameter = Parameter {
    name: "sort",
    description: "The order: by the instant that determines membership (`oldest`, `newest`), by the time from opening to merge (`longest`), \
                  or by the number of changed lines (`largest`).",
    schema: || json!({ "type": "string", "enum": names(PullRequestOrder::ALL), "default": "oldest" }),
};
pub(crate) const LIMIT: Parameter = Parameter {
    name: "limit",
    description: "The maximum number of rows.",
    schema: || json!({ "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT }),
};
pub(crate) const WEEKS: Parameter = Parameter {
    name: "weeks",
    description: "How many weeks ahead.",
    schema: || json!({ "type": "integer", "minimum": 1, "maximum": WEEKS_AHEAD, "default": Horizon::QUARTER.weeks() }),
};
pub(crate) const COUNT: Parameter = Parameter {
    name: "count",
    description: "Also when so many will be merged.",
    schema: || json!({ "type": "integer", "minimum": 1, "maximum": MOST_COUNTED, "examples": [50] }),
};
pub(crate) const CURSOR: Parameter = Parameter {
    name: "cursor",
    description: "The `meta.next_cursor` of the previous page. All other parameters must be the same.",
    schema: || json!({ "type": "string", "pattern": "^[0-9a-f]{56}$" }),
};

/// What [`team_selector`] accepts: a number, or a slug, which has a letter.
pub(crate) fn team_schema() -> Value {
    json!({
        "type": "string", "maxLength": 63,
        "pattern": "^([1-9][0-9]{0,17}|([0-9][0-9-]*)?[a-z]([a-z0-9-]*[a-z0-9])?)$",
        "examples": ["payments"]
    })
}

/// The number or the slug of a team in a path.
pub(crate) fn team_selector(text: &str) -> Result<TeamSelector, ApiError> {
    let refuse = |message: String| Err(ApiError::parameter("team_id", "invalid", message));
    if text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        return match text.parse() {
            // One spelling for each team.
            Ok(id) if id > 0 && !text.starts_with('0') => Ok(TeamSelector::Id(TeamId(id))),
            _ => refuse("the number of a team is a positive 64-bit integer without leading zeros".to_owned()),
        };
    }
    match text.parse() {
        Ok(slug) => Ok(TeamSelector::Slug(slug)),
        Err(_) => refuse("write the team's number or its slug".to_owned()),
    }
}

/// What [`service_selector`] accepts: a number, the slug of a service of the teams file, or `owner.name` of a repository.
pub(crate) fn service_schema() -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": MAX_SERVICE,
        "pattern": "^([1-9][0-9]{0,17}|[A-Za-z0-9._-]*[A-Za-z_.-][A-Za-z0-9._-]*)$",
        "examples": ["shop", "acme.api"]
    })
}

/// The number or the slug of a service.
pub(crate) fn service_selector(text: &str) -> Result<ServiceSelector, String> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number {
        return match text.parse() {
            Ok(id) if text.len() <= 18 && !text.starts_with('0') => Ok(ServiceSelector::Id(ServiceId(id))),
            _ => Err("the number of a service is a positive 64-bit integer without leading zeros".to_owned()),
        };
    }
    let is_usable = !text.is_empty()
        && text.len() <= MAX_SERVICE
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if is_usable {
        Ok(ServiceSelector::Slug(text.to_owned()))
    } else {
        Err("write the service's number or its slug; that of a repository is owner.name".to_owned())
    }
}

/// The parameters of one path.
pub(crate) trait Parameters: Sized {
    /// Their descriptions in the OpenAPI document.
    const DESCRIPTIONS: &'static [&'static Parameter];

    /// Takes each parameter from the query string. Problems are recorded in the reader.
    fn read(reader: &mut ParameterReader) -> Self;

    /// Parses the described parameters and rejects all others.
    ///
    /// # Errors
    /// Every invalid parameter.
    fn parse(query: &str) -> Result<Self, ApiError> {
        let names: Vec<&str> = Self::DESCRIPTIONS.iter().map(|parameter| parameter.name).collect();
        let mut reader = ParameterReader::of(query, &names);
        let parameters = Self::read(&mut reader);
        if reader.invalid.is_empty() { Ok(parameters) } else { Err(ApiError::Validation(reader.invalid)) }
    }
}

/// For a path without parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoParameters;

impl Parameters for NoParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] = &[];

    fn read(_: &mut ParameterReader) -> Self {
        Self
    }
}

/// Which of a team's pull requests are requested, and how they count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    range: RangeRequest,
    timezone: Option<Tz>,
    interval: Option<Interval>,
    repositories: Vec<RepoName>,
    base: Option<String>,
    ignore_weights: bool,
}

impl Selection {
    pub(crate) fn read(reader: &mut ParameterReader) -> Self {
        let timezone = reader.take("tz", zone);
        let range = range(reader);
        let interval = reader.take("interval", interval);
        let repositories = reader.take("repo", repositories).unwrap_or_default();
        let base = reader.take("base", base);
        // Where everything counts once, it is unknown.
        let weighting = reader.take("weighting", |text| one_of(text, &[("allocated", false), ("full", true)]));
        let ignore_weights = weighting.unwrap_or_default();
        Self { range, timezone, interval, repositories, base, ignore_weights }
    }

    /// The query about a team.
    pub(crate) fn of_team(self, team: TeamSelector) -> ReportQuery {
        ReportQuery { team: Some(team), ..self.of_all() }
    }

    /// The query about the organization.
    pub(crate) fn of_all(self) -> ReportQuery {
        let Self { range, timezone, interval, repositories, base, ignore_weights } = self;
        ReportQuery { team: None, range, timezone, interval, repositories, base, ignore_weights }
    }
}

/// The requested days: `days`, `last`, `week`, or `from` and `to`.
fn range(reader: &mut ParameterReader) -> RangeRequest {
    let days = reader.take("days", days);
    let (from, to) = (reader.take("from", date), reader.take("to", date));
    let (last, week) = (reader.take("last", last), reader.take("week", week));
    reader.exclude("days", &["from", "to", "last", "week"]);
    reader.exclude("last", &["from", "to", "week"]);
    reader.exclude("week", &["from", "to"]);
    match (days.or(last), week) {
        (Some(last), _) => RangeRequest::Lookback(last),
        (None, Some(monday)) => RangeRequest::Week(monday),
        (None, None) => RangeRequest::Days { from, to },
    }
}

/// Which of DORA's metrics are requested, and how they are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DoraSelection {
    range: RangeRequest,
    timezone: Option<Tz>,
    interval: Option<Interval>,
    service: Option<ServiceSelector>,
    basis: Basis,
    failures: Vec<FailureReason>,
    severities: Vec<String>,
    edition: Option<Edition>,
    ignore_weights: bool,
}

impl DoraSelection {
    pub(crate) fn read(reader: &mut ParameterReader) -> Self {
        let service = reader.take("service", service);
        Self { service, ..Self::without_service(reader) }
    }

    /// Where everything is of one service.
    pub(crate) fn without_service(reader: &mut ParameterReader) -> Self {
        let timezone = reader.take("tz", zone);
        let range = range(reader);
        let interval = reader.take("interval", interval);
        let basis = reader.take("basis", |text| one_of(text, &BASES));
        let failures = reader.take("failures", |text| several(text, &named(FailureReason::ALL)));
        let severities = severities_of(reader);
        let edition = reader.take("edition", |text| one_of(text, &named(Edition::ALL)));
        let weighting = reader.take("weighting", |text| one_of(text, &[("allocated", false), ("full", true)]));
        Self {
            range,
            timezone,
            interval,
            service: None,
            basis: basis.unwrap_or_default(),
            failures: failures.unwrap_or_default(),
            severities,
            edition,
            ignore_weights: weighting.unwrap_or_default(),
        }
    }

    /// The query about a subject.
    pub(crate) fn about(self, subject: DoraSubject) -> DoraQuery {
        let Self { range, timezone, interval, service, basis, failures, severities, edition, ignore_weights } = self;
        DoraQuery { subject, range, timezone, interval, service, basis, failures, severities, edition, ignore_weights }
    }
}

/// Which deployments or incidents are requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliverySelection(DeliveryQuery);

impl DeliverySelection {
    pub(crate) fn read(reader: &mut ParameterReader) -> Self {
        let timezone = reader.take("tz", zone);
        let range = range(reader);
        let (team, service) = team_and_service(reader);
        let basis = reader.take("basis", |text| one_of(text, &BASES)).unwrap_or_default();
        Self(DeliveryQuery { range, timezone, team, service, basis })
    }

    /// The query.
    pub(crate) fn query(self) -> DeliveryQuery {
        self.0
    }
}

fn team_and_service(reader: &mut ParameterReader) -> (Option<TeamSelector>, Option<ServiceSelector>) {
    let team = reader.take("team", |text| match team_selector(text) {
        Ok(team) => Ok(team),
        Err(_) => invalid("write the team's number or its slug"),
    });
    (team, reader.take("service", service))
}

/// Why merged pull requests may wait for production.
const WAITS: [Wait; 2] = [Wait::NotDeployedYet, Wait::NotCollected];

/// Which merged pull requests that wait for production are wanted. They have no range.
pub(crate) fn waiting(reader: &mut ParameterReader) -> (DeliveryQuery, Wait) {
    let (team, service) = team_and_service(reader);
    let query = DeliveryQuery { range: RangeRequest::DEFAULT, timezone: None, team, service, basis: Basis::default() };
    (query, reader.take("missing", |text| one_of(text, &named(&WAITS))).unwrap_or_default())
}

/// What may become of an event.
const OUTCOMES: [&str; 6] = ["created", "changed", "replayed", "refused", "queued", "ignored"];

/// The requested outcome of events.
pub(crate) fn outcome_of(reader: &mut ParameterReader) -> Option<&'static str> {
    reader.take("outcome", |text| one_of(text, &OUTCOMES.map(|outcome| (outcome, outcome))))
}

/// The service that a webhook is about, as it is written there.
pub(crate) fn service_text(reader: &mut ParameterReader) -> Option<String> {
    reader.take("service", |text| match service_selector(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(message) => invalid(message),
    })
}

/// The names of all values of a parameter, in their order.
fn names<T: Copy + Into<&'static str>>(all: &[T]) -> Vec<&'static str> {
    all.iter().map(|value| (*value).into()).collect()
}

/// All values of a parameter with their names.
fn named<T: Copy + Into<&'static str>>(all: &[T]) -> Vec<(&'static str, T)> {
    all.iter().map(|value| ((*value).into(), *value)).collect()
}

/// Which pull requests are listed, and in which order.
pub(crate) fn list_of(reader: &mut ParameterReader) -> PullRequestList {
    let state = reader.take("state", |text| one_of(text, &named(ListedState::ALL)));
    let order = reader.take("sort", |text| one_of(text, &named(PullRequestOrder::ALL))).unwrap_or_default();
    PullRequestList { state, order }
}

/// The requested environment.
pub(crate) fn environment_of(reader: &mut ParameterReader) -> Option<String> {
    reader.take("environment", environment)
}

/// The requested severities; empty for all.
pub(crate) fn severities_of(reader: &mut ParameterReader) -> Vec<String> {
    let severities = reader.take("severity", |text| several(text, &SEVERITIES.map(|it| (it, it))));
    severities.unwrap_or_default().into_iter().map(str::to_owned).collect()
}

/// The requested format of a response that also exists as a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) format: Option<Format>,
    /// Whether a table starts with a byte order mark.
    pub(crate) has_bom: bool,
}

impl Form {
    /// The format if the query does not set one.
    pub(crate) const DEFAULT: Self = Self { format: None, has_bom: false };

    pub(crate) fn read(reader: &mut ParameterReader) -> Self {
        let format = reader.take("format", |text| one_of(text, &[("json", Format::Json), ("csv", Format::Csv)]));
        let bom = reader.take("bom", |text| one_of(text, &[("0", false), ("1", true)]));
        Self { format, has_bom: bom.unwrap_or_default() }
    }
}

/// The requested page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) limit: u32,
    pub(crate) cursor: Option<String>,
}

impl Page {
    pub(crate) fn read(reader: &mut ParameterReader) -> Self {
        let limit = reader.take("limit", limit);
        let cursor = reader.take("cursor", |text| Ok(text.to_owned()));
        Self { limit: limit.unwrap_or(DEFAULT_LIMIT), cursor }
    }
}

/// Why a value is invalid: a stable code and a sentence.
type Refusal = (&'static str, String);

/// The parameters of all paths, for tests with any query string.
#[cfg(any(test, fuzzing))]
#[derive(Debug, PartialEq)]
pub(crate) struct Everything(pub(crate) Selection, pub(crate) Form, pub(crate) Page);

#[cfg(any(test, fuzzing))]
impl Parameters for Everything {
    const DESCRIPTIONS: &'static [&'static Parameter] =
        &[&FROM, &TO, &LAST, &WEEK, &TZ, &INTERVAL, &REPO, &BASE, &WEIGHTING, &FORMAT, &BOM, &LIMIT, &CURSOR];

    fn read(reader: &mut ParameterReader) -> Self {
        Self(Selection::read(reader), Form::read(reader), Page::read(reader))
    }
}

/// Reads the pairs of a query string and records their problems.
#[derive(Debug)]
pub(crate) struct ParameterReader {
    pairs: Vec<(String, String)>,
    invalid: Vec<InvalidParameter>,
}

impl ParameterReader {
    fn of(query: &str, known: &[&str]) -> Self {
        let mut reader = Self { pairs: Vec::new(), invalid: Vec::new() };
        reader.split(query, known);
        reader
    }

    fn split(&mut self, query: &str, known: &[&str]) {
        /// Longer than any known name.
        const SHOWN: usize = 40;
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
            if !known.contains(&&*name) {
                let near = known.iter().find(|known| are_near(known, &name));
                let message = match near {
                    Some(near) => format!("unknown; did you mean `{near}`?"),
                    None if known.is_empty() => "unknown; this path takes no parameters".to_owned(),
                    None => format!("unknown; known parameters: {}", known.join(", ")),
                };
                self.refuse(&shown, "unknown", message);
            } else if self.pairs.iter().any(|(seen, _)| *seen == name) {
                self.refuse(&shown, "repeated", "given more than once".to_owned());
            } else {
                self.pairs.push((name.into_owned(), value.into_owned()));
            }
        }
    }

    fn refuse(&mut self, name: &str, reason: &'static str, message: String) {
        self.invalid.push(InvalidParameter::new(name, reason, message));
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn take<T>(&mut self, name: &str, read: impl Fn(&str) -> Result<T, Refusal>) -> Option<T> {
        match read(self.get(name)?) {
            Ok(value) => Some(value),
            Err((reason, message)) => {
                self.refuse(name, reason, message);
                None
            }
        }
    }

    fn exclude(&mut self, name: &str, others: &[&str]) {
        let other = others.iter().find(|other| self.get(name).is_some() && self.get(other).is_some());
        if let Some(other) = other {
            self.refuse(name, "exclusive", format!("give either `{name}` or `{other}`"));
        }
    }
}

/// Whether one is a misspelling of the other: the same letters in another order or case.
fn are_near(known: &str, given: &str) -> bool {
    let sorted = |text: &str| {
        let mut letters: Vec<char> = text.to_lowercase().chars().collect();
        letters.sort_unstable();
        letters
    };
    sorted(known) == sorted(given)
}

fn invalid<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(("invalid", message.into()))
}

fn zone(text: &str) -> Result<Tz, Refusal> {
    parse_zone(text).map_or_else(|| invalid("write an IANA name, for example Europe/Oslo"), Ok)
}

fn date(text: &str) -> Result<NaiveDate, Refusal> {
    // Only the full format: `2026-1-5` would parse too.
    let date = text.parse().ok().filter(|date: &NaiveDate| date.to_string() == text && YEARS.contains(&date.year()));
    let is_digit =
        |(place, byte): (usize, u8)| if place == 4 || place == 7 { byte == b'-' } else { byte.is_ascii_digit() };
    let looks_right = text.len() == 10 && text.bytes().enumerate().all(is_digit);
    let is_far = text.get(..4).and_then(|year| year.parse().ok()).is_some_and(|year| !YEARS.contains(&year));
    match date {
        Some(date) => Ok(date),
        None if looks_right && !is_far => invalid("there is no such day in the calendar"),
        None => invalid(format!("write a day between {} and {} as 2026-01-05", YEARS.start, YEARS.end)),
    }
}

fn last(text: &str) -> Result<Lookback, Refusal> {
    text.parse().map_err(|error: LookbackError| {
        let reason = if error == LookbackError::TooLarge { "range_too_large" } else { "invalid" };
        (reason, error.to_string())
    })
}

/// The Monday of an ISO week. Most years have no week 53.
fn week(text: &str) -> Result<NaiveDate, Refusal> {
    let read = || {
        let (year, number) = text.split_once("-W").filter(|(year, week)| year.len() == 4 && week.len() == 2)?;
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let year = year.parse().ok().filter(|_| is_plain(year))?;
        let number = number.parse().ok().filter(|_| is_plain(number))?;
        NaiveDate::from_isoywd_opt(year, number, Weekday::Mon).filter(|_| YEARS.contains(&year))
    };
    read().map_or_else(|| invalid("write an ISO week that exists, for example 2026-W23"), Ok)
}

fn days(text: &str) -> Result<Lookback, Refusal> {
    let is_plain = !text.starts_with('0') && text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    let days = text.parse().ok().filter(|days| is_plain && (1..=MAX_DAYS).contains(days));
    days.map_or_else(|| invalid(format!("a whole number from 1 to {MAX_DAYS}")), |days| Ok(Lookback::Days(days)))
}

/// Values separated by commas, each once.
fn several<T: Copy + PartialEq>(text: &str, allowed: &[(&str, T)]) -> Result<Vec<T>, Refusal> {
    let mut values = Vec::new();
    for part in text.split(',') {
        let value = one_of(part, allowed)?;
        if !values.contains(&value) {
            values.push(value);
        }
    }
    Ok(values)
}

fn service(text: &str) -> Result<ServiceSelector, Refusal> {
    service_selector(text).map_err(|message| ("invalid", message))
}

fn environment(text: &str) -> Result<String, Refusal> {
    name_of("an environment", text)
}

fn interval(text: &str) -> Result<Interval, Refusal> {
    one_of(text, &Interval::ALL.map(|interval| (interval.as_str(), interval)))
}

fn one_of<T: Copy>(text: &str, allowed: &[(&str, T)]) -> Result<T, Refusal> {
    if let Some((_, value)) = allowed.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names: Vec<&str> = allowed.iter().map(|(name, _)| *name).collect();
    invalid(format!("one of {}", names.join(", ")))
}

fn repositories(text: &str) -> Result<Vec<RepoName>, Refusal> {
    let parts: Vec<&str> = text.split(',').collect();
    if parts.len() > MAX_REPOSITORIES {
        return Err(("too_many", format!("{} repositories; the maximum is {MAX_REPOSITORIES}", parts.len())));
    }
    let mut names: Vec<RepoName> = Vec::with_capacity(parts.len());
    for part in parts {
        match part.parse() {
            Ok(name) if names.contains(&name) => {}
            Ok(name) => names.push(name),
            Err(_) => return invalid("write owner/name, several separated by commas"),
        }
    }
    Ok(names)
}

fn base(text: &str) -> Result<String, Refusal> {
    name_of("a branch", text)
}

/// What [`name_of`] accepts.
fn name_schema(example: &str) -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": MAX_BRANCH,
        "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f\\ufffd]+$", "examples": [example]
    })
}

/// A name of something at GitHub, without control characters.
fn name_of(what: &str, text: &str) -> Result<String, Refusal> {
    let is_usable = !text.is_empty()
        && text.chars().count() <= MAX_BRANCH
        && !text.chars().any(|c| c.is_control() || c == '\u{fffd}');
    if is_usable {
        Ok(text.to_owned())
    } else {
        invalid(format!("write the name of {what}, at most {MAX_BRANCH} characters"))
    }
}

/// How far a forecast looks, and of how many it says when they will be merged.
pub(crate) fn horizon_of(reader: &mut ParameterReader) -> (Horizon, Option<u32>) {
    let most = u32::try_from(WEEKS_AHEAD).unwrap_or(u32::MAX);
    let weeks = reader.take("weeks", |text| whole(text, most).map(|weeks| Horizon::new(weeks as usize)));
    let count = reader.take("count", |text| whole(text, MOST_COUNTED));
    (weeks.flatten().unwrap_or(Horizon::QUARTER), count)
}

fn limit(text: &str) -> Result<u32, Refusal> {
    whole(text, MAX_LIMIT)
}

/// A whole number from 1 to a maximum, written plainly.
fn whole(text: &str, most: u32) -> Result<u32, Refusal> {
    let is_plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| is_plain && (1..=most).contains(number));
    number.map_or_else(|| invalid(format!("a whole number from 1 to {most}")), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Refused = Vec<(String, &'static str)>;

    fn refused(error: ApiError) -> Refused {
        match error {
            ApiError::Validation(invalid) => invalid.into_iter().map(|i| (i.parameter, i.reason)).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn parse(query: &str) -> Result<Selection, Refused> {
        Everything::parse(query).map(|Everything(selection, ..)| selection).map_err(refused)
    }

    fn range(query: &str) -> Result<RangeRequest, Refused> {
        parse(query).map(|selection| selection.range)
    }

    fn error<T>(name: &str, reason: &'static str) -> Result<T, Refused> {
        Err(vec![(name.to_owned(), reason)])
    }

    #[test]
    fn a_malformed_or_too_long_lookback_is_refused() {
        assert_eq!(range("last=P12W"), Ok(RangeRequest::Lookback(Lookback::Weeks(12))));
        assert_eq!(range("last=P9999Y"), error("last", "range_too_large"));
        assert_eq!(range("last=P1Q"), error("last", "invalid"));
    }

    #[test]
    fn a_week_must_exist() {
        assert_eq!(range("week=2026-W53"), Ok(RangeRequest::Week("2026-12-28".parse().expect("a date"))));
        for text in ["2026-W54", "2025-W53", "2026-W00", "2026-W1", "2026W01", "26-W01", "2026-W+1", "1969-W10", ""] {
            assert_eq!(range(&format!("week={text}")), error("week", "invalid"), "{text}");
        }
    }

    #[test]
    fn two_ways_to_set_the_range_conflict() {
        assert_eq!(range("last=P1W&from=2026-01-01"), error("last", "exclusive"));
        assert_eq!(range("week=2026-W01&to=2026-01-01"), error("week", "exclusive"));
    }

    #[test]
    fn unknown_and_repeated_parameters_are_reported() {
        assert_eq!(parse("form=2026-01-01"), error("form", "unknown"));
        assert_eq!(parse("From=2026-01-01"), error("From", "unknown"));
        assert_eq!(parse("from=2026-01-01&from=2026-01-02"), error("from", "repeated"));
        assert_eq!(parse("%0d%0aSet-Cookie=x"), error("Set-Cookie", "unknown"));
    }

    #[test]
    fn all_invalid_parameters_are_reported_together() {
        let invalid = |name: &str| (name.to_owned(), "invalid");
        assert_eq!(
            parse("from=2026-13-01&to=yesterday&tz=Foo/Bar&interval=fortnight&limit=0&weighting=half&format=xml"),
            Err(["tz", "from", "to", "interval", "weighting", "format", "limit"].map(invalid).to_vec())
        );
        for date in ["", "2026-1-5", "0202-01-01", "2026-02-30", "20260105", "2026-01-05T00:00:00Z", "+2026-01-5"] {
            assert_eq!(parse(&format!("from={date}")), error("from", "invalid"), "{date}");
        }
        for limit in ["0", "-1", "10001", "abc", "1e2", "01", "+5", ""] {
            assert_eq!(parse(&format!("limit={limit}")), error("limit", "invalid"), "{limit}");
        }
    }

    #[test]
    fn at_most_fifty_repositories_are_accepted() {
        let names = |query: &str| parse(query).map(|selection| selection.repositories.len());
        assert_eq!(names("repo=acme/api,Acme/API,acme/web"), Ok(2));
        for wrong in ["acme", "acme/api,", "acme/api%0d%0aX-Evil:1", "https://github.com/acme/api", "acme/*", ""] {
            assert_eq!(names(&format!("repo={wrong}")), error("repo", "invalid"), "{wrong}");
        }
        let many: Vec<String> = (0..5_000).map(|n| format!("a/r{n}")).collect();
        assert_eq!(names(&format!("repo={}", many.join(","))), error("repo", "too_many"));
    }

    #[test]
    fn a_branch_has_no_control_characters() {
        let base = |query: &str| parse(query).map(|selection| selection.base);
        assert_eq!(base("base=release/1.0"), Ok(Some("release/1.0".to_owned())));
        for wrong in ["", "a%0d%0ab", "a%00", "%ff", &"x".repeat(256)] {
            assert_eq!(base(&format!("base={wrong}")), error("base", "invalid"), "{wrong}");
        }
    }

    #[test]
    fn a_team_is_a_positive_number_or_a_slug() {
        assert_eq!(team_selector("7").expect("a number"), TeamSelector::Id(TeamId(7)));
        assert!(matches!(team_selector("payments"), Ok(TeamSelector::Slug(_))));
        for text in ["0", "007", "-1", "9223372036854775808", "1;DROP TABLE x", "\0", "../x", "", "-", "Payments"] {
            assert!(matches!(team_selector(text), Err(ApiError::Validation(_))), "{text:?}");
        }
    }
}
