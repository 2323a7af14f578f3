//! Python programs that tests use, each installed once in the workspace's `target/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, ensure};

/// A program that `pip` installs.
#[derive(Debug, Clone, Copy)]
pub struct PythonTool {
    /// Its folder in `target/`.
    pub folder: &'static str,
    /// Its dependencies with hashes: a `requirements.txt`, relative to the workspace's root.
    pub requirements: &'static str,
    /// The variable that names a Python with all dependencies. If it is set, nothing is installed.
    pub variable: &'static str,
}

impl PythonTool {
    /// The Python that can run it: the one from the environment, otherwise a virtual environment, which is created if
    /// needed.
    ///
    /// # Errors
    /// When Python is missing, or the dependencies cannot be installed. That is an error, not a reason to skip.
    pub fn python(&self) -> anyhow::Result<PathBuf> {
        if let Some(given) = std::env::var_os(self.variable).filter(|path| !path.is_empty()) {
            return Ok(given.into());
        }
        let workspace = workspace()?;
        let folder = workspace.join("target").join(self.folder);
        fs::create_dir_all(&folder)?;
        // Tests of several crates may start at once. Released on drop.
        let lock = File::create(folder.join("lock"))?;
        lock.lock()?;
        let requirements = workspace.join(self.requirements);
        let wanted = fs::read_to_string(&requirements)?;
        // Written last: it lists what is installed.
        let stamp = folder.join("installed.txt");
        let python = folder.join("bin/python");
        if python.exists() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(python);
        }
        let help = || {
            format!(
                "cannot set up the Python in target/{}\n  help: install Python 3.11 or later with venv and pip (Debian: \
                 apt install python3-venv) and allow access to PyPI once; or name a Python with the packages of {} in \
                 {}",
                self.folder, self.requirements, self.variable
            )
        };
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder)).with_context(help)?;
        run(Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
                "--require-hashes",
                "-r",
            ])
            .arg(&requirements))
        .with_context(help)?;
        fs::write(&stamp, wanted)?;
        Ok(python)
    }
}

/// The workspace's root.
pub(crate) fn workspace() -> anyhow::Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?)
}

/// Runs a command to its end. Returns what it printed.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<String> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    let output = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    ensure!(status.success(), "{command:?} failed: {output}");
    Ok(output)
}
