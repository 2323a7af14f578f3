//! GitHub Apps: who may request installation tokens, and what those may see.

use std::time::{Duration, SystemTime};

use axum::http::{StatusCode, header};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::FakeUser;
use crate::answer::Answer;
use crate::app::{App, TOKEN_PREFIX};
use crate::call::Call;
use crate::contract;
use crate::faults::Refused;
use crate::pages::Paging;
use crate::world::{Repository, World, is_organization};

/// The lifetime of an installation token at GitHub.
const TOKEN_LIFE: Duration = Duration::from_secs(3_600);

/// Whether GitHub knows the request's token. An App's own requests are checked elsewhere.
pub(crate) fn knows_token(world: &World, call: &Call) -> bool {
    let token = call.token();
    if call.path.starts_with("/app/") {
        return true;
    }
    let is_of_installation =
        token.is_some_and(|token| world.app.as_ref().is_some_and(|app| app.tokens.contains_key(token)));
    match &world.token {
        Some(required) => is_of_installation || token == Some(required),
        None => is_of_installation || world.app.is_none(),
    }
}

/// Whether the request's token belongs to a suspended installation.
pub(crate) fn is_suspended(world: &World, call: &Call) -> bool {
    let owner = call.token().and_then(|token| world.app.as_ref()?.tokens.get(token));
    owner.is_some_and(|owner| world.app.as_ref().is_some_and(|app| app.suspended.contains(owner)))
}

/// Whether the request may see this owner's repositories: an installation token sees one owner only.
pub(crate) fn may_see(world: &World, call: &Call, owner: &str) -> bool {
    let tokens = world.app.as_ref().map(|app| &app.tokens);
    let seen = call.token().and_then(|token| tokens.and_then(|tokens| tokens.get(token)));
    seen.is_none_or(|seen| seen.eq_ignore_ascii_case(owner))
}

/// Whether the request's token is an installation token.
pub(crate) fn is_of_installation(call: &Call) -> bool {
    call.token().is_some_and(|token| token.starts_with(TOKEN_PREFIX))
}

/// Whether the request may see a repository. A user's private one is visible to the user, the installation there, and
/// the accounts that it is shared with.
pub(crate) fn may_see_repository(world: &World, call: &Call, repository: &Repository) -> bool {
    if !may_see(world, call, repository.owner()) {
        return false;
    }
    if !repository.is_private || is_organization(&world.owner_of(repository)) {
        return true;
    }
    let me = world.token_owner.login.to_lowercase();
    match call.token() {
        None => false,
        Some(_) if is_of_installation(call) => true,
        Some(_) => repository.owner().eq_ignore_ascii_case(&me) || repository.collaborators.contains(&me),
    }
}

/// `GET /app/installations`.
pub(crate) fn installations(world: &World, call: &Call) -> Answer {
    let app = match authenticated(world, call) {
        Ok(app) => app,
        Err(refusal) => return refusal,
    };
    let paging = Paging::of(call);
    let installations: Vec<_> = app.installations.iter().collect();
    let (listed, pages) = paging.cut(&installations);
    let items: Vec<Value> = listed
        .iter()
        .map(|(id, owner)| {
            let account = world.user(owner).unwrap_or_else(|| FakeUser::organization(owner));
            contract::installation(&call.api, &app.id, **id, &account, app.suspended.contains(*owner))
        })
        .collect();
    let answer = Answer::json(StatusCode::OK, &Value::Array(items));
    match paging.link(&format!("{}/app/installations", call.api), "", pages) {
        Some(link) => answer.with(header::LINK, &link),
        None => answer,
    }
}

/// `POST /app/installations/{id}/access_tokens`.
pub(crate) fn access_token(world: &mut World, installation: i64, call: &Call) -> Answer {
    if let Err(refusal) = authenticated(world, call) {
        return refusal;
    }
    let Some(app) = world.app.as_mut() else { return Answer::not_found() };
    let Some(owner) = app.installations.get(&installation).cloned() else { return Answer::not_found() };
    if app.suspended.contains(&owner) {
        return Refused::Installation.answer();
    }
    let token = app.token_for(&owner);
    let expires_at = DateTime::<Utc>::from(SystemTime::now() + TOKEN_LIFE);
    let body = json!({
        "token": token,
        "expires_at": expires_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        "permissions": { "contents": "read", "metadata": "read", "pull_requests": "read" },
        "repository_selection": "all",
    });
    Answer::json(StatusCode::CREATED, &body)
}

/// The App that signed the request's token. The signature itself is not checked.
fn authenticated<'a>(world: &'a World, call: &Call) -> Result<&'a App, Answer> {
    let issuer = call
        .token()
        .and_then(issuer)
        .ok_or_else(|| Answer::error(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded"))?;
    let app = world.app.as_ref().filter(|app| app.id == issuer);
    app.ok_or_else(|| Answer::error(StatusCode::NOT_FOUND, "Integration not found"))
}

/// The issuer in a JSON web token.
fn issuer(token: &str) -> Option<String> {
    let parts: Vec<&str> = token.split('.').collect();
    let [_, payload, _] = parts[..] else { return None };
    let payload: Value = serde_json::from_slice(&base64(payload)?).ok()?;
    match &payload["iss"] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Decodes the base64 of web tokens: with `-` and `_`, without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut decoded, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes() {
        let value = ALPHABET.iter().position(|known| *known == letter)?;
        bits = (bits << 6 | u32::try_from(value).ok()?) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuer_of_a_jwt_is_parsed() {
        // {"iss":"4711"} and {"iss":4711}
        assert_eq!(issuer("e30.eyJpc3MiOiI0NzExIn0.c2ln").as_deref(), Some("4711"));
        assert_eq!(issuer("e30.eyJpc3MiOjQ3MTF9.c2ln").as_deref(), Some("4711"));
        assert_eq!(issuer("e30.e30.c2ln"), None);
        assert_eq!(issuer("ghp_token"), None);
    }
}
