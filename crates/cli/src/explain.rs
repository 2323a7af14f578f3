//! `mergeline explain`: which teams a pull request counts for, and why.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use mergeline_collector::within_known_limits;
use mergeline_domain::{
    AttributedBy, InstanceId, Login, PullRequest, PullRequestState, SkipReason, State, TeamId, Verdict, Weight,
};
use mergeline_github::{GitHub, GitHubError, GitHubSettings};
use mergeline_source::{UndecodableItem, WaitBudget};
use mergeline_store::{Explanation, QuarantineReason, RepositoryStatus, ResultState, Share, Times, Writer};

use crate::args::{Explain, Options};
use crate::database::collected;
use crate::environment::variable;
use crate::failure::{FAILED, Failure};
use crate::names::PullRequestName;
use crate::tables::{ago, duration, local, wrapped_for_people};
use crate::terminal;

pub(crate) async fn run(args: &Explain, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    let name = &args.pull_request;
    let Some((_database, store)) = collected(options).await? else {
        let message = format!("{name} is not stored: nothing was ever collected here, run `mergeline collect`");
        return Err(anyhow::Error::msg(message).into());
    };
    let zone = store.timezone().await?;
    let answer = match store.explain(&name.repository, name.number).await? {
        Some(explanation) => {
            let mut answer = Answer::stored(name, &explanation, zone);
            let quarantine = store.quarantine_reason(&name.repository, name.number).await?;
            if let Some(QuarantineReason { reason, .. }) = quarantine {
                let _ = writeln!(answer.text, "It is in quarantine, so later changes are not known: {reason}.");
                answer.json["quarantine"] = reason.into();
            }
            answer
        }
        None => not_stored(&store, args, zone, now).await?,
    };
    store.close().await;
    if options.json {
        writeln!(terminal::stdout(), "{}", answer.json)?;
    } else {
        write!(terminal::stdout(), "{}", wrapped_for_people(&answer.text, 4))?;
    }
    Ok(if answer.is_found { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// The answer about a pull request.
struct Answer {
    /// Whether it is stored or exists on GitHub.
    is_found: bool,
    json: serde_json::Value,
    text: String,
}

impl Answer {
    fn stored(name: &PullRequestName, explanation: &Explanation, zone: Tz) -> Self {
        let unallocated = f64::from(unallocated_units(&explanation.shares)) / f64::from(Weight::UNITS);
        let mut json = serde_json::json!({ "stored": explanation, "unallocated": unallocated });
        // Same as the API: an unmerged pull request does not count yet.
        json["stored"]["excluded"] = match (explanation.is_deleted, explanation.merged_at) {
            (true, _) => "deleted".into(),
            (false, None) => "not_merged".into(),
            (false, Some(_)) => serde_json::Value::Null,
        };
        if !json["stored"]["excluded"].is_null() {
            for share in json["stored"]["shares"].as_array_mut().into_iter().flatten() {
                share["counts"] = false.into();
            }
        }
        Self { is_found: true, json, text: stored(name, explanation, zone) }
    }
}

async fn not_stored(store: &Writer, args: &Explain, zone: Tz, now: DateTime<Utc>) -> Result<Answer, Failure> {
    let name = &args.pull_request;
    let known = Known::of(store, name).await?;
    let reason = known.why_not_stored(name, zone, now);
    let text = format!("{name} is not stored: {reason}\n");
    if !args.ask {
        let text = format!("{text}`mergeline explain --ask {name}` asks GitHub.\n");
        return Ok(Answer { is_found: false, json: serde_json::json!({ "stored": null, "reason": reason }), text });
    }
    let asked = ask(store, name, &known, zone, now).await?;
    let github = serde_json::json!({ "is_there": asked.is_there, "verdict": asked.verdict });
    let json = serde_json::json!({ "stored": null, "reason": reason, "github": github });
    Ok(Answer { is_found: asked.is_there, json, text: text + &asked.text })
}

/// What the database knows about a pull request that is not stored.
struct Known {
    repository: Option<RepositoryStatus>,
    quarantine: Option<QuarantineReason>,
    kept_since: Option<DateTime<Utc>>,
}

impl Known {
    async fn of(store: &Writer, name: &PullRequestName) -> Result<Self, Failure> {
        let wanted = name.repository.as_str();
        let is_it = |repository: &RepositoryStatus| {
            repository.name == wanted || repository.configured_as.as_deref() == Some(wanted)
        };
        let repository = store.repository_statuses().await?.into_iter().find(is_it);
        let quarantine = store.quarantine_reason(&name.repository, name.number).await?;
        Ok(Self { repository, quarantine, kept_since: store.kept_since().await? })
    }

    fn why_not_stored(&self, name: &PullRequestName, zone: Tz, now: DateTime<Utc>) -> String {
        let Some(repository) = &self.repository else {
            return format!("{} is not among the configured repositories.", name.repository);
        };
        match &self.quarantine {
            Some(QuarantineReason { reason, is_by_place: false }) => {
                return format!("it is in quarantine because it cannot be read or decoded: {reason}.");
            }
            Some(QuarantineReason { reason, is_by_place: true }) => {
                return format!(
                    "it may be the pull request in quarantine whose number GitHub does not show: {reason}."
                );
            }
            None => {}
        }
        let mut text = match (repository.collected_at, repository.covered_since) {
            (Some(collected_at), Some(since)) => format!(
                "{} was collected {}, with what changed since {}. Either it has not changed since then or is newer, or \
                 its author was not in a team, or is a bot or a deleted account.",
                repository.name,
                ago(collected_at, now),
                local(since, zone)
            ),
            _ => format!("{} is not fully collected yet.", repository.name),
        };
        if let Some(since) = self.kept_since {
            let _ = write!(text, " What was merged or closed before {} was pruned.", local(since, zone));
        }
        if let (Some(ResultState::Failed), Some(reason)) = (repository.state, &repository.reason) {
            let _ = write!(text, " Its last collection failed: {reason}.");
        }
        text
    }
}

/// What GitHub says about a pull request, and the resulting verdict.
struct Asked {
    is_there: bool,
    verdict: String,
    text: String,
}

async fn ask(
    store: &Writer,
    name: &PullRequestName,
    known: &Known,
    zone: Tz,
    now: DateTime<Utc>,
) -> Result<Asked, Failure> {
    let settings = GitHubSettings::from_vars(variable).map_err(mergeline_domain::Problems::of_settings)?;
    let github = GitHub::connect(&settings)?;
    let session = github.session(Some(name.repository.owner()), WaitBudget::AT_A_TERMINAL, now);
    let absent = |verdict: String| {
        let text = format!("GitHub: {verdict}\n");
        Asked { is_there: false, verdict, text }
    };
    let asking = session.pull_request(&name.repository, name.number);
    let pull_request = match within_known_limits(&github, InstanceId::GITHUB, store, now, asking).await? {
        Ok(Ok(pull_request)) => pull_request,
        Ok(Err(UndecodableItem { reason, .. })) => {
            return Ok(absent(format!("its response cannot be decoded: {reason}")));
        }
        Err(GitHubError::NotFound) => {
            return Ok(absent(format!("there is no {name}, or the token may not see it (404)")));
        }
        Err(error) => return Err(error.into()),
    };
    let teams = store.teams(now).await?.into_iter().map(|team| (team.id, team.slug.to_string())).collect();
    let verdict = match store.roster().await? {
        Some((_, roster)) => judged(&roster.judge(&pull_request), &pull_request, &teams),
        None => "counts for nobody: no teams are configured".to_owned(),
    };
    let mut text = format!("On GitHub it {}.\n", at_github(&pull_request, zone));
    let _ = writeln!(text, "It {verdict}.");
    if let Some(hint) = known.when_stored(&pull_request, zone) {
        let _ = writeln!(text, "{hint}");
    }
    Ok(Asked { is_there: true, verdict, text })
}

impl Known {
    /// Why a pull request that would be stored is not.
    fn when_stored(&self, pull_request: &PullRequest, zone: Tz) -> Option<String> {
        let repository = self.repository.as_ref()?;
        let is_decided = pull_request.state != State::Open;
        if let Some(since) = self.kept_since.filter(|since| is_decided && pull_request.attribution_instant() < *since) {
            return Some(format!(
                "What was merged or closed before {} was pruned and is not stored.",
                local(since, zone)
            ));
        }
        let changed = local(pull_request.updated_at, zone);
        if repository.covered_since.is_some_and(|since| pull_request.updated_at < since) {
            return Some(format!(
                "It last changed at {changed}, before the collected range: raise BACKFILL_DAYS to include it."
            ));
        }
        if repository.collected_at.is_none_or(|at| pull_request.updated_at >= at) {
            return Some(format!("It last changed at {changed}: the next `mergeline collect` reads it."));
        }
        None
    }
}

/// Title, author and time from GitHub.
fn at_github(pull_request: &PullRequest, zone: Tz) -> String {
    let author = pull_request.author.as_ref().map_or("a deleted account", |author| author.login.as_str());
    let (state, at) = match pull_request.state {
        State::Open => ("open, opened", pull_request.created_at),
        State::Closed { at } => ("closed without a merge,", at),
        State::Merged { at, .. } => ("merged", at),
    };
    format!("is \"{}\" by {author}, {state} {}", pull_request.title, local(at, zone))
}

/// The verdict, as the end of a sentence that starts with "It".
fn judged(verdict: &Verdict<'_>, pull_request: &PullRequest, teams: &HashMap<TeamId, String>) -> String {
    let author = pull_request.author.as_ref().map(|author| &author.login).map_or("", Login::as_str);
    match verdict {
        Verdict::Skip(SkipReason::Ghost) => "counts for nobody: its author's account is deleted".to_owned(),
        Verdict::Skip(SkipReason::Bot) => format!("counts for nobody: {author} is a bot"),
        Verdict::Skip(SkipReason::NotAMember) => format!("counts for nobody: {author} is in no team"),
        Verdict::DuplicatePerson { .. } => {
            format!("waits for the next collection, which finds out that {author} is a person known by another login")
        }
        Verdict::Keep { attributions, .. } if attributions.is_empty() => {
            format!("counts for no team: {author} was not in a team at that time")
        }
        Verdict::Keep { attributions, .. } => {
            let shares: Vec<String> = attributions
                .iter()
                .map(|share| {
                    let team = teams.get(&share.team).map_or("a deleted team", String::as_str);
                    format!("{team} ({})", share.weight)
                })
                .collect();
            format!("would count for {}", shares.join(" and "))
        }
    }
}

/// The part of a pull request that no team gets, in ten-thousandths.
fn unallocated_units(shares: &[Share]) -> u32 {
    let counted: u32 = shares.iter().filter(|share| share.counts).map(|share| share.weight_units.unsigned_abs()).sum();
    u32::from(Weight::UNITS).saturating_sub(counted)
}

fn stored(name: &PullRequestName, explanation: &Explanation, zone: Tz) -> String {
    let Explanation { title, author, state, created_at, merged_at: _, attributed_at, attributed_by, .. } = explanation;
    let mut text = format!("{name} \"{title}\" by {author}, {state}\n");
    let decides = match attributed_by {
        AttributedBy::MergedAt => {
            format!("opened {}, merged {}: the merge decides", local(*created_at, zone), local(*attributed_at, zone))
        }
        AttributedBy::ClosedAt => {
            format!("opened {}, closed {}: the close decides", local(*created_at, zone), local(*attributed_at, zone))
        }
        AttributedBy::CreatedAt => {
            format!("opened {}: the opening decides until it is closed", local(*created_at, zone))
        }
    };
    let _ = writeln!(text, "  {decides}");
    if explanation.is_deleted {
        let _ = writeln!(text, "  It was deleted on GitHub: it counts for nobody");
        return text;
    }
    // If a person was in a team twice, show the membership that counts, or all if none counts.
    let counting: HashSet<&str> =
        explanation.shares.iter().filter(|share| share.counts).map(|share| share.team.as_str()).collect();
    let verb = match (explanation.merged_at, state) {
        (Some(_), _) => "counts",
        (None, PullRequestState::Closed) => "would count, had it been merged,",
        (None, _) => "would count, once it is merged,",
    };
    for share in &explanation.shares {
        if !share.counts && counting.contains(share.team.as_str()) {
            continue;
        }
        let why = membership(share, explanation, zone);
        let _ = if share.counts {
            let weight = Weight::format_units(share.weight_units.unsigned_abs().into());
            writeln!(text, "  {verb} for {} with {weight}: {why}", share.team)
        } else {
            writeln!(text, "  does not count for {}: {why}", share.team)
        };
    }
    let left = unallocated_units(&explanation.shares);
    if explanation.shares.is_empty() {
        let _ = writeln!(text, "  counts for no team: {author} is not in a team any more");
    } else if left == u32::from(Weight::UNITS) {
        let _ = writeln!(text, "  it belongs to no team");
    } else if left > 0 {
        let _ = writeln!(text, "  {} of it belongs to no team", Weight::format_units(left.into()));
    }
    if let (Some(times), true) = (&explanation.times, explanation.merged_at.is_some()) {
        let _ = writeln!(text, "  {}", durations(times));
    }
    text
}

/// A membership's period, and whether the deciding time is before or after it.
fn membership(share: &Share, explanation: &Explanation, zone: Tz) -> String {
    let span = match (share.joined_at, share.left_at) {
        (None, None) => "a member all the time".to_owned(),
        (Some(from), None) => format!("a member since {}", local(from, zone)),
        (None, Some(to)) => format!("a member until {}", local(to, zone)),
        (Some(from), Some(to)) => format!("a member from {} until {}", local(from, zone), local(to, zone)),
    };
    let at = explanation.attributed_at;
    let outside = if share.joined_at.is_some_and(|from| at < from) {
        ", which is later"
    } else if share.left_at.is_some_and(|to| at >= to) {
        ", which is earlier"
    } else {
        ""
    };
    format!("{span}{outside}")
}

fn durations(times: &Times) -> String {
    let known: Vec<String> =
        [("cycle time", times.cycle), ("coding", times.coding), ("pickup", times.pickup), ("review", times.review)]
            .into_iter()
            .map(|(what, seconds)| format!("{what} {}", seconds.map_or("unknown".to_owned(), duration)))
            .collect();
    let mut text = known.join(", ");
    if !times.flags.is_empty() {
        let _ = write!(text, " ({})", times.flags.join(", "));
    }
    for reason in times.flags.iter().filter_map(|flag| meaning(flag)) {
        let _ = write!(text, "\n    {reason}");
    }
    let is_pending = times.flags.iter().any(|flag| flag == "details_pending");
    if times.pickup.is_none()
        && times.review.is_none()
        && !is_pending
        && !times.flags.iter().any(|it| is_about_reviews(it))
    {
        text.push_str("\n    pickup and review are unknown because nobody else reviewed it before the merge");
    }
    text
}

/// Whether a flag says why pickup or review is not known.
fn is_about_reviews(flag: &str) -> bool {
    matches!(flag, "review_before_ready" | "reviewed_after_merge" | "draft_times_missing" | "merged_before_creation")
}

/// What a flag says about a duration that is not known, in words.
fn meaning(flag: &str) -> Option<&'static str> {
    Some(match flag {
        "merged_before_creation" => "by the times that GitHub gives, it was merged before it was opened",
        "details_pending" => {
            "its commits and reviews are not read yet: `mergeline collect` with a token in GITHUB_PAT reads them"
        }
        "commits_incomplete" => "not all of its commits could be read, so the first one is not known",
        "first_commit_after_creation" => {
            "its first commit is newer than its opening, so there was no coding before that"
        }
        "review_before_ready" => "the first review came before it was ready for review",
        "reviewed_after_merge" => "the first review came after the merge",
        "draft_times_missing" => {
            "it is not known when it was a draft, so it is not known since when it was ready for review"
        }
        "deployed_before_merge" => "by the times that are known, it was deployed before it was merged",
        "files_incomplete" => "not all of its files are known, so it counts for all services of the repository",
        _ => return None,
    })
}
