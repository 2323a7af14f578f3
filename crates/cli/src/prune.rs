//! `mergeline prune`: pull requests that are too old, and their end.

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
            "--before {} is in the future: everything would go, and what is collected until then\n  help: write a day up to \
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
            ("that stay", &found.remaining),
        ];
        writeln!(out, "Merged or closed before {at}:\n{}\n", counts_table(&kinds))?;
    } else {
        writeln!(out, "Nothing that is stored was merged or closed before {at}.")?;
    }
    let text = match (args.yes, kept_since) {
        (false, Some(since)) if since >= before => {
            format!("Pull requests are kept since {} already: --yes changes nothing.", local(since, zone))
        }
        (false, _) => format!(
            "Nothing is deleted yet. With --yes this goes for good, is not read again however far back BACKFILL_DAYS goes, and \
             nothing before {at} is called complete any more. {stay} stay, open ones among them."
        ),
        (true, since) => format!(
            "{} deleted, {stay} stay. Pull requests are kept since {}: before that nothing is complete, and nothing is read \
             again.",
            count_of(gone, "pull request"),
            local(since.unwrap_or(before), zone)
        ),
    };
    writeln!(out, "{}", wrapped(&text, 0))?;
    Ok(ExitCode::SUCCESS)
}
