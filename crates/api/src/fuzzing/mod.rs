//! Properties that hold for every query string, cursor, posted event and table, for any bytes. The fuzz targets and the corpus tests
//! call them.

#[cfg(test)]
mod corpus;

use chrono::{DateTime, Datelike};
use chrono_tz::Tz;
use mergeline_domain::TeamId;
use mergeline_domain::delivery::{DeploymentEvent, IncidentEvent};
use mergeline_domain::metrics::DefaultRange;
use mergeline_store::TeamSelector;

use crate::endpoints::events::parse;
use crate::http::cursors;
use crate::http::errors::ApiError;
use crate::http::parameters::{Everything, Parameters, team_selector};
use crate::http::tables::{Cell, Rows, harmless};

/// Parses bytes as a query string, and as a team in a path. Returns whether the query was accepted.
///
/// # Panics
/// If a value out of bounds was accepted, if a rejection has no details or cannot be displayed, or if a second read
/// gives a different result.
pub fn query_string(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let _ = team_selector(&text);
    let parsed = Everything::parse(&text);
    let again = Everything::parse(&text);
    assert_eq!(format!("{parsed:?}"), format!("{again:?}"), "the second reading differs");
    match parsed {
        Ok(parameters) => check(parameters),
        Err(error) => {
            check_refusal(error);
            return false;
        }
    }
    true
}

fn check(Everything(selection, _, page): Everything) {
    assert!((1..=1_000).contains(&page.limit));
    let query = selection.of_team(TeamSelector::Id(TeamId(1)));
    assert!(query.repositories.len() <= 50);
    if let Some(base) = &query.base {
        assert!(!base.is_empty() && base.chars().count() <= 255 && !base.chars().any(char::is_control));
    }
    for now in ["1970-01-01T00:00:00Z", "2026-03-29T00:30:00Z", "2199-12-31T23:59:59Z"] {
        let Ok(now) = now.parse::<DateTime<chrono::Utc>>() else { continue };
        let zone = query.timezone.unwrap_or(Tz::America__Havana);
        match query.range.resolve(zone, now, DefaultRange::CompletedWeeks(4), query.interval) {
            Ok(range) => {
                assert!(range.from < range.to && (range.to - range.from).num_days() <= 3_700);
                assert!(range.start() < range.end(), "{range:?}");
                assert!((1900..=2300).contains(&range.preceding().from.year()), "{range:?}");
            }
            Err(invalid) => check_refusal(ApiError::Validation(vec![invalid])),
        }
    }
}

fn check_refusal(error: ApiError) {
    let ApiError::Validation(details) = error else { panic!("{error:?}") };
    assert!(!details.is_empty(), "refused without a reason");
    for detail in details {
        assert!(!detail.reason.is_empty() && !detail.message.is_empty());
        assert!(detail.parameter.chars().count() <= 40, "a long name is shown");
        let shown = detail.parameter.chars().chain(detail.message.chars());
        assert!(!shown.into_iter().any(char::is_control), "a header or a terminal would obey {:?}", detail.parameter);
    }
}

/// Parses bytes as a cursor. Returns whether it was accepted; only cursors that we issued are.
///
/// # Panics
/// If any text other than the one that we write is accepted.
pub fn cursor(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    match cursors::parse(&text, "question") {
        Ok(position) => {
            assert_eq!(cursors::to_text(position, "question"), text, "two texts for one cursor");
            assert!(cursors::parse(&text, "another question").is_err(), "it is accepted for other queries");
            true
        }
        Err(ApiError::InvalidCursor) => false,
        Err(other) => panic!("{other:?}"),
    }
}

/// Reads each line of bytes as a posted deployment and as an incident. Returns whether each of them is one of the two.
///
/// # Panics
/// If a value out of bounds was accepted, or if a rejection has no details or cannot be displayed.
pub fn posted_event(bytes: &[u8]) -> bool {
    const LONGEST: usize = 500;
    let now = DateTime::from_timestamp(1_780_000_000, 0).unwrap_or_default();
    let is_line =
        |text: &str| !text.is_empty() && text.chars().count() <= LONGEST && !text.chars().any(char::is_control);
    let is_known = |at: DateTime<chrono::Utc>| (2010..=2027).contains(&at.year());
    let (mut lines, mut accepted) = (0, 0);
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        lines += 1;
        let deployment = parse::<DeploymentEvent>(line).map_err(|invalid| vec![invalid]);
        let incident = parse::<IncidentEvent>(line).map_err(|invalid| vec![invalid]);
        assert!(deployment.is_err() || incident.is_err(), "it is both");
        match deployment.and_then(|event| event.check(now)) {
            Ok(posted) => {
                assert!(is_line(&posted.id) && is_line(&posted.service) && is_line(&posted.environment), "{posted:?}");
                assert!(
                    is_known(posted.created_at) && posted.state.is_none_or(|state| is_known(state.at)),
                    "{posted:?}"
                );
                assert!(posted.url.as_deref().is_none_or(|url| is_line(url) && url.starts_with("http")), "{posted:?}");
                assert!(posted.revisions.len() <= 20 && posted.remedies.as_ref() != Some(&posted.id), "{posted:?}");
                accepted += 1;
            }
            Err(invalid) => check_refusal(ApiError::Validation(invalid)),
        }
        match incident.and_then(|event| event.check(now)) {
            Ok(posted) => {
                assert!(is_line(&posted.id) && is_line(&posted.service) && is_line(&posted.title), "{posted:?}");
                assert!(posted.resolved_at.is_none_or(|at| at >= posted.started_at && is_known(at)), "{posted:?}");
                accepted += 1;
            }
            Err(invalid) => check_refusal(ApiError::Validation(invalid)),
        }
    }
    lines > 0 && lines == accepted
}

/// Writes bytes as a table, with a row per line and a unit separator between cells, and reads it back. Returns whether
/// there was anything to write.
///
/// # Panics
/// If an RFC 4180 reader finds other rows or cells, or if a spreadsheet would run one.
pub fn table(bytes: &[u8]) -> bool {
    const COLUMNS: usize = 3;
    let text = String::from_utf8_lossy(bytes);
    let cells: Vec<&str> = text.split('\u{1f}').collect();
    let Ok(mut rows) = Rows::new(["a", "b", "c"]) else { panic!("a header that cannot be written") };
    let written: Vec<&[&str]> = cells.chunks_exact(COLUMNS).collect();
    for row in &written {
        assert!(rows.push(row.iter().copied().map(Cell::Text)).is_ok(), "a row that cannot be written");
    }
    let Ok(bytes) = rows.into_bytes() else { panic!("a table that cannot be written") };
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let read: Vec<csv::StringRecord> = reader.records().map(Result::unwrap_or_default).collect();
    assert_eq!(read.len(), written.len(), "other rows");
    for (found, row) in read.iter().zip(&written) {
        assert_eq!(found.len(), COLUMNS, "other cells");
        for (found, cell) in found.iter().zip(*row) {
            assert_eq!(found, harmless(cell), "another cell");
            assert!(!found.trim_start().starts_with(['=', '+', '-', '@']), "a spreadsheet would run {found:?}");
        }
    }
    !written.is_empty()
}
