//! What remains of GitHub's limits, as its responses report, and how many requests may be in flight because of it.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_source::{Block, Remaining};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::retry::{LONGEST_PAUSE, SECONDARY_PAUSE};
use crate::{GitHubError, Limit};

/// Resets of one window differ by at most this much: they come in whole seconds and depend on two clocks.
const SAME_WINDOW: Duration = Duration::from_secs(5);

/// GitHub has separate limits for the two kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Resource {
    /// REST API requests.
    Rest,
    /// GraphQL points.
    GraphQl,
}

/// The rate limit headers of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReportedLimit {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    pub(crate) reset_in: Duration,
}

impl ReportedLimit {
    /// The remaining share in percent; `None` without a limit.
    pub(crate) fn percent(self) -> Option<u32> {
        u32::try_from(u64::from(self.remaining) * 100 / u64::from(NonZero::new(self.limit)?.get())).ok()
    }
}

/// Which requests GitHub refuses for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum BlockKind {
    /// REST API requests: the hourly limit is used up.
    Core,
    /// GraphQL requests: the hourly limit is used up.
    GraphQl,
    /// All requests: a secondary limit.
    Secondary,
}

impl BlockKind {
    /// All kinds.
    const ALL: [Self; 3] = [Self::Core, Self::GraphQl, Self::Secondary];

    /// A stable name.
    fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::GraphQl => "graphql",
            Self::Secondary => "secondary",
        }
    }

    /// The kind with this name.
    fn from_name(name: &str) -> Option<Self> {
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

/// The hourly limit of one kind of request.
#[derive(Debug, Clone, Copy)]
struct Window {
    limit: u32,
    /// The lowest value reported for this window: responses may arrive in another order than GitHub counted them.
    remaining: u32,
    resets_at: Instant,
    reported_at: Instant,
}

impl Window {
    /// The state after a response to a request that was sent at `sent_at`.
    fn after(before: Option<Self>, reported: ReportedLimit, sent_at: Instant, now: Instant) -> Self {
        let fresh = Self {
            limit: reported.limit,
            remaining: reported.remaining,
            resets_at: now + reported.reset_in,
            reported_at: now,
        };
        let Some(before) = before.filter(|window| window.resets_at > now && window.limit == reported.limit) else {
            return fresh;
        };
        if fresh.resets_at > before.resets_at + SAME_WINDOW {
            return fresh;
        }
        if fresh.resets_at + SAME_WINDOW < before.resets_at {
            // A late response from the window before, or this window has become shorter.
            return if sent_at < before.reported_at { before } else { fresh };
        }
        Self { remaining: before.remaining.min(reported.remaining), ..before }
    }

    /// Whether another request fits in with this many in flight. Each is expected to cost one. The reserve is not
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

/// The state of one set of credentials.
#[derive(Debug, Default)]
struct State {
    windows: HashMap<Resource, Window>,
    blocks: HashMap<BlockKind, BlockState>,
    in_flight: HashMap<Resource, u32>,
    /// Whether GitHub's latest response was not a limit. Before the first response, and after a refusal, requests are
    /// sent one at a time: one is enough to find out.
    is_open: bool,
    refused_at: Option<Instant>,
}

impl State {
    fn in_flight(&self, resource: Resource) -> u32 {
        self.in_flight.get(&resource).copied().unwrap_or_default()
    }

    /// Whether another request may be sent now; `Ok(false)` if that depends on those in flight.
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

/// The limits of all credentials in use, by digest.
#[derive(Debug)]
pub(crate) struct Limits {
    /// The share of the hourly limit that is reserved for others, between 0 and 1.
    reserve: f64,
    states: Mutex<HashMap<String, State>>,
    /// Notified when a request has ended, so that others may be sent.
    ended: Notify,
    /// Notified when there is a block to report.
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

    /// Admits a request, or returns the limit that blocks it. Nothing is sent while a limit is reached, or if the
    /// request would use the reserve. If the decision depends on requests in flight, this waits for their responses.
    pub(crate) async fn admit(self: &Arc<Self>, scope: &str, resource: Resource) -> Result<Admission, GitHubError> {
        loop {
            // Registered first, so that no ending request is missed.
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

    /// Takes over blocks that others have found.
    pub(crate) fn know(&self, blocks: &[Block], today: DateTime<Utc>) {
        let now = Instant::now();
        for block in blocks {
            // An unknown kind comes from a newer version that shares the database.
            let Some(kind) = BlockKind::from_name(&block.kind) else { continue };
            let Ok(pause) = (block.until - today).to_std() else { continue };
            // The other clock may differ: never longer than a limit lasts.
            let until = now + pause.min(LONGEST_PAUSE);
            self.with(&block.scope, |state| state.block(kind, until, true));
        }
    }

    /// Takes over recent values from others if there is room, so that requests can run concurrently from the start.
    /// If there is no room, GitHub is still asked: a changed address or a larger limit may have made room.
    pub(crate) fn know_remaining(&self, remaining: &[Remaining], today: DateTime<Utc>) {
        let now = Instant::now();
        for reported in remaining {
            let Ok(left) = (reported.resets_at - today).to_std() else { continue };
            let resets_at = now + left.min(LONGEST_PAUSE);
            let window = Window { limit: reported.limit, remaining: reported.remaining, resets_at, reported_at: now };
            self.with(&reported.scope, |state| {
                let is_news = state.refused_at.is_none() && !state.windows.contains_key(&Resource::Rest);
                if is_news && resets_at > now && window.has_room(0, self.reserve) {
                    state.windows.insert(Resource::Rest, window);
                    state.is_open = true;
                }
            });
        }
    }

    /// What remains of the limits that were reported and not refused since.
    pub(crate) fn remaining(&self, today: DateTime<Utc>) -> Vec<Remaining> {
        let now = Instant::now();
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let reported = states.iter().filter(|(_, state)| state.is_open).filter_map(|(scope, state)| {
            let window = state.windows.get(&Resource::Rest).filter(|window| window.resets_at > now)?;
            let left = TimeDelta::from_std(window.resets_at - now).unwrap_or_default();
            let Window { limit, remaining, .. } = *window;
            Some(Remaining { scope: scope.clone(), limit, remaining, resets_at: today + left })
        });
        reported.collect()
    }

    /// Records a limit, if the error is one: it applies to other requests too.
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
                found.push(Block { scope: scope.clone(), kind: kind.as_str().to_owned(), until: today + left });
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
    /// The longest block of each kind counts.
    fn block(&mut self, kind: BlockKind, until: Instant, is_reported: bool) {
        let known = self.blocks.get(&kind).copied();
        if known.is_none_or(|known| known.until < until) {
            self.blocks.insert(kind, BlockState { until, is_reported });
        }
        self.is_open = false;
        self.refused_at = Some(Instant::now());
    }
}

/// A request in flight, until its response is read.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Arc<Limits>,
    scope: String,
    resource: Resource,
    sent_at: Instant,
}

impl Admission {
    /// Records the rate limit headers of the response. Returns the resulting state of the window.
    pub(crate) fn note(&self, resource: Resource, reported: ReportedLimit) -> ReportedLimit {
        let now = Instant::now();
        self.limits.with(&self.scope, |state| {
            let window = Window::after(state.windows.get(&resource).copied(), reported, self.sent_at, now);
            state.windows.insert(resource, window);
            ReportedLimit { limit: window.limit, remaining: window.remaining, reset_in: window.resets_at - now }
        })
    }

    /// Applies the outcome to other requests. A rate limit refusal blocks them. After any other response they may run
    /// concurrently, unless one was refused since.
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

    fn reported(limit: u32, remaining: u32) -> ReportedLimit {
        ReportedLimit { limit, remaining, reset_in: HOUR }
    }

    /// The immediate decision about a request; `None` if it has to wait for others.
    fn try_admit(limits: &Arc<Limits>, scope: &str, resource: Resource) -> Option<Result<Admission, GitHubError>> {
        limits.admit(scope, resource).now_or_never()
    }

    fn admitted(limits: &Arc<Limits>, scope: &str, resource: Resource) -> Admission {
        try_admit(limits, scope, resource).expect("at once").expect("admitted")
    }

    fn limited(limit: Limit, pause: Duration) -> Result<(), GitHubError> {
        Err(GitHubError::RateLimited { limit, retry_in: Some(pause) })
    }

    /// Limits after one response.
    fn after(answer: ReportedLimit) -> Arc<Limits> {
        let limits = Arc::new(Limits::new(0.1));
        let first = admitted(&limits, "a", Resource::Rest);
        first.note(Resource::Rest, answer);
        first.ended_with(Ok(()));
        limits
    }

    #[tokio::test(start_paused = true)]
    async fn the_reserve_blocks_requests_until_the_limit_resets() {
        admitted(&after(reported(5_000, 501)), "a", Resource::Rest);
        let limits = after(reported(5_000, 500));
        let reached = GitHubError::RateLimited { limit: Limit::Primary, retry_in: Some(HOUR) };
        assert_eq!(try_admit(&limits, "a", Resource::Rest).map(Result::err), Some(Some(reached)));
        tokio::time::advance(HOUR).await;
        admitted(&limits, "a", Resource::Rest);
    }

    #[test]
    fn remaining_is_reported_in_percent_of_any_limit() {
        let percent = |limit, remaining| reported(limit, remaining).percent();
        assert_eq!([percent(60, 6), percent(15_000, 1_799), percent(5_000, 5_000)], [Some(10), Some(11), Some(100)]);
        assert_eq!(percent(0, 0), None);
    }

    #[tokio::test]
    async fn limits_are_separate_per_token_and_resource() {
        let limits = after(reported(60, 0));
        admitted(&limits, "b", Resource::Rest).ended_with(Ok(()));
        admitted(&limits, "a", Resource::GraphQl);
        admitted(&limits, "b", Resource::Rest).ended_with(limited(Limit::Secondary, HOUR));
        let outcome = try_admit(&limits, "b", Resource::GraphQl);
        assert!(matches!(outcome, Some(Err(_))), "a secondary limit applies to both: {outcome:?}");
    }

    #[tokio::test]
    async fn requests_in_flight_count_as_used() {
        let limits = after(reported(60, 8));
        let (first, second) = (admitted(&limits, "a", Resource::Rest), admitted(&limits, "a", Resource::Rest));
        // Six are the reserve, and two may be used up by now.
        let mut third = pin!(limits.admit("a", Resource::Rest));
        assert!(third.as_mut().now_or_never().is_none());
        // A free response, a 304, makes room.
        first.note(Resource::Rest, reported(60, 8));
        drop(first);
        assert!(third.now_or_never().expect("at once").is_ok());
        second.note(Resource::Rest, reported(60, 6));
        assert!(matches!(try_admit(&limits, "a", Resource::Rest), Some(Err(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn the_lowest_remaining_wins_in_any_order() {
        let limits = after(reported(5_000, 4_000));
        let late = admitted(&limits, "a", Resource::Rest);
        let remaining = |reported: ReportedLimit| late.note(Resource::Rest, reported).remaining;
        assert_eq!([remaining(reported(5_000, 3_998)), remaining(reported(5_000, 3_999))], [3_998, 3_998]);
        // Another window starts, and a response of the previous one arrives late.
        tokio::time::advance(HOUR / 2).await;
        let next = admitted(&limits, "a", Resource::Rest);
        assert_eq!(next.note(Resource::Rest, reported(5_000, 4_999)).remaining, 4_999);
        let previous = ReportedLimit { reset_in: HOUR / 2, ..reported(5_000, 0) };
        assert_eq!(late.note(Resource::Rest, previous).remaining, 4_999);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_or_refused_limit_allows_one_probe() {
        let limits = Arc::new(Limits::new(0.1));
        let first = admitted(&limits, "a", Resource::Rest);
        assert!(try_admit(&limits, "a", Resource::Rest).is_none());
        first.ended_with(Ok(()));
        let (early, second) = (admitted(&limits, "a", Resource::Rest), admitted(&limits, "a", Resource::Rest));
        second.ended_with(limited(Limit::Secondary, HOUR));
        tokio::time::advance(HOUR).await;
        // It was sent before the refusal, so it says nothing about the state after it.
        early.ended_with(Ok(()));
        let probe = admitted(&limits, "a", Resource::Rest);
        assert!(try_admit(&limits, "a", Resource::GraphQl).is_none());
        probe.ended_with(Ok(()));
        admitted(&limits, "a", Resource::GraphQl);
    }

    #[tokio::test(start_paused = true)]
    async fn a_block_is_reported_once_and_shared() {
        let today = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        let limits = Arc::new(Limits::new(0.1));
        admitted(&limits, "a", Resource::GraphQl).ended_with(limited(Limit::Primary, HOUR));
        limits.blocked().await;
        let blocks = limits.take_new_blocks(today);
        let expected = Block { scope: "a".to_owned(), kind: "graphql".to_owned(), until: today + TimeDelta::hours(1) };
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
    async fn shared_remaining_allows_concurrency_until_the_limit_resets() {
        let today = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        let remaining = after(reported(5_000, 4_000)).remaining(today);
        let resets_at = today + TimeDelta::hours(1);
        assert_eq!(remaining, [Remaining { scope: "a".to_owned(), limit: 5_000, remaining: 4_000, resets_at }]);
        let sent_together = |remaining: &[Remaining], today| {
            let others = Arc::new(Limits::new(0.1));
            others.know_remaining(remaining, today);
            let _first = admitted(&others, "a", Resource::Rest);
            try_admit(&others, "a", Resource::Rest).is_some_and(|outcome| outcome.is_ok())
        };
        assert!(sent_together(&remaining, today + TimeDelta::minutes(59)));
        assert!(!sent_together(&remaining, resets_at), "the limit has reset: what remains is unknown");
        let used_up = Remaining { remaining: 500, ..remaining[0].clone() };
        assert!(!sent_together(&[used_up], today), "without room, GitHub is asked first");
    }

    #[tokio::test(start_paused = true)]
    async fn shared_remaining_does_not_override_a_refusal() {
        let today = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        let limits = after(reported(5_000, 4_000));
        let remaining = limits.remaining(today);
        admitted(&limits, "a", Resource::Rest).ended_with(limited(Limit::Secondary, HOUR / 2));
        assert_eq!(limits.remaining(today), [], "a refused limit is not shared");
        let others = Arc::new(Limits::new(0.1));
        others.know(
            &[Block { scope: "a".to_owned(), kind: "secondary".to_owned(), until: today + TimeDelta::minutes(1) }],
            today,
        );
        others.know_remaining(&remaining, today);
        tokio::time::advance(Duration::from_secs(60)).await;
        let _probe = admitted(&others, "a", Resource::Rest);
        assert!(try_admit(&others, "a", Resource::Rest).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_century_long_block_lasts_an_hour() {
        let today = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        let limits = Arc::new(Limits::new(0.1));
        let century = Duration::from_secs(u64::MAX / 2);
        admitted(&limits, "a", Resource::Rest).ended_with(limited(Limit::Secondary, century));
        let until = limits.take_new_blocks(today).pop().map(|block| block.until);
        assert!(until.is_some_and(|until| until < today + TimeDelta::hours(2)), "{until:?}");
        let far = Block { scope: "b".to_owned(), kind: "core".to_owned(), until: today + TimeDelta::days(36_500) };
        limits.know(&[far], today);
        tokio::time::advance(LONGEST_PAUSE).await;
        admitted(&limits, "b", Resource::Rest);
    }
}
