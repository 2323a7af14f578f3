//! Texts that only this program can read and write: encrypted and authenticated.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

/// What a sealed text is for. One kind cannot be used in place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A login that was started.
    Attempt,
    /// A login that succeeded.
    Session,
}

impl Purpose {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Attempt => b"attempt",
            Self::Session => b"session",
        }
    }
}

/// The keys made from the secrets: the first seals, all open. So a secret can be exchanged without ending sessions.
pub(crate) struct Seal {
    keys: Vec<RandomizedNonceKey>,
    /// Where sealed texts are good: nowhere else do they open.
    place: String,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

impl Seal {
    /// From these secrets, for this place. `None` if there are none.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>, place: &str) -> Option<Self> {
        let keys: Option<Vec<_>> = secrets.into_iter().map(key).collect();
        keys.filter(|keys| !keys.is_empty()).map(|keys| Self { keys, place: place.to_owned() })
    }

    /// What is authenticated beside the text.
    fn label(&self, purpose: Purpose) -> Vec<u8> {
        [purpose.name(), b"\n", self.place.as_bytes()].concat()
    }

    /// The text, sealed, for a cookie.
    pub(crate) fn close(&self, purpose: Purpose, text: &[u8]) -> Option<String> {
        let mut bytes = text.to_vec();
        let nonce = self.keys.first()?.seal_in_place_append_tag(Aad::from(self.label(purpose)), &mut bytes).ok()?;
        let sealed = [nonce.as_ref().as_slice(), &bytes].concat();
        Some(BASE64_URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The text that was sealed for this purpose; `None` for anything else.
    pub(crate) fn open(&self, purpose: Purpose, sealed: &str) -> Option<Vec<u8>> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN)?;
        self.keys.iter().find_map(|key| {
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut text = text.to_vec();
            key.open_in_place(nonce, Aad::from(self.label(purpose)), &mut text).ok().map(|opened| opened.to_vec())
        })
    }
}

fn key(secret: &str) -> Option<RandomizedNonceKey> {
    let mut bytes = [0; 32];
    let made = Salt::new(HKDF_SHA256, b"mergeline").extract(secret.as_bytes());
    made.expand(&[b"cookies"], HKDF_SHA256).ok()?.fill(&mut bytes).ok()?;
    RandomizedNonceKey::new(&AES_256_GCM, &bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "an-old-secret-of-32-characters-or-more";
    const NEW: &str = "a-new-secret-of-32-characters-or-more-";

    fn seal(secrets: &[&str]) -> Seal {
        Seal::new(secrets.iter().copied(), "https://metrics.acme.com/app/").expect("keys")
    }

    #[test]
    fn only_what_was_sealed_for_the_purpose_opens() {
        let seal = seal(&[NEW]);
        let sealed = seal.close(Purpose::Session, b"ana").expect("sealed");
        assert_eq!(seal.open(Purpose::Session, &sealed).as_deref(), Some(&b"ana"[..]));
        assert_eq!(seal.open(Purpose::Attempt, &sealed), None);
        assert!(!sealed.contains("ana"));
        for (place, letter) in sealed.char_indices() {
            let other = if letter == 'A' { "B" } else { "A" };
            let mut changed = sealed.clone();
            changed.replace_range(place..=place, other);
            // The last letter has bits that mean nothing, and a text with other ones is refused as well.
            assert_eq!(seal.open(Purpose::Session, &changed), None, "{place}");
        }
        for other in ["", "A", "====", "ü", &sealed[..20], &format!("{sealed}A")] {
            assert_eq!(seal.open(Purpose::Session, other), None, "{other}");
        }
        assert_ne!(seal.close(Purpose::Session, b"ana"), Some(sealed), "each has its own nonce");
    }

    #[test]
    fn an_exchanged_secret_still_opens_what_it_sealed() {
        let sealed = seal(&[OLD]).close(Purpose::Session, b"ana").expect("sealed");
        assert!(seal(&[NEW, OLD]).open(Purpose::Session, &sealed).is_some());
        assert_eq!(seal(&[NEW]).open(Purpose::Session, &sealed), None);
        let renewed = seal(&[NEW, OLD]).close(Purpose::Session, b"ana").expect("sealed");
        assert!(seal(&[NEW]).open(Purpose::Session, &renewed).is_some());
        assert!(Seal::new([], "").is_none());
        let elsewhere = Seal::new([NEW], "https://staging.acme.com/app/").expect("keys");
        assert_eq!(elsewhere.open(Purpose::Session, &renewed), None, "the same secret at another place");
    }
}
