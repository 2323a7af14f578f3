//! Checks the tokens that a provider signs, and reads who they are about: ID tokens of a login, and those that programs send.

use std::collections::BTreeSet;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use mergeline_domain::{Identity, domain_of};
use serde_json::{Map, Value};

use crate::error::LoginError;

/// Signatures that only the provider can make. A token cannot choose another: with `none` anyone could write it, and with HS256
/// the provider's public key would be the secret.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// How far the provider's clock may be off.
const LEEWAY: TimeDelta = TimeDelta::minutes(1);
/// Google says in a claim of its own which workspace somebody belongs to. Anybody can have a Google account with an address of any
/// domain.
const GOOGLE: &str = "https://accounts.google.com";

/// What is asked about groups.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Groups<'a> {
    /// The keys that lead to the groups inside a token.
    pub(crate) claim: &'a [String],
    /// The groups that matter. Others are not kept.
    pub(crate) wanted: &'a BTreeSet<&'a str>,
    /// Whether the token must say which groups the person is in.
    pub(crate) are_needed: bool,
}

/// The login that an ID token belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Login<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) nonce: &'a str,
}

/// What a genuine token says, which is for this program and in force.
#[derive(Debug, Clone)]
pub(crate) struct Claims<'a> {
    issuer: &'a str,
    all: Map<String, Value>,
    /// When the token ends.
    pub(crate) expires_at: DateTime<Utc>,
    /// When it was made, if it says so.
    pub(crate) issued_at: Option<DateTime<Utc>>,
}

/// Finds the key that a token says it is signed with; `None` if it is not known: the provider may have a new one.
///
/// # Errors
/// If the token is not one, or its signature is of a kind that is not accepted.
pub(crate) fn key_of<'a>(token: &str, keys: &'a JwkSet) -> Result<Option<&'a Jwk>, LoginError> {
    let header = jsonwebtoken::decode_header(token).map_err(|error| invalid(format!("no header: {error}")))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(invalid(format!("its signature is of the kind {:?}", header.alg)));
    }
    // What must be understood, and is not (RFC 7515, 4.1.11).
    if raw_header(token).is_none_or(|header| header.contains_key("crit")) {
        return Err(invalid("its header asks for something that is not known"));
    }
    let mut usable = keys.keys.iter().filter(|key| is_for(key, header.alg));
    Ok(match &header.kid {
        Some(id) => usable.find(|key| key.common.key_id.as_ref() == Some(id)),
        // Without an id it must be the only one.
        None => usable.next().filter(|_| usable.next().is_none()),
    })
}

/// Whether a key may have made a signature of this kind.
fn is_for(key: &Jwk, algorithm: Algorithm) -> bool {
    let is_for_signing = !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
    let is_of_kind = match key.common.key_algorithm {
        None => true,
        Some(kind) => same_name(kind, algorithm),
    };
    is_for_signing && is_of_kind
}

fn same_name(kind: KeyAlgorithm, algorithm: Algorithm) -> bool {
    format!("{kind:?}") == format!("{algorithm:?}")
}

/// What kind of token it says it is, in small letters, if it says so.
pub(crate) fn type_of(token: &str) -> Option<String> {
    Some(raw_header(token)?.get("typ")?.as_str().unwrap_or("?").to_lowercase())
}

fn raw_header(token: &str) -> Option<Map<String, Value>> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').next()?).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// What the token says, if it is genuine, of this issuer, for this audience, and in force.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn verified<'a>(
    token: &str,
    key: &Jwk,
    issuer: &'a str,
    audience: &str,
    now: DateTime<Utc>,
) -> Result<Claims<'a>, LoginError> {
    let claims = genuine(token, key, issuer, audience)?;
    let instant = |name: &str| {
        let seconds = claims.get(name)?.as_f64()?;
        #[expect(clippy::cast_possible_truncation, reason = "a time beyond 64 bits is refused by the next line")]
        DateTime::from_timestamp(seconds as i64, 0)
    };
    // By the program's own clock, not the library's.
    let expires_at = instant("exp").ok_or_else(|| invalid("it has no end"))?;
    if now >= expires_at + LEEWAY {
        return Err(invalid(format!("it ended at {expires_at}")));
    }
    for name in ["iat", "nbf"] {
        if instant(name).is_some_and(|at| at > now + LEEWAY) {
            return Err(invalid(format!("its {name} is in the future: one of the clocks is wrong")));
        }
    }
    let issued_at = instant("iat");
    Ok(Claims { issuer, all: claims, expires_at, issued_at })
}

/// The claims of a token with a right signature, issuer and audience.
fn genuine(token: &str, key: &Jwk, issuer: &str, audience: &str) -> Result<Map<String, Value>, LoginError> {
    let header = jsonwebtoken::decode_header(token).map_err(|error| invalid(error.to_string()))?;
    let decoding = DecodingKey::from_jwk(key).map_err(|error| invalid(format!("the key cannot be used: {error}")))?;
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, &decoding, &validation);
    decoded.map(|data| data.claims).map_err(|error| invalid(error.to_string()))
}

impl Claims<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.all.get(name).and_then(Value::as_str)
    }

    /// Accepts the ID token of this login.
    ///
    /// # Errors
    /// If it belongs to another one.
    pub(crate) fn are_of(&self, login: Login<'_>) -> Result<(), LoginError> {
        if self.text("nonce") != Some(login.nonce) {
            return Err(invalid("it belongs to another login"));
        }
        // With several audiences, the token must say that this program asked for it.
        let is_shared = self.all.get("aud").and_then(Value::as_array).is_some_and(|all| all.len() > 1);
        if self.text("azp").map_or(is_shared, |party| party != login.client_id) {
            return Err(invalid("another program asked for it"));
        }
        Ok(())
    }

    /// Who the token is about, since `began_at`.
    ///
    /// # Errors
    /// If it names nobody, or not the groups that have to be known.
    pub(crate) fn identity(&self, of: Groups<'_>, began_at: DateTime<Utc>) -> Result<Identity, LoginError> {
        let subject =
            self.text("sub").filter(|subject| !subject.is_empty()).ok_or_else(|| invalid("it names nobody"))?;
        let is_verified = match self.all.get("email_verified") {
            Some(Value::Bool(is_verified)) => *is_verified,
            Some(Value::String(text)) => text == "true",
            _ => false,
        };
        let (claimed, workspace) = (self.text("email").map(str::to_lowercase), self.text("hd"));
        // Google verifies an address once, and vouches later only for its own and those of a workspace.
        let is_of_google = |address: &str| ["@gmail.com", "@googlemail.com"].iter().any(|end| address.ends_with(end));
        let is_trusted =
            |address: &String| is_verified && (self.issuer != GOOGLE || workspace.is_some() || is_of_google(address));
        let email = claimed.clone().filter(is_trusted);
        let claimed_email = claimed.filter(|_| email.is_none());
        let domain = if self.issuer == GOOGLE {
            workspace.map(str::to_lowercase)
        } else {
            email.as_deref().and_then(domain_of).map(str::to_owned)
        };
        let groups = groups(&self.all, of)?;
        Ok(Identity { subject: subject.to_owned(), email, claimed_email, domain, groups, logged_in_at: began_at })
    }
}

/// The person's groups, as far as they matter.
fn groups(claims: &Map<String, Value>, of: Groups<'_>) -> Result<BTreeSet<String>, LoginError> {
    let (first, rest) = of.claim.split_first().ok_or_else(|| invalid("no claim has the groups"))?;
    let found = rest.iter().try_fold(claims.get(first), |value, key| Some(value?.get(key))).flatten();
    let names: Vec<&str> = match found {
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(name)) => vec![name],
        _ => {
            // Entra writes where the groups could be asked for instead.
            let is_left_out = claims.get("_claim_names").is_some_and(|names| names.get(first).is_some())
                || claims.get("hasgroups").is_some_and(|flag| flag != &Value::Bool(false));
            if is_left_out && !of.wanted.is_empty() {
                return Err(LoginError::TooManyGroups);
            }
            if of.are_needed {
                return Err(LoginError::NoGroups);
            }
            Vec::new()
        }
    };
    Ok(names.into_iter().filter(|name| of.wanted.contains(name)).map(str::to_owned).collect())
}

fn invalid(reason: impl Into<String>) -> LoginError {
    LoginError::Token(reason.into())
}

#[cfg(test)]
mod tests {
    use anyhow::Result;
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://id.acme.com";
    const NOW: i64 = 1_781_697_600;

    struct Signer {
        key: EncodingKey,
        public: Jwk,
    }

    fn signer(id: &str) -> Result<Signer> {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
        let random = aws_lc_rs::rand::SystemRandom::new();
        let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)?;
        let key = EncodingKey::from_ec_der(pair.as_ref());
        let mut public = Jwk::from_encoding_key(&key, Algorithm::ES256)?;
        public.common.key_id = Some(id.to_owned());
        Ok(Signer { key, public })
    }

    fn token(signer: &Signer, id: Option<&str>, claims: &Value) -> Result<String> {
        let header = Header { kid: id.map(str::to_owned), ..Header::new(Algorithm::ES256) };
        Ok(jsonwebtoken::encode(&header, claims, &signer.key)?)
    }

    fn claims() -> Value {
        json!({
            "iss": ISSUER, "aud": "mergeline", "sub": "1", "exp": NOW + 300, "iat": NOW, "nonce": "n",
            "email": "Ana@Acme.com", "email_verified": true, "groups": ["payments", "everyone"],
        })
    }

    fn with(changed: Value) -> Value {
        let mut claims = claims();
        if let (Some(claims), Value::Object(changed)) = (claims.as_object_mut(), changed) {
            for (name, value) in changed {
                if value.is_null() {
                    claims.remove(&name);
                } else {
                    claims.insert(name, value);
                }
            }
        }
        claims
    }

    fn read_as(signer: &Signer, claims: &Value, issuer: &str, groups_claim: &str) -> Result<Identity> {
        let groups = BTreeSet::from(["payments"]);
        let groups_claim: Vec<String> = groups_claim.split('.').map(str::to_owned).collect();
        let of = Groups { claim: &groups_claim, wanted: &groups, are_needed: false };
        let now = DateTime::from_timestamp(NOW, 0).unwrap_or_default();
        let token = token(signer, Some("a"), claims)?;
        let claims = verified(&token, &signer.public, issuer, "mergeline", now)?;
        claims.are_of(Login { client_id: "mergeline", nonce: "n" })?;
        Ok(claims.identity(of, now)?)
    }

    fn read(signer: &Signer, claims: &Value) -> Result<Identity> {
        read_as(signer, claims, ISSUER, "groups")
    }

    #[test]
    fn a_token_says_who_it_is_about_and_only_groups_that_matter() -> Result<()> {
        let signer = signer("a")?;
        let ana = read(&signer, &claims())?;
        assert_eq!(ana.subject, "1");
        assert_eq!(ana.email.as_deref(), Some("ana@acme.com"));
        assert_eq!(ana.domain.as_deref(), Some("acme.com"));
        assert_eq!(ana.groups, BTreeSet::from(["payments".to_owned()]));
        for unverified in
            [json!({ "email_verified": null }), json!({ "email_verified": false }), json!({ "email_verified": "no" })]
        {
            let someone = read(&signer, &with(unverified.clone()))?;
            assert_eq!((someone.email, someone.domain), (None, None), "{unverified}");
            assert_eq!(someone.claimed_email.as_deref(), Some("ana@acme.com"));
        }
        let nested = with(json!({ "groups": null, "realm_access": { "roles": ["payments"] } }));
        assert_eq!(read_as(&signer, &nested, ISSUER, "realm_access.roles")?.groups.len(), 1);
        assert!(read(&signer, &nested)?.groups.is_empty());
        assert_eq!(read(&signer, &with(json!({ "groups": "payments" })))?.groups.len(), 1);
        Ok(())
    }

    #[test]
    fn with_google_a_domain_is_that_of_the_workspace() -> Result<()> {
        let signer = signer("a")?;
        let google = |changed: Value| read_as(&signer, &with(changed), GOOGLE, "groups");
        assert_eq!(google(json!({ "iss": GOOGLE, "hd": "Acme.com" }))?.domain.as_deref(), Some("acme.com"));
        assert_eq!(
            google(json!({ "iss": GOOGLE }))?.domain,
            None,
            "an account with such an address is not of the workspace"
        );
        let email = |changed: Value| google(changed).map(|person| person.email);
        assert_eq!(email(json!({ "iss": GOOGLE }))?, None, "a private account with a company's address");
        assert_eq!(email(json!({ "iss": GOOGLE, "hd": "acme.com" }))?.as_deref(), Some("ana@acme.com"));
        assert_eq!(email(json!({ "iss": GOOGLE, "email": "ana@gmail.com" }))?.as_deref(), Some("ana@gmail.com"));
        Ok(())
    }

    #[test]
    fn a_token_of_another_issuer_program_login_or_time_is_refused() -> Result<()> {
        let signer = signer("a")?;
        for changed in [
            json!({ "iss": "https://id.evil.example" }),
            json!({ "iss": null }),
            json!({ "aud": "other" }),
            json!({ "aud": null }),
            json!({ "aud": ["mergeline", "other"] }),
            json!({ "aud": ["mergeline", "other"], "azp": "other" }),
            json!({ "azp": "other" }),
            json!({ "nonce": "other" }),
            json!({ "nonce": null }),
            json!({ "exp": NOW - 60 }),
            json!({ "exp": null }),
            json!({ "exp": "soon" }),
            json!({ "iat": NOW + 61 }),
            json!({ "nbf": NOW + 61 }),
            json!({ "sub": null }),
            json!({ "sub": "" }),
        ] {
            assert!(read(&signer, &with(changed.clone())).is_err(), "{changed}");
        }
        for changed in [
            json!({ "aud": ["mergeline"] }),
            json!({ "aud": ["mergeline", "other"], "azp": "mergeline" }),
            json!({ "exp": NOW - 59 }),
            json!({ "iat": NOW + 60 }),
        ] {
            assert!(read(&signer, &with(changed.clone())).is_ok(), "{changed}");
        }
        Ok(())
    }

    #[test]
    fn only_the_providers_key_signs() -> Result<()> {
        let (ours, other) = (signer("a")?, signer("b")?);
        let keys = JwkSet { keys: vec![ours.public.clone(), other.public.clone()] };
        let found = |token: &str| -> Result<Option<String>> {
            Ok(key_of(token, &keys)?.and_then(|key| key.common.key_id.clone()))
        };
        assert_eq!(found(&token(&ours, Some("a"), &claims())?)?.as_deref(), Some("a"));
        assert_eq!(found(&token(&ours, Some("c"), &claims())?)?, None, "an unknown id");
        assert_eq!(found(&token(&ours, None, &claims())?)?, None, "no id, and two keys");
        // Signed by another key than the one that is named.
        let forged = Signer { key: other.key, public: ours.public.clone() };
        assert!(read(&forged, &claims()).is_err());
        let token = token(&ours, Some("a"), &claims())?;
        let parts: Vec<&str> = token.split('.').collect();
        let [header, body, signature] = parts.as_slice() else { anyhow::bail!("three parts") };
        for other in [
            format!("{header}.{body}."),
            format!("{header}.{body}"),
            format!("{header}.{header}.{signature}"),
            String::new(),
        ] {
            let now = DateTime::from_timestamp(NOW, 0).unwrap_or_default();
            assert!(verified(&other, &ours.public, ISSUER, "mergeline", now).is_err(), "{other}");
        }
        Ok(())
    }

    #[test]
    fn a_token_cannot_choose_how_it_is_checked() -> Result<()> {
        let ours = signer("a")?;
        let keys = JwkSet { keys: vec![ours.public.clone()] };
        let body = BASE64_URL_SAFE_NO_PAD.encode(claims().to_string());
        for header in [
            json!({ "alg": "none" }),
            json!({ "alg": "None", "kid": "a" }),
            json!({ "alg": "HS256", "kid": "a" }),
            json!({ "alg": "ES256", "kid": "a", "crit": ["b64"], "b64": false }),
        ] {
            let head = BASE64_URL_SAFE_NO_PAD.encode(header.to_string());
            assert!(key_of(&format!("{head}.{body}."), &keys).is_err(), "{header}");
        }
        // HS256 with the public key as the secret.
        let secret = serde_json::to_vec(&ours.public)?;
        let header = Header { kid: Some("a".to_owned()), ..Header::new(Algorithm::HS256) };
        let forged = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(&secret))?;
        assert!(key_of(&forged, &keys).is_err());
        let mut encrypting = ours.public.clone();
        encrypting.common.public_key_use = Some(PublicKeyUse::Encryption);
        let keys = JwkSet { keys: vec![encrypting] };
        assert!(key_of(&token(&ours, Some("a"), &claims())?, &keys)?.is_none());
        Ok(())
    }

    #[test]
    fn left_out_groups_refuse_the_login_only_where_groups_matter() -> Result<()> {
        let signer = signer("a")?;
        for changed in [
            json!({ "groups": null, "_claim_names": { "groups": "src1" } }),
            json!({ "groups": null, "hasgroups": true }),
        ] {
            let error = read(&signer, &with(changed.clone())).expect_err("refused");
            assert!(matches!(error.downcast_ref(), Some(LoginError::TooManyGroups)), "{changed}: {error}");
        }
        assert!(read(&signer, &with(json!({ "groups": null })))?.groups.is_empty());
        Ok(())
    }
}
