//! What fuzzing found and what we thought of beforehand: every file of the corpora keeps the properties of its target.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use super::{self as fuzzing, Seen};
use anyhow::{Context, Result, ensure};

/// What each file of a corpus came to, by the name of the file.
fn run(corpus: &str, property: fn(&[u8]) -> Seen) -> Result<Vec<(String, Seen)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(corpus);
    let (mut seen, mut broken) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(&folder).with_context(|| format!("no corpus at {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let bytes = fs::read(entry.path())?;
        match catch_unwind(|| property(&bytes)) {
            Ok(came_to) => seen.push((name, came_to)),
            Err(_) => broken.push(name),
        }
    }
    ensure!(broken.is_empty(), "these break a property of {corpus}: {}", broken.join(", "));
    ensure!(!seen.is_empty(), "no files in {}", folder.display());
    Ok(seen)
}

/// Files are named by what they come to; names without such a beginning are what fuzzing found.
fn expect(seen: &[(String, Seen)], prefix: &str, holds: fn(&Seen) -> bool) -> Result<()> {
    let mut named = seen.iter().filter(|(name, _)| name.starts_with(prefix)).peekable();
    ensure!(named.peek().is_some(), "no file begins with {prefix}");
    for (name, seen) in named {
        ensure!(holds(seen), "{name}: {seen:?}");
    }
    Ok(())
}

#[test]
fn every_page_of_the_corpus_is_decoded_without_a_panic_and_loses_no_item() -> Result<()> {
    let seen = run("github_page", fuzzing::page)?;
    expect(&seen, "valid-", |seen| matches!(seen, Seen::Read { undecodable: 0, .. }))?;
    expect(&seen, "mixed-", |seen| matches!(seen, Seen::Read { understood: 1.., undecodable: 1.. }))?;
    expect(&seen, "refused-", |seen| *seen == Seen::Refused)
}

#[test]
fn every_graphql_answer_of_the_corpus_tells_all_that_was_asked_or_is_refused() -> Result<()> {
    let seen = run("graphql_answer", fuzzing::answer)?;
    expect(&seen, "valid-", |seen| matches!(seen, Seen::Read { .. }))?;
    expect(&seen, "refused-", |seen| *seen == Seen::Refused)
}
