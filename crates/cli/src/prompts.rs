//! Questions on a terminal. They go to standard error: standard output is for results.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, Once, PoisonError};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use crate::failure::Failure;
use crate::signals::EndingSignals;
use crate::terminal;

/// Whether somebody can be asked.
pub(crate) fn has_terminal() -> bool {
    io::stdin().is_terminal()
}

/// The settings of a terminal that does not show what is typed, as they were before.
static BEFORE_HIDING: Mutex<Option<Termios>> = Mutex::new(None);

/// Hides what is typed, until this is dropped or a signal ends the program.
struct Hidden;

impl Hidden {
    fn new() -> io::Result<Self> {
        static WATCHED: Once = Once::new();
        let mut signals = EndingSignals::new()?;
        // From the first time on, signals no longer end the program by themselves.
        WATCHED.call_once(|| {
            tokio::spawn(async move {
                let code = signals.next().await;
                restore();
                // The thread that reads cannot be stopped otherwise.
                std::process::exit(code.into())
            });
        });
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_flags.remove(LocalFlags::ECHO);
        // The end of the line is shown, so that what follows starts on a new one.
        hidden.local_flags.insert(LocalFlags::ECHONL);
        *BEFORE_HIDING.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &hidden)?;
        Ok(Self)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    if let Some(before) = BEFORE_HIDING.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // A terminal that is gone has nothing to restore.
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &before);
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

/// Asks for something that the terminal must not show.
pub(crate) fn ask_hidden(question: &str) -> Result<String, Failure> {
    // Before the question, so that a quick answer is hidden, too.
    let _hidden = Hidden::new()?;
    show(question)?;
    read_line()
}
