//! Login to the page by OpenID Connect, with a provider that also answers wrongly.

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use chrono::{DateTime, TimeDelta, Utc};
use common::{Answered, Backend, KEY, NOW, TEAMS, ask, history};
use mergeline_api::{AllowedOrigins, Api, ApiKeys, Login, router};
use mergeline_fake_github::at;
use mergeline_login::LoginSettings;
use mergeline_test_support::{FakeProvider, signing_key};
use serde_json::{Value, json};

const CLIENT: &str = FakeProvider::CLIENT;
const PAGE: &str = "https://metrics.acme.com/delivery/app/";
/// An origin whose pages may read with a key.
const FRIEND: &str = "https://dashboards.example.com";
const SAME_ORIGIN: (&str, &str) = ("sec-fetch-site", "same-origin");

/// Lines of `access`, to go after [`TEAMS`].
const ACCESS: &str = "
access:
  - { subject: gone, deny: true }
  - { group: managers, role: manager }
  - { group: payments, role: lead, teams: [payments] }
  - { email: root@acme.com, role: admin }
  - { domain: acme.com, role: viewer }
";

/// A server with a provider.
struct World {
    backend: Backend,
    fake: FakeProvider,
    router: Router,
}

/// What the API is made of, with this provider, at this time.
fn serving(
    reader: mergeline_store::Reader,
    fake: &FakeProvider,
    more: &[(&str, &str)],
    keys: Option<ApiKeys>,
    clock: fn() -> DateTime<Utc>,
) -> Result<Router> {
    let settings = LoginSettings::from_vars(|name| {
        let set = more.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        set.or_else(|| match name {
            "OIDC_ISSUER" => Some(fake.url().to_owned()),
            "OIDC_CLIENT_ID" => Some(CLIENT.to_owned()),
            "PUBLIC_URL" => Some(PAGE.to_owned()),
            "SESSION_SECRET" => Some("8f3a61c97e04b5d28f3a61c97e04b5d2".to_owned()),
            _ => None,
        })
    });
    let settings = settings.map_err(|problems| anyhow::anyhow!("{problems:?}"))?.context("set")?;
    let page = Some(Login::oidc(settings)?);
    // Its pages read with a key, and never with a session.
    let origins = AllowedOrigins::from_vars(|_| Some(FRIEND.to_owned())).expect("an origin");
    Ok(router(Api { page, keys, origins, ..Api::new(reader, Duration::from_secs(20), clock) }))
}

impl World {
    async fn with(more: &[(&str, &str)], keys: Option<ApiKeys>) -> Result<Self> {
        let backend = Backend::with_teams(&format!("{}{ACCESS}", TEAMS.trim_end_matches('\n'))).await?;
        backend.keep(&history()).await?;
        let fake = FakeProvider::start(|| at(NOW)).await?;
        let router = serving(backend.reader.clone(), &fake, more, keys, || at(NOW))?;
        Ok(Self { backend, fake, router })
    }

    /// Another server with the same provider and database, at another time.
    fn at(&self, clock: fn() -> DateTime<Utc>) -> Result<Self> {
        let Backend { database, .. } = &self.backend;
        let backend = Backend { database: database.clone(), store: database.store()?, reader: database.reader()? };
        let router = serving(backend.reader.clone(), &self.fake, &[], Some(ApiKeys::single(KEY)), clock)?;
        Ok(Self { backend, fake: self.fake.clone(), router })
    }

    async fn new() -> Result<Self> {
        Self::with(&[], Some(ApiKeys::single(KEY))).await
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answered> {
        ask(&self.router, "GET", path, headers).await
    }

    /// Starts a login: the cookie of the attempt, and the parameters that the provider gets.
    async fn start(&self, to: &str) -> Result<(String, BTreeMap<String, String>)> {
        let answered = self.get(&format!("/v1/app/login{to}"), &[]).await?;
        anyhow::ensure!(answered.status == 303, "{answered:?}");
        let location = url::Url::parse(answered.header("location"))?;
        let parameters: BTreeMap<String, String> = location.query_pairs().into_owned().collect();
        self.fake.with(|state| state.nonce = parameters.get("nonce").cloned().unwrap_or_default());
        Ok((cookies(&answered).remove("__Host-mergeline-login").context("a cookie")?, parameters))
    }

    /// What the callback answers to a whole login.
    async fn log_in(&self) -> Result<Answered> {
        let (cookie, parameters) = self.start("").await?;
        self.callback(&format!("code={}&state={}", parameters["state"], parameters["state"]), &cookie).await
    }

    async fn callback(&self, query: &str, attempt: &str) -> Result<Answered> {
        let cookie = format!("__Host-mergeline-login={attempt}");
        self.get(&format!("/v1/app/callback?{query}"), &[("cookie", &cookie)]).await
    }

    /// The cookie of a session of somebody about whom the provider says this.
    async fn session(&self, claims: Value) -> Result<String> {
        self.fake.say(claims);
        let answered = self.log_in().await?;
        let session =
            cookies(&answered).remove("__Host-mergeline").with_context(|| format!("a session: {answered:?}"))?;
        Ok(format!("__Host-mergeline={session}"))
    }

    async fn data(&self, path: &str, session: &str) -> Result<Answered> {
        self.get(&format!("/v1/app/api/{path}"), &[("cookie", session), SAME_ORIGIN]).await
    }
}

/// The cookies that an answer sets.
fn cookies(answered: &Answered) -> BTreeMap<String, String> {
    let lines = answered.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok());
    let pair = |line: &str| {
        line.split(';').next().and_then(|pair| pair.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned()))
    };
    lines.filter_map(pair).filter(|(_, value)| !value.is_empty()).collect()
}

/// The code of a failed login, which leads back to the page without a session.
fn failure(answered: &Answered) -> String {
    assert_eq!(answered.status, 303, "{answered:?}");
    assert!(!cookies(answered).contains_key("__Host-mergeline"), "{answered:?}");
    let location = answered.header("location");
    assert!(location.starts_with(PAGE), "{location}");
    let code = location.split("failed=").nth(1).and_then(|rest| rest.split('&').next());
    code.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_login_proves_itself_by_pkce_and_leads_back_to_the_screen() -> Result<()> {
    let world = World::with(&[("OIDC_CLIENT_SECRET", "s3cret/ä")], None).await?;
    let (cookie, parameters) = world.start("?to=%23%2Fdelivery%3Fteam%3Dpayments").await?;
    let parameter = |name: &str| parameters.get(name).map_or("", String::as_str);
    assert_eq!(parameter("tenant"), "1", "the provider's own parameters stay");
    assert_eq!(parameter("response_type"), "code");
    assert_eq!(parameter("client_id"), CLIENT);
    assert_eq!(parameter("redirect_uri"), format!("{PAGE}callback"));
    assert_eq!(parameter("scope"), "openid email profile");
    assert_eq!(parameter("code_challenge_method"), "S256");
    assert!(parameter("state").len() >= 43 && parameter("nonce").len() >= 43, "256 bits each");
    assert_ne!(parameter("state"), parameter("nonce"));

    world.fake.say(json!({ "email": "Ana@acme.com", "email_verified": true }));
    let answered = world.callback(&format!("code=c1&state={}", parameter("state")), &cookie).await?;
    assert_eq!(answered.header("location"), format!("{PAGE}#/delivery?team=payments"));
    let set: Vec<&str> = answered.headers.get_all("set-cookie").iter().filter_map(|it| it.to_str().ok()).collect();
    assert!(
        set[0].starts_with("__Host-mergeline=")
            && set[0].ends_with("; Path=/; Max-Age=28800; Secure; HttpOnly; SameSite=Strict")
    );
    assert!(set[1].starts_with("__Host-mergeline-login=; Path=/; Max-Age=0"), "the attempt is over");
    assert!(set[0].len() < 700, "{}", set[0].len());
    assert_eq!(answered.header("cache-control"), "no-store");
    assert_eq!(answered.header("referrer-policy"), "no-referrer");

    let (form, authorization) = world.fake.with(|state| state.asked.clone()).context("asked")?;
    let challenge = {
        use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
        use sha2::{Digest, Sha256};
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes()))
    };
    assert_eq!(challenge, parameter("code_challenge"));
    assert_eq!((form["code"].as_str(), form["grant_type"].as_str()), ("c1", "authorization_code"));
    assert!(!form.contains_key("client_secret"));
    // `mergeline:s3cret%2F%C3%A4`, because each part is encoded like a form.
    assert_eq!(authorization.as_deref(), Some("Basic bWVyZ2VsaW5lOnMzY3JldCUyRiVDMyVBNA=="));
    Ok(())
}

#[tokio::test]
async fn a_provider_that_takes_no_basic_authentication_gets_the_secret_in_the_form() -> Result<()> {
    let world = World::with(&[("OIDC_CLIENT_SECRET", "s3cret")], None).await?;
    world.fake.with(|state| {
        state.metadata.insert("token_endpoint_auth_methods_supported".to_owned(), json!(["client_secret_post"]));
    });
    world.session(json!({ "groups": ["managers"] })).await?;
    let (form, authorization) = world.fake.with(|state| state.asked.clone()).context("asked")?;
    assert_eq!((form["client_secret"].as_str(), form["client_id"].as_str(), authorization), ("s3cret", CLIENT, None));
    Ok(())
}

#[tokio::test]
async fn each_line_of_access_gives_its_role() -> Result<()> {
    let world = World::new().await?;
    let statuses = async |claims: Value| -> Result<Vec<u16>> {
        let session = world.session(claims).await?;
        let mut statuses = Vec::new();
        for path in [
            "teams",
            "metrics/team/payments/velocity",
            "metrics/team/payments/pull-requests",
            "metrics/team/platform/velocity",
            "metrics/dora",
            "collection/status",
        ] {
            statuses.push(world.data(path, &session).await?.status);
        }
        Ok(statuses)
    };
    assert_eq!(statuses(json!({ "groups": ["managers", "payments"] })).await?, [200, 200, 200, 200, 200, 403]);
    assert_eq!(statuses(json!({ "groups": ["payments"] })).await?, [200, 200, 200, 404, 403, 403]);
    let of = |email: &str| json!({ "email": email, "email_verified": true });
    assert_eq!(statuses(of("root@acme.com")).await?, [200; 6]);
    assert_eq!(statuses(of("ana@acme.com")).await?, [200, 200, 403, 200, 200, 403]);
    for nobody in [
        json!({ "email": "root@acme.com" }),
        json!({ "email": "root@acme.com", "email_verified": false }),
        of("ana@acme.com.evil.example"),
        json!({ "groups": ["Managers"] }),
        json!({ "sub": "gone", "groups": ["managers"] }),
    ] {
        world.fake.say(nobody.clone());
        assert_eq!(failure(&world.log_in().await?), "no_access", "{nobody}");
    }
    Ok(())
}

#[tokio::test]
async fn a_session_says_who_and_until_when() -> Result<()> {
    let world = World::new().await?;
    let session = world.session(json!({ "groups": ["payments"] })).await?;
    let me = world.data("me", &session).await?.json()?;
    assert_eq!(me["data"]["name"], json!("ana-1"));
    assert_eq!(me["data"]["scopes"], json!(["metrics:read", "prs:read"]));
    assert_eq!(me["data"]["teams"], json!(["payments"]));
    assert_eq!(me["data"]["session_ends_at"], json!("2026-06-17T20:00:00Z"));
    Ok(())
}

#[tokio::test]
async fn forged_and_foreign_tokens_log_nobody_in() -> Result<()> {
    let world = World::new().await?;
    let managers = json!({ "groups": ["managers"] });
    let with = |changed: Value| {
        let mut claims = managers.clone();
        for (name, value) in changed.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        claims
    };
    for changed in [
        json!({ "iss": "https://id.evil.example" }),
        json!({ "aud": "other" }),
        json!({ "aud": ["other", CLIENT] }),
        json!({ "nonce": "another login's" }),
        json!({ "nonce": null }),
        json!({ "exp": at(NOW).timestamp() - 61 }),
        json!({ "exp": null }),
        json!({ "iat": at(NOW).timestamp() + 3_600 }),
        json!({ "sub": null }),
    ] {
        world.fake.say(with(changed.clone()));
        assert_eq!(failure(&world.log_in().await?), "login_invalid", "{changed}");
    }
    world.fake.say(managers.clone());
    for header in
        [json!({ "alg": "none" }), json!({ "alg": "HS256", "kid": "first" }), json!({ "alg": "ES256", "kid": "first" })]
    {
        world.fake.with(|state| state.unsigned_header = Some(header.clone()));
        assert_eq!(failure(&world.log_in().await?), "login_invalid", "{header}");
    }
    world.fake.with(|state| state.unsigned_header = None);
    let (other, _) = signing_key("first")?;
    let genuine = world.fake.with(|state| std::mem::replace(&mut state.signer, other));
    assert_eq!(failure(&world.log_in().await?), "login_invalid", "signed by another key");
    world.fake.with(|state| state.signer = genuine);
    assert!(world.session(managers).await.is_ok(), "and the genuine one works");
    Ok(())
}

#[tokio::test]
async fn a_rotated_key_is_found_and_an_unknown_one_asks_once_a_minute() -> Result<()> {
    /// Seconds after [`NOW`].
    static CLOCK: AtomicI64 = AtomicI64::new(0);
    let world = World::new().await?.at(|| at(NOW) + TimeDelta::seconds(CLOCK.load(Ordering::SeqCst)))?;
    world.session(json!({ "groups": ["managers"] })).await?;
    let (signer, public) = signing_key("second")?;
    world.fake.with(|state| {
        (state.signer, state.key_id) = (signer, "second".to_owned());
    });
    let read = world.fake.keys_read();
    for _ in 0..5 {
        assert_eq!(failure(&world.log_in().await?), "login_invalid", "not published");
    }
    assert_eq!(world.fake.keys_read(), read, "the keys were read in this minute");
    world.fake.with(|state| state.keys.push(public));
    CLOCK.store(60, Ordering::SeqCst);
    world.session(json!({ "groups": ["managers"] })).await?;
    assert_eq!(world.fake.keys_read(), read + 1);
    Ok(())
}

#[tokio::test]
async fn an_answer_belongs_to_the_login_of_its_browser() -> Result<()> {
    let world = World::new().await?;
    world.fake.say(json!({ "groups": ["managers"] }));
    let (cookie, parameters) = world.start("").await?;
    let state = &parameters["state"];
    assert_eq!(failure(&world.get(&format!("/v1/app/callback?code=a&state={state}"), &[]).await?), "login_expired");
    assert_eq!(failure(&world.callback(&format!("code=a&state={state}"), "forged").await?), "login_expired");
    let (other, _) = world.start("").await?;
    assert_eq!(failure(&world.callback(&format!("code=a&state={state}"), &other).await?), "login_expired");
    for query in ["code=a", "code=a&state=", "code=a&state=x", ""] {
        assert_eq!(failure(&world.callback(query, &cookie).await?), "login_expired", "{query}");
    }
    assert_eq!(
        failure(&world.callback(&format!("error=access_denied&state={state}"), &cookie).await?),
        "login_refused"
    );
    assert_eq!(failure(&world.callback(&format!("state={state}"), &cookie).await?), "login_refused");
    // The session of another purpose is no attempt, and the reverse.
    let session = world.session(json!({ "groups": ["managers"] })).await?;
    let sealed = session.trim_start_matches("__Host-mergeline=");
    assert_eq!(failure(&world.callback(&format!("code=a&state={state}"), sealed).await?), "login_expired");
    assert_eq!(world.data("teams", &format!("__Host-mergeline={cookie}")).await?.status, 401);
    // A code is good once: the provider refuses it the second time.
    let (cookie, parameters) = world.start("").await?;
    let query = format!("code=once&state={}", parameters["state"]);
    assert!(cookies(&world.callback(&query, &cookie).await?).contains_key("__Host-mergeline"));
    assert_eq!(failure(&world.callback(&query, &cookie).await?), "login_expired");
    let asked = world.fake.with(|state| state.used_codes.iter().filter(|code| *code == "once").count());
    assert_eq!(asked, 1, "the provider is not asked again");
    Ok(())
}

#[tokio::test]
async fn a_line_about_a_new_group_needs_a_new_login() -> Result<()> {
    let world = World::new().await?;
    let session = world.session(json!({ "groups": ["payments", "contractors"] })).await?;
    let lines = "access: [{ group: contractors, deny: true }, { group: payments, role: viewer }]";
    world.backend.apply(&format!("{lines}\n{TEAMS}")).await?;
    let later = world.at(|| at(NOW) + TimeDelta::minutes(5))?;
    assert_eq!(later.data("teams", &session).await?.code(), "login_required", "she may be a contractor");
    assert_eq!(failure(&later.log_in().await?), "no_access");
    // A token without groups does not get around a line that denies one.
    world.fake.say(json!({}));
    assert_eq!(failure(&later.log_in().await?), "provider_settings");
    Ok(())
}

#[tokio::test]
async fn nothing_of_a_session_stays_in_the_browsers_cache() -> Result<()> {
    let world = World::new().await?;
    let session = world.session(json!({ "groups": ["managers"] })).await?;
    for path in ["metrics/team/payments/pull-requests", "metrics/team/payments/summary", "me"] {
        assert_eq!(world.data(path, &session).await?.header("cache-control"), "no-store", "{path}");
    }
    let left = ask(&world.router, "POST", "/v1/app/logout", &[("cookie", &session), SAME_ORIGIN]).await?;
    assert_eq!(left.header("clear-site-data"), "\"cache\"");
    Ok(())
}

#[tokio::test]
async fn nobody_is_led_to_another_site() -> Result<()> {
    let world = World::new().await?;
    world.fake.say(json!({ "groups": ["managers"] }));
    for to in [
        "//evil.example",
        "https://evil.example",
        "/evil",
        "javascript:alert(1)",
        "%5C%5Cevil",
        "%23%2F%0d%0aset-cookie:a=b",
        "%23evil",
    ] {
        let (cookie, parameters) = world.start(&format!("?to={to}")).await?;
        let answered = world.callback(&format!("code={to}&state={}", parameters["state"]), &cookie).await?;
        assert_eq!(answered.header("location"), format!("{PAGE}#/"), "{to}");
    }
    Ok(())
}

#[tokio::test]
async fn a_provider_that_does_not_fit_is_named_as_the_cause() -> Result<()> {
    for (name, value, code) in [
        ("issuer", json!("https://id.evil.example"), "provider_settings"),
        ("issuer", json!("https://login.microsoftonline.com/{tenantid}/v2.0"), "provider_settings"),
        ("token_endpoint", json!(null), "provider_settings"),
        ("jwks_uri", json!("http://127.0.0.1:1/keys"), "provider_unreachable"),
    ] {
        let world = World::new().await?;
        world.fake.with(|state| state.metadata.insert(name.to_owned(), value.clone()));
        let answered = world.get("/v1/app/login", &[]).await?;
        let found = if name == "jwks_uri" { failure(&world.log_in().await?) } else { failure(&answered) };
        assert_eq!(found, code, "{name} {value}");
    }
    let world = World::new().await?;
    for (status, code) in [
        (400, "provider_settings"),
        (401, "provider_settings"),
        (500, "provider_unreachable"),
        (503, "provider_unreachable"),
    ] {
        world.fake.with(|state| state.token_status = status);
        assert_eq!(failure(&world.log_in().await?), code, "{status}");
    }
    let world = World::new().await?;
    world.fake.say(json!({ "_claim_names": { "groups": "src1" }, "email": "ana@acme.com", "email_verified": true }));
    assert_eq!(failure(&world.log_in().await?), "too_many_groups");
    Ok(())
}

/// Paths that answer without a session: the page, and what logs in and out.
const OPEN: [&str; 6] = ["", "index.html", "config.json", "icon.svg", "login", "callback"];

#[tokio::test]
async fn below_the_page_nothing_else_answers_without_a_session() -> Result<()> {
    let document = mergeline_api::openapi();
    let paths = document["paths"].as_object().context("paths")?;
    for keys in [None, Some(ApiKeys::single(KEY))] {
        let world = World::with(&[], keys).await?;
        let session = world.session(json!({ "email": "root@acme.com", "email_verified": true })).await?;
        for (path, operations) in paths {
            let path = path.trim_start_matches("/v1/").trim_start_matches('/');
            let path = path.replace("{team_id}", "payments").replace("{service}", "acme.api").replace("{id}", "1");
            for (_, headers) in [
                ("nothing", &[][..]),
                ("the page without a session", &[SAME_ORIGIN]),
                ("a key", &[SAME_ORIGIN, ("x-api-key", KEY)]),
                ("a session of another server", &[SAME_ORIGIN, ("cookie", "__Host-mergeline=AAAA")]),
            ] {
                let answered = world.get(&format!("/v1/app/api/{path}"), headers).await?;
                let expected = if headers.is_empty() { 403 } else { 401 };
                assert_eq!(answered.status, expected, "{path} {headers:?}: {}", answered.text);
            }
            for site in ["cross-site", "same-site", "none"] {
                let answered = world
                    .get(&format!("/v1/app/api/{path}"), &[("cookie", &session), ("sec-fetch-site", site)])
                    .await?;
                assert_eq!((answered.status, answered.code().as_str()), (403, "cross_site"), "{path} {site}");
            }
            if operations.get("post").is_some() || operations.get("put").is_some() {
                for method in ["POST", "PUT", "DELETE"] {
                    let answered = ask(
                        &world.router,
                        method,
                        &format!("/v1/app/api/{path}"),
                        &[("cookie", &session), SAME_ORIGIN],
                    )
                    .await?;
                    assert!([404, 405].contains(&answered.status), "{method} {path}: {answered:?}");
                }
            }
        }
        for path in ["nothing", "../teams", "v1/teams"] {
            assert_eq!(world.get(&format!("/v1/app/api/{path}"), &[SAME_ORIGIN]).await?.status, 401, "{path}");
        }
        for path in OPEN {
            assert!([200, 303].contains(&world.get(&format!("/v1/app/{path}"), &[]).await?.status), "{path}");
        }
        for path in ["logout", "api", "api/", "api.json", "login/x", "teams"] {
            assert!([404, 405].contains(&world.get(&format!("/v1/app/{path}"), &[]).await?.status), "{path}");
        }
        assert_eq!(world.get("/v1/app/config.json", &[]).await?.text, r#"{"login":"oidc","api":"api/","database":""}"#);
        // A session opens nothing outside the page.
        let outside = world.get("/v1/teams", &[("cookie", &session), SAME_ORIGIN]).await?;
        let is_guarded = world.get("/v1/teams", &[]).await?.status == 401;
        assert_eq!(outside.status == 401, is_guarded);
    }
    Ok(())
}

#[tokio::test]
async fn no_other_origin_reads_with_a_session() -> Result<()> {
    let world = World::new().await?;
    let session = world.session(json!({ "groups": ["managers"] })).await?;
    let asked = async |method: &str, path: &str, site: (&str, &str)| {
        let headers =
            [("cookie", session.as_str()), ("origin", FRIEND), site, ("access-control-request-method", "GET")];
        ask(&world.router, method, path, &headers).await
    };
    for path in ["app/api/teams", "app/api/me", "app/api/openapi.json", "app/config.json", "app/", "app/logout"] {
        for method in ["GET", "OPTIONS", "POST"] {
            for site in [SAME_ORIGIN, ("sec-fetch-site", "cross-site")] {
                let answered = asked(method, &format!("/v1/{path}"), site).await?;
                let named = answered.headers.keys().find(|name| name.as_str().starts_with("access-control-"));
                assert_eq!(named, None, "{method} {path}");
            }
        }
    }
    assert_eq!(asked("GET", "/v1/app/api/teams", SAME_ORIGIN).await?.status, 200, "the session is good");
    let outside = asked("GET", "/v1/teams", SAME_ORIGIN).await?;
    assert_eq!((outside.status, outside.header("access-control-allow-credentials")), (401, ""));
    Ok(())
}

#[tokio::test]
async fn a_server_without_a_provider_has_no_data_below_the_page() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    for login in [Login::None, Login::Key] {
        for keys in [None, Some(ApiKeys::single(KEY))] {
            let router = router(Api { page: Some(login.clone()), keys, ..backend.api() });
            for path in ["api/teams", "api/me", "api/", "api", "login", "callback", "teams"] {
                let headers = [SAME_ORIGIN, ("x-api-key", KEY), ("cookie", "__Host-mergeline=A")];
                assert_eq!(ask(&router, "GET", &format!("/v1/app/{path}"), &headers).await?.status, 404, "{path}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_session_ends_after_eight_hours_and_a_login_after_ten_minutes() -> Result<()> {
    let world = World::new().await?;
    let session = world.session(json!({ "groups": ["managers"] })).await?;
    let (attempt, parameters) = world.start("").await?;
    let nearly = world.at(|| at(NOW) + TimeDelta::minutes(8 * 60 - 1))?;
    assert_eq!(nearly.data("teams", &session).await?.status, 200);
    let over = world.at(|| at(NOW) + TimeDelta::hours(8))?;
    let answered = over.data("teams", &session).await?;
    assert_eq!((answered.status, answered.code().as_str()), (401, "login_required"));
    let late = world.at(|| at(NOW) + TimeDelta::minutes(10))?;
    let query = format!("code=a&state={}", parameters["state"]);
    assert_eq!(failure(&late.callback(&query, &attempt).await?), "login_expired");
    Ok(())
}

#[tokio::test]
async fn a_changed_line_of_access_reaches_open_sessions() -> Result<()> {
    let world = World::new().await?;
    let session = world.session(json!({ "groups": ["payments"] })).await?;
    assert_eq!(world.data("metrics/team/payments/pull-requests", &session).await?.status, 200);
    let lines = "access: [{ group: payments, role: viewer }]";
    world.backend.apply(&format!("{lines}\n{TEAMS}")).await?;
    // Known for five minutes; a server that has not read the lines yet reads the new ones.
    assert_eq!(world.data("metrics/team/payments/pull-requests", &session).await?.status, 200);
    let later = world.at(|| at(NOW) + TimeDelta::minutes(5))?;
    assert_eq!(later.data("metrics/team/payments/pull-requests", &session).await?.status, 403);
    assert_eq!(later.data("metrics/team/platform/velocity", &session).await?.status, 200);
    world
        .backend
        .apply(&format!("access: [{{ group: payments, role: viewer, not_before: 2026-06-18 }}]\n{TEAMS}"))
        .await?;
    let later = world.at(|| at(NOW) + TimeDelta::minutes(5))?;
    assert_eq!(later.data("teams", &session).await?.code(), "login_required");
    world.backend.apply(TEAMS).await?;
    let later = world.at(|| at(NOW) + TimeDelta::minutes(5))?;
    assert_eq!(later.data("teams", &session).await?.code(), "no_access");
    Ok(())
}

#[tokio::test]
async fn only_the_page_ends_a_session() -> Result<()> {
    let world = World::new().await?;
    let session = world.session(json!({ "groups": ["managers"] })).await?;
    for headers in [&[("cookie", session.as_str())][..], &[("cookie", &session), ("sec-fetch-site", "cross-site")]] {
        let answered = ask(&world.router, "POST", "/v1/app/logout", headers).await?;
        assert_eq!((answered.status, answered.code().as_str()), (403, "cross_site"));
    }
    let answered = ask(&world.router, "POST", "/v1/app/logout", &[("cookie", &session), SAME_ORIGIN]).await?;
    assert_eq!(answered.status, 204);
    assert!(answered.header("set-cookie").starts_with("__Host-mergeline=; Path=/; Max-Age=0"));
    Ok(())
}
