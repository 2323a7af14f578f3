//! Teams files from GitHub's teams and from tables: `init`, `teams draft`, `teams drift` and `teams import`.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use mergeline_fake_github::{FakeGitHub, FakeUser, Fault, Refused, pr, team};
use mergeline_test_support::TestDatabase;
use nix::sys::termios::{LocalFlags, tcgetattr};
use serde_json::json;

use crate::common::{Laptop, Ran, github, yesterday};

/// What must never be printed or written.
const TOKEN: &str = "github_pat_s3cret";

/// An organization with teams, one of which contains two others, and a laptop with its token and no teams file.
async fn organization() -> Result<(FakeGitHub, Laptop)> {
    let fake = github().await?;
    fake.require_token(TOKEN);
    fake.put([pr("acme/web", 1).by("bob").merged_at_instant(yesterday())]);
    fake.put_teams([
        team("acme", "engineering").named("Engineering").with(["dana"]),
        team("acme", "payments").named("Payments: \"all\" #1").with(["ana", "bob"]).below("engineering"),
        team("acme", "web_shop").with(["bob"]).with_user(FakeUser::bot("renovate")).below("engineering"),
    ]);
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url()).with("GITHUB_PAT", TOKEN).with("TZ", "Europe/Oslo");
    laptop.remove("teams.yaml")?;
    Ok((fake, laptop))
}

/// Asserts that a command fails with a code and these words, and does not show the token.
fn assert_refused(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code(), Some(code), "{} {}", ran.out(), ran.err());
    for word in words {
        assert!(ran.err().contains(word), "{word}: {}", ran.err());
    }
    assert!(!ran.err().contains("s3cret") && !ran.out().contains("s3cret"), "{}", ran.err());
}

#[tokio::test]
async fn init_leads_from_nothing_to_own_numbers() -> Result<()> {
    let (_fake, laptop) = organization().await?;
    let database = TestDatabase::create().await?;
    let laptop = laptop.with("DB_URL", database.url());
    let written = laptop.run(&["init", "--yes"]).await?;
    assert_eq!(written.code(), Some(0), "{}", written.err());
    for expected in
        ["Wrote teams.yaml: 2 teams, 2 people; repositories: acme/*.", "dana (engineering)", "mergeline collect"]
    {
        assert!(written.out().contains(expected), "{expected}: {}", written.out());
    }
    let file = laptop.read("teams.yaml")?;
    let id = FakeUser::person("bob").id;
    let line = format!(
        "  - slug: web-shop\n    name: web_shop\n    members:\n      - {{ github: bob, id: {id}, weight: 0.5 }}\n"
    );
    assert!(file.ends_with(&line) && file.contains("No line has a `from`"), "{file}");
    assert!(!file.contains("s3cret") && !file.contains("from: 20\n"), "{file}");
    let valid = laptop.run(&["teams", "validate"]).await?;
    assert!(valid.out().contains("Valid: 2 teams, 3 memberships"), "{} {}", valid.out(), valid.err());
    let collected = laptop.run(&["collect"]).await?;
    assert_eq!(collected.code(), Some(0), "{} {}", collected.out(), collected.err());
    let shown = laptop.run(&["show", "--json"]).await?.json()?;
    let total = |team: usize| &shown["teams"][team]["velocity"]["data"]["total"];
    assert_eq!((&total(0)["prs_merged"], &total(0)["prs_merged_weighted"]), (&json!(2), &json!(1.5)), "{shown}");
    assert_eq!(&total(1)["prs_merged_weighted"], &json!(0.5), "{shown}");
    let report = laptop.run(&["report", "--teams", "teams.yaml", "--days", "7"]).await?;
    assert!(report.out().contains("web_shop"), "{} {}", report.out(), report.err());
    let drift = laptop.run(&["teams", "drift"]).await?;
    assert_eq!((drift.code(), drift.out().as_str()), (Some(0), "The teams file agrees with GitHub's teams of acme.\n"));
    Ok(())
}

/// Runs a command on a terminal of its own and answers its questions. Returns all that the terminal showed, and the code.
fn converse(mut command: Command, answers: &[(&str, &str)]) -> Result<(String, Option<i32>)> {
    let pair = nix::pty::openpty(None, None)?;
    command.stdin(Stdio::from(pair.slave.try_clone()?));
    command.stdout(Stdio::from(pair.slave.try_clone()?)).stderr(Stdio::from(pair.slave));
    let mut child = command.spawn()?;
    // The command has copies of the terminal, without which reading would never end.
    drop(command);
    let mut terminal = File::from(pair.master);
    let (mut shown, mut from) = (String::new(), 0);
    let mut buffer = [0; 4096];
    let mut answers = answers.iter();
    let mut next = answers.next();
    // Linux reports the end as an error.
    while let Ok(count @ 1..) = terminal.read(&mut buffer) {
        shown.push_str(&String::from_utf8_lossy(&buffer[..count]));
        if let Some((question, answer)) = next
            && shown[from..].contains(question)
        {
            from = shown.len();
            terminal.write_all(format!("{answer}\n").as_bytes())?;
            next = answers.next();
        }
    }
    let code = child.wait()?.code();
    anyhow::ensure!(next.is_none(), "never asked {next:?}: {shown}");
    Ok((shown, code))
}

#[tokio::test]
async fn init_asks_on_a_terminal_and_never_shows_the_token() -> Result<()> {
    let (fake, laptop) = organization().await?;
    fake.add_repository("other/tool");
    let laptop = laptop.with("GITHUB_PAT", "");
    let mut command = laptop.command(&["init"]);
    command.env_remove("GITHUB_PAT");
    let answers = [
        ("Token (", "not a token"),
        ("Token (", TOKEN),
        ("Which organization", "acme"),
        ("Which teams?", "web-shop nonsense"),
        ("Which teams?", "web-shop"),
        ("Which repositories?", "nowhere"),
        ("Which repositories?", "api, web"),
        ("Time zone", "Nowhere"),
        ("Time zone", ""),
        ("Write it?", ""),
    ];
    let (shown, code) = tokio::task::spawn_blocking(move || converse(command, &answers)).await??;
    assert_eq!(code, Some(0), "{shown}");
    for expected in [
        "/settings/personal-access-tokens/new",
        "That is not a token",
        "there is no team `nonsense`",
        "no active repository `acme/nowhere`",
        "`Nowhere` is not a time zone",
        "dana (engineering)",
        "export GITHUB_PAT=",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert!(!shown.contains("s3cret"), "{shown}");
    let file = laptop.read("teams.yaml")?;
    let expected = "timezone: Europe/Oslo\nrepositories:\n  - acme/api\n  - acme/web\nteams:\n  - slug: web-shop\n";
    assert!(file.contains(expected) && !file.contains("s3cret") && !file.contains("payments"), "{file}");
    Ok(())
}

#[tokio::test]
async fn a_signal_at_the_token_question_restores_the_terminal() -> Result<()> {
    let (_fake, laptop) = organization().await?;
    let mut command = laptop.command(&["init"]);
    command.env_remove("GITHUB_PAT");
    let pair = nix::pty::openpty(None, None)?;
    command.stdin(Stdio::from(pair.slave.try_clone()?)).stderr(Stdio::from(pair.slave.try_clone()?));
    let mut child = command.spawn()?;
    let mut terminal = File::from(pair.master);
    let is_shown = || Ok::<_, anyhow::Error>(tcgetattr(&pair.slave)?.local_flags.contains(LocalFlags::ECHO));
    let (mut shown, mut buffer) = (String::new(), [0; 4096]);
    while !shown.contains("Token (") {
        let count = terminal.read(&mut buffer)?;
        shown.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    assert!(!is_shown()?, "{shown}");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(child.id())?), nix::sys::signal::Signal::SIGINT)?;
    assert_eq!((child.wait()?.code(), is_shown()?), (Some(130), true), "{shown}");
    Ok(())
}

#[tokio::test]
async fn init_writes_nothing_when_an_answer_is_missing() -> Result<()> {
    let (_fake, laptop) = organization().await?;
    for (answers, expected) in [
        (
            &[
                ("Which teams?", ""),
                ("Which repositories?", ""),
                ("Time zone", ""),
                ("Write it?", "maybe"),
                ("Answer y or n", "n"),
            ][..],
            "nothing was written",
        ),
        (&[("Which teams?", "\u{4}")][..], "the input ended"),
    ] {
        let (command, answers) = (laptop.command(&["init", "--org", "acme"]), answers.to_vec());
        let (shown, code) = tokio::task::spawn_blocking(move || converse(command, &answers)).await??;
        assert!(shown.contains(expected), "{shown}");
        assert_eq!((code, laptop.read("teams.yaml").is_err()), (Some(2), true), "{shown}");
    }
    Ok(())
}

#[tokio::test]
async fn init_and_draft_say_what_is_missing() -> Result<()> {
    let (fake, laptop) = organization().await?;
    assert_refused(&laptop.run(&["init"]).await?, 2, &["not a terminal", "--yes"]);
    for (arguments, words) in [
        (&["init", "--yes", "--org", "nobody"][..], &["no account `nobody`", "--org"][..]),
        (&["init", "--yes", "--org", "acme", "--team", "nonsense"], &["no team `nonsense`", "payments, web_shop"]),
        (&["init", "--yes", "--org", "acme", "--team", "engineering"], &["contains other teams", "payments, web_shop"]),
        (
            &["teams", "draft", "--org", "acme", "--skip-team", "payments", "--skip-team", "web-shop"],
            &["every team is left out"],
        ),
        (&["teams", "draft", "--team", "payments", "--skip-team", "web-shop"], &["cannot be used with"]),
        (&["teams", "draft", "--repository", "https://github.com/acme"], &["not a repository"]),
        (&["teams", "draft", "--timezone", "CEST"], &["not a time zone"]),
        (&["init", "--yes", "--output", "missing/teams.yaml"], &["cannot write missing/teams.yaml"]),
        (
            &["init", "--yes", "--repository", "acme/nope", "--repository", "acme/none-*"],
            &["acme/nope cannot be read: not found (404)", "acme/none-* matches none", "help: ", "--repository"],
        ),
        (&["teams", "draft", "--repository", "acme/nope"], &["acme/nope cannot be read: not found (404)"]),
    ] {
        assert_refused(&laptop.run(arguments).await?, 2, words);
    }
    fake.add_repository("other/tool");
    assert_refused(&laptop.run(&["init", "--yes"]).await?, 2, &["--org", "acme, other"]);
    let anonymous = Laptop::new()?.with("GITHUB_API_URL", fake.url());
    for arguments in [&["init", "--yes", "--output", "new.yaml"][..], &["teams", "draft", "--org", "acme"]] {
        assert_refused(&anonymous.run(arguments).await?, 2, &["GITHUB_PAT", "/settings/personal-access-tokens/new"]);
    }
    laptop.write("teams.yaml", "mine")?;
    assert_refused(&laptop.run(&["init", "--yes", "--org", "acme"]).await?, 2, &["exists already", "--force"]);
    assert_eq!(laptop.read("teams.yaml")?, "mine");
    let forced = laptop.run(&["init", "--yes", "--org", "acme", "--force", "--json"]).await?.json()?;
    assert_eq!(
        (&forced["teams"], &forced["people"], &forced["repositories"]),
        (&json!(2), &json!(2), &json!(["acme/*"]))
    );
    assert!(laptop.read("teams.yaml")?.starts_with("# yaml-language-server"));
    Ok(())
}

#[tokio::test]
async fn a_token_that_may_not_list_teams_gets_the_reason() -> Result<()> {
    let (fake, laptop) = organization().await?;
    let draft = ["teams", "draft", "--org", "acme"];
    for (fault, words) in [
        (Fault::ResourceNotAccessible, &["does not list the teams of acme", "(403)", "*Members*, read"][..]),
        (Fault::Status(404), &["does not list the teams of acme", "(404)", "read:org"]),
        (Fault::SamlSso, &["single sign-on", "Configure SSO"]),
        (Fault::Refused(Refused::FineGrainedToken), &["does not admit fine-grained tokens", "classic token"]),
    ] {
        fake.fail_next("/orgs/acme/teams", fault);
        assert_refused(&laptop.run(&draft).await?, 1, words);
    }
    fake.fail_next("/orgs/acme/teams/web_shop/members", Fault::SamlSso);
    assert_refused(&laptop.run(&draft).await?, 1, &["members of the team web_shop", "single sign-on"]);
    let wrong = laptop.with("GITHUB_PAT", "github_pat_other_s3cret");
    assert_refused(&wrong.run(&["init", "--yes", "--org", "acme"]).await?, 1, &["GitHub refused the token (401)"]);
    Ok(())
}

#[tokio::test]
async fn an_owner_without_teams_gets_one_of_all_members() -> Result<()> {
    let (fake, laptop) = organization().await?;
    for team in ["payments", "web_shop", "engineering"] {
        fake.delete_team("acme", team);
    }
    fake.add_organization_member("acme", FakeUser::person("eve"));
    let drafted = laptop.run(&["teams", "draft", "--org", "acme"]).await?;
    assert!(drafted.out().contains("  - slug: acme\n    members:\n      - { github: eve,"), "{}", drafted.out());
    assert!(drafted.out().contains("# acme has no teams with people"), "{}", drafted.out());
    fake.put([pr("ana/dotfiles", 1)]);
    let person = laptop.run(&["teams", "draft", "--org", "ana"]).await?;
    assert!(person.out().contains("- ana/*\n") && person.out().contains("a person's account"), "{}", person.out());
    laptop.write("teams.yaml", crate::common::TEAMS)?;
    assert_refused(&laptop.run(&["teams", "drift"]).await?, 1, &["nothing to compare with", "--org"]);
    Ok(())
}

#[tokio::test]
async fn drift_proposes_dated_lines_after_a_change() -> Result<()> {
    let (fake, laptop) = organization().await?;
    let drafted =
        laptop.run(&["teams", "draft", "--org", "acme", "--output", "teams.yaml", "--timezone", "UTC"]).await?;
    assert!(drafted.out().contains("Wrote teams.yaml: 2 teams, 2 people."), "{} {}", drafted.out(), drafted.err());
    fake.put_teams([
        team("acme", "payments").with(["ana", "carla"]).below("engineering"),
        team("acme", "search").with(["eve"]).below("engineering"),
    ]);
    let drift = laptop.run(&["teams", "drift"]).await?;
    let id = |login: &str| FakeUser::person(login).id;
    for expected in [
        "payments: joined: carla; left: bob".to_owned(),
        "search: is new at GitHub; joined: eve".to_owned(),
        "web-shop: other weights".to_owned(),
        format!("      # in place of - {{ github: bob, id: {}, weight: 0.5 }}\n", id("bob")),
        format!("      - {{ github: carla, id: {}, from: 20", id("carla")),
    ] {
        assert!(drift.out().contains(&expected), "{expected}: {} {}", drift.out(), drift.err());
    }
    assert_eq!(drift.code(), Some(3), "{}", drift.out());
    let json = laptop.run(&["teams", "drift", "--json"]).await?;
    let report = json.json()?;
    assert_eq!(
        (json.code(), &report["teams"][0]["left"], &report["teams"][2]["state"]),
        (Some(3), &json!(["bob"]), &json!("new"))
    );
    let ignored = laptop.run(&["teams", "drift", "--skip-team", "payments", "--skip-team", "search"]).await?;
    assert_eq!(ignored.code(), Some(0), "{}", ignored.out());
    // The lines are those of a file, to which only the unchanged ones have to be added.
    let lines = report["lines"].as_str().context("lines")?;
    let unchanged = "  - slug: payments\n    members:\n";
    let lines = lines.replacen(unchanged, &format!("{unchanged}      - {{ github: ana }}\n"), 1);
    let file = format!("version: 1\nrepositories: [acme/api]\nteams:\n{lines}");
    laptop.write("teams.yaml", &file)?;
    let after = laptop.run(&["teams", "drift"]).await?;
    assert_eq!(after.code(), Some(0), "{file}\n{} {}", after.out(), after.err());
    for (arguments, words) in [
        (
            &["teams", "drift", "--team", "nonsense"][..],
            &["`nonsense` is not a team of the file or at GitHub", "payments"][..],
        ),
        (&["teams", "drift", "missing.yaml"], &["missing.yaml"]),
    ] {
        assert_refused(&laptop.run(arguments).await?, 2, words);
    }
    laptop
        .write("teams.yaml", "version: 1\nrepositories: [acme/api, other/tool]\nteams: [{ slug: a, members: [] }]\n")?;
    assert_refused(&laptop.run(&["teams", "drift"]).await?, 2, &["--org", "acme, other"]);
    Ok(())
}

#[tokio::test]
async fn a_table_of_people_becomes_a_file_or_additions() -> Result<()> {
    let laptop = Laptop::new()?.with("TZ", "Europe/Oslo");
    let table = "Employee,GitHub user,Team,Weight,From,Last day\n\
                 1,ana,Payments,0.5,,\n1,ana,Search,0.5,,\n2,bob,Search,,2026-01-05,2026-06-30\n";
    laptop.write("people.csv", table)?;
    let whole =
        laptop.run(&["teams", "import", "people.csv", "--repository", "acme/*", "--output", "new.yaml"]).await?;
    assert_eq!(whole.out(), "Wrote new.yaml: 2 teams, 2 people.\n", "{}", whole.err());
    assert_eq!(whole.err(), "Ignored columns: Employee.\n");
    let file = laptop.read("new.yaml")?;
    assert!(
        file.contains("# Imported from people.csv") && file.contains("bob, from: 2026-01-05, to: 2026-07-01"),
        "{file}"
    );
    let again = laptop.run(&["teams", "import", "people.csv", "--add-to", "new.yaml"]).await?;
    assert!(
        again.out().is_empty() && again.err().contains("3 rows of the table are in the file already"),
        "{}",
        again.err()
    );
    laptop.write("more.csv", "user;team\ncho;payments\ncho;web\n")?;
    let added = laptop.run(&["teams", "import", "more.csv", "--add-to", "new.yaml", "--column", "login=user"]).await?;
    let expected = "  # add to the members of payments\n      - { github: cho, weight: 0.5 }\n  # a new team\n  - slug: web\n    members:\n      - { github: cho, weight: 0.5 }\n";
    assert_eq!((added.code(), added.out().as_str()), (Some(0), expected), "{}", added.err());
    laptop.write("bad.csv", "login,team,weight,from\n@ana,pay,50%,\nbob,,1,5.1.2026\n")?;
    let bad = laptop.run(&["teams", "import", "bad.csv", "--repository", "acme/api"]).await?;
    assert_refused(
        &bad,
        2,
        &[
            "bad.csv:2:1: config.login_syntax",
            "bad.csv:2:10: config.weight_range",
            "write 0.5",
            "bad.csv:3:5: config.missing_key",
            "bad.csv:3:8: config.date",
        ],
    );
    let problems = laptop.run(&["teams", "import", "bad.csv", "--repository", "acme/api", "--json"]).await?.json()?;
    assert_eq!(problems["error"]["problems"].as_array().map(Vec::len), Some(4), "{problems}");
    for (arguments, words) in [
        (&["teams", "import", "people.csv"][..], &["--repository", "--add-to"][..]),
        (&["teams", "import", "missing.csv", "--repository", "acme/api"], &["cannot read missing.csv"]),
        (&["teams", "import", "people.csv", "--add-to", "none.yaml"], &["none.yaml"]),
        (
            &["teams", "import", "people.csv", "--repository", "acme/api", "--column", "who=x"],
            &["the columns are: login, id, team"],
        ),
        (
            &["teams", "import", "people.csv", "--repository", "acme/api", "--column", "login=x"],
            &["no column is called `x`", "GitHub user"],
        ),
        (
            &["teams", "import", "people.csv", "--repository", "acme/api", "--output", "new.yaml"],
            &["new.yaml exists already"],
        ),
    ] {
        assert_refused(&laptop.run(arguments).await?, 2, words);
    }
    Ok(())
}
