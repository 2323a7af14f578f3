//! `mergeline erase`: shows and erases what is stored about a person.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use mergeline_domain::teams_file::TeamsFile;
use mergeline_domain::{ExternalId, Login, count_of};
use mergeline_store::{Account, Count, Stored, Traces, Writer};

use crate::args::{Erase, Options};
use crate::collecting::teams_source;
use crate::database::collected;
use crate::failure::Failure;
use crate::tables::{counts_table, wrapped};
use crate::terminal;

pub(crate) async fn run(args: &Erase, options: &Options, clock: fn() -> DateTime<Utc>) -> Result<ExitCode, Failure> {
    let file = teams_source(None)?.load()?;
    let Some((_database, store)) = collected(options).await? else {
        return Err(Failure::Input("nothing was ever collected here: there is nothing to erase".to_owned()));
    };
    let subject = Subject::find(&store, args).await?;
    subject.refuse_configured(&store, file.as_ref()).await?;
    let person = subject.account.as_ref().map(|account| account.person);
    let traces = store.traces(person, &subject.logins).await?;
    if person.is_none() && traces.is_empty() {
        return Err(Failure::Input(format!(
            "nothing is stored about `{0}`: no account has or had this login, and no message quotes it\n  help: use a login \
             from the teams file or from GitHub; `mergeline teams plan` shows who is in the file",
            args.login
        )));
    }
    let mut remaining = store.stored().await?;
    remaining.pull_requests -= traces.pull_requests.iter().map(|of| of.count).sum::<i64>();
    remaining.people -= i64::from(person.is_some());
    if args.yes {
        while store.erase(person, &subject.logins, clock()).await? {}
        remaining = store.stored().await?;
    }
    store.close().await;
    let mut out = terminal::stdout();
    if options.json {
        let answer = serde_json::json!({
            "erased": args.yes, "login": args.login, "account": subject.account, "found": traces, "remaining": remaining
        });
        writeln!(out, "{answer}")?;
    } else {
        write!(out, "{}", text(args, &subject, &traces, remaining))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Who is to be erased.
struct Subject {
    /// `None` if only messages mention the login.
    account: Option<Account>,
    logins: Vec<String>,
}

impl Subject {
    async fn find(store: &Writer, args: &Erase) -> Result<Self, Failure> {
        let login = &args.login;
        let mut accounts = store.accounts_of(login).await?;
        if let Some(number) = args.account {
            let number = ExternalId::from(number);
            accounts.retain(|account| account.external_id.as_ref() == Some(&number));
            if accounts.is_empty() {
                return Err(Failure::Input(format!(
                    "account {number} never had the login `{login}`, as far as the database knows\n  help: omit --account \
                     to see which accounts had it"
                )));
            }
        }
        if accounts.len() > 1 {
            let known: Vec<String> = accounts.iter().map(|account| format!("\n  {}", described(account))).collect();
            return Err(Failure::Input(format!(
                "{} have or had the login `{login}` at different times:{}\n  help: say which with --account NUMBER",
                count_of(accounts.len(), "account"),
                known.concat()
            )));
        }
        let account = accounts.pop();
        let logins = account.as_ref().map_or_else(|| vec![login.to_string()], |account| account.logins.clone());
        Ok(Self { account, logins })
    }

    /// Fails if a teams file names the person: the next collection would restore the data.
    async fn refuse_configured(&self, store: &Writer, file: Option<&TeamsFile>) -> Result<(), Failure> {
        let help = "help: remove the person from the teams file, apply or deploy that file, and try again";
        let account = self.account.as_ref();
        if let Some(account) = account.filter(|account| !account.teams.is_empty()) {
            let teams = account.teams.join(", ");
            return Err(Failure::Input(format!(
                "`{}` is in the current configuration, in {teams}: the next collection would restore everything\n  {help}",
                named(account)
            )));
        }
        let bots = store.roster().await?.map(|(_, roster)| roster);
        for login in self.logins.iter().map(|login| Login::written(login)) {
            if bots.as_ref().is_some_and(|roster| roster.names_as_bot(&login)) {
                return Err(Failure::Input(format!(
                    "`{login}` is one of the bots in the current configuration\n  {help}"
                )));
            }
            // A login that another account has now belongs to that account.
            let is_theirs = account.is_none_or(|account| account.login == login.as_str())
                || store.accounts_of(&login).await?.len() < 2;
            if is_theirs && file.is_some_and(|file| names(file, &login, account)) {
                return Err(Failure::Input(format!(
                    "the teams file names `{login}`: the next collection would restore everything\n  {help}"
                )));
            }
        }
        Ok(())
    }
}

fn names(file: &TeamsFile, login: &Login, account: Option<&Account>) -> bool {
    file.teams.iter().flat_map(|team| &team.members).any(|member| {
        let has_number = account.is_some_and(|account| {
            account.forge == member.login.forge()
                && account.external_id.is_some()
                && account.external_id == member.external_id
        });
        has_number || member.logins().any(|one| one == login)
    })
}

/// The present login, with its forge where that is not GitHub.
fn named(account: &Account) -> String {
    Login::of(account.forge, &account.login).to_string()
}

/// For example `octocat, account 583231, also known as octo`.
fn described(account: &Account) -> String {
    let name = named(account);
    let mut text = name.clone();
    match &account.external_id {
        Some(number) => drop(write!(text, ", account {number}")),
        None => text.push_str(", an account that was never seen"),
    }
    let others: Vec<&str> = account.logins.iter().map(String::as_str).filter(|login| *login != name).collect();
    if !others.is_empty() {
        let _ = write!(text, ", also known as {}", others.join(", "));
    }
    text
}

fn text(args: &Erase, subject: &Subject, traces: &Traces, remaining: Stored) -> String {
    let messages = [Count { name: "ledger, history".to_owned(), count: traces.messages }];
    let table = counts_table(&[
        ("pull requests", &traces.pull_requests),
        ("shares of teams", &traces.shares),
        ("memberships", &traces.memberships),
        ("reviews of others", &traces.reviews),
        ("messages", if traces.messages > 0 { &messages } else { &[] }),
    ]);
    let who = subject.account.as_ref().map_or_else(|| format!("{}, known from messages only", args.login), described);
    let stay = format!(
        "{} of {} stay",
        count_of(remaining.pull_requests, "pull request"),
        count_of(remaining.people, "account")
    );
    let outcome = if args.yes {
        format!("This is erased. {stay}. You must clear backups, logs and old versions of the teams file yourself.")
    } else {
        format!(
            "Nothing is erased yet. With --yes this is erased, and only a teams file that names the person restores it. {stay}."
        )
    };
    format!("{}\n{table}\n\n{}\n", wrapped(&who, 0), wrapped(&outcome, 0))
}
