//! The state of the fake GitHub, and how it changes.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::RecordedRequest;
use crate::app::App;
use crate::call::Layout;
use crate::faults::{Fault, Refused};
use crate::history::Commits;
use crate::limits::Limits;
use crate::pages::Pages;
use crate::{FakeDeployment, FakeIssue, FakePullRequest, FakeRelease, FakeRun, FakeTag, FakeTeam, FakeUser};

/// The first repository's number: beyond 2^31, like real ones.
const FIRST_REPOSITORY: i64 = 5_000_000_000;
/// The offset for a pull request's number that another repository already uses.
const RENUMBERING: i64 = 1_000_000_000_000;

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(crate) struct Repository {
    pub(crate) full_name: String,
    /// When it was created; `None` until its first pull request.
    pub(crate) created_at: Option<DateTime<Utc>>,
    /// When the first of its pull requests was opened.
    pub(crate) first_opened_at: Option<DateTime<Utc>>,
    pub(crate) is_archived: bool,
    /// Whether a user's repository is private. Organizations' repositories always are, but the token's account is a
    /// member.
    pub(crate) is_private: bool,
    /// Accounts that a private repository is shared with.
    pub(crate) collaborators: BTreeSet<String>,
    /// How it lists its pull requests.
    pub(crate) list: PullRequestList,
    /// Pull requests that no response can show, with the status that comes instead.
    pub(crate) unreadable: BTreeMap<i64, u16>,
    /// Pull requests whose files GitHub takes too long to list.
    pub(crate) slow_files: BTreeSet<i64>,
    /// Pull requests that no list can show, with the status that comes instead.
    pub(crate) unlistable: BTreeMap<i64, u16>,
    /// Pull requests that are not found alone.
    pub(crate) hidden: BTreeSet<i64>,
    pub(crate) pull_requests: BTreeMap<i64, FakePullRequest>,
    pub(crate) deployments: BTreeMap<i64, FakeDeployment>,
    /// By number.
    pub(crate) issues: BTreeMap<i64, FakeIssue>,
    /// Whether the token may read issues. If not, they are not found.
    pub(crate) are_issues_hidden: bool,
    /// Whether the token may read deployments. If not, they are not found.
    pub(crate) are_deployments_hidden: bool,
    /// By id.
    pub(crate) runs: BTreeMap<i64, FakeRun>,
    /// Whether the token may read Actions. If not, they are not found.
    pub(crate) are_actions_hidden: bool,
    /// By id.
    pub(crate) releases: BTreeMap<i64, FakeRelease>,
    /// By name.
    pub(crate) tags: BTreeMap<String, FakeTag>,
    pub(crate) commits: Commits,
    /// Cached pages, until something changes.
    pub(crate) pages: Pages,
}

/// What a repository lists of its pull requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PullRequestList {
    Whole,
    /// No pull requests, although each of them exists.
    Empty,
    /// Pull requests are switched off in its settings.
    SwitchedOff,
}

impl Repository {
    /// When it was created; `None` for an empty one without a known time.
    pub(crate) fn creation(&self) -> Option<DateTime<Utc>> {
        self.created_at.or(self.first_opened_at)
    }

    pub(crate) fn owner(&self) -> &str {
        self.full_name.split('/').next().unwrap_or_default()
    }

    /// The deployments, newest first.
    pub(crate) fn all_deployments(&self) -> Vec<FakeDeployment> {
        let mut all: Vec<_> = self.deployments.values().map(|it| it.as_ended_by(self.deployments.values())).collect();
        all.sort_by_key(|it| std::cmp::Reverse((it.created_at, it.id)));
        all
    }

    /// The runs of all workflows, newest first.
    pub(crate) fn all_runs(&self) -> Vec<&FakeRun> {
        let mut all: Vec<_> = self.runs.values().collect();
        all.sort_by_key(|it| std::cmp::Reverse((it.created_at, it.id)));
        all
    }

    /// The files of the workflows that ever ran.
    pub(crate) fn workflows(&self) -> BTreeSet<&str> {
        self.runs.values().map(|run| run.workflow.as_str()).collect()
    }

    pub(crate) fn deployment(&self, id: i64) -> Option<FakeDeployment> {
        self.deployments.get(&id).map(|it| it.as_ended_by(self.deployments.values()))
    }
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) address: String,
    pub(crate) layout: Layout,
    pub(crate) repositories: BTreeMap<i64, Repository>,
    repositories_created: i64,
    /// Former names of repositories: they redirect.
    former_names: HashMap<String, i64>,
    /// Repository and number of every pull request that ever existed, by its number across all of GitHub.
    places: HashMap<i64, (i64, i64)>,
    /// Accounts by number.
    users: BTreeMap<i64, FakeUser>,
    /// In the order in which they were created. Their numbers follow from it.
    pub(crate) teams: Vec<FakeTeam>,
    /// Members of organizations, besides those of teams: login of the organization in lower case, and account.
    pub(crate) organization_members: Vec<(String, FakeUser)>,
    /// Faults by repository or path (in lower case), each for one response.
    pub(crate) faults: HashMap<String, VecDeque<Fault>>,
    /// Statuses that a repository responds with until further notice.
    pub(crate) broken: HashMap<String, u16>,
    /// Owners whose requests are all refused, in lower case.
    pub(crate) refused: HashMap<String, Refused>,
    pub(crate) token: Option<String>,
    /// The account of the token.
    pub(crate) token_owner: FakeUser,
    pub(crate) token_expiration: Option<String>,
    pub(crate) app: Option<App>,
    pub(crate) latency: Duration,
    pub(crate) limits: Limits,
    /// GraphQL refuses more ids than this in one query.
    pub(crate) graphql_nodes: usize,
    /// GraphQL lists at most this many commits of a pull request, but counts all of them.
    pub(crate) listed_commits: usize,
    pub(crate) is_every_cursor_the_same: bool,
    /// Whether GraphQL refuses commits.
    pub(crate) are_commits_withheld: bool,
    pub(crate) requests: Vec<RecordedRequest>,
    pub(crate) under_way: usize,
    pub(crate) most_at_once: usize,
    /// A change after this many more responses, to update something while a client pages.
    pub(crate) pending: VecDeque<(u32, FakePullRequest)>,
    /// Pull requests that vanish after this many more responses: repository and number.
    pub(crate) vanishing: VecDeque<(u32, String, Option<i64>)>,
    /// Pages with more pull requests than this have this status.
    pub(crate) largest_page: Option<(usize, u16)>,
    /// The start of links in responses, if it differs from the address.
    pub(crate) links: Option<String>,
}

impl World {
    pub(crate) fn new(address: String, layout: Layout) -> Self {
        Self {
            address,
            layout,
            repositories: BTreeMap::new(),
            repositories_created: 0,
            former_names: HashMap::new(),
            places: HashMap::new(),
            users: BTreeMap::new(),
            teams: Vec::new(),
            organization_members: Vec::new(),
            faults: HashMap::new(),
            broken: HashMap::new(),
            refused: HashMap::new(),
            token: None,
            token_owner: FakeUser::person("collector"),
            token_expiration: None,
            app: None,
            latency: Duration::ZERO,
            limits: Limits::default(),
            graphql_nodes: usize::MAX,
            listed_commits: usize::MAX,
            is_every_cursor_the_same: false,
            are_commits_withheld: false,
            requests: Vec::new(),
            under_way: 0,
            most_at_once: 0,
            pending: VecDeque::new(),
            vanishing: VecDeque::new(),
            largest_page: None,
            links: None,
        }
    }

    pub(crate) fn find(&self, full_name: &str) -> Option<i64> {
        let found =
            self.repositories.iter().find(|(_, repository)| repository.full_name.eq_ignore_ascii_case(full_name));
        found.map(|(id, _)| *id)
    }

    /// The repository that had this name before, if it still exists.
    pub(crate) fn find_by_former_name(&self, full_name: &str) -> Option<i64> {
        self.former_names.get(&full_name.to_lowercase()).copied().filter(|id| self.repositories.contains_key(id))
    }

    /// The repository with this name; it is created if necessary.
    pub(crate) fn repository(&mut self, full_name: &str) -> &mut Repository {
        let id = self.find(full_name).unwrap_or_else(|| {
            self.repositories_created += 1;
            FIRST_REPOSITORY + self.repositories_created - 1
        });
        self.repositories.entry(id).or_insert_with(|| Repository {
            full_name: full_name.to_owned(),
            created_at: None,
            first_opened_at: None,
            is_archived: false,
            is_private: false,
            collaborators: BTreeSet::new(),
            list: PullRequestList::Whole,
            unreadable: BTreeMap::new(),
            slow_files: BTreeSet::new(),
            unlistable: BTreeMap::new(),
            hidden: BTreeSet::new(),
            pull_requests: BTreeMap::new(),
            deployments: BTreeMap::new(),
            issues: BTreeMap::new(),
            are_issues_hidden: false,
            are_deployments_hidden: false,
            runs: BTreeMap::new(),
            are_actions_hidden: false,
            releases: BTreeMap::new(),
            tags: BTreeMap::new(),
            commits: Commits::default(),
            pages: Pages::default(),
        })
    }

    /// Changes a repository, which makes its cached pages stale.
    pub(crate) fn change(&mut self, full_name: &str, change: impl FnOnce(&mut Repository)) {
        let repository = self.repository(full_name);
        repository.pages.clear();
        change(repository);
    }

    pub(crate) fn put(&mut self, mut pull_request: FakePullRequest) {
        self.repository(&pull_request.repository);
        let Some(repository) = self.find(&pull_request.repository) else { return };
        while self.places.get(&pull_request.id).is_some_and(|(other, _)| *other != repository) {
            pull_request.id += RENUMBERING;
        }
        self.places.insert(pull_request.id, (repository, pull_request.number));
        let reviewers = pull_request.reviews.iter().filter_map(|review| review.user.as_ref());
        for user in pull_request.user.iter().chain(reviewers) {
            self.users.entry(user.id).or_insert_with(|| user.clone());
        }
        self.change(&pull_request.repository.clone(), |repository| {
            let opened_at = pull_request.created_at;
            repository.first_opened_at =
                Some(repository.first_opened_at.map_or(opened_at, |first| first.min(opened_at)));
            repository.pull_requests.insert(pull_request.number, pull_request);
        });
    }

    pub(crate) fn put_what_is_due(&mut self) {
        for (answers, _) in &mut self.pending {
            *answers = answers.saturating_sub(1);
        }
        while let Some((_, pull_request)) = self.pending.pop_front_if(|(answers, _)| *answers == 0) {
            self.put(pull_request);
        }
        for (answers, ..) in &mut self.vanishing {
            *answers = answers.saturating_sub(1);
        }
        while let Some((_, repository, number)) = self.vanishing.pop_front_if(|(answers, ..)| *answers == 0) {
            match number {
                None => self.delete_repository(&repository),
                Some(number) => self.change(&repository, |repository| {
                    repository.pull_requests.remove(&number);
                }),
            }
        }
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        self.repository(from);
        if let Some(id) = self.find(from) {
            self.former_names.insert(from.to_lowercase(), id);
        }
        self.change(from, |repository| to.clone_into(&mut repository.full_name));
    }

    pub(crate) fn delete_repository(&mut self, full_name: &str) {
        if let Some(id) = self.find(full_name) {
            self.repositories.remove(&id);
        }
    }

    pub(crate) fn add_user(&mut self, user: FakeUser) {
        self.users.insert(user.id, user);
        // Every page shows whether an owner is an organization.
        self.repositories.values_mut().for_each(|repository| repository.pages.clear());
    }

    /// The pull request with this number across all of GitHub, and its repository's number.
    pub(crate) fn pull_request(&self, id: i64) -> Option<(i64, &FakePullRequest)> {
        let (repository, number) = *self.places.get(&id)?;
        let pull_request = self.repositories.get(&repository)?.pull_requests.get(&number)?;
        (pull_request.id == id).then_some((repository, pull_request))
    }

    /// The deployment with this number, and its repository.
    pub(crate) fn deployment(&self, id: i64) -> Option<(&Repository, FakeDeployment)> {
        let repository = self.repositories.values().find(|repository| repository.deployments.contains_key(&id))?;
        Some((repository, repository.deployment(id)?))
    }

    /// The account with this login. An owner of repositories without an account is an organization.
    pub(crate) fn user(&self, login: &str) -> Option<FakeUser> {
        let known = self.users.values().chain([&self.token_owner]).find(|user| user.login.eq_ignore_ascii_case(login));
        known.cloned().or_else(|| self.organizations().find(|owner| owner.login.eq_ignore_ascii_case(login)))
    }

    /// The account with this number.
    pub(crate) fn user_of_id(&self, id: i64) -> Option<FakeUser> {
        self.users.get(&id).cloned().or_else(|| self.organizations().find(|owner| owner.id == id))
    }

    /// The members of an organization who are in none of its teams.
    pub(crate) fn organization_members(&self, login: &str) -> impl Iterator<Item = &FakeUser> {
        let login = login.to_lowercase();
        self.organization_members.iter().filter(move |(organization, _)| *organization == login).map(|(_, user)| user)
    }

    /// The owners of repositories and of teams, as organizations.
    fn organizations(&self) -> impl Iterator<Item = FakeUser> {
        let mut owners: BTreeSet<&str> = self.repositories.values().map(Repository::owner).collect();
        owners.extend(self.teams.iter().map(|team| team.organization.as_str()));
        owners.into_iter().map(FakeUser::organization)
    }

    /// The owner of a repository.
    pub(crate) fn owner_of(&self, repository: &Repository) -> FakeUser {
        self.user(repository.owner()).unwrap_or_else(|| FakeUser::organization(repository.owner()))
    }
}

pub(crate) fn is_organization(account: &FakeUser) -> bool {
    account.kind == "Organization"
}
