//! Inputs that fuzzing found and inputs chosen in advance: every corpus file must satisfy the properties of its target.

use std::panic::catch_unwind;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{self as fuzzing, Seen};

/// Files whose names start with `valid` mean something, those with `nothing` do not, and those with `broken` cannot be used. The
/// others were found by fuzzing.
#[test]
fn deliveries_are_taken_only_with_the_right_signature() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/webhook");
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path)?;
        let seen = catch_unwind(|| fuzzing::webhook(&bytes));
        let seen = seen.map_err(|_| anyhow::anyhow!("webhook/{name} breaks a property"))?;
        for (prefix, expected) in [("valid", Seen::Taken), ("nothing", Seen::Ignored), ("broken", Seen::Unusable)] {
            ensure!(!name.starts_with(prefix) || seen == expected, "webhook/{name}: {seen:?}");
        }
        files += 1;
    }
    ensure!(files > 10, "{files} files in {}", folder.display());
    Ok(())
}
