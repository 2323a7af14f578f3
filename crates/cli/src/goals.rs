//! `mergeline goals …`: how the teams' goals stand, and how those of a file would have stood.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use mergeline_api::goals_json;
use mergeline_domain::insight::{GoalState, GoalWeekState, ShareNumbers};
use mergeline_domain::metrics::RangeRequest;
use mergeline_domain::teams_file::{ConfiguredGoals, TeamGoal, TeamsFile, goals_of_team};
use mergeline_domain::{Period, TeamSlug, count_of};
use mergeline_reporting::{JudgedGoal, Report, ReportKind, TeamGoals};
use mergeline_store::Reader;
use serde_json::{Value, json};

use crate::args::{Goals, Options};
use crate::collecting::teams_source;
use crate::database::collected;
use crate::failure::Failure;
use crate::show::{chosen, without_teams};
use crate::status::not_fully_read;
use crate::tables::{local, wrapped};
use crate::terminal;

pub(crate) async fn run(command: &Goals, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    let file = match command {
        Goals::Show { .. } => None,
        Goals::Preview { teams, .. } => Some(teams_source(teams.file.as_ref())?.load_required()?),
    };
    let (Goals::Show { team } | Goals::Preview { team, .. }) = command;
    let mut out = terminal::stdout();
    let Some((_database, store)) = collected(options).await? else {
        return without_teams(options);
    };
    let teams = chosen(&store, team.as_deref(), now).await?;
    let mut judged = Vec::new();
    for team in &teams {
        judged.push(of_team(&store, team, file.as_ref(), now).await?);
    }
    judged.retain(|found| !found.goals.is_empty());
    let zone = store.timezone().await?;
    let repositories = store.repository_statuses().await?;
    store.close().await;
    if options.json {
        let teams: Result<Vec<Value>, Failure> = judged.into_iter().map(as_json).collect();
        writeln!(out, "{}", json!({ "teams": teams? }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if judged.is_empty() {
        writeln!(out, "No goals: see {}.", page_of_docs!("teams.md#goals"))?;
    }
    for found in &judged {
        let text = if file.is_some() { previewed(found) } else { shown(found, zone) };
        write!(out, "{text}")?;
    }
    let mut weeks = judged.iter().flat_map(|found| &found.goals).flat_map(|goal| &goal.history.weeks);
    if weeks.any(|week| week.state == GoalState::Incomplete) {
        write!(out, "\n{}", wrapped(&not_fully_read(&repositories), 4))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A team's goals in force, or those of a file as if they had been in force for half a year.
async fn of_team(
    store: &Reader,
    team: &TeamSlug,
    file: Option<&TeamsFile>,
    now: DateTime<Utc>,
) -> Result<TeamGoals, Failure> {
    let mut report = Report::of_team(store, ReportKind::Goals, team, RangeRequest::DEFAULT, now).await?;
    let Some(file) = file else { return Ok(report.goals().await?) };
    let configured = ConfiguredGoals { applied_at: now, goals: file.goals.clone() };
    let last = |mut goal: TeamGoal| {
        goal.revisions.drain(..goal.revisions.len().saturating_sub(1));
        goal.revisions.iter_mut().for_each(|revision| revision.in_force = Period::ALWAYS);
        goal
    };
    let goals = goals_of_team(&[configured], team).into_iter().map(last).collect();
    Ok(report.judge_goals(goals, &file.metrics).await?)
}

/// As in the API, and the messages that its weeks would have caused.
fn as_json(found: TeamGoals) -> Result<Value, Failure> {
    let messages: Vec<usize> = found.goals.iter().map(|goal| goal.history.messages()).collect();
    let mut json = goals_json(found)?;
    for (goal, messages) in json["goals"].as_array_mut().into_iter().flatten().zip(messages) {
        goal["messages"] = messages.into();
    }
    Ok(json)
}

/// The goals of a team as they stand.
fn shown(found: &TeamGoals, zone: Tz) -> String {
    let mut text = format!("{}\n", found.team.name);
    for goal in &found.goals {
        let Some(revision) = goal.in_force.map(|index| &goal.revisions[index]) else {
            let _ = writeln!(text, "{}", wrapped(&format!("  {}: not in force", goal.id), 4));
            continue;
        };
        let state = goal.history.state.map_or("not judged yet", words);
        let _ = writeln!(text, "{}", wrapped(&format!("  {}: {state} ({})", goal.id, revision.asks()), 4));
        if let Some(sentence) = &revision.sentence {
            let _ = writeln!(text, "{}", wrapped(&format!("    {sentence}"), 4));
        }
        if let Some(numbers) = goal.last.as_ref().and_then(|week| week.numbers) {
            let _ = writeln!(text, "{}", wrapped(&format!("    last 4 whole weeks: {}", share(&numbers)), 4));
        }
        if let Some(open) = &goal.history.open {
            let _ = writeln!(text, "    {} at present", count_of_waiting(open.open));
            for breach in &open.breaches {
                let listed = found.pull_requests.get(&breach.id);
                let name =
                    listed.map_or_else(String::new, |it| format!("{}#{}: {}", it.repository, it.number, it.title));
                let day = local(breach.broken_since, zone);
                let _ = writeln!(text, "{}", wrapped(&format!("    too long since {day}: {name}"), 6));
            }
        }
        let _ = writeln!(text, "{}", wrapped(&format!("    {}", weeks(&goal.history.weeks)), 4));
    }
    text
}

/// How the goals of a file would have stood.
fn previewed(found: &TeamGoals) -> String {
    let mut text = format!("{}, if these goals had been in force\n", found.team.name);
    for JudgedGoal { id, revisions, history, .. } in &found.goals {
        let Some(revision) = revisions.first() else { continue };
        let _ = writeln!(text, "{}", wrapped(&format!("  {id}: {}", revision.asks()), 4));
        let messages = count_of(history.messages(), "message");
        let _ = writeln!(text, "{}", wrapped(&format!("    {}; {messages}", weeks(&history.weeks)), 4));
        if let Some((share, hours)) = history.suggestion.and_then(|it| it.share.zip(it.p50_hours)) {
            let present =
                format!("at present {} are within that time, and half of them within {hours} h", percent(share));
            let _ = writeln!(text, "{}", wrapped(&format!("    {present}"), 4));
        }
    }
    text
}

fn count_of_waiting(n: usize) -> String {
    if n == 1 { "1 waits".to_owned() } else { format!("{n} wait") }
}

/// How many weeks a goal stood how.
fn weeks(weeks: &[GoalWeekState]) -> String {
    let counts = GoalState::ALL.iter().copied().filter_map(|state| {
        let n = weeks.iter().filter(|week| week.state == state).count();
        (n > 0).then(|| format!("{} in {n}", words(state)))
    });
    let counts: Vec<String> = counts.collect();
    if counts.is_empty() {
        "no week to judge".to_owned()
    } else {
        format!("of {} weeks {}", weeks.len(), counts.join(", "))
    }
}

fn share(numbers: &ShareNumbers) -> String {
    let ShareNumbers { n, share, low, high, .. } = numbers;
    format!("{} of {n}, 80% interval {} to {}", percent(*share), percent(*low), percent(*high))
}

fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

fn words(state: GoalState) -> &'static str {
    match state {
        GoalState::Met => "met",
        GoalState::Missed => "missed",
        GoalState::Inconclusive => "inconclusive",
        GoalState::TooFew => "too few",
        GoalState::Incomplete => "not fully read",
    }
}
