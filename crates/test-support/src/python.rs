//! Python programs that tests use, each installed once below the workspace's `target/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, ensure};

/// A program that `pip` installs.
#[derive(Debug, Clone, Copy)]
pub struct PythonTool {
    /// Its folder below `target/`.
    pub folder: &'static str,
    /// All that it needs, with hashes: a `requirements.txt`, from the workspace's root.
    pub requirements: &'static str,
    /// The variable that names a Python which has all of it; nothing is installed then.
    pub variable: &'static str,
}

impl PythonTool {
    /// The Python that can run it: the one that the environment names, else one of our own, made when it is not there
    /// yet.
    ///
    /// # Errors
    /// When there is no Python, or what is needed cannot be installed. That is an error, not a reason to skip.
    pub fn python(&self) -> anyhow::Result<PathBuf> {
        if let Some(given) = std::env::var_os(self.variable).filter(|path| !path.is_empty()) {
            return Ok(given.into());
        }
        let workspace = workspace()?;
        let folder = workspace.join("target").join(self.folder);
        fs::create_dir_all(&folder)?;
        // Tests of several crates may start at once. Released when the value goes.
        let lock = File::create(folder.join("lock"))?;
        lock.lock()?;
        let requirements = workspace.join(self.requirements);
        let wanted = fs::read_to_string(&requirements)?;
        // Written last: what it says is installed.
        let stamp = folder.join("installed.txt");
        let python = folder.join("bin/python");
        if python.exists() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(python);
        }
        let help = || {
            format!(
                "the Python below target/{} cannot be set up\n  help: it takes Python 3.11 or later with venv and pip \
                 (Debian: apt install python3-venv) that reaches PyPI once; or name a Python that has what {} lists in \
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

fn run(command: &mut Command) -> anyhow::Result<()> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    ensure!(status.success(), "{command:?} failed: {said}");
    Ok(())
}
