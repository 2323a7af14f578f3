//! GitHub's pull request, reduced to the fields that Mergeline uses.
//!
//! Source: GitHub, "List pull requests". A full object is about 20 kB; only these fields are deserialized.

use chrono::{DateTime, Datelike, Utc};
use mergeline_domain::{AccountKind, Author, Login, PullRequest, State};
use mergeline_source::{RepositoryIdentity, UndecodableItem};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::GitHubError;
use crate::text::{Text, clean};

/// An item of a page without a usable number. It cannot be requested alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamelessItem {
    /// Its place on the page, from 0.
    pub(crate) index: u32,
    /// The number of the nearest item before it that has one.
    pub(crate) after: Option<i64>,
    /// The number of the nearest item after it that has one.
    pub(crate) before: Option<i64>,
    /// The same for items that were decoded: only those have a known time of change.
    pub(crate) understood: (Option<i64>, Option<i64>),
    pub(crate) reason: String,
}

/// A page, as far as it could be decoded.
#[derive(Debug, Default)]
pub(crate) struct DecodedPage {
    pub(crate) pull_requests: Vec<PullRequest>,
    pub(crate) undecodable: Vec<UndecodableItem>,
    pub(crate) nameless: Vec<NamelessItem>,
    last_number: Option<i64>,
    pub(crate) repository: Option<RepositoryIdentity>,
}

#[derive(Deserialize)]
struct Item {
    id: i64,
    #[serde(default)]
    node_id: Option<Text>,
    number: i64,
    #[serde(default)]
    title: Option<Text>,
    user: Option<User>,
    #[serde(default)]
    state: Option<Text>,
    #[serde(default)]
    draft: Option<bool>,
    #[serde(default)]
    base: Option<Branch>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    closed_at: Option<DateTime<Utc>>,
    merged_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct User {
    id: i64,
    login: Text,
    #[serde(rename = "type", default)]
    kind: Option<Text>,
}

#[derive(Deserialize)]
struct Branch {
    #[serde(rename = "ref", default)]
    name: Option<Text>,
    #[serde(default)]
    repo: Option<BaseRepository>,
}

#[derive(Deserialize)]
struct BaseRepository {
    id: i64,
    #[serde(default)]
    full_name: Option<Text>,
    #[serde(default)]
    created_at: Option<Time>,
}

/// An optional time: anything else in its place counts as missing. It is parsed on demand.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Time(Box<RawValue>);

impl Time {
    pub(crate) fn at(self) -> Option<DateTime<Utc>> {
        serde_json::from_str(self.0.get()).ok().filter(|at| is_sane(*at))
    }
}

#[derive(Deserialize)]
struct NumberOnly {
    number: i64,
}

#[derive(Deserialize)]
struct CreationOnly {
    created_at: DateTime<Utc>,
}

/// Decodes a page. An item that cannot be decoded does not affect the others.
pub(crate) fn decode_page(body: &[u8]) -> Result<DecodedPage, GitHubError> {
    let mut page = DecodedPage::default();
    // The fast path: nearly always every item is valid.
    if let Ok(items) = serde_json::from_slice::<Vec<Item>>(body) {
        page.pull_requests.reserve(items.len());
        for item in items {
            page.add(item);
        }
        return Ok(page);
    }
    let items: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| GitHubError::of_json(&error))?;
    for raw in items {
        match serde_json::from_str::<Item>(raw.get()) {
            Ok(item) => page.add(item),
            Err(error) => {
                let raw = raw.get().as_bytes();
                page.refuse(number_of(raw), creation_of(raw), &error.to_string());
            }
        }
    }
    Ok(page)
}

/// Decodes the response for the pull request with this number.
pub(crate) fn decode_single(body: &[u8], number: i64) -> Result<PullRequest, UndecodableItem> {
    let refused = |created_at, reason: &str| undecodable(number, created_at, reason);
    let item = serde_json::from_slice::<Item>(body).map_err(|error| refused(creation_of(body), &error.to_string()))?;
    let (answered, created_at) = (item.number, Some(item.created_at));
    if answered != number {
        return Err(refused(created_at, &format!("the response is for number {answered}")));
    }
    pull_request(item).map_err(|reason| refused(created_at, &reason))
}

/// The number of an item, if it has a usable one.
pub(crate) fn number_of(raw: &[u8]) -> Option<i64> {
    let number = serde_json::from_slice::<NumberOnly>(raw).ok().map(|item| item.number);
    number.filter(|number| NUMBERS.contains(number))
}

fn creation_of(raw: &[u8]) -> Option<DateTime<Utc>> {
    serde_json::from_slice::<CreationOnly>(raw).ok().map(|item| item.created_at)
}

/// The reason quotes GitHub and is displayed and stored, so it is cleaned like a title.
fn undecodable(number: i64, created_at: Option<DateTime<Utc>>, reason: &str) -> UndecodableItem {
    UndecodableItem { number, created_at: created_at.filter(|at| is_sane(*at)), reason: clean(reason) }
}

impl DecodedPage {
    /// Records an item that cannot be decoded, by its number, or by its place if it has none.
    fn refuse(&mut self, number: Option<i64>, created_at: Option<DateTime<Utc>>, reason: &str) {
        let number = number.filter(|number| NUMBERS.contains(number));
        if let Some(number) = number {
            self.undecodable.push(undecodable(number, created_at, reason));
            self.note_number(number);
        } else {
            let index = self.pull_requests.len() + self.undecodable.len() + self.nameless.len();
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let understood = (self.pull_requests.last().map(|it| it.number), None);
            let (after, reason) = (self.last_number, clean(reason));
            self.nameless.push(NamelessItem { index, after, before: None, understood, reason });
        }
    }

    /// Sets the following neighbor of items that have no number.
    fn note_number(&mut self, number: i64) {
        let waiting = self.nameless.iter_mut().rev().take_while(|item| item.before.is_none());
        waiting.for_each(|item| item.before = Some(number));
        self.last_number = Some(number);
    }

    fn add(&mut self, mut item: Item) {
        if self.repository.is_none() {
            self.repository = item.base.as_mut().and_then(|base| base.repo.take()).and_then(|repository| {
                let name = repository.full_name?.parse().ok()?;
                Some(RepositoryIdentity {
                    id: repository.id.into(),
                    name,
                    created_at: repository.created_at.and_then(Time::at),
                })
            });
        }
        let (number, created_at) = (item.number, item.created_at);
        match pull_request(item) {
            Ok(pull_request) => {
                self.pull_requests.push(pull_request);
                self.note_number(number);
                let waiting = self.nameless.iter_mut().rev().take_while(|item| item.understood.1.is_none());
                waiting.for_each(|item| item.understood.1 = Some(number));
            }
            Err(reason) => self.refuse(Some(number), Some(created_at), &reason),
        }
    }
}

/// GitHub numbers issues and pull requests together; 2^31 is far beyond any repository.
const NUMBERS: std::ops::Range<i64> = 1..2_147_483_648;

/// GitHub opened in 2008, and imported history may be older; anything outside this range is a broken clock.
const YEARS: std::ops::Range<i32> = 1970..2200;

/// Whether a time is plausible.
pub(crate) fn is_sane(time: DateTime<Utc>) -> bool {
    YEARS.contains(&time.year())
}

fn pull_request(item: Item) -> Result<PullRequest, String> {
    if !NUMBERS.contains(&item.number) {
        return Err(format!("{} is not a pull request number", item.number));
    }
    let times = [Some(item.created_at), Some(item.updated_at), item.closed_at, item.merged_at];
    if let Some(absurd) = times.into_iter().flatten().find(|time| !is_sane(*time)) {
        return Err(format!("the time {absurd} is out of range"));
    }
    // Only `merged_at` shows a merge: `merge_commit_sha` is also set on closed ones.
    let state = match (item.merged_at, item.closed_at, item.state.as_deref()) {
        (Some(at), closed_at, _) => State::Merged { at, closed_at: closed_at.unwrap_or(at) },
        (None, Some(at), Some("closed") | None) => State::Closed { at },
        (None, _, Some("open")) | (None, None, None) => State::Open,
        (None, _, Some(state)) => return Err(format!("state `{state}` without `closed_at`")),
    };
    let author = item.user.map(|user| Author {
        id: user.id.into(),
        login: Login::from_github(&user.login.clean()),
        kind: account_kind(user.kind.as_deref().unwrap_or_default(), user.id),
    });
    Ok(PullRequest {
        id: item.id.into(),
        node_id: item.node_id.map(Text::into_clean),
        number: item.number,
        title: item.title.map(Text::into_clean).unwrap_or_default(),
        author,
        state,
        is_draft: item.draft.unwrap_or(false),
        base_ref: item.base.and_then(|base| base.name).map(Text::into_clean),
        created_at: item.created_at,
        updated_at: item.updated_at,
    })
}

fn account_kind(kind: &str, id: i64) -> AccountKind {
    /// The account `ghost`, which GitHub shows in place of a deleted one.
    const GHOST: i64 = 10_137;
    match kind {
        _ if id == GHOST => AccountKind::Ghost,
        "Bot" => AccountKind::Bot,
        _ => AccountKind::Human,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn item() -> Value {
        json!({
            "id": 3_000_000_001_u64, "number": 7, "title": "Add it", "state": "closed", "draft": false,
            "user": { "id": 4_000_000_000_u64, "login": "Ana", "type": "User" },
            "base": { "ref": "main" }, "head": { "repo": null }, "labels": null, "brand_new_field": {},
            "created_at": "2026-01-01T09:00:00Z", "updated_at": "2026-01-02T10:00:01Z",
            "closed_at": "2026-01-02T10:00:01Z", "merged_at": "2026-01-02T11:00:00+01:00"
        })
    }

    fn with(field: &str, value: Value) -> Value {
        let mut item = item();
        item[field] = value;
        item
    }

    fn decode(item: &Value) -> Result<PullRequest, UndecodableItem> {
        let body = json!([item]).to_string();
        let mut page = decode_page(body.as_bytes()).expect("a list");
        page.pull_requests.pop().ok_or_else(|| page.undecodable.remove(0))
    }

    #[test]
    fn offsets_become_utc_and_unknown_fields_are_ignored() {
        let decoded = decode(&item()).expect("valid");
        assert_eq!(decoded.merged_at().map(|at| at.to_rfc3339()), Some("2026-01-02T10:00:00+00:00".to_owned()));
        assert_eq!(decoded.author.map(|author| author.login.to_string()), Some("ana".to_owned()));
    }

    #[test]
    fn a_deleted_account_has_no_author_or_ghost() {
        assert_eq!(decode(&with("user", Value::Null)).expect("valid").author, None);
        let ghost = json!({ "id": 10137, "login": "ghost", "type": "User" });
        let author = decode(&with("user", ghost)).expect("valid").author.expect("an author");
        assert_eq!(author.kind, AccountKind::Ghost);
    }

    #[test]
    fn closed_with_a_merge_commit_is_not_merged() {
        let mut closed = with("merged_at", Value::Null);
        closed["merge_commit_sha"] = json!("abc");
        assert!(matches!(decode(&closed).expect("valid").state, State::Closed { .. }));
    }

    #[test]
    fn a_reopened_pull_request_is_open() {
        let mut reopened = with("merged_at", Value::Null);
        reopened["state"] = json!("open");
        reopened["closed_at"] = Value::Null;
        assert_eq!(decode(&reopened).expect("valid").state, State::Open);
    }

    #[test]
    fn a_merge_before_the_creation_is_kept() {
        let imported = with("created_at", json!("2026-03-01T00:00:00Z"));
        assert!(decode(&imported).expect("valid").merged_at().is_some());
    }

    #[test]
    fn absurd_items_are_refused_with_their_number() {
        for (field, value) in [
            ("created_at", json!("9999-01-01T00:00:00Z")),
            ("created_at", Value::Null),
            ("updated_at", Value::Null),
            ("user", json!({ "id": 5, "login": null })),
            ("title", json!(["a", "list"])),
            ("id", json!("seven")),
            ("state", json!("merged-ish")),
        ] {
            let mut broken = with(field, value);
            if field == "state" {
                broken["merged_at"] = Value::Null;
            }
            assert_eq!(decode(&broken).expect_err(field).number, 7, "{field}");
        }
        let page = json!([item(), with("id", Value::Null), item()]).to_string();
        let decoded = decode_page(page.as_bytes()).expect("a list");
        assert_eq!((decoded.pull_requests.len(), decoded.undecodable.len()), (2, 1));
    }

    #[test]
    fn g18_an_unnumbered_item_is_located_by_its_neighbors() {
        for number in [json!(0), json!(-1), json!(2_147_483_648_u64), json!("7"), Value::Null] {
            let nameless = with("number", number.clone());
            let page =
                json!([nameless, with("number", json!(4)), nameless, nameless, with("number", json!(9)), nameless]);
            let decoded = decode_page(page.to_string().as_bytes()).expect("a list");
            assert_eq!((decoded.pull_requests.len(), decoded.undecodable), (2, Vec::new()), "{number}");
            let places: Vec<_> = decoded.nameless.iter().map(|item| (item.index, item.after, item.before)).collect();
            let expected = [(0, None, Some(4)), (2, Some(4), Some(9)), (3, Some(4), Some(9)), (5, Some(9), None)];
            assert_eq!(places, expected, "{number}");
        }
    }

    #[test]
    fn g06_null_in_descriptive_fields_is_accepted() {
        for field in
            ["title", "node_id", "draft", "user.type", "base", "base.ref", "base.repo", "base.repo.full_name", "state"]
        {
            let mut odd = item();
            odd["node_id"] = json!("PR_7");
            odd["base"]["repo"] = json!({ "id": 5, "full_name": "acme/api" });
            odd.pointer_mut(&format!("/{}", field.replace('.', "/")))
                .map_or_else(|| panic!("{field} is not there"), |value| *value = Value::Null);
            assert!(decode(&odd).expect(field).merged_at().is_some(), "{field}");
        }
        for (closed_at, state) in [(Value::Null, "open"), (json!("2026-01-02T10:00:01Z"), "closed")] {
            let mut without_state = with("state", Value::Null);
            without_state["merged_at"] = Value::Null;
            without_state["closed_at"] = closed_at;
            let is_open = decode(&without_state).expect(state).state == State::Open;
            assert_eq!(is_open, state == "open");
        }
    }

    #[test]
    fn a_response_for_another_pull_request_is_refused() {
        let body = item().to_string();
        assert_eq!(decode_single(body.as_bytes(), 7).expect("its own").number, 7);
        assert_eq!(decode_single(body.as_bytes(), 8).expect_err("another").number, 8);
    }

    #[test]
    fn titles_lose_control_characters_and_excess_length() {
        let title = decode(&with("title", json!(format!("a\0b\u{1b}[31m{}", "é".repeat(2_000))))).expect("valid").title;
        assert!(title.starts_with("ab[31mé"));
        assert!(title.len() <= 900);
    }

    #[test]
    fn g16_bad_descriptive_text_never_rejects_an_item() {
        for field in ["title", "node_id", "user.login", "user.type", "base.ref", "base.repo.full_name"] {
            let mut odd = item();
            odd["node_id"] = json!("PR_7");
            odd["base"]["repo"] = json!({ "id": 5, "full_name": "acme/api" });
            odd.pointer_mut(&format!("/{}", field.replace('.', "/"))).map_or_else(
                || panic!("{field} is not there"),
                |text| *text = json!(format!("HALF\0{}", "\u{1f680}".repeat(70_000 / 4))),
            );
            let body = json!([item(), odd, item()]).to_string().replace("HALF", "\\ud83d");
            let decoded = decode_page(body.as_bytes()).expect("a list");
            assert_eq!((decoded.pull_requests.len(), decoded.undecodable), (3, Vec::new()), "{field}");
            let PullRequest { title, node_id, base_ref, author, .. } = &decoded.pull_requests[1];
            let login = author.as_ref().map(|author| author.login.to_string());
            for text in [Some(title), node_id.as_ref(), base_ref.as_ref(), login.as_ref()].into_iter().flatten() {
                assert!(text.len() <= 1_024 && !text.contains('\0'), "{field}: {} bytes", text.len());
            }
        }
    }

    #[test]
    fn a_body_that_is_not_a_list_is_refused() {
        for body in ["{}", "[", "", "null", "<html>", "[{\"number\": 1"] {
            assert!(decode_page(body.as_bytes()).is_err(), "{body}");
        }
    }
}
