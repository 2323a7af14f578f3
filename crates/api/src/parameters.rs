//! Strict reading of paths and query strings. What is read here is what the OpenAPI document says.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc, Weekday};
use chrono_tz::Tz;
use mergeline_domain::{RepoName, TeamId, monday_of, parse_zone, start_of_day};
use mergeline_store::{Interval, TeamRef};
use serde_json::{Value, json};

use crate::error::{ApiError, Detail};
use crate::negotiation::Format;

/// Ten years and a bit: more than any team has.
const MAX_DAYS: i64 = 3_700;
/// The most days, weeks, months and years that never are more.
const MAX_LAST: [u32; 4] = [3_700, 528, 121, 10];
/// More buckets than this are nobody's chart, and Lambda's answers end at 6 MB.
const MAX_BUCKETS: i64 = 1_100;
/// Dates before and after these are mistakes.
const YEARS: std::ops::Range<i32> = 1970..2200;
/// More repositories than this are a team's own, without a filter.
const MAX_REPOSITORIES: usize = 50;
/// GitHub allows branch names of 255 bytes; characters are what a schema can count.
const MAX_BRANCH: usize = 255;
/// The most pull requests on a page.
const MAX_LIMIT: u32 = 1_000;

/// A parameter of the query string, as the OpenAPI document describes it.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) schema: fn() -> Value,
}

/// `owner/name`, where the name is not `.` or `..`, and ends with no `.git`. Without looking ahead, which not every program that
/// reads the document can: a name that ends with something else than `.git` does so in one of its last four characters.
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

/// A day of [`YEARS`].
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
    description: "The first day after the range; the day after today when left out.",
    schema: || day("2026-07-01"),
};
pub(crate) const SUMMARY_FROM: Parameter = Parameter {
    description: "The first day of the range, in the time zone `tz`; four weeks before `to` when left out.",
    ..FROM
};
pub(crate) const SUMMARY_TO: Parameter = Parameter {
    description: "The first day after the range. When left out: the day after today with `from`, this week's Monday without.",
    ..TO
};
pub(crate) const LAST: Parameter = Parameter {
    name: "last",
    description: "Instead of `from` and `to`: so many days, weeks, months or years up to now, the running one included.",
    schema: || {
        json!({
            "type": "string",
            // As many as MAX_LAST has of each.
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
pub(crate) const TZ: Parameter = Parameter {
    name: "tz",
    description: "An IANA time zone; the teams file's when left out, as it must be where that sets privacy.min_group_size.",
    schema: || {
        let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let names: Vec<&str> = names.filter(|name| parse_zone(name).is_some()).collect();
        json!({ "type": "string", "enum": names, "examples": ["Europe/Oslo"] })
    },
};
pub(crate) const INTERVAL: Parameter = Parameter {
    name: "interval",
    description: "The calendar unit of a bucket. Not where the teams file sets privacy.min_group_size, except week.",
    schema: || json!({ "type": "string", "enum": ["day", "week", "month", "quarter"] }),
};
pub(crate) const REPO: Parameter = Parameter {
    name: "repo",
    description: "Only pull requests of these repositories, separated by commas. Not where the teams file sets privacy.min_group_size.",
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
    description: "Only pull requests into this branch. Not where the teams file sets privacy.min_group_size.",
    schema: || {
        json!({
            "type": "string", "minLength": 1, "maxLength": MAX_BRANCH,
            "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f\\ufffd]+$", "examples": ["main"]
        })
    },
};
pub(crate) const WEIGHTING: Parameter = Parameter {
    name: "weighting",
    description: "`allocated` counts a pull request with its author's share in the team, `full` with 1. Not `full` where the teams \
                  file sets privacy.min_group_size.",
    schema: || json!({ "type": "string", "enum": ["allocated", "full"], "default": "allocated" }),
};
pub(crate) const FORMAT: Parameter = Parameter {
    name: "format",
    description: "The form of the answer, whatever `Accept` says.",
    schema: || json!({ "type": "string", "enum": ["json", "csv"] }),
};
pub(crate) const BOM: Parameter = Parameter {
    name: "bom",
    description: "With CSV: `1` begins the table with a byte order mark, by which Excel reads umlauts right.",
    schema: || json!({ "type": "string", "enum": ["0", "1"], "default": "0" }),
};
pub(crate) const LIMIT: Parameter = Parameter {
    name: "limit",
    description: "At most so many rows.",
    schema: || json!({ "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 100 }),
};
pub(crate) const CURSOR: Parameter = Parameter {
    name: "cursor",
    description: "The `meta.next_cursor` of the page before, with the same other parameters.",
    schema: || json!({ "type": "string", "pattern": "^[0-9a-f]{56}$" }),
};

/// What [`team_ref`] takes: a number, or a slug, which has a letter.
pub(crate) fn team_schema() -> Value {
    json!({
        "type": "string", "maxLength": 63,
        "pattern": "^([1-9][0-9]{0,17}|([0-9][0-9-]*)?[a-z]([a-z0-9-]*[a-z0-9])?)$",
        "examples": ["payments"]
    })
}

/// All of them: what is tried with any query string.
pub(crate) const ALL: [&Parameter; 13] =
    [&FROM, &TO, &LAST, &WEEK, &TZ, &INTERVAL, &REPO, &BASE, &WEIGHTING, &FORMAT, &BOM, &LIMIT, &CURSOR];

/// The number or the slug of a team in a path.
pub(crate) fn team_ref(text: &str) -> Result<TeamRef, ApiError> {
    let refuse = |message: String| Err(ApiError::parameter("team_id", "invalid", message));
    if text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        return match text.parse() {
            // One spelling for each team.
            Ok(id) if id > 0 && !text.starts_with('0') => Ok(TeamRef::Id(TeamId(id))),
            _ => refuse("the number of a team is a positive 64-bit integer without leading zeros".to_owned()),
        };
    }
    match text.parse() {
        Ok(slug) => Ok(TeamRef::Slug(slug)),
        Err(_) => refuse("write the team's number or its slug".to_owned()),
    }
}

/// So many calendar units up to now, the running one included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Days(u32),
    Weeks(u32),
    Months(u32),
    Years(u32),
}

/// Which days are asked for, before it is known what day it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Span {
    Days { from: Option<NaiveDate>, to: Option<NaiveDate> },
    Last(Last),
    Week(NaiveDate),
}

/// What a query string asks for, each part read and none resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    span: Span,
    zone: Option<Tz>,
    pub(crate) interval: Option<Interval>,
    pub(crate) repositories: Vec<RepoName>,
    pub(crate) base: Option<String>,
    pub(crate) counts_fully: bool,
    pub(crate) format: Option<Format>,
    /// Whether a table begins with a byte order mark.
    pub(crate) has_bom: bool,
    pub(crate) limit: u32,
    pub(crate) cursor: Option<String>,
}

impl Query {
    /// Reads the parameters that are known here and refuses all others, naming every one that cannot be used.
    pub(crate) fn parse(query: &str, known: &[&Parameter]) -> Result<Self, ApiError> {
        let names: Vec<&str> = known.iter().map(|parameter| parameter.name).collect();
        let mut reader = Reader { details: Vec::new(), pairs: Vec::new() };
        reader.read(query, &names);
        let zone = reader.take("tz", zone);
        let from = reader.take("from", date);
        let to = reader.take("to", date);
        let last = reader.take("last", last);
        let week = reader.take("week", week);
        let interval = reader.take("interval", interval);
        let repositories = reader.take("repo", repositories).unwrap_or_default();
        let base = reader.take("base", base);
        let weighting = reader.take("weighting", |text| one_of(text, &[("allocated", false), ("full", true)]));
        let format = reader.take("format", |text| one_of(text, &[("json", Format::Json), ("csv", Format::Csv)]));
        let bom = reader.take("bom", |text| one_of(text, &[("0", false), ("1", true)]));
        let limit = reader.take("limit", limit);
        let cursor = reader.take("cursor", |text| Ok(text.to_owned()));
        reader.exclude("last", &["from", "to", "week"]);
        reader.exclude("week", &["from", "to"]);
        if !reader.details.is_empty() {
            return Err(ApiError::Validation(reader.details));
        }
        let span = match (last, week) {
            (Some(last), _) => Span::Last(last),
            (None, Some(monday)) => Span::Week(monday),
            (None, None) => Span::Days { from, to },
        };
        Ok(Self {
            span,
            zone,
            interval,
            repositories,
            base,
            counts_fully: weighting.unwrap_or_default(),
            format,
            has_bom: bom.unwrap_or_default(),
            limit: limit.unwrap_or(100),
            cursor,
        })
    }

    /// Whether a time zone was asked for.
    pub(crate) fn names_a_zone(&self) -> bool {
        self.zone.is_some()
    }

    /// The days that are meant, now that the configured zone and the time are known. What is left out covers what
    /// `otherwise` says.
    pub(crate) fn range(
        &self,
        configured_zone: Tz,
        now: DateTime<Utc>,
        otherwise: Otherwise,
    ) -> Result<Range, ApiError> {
        let zone = self.zone.unwrap_or(configured_zone);
        let today = now.with_timezone(&zone).date_naive();
        let tomorrow = today + Days::new(1);
        let (from, to) = match self.span {
            Span::Days { from, to } => {
                // Whoever says where it begins means up to now.
                let end = to.unwrap_or_else(|| if from.is_some() { tomorrow } else { otherwise.end(today) });
                (from.unwrap_or_else(|| otherwise.start(end)), end)
            }
            Span::Last(last) => (last.start(today), tomorrow),
            Span::Week(monday) => (monday, monday + Days::new(7)),
        };
        if from >= to {
            let message = format!("{from} is not before {to} (`to` is the first day after the range)");
            return Err(ApiError::parameter("from", "empty_range", message));
        }
        if (to - from).num_days() > MAX_DAYS {
            let name = if matches!(self.span, Span::Last(_)) { "last" } else { "from" };
            let message = format!("{from} to {to} is more than {MAX_DAYS} days");
            return Err(ApiError::parameter(name, "range_too_large", message));
        }
        if self.interval == Some(Interval::Day) && (to - from).num_days() > MAX_BUCKETS {
            let message = format!("{from} to {to} is more than {MAX_BUCKETS} days; take a larger interval");
            return Err(ApiError::parameter("interval", "range_too_large", message));
        }
        Ok(Range { from, to, zone })
    }

    /// The weeks that are meant, where small groups are hidden. Any other question could be asked once with somebody and once
    /// without, and the difference would be that person's numbers: so there are whole ISO weeks of the file's time zone, and
    /// no filters.
    pub(crate) fn whole_weeks(
        &self,
        configured_zone: Tz,
        now: DateTime<Utc>,
        otherwise: Otherwise,
    ) -> Result<Range, ApiError> {
        let mut details = Vec::new();
        let mut refuse = |name: &str, what: &str| {
            let message = format!("{what}: the teams file sets privacy.min_group_size");
            details.push(Detail { parameter: name.to_owned(), reason: "min_group_size", message });
        };
        let is_week = matches!(self.interval, None | Some(Interval::Week));
        for (name, is_given, what) in [
            ("tz", self.zone.is_some(), "leave it out"),
            ("repo", !self.repositories.is_empty(), "leave it out"),
            ("base", self.base.is_some(), "leave it out"),
            ("interval", !is_week, "write week, or leave it out"),
            // Of one week, the difference of the two weightings would be the numbers of those who are only partly in the team.
            ("weighting", self.counts_fully, "write allocated, or leave it out"),
        ] {
            if is_given {
                refuse(name, what);
            }
        }
        match self.span {
            Span::Days { from, to } => {
                for (name, day) in [("from", from), ("to", to)] {
                    if let Some(day) = day.filter(|day| *day != monday_of(*day)) {
                        refuse(name, &format!("write a Monday, {} or {}", monday_of(day), next_monday(day)));
                    }
                }
            }
            Span::Last(Last::Days(_) | Last::Months(_) | Last::Years(_)) => {
                refuse("last", "write weeks, P4W for example");
            }
            Span::Last(Last::Weeks(_)) | Span::Week(_) => {}
        }
        if !details.is_empty() {
            return Err(ApiError::Validation(details));
        }
        let Range { from, to, zone } = self.range(configured_zone, now, otherwise)?;
        Ok(Range { from: monday_of(from), to: next_monday(to), zone })
    }
}

/// The day itself, if it is a Monday.
fn next_monday(day: NaiveDate) -> NaiveDate {
    if day == monday_of(day) { day } else { monday_of(day) + Days::new(7) }
}

/// What a range covers when the query does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// So many units up to the end of today, the running one included.
    UpToNow { interval: Interval, count: u32 },
    /// So many weeks that are over.
    WeeksThatAreOver(u32),
}

impl Otherwise {
    fn end(self, today: NaiveDate) -> NaiveDate {
        match self {
            Self::UpToNow { .. } => today + Days::new(1),
            Self::WeeksThatAreOver(_) => monday_of(today),
        }
    }

    fn start(self, end: NaiveDate) -> NaiveDate {
        let last_day = end - Days::new(1);
        match self {
            Self::UpToNow { interval: Interval::Day, count } => Last::Days(count).start(last_day),
            Self::UpToNow { interval: Interval::Week, count } | Self::WeeksThatAreOver(count) => {
                Last::Weeks(count).start(last_day)
            }
            Self::UpToNow { interval: Interval::Month, count } => Last::Months(count).start(last_day),
            Self::UpToNow { interval: Interval::Quarter, count } => {
                let month = last_day.month0() % 3;
                Last::Months(3 * (count - 1) + month + 1).start(last_day)
            }
        }
    }
}

impl Last {
    /// The first day of the oldest unit, when `last_day` lies in the newest.
    fn start(self, last_day: NaiveDate) -> NaiveDate {
        let first_of_month = last_day.with_day(1).unwrap_or(last_day);
        let earlier = match self {
            Self::Days(n) => last_day.checked_sub_days(Days::new(u64::from(n) - 1)),
            Self::Weeks(n) => monday_of(last_day).checked_sub_days(Days::new(7 * (u64::from(n) - 1))),
            Self::Months(n) => first_of_month.checked_sub_months(Months::new(n - 1)),
            Self::Years(n) => first_of_month.checked_sub_months(Months::new(12 * (n - 1) + first_of_month.month0())),
        };
        earlier.unwrap_or(NaiveDate::MIN)
    }
}

/// A half-open range of days in a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from: NaiveDate,
    pub(crate) to: NaiveDate,
    pub(crate) zone: Tz,
}

impl Range {
    pub(crate) fn start(&self) -> DateTime<Utc> {
        start_of_day(self.from, self.zone)
    }

    pub(crate) fn end(&self) -> DateTime<Utc> {
        start_of_day(self.to, self.zone)
    }

    /// As many days, just before.
    pub(crate) fn before(&self) -> Self {
        Self { from: self.from - (self.to - self.from), to: self.from, zone: self.zone }
    }
}

/// Why a value cannot be used: a stable word and a sentence.
type Refusal = (&'static str, String);

/// Reads pairs and remembers what is wrong with them.
struct Reader {
    pairs: Vec<(String, String)>,
    details: Vec<Detail>,
}

impl Reader {
    fn read(&mut self, query: &str, known: &[&str]) {
        /// Longer than any name that is meant.
        const SHOWN: usize = 40;
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
            if !known.contains(&&*name) {
                let near = known.iter().find(|known| are_near(known, &name));
                let message = match near {
                    Some(near) => format!("unknown; did you mean `{near}`?"),
                    None if known.is_empty() => "unknown; this path takes no parameters".to_owned(),
                    None => format!("unknown; known here: {}", known.join(", ")),
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
        self.details.push(Detail { parameter: name.to_owned(), reason, message });
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

/// Whether one is a misspelling of the other: the same letters in another order, or another case.
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
    parse_zone(text).map_or_else(|| invalid("write a name of the IANA database, Europe/Oslo for example"), Ok)
}

fn date(text: &str) -> Result<NaiveDate, Refusal> {
    // Only the full form: `2026-1-5` would parse as well.
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

fn last(text: &str) -> Result<Last, Refusal> {
    let read = || {
        let body = text.strip_prefix('P')?;
        let number = body.get(..body.len().checked_sub(1)?)?;
        let is_plain = !number.starts_with('0') && number.len() <= 4 && number.bytes().all(|b| b.is_ascii_digit());
        let count = number.parse().ok().filter(|_| is_plain)?;
        match body.bytes().last()? {
            b'D' => Some(Last::Days(count)),
            b'W' => Some(Last::Weeks(count)),
            b'M' => Some(Last::Months(count)),
            b'Y' => Some(Last::Years(count)),
            _ => None,
        }
    };
    let Some(last) = read() else { return invalid("write P30D, P12W, P6M or P1Y for example") };
    let [days, weeks, months, years] = MAX_LAST;
    let is_too_large = match last {
        Last::Days(n) => n > days,
        Last::Weeks(n) => n > weeks,
        Last::Months(n) => n > months,
        Last::Years(n) => n > years,
    };
    if is_too_large {
        return Err(("range_too_large", format!("at most P{days}D, P{weeks}W, P{months}M or P{years}Y")));
    }
    Ok(last)
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
    read().map_or_else(|| invalid("write an ISO week that exists, 2026-W23 for example"), Ok)
}

fn interval(text: &str) -> Result<Interval, Refusal> {
    let all = [Interval::Day, Interval::Week, Interval::Month, Interval::Quarter];
    one_of(text, &all.map(|interval| (interval.as_str(), interval)))
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
        return Err(("too_many", format!("{} repositories are more than {MAX_REPOSITORIES}", parts.len())));
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
    let is_usable = !text.is_empty()
        && text.chars().count() <= MAX_BRANCH
        && !text.chars().any(|c| c.is_control() || c == '\u{fffd}');
    if is_usable {
        Ok(text.to_owned())
    } else {
        invalid(format!("write the name of a branch, {MAX_BRANCH} characters at most"))
    }
}

fn limit(text: &str) -> Result<u32, Refusal> {
    let is_plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    let limit = text.parse().ok().filter(|limit| is_plain && (1..=MAX_LIMIT).contains(limit));
    limit.map_or_else(|| invalid(format!("a whole number from 1 to {MAX_LIMIT}")), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEKS: Otherwise = Otherwise::UpToNow { interval: Interval::Week, count: 12 };
    const MONTHS: Otherwise = Otherwise::UpToNow { interval: Interval::Month, count: 6 };

    type Refused = Vec<(String, &'static str)>;

    fn refused(error: ApiError) -> Refused {
        match error {
            ApiError::Validation(details) => details.into_iter().map(|d| (d.parameter, d.reason)).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn range(query: &str, otherwise: Otherwise) -> Days {
        let now = "2026-06-17T23:30:00Z".parse().expect("an instant");
        let parsed = Query::parse(query, &ALL).map_err(refused)?;
        let range = parsed.range(chrono_tz::Europe::Oslo, now, otherwise).map_err(refused)?;
        Ok((range.from.to_string(), range.to.to_string()))
    }

    fn weeks(query: &str) -> Days {
        range(query, WEEKS)
    }

    type Days = Result<(String, String), Refused>;

    #[expect(clippy::unnecessary_wraps, reason = "beside `error`")]
    fn days(from: &str, to: &str) -> Days {
        Ok((from.to_owned(), to.to_owned()))
    }

    fn error(name: &str, reason: &'static str) -> Days {
        Err(vec![(name.to_owned(), reason)])
    }

    #[test]
    fn what_is_left_out_covers_whole_units_with_today() {
        // Half past eleven at night in UTC is the next day in Oslo.
        assert_eq!(weeks(""), days("2026-03-30", "2026-06-19"));
        assert_eq!(weeks("tz=UTC"), days("2026-03-30", "2026-06-18"));
        assert_eq!(range("", MONTHS), days("2026-01-01", "2026-06-19"));
        assert_eq!(weeks("to=2026-01-05"), days("2025-10-13", "2026-01-05"));
        assert_eq!(range("", Otherwise::WeeksThatAreOver(4)), days("2026-05-18", "2026-06-15"));
        let quarters = |count| Otherwise::UpToNow { interval: Interval::Quarter, count };
        assert_eq!(range("", quarters(1)), days("2026-04-01", "2026-06-19"));
        assert_eq!(range("", quarters(4)), days("2025-07-01", "2026-06-19"));
    }

    #[test]
    fn the_last_units_end_with_the_running_one() {
        assert_eq!(weeks("last=P1D"), days("2026-06-18", "2026-06-19"));
        assert_eq!(weeks("last=P12W"), weeks(""));
        assert_eq!(weeks("last=P6M"), range("", MONTHS));
        assert_eq!(weeks("last=P1Y"), days("2026-01-01", "2026-06-19"));
        assert_eq!(weeks("last=P2Y"), days("2025-01-01", "2026-06-19"));
        assert_eq!(weeks("last=P9999Y"), error("last", "range_too_large"));
        for text in ["P0W", "P01W", "12W", "P12", "P", "PW", "P12w", "P-1W", "P1.5W", "P12345D", "P1Q", "P1W ", "P٣W"]
        {
            assert_eq!(weeks(&format!("last={text}")), error("last", "invalid"), "{text}");
        }
    }

    #[test]
    fn a_week_is_one_that_exists() {
        assert_eq!(weeks("week=2026-W53"), days("2026-12-28", "2027-01-04"));
        for text in ["2026-W54", "2025-W53", "2026-W00", "2026-W1", "2026W01", "26-W01", "2026-W+1", "1969-W10", ""] {
            assert_eq!(weeks(&format!("week={text}")), error("week", "invalid"), "{text}");
        }
    }

    #[test]
    fn two_ways_to_say_the_range_exclude_each_other() {
        assert_eq!(weeks("last=P1W&from=2026-01-01"), error("last", "exclusive"));
        assert_eq!(weeks("week=2026-W01&to=2026-01-01"), error("week", "exclusive"));
    }

    #[test]
    fn unknown_and_repeated_parameters_are_named() {
        assert_eq!(weeks("form=2026-01-01"), error("form", "unknown"));
        assert_eq!(weeks("From=2026-01-01"), error("From", "unknown"));
        assert_eq!(weeks("from=2026-01-01&from=2026-01-02"), error("from", "repeated"));
        assert_eq!(weeks("%0d%0aSet-Cookie=x"), error("Set-Cookie", "unknown"));
    }

    #[test]
    fn all_unusable_parameters_are_named_at_once() {
        let invalid = |name: &str| (name.to_owned(), "invalid");
        assert_eq!(
            weeks("from=2026-13-01&to=yesterday&tz=Foo/Bar&interval=fortnight&limit=0&weighting=half&format=xml"),
            Err(["tz", "from", "to", "interval", "weighting", "format", "limit"].map(invalid).to_vec())
        );
        for date in ["", "2026-1-5", "0202-01-01", "2026-02-30", "20260105", "2026-01-05T00:00:00Z", "+2026-01-5"] {
            assert_eq!(weeks(&format!("from={date}")), error("from", "invalid"), "{date}");
        }
        for limit in ["0", "-1", "10001", "abc", "1e2", "01", "+5", ""] {
            assert_eq!(weeks(&format!("limit={limit}")), error("limit", "invalid"), "{limit}");
        }
    }

    #[test]
    fn a_range_is_not_empty_and_not_fifty_years() {
        assert_eq!(weeks("from=2026-01-01&to=2026-01-01"), error("from", "empty_range"));
        assert_eq!(weeks("from=1976-01-01&to=2026-01-01"), error("from", "range_too_large"));
        assert_eq!(weeks("from=2020-01-01&interval=day"), error("interval", "range_too_large"));
    }

    #[test]
    fn repositories_are_a_list_of_fifty_at_most() {
        let names = |query: &str| Query::parse(query, &ALL).map(|query| query.repositories.len()).map_err(refused);
        assert_eq!(names("repo=acme/api,Acme/API,acme/web"), Ok(2));
        for wrong in ["acme", "acme/api,", "acme/api%0d%0aX-Evil:1", "https://github.com/acme/api", "acme/*", ""] {
            assert_eq!(names(&format!("repo={wrong}")), Err(vec![("repo".to_owned(), "invalid")]), "{wrong}");
        }
        let many: Vec<String> = (0..5_000).map(|n| format!("a/r{n}")).collect();
        assert_eq!(names(&format!("repo={}", many.join(","))), Err(vec![("repo".to_owned(), "too_many")]));
    }

    #[test]
    fn a_branch_has_no_control_characters() {
        let base = |query: &str| Query::parse(query, &ALL).map(|query| query.base).map_err(refused);
        assert_eq!(base("base=release/1.0"), Ok(Some("release/1.0".to_owned())));
        for wrong in ["", "a%0d%0ab", "a%00", "%ff", &"x".repeat(256)] {
            assert_eq!(base(&format!("base={wrong}")), Err(vec![("base".to_owned(), "invalid")]), "{wrong}");
        }
    }

    #[test]
    fn a_team_is_a_positive_number_or_a_slug() {
        assert_eq!(team_ref("7").expect("a number"), TeamRef::Id(TeamId(7)));
        assert!(matches!(team_ref("payments"), Ok(TeamRef::Slug(_))));
        for text in ["0", "007", "-1", "9223372036854775808", "1;DROP TABLE x", "\0", "../x", "", "-", "Payments"] {
            assert!(matches!(team_ref(text), Err(ApiError::Validation(_))), "{text:?}");
        }
    }
}
