//! Seeded histories of changes, faults, kills and edits: after each of them, the database equals GitHub.
//!
//! `HISTORIES` sets how many there are (15), from `FIRST_HISTORY` (0) on, so that several processes can share them;
//! `HISTORY_SEED` replays one and prints what happens in it.

mod crash;
mod deliveries;
mod invariants;
mod kill;
mod model;
mod steps;
mod world;

use std::collections::BTreeSet;
use std::io::{self, Write};

use anyhow::{Context, Result};
use world::World;

/// How many histories are tried by default.
const HISTORIES: u64 = 15;
/// How many steps a history has.
const STEPS: usize = 28;

#[tokio::test]
async fn database_matches_github_after_any_random_history() -> Result<()> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>()).transpose();
    let replayed = number("HISTORY_SEED")?;
    let seeds = if let Some(seed) = replayed {
        seed..seed + 1
    } else {
        let first = number("FIRST_HISTORY")?.unwrap_or_default();
        first..first + number("HISTORIES")?.unwrap_or(HISTORIES)
    };
    for seed in seeds {
        let mut world = World::new(seed).await?;
        let outcome = history(&mut world).await;
        let events = world.events.join("\n  ");
        if replayed.is_some() {
            writeln!(io::stderr(), "  {events}")?;
        }
        outcome.with_context(|| format!("replay with HISTORY_SEED={seed}\n  {events}"))?;
        world.close().await?;
    }
    Ok(())
}

async fn history(world: &mut World) -> Result<()> {
    for _ in 0..3 {
        world.open_some();
        world.release();
    }
    for _ in 0..STEPS {
        world.step().await?;
        world.check_always().await.context("in the middle")?;
    }
    world.run_quietly().await?;
    world.check_equality().await.context("after a quiet run")?;
    let before = world.database.digest().await?;
    world.run_quietly().await?;
    let after = world.database.digest().await?;
    anyhow::ensure!(before == after, "another quiet run changed something:\n{}", difference(&before, &after));
    Ok(())
}

/// The lines that only one of two texts has.
fn difference(before: &str, after: &str) -> String {
    let only_in = |one: &str, other: &str, mark: &str| -> String {
        let other: BTreeSet<&str> = other.lines().collect();
        one.lines().filter(|line| !other.contains(line)).map(|line| format!("{mark} {line}\n")).collect()
    };
    only_in(before, after, "-") + &only_in(after, before, "+")
}
