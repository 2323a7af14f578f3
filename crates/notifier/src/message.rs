//! A message before it has a format.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest line; no sentence of ours is longer, but titles and names are of people.
const MOST_IN_LINE: usize = 300;

/// What is said, in the order in which it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// What it is about.
    pub title: String,
    /// The most important, in a sentence: what a notification shows.
    pub summary: String,
    /// The parts.
    pub sections: Vec<Section>,
    /// Where the same is shown.
    pub link: Option<Link>,
    /// How far it can be trusted.
    pub footer: String,
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// Its heading.
    pub heading: String,
    /// Its lines.
    pub lines: Vec<Line>,
    /// How many more there are that are not shown.
    pub left_out: usize,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What it starts with, and where that leads.
    pub link: Option<Link>,
    /// The text, or what follows the link.
    pub text: String,
}

/// A text that leads somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What is shown.
    pub text: String,
    /// The address.
    pub url: String,
}

impl Link {
    /// To a screen of the page.
    pub(crate) fn to_page(url: String) -> Self {
        Self { text: "Open in Mergeline".to_owned(), url }
    }
}

impl Line {
    /// A line of text.
    pub fn of(text: impl AsRef<str>) -> Self {
        Self { link: None, text: one_line(text.as_ref()) }
    }

    /// A line that starts with a link.
    pub fn with_link(text: impl AsRef<str>, url: impl Into<String>, rest: impl AsRef<str>) -> Self {
        let link = Link { text: one_line(text.as_ref()), url: url.into() };
        Self { link: Some(link), text: one_line(rest.as_ref()) }
    }
}

impl Section {
    /// A part with these lines; `None` without any.
    pub fn new(heading: &str, lines: Vec<Line>) -> Option<Self> {
        (!lines.is_empty()).then(|| Self { heading: heading.to_owned(), lines, left_out: 0 })
    }

    /// The lines, and one that says how many more there are.
    pub(crate) fn shown(&self) -> Vec<Line> {
        let more = (self.left_out > 0).then(|| Line::of(format!("and {} more", self.left_out)));
        self.lines.iter().cloned().chain(more).collect()
    }
}

impl Message {
    /// As it is kept until it is sent.
    pub(crate) fn stored(&self) -> Value {
        // Texts and lists always have a form in JSON.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The message in a format, with as much as fits. Lists lose their ends, the longest one first; then long lines and the summary lose
    /// theirs; and only then whole parts, the last one first.
    pub(crate) fn fitted<T>(&self, render: impl Fn(&Self) -> T, fits: impl Fn(&T) -> bool) -> T {
        let mut message = self.clone();
        loop {
            let rendered = render(&message);
            if fits(&rendered) || !message.shrink() {
                return rendered;
            }
        }
    }
}

/// In letters, where there is little room.
const SHORT: usize = 100;

impl Message {
    /// Makes it a little shorter; false if it is as short as it gets.
    fn shrink(&mut self) -> bool {
        let longest = self.sections.iter_mut().filter(|it| it.lines.len() > 1).max_by_key(|it| it.lines.len());
        if let Some(section) = longest {
            section.lines.pop();
            section.left_out += 1;
            return true;
        }
        let lines = self
            .sections
            .iter_mut()
            .flat_map(|section| section.lines.iter_mut().map(|line| &mut line.text).chain([&mut section.heading]));
        let long = lines.chain([&mut self.summary]).filter(|text| text.chars().count() > SHORT);
        if let Some(text) = long.max_by_key(|text| text.chars().count()) {
            *text = cut(text, SHORT);
            return true;
        }
        if self.sections.len() < 2 {
            return false;
        }
        let gone = self.sections.pop().map_or(0, |section| section.lines.len() + section.left_out);
        if let Some(last) = self.sections.last_mut() {
            last.left_out += gone;
        }
        true
    }
}

/// Text on one line, shortened at its end. What a terminal would obey, or what turns the direction of a line, is left out.
fn one_line(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let text: String = text.chars().filter(|c| c.is_whitespace() || !(c.is_control() || turns(*c))).collect();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&line, MOST_IN_LINE)
}

/// The first letters of a text, with a sign that there were more.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Escapes letters by a backslash.
pub(crate) fn escaped(text: &str, letters: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut all, letter| {
        if letters.contains(letter) {
            all.push('\\');
        }
        all.push(letter);
        all
    })
}
