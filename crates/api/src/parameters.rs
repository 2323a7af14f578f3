//! Strict reading of paths and query strings.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use chrono_tz::Tz;
use mergeline_domain::{TeamId, monday_of, parse_zone, start_of_day};
use mergeline_store::{Interval, TeamRef};

use crate::error::{ApiError, Detail};

/// Ten years and a bit: more than any team has.
const MAX_DAYS: i64 = 3_700;
/// What a velocity answer covers by default, the running week included.
const DEFAULT_WEEKS: u64 = 12;
/// What a lead-time answer covers by default, the running month included.
const DEFAULT_MONTHS: u32 = 6;
/// Dates before and after these are mistakes.
const YEARS: std::ops::Range<i32> = 1970..2200;

/// The number or the slug of a team in a path.
pub(crate) fn team_ref(text: &str) -> Result<TeamRef, ApiError> {
    let refuse = |message: String| Err(ApiError::parameter("team_id", "invalid", message));
    if text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        return match text.parse() {
            Ok(id) if id > 0 => Ok(TeamRef::Id(TeamId(id))),
            _ => refuse("the number of a team is a positive 64-bit integer".to_owned()),
        };
    }
    match text.parse() {
        Ok(slug) => Ok(TeamRef::Slug(slug)),
        Err(_) => refuse("write the team's number or its slug".to_owned()),
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

    /// Reads `from`, `to` and `tz`, and nothing else. What is left out covers the last weeks or months up to and
    /// with today.
    pub(crate) fn parse(
        query: &str,
        interval: Interval,
        configured_zone: Tz,
        now: DateTime<Utc>,
    ) -> Result<Self, ApiError> {
        let mut details = Vec::new();
        let parameters = Parameters::parse(query, &["from", "to", "tz"], &mut details);
        let zone = parameters.get("tz").map_or(Some(configured_zone), |text| zone(text, &mut details));
        let from = parameters.get("from").map(|text| date("from", text, &mut details));
        let to = parameters.get("to").map(|text| date("to", text, &mut details));
        let (Some(zone), true) = (zone, details.is_empty()) else { return Err(ApiError::Validation(details)) };
        let today = now.with_timezone(&zone).date_naive();
        let to = to.flatten().unwrap_or(today + Days::new(1));
        let from = from.flatten().unwrap_or_else(|| default_start(to, interval));
        if from >= to {
            return Err(ApiError::parameter(
                "from",
                "empty_range",
                format!("{from} is not before {to} (`to` is the first day after the range)"),
            ));
        }
        if (to - from).num_days() > MAX_DAYS {
            return Err(ApiError::parameter(
                "from",
                "range_too_large",
                format!("{from} to {to} is more than {MAX_DAYS} days"),
            ));
        }
        Ok(Self { from, to, zone })
    }
}

/// The start of the bucket so many buckets before the one that holds the last day.
fn default_start(to: NaiveDate, interval: Interval) -> NaiveDate {
    let last = to - Days::new(1);
    match interval {
        Interval::Week => monday_of(last) - Days::new(7 * (DEFAULT_WEEKS - 1)),
        Interval::Month => last.with_day(1).unwrap_or(last) - Months::new(DEFAULT_MONTHS - 1),
    }
}

fn zone(text: &str, details: &mut Vec<Detail>) -> Option<Tz> {
    let zone = parse_zone(text);
    if zone.is_none() {
        let message = "write a name of the IANA database, Europe/Oslo for example".to_owned();
        details.push(Detail { parameter: "tz".to_owned(), reason: "invalid", message });
    }
    zone
}

fn date(parameter: &'static str, text: &str, details: &mut Vec<Detail>) -> Option<NaiveDate> {
    // Only the full form: `2026-1-5` would parse as well.
    let date = text.parse().ok().filter(|date: &NaiveDate| date.to_string() == text && YEARS.contains(&date.year()));
    if date.is_none() {
        let message = format!("write a day between {} and {} as 2026-01-05", YEARS.start, YEARS.end);
        details.push(Detail { parameter: parameter.to_owned(), reason: "invalid", message });
    }
    date
}

/// The parameters of a query string, each known and given once.
struct Parameters {
    pairs: Vec<(String, String)>,
}

impl Parameters {
    fn parse(query: &str, known: &[&str], details: &mut Vec<Detail>) -> Self {
        /// Longer than any name or value that is meant.
        const SHOWN: usize = 40;
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
            let mut refuse = |reason, message| details.push(Detail { parameter: shown.clone(), reason, message });
            if !known.contains(&&*name) {
                let near = known.iter().find(|known| are_near(known, &name));
                let message = match near {
                    Some(near) => format!("unknown; did you mean `{near}`?"),
                    None if known.is_empty() => "unknown; this path takes no parameters".to_owned(),
                    None => format!("unknown; known here: {}", known.join(", ")),
                };
                refuse("unknown", message);
            } else if pairs.iter().any(|(seen, _)| *seen == name) {
                refuse("repeated", "given more than once".to_owned());
            } else {
                pairs.push((name.into_owned(), value.into_owned()));
            }
        }
        Self { pairs }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
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

/// Refuses every parameter, for paths that take none.
pub(crate) fn no_parameters(query: &str) -> Result<(), ApiError> {
    let mut details = Vec::new();
    Parameters::parse(query, &[], &mut details);
    if details.is_empty() { Ok(()) } else { Err(ApiError::Validation(details)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-06-17T23:30:00Z".parse().expect("an instant")
    }

    fn range(query: &str, interval: Interval) -> Result<(String, String), Vec<(String, &'static str)>> {
        match Range::parse(query, interval, chrono_tz::Europe::Oslo, now()) {
            Ok(range) => Ok((range.from.to_string(), range.to.to_string())),
            Err(ApiError::Validation(details)) => Err(details.into_iter().map(|d| (d.parameter, d.reason)).collect()),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn week(query: &str) -> Result<(String, String), Vec<(String, &'static str)>> {
        range(query, Interval::Week)
    }

    #[test]
    fn what_is_left_out_covers_twelve_weeks_or_six_months_with_today() {
        let days = |from: &str, to: &str| Ok((from.to_owned(), to.to_owned()));
        // Half past eleven at night in UTC is the next day in Oslo.
        assert_eq!(week(""), days("2026-03-30", "2026-06-19"));
        assert_eq!(week("tz=UTC"), days("2026-03-30", "2026-06-18"));
        assert_eq!(range("", Interval::Month), days("2026-01-01", "2026-06-19"));
        assert_eq!(week("to=2026-01-05"), days("2025-10-13", "2026-01-05"));
    }

    #[test]
    fn unknown_and_repeated_parameters_are_named() {
        assert_eq!(week("form=2026-01-01"), Err(vec![("form".to_owned(), "unknown")]));
        assert_eq!(week("From=2026-01-01"), Err(vec![("From".to_owned(), "unknown")]));
        assert_eq!(week("from=2026-01-01&from=2026-01-02"), Err(vec![("from".to_owned(), "repeated")]));
        assert_eq!(week("%0d%0aSet-Cookie=x"), Err(vec![("Set-Cookie".to_owned(), "unknown")]));
    }

    #[test]
    fn all_unusable_parameters_are_named_at_once() {
        let invalid = |name: &str| (name.to_owned(), "invalid");
        assert_eq!(
            week("from=2026-13-01&to=yesterday&tz=Foo/Bar"),
            Err(vec![invalid("tz"), invalid("from"), invalid("to")])
        );
        for date in ["", "2026-1-5", "0202-01-01", "2026-02-30", "20260105", "2026-01-05T00:00:00Z", "+2026-01-5"] {
            assert_eq!(week(&format!("from={date}")), Err(vec![invalid("from")]), "{date}");
        }
    }

    #[test]
    fn a_range_is_not_empty_and_not_fifty_years() {
        assert_eq!(week("from=2026-01-01&to=2026-01-01"), Err(vec![("from".to_owned(), "empty_range")]));
        assert_eq!(week("from=1976-01-01&to=2026-01-01"), Err(vec![("from".to_owned(), "range_too_large")]));
    }

    #[test]
    fn a_team_is_a_positive_number_or_a_slug() {
        assert_eq!(team_ref("7").expect("a number"), TeamRef::Id(TeamId(7)));
        assert!(matches!(team_ref("payments"), Ok(TeamRef::Slug(_))));
        for text in ["0", "-1", "9223372036854775808", "1;DROP TABLE x", "\0", "../x", "", "-", "Payments"] {
            assert!(matches!(team_ref(text), Err(ApiError::Validation(_))), "{text:?}");
        }
    }
}
