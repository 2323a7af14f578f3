//! Real histories, kept outside this repository.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

use crate::{FakePullRequest, FakeUser};

/// The folder with the recorded data: `MERGELINE_TEST_DATA`, else `shared/data` beside the checkout. `None`, said
/// on standard error, when it is not there.
pub fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("MERGELINE_TEST_DATA").map_or(beside, PathBuf::from);
    if folder.join("prs").is_dir() {
        return Some(folder);
    }
    // Written past the test harness, which would keep it to itself.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: no recorded data in {}; set MERGELINE_TEST_DATA to the folder that has them",
        folder.display()
    );
    None
}

#[derive(Deserialize)]
struct Line {
    repo: String,
    id: i64,
    number: i64,
    title: String,
    user: Option<User>,
    draft: Option<bool>,
    base: Branch,
    head: Branch,
    created_at: chrono::DateTime<chrono::Utc>,
    updated_at: chrono::DateTime<chrono::Utc>,
    closed_at: Option<chrono::DateTime<chrono::Utc>>,
    merged_at: Option<chrono::DateTime<chrono::Utc>>,
    body_chars: Option<usize>,
}

#[derive(Deserialize)]
struct User {
    id: i64,
    login: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Branch {
    #[serde(rename = "ref")]
    name: String,
    repo: Option<Value>,
}

/// The pull requests of one recorded repository, `bitcoin-core__gui` for example.
///
/// # Errors
/// When the file is missing or not in the recorded form.
pub fn pull_requests(folder: &Path, name: &str) -> anyhow::Result<Vec<FakePullRequest>> {
    let path = folder.join("prs").join(format!("{name}.jsonl"));
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines()
        .map(|line| {
            let line: Line = serde_json::from_str(line)?;
            Ok(FakePullRequest {
                repository: line.repo,
                id: line.id,
                number: line.number,
                title: line.title,
                user: line.user.map(|user| FakeUser { id: user.id, login: user.login, kind: user.kind }),
                draft: line.draft.unwrap_or(false),
                base_ref: line.base.name,
                is_fork_gone: line.head.repo.is_none(),
                created_at: line.created_at,
                updated_at: line.updated_at,
                closed_at: line.closed_at,
                merged_at: line.merged_at,
                body_bytes: line.body_chars.unwrap_or(0),
                overrides: Vec::new(),
            })
        })
        .collect()
}
