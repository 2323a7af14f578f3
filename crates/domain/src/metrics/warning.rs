use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

use super::{Coverage, DateRange};

/// A caveat that readers of the numbers must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The code.
    pub code: WarningCode,
    /// A sentence for people.
    pub message: String,
}

/// The subject of a warning. The documentation of each is served by the API.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::EnumMessage, strum::IntoStaticStr, strum::VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum WarningCode {
    /// Lead time is pull request cycle time, not DORA's change lead time.
    PrCycleTime,
    /// A repository was never fully collected.
    NeverCollected,
    /// The range starts before everything was read.
    BeforeCollection,
    /// The range ends after the last data that was read.
    AfterCollection,
    /// Memberships changed, and stored pull requests are being counted again.
    Reattributing,
    /// Pull requests could not be read and are not counted.
    Quarantined,
    /// The last collection of a repository failed.
    PartialCoverage,
    /// A repository still has to be read again, or further back.
    PendingCoverage,
    /// A pattern may match repositories that GitHub does not list to the token.
    PatternCoverage,
    /// Everything was read, and there is nothing.
    NoData,
    /// The two periods of a summary are not compared.
    NoChange,
    /// Imported pull requests have no duration.
    MergedBeforeCreation,
    /// Commits and reviews of some pull requests were not read yet.
    DetailsPending,
    /// Durations of small groups are not shown.
    Suppressed,
    /// No source reports deployments.
    NoDeploymentSource,
    /// Deployments of some repositories, or of a part of the range, were not read.
    DeploymentsNotRead,
    /// Incidents of some repositories, or of a part of the range, were not read.
    IncidentsNotRead,
    /// Merges count as deployments. How they went is not known.
    AssumedDeployments,
    /// The files of some pull requests were not compared with the paths of services.
    FilesPending,
    /// Everything was read, and there is no deployment.
    NoDeployments,
    /// Some deployments have no end.
    UnfinishedDeployments,
    /// The commits of some deployments cannot be read.
    UnknownHistory,
    /// The range has the first deployment of a repository, which delivers nothing.
    FirstDeploymentInRange,
    /// No incidents are known.
    NoIncidentSource,
    /// Some incidents were open at the end of the range.
    OpenIncidents,
    /// Some deployments belong to no team, wholly or in part.
    UnattributedShare,
    /// So few deployments or pull requests that the numbers say little.
    Few,
}

impl WarningCode {
    /// All codes.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The stable code for programs.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Its meaning, as a sentence for the documentation.
    pub fn description(self) -> &'static str {
        strum::EnumMessage::get_documentation(&self).unwrap_or_default()
    }
}

impl Warning {
    /// Creates a warning with this sentence.
    pub fn new(code: WarningCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// That stored pull requests of a team are being counted again.
    pub fn reattributing() -> Self {
        let message = "memberships of the team have changed, and stored pull requests are being counted again: until that is \
                       done, some count as before";
        Self::new(WarningCode::Reattributing, message)
    }
}

/// The code, a colon and the sentence.
impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

/// The warnings that follow from coverage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoverageWarnings {
    /// All warnings.
    pub list: Vec<Warning>,
    /// Whether everything that could be read was read and is counted. Only then does a 0 mean that there is nothing.
    pub is_read: bool,
}

/// The warnings for the coverage of a range. Data must reach to its end, or to `fresh_from`: what came later may not be read yet.
/// Repositories are named only if `shows_names` is set.
pub fn coverage_warnings(
    coverage: &Coverage,
    range: &DateRange,
    fresh_from: DateTime<Utc>,
    shows_names: bool,
) -> CoverageWarnings {
    let mut list = unread(coverage, range, fresh_from, shows_names);
    list.extend(reattributing(coverage));
    let is_read = list.is_empty();
    list.extend(quarantined(coverage));
    list.extend(uncollected(coverage, shows_names));
    list.extend(unlisted(coverage, shows_names));
    CoverageWarnings { list, is_read }
}

fn unread(coverage: &Coverage, range: &DateRange, fresh_from: DateTime<Utc>, shows_names: bool) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let never = &coverage.never_collected;
    if coverage.covered_since.is_none() && never.is_empty() {
        warnings.push(Warning::new(WarningCode::NeverCollected, "no repository was ever collected"));
    }
    if !never.is_empty() {
        let (were, who) = (if never.len() == 1 { "was" } else { "were" }, repositories(never, shows_names));
        let message = format!("{who} {were} never fully collected: what is missing is not counted; see coverage");
        warnings.push(Warning::new(WarningCode::NeverCollected, message));
    }
    if let Some(since) = coverage.covered_since.filter(|since| range.start() < *since) {
        let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
        let message = format!("the range starts before {since}, the start of complete data");
        warnings.push(Warning::new(WarningCode::BeforeCollection, message));
    }
    let wanted = range.end().min(fresh_from);
    if coverage.complete_until.is_some_and(|until| until < wanted) {
        let message = "the data does not reach the end of the range; see data_as_of and coverage";
        warnings.push(Warning::new(WarningCode::AfterCollection, message));
    }
    warnings
}

fn reattributing(coverage: &Coverage) -> Option<Warning> {
    coverage.is_reattributing.then(Warning::reattributing)
}

fn quarantined(coverage: &Coverage) -> Option<Warning> {
    let count = coverage.quarantined;
    let (pull_requests, are) = if count == 1 { ("pull request", "is") } else { ("pull requests", "are") };
    (count > 0).then(|| {
        let message =
            format!("{count} {pull_requests} that may belong to the range could not be read and {are} not counted");
        Warning::new(WarningCode::Quarantined, message)
    })
}

fn uncollected(coverage: &Coverage, shows_names: bool) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if !coverage.failing.is_empty() {
        let who = repositories(&coverage.failing, shows_names);
        let message = format!("the last collection of {who} failed; see coverage");
        warnings.push(Warning::new(WarningCode::PartialCoverage, message));
    }
    let partial = coverage.pending.iter().filter(|name| !coverage.never_collected.contains(name));
    let partial: Vec<String> = partial.cloned().collect();
    if !partial.is_empty() {
        let who = repositories(&partial, shows_names);
        let message = format!("{who} must still be read again for some people, or further back; see coverage");
        warnings.push(Warning::new(WarningCode::PendingCoverage, message));
    }
    warnings
}

fn unlisted(coverage: &Coverage, shows_names: bool) -> Option<Warning> {
    let patterns = &coverage.incomplete_patterns;
    if patterns.is_empty() {
        return None;
    }
    let who = match (patterns.len(), shows_names) {
        (_, true) => patterns.join(", "),
        (1, false) => "1 pattern".to_owned(),
        (count, false) => format!("{count} patterns"),
    };
    let message = format!("not all repositories of {who} are listed to the token: what is missing is not counted");
    Some(Warning::new(WarningCode::PatternCoverage, message))
}

/// Repositories in words: the first few by name, or only their number.
fn repositories(names: &[String], shows_names: bool) -> String {
    /// The others are in `coverage`.
    const NAMED: usize = 3;
    match (names, shows_names) {
        ([_], false) => "1 repository".to_owned(),
        (_, false) => format!("{} repositories", names.len()),
        _ => {
            let first: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
            let more = names.len() - first.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            first.join(", ") + &more
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::coverage::tests::{coverage, range};
    use super::*;

    fn codes(coverage: &Coverage, range: &DateRange) -> (Vec<WarningCode>, bool) {
        let now: DateTime<Utc> = "2026-06-15T04:00:00Z".parse().expect("an instant");
        let warnings = coverage_warnings(coverage, range, now - super::super::STALE_AFTER, true);
        (warnings.list.iter().map(|warning| warning.code).collect(), warnings.is_read)
    }

    #[test]
    fn a_fully_read_range_has_no_warning() {
        assert_eq!(codes(&coverage(), &range("2026-06-01", "2026-06-15")), (Vec::new(), true));
        assert_eq!(codes(&coverage(), &range("2026-06-01", "2026-06-16")), (Vec::new(), true), "not stale yet");
    }

    #[test]
    fn missing_coverage_makes_a_zero_doubtful() {
        use WarningCode::{AfterCollection, BeforeCollection, NeverCollected, Reattributing};
        let june = range("2026-06-01", "2026-06-15");
        let names = || vec!["acme/api".to_owned()];
        let stale = Coverage { complete_until: "2026-06-14T12:00:00Z".parse().ok(), ..coverage() };
        for (coverage, range, code) in [
            (Coverage { never_collected: names(), ..coverage() }, june, NeverCollected),
            (coverage(), range("2026-05-31", "2026-06-15"), BeforeCollection),
            (stale, june, AfterCollection),
            (Coverage { is_reattributing: true, ..coverage() }, june, Reattributing),
        ] {
            assert_eq!(codes(&coverage, &range), (vec![code], false));
        }
    }

    #[test]
    fn pending_reads_are_reported_with_correct_numbers() {
        use WarningCode::{PartialCoverage, PatternCoverage, PendingCoverage, Quarantined};
        let june = range("2026-06-01", "2026-06-15");
        let names = || vec!["acme/api".to_owned()];
        for (coverage, code) in [
            (Coverage { quarantined: 1, ..coverage() }, Quarantined),
            (Coverage { failing: names(), ..coverage() }, PartialCoverage),
            (Coverage { pending: names(), ..coverage() }, PendingCoverage),
            (Coverage { incomplete_patterns: vec!["acme/*".to_owned()], ..coverage() }, PatternCoverage),
        ] {
            assert_eq!(codes(&coverage, &june), (vec![code], true));
        }
    }

    #[test]
    fn every_warning_code_is_unique() {
        let words: std::collections::BTreeSet<&str> = WarningCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), WarningCode::ALL.len());
        assert!(WarningCode::ALL.iter().all(|code| code.description().ends_with('.')));
    }

    #[test]
    fn repositories_are_named_up_to_three_or_counted() {
        let names: Vec<String> = (1..=5).map(|n| format!("acme/{n}")).collect();
        assert_eq!(repositories(&names[..2], true), "acme/1, acme/2");
        assert_eq!(repositories(&names, true), "acme/1, acme/2, acme/3 and 2 more");
        assert_eq!([repositories(&names[..1], false), repositories(&names, false)], ["1 repository", "5 repositories"]);
    }
}
