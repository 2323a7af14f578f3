//! Properties that hold for every teams file, for any bytes. The fuzz target and the corpus test call them.

#[cfg(test)]
mod corpus;

use std::collections::HashSet;

use chrono::Datelike;
use serde_json::{Value, json};

use crate::teams_file::TeamsFile;
use crate::{Forge, Login, Position, Problems, Weight};

/// Above this many memberships, only the code's own check covers the sums, because the check here is slow.
const SUMMED_MEMBERS: usize = 200;

/// Parses bytes as a teams file and as environment variables. Returns whether the file was accepted.
///
/// # Panics
/// If a problem points outside the text or cannot be displayed, if an accepted file breaks a rule of the format or
/// reads differently after it is written out, or if a second read gives a different result.
pub fn teams_file(bytes: &[u8]) -> bool {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let variables = || TeamsFile::parse_variables(text, "acme/api, acme/web-*");
        check(&variables(), &variables());
    }
    let file = || TeamsFile::parse("teams.yaml", bytes);
    let parsed = file();
    check(&parsed, &file());
    parsed.is_ok()
}

fn check(parsed: &Result<TeamsFile, Problems>, again: &Result<TeamsFile, Problems>) {
    assert_eq!(parsed, again, "the second reading differs");
    match parsed {
        Ok(file) => check_accepted(file),
        Err(problems) => check_problems(problems),
    }
}

fn check_problems(problems: &Problems) {
    assert!(!problems.list.is_empty(), "refused without a reason");
    let lines = Lines::of(&problems.text);
    for problem in &problems.list {
        assert!(problem.code.starts_with("config."), "the code {}", problem.code);
        assert!(!problem.message.is_empty(), "{}: no message", problem.code);
        assert!(problem.help.as_ref().is_some_and(|help| !help.is_empty()), "{}: no help", problem.code);
        for at in [problem.at, problem.related].into_iter().flatten() {
            assert!(lines.hold(at), "{}: {at} is outside of the text", problem.code);
        }
        if problem.code == "config.encoding" {
            let found = problem.at.and_then(|at| lines.character(at));
            assert_eq!(found, Some(char::REPLACEMENT_CHARACTER), "the place is not the first broken character");
        }
    }
    assert!(problems.list.is_sorted_by_key(|problem| problem.at), "the problems are out of order");
    let shown = problems.to_string();
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "a terminal would obey {shown:?}");
}

/// The lines of a text as YAML breaks them.
struct Lines(Vec<Vec<char>>);

impl Lines {
    fn of(text: &str) -> Self {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        Self(text.split('\n').map(|line| line.chars().collect()).collect())
    }

    /// Whether a place is a character of the text or the end of a line.
    fn hold(&self, at: Position) -> bool {
        at.line >= 1 && at.column >= 1 && self.0.get(at.line - 1).is_some_and(|line| at.column <= line.len() + 1)
    }

    fn character(&self, at: Position) -> Option<char> {
        self.0.get(at.line - 1)?.get(at.column - 1).copied()
    }
}

fn check_accepted(file: &TeamsFile) {
    assert!(!file.teams.is_empty(), "no teams");
    assert!(!file.repositories.is_empty() || !file.rules.is_empty(), "no repositories");
    let repositories: HashSet<_> = file.repositories.iter().collect();
    assert_eq!(repositories.len(), file.repositories.len(), "a repository twice");
    let patterns: HashSet<_> = file.rules.patterns().collect();
    assert_eq!(patterns.len(), file.rules.patterns().count(), "a pattern twice");
    let slugs: HashSet<_> = file.teams.iter().map(|team| &team.slug).collect();
    assert_eq!(slugs.len(), file.teams.len(), "a slug twice");
    for team in &file.teams {
        assert!((1..=100).contains(&team.name.chars().count()), "the name {:?}", team.name);
        assert!(!team.name.chars().any(char::is_control), "the name {:?}", team.name);
        for member in &team.members {
            assert!((1..=Weight::UNITS).contains(&member.weight.units()), "the weight {}", member.weight);
            assert!(
                member.external_id.as_ref().is_none_or(|id| id.as_str().parse().is_ok_and(|id: i64| id > 0)),
                "the number {:?}",
                member.external_id
            );
            for at in [member.period.from(), member.period.to()].into_iter().flatten() {
                assert!((1970..2200).contains(&at.year()), "the time {at}");
            }
        }
        for (index, member) in team.members.iter().enumerate().take(SUMMED_MEMBERS) {
            let overlaps = |other: &&super::teams_file::MemberEntry| {
                other.login == member.login && other.period.overlaps(&member.period)
            };
            assert!(!team.members[..index].iter().any(|other| overlaps(&other)), "{} twice at once", member.login);
        }
    }
    assert!(file.min_group_size.is_none_or(|size| (2..=100).contains(&size)), "groups of {:?}", file.min_group_size);
    if !file.allow_weights_above_one {
        check_sums(file);
    }
    let written = written(file);
    let read = TeamsFile::parse("written", written.as_bytes());
    assert_eq!(read.as_ref(), Ok(file), "written out it reads differently: {written}");
}

/// No one's concurrent weights sum to more than 1, at the start of any membership.
fn check_sums(file: &TeamsFile) {
    let members: Vec<_> = file.teams.iter().flat_map(|team| &team.members).collect();
    if members.len() > SUMMED_MEMBERS {
        return;
    }
    for start in &members {
        let holds = |period: &crate::Period| match start.period.from() {
            Some(at) => period.contains(at),
            None => period.from().is_none(),
        };
        let of_this_person = members.iter().filter(|other| other.login == start.login && holds(&other.period));
        let sum: u32 = of_this_person.map(|other| u32::from(other.weight.units())).sum();
        assert!(sum <= u32::from(Weight::UNITS), "the weights of {} sum to {sum}", start.login);
    }
}

/// The file as JSON, which is also YAML, with everything spelled out.
fn written(file: &TeamsFile) -> String {
    // A named repository counts even if an earlier pattern excludes it.
    let mut repositories = Vec::<String>::from(file.rules.clone());
    repositories.extend(file.repositories.iter().map(ToString::to_string));
    let teams = file.teams.iter().map(|team| {
        let members = team.members.iter().map(|member| {
            let at = |forge| member.logins().find(|login| login.forge() == forge).map(Login::as_str);
            let id = member.external_id.as_ref().and_then(|id| id.as_str().parse::<i64>().ok());
            without_nulls(json!({
                "github": at(Forge::GitHub), "gitlab": at(Forge::GitLab), "id": id, "weight": member.weight,
                "from": member.period.from().map(|at| at.to_rfc3339()),
                "to": member.period.to().map(|at| at.to_rfc3339()),
            }))
        });
        let members: Vec<_> = members.collect();
        let team =
            json!({ "slug": team.slug, "name": team.name, "renamed_from": team.renamed_from, "members": members });
        without_nulls(team)
    });
    json!({
        "version": 1, "timezone": file.timezone.name(), "repositories": repositories,
        "include_archived": file.include_archived, "bots": file.bots,
        "allow_weights_above_one": file.allow_weights_above_one,
        "privacy": without_nulls(json!({ "min_group_size": file.min_group_size })), "instances": file.instances,
        "teams": teams.collect::<Vec<_>>(),
    })
    .to_string()
}

/// An object without its unset values: every key in a file has a value.
fn without_nulls(mut object: Value) -> Value {
    if let Some(entries) = object.as_object_mut() {
        entries.retain(|_, value| !value.is_null());
    }
    object
}
