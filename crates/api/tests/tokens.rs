//! Tokens in place of keys (`AUTHORIZER=jwt`), with a provider that also answers wrongly.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use chrono::{DateTime, TimeDelta, Utc};
use common::{Answered, Backend, KEY, NOW, TEAMS, ask, history};
use mergeline_api::{AllowedHosts, Api, ApiKeys, Authorizer, Login, TokenCheck, router};
use mergeline_fake_github::at;
use mergeline_login::{LoginSettings, TokenSettings};
use mergeline_test_support::{FakeProvider, signing_key};
use serde_json::{Value, json};

/// Whom tokens must be for. The login's client is [`FakeProvider::CLIENT`].
const AUDIENCE: &str = "https://metrics.acme.com";
const REFUSED: &str = "Bearer realm=\"mergeline\", error=\"invalid_token\"";

/// Lines of `access`, to go after [`TEAMS`].
const ACCESS: &str = "
access:
  - { subject: gone, deny: true }
  - { subject: deployer, role: admin }
  - { group: payments, role: lead, teams: [payments] }
  - { domain: acme.com, role: viewer }
";

/// A server that asks for tokens.
struct World {
    backend: Backend,
    fake: FakeProvider,
    router: Router,
}

impl World {
    async fn at(audience: &str, clock: fn() -> DateTime<Utc>) -> Result<Self> {
        let backend = Backend::with_teams(&format!("{}{ACCESS}", TEAMS.trim_end_matches('\n'))).await?;
        backend.keep(&history()).await?;
        let fake = FakeProvider::start(clock).await?;
        let router = serving(&backend, &fake, audience, clock)?;
        let world = Self { backend, fake, router };
        world.says(&json!({}));
        Ok(world)
    }

    async fn new() -> Result<Self> {
        Self::at(AUDIENCE, || at(NOW)).await
    }

    /// Tokens are for this API, and say this too.
    fn says(&self, claims: &Value) {
        let mut all = json!({ "aud": AUDIENCE, "sub": "deployer", "nonce": null });
        for (name, value) in claims.as_object().into_iter().flatten() {
            all[name] = value.clone();
        }
        self.fake.say(all);
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answered> {
        ask(&self.router, "GET", path, headers).await
    }

    /// What a request with a token of the provider is answered.
    async fn with_token(&self, path: &str) -> Result<Answered> {
        self.get(path, &[("authorization", &format!("Bearer {}", self.fake.token()))]).await
    }

    /// Whether a token with these claims is refused as one that proves nothing.
    async fn is_refused(&self, claims: &Value) -> Result<bool> {
        self.says(claims);
        let answered = self.with_token("/v1/teams").await?;
        let challenge = answered.header("www-authenticate") == REFUSED;
        Ok(answered.status == 401 && answered.code() == "unauthorized" && challenge)
    }
}

fn serving(backend: &Backend, fake: &FakeProvider, audience: &str, clock: fn() -> DateTime<Utc>) -> Result<Router> {
    let settings = TokenSettings::from_vars(|name| match name {
        "JWT_ISSUER" => Some(fake.url().to_owned()),
        "JWT_AUDIENCE" => Some(audience.to_owned()),
        _ => None,
    });
    let settings = settings.map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let tokens = Some(Arc::new(TokenCheck::new(settings)?));
    let hosts = Some(AllowedHosts::default());
    let api = Api::new(backend.reader.clone(), Duration::from_secs(20), clock);
    Ok(router(Api { authorizer: Authorizer::Jwt, tokens, hosts, ..api }))
}

#[tokio::test]
async fn each_line_of_access_gives_a_token_its_role() -> Result<()> {
    let world = World::new().await?;
    let statuses = async |claims: Value| -> Result<Vec<u16>> {
        world.says(&claims);
        let mut statuses = Vec::new();
        for path in [
            "teams",
            "metrics/team/payments/velocity",
            "metrics/team/payments/pull-requests",
            "metrics/team/platform/velocity",
            "metrics/dora",
            "collection/status",
        ] {
            statuses.push(world.with_token(&format!("/v1/{path}")).await?.status);
        }
        Ok(statuses)
    };
    let verified = json!({ "sub": "ana", "email": "ana@acme.com", "email_verified": true });
    assert_eq!(statuses(json!({})).await?, [200; 6]);
    assert_eq!(statuses(json!({ "sub": "ana", "groups": ["payments"] })).await?, [200, 200, 200, 404, 403, 403]);
    assert_eq!(statuses(verified).await?, [200, 200, 403, 200, 200, 403]);
    for nobody in [
        json!({ "sub": "ana" }),
        json!({ "sub": "ana", "email": "ana@acme.com" }),
        json!({ "sub": "gone", "groups": ["payments"] }),
        json!({ "sub": "Deployer" }),
    ] {
        world.says(&nobody);
        let answered = world.with_token("/v1/teams").await?;
        assert_eq!((answered.status, answered.code().as_str()), (403, "no_access"), "{nobody}");
    }
    Ok(())
}

#[tokio::test]
async fn a_token_says_who_and_until_when_and_stays_in_no_cache() -> Result<()> {
    let world = World::new().await?;
    world.says(&json!({ "sub": "ana", "groups": ["payments"] }));
    let answered = world.with_token("/v1/me").await?;
    assert_eq!(answered.header("cache-control"), "no-store");
    let me = answered.json()?;
    assert_eq!(me["data"]["name"], json!("ana"));
    assert_eq!(me["data"]["scopes"], json!(["metrics:read", "prs:read"]));
    assert_eq!(me["data"]["teams"], json!(["payments"]));
    assert_eq!(me["data"]["session_ends_at"], json!("2026-06-17T12:05:00Z"));
    Ok(())
}

#[tokio::test]
async fn forged_and_foreign_tokens_open_nothing() -> Result<()> {
    let world = World::new().await?;
    let now = at(NOW).timestamp();
    for changed in [
        json!({ "iss": "https://id.evil.example" }),
        json!({ "iss": null }),
        json!({ "aud": "https://other.acme.com" }),
        json!({ "aud": null }),
        json!({ "aud": [] }),
        json!({ "exp": now - 61 }),
        json!({ "exp": null }),
        json!({ "exp": "soon" }),
        json!({ "iat": now + 3_600 }),
        json!({ "iat": null }),
        json!({ "nbf": now + 3_600 }),
        json!({ "sub": null }),
        json!({ "sub": "" }),
    ] {
        assert!(world.is_refused(&changed).await?, "{changed}");
    }
    for header in
        [json!({ "alg": "none" }), json!({ "alg": "HS256", "kid": "first" }), json!({ "alg": "ES256", "kid": "first" })]
    {
        world.fake.with(|state| state.unsigned_header = Some(header.clone()));
        assert!(world.is_refused(&json!({})).await?, "{header}");
    }
    world.fake.with(|state| (state.unsigned_header, state.is_symmetric) = (None, true));
    assert!(world.is_refused(&json!({})).await?, "HS256 with the public key as the secret");
    world.fake.with(|state| state.is_symmetric = false);
    let (other, _) = signing_key("first")?;
    let genuine = world.fake.with(|state| std::mem::replace(&mut state.signer, other));
    assert!(world.is_refused(&json!({})).await?, "signed by another key");
    world.fake.with(|state| state.signer = genuine);
    for more in [json!({}), json!({ "aud": ["https://other.acme.com", AUDIENCE], "azp": "other" })] {
        world.says(&more);
        assert_eq!(world.with_token("/v1/teams").await?.status, 200, "{more}");
    }
    Ok(())
}

#[tokio::test]
async fn an_id_token_of_the_login_opens_the_api_only_if_the_operator_says_so() -> Result<()> {
    let id_token = json!({ "aud": FakeProvider::CLIENT, "nonce": "n" });
    assert!(World::new().await?.is_refused(&id_token).await?);
    let alike = World::at(FakeProvider::CLIENT, || at(NOW)).await?;
    assert!(!alike.is_refused(&id_token).await?);
    // What ends a session has the same audience.
    for (kind, is_refused) in [("logout+jwt", true), ("JWE", true), ("at+jwt", false), ("application/AT+JWT", false)] {
        alike.fake.with(|state| state.token_type = Some(kind.to_owned()));
        assert_eq!(alike.is_refused(&json!({ "aud": FakeProvider::CLIENT })).await?, is_refused, "{kind}");
    }
    Ok(())
}

#[tokio::test]
async fn an_api_token_logs_nobody_in_and_opens_nothing_of_the_page() -> Result<()> {
    let world = World::new().await?;
    let settings = LoginSettings::from_vars(|name| match name {
        "OIDC_ISSUER" => Some(world.fake.url().to_owned()),
        "OIDC_CLIENT_ID" => Some(FakeProvider::CLIENT.to_owned()),
        "PUBLIC_URL" => Some("https://metrics.acme.com/app/".to_owned()),
        "SESSION_SECRET" => Some("8f3a61c97e04b5d28f3a61c97e04b5d2".to_owned()),
        _ => None,
    });
    let page = Login::oidc(settings.map_err(|problems| anyhow::anyhow!("{problems:?}"))?.context("set")?)?;
    let api = Api { authorizer: Authorizer::Jwt, page: Some(page), ..world.backend.api() };
    let router = router(api);
    let bearer = format!("Bearer {}", world.fake.token());
    let headers = [("authorization", bearer.as_str()), ("sec-fetch-site", "same-origin")];
    let answered = ask(&router, "GET", "/v1/app/api/teams", &headers).await?;
    assert_eq!((answered.status, answered.code().as_str()), (401, "login_required"));
    // The code of a login that leads to a token of the API.
    let started = ask(&router, "GET", "/v1/app/login", &[]).await?;
    let location = url::Url::parse(started.header("location"))?;
    let parameter = |name: &str| {
        location.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    world.says(&json!({ "nonce": parameter("nonce") }));
    let cookie = started.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
    let path = format!("/v1/app/callback?code=a&state={}", parameter("state"));
    let answered = ask(&router, "GET", &path, &[("cookie", &cookie)]).await?;
    assert!(answered.header("location").contains("failed=login_invalid"), "{answered:?}");
    Ok(())
}

#[tokio::test]
async fn nothing_stands_in_for_a_token() -> Result<()> {
    let world = World::new().await?;
    let token = world.fake.token();
    let (basic, naked) = (format!("Basic {token}"), token.clone());
    for headers in [
        &[][..],
        &[("x-api-key", KEY)],
        &[("x-api-key", &token)],
        &[("authorization", &basic)],
        &[("authorization", &naked)],
        &[("cookie", &token)],
    ] {
        for path in ["/v1/teams", "/v1/collection/status", "/v1/metrics/summary"] {
            let answered = world.get(path, headers).await?;
            assert_eq!((answered.status, answered.code().as_str()), (401, "unauthorized"), "{path} {headers:?}");
            assert_eq!(answered.header("www-authenticate"), "Bearer realm=\"mergeline\"", "RFC 6750, 3");
        }
    }
    assert_eq!(world.get(&format!("/v1/teams?access_token={token}"), &[]).await?.status, 401, "never in an address");
    let bearer = format!("Bearer {token}");
    let twice = world.get("/v1/teams", &[("authorization", &bearer), ("authorization", &bearer)]).await?;
    assert_eq!((twice.status, twice.header("www-authenticate")), (401, REFUSED));
    // Nor does a server that has nothing to check them with.
    for keys in [None, Some(ApiKeys::single(KEY))] {
        let router = router(Api { authorizer: Authorizer::Jwt, keys, ..world.backend.api() });
        for headers in [[("authorization", bearer.as_str())], [("x-api-key", KEY)]] {
            assert_eq!(ask(&router, "GET", "/v1/teams", &headers).await?.status, 401, "{headers:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_path_of_data_asks_for_a_token() -> Result<()> {
    let world = World::new().await?;
    let document = mergeline_api::openapi();
    let mut checked = 0;
    for (path, operations) in document["paths"].as_object().context("paths")? {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            if operation["security"].as_array().is_none_or(Vec::is_empty) {
                continue;
            }
            let path = path.replace("{team_id}", "payments").replace("{service}", "acme.api").replace("{id}", "1");
            let answered = ask(&world.router, &method.to_uppercase(), &path, &[("x-api-key", KEY)]).await?;
            assert_eq!(answered.header("www-authenticate"), "Bearer realm=\"mergeline\"", "{method} {path}");
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
    Ok(())
}

#[tokio::test]
async fn a_rotated_key_is_found_and_unknown_ones_ask_once_a_minute() -> Result<()> {
    /// Seconds after [`NOW`].
    static CLOCK: AtomicI64 = AtomicI64::new(0);
    let world = World::at(AUDIENCE, || at(NOW) + TimeDelta::seconds(CLOCK.load(Ordering::SeqCst))).await?;
    assert_eq!(world.with_token("/v1/teams").await?.status, 200);
    let (signer, public) = signing_key("second")?;
    world.fake.with(|state| (state.signer, state.key_id) = (signer, "second".to_owned()));
    let asked = world.fake.asked();
    for number in 0..20 {
        world.fake.with(|state| state.key_id = format!("unknown-{number}"));
        assert!(world.is_refused(&json!({})).await?, "not published");
    }
    assert_eq!(world.fake.asked(), asked, "the keys were read in this minute");
    world.fake.with(|state| {
        state.key_id = "second".to_owned();
        state.keys = vec![public];
    });
    CLOCK.store(60, Ordering::SeqCst);
    assert_eq!(world.with_token("/v1/teams").await?.status, 200, "the new one");
    assert_eq!(world.fake.asked(), asked + 1);
    // The provider has taken the old one back, and the new ones are known.
    world.fake.with(|state| state.key_id = "first".to_owned());
    assert!(world.is_refused(&json!({})).await?);
    assert_eq!(world.fake.asked(), asked + 1);
    Ok(())
}

#[tokio::test]
async fn a_provider_that_is_down_is_asked_every_ten_seconds_and_known_keys_count() -> Result<()> {
    /// Seconds after [`NOW`].
    static CLOCK: AtomicI64 = AtomicI64::new(0);
    let world = World::at(AUDIENCE, || at(NOW) + TimeDelta::seconds(CLOCK.load(Ordering::SeqCst))).await?;
    world.fake.with(|state| state.published_status = 503);
    for second in [0, 9, 10, 19] {
        CLOCK.store(second, Ordering::SeqCst);
        for _ in 0..3 {
            let answered = world.with_token("/v1/teams").await?;
            assert_eq!((answered.status, answered.code().as_str()), (503, "provider_unavailable"));
            assert_eq!((answered.header("retry-after"), answered.header("www-authenticate")), ("5", ""));
        }
    }
    assert_eq!(world.fake.asked(), 2, "at 0 and at 10 seconds");
    world.fake.with(|state| state.published_status = 200);
    CLOCK.store(20, Ordering::SeqCst);
    assert_eq!(world.with_token("/v1/teams").await?.status, 200);
    world.fake.with(|state| state.published_status = 503);
    let asked = world.fake.asked();
    CLOCK.store(2 * 3_600, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(world.with_token("/v1/teams").await?.status, 200, "keys of this morning");
    }
    assert_eq!(world.fake.asked(), asked + 1);
    let (signer, _) = signing_key("second")?;
    let genuine = world.fake.with(|state| std::mem::replace(&mut state.signer, signer));
    assert!(world.is_refused(&json!({})).await?, "which still check");
    world.fake.with(|state| state.signer = genuine);
    world.says(&json!({}));
    CLOCK.store(9 * 3_600, Ordering::SeqCst);
    assert_eq!(world.with_token("/v1/teams").await?.status, 503, "too old");
    Ok(())
}

#[tokio::test]
async fn one_request_asks_a_provider_that_hangs_and_the_others_do_not_wait_for_long() -> Result<()> {
    let world = World::new().await?;
    world.fake.with(|state| state.published_status = 0);
    let started = std::time::Instant::now();
    let answers = futures::future::join_all((0..20).map(|_| world.with_token("/v1/teams"))).await;
    for answered in answers {
        assert_eq!(answered?.status, 503);
    }
    assert_eq!(world.fake.asked(), 1);
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_a_token_asks_nobody() -> Result<()> {
    let world = World::new().await?;
    let long = format!("{}{}", world.fake.token(), "a".repeat(16 * 1024));
    for text in ["a", "a.b.c", "..", "e30.e30.e30", "eyJhbGciOiJub25lIn0.e30.", &long] {
        let answered = world.get("/v1/teams", &[("authorization", &format!("Bearer {text}"))]).await?;
        assert_eq!((answered.status, answered.header("www-authenticate")), (401, REFUSED), "{text:.40}");
    }
    assert_eq!(world.fake.asked(), 0);
    Ok(())
}

#[tokio::test]
async fn a_provider_without_logins_signs_tokens_and_a_hostile_one_does_not() -> Result<()> {
    let world = World::new().await?;
    world.fake.with(|state| state.metadata.retain(|name, _| !name.ends_with("_endpoint")));
    assert_eq!(world.with_token("/v1/teams").await?.status, 200);
    for (name, value) in [
        ("issuer", json!("https://id.evil.example")),
        ("issuer", json!("https://login.microsoftonline.com/{tenantid}/v2.0")),
        ("jwks_uri", json!("http://127.0.0.1:1/keys")),
        ("jwks_uri", json!(null)),
    ] {
        let world = World::new().await?;
        world.fake.with(|state| state.metadata.insert(name.to_owned(), value.clone()));
        assert_eq!(world.with_token("/v1/teams").await?.status, 503, "{name} {value}");
    }
    Ok(())
}

#[tokio::test]
async fn a_changed_line_of_access_reaches_tokens() -> Result<()> {
    /// Seconds after [`NOW`].
    static CLOCK: AtomicI64 = AtomicI64::new(0);
    let world = World::at(AUDIENCE, || at(NOW) + TimeDelta::seconds(CLOCK.load(Ordering::SeqCst))).await?;
    assert_eq!(world.with_token("/v1/collection/status").await?.status, 200);
    let lines = "access: [{ subject: deployer, role: viewer, not_before: 2026-06-17T12:04:00Z }]";
    world.backend.apply(&format!("{lines}\n{TEAMS}")).await?;
    let old = at(NOW).timestamp();
    CLOCK.store(300, Ordering::SeqCst);
    world.says(&json!({ "iat": old, "exp": old + 3_600 }));
    let answered = world.with_token("/v1/teams").await?;
    assert_eq!((answered.status, answered.header("www-authenticate")), (401, REFUSED), "made before");
    world.says(&json!({}));
    assert_eq!(world.with_token("/v1/teams").await?.status, 200);
    assert_eq!(world.with_token("/v1/collection/status").await?.status, 403);
    Ok(())
}

#[tokio::test]
async fn groups_that_a_token_leaves_out_let_nobody_pass_a_line_that_denies() -> Result<()> {
    let world = World::new().await?;
    let lines = "access: [{ group: contractors, deny: true }, { subject: deployer, role: admin }]";
    world.backend.apply(&format!("{lines}\n{TEAMS}")).await?;
    for (claims, status) in [
        (json!({}), 403),
        (json!({ "_claim_names": { "groups": "src1" } }), 403),
        (json!({ "groups": ["contractors"] }), 403),
        (json!({ "groups": ["others"] }), 200),
    ] {
        world.says(&claims);
        assert_eq!(world.with_token("/v1/teams").await?.status, status, "{claims}");
    }
    Ok(())
}
