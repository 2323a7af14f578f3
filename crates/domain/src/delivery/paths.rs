//! Which services of a shared repository a pull request belongs to, by the files that it changes.

use std::fmt;
use std::str::FromStr;

use glob::{MatchOptions, Pattern};
use thiserror::Error;

use super::ids::ServiceId;

/// A `*` stays inside a folder, `**` does not.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// The files that a pull request changes, by their paths from the root of the repository. A file that was moved has its new path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangedFiles {
    /// The paths.
    pub paths: Vec<String>,
    /// Whether these are all of them.
    pub is_complete: bool,
}

/// Files and folders of a repository, each folder with everything in it. `*` stands for anything within a name, `**` for any
/// folders; nothing else is special, because files have names like `[slug].tsx`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    pattern: Pattern,
}

/// Why a text names no files.
#[derive(Debug, Clone, Copy, Error, PartialEq, Eq)]
pub enum PathPatternError {
    /// It is empty, or has an empty part, `.` or `..`.
    #[error("it must lead from the root of the repository, without empty parts, `.` and `..`")]
    NotFromRoot,
    /// A backslash.
    #[error("folders are separated by `/`")]
    Backslash,
    /// `!` at the beginning.
    #[error("a path cannot exclude files")]
    Exclusion,
    /// `{a,b}`
    #[error("alternatives in braces are paths of their own")]
    Alternatives,
    /// `**` beside something else.
    #[error("`**` stands alone between slashes, as in `src/**/*.js`")]
    Folders,
}

impl FromStr for PathPattern {
    type Err = PathPatternError;

    fn from_str(text: &str) -> Result<Self, PathPatternError> {
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.starts_with('!') {
            return Err(PathPatternError::Exclusion);
        }
        if text.contains('\\') {
            return Err(PathPatternError::Backslash);
        }
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(PathPatternError::NotFromRoot);
        }
        let in_braces = text.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
        if in_braces.into_iter().any(|(inside, _)| inside.contains(',')) {
            return Err(PathPatternError::Alternatives);
        }
        let special = |character: char| match character {
            '?' | '[' | ']' => format!("[{character}]"),
            other => other.to_string(),
        };
        let escaped: String = text.chars().map(special).collect();
        let pattern = Pattern::new(&escaped).map_err(|_| PathPatternError::Folders)?;
        Ok(Self { text: text.to_owned(), pattern })
    }
}

/// The shortest form, without a slash at the end.
impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PathPattern {
    /// Whether it names this file, or a folder that it is in.
    pub fn matches(&self, file: &str) -> bool {
        let folders = file.match_indices('/').map(|(end, _)| &file[..end]);
        folders.chain([file]).any(|path| self.pattern.matches_with(path, OPTIONS))
    }
}

/// The services of a repository that have paths, each with them.
#[derive(Debug, Clone, Default)]
pub struct PathRules {
    /// The services.
    pub services: Vec<(ServiceId, Vec<PathPattern>)>,
}

impl PathRules {
    /// Whether a pull request changes files of each service: of all if not all files are known.
    pub fn compared_with(&self, files: &ChangedFiles) -> impl Iterator<Item = (ServiceId, bool)> {
        self.services.iter().map(|(service, patterns)| {
            let has = |file: &String| patterns.iter().any(|it| it.matches(file));
            (*service, !files.is_complete || files.paths.iter().any(has))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PathPattern {
        text.parse().expect("a pattern")
    }

    #[test]
    fn a_folder_is_everything_in_it() {
        for text in ["services/shop", "services/shop/", "services/shop/**", "services/sho*", "services/sh*/", "**/shop"]
        {
            let folder = pattern(text);
            assert!(folder.matches("services/shop/src/main.rs") && folder.matches("services/shop/.env"), "{text}");
            assert!(!folder.matches("services/admin/src/main.rs") && !folder.matches("services/a"), "{text}");
            assert!(!folder.matches("services/Shop/main.rs"), "case matters in git: {text}");
        }
        assert!(!pattern("services/shop").matches("services/shop2/main.rs"));
        assert!(!pattern("services/shop").matches("old/services/shop/main.rs"));
        assert_eq!(pattern("services/shop/").to_string(), "services/shop");
    }

    #[test]
    fn a_star_stays_in_its_folder_and_two_do_not() {
        assert!(pattern("shop/*.rs").matches("shop/a.rs") && !pattern("shop/*.rs").matches("shop/a/b.rs"));
        assert!(pattern("**/*.sql").matches("a.sql") && pattern("**/*.sql").matches("shop/db/a.sql"));
        assert!(pattern("services/*/api").matches("services/shop/api/a.rs"));
        assert!(!pattern("services/*/api").matches("services/shop/old/api/a.rs"));
    }

    #[test]
    fn only_stars_are_special() {
        for file in ["app/[slug]/page.tsx", "a?.txt", "{{name}}/a.rs", "a+b (c)/ü.md"] {
            assert!(pattern(file).matches(file), "{file}");
        }
        assert!(!pattern("app/[slug]/page.tsx").matches("app/s/page.tsx"));
    }

    #[test]
    fn what_names_no_files_is_refused() {
        use PathPatternError::{Alternatives, Backslash, Exclusion, Folders, NotFromRoot};
        for (text, error) in [
            ("/shop", NotFromRoot),
            ("./shop", NotFromRoot),
            ("shop//a", NotFromRoot),
            ("../shop", NotFromRoot),
            ("", NotFromRoot),
            ("/", NotFromRoot),
            ("!shop/**", Exclusion),
            ("services\\shop", Backslash),
            ("{shop,admin}/**", Alternatives),
            ("src/**.js", Folders),
        ] {
            assert_eq!(text.parse::<PathPattern>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_pull_request_belongs_to_each_service_whose_paths_it_changes() {
        let services = [(1, vec!["shop", "shared/**"]), (2, vec!["admin", "shared/**"]), (3, vec!["docs"])];
        let services = services.map(|(id, texts)| (ServiceId(id), texts.into_iter().map(pattern).collect()));
        let rules = PathRules { services: services.into() };
        let of = |paths: &[&str], is_complete: bool| {
            let files = ChangedFiles { paths: paths.iter().map(|path| (*path).to_owned()).collect(), is_complete };
            let touched = rules.compared_with(&files).filter(|(_, is_touched)| *is_touched);
            touched.map(|(ServiceId(id), _)| id).collect::<Vec<_>>()
        };
        assert_eq!(of(&["shop/a.rs", "README.md"], true), [1]);
        assert_eq!(of(&["shared/a.rs"], true), [1, 2]);
        assert_eq!(of(&["README.md"], true), [0_i64; 0]);
        assert_eq!(of(&["shop/a.rs"], false), [1, 2, 3], "the rest may be anywhere");
    }
}
