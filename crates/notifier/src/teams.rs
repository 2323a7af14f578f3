//! Microsoft Teams by a workflow "when a webhook request is received": <https://adaptivecards.io/explorer/AdaptiveCard.html>.

use serde_json::{Value, json};

use crate::message::{Line, Message};

/// Teams refuses 28,672 bytes as it writes them, which is a fifth more than what is sent.
const MOST_BYTES: usize = 20_000;

/// The body of a message: one card.
pub fn teams(message: &Message) -> Value {
    message.fitted(body, |body| body.to_string().len() <= MOST_BYTES)
}

fn body(message: &Message) -> Value {
    let mut body = vec![heading(&message.title, "Large"), rich(&[Line::of(&message.summary)])];
    for part in &message.sections {
        body.push(heading(&part.heading, "Medium"));
        body.extend(part.shown().iter().map(|line| rich(std::slice::from_ref(line))));
    }
    body.push(rich(&[Line::of(&message.footer)]));
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "msteams": { "width": "Full" },
    });
    if let Some(link) = &message.link {
        card["actions"] = json!([{ "type": "Action.OpenUrl", "title": link.text, "url": link.url }]);
    }
    json!({
        "type": "message",
        "attachments": [{ "contentType": "application/vnd.microsoft.card.adaptive", "content": card }],
    })
}

/// Text runs take no markup, so that titles of people mean nothing. A block of text would take Markdown.
fn heading(text: &str, size: &str) -> Value {
    json!({ "type": "RichTextBlock", "inlines": [{ "type": "TextRun", "text": text, "weight": "Bolder", "size": size }] })
}

fn rich(lines: &[Line]) -> Value {
    let mut inlines = Vec::new();
    for line in lines {
        if let Some(link) = &line.link {
            let open = json!({ "type": "Action.OpenUrl", "url": link.url });
            inlines.push(json!({ "type": "TextRun", "text": link.text, "selectAction": open }));
            inlines.push(json!({ "type": "TextRun", "text": " " }));
        }
        inlines.push(json!({ "type": "TextRun", "text": line.text }));
    }
    json!({ "type": "RichTextBlock", "inlines": inlines })
}
