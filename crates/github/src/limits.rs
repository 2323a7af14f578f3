//! What is left of GitHub's limits, as its answers say, and how many requests may be under way at a time because of it.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::retry::{LONGEST_PAUSE, SECONDARY_PAUSE};
use crate::{GitHubError, Limit};

/// Resets of one window differ by this much at most: they come in whole seconds, by way of two clocks.
const SAME_WINDOW: Duration = Duration::from_secs(5);

/// GitHub counts the two kinds of requests apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Resource {
    /// Requests of the REST API.
    Rest,
    /// Points of GraphQL.
    GraphQl,
}

/// What an answer's headers said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReportedLimit {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    pub(crate) reset_in: Duration,
}

impl ReportedLimit {
    /// What is left, in percent; `None` of a limit that is none.
    pub(crate) fn percent(self) -> Option<u32> {
        u32::try_from(u64::from(self.remaining) * 100 / u64::from(NonZero::new(self.limit)?.get())).ok()
    }
}

/// Which requests GitHub refuses for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// Those of the REST API: its hourly limit is used up.
    Core,
    /// Those of GraphQL: its hourly limit is used up.
    GraphQl,
    /// All of them: a secondary limit.
    Secondary,
}

impl BlockKind {
    /// All kinds.
    const ALL: [Self; 3] = [Self::Core, Self::GraphQl, Self::Secondary];

    /// A stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::GraphQl => "graphql",
            Self::Secondary => "secondary",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    fn of(limit: Limit, resource: Resource) -> Self {
        match (limit, resource) {
            (Limit::Secondary, _) => Self::Secondary,
            (Limit::Primary, Resource::Rest) => Self::Core,
            (Limit::Primary, Resource::GraphQl) => Self::GraphQl,
        }
    }

    fn limit(self) -> Limit {
        if self == Self::Secondary { Limit::Secondary } else { Limit::Primary }
    }

    fn concerns(self, resource: Resource) -> bool {
        match self {
            Self::Secondary => true,
            Self::Core => resource == Resource::Rest,
            Self::GraphQl => resource == Resource::GraphQl,
        }
    }
}

/// Until when GitHub refuses requests, so that others who use the same credentials need not find out for themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// A digest of the credentials and GitHub's address: not the token itself.
    pub scope: String,
    /// Which requests.
    pub kind: BlockKind,
    /// Until when.
    pub until: DateTime<Utc>,
}

/// What GitHub said was left of an hourly limit of the REST API, for others who use the same credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remaining {
    /// A digest of the credentials and GitHub's address: not the token itself.
    pub scope: String,
    /// Requests an hour.
    pub limit: u32,
    /// Requests that were left.
    pub remaining: u32,
    /// When the limit starts anew.
    pub resets_at: DateTime<Utc>,
}

/// The hourly limit of one kind of request.
#[derive(Debug, Clone, Copy)]
struct Window {
    limit: u32,
    /// The lowest that was told of this window: answers do not arrive in the order in which GitHub counted them.
    remaining: u32,
    resets_at: Instant,
    told_at: Instant,
}

impl Window {
    /// What is known after an answer to a request that was sent at `sent_at`.
    fn after(before: Option<Self>, told: ReportedLimit, sent_at: Instant, now: Instant) -> Self {
        let fresh = Self { limit: told.limit, remaining: told.remaining, resets_at: now + told.reset_in, told_at: now };
        let Some(before) = before.filter(|window| window.resets_at > now && window.limit == told.limit) else {
            return fresh;
        };
        if fresh.resets_at > before.resets_at + SAME_WINDOW {
            return fresh;
        }
        if fresh.resets_at + SAME_WINDOW < before.resets_at {
            // Of the window before, and late; or this one has become shorter.
            return if sent_at < before.told_at { before } else { fresh };
        }
        Self { remaining: before.remaining.min(told.remaining), ..before }
    }

    /// What may still be used with so many requests under way, of which one is expected to cost one. The reserve is not
    /// touched.
    fn has_room(&self, in_flight: u32, reserve: f64) -> bool {
        f64::from(self.remaining.saturating_sub(in_flight)) > f64::from(self.limit) * reserve
    }
}

#[derive(Debug, Clone, Copy)]
struct BlockState {
    until: Instant,
    is_reported: bool,
}

/// What is known of one set of credentials.
#[derive(Debug, Default)]
struct State {
    windows: HashMap<Resource, Window>,
    blocks: HashMap<BlockKind, BlockState>,
    in_flight: HashMap<Resource, u32>,
    /// Whether GitHub's last word was an answer and no limit. Before the first one, and after a refusal, requests are sent
    /// one at a time: it takes only one to find out.
    is_open: bool,
    refused_at: Option<Instant>,
}

impl State {
    fn in_flight(&self, resource: Resource) -> u32 {
        self.in_flight.get(&resource).copied().unwrap_or_default()
    }

    /// Whether another request may be sent now; `Ok(false)` when that depends on those that are under way.
    fn admits(&self, resource: Resource, reserve: f64, now: Instant) -> Result<bool, GitHubError> {
        let block = self.blocks.iter().filter(|(kind, block)| kind.concerns(resource) && block.until > now);
        if let Some((kind, block)) = block.max_by_key(|(_, block)| block.until) {
            return Err(GitHubError::RateLimited { limit: kind.limit(), retry_in: Some(block.until - now) });
        }
        if let Some(window) = self.windows.get(&resource).filter(|window| window.resets_at > now) {
            if !window.has_room(0, reserve) {
                let retry_in = Some(window.resets_at - now);
                return Err(GitHubError::RateLimited { limit: Limit::Primary, retry_in });
            }
            if !window.has_room(self.in_flight(resource), reserve) {
                return Ok(false);
            }
        }
        Ok(self.is_open || self.in_flight.values().all(|count| *count == 0))
    }
}

/// The limits of all credentials in use, each known by a digest.
#[derive(Debug)]
pub(crate) struct Limits {
    /// The part of the hourly limit that is left for others, between 0 and 1.
    reserve: f64,
    states: Mutex<HashMap<String, State>>,
    /// A request has ended: others may be sent.
    ended: Notify,
    /// There is a block to be reported.
    blocked: Notify,
}

impl Limits {
    pub(crate) fn new(reserve: f64) -> Self {
        Self { reserve, states: Mutex::default(), ended: Notify::new(), blocked: Notify::new() }
    }

    fn with<T>(&self, scope: &str, look: impl FnOnce(&mut State) -> T) -> T {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        look(states.entry(scope.to_owned()).or_default())
    }

    /// Lets a request pass, or says why none is sent: nothing is asked of GitHub while a limit is reached, or would eat
    /// into what is left for others. Waits for requests that are under way where it depends on their answers.
    pub(crate) async fn admit(self: &Arc<Self>, scope: &str, resource: Resource) -> Result<Admission, GitHubError> {
        loop {
            // From here on no end of a request is missed.
            let ended = self.ended.notified();
            let now = Instant::now();
            let is_admitted = self.with(scope, |state| {
                let is_admitted = state.admits(resource, self.reserve, now)?;
                *state.in_flight.entry(resource).or_default() += u32::from(is_admitted);
                Ok::<_, GitHubError>(is_admitted)
            })?;
            if is_admitted {
                return Ok(Admission { limits: self.clone(), scope: scope.to_owned(), resource, sent_at: now });
            }
            ended.await;
        }
    }

    /// Takes over what others have found out.
    pub(crate) fn know(&self, blocks: &[Block], today: DateTime<Utc>) {
        let now = Instant::now();
        for block in blocks {
            let Ok(pause) = (block.until - today).to_std() else { continue };
            // By a clock that may be another: never longer than a limit lasts.
            let until = now + pause.min(LONGEST_PAUSE);
            self.with(&block.scope, |state| state.block(block.kind, until, true));
        }
    }

    /// Takes over what others were told a short while ago, as long as it leaves room: with that, requests may be sent beside each
    /// other from the first one on. Where it leaves none, GitHub is asked all the same: an address that has changed, or a larger
    /// limit, may have made room.
    pub(crate) fn know_remaining(&self, remaining: &[Remaining], today: DateTime<Utc>) {
        let now = Instant::now();
        for told in remaining {
            let Ok(left) = (told.resets_at - today).to_std() else { continue };
            let resets_at = now + left.min(LONGEST_PAUSE);
            let window = Window { limit: told.limit, remaining: told.remaining, resets_at, told_at: now };
            self.with(&told.scope, |state| {
                let is_news = state.refused_at.is_none() && !state.windows.contains_key(&Resource::Rest);
                if is_news && resets_at > now && window.has_room(0, self.reserve) {
                    state.windows.insert(Resource::Rest, window);
                    state.is_open = true;
                }
            });
        }
    }

    /// What is left of the limits that answers told of, and that no refusal followed.
    pub(crate) fn remaining(&self, today: DateTime<Utc>) -> Vec<Remaining> {
        let now = Instant::now();
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let told = states.iter().filter(|(_, state)| state.is_open).filter_map(|(scope, state)| {
            let window = state.windows.get(&Resource::Rest).filter(|window| window.resets_at > now)?;
            let left = TimeDelta::from_std(window.resets_at - now).unwrap_or_default();
            let Window { limit, remaining, .. } = *window;
            Some(Remaining { scope: scope.clone(), limit, remaining, resets_at: today + left })
        });
        told.collect()
    }

    /// Remembers a limit, if the error is one: it holds for others too.
    pub(crate) fn note_refusal(&self, scope: &str, resource: Resource, error: &GitHubError) {
        let GitHubError::RateLimited { limit, retry_in } = error else { return };
        let usual = if *limit == Limit::Secondary { SECONDARY_PAUSE } else { LONGEST_PAUSE };
        let pause = retry_in.unwrap_or(usual).min(LONGEST_PAUSE);
        let until = Instant::now() + pause;
        self.with(scope, |state| state.block(BlockKind::of(*limit, resource), until, false));
        self.blocked.notify_one();
    }

    /// The blocks that were not reported yet.
    pub(crate) fn take_new_blocks(&self, today: DateTime<Utc>) -> Vec<Block> {
        let now = Instant::now();
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for (scope, state) in states.iter_mut() {
            for (kind, block) in state.blocks.iter_mut().filter(|(_, block)| !block.is_reported && block.until > now) {
                block.is_reported = true;
                let left = TimeDelta::from_std(block.until - now).unwrap_or_default();
                found.push(Block { scope: scope.clone(), kind: *kind, until: today + left });
            }
        }
        found
    }

    /// Waits until there may be a block that was not reported yet.
    pub(crate) async fn blocked(&self) {
        self.blocked.notified().await;
    }
}

impl State {
    /// Of several blocks of a kind the longest counts.
    fn block(&mut self, kind: BlockKind, until: Instant, is_reported: bool) {
        let known = self.blocks.get(&kind).copied();
        if known.is_none_or(|known| known.until < until) {
            self.blocks.insert(kind, BlockState { until, is_reported });
        }
        self.is_open = false;
        self.refused_at = Some(Instant::now());
    }
}

/// A request that is under way, until its answer is read.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Arc<Limits>,
    scope: String,
    resource: Resource,
    sent_at: Instant,
}

impl Admission {
    /// Remembers what the answer's headers said of a limit. Returns what is known of the window now.
    pub(crate) fn note(&self, resource: Resource, told: ReportedLimit) -> ReportedLimit {
        let now = Instant::now();
        self.limits.with(&self.scope, |state| {
            let window = Window::after(state.windows.get(&resource).copied(), told, self.sent_at, now);
            state.windows.insert(resource, window);
            ReportedLimit { limit: window.limit, remaining: window.remaining, reset_in: window.resets_at - now }
        })
    }

    /// What the answer says about others: a refusal by a limit concerns them, and after any other answer they may be sent
    /// beside each other, unless one of them was refused in the meantime.
    pub(crate) fn ended_with(self, outcome: Result<(), GitHubError>) {
        match outcome {
            Err(error @ GitHubError::RateLimited { .. }) => {
                self.limits.note_refusal(&self.scope, self.resource, &error);
            }
            _ => self.limits.with(&self.scope, |state| {
                state.is_open |= state.refused_at.is_none_or(|refused_at| refused_at < self.sent_at);
            }),
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.limits.with(&self.scope, |state| {
            let count = state.in_flight.entry(self.resource).or_default();
            *count = count.saturating_sub(1);
        });
        self.limits.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn told(limit: u32, remaining: u32) -> ReportedLimit {
        ReportedLimit { limit, remaining, reset_in: HOUR }
    }

    /// What becomes of a request at once: `None` when it waits for others.
    fn try_admit(limits: &Arc<Limits>, scope: &str, resource: Resource) -> Option<Result<Admission, GitHubError>> {
        limits.admit(scope, resource).now_or_never()
    }

    fn admitted(limits: &Arc<Limits>, scope: &str, resource: Resource) -> Admission {
        try_admit(limits, scope, resource).expect("at once").expect("admitted")
    }

    fn limited(limit: Limit, pause: Duration) -> Result<(), GitHubError> {
        Err(GitHubError::RateLimited { limit, retry_in: Some(pause) })
    }

    /// Limits of which an answer has told.
    fn after(answer: ReportedLimit) -> Arc<Limits> {
        let limits = Arc::new(Limits::new(0.1));
        let first = admitted(&limits, "a", Resource::Rest);
        first.note(Resource::Rest, answer);
        first.ended_with(Ok(()));
        limits
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenth_of_the_limit_is_left_for_others_until_it_starts_anew() {
        admitted(&after(told(5_000, 501)), "a", Resource::Rest);
        let limits = after(told(5_000, 500));
        let reached = GitHubError::RateLimited { limit: Limit::Primary, retry_in: Some(HOUR) };
        assert_eq!(try_admit(&limits, "a", Resource::Rest).map(Result::err), Some(Some(reached)));
        tokio::time::advance(HOUR).await;
        admitted(&limits, "a", Resource::Rest);
    }

    #[test]
    fn what_is_left_is_told_in_percent_of_the_limit_whatever_that_is() {
        let percent = |limit, remaining| told(limit, remaining).percent();
        assert_eq!([percent(60, 6), percent(15_000, 1_799), percent(5_000, 5_000)], [Some(10), Some(11), Some(100)]);
        assert_eq!(percent(0, 0), None);
    }

    #[tokio::test]
    async fn tokens_and_kinds_of_requests_are_counted_apart() {
        let limits = after(told(60, 0));
        admitted(&limits, "b", Resource::Rest).ended_with(Ok(()));
        admitted(&limits, "a", Resource::GraphQl);
        admitted(&limits, "b", Resource::Rest).ended_with(limited(Limit::Secondary, HOUR));
        let outcome = try_admit(&limits, "b", Resource::GraphQl);
        assert!(matches!(outcome, Some(Err(_))), "a secondary limit concerns both: {outcome:?}");
    }

    #[tokio::test]
    async fn requests_under_way_count_as_used_and_the_next_one_waits_for_their_answers() {
        let limits = after(told(60, 8));
        let (first, second) = (admitted(&limits, "a", Resource::Rest), admitted(&limits, "a", Resource::Rest));
        // Six are left for others, and two may be used up by now.
        let mut third = pin!(limits.admit("a", Resource::Rest));
        assert!(third.as_mut().now_or_never().is_none());
        // An answer that cost nothing, a 304, makes room.
        first.note(Resource::Rest, told(60, 8));
        drop(first);
        assert!(third.now_or_never().expect("at once").is_ok());
        second.note(Resource::Rest, told(60, 6));
        assert!(matches!(try_admit(&limits, "a", Resource::Rest), Some(Err(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn the_lowest_remaining_of_a_window_counts_in_whatever_order_answers_arrive() {
        let limits = after(told(5_000, 4_000));
        let late = admitted(&limits, "a", Resource::Rest);
        let remaining = |told: ReportedLimit| late.note(Resource::Rest, told).remaining;
        assert_eq!([remaining(told(5_000, 3_998)), remaining(told(5_000, 3_999))], [3_998, 3_998]);
        // Another window begins, and an answer of the one before comes late.
        tokio::time::advance(HOUR / 2).await;
        let next = admitted(&limits, "a", Resource::Rest);
        assert_eq!(next.note(Resource::Rest, told(5_000, 4_999)).remaining, 4_999);
        let of_before = ReportedLimit { reset_in: HOUR / 2, ..told(5_000, 0) };
        assert_eq!(late.note(Resource::Rest, of_before).remaining, 4_999);
    }

    #[tokio::test(start_paused = true)]
    async fn before_the_first_answer_and_after_a_refusal_one_request_is_sent_and_the_others_wait_for_its_answer() {
        let limits = Arc::new(Limits::new(0.1));
        let first = admitted(&limits, "a", Resource::Rest);
        assert!(try_admit(&limits, "a", Resource::Rest).is_none());
        first.ended_with(Ok(()));
        let (early, second) = (admitted(&limits, "a", Resource::Rest), admitted(&limits, "a", Resource::Rest));
        second.ended_with(limited(Limit::Secondary, HOUR));
        tokio::time::advance(HOUR).await;
        // Sent before the refusal, it says nothing about what holds after it.
        early.ended_with(Ok(()));
        let probe = admitted(&limits, "a", Resource::Rest);
        assert!(try_admit(&limits, "a", Resource::GraphQl).is_none());
        probe.ended_with(Ok(()));
        admitted(&limits, "a", Resource::GraphQl);
    }

    #[tokio::test(start_paused = true)]
    async fn a_block_is_reported_once_and_known_to_others_for_as_long_as_it_lasts() {
        let today = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        let limits = Arc::new(Limits::new(0.1));
        admitted(&limits, "a", Resource::GraphQl).ended_with(limited(Limit::Primary, HOUR));
        limits.blocked().await;
        let blocks = limits.take_new_blocks(today);
        let expected = Block { scope: "a".to_owned(), kind: BlockKind::GraphQl, until: today + TimeDelta::hours(1) };
        assert_eq!(blocks, [expected]);
        assert_eq!(limits.take_new_blocks(today), []);
        let others = Arc::new(Limits::new(0.1));
        others.know(&blocks, today + TimeDelta::minutes(59));
        assert_eq!(others.take_new_blocks(today), []);
        assert!(matches!(try_admit(&others, "a", Resource::GraphQl), Some(Err(_))));
        admitted(&others, "a", Resource::Rest);
        tokio::time::advance(Duration::from_secs(60)).await;
        admitted(&others, "a", Resource::GraphQl);
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_process_was_told_lets_requests_be_sent_together_until_the_limit_starts_anew() {
        let today = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        let remaining = after(told(5_000, 4_000)).remaining(today);
        let resets_at = today + TimeDelta::hours(1);
        assert_eq!(remaining, [Remaining { scope: "a".to_owned(), limit: 5_000, remaining: 4_000, resets_at }]);
        let sent_together = |remaining: &[Remaining], today| {
            let others = Arc::new(Limits::new(0.1));
            others.know_remaining(remaining, today);
            let _first = admitted(&others, "a", Resource::Rest);
            try_admit(&others, "a", Resource::Rest).is_some_and(|outcome| outcome.is_ok())
        };
        assert!(sent_together(&remaining, today + TimeDelta::minutes(59)));
        assert!(!sent_together(&remaining, resets_at), "it has started anew: nobody knows");
        let used_up = Remaining { remaining: 500, ..remaining[0].clone() };
        assert!(!sent_together(&[used_up], today), "GitHub is asked whether there is room now");
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_process_was_told_does_not_outweigh_a_refusal() {
        let today = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        let limits = after(told(5_000, 4_000));
        let remaining = limits.remaining(today);
        admitted(&limits, "a", Resource::Rest).ended_with(limited(Limit::Secondary, HOUR / 2));
        assert_eq!(limits.remaining(today), [], "what is refused is not recommended");
        let others = Arc::new(Limits::new(0.1));
        others.know(
            &[Block { scope: "a".to_owned(), kind: BlockKind::Secondary, until: today + TimeDelta::minutes(1) }],
            today,
        );
        others.know_remaining(&remaining, today);
        tokio::time::advance(Duration::from_secs(60)).await;
        let _probe = admitted(&others, "a", Resource::Rest);
        assert!(try_admit(&others, "a", Resource::Rest).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_block_of_a_century_is_believed_for_an_hour() {
        let today = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        let limits = Arc::new(Limits::new(0.1));
        let century = Duration::from_secs(u64::MAX / 2);
        admitted(&limits, "a", Resource::Rest).ended_with(limited(Limit::Secondary, century));
        let until = limits.take_new_blocks(today).pop().map(|block| block.until);
        assert!(until.is_some_and(|until| until < today + TimeDelta::hours(2)), "{until:?}");
        let far = Block { scope: "b".to_owned(), kind: BlockKind::Core, until: today + TimeDelta::days(36_500) };
        limits.know(&[far], today);
        tokio::time::advance(LONGEST_PAUSE).await;
        admitted(&limits, "b", Resource::Rest);
    }
}
