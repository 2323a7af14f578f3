//! `mergeline events`: what happened, the newest first.

use std::io::Write as _;
use std::process::ExitCode;

use chrono_tz::Tz;
use mergeline_store::{Event, EventKind};
use serde_json::Value;

use crate::args::{Events, Options};
use crate::database::collected;
use crate::failure::Failure;
use crate::terminal;

pub(crate) async fn run(args: &Events, options: &Options) -> Result<ExitCode, Failure> {
    let (events, zone) = match collected(options).await? {
        Some((_database, store)) => {
            let events = store.events(args.before, args.limit).await?;
            let zone = store.timezone().await?;
            store.close().await;
            (events, zone)
        }
        None => (Vec::new(), Tz::UTC),
    };
    let mut out = terminal::stdout();
    if options.json {
        writeln!(out, "{}", serde_json::json!({ "events": events }))?;
    } else if events.is_empty() {
        writeln!(out, "Nothing has happened yet.")?;
    } else {
        for event in &events {
            writeln!(out, "{}", line(event, zone))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// For example `2026-06-15 14:00  acme/api failed (github_not_found): it is not visible  [collector]`.
fn line(event: &Event, zone: Tz) -> String {
    let at = event.at.with_timezone(&zone).format("%Y-%m-%d %H:%M");
    let (subject, payload) = (&event.subject, &event.payload);
    let text = |key: &str| payload[key].as_str().unwrap_or_default().to_owned();
    let what = match event.kind {
        EventKind::ConfigurationApplied => format!("teams file applied as revision {subject}{}", changes(payload)),
        EventKind::RepositoryFailing => format!("{subject} fails ({}): {}", text("code"), text("message")),
        EventKind::RepositoryRecovered => format!("{subject} works again"),
        EventKind::BackfillFinished => {
            let since = text("covered_since").get(..10).map(|day| format!(", back to {day}")).unwrap_or_default();
            format!("the past of {subject} is read{since}")
        }
        EventKind::WeekCompleted => format!("week {subject} is complete, {} to {}", text("from"), text("to")),
    };
    format!("{at}  {what}  [{}]", event.actor)
}

/// What a teams file changed, for example `: 3 memberships, teams pay, web added`.
fn changes(payload: &Value) -> String {
    let names = |key: &str| {
        let names = payload[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        names.collect::<Vec<_>>().join(", ")
    };
    let mut parts = Vec::new();
    if let Some(count) = payload["memberships_changed"].as_u64().filter(|count| *count > 0) {
        parts.push(mergeline_domain::count_of(usize::try_from(count).unwrap_or(usize::MAX), "membership change"));
    }
    for (key, what) in [
        ("teams_added", "new teams"),
        ("teams_archived", "archived teams"),
        ("repositories_added", "new repositories"),
        ("repositories_removed", "removed repositories"),
    ] {
        let names = names(key);
        if !names.is_empty() {
            parts.push(format!("{what} {names}"));
        }
    }
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join("; ")) }
}
