//! Slack's incoming webhooks: <https://docs.slack.dev/reference/block-kit/blocks>.

use serde_json::{Value, json};

use crate::message::{Line, Message, cut};

/// In letters; a header has no markup.
const MOST_IN_HEADER: usize = 150;
/// In letters.
const MOST_IN_SECTION: usize = 3_000;
/// About 10,000 letters in all are refused.
const MOST_IN_ALL: usize = 8_000;

/// The body of a message: blocks, and a text for notifications. Links are not unfolded, and names and addresses in texts mean nothing
/// (`verbatim`).
pub fn slack(message: &Message) -> Value {
    message.fitted(body, fits)
}

fn fits(body: &Value) -> bool {
    let sections = body["blocks"].as_array().into_iter().flatten().filter_map(|block| block["text"]["text"].as_str());
    let is_short = sections.into_iter().all(|text| text.chars().count() <= MOST_IN_SECTION);
    is_short && body.to_string().chars().count() <= MOST_IN_ALL
}

fn body(message: &Message) -> Value {
    let mut blocks = vec![
        json!({ "type": "header", "text": { "type": "plain_text", "text": cut(&message.title, MOST_IN_HEADER), "emoji": false } }),
        section(&harmless(&message.summary)),
    ];
    for part in &message.sections {
        let lines: Vec<String> = part.shown().iter().map(|it| format!("• {}", line(it))).collect();
        blocks.push(section(&format!("*{}*\n{}", harmless(&part.heading), lines.join("\n"))));
    }
    let link = message.link.as_ref().map(|link| format!("{} ", anchor(&link.text, &link.url)));
    let footer = format!("{}{}", link.unwrap_or_default(), harmless(&message.footer));
    blocks.push(json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": footer, "verbatim": true }] }));
    json!({
        "text": format!("{}: {}", harmless(&message.title), harmless(&message.summary)),
        "blocks": blocks,
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } })
}

fn line(line: &Line) -> String {
    let text = harmless(&line.text);
    line.link.as_ref().map_or_else(|| text.clone(), |link| format!("{} {text}", anchor(&link.text, &link.url)))
}

fn anchor(text: &str, url: &str) -> String {
    // Between these, neither means anything else.
    let url = url.replace('|', "%7C").replace('<', "%3C").replace('>', "%3E");
    format!("<{url}|{}>", harmless(text).replace('|', "/"))
}

/// Text in which nothing is a mention, a link or a date.
fn harmless(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
