//! What every format keeps, for any message.

use chrono::DateTime;
use proptest::prelude::*;
use serde_json::Value;

use crate::{Line, Link, Message, Section, discord, mail, slack, teams, webhook};

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zé漢🙂 <>&|*_`\\[\\]()\"'@#~-]{0,400}",
        Just("<!channel> <script>alert(1)</script> [x](https://evil.example) @everyone".to_owned()),
    ]
}

prop_compose! {
    fn line()(text in hostile(), link in prop::option::of((hostile(), "[a-z0-9()|>]{1,20}"))) -> Line {
        match link {
            Some((name, path)) => Line::with_link(name, format!("https://github.com/{path}"), text),
            None => Line::of(text),
        }
    }
}

prop_compose! {
    fn message()(
        title in hostile(),
        summary in hostile(),
        sections in prop::collection::vec(prop::collection::vec(line(), 1..60), 0..13),
        footer in hostile(),
        has_link: bool,
    ) -> Message {
        let section = |(index, lines): (usize, Vec<Line>)| Section::new(&format!("Part {index}"), lines);
        Message {
            title: Line::of(title).text,
            summary: Line::of(summary).text,
            sections: sections.into_iter().enumerate().filter_map(section).collect(),
            link: has_link.then(|| Link { text: "Open".to_owned(), url: "https://mergeline.example/v1/app/".to_owned() }),
            footer: Line::of(footer).text,
        }
    }
}

fn letters(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.chars().count())
}

/// All texts of a value.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(all) => all.iter().flat_map(texts).collect(),
        Value::Object(all) => all.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn each_service_takes_what_is_made_for_it(message in message()) {
        let body = slack(&message);
        let blocks = body["blocks"].as_array().expect("blocks");
        prop_assert!(blocks.len() <= 50 && body.to_string().chars().count() <= 8_000);
        prop_assert!(letters(&blocks[0]["text"]["text"]) <= 150);
        prop_assert!(blocks.iter().all(|block| letters(&block["text"]["text"]) <= 3_000));
        prop_assert!(teams(&message).to_string().len() <= 20_000);
        let body = discord(&message);
        let embed = &body["embeds"][0];
        let fields = embed["fields"].as_array().expect("fields");
        prop_assert!(fields.len() <= 25 && fields.iter().all(|it| letters(&it["value"]) <= 1_024 && letters(&it["name"]) <= 256));
        let all: usize = fields.iter().map(|it| letters(&it["name"]) + letters(&it["value"])).sum::<usize>()
            + letters(&embed["title"]) + letters(&embed["description"]) + letters(&embed["footer"]["text"]);
        prop_assert!(letters(&embed["title"]) <= 256 && all <= 6_000, "{}", all);
        prop_assert_eq!(&body["allowed_mentions"]["parse"], &serde_json::json!([]));
        prop_assert!(webhook(&message, "digest", DateTime::UNIX_EPOCH).to_string().len() <= 20_000);
    }

    #[test]
    fn what_is_left_out_is_counted_and_each_part_keeps_a_line(message in message()) {
        let body = webhook(&message, "digest", DateTime::UNIX_EPOCH);
        let shown = body["data"]["sections"].as_array().expect("sections");
        prop_assert_eq!(shown.len(), message.sections.len());
        for (shown, given) in shown.iter().zip(&message.sections) {
            let lines = shown["lines"].as_array().expect("lines").len();
            prop_assert!(lines >= 1);
            prop_assert_eq!(lines as u64 + shown["left_out"].as_u64().expect("a number"), given.lines.len() as u64);
        }
    }

    #[test]
    fn no_text_of_people_means_anything(message in message()) {
        let slack = slack(&message);
        let markup = slack["blocks"].as_array().expect("blocks")[1..].iter().flat_map(texts).chain(texts(&slack["text"]));
        for text in markup {
            // All that is left are links of ours.
            for opened in text.split('<').skip(1) {
                prop_assert!(opened.starts_with("https://"), "{}", text);
            }
        }
        for run in texts(&teams(&message)) {
            prop_assert!(run != "TextBlock", "a block of text takes Markdown");
        }
        let mail = mail(&message);
        let tags: Vec<&str> = mail.html.split('<').skip(1).collect();
        let known = ["!doctype", "html", "/html", "head", "/head", "meta", "title", "/title", "body", "/body", "h1", "/h1", "h2", "/h2", "p", "/p", "ul", "/ul", "li", "/li", "a href=\"https://", "/a"];
        for tag in tags {
            prop_assert!(known.iter().any(|it| tag.starts_with(it)), "{}", tag);
        }
    }
}

#[test]
fn a_long_list_ends_with_how_many_more_there_are() {
    let lines = (1..=60).map(|n| {
        Line::with_link(format!("acme/web#{n}"), format!("https://github.com/acme/web/pull/{n}"), "x".repeat(200))
    });
    let message = Message {
        title: "Payments: Nov 23 to 29, 2026".to_owned(),
        summary: "4 pull requests merged.".to_owned(),
        sections: Section::new("Open longest", lines.collect()).into_iter().collect(),
        link: None,
        footer: "Data as of now.".to_owned(),
    };
    let body = slack(&message);
    let text = body["blocks"][2]["text"]["text"].as_str().expect("a text");
    let shown = text.matches("• <").count();
    assert!(text.ends_with(&format!("and {} more", 60 - shown)) && shown > 5, "{text}");
    assert_eq!(body["blocks"][0]["text"]["text"], "Payments: Nov 23 to 29, 2026", "never the head");
    assert_eq!(mail(&message).text.matches("- acme/web#").count(), 60, "mail has room");
}

mod changes {
    use chrono::{Days, NaiveDate};
    use mergeline_domain::insight::{ChangeWeek, CustomMetric, Scale, level_changes};
    use mergeline_domain::{TeamId, monday_of};
    use mergeline_reporting::{MetricChange, TeamChanges};
    use mergeline_store::TeamRef;
    use serde_json::json;

    use crate::digest::changes_found;

    /// Half a year at about six a week, and then at nine and more.
    const WEEKS: [u32; 32] =
        [6, 4, 7, 5, 8, 3, 6, 5, 9, 4, 6, 7, 5, 6, 8, 4, 5, 7, 6, 3, 6, 8, 5, 7, 4, 6, 7, 5, 9, 10, 8, 11];

    #[test]
    fn a_metric_of_the_file_changes_in_the_words_of_a_built_in_number() {
        let first = monday_of(NaiveDate::from_ymd_opt(2025, 11, 3).expect("a day"));
        let monday = |week: u64| first + Days::new(7 * week);
        let weeks: Vec<ChangeWeek> =
            (0..).zip(WEEKS).map(|(week, count)| ChangeWeek::count(monday(week), f64::from(count))).collect();
        let found = level_changes(Scale::Count, &weeks);
        let quiet = level_changes(Scale::Duration, &[]);
        let metric: CustomMetric = serde_json::from_value(
            json!({ "id": "all", "name": "All of them", "of": "pull_requests", "statistic": "count", "by": "week" }),
        )
        .expect("a metric");
        let team = TeamRef { id: TeamId(7), slug: "payments".parse().expect("a slug"), name: "Payments".to_owned() };
        let changes = TeamChanges {
            team,
            merged: found.clone(),
            cycle_time: quiet,
            metrics: vec![MetricChange { metric: metric.clone(), change: found }],
            warnings: Vec::new(),
        };
        let words = |week: u64| -> Vec<(String, String, String, String)> {
            let found = changes_found(&changes, monday(week)).into_iter();
            found.map(|it| (it.subject, it.what, it.now, it.before)).collect()
        };
        let said = |subject: &str, what: &str| {
            let text = |text: &str| text.to_owned();
            (text(subject), text(what), text("9.5 since May 18, 2026"), text("5.8"))
        };
        assert_eq!(words(31), [said("merged", "Merged a week"), said(&metric.versioned_id(), "All of them")]);
        assert_eq!(words(30), [], "a week before, it was not known");
    }
}
