//! `mergeline report`: reads live from GitHub into a temporary database.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_collector::{Settings, TeamsSource, keep_page, within_known_limits};
use mergeline_domain::metrics::RangeRequest;
use mergeline_domain::progress::ProgressEvent;
use mergeline_domain::teams_file::{MemberEntry, TeamEntry, TeamsFile};
use mergeline_domain::{
    AccountKind, Author, ExternalId, InstanceId, Period, PullRequest, RepoName, Weight, count_of, error_chain,
    start_of_day,
};
use mergeline_github::GitHub;
use mergeline_source::{PageAnswer, WaitBudget};
use mergeline_store::{ApplyOptions, KnownBy, LeaseOutcome, Place, Undecodable, Writer};

use crate::args::{Options, Report, ReportFormat};
use crate::benchmark;
use crate::collecting::{collect_with_progress, exit_code, print_report_as, progress_bar};
use crate::database::{Database, actor, collected};
use crate::failure::Failure;
use crate::show;
use crate::tables::{self, Layout};
use crate::terminal;

/// The team with all authors of a repository.
const EVERYONE: &str = "everyone";
/// The rows of a page, as at GitHub.
const PAGE: u8 = 100;
/// Extra time to read before the first week, because its start is computed before the reading starts.
const MARGIN: TimeDelta = TimeDelta::minutes(10);
/// Long enough: no other program uses the temporary database.
const LEASE: std::time::Duration = std::time::Duration::from_secs(600);

pub(crate) async fn run(args: &Report, options: &Options, clock: fn() -> DateTime<Utc>) -> Result<ExitCode, Failure> {
    let now = clock();
    if args.repository.is_none() && args.teams.is_none() {
        return Err(Failure::Input("name a repository, or a teams file with --teams".to_owned()));
    }
    let file = match &args.teams {
        Some(path) => TeamsSource::File(path.clone()).load()?,
        None => None,
    };
    let zone = file.as_ref().map_or(chrono_tz::Tz::UTC, |file| file.timezone);
    // Read whole weeks: a partial week would look like a slow one.
    let first = tables::monday_before(now, args.days.into(), zone);
    let database = Database::throwaway().await?;
    let settings = Settings::from_vars(|name| match name {
        "TEAMS_FILE" | "TEAM_CONFIG_JSON" | "REPOSITORIES" | "BACKFILL_DAYS" => None,
        _ => database.lookup(name),
    })?;
    let settings = Settings { backfill: now - start_of_day(first, zone) + MARGIN, ..settings };
    let store = Writer::connect(&settings.database, actor());
    store.migrate().await?;
    let collections = of_collections(options).await;
    if let Some((_, known)) = &collections {
        carry_limits(known, &store, clock()).await;
    }
    let asked = ask(args, file, &store, &settings, options, now).await;
    if let Some((_, known)) = &collections {
        // Even if a rate limit ended the report.
        carry_limits(&store, known, clock()).await;
        known.close().await;
    }
    let code = asked?;
    let mut out = terminal::stdout();
    let range = RangeRequest::Days { from: Some(first), to: None };
    if options.json {
        let teams = show::current(&store, now).await?;
        writeln!(out, "{}", show::as_json(&store, &teams, range, clock()).await?)?;
    } else {
        writeln!(out, "{}", show::everything(&store, range, args.teams.is_some(), clock(), layout(args)).await?)?;
        if args.benchmark {
            writeln!(out, "\n{}", benchmark::table(&store, range, clock(), layout(args)).await?)?;
        }
    }
    Ok(code)
}

fn layout(args: &Report) -> Layout {
    match args.format {
        Some(ReportFormat::Markdown) => Layout::Markdown,
        Some(ReportFormat::Table | ReportFormat::Json) | None => Layout::Terminal,
    }
}

/// The database of the collections, if there is one: it has the known rate limits. The report works without it.
async fn of_collections(options: &Options) -> Option<(Database, Writer)> {
    collected(options).await.unwrap_or_else(|failure| {
        tracing::warn!("Cannot read which GitHub rate limits are active: {failure}");
        None
    })
}

async fn carry_limits(from: &Writer, to: &Writer, now: DateTime<Utc>) {
    let carrying = async {
        let blocks = from.rate_limit_blocks(InstanceId::GITHUB, now).await?;
        to.store_rate_limit_blocks(InstanceId::GITHUB, &blocks, now).await
    };
    if let Err(error) = carrying.await {
        tracing::warn!(
            code = error.code(),
            "Cannot share GitHub rate limits with other commands: {}",
            error_chain(&error)
        );
    }
}

/// Reads the data for the report.
async fn ask(
    args: &Report,
    file: Option<TeamsFile>,
    store: &Writer,
    settings: &Settings,
    options: &Options,
    now: DateTime<Utc>,
) -> Result<ExitCode, Failure> {
    match (&args.repository, file) {
        (Some(repository), _) => {
            let github = GitHub::connect(&settings.github)?;
            // Boxed: it is a large future.
            let reading = Box::pin(one_repository(&github, store, settings, repository, options, now));
            within_known_limits(&github, InstanceId::GITHUB, store, now, reading).await??;
            // Without a token, deployments cannot be read.
            if github.session(Some(repository.owner()), WaitBudget::AT_A_TERMINAL, now).has_token().await? {
                let sources = github.into();
                collect_with_progress(&sources, store, settings, false, options, now).await?;
            }
            Ok(ExitCode::SUCCESS)
        }
        (None, Some(file)) => {
            store.apply(&file, ApplyOptions::default(), now).await?;
            let sources = GitHub::connect(&settings.github)?.into();
            let report = collect_with_progress(&sources, store, settings, false, options, now).await?;
            if !options.json {
                match layout(args) {
                    Layout::Terminal => {
                        print_report_as("This report", &report, options)?;
                        writeln!(terminal::stdout())?;
                    }
                    // Lines that mean their spaces.
                    Layout::Markdown => {
                        writeln!(terminal::stdout(), "```text")?;
                        print_report_as("This report", &report, options)?;
                        writeln!(terminal::stdout(), "```")?;
                    }
                }
            }
            Ok(exit_code(&report))
        }
        // Refused before.
        (None, None) => Ok(ExitCode::SUCCESS),
    }
}

/// Reads one repository. All its authors except bots count as one team.
async fn one_repository(
    github: &GitHub,
    store: &Writer,
    settings: &Settings,
    repository: &RepoName,
    options: &Options,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let bar = progress_bar(options);
    bar.set_length(1);
    let since = now - settings.backfill;
    let session = github.session(Some(repository.owner()), WaitBudget::AT_A_TERMINAL, now);
    let mut pages = session.by_update(repository, PAGE, None);
    let (mut pull_requests, mut unread) = (Vec::new(), Vec::new());
    while let Some(PageAnswer::Page(page)) = pages.next().await? {
        let is_last = page.pull_requests.iter().any(|pull_request| pull_request.updated_at < since);
        for item in page.undecodable {
            unread.push((Some(item.number), item.reason, item.created_at));
        }
        unread.extend(page.unreadable.into_iter().map(|row| (None, row.reason, None)));
        pull_requests.extend(page.pull_requests.into_iter().filter(|pull_request| pull_request.updated_at >= since));
        bar.set_message(format!("{repository}: {}", count_of(pull_requests.len(), "pull request")));
        if is_last {
            break;
        }
    }
    bar.finish_and_clear();
    let Some(file) = everyone(repository, &pull_requests) else {
        let message =
            format!("{repository} has no pull requests by people in the last {} days", settings.backfill.num_days());
        return Err(Failure::Input(message));
    };
    store.apply(&file, ApplyOptions::default(), now).await?;
    let snapshot = store.snapshot().await?.ok_or_else(|| anyhow::anyhow!("nothing is configured"))?;
    // Put unreadable pull requests into quarantine, as a collection does, so that answers report them.
    let unread = (1..).zip(unread).map(|(place, (number, reason, created_from))| {
        let by_place = KnownBy::Place { position: place, place: Place { after: 0, rows: place }, following: None };
        Undecodable { known_by: number.map_or(by_place, KnownBy::Number), reason, created_from }
    });
    let mut unread = unread.collect::<Vec<_>>();
    for configured in &snapshot.repositories {
        let Some((lease, _)) = store.lease(configured.id, now, LEASE).await? else { continue };
        let unread = std::mem::take(&mut unread);
        keep_page(store, &lease, snapshot.revision, &snapshot.roster, Vec::new(), unread, None, now).await?;
        for page in pull_requests.chunks(PAGE.into()) {
            let page = page.to_vec();
            keep_page(store, &lease, snapshot.revision, &snapshot.roster, page, Vec::new(), None, now).await?;
        }
        let listed = ProgressEvent::Listed {
            newest: None,
            down_to: since,
            started_at: now,
            is_verified: false,
            has_pull_requests: true,
        };
        store.advance_listing(&lease, snapshot.revision, listed, None, now).await?;
        store.release(&lease, LeaseOutcome::Succeeded, None, now).await?;
    }
    Ok(())
}

/// A teams file with all authors except bots in one team.
fn everyone(repository: &RepoName, pull_requests: &[PullRequest]) -> Option<TeamsFile> {
    let authors = pull_requests.iter().filter_map(|pull_request| pull_request.author.as_ref());
    let people: BTreeMap<&ExternalId, &Author> =
        authors.filter(|author| author.kind == AccountKind::Human).map(|author| (&author.id, author)).collect();
    let members: Vec<MemberEntry> = people
        .into_values()
        .map(|author| MemberEntry {
            login: author.login.clone(),
            external_id: Some(author.id.clone()),
            other_accounts: Vec::new(),
            weight: Weight::FULL,
            period: Period::ALWAYS,
        })
        .collect();
    let team = TeamEntry { slug: EVERYONE.parse().ok()?, name: "Everyone".to_owned(), renamed_from: None, members };
    (!team.members.is_empty()).then(|| TeamsFile {
        timezone: chrono_tz::Tz::UTC,
        repositories: vec![repository.clone()],
        rules: mergeline_domain::RepoRules::default(),
        include_archived: false,
        bots: Vec::new(),
        allow_weights_above_one: false,
        min_group_size: None,
        instances: Vec::new(),
        delivery: mergeline_domain::teams_file::DeliverySettings::default(),
        access: mergeline_domain::AccessLines::default(),
        goals: Vec::new(),
        investment: Vec::new(),
        channels: Vec::new(),
        metrics: Vec::new(),
        teams: vec![team],
    })
}
