//! Applying a teams file: one transaction, idempotent, with history.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use common::{apply, attributions, fresh, share, teams, teams_in};
use mergeline_domain::Verdict;
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::{FakePullRequest, FakeUser, at, pr};
use mergeline_store::{
    Applied, ApplyError, ApplyOptions, KeptPullRequest, PageOfWork, Reattributed, StoreError, TeamSelector, Writer,
};
use mergeline_test_support::{TestDatabase, finish_reading, keep};

/// Three of ana's pull requests, merged on three days, and one of bob's.
fn merged() -> Vec<FakePullRequest> {
    let on = |number: i64, day: &str| pr("acme/api", number).merged(&format!("2026-02-{day}T10:00:00Z"));
    vec![on(1, "01"), on(2, "02"), on(3, "03"), on(4, "02").by("bob")]
}

/// A store with ana and bob in the team `pay`, and the pull requests above.
async fn collected() -> Result<(TestDatabase, Writer)> {
    let (database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }, { github: bob }")])).await?;
    keep(&store, &merged()).await?;
    Ok((database, store))
}

/// The sum of all weights and of the unallocated rest, over all stored pull requests.
async fn conservation(database: &TestDatabase) -> Result<(String, String)> {
    let pool = database.pool().await?;
    Ok(sqlx::query_as(
        "select
            trim_scale((select coalesce(sum(weight), 0) from pr_attributions))::text,
            trim_scale((
                select sum(1 - coalesce((select sum(a.weight) from pr_attributions as a where a.pull_request_id = p.id), 0))
                from pull_requests as p
            ))::text",
    )
    .fetch_one(&pool)
    .await?)
}

#[tokio::test]
async fn applying_a_file_again_changes_nothing() -> Result<()> {
    let (database, store) = collected().await?;
    let before = database.digest().await?;
    let applied = apply(&store, &teams(&[("pay", "{ github: ana }, { github: bob }")])).await?;
    assert!(applied.plan.is_empty(), "{applied}");
    assert_eq!(database.digest().await?, before);
    Ok(())
}

#[tokio::test]
async fn new_account_numbers_are_stored_without_plan_changes() -> Result<()> {
    let (database, store) = collected().await?;
    let pool = database.pool().await?;
    let known = async |login: &'static str| -> Result<Option<String>> {
        let number = sqlx::query_scalar("select external_id from accounts where configured_login = $1");
        Ok(number.bind(login).fetch_one(&pool).await?)
    };
    apply(&store, &teams(&[("pay", "{ github: ana }, { github: bob }, { github: carl }")])).await?;
    assert_eq!(known("carl").await?, None);
    let numbered = teams(&[("pay", "{ github: ana }, { github: bob }, { github: carl, id: 77 }")]);
    for _ in 0..2 {
        let applied = apply(&store, &numbered).await?;
        assert!(applied.plan.is_empty(), "{applied}");
        assert_eq!(known("carl").await?, Some("77".to_owned()));
    }
    Ok(())
}

#[tokio::test]
async fn a_corrected_weight_replaces_all_stored_shares() -> Result<()> {
    let (database, store) = collected().await?;
    let applied = apply(&store, &teams(&[("pay", "{ github: ana, weight: 0.25 }, { github: bob }")])).await?;
    assert_eq!(applied.pull_requests_reattributed, 3);
    assert_eq!(applied.reopens_since, None);
    let expected = [share(1, "pay", "0.25"), share(2, "pay", "0.25"), share(3, "pay", "0.25"), share(4, "pay", "1")];
    assert_eq!(attributions(&database).await?, expected);
    assert_eq!(conservation(&database).await?, ("1.75".to_owned(), "2.25".to_owned()));
    Ok(())
}

#[tokio::test]
async fn corrected_dates_move_pull_requests_between_teams() -> Result<()> {
    let (database, store) = collected().await?;
    let split = teams(&[
        ("pay", "{ github: ana, to: 2026-02-02 }, { github: bob }"),
        ("web", "{ github: ana, weight: 0.5, from: 2026-02-02 }"),
    ]);
    let applied = apply(&store, &split).await?;
    assert_eq!(applied.pull_requests_reattributed, 2);
    let expected = [share(1, "pay", "1"), share(2, "web", "0.5"), share(3, "web", "0.5"), share(4, "pay", "1")];
    assert_eq!(attributions(&database).await?, expected);
    assert_eq!(conservation(&database).await?, ("3".to_owned(), "1".to_owned()));
    Ok(())
}

#[tokio::test]
async fn removing_a_person_removes_shares_not_facts() -> Result<()> {
    let (database, store) = collected().await?;
    apply(&store, &teams(&[("pay", "{ github: bob }")])).await?;
    assert_eq!(attributions(&database).await?, [share(4, "pay", "1")]);
    assert_eq!(conservation(&database).await?, ("1".to_owned(), "3".to_owned()));
    Ok(())
}

#[tokio::test]
async fn a_correction_touches_only_its_own_person() -> Result<()> {
    let (database, store) = collected().await?;
    let of_bob =
        |digest: &str| digest.lines().filter(|line| line.contains(",4,")).map(str::to_owned).collect::<Vec<_>>();
    let before = of_bob(&database.digest().await?);
    apply(&store, &teams(&[("pay", "{ github: ana, weight: 0.5 }, { github: bob }")])).await?;
    assert_eq!(of_bob(&database.digest().await?), before);
    assert!(!before.is_empty());
    Ok(())
}

/// Applies a file and leaves all stored pull requests to later steps.
async fn apply_only(store: &Writer, file: &TeamsFile) -> Result<Applied, ApplyError> {
    let options = ApplyOptions { allow_removals: true, at_once: 0, ..ApplyOptions::default() };
    store.apply(file, options, at("2026-06-15T12:00:00Z")).await
}

/// The shares of each pull request.
async fn by_number(database: &TestDatabase) -> Result<BTreeMap<i64, Vec<(String, String)>>> {
    let mut shares: BTreeMap<i64, Vec<(String, String)>> = BTreeMap::new();
    for (number, team, weight) in attributions(database).await? {
        shares.entry(number).or_default().push((team, weight));
    }
    Ok(shares)
}

#[tokio::test]
async fn reattribution_steps_are_atomic_and_any_process_continues() -> Result<()> {
    let half = teams(&[
        ("pay", "{ github: ana, weight: 0.5 }, { github: bob, weight: 0.25 }"),
        ("web", "{ github: ana, weight: 0.5 }"),
    ]);
    let (at_once, store) = collected().await?;
    assert_eq!(apply(&store, &half).await?.pull_requests_reattributed, 4);
    let (database, store) = collected().await?;
    let (before, after) = (by_number(&database).await?, by_number(&at_once).await?);
    let applied = apply_only(&store, &half).await?;
    assert_eq!((applied.pull_requests_reattributed, applied.people_to_reattribute), (0, 2), "{applied}");
    assert_eq!(by_number(&database).await?, before);
    let mut left = Vec::new();
    while left.last() != Some(&0) {
        // Another process each time, as after a crash.
        let step = database.store()?.reattribute(1).await?;
        assert_eq!(step.pull_requests, 1);
        left.push(step.people_left);
        let done = left.len();
        for (index, (number, shares)) in by_number(&database).await?.into_iter().enumerate() {
            assert_eq!(shares, if index < done { &after } else { &before }[&number], "#{number} after {done} steps");
        }
    }
    assert_eq!(left, [2, 2, 1, 0]);
    assert_eq!(store.reattribute(1).await?, Reattributed::default());
    Ok(())
}

#[tokio::test]
async fn a_new_change_restarts_a_running_reattribution() -> Result<()> {
    let (database, store) = collected().await?;
    let members = |weight: &str| teams(&[("pay", &format!("{{ github: ana, weight: {weight} }}, {{ github: bob }}"))]);
    apply_only(&store, &members("0.5")).await?;
    store.reattribute(1).await?;
    keep(&store, &[pr("acme/api", 5).merged("2026-01-01T10:00:00Z"), pr("acme/api", 6).merged("2026-03-01T10:00:00Z")])
        .await?;
    let weights = async || -> Result<Vec<String>> {
        Ok(attributions(&database).await?.into_iter().map(|(_, _, weight)| weight).collect())
    };
    assert_eq!(weights().await?, ["0.5", "1", "1", "1", "0.5", "0.5"]);
    apply_only(&store, &members("0.25")).await?;
    while store.reattribute(2).await?.people_left > 0 {}
    assert_eq!(weights().await?, ["0.25", "0.25", "0.25", "1", "0.25", "0.25"]);
    Ok(())
}

#[tokio::test]
async fn a_changed_bot_list_reopens_histories_stepwise() -> Result<()> {
    let (database, store) = collected().await?;
    let pool = database.pool().await?;
    sqlx::query("update pull_requests set detailed_at = updated_at").execute(&pool).await?;
    let closed = async || -> Result<i64> {
        let closed = sqlx::query_scalar("select count(*) from pull_requests where detailed_at is not null");
        Ok(closed.fetch_one(&pool).await?)
    };
    let bots = with_line("bots: [ci-user]")?;
    let options = ApplyOptions { dry_run: true, ..ApplyOptions::default() };
    assert_eq!(store.apply(&bots, options, at("2026-06-15T12:00:00Z")).await?.histories_reopened, 4);
    assert_eq!((apply_only(&store, &bots).await?.histories_reopened, closed().await?), (4, 4));
    let mut left = Vec::new();
    while left.last() != Some(&0) {
        assert!(!store.reattribute(3).await?.is_finished() || closed().await? == 0);
        left.push(closed().await?);
    }
    assert_eq!(left, [1, 0]);
    assert_eq!(store.reattribute(3).await?, Reattributed::default());
    Ok(())
}

#[tokio::test]
async fn only_teams_being_reattributed_are_incomplete() -> Result<()> {
    let (database, store) = fresh().await?;
    let file =
        |weight: &str| teams(&[("pay", &format!("{{ github: ana, weight: {weight} }}")), ("web", "{ github: bob }")]);
    apply(&store, &file("1")).await?;
    keep(&store, &merged()).await?;
    let as_of = at("2026-02-20T10:00:00Z");
    finish_reading(&store, Some(as_of), as_of, at("2026-01-01T00:00:00Z")).await?;
    let pool = database.pool().await?;
    let complete = async || -> Result<(Vec<bool>, Vec<bool>)> {
        let in_views = sqlx::query_scalar(
            "select bool_or(is_complete) from view_team_velocity group by team having count(*) > 0 order by team",
        );
        let mut in_responses = Vec::new();
        for team in ["pay", "web"] {
            let team = TeamSelector::Slug(team.parse()?);
            let (_, status) = store.session_with_status(Some(&team), &[]).await?;
            in_responses.push(status.coverage.is_complete(at("2026-02-02T00:00:00Z"), at("2026-02-09T00:00:00Z")));
        }
        Ok((in_views.fetch_all(&pool).await?, in_responses))
    };
    let all = (vec![true, true], vec![true, true]);
    assert_eq!(complete().await?, all);
    apply_only(&store, &file("0.5")).await?;
    assert_eq!(complete().await?, (vec![false, true], vec![false, true]));
    assert!(store.coverage().await?.is_reattributing);
    store.reattribute(9).await?;
    assert_eq!(complete().await?, all);
    // Nothing is stored for a new person, and a team without changes has nothing to reattribute.
    let with_new = teams(&[("pay", "{ github: ana, weight: 0.5 }, { github: carl }"), ("web", "{ github: bob }")]);
    assert_eq!(apply_only(&store, &with_new).await?.people_to_reattribute, 0);
    Ok(())
}

#[tokio::test]
async fn corrected_memberships_stay_as_history() -> Result<()> {
    let (database, store) = collected().await?;
    apply(&store, &teams(&[("pay", "{ github: ana, weight: 0.5 }, { github: bob }")])).await?;
    let rows: Vec<(String, i64, Option<i64>)> = sqlx::query_as(
        "select trim_scale(m.weight)::text, m.added_in, m.removed_in
        from team_memberships as m inner join accounts as p on m.person_id = p.person_id
        where p.login = 'ana' order by m.id",
    )
    .fetch_all(&database.pool().await?)
    .await?;
    assert_eq!(rows, [("1".to_owned(), 1, Some(2)), ("0.5".to_owned(), 2, None)]);
    Ok(())
}

#[tokio::test]
async fn an_archived_team_returns_with_the_same_id() -> Result<()> {
    let (database, store) = collected().await?;
    let archived = teams(&[("web", "{ github: ana, from: 2026-06-15 }, { github: bob, from: 2026-06-15 }")]);
    apply(&store, &archived).await?;
    let all = store.teams(at("2026-06-15T12:00:00Z")).await?;
    let listed: Vec<_> =
        all.iter().map(|team| (team.slug.as_str(), team.id.0, team.archived_at.is_some(), team.members)).collect();
    assert_eq!(listed, [("web", 2, false, 2), ("pay", 1, true, 0)]);
    assert_eq!(attributions(&database).await?.len(), 4, "past shares stay with the team");
    keep(&store, &[pr("acme/api", 5).merged("2026-06-15T10:00:00Z")]).await?;
    assert_eq!(attributions(&database).await?.last(), Some(&share(5, "web", "1")));
    apply(&store, &teams(&[("pay", "{ github: ana }, { github: bob }")])).await?;
    let back = store.teams(at("2026-06-15T12:00:00Z")).await?;
    assert_eq!((back[0].slug.as_str(), back[0].id.0, back[0].archived_at), ("pay", 1, None));
    Ok(())
}

#[tokio::test]
async fn only_a_new_member_reopens_the_collection() -> Result<()> {
    let (_database, store) = collected().await?;
    let (newest, started_at) = (Some(at("2026-02-03T10:00:00Z")), at("2026-02-04T10:00:00Z"));
    finish_reading(&store, newest, started_at, at("2026-01-01T00:00:00Z")).await?;
    let corrected = apply(&store, &teams(&[("pay", "{ github: ana, weight: 0.5 }, { github: bob }")])).await?;
    assert_eq!(corrected.reopens_since, None);
    let newcomer =
        apply(&store, &teams(&[("pay", "{ github: ana, weight: 0.5 }, { github: bob }, { github: carl }")])).await?;
    assert_eq!(newcomer.reopens_since, Some(at("2026-01-01T00:00:00Z")), "not further back than it was read");
    let repository = &store.snapshot().await?.expect("configured").repositories[0];
    assert_eq!(repository.progress.reopened_since, Some(at("2026-01-01T00:00:00Z")));
    assert_eq!(repository.progress.watermark, Some(at("2026-02-03T10:00:00Z")), "the watermark stays");
    let coverage = store.coverage().await?;
    assert_eq!((coverage.collected, coverage.pending), (0, vec!["acme/api".to_owned()]));
    Ok(())
}

#[tokio::test]
async fn a_dry_run_reports_changes_without_writing() -> Result<()> {
    let (database, store) = collected().await?;
    let before = database.digest().await?;
    let file = teams(&[("pay", "{ github: ana, weight: 0.5 }, { github: carl }")]);
    let options = ApplyOptions { dry_run: true, ..ApplyOptions::default() };
    let planned = store.apply(&file, options, at("2026-06-15T12:00:00Z")).await?;
    insta::assert_snapshot!(planned, @"
    ~ membership  ana in pay changed: weight 0.5 (was weight 1)
    - membership  bob in pay removed, as if it had never been (was weight 1)
    + membership  carl in pay: weight 1
    ! ana has 0.5 unallocated today: it counts for no team
    ~ 4 stored pull requests count differently
    ");
    assert_eq!(database.digest().await?, before);
    Ok(())
}

#[tokio::test]
async fn removing_most_members_requires_allow_removals() -> Result<()> {
    let (database, store) = fresh().await?;
    let many: Vec<String> = (0..12).map(|n| format!("{{ github: user{n} }}")).collect();
    apply(&store, &teams(&[("pay", &many.join(", "))])).await?;
    let before = database.digest().await?;
    let few = teams(&[("pay", "{ github: user0 }, { github: user1 }")]);
    let refused = apply(&store, &few).await;
    assert!(matches!(refused, Err(ApplyError::TooManyRemovals { removed: 10, before: 12 })), "{refused:?}");
    assert_eq!(database.digest().await?, before);
    let options = ApplyOptions { allow_removals: true, ..ApplyOptions::default() };
    assert_eq!(store.apply(&few, options, at("2026-06-15T12:00:00Z")).await?.plan.losses(), 10);
    Ok(())
}

#[tokio::test]
async fn two_files_applied_at_once_take_turns() -> Result<()> {
    let (database, store) = fresh().await?;
    let (one, two) = (teams(&[("pay", "{ github: ana }")]), teams(&[("pay", "{ github: ana, weight: 0.5 }")]));
    let other = database.store()?;
    let (first, second) = tokio::join!(apply(&store, &one), apply(&other, &two));
    first?;
    second?;
    let active: i64 = sqlx::query_scalar("select count(*) from team_memberships where removed_in is null")
        .fetch_one(&database.pool().await?)
        .await?;
    assert_eq!(active, 1);
    Ok(())
}

#[tokio::test]
async fn an_alias_known_to_the_database_is_used() -> Result<()> {
    let zone = |zone: &str| teams_in(zone, &[("pay", "{ github: ana }, { github: bob }")]);
    let (database, _) = collected().await?;
    database.forget_zones().await?;
    let store = database.store()?;
    for (written, taken) in [("Europe/Kiev", "Europe/Kyiv"), ("Asia/Kolkata", "Asia/Calcutta")] {
        assert!(!apply(&store, &zone(written)).await?.plan.is_empty(), "{written}");
        assert_eq!(store.timezone().await?.name(), taken);
        assert!(
            apply(&store, &zone(written)).await?.plan.is_empty(),
            "{written} is the same time zone on the next run"
        );
    }
    let refused = apply(&store, &zone("Europe/Oslo")).await.expect_err("no other name is known");
    let message = refused.to_string();
    assert!(message.contains("config.unknown_timezone") && message.contains("Europe/Oslo"), "{message}");
    assert_eq!(store.timezone().await?.name(), "Asia/Calcutta", "nothing was applied");
    Ok(())
}

#[tokio::test]
async fn settings_and_repositories_follow_the_file() -> Result<()> {
    let (database, store) = collected().await?;
    let text = "version: 1\ntimezone: Asia/Kolkata\nbots: [ci-user]\nrepositories: [acme/web]\nteams: [{ slug: pay, members: [{ github: ana }, { github: bob }] }]";
    let file = TeamsFile::parse("t", text.as_bytes())?;
    apply(&store, &file).await?;
    assert_eq!(store.timezone().await?, chrono_tz::Asia::Kolkata);
    let names = async || -> Result<Vec<String>> {
        Ok(store.snapshot().await?.expect("configured").repositories.iter().map(|r| r.name.to_string()).collect())
    };
    assert_eq!(names().await?, ["acme/web"]);
    assert_eq!(attributions(&database).await?.len(), 4, "data collected from acme/api stays");
    apply(&store, &teams(&[("pay", "{ github: ana }, { github: bob }")])).await?;
    assert_eq!(names().await?, ["acme/api"]);
    Ok(())
}

/// The file of [`collected`] with an additional line.
fn with_line(line: &str) -> Result<TeamsFile> {
    let text = format!(
        "version: 1\nrepositories: [acme/api]\n{line}\nteams: [{{ slug: pay, members: [{{ github: ana }}, {{ github: bob }}] }}]"
    );
    Ok(TeamsFile::parse("t", text.as_bytes())?)
}

/// (revision, `min_group_size`) of the configuration in force.
async fn min_group_size(database: &TestDatabase) -> Result<(i64, i32)> {
    let pool = database.pool().await?;
    Ok(sqlx::query_as("select revision, min_group_size from configuration_in_force").fetch_one(&pool).await?)
}

#[tokio::test]
async fn a_new_min_group_size_reattributes_nothing() -> Result<()> {
    let (database, store) = collected().await?;
    let shares = attributions(&database).await?;
    assert_eq!(min_group_size(&database).await?, (1, 0), "everything is shown at first");
    let (three, five, all) = (
        with_line("privacy: { min_group_size: 3 }")?,
        with_line("privacy: { min_group_size: 5 }")?,
        with_line("privacy: {}")?,
    );
    for (file, expected) in [(&three, (2, 3)), (&three, (2, 3)), (&five, (3, 5)), (&all, (4, 0)), (&all, (4, 0))] {
        let applied = apply(&store, file).await?;
        assert_eq!(applied.pull_requests_reattributed, 0);
        assert_eq!(min_group_size(&database).await?, expected, "{applied}");
    }
    assert_eq!(attributions(&database).await?, shares);
    Ok(())
}

#[tokio::test]
async fn merging_two_people_keeps_the_settings() -> Result<()> {
    let (database, store) = fresh().await?;
    let settings = "timezone: Asia/Kolkata\nbots: [ci-user]\ninclude_archived: true\nprivacy: { min_group_size: 3 }";
    let file = |ana: &str| {
        let text = format!(
            "version: 1\nrepositories: [acme/api, acme/web-*]\n{settings}\nteams: [{{ slug: pay, members: [{{ github: {ana} }}] }}]"
        );
        TeamsFile::parse("t", text.as_bytes())
    };
    apply(&store, &file("ana")?).await?;
    keep(&store, &[pr("acme/api", 1).merged("2026-02-01T10:00:00Z")]).await?;
    apply(&store, &file("ana-b")?).await?;
    let renamed = FakeUser { login: "ana-b".to_owned(), ..FakeUser::person("ana") };
    let snapshot = store.snapshot().await?.expect("configured");
    let verdict = snapshot.roster.judge(&pr("acme/api", 2).by_user(Some(renamed)).facts());
    let Verdict::DuplicatePerson { known, configured } = verdict else { panic!("recognized") };
    store.merge_people(known, configured, &FakeUser::person("ana").id.into(), at("2026-06-15T12:00:00Z")).await?;
    assert_eq!(min_group_size(&database).await?, (3, 3));
    let again = apply(&store, &file("ana-b")?).await?;
    assert!(again.plan.is_empty(), "{again}");
    Ok(())
}

#[tokio::test]
async fn a_known_account_keeps_its_past_when_renamed() -> Result<()> {
    let (database, store) = collected().await?;
    // The file has the new login before any pull request shows that it is the same account.
    apply(&store, &teams(&[("pay", "{ github: ana-b, weight: 0.5 }, { github: bob }")])).await?;
    assert_eq!(attributions(&database).await?, [share(4, "pay", "1")], "still unknown");
    let snapshot = store.snapshot().await?.expect("configured");
    let renamed = FakeUser { login: "ana-b".to_owned(), ..FakeUser::person("ana") };
    let seen = pr("acme/api", 5).by_user(Some(renamed)).merged("2026-02-04T10:00:00Z");
    let Verdict::DuplicatePerson { known, configured } = snapshot.roster.judge(&seen.facts()) else {
        panic!("recognized")
    };
    store.merge_people(known, configured, &FakeUser::person("ana").id.into(), at("2026-06-15T12:00:00Z")).await?;
    keep(&store, &[seen]).await?;
    let halves = [1, 2, 3].map(|number| share(number, "pay", "0.5"));
    let expected: Vec<_> = halves.into_iter().chain([share(4, "pay", "1"), share(5, "pay", "0.5")]).collect();
    assert_eq!(attributions(&database).await?, expected);
    assert!(
        apply(&store, &teams(&[("pay", "{ github: ana-b, weight: 0.5 }, { github: bob }")])).await?.plan.is_empty()
    );
    Ok(())
}

#[tokio::test]
async fn overlapping_memberships_of_one_account_are_reported() -> Result<()> {
    let (database, store) = collected().await?;
    let members = "{ github: ana }, { github: bob }, { github: ana-b }";
    apply(&store, &teams(&[("pay", members)])).await?;
    let renamed = FakeUser { login: "ana-b".to_owned(), ..FakeUser::person("ana") };
    let seen = pr("acme/api", 5).by_user(Some(renamed.clone())).merged("2026-02-04T10:00:00Z");
    keep(&store, &[seen]).await?;
    assert_eq!(
        attributions(&database).await?.last(),
        Some(&share(5, "pay", "1")),
        "it still counts for the known person"
    );
    let report = apply(&store, &teams(&[("pay", members)])).await?.to_string();
    let named = [format!("`{{ github: ana-b, id: {} }}`", renamed.id), "ana-b may mean two accounts".to_owned()];
    assert!(named.iter().all(|text| report.contains(text)), "{report}");
    // A collector that detected it before the file changed is refused.
    let snapshot = store.snapshot().await?.expect("configured");
    let person =
        |login: &str| snapshot.roster.people().iter().find(|one| one.external_id.is_none() == (login == "ana-b"));
    let ids = person("ana").zip(person("ana-b")).map(|(ana, new)| (ana.id, new.id)).expect("both");
    let refused = store.merge_people(ids.0, ids.1, &renamed.id.into(), at("2026-06-15T12:00:00Z")).await;
    let message = refused.as_ref().map_err(ToString::to_string);
    let named = |text: &String| ["`ana`", "`ana-b`", "`pay`", "`to:`"].iter().all(|name| text.contains(name));
    assert!(message.as_ref().is_err_and(named), "{message:?}");
    Ok(())
}

#[tokio::test]
async fn a_login_change_by_date_gives_stable_results() -> Result<()> {
    let (database, store) = collected().await?;
    let both =
        teams(&[("pay", "{ github: ana, to: 2026-02-02 }, { github: ana-b, from: 2026-02-02 }, { github: bob }")]);
    apply(&store, &both).await?;
    let snapshot = store.snapshot().await?.expect("configured");
    let renamed = FakeUser { login: "ana-b".to_owned(), ..FakeUser::person("ana") };
    let seen = pr("acme/api", 5).by_user(Some(renamed.clone())).merged("2026-02-04T10:00:00Z");
    let Verdict::DuplicatePerson { known, configured } = snapshot.roster.judge(&seen.facts()) else {
        panic!("recognized")
    };
    store.merge_people(known, configured, &renamed.id.into(), at("2026-06-15T12:00:00Z")).await?;
    keep(&store, &[seen]).await?;
    let counted = [1, 2, 3, 4, 5].map(|number| share(number, "pay", "1"));
    assert_eq!(attributions(&database).await?, counted);
    let first = database.digest().await?;
    for _ in 0..2 {
        let again = apply(&store, &both).await?;
        assert!(again.plan.is_empty(), "{again}");
        assert_eq!(database.digest().await?, first);
    }
    let without_former = apply(&store, &teams(&[("pay", "{ github: ana-b }, { github: bob }")])).await?;
    assert_eq!(attributions(&database).await?, counted, "{without_former}");
    Ok(())
}

#[tokio::test]
async fn a_conflicting_account_makes_the_roster_stale() -> Result<()> {
    let (_database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana, to: 2026-02-02 }, { github: ana-b, from: 2026-02-02 }")])).await?;
    let before = store.snapshot().await?.expect("configured");
    keep(&store, &[pr("acme/api", 1).merged("2026-02-01T10:00:00Z")]).await?;
    let now = at("2026-02-04T12:00:00Z");
    let (lease, _) = store.lease(before.repositories[0].id, now, Duration::ZERO).await?.expect("free");
    let stranger = FakeUser { id: 99, ..FakeUser::person("ana") };
    let renamed = FakeUser { login: "ana-b".to_owned(), ..FakeUser::person("ana") };
    for user in [renamed, stranger] {
        let pull_request = pr("acme/api", 2).by_user(Some(user.clone())).merged("2026-02-04T10:00:00Z").facts();
        let Verdict::Keep { person, attributions } = before.roster.judge(&pull_request) else { panic!("kept") };
        let (person, attributions) = (person.id, attributions.clone());
        let kept = vec![KeptPullRequest { pull_request, person, attributions }];
        let page = PageOfWork { kept, ..PageOfWork::default() };
        let outcome = store.upsert_page(&lease, before.revision, page, now).await;
        assert!(matches!(outcome, Err(StoreError::StaleConfiguration)), "{user:?}: {outcome:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_renamed_team_keeps_its_id_and_shares() -> Result<()> {
    let (database, store) = collected().await?;
    let renamed = |from: &str| {
        let text = format!(
            "version: 1\nrepositories: [acme/api]\nteams: [{{ slug: checkout, {from}members: [{{ github: ana }}, {{ github: bob }}] }}]"
        );
        TeamsFile::parse("t", text.as_bytes())
    };
    let refused = apply(&store, &renamed("")?).await.expect_err("a second team would count the same pull requests");
    assert!(refused.to_string().contains("renamed_from: pay"), "{refused}");
    let applied = apply(&store, &renamed("renamed_from: pay, ")?).await?;
    assert_eq!((applied.plan.memberships.len(), applied.pull_requests_reattributed), (0, 0), "{applied}");
    let listed: Vec<_> = store.teams(at("2026-06-15T12:00:00Z")).await?;
    assert_eq!(listed.iter().map(|team| (team.id.0, team.slug.as_str())).collect::<Vec<_>>(), [(1, "checkout")]);
    assert_eq!(attributions(&database).await?, [1, 2, 3, 4].map(|number| share(number, "checkout", "1")));
    for file in [renamed("renamed_from: pay, ")?, renamed("")?] {
        assert!(apply(&store, &file).await?.plan.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn a_team_without_shares_needs_no_renamed_from() -> Result<()> {
    let (database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }, { github: bob }")])).await?;
    apply(&store, &teams(&[("checkout", "{ github: ana }, { github: bob }")])).await?;
    keep(&store, &merged()).await?;
    assert_eq!(attributions(&database).await?, [1, 2, 3, 4].map(|number| share(number, "checkout", "1")));
    Ok(())
}

#[tokio::test]
async fn an_archived_teams_past_keeps_its_account() -> Result<()> {
    let (database, store) = fresh().await?;
    let ana = FakeUser::person("ana");
    apply(&store, &teams(&[("pay", &format!("{{ github: ana, id: {} }}", ana.id))])).await?;
    keep(&store, &[pr("acme/api", 1).merged("2026-02-01T10:00:00Z")]).await?;
    // Another person now has the login, and is in another team.
    apply(&store, &teams(&[("ops", &format!("{{ github: ana, id: {}, from: 2026-06-15 }}", ana.id + 1))])).await?;
    assert_eq!(attributions(&database).await?, [share(1, "pay", "1")]);
    Ok(())
}

#[tokio::test]
async fn a_renamed_repository_brings_its_pull_requests_along() -> Result<()> {
    let (database, store) = collected().await?;
    let text =
        "version: 1\nrepositories: [acme/core]\nteams: [{ slug: pay, members: [{ github: ana }, { github: bob }] }]";
    apply(&store, &TeamsFile::parse("t", text.as_bytes())?).await?;
    // The same pull requests by GitHub's ids, listed under the new name.
    keep(&store, &merged()).await?;
    let counted: (i64, i64, i64) = sqlx::query_as(
        "select count(*), count(distinct m.number), count(*) filter (where m.repository = 'acme/core') from pr_metrics as m",
    )
    .fetch_one(&database.pool().await?)
    .await?;
    assert_eq!(counted, (4, 4, 4));
    Ok(())
}

/// Each person's accounts with their ids, by person.
async fn accounts(database: &TestDatabase) -> Result<Vec<String>> {
    let sql = "select string_agg(concat_ws(' ', i.forge, a.configured_login, a.login, a.external_id, nullif(a.other_logins, '{}')::text), ', '
            order by i.id)
        from people as p left join accounts as a on p.id = a.person_id left join instances as i on a.instance_id = i.id
        group by p.id order by p.id";
    Ok(sqlx::query_scalar::<_, Option<String>>(sql)
        .fetch_all(&database.pool().await?)
        .await?
        .into_iter()
        .map(Option::unwrap_or_default)
        .collect())
}

#[tokio::test]
async fn accounts_join_move_and_separate_with_the_file() -> Result<()> {
    let (database, store) = fresh().await?;
    for (members, expected) in [
        ("{ github: ana, id: 7 }, { gitlab: ana }", vec!["github ana ana 7", "gitlab ana ana"]),
        // Joined: the person with the account at GitHub stays, and nobody is left without an account.
        ("{ github: ana, gitlab: ana }", vec!["github ana ana 7, gitlab ana ana"]),
        // Renamed at GitLab, where nobody is seen.
        ("{ github: ana, gitlab: ana.s }", vec!["github ana ana 7, gitlab ana.s ana.s"]),
        ("{ github: ana }, { gitlab: ana.s }", vec!["github ana ana 7", "gitlab ana.s ana.s"]),
        ("{ github: ana, gitlab: ana.s }", vec!["github ana ana 7, gitlab ana.s ana.s"]),
        // An account that is no longer named stays known.
        ("{ github: ana }", vec!["github ana ana 7, gitlab ana.s ana.s"]),
    ] {
        let file = teams(&[("pay", members)]);
        let applied = store
            .apply(&file, ApplyOptions { allow_removals: true, ..ApplyOptions::default() }, at("2026-06-15T12:00:00Z"))
            .await?;
        assert_eq!(accounts(&database).await?, expected, "{members}: {applied}");
        assert!(apply(&store, &file).await?.plan.is_in_force(), "{members}: a second time changes nothing");
    }
    let members = store.members(mergeline_domain::TeamId(1), at("2026-06-15T12:00:00Z")).await?;
    assert_eq!(members.iter().map(|member| member.login.as_str()).collect::<Vec<_>>(), ["ana"]);
    Ok(())
}

#[tokio::test]
async fn a_numbered_account_elsewhere_captures_no_pull_request() -> Result<()> {
    let (database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: bob }, { gitlab: ana, id: 7 }")])).await?;
    let stranger = FakeUser { id: 7, ..FakeUser::person("stranger") };
    keep(&store, &[pr("acme/api", 1).by_user(Some(stranger)), pr("acme/api", 2).by("bob")]).await?;
    let stored: Vec<i64> =
        sqlx::query_scalar("select number from pull_requests").fetch_all(&database.pool().await?).await?;
    assert_eq!(stored, [2]);
    // Nothing of GitHub must be read again for somebody who is not there.
    finish_reading(&store, Some(at("2026-06-15T12:00:00Z")), at("2026-06-15T12:00:00Z"), at("2026-01-01T00:00:00Z"))
        .await?;
    let file = teams(&[("pay", "{ github: bob }, { gitlab: ana, id: 7 }, { gitlab: carl }")]);
    assert_eq!(apply(&store, &file).await?.reopens_since, None);
    Ok(())
}
