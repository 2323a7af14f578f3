//! Lists the latest changed pull requests of a repository from the real GitHub, with their first reviews:
//! `GITHUB_PAT=… cargo run -p mergeline-github --example list_pull_requests owner/name`.

use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use mergeline_domain::{Details, RepoName};
use mergeline_github::{GitHub, GitHubSettings};
use mergeline_source::{PageAnswer, WaitBudget};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a program for people")]
async fn main() -> Result<()> {
    let name: RepoName = std::env::args().nth(1).context("name a repository as owner/name")?.parse()?;
    let settings = match GitHubSettings::from_vars(|name| std::env::var(name).ok()) {
        Ok(settings) => settings,
        Err(problems) => bail!("{problems:?}"),
    };
    let github = GitHub::connect(&settings)?;
    let session =
        github.session(Some(name.owner()), WaitBudget::AT_A_TERMINAL, DateTime::<Utc>::from(SystemTime::now()));
    let Some(PageAnswer::Page(page)) = session.by_update(&name, 20, None).next().await? else { bail!("no answer") };
    let ids: Vec<String> = page.pull_requests.iter().filter_map(|pull_request| pull_request.node_id.clone()).collect();
    let histories = session.histories(&ids).await?;
    for pull_request in page.pull_requests {
        let found = histories.iter().find(|(id, _)| Some(id) == pull_request.node_id.as_ref());
        let details = found.and_then(|(_, history)| history.as_ref().ok()).cloned().map(Details::from);
        let reviewed = details.and_then(|details| details.first_review_at);
        let reviewed = reviewed.map_or_else(|| "not reviewed".to_owned(), |at| format!("reviewed {at}"));
        println!("#{} {} ({reviewed})", pull_request.number, pull_request.title);
    }
    println!("{:?}", session.usage());
    Ok(())
}
