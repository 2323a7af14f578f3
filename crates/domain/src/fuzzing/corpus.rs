//! Inputs that fuzzing found and inputs chosen in advance: every corpus file must satisfy the properties of its target.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use super as fuzzing;
use anyhow::{Context, Result, ensure};

#[test]
fn no_corpus_teams_file_causes_a_panic() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/teams_file");
    let (mut accepted, mut refused, mut broken) = (0, 0, Vec::new());
    for entry in fs::read_dir(&folder).with_context(|| format!("no corpus at {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let bytes = fs::read(entry.path())?;
        // Files are named after their expected result. Other names are files that fuzzing found.
        match catch_unwind(|| fuzzing::teams_file(&bytes)) {
            Ok(true) if !name.starts_with("problem-") => accepted += 1,
            Ok(false) if !name.starts_with("valid-") => refused += 1,
            Ok(is_accepted) => broken.push(format!("{name} (accepted: {is_accepted})")),
            Err(_) => broken.push(format!("{name} (breaks a property)")),
        }
    }
    ensure!(broken.is_empty(), "in {}: {}", folder.display(), broken.join(", "));
    ensure!(
        accepted > 0 && refused > 0,
        "{accepted} files are accepted and {refused} refused: the corpus is one-sided"
    );
    Ok(())
}
