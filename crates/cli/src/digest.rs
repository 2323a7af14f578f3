//! `mergeline digest`: a team's last week, in the format of a chat or of mail.

use std::io::Write;
use std::process::ExitCode;

use chrono::{DateTime, Days, Utc};
use mergeline_domain::monday_of;
use mergeline_notifier::{DigestOptions, Message, digest, discord, mail, slack, teams, webhook};

use crate::args::{Digest, DigestFormat, Options};
use crate::database::collected;
use crate::failure::Failure;
use crate::show::chosen;
use crate::status::NOTHING;
use crate::terminal;

pub(crate) async fn run(args: &Digest, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    let mut out = terminal::stdout();
    let Some((_database, store)) = collected(options).await? else {
        // What prints bodies prints none.
        if args.format == DigestFormat::Text {
            writeln!(out, "{NOTHING}")?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let teams = chosen(&store, args.team.as_deref(), now).await?;
    let today = now.with_timezone(&store.timezone().await?).date_naive();
    let week = args.week.unwrap_or_else(|| monday_of(today) - Days::new(7));
    let wanted = DigestOptions { has_titles: !args.no_titles, page: args.page.as_deref().map(with_slash) };
    let mut messages = Vec::new();
    for team in &teams {
        messages.push(digest(&store, team, week, &wanted, now).await?);
    }
    store.close().await;
    for message in &messages {
        writeln!(out, "{}", rendered(message, args.format, now))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A JSON body is on one line, so that one ends where the next starts.
fn rendered(message: &Message, format: DigestFormat, now: DateTime<Utc>) -> String {
    match format {
        DigestFormat::Text => mail(message).text,
        DigestFormat::Html => mail(message).html,
        DigestFormat::Slack => slack(message).to_string(),
        DigestFormat::Teams => teams(message).to_string(),
        DigestFormat::Discord => discord(message).to_string(),
        DigestFormat::Webhook => webhook(message, "digest", now).to_string(),
    }
}

fn with_slash(page: &str) -> String {
    format!("{}/", page.trim_end_matches('/'))
}
