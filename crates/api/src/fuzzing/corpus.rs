//! Inputs that fuzzing found and inputs chosen in advance: every corpus file must satisfy the properties of its target.

use std::panic::catch_unwind;
use std::path::Path;

use super as fuzzing;
use anyhow::{Context, Result, ensure};

/// Files whose names start with `valid` must be accepted, and those with `broken` rejected. The others were found by
/// fuzzing.
fn every_file_keeps(target: &str, property: fn(&[u8]) -> bool) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path)?;
        let accepted =
            catch_unwind(|| property(&bytes)).map_err(|_| anyhow::anyhow!("{target}/{name} breaks a property"))?;
        ensure!(!name.starts_with("valid") || accepted, "{target}/{name} is refused");
        ensure!(!name.starts_with("broken") || !accepted, "{target}/{name} is accepted");
        files += 1;
    }
    ensure!(files > 5, "{files} files in {}", folder.display());
    Ok(())
}

#[test]
fn query_strings_are_accepted_or_refused() -> Result<()> {
    every_file_keeps("query_string", fuzzing::query_string)
}

#[test]
fn only_cursors_we_issued_are_accepted() -> Result<()> {
    every_file_keeps("cursor", fuzzing::cursor)
}

#[test]
fn posted_events_are_in_bounds_or_refused() -> Result<()> {
    every_file_keeps("posted_event", fuzzing::posted_event)
}

#[test]
fn csv_tables_round_trip_without_formulas() -> Result<()> {
    every_file_keeps("table", fuzzing::table)
}
