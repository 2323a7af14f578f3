//! Percentiles over public repositories, to stand beside a team's own, and a team's own rounded so far that they may be given away.

use std::fmt::Write as _;

use chrono::{DateTime, Days, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Sample, Weight, monday_of, weighted_percentile};

/// The committed table. It is made by the example `benchmarks` of `mergeline-fake-github`.
const PUBLIC: &str = include_str!("public.json");
/// How many weeks of a repository are measured.
pub const WEEKS_MEASURED: u64 = 156;
const SECONDS_OF_HOUR: f64 = 3_600.0;

/// Percentiles over public repositories, as of a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Benchmark {
    /// How it is called.
    pub name: String,
    /// How it was made, and what it is not.
    pub method: String,
    /// One row for each repository.
    pub repositories: Vec<BenchmarkRow>,
}

/// A public repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BenchmarkRow {
    /// `owner/name`.
    pub repository: String,
    /// What is made in it.
    pub kind: String,
    /// How many pull requests are merged a week, as a class.
    pub size: SizeOfRepository,
    /// The first day, a Monday.
    pub from: NaiveDate,
    /// The first day after the range, a Monday.
    pub to: NaiveDate,
    /// How many pull requests of people were merged in the range.
    pub n: usize,
    /// The mean of the weeks.
    pub merged_a_week: f64,
    /// From opening to merge (`pr_cycle_time@1`); null if nothing was merged.
    pub cycle_time_hours: Option<HoursOfMany>,
}

/// How many pull requests are merged a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display)]
#[serde(rename_all = "snake_case")]
pub enum SizeOfRepository {
    /// Fewer than 3.
    #[strum(serialize = "below 3 a week")]
    Below3,
    /// From 3 to 10.
    #[strum(serialize = "3 to 10 a week")]
    From3To10,
    /// More than 10.
    #[strum(serialize = "above 10 a week")]
    Above10,
}

impl SizeOfRepository {
    fn of(merged_a_week: f64) -> Self {
        if merged_a_week < 3.0 {
            Self::Below3
        } else if merged_a_week <= 10.0 {
            Self::From3To10
        } else {
            Self::Above10
        }
    }
}

/// Percentiles in hours.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HoursOfMany {
    /// Half took at most this.
    pub p50: f64,
    /// Three of four.
    pub p75: f64,
    /// Nine of ten.
    pub p90: f64,
}

impl HoursOfMany {
    /// The same with so much left out that they may be given away: two digits.
    #[must_use]
    pub fn rounded(self) -> Self {
        Self { p50: two_digits(self.p50), p75: two_digits(self.p75), p90: two_digits(self.p90) }
    }
}

impl Benchmark {
    /// The table of public repositories that comes with the program.
    pub fn public() -> Self {
        let empty = Self { name: String::new(), method: String::new(), repositories: Vec::new() };
        serde_json::from_str(PUBLIC).unwrap_or(empty)
    }

    /// As rows of a table in Markdown.
    pub fn to_markdown(&self) -> String {
        let mut text =
            "| repository | kind | size | weeks | n | merged a week | half within | three of four | nine of ten |\n\
                        | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
                .to_owned();
        for row in &self.repositories {
            let BenchmarkRow { repository, kind, size, from, to, n, merged_a_week, cycle_time_hours } = row;
            let hours = |of: fn(&HoursOfMany) -> f64| {
                cycle_time_hours.as_ref().map_or_else(|| "-".to_owned(), |hours| format!("{:.1} h", of(hours)))
            };
            let [half, three, nine] = [hours(|it| it.p50), hours(|it| it.p75), hours(|it| it.p90)];
            let _ = writeln!(
                text,
                "| {repository} | {kind} | {size} | {from} to {to} | {n} | {merged_a_week:.1} | {half} | {three} | {nine} |"
            );
        }
        text
    }
}

impl BenchmarkRow {
    /// Measures the last whole weeks, in UTC, before a day, of pull requests of people that were opened and merged at these instants.
    /// None of what was opened after its merge has a duration.
    pub fn measured(
        repository: String,
        kind: &str,
        merged: &[(DateTime<Utc>, DateTime<Utc>)],
        before: NaiveDate,
    ) -> Self {
        let to = monday_of(before);
        let from = to - Days::new(7 * WEEKS_MEASURED);
        let merged: Vec<_> = merged.iter().filter(|(_, merged)| (from..to).contains(&merged.date_naive())).collect();
        let durations = (0_i64..).zip(&merged).filter(|(_, (opened, merged))| opened <= merged);
        let samples: Vec<Sample> = durations
            .map(|(id, (opened, merged))| Sample {
                seconds: (*merged - *opened).as_seconds_f64(),
                weight: Weight::FULL,
                id,
            })
            .collect();
        let hours = |fraction| {
            weighted_percentile(&samples, fraction).map(|seconds| (seconds / SECONDS_OF_HOUR * 10.0).round() / 10.0)
        };
        let hours = (hours(0.5), hours(0.75), hours(0.9));
        let cycle_time_hours = match hours {
            (Some(p50), Some(p75), Some(p90)) => Some(HoursOfMany { p50, p75, p90 }),
            _ => None,
        };
        #[expect(clippy::cast_precision_loss, reason = "there are not 2^53 of anything")]
        let merged_a_week = (merged.len() as f64 / WEEKS_MEASURED as f64 * 10.0).round() / 10.0;
        let size = SizeOfRepository::of(merged_a_week);
        let kind = kind.to_owned();
        Self { repository, kind, size, from, to, n: merged.len(), merged_a_week, cycle_time_hours }
    }
}

/// A number with its two first digits; 0 below a hundredth.
pub fn two_digits(value: f64) -> f64 {
    if value < 0.01 {
        return 0.0;
    }
    let unit = 10_f64.powf(value.log10().floor() - 1.0);
    // Else 0.1 + 0.2 would show.
    let digits = (value / unit).round() * unit;
    (digits * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_table_is_dated_counts_its_rows_and_is_that_of_the_document() {
        let benchmark = Benchmark::public();
        assert!(!benchmark.repositories.is_empty() && benchmark.name.ends_with("2026"), "{benchmark:?}");
        for row in &benchmark.repositories {
            assert!(row.n > 0 && row.from < row.to && row.size == SizeOfRepository::of(row.merged_a_week), "{row:?}");
        }
        let document = include_str!("../../../../docs/benchmarks.md");
        assert!(document.contains(&benchmark.to_markdown()), "{}", benchmark.to_markdown());
        assert!(document.contains(&benchmark.name), "{}", benchmark.name);
    }

    #[test]
    fn two_digits_are_left_of_a_number() {
        let rounded = [0.004, 0.0449, 0.96, 1.04, 9.96, 16.4, 104.9, 5_449.0].map(|it| two_digits(it).to_string());
        assert_eq!(rounded, ["0", "0.045", "0.96", "1", "10", "16", "100", "5400"]);
    }

    #[test]
    fn only_whole_weeks_count_and_what_was_opened_after_its_merge_has_no_duration() -> anyhow::Result<()> {
        let at = |text: &str| -> anyhow::Result<DateTime<Utc>> { Ok(text.parse()?) };
        let merged = [
            (at("2026-06-01T00:00:00Z")?, at("2026-06-01T10:00:00Z")?),
            (at("2026-06-03T00:00:00Z")?, at("2026-06-03T20:00:00Z")?),
            (at("2026-06-05T00:00:00Z")?, at("2026-06-04T00:00:00Z")?),
            // In the week that is not over, and before the first one.
            (at("2026-06-08T00:00:00Z")?, at("2026-06-08T01:00:00Z")?),
            (at("2023-06-01T00:00:00Z")?, at("2023-06-11T23:59:59Z")?),
        ];
        let row = BenchmarkRow::measured("acme/api".to_owned(), "library", &merged, "2026-06-10".parse()?);
        assert_eq!((row.from.to_string(), row.to.to_string()), ("2023-06-12".to_owned(), "2026-06-08".to_owned()));
        assert_eq!((row.n, row.size), (3, SizeOfRepository::Below3));
        assert_eq!(row.cycle_time_hours, Some(HoursOfMany { p50: 15.0, p75: 17.5, p90: 19.0 }));
        Ok(())
    }
}
