//! Who reviews for whom, by teams, as a text table: for `show` and `report`.

use std::fmt::Write as _;

use comfy_table::CellAlignment;
use mergeline_domain::insight::FlowCell;
use mergeline_domain::{TeamId, count_of};
use mergeline_reporting::ReviewsOfTeam;

use crate::tables::{Layout, Unit, align, table_of_names};

/// What is said of a team's reviews in sentences: among how many people they are spread, what is hidden, and what was not read.
fn lines(found: &ReviewsOfTeam) -> Vec<String> {
    let (team, reviews) = (&found.team.name, &found.reviews);
    let spread = &reviews.spread;
    let of_reviews = count_of(spread.n, "review");
    let made = spread.half_by.zip(spread.people);
    let mut lines = Vec::new();
    if let Some((half, people)) = made {
        lines.push(format!(
            "{team}: half of the {of_reviews} of its pull requests were made by {half} of {people} people"
        ));
    } else if spread.is_suppressed {
        lines.push(format!(
            "{team}: among how many people the reviews of its pull requests are spread is hidden, since it would show what \
             single people did"
        ));
    }
    for line in &mut lines {
        line.push_str(" (review_spread@1)");
    }
    if reviews.n_outside > 0 {
        let outside = count_of(reviews.n_outside, "review");
        lines.push(format!("{team}: {outside} by people outside the teams file, who are not in that"));
    }
    if reviews.n_hidden_in_spread + reviews.n_hidden_in_flow > 0 {
        lines.push(format!(
            "{team}: {} left out of the spread and {} of the table, since their weeks have too few people or are not over",
            reviews.n_hidden_in_spread, reviews.n_hidden_in_flow
        ));
    }
    if found.unread.of_team > 0 {
        let unread = count_of(found.unread.of_team, "pull request");
        lines.push(format!(
            "{team}: the reviews of {unread} were not all read, so some may be missing; COLLECT_DETAILS or a token may be missing"
        ));
    }
    lines
}

/// The reviews of teams, all of the same range, from which team to which, and what must be known about them. Of several teams, each
/// has those of its own pull requests, so that none is in it twice; of a single one there are also those that it gave others. Empty
/// if there is nothing to say.
pub(crate) fn table(teams: &[&ReviewsOfTeam], since: &str, layout: Layout) -> String {
    let is_single = teams.len() == 1;
    let is_shown = |of: TeamId, cell: &FlowCell| is_single || cell.author_team == Some(of.0);
    let cells: Vec<(&ReviewsOfTeam, &FlowCell)> = teams
        .iter()
        .flat_map(|found| found.reviews.flow.cells.iter().map(|cell| (*found, cell)))
        .filter(|(found, cell)| is_shown(found.team.id, cell))
        .collect();
    let lines: Vec<String> = teams.iter().flat_map(|found| lines(found)).collect();
    if cells.is_empty() && lines.is_empty() {
        return String::new();
    }
    let unit = Unit::of(cells.iter().filter_map(|(_, cell)| cell.wait));
    let mut text = String::new();
    if !cells.is_empty() {
        text.push_str(&layout.lines(&format!(
            "Reviews since {since}, which team reviews for which (review_flow@1): how many, their sum by weight, and the median wait \
             from ready for review to the review in {}\n",
            unit.name()
        )));
        let rows = cells.iter().map(|(found, cell)| {
            let name = |id: Option<i64>| {
                let team = id.and_then(|id| found.teams.get(&TeamId(id)));
                team.map_or_else(|| "no team".to_owned(), |team| team.name.clone())
            };
            let numbers =
                [cell.n.to_string(), format!("{:.2}", cell.weight()), unit.cell(cell.wait, cell.is_suppressed)];
            [name(cell.author_team), name(cell.reviewer_team)].into_iter().chain(numbers).collect()
        });
        let header = ["opened by", "reviewed by", "reviews", "weight", "wait"];
        let mut table = table_of_names(&header, rows.collect(), layout);
        align(&mut table);
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Left);
        }
        let _ = writeln!(text, "{table}");
    }
    for line in lines {
        text.push_str(&layout.lines(&format!("{line}\n")));
    }
    text
}
