//! Several messages of a channel become one.

use mergeline_domain::count_of;

use crate::message::{Line, Message, Section, cut};

/// So many parts a message has, which every format has room for.
const MOST_SECTIONS: usize = 12;
/// In letters.
const MOST_IN_SUMMARY: usize = 600;

/// One message that says what several say. Equal parts are joined.
pub(crate) fn merged(mut messages: Vec<Message>) -> Option<Message> {
    if messages.len() < 2 {
        return messages.pop();
    }
    let first = messages[0].clone();
    let same_title = messages.iter().all(|message| message.title == first.title);
    let title =
        if same_title { first.title.clone() } else { format!("Mergeline: {}", count_of(messages.len(), "message")) };
    let mut summaries: Vec<&str> = Vec::new();
    let mut sections: Vec<Section> = Vec::new();
    for message in &messages {
        if !summaries.contains(&message.summary.as_str()) {
            summaries.push(&message.summary);
        }
        for section in &message.sections {
            let heading =
                if same_title { section.heading.clone() } else { format!("{}: {}", message.title, section.heading) };
            match sections.iter_mut().find(|other| other.heading == heading) {
                Some(other) => {
                    other.lines.extend(section.lines.clone());
                    other.left_out += section.left_out;
                }
                None => sections.push(Section { heading, ..section.clone() }),
            }
        }
    }
    if sections.len() > MOST_SECTIONS {
        let rest = sections.split_off(MOST_SECTIONS - 1);
        let lines = rest.iter().map(|section| Line::of(&section.heading)).collect();
        sections.extend(Section::new("Also", lines));
    }
    let summary = cut(&summaries.join(" "), MOST_IN_SUMMARY);
    let link = first.link.filter(|link| messages.iter().all(|message| message.link.as_ref() == Some(link)));
    Some(Message { title, summary, sections, link, footer: first.footer })
}
