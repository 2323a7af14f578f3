//! Questions on a terminal. They go to standard error: standard output is for results.

use std::io::{self, IsTerminal, Write};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use crate::failure::Failure;
use crate::signals::EndingSignals;
use crate::terminal;

/// Whether somebody can be asked.
pub(crate) fn has_terminal() -> bool {
    io::stdin().is_terminal()
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_flags.remove(LocalFlags::ECHO);
        // The end of the line is shown, so that what follows starts on a new one.
        hidden.local_flags.insert(LocalFlags::ECHONL);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to restore.
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &self.0);
    }
}

fn show(question: &str) -> Result<(), Failure> {
    let mut out = terminal::stderr();
    write!(out, "{question} ")?;
    Ok(out.flush()?)
}

fn read_line() -> Result<String, Failure> {
    let mut line = String::new();
    if io::stdin().read_line(&mut line)? == 0 {
        return Err(Failure::Input(
            "the input ended before all questions were answered: nothing was written".to_owned(),
        ));
    }
    Ok(line.trim().to_owned())
}

/// Asks and returns the answer, without blanks around it.
pub(crate) fn ask(question: &str) -> Result<String, Failure> {
    show(question)?;
    read_line()
}

/// Asks for yes or no. An empty answer is yes.
pub(crate) fn confirm(question: &str) -> Result<bool, Failure> {
    loop {
        match ask(&format!("{question} [Y/n]"))?.to_lowercase().as_str() {
            "" | "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => writeln!(terminal::stderr(), "Answer y or n.")?,
        }
    }
}

/// Asks for something that the terminal must not show. A signal restores the terminal and ends the program.
pub(crate) async fn ask_hidden(question: &str) -> Result<String, Failure> {
    let mut signals = EndingSignals::new()?;
    // Before the question, so that a quick answer is hidden, too.
    let hidden = Hidden::new()?;
    show(question)?;
    let reading = tokio::task::spawn_blocking(read_line);
    tokio::select! {
        line = reading => line.map_err(anyhow::Error::from)?,
        code = signals.next() => {
            drop(hidden);
            // The thread that reads cannot be stopped otherwise.
            std::process::exit(code.into())
        }
    }
}
