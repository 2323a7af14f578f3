//! Reads the tree into a draft of the teams file and records every problem on the way.

use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz;

use super::delivery::DeliveryDraft;
use super::goals::GoalEntry;
use super::investment::InvestmentEntry;
use super::tree::{Key, Node, Value};
use super::{InstanceEntry, MemberEntry, TeamEntry, TeamsFile};
use crate::insight::CustomMetric;
use crate::messages::ChannelEntry;
use crate::names::is_invisible;
use crate::{
    AccessLine, AccessLines, ExternalId, Forge, Login, NameError, Period, Position, Problem, RepoEntry, RepoName,
    RepoRules, TeamSlug, Weight, parse_zone, start_of_day,
};

pub(super) const FILE_KEYS: &[&str] = &[
    "version",
    "timezone",
    "repositories",
    "include_archived",
    "bots",
    "allow_weights_above_one",
    "privacy",
    "instances",
    "environments",
    "deployments",
    "incidents",
    "services",
    "access",
    "goals",
    "investment",
    "channels",
    "metrics",
    "teams",
];
pub(super) const PRIVACY_KEYS: &[&str] = &["min_group_size"];
pub(super) const INSTANCE_KEYS: &[&str] = &["forge", "url"];
pub(super) const TEAM_KEYS: &[&str] = &["slug", "name", "renamed_from", "members"];
pub(super) const MEMBER_KEYS: &[&str] = &["github", "gitlab", "id", "weight", "from", "to"];
/// Alternative key names that `TEAM_CONFIG_JSON` accepts, and that a file's author may have meant.
const MEMBER_ALIASES: &[(&str, &str)] =
    &[("github_username", "github"), ("allocation_weight", "weight"), ("joined_at", "from"), ("left_at", "to")];

/// Pull requests are newer than the start, and memberships are not planned beyond the end.
pub(super) const YEARS: std::ops::Range<i32> = 1970..2200;

/// One person is not a group, and a larger size would hide nearly every team.
const GROUP_SIZES: std::ops::RangeInclusive<u8> = 2..=100;

/// A value with the position that its problems point to.
#[derive(Debug)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) at: Position,
    pub(super) path: String,
}

/// A teams file, as much as could be read.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) timezone: Tz,
    pub(super) repositories: Vec<Placed<RepoEntry>>,
    pub(super) include_archived: bool,
    pub(super) bots: Vec<Login>,
    pub(super) allow_weights_above_one: bool,
    pub(super) min_group_size: Option<u8>,
    pub(super) instances: Vec<Placed<InstanceEntry>>,
    pub(super) delivery: DeliveryDraft,
    pub(super) access: Vec<Placed<AccessLine>>,
    pub(super) goals: Vec<Placed<GoalEntry>>,
    pub(super) investment: Vec<Placed<InvestmentEntry>>,
    pub(super) channels: Vec<Placed<ChannelEntry>>,
    pub(super) metrics: Vec<Placed<CustomMetric>>,
    pub(super) teams: Vec<Placed<TeamDraft>>,
    pub(super) named_teams: Vec<NamedTeam>,
}

/// A team that another part of the file names by its slug, and the code of the problem if there is none.
#[derive(Debug)]
pub(super) struct NamedTeam {
    pub(super) code: &'static str,
    pub(super) slug: Placed<TeamSlug>,
}

#[derive(Debug)]
pub(super) struct TeamDraft {
    pub(super) slug: Option<TeamSlug>,
    pub(super) name: Option<String>,
    pub(super) renamed_from: Option<Placed<TeamSlug>>,
    pub(super) members: Vec<Placed<MemberEntry>>,
}

impl Draft {
    /// The repositories that are named and not excluded later in the list.
    pub(super) fn named(&self) -> Vec<RepoName> {
        let entries = self.repositories.iter().enumerate();
        let by_name = entries.filter_map(|(index, entry)| match &entry.value {
            RepoEntry::Name(name) => Some((index, name)),
            RepoEntry::Pattern(_) | RepoEntry::Exclusion(_) => None,
        });
        let is_excluded = |index: usize, name: &RepoName| {
            let last = self.repositories[index..].iter().rev().find(|entry| entry.value.matches(name));
            last.is_some_and(|entry| matches!(entry.value, RepoEntry::Exclusion(_)))
        };
        let mut named: Vec<RepoName> = Vec::new();
        for (index, name) in by_name {
            if !is_excluded(index, name) && !named.contains(name) {
                named.push(name.clone());
            }
        }
        named
    }

    /// The file, if every part could be read.
    pub(super) fn finish(self) -> Option<TeamsFile> {
        let repositories = self.named();
        let teams = self.teams.into_iter().map(|team| {
            let TeamDraft { slug, name, renamed_from, members } = team.value;
            let slug = slug?;
            let name = name.unwrap_or_else(|| slug.to_string());
            let renamed_from = renamed_from.map(|former| former.value);
            let members = members.into_iter().map(|member| member.value).collect();
            Some(TeamEntry { slug, name, renamed_from, members })
        });
        let rules = RepoRules::new(self.repositories.into_iter().map(|entry| entry.value));
        Some(TeamsFile {
            timezone: self.timezone,
            repositories,
            rules,
            include_archived: self.include_archived,
            bots: self.bots,
            allow_weights_above_one: self.allow_weights_above_one,
            min_group_size: self.min_group_size,
            instances: self.instances.into_iter().map(|instance| instance.value).collect(),
            delivery: self.delivery.finish(),
            access: AccessLines::new(self.access.into_iter().map(|line| line.value)),
            goals: self.goals.into_iter().map(|goal| goal.value).collect(),
            investment: self.investment.into_iter().map(|rule| rule.value).collect(),
            channels: self.channels.into_iter().map(|channel| channel.value).collect(),
            metrics: self.metrics.into_iter().map(|metric| metric.value).collect(),
            teams: teams.collect::<Option<_>>()?,
        })
    }
}

pub(super) fn read_file(root: &Node, problems: &mut Vec<Problem>) -> Draft {
    let mut reader = Reader { problems, timezone: Tz::UTC, takes_null: false, named_teams: Vec::new() };
    let fields = reader.fields(root, "", FILE_KEYS, &[]);
    if let Some(version) = fields.required(&mut reader, "version") {
        reader.version(version);
    }
    if let Some(node) = fields.optional(&mut reader, "timezone") {
        reader.timezone = reader.zone(node).unwrap_or(Tz::UTC);
    }
    let repositories = match fields.required(&mut reader, "repositories") {
        Some(node) => reader.list(node, "repositories", Reader::repository),
        None => Vec::new(),
    };
    let include_archived =
        fields.optional(&mut reader, "include_archived").and_then(|node| reader.boolean(node, "include_archived"));
    let bots = match fields.optional(&mut reader, "bots") {
        Some(node) => reader.list(node, "bots", Reader::login).into_iter().map(|login| login.value).collect(),
        None => Vec::new(),
    };
    let allow_weights_above_one = fields
        .optional(&mut reader, "allow_weights_above_one")
        .and_then(|node| reader.boolean(node, "allow_weights_above_one"));
    let min_group_size = fields.optional(&mut reader, "privacy").and_then(|node| reader.privacy(node, "privacy"));
    let instances = match fields.optional(&mut reader, "instances") {
        Some(node) => reader.list(node, "instances", Reader::instance),
        None => Vec::new(),
    };
    let mut delivery = DeliveryDraft::default();
    if let Some(node) = fields.optional(&mut reader, "environments") {
        reader.environments(node, &mut delivery.settings);
    }
    let rules = fields.optional(&mut reader, "deployments").and_then(|node| reader.source(node, "deployments"));
    if let Some(rules) = rules {
        (delivery.settings.source, delivery.settings.source_options) = (Some(rules.source), rules.options);
    }
    if let Some(node) = fields.optional(&mut reader, "incidents") {
        reader.incidents(node, &mut delivery.settings);
    }
    if let Some(node) = fields.optional(&mut reader, "services") {
        delivery.services = reader.list(node, "services", Reader::service);
    }
    let access = match fields.optional(&mut reader, "access") {
        Some(node) => reader.list(node, "access", Reader::access),
        None => Vec::new(),
    };
    let goals = match fields.optional(&mut reader, "goals") {
        Some(node) => reader.list(node, "goals", Reader::goal),
        None => Vec::new(),
    };
    let investment = match fields.optional(&mut reader, "investment") {
        Some(node) => reader.list(node, "investment", Reader::investment),
        None => Vec::new(),
    };
    let channels = match fields.optional(&mut reader, "channels") {
        Some(node) => reader.list(node, "channels", Reader::channel),
        None => Vec::new(),
    };
    let metrics = match fields.optional(&mut reader, "metrics") {
        Some(node) => reader.list(node, "metrics", Reader::metric),
        None => Vec::new(),
    };
    let teams = match fields.required(&mut reader, "teams") {
        Some(node) => reader.list(node, "teams", |reader, node, path| reader.team(node, path, &[])),
        None => Vec::new(),
    };
    Draft {
        timezone: reader.timezone,
        repositories,
        include_archived: include_archived.unwrap_or(false),
        bots,
        allow_weights_above_one: allow_weights_above_one.unwrap_or(false),
        min_group_size,
        instances,
        delivery,
        access,
        goals,
        investment,
        channels,
        metrics,
        teams,
        named_teams: reader.named_teams,
    }
}

pub(super) fn read_variables(root: &Node, repositories: &str, problems: &mut Vec<Problem>) -> Draft {
    // The API returns `null` for unset values, and its output may be used as input.
    let mut reader = Reader { problems, timezone: Tz::UTC, takes_null: true, named_teams: Vec::new() };
    if let Value::Map(_) = &root.value {
        let help = "write only the list of teams, `[{\"slug\": …, \"members\": […]}]`, and the repositories in REPOSITORIES; \
                    for a whole teams file set TEAMS_FILE";
        reader.report("config.type", root.at, "", "expected the list of teams, found a mapping", help);
    }
    let teams = match &root.value {
        Value::Map(_) => Vec::new(),
        _ => reader.list(root, "", |reader, node, path| reader.team(node, path, MEMBER_ALIASES)),
    };
    let repositories = repositories
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .filter_map(|text| match text.parse() {
            Ok(value) => Some(Placed { value, at: root.at, path: "REPOSITORIES".to_owned() }),
            Err(NameError { reason, suggestion }) => {
                let help = suggestion.map_or("separate `owner/name` by commas".to_owned(), |s| format!("write `{s}`"));
                reader.problems.push(Problem::setting("config.repo_syntax", "REPOSITORIES", reason, help));
                None
            }
        })
        .collect();
    Draft {
        timezone: Tz::UTC,
        repositories,
        include_archived: false,
        bots: Vec::new(),
        allow_weights_above_one: false,
        min_group_size: None,
        instances: Vec::new(),
        delivery: DeliveryDraft::default(),
        access: Vec::new(),
        goals: Vec::new(),
        investment: Vec::new(),
        channels: Vec::new(),
        metrics: Vec::new(),
        teams,
        named_teams: reader.named_teams,
    }
}

/// `09:00-17:00`.
pub(super) fn times_of_day(text: &str) -> Option<(NaiveTime, NaiveTime)> {
    let time = |text: &str| NaiveTime::parse_from_str(text, "%H:%M").ok().filter(|_| text.len() == 5);
    let (from, to) = text.split_once('-')?;
    Some((time(from)?, time(to)?))
}

/// The entries of a mapping: known keys only, each once.
pub(super) struct Fields<'a> {
    at: Position,
    path: String,
    entries: Vec<(&'a str, &'a Node)>,
    /// Keys for which a misspelling was found, so that they are not also reported as missing.
    misspelled: Vec<&'a str>,
    is_mapping: bool,
}

impl<'a> Fields<'a> {
    fn find(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(name, _)| *name == key).map(|(_, node)| *node)
    }

    /// The value of an optional key. A key without a value is reported, because the line looks unfinished.
    pub(super) fn optional(&self, reader: &mut Reader<'_>, key: &str) -> Option<&'a Node> {
        let found = self.find(key)?;
        if !matches!(found.value, Value::Null) {
            return Some(found);
        }
        if !reader.takes_null {
            let message = format!("`{key}` has no value");
            let help = format!("write one: `{key}: …`, or remove `{key}`");
            reader.report("config.missing_key", found.at, &join(&self.path, key), message, help);
        }
        None
    }

    pub(super) fn required(&self, reader: &mut Reader<'_>, key: &str) -> Option<&'a Node> {
        let present = self.find(key);
        let found = present.filter(|node| !matches!(node.value, Value::Null));
        if let (None, Some(null)) = (found, present) {
            let message = format!("`{key}` has no value");
            let help = match key {
                "repositories" | "teams" | "members" => {
                    format!("write one item per line below it, `- …`; an empty list is `{key}: []`")
                }
                _ => format!("write one: `{key}: …`; to use the word null as a value, quote it: `{key}: \"null\"`"),
            };
            reader.report("config.missing_key", null.at, &join(&self.path, key), message, help);
        } else if found.is_none() && self.is_mapping && !self.misspelled.contains(&key) {
            let path = join(&self.path, key);
            reader.report(
                "config.missing_key",
                self.at,
                &path,
                format!("`{key}` is missing"),
                format!("add `{key}: …`"),
            );
        }
        found
    }
}

pub(super) struct Reader<'p> {
    pub(super) problems: &'p mut Vec<Problem>,
    timezone: Tz,
    /// Whether null means left out.
    takes_null: bool,
    named_teams: Vec<NamedTeam>,
}

impl Reader<'_> {
    pub(super) fn report(
        &mut self,
        code: &'static str,
        at: Position,
        path: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let (message, help) = (message.into(), help.into());
        self.problems.push(Problem {
            code,
            at: Some(at),
            path: path.to_owned(),
            message,
            help: Some(help),
            related: None,
        });
    }

    /// The slug of a team that must be in the file. That is checked even if what is around it cannot be read, so that all problems
    /// are reported at once.
    pub(super) fn known_team(&mut self, code: &'static str, node: &Node, path: &str) -> Option<TeamSlug> {
        let slug: TeamSlug = self.name("config.team_slug", node, path, "payments")?;
        let placed = Placed { value: slug.clone(), at: node.at, path: path.to_owned() };
        self.named_teams.push(NamedTeam { code, slug: placed });
        Some(slug)
    }

    /// How many problems were found so far.
    pub(super) fn problems_so_far(&self) -> usize {
        self.problems.len()
    }

    pub(super) fn fields<'a>(
        &mut self,
        node: &'a Node,
        path: &str,
        known: &[&'a str],
        aliases: &[(&'a str, &'a str)],
    ) -> Fields<'a> {
        let (entries, misspelled) = (Vec::new(), Vec::new());
        let mut fields = Fields { at: node.at, path: path.to_owned(), entries, misspelled, is_mapping: true };
        let Value::Map(entries) = &node.value else {
            if path.is_empty() && matches!(node.value, Value::Null) {
                let help = "`mergeline init` makes one of GitHub's teams; or write, for example, `version: 1`, \
                            `repositories: [acme/api]` and `teams: [{ slug: payments, members: [{ github: octocat }] }]`, each on a \
                            line of its own";
                self.report("config.empty", node.at, path, "the teams file is empty", help);
            } else {
                let message = format!("expected a mapping, found {}", node.value.kind());
                self.report("config.type", node.at, path, message, format!("write `{}: …`", known[0]));
            }
            fields.is_mapping = false;
            return fields;
        };
        for (index, (key, value)) in entries.iter().enumerate() {
            let canonical = known.iter().copied().find(|name| *name == key.text);
            let alias = || aliases.iter().find(|(alias, _)| *alias == key.text).map(|(_, name)| *name);
            let Some(name) = canonical.or_else(alias) else {
                let before = index.checked_sub(1).and_then(|before| entries.get(before));
                let meant = self.unknown_key(key, before, path, known);
                fields.misspelled.extend(known.iter().copied().find(|name| Some(*name) == meant));
                continue;
            };
            if fields.entries.iter().any(|(seen, _)| *seen == name) {
                let message = format!("duplicate key `{name}`");
                self.report("config.duplicate_key", key.at, &join(path, &key.text), message, "keep one of them");
                continue;
            }
            fields.entries.push((name, value));
        }
        fields
    }

    /// Reports the unknown key. Returns the known key that was probably meant, if any.
    fn unknown_key<'a>(
        &mut self,
        key: &Key,
        before: Option<&(Key, Node)>,
        path: &str,
        known: &[&'a str],
    ) -> Option<&'a str> {
        let aliases = if known == MEMBER_KEYS { MEMBER_ALIASES } else { &[] };
        let candidates = known.iter().map(|name| (*name, *name)).chain(aliases.iter().copied());
        let nearest = nearest(&key.text, candidates);
        let is_fraction = !key.text.is_empty() && key.text.bytes().all(|byte| byte.is_ascii_digit());
        let help = match nearest {
            _ if is_fraction => after_comma(before, &key.text),
            _ if key.text.contains(is_invisible) => {
                "it has an invisible character, perhaps a no-break space: retype it".to_owned()
            }
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("known keys: {}", known.join(", ")),
        };
        self.report("config.unknown_key", key.at, &join(path, &key.text), format!("unknown key `{}`", key.text), help);
        nearest
    }

    pub(super) fn list<T>(
        &mut self,
        node: &Node,
        path: &str,
        mut item: impl FnMut(&mut Self, &Node, &str) -> Option<T>,
    ) -> Vec<Placed<T>> {
        let Value::List(items) = &node.value else {
            let message = format!("expected a list, found {}", node.value.kind());
            self.report("config.type", node.at, path, message, "write a list: `[a, b]`, or one `- item` per line");
            return Vec::new();
        };
        let mut read = Vec::with_capacity(items.len());
        for (index, node) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if let Some(value) = item(self, node, &path) {
                read.push(Placed { value, at: node.at, path });
            }
        }
        read
    }

    pub(super) fn text<'a>(&mut self, node: &'a Node, path: &str) -> Option<&'a str> {
        if let Value::Scalar { text, .. } = &node.value {
            return Some(text);
        }
        self.report("config.type", node.at, path, format!("expected text, found {}", node.value.kind()), "write text");
        None
    }

    pub(super) fn plain<'a>(&mut self, node: &'a Node, path: &str, expected: &str) -> Option<&'a str> {
        match &node.value {
            Value::Scalar { text, is_plain: true } => return Some(text),
            Value::Scalar { text, is_plain: false } => {
                let message = format!("expected {expected}, found the text \"{text}\"");
                let clean: String = text.chars().filter(|c| !c.is_whitespace() && !is_invisible(*c)).collect();
                let help = format!("write it without quotes{}", if clean == *text { "" } else { " and spaces" });
                self.report("config.type", node.at, path, message, help + &strange_of(text));
            }
            other => {
                let message = format!("expected {expected}, found {}", other.kind());
                self.report("config.type", node.at, path, message, format!("write {expected}"));
            }
        }
        None
    }

    pub(super) fn name<T: FromStr<Err = NameError>>(
        &mut self,
        code: &'static str,
        node: &Node,
        path: &str,
        form: &str,
    ) -> Option<T> {
        self.name_by(code, node, path, form, str::parse)
    }

    fn name_by<T>(
        &mut self,
        code: &'static str,
        node: &Node,
        path: &str,
        form: &str,
        parse: impl FnOnce(&str) -> Result<T, NameError>,
    ) -> Option<T> {
        let text = self.text(node, path)?;
        match parse(text) {
            Ok(name) => Some(name),
            Err(NameError { reason, suggestion }) => {
                let help = suggestion.map_or_else(|| format!("write it as `{form}`"), |s| format!("write `{s}`"));
                self.report(code, node.at, path, reason, help);
                None
            }
        }
    }

    fn repository(&mut self, node: &Node, path: &str) -> Option<RepoEntry> {
        let is_pattern = matches!(&node.value, Value::Scalar { text, .. } if text.contains('*'));
        let form =
            if is_pattern { "owner/prefix-*` and exclude others below it with `!owner/name" } else { "owner/name" };
        self.name("config.repo_syntax", node, path, form)
    }

    fn login(&mut self, node: &Node, path: &str) -> Option<Login> {
        self.name_by("config.login_syntax", node, path, "octocat", Login::github)
    }

    fn version(&mut self, node: &Node) {
        match self.plain(node, "version", "a whole number") {
            None | Some("1") => {}
            Some(other) => {
                let message = format!("unknown version {other}");
                self.report(
                    "config.version",
                    node.at,
                    "version",
                    message,
                    "write `version: 1`, or use a newer Mergeline",
                );
            }
        }
    }

    fn zone(&mut self, node: &Node) -> Option<Tz> {
        let text = self.text(node, "timezone")?;
        if let Some(zone) = parse_zone(text) {
            return Some(zone);
        }
        let places = || chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).filter(|name| is_place(name));
        let same = places().find(|name| name.eq_ignore_ascii_case(text));
        let help = match same.or_else(|| nearest(text, places().map(|name| (name, name)))) {
            Some(name) if same.is_some() => format!("did you mean `{name}`?"),
            _ if is_offset(text) || is_abbreviation(text) => {
                "write the name of a place, for example `Europe/Oslo`: an offset or an abbreviation has no \
                 daylight saving time"
                    .to_owned()
            }
            Some(name) => format!("did you mean `{name}`?"),
            None => "write an IANA name, for example `Europe/Oslo`".to_owned(),
        };
        self.report("config.timezone", node.at, "timezone", format!("`{text}` is not a time zone"), help);
        None
    }

    pub(super) fn boolean(&mut self, node: &Node, path: &str) -> Option<bool> {
        match self.plain(node, path, "true or false")? {
            "true" => Some(true),
            "false" => Some(false),
            other => {
                let message = format!("expected true or false, found `{other}`");
                self.report("config.type", node.at, path, message, "write `true` or `false`");
                None
            }
        }
    }

    fn instance(&mut self, node: &Node, path: &str) -> Option<InstanceEntry> {
        let fields = self.fields(node, path, INSTANCE_KEYS, &[]);
        let forge = fields.required(self, "forge").map(|node| self.forge(node, &join(path, "forge")));
        let url = fields.required(self, "url").map(|node| self.address(node, &join(path, "url")));
        Some(InstanceEntry { forge: forge??, url: url?? })
    }

    fn forge(&mut self, node: &Node, path: &str) -> Option<Forge> {
        let text = self.text(node, path)?;
        let forge = text.parse().ok();
        if forge.is_none() {
            self.report(
                "config.instance",
                node.at,
                path,
                format!("unknown forge `{text}`"),
                "write `github` or `gitlab`",
            );
        }
        forge
    }

    /// The address of a server: only people and later collections read it, so its host and path may be anything.
    fn address(&mut self, node: &Node, path: &str) -> Option<String> {
        let text = self.text(node, path)?.trim_end_matches('/');
        let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let is_bare = |url: &url::Url| {
            url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none()
        };
        if url.as_ref().is_some_and(is_bare) {
            return Some(text.to_owned());
        }
        // Not repeated: it may have a password.
        let (message, help) = match url {
            Some(_) => ("the address has more than a host and a path", "write it without user, password and `?`"),
            None => ("this is not an address", "write it as `https://gitlab.example.com`"),
        };
        self.report("config.instance", node.at, path, message, help);
        None
    }

    fn privacy(&mut self, node: &Node, path: &str) -> Option<u8> {
        let node = self.fields(node, path, PRIVACY_KEYS, &[]).optional(self, "min_group_size")?;
        self.group_size(node, &join(path, "min_group_size"))
    }

    fn group_size(&mut self, node: &Node, path: &str) -> Option<u8> {
        let text = self.plain(node, path, "a whole number")?;
        let size = text.parse().ok().filter(|size| GROUP_SIZES.contains(size));
        if size.is_none() {
            let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
            let is_whole_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let (code, message) = if is_whole_number {
                ("config.range", format!("`{text}` is out of range"))
            } else {
                ("config.type", format!("expected a whole number, found `{text}`"))
            };
            let (min, max) = (GROUP_SIZES.start(), GROUP_SIZES.end());
            let help = format!("write a whole number from {min} to {max}, or leave it out to show all");
            self.report(code, node.at, path, message, help);
        }
        size
    }

    fn team(&mut self, node: &Node, path: &str, aliases: &[(&'static str, &'static str)]) -> Option<TeamDraft> {
        let fields = self.fields(node, path, TEAM_KEYS, &[]);
        let slug = fields
            .required(self, "slug")
            .and_then(|node| self.name("config.team_slug", node, &join(path, "slug"), "payments"));
        let name = fields.optional(self, "name").and_then(|node| self.team_name(node, &join(path, "name")));
        let renamed_from = fields.optional(self, "renamed_from").and_then(|node| {
            let path = join(path, "renamed_from");
            let value = self.name("config.team_slug", node, &path, "payments")?;
            Some(Placed { value, at: node.at, path })
        });
        let members = match fields.required(self, "members") {
            Some(node) => {
                self.list(node, &join(path, "members"), |reader, node, path| reader.member(node, path, aliases))
            }
            None => Vec::new(),
        };
        fields.is_mapping.then_some(TeamDraft { slug, name, renamed_from, members })
    }

    /// A display name is one line of text that a terminal and a database can show.
    fn team_name(&mut self, node: &Node, path: &str) -> Option<String> {
        const MAX_CHARS: usize = super::write::MAX_NAME_CHARS;
        let text = self.text(node, path)?.trim();
        if text.is_empty() || text.chars().count() > MAX_CHARS || text.chars().any(char::is_control) {
            let message = format!("a name is one line of 1 to {MAX_CHARS} characters");
            self.report("config.team_name", node.at, path, message, "write the name that people use, or leave it out");
            return None;
        }
        Some(text.to_owned())
    }

    fn member(&mut self, node: &Node, path: &str, aliases: &[(&'static str, &'static str)]) -> Option<MemberEntry> {
        let fields = self.fields(node, path, MEMBER_KEYS, aliases);
        let gitlab = fields
            .optional(self, "gitlab")
            .map(|node| self.name_by("config.login_syntax", node, &join(path, "gitlab"), "octocat", Login::gitlab));
        let github = match &gitlab {
            // An account at one forge is enough.
            Some(_) => fields.optional(self, "github"),
            None => fields.required(self, "github"),
        };
        let github = github.map(|node| self.login(node, &join(path, "github")));
        let id = fields.optional(self, "id").map(|node| self.external_id(node, &join(path, "id")));
        let weight = fields.optional(self, "weight").map(|node| self.weight(node, &join(path, "weight")));
        let from = fields.optional(self, "from").map(|node| self.instant(node, &join(path, "from")));
        let to_node = fields.optional(self, "to");
        let to = to_node.map(|node| self.instant(node, &join(path, "to")));
        // A value that could not be read was already reported; its default must not hide the problem.
        let (from, to) = (given(from)?, given(to)?);
        let period = match Period::new(from, to) {
            Ok(period) => period,
            Err(error) => {
                let at = to_node.map_or(node.at, |node| node.at);
                let help = "`to` is the first day after the membership, so it must be after `from`";
                let day = |at: DateTime<Utc>| at.with_timezone(&self.timezone).date_naive();
                let message = format!("the end {} is not after the start {}", day(error.to), day(error.from));
                self.report("config.period_order", at, &join(path, "to"), message, help);
                return None;
            }
        };
        let external_id = given(id)?;
        let weight = given(weight)?.unwrap_or(Weight::FULL);
        let (github, gitlab) = (given(github)?, given(gitlab)?);
        let mut accounts = github.into_iter().chain(gitlab);
        let login = accounts.next()?;
        Some(MemberEntry { login, external_id, other_accounts: accounts.collect(), weight, period })
    }

    fn external_id(&mut self, node: &Node, path: &str) -> Option<ExternalId> {
        let text = self.plain(node, path, "a whole number")?;
        let id = text.parse().ok().filter(|id: &i64| *id > 0).map(ExternalId::from);
        if id.is_none() {
            let help =
                "it is the number in `https://api.github.com/users/LOGIN`; if you leave it out, Mergeline learns it";
            self.report("config.person_id", node.at, path, format!("`{text}` is not an account number"), help);
        }
        id
    }

    pub(super) fn weight(&mut self, node: &Node, path: &str) -> Option<Weight> {
        use crate::WeightError::{NotANumber, OutOfRange, TooPrecise};
        if let Value::Scalar { text, is_plain: false } = &node.value
            && let Some(meant) = weight_meant(text)
        {
            let message = format!("expected a number, found the text \"{text}\"");
            let help = format!("write `weight: {meant}`, without quotes{}", strange_of(text));
            self.report("config.type", node.at, path, message, help);
            return None;
        }
        let text = self.plain(node, path, "a number")?;
        match text.parse() {
            Ok(weight) => Some(weight),
            Err(error) => {
                let point = if text.contains(',') { "decimals with a point: " } else { "" };
                let meant = weight_meant(text).map(|it| format!("write {point}`weight: {it}`{}", strange_of(text)));
                let (code, help) = match &error {
                    NotANumber(text) if text.contains(',') => ("config.type", "write decimals with a point: 0.5"),
                    NotANumber(_) => ("config.type", "write a decimal number, 0.5 for half of the person's work"),
                    OutOfRange(_) if text.parse() == Ok(0.0) => (
                        "config.weight_range",
                        "remove people who do no work for the team, or end the membership with `to: DATE`",
                    ),
                    OutOfRange(_) => ("config.weight_range", "use 0.5 for half of the person's work, not 50"),
                    TooPrecise(_) => ("config.weight_range", "four decimals are kept: a third is 0.3333"),
                };
                self.report(code, node.at, path, error.to_string(), meant.unwrap_or_else(|| help.to_owned()));
                None
            }
        }
    }

    pub(super) fn instant(&mut self, node: &Node, path: &str) -> Option<DateTime<Utc>> {
        let text = self.text(node, path)?;
        let instant = match text.parse::<NaiveDate>() {
            // `2026-1-5` parses too. The format is strict so that a file can be read in only one way.
            Ok(date) if date.to_string() == text => Some(start_of_day(date, self.timezone)),
            _ => DateTime::parse_from_rfc3339(text).ok().map(|at| at.with_timezone(&Utc)),
        };
        if let Some(instant) = instant
            && YEARS.contains(&instant.year())
        {
            return Some(instant);
        }
        let reason = match instant {
            Some(_) => format!("`{text}` is not between {} and {}", YEARS.start, YEARS.end),
            None => format!("`{text}` is not a date"),
        };
        self.report(
            "config.date",
            node.at,
            path,
            reason,
            "write `2026-01-05`, or an instant with offset: `2026-01-05T12:00:00Z`",
        );
        None
    }
}

/// The value of a key that may be left out: `None` if there is one that could not be read.
#[expect(clippy::option_option, reason = "left out and unreadable are two things")]
pub(super) fn given<T>(field: Option<Option<T>>) -> Option<Option<T>> {
    match field {
        Some(None) => None,
        Some(value) => Some(value),
        None => Some(None),
    }
}

/// `GMT+1`, `GMT 1`, `UTC-05:30`, `+02:00`.
fn is_offset(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    let rest = text.trim_start_matches("GMT").trim_start_matches("UTC").trim();
    let digits = rest.strip_prefix(['+', '-', '\u{2212}', '\u{2013}']).unwrap_or(rest).trim();
    digits.starts_with(|c: char| c.is_ascii_digit()) && digits.chars().all(|c| c.is_ascii_digit() || c == ':')
}

/// `CEST`, `PST`, `AEST`.
fn is_abbreviation(text: &str) -> bool {
    (2..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// Whether a zone is named after a place, so that it may be what was meant. `EST` and `Etc/GMT+5` are hours off for
/// half of the year or all of it.
fn is_place(name: &str) -> bool {
    let is_word = name.len() > 3 && name.bytes().any(|byte| byte.is_ascii_lowercase());
    let is_fixed = name.starts_with("Etc/") || matches!(name, "Zulu" | "Universal" | "Greenwich");
    name == "UTC" || (is_word && !is_fixed && parse_zone(name).is_some())
}

/// What to write instead of a number that a comma split in two. The previous key has the part before the comma.
fn after_comma(before: Option<&(Key, Node)>, fraction: &str) -> String {
    let Some((Key { text: key, .. }, Node { value: Value::Scalar { text: whole, .. }, .. })) = before else {
        return "a comma ends a value: write decimals with a point, `weight: 0.5`".to_owned();
    };
    match format!("{whole}.{fraction}") {
        number if number.parse::<Weight>().is_ok() => {
            format!("write decimals with a point, not with a comma: `{key}: {number}`")
        }
        _ if key == "id" => format!("write it without a comma: `id: {whole}{fraction}`"),
        _ => "a comma ends a value: write decimals with a point, `weight: 0.5`".to_owned(),
    }
}

/// The weight that a comma, a percentage, or surrounding spaces mean.
pub(super) fn weight_meant(text: &str) -> Option<Weight> {
    let text: String = text.chars().filter(|c| !c.is_whitespace() && !is_invisible(*c)).collect();
    let number = text.replace(',', ".");
    let Some(percentage) = number.strip_suffix('%') else { return number.parse().ok() };
    let (whole, fraction) = percentage.split_once('.').unwrap_or((percentage, ""));
    if !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Moves the decimal point.
    let whole = format!("{whole:0>3}");
    let (ones, hundredths) = whole.split_at(whole.len() - 2);
    format!("{ones}.{hundredths}{fraction}").parse().ok()
}

/// The code point of an invisible character, as the end of a help text.
fn strange_of(text: &str) -> String {
    let strange = text.chars().find(|character| is_invisible(*character));
    strange.map_or_else(String::new, |c| format!("; it has the invisible character U+{:04X}", u32::from(c)))
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The candidate whose first name is most similar to the text, as its second name, if it is similar enough.
pub(super) fn nearest<'a>(text: &str, candidates: impl Iterator<Item = (&'a str, &'a str)>) -> Option<&'a str> {
    /// Below this similarity, a suggestion would be confusing.
    const NEAR: f64 = 0.8;
    /// Longer than any valid name. Comparing long texts is slow.
    const LONGEST: usize = 100;
    if text.len() > LONGEST {
        return None;
    }
    let text = text.to_lowercase();
    candidates
        .map(|(name, meant)| (strsim::jaro_winkler(&text, &name.to_lowercase()), meant))
        .filter(|(similarity, _)| *similarity >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, meant)| meant)
}
