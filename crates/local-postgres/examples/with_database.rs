//! Runs a command with `DATABASE_URL` set to an empty database that vanishes afterwards, and `PG_BIN` to the
//! folder of the PostgreSQL programs.

use std::process::{Command, ExitCode};

use mergeline_local_postgres::{Binaries, Server};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut words = std::env::args_os().skip(1);
    let program = words.next().ok_or("usage: with_database PROGRAM [ARGUMENTS]")?;
    let server = Server::throwaway()?;
    let status = Command::new(program)
        .args(words)
        .env("DATABASE_URL", server.url("postgres"))
        .env("PG_BIN", Binaries::find()?.folder())
        .status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
