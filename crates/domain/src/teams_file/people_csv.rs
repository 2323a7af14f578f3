//! Reads memberships from a table of people, as an HR system exports it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use strum::IntoEnumIterator;

use super::checks::first_sum_above_one;
use super::draft::{equal_parts, slug_of};
use super::people::FilePeople;
use super::reader::{YEARS, nearest, weight_meant};
use super::tree::{end_of, lines_of};
use super::write::display_name;
use super::{MemberEntry, TeamEntry, TeamsDraft, TeamsFile};
use crate::{
    ExternalId, Login, NameError, Period, Position, Problem, Problems, RepoEntry, TeamSlug, Weight, count_of,
    start_of_day,
};

/// A company of 10,000 people with several rows each fits in a quarter of this.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// More ignored columns are only counted.
const SHOWN_COLUMNS: usize = 20;

/// A column that is understood.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    strum::EnumIter,
    strum::IntoStaticStr,
    strum::EnumString,
    strum::Display,
)]
#[strum(serialize_all = "snake_case")]
pub enum Column {
    /// The login at GitHub.
    Login,
    /// The number of the account.
    Id,
    /// A team's slug or name.
    Team,
    /// A team's display name, where `team` is a slug.
    TeamName,
    /// The share of the person's work.
    Weight,
    /// The first day.
    From,
    /// The first day after.
    To,
    /// The last day.
    LastDay,
}

impl Column {
    /// Other names, with `_` for anything that is no letter.
    fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Login => &["github", "github_login", "github_username", "github_user"],
            Self::Id => &["github_id"],
            Self::Team => &["team_slug", "slug"],
            Self::Weight => &["allocation", "allocation_weight"],
            Self::From => &["joined_at", "first_day"],
            Self::To => &["left_at"],
            Self::TeamName | Self::LastDay => &[],
        }
    }

    /// All columns.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::iter()
    }

    fn of(header: &str) -> Option<Self> {
        let name = folded(header);
        Self::iter().find(|column| <&str>::from(*column) == name || column.aliases().contains(&name.as_str()))
    }
}

/// A header as it is compared: lower case, with `_` for anything that is no letter or digit.
fn folded(header: &str) -> String {
    let text: String =
        header.trim().to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    text.split('_').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

/// Which header is which column, where the file has other names: `Login` is `GitHub user (work)`.
pub type Columns = BTreeMap<Column, String>;

/// The memberships of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeopleCsv {
    /// The teams in the order of the table, with their members.
    pub teams: Vec<TeamEntry>,
    /// Columns that mean nothing here.
    pub ignored: Vec<String>,
    /// Rows whose membership the teams file already has.
    pub known: usize,
}

/// A row that could be read.
struct Row {
    line: usize,
    at: Position,
    team: TeamSlug,
    member: MemberEntry,
    has_weight: bool,
}

impl PeopleCsv {
    /// Reads a table. `source` is its name in problems. Dates are days in the zone. With a teams file, the result is what
    /// is to be added to it.
    ///
    /// # Errors
    /// Every problem in the table, in its order, with line and column.
    pub fn parse(
        source: &str,
        bytes: &[u8],
        columns: &Columns,
        zone: Tz,
        file: Option<&TeamsFile>,
    ) -> Result<Self, Problems> {
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let lines = text.replace("\r\n", "\n");
        let table = Table::new(&lines);
        let mut reader = Reader { table, zone, file, problems: Vec::new(), names: BTreeMap::new(), order: Vec::new() };
        let read = match check_text(bytes) {
            Err(problem) => {
                reader.problems.push(problem);
                None
            }
            Ok(()) => reader.read(columns),
        };
        let mut problems = reader.problems;
        match read {
            Some(people) if problems.is_empty() => Ok(people),
            _ => {
                problems.sort_by_key(|problem| problem.at);
                Err(Problems { source: source.to_owned(), text: lines, list: problems })
            }
        }
    }

    /// How many memberships there are.
    pub fn members(&self) -> usize {
        self.teams.iter().map(|team| team.members.len()).sum()
    }

    /// A whole teams file.
    pub fn into_draft(self, source: &str, repositories: Vec<RepoEntry>, timezone: Tz, today: NaiveDate) -> TeamsDraft {
        let about = vec![format!("Imported from {} on {today}.", crate::one_line(source, 200))];
        TeamsDraft { about, timezone, repositories, teams: self.teams }
    }

    /// The lines to add to a teams file.
    pub fn to_additions(&self, file: &TeamsFile) -> String {
        let mut yaml = String::new();
        for team in &self.teams {
            if file.teams.iter().any(|known| known.slug == team.slug) {
                let _ = writeln!(yaml, "  # add to the members of {}", team.slug);
                for member in &team.members {
                    let _ = writeln!(yaml, "      - {}", member.to_yaml(file.timezone));
                }
            } else {
                yaml.push_str("  # a new team\n");
                yaml.push_str(&team.to_yaml(file.timezone));
            }
        }
        yaml
    }
}

/// A table is text within limits.
fn check_text(bytes: &[u8]) -> Result<(), Problem> {
    let refuse = |code, at, message: String, help: &str| {
        Err(Problem { code, at, path: String::new(), message, help: Some(help.to_owned()), related: None })
    };
    if bytes.len() > MAX_BYTES {
        let message = format!("{} bytes; the limit is {MAX_BYTES}", bytes.len());
        return refuse("config.too_large", None, message, "check that this is the table of people");
    }
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let at = Some(end_of(&lines_of(&before)));
            refuse("config.encoding", at, "the text is not UTF-8".to_owned(), "export or save the table as CSV UTF-8")
        }
    }
}

/// The text of a table, and what separates its cells.
struct Table<'t> {
    text: &'t str,
    lines: Vec<&'t str>,
    delimiter: char,
}

impl<'t> Table<'t> {
    /// Spreadsheets separate by semicolons where a comma is the decimal sign.
    fn new(text: &'t str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let header = lines.first().copied().unwrap_or_default();
        let delimiter = [',', ';', '\t'].into_iter().max_by_key(|it| (header.matches(*it).count(), *it == ','));
        Self { text, lines, delimiter: delimiter.unwrap_or(',') }
    }

    /// Where a cell of the record that starts on a line begins.
    fn position(&self, line: usize, cell: usize) -> Position {
        let text = self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let (mut seen, mut is_quoted) = (0, false);
        for (column, character) in text.chars().enumerate() {
            if seen == cell {
                return Position { line, column: column + 1 };
            }
            match character {
                '"' => is_quoted = !is_quoted,
                other if other == self.delimiter && !is_quoted => seen += 1,
                _ => {}
            }
        }
        // An empty last cell, or a record of several lines.
        Position { line, column: if seen == cell { text.chars().count() + 1 } else { 1 } }
    }
}

struct Reader<'a> {
    table: Table<'a>,
    zone: Tz,
    file: Option<&'a TeamsFile>,
    problems: Vec<Problem>,
    /// The display name of each team, by slug.
    names: BTreeMap<TeamSlug, String>,
    order: Vec<TeamSlug>,
}

/// The cells of a row.
struct Cells<'r> {
    line: usize,
    record: &'r csv::StringRecord,
    places: &'r BTreeMap<Column, usize>,
}

impl<'r> Cells<'r> {
    /// A cell that is not empty.
    fn get(&self, column: Column) -> Option<&'r str> {
        self.record.get(*self.places.get(&column)?).filter(|text| !text.is_empty())
    }
}

impl Reader<'_> {
    fn report(
        &mut self,
        code: &'static str,
        at: Option<Position>,
        path: &str,
        message: String,
        help: impl Into<String>,
    ) {
        let (path, help) = (path.to_owned(), Some(help.into()));
        self.problems.push(Problem { code, at, path, message, help, related: None });
    }

    fn report_cell(
        &mut self,
        code: &'static str,
        cells: &Cells<'_>,
        column: Column,
        message: String,
        help: impl Into<String>,
    ) {
        let place = cells.places.get(&column).copied().unwrap_or_default();
        let at = self.table.position(cells.line, place);
        self.report(code, Some(at), column.into(), message, help);
    }

    fn read(&mut self, columns: &Columns) -> Option<PeopleCsv> {
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .delimiter(u8::try_from(self.table.delimiter).unwrap_or(b','))
            .from_reader(self.table.text.as_bytes());
        let header = reader.headers().cloned().unwrap_or_default();
        let (places, ignored) = self.header(&header, columns)?;
        let mut rows = Vec::new();
        for record in reader.records() {
            match record {
                Ok(record) => {
                    let line =
                        record.position().map_or(0, |position| usize::try_from(position.line()).unwrap_or_default());
                    if record.iter().all(str::is_empty) {
                        continue;
                    }
                    let cells = Cells { line, record: &record, places: &places };
                    rows.extend(self.row(&cells));
                }
                Err(error) => {
                    let line = error.position().map_or(1, |position| usize::try_from(position.line()).unwrap_or(1));
                    let message = match error.kind() {
                        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                            format!("{}, and the header has {expected_len}", count_of(len, "cell"))
                        }
                        _ => error.to_string(),
                    };
                    let at = Some(Position { line, column: 1 });
                    let help = "give each row a cell for each column; a cell with the separator in it goes into quotes";
                    self.report("config.syntax", at, "", message, help);
                }
            }
        }
        if rows.is_empty() && self.problems.is_empty() {
            let help = "write one row for each person and team below the header";
            self.report("config.empty", None, "", "there are no rows".to_owned(), help);
        }
        if !self.problems.is_empty() {
            return None;
        }
        self.combine(rows).map(|(teams, known)| PeopleCsv { teams, ignored, known })
    }

    /// Where each column is, and the headers that are none.
    fn header(
        &mut self,
        header: &csv::StringRecord,
        columns: &Columns,
    ) -> Option<(BTreeMap<Column, usize>, Vec<String>)> {
        let mut places: BTreeMap<Column, usize> = BTreeMap::new();
        let mut ignored = Vec::new();
        let position = |table: &Table<'_>, place| Some(table.position(1, place));
        for (column, name) in columns {
            if let Some(place) = header.iter().position(|text| text.trim().eq_ignore_ascii_case(name.trim())) {
                places.insert(*column, place);
            } else {
                let names: Vec<&str> = header.iter().collect();
                let message = format!("no column is called `{name}`");
                self.report(
                    "config.missing_key",
                    position(&self.table, 0),
                    column.into(),
                    message,
                    format!("the columns are: {}", names.join(", ")),
                );
            }
        }
        for (place, text) in header.iter().enumerate() {
            if places.values().any(|taken| *taken == place) {
                continue;
            }
            match Column::of(text) {
                // The name that was given for a column is the one that counts.
                Some(column) if columns.contains_key(&column) => ignored.push(text.to_owned()),
                Some(column) => {
                    if let Some(first) = places.insert(column, place) {
                        let first = header.get(first).unwrap_or_default();
                        let message = format!("`{first}` and `{text}` are the same column");
                        let help = format!("remove one of them, or say which: --column {column}=HEADER");
                        self.report("config.duplicate_key", position(&self.table, place), column.into(), message, help);
                    }
                }
                None => {
                    let names = Column::iter().map(<&str>::from);
                    match nearest(&folded(text), names.map(|name| (name, name))) {
                        Some(meant) => {
                            let message = format!("unknown column `{text}`");
                            let help = format!("did you mean `{meant}`? If not, rename or remove it");
                            self.report("config.unknown_key", position(&self.table, place), text, message, help);
                        }
                        None => ignored.push(text.to_owned()),
                    }
                }
            }
        }
        for column in [Column::Login, Column::Team] {
            if !places.contains_key(&column) && !self.problems.iter().any(|it| it.path == <&str>::from(column)) {
                let message = format!("there is no column `{column}`");
                let help =
                    format!("the first line names the columns; if yours has another name: --column {column}=HEADER");
                self.report("config.missing_key", position(&self.table, 0), column.into(), message, help);
            }
        }
        let more = ignored.len().saturating_sub(SHOWN_COLUMNS);
        ignored.truncate(SHOWN_COLUMNS);
        if more > 0 {
            ignored.push(format!("and {more} more"));
        }
        self.problems.is_empty().then_some((places, ignored))
    }

    /// A row, if all of it can be read.
    fn row(&mut self, cells: &Cells<'_>) -> Option<Row> {
        let login = self.login(cells);
        let team = self.team(cells);
        let external_id = self.id(cells);
        let weight = self.weight(cells);
        let period = self.period(cells);
        let (login, team, external_id, weight, period) = (login?, team?, external_id.ok()?, weight.ok()?, period?);
        let member = MemberEntry {
            login,
            external_id,
            other_accounts: Vec::new(),
            weight: weight.unwrap_or(Weight::FULL),
            period,
        };
        let place = cells.places.get(&Column::Login).copied().unwrap_or_default();
        let at = self.table.position(cells.line, place);
        Some(Row { line: cells.line, at, team, member, has_weight: weight.is_some() })
    }

    fn login(&mut self, cells: &Cells<'_>) -> Option<Login> {
        let Some(text) = cells.get(Column::Login) else {
            let help = "write the person's login at GitHub, or remove the row";
            self.report_cell("config.missing_key", cells, Column::Login, "the login is empty".to_owned(), help);
            return None;
        };
        match Login::github(text) {
            Ok(login) => Some(login),
            Err(NameError { reason, suggestion }) => {
                let help = suggestion.map_or_else(|| "write it as `octocat`".to_owned(), |it| format!("write `{it}`"));
                self.report_cell("config.login_syntax", cells, Column::Login, reason, help);
                None
            }
        }
    }

    fn id(&mut self, cells: &Cells<'_>) -> Result<Option<ExternalId>, ()> {
        let Some(text) = cells.get(Column::Id) else { return Ok(None) };
        match text.parse::<i64>() {
            Ok(id) if id > 0 => Ok(Some(id.into())),
            _ => {
                let help =
                    "it is the number in `https://api.github.com/users/LOGIN`; leave it empty to have it learned";
                let message = format!("`{text}` is not an account number");
                self.report_cell("config.person_id", cells, Column::Id, message, help);
                Err(())
            }
        }
    }

    /// The team's slug: of the team in the file that is called so, else made of the name.
    fn team(&mut self, cells: &Cells<'_>) -> Option<TeamSlug> {
        let Some(text) = cells.get(Column::Team) else {
            let help = "write the slug or the name of the team, or remove the row";
            self.report_cell("config.missing_key", cells, Column::Team, "the team is empty".to_owned(), help);
            return None;
        };
        let given = cells.get(Column::TeamName);
        let is_called = |team: &&TeamEntry| {
            team.slug.as_str().eq_ignore_ascii_case(text) || team.name.to_lowercase() == text.to_lowercase()
        };
        let known = self.file.and_then(|file| file.teams.iter().find(is_called));
        let (slug, name) = if let Some(team) = known {
            (team.slug.clone(), team.name.clone())
        } else {
            let slug = text.parse::<TeamSlug>().ok();
            let is_slug = slug.is_some();
            let has_letter = text.chars().any(|c| c.is_ascii_alphabetic());
            let Some(slug) = slug.or_else(|| has_letter.then(|| slug_of(text, &BTreeSet::new()))) else {
                let help = "write a slug in `team`, for example `payments`, and the name in a column `team_name`";
                let message = format!("no slug can be made of `{text}`");
                self.report_cell("config.team_slug", cells, Column::Team, message, help);
                return None;
            };
            let name = given.or((!is_slug).then_some(text)).and_then(display_name);
            let name = name.unwrap_or_else(|| slug.to_string());
            (slug, name)
        };
        let is_unnamed = |name: &str| name == slug.as_str();
        match self.names.get(&slug) {
            None => {
                self.order.push(slug.clone());
                self.names.insert(slug.clone(), name);
            }
            Some(first) if is_unnamed(first) => {
                self.names.insert(slug.clone(), name);
            }
            Some(first) if !is_unnamed(&name) && first.to_lowercase() != name.to_lowercase() => {
                let message = format!("`{first}` and `{name}` would both be the team `{slug}`");
                let help = "write the same name in all rows of a team, or slugs that differ";
                self.report_cell("config.team_name", cells, Column::Team, message, help);
                return None;
            }
            Some(_) => {}
        }
        Some(slug)
    }

    fn weight(&mut self, cells: &Cells<'_>) -> Result<Option<Weight>, ()> {
        let Some(text) = cells.get(Column::Weight) else { return Ok(None) };
        match text.parse::<Weight>() {
            Ok(weight) => Ok(Some(weight)),
            Err(error) => {
                let help = match weight_meant(text) {
                    Some(meant) => format!("write {meant}"),
                    None => "write a decimal number: 0.5 for half of the person's work".to_owned(),
                };
                self.report_cell("config.weight_range", cells, Column::Weight, error.to_string(), help);
                Err(())
            }
        }
    }

    fn period(&mut self, cells: &Cells<'_>) -> Option<Period> {
        let from = self.instant(cells, Column::From, 0);
        let to = self.instant(cells, Column::To, 0);
        let last = self.instant(cells, Column::LastDay, 1);
        let (from, to, last) = (from.ok()?, to.ok()?, last.ok()?);
        if to.is_some() && last.is_some() {
            let help = "`to` is the first day after `last_day`: leave one of them empty";
            let message = "the row has both `to` and `last_day`".to_owned();
            self.report_cell("config.duplicate_key", cells, Column::LastDay, message, help);
            return None;
        }
        if let Ok(period) = Period::new(from, to.or(last)) {
            return Some(period);
        }
        let column = if to.is_some() { Column::To } else { Column::LastDay };
        let help = if to.is_some() {
            "`to` is the first day after the membership, so it must be after `from`; a column with last days is called `last_day`"
        } else {
            "`last_day` must not be before `from`"
        };
        self.report_cell("config.period_order", cells, column, "the end is not after the start".to_owned(), help);
        None
    }

    /// The start of a day, this many days later; or an instant.
    fn instant(&mut self, cells: &Cells<'_>, column: Column, days: u64) -> Result<Option<DateTime<Utc>>, ()> {
        use chrono::Datelike as _;
        let Some(text) = cells.get(column) else { return Ok(None) };
        let date = text.parse::<NaiveDate>().ok().filter(|date| date.to_string() == text);
        let at = match date {
            Some(date) => date.checked_add_days(chrono::Days::new(days)).map(|date| start_of_day(date, self.zone)),
            None if days == 0 => DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc()),
            None => None,
        };
        if let Some(at) = at.filter(|at| YEARS.contains(&at.year())) {
            return Ok(Some(at));
        }
        let help = "write year, month and day: 2026-01-05";
        self.report_cell("config.date", cells, column, format!("`{text}` is not a date"), help);
        Err(())
    }

    /// The teams of the rows, and how many rows the file has already. `None` if they contradict each other or the file.
    fn combine(&mut self, mut rows: Vec<Row>) -> Option<(Vec<TeamEntry>, usize)> {
        let of_file = |file: &TeamsFile| -> Vec<(TeamSlug, MemberEntry)> {
            let entries =
                file.teams.iter().flat_map(|team| team.members.iter().map(|it| (team.slug.clone(), it.clone())));
            entries.collect()
        };
        let existing = self.file.map(of_file).unwrap_or_default();
        let none = Vec::new();
        let logins: Vec<MemberEntry> = existing
            .iter()
            .map(|(_, member)| member.clone())
            .chain(rows.iter().map(|row| row.member.clone()))
            .collect();
        let people = FilePeople::of(&logins);
        let person = |member: &MemberEntry| people.person(&member.login);
        let mut by_person_in_file: BTreeMap<Option<usize>, Vec<&(TeamSlug, MemberEntry)>> = BTreeMap::new();
        for entry in &existing {
            by_person_in_file.entry(person(&entry.1)).or_default().push(entry);
        }
        let in_file = |who: Option<usize>| by_person_in_file.get(&who).unwrap_or(&none);
        let is_known = |row: &Row| {
            in_file(person(&row.member)).iter().any(|(team, member)| {
                *team == row.team
                    && member.period == row.member.period
                    && (member.weight == row.member.weight || !row.has_weight)
            })
        };
        let all = rows.len();
        rows.retain(|row| !is_known(row));
        let known = all - rows.len();
        let mut by_person: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
        for (place, row) in rows.iter().enumerate() {
            by_person.entry(person(&row.member)).or_default().push(place);
        }
        let mut members: BTreeMap<TeamSlug, Vec<(usize, MemberEntry)>> = BTreeMap::new();
        let allows_more = self.file.is_some_and(|file| file.allow_weights_above_one);
        for (who, places) in by_person {
            let of_person: Vec<&Row> = places.iter().map(|place| &rows[*place]).collect();
            let in_file = in_file(who);
            if self.contradicts(&of_person, in_file) {
                continue;
            }
            let lines = shared_equally(&of_person);
            let shares = lines.iter().map(|(_, _, member)| (member.period, member.weight));
            let shares: Vec<_> =
                shares.chain(in_file.iter().map(|(_, member)| (member.period, member.weight))).collect();
            if let (Some((from, units)), false, Some(last)) =
                (first_sum_above_one(&shares), allows_more, of_person.last())
            {
                let since = from.map_or_else(
                    || "the beginning".to_owned(),
                    |at| at.with_timezone(&self.zone).date_naive().to_string(),
                );
                let with_file = if in_file.is_empty() { "" } else { ", with those of the teams file" };
                let message = format!(
                    "the weights of `{}` sum to {} from {since}{with_file}",
                    last.member.login,
                    Weight::format_units(units)
                );
                self.report(
                    "config.weight_sum",
                    Some(last.at),
                    "weight",
                    message,
                    "make them sum to 1 at most, or end one",
                );
                continue;
            }
            for (line, team, member) in lines {
                members.entry(team).or_default().push((line, member));
            }
        }
        if !self.problems.is_empty() {
            return None;
        }
        let teams = self.order.iter().filter_map(|slug| {
            let mut members = members.remove(slug)?;
            members.sort_by_key(|(line, member)| (*line, member.period.from()));
            let members = members.into_iter().map(|(_, member)| member).collect();
            let name = self.names.get(slug).cloned().unwrap_or_else(|| slug.to_string());
            Some(TeamEntry { slug: slug.clone(), name, renamed_from: None, members })
        });
        Some((teams.collect(), known))
    }

    /// Reports rows of a person that cannot all be true.
    fn contradicts(&mut self, rows: &[&Row], in_file: &[&(TeamSlug, MemberEntry)]) -> bool {
        let before = self.problems.len();
        for (place, row) in rows.iter().enumerate() {
            let login = &row.member.login;
            let earlier = rows[..place].iter().map(|earlier| &earlier.member);
            let numbers = earlier.chain(in_file.iter().map(|(_, member)| member)).filter(|other| other.login == *login);
            let mut numbers = numbers.filter_map(|other| other.external_id.as_ref());
            if let Some(number) = &row.member.external_id
                && let Some(other) = numbers.find(|other| *other != number)
            {
                let message = format!("`{login}` has two account numbers, {other} and {number}");
                self.report(
                    "config.person_id",
                    Some(row.at),
                    "id",
                    message,
                    "write the same number in all rows of an account",
                );
            }
            for earlier in &rows[..place] {
                if !earlier.member.period.overlaps(&row.member.period) {
                    continue;
                }
                if earlier.team == row.team {
                    let message =
                        format!("`{login}` is in `{}` twice at the same time: see line {}", row.team, earlier.line);
                    let help = "end the first row where the second starts, or remove one of them";
                    self.report("config.period_overlap", Some(row.at), "login", message, help);
                    break;
                }
                if earlier.has_weight != row.has_weight {
                    let (without, with) = if row.has_weight { (earlier, row) } else { (row, earlier) };
                    let message =
                        format!("`{login}` has a weight on line {} and none here, at the same time", with.line);
                    let help = "write a weight in both rows, or in neither, for equal shares";
                    self.report("config.weight_sum", Some(without.at), "weight", message, help);
                    break;
                }
            }
            let (team, period) = (&row.team, &row.member.period);
            if in_file.iter().any(|(other, member)| other == team && member.period.overlaps(period)) {
                let message = format!("the teams file already has `{login}` in `{team}` at that time");
                let help = "end that line with `to` first, or begin this row where it ends";
                self.report("config.period_overlap", Some(row.at), "login", message, help);
            }
        }
        self.problems.len() > before
    }
}

/// The memberships of a person's rows: those without weights share equally while they last at the same time, which may take
/// several lines each.
fn shared_equally(rows: &[&Row]) -> Vec<(usize, TeamSlug, MemberEntry)> {
    let mut edges: BTreeSet<DateTime<Utc>> = BTreeSet::new();
    for row in rows.iter().filter(|row| !row.has_weight) {
        edges.extend(row.member.period.from().into_iter().chain(row.member.period.to()));
    }
    let mut lines = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        if row.has_weight {
            lines.push((row.line, row.team.clone(), row.member.clone()));
            continue;
        }
        let period = row.member.period;
        let inside = edges.iter().copied().filter(|at| Some(*at) != period.from() && period.contains(*at));
        let starts = std::iter::once(period.from()).chain(inside.clone().map(Some));
        let ends = inside.map(Some).chain([period.to()]);
        let mut parts: Vec<MemberEntry> = Vec::new();
        for (from, to) in starts.zip(ends) {
            let Ok(part) = Period::new(from, to) else { continue };
            let at_once: Vec<usize> = (0..rows.len())
                .filter(|other| !rows[*other].has_weight && rows[*other].member.period.overlaps(&part))
                .collect();
            let rank = at_once.iter().position(|other| *other == place).unwrap_or_default();
            let Some(weight) = equal_parts(Weight::UNITS.into(), at_once.len()).get(rank).copied() else { continue };
            match parts.last_mut() {
                Some(last) if last.weight == weight => {
                    last.period = Period::new(last.period.from(), to).unwrap_or(last.period);
                }
                _ => parts.push(MemberEntry { weight, period: part, ..row.member.clone() }),
            }
        }
        lines.extend(parts.into_iter().map(|member| (row.line, row.team.clone(), member)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(members: &str) -> TeamsFile {
        let text = format!(
            "version: 1\ntimezone: Europe/Oslo\nrepositories: [acme/api]\nteams: [{{ slug: pay, name: Payments, members: [{members}] }}]\n"
        );
        TeamsFile::parse("t", text.as_bytes()).expect("valid")
    }

    fn parse(text: &str) -> Result<PeopleCsv, Problems> {
        PeopleCsv::parse("people.csv", text.as_bytes(), &Columns::new(), chrono_tz::Europe::Oslo, None)
    }

    fn printed(text: &str) -> String {
        let people = parse(text).unwrap_or_else(|problems| panic!("{problems}"));
        people.teams.iter().map(|team| team.to_yaml(chrono_tz::Europe::Oslo)).collect()
    }

    /// Code, position and path of each problem.
    fn problems(text: &str) -> Vec<String> {
        let problems = parse(text).expect_err("it has problems");
        let at = |problem: &Problem| problem.at.map(|at| at.to_string()).unwrap_or_default();
        problems.list.iter().map(|it| format!("{} {} {}", at(it), it.code, it.path)).collect()
    }

    #[test]
    fn an_export_becomes_teams_with_shares_and_dates() {
        let text = "\u{feff}Employee;GitHub Username;Team;Weight;From;Last day\r\n\
                    1;Ana;Payments Core;;2026-01-05;\r\n\
                    2;bob;payments-core;0.5;;2026-06-30\r\n\
                    ;;;;;\r\n\
                    2;bob;Platform;0.5;2026-07-01;\r\n";
        insta::assert_snapshot!(printed(text), @r"
          - slug: payments-core
            name: Payments Core
            members:
              - { github: ana, from: 2026-01-05 }
              - { github: bob, weight: 0.5, to: 2026-07-01 }
          - slug: platform
            name: Platform
            members:
              - { github: bob, weight: 0.5, from: 2026-07-01 }
        ");
        assert_eq!(parse(text).expect("valid").ignored, ["Employee"]);
    }

    #[test]
    fn rows_without_weights_share_while_they_overlap() {
        insta::assert_snapshot!(printed("login,team,from,to\nana,pay,,2026-07-01\nana,ops,2026-03-01,\nana,web,2026-03-01,2026-05-01\n"), @r"
          - slug: pay
            members:
              - { github: ana, to: 2026-03-01 }
              - { github: ana, weight: 0.3334, from: 2026-03-01, to: 2026-05-01 }
              - { github: ana, weight: 0.5, from: 2026-05-01, to: 2026-07-01 }
          - slug: ops
            members:
              - { github: ana, weight: 0.3333, from: 2026-03-01, to: 2026-05-01 }
              - { github: ana, weight: 0.5, from: 2026-05-01, to: 2026-07-01 }
              - { github: ana, from: 2026-07-01 }
          - slug: web
            members:
              - { github: ana, weight: 0.3333, from: 2026-03-01, to: 2026-05-01 }
        ");
    }

    #[test]
    fn each_wrong_cell_is_reported_with_line_and_column() {
        let text = "login,team,weight,from,to,id\n\
                    @ana,pay,50%,2026-1-5,,x\n\
                    bob,,0.5,,,\n\
                    \"cho\",\"!?\",,2026-05-01,2026-05-01,\n\
                    dan\n\
                    ,pay,,,,\n\
                    eve,pay,\"0,5\",,,\n";
        assert_eq!(
            problems(text),
            [
                "2:1 config.login_syntax login",
                "2:10 config.weight_range weight",
                "2:14 config.date from",
                "2:24 config.person_id id",
                "3:5 config.missing_key team",
                "4:7 config.team_slug team",
                "4:24 config.period_order to",
                "5:1 config.syntax ",
                "6:1 config.missing_key login",
                "7:9 config.weight_range weight",
            ]
        );
        let shown = parse(text).expect_err("it has problems").to_string();
        assert!(shown.contains("write 0.5") && shown.contains("   2 | @ana,pay,50%"), "{shown}");
    }

    #[test]
    fn rows_that_contradict_each_other_are_refused() {
        for (rows, problem) in [
            ("ana,pay,,,\nana,pay,,2026-01-01,", "3:1 config.period_overlap login"),
            ("ana,pay,0.6,,\nana,ops,0.6,2026-01-01,", "3:1 config.weight_sum weight"),
            ("ana,pay,0.6,,\nana,ops,,2026-01-01,", "3:1 config.weight_sum weight"),
        ] {
            let text = format!("login,team,weight,from,to\n{rows}\n");
            assert_eq!(problems(&text), [problem], "{rows}");
        }
        assert_eq!(problems("login,team,team_name\nana,pay,One\nbob,pay,Two\n"), ["3:5 config.team_name team"]);
        assert_eq!(problems("login,id,team\nana,1,pay\nana,2,ops\n"), ["3:1 config.person_id id"]);
    }

    #[test]
    fn headers_are_found_by_any_usual_name_or_refused() {
        assert_eq!(problems("login,weigth,team\nana,1,pay\n"), ["1:7 config.unknown_key weigth"]);
        assert_eq!(problems("name,squad\nana,pay\n"), ["1:1 config.missing_key login", "1:1 config.missing_key team"]);
        assert_eq!(problems("login,github,team\na,b,pay\n"), ["1:7 config.duplicate_key login"]);
        assert_eq!(problems(""), ["1:1 config.missing_key login", "1:1 config.missing_key team"]);
        assert_eq!(problems("login,team\n"), [" config.empty "]);
        let columns = Columns::from([(Column::Team, "Squad (now)".to_owned())]);
        let named =
            PeopleCsv::parse("t", b"login,team,squad (now)\nana,HQ,pay\n", &columns, Tz::UTC, None).expect("valid");
        assert_eq!((named.teams[0].slug.as_str(), named.ignored.as_slice()), ("pay", &["team".to_owned()][..]));
        let latin =
            PeopleCsv::parse("t", b"login,team\nana,caf\xe9\n", &Columns::new(), Tz::UTC, None).expect_err("refused");
        assert_eq!((latin.code(), latin.list[0].at), ("config.encoding", Some(Position { line: 2, column: 8 })));
    }

    #[test]
    fn additions_lack_what_the_file_has_and_fit_it() {
        let file = file("{ github: ana, weight: 0.5 }, { github: bob, to: 2026-01-01 }");
        let zone = file.timezone;
        let add = |text: &str| PeopleCsv::parse("people.csv", text.as_bytes(), &Columns::new(), zone, Some(&file));
        let people =
            add("login,team,weight,from\nana,Payments,0.5,\nana,Web,0.5,\nbob,pay,,2026-01-01\n").expect("valid");
        assert_eq!((people.known, people.members()), (1, 2));
        insta::assert_snapshot!(people.to_additions(&file), @r"
          # add to the members of pay
              - { github: bob, from: 2026-01-01 }
          # a new team
          - slug: web
            name: Web
            members:
              - { github: ana, weight: 0.5 }
        ");
        for (rows, code) in [("ana,pay,0.2,2026-01-01", "config.period_overlap"), ("ana,web,0.6,", "config.weight_sum")]
        {
            let problems = add(&format!("login,team,weight,from\n{rows}\n")).expect_err("refused");
            assert_eq!((problems.code(), problems.list[0].at.map(|at| at.line)), (code, Some(2)), "{rows}");
        }
    }

    proptest! {
        #[test]
        fn rows_without_weights_make_a_valid_file(
            rows in prop::collection::vec((0_usize..3, 0_usize..4, 0_u32..6, 1_u32..6), 1..10),
        ) {
            let text: String = rows
                .iter()
                .map(|(who, team, from, months)| {
                    format!("p{who},team-{team},2026-{:02}-01,2026-{:02}-01\n", from + 1, from + months + 1)
                })
                .collect();
            // Overlaps within a team are refused.
            let Ok(people) = parse(&format!("login,team,from,to\n{text}")) else { return Ok(()) };
            let today = "2026-11-30".parse().expect("a day");
            let draft = people.into_draft("t", vec!["acme/*".parse().expect("a pattern")], chrono_tz::Europe::Oslo, today);
            let yaml = draft.to_yaml();
            let file = TeamsFile::parse("t", yaml.as_bytes()).map_err(|problems| TestCaseError::fail(problems.to_string()))?;
            prop_assert_eq!(file.teams, draft.teams);
        }
    }
}
