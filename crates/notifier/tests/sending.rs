//! Messages on their way: what each service gets, and what follows from its answer.

mod common;

use anyhow::Result;
use chrono::TimeDelta;
use common::{SECRET, World, clock, pass, planned, set_clock};
use mergeline_domain::messages::MessageKind::{Agreement, Digest, Goal, Operations};
use mergeline_fake_github::at;
use mergeline_notifier::{Answer, test_channel};
use mergeline_test_support::ChannelAnswer;

const CHANNELS: &str = "
channels:
  - { id: chat, kind: slack, kinds: [digest, agreement, goal] }
  - { id: cards, kind: teams, kinds: [digest] }
  - { id: game, kind: discord, kinds: [digest] }
  - { id: program, kind: webhook, kinds: [digest, agreement] }
  - { id: ops, kind: slack, kinds: [operations] }
";

fn states(states: &[(&str, &str)]) -> Vec<(String, String)> {
    states.iter().map(|(subject, state)| ((*subject).to_owned(), (*state).to_owned())).collect()
}

#[tokio::test]
async fn each_service_gets_its_own_format_once() -> Result<()> {
    let world = World::with(CHANNELS).await?;
    for channel in ["chat", "cards", "game", "program"] {
        world.say(channel, &[(Digest, "team 1")]).await?;
        assert_eq!(world.deliver(channel).await?.sent, 1, "{channel}");
        assert_eq!(world.deliver(channel).await?.sent, 0, "{channel}");
        let got = world.fake.got(channel);
        assert_eq!(got.len(), 1, "{channel}");
        assert_eq!(got[0].headers["content-type"], "application/json");
        assert_eq!(world.states(channel).await?, states(&[("team 1", "sent")]));
    }
    assert_eq!(world.fake.got("chat")[0].json()["text"], "Payments: About team 1.");
    assert_eq!(world.fake.got("cards")[0].json()["attachments"][0]["content"]["version"], "1.4");
    assert_eq!(world.fake.got("game")[0].uri, "/discord/game?wait=true");
    let signed = &world.fake.got("program")[0];
    let verifier = standardwebhooks::Webhook::new(SECRET)?;
    let header = |name: &str| signed.headers[name].to_str().unwrap_or_default();
    // The clock of the test is not today, which `verify` would refuse.
    let expected = verifier.sign(header("webhook-id"), clock().timestamp(), signed.body.as_bytes())?;
    assert_eq!(header("webhook-signature"), expected);
    assert_eq!(header("webhook-timestamp"), clock().timestamp().to_string());
    assert_eq!(signed.json()["type"], "digest");
    assert_eq!(signed.json()["timestamp"], "2026-06-17T12:00:00Z");
    Ok(())
}

#[tokio::test]
async fn what_did_not_arrive_is_tried_again_after_a_wait_and_fails_after_a_day() -> Result<()> {
    let world = World::with(CHANNELS).await?;
    world.fake.answer("chat", &[ChannelAnswer::Status(429, Some("90")), ChannelAnswer::Status(503, None)]);
    world.say("chat", &[(Goal, "a")]).await?;
    let delivered = world.deliver("chat").await?;
    assert_eq!((delivered.sent, delivered.next_at), (0, Some(clock() + TimeDelta::seconds(90))), "as it was asked to");
    assert_eq!(world.deliver("chat").await?.sent, 0, "not before");
    pass(TimeDelta::seconds(90));
    let delivered = world.deliver("chat").await?;
    assert_eq!(delivered.next_at, Some(clock() + TimeDelta::minutes(1)), "the second wait");
    pass(TimeDelta::minutes(1));
    assert_eq!(world.deliver("chat").await?.sent, 1);
    assert_eq!(world.fake.got("chat").len(), 1);
    world.fake.answer("chat", &[ChannelAnswer::Status(500, None); 20]);
    world.say("chat", &[(Goal, "b")]).await?;
    let started = clock();
    let mut tries = 0;
    while let Some(next) = world.deliver("chat").await?.next_at {
        tries += 1;
        set_clock(next);
    }
    assert!(clock() - started <= TimeDelta::days(1), "{}", clock() - started);
    assert_eq!(tries, 7, "after 10 s, 1, 5, 30 min, 2, 6, 12 h");
    assert_eq!(world.states("chat").await?, states(&[("a", "sent"), ("b", "failed")]));
    Ok(())
}

#[tokio::test]
async fn a_message_that_is_refused_is_not_sent_again() -> Result<()> {
    let world = World::with(CHANNELS).await?;
    for (nth, status) in [400, 413, 302, 307].into_iter().enumerate() {
        world.fake.answer("chat", &[ChannelAnswer::Status(status, None)]);
        let subject = format!("{nth}");
        world.say("chat", &[(Goal, &subject)]).await?;
        let delivered = world.deliver("chat").await?;
        assert_eq!((delivered.sent, delivered.next_at), (0, None), "{status}");
        assert!(delivered.problems[0].contains(&status.to_string()), "{delivered:?}");
        pass(TimeDelta::days(2));
        assert_eq!(world.deliver("chat").await?.sent, 0, "{status}");
        assert_eq!(world.states("chat").await?.last().map(|it| it.1.as_str()), Some("failed"), "{status}");
    }
    assert_eq!(world.fake.got("chat").len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_channel_that_is_gone_is_off_for_a_day_and_operators_hear_of_it_and_of_its_end() -> Result<()> {
    let world = World::with_history(CHANNELS).await?;
    for status in [401, 403, 404, 410] {
        sqlx::query("delete from message_channels").execute(&world.pool).await?;
        world.fake.answer("chat", &[ChannelAnswer::Status(status, None)]);
        world.say("chat", &[(Goal, &format!("{status}"))]).await?;
        assert_eq!(world.deliver("chat").await?.problems.len(), 1, "{status}");
        let off: i64 = sqlx::query_scalar("select count(*) from message_channels").fetch_one(&world.pool).await?;
        assert_eq!(off, 1, "{status}");
    }
    pass(TimeDelta::hours(1));
    world.notify().await?;
    let heard = world.fake.got("ops");
    assert_eq!(heard.len(), 1);
    assert!(heard[0].body.contains("Channel chat takes no messages since Jun 17, 2026"), "{}", heard[0].body);
    assert!(!heard[0].body.contains(world.fake.host()), "no address: {}", heard[0].body);
    pass(TimeDelta::hours(2));
    world.notify().await?;
    assert_eq!(world.fake.got("ops").len(), 1, "once a day");
    // Data becomes old an hour later.
    pass(TimeDelta::hours(1));
    world.store.turn_channel_on(&"chat".parse()?).await?;
    world.notify().await?;
    let heard = world.fake.got("ops");
    assert_eq!(heard.len(), 2);
    assert!(heard[1].body.contains("Channel chat takes messages again."), "{}", heard[1].body);
    world.notify().await?;
    pass(TimeDelta::hours(1));
    world.notify().await?;
    assert_eq!(world.fake.got("ops").len(), 2, "the end once");
    Ok(())
}

#[tokio::test]
async fn of_what_nobody_knows_only_a_digest_is_repeated_once_saying_so() -> Result<()> {
    let world = World::with(CHANNELS).await?;
    for answer in [ChannelAnswer::Breaks, ChannelAnswer::SomethingElse] {
        world.fake.answer("chat", &[answer]);
        world.say("chat", &[(Agreement, &format!("{answer:?}"))]).await?;
        assert_eq!(world.deliver("chat").await?.next_at, None, "{answer:?}");
    }
    assert_eq!(world.states("chat").await?, states(&[("Breaks", "unknown"), ("SomethingElse", "unknown")]));
    assert_eq!(world.fake.got("chat").len(), 2);
    world.fake.answer("chat", &[ChannelAnswer::Breaks, ChannelAnswer::Breaks]);
    world.say("chat", &[(Digest, "team 1")]).await?;
    let next = world.deliver("chat").await?.next_at.expect("again");
    set_clock(next);
    assert_eq!(world.deliver("chat").await?.next_at, None, "not a third time");
    let got = world.fake.got("chat");
    assert_eq!(got.len(), 4);
    assert!(!got[2].body.contains("You may have got this before"), "{}", got[2].body);
    assert!(got[3].body.contains("You may have got this before"), "{}", got[3].body);
    assert_eq!(world.states("chat").await?[2].1, "unknown");
    // The receiver of a webhook notices repetitions by the number.
    world.fake.answer("program", &[ChannelAnswer::Breaks, ChannelAnswer::Status(500, None)]);
    world.say("program", &[(Agreement, "x")]).await?;
    while let Some(next) = world.deliver("program").await?.next_at {
        set_clock(next);
    }
    assert_eq!(world.states("program").await?, states(&[("x", "sent")]));
    Ok(())
}

#[tokio::test]
async fn a_service_that_hangs_or_drips_is_left_after_its_time() -> Result<()> {
    let world = World::with(CHANNELS).await?;
    world.fake.answer("chat", &[ChannelAnswer::Nothing]);
    world.fake.answer("ops", &[ChannelAnswer::Drips]);
    let [chat, ops] = [world.channel("chat").await?, world.channel("ops").await?];
    let due = [(&chat, Goal), (&ops, Operations)].map(|(channel, kind)| planned(&channel.id, kind, "x", clock()));
    world.store.plan_messages(&due, clock()).await?;
    let (one, other) = tokio::join!(world.deliver("chat"), world.deliver("ops"));
    assert_eq!(one?.problems, ["no answer within 10 s"]);
    assert_eq!(other?.problems, ["no answer within 10 s"]);
    assert_eq!(world.states("chat").await?, states(&[("x", "unknown")]));
    Ok(())
}

#[tokio::test]
async fn quiet_hours_and_a_full_day_make_several_messages_one() -> Result<()> {
    let world = World::with(
        "
channels:
  - { id: chat, kind: slack, kinds: [goal, digest], quiet: \"18:00-08:00\" }
",
    )
    .await?;
    let chat = world.channel("chat").await?;
    for nth in 0..8 {
        let all: Vec<_> = (0..=nth).map(|it| planned(&chat.id, Goal, &format!("goal {it}"), clock())).collect();
        world.store.plan_messages(&all, clock()).await?;
        world.deliver("chat").await?;
        pass(TimeDelta::minutes(1));
    }
    assert_eq!(world.fake.got("chat").len(), 5, "five a day");
    let mut all: Vec<_> = (0..8).map(|it| planned(&chat.id, Goal, &format!("goal {it}"), clock())).collect();
    all.push(planned(&chat.id, Digest, "team 1", clock()));
    world.store.plan_messages(&all, clock()).await?;
    assert_eq!(world.deliver("chat").await?.sent, 1, "a digest is not counted");
    // Eight in the morning in Oslo.
    assert_eq!(world.deliver("chat").await?.next_at, Some(at("2026-06-18T06:00:00Z")));
    set_clock(at("2026-06-18T06:00:00Z"));
    assert_eq!(world.deliver("chat").await?.sent, 1);
    let last = &world.fake.got("chat")[6];
    for goal in ["goal 5", "goal 6", "goal 7"] {
        assert!(last.body.contains(goal), "{goal} in {}", last.body);
    }
    Ok(())
}

#[tokio::test]
async fn quiet_hours_hold_what_is_tried_again_too() -> Result<()> {
    let world = World::with("channels: [{ id: chat, kind: slack, kinds: [goal], quiet: \"18:00-08:00\" }]\n").await?;
    // 17:59 in Oslo.
    set_clock(at("2026-06-17T15:59:00Z"));
    world.fake.answer("chat", &[ChannelAnswer::Status(503, Some("300"))]);
    world.say("chat", &[(Goal, "x")]).await?;
    assert_eq!(world.deliver("chat").await?.next_at, Some(at("2026-06-18T06:00:00Z")));
    pass(TimeDelta::minutes(10));
    assert_eq!(world.deliver("chat").await?.sent, 0, "it is night");
    set_clock(at("2026-06-18T06:00:00Z"));
    assert_eq!(world.deliver("chat").await?.sent, 1);
    Ok(())
}

#[tokio::test]
async fn a_new_message_does_not_fail_together_with_an_old_one() -> Result<()> {
    let world = World::with(CHANNELS).await?;
    let chat = world.channel("chat").await?;
    world.fake.answer("chat", &[ChannelAnswer::Status(500, None); 9]);
    world.say("chat", &[(Goal, "old")]).await?;
    world.deliver("chat").await?;
    pass(TimeDelta::days(1) - TimeDelta::seconds(30));
    let both = ["old", "new"].map(|subject| planned(&chat.id, Goal, subject, clock()));
    world.store.plan_messages(&both, clock()).await?;
    world.deliver("chat").await?;
    assert_eq!(world.states("chat").await?, states(&[("old", "failed"), ("new", "waiting")]));
    Ok(())
}

#[tokio::test]
async fn a_message_to_a_channel_that_is_gone_waits_for_another_address_for_a_day() -> Result<()> {
    let world = World::with(CHANNELS).await?;
    let chat = world.channel("chat").await?;
    world.fake.answer("chat", &[ChannelAnswer::Status(404, None)]);
    world.say("chat", &[(Digest, "team 1")]).await?;
    assert_eq!(world.deliver("chat").await?.sent, 0);
    assert_eq!(world.states("chat").await?, states(&[("team 1", "waiting")]));
    let answer = test_channel(&world.store, &world.sender, &chat, &world.settings, clock()).await?;
    assert_eq!(answer, Answer::Taken);
    assert_eq!(world.deliver("chat").await?.sent, 1);
    world.fake.answer("chat", &[ChannelAnswer::Status(404, None), ChannelAnswer::Status(404, None)]);
    world.say("chat", &[(Goal, "x")]).await?;
    world.deliver("chat").await?;
    pass(TimeDelta::days(1));
    world.deliver("chat").await?;
    assert_eq!(world.states("chat").await?, states(&[("team 1", "sent"), ("x", "failed")]));
    Ok(())
}

#[tokio::test]
async fn what_waits_says_the_newest_and_a_digest_that_waits_for_too_long_fails() -> Result<()> {
    let world = World::with(CHANNELS).await?;
    let chat = world.channel("chat").await?;
    world.fake.answer("chat", &[ChannelAnswer::Status(500, None)]);
    let mut message = planned(&chat.id, Goal, "x", clock());
    world.store.plan_messages(std::slice::from_ref(&message), clock()).await?;
    world.deliver("chat").await?;
    message.content["summary"] = "Without a title.".into();
    let digest = planned(&chat.id, Digest, "team 1", clock() + TimeDelta::hours(1));
    world.store.plan_messages(&[message, digest], clock()).await?;
    pass(TimeDelta::minutes(1));
    world.deliver("chat").await?;
    assert!(world.fake.got("chat")[0].body.contains("Without a title."), "{:?}", world.fake.got("chat"));
    let changes = world.store.plan_messages(&[], clock()).await?;
    assert_eq!((changes.dropped, changes.expired), (0, 1));
    assert_eq!(world.states("chat").await?, states(&[("x", "sent"), ("team 1", "failed")]));
    Ok(())
}

#[tokio::test]
async fn what_is_no_longer_true_when_quiet_hours_end_is_dropped_and_may_become_true_again() -> Result<()> {
    let world = World::with(CHANNELS).await?;
    let chat = world.channel("chat").await?;
    let later = clock() + TimeDelta::hours(8);
    let message = |subject: &str| planned(&chat.id, Agreement, subject, later);
    world.store.plan_messages(&[message("a"), message("b")], clock()).await?;
    let changes = world.store.plan_messages(&[message("a")], clock()).await?;
    assert_eq!((changes.added, changes.dropped), (0, 1));
    assert_eq!(world.states("chat").await?, states(&[("a", "waiting"), ("b", "dropped")]));
    let changes = world.store.plan_messages(&[message("a"), message("b")], clock()).await?;
    assert_eq!((changes.added, changes.dropped), (1, 0));
    set_clock(later);
    world.deliver("chat").await?;
    assert_eq!(world.states("chat").await?, states(&[("a", "sent"), ("b", "sent")]));
    assert_eq!(world.fake.got("chat").len(), 1, "together");
    let changes = world.store.plan_messages(&[], clock()).await?;
    assert_eq!(changes.dropped, 0, "what was sent stays");
    Ok(())
}

#[tokio::test]
async fn a_program_that_ends_while_it_sends_loses_and_repeats_nothing_silently() -> Result<()> {
    let histories = std::env::var("MESSAGE_HISTORIES").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let world = World::with(CHANNELS).await?;
    let [chat, program] = [world.channel("chat").await?, world.channel("program").await?];
    let mut random = fastrand::Rng::with_seed(7);
    for history in 0..histories {
        sqlx::query("truncate messages, message_channels").execute(&world.pool).await?;
        let subject = |kind: &str| format!("{kind} {history}");
        let mut all = Vec::new();
        for channel in [&chat, &program] {
            all.push(planned(&channel.id, Digest, &subject("digest"), clock()));
            all.push(planned(&channel.id, Agreement, &subject("agreement"), clock()));
        }
        world.store.plan_messages(&all, clock()).await?;
        for _ in 0..40 {
            for channel in ["chat", "program"] {
                // The program ends at any moment: its connections close, and nothing more is done.
                let time = std::time::Duration::from_micros(random.u64(0..12_000));
                let _ = tokio::time::timeout(time, world.deliver(channel)).await;
            }
            pass(TimeDelta::minutes(4));
            let open: i64 = sqlx::query_scalar("select count(*) from messages where state in ('waiting', 'sending')")
                .fetch_one(&world.pool)
                .await?;
            if open == 0 {
                break;
            }
        }
        for channel in ["chat", "program"] {
            world.deliver(channel).await?;
            pass(TimeDelta::minutes(4));
            world.deliver(channel).await?;
            for (subject, state) in world.states(channel).await? {
                let got: Vec<_> = world.fake.got(channel).into_iter().filter(|it| it.body.contains(&subject)).collect();
                let context = format!("history {history}: {channel} {subject} {state} {}", got.len());
                assert!(matches!(&*state, "sent" | "unknown"), "{context}");
                assert!(state == "unknown" || !got.is_empty(), "lost: {context}");
                if channel == "program" {
                    let mut ids: Vec<_> = got.iter().map(|it| it.headers["webhook-id"].clone()).collect();
                    ids.dedup();
                    assert!(ids.len() <= 1, "another number: {context}");
                    assert_eq!(state, "sent", "{context}");
                } else if subject.starts_with("digest") {
                    let silent = got.iter().filter(|it| !it.body.contains("You may have got this before")).count();
                    assert!(silent <= 1 && got.len() <= 2, "repeated: {context}");
                } else {
                    assert!(got.len() <= 1, "repeated: {context}");
                }
            }
        }
    }
    Ok(())
}
