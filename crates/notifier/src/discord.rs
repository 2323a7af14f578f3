//! Discord's webhooks: <https://docs.discord.com/developers/resources/message#embed-object-embed-limits>.

use serde_json::{Value, json};

use crate::message::{Line, Link, Message, cut, escaped};

const MOST_IN_TITLE: usize = 256;
const MOST_IN_DESCRIPTION: usize = 4_096;
const MOST_IN_FIELD: usize = 1_024;
const MOST_IN_FOOTER: usize = 2_048;
/// The letters of title, description, fields and footer together.
const MOST_IN_ALL: usize = 6_000;
/// What means something in Discord's Markdown.
const MARKS: &str = "\\`*_~|>[]()#<@:-";

/// The body of a message: one embed. It mentions nobody.
pub fn discord(message: &Message) -> Value {
    message.fitted(body, fits)
}

fn fits(body: &Value) -> bool {
    let embed = &body["embeds"][0];
    let letters = |value: &Value| value.as_str().map_or(0, |text| text.chars().count());
    let fields = embed["fields"].as_array().into_iter().flatten();
    let is_short = fields.clone().all(|field| letters(&field["value"]) <= MOST_IN_FIELD);
    let fields: usize = fields.map(|field| letters(&field["name"]) + letters(&field["value"])).sum();
    let others = letters(&embed["title"]) + letters(&embed["description"]) + letters(&embed["footer"]["text"]);
    is_short && fields + others <= MOST_IN_ALL
}

fn body(message: &Message) -> Value {
    let fields: Vec<Value> = message
        .sections
        .iter()
        .map(|part| {
            let lines: Vec<String> = part.shown().iter().map(written).collect();
            json!({ "name": cut(&escaped(&part.heading, MARKS), MOST_IN_TITLE), "value": lines.join("\n") })
        })
        .collect();
    let mut embed = json!({
        "title": cut(&message.title, MOST_IN_TITLE),
        "description": cut(&escaped(&message.summary, MARKS), MOST_IN_DESCRIPTION),
        "fields": fields,
        "footer": { "text": cut(&message.footer, MOST_IN_FOOTER) },
    });
    if let Some(link) = &message.link {
        embed["url"] = json!(link.url);
    }
    json!({ "embeds": [embed], "allowed_mentions": { "parse": [] } })
}

fn written(line: &Line) -> String {
    let text = escaped(&line.text, MARKS);
    let anchor = |link: &Link| {
        let url = link.url.replace('(', "%28").replace(')', "%29");
        format!("[{}]({url}) {text}", escaped(&link.text, MARKS))
    };
    line.link.as_ref().map_or_else(|| text.clone(), anchor)
}
