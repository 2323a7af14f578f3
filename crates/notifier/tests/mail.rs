//! Mail by SMTP, to a real server on this machine.

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};
use common::{World, sender};
use mergeline_domain::messages::MessageKind::{Digest, Goal};
use mergeline_notifier::Sender;
use mergeline_test_support::PythonTool;
use serde_json::Value;

const PYTHON: PythonTool = PythonTool {
    folder: "mail-server",
    requirements: "crates/notifier/tests/smtp/requirements.txt",
    variable: "MAIL_SERVER_PYTHON",
};
const CHANNELS: &str = "channels: [{ id: leads, kind: email, kinds: [digest, goal] }]\n";

struct MailServer {
    process: Child,
    lines: BufReader<ChildStdout>,
    port: u16,
}

impl MailServer {
    fn start(mode: &str) -> Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smtp/server.py");
        let mut process = Command::new(PYTHON.python()?)
            .args(["-W", "ignore", script, mode])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(process.stdout.take().context("its output")?);
        let mut port = String::new();
        lines.read_line(&mut port)?;
        Ok(Self { process, lines, port: port.trim().parse()? })
    }

    fn next(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// A world whose mail goes to a server, with or without a login.
async fn with_server(port: u16, login: &str) -> Result<World> {
    let mut world = World::with(CHANNELS).await?;
    let channels = world.store.channels().await?;
    let url = format!("smtp://{login}127.0.0.1:{port}");
    world.sender =
        sender(&world.fake, &channels, &[("SMTP_URL", &url), ("MAIL_FROM", "Mergeline <mergeline@example.com>")])?;
    Ok(world)
}

#[tokio::test]
async fn a_digest_arrives_as_text_and_html() -> Result<()> {
    let mut server = MailServer::start("take")?;
    let world = with_server(server.port, "").await?;
    world.say("leads", &[(Digest, "a <b>team</b>")]).await?;
    assert_eq!(world.deliver("leads").await?.problems, Vec::<String>::new());
    let mail = server.next()?;
    assert_eq!(mail["from"], "mergeline@example.com");
    assert_eq!(mail["to"], serde_json::json!(["leads@example.com", "ops@example.com"]));
    assert_eq!(mail["headers"]["Subject"], "Payments");
    assert_eq!(mail["headers"]["List-Unsubscribe"], "<mailto:mergeline@example.com?subject=unsubscribe>");
    assert_eq!(mail["headers"]["Auto-Submitted"], "auto-generated");
    let (text, html) = (mail["parts"]["text/plain"].as_str(), mail["parts"]["text/html"].as_str());
    assert!(text.is_some_and(|text| text.contains("- a <b>team</b>")), "{mail}");
    assert!(html.is_some_and(|html| html.contains("<li>a &lt;b&gt;team&lt;/b&gt;</li>")), "{mail}");
    Ok(())
}

#[tokio::test]
async fn each_answer_of_a_mail_server_leads_to_what_it_means_and_quotes_nobody() -> Result<()> {
    for (mode, login, state, problem) in [
        ("busy", "", "waiting", "the mail server answered 451"),
        ("refuse", "", "failed", "the mail server answered 550"),
        ("login", "ana:s3cret@", "waiting", "the mail server answered 535: it does not accept the login"),
    ] {
        let server = MailServer::start(mode)?;
        let world = with_server(server.port, login).await?;
        world.say("leads", &[(Goal, "x")]).await?;
        assert_eq!(world.deliver("leads").await?.problems, [problem], "{mode}");
        assert_eq!(world.states("leads").await?, [("x".to_owned(), state.to_owned())], "{mode}");
        let kept: Vec<Option<String>> =
            sqlx::query_scalar("select problem from messages").fetch_all(&world.pool).await?;
        let kept = format!("{kept:?}");
        assert!(!kept.contains("leads@") && !kept.contains("s3cret"), "{kept}");
    }
    // Nothing listens there any more.
    let port = MailServer::start("take")?.port;
    let world = with_server(port, "").await?;
    world.say("leads", &[(Goal, "x")]).await?;
    assert_eq!(world.deliver("leads").await?.problems, ["no connection to the mail server"]);
    assert_eq!(world.states("leads").await?, [("x".to_owned(), "waiting".to_owned())]);
    Ok(())
}

#[tokio::test]
async fn of_a_mail_without_an_answer_nobody_knows() -> Result<()> {
    let server = MailServer::start("hang")?;
    let world = with_server(server.port, "").await?;
    world.say("leads", &[(Goal, "x")]).await?;
    assert_eq!(world.deliver("leads").await?.problems, ["the mail server did not answer in time"]);
    assert_eq!(world.states("leads").await?, [("x".to_owned(), "unknown".to_owned())]);
    Ok(())
}

#[test]
fn a_mail_server_elsewhere_needs_tls_and_is_never_shown() {
    let sender = |url: &str| {
        let lookup = |name: &str| (name == "SMTP_URL").then(|| url.to_owned());
        Sender::from_vars(lookup, None)
    };
    for url in
        ["smtp://ana:s3cret@mail.example.com:587", "smtp://ana:s3cret@mail.example.com?tls=opportunistic", "s3cret"]
    {
        let error = sender(url).expect_err("refused");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }
    for url in [
        "smtps://ana:s3cret@mail.example.com",
        "smtp://ana:s3cret@mail.example.com:587?tls=required",
        "smtp://localhost:25",
    ] {
        let taken = sender(url).expect("taken");
        assert!(!format!("{taken:?}").contains("s3cret"), "{taken:?}");
    }
}
