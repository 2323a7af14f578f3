//! Where a list continues. Cursors are opaque to clients, and rejected if we did not issue them, if they were changed,
//! or if they belong to another query.

use chrono::DateTime;
use mergeline_reporting::PagePosition;
use sha2::{Digest, Sha256};

use super::errors::ApiError;

/// Bytes of the digest. A chance of one in 2^96 to guess it is negligible.
const CHECK_BYTES: usize = 12;
const PAYLOAD_BYTES: usize = 16;

/// The cursor of a page that starts behind `position`. `question` is everything that must be the same for the next page:
/// another configuration or filter would skip rows or repeat them.
pub(crate) fn to_text(position: PagePosition, question: &str) -> String {
    let payload = payload(position);
    payload.iter().chain(check(&payload, question).iter()).map(|byte| format!("{byte:02x}")).collect()
}

/// Parses a cursor that [`to_text`] made for the same query.
///
/// # Errors
/// [`ApiError::InvalidCursor`] for any other text.
pub(crate) fn parse(text: &str, question: &str) -> Result<PagePosition, ApiError> {
    read(text, question).ok_or(ApiError::InvalidCursor)
}

fn read(text: &str, question: &str) -> Option<PagePosition> {
    let bytes = unhex(text)?;
    let (payload, found) = bytes.split_first_chunk::<PAYLOAD_BYTES>()?;
    if found != check(payload, question) {
        return None;
    }
    let (at, id) = payload.split_first_chunk::<8>()?;
    let at = DateTime::from_timestamp_micros(i64::from_be_bytes(*at))?;
    let id = i64::from_be_bytes(*id.first_chunk::<8>()?);
    Some(PagePosition { at, id })
}

fn payload(PagePosition { at, id }: PagePosition) -> [u8; PAYLOAD_BYTES] {
    let mut payload = [0; PAYLOAD_BYTES];
    let (first, second) = payload.split_at_mut(8);
    first.copy_from_slice(&at.timestamp_micros().to_be_bytes());
    second.copy_from_slice(&id.to_be_bytes());
    payload
}

fn check(payload: &[u8; PAYLOAD_BYTES], question: &str) -> [u8; CHECK_BYTES] {
    let mut hasher = Sha256::new();
    hasher.update(payload);
    hasher.update(question.as_bytes());
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&hasher.finalize()[..CHECK_BYTES]);
    check
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    if digits.len() != 2 * (PAYLOAD_BYTES + CHECK_BYTES) || !digits.iter().all(is_hex) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position() -> PagePosition {
        PagePosition { at: "2026-06-17T12:00:00.123456Z".parse().expect("an instant"), id: 42 }
    }

    #[test]
    fn a_cursor_works_only_for_its_own_query() {
        let text = to_text(position(), "payments");
        assert_eq!(read(&text, "payments"), Some(position()));
        assert_eq!(read(&text, "platform"), None);
    }

    #[test]
    fn a10_any_changed_cursor_is_detected() {
        let text = to_text(position(), "payments");
        for at in 0..text.len() {
            let changed = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
            let mut tampered = text.clone();
            tampered.replace_range(at..=at, changed);
            assert_eq!(read(&tampered, "payments"), None, "{at}");
        }
        for other in ["", "x", "é", &text[1..], &format!("{text}00"), &text.to_uppercase()] {
            assert_eq!(read(other, "payments"), None, "{other}");
        }
    }
}
