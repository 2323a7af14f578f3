//! Runs every corpus file, found by fuzzing or written by hand, against the properties of its target.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use super::{self as fuzzing, Seen};
use anyhow::{Context, Result, ensure};

/// The outcome of each corpus file, by file name.
fn run(corpus: &str, property: fn(&[u8]) -> Seen) -> Result<Vec<(String, Seen)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(corpus);
    let (mut seen, mut broken) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(&folder).with_context(|| format!("no corpus at {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let bytes = fs::read(entry.path())?;
        match catch_unwind(|| property(&bytes)) {
            Ok(outcome) => seen.push((name, outcome)),
            Err(_) => broken.push(name),
        }
    }
    ensure!(broken.is_empty(), "these break a property of {corpus}: {}", broken.join(", "));
    ensure!(!seen.is_empty(), "no files in {}", folder.display());
    Ok(seen)
}

/// The prefix of a file name gives the expected outcome; files without such a prefix were found by fuzzing.
fn expect(seen: &[(String, Seen)], prefix: &str, holds: fn(&Seen) -> bool) -> Result<()> {
    let mut named = seen.iter().filter(|(name, _)| name.starts_with(prefix)).peekable();
    ensure!(named.peek().is_some(), "no file begins with {prefix}");
    for (name, seen) in named {
        ensure!(holds(seen), "{name}: {seen:?}");
    }
    Ok(())
}

#[test]
fn decoding_a_corpus_page_loses_no_item() -> Result<()> {
    let seen = run("github_page", fuzzing::page)?;
    expect(&seen, "valid-", |seen| matches!(seen, Seen::Read { undecodable: 0, .. }))?;
    expect(&seen, "mixed-", |seen| matches!(seen, Seen::Read { understood: 1.., undecodable: 1.. }))?;
    expect(&seen, "refused-", |seen| *seen == Seen::Refused)
}

#[test]
fn what_a_corpus_delivery_carries_is_whole_or_refused() -> Result<()> {
    let seen = run("announced", fuzzing::announced)?;
    expect(&seen, "valid-", |seen| matches!(seen, Seen::Read { understood: 1, .. }))?;
    expect(&seen, "nothing-", |seen| matches!(seen, Seen::Read { understood: 0, .. }))?;
    expect(&seen, "refused-", |seen| *seen == Seen::Refused)
}

#[test]
fn corpus_graphql_responses_are_complete_or_refused() -> Result<()> {
    let seen = run("graphql_answer", fuzzing::answer)?;
    expect(&seen, "valid-", |seen| matches!(seen, Seen::Read { .. }))?;
    expect(&seen, "refused-", |seen| *seen == Seen::Refused)
}
