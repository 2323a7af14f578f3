//! `mergeline teams draft`, `drift` and `import`: teams files from GitHub's teams and from tables.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use mergeline_domain::teams_file::{Columns, Drift, PeopleCsv, TeamDrift, TeamState, TeamsDraft, TeamsFile};
use mergeline_domain::{Login, RepoEntry, RepoName, RepoPattern, count_of};

use crate::args::{DraftTeams, DriftArgs, ImportPeople, Options, Output};
use crate::collecting::teams_source;
use crate::failure::{Failure, PARTIAL};
use crate::github_teams::{
    Lister, checked, entries, local_zone, only, require_token, select, settings, several_owners, shown, tally, today,
};
use crate::tables::wrapped;
use crate::terminal;

/// `mergeline teams draft`
pub(crate) async fn draft(args: &DraftTeams, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    check_output(&args.output)?;
    let settings = settings()?;
    require_token(&settings, args.from.org.as_ref())?;
    let lister = Lister::connect(&settings, options, now)?;
    let owner = lister.owner(&args.from).await?.map_err(|owners| several_owners(&owners))?;
    let mut found = lister.teams(&owner).await?;
    select(&mut found.leaves, &args.from.selection)?;
    let zone = args.from.timezone.unwrap_or_else(local_zone);
    lister.check_repositories(&args.from.repositories).await?;
    let entries = entries(&args.from, &owner);
    let mut draft = TeamsDraft::from_github(owner.as_str(), &found.leaves, entries, zone, today(now, zone));
    draft.about.extend(found.note);
    give(&draft, &args.output, options)
}

fn check_output(output: &Output) -> Result<(), Failure> {
    output.output.as_deref().map_or(Ok(()), |path| output.check(path))
}

/// Prints a draft, or writes it into the file that was named.
fn give(draft: &TeamsDraft, output: &Output, options: &Options) -> Result<ExitCode, Failure> {
    let yaml = checked(draft)?;
    let (teams, people, amount) = tally(draft);
    let mut out = terminal::stdout();
    if let Some(path) = &output.output {
        output.write(path, &yaml)?;
        if options.json {
            writeln!(out, "{}", serde_json::json!({ "file": path, "teams": teams, "people": people }))?;
        } else {
            writeln!(out, "Wrote {}: {amount}.", path.display())?;
        }
    } else if options.json {
        writeln!(out, "{}", serde_json::json!({ "text": yaml, "teams": teams, "people": people }))?;
    } else {
        out.write_all(yaml.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `mergeline teams drift`
pub(crate) async fn drift(args: &DriftArgs, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    let file = teams_source(args.teams.file.as_ref())?.load_required()?;
    let settings = settings()?;
    let owner = match &args.org {
        Some(login) => login.clone(),
        None => only_owner(&file)?,
    };
    require_token(&settings, Some(&owner))?;
    let listed = Lister::connect(&settings, options, now)?.teams(&owner).await?;
    // Without teams at GitHub, only a file that was drafted so can be compared.
    if let Some(note) = listed.note.as_ref().filter(|_| !is_team(&file, owner.as_str())) {
        return Err(Failure::Other(anyhow::anyhow!(
            "there is nothing to compare with: {note}\n  help: check --org, and whether the token may see its teams"
        )));
    }
    let selection = &args.selection;
    let is_known = |name: &&String| is_team(&file, name) || listed.leaves.teams.iter().any(|team| team.is_called(name));
    if let Some(name) = selection.teams.iter().find(|name| !is_known(name)) {
        let known = shown(file.teams.iter().map(|team| &team.slug));
        return Err(Failure::Input(format!(
            "`{name}` is not a team of the file or at GitHub\n  help: the teams of the file are: {known}"
        )));
    }
    let is_compared = |name: &str| {
        let is_named = |names: &[String]| names.iter().any(|it| it.eq_ignore_ascii_case(name));
        (selection.teams.is_empty() || is_named(&selection.teams)) && !is_named(&selection.skipped)
    };
    let drift = Drift::between(&file, &listed.leaves, now, is_compared);
    let lines = drift.to_yaml(file.timezone);
    let mut out = terminal::stdout();
    if options.json {
        let teams: Vec<_> = drift.teams.iter().map(as_json).collect();
        let report =
            serde_json::json!({ "owner": owner, "teams": teams, "undecided": drift.undecided, "lines": lines });
        writeln!(out, "{report}")?;
    } else if drift.is_empty() {
        writeln!(out, "The teams file agrees with GitHub's teams of {owner}.")?;
    } else {
        writeln!(out, "The teams file differs from GitHub's teams of {owner}:\n")?;
        for team in &drift.teams {
            writeln!(out, "{}", wrapped(&format!("  {}", sentence(team)), 4))?;
        }
        if !drift.undecided.is_empty() {
            let logins = shown(&drift.undecided);
            let note = format!("No lines are proposed for {logins}: lines about them start later, so decide yourself.");
            writeln!(out, "\n{}", wrapped(&note, 2))?;
        }
        if !lines.is_empty() {
            writeln!(
                out,
                "\nNothing was changed. To follow GitHub from today on, copy these lines into the file, and correct dates and\n\
                 weights (`to` is the first day after, in {}):\n",
                file.timezone.name()
            )?;
            write!(out, "{lines}")?;
        }
    }
    Ok(if drift.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(PARTIAL) })
}

fn is_team(file: &TeamsFile, name: &str) -> bool {
    file.teams.iter().any(|team| team.slug.as_str().eq_ignore_ascii_case(name))
}

/// The owner of the file's repositories, if it is only one.
fn only_owner(file: &TeamsFile) -> Result<Login, Failure> {
    let named = file.repositories.iter().map(RepoName::owner);
    let owners: std::collections::BTreeSet<&str> = named.chain(file.rules.patterns().map(RepoPattern::owner)).collect();
    only(&owners).map(|owner| Login::from_github(owner)).ok_or_else(|| {
        Failure::Input(format!(
            "it is not known whose teams are meant\n  help: name one with --org; the file has repositories of {}",
            shown(&owners)
        ))
    })
}

fn as_json(team: &TeamDrift) -> serde_json::Value {
    let (state, to) = match &team.state {
        TeamState::Known => ("changed", None),
        TeamState::New { .. } => ("new", None),
        TeamState::Missing => ("missing", None),
        TeamState::Renamed { to } => ("renamed", Some(to)),
    };
    serde_json::json!({ "slug": team.slug, "state": state, "to": to, "joined": team.joined, "left": team.left })
}

/// What happened to a team.
fn sentence(team: &TeamDrift) -> String {
    let mut parts = Vec::new();
    match &team.state {
        TeamState::Known => {}
        TeamState::New { .. } => parts.push("is new at GitHub".to_owned()),
        TeamState::Missing => parts.push("is not at GitHub, or has nobody there".to_owned()),
        TeamState::Renamed { to } => parts.push(format!("may be called {to} at GitHub now, which has the same people")),
    }
    if !team.joined.is_empty() {
        parts.push(format!("joined: {}", shown(&team.joined)));
    }
    if !team.left.is_empty() && team.state != TeamState::Missing {
        parts.push(format!("left: {}", shown(&team.left)));
    }
    if parts.is_empty() {
        parts.push("other weights, because of the changes elsewhere".to_owned());
    }
    format!("{}: {}", team.slug, parts.join("; "))
}

/// `mergeline teams import`
pub(crate) fn import(args: &ImportPeople, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    check_output(&args.output)?;
    let source = args.file.display().to_string();
    let file = match &args.add_to {
        Some(path) => Some(teams_source(Some(path))?.load_required()?),
        None if args.repositories.is_empty() => {
            return Err(Failure::Input(
                "a teams file needs repositories, which the table does not have\n  help: name them with --repository, for example \
                 --repository 'acme/*'; or use --add-to teams.yaml for lines to add to a file"
                    .to_owned(),
            ));
        }
        None => None,
    };
    let bytes = std::fs::read(&args.file).map_err(|error| Failure::Input(format!("cannot read {source}: {error}")))?;
    let zone = file.as_ref().map(|file| file.timezone).or(args.timezone).unwrap_or_else(local_zone);
    let columns: Columns = args.columns.iter().cloned().collect();
    let people = PeopleCsv::parse(&source, &bytes, &columns, zone, file.as_ref())?;
    if !people.ignored.is_empty() && !options.json {
        writeln!(terminal::stderr(), "Ignored columns: {}.", people.ignored.join(", "))?;
    }
    let Some(file) = file else {
        let repositories: Vec<RepoEntry> = args.repositories.clone();
        let name = args.file.file_name().map_or_else(|| source.clone(), |name| name.to_string_lossy().into_owned());
        let draft = people.into_draft(&name, repositories, zone, today(now, zone));
        return give(&draft, &args.output, options);
    };
    let lines = people.to_additions(&file);
    let members = people.members();
    let mut out = terminal::stdout();
    if let Some(path) = &args.output.output {
        args.output.write(path, &lines)?;
    }
    if options.json {
        writeln!(out, "{}", serde_json::json!({ "lines": lines, "memberships": members, "known": people.known }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut summary = String::new();
    if people.known > 0 {
        let _ = write!(summary, "{} of the table are in the file already. ", count_of(people.known, "row"));
    }
    if members == 0 {
        summary.push_str("There is nothing to add.");
    } else {
        let _ = write!(summary, "{} to add.", count_of(members, "membership"));
    }
    writeln!(terminal::stderr(), "{summary}")?;
    if args.output.output.is_none() {
        out.write_all(lines.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}
