//! The part of the teams file about channels for messages.

use std::collections::HashMap;

use super::checks::problem;
use super::reader::{Draft, Placed, Reader, given, join, times_of_day};
use super::tree::{Node, Value};
use crate::messages::{ChannelEntry, ChannelKind, MessageKind, QuietHours};
use crate::{ChannelId, Problem};

pub(super) const CHANNEL_KEYS: &[&str] = &["id", "kind", "teams", "kinds", "quiet", "weekends", "titles"];
/// What somebody may write into a channel although it is a secret.
const SECRET_KEYS: [&str; 5] = ["url", "address", "to", "webhook", "secret"];

impl Reader<'_> {
    /// A channel.
    pub(super) fn channel(&mut self, node: &Node, path: &str) -> Option<ChannelEntry> {
        if let Some(key) = SECRET_KEYS
            .into_iter()
            .find(|key| matches!(&node.value, Value::Map(entries) if entries.iter().any(|(name, _)| name.text == *key)))
        {
            self.refuse_secret(&join(path, key), &format!("`{key}`"));
            return None;
        }
        if let Some(key) = key_of_address(node) {
            self.refuse_secret(&join(path, key), "an address");
            return None;
        }
        let fields = self.fields(node, path, CHANNEL_KEYS, &[]);
        let id = fields
            .required(self, "id")
            .and_then(|node| self.name::<ChannelId>("config.channel", node, &join(path, "id"), "payments-chat"));
        let kind = fields
            .required(self, "kind")
            .and_then(|node| self.one_of::<ChannelKind>("config.channel", node, &join(path, "kind")));
        let teams = fields.optional(self, "teams").map(|node| {
            let slug = |reader: &mut Self, node: &Node, path: &str| reader.known_team("config.channel", node, path);
            let slugs = self.list(node, &join(path, "teams"), slug);
            self.at_least_one(node, &join(path, "teams"), slugs)
        });
        let kinds = fields.required(self, "kinds").and_then(|node| {
            let kind =
                |reader: &mut Self, node: &Node, path: &str| reader.one_of::<MessageKind>("config.channel", node, path);
            let kinds = self.list(node, &join(path, "kinds"), kind);
            self.at_least_one(node, &join(path, "kinds"), kinds)
        });
        let quiet = fields.optional(self, "quiet").map(|node| self.quiet(node, &join(path, "quiet")));
        let [weekends, titles] = ["weekends", "titles"]
            .map(|key| fields.optional(self, key).map(|node| self.boolean(node, &join(path, key))));
        // What could not be read was already reported.
        let (teams, quiet) = (given(teams)?, given(quiet)?);
        let (weekends, titles) = (given(weekends)?.unwrap_or(true), given(titles)?.unwrap_or(true));
        let mut kinds = kinds?;
        kinds.sort_unstable();
        kinds.dedup();
        if let Some(node) = fields.optional(self, "teams").filter(|_| kinds == [MessageKind::Operations]) {
            let help = "leave `teams` out: messages of operations are about the whole collection";
            self.report("config.channel", node.at, &join(path, "teams"), "these messages are about no team", help);
            return None;
        }
        Some(ChannelEntry { id: id?, kind: kind?, teams: teams.unwrap_or_default(), kinds, quiet, weekends, titles })
    }

    /// Without a place in the file: its line would be shown, with the secret.
    fn refuse_secret(&mut self, path: &str, what: &str) {
        self.problems.push(Problem {
            code: "config.channel",
            at: None,
            path: path.to_owned(),
            message: format!("{what} is a secret, and the file is not the place for it"),
            help: Some("put the address into CHANNELS, under the id of the channel (see docs/messages.md)".to_owned()),
            related: None,
        });
    }

    /// `18:00-08:00`.
    fn quiet(&mut self, node: &Node, path: &str) -> Option<QuietHours> {
        let text = self.text(node, path)?;
        let hours = times_of_day(text).filter(|(from, to)| from != to).map(|(from, to)| QuietHours { from, to });
        if hours.is_none() {
            let message = format!("`{text}` are not hours of a day");
            self.report("config.channel", node.at, path, message, "write them like `\"18:00-08:00\"`");
        }
        hours
    }
}

/// The key whose value may be an address or a secret.
fn key_of_address(node: &Node) -> Option<&str> {
    fn holds_address(node: &Node) -> bool {
        match &node.value {
            Value::Scalar { text, .. } => text.contains("://") || text.contains('@') || text.starts_with("whsec_"),
            Value::List(items) => items.iter().any(holds_address),
            Value::Map(entries) => entries.iter().any(|(_, node)| holds_address(node)),
            Value::Null => false,
        }
    }
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|(_, node)| holds_address(node)).map(|(key, _)| key.text.as_str())
}

pub(super) fn channels_are_listed_once(draft: &Draft, problems: &mut Vec<Problem>) {
    let mut seen: HashMap<&ChannelId, &Placed<ChannelEntry>> = HashMap::new();
    for channel in &draft.channels {
        if let Some(first) = seen.get(&channel.value.id) {
            let message = format!("there is another channel `{}`", channel.value.id);
            let mut problem = problem("config.channel", channel, message, "give each an id of its own");
            problem.related = Some(first.at);
            problems.push(problem);
        } else {
            seen.insert(&channel.value.id, channel);
        }
    }
}
