//! Mail: plain text, and the same as HTML without images or scripts.

use std::fmt::Write as _;

use crate::message::{Line, Message};

/// A mail without its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The subject.
    pub subject: String,
    /// For programs and people that read no HTML.
    pub text: String,
    /// The same, with links.
    pub html: String,
}

/// A message as mail. Mail has room for all of it.
pub fn mail(message: &Message) -> Mail {
    Mail { subject: message.title.clone(), text: text(message), html: html(message) }
}

fn text(message: &Message) -> String {
    let mut text = format!("{}\n{}\n", message.title, message.summary);
    for part in &message.sections {
        let _ = write!(text, "\n{}\n", part.heading);
        for Line { link, text: rest } in part.shown() {
            let _ = match link {
                Some(link) => writeln!(text, "- {} {rest}\n  {}", link.text, link.url),
                None => writeln!(text, "- {rest}"),
            };
        }
    }
    if let Some(link) = &message.link {
        let _ = write!(text, "\n{}: {}\n", link.text, link.url);
    }
    let _ = write!(text, "\n{}\n", message.footer);
    text
}

fn html(message: &Message) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title></head>\n\
         <body style=\"font-family: sans-serif; max-width: 640px; color: #1b1f24\">\n<h1 style=\"font-size: 20px\">{0}</h1>\n<p>{1}</p>\n",
        safe(&message.title),
        safe(&message.summary)
    );
    for part in &message.sections {
        let _ = write!(html, "<h2 style=\"font-size: 16px\">{}</h2>\n<ul>\n", safe(&part.heading));
        for Line { link, text } in part.shown() {
            let link = link.map(|link| format!("{} ", anchor(&link.text, &link.url))).unwrap_or_default();
            let _ = writeln!(html, "<li>{link}{}</li>", safe(&text));
        }
        html.push_str("</ul>\n");
    }
    if let Some(link) = &message.link {
        let _ = writeln!(html, "<p>{}</p>", anchor(&link.text, &link.url));
    }
    let _ = write!(html, "<p style=\"color: #57606a\">{}</p>\n</body></html>\n", safe(&message.footer));
    html
}

fn anchor(text: &str, url: &str) -> String {
    format!("<a href=\"{}\">{}</a>", safe(url), safe(text))
}

/// Text in which nothing is an element, also between quotes.
fn safe(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut all, letter| {
        match letter {
            '&' => all.push_str("&amp;"),
            '<' => all.push_str("&lt;"),
            '>' => all.push_str("&gt;"),
            '"' => all.push_str("&quot;"),
            letter => all.push(letter),
        }
        all
    })
}
