//! Checks of a deployed stack, by its functions: only they are in their network, with their rights.

use std::collections::BTreeMap;

use mergeline_aws::{Aws, AwsError, Stacks};
use mergeline_http_client::{NoAuthorities, check_authorities};
use mergeline_lambda::{Examination, State, message_and_help};

use super::findings::{Check, Findings, Outcome};
use crate::failure::Failure;

/// What a function is sent.
const QUESTION: &str = r#"{"action":"doctor"}"#;
/// Outputs of the stack with the names of functions, what to call each here, and the alias that requests go to.
const FUNCTIONS: [(&str, &str, Option<&str>); 3] = [
    ("CollectorFunction", "collector", None),
    ("ApiFunction", "api", Some("live")),
    ("MigratorFunction", "migrator", None),
];

/// Asks each function of the stack.
pub(super) async fn check(name: &str, findings: &mut Findings) -> Result<(), Failure> {
    if let Err(error) = check_authorities() {
        return findings.add(Check::error("stack", error.to_string(), NoAuthorities::HELP));
    }
    let stacks = Aws::from_environment().await.stacks();
    let outputs = match stacks.outputs(name).await {
        Ok(outputs) => outputs,
        Err(error) => return findings.add(failed("stack", &error)),
    };
    let asked = asked(&outputs);
    if asked.is_empty() {
        let help = "give the name of a stack that was made of Mergeline's template.yaml";
        return findings.add(Check::error("stack", format!("{name} has no functions of Mergeline"), help));
    }
    for (label, function, alias) in asked {
        match examination(&stacks, function, alias).await {
            Ok(examination) => {
                for check in examination.checks {
                    let outcome = match check.state {
                        State::Ok => Outcome::Ok,
                        State::Error => Outcome::Error,
                    };
                    let name = format!("{label}: {}", check.name);
                    findings.add(Check::new(name, outcome, check.message, check.remedy.as_deref()))?;
                }
            }
            Err(check) => findings.add(Check { name: label.to_owned(), ..check })?,
        }
    }
    Ok(())
}

/// The functions of the outputs, each once: without logins of their own, the collector migrates.
fn asked(outputs: &BTreeMap<String, String>) -> Vec<(&'static str, &str, Option<&'static str>)> {
    let mut asked: Vec<(&str, &str, Option<&str>)> = Vec::new();
    for (output, label, alias) in FUNCTIONS {
        let function = outputs.get(output).map(String::as_str);
        if let Some(function) = function.filter(|function| asked.iter().all(|(_, known, _)| known != function)) {
            asked.push((label, function, alias));
        }
    }
    asked
}

async fn examination(stacks: &Stacks, function: &str, alias: Option<&str>) -> Result<Examination, Check> {
    let answer = stacks.ask(function, alias, QUESTION).await.map_err(|error| failed("", &error))?;
    serde_json::from_str(&answer).map_err(|_| {
        let message = format!("{function} answers something else: it is of another version");
        Check::error("", message, "deploy this version, or use the program of that one")
    })
}

fn failed(name: &str, error: &AwsError) -> Check {
    let (message, help) = message_and_help(error);
    Check::error(name, message, help.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_that_migrates_is_asked_once() {
        let outputs = |migrator: &str| {
            [("CollectorFunction", "s-Collector-1"), ("ApiFunction", "s-api"), ("MigratorFunction", migrator)]
                .map(|(output, function)| (output.to_owned(), function.to_owned()))
                .into()
        };
        let labels = |outputs: BTreeMap<String, String>| asked(&outputs).iter().map(|it| it.0).collect::<Vec<_>>();
        assert_eq!(labels(outputs("s-Collector-1")), ["collector", "api"]);
        assert_eq!(labels(outputs("s-Migrator-1")), ["collector", "api", "migrator"]);
    }
}
