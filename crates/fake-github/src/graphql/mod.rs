//! GraphQL: selects fields of pull requests and deployments by their ids, and of a repository's commits.

mod object;
mod selection;

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Page};
use crate::apps;
use crate::call::Call;
use crate::contract::time;
use crate::world::{Repository, World};
use selection::{Document, Field, Selection};

/// GitHub accepts at most this many ids.
const MAX_IDS: usize = 100;
/// GitHub returns at most this many nodes of a connection at once.
const MAX_FIRST: usize = 100;
/// The prefix of cursors.
const CURSOR: &str = "cursor:";

/// An entry of `errors`.
struct Refusal(Value);

impl Refusal {
    fn new(kind: &str, message: &str) -> Self {
        Self(json!({ "type": kind, "message": message }))
    }

    /// GitHub's error for a query that does not fit its schema.
    fn of_query(message: &str) -> Self {
        Self(json!({ "message": message, "extensions": { "code": "undefinedField" } }))
    }
}

/// The response to a query, and its cost in points.
pub(crate) fn answer(world: &World, call: &Call) -> (Answer, u32) {
    let body: Value = serde_json::from_str(&call.body).unwrap_or_default();
    let Some(query) = body["query"].as_str() else {
        return (
            Answer::error(StatusCode::BAD_REQUEST, "A query attribute must be specified and must be a string."),
            1,
        );
    };
    if query.contains("files(") && has_slow_files(world, &body["variables"]) {
        return (Answer::error(StatusCode::BAD_GATEWAY, "We couldn't respond to your request in time."), 1);
    }
    let (document, cost) = match Document::parse(query, &body["variables"]) {
        Ok(document) => {
            let cost = cost(&document);
            (Ok(document), cost)
        }
        Err(problem) => (Err(Refusal::of_query(&format!("Parse error: {problem}"))), 1),
    };
    let mut execution = Execution { world, call, cost, document: Document::default(), errors: Vec::new() };
    let data = document.and_then(|document| {
        execution.document = document;
        execution.query()
    });
    let answered = match data {
        Ok(data) if execution.errors.is_empty() => json!({ "data": data }),
        Ok(data) => json!({ "data": data, "errors": execution.errors }),
        Err(Refusal(error)) => json!({ "data": null, "errors": [error] }),
    };
    (Answer::page(StatusCode::OK, &Page::of(&answered, call.accepts_gzip())), cost)
}

/// Whether any of the pull requests that are asked for has files that take too long.
fn has_slow_files(world: &World, variables: &Value) -> bool {
    let ids = variables["ids"].as_array().into_iter().flatten().chain([&variables["id"]]);
    let numbers = ids.filter_map(|id| id.as_str()?.strip_prefix("PR_")?.parse().ok());
    let mut asked = numbers.filter_map(|number| world.pull_request(number));
    asked.any(|(repository, pull_request)| {
        world.repositories.get(&repository).is_some_and(|it| it.slow_files.contains(&pull_request.number))
    })
}

/// GitHub's response once the points are used up: 200.
pub(crate) fn used_up() -> Answer {
    let error = json!({
        "type": "RATE_LIMIT",
        "code": "graphql_rate_limit",
        "message": "API rate limit already exceeded for user ID 1.",
    });
    Answer::json(StatusCode::OK, &json!({ "errors": [error] }))
}

/// GitHub's response without a token: there is no limit to use up, and no data.
pub(crate) fn without_a_token() -> Answer {
    Answer::error(StatusCode::UNAUTHORIZED, "This endpoint requires you to be authenticated.")
        .saying("x-ratelimit-limit", "0")
        .saying("x-ratelimit-remaining", "0")
}

/// A hundredth of the requests needed to read every connection of every node, at least 1.
fn cost(document: &Document) -> u32 {
    let requests: usize = document
        .query
        .iter()
        .map(|selection| match selection {
            Selection::Field(field) => {
                let nodes = field.arguments.get("ids").and_then(Value::as_array).map_or(1, Vec::len);
                nodes * connections(&field.selection, document)
            }
            Selection::On(..) | Selection::Spread(_) => 1,
        })
        .sum();
    u32::try_from((requests + 50) / 100).unwrap_or(u32::MAX).max(1)
}

fn connections(selection: &[Selection], document: &Document) -> usize {
    let count = |selection: &Selection| match selection {
        Selection::Field(field) => usize::from(field.arguments.contains_key("first")),
        Selection::On(_, inner) => connections(inner, document),
        Selection::Spread(name) => document.fragments.get(name).map_or(0, |(_, inner)| connections(inner, document)),
    };
    selection.iter().map(count).sum()
}

struct Execution<'a> {
    world: &'a World,
    call: &'a Call,
    cost: u32,
    document: Document,
    errors: Vec<Value>,
}

impl Execution<'_> {
    fn query(&mut self) -> Result<Value, Refusal> {
        let mut data = Map::new();
        for selection in self.document.query.clone() {
            let Selection::Field(field) = selection else {
                return Err(Refusal::of_query("The fake has no fragments on Query"));
            };
            let value = match field.name.as_str() {
                "rateLimit" => self.select(&self.rate_limit(), &field)?,
                "node" => self.node(&field)?,
                "nodes" => self.nodes(&field)?,
                "repository" => self.repository(&field)?,
                other => return Err(Refusal::of_query(&format!("Field '{other}' doesn't exist on type 'Query'"))),
            };
            data.insert(field.key.clone(), value);
        }
        Ok(Value::Object(data))
    }

    fn rate_limit(&self) -> Value {
        let bucket = &self.world.limits.graphql;
        let reset: DateTime<Utc> = DateTime::from_timestamp(bucket.reset(), 0).unwrap_or_default();
        json!({
            "__typename": "RateLimit",
            "cost": self.cost,
            "limit": bucket.limit,
            "remaining": bucket.remaining().saturating_sub(self.cost),
            "used": bucket.used().saturating_add(self.cost),
            "resetAt": time(reset),
        })
    }

    fn node(&mut self, field: &Field) -> Result<Value, Refusal> {
        let id = field.arguments.get("id").and_then(Value::as_str);
        let id = id.ok_or_else(|| Refusal::of_query("Variable $id of type ID! was provided invalid value"))?;
        self.found(id, field, &json!([field.key]))
    }

    fn nodes(&mut self, field: &Field) -> Result<Value, Refusal> {
        let ids = field.arguments.get("ids").and_then(Value::as_array);
        let ids = ids.ok_or_else(|| Refusal::of_query("Variable $ids of type [ID!]! was provided invalid value"))?;
        if ids.len() > MAX_IDS {
            let message = format!("You may not provide more than {MAX_IDS} node ids; you provided {}.", ids.len());
            return Err(Refusal::new("ARGUMENT_LIMIT", &message));
        }
        if ids.len() > self.world.graphql_nodes {
            let message =
                "This query requests up to 603,360 possible nodes which exceeds the maximum limit of 500,000.";
            return Err(Refusal::new("MAX_NODE_LIMIT_EXCEEDED", message));
        }
        let mut nodes = Vec::new();
        for (index, id) in ids.iter().enumerate() {
            nodes.push(self.found(id.as_str().unwrap_or_default(), field, &json!([field.key, index]))?);
        }
        Ok(Value::Array(nodes))
    }

    /// The selected fields of the node with this id; null and an error if it does not exist.
    fn found(&mut self, id: &str, field: &Field, path: &Value) -> Result<Value, Refusal> {
        if let Some(object) = self.object(id) {
            let mut selected = self.select(&object, field)?;
            if self.world.are_commits_withheld {
                self.withhold_commits(&mut selected, path);
            }
            return Ok(selected);
        }
        let message = format!("Could not resolve to a node with the global id of '{id}'");
        self.errors.push(json!({ "type": "NOT_FOUND", "path": path, "message": message }));
        Ok(Value::Null)
    }

    /// Replaces each commit by null and an error.
    fn withhold_commits(&mut self, selected: &mut Value, path: &Value) {
        let commits = selected.pointer_mut("/commits/nodes").and_then(Value::as_array_mut);
        for (index, commit) in commits.into_iter().flatten().enumerate() {
            commit["commit"] = Value::Null;
            let below = [json!("commits"), json!("nodes"), json!(index), json!("commit")];
            let path: Vec<Value> = path.as_array().into_iter().flatten().cloned().chain(below).collect();
            let message = "Resource not accessible by personal access token";
            self.errors.push(json!({ "type": "FORBIDDEN", "path": path, "message": message }));
        }
    }

    /// A repository by its owner and name, with the commits that the selection asks for.
    fn repository(&mut self, field: &Field) -> Result<Value, Refusal> {
        let argument = |name: &str| field.arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        let full_name = format!("{}/{}", argument("owner"), argument("name"));
        let world = self.world;
        let found = world.find(&full_name).or_else(|| world.find_by_former_name(&full_name));
        let repository = found.and_then(|id| Some((id, world.repositories.get(&id)?)));
        let visible = repository.filter(|(_, repository)| apps::may_see_repository(world, self.call, repository));
        let Some((id, repository)) = visible else {
            let message = format!("Could not resolve to a Repository with the name '{full_name}'.");
            self.errors.push(json!({ "type": "NOT_FOUND", "path": [field.key], "message": message }));
            return Ok(Value::Null);
        };
        let mut selected = Map::new();
        for selection in &field.selection {
            match selection {
                Selection::Field(inner) if inner.name == "object" => {
                    let commit = self.commit(repository, inner)?;
                    selected.insert(inner.key.clone(), commit);
                }
                Selection::Field(inner) if inner.name == "releases" => {
                    let releases = self.select(&object::releases(repository), inner)?;
                    selected.insert(inner.key.clone(), releases);
                }
                Selection::Field(inner) if inner.name == "refs" => {
                    let tags = self.select(&object::tags(repository), inner)?;
                    selected.insert(inner.key.clone(), tags);
                }
                Selection::Field(inner) => {
                    let object = json!({ "__typename": "Repository", "id": format!("R_{id}"), "nameWithOwner": repository.full_name });
                    let value = object.get(&inner.name).cloned().ok_or_else(|| {
                        Refusal::of_query(&format!("Field '{}' doesn't exist on type 'Repository'", inner.name))
                    })?;
                    selected.insert(inner.key.clone(), value);
                }
                Selection::On(..) | Selection::Spread(_) => {
                    return Err(Refusal::of_query("The fake has no fragments on Repository"));
                }
            }
        }
        Ok(Value::Object(selected))
    }

    /// A commit by its id; null if it does not exist or is withheld.
    fn commit(&mut self, repository: &Repository, field: &Field) -> Result<Value, Refusal> {
        let oid = field.arguments.get("oid").and_then(Value::as_str).unwrap_or_default();
        if oid.len() != 40 || !oid.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Refusal::of_query("Variable $oid of type GitObjectID! was provided invalid value"));
        }
        if self.world.are_commits_withheld {
            let message = "Resource not accessible by personal access token";
            self.errors.push(json!({ "type": "FORBIDDEN", "path": ["repository", field.key], "message": message }));
            return Ok(Value::Null);
        }
        let history = field_named(&field.selection, "history");
        let wanted = history.map(|history| -> Result<_, Refusal> {
            let start = start_of(history)?;
            Ok(start..start + MAX_FIRST)
        });
        match object::commit(&repository.commits, oid, wanted.transpose()?) {
            Some(commit) => self.select(&commit, field),
            None => Ok(Value::Null),
        }
    }

    fn object(&self, id: &str) -> Option<Value> {
        if let Some(id) = id.strip_prefix("DE_") {
            let (repository, deployment) = self.world.deployment(id.parse().ok()?)?;
            let is_visible =
                !repository.are_deployments_hidden && apps::may_see_repository(self.world, self.call, repository);
            return is_visible.then(|| object::deployment(&deployment));
        }
        let number = id.strip_prefix("PR_")?.parse().ok()?;
        let (repository_id, pull_request) = self.world.pull_request(number)?;
        let repository = self.world.repositories.get(&repository_id)?;
        let is_refused = matches!(self.world.broken.get(&repository.full_name.to_lowercase()), Some(403 | 404));
        let is_visible = !is_refused && apps::may_see(self.world, self.call, repository.owner());
        is_visible.then(|| {
            let mut object = object::pull_request(pull_request, repository_id, repository);
            if let Some(commits) = object["commits"]["nodes"].as_array_mut() {
                commits.truncate(self.world.listed_commits);
            }
            object
        })
    }

    /// The selected fields of a field's value.
    fn select(&self, value: &Value, field: &Field) -> Result<Value, Refusal> {
        match value {
            Value::Object(object) => {
                if field.selection.is_empty() {
                    return Err(Refusal::of_query(&format!("Field '{}' must have selections", field.name)));
                }
                let mut selected = Map::new();
                let page = Some(object).filter(|object| is_connection(object)).map(|object| page_of(object, field));
                let mut object = page.transpose()?.unwrap_or_else(|| object.clone());
                if self.world.is_every_cursor_the_same
                    && is_connection(&object)
                    && object["pageInfo"]["hasNextPage"] == true
                {
                    object["pageInfo"]["endCursor"] = json!(format!("{CURSOR}1"));
                }
                self.select_fields(&object, &field.selection, &mut selected)?;
                Ok(Value::Object(selected))
            }
            Value::Array(items) => items.iter().map(|item| self.select(item, field)).collect(),
            other => Ok(other.clone()),
        }
    }

    fn select_fields(
        &self,
        object: &Map<String, Value>,
        selection: &[Selection],
        selected: &mut Map<String, Value>,
    ) -> Result<(), Refusal> {
        let kind = object.get("__typename").and_then(Value::as_str).unwrap_or_default();
        for selection in selection {
            match selection {
                Selection::Field(field) => {
                    let value = object.get(&field.name).ok_or_else(|| {
                        Refusal::of_query(&format!("Field '{}' doesn't exist on type '{kind}'", field.name))
                    })?;
                    selected.insert(field.key.clone(), self.select(value, field)?);
                }
                Selection::On(on, inner) if on.as_deref().is_none_or(|on| is_a(kind, on)) => {
                    self.select_fields(object, inner, selected)?;
                }
                Selection::On(..) => {}
                Selection::Spread(name) => match self.document.fragments.get(name) {
                    Some((on, inner)) if is_a(kind, on) => self.select_fields(object, inner, selected)?,
                    Some(_) => {}
                    None => return Err(Refusal::of_query(&format!("Fragment {name} was used, but not defined"))),
                },
            }
        }
        Ok(())
    }
}

/// The field with this name, also inside fragments that are written in place.
fn field_named<'a>(selection: &'a [Selection], name: &str) -> Option<&'a Field> {
    selection.iter().find_map(|selection| match selection {
        Selection::Field(field) => (field.name == name).then_some(field),
        Selection::On(_, inner) => field_named(inner, name),
        Selection::Spread(_) => None,
    })
}

/// Whether an object of this type matches a fragment's type, which may be an interface.
fn is_a(kind: &str, on: &str) -> bool {
    let is_account = matches!(kind, "User" | "Bot" | "Organization" | "Mannequin" | "EnterpriseUserAccount");
    kind == on || on == "Node" || (on == "GitObject" && kind == "Commit") || (on == "Actor" && is_account)
}

fn is_connection(object: &Map<String, Value>) -> bool {
    object.get("__typename").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("Connection"))
}

/// The part of a connection that its field's arguments ask for.
fn page_of(connection: &Map<String, Value>, field: &Field) -> Result<Map<String, Value>, Refusal> {
    let name = &field.name;
    let first = field.arguments.get("first").and_then(Value::as_u64).and_then(|first| usize::try_from(first).ok());
    let first = first.ok_or_else(|| {
        let message =
            format!("You must provide a `first` or `last` value to properly paginate the `{name}` connection.");
        Refusal::new("MISSING_PAGINATION_BOUNDARIES", &message)
    })?;
    if first > MAX_FIRST {
        let message = format!(
            "Requesting {first} records on the `{name}` connection exceeds the `first` limit of {MAX_FIRST} records."
        );
        return Err(Refusal::new("EXCESSIVE_PAGINATION", &message));
    }
    let all = connection.get("nodes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let all: Vec<&Value> = all.iter().filter(|item| is_of_wanted_type(item, field)).collect();
    let start = start_of(field)?.min(all.len());
    let end = all.len().min(start + first);
    let mut page = connection.clone();
    page.insert("nodes".to_owned(), all[start..end].iter().copied().cloned().collect());
    let end_cursor = (start < end).then(|| format!("{CURSOR}{end}"));
    let page_info = json!({
        "__typename": "PageInfo",
        "hasNextPage": end < all.len(),
        "hasPreviousPage": start > 0,
        "startCursor": (start < end).then(|| format!("{CURSOR}{}", start + 1)),
        "endCursor": end_cursor,
    });
    page.insert("pageInfo".to_owned(), page_info);
    Ok(page)
}

fn start_of(field: &Field) -> Result<usize, Refusal> {
    let Some(after) = field.arguments.get("after").filter(|after| !after.is_null()) else { return Ok(0) };
    let start = after.as_str().and_then(|after| after.strip_prefix(CURSOR)).and_then(|number| number.parse().ok());
    start.ok_or_else(|| {
        Refusal::new("INVALID_CURSOR_ARGUMENTS", &format!("`{after}` does not appear to be a valid cursor."))
    })
}

/// Whether `itemTypes` names the item's type: `READY_FOR_REVIEW_EVENT` for `ReadyForReviewEvent`.
fn is_of_wanted_type(item: &Value, field: &Field) -> bool {
    let kind = item["__typename"].as_str().unwrap_or_default();
    let wanted = field.arguments.get("itemTypes").and_then(Value::as_array);
    wanted.is_none_or(|wanted| {
        wanted.iter().filter_map(Value::as_str).any(|name| name.replace('_', "").eq_ignore_ascii_case(kind))
    })
}
