//! `mergeline replay`: puts dead letters back into the work queue.

use std::cell::RefCell;
use std::io::Write;
use std::process::ExitCode;

use mergeline_aws::Aws;
use mergeline_domain::{Problem, Problems, count_of};
use mergeline_http_client::check_authorities;
use mergeline_lambda::{DeadLetter, Task, replay};

use crate::args::Options;
use crate::environment::variable;
use crate::failure::Failure;
use crate::terminal;

/// The number of characters to show of a dead letter that cannot be decoded.
const SHOWN: usize = 200;

pub(crate) async fn run(options: &Options) -> Result<ExitCode, Failure> {
    let (work, dead_letters) = queues()?;
    check_authorities().map_err(anyhow::Error::from)?;
    let aws = Aws::from_environment().await;
    let (work, dead_letters) = (aws.queue(&work), aws.queue(&dead_letters));
    let letters = RefCell::new(Vec::new());
    let on_letter = |letter: &str| {
        if !options.json {
            // Ignore a closed output: the dead letters are put back anyway.
            let _ = writeln!(terminal::stdout(), "{}", sentence(letter));
        }
        letters.borrow_mut().push(letter.to_owned());
    };
    let replayed = replay(&work, &dead_letters, on_letter).await?;
    // SQS samples only some of its servers: an empty response does not prove that the queue is empty.
    let left = dead_letters.depth().await.ok();
    let mut out = terminal::stdout();
    if options.json {
        let letters: Vec<serde_json::Value> = letters.take().iter().map(|letter| as_json(letter)).collect();
        writeln!(out, "{}", serde_json::json!({ "replayed": replayed, "left": left, "letters": letters }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if replayed == 0 {
        writeln!(out, "There are no dead letters.")?;
    } else {
        writeln!(out, "Put back into the work queue: {}.", count_of(replayed, "dead letter"))?;
    }
    if let Some(left) = left.filter(|left| *left > 0) {
        writeln!(out, "About {left} are left: run it again.")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The URLs of the work queue and of its dead-letter queue.
fn queues() -> Result<(String, String), Problems> {
    let mut problems = Vec::new();
    let mut url = |name| {
        let help = "set it to the queue's URL, an output of the deployed stack";
        variable(name).unwrap_or_else(|| {
            problems.push(Problem::setting("config.queues", name, "it is not set", help));
            String::new()
        })
    };
    let queues = (url("WORK_QUEUE_URL"), url("DEAD_LETTER_QUEUE_URL"));
    if problems.is_empty() { Ok(queues) } else { Err(Problems::of_settings(problems)) }
}

fn sentence(letter: &str) -> String {
    if let Ok(DeadLetter { task: Task::Collect(task), failure }) = DeadLetter::from_body(letter) {
        let (cause, code, receives) = (failure.cause.replace(char::is_control, " "), failure.code, failure.receives);
        return format!("{} of run {}, after {receives} attempts: {code}: {cause}", task.name, task.run.0);
    }
    if let Ok(Task::Collect(task)) = Task::from_body(letter) {
        return format!("{} of run {}: its worker ended without reporting an error", task.name, task.run.0);
    }
    let shown: String = letter.escape_debug().take(SHOWN).collect();
    format!("unknown format, put back unchanged: {shown}")
}

fn as_json(letter: &str) -> serde_json::Value {
    serde_json::from_str(letter).unwrap_or_else(|_| letter.into())
}
