//! `mergeline prune`: shows and deletes pull requests that are too old.

use std::io::Write;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use mergeline_domain::{count_of, start_of_day};
use mergeline_store::{Count, Prunable};

use crate::args::{Options, Prune};
use crate::database::collected;
use crate::failure::Failure;
use crate::tables::{counts_table, local, wrapped};
use crate::terminal;

pub(crate) async fn run(args: &Prune, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    let Some((_database, store)) = collected(options).await? else {
        return Err(Failure::Input("nothing was ever collected here: there is nothing to prune".to_owned()));
    };
    let zone = store.timezone().await?;
    let before = start_of_day(args.before, zone);
    if before > now {
        let today = now.with_timezone(&zone).date_naive();
        return Err(Failure::Input(format!(
            "--before {} is in the future: it would delete everything, and what is collected until then\n  help: write a day up to \
             today, {today} ({zone})",
            args.before
        )));
    }
    let found = store.prunable(before).await?;
    if args.yes {
        let mut after = store.prune(before, 0).await?;
        while let Some(number) = after {
            after = store.prune(before, number).await?;
        }
    }
    let kept_since = store.kept_since().await?;
    store.close().await;
    let mut out = terminal::stdout();
    if options.json {
        let Prunable { pull_requests, shares, remaining } = &found;
        let answer = serde_json::json!({
            "pruned": args.yes,
            "before": before,
            "found": { "pull_requests": pull_requests, "shares": shares },
            "remaining": { "pull_requests": remaining },
            "kept_since": kept_since,
        });
        writeln!(out, "{answer}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let at = local(before, zone);
    let sum = |counts: &[Count]| counts.iter().map(|count| count.count).sum::<i64>();
    let (gone, stay) = (sum(&found.pull_requests), count_of(sum(&found.remaining), "pull request"));
    if gone > 0 {
        let kinds: [(&str, &[Count]); 3] = [
            ("pull requests", &found.pull_requests),
            ("shares of teams", &found.shares),
            ("remaining", &found.remaining),
        ];
        writeln!(out, "Merged or closed before {at}:\n{}\n", counts_table(&kinds))?;
    } else {
        writeln!(out, "No stored pull request was merged or closed before {at}.")?;
    }
    let text = match (args.yes, kept_since) {
        (false, Some(since)) if since >= before => {
            format!("Pull requests are already kept only since {}: --yes changes nothing.", local(since, zone))
        }
        (false, _) => format!(
            "Nothing is deleted yet. With --yes this is deleted permanently: it is not read again, even with a larger \
             BACKFILL_DAYS, and nothing before {at} counts as complete. {stay} stay, including open ones."
        ),
        (true, since) => format!(
            "{} deleted, {stay} stay. Pull requests are kept since {}: nothing before that is complete or read \
             again.",
            count_of(gone, "pull request"),
            local(since.unwrap_or(before), zone)
        ),
    };
    writeln!(out, "{}", wrapped(&text, 0))?;
    Ok(ExitCode::SUCCESS)
}
