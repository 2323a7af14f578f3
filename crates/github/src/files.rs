//! The files that pull requests change, by GraphQL: a point for a hundred pull requests.

use mergeline_domain::delivery::ChangedFiles;
use serde::Deserialize;

use crate::GitHubError;
use crate::client::GitHubSession;
use crate::graphql::{Connection, Node};
use crate::text::Text;

const CHANGED_FILES: &str = include_str!("queries/changed_files.graphql");
const MORE_FILES: &str = include_str!("queries/more_files.graphql");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FilesNode {
    id: String,
    changed_files: i64,
    /// Null if GitHub cannot make the list.
    files: Option<Connection<Option<File>>>,
}

#[derive(Deserialize)]
struct File {
    path: Text,
}

#[derive(Deserialize)]
struct MoreFiles {
    files: Connection<Option<File>>,
}

impl Node for FilesNode {
    const NAME: &str = "pull requests";
    type Complete = ChangedFiles;

    fn id(&self) -> &str {
        &self.id
    }

    fn check(&self) -> Result<(), GitHubError> {
        Ok(())
    }

    async fn complete(mut self, session: &GitHubSession) -> Result<ChangedFiles, GitHubError> {
        let Some(mut files) = self.files.take() else { return Ok(ChangedFiles::default()) };
        session.rest(MORE_FILES, &self.id, &mut files, |more: MoreFiles| more.files).await?;
        let paths: Vec<String> = files.nodes.into_iter().flatten().map(|file| file.path.to_string()).collect();
        // GitHub lists 3,000 files at most ("List pull requests files"), and counts all of them.
        let is_complete = i64::try_from(paths.len()).is_ok_and(|listed| listed >= self.changed_files);
        Ok(ChangedFiles { paths, is_complete })
    }
}

impl GitHubSession {
    /// The files of pull requests by GraphQL id, each with the reason if they are missing.
    ///
    /// # Errors
    /// Errors that concern all of them: a limit, the token, the connection to GitHub.
    pub async fn changed_files(
        &self,
        ids: &[String],
    ) -> Result<Vec<(String, Result<ChangedFiles, GitHubError>)>, GitHubError> {
        self.each_node::<FilesNode>(CHANGED_FILES, ids).await
    }
}
