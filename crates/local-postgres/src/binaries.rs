//! Finds the PostgreSQL binaries of the machine.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// The oldest major version that Mergeline's schema supports.
pub(crate) const MIN_VERSION: u32 = 15;

/// Where distributions and Homebrew put the server's binaries; `*` stands for a version.
const USUAL_FOLDERS: &[&str] = &[
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/lib/postgresql*/bin",
];

/// A folder with `initdb` and `postgres` of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    folder: PathBuf,
    version: u32,
}

impl Binaries {
    /// The binaries for data of a major version. Prefers the same version, so that a newer PostgreSQL can be installed
    /// alongside; otherwise the result of [`Self::find`].
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn find_for(version: Option<&str>) -> Result<Self, Error> {
        let found = Self::find()?;
        let wanted = version.and_then(|version| version.parse::<u32>().ok());
        if pg_bindir().is_some() || wanted.is_none_or(|wanted| wanted == found.version) {
            return Ok(found);
        }
        let mut usual = usual_folders().into_iter().filter_map(|folder| Self::at(&folder, &mut Vec::new()));
        Ok(usual.find(|binaries| Some(binaries.version) == wanted).unwrap_or(found))
    }

    /// Searches `PG_BINDIR`, the folder from `pg_config`, the usual folders (newest version first), and `PATH`.
    ///
    /// # Errors
    /// [`Error::NotInFolder`] for what `PG_BINDIR` names, else [`Error::NotFound`] with every place that was searched.
    pub fn find() -> Result<Self, Error> {
        let mut looked_in = Vec::new();
        if let Some(folder) = pg_bindir() {
            return Self::in_named_folder(Path::new(&folder));
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let mut usual: Vec<Self> =
            usual_folders().iter().filter_map(|folder| Self::at(folder, &mut looked_in)).collect();
        usual.sort_by_key(|binaries| std::cmp::Reverse(binaries.version));
        let configured = pg_config().and_then(|folder| Self::at(&folder, &mut looked_in));
        let found = configured.or_else(|| usual.into_iter().next()).or_else(|| {
            env::split_paths(&path)
                .filter(|folder| folder.join("initdb").exists())
                .find_map(|folder| Self::at(&folder, &mut looked_in))
        });
        looked_in.push("PATH".to_owned());
        found.ok_or(Error::NotFound { looked_in })
    }

    /// The binaries in the folder that `PG_BINDIR` names, and in no other.
    fn in_named_folder(folder: &Path) -> Result<Self, Error> {
        let not_there = |reason| Error::NotInFolder { folder: folder.display().to_string(), reason };
        if !folder.is_dir() {
            return Err(not_there("it is not a folder".to_owned()));
        }
        Self::in_folder(folder).map_err(not_there)
    }

    /// The binaries in one folder, if both exist and are new enough; what was found there is added to `looked_in` otherwise.
    fn at(folder: &Path, looked_in: &mut Vec<String>) -> Option<Self> {
        let reason = match Self::in_folder(folder) {
            Ok(found) => return Some(found),
            Err(reason) => reason,
        };
        looked_in.push(format!("{} ({reason})", folder.display()));
        None
    }

    fn in_folder(folder: &Path) -> Result<Self, String> {
        if !folder.join("initdb").exists() {
            return Err("no initdb".to_owned());
        }
        let output = Command::new(folder.join("postgres")).arg("--version").output();
        let output = output.map_err(|error| format!("postgres cannot be run: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        match major_version(&text) {
            None => Err(format!("unreadable version: {}", text.trim())),
            Some(version) if version < MIN_VERSION => Err(format!("version {version}")),
            Some(version) => Ok(Self { folder: folder.to_owned(), version }),
        }
    }

    /// The major version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of a program in the folder.
    pub fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

/// The folder in `PG_BINDIR`. Empty counts as unset.
fn pg_bindir() -> Option<OsString> {
    env::var_os("PG_BINDIR").filter(|folder| !folder.is_empty())
}

/// 15 for `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major_version(text: &str) -> Option<u32> {
    let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(folder.trim()))
}

fn usual_folders() -> Vec<PathBuf> {
    USUAL_FOLDERS.iter().flat_map(|pattern| expand(pattern)).collect()
}

/// The existing folders that match a pattern with one `*`.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return vec![PathBuf::from(pattern)] };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let Ok(entries) = std::fs::read_dir(parent) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(after.trim_start_matches('/')))
        .filter(|folder| folder.exists())
        .collect()
}

/// The command that installs PostgreSQL on this system.
pub(crate) fn how_to_install() -> &'static str {
    if cfg!(target_os = "macos") {
        return "run `brew install postgresql@17`";
    }
    let has = |program: &str| {
        env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(program).exists())
    };
    if has("apt-get") {
        "run `sudo apt-get update && sudo apt-get install -y postgresql`"
    } else if has("dnf") {
        "run `sudo dnf install -y postgresql-server`"
    } else if has("apk") {
        "run `sudo apk add postgresql17`"
    } else if has("pacman") {
        "run `sudo pacman -S postgresql`"
    } else {
        "install the PostgreSQL server with the package manager of this system"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_versions_are_parsed_from_vendor_strings() {
        assert_eq!(major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_version("postgres: not found"), None);
    }

    #[test]
    fn a_named_folder_without_the_programs_is_refused_by_its_name() {
        let of = |folder: &str| Binaries::in_named_folder(Path::new(folder)).expect_err("refused").to_string();
        for (folder, reason) in [("/nope", "it is not a folder"), ("/", "no initdb")] {
            let text = of(folder);
            for part in [&format!("PG_BINDIR names {folder},"), reason, "unset PG_BINDIR"] {
                assert!(text.contains(part), "{text}");
            }
            assert!(!text.contains("install"), "{text}");
        }
    }

    #[test]
    fn not_found_lists_searched_folders_and_help() {
        let error = Error::NotFound { looked_in: vec!["/opt/pg/bin (version 12)".to_owned(), "PATH".to_owned()] };
        let text = error.to_string();
        for part in ["PostgreSQL 15 or later", "/opt/pg/bin (version 12), PATH", "PG_BINDIR", "DB_URL", "install"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
