//! Which services of a shared repository a pull request belongs to, by the files that it changes.

use std::collections::BTreeSet;
use std::str::FromStr;

use glob::{MatchOptions, Pattern};
use thiserror::Error;

use super::ids::ServiceId;

/// A `*` stays inside a folder, `**` does not, as in the `paths` of GitHub's workflows.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// What is special in a pattern.
const WILDCARDS: [char; 3] = ['*', '?', '['];

/// The files that a pull request changes, by their paths from the root of the repository. A file that was moved has its new path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangedFiles {
    /// The paths.
    pub paths: Vec<String>,
    /// Whether these are all of them.
    pub is_complete: bool,
}

/// Files of a repository: a file, a folder with everything in it, or a pattern in which `*` stands for anything within a
/// folder and `**` for any folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    /// `None` for the name of a file or folder.
    pattern: Option<Pattern>,
}

/// Why a text names no files.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum PathPatternError {
    /// Paths start at the root of the repository anyway.
    #[error("a path starts at the root of the repository, without `/` or `.`")]
    NotFromRoot,
    /// `!`
    #[error("a path cannot exclude files")]
    Exclusion,
    /// Not a pattern.
    #[error("{0}")]
    Syntax(&'static str),
}

impl FromStr for PathPattern {
    type Err = PathPatternError;

    fn from_str(text: &str) -> Result<Self, PathPatternError> {
        if text.starts_with('!') {
            return Err(PathPatternError::Exclusion);
        }
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(PathPatternError::NotFromRoot);
        }
        let pattern = text.contains(WILDCARDS).then(|| Pattern::new(text)).transpose();
        let pattern = pattern.map_err(|error| PathPatternError::Syntax(error.msg))?;
        Ok(Self { text: text.to_owned(), pattern })
    }
}

impl PathPattern {
    /// Whether it names this file.
    pub fn matches(&self, file: &str) -> bool {
        match &self.pattern {
            Some(pattern) => pattern.matches_with(file, OPTIONS),
            None => file.strip_prefix(&self.text).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }
}

/// The services of a repository that have paths, each with them.
#[derive(Debug, Clone, Default)]
pub struct PathRules {
    /// The services.
    pub services: Vec<(ServiceId, Vec<PathPattern>)>,
}

impl PathRules {
    /// The services whose paths a pull request changes: all of them if not all files are known.
    pub fn services_of(&self, files: &ChangedFiles) -> BTreeSet<ServiceId> {
        let is_touched = |patterns: &[PathPattern]| {
            !files.is_complete || files.paths.iter().any(|file| patterns.iter().any(|it| it.matches(file)))
        };
        self.services.iter().filter(|(_, patterns)| is_touched(patterns)).map(|(service, _)| *service).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PathPattern {
        text.parse().expect("a pattern")
    }

    #[test]
    fn a_name_is_a_file_or_a_folder_with_everything_in_it() {
        for text in ["services/shop", "services/shop/"] {
            let folder = pattern(text);
            assert!(folder.matches("services/shop/src/main.rs") && folder.matches("services/shop"));
            assert!(!folder.matches("services/shop2/src/main.rs") && !folder.matches("old/services/shop/main.rs"));
            assert!(!folder.matches("services/Shop/main.rs"), "case matters in git");
        }
    }

    #[test]
    fn a_star_stays_in_its_folder_and_two_do_not() {
        assert!(pattern("shop/**").matches("shop/a/b/c.rs") && pattern("shop/**").matches("shop/.env"));
        assert!(!pattern("shop/**").matches("shops/a.rs"));
        assert!(pattern("shop/*.rs").matches("shop/a.rs") && !pattern("shop/*.rs").matches("shop/a/b.rs"));
        assert!(pattern("**/*.sql").matches("a.sql") && pattern("**/*.sql").matches("shop/db/a.sql"));
        assert!(pattern("*").matches("README.md") && !pattern("*").matches("shop/README.md"));
    }

    #[test]
    fn what_names_no_files_is_refused() {
        for text in ["/shop", "./shop", "shop//a", "../shop", "", "/", "shop/.."] {
            assert_eq!(text.parse::<PathPattern>(), Err(PathPatternError::NotFromRoot), "{text}");
        }
        assert_eq!("!shop/**".parse::<PathPattern>(), Err(PathPatternError::Exclusion));
        for text in ["shop/a**", "shop/[a"] {
            assert!(matches!(text.parse::<PathPattern>(), Err(PathPatternError::Syntax(_))), "{text}");
        }
    }

    #[test]
    fn a_pull_request_belongs_to_each_service_whose_paths_it_changes() {
        let services = [(1, vec!["shop", "shared/**"]), (2, vec!["admin", "shared/**"]), (3, vec!["docs"])];
        let services = services.map(|(id, texts)| (ServiceId(id), texts.into_iter().map(pattern).collect()));
        let rules = PathRules { services: services.into() };
        let of = |paths: &[&str], is_complete: bool| {
            let files = ChangedFiles { paths: paths.iter().map(|path| (*path).to_owned()).collect(), is_complete };
            rules.services_of(&files).into_iter().map(|ServiceId(id)| id).collect::<Vec<_>>()
        };
        assert_eq!(of(&["shop/a.rs", "README.md"], true), [1]);
        assert_eq!(of(&["shared/a.rs"], true), [1, 2]);
        assert_eq!(of(&["README.md"], true), [0_i64; 0]);
        assert_eq!(of(&["shop/a.rs"], false), [1, 2, 3], "the rest may be anywhere");
    }
}
