//! A worked example of deliveries: one service of two teams in one week, with a failed attempt, a rollback, a hotfix and a
//! redeploy.

use crate::{FakeGitCommit, FakeGitHub, FakePullRequest, at, deployment, pr};

/// The teams, as the items of a list in a teams file.
pub const TEAMS: &str = "{ slug: payments, members: [{ github: ana }, { github: bob, weight: 0.5 }] }, \
                         { slug: platform, members: [{ github: bob, weight: 0.5 }, { github: cho }] }";

/// Puts it into a repository.
pub fn put(fake: &FakeGitHub, repository: &str) {
    let line = [
        (10, "2026-05-28T12:00:00Z"),
        (21, "2026-06-01T08:30:00Z"),
        (22, "2026-06-01T08:40:00Z"),
        (30, "2026-06-02T08:00:00Z"),
        (41, "2026-06-03T07:00:00Z"),
        (42, "2026-06-03T08:00:00Z"),
        (60, "2026-06-04T09:30:00Z"),
        (70, "2026-06-05T12:00:00Z"),
    ];
    let mut parents = Vec::new();
    for (number, committed_at) in line {
        let commit = FakeGitCommit { oid: oid(number), parents, committed_at: at(committed_at) };
        parents = vec![commit.oid.clone()];
        fake.put_commits(repository, [commit]);
    }
    let change = |number: i64, author: &str, commit: u64, first_commit: &str, merged_at: &str| {
        let pull_request = pr(repository, number).by(author).first_commit(first_commit).merged(merged_at);
        FakePullRequest { created_at: at(first_commit), ..pull_request.merge_commit(&oid(commit)) }
    };
    fake.put([
        change(100, "ana", 10, "2026-05-28T09:00:00Z", "2026-05-28T12:00:00Z"),
        change(101, "ana", 21, "2026-06-01T08:00:00Z", "2026-06-01T08:30:00Z"),
        change(102, "bob", 22, "2026-05-31T08:00:00Z", "2026-06-01T08:40:00Z"),
        change(103, "cho", 30, "2026-05-31T11:00:00Z", "2026-06-02T08:00:00Z"),
        change(104, "ana", 41, "2026-06-03T06:00:00Z", "2026-06-03T07:00:00Z"),
        change(105, "stranger", 42, "2026-06-03T06:30:00Z", "2026-06-03T08:00:00Z"),
        change(106, "ana", 60, "2026-06-04T09:00:00Z", "2026-06-04T09:30:00Z").labeled("hotfix"),
        change(107, "ana", 70, "2026-06-05T10:00:00Z", "2026-06-05T12:00:00Z"),
    ]);
    let deployed = |number: i64, commit: u64, state: &str, time: &str| {
        deployment(repository, number, &oid(commit), time).status(state, time)
    };
    fake.put_deployments([
        deployed(0, 10, "success", "2026-05-30T09:00:00Z"),
        deployed(1, 22, "success", "2026-06-01T10:00:00Z"),
        deployed(2, 30, "failure", "2026-06-02T10:00:00Z"),
        deployed(3, 30, "success", "2026-06-02T11:00:00Z"),
        deployed(4, 42, "success", "2026-06-03T10:00:00Z"),
        deployed(5, 30, "success", "2026-06-03T13:00:00Z"),
        deployed(6, 60, "success", "2026-06-04T10:00:00Z"),
        deployed(7, 60, "success", "2026-06-05T10:00:00Z"),
    ]);
}

/// The id of the commit with this number.
fn oid(number: u64) -> String {
    format!("{number:040x}")
}
