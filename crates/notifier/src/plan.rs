//! What there is to say now, for every channel.

use std::collections::BTreeSet;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use mergeline_domain::insight::{GoalForm, GoalState};
use mergeline_domain::messages::{ChannelEntry, MessageKind, at_time};
use mergeline_domain::metrics::{RangeRequest, stale_after};
use mergeline_domain::{count_of, iso_week, monday_of};
use mergeline_reporting::{JudgedGoal, Report, ReportKind, TeamChanges, TeamGoals};
use mergeline_store::{END_OF, MessageKey, PlannedMessage, Reader, Team};

use crate::digest::{DigestOptions, FoundChange, asked, changes_found, footer, of_week, share_of, when};
use crate::message::{Line, Link, Message, Section};
use crate::notify::{NotifyError, NotifySettings};

/// When digests are due on Mondays, if the week was read.
const DIGEST_AT: NaiveTime = NaiveTime::from_hms_opt(9, 0, 0).expect("a time");
/// When they are due in any case.
const DIGEST_AT_LAST: NaiveTime = NaiveTime::from_hms_opt(12, 0, 0).expect("a time");
/// Later than this after Monday nobody wants one.
const DIGEST_DAYS: u64 = 2;
/// A repository fails for so long before operators hear of it.
const FAILS_FOR: TimeDelta = TimeDelta::hours(24);

/// What planning needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Plan<'a> {
    pub(crate) store: &'a Reader,
    pub(crate) channels: &'a [ChannelEntry],
    pub(crate) settings: &'a NotifySettings,
    pub(crate) zone: Tz,
    pub(crate) now: DateTime<Utc>,
}

/// A team, with what is said about it.
struct TeamFacts<'a> {
    team: &'a Team,
    goals: Option<TeamGoals>,
    changes: Option<TeamChanges>,
    /// Until when everything was read.
    as_of: String,
}

impl Plan<'_> {
    /// All messages that there are now. What was sent before is among them.
    pub(crate) async fn messages(&self) -> Result<Vec<PlannedMessage>, NotifyError> {
        let mut planned = Vec::new();
        for team in self.store.teams(self.now).await?.into_iter().filter(|team| team.archived_at.is_none()) {
            let slug = &team.slug;
            let channels: Vec<&ChannelEntry> = self.channels.iter().filter(|channel| channel.is_about(slug)).collect();
            let takes = |kind| channels.iter().any(|channel| channel.takes(kind));
            let wants_goals = takes(MessageKind::Agreement) || takes(MessageKind::Goal);
            if wants_goals || takes(MessageKind::Change) {
                let facts = self.facts(&team, wants_goals, takes(MessageKind::Change)).await?;
                for channel in &channels {
                    planned.extend(self.of_team(&facts, channel));
                }
            }
            planned.extend(self.digests(&team, &channels).await?);
        }
        planned.extend(self.operations().await?);
        Ok(planned)
    }

    fn planned(
        &self,
        channel: &ChannelEntry,
        kind: MessageKind,
        subject: String,
        period: String,
        message: &Message,
    ) -> PlannedMessage {
        PlannedMessage {
            key: MessageKey { channel: channel.id.clone(), kind, subject, period },
            content: message.stored(),
            due_at: channel.open_from(self.now, self.zone),
        }
    }

    /// A message about a team, with one part.
    fn about_team(
        &self,
        facts: &TeamFacts<'_>,
        what: &str,
        summary: String,
        heading: &str,
        lines: Vec<Line>,
    ) -> Message {
        let address = |page: &String| format!("{page}#/insight?team={}", facts.team.slug);
        Message {
            title: format!("{}: {what}", facts.team.name),
            summary,
            sections: Section::new(heading, lines).into_iter().collect(),
            link: self.settings.page.as_ref().map(|page| Link::to_page(address(page))),
            footer: facts.as_of.clone(),
        }
    }

    /// The last whole week.
    fn last_week(&self) -> NaiveDate {
        monday_of(self.now.with_timezone(&self.zone).date_naive()) - Days::new(7)
    }

    /// What is asked for; at least one of the two.
    async fn facts<'t>(&self, team: &'t Team, goals: bool, changes: bool) -> Result<TeamFacts<'t>, NotifyError> {
        let prepare = |kind, range| Report::of_team(self.store, kind, &team.slug, range, self.now);
        let mut facts = TeamFacts { team, goals: None, changes: None, as_of: String::new() };
        // Each report holds a connection, so none outlives its numbers.
        if goals {
            let mut report = prepare(ReportKind::Goals, RangeRequest::Week(self.last_week())).await?;
            facts.as_of = footer(&report);
            facts.goals = Some(report.goals().await?);
        }
        if changes {
            let mut report = prepare(ReportKind::Change, RangeRequest::DEFAULT).await?;
            facts.as_of = footer(&report);
            facts.changes = Some(report.changes().await?);
        }
        Ok(facts)
    }

    /// Agreements, goals and changes of a team for a channel.
    fn of_team(&self, facts: &TeamFacts<'_>, channel: &ChannelEntry) -> Vec<PlannedMessage> {
        let mut planned = Vec::new();
        let week = self.last_week();
        for goal in facts.goals.iter().flat_map(|goals| &goals.goals) {
            if channel.takes(MessageKind::Agreement) {
                planned.extend(self.agreements(facts, goal, channel));
            }
            if channel.takes(MessageKind::Goal) {
                planned.extend(self.goal(facts, goal, week, channel));
            }
        }
        if channel.takes(MessageKind::Change)
            && let Some(changes) = &facts.changes
        {
            for found in changes_found(changes, week) {
                let (subject, message) = self.change(facts, found);
                planned.push(self.planned(channel, MessageKind::Change, subject, iso_week(week), &message));
            }
        }
        planned
    }

    /// What breaks a working agreement now: a message for each pull request, or one for too many.
    fn agreements(&self, facts: &TeamFacts<'_>, goal: &JudgedGoal, channel: &ChannelEntry) -> Vec<PlannedMessage> {
        let Some(open) = goal.history.open.as_ref().filter(|open| open.state == GoalState::Missed) else {
            return Vec::new();
        };
        let Some(revision) = goal.in_force.map(|index| &goal.revisions[index]) else { return Vec::new() };
        let subject = subject_of(facts, goal);
        let asks = asked(revision);
        let message = |summary, line| self.about_team(facts, "working agreements", summary, &asks, vec![line]);
        if let GoalForm::Limit { open: limit } = revision.goal {
            let line = Line::of(format!("{} are open, {limit} at most were agreed", open.open));
            let summary = format!("{} open.", count_of(open.open, "pull request"));
            let period = iso_week(self.last_week() + Days::new(7));
            return vec![self.planned(channel, MessageKind::Agreement, subject, period, &message(summary, line))];
        }
        let breaches = open.breaches.iter().filter_map(|breach| {
            let it = facts.goals.as_ref()?.pull_requests.get(&breach.id)?;
            let since = format!("waiting since {}", when(breach.since, self.zone));
            let text = if channel.titles { format!("{}: {since}", it.title) } else { since };
            let name = format!("{}#{}", it.repository, it.number);
            let message = message(format!("{name} waits too long."), Line::with_link(&name, &it.url, text));
            let subject = format!("{subject}, pull request {}", breach.id);
            Some(self.planned(channel, MessageKind::Agreement, subject, String::new(), &message))
        });
        breaches.collect()
    }

    /// A goal whose state changed with the last whole week.
    fn goal(
        &self,
        facts: &TeamFacts<'_>,
        goal: &JudgedGoal,
        week: NaiveDate,
        channel: &ChannelEntry,
    ) -> Option<PlannedMessage> {
        let last = goal.last.as_ref().filter(|last| last.week == week && last.messages > 0)?;
        let revision = &goal.revisions[last.revision];
        let asks = asked(revision);
        let state = match last.state {
            GoalState::Met => "met",
            GoalState::Missed => "missed",
            _ => return None,
        };
        let numbers = last.numbers.map(|it| {
            let waiting =
                if it.n_waiting > 0 { format!(", {} of them still waiting", it.n_waiting) } else { String::new() };
            let (percent, n) = (share_of(it.share), it.n);
            Line::of(format!("{percent} of {n} in the last 4 whole weeks{waiting}"))
        });
        let summary = format!("{asks}: {state} now.");
        let message = self.about_team(facts, "goals", summary, &asks, numbers.into_iter().collect());
        Some(self.planned(channel, MessageKind::Goal, subject_of(facts, goal), iso_week(week), &message))
    }

    /// A lasting change that was found with the last whole week.
    fn change(&self, facts: &TeamFacts<'_>, found: FoundChange) -> (String, Message) {
        let FoundChange { subject, what, now, before, people } = found;
        let mut lines = vec![Line::of(format!("{what}: {now}, {before} before"))];
        lines.extend(people.map(|people| Line::of(format!("The team changed {people}"))));
        let message = self.about_team(facts, "a lasting change", format!("{what}: {now}."), "What changed", lines);
        (format!("team {}, {subject}", facts.team.id.0), message)
    }

    /// The digest of the last week, for each channel that has not got it.
    async fn digests(&self, team: &Team, channels: &[&ChannelEntry]) -> Result<Vec<PlannedMessage>, NotifyError> {
        let local = self.now.with_timezone(&self.zone);
        let monday = monday_of(local.date_naive());
        let [from, at_last] = [DIGEST_AT, DIGEST_AT_LAST].map(|time| at_time(monday, time, self.zone));
        if self.now < from || monday + Days::new(DIGEST_DAYS) <= local.date_naive() {
            return Ok(Vec::new());
        }
        let week = monday - Days::new(7);
        let channels: Vec<&&ChannelEntry> =
            channels.iter().filter(|channel| channel.takes(MessageKind::Digest)).collect();
        let key = |channel: &ChannelEntry| MessageKey {
            channel: channel.id.clone(),
            kind: MessageKind::Digest,
            subject: format!("team {}", team.id.0),
            period: iso_week(week),
        };
        let keys: Vec<MessageKey> = channels.iter().map(|channel| key(channel)).collect();
        let settled = self.store.settled_messages(&keys).await?;
        let mut written: [Option<(Message, bool)>; 2] = [None, None];
        let mut planned = Vec::new();
        for (channel, _) in channels.iter().zip(settled).filter(|(_, settled)| !settled) {
            let options = DigestOptions { has_titles: channel.titles, page: self.settings.page.clone() };
            let (message, is_read) = match &mut written[usize::from(channel.titles)] {
                Some(written) => written.clone(),
                empty => empty.insert(of_week(self.store, &team.slug, week, &options, self.now).await?).clone(),
            };
            if is_read || at_last <= self.now {
                let due_at = channel.open_from(self.now, self.zone);
                planned.push(PlannedMessage { key: key(channel), content: message.stored(), due_at });
            }
        }
        Ok(planned)
    }

    /// What operators should know: what fails, and what has ended since they heard of it.
    async fn operations(&self) -> Result<Vec<PlannedMessage>, NotifyError> {
        let operators: Vec<&ChannelEntry> =
            self.channels.iter().filter(|channel| channel.takes(MessageKind::Operations)).collect();
        if operators.is_empty() {
            return Ok(Vec::new());
        }
        let causes = self.causes().await?;
        let known: BTreeSet<&str> = causes.iter().map(|(subject, _)| subject.as_str()).collect();
        let today = self.now.with_timezone(&self.zone).date_naive();
        let message = |title: &str, text: &str| Message {
            title: title.to_owned(),
            summary: text.to_owned(),
            sections: Section::new(title, vec![Line::of(text)]).into_iter().collect(),
            link: self.settings.page.as_ref().map(|page| Link::to_page(format!("{page}#/data"))),
            footer: "From Mergeline, to the people who run it.".to_owned(),
        };
        let mut planned = Vec::new();
        for channel in &operators {
            let others = causes.iter().filter(|(subject, _)| *subject != format!("channel {}", channel.id));
            for (subject, text) in others {
                let message = message("Mergeline needs attention", text);
                planned.push(self.planned(
                    channel,
                    MessageKind::Operations,
                    subject.clone(),
                    today.to_string(),
                    &message,
                ));
            }
        }
        let repositories = self.store.repository_statuses().await?;
        // What is not in the teams file any more has not ended.
        let exists = |subject: &str| match subject.split_once(' ') {
            Some(("repository", name)) => repositories.iter().any(|it| it.name == name),
            Some(("channel", id)) => self.channels.iter().any(|it| it.id.as_str() == id),
            _ => true,
        };
        for (channel, subject) in self.store.reported_operations(self.now).await? {
            if !exists(&subject) {
                continue;
            }
            let channel = operators.iter().find(|operator| operator.id.as_str() == channel);
            let Some(channel) = channel.filter(|_| !known.contains(subject.as_str())) else { continue };
            let message = message("Mergeline: over", &ended(&subject));
            planned.push(self.planned(channel, MessageKind::Operations, subject, format!("{END_OF}{today}"), &message));
        }
        Ok(planned)
    }

    /// What fails: a subject, and a sentence.
    async fn causes(&self) -> Result<Vec<(String, String)>, NotifyError> {
        let mut causes = Vec::new();
        for failing in self.store.failing_repositories(self.now - FAILS_FOR).await? {
            let reason = failing.reason.map(|reason| format!(": {}", reason.trim_end_matches('.'))).unwrap_or_default();
            let text = format!("{} was not read since {}{reason}.", failing.name, when(failing.since, self.zone));
            causes.push((format!("repository {}", failing.name), text));
        }
        let as_of = self.store.coverage().await?.data_as_of;
        if let Some(as_of) = as_of.filter(|as_of| *as_of < self.now - stale_after(self.settings.collect_every_hours)) {
            causes.push((
                "data".to_owned(),
                format!("The data is of {}; newer is not collected.", when(as_of, self.zone)),
            ));
        }
        for status in self.store.channel_statuses(self.now).await? {
            let is_configured = self.channels.iter().any(|channel| channel.id.as_str() == status.channel);
            if let Some(off_since) = status.off_since.filter(|_| is_configured) {
                let why = status.problem.map(|why| format!(": {why}")).unwrap_or_default();
                let text =
                    format!("Channel {} takes no messages since {}{why}.", status.channel, when(off_since, self.zone));
                causes.push((format!("channel {}", status.channel), text));
            }
        }
        Ok(causes)
    }
}

/// What a message about a goal is about: the revision that is in force.
fn subject_of(facts: &TeamFacts<'_>, goal: &JudgedGoal) -> String {
    let since = goal.in_force.and_then(|index| goal.revisions[index].in_force.from());
    let since = since.map(|at| format!(" from {}", at.format("%Y-%m-%dT%H:%M:%SZ"))).unwrap_or_default();
    format!("team {}, goal {}{since}", facts.team.id.0, goal.id)
}

/// That something has ended, by its subject.
fn ended(subject: &str) -> String {
    match subject.split_once(' ') {
        Some(("repository", name)) => format!("{name} is read again."),
        Some(("channel", id)) => format!("Channel {id} takes messages again."),
        _ => "New data is collected again.".to_owned(),
    }
}
