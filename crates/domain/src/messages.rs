//! Channels for messages: what each is, what it gets, and when.

use std::fmt;

use chrono::{DateTime, Datelike, Days, NaiveTime, Utc, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::{ChannelId, TeamSlug, start_of_day};

/// What takes the messages of a channel.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ChannelKind {
    /// An incoming webhook of Slack.
    Slack,
    /// A workflow of Microsoft Teams.
    Teams,
    /// A webhook of a channel of Discord.
    Discord,
    /// Mail to one or more addresses.
    Email,
    /// A program that takes Standard Webhooks.
    Webhook,
}

impl ChannelKind {
    /// Whether a program takes the messages, not people: it gets each by itself, as many as there are, and notices a repetition by its
    /// number.
    pub fn is_program(self) -> bool {
        self == Self::Webhook
    }
}

/// What a message is about.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MessageKind {
    /// What a team's last week was, on Mondays.
    Digest,
    /// A working agreement is broken now: by a pull request that waits too long, or by too many open ones.
    Agreement,
    /// A goal on a share of pull requests changed its state.
    Goal,
    /// A team's numbers have lastingly changed.
    Change,
    /// The collection or a channel fails, and when that ends. Not about a team.
    Operations,
}

/// The hours in which a channel gets nothing, by the clock of the file's time zone. They may include midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietHours {
    /// The first instant of the day without messages.
    pub from: NaiveTime,
    /// The first one with messages again.
    pub to: NaiveTime,
}

impl QuietHours {
    fn contains(self, time: NaiveTime) -> bool {
        if self.from < self.to { self.from <= time && time < self.to } else { self.from <= time || time < self.to }
    }
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from.format("%H:%M"), self.to.format("%H:%M"))
    }
}

/// A channel of the teams file. Its address is a secret, and not in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelEntry {
    /// The short name.
    pub id: ChannelId,
    /// What takes its messages.
    pub kind: ChannelKind,
    /// The teams that it hears about; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<TeamSlug>,
    /// What it gets.
    pub kinds: Vec<MessageKind>,
    /// When it gets nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<QuietHours>,
    /// Whether it gets messages on Saturdays and Sundays.
    pub weekends: bool,
    /// Whether pull requests have their titles in it, not only their numbers.
    pub titles: bool,
}

impl ChannelEntry {
    /// Whether it gets messages of this kind.
    pub fn takes(&self, kind: MessageKind) -> bool {
        self.kinds.contains(&kind)
    }

    /// Whether it hears about this team.
    pub fn is_about(&self, team: &TeamSlug) -> bool {
        self.teams.is_empty() || self.teams.contains(team)
    }

    /// The first instant from `at` on at which it takes messages.
    pub fn open_from(&self, at: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
        let mut at = at;
        // A weekend, the night after it, and what the change of the clock moves.
        for _ in 0..4 {
            let local = at.with_timezone(&zone);
            let (day, time) = (local.date_naive(), local.time());
            if !self.weekends && matches!(day.weekday(), Weekday::Sat | Weekday::Sun) {
                at = start_of_day(day + Days::new(if day.weekday() == Weekday::Sat { 2 } else { 1 }), zone);
                continue;
            }
            let Some(quiet) = self.quiet.filter(|quiet| quiet.contains(time)) else { break };
            let end_day = if time < quiet.to { day } else { day + Days::new(1) };
            at = at_time(end_day, quiet.to, zone).max(at + chrono::TimeDelta::minutes(1));
        }
        at
    }
}

/// A time of a day; when clocks skip it, the first instant after it.
pub fn at_time(day: chrono::NaiveDate, time: NaiveTime, zone: Tz) -> DateTime<Utc> {
    let wanted = day.and_time(time);
    let found = (0..4).find_map(|quarter| {
        let moved = wanted + chrono::TimeDelta::minutes(30 * quarter);
        moved.and_local_timezone(zone).earliest()
    });
    found.map_or_else(|| start_of_day(day + Days::new(1), zone), |at| at.with_timezone(&Utc))
}

/// The channel on one line, for people.
impl fmt::Display for ChannelEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<&str> = self.kinds.iter().map(<&str>::from).collect();
        write!(f, "{}: {}, {}", self.id, self.kind, kinds.join(" and "))?;
        if self.teams.is_empty() {
            f.write_str(", all teams")?;
        } else {
            let teams: Vec<&str> = self.teams.iter().map(TeamSlug::as_str).collect();
            write!(f, ", {}", teams.join(" and "))?;
        }
        if let Some(quiet) = self.quiet {
            write!(f, ", quiet {quiet}")?;
        }
        if !self.weekends {
            f.write_str(", not on weekends")?;
        }
        if !self.titles {
            f.write_str(", without titles")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(quiet: Option<(&str, &str)>, weekends: bool) -> ChannelEntry {
        let quiet = quiet.map(|(from, to)| {
            let time = |text: &str| NaiveTime::parse_from_str(text, "%H:%M").expect("a time");
            QuietHours { from: time(from), to: time(to) }
        });
        let id = "payments-chat".parse().expect("an id");
        let kinds = vec![MessageKind::Digest];
        ChannelEntry { id, kind: ChannelKind::Slack, teams: Vec::new(), kinds, quiet, weekends, titles: true }
    }

    fn opens(channel: &ChannelEntry, at: &str) -> String {
        let at: DateTime<Utc> = at.parse().expect("an instant");
        channel.open_from(at, Tz::America__New_York).format("%a %H:%MZ").to_string()
    }

    #[test]
    fn quiet_hours_and_weekends_end_where_both_do() {
        let night = channel(Some(("18:00", "08:00")), false);
        // New York is five hours behind UTC in winter.
        assert_eq!(opens(&night, "2026-12-02T15:00:00Z"), "Wed 15:00Z");
        assert_eq!(opens(&night, "2026-12-02T23:00:00Z"), "Thu 13:00Z");
        assert_eq!(opens(&night, "2026-12-03T04:30:00Z"), "Thu 13:00Z");
        assert_eq!(opens(&night, "2026-12-04T23:00:00Z"), "Mon 13:00Z");
        assert_eq!(opens(&night, "2026-12-05T17:00:00Z"), "Mon 13:00Z");
        assert_eq!(opens(&night, "2026-12-06T17:00:00Z"), "Mon 13:00Z");
        assert_eq!(opens(&channel(None, true), "2026-12-05T17:00:00Z"), "Sat 17:00Z");
        assert_eq!(opens(&channel(Some(("12:00", "13:00")), true), "2026-12-05T17:30:00Z"), "Sat 18:00Z");
    }

    #[test]
    fn quiet_hours_that_end_in_a_skipped_hour_end_after_it() {
        // On March 8, 2026 clocks go from 2:00 to 3:00.
        let night = channel(Some(("22:00", "02:30")), true);
        assert_eq!(opens(&night, "2026-03-08T06:00:00Z"), "Sun 07:00Z");
    }
}
