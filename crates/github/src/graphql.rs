//! GraphQL: queries, their errors and their pages.

use std::collections::HashSet;

use http::Method;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

use crate::client::{GitHubRequest, GitHubSession};
use crate::text::{Text, sentence};
use crate::{GitHubError, Limit, Refusal};

/// The most ids that `nodes(ids:)` accepts.
const MAX_IDS: usize = 100;
/// The page limit for one list of a node: 5,000 reviews of a pull request. Later pages are ignored.
const MAX_PAGES: u32 = 50;
/// After this many server failures in a row, it is asked something else, and given up if it does not answer that. Finding a broken
/// node among a hundred takes eight.
const MAX_FAILURES: usize = 12;
/// After this many times so many failures, with nothing that could be read, the rest is left for another time.
const MAX_ROUNDS: usize = 3;
/// A query that takes no work.
const RATE_LIMIT: &str = "query RateLimit { rateLimit { cost } }";

#[derive(Deserialize)]
struct Envelope<T> {
    data: Option<T>,
    #[serde(default)]
    errors: Option<Vec<ErrorItem>>,
}

#[derive(Deserialize)]
struct ErrorItem {
    #[serde(rename = "type", default)]
    kind: Option<Text>,
    #[serde(default)]
    message: Text,
    /// Names and indexes, starting below `data`.
    #[serde(default)]
    path: Vec<Value>,
}

#[derive(Deserialize, Default)]
pub(crate) struct Cost {
    pub(crate) cost: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RateLimited {
    rate_limit: Cost,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Nodes<N> {
    #[serde(default)]
    rate_limit: Option<Cost>,
    nodes: Vec<Option<N>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct More<T> {
    #[serde(default)]
    rate_limit: Option<Cost>,
    node: Option<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Connection<T> {
    /// The number on all pages, if the query asks for it.
    #[serde(default)]
    pub(crate) total_count: Option<usize>,
    #[serde(default)]
    pub(crate) page_info: PageInfo,
    pub(crate) nodes: Vec<T>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PageInfo {
    pub(crate) has_next_page: bool,
    end_cursor: Option<String>,
}

impl PageInfo {
    /// Where the next page starts, if there is one, given the cursors of the pages so far.
    ///
    /// # Errors
    /// [`GitHubError::InvalidAnswer`] if there is one, but not where, or if an earlier page started there: such pages never
    /// end.
    pub(crate) fn next(&self, so_far: &mut HashSet<String>) -> Result<Option<String>, GitHubError> {
        match &self.end_cursor {
            _ if !self.has_next_page => Ok(None),
            None => Err(GitHubError::invalid("a page announces another one, but does not say where it starts")),
            Some(cursor) if so_far.insert(cursor.clone()) => Ok(Some(cursor.clone())),
            Some(_) => Err(GitHubError::invalid("the pages of a list form a loop")),
        }
    }
}

/// A node that is read by its id.
pub(crate) trait Node: DeserializeOwned + Send {
    /// What such nodes are called.
    const NAME: &str;
    /// What is known of it once all its lists are read.
    type Complete: Send;

    fn id(&self) -> &str;

    /// Whether its values are possible.
    fn check(&self) -> Result<(), GitHubError>;

    /// Reads what is missing.
    fn complete(self, session: &GitHubSession) -> impl Future<Output = Result<Self::Complete, GitHubError>> + Send;
}

impl GitHubSession {
    /// Reads nodes by their ids and completes each of them, or says why it is missing. A batch that GitHub cannot return
    /// is split in halves. A batch that GitHub refuses for each node is not split. Where GitHub fails at one node after another, the
    /// rest is left out.
    ///
    /// # Errors
    /// Errors that concern all of them: a limit, the token, the connection to GitHub.
    pub(crate) async fn each_node<N: Node>(
        &self,
        query: &str,
        ids: &[String],
    ) -> Result<Vec<(String, Result<N::Complete, GitHubError>)>, GitHubError> {
        // Lists repeat what moved from one page to the next.
        let mut unique = HashSet::new();
        let ids: Vec<String> = ids.iter().filter(|id| unique.insert(*id)).cloned().collect();
        let mut completed = Vec::with_capacity(ids.len());
        let mut batches: Vec<&[String]> = ids.chunks(MAX_IDS).rev().collect();
        let (mut failures, mut rounds) = (0, 0);
        while let Some(batch) = batches.pop() {
            match self.graphql(query, json!({ "ids": batch }), |body| decode(body, batch)).await {
                Ok(nodes) => {
                    failures = 0;
                    self.complete_all::<N>(nodes, &mut completed).await?;
                }
                Err(error) if !concerns_the_batch(&error) => return Err(error),
                Err(error) => {
                    // Each request takes several tries: a server that fails at every request is not asked a hundred
                    // times.
                    failures += usize::from(error.wants_smaller_page());
                    if failures == MAX_FAILURES {
                        // Broken neighbors look like a broken server, which does not answer this either.
                        let answered = self.graphql(RATE_LIMIT, json!({}), |body| {
                            let Cost { cost } = data::<RateLimited>(body, 0)?.rate_limit;
                            Ok(Decoded { data: (), cost })
                        });
                        if let Err(refused) = answered.await {
                            return Err(if concerns_the_batch(&refused) { error } else { refused });
                        }
                        failures = 0;
                        rounds += 1;
                        if rounds == MAX_ROUNDS && !completed.is_empty() && completed.iter().all(|(_, it)| it.is_err())
                        {
                            // The rest can be asked for another time.
                            break;
                        }
                    }
                    if let [id] = batch {
                        completed.push((id.clone(), Err(error)));
                    } else if is_refusal(&error) {
                        completed.extend(batch.iter().map(|id| (id.clone(), Err(error.clone()))));
                    } else {
                        let (first, second) = batch.split_at(batch.len() / 2);
                        batches.extend([second, first]);
                    }
                }
            }
        }
        Ok(completed)
    }

    /// Reads what is missing of nodes.
    async fn complete_all<N: Node>(
        &self,
        nodes: Vec<N>,
        completed: &mut Vec<(String, Result<N::Complete, GitHubError>)>,
    ) -> Result<(), GitHubError> {
        for node in nodes {
            let id = node.id().to_owned();
            match node.complete(self).await {
                Err(error) if !concerns_the_batch(&error) => return Err(error),
                outcome => completed.push((id, outcome)),
            }
        }
        Ok(())
    }

    /// Sends a query, counts its cost, and decodes the response.
    ///
    /// # Errors
    /// Any error from GitHub or the connection to it.
    pub(crate) async fn graphql<T>(
        &self,
        query: &str,
        variables: Value,
        read: impl Fn(&[u8]) -> Result<Decoded<T>, GitHubError>,
    ) -> Result<T, GitHubError> {
        let request = GitHubRequest {
            method: Method::POST,
            body: Some(json!({ "query": query, "variables": variables })),
            ..GitHubRequest::get(self.github.graphql_url())
        };
        let url = request.url.to_string();
        let reported = self
            .send(request, |answer| {
                read(&answer.body()?).map_err(|error| match error {
                    // The limit comes with status 200; its reset is in the headers.
                    GitHubError::RateLimited { limit: Limit::Primary, retry_in: None } => GitHubError::RateLimited {
                        limit: Limit::Primary,
                        retry_in: answer.limit().map(|(_, reported)| reported.reset_in),
                    },
                    other => other,
                })
            })
            .await
            .map_err(|error| if error == GitHubError::NotFound { GitHubError::NoGraphql { url } } else { error })?;
        self.count(|usage| usage.graphql_points += reported.cost);
        Ok(reported.data)
    }

    /// Reads the remaining pages of a list, at most [`MAX_PAGES`]: its `page_info` then says whether there are more. What was read
    /// before an error is kept.
    pub(crate) async fn rest<T, M: DeserializeOwned>(
        &self,
        query: &str,
        id: &str,
        list: &mut Connection<T>,
        list_of: impl Fn(M) -> Connection<T>,
    ) -> Result<(), GitHubError> {
        let mut cursors = HashSet::new();
        let mut after = list.page_info.next(&mut cursors)?;
        for _ in 0..MAX_PAGES {
            let Some(cursor) = after else { break };
            let more = list_of(self.more(query, id, &cursor).await?);
            list.nodes.extend(more.nodes);
            after = more.page_info.next(&mut cursors)?;
            list.page_info = more.page_info;
        }
        Ok(())
    }

    async fn more<T: DeserializeOwned>(&self, query: &str, id: &str, after: &str) -> Result<T, GitHubError> {
        self.graphql(query, json!({ "id": id, "after": after }), |body| {
            let More { rate_limit, node } = data::<More<T>>(body, 1)?;
            let node = node.ok_or_else(|| GitHubError::PartialAnswer { reason: "a node is missing".to_owned() })?;
            Ok(Decoded { data: node, cost: rate_limit.unwrap_or_default().cost })
        })
        .await
    }
}

/// Data with its cost in points.
pub(crate) struct Decoded<T> {
    pub(crate) data: T,
    pub(crate) cost: u32,
}

/// Whether an error may be caused by one node of the batch or by the size of the batch, or applies to each of
/// them.
fn concerns_the_batch(error: &GitHubError) -> bool {
    is_of_the_batch(error) || is_refusal(error)
}

/// Whether an error may be caused by one node of the batch or by the size of the batch.
pub(crate) fn is_of_the_batch(error: &GitHubError) -> bool {
    error.wants_smaller_page()
        || matches!(
            error,
            GitHubError::PartialAnswer { .. } | GitHubError::NodeNotFound { .. } | GitHubError::InvalidAnswer { .. }
        )
}

/// Whether an error would repeat for each node when requested alone.
fn is_refusal(error: &GitHubError) -> bool {
    matches!(error, GitHubError::InsufficientPermission | GitHubError::Forbidden { .. })
}

/// The data of a response for `asked` nodes, if it has no errors. GraphQL responds with status 200 to errors,
/// sometimes with partial data, which is discarded.
pub(crate) fn data<T: DeserializeOwned>(body: &[u8], asked: usize) -> Result<T, GitHubError> {
    let envelope: Envelope<T> = serde_json::from_slice(body).map_err(|error| {
        // Errors first: with errors, the data may have any shape.
        match serde_json::from_slice::<Envelope<IgnoredAny>>(body) {
            Ok(Envelope { errors: Some(errors), .. }) if !errors.is_empty() => refusal(&errors, asked),
            _ => GitHubError::invalid(error.to_string()),
        }
    })?;
    match envelope {
        Envelope { errors: Some(errors), .. } if !errors.is_empty() => Err(refusal(&errors, asked)),
        Envelope { data: Some(data), .. } => Ok(data),
        Envelope { data: None, .. } => Err(GitHubError::invalid("neither data nor errors")),
    }
}

fn refusal(errors: &[ErrorItem], asked: usize) -> GitHubError {
    let is = |kind: &str| errors.iter().any(|error| error.kind.as_deref() == Some(kind));
    let says = |text: &str| errors.iter().any(|error| error.message.to_lowercase().contains(text));
    if is("RATE_LIMITED") || is("RATE_LIMIT") {
        return GitHubError::RateLimited { limit: Limit::Primary, retry_in: None };
    }
    if says("secondary rate limit") {
        return GitHubError::RateLimited { limit: Limit::Secondary, retry_in: None };
    }
    let reason = reason(errors);
    if is("MAX_NODE_LIMIT_EXCEEDED") || is("RESOURCE_LIMITS_EXCEEDED") || says("timeout") || says("timed out") {
        return GitHubError::TooMuch { reason };
    }
    let refused = |error: &ErrorItem| error.kind.as_deref() == Some("FORBIDDEN");
    if let Some(first) = errors.first().filter(|_| errors.iter().all(refused)) {
        // A rule of the organization, not a permission: it applies to all requests.
        let cause = Refusal::of(&first.message);
        if cause != Refusal::Permission {
            return GitHubError::Forbidden { cause, message: sentence(&first.message.clean()) };
        }
    }
    // Commits of private repositories, for a token without *Contents*. All other data would be available.
    if errors.iter().all(refused) && nodes_named(errors) == Some(asked) {
        return GitHubError::InsufficientPermission;
    }
    let is_missing = |error: &ErrorItem| {
        error.kind.as_deref() == Some("NOT_FOUND")
            && matches!(error.path.len(), 1 | 2)
            && nodes_named([error]) == Some(1)
    };
    if asked == 1 && errors.iter().all(is_missing) {
        return GitHubError::NodeNotFound { reason };
    }
    GitHubError::PartialAnswer { reason }
}

/// GitHub's own message, from the first error.
fn reason(errors: &[ErrorItem]) -> String {
    let Some(ErrorItem { kind, message, .. }) = errors.first() else { return "an error".to_owned() };
    let (kind, message) = (kind.as_ref().map(Text::clean).unwrap_or_default(), message.clean());
    let reason = match (kind.as_str(), without_node_id(&message)) {
        ("", "") => "an error without a message".to_owned(),
        ("", words) | (words, "") => words.to_owned(),
        (kind, message) => format!("{message} ({kind})"),
    };
    sentence(&reason)
}

/// GitHub's message without the node id at its end, which does not help anyone to find it.
fn without_node_id(message: &str) -> &str {
    message.split_once(" with the global id of ").map_or(message, |(sentence, _)| sentence)
}

/// How many nodes the errors are about; `None` if an error does not name a node.
fn nodes_named<'a>(errors: impl IntoIterator<Item = &'a ErrorItem>) -> Option<usize> {
    let named: Option<HashSet<u64>> = errors
        .into_iter()
        .map(|error| match error.path.as_slice() {
            [Value::String(nodes), index, ..] if nodes == "nodes" => index.as_u64(),
            [Value::String(one), ..] if matches!(one.as_str(), "node" | "repository") => Some(0),
            _ => None,
        })
        .collect();
    named.map(|named| named.len())
}

/// Decodes a response for these nodes. It must contain each of them once, in any order.
pub(crate) fn decode<N: Node>(body: &[u8], ids: &[String]) -> Result<Decoded<Vec<N>>, GitHubError> {
    let Nodes { rate_limit, nodes } = data::<Nodes<N>>(body, ids.len())?;
    let wanted: HashSet<&str> = ids.iter().map(String::as_str).collect();
    let nodes: Vec<N> = nodes.into_iter().flatten().filter(|node| wanted.contains(node.id())).collect();
    let reported: HashSet<&str> = nodes.iter().map(Node::id).collect();
    if reported.len() != ids.len() || nodes.len() != ids.len() {
        let reason = format!("{} of {} {} returned", reported.len(), ids.len(), N::NAME);
        return Err(GitHubError::PartialAnswer { reason });
    }
    nodes.iter().try_for_each(Node::check)?;
    Ok(Decoded { data: nodes, cost: rate_limit.unwrap_or_default().cost })
}
