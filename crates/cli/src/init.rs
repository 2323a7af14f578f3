//! `mergeline init`: a teams file from what GitHub lists, by questions or flags.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use mergeline_domain::teams_file::{LeafTeams, TeamsDraft};
use mergeline_domain::{Login, RepoEntry, RepoName, parse_zone};
use mergeline_github::{GitHubSettings, TokenPage};

use crate::args::{Init, Options, Output, TeamSelection};
use crate::environment::variable;
use crate::failure::Failure;
use crate::github_teams::{
    ListedRepositories, Lister, checked, entries, local_zone, require_token, select, settings, several_owners, shown,
    tally, today,
};
use crate::tables::wrapped;
use crate::{prompts, terminal};

/// Where the file goes if nothing else is said, and where other commands look for it.
const USUAL_FILE: &str = "teams.yaml";

pub(crate) async fn run(args: &Init, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    let asks = !args.yes;
    if asks && !prompts::has_terminal() {
        return Err(Failure::Input(
            "standard input is not a terminal, so nothing can be asked\n  help: add --yes, which takes all teams and repositories \
             that the other flags do not name"
                .to_owned(),
        ));
    }
    let path = args.output.path();
    args.output.check(&path)?;
    let settings = with_token(settings()?, args, asks)?;
    let lister = Lister::connect(&settings, options, now)?;
    lister.check_token().await?;
    let owner = match lister.owner(&args.from).await? {
        Ok(owner) => owner,
        Err(owners) if asks => choose_owner(&owners)?,
        Err(owners) => return Err(several_owners(&owners)),
    };
    let mut found = lister.teams(&owner).await?;
    select(&mut found.leaves, &args.from.selection)?;
    let mut notes: Vec<String> = found.note.iter().cloned().collect();
    if asks {
        show_teams(&owner, &found.leaves, &notes)?;
        if args.from.selection.is_empty() && found.leaves.teams.len() > 1 {
            choose_teams(&mut found.leaves)?;
        }
    }
    let repositories = if args.from.repositories.is_empty() {
        let seen = lister.repositories(&owner).await?;
        notes.extend(seen.incomplete.as_ref().map(|reason| format!("Repositories may be missing: {reason}.")));
        if asks { choose_repositories(&owner, &seen)? } else { entries(&args.from, &owner) }
    } else {
        lister.check_repositories(&args.from.repositories).await?;
        entries(&args.from, &owner)
    };
    let zone = match args.from.timezone {
        Some(zone) => zone,
        None if asks => choose_zone()?,
        None => local_zone(),
    };
    let mut draft = TeamsDraft::from_github(owner.as_str(), &found.leaves, repositories, zone, today(now, zone));
    draft.about.extend(found.note);
    let yaml = checked(&draft)?;
    let (teams, people, amount) = tally(&draft);
    let names = shown(&draft.repositories);
    let shown_path = path.display();
    if asks && !prompts::confirm(&format!("\n{shown_path} will have {amount}; repositories: {names}. Write it?"))? {
        return Err(Failure::Input("nothing was written".to_owned()));
    }
    args.output.write(&path, &yaml)?;
    notes.extend(found.leaves.notes());
    let about_patterns = about_patterns(&draft.repositories);
    if options.json {
        notes.extend(about_patterns);
        let summary = serde_json::json!({
            "file": path, "owner": owner, "teams": teams, "people": people, "repositories": names_of(&draft.repositories),
            "notes": notes
        });
        writeln!(terminal::stdout(), "{summary}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = terminal::stdout();
    writeln!(out, "Wrote {shown_path}: {amount}; repositories: {names}.")?;
    if !asks {
        for note in &notes {
            writeln!(out, "{}", wrapped(note, 2))?;
        }
    }
    if let Some(note) = about_patterns {
        writeln!(out, "{}", wrapped(&note, 2))?;
    }
    writeln!(out, "\nLook at it, above all at who was in which team since when. Then:\n")?;
    if variable("GITHUB_PAT").is_none() && !settings_have_app() {
        writeln!(out, "  export GITHUB_PAT=…        # the token that you entered, which is stored nowhere")?;
    }
    if path != Path::new(USUAL_FILE) && variable("TEAMS_FILE").is_none_or(|named| Path::new(&named) != path) {
        writeln!(out, "  export TEAMS_FILE={shown_path}")?;
    }
    writeln!(out, "  mergeline collect\n  mergeline serve")?;
    Ok(ExitCode::SUCCESS)
}

/// What a pattern may bring: one repository that cannot be read keeps every week incomplete.
fn about_patterns(entries: &[RepoEntry]) -> Option<String> {
    let pattern = entries.iter().find(|entry| matches!(entry, RepoEntry::Pattern(_)))?;
    let owner = pattern.owner();
    Some(format!(
        "{pattern} takes every repository of that name that the token lists. One that cannot be read keeps weeks incomplete: \
         `mergeline doctor` and `mergeline collect` name it, and an entry `!{owner}/NAME` below the pattern leaves it out."
    ))
}

fn settings_have_app() -> bool {
    variable("GITHUB_APP_ID").is_some()
}

fn names_of(entries: &[RepoEntry]) -> Vec<String> {
    entries.iter().map(ToString::to_string).collect()
}

/// The settings, with a token that was entered if there is none.
fn with_token(settings: GitHubSettings, args: &Init, asks: bool) -> Result<GitHubSettings, Failure> {
    if settings.has_credentials() {
        return Ok(settings);
    }
    if !asks {
        require_token(&settings, args.from.org.as_ref())?;
    }
    let mut out = terminal::stderr();
    let page = settings.token_page(args.from.org.as_ref().map(Login::as_str));
    let permissions = TokenPage::needs();
    let what = if page.is_filled_in { "on this page, which has its permissions filled in" } else { "on this page" };
    writeln!(out, "Mergeline reads GitHub with a fine-grained token. Make one {what}:\n\n  {}\n", page.url)?;
    let choose = format!(
        "There, choose the organization as the resource owner, and the repositories. It needs these permissions, all of them \
         only to read: {permissions}. Members is one of the organization's, and lists its teams."
    );
    writeln!(out, "{}\n", wrapped(&choose, 0))?;
    loop {
        let text = prompts::ask_hidden("Token (it is not shown, and stored nowhere):")?;
        match settings.clone().with_token(&text) {
            Ok(settings) => return Ok(settings),
            Err(problem) => writeln!(out, "That is not a token: {}.", problem.message)?,
        }
    }
}

fn choose_owner(owners: &BTreeMap<String, usize>) -> Result<Login, Failure> {
    let mut out = terminal::stderr();
    if !owners.is_empty() {
        writeln!(out, "The token sees repositories of:\n")?;
        for (owner, count) in owners {
            writeln!(out, "  {owner} ({count})")?;
        }
        writeln!(out)?;
    }
    loop {
        let answer = prompts::ask("Which organization, or person?")?;
        match answer.parse() {
            Ok(login) => return Ok(login),
            Err(error) => writeln!(out, "{error}.")?,
        }
    }
}

fn show_teams(owner: &Login, leaves: &LeafTeams, notes: &[String]) -> Result<(), Failure> {
    let mut out = terminal::stderr();
    writeln!(out, "\nTeams of {owner}:\n")?;
    let width = leaves.teams.iter().map(|team| team.entry.slug.as_str().len()).max().unwrap_or_default();
    for team in &leaves.teams {
        let logins = shown(team.entry.members.iter().map(|member| &member.login));
        let line = format!("  {:width$}  {logins}", team.entry.slug.as_str());
        writeln!(out, "{}", wrapped(&line, width + 4))?;
    }
    writeln!(out)?;
    for note in notes.iter().chain(&leaves.notes()) {
        writeln!(out, "{}", wrapped(note, 2))?;
    }
    Ok(())
}

/// Words separated by blanks or commas.
fn words(answer: &str) -> Vec<String> {
    answer.split([',', ' ', '\t']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn choose_teams(leaves: &mut LeafTeams) -> Result<(), Failure> {
    loop {
        let question = format!("Which teams? Write their names, or nothing for all {}:", leaves.teams.len());
        let teams = words(&prompts::ask(&question)?);
        let selection = TeamSelection { teams, skipped: Vec::new() };
        match select(leaves, &selection) {
            Ok(()) => return Ok(()),
            Err(failure) => writeln!(terminal::stderr(), "{failure}")?,
        }
    }
}

fn choose_repositories(owner: &Login, listed: &ListedRepositories) -> Result<Vec<RepoEntry>, Failure> {
    let mut out = terminal::stderr();
    let archived = match listed.archived {
        0 => String::new(),
        count => format!(" ({count} archived ones are left out)"),
    };
    let names = shown(listed.active.iter().map(RepoName::name));
    writeln!(out, "\n{}", wrapped(&format!("Repositories of {owner}{archived}: {names}."), 2))?;
    if let Some(reason) = &listed.incomplete {
        writeln!(out, "{}", wrapped(&format!("Some may be missing: {reason}."), 2))?;
    }
    loop {
        let question = format!(
            "Which repositories? Write names or patterns such as web-*, or nothing for {owner}/*: all of them, and later ones."
        );
        let answer = prompts::ask(&wrapped(&question, 0))?;
        match repository_entries(owner, &words(&answer), listed) {
            Ok(entries) => return Ok(entries),
            Err(message) => writeln!(out, "{message}")?,
        }
    }
}

/// The entries for the answer, where names need no owner.
fn repository_entries(owner: &Login, words: &[String], listed: &ListedRepositories) -> Result<Vec<RepoEntry>, String> {
    if words.is_empty() {
        return format!("{owner}/*")
            .parse()
            .map(|all| vec![all])
            .map_err(|error: mergeline_domain::NameError| error.reason);
    }
    let mut entries: Vec<RepoEntry> = Vec::new();
    for word in words {
        let text = if word.contains('/') { word.clone() } else { format!("{owner}/{word}") };
        let entry: RepoEntry = text.parse().map_err(|error: mergeline_domain::NameError| format!("{error}."))?;
        let is_seen = match &entry {
            RepoEntry::Name(name) => name.owner() != owner.as_str() || listed.active.contains(name),
            other => listed.active.iter().any(|name| other.matches(name)),
        };
        if !is_seen {
            return Err(format!("The token sees no active repository `{text}`."));
        }
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    Ok(entries)
}

fn choose_zone() -> Result<Tz, Failure> {
    let local = local_zone();
    loop {
        let answer = prompts::ask(&format!("Time zone in which days and weeks start [{}]:", local.name()))?;
        if answer.is_empty() {
            return Ok(local);
        }
        match parse_zone(&answer) {
            Some(zone) => return Ok(zone),
            None => writeln!(terminal::stderr(), "`{answer}` is not a time zone: write a name such as Europe/Oslo.")?,
        }
    }
}

impl Output {
    /// Where the file goes: the flag, else where other commands look for it.
    fn path(&self) -> PathBuf {
        let named = || variable("TEAMS_FILE").map(PathBuf::from);
        self.output.clone().or_else(named).unwrap_or_else(|| PathBuf::from(USUAL_FILE))
    }

    /// Refuses a file that exists, unless it may be replaced.
    pub(crate) fn check(&self, path: &Path) -> Result<(), Failure> {
        if self.force || !path.exists() {
            return Ok(());
        }
        Err(exists(path))
    }

    /// Writes a file.
    pub(crate) fn write(&self, path: &Path, text: &str) -> Result<(), Failure> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true);
        let options = if self.force { options.create(true).truncate(true) } else { options.create_new(true) };
        let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => exists(path),
            _ => Failure::Input(format!("cannot write {}: {error}", path.display())),
        })
    }
}

fn exists(path: &Path) -> Failure {
    Failure::Input(format!(
        "{} exists already, and nothing was written\n  help: name another file with --output, or replace this one with --force",
        path.display()
    ))
}
