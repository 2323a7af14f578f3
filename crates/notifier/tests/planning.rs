//! What there is to say, and when.

mod common;

use anyhow::Result;
use chrono::TimeDelta;
use common::{World, clock, pass, set_clock};
use mergeline_fake_github::at;
use mergeline_notifier::{body_of, plan, unsent};
use mergeline_test_support::finish_reading;

const GOALS: &str = "
goals:
  - { id: no-old-ones, sentence: We finish what we start., form: each, measure: cycle_time, within: 7d }
  - { id: few-at-once, team: payments, form: limit, open: 1 }
";

fn channels(lines: &str) -> String {
    format!("{GOALS}channels:\n{lines}")
}

#[tokio::test]
async fn a_broken_agreement_is_told_once_without_names_of_people() -> Result<()> {
    let lines = channels("  - { id: chat, kind: slack, kinds: [agreement], teams: [payments] }\n");
    let world = World::with_history(&lines).await?;
    world.notify().await?;
    let got = world.fake.got("chat");
    assert_eq!(got.len(), 1, "two agreements, one message");
    let body = &got[0].body;
    for expected in [
        "Payments: working agreements",
        "<https://github.com/acme/api/pull/101|acme/api#101> Pay by card &lt;!channel&gt;: waiting since Jun 1, 2026",
        "We finish what we start",
        "2 are open, 1 at most were agreed",
        "https://mergeline.example.com/v1/app/#/insight?team=payments",
    ] {
        assert!(body.contains(expected), "{expected} in {body}");
    }
    for name in ["ana", "bob", "<!channel>"] {
        assert!(!body.contains(name), "{name} in {body}");
    }
    for _ in 0..3 {
        pass(TimeDelta::hours(2));
        world.notify().await?;
    }
    assert_eq!(world.fake.got("chat").len(), 1, "once");
    Ok(())
}

#[tokio::test]
async fn a_channel_without_titles_has_numbers_and_another_team_hears_nothing() -> Result<()> {
    let lines = channels(
        "  - { id: chat, kind: slack, kinds: [agreement], teams: [payments], titles: false }
  - { id: other, kind: slack, kinds: [agreement, goal, change], teams: [platform] }\n",
    );
    let world = World::with_history(&lines).await?;
    world.notify().await?;
    let body = &world.fake.got("chat")[0].body;
    assert!(body.contains("acme/api#101> waiting since") && !body.contains("Pay by card"), "{body}");
    assert_eq!(world.fake.got("other").len(), 0, "Bob's has not waited long");
    Ok(())
}

#[tokio::test]
async fn a_digest_waits_for_its_week_until_noon_and_is_sent_once() -> Result<()> {
    let lines = channels("  - { id: chat, kind: slack, kinds: [digest], teams: [payments] }\n");
    let world = World::with_history(&lines).await?;
    let read =
        async |until: &str| finish_reading(&world.store, Some(at(until)), at(until), at("2026-01-01T00:00:00Z")).await;
    let sent_at = async |now: &str| -> Result<usize> {
        set_clock(at(now));
        world.notify().await?;
        Ok(world.fake.got("chat").len())
    };
    // Oslo is two hours ahead. Monday is June 22.
    assert_eq!(sent_at("2026-06-21T12:00:00Z").await?, 0, "Sunday");
    read("2026-06-21T20:00:00Z").await?;
    assert_eq!(sent_at("2026-06-22T06:59:00Z").await?, 0, "before nine");
    assert_eq!(sent_at("2026-06-22T07:30:00Z").await?, 0, "the week is not read to its end");
    read("2026-06-22T08:00:00Z").await?;
    assert_eq!(sent_at("2026-06-22T08:01:00Z").await?, 1);
    assert!(
        world.fake.got("chat")[0].body.contains("Payments: Jun 15 to 21, 2026"),
        "{}",
        world.fake.got("chat")[0].body
    );
    assert_eq!(sent_at("2026-06-22T12:00:00Z").await?, 1, "once");
    assert_eq!(sent_at("2026-06-23T20:00:00Z").await?, 1, "once");
    // The next week is never read.
    assert_eq!(sent_at("2026-06-29T09:59:00Z").await?, 1, "before noon");
    assert_eq!(sent_at("2026-06-29T10:00:00Z").await?, 2, "at noon in any case");
    let body = &world.fake.got("chat")[1].body;
    assert!(body.contains("was not read") || body.contains("Not everything was read"), "{body}");
    // Nobody wants last week's on a Wednesday.
    assert_eq!(sent_at("2026-07-08T10:00:00Z").await?, 2);
    Ok(())
}

#[tokio::test]
async fn operators_hear_of_old_data_once_a_day_and_when_there_is_new() -> Result<()> {
    let world = World::with_history("channels: [{ id: ops, kind: slack, kinds: [operations] }]\n").await?;
    world.notify().await?;
    assert_eq!(world.fake.got("ops").len(), 0, "four hours are not old");
    pass(TimeDelta::hours(6));
    world.notify().await?;
    assert_eq!(world.fake.got("ops").len(), 1);
    let body = &world.fake.got("ops")[0].body;
    assert!(body.contains("The data is of Jun 17, 2026, 10:00 AM; newer is not collected."), "{body}");
    pass(TimeDelta::hours(3));
    world.notify().await?;
    assert_eq!(world.fake.got("ops").len(), 1, "once a day");
    pass(TimeDelta::hours(3));
    world.notify().await?;
    assert_eq!(world.fake.got("ops").len(), 2, "on the next day");
    pass(TimeDelta::minutes(1));
    let now = clock();
    finish_reading(&world.store, Some(now), now, at("2026-01-01T00:00:00Z")).await?;
    pass(TimeDelta::minutes(1));
    world.notify().await?;
    let got = world.fake.got("ops");
    assert_eq!(got.len(), 3);
    assert!(got[2].body.contains("New data is collected again."), "{}", got[2].body);
    Ok(())
}

#[tokio::test]
async fn what_left_the_teams_file_has_not_ended() -> Result<()> {
    let channels = |ids: &[&str]| -> String {
        let all: Vec<String> =
            ids.iter().map(|id| format!("{{ id: {id}, kind: slack, kinds: [operations] }}")).collect();
        format!("channels: [{}]\n", all.join(", "))
    };
    let world = World::with_history(&channels(&["ops", "lost"])).await?;
    world.store.turn_channel_off(&"lost".parse()?, "it answered 404", clock(), clock() + TimeDelta::days(1)).await?;
    world.notify().await?;
    let got = world.fake.got("ops");
    assert!(
        got.len() == 1 && got[0].body.contains("takes no messages since Jun 17, 2026, 2:00 PM: it answered 404."),
        "{got:?}"
    );
    world.apply(&channels(&["ops"])).await?;
    pass(TimeDelta::minutes(30));
    world.notify().await?;
    assert_eq!(world.fake.got("ops").len(), 1, "nothing works again");
    Ok(())
}

#[tokio::test]
async fn what_would_be_sent_is_shown_in_the_format_of_each_channel_and_not_sent() -> Result<()> {
    let lines = channels(
        "  - { id: chat, kind: slack, kinds: [agreement], teams: [payments] }
  - { id: cards, kind: teams, kinds: [agreement], quiet: \"13:00-15:00\" }\n",
    );
    let world = World::with_history(&lines).await?;
    let unsent = unsent(&world.store, &world.settings, clock()).await?;
    let shown: Vec<_> = unsent.iter().map(|(channel, due_at, ..)| (channel.id.as_str(), *due_at)).collect();
    // Fifteen o'clock in Oslo.
    assert_eq!(shown, [("chat", clock()), ("cards", at("2026-06-17T13:00:00Z"))]);
    for (channel, _, kind, message) in &unsent {
        let body = body_of(channel.kind, message, &kind.to_string(), clock());
        assert!(body.starts_with('{') && body.contains("working agreements"), "{body}");
    }
    assert_eq!(world.fake.got("chat").len(), 0);
    assert_eq!(world.states("chat").await?, []);
    Ok(())
}

#[tokio::test]
async fn nothing_is_judged_again_before_something_may_have_changed() -> Result<()> {
    let lines = channels("  - { id: chat, kind: slack, kinds: [agreement] }\n");
    let world = World::with_history(&lines).await?;
    let plans = async || Box::pin(plan(&world.store, &world.settings, clock())).await.map(|changes| changes.is_some());
    assert!(plans().await?);
    world.notify().await?;
    pass(TimeDelta::minutes(15));
    assert!(!plans().await?, "nothing is new");
    let now = clock() + TimeDelta::minutes(1);
    finish_reading(&world.store, Some(now), now, at("2026-01-01T00:00:00Z")).await?;
    pass(TimeDelta::minutes(2));
    assert!(plans().await?, "something was collected");
    assert!(!plans().await?);
    set_clock(at("2026-06-17T12:30:00Z"));
    assert!(plans().await?, "a half hour has started");
    set_clock(at("2026-06-17T12:59:00Z"));
    assert!(!plans().await?);
    Ok(())
}
