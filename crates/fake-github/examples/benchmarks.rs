//! Writes the table of public repositories, from recordings of them: `cargo run -p mergeline-fake-github --example benchmarks >
//! crates/domain/src/benchmark/public.json`. The recordings are in the folder `MERGELINE_TEST_DATA`.

use anyhow::Context;
use mergeline_fake_github::recorded;

fn main() -> anyhow::Result<()> {
    let folder = recorded::folder().context("there are no recordings")?;
    serde_json::to_writer_pretty(std::io::stdout(), &recorded::benchmark(&folder)?)?;
    #[expect(clippy::print_stdout, reason = "what this is for")]
    {
        println!();
    }
    Ok(())
}
