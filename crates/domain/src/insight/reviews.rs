//! Among how many people reviews are spread (`review_spread@1`), and between which teams they flow (`review_flow@1`).

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::flow::FlowContext;
use crate::metrics::{REVIEW_FLOW, REVIEW_SPREAD};
use crate::percentile::weighted_quantile;
use crate::{PersonId, TeamId, Weight};

/// The spread of fewer people than this is never shown.
pub const SMALLEST_SPREAD: usize = 5;

/// Among how many people reviews are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReviewSpread {
    /// The ID of the formula.
    pub definition: &'static str,
    /// How many reviews there are.
    pub n: usize,
    /// Whether too few people made them.
    pub is_suppressed: bool,
    /// The smallest number of people who made half of them; `null` without reviews and of too few people.
    pub half_by: Option<usize>,
    /// How many people made them; `null` as before.
    pub people: Option<usize>,
}

/// The smallest number of people who made half of the reviews, from the reviewer of each, as any number that is the same for the
/// same person. Nobody is named, and fewer than five people are not shown at all.
pub fn review_spread(reviewers: &[i64], min_group_size: usize) -> ReviewSpread {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for reviewer in reviewers {
        *counts.entry(*reviewer).or_default() += 1;
    }
    let people = counts.len();
    let mut most_first: Vec<usize> = counts.into_values().collect();
    most_first.sort_unstable_by(|a, b| b.cmp(a));
    let mut made = 0;
    let half = most_first.iter().position(|count| {
        made += count;
        2 * made >= reviewers.len()
    });
    let is_suppressed = people > 0 && people < min_group_size.max(SMALLEST_SPREAD);
    let shown = |value: usize| (people > 0 && !is_suppressed).then_some(value);
    ReviewSpread {
        definition: REVIEW_SPREAD,
        n: reviewers.len(),
        is_suppressed,
        half_by: half.and_then(|index| shown(index + 1)),
        people: shown(people),
    }
}

/// A team's weight in somebody's work.
pub type TeamShare = (TeamId, Weight);

/// A review, with the teams of the two people at its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlowingReview<'a> {
    /// The teams of the pull request's author.
    pub author_teams: &'a [TeamShare],
    /// The teams of the reviewer; of somebody outside the file none.
    pub reviewer_teams: &'a [TeamShare],
    /// How long the pull request had waited for it, in seconds, if that is known.
    pub wait: Option<f64>,
    /// The author, as any number that is the same for the same person.
    pub author: i64,
    /// The reviewer, likewise.
    pub reviewer: i64,
    /// The Monday of the week in which it was submitted.
    pub week: NaiveDate,
}

/// The reviews that one team gave another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct FlowCell {
    /// The team of the authors, by its number; `null` for what belongs to no team.
    pub author_team: Option<i64>,
    /// The team of the reviewers; `null` likewise.
    pub reviewer_team: Option<i64>,
    /// Distinct reviews with a part in it.
    pub n: usize,
    /// The reviews by the product of both weights, in hundred-millionths.
    pub units: u64,
    /// The weighted median of the wait in seconds; `null` where none is known, and if no week has enough people in it on
    /// either side.
    pub wait: Option<f64>,
    /// Whether the wait is hidden.
    pub is_suppressed: bool,
}

impl FlowCell {
    /// The units of one review.
    pub const UNITS: u64 = Weight::UNITS as u64 * Weight::UNITS as u64;

    /// The weighted number of reviews.
    #[expect(clippy::cast_precision_loss, reason = "there are not 2^53 of anything")]
    pub fn weight(&self) -> f64 {
        self.units as f64 / Self::UNITS as f64
    }
}

/// Which team reviews for which.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ReviewFlow {
    /// The ID of the formula.
    pub definition: &'static str,
    /// How many reviews there are. Unless weights above 1 are allowed, those of all cells sum to it.
    pub n: usize,
    /// The cells with a review, by their teams; what belongs to no team comes first.
    pub cells: Vec<FlowCell>,
}

/// Splits each review among the teams of its author and of its reviewer, by the product of their weights.
pub fn review_flow(reviews: &[FlowingReview<'_>], min_group_size: usize) -> ReviewFlow {
    #[derive(Default)]
    struct Waits {
        values: Vec<(f64, f64)>,
        authors: BTreeSet<i64>,
        reviewers: BTreeSet<i64>,
    }
    #[derive(Default)]
    struct Cell {
        n: usize,
        units: u64,
        weeks: BTreeMap<NaiveDate, Waits>,
    }
    let mut cells: BTreeMap<(Option<TeamId>, Option<TeamId>), Cell> = BTreeMap::new();
    for review in reviews {
        for (author_team, author_units) in with_rest(review.author_teams) {
            for (reviewer_team, reviewer_units) in with_rest(review.reviewer_teams) {
                let units = author_units * reviewer_units;
                let cell = cells.entry((author_team, reviewer_team)).or_default();
                cell.n += 1;
                cell.units += units;
                let Some(wait) = review.wait else { continue };
                let waits = cell.weeks.entry(review.week).or_default();
                #[expect(clippy::cast_precision_loss, reason = "at most 10^8 for each weight of 1")]
                waits.values.push((wait, units as f64));
                waits.authors.insert(review.author);
                waits.reviewers.insert(review.reviewer);
            }
        }
    }
    let shown = |((author_team, reviewer_team), cell): ((Option<TeamId>, Option<TeamId>), Cell)| {
        // Only weeks of enough people, so that no two ranges differ by what one person did.
        let is_shown = |waits: &&Waits| waits.authors.len().min(waits.reviewers.len()) >= min_group_size;
        let values: Vec<(f64, f64)> =
            cell.weeks.values().filter(is_shown).flat_map(|waits| waits.values.iter().copied()).collect();
        let wait = weighted_quantile(&values, 0.5);
        FlowCell {
            author_team: author_team.map(|team| team.0),
            reviewer_team: reviewer_team.map(|team| team.0),
            n: cell.n,
            units: cell.units,
            wait,
            is_suppressed: wait.is_none() && !cell.weeks.is_empty(),
        }
    };
    ReviewFlow { definition: REVIEW_FLOW, n: reviews.len(), cells: cells.into_iter().map(shown).collect() }
}

/// The teams with their weights in ten-thousandths, and what is left of 1, which belongs to none.
fn with_rest(teams: &[TeamShare]) -> impl Iterator<Item = (Option<TeamId>, u64)> {
    let sum: u64 = teams.iter().map(|(_, weight)| u64::from(weight.units())).sum();
    let rest = u64::from(Weight::UNITS).saturating_sub(sum);
    let named = teams.iter().map(|(team, weight)| (Some(*team), u64::from(weight.units())));
    named.chain((rest > 0).then_some((None, rest)))
}

/// A review, with who made it for whom.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenReview {
    /// The author of the pull request.
    pub author: PersonId,
    /// The reviewer; `None` for somebody outside the teams file.
    pub reviewer: Option<PersonId>,
    /// The teams of the author when it was submitted.
    pub author_teams: Vec<TeamShare>,
    /// The teams of the reviewer when it was submitted.
    pub reviewer_teams: Vec<TeamShare>,
    /// When it was submitted.
    pub submitted_at: DateTime<Utc>,
    /// How long the pull request had been ready for review, in seconds; `None` if that is not known, or if it was not ready yet.
    pub wait: Option<f64>,
}

impl GivenReview {
    /// The number of everybody outside the file: there it cannot be known who is the same person.
    const OUTSIDE: i64 = 0;

    fn flowing(&self, context: &FlowContext) -> FlowingReview<'_> {
        FlowingReview {
            author_teams: &self.author_teams,
            reviewer_teams: &self.reviewer_teams,
            wait: self.wait,
            author: self.author.0,
            reviewer: self.reviewer_number(),
            week: context.week(self.submitted_at),
        }
    }

    fn reviewer_number(&self) -> i64 {
        self.reviewer.map_or(Self::OUTSIDE, |person| person.0)
    }
}

/// The reviews that a team gave and got.
#[derive(Debug, Clone, PartialEq)]
pub struct TeamReviews {
    /// How many there are.
    pub n: usize,
    /// How many the team's pull requests got from people outside the teams file, who are in no spread.
    pub n_outside: usize,
    /// Among how many people of the file the reviews of the team's pull requests are spread.
    pub spread: ReviewSpread,
    /// How many of these are left out, since their weeks have fewer reviewers than may be shown, or are not over.
    pub n_hidden_in_spread: usize,
    /// Which team reviews for which.
    pub flow: ReviewFlow,
    /// How many are left out of it, since their weeks have fewer authors or reviewers than may be shown, or are not over.
    pub n_hidden_in_flow: usize,
}

/// The reviews that a team gave and got: those in which it has a part, as the author's or as the reviewer's team.
pub fn team_reviews(reviews: &[GivenReview], team: TeamId, context: &FlowContext) -> TeamReviews {
    let is_of_team = |review: &&GivenReview| review.author_teams.iter().any(|(of, _)| *of == team);
    let got: Vec<&GivenReview> = reviews.iter().filter(is_of_team).collect();
    let known: Vec<(&GivenReview, PersonId)> =
        got.iter().filter_map(|review| Some((*review, review.reviewer?))).collect();
    let (n_got, n_known) = (got.len(), known.len());
    let known = context.shown(known, |(review, reviewer)| (review.submitted_at, reviewer.0));
    let n_hidden_in_spread = n_known - known.len();
    let reviewers: Vec<i64> = known.into_iter().map(|(_, reviewer)| reviewer.0).collect();
    let spread = review_spread(&reviewers, context.min_group_size);
    let all: Vec<&GivenReview> = reviews.iter().collect();
    let shown = context.shown(all, |review| (review.submitted_at, review.reviewer_number()));
    let shown = context.shown(shown, |review| (review.submitted_at, review.author.0));
    let flowing: Vec<FlowingReview<'_>> = shown.iter().map(|review| review.flowing(context)).collect();
    TeamReviews {
        n: reviews.len(),
        n_outside: n_got - n_known,
        spread: ReviewSpread {
            is_suppressed: spread.is_suppressed || n_hidden_in_spread > 0 && spread.n == 0,
            ..spread
        },
        n_hidden_in_spread,
        flow: review_flow(&flowing, context.min_group_size),
        n_hidden_in_flow: reviews.len() - flowing.len(),
    }
}
