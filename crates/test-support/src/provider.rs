//! A provider of OpenID Connect.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A provider of OpenID Connect that says what a test wants, over HTTP.
#[derive(Debug, Clone)]
pub struct FakeProvider {
    address: String,
    state: Arc<Mutex<FakeProviderState>>,
    keys_read: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    clock: fn() -> DateTime<Utc>,
}

/// What it answers.
pub struct FakeProviderState {
    /// Signs tokens.
    pub signer: EncodingKey,
    /// The key that tokens name.
    pub key_id: String,
    /// What is published.
    pub keys: Vec<Jwk>,
    /// Its discovery document.
    pub metadata: BTreeMap<String, Value>,
    /// Claims that replace the usual ones; null leaves one out.
    pub claims: Value,
    /// The header of tokens, if not the usual one, and whether they are signed.
    pub unsigned_header: Option<Value>,
    /// What tokens call themselves in their header, if not `JWT`.
    pub token_type: Option<String>,
    /// Tokens are signed by HS256, with the published key as the secret.
    pub is_symmetric: bool,
    /// What a request for what it publishes is answered; 0 for nothing at all.
    pub published_status: u16,
    /// What a request for a token is answered.
    pub token_status: u16,
    /// The last request for a token: its form, and how the program said who it is.
    pub asked: Option<(BTreeMap<String, String>, Option<String>)>,
    /// The nonce that the browser was sent with.
    pub nonce: String,
    /// The codes that tokens were asked for with, in order.
    pub used_codes: Vec<String>,
}

/// A new key to sign tokens with, and its public half under this id.
///
/// # Errors
/// If it cannot be made.
pub fn signing_key(id: &str) -> Result<(EncodingKey, Jwk)> {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &aws_lc_rs::rand::SystemRandom::new())?;
    let key = EncodingKey::from_ec_der(pair.as_ref());
    let mut public = Jwk::from_encoding_key(&key, Algorithm::ES256)?;
    public.common.key_id = Some(id.to_owned());
    Ok((key, public))
}

impl FakeProvider {
    /// The client that its tokens are for.
    pub const CLIENT: &str = "mergeline";

    /// Starts one. Its tokens are made now by this clock.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start(clock: fn() -> DateTime<Utc>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let (signer, public) = signing_key("first")?;
        let metadata = [
            ("issuer", address.clone()),
            ("authorization_endpoint", format!("{address}/authorize?tenant=1")),
            ("token_endpoint", format!("{address}/token")),
            ("jwks_uri", format!("{address}/keys")),
        ];
        let state = FakeProviderState {
            signer,
            key_id: "first".to_owned(),
            keys: vec![public],
            metadata: metadata.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect(),
            claims: json!({}),
            unsigned_header: None,
            token_type: None,
            is_symmetric: false,
            published_status: 200,
            token_status: 200,
            asked: None,
            nonce: String::new(),
            used_codes: Vec::new(),
        };
        let fake = Self {
            address,
            state: Arc::new(Mutex::new(state)),
            keys_read: Arc::default(),
            asked: Arc::default(),
            clock,
        };
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(metadata_of))
            .route("/keys", get(keys_of))
            .route("/token", post(token_of))
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(fake)
    }

    /// Its address, which is its issuer too.
    pub fn url(&self) -> &str {
        &self.address
    }

    /// How often its keys were read.
    pub fn keys_read(&self) -> usize {
        self.keys_read.load(Ordering::SeqCst)
    }

    /// How often anything that it publishes was asked for.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Changes what it answers.
    pub fn with<T>(&self, change: impl FnOnce(&mut FakeProviderState) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes tokens say this too.
    pub fn say(&self, claims: Value) {
        self.with(|state| state.claims = claims);
    }

    async fn publish(&self, answer: impl IntoResponse) -> Response {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.with(|state| state.published_status) {
            0 => std::future::pending().await,
            200 => answer.into_response(),
            other => StatusCode::from_u16(other).unwrap_or_default().into_response(),
        }
    }

    /// A token as it makes them now.
    pub fn token(&self) -> String {
        let now = (self.clock)().timestamp();
        self.with(|state| {
            let mut claims = json!({
                "iss": self.address, "aud": Self::CLIENT, "sub": "ana-1", "nonce": state.nonce,
                "iat": now, "exp": now + 300,
            });
            for (name, value) in state.claims.as_object().into_iter().flatten() {
                claims[name] = value.clone();
            }
            if let Some(claims) = claims.as_object_mut() {
                claims.retain(|_, value| !value.is_null());
            }
            if let Some(header) = &state.unsigned_header {
                use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64, Engine as _};
                return format!("{}.{}.", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
            }
            let of = |algorithm| {
                let usual = Header::new(algorithm);
                let typ = state.token_type.clone().or(usual.typ.clone());
                Header { kid: Some(state.key_id.clone()), typ, ..usual }
            };
            let signed = if state.is_symmetric {
                let secret = serde_json::to_vec(&state.keys.first()).unwrap_or_default();
                jsonwebtoken::encode(&of(Algorithm::HS256), &claims, &EncodingKey::from_secret(&secret))
            } else {
                jsonwebtoken::encode(&of(Algorithm::ES256), &claims, &state.signer)
            };
            signed.unwrap_or_default()
        })
    }
}

async fn metadata_of(State(fake): State<FakeProvider>) -> Response {
    let metadata = fake.with(|state| state.metadata.clone());
    fake.publish(Json(metadata)).await
}

async fn keys_of(State(fake): State<FakeProvider>) -> Response {
    fake.keys_read.fetch_add(1, Ordering::SeqCst);
    let keys = fake.with(|state| state.keys.clone());
    fake.publish(Json(JwkSet { keys })).await
}

async fn token_of(State(fake): State<FakeProvider>, headers: HeaderMap, body: String) -> Response {
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let status = fake.with(|state| {
        let code = form.get("code").cloned().unwrap_or_default();
        let is_used = state.used_codes.contains(&code);
        state.used_codes.push(code);
        state.asked = Some((form, authorization));
        if is_used { 400 } else { state.token_status }
    });
    match status {
        200 => {
            Json(json!({ "access_token": "unused", "token_type": "Bearer", "id_token": fake.token() })).into_response()
        }
        other => {
            let status = StatusCode::from_u16(other).unwrap_or_default();
            (status, Json(json!({ "error": "invalid_grant" }))).into_response()
        }
    }
}

impl fmt::Debug for FakeProviderState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeProviderState").finish_non_exhaustive()
    }
}
