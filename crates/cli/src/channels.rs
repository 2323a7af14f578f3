//! `mergeline notify` and `mergeline channels`: messages to the channels of the teams file.

use std::io::Write;
use std::process::ExitCode;

use anyhow::anyhow;
use chrono::{DateTime, Utc};
use mergeline_domain::count_of;
use mergeline_domain::messages::ChannelEntry;
use mergeline_notifier::{
    Answer, NotifyError, NotifySettings, Sender, SenderError, body_of, deliver, due, plan, sample, test_channel, unsent,
};
use mergeline_store::Writer;

use crate::args::{Channels, Notify, Options, TestChannel};
use crate::database::collected;
use crate::environment::variable;
use crate::failure::{Failure, PARTIAL};
use crate::status::NOTHING;
use crate::terminal;

/// What is said where the teams file has no channels.
const NO_CHANNELS: &str =
    concat!("The teams file has no channels. ", page_of_docs!("messages.md"), " says how to add one.");

impl From<NotifyError> for Failure {
    fn from(error: NotifyError) -> Self {
        match error {
            NotifyError::Store(error) => error.into(),
            NotifyError::Report(error) => error.into(),
        }
    }
}

impl From<SenderError> for Failure {
    fn from(error: SenderError) -> Self {
        match error {
            SenderError::Problems(problems) => problems.into(),
            SenderError::NoAuthorities(error) => Self::Other(error.into()),
        }
    }
}

/// `mergeline notify`
pub(crate) async fn notify(
    args: &Notify,
    options: &Options,
    clock: fn() -> DateTime<Utc>,
) -> Result<ExitCode, Failure> {
    let mut out = terminal::stdout();
    let settings = NotifySettings::from_vars(variable)?;
    let sender = Sender::from_vars(variable, None)?;
    let Some((_database, store)) = collected(options).await? else {
        writeln!(out, "{NOTHING}")?;
        return Ok(ExitCode::SUCCESS);
    };
    if store.channels().await?.is_empty() {
        writeln!(out, "{NO_CHANNELS}")?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.print {
        print(&store, &settings, clock()).await?;
        store.close().await;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(changes) = plan(&store, &settings, clock()).await? {
        let dropped = if changes.dropped > 0 { format!(", {} no longer true", changes.dropped) } else { String::new() };
        writeln!(out, "{} to say{dropped}.", count_of(changes.added, "new message"))?;
    }
    let mut failed = false;
    for channel in due(&store, clock()).await? {
        let delivered = deliver(&store, &sender, &channel, clock).await?;
        writeln!(out, "{}: {} sent", channel.id, count_of(delivered.sent, "message"))?;
        for problem in &delivered.problems {
            failed = true;
            writeln!(out, "  not sent: {problem}")?;
        }
        if let Some(next) = delivered.next_at {
            writeln!(out, "  more from {} on", next.format("%Y-%m-%d %H:%MZ"))?;
        }
    }
    for status in store.channel_statuses(clock()).await? {
        let waits = status.next_try_at.filter(|at| *at > clock() && status.waiting > 0);
        if let (Some(at), Some(why)) = (waits, &status.problem) {
            failed = true;
            let waiting = count_of(status.waiting, "message");
            writeln!(out, "{}: {waiting} waiting, off until {}: {why}", status.channel, at.format("%Y-%m-%d %H:%MZ"))?;
        }
    }
    store.close().await;
    Ok(if failed { ExitCode::from(PARTIAL) } else { ExitCode::SUCCESS })
}

/// What would be sent, in the format of each channel.
async fn print(store: &Writer, settings: &NotifySettings, now: DateTime<Utc>) -> Result<(), Failure> {
    let mut out = terminal::stdout();
    let unsent = Box::pin(unsent(store, settings, now)).await?;
    if unsent.is_empty() {
        writeln!(out, "There is nothing to send.")?;
    }
    for (channel, due_at, kind, message) in unsent {
        let from =
            if due_at <= now { "now".to_owned() } else { format!("from {} on", due_at.format("%Y-%m-%d %H:%MZ")) };
        writeln!(out, "# {} ({}, {kind}), {from}", channel.id, channel.kind)?;
        writeln!(out, "{}", body_of(channel.kind, &message, &kind.to_string(), now))?;
    }
    Ok(())
}

/// `mergeline channels …`
pub(crate) async fn channels(command: &Channels, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    let sender = Sender::from_vars(variable, None)?;
    let Some((_database, store)) = collected(options).await? else {
        writeln!(terminal::stdout(), "{NOTHING}")?;
        return Ok(ExitCode::SUCCESS);
    };
    let code = match command {
        Channels::List => list(&store, &sender, options, now).await,
        Channels::Test(args) => test(&store, &sender, args, now).await,
    };
    store.close().await;
    code
}

async fn list(store: &Writer, sender: &Sender, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    let mut out = terminal::stdout();
    let channels = store.channels().await?;
    let statuses = store.channel_statuses(now).await?;
    let status_of = |channel: &ChannelEntry| statuses.iter().find(|status| status.channel == channel.id.as_str());
    if options.json {
        let rows: Vec<_> = channels
            .iter()
            .map(|channel| {
                let problem = sender.problem_of(&channel.id, channel.kind);
                serde_json::json!({ "channel": channel, "address_problem": problem, "messages": status_of(channel) })
            })
            .collect();
        writeln!(out, "{}", serde_json::to_string(&rows)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if channels.is_empty() {
        writeln!(out, "{NO_CHANNELS}")?;
    }
    for channel in &channels {
        writeln!(out, "{channel}")?;
        if let Some(problem) = sender.problem_of(&channel.id, channel.kind) {
            writeln!(out, "  cannot be sent to: {problem}")?;
        }
        let Some(status) = status_of(channel) else {
            writeln!(out, "  nothing was sent to it yet")?;
            continue;
        };
        let (sent, failed, unknown, waiting) = (status.sent, status.failed, status.unknown, status.waiting);
        writeln!(out, "  last 7 days: {sent} sent, {failed} failed, {unknown} unknown; {waiting} waiting")?;
        if let Some(since) = status.off_since {
            let next = status.next_try_at.map(|at| format!(", tried again at {}", at.format("%Y-%m-%d %H:%MZ")));
            writeln!(out, "  off since {}{}", since.format("%Y-%m-%d %H:%MZ"), next.unwrap_or_default())?;
        }
        if let Some(problem) = &status.problem {
            writeln!(out, "  last problem: {problem}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn test(store: &Writer, sender: &Sender, args: &TestChannel, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    let mut out = terminal::stdout();
    let channels = store.channels().await?;
    let Some(channel) = channels.iter().find(|channel| channel.id.as_str() == args.channel) else {
        let known: Vec<&str> = channels.iter().map(|channel| channel.id.as_str()).collect();
        let known = if known.is_empty() { NO_CHANNELS.to_owned() } else { format!("there are: {}", known.join(", ")) };
        return Err(Failure::Input(format!(
            "no channel `{}` in the teams file that was applied; {known}",
            args.channel
        )));
    };
    let settings = NotifySettings::from_vars(variable)?;
    if args.print {
        writeln!(out, "{}", body_of(channel.kind, &sample(channel, &settings), "test", now))?;
        return Ok(ExitCode::SUCCESS);
    }
    match test_channel(store, sender, channel, &settings, now).await? {
        Answer::Taken => {
            writeln!(out, "{}: the service took it. Look whether it arrived.", channel.id)?;
            Ok(ExitCode::SUCCESS)
        }
        answer => Err(Failure::Other(anyhow!("{}: {}", channel.id, answer.problem().unwrap_or_default()))),
    }
}
