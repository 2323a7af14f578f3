//! The part of the teams file about who may see what on the page.

use std::collections::HashMap;

use strum::VariantArray;

use super::checks::problem;
use super::reader::{Draft, Placed, Reader, given, join};
use super::tree::{Node, Value};
use crate::{AccessLine, Problem, Role, Who};

pub(super) const ACCESS_KEYS: &[&str] = &["group", "email", "domain", "subject", "role", "teams", "deny", "not_before"];
/// Whom a line may be about.
const WHO: [&str; 4] = ["group", "email", "domain", "subject"];

impl Reader<'_> {
    /// A line of `access`.
    pub(super) fn access(&mut self, node: &Node, path: &str) -> Option<AccessLine> {
        let fields = self.fields(node, path, ACCESS_KEYS, &[]);
        if !matches!(node.value, Value::Map(_)) {
            return None;
        }
        let mut named = Vec::new();
        for key in WHO {
            if let Some(node) = fields.optional(self, key) {
                named.push(self.who(node, key, &join(path, key)));
            }
        }
        let role = fields.optional(self, "role").map(|node| self.role(node, &join(path, "role")));
        let teams_node = fields.optional(self, "teams");
        let teams = match teams_node {
            Some(node) => self
                .list(node, &join(path, "teams"), |reader, node, path| reader.known_team("config.access", node, path)),
            None => Vec::new(),
        };
        let deny = fields.optional(self, "deny").map(|node| self.boolean(node, &join(path, "deny")));
        let not_before = fields.optional(self, "not_before").map(|node| self.instant(node, &join(path, "not_before")));
        let (role, deny, not_before) = (given(role)?, given(deny)?, given(not_before)?);
        let (is_single, who) = (named.len() == 1, named.into_iter().next().flatten());
        let mut refuse = |message: &str, help: &str| {
            self.report("config.access", node.at, path, message, help);
            None
        };
        if !is_single {
            return refuse(
                "the line must say whom it is about, once",
                "write one of `group`, `email`, `domain` and `subject`; a second one is a line of its own",
            );
        }
        let who = who?;
        let denies = deny == Some(true);
        if deny == Some(false) {
            return refuse("`deny: false` says nothing", "leave `deny` out, and write a `role`");
        }
        match role {
            None if !denies => {
                return refuse(
                    "the line gives nothing",
                    "add `role: viewer`, `lead`, `manager` or `admin`, or `deny: true`",
                );
            }
            Some(_) if denies => return refuse("`role` and `deny` exclude each other", "keep one of them"),
            Some(Role::Lead) if teams_node.is_none() => {
                return refuse("a lead needs `teams`", "name the teams, or write `role: manager` for all of them");
            }
            Some(Role::Manager | Role::Admin) | None if teams_node.is_some() => {
                return refuse(
                    "`teams` is for the roles `viewer` and `lead`",
                    "leave `teams` out, or write `role: lead`",
                );
            }
            _ => {}
        }
        if let Some(Node { value: Value::List(items), .. }) = teams_node
            && items.is_empty()
        {
            return refuse("the list of teams is empty", "name at least one team, or leave `teams` out");
        }
        let teams = teams.into_iter().map(|team| team.value).collect();
        Some(AccessLine { who, role, teams, not_before })
    }

    fn who(&mut self, node: &Node, key: &str, path: &str) -> Option<Who> {
        let text = self.one_line(node, path)?;
        let lower = text.to_lowercase();
        match key {
            "email" if is_address(&lower) => Some(Who::Email(lower)),
            "email" => self.refused(node, path, &text, "an e-mail address", "ana@example.com"),
            "domain" if is_domain(&lower) => Some(Who::Domain(lower)),
            "domain" => self.refused(node, path, &text, "a domain", "example.com"),
            "subject" => Some(Who::Subject(text)),
            _ => Some(Who::Group(text)),
        }
    }

    fn refused(&mut self, node: &Node, path: &str, text: &str, what: &str, example: &str) -> Option<Who> {
        let message = format!("`{text}` is not {what}");
        self.report("config.access", node.at, path, message, format!("write it like `{example}`"));
        None
    }

    fn role(&mut self, node: &Node, path: &str) -> Option<Role> {
        let text = self.text(node, path)?;
        let role = text.parse().ok();
        if role.is_none() {
            let known: Vec<&str> = Role::VARIANTS.iter().map(<&str>::from).collect();
            let message = format!("unknown role `{text}`");
            self.report("config.access", node.at, path, message, format!("write one of: {}", known.join(", ")));
        }
        role
    }
}

fn is_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, domain)| !name.is_empty() && !name.contains(' ') && is_domain(domain))
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    text.contains('.') && text.split('.').all(is_label)
}

/// A second line about the same people would never count.
pub(super) fn lines_are_about_different_people(draft: &Draft, problems: &mut Vec<Problem>) {
    let mut seen: HashMap<&Who, &Placed<AccessLine>> = HashMap::new();
    for line in &draft.access {
        if let Some(first) = seen.get(&line.value.who) {
            let message = format!("an earlier line is about {} too, and the first one decides", line.value.who);
            let mut problem = problem("config.access", line, message, "keep one of them");
            problem.related = Some(first.at);
            problems.push(problem);
        } else {
            seen.insert(&line.value.who, line);
        }
    }
}
