//! `mergeline demo`: a made-up organization, collected and served by the real code.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Utc};
use mergeline_api::{AllowedHosts, Api, Login, router};
use mergeline_collector::{Settings, TeamsSource};
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::FakeGitHub;
use mergeline_fake_github::synthetic::organization;
use mergeline_github::GitHub;
use mergeline_store::{ApplyOptions, Poster, Reader, Writer};
use mergeline_webhooks::WebhookSecrets;
use tokio::net::TcpListener;

use crate::args::{Demo, Options};
use crate::collecting::{USUAL_RANGE, collect_with_progress, print_report};
use crate::database::{Database, actor};
use crate::environment::variable;
use crate::failure::Failure;
use crate::tables::{Layout, wrapped};
use crate::terminal;
use crate::webhooks::ChangeReader;
use crate::{serve, show};

/// The time limit for a request to the demo's API.
const TIMEOUT: Duration = Duration::from_secs(5);
/// GitHub answers 404 for what a token may not see.
const NOT_VISIBLE: u16 = 404;

pub(crate) async fn run(args: &Demo, options: &Options, clock: fn() -> DateTime<Utc>) -> Result<ExitCode, Failure> {
    let now = clock();
    let mut out = terminal::stdout();
    if !args.listen.address.ip().is_loopback() {
        return Err(Failure::Input("the demo is open to anyone who can reach it: listen on 127.0.0.1".to_owned()));
    }
    let hosts = AllowedHosts::from_vars(variable)?.and(&args.listen.host);
    let secrets = WebhookSecrets::from_vars(variable)?;
    // Bind first, to report a port in use right away.
    let listener = if args.no_serve { None } else { Some(serve::listen(args.listen.address).await?) };
    let organization = organization(now);
    let github = FakeGitHub::start().await?;
    github.put_organization(&organization);
    let database = Database::throwaway().await?;
    let settings = Settings::from_vars(|name| match name {
        "DB_URL" => database.lookup(name),
        "GITHUB_API_URL" => Some(github.url()),
        "GITHUB_PAT" => Some(FakeGitHub::TOKEN.to_owned()),
        _ => None,
    })?;
    let settings = Settings { teams: TeamsSource::Usual, ..settings };
    let store = Writer::connect(&settings.database, actor());
    store.migrate().await?;
    let file = TeamsFile::parse("the demo's teams file", organization.teams_file.as_bytes())?;
    store.apply(&file, ApplyOptions::default(), now).await?;
    let connected = GitHub::connect(&settings.github)?.into();
    let first = collect_with_progress(&connected, &store, &settings, false, options, now).await?;
    // Stored data still counts and earlier weeks stay complete: a failure does not affect the past.
    github.break_repository(organization.lost_repository, Some(NOT_VISIBLE));
    let report = collect_with_progress(&connected, &store, &settings, false, options, clock()).await?;
    let address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
    // With --json, standard output is for machines only.
    let for_people =
        || -> Box<dyn Write> { if options.json { Box::new(terminal::stderr()) } else { Box::new(terminal::stdout()) } };
    if let Some(address) = address {
        let mut out = for_people();
        writeln!(out, "Open http://{address}/v1/app/ in a browser. It runs until Ctrl-C.\n")?;
        out.flush()?;
    }
    if !options.json {
        let opening = "Everything below is SYNTHETIC: a made-up organization, served by a fake GitHub on this machine, collected by \
                       the real collector into a private PostgreSQL that is deleted at the end.\n";
        writeln!(out, "{}", wrapped(opening, 0))?;
        for peculiarity in &organization.peculiarities {
            writeln!(out, "{}", wrapped(&format!("  - {peculiarity}"), 4))?;
        }
        writeln!(out)?;
    }
    if !options.json {
        print_report(&first, options)?;
    }
    print_report(&report, options)?;
    if !options.json {
        writeln!(out, "\n{}", show::everything(&store, USUAL_RANGE, true, clock(), Layout::Terminal).await?)?;
    }
    if let Some((listener, address)) = listener.zip(address) {
        let mut out = for_people();
        writeln!(out, "\nIn another terminal:\n")?;
        for path in [
            "v1/teams",
            "v1/metrics/team/payments/velocity",
            "v1/metrics/team/platform/lead-time?tz=UTC",
            "v1/metrics/dora?days=90&edition=dora-2024",
            "v1/deployments?team=payments&last=P4W",
            "v1/state",
        ] {
            writeln!(out, "  curl -s 'http://{address}/{path}'")?;
        }
        for plugin in secrets.plugins() {
            writeln!(out, "  Webhooks: POST http://{address}/v1/webhook/{plugin}")?;
        }
        writeln!(
            out,
            "\nWith your own repositories: `mergeline init`, then `GITHUB_PAT=… mergeline collect` and `mergeline serve`."
        )?;
        writeln!(out, "\nThe page: http://{address}/v1/app/ (until Ctrl-C)")?;
        out.flush()?;
        drop(out);
        let reader = Reader::connect(&settings.database);
        let poster = Poster::connect(&settings.database);
        let fingerprint = settings.database.fingerprint();
        let changes = ChangeReader::new(connected, store.clone(), settings, clock);
        let webhooks = changes.webhooks(secrets);
        let api = Api {
            poster: Some(poster.clone()),
            webhooks,
            hosts: Some(hosts),
            page: Some(Login::None),
            database: fingerprint,
            ..Api::new(reader.clone(), TIMEOUT, clock)
        };
        tokio::select! {
            ended = serve::until_interrupted(listener, router(api), &reader, &poster) => ended?,
            () = changes.run() => {}
        }
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}
