//! Deployments and runs that a delivery of a webhook carries: taken as they are, because they never change.

use mergeline_domain::delivery::DeploymentSource;
use mergeline_source::{Announced, Session};
use mergeline_store::{DeploymentList, Reported};

use super::deployments::CONTENTS;
use super::{Interruption, MayRead, RepositoryJob, timed};

impl RepositoryJob<'_> {
    /// Takes what a delivery announced, if it belongs to a list that is in force and whose past is read, and reads the commits that it
    /// names. Anything else is left to the next run, which reads the lists.
    pub(super) async fn take(&mut self, announced: &Announced, may_read: MayRead) -> Result<(), Interruption> {
        let (store, id) = (self.collecting.store, self.repository.id);
        let lists = timed(&mut self.result.database, store.deployment_lists(id)).await?;
        let Some(list) = lists.iter().find(|list| is_on(announced, list)) else { return Ok(()) };
        let progress = timed(&mut self.result.database, store.deployment_progress(id, list)).await?;
        let created_at = match announced {
            Announced::Deployment(deployment, _) => deployment.created_at,
            Announced::Run(_, run) => run.deployment.created_at,
        };
        if progress.reading.is_some() || progress.covered_since.is_none_or(|covered| created_at < covered) {
            return Ok(());
        }
        let stored = match announced {
            Announced::Deployment(deployment, state) => {
                let stored = store.store_announced(&self.lease, deployment, state.as_ref(), self.now());
                timed(&mut self.result.database, Box::pin(stored)).await?
            }
            Announced::Run(_, run) => {
                let deployments = std::slice::from_ref(&run.deployment);
                let reported = Reported { list, deployments, complete_since: None };
                let stored = store.store_reported(&self.lease, reported, &progress, self.now());
                timed(&mut self.result.database, Box::pin(stored)).await?
            }
        };
        self.result.deployments += u32::try_from(stored).unwrap_or(u32::MAX);
        if may_read == MayRead::Yes && self.session.reads_details().await? {
            let read = self.commits().await.map(|()| None);
            // The next run says what kept them from being read.
            self.problem_of(read, CONTENTS)?;
        }
        Ok(())
    }
}

/// Whether what was announced is on a list.
fn is_on(announced: &Announced, list: &DeploymentList) -> bool {
    match announced {
        Announced::Deployment(..) => list.source == DeploymentSource::GithubDeployments,
        Announced::Run(workflow, run) => {
            let is_wanted = |branch: &String| run.branch() == Some(branch.as_str());
            list.source == DeploymentSource::GithubActions
                && list.options.workflow.as_ref() == Some(workflow)
                && list.options.branch.as_ref().is_none_or(is_wanted)
        }
    }
}
