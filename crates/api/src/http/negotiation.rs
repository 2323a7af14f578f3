//! Content negotiation.

use http::{HeaderMap, header};

use super::errors::ApiError;
use super::response::{CSV, JSON, PROBLEM_JSON};

/// The format of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// The envelope.
    Json,
    /// Rows for a spreadsheet.
    Csv,
}

/// What a request accepts. Without the header, everything.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Accept {
    /// Each media range, in lower case, with its quality in thousandths.
    ranges: Vec<(String, u16)>,
}

impl Accept {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let texts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let ranges = texts.flat_map(|text| text.split(',')).filter_map(media_range).collect();
        Self { ranges }
    }

    /// The quality of a media type, in thousandths. The most specific matching range decides (RFC 9110, 12.5.1).
    fn quality(&self, media_type: &str) -> u16 {
        if self.ranges.is_empty() {
            return 1_000;
        }
        let kind = media_type.split('/').next().unwrap_or_default();
        let candidates = [media_type.to_owned(), format!("{kind}/*"), "*/*".to_owned()];
        candidates
            .iter()
            .find_map(|candidate| self.ranges.iter().find(|(range, _)| range == candidate))
            .map_or(0, |(_, quality)| *quality)
    }

    /// Whether errors should be problem details (RFC 9457): only if they are named explicitly.
    pub(crate) fn wants_problem_details(&self) -> bool {
        self.ranges.iter().any(|(range, quality)| range == PROBLEM_JSON && *quality > 0)
    }

    /// The format of a response that exists as JSON and, if `has_csv` is set, as CSV. The query overrides the header.
    ///
    /// # Errors
    /// [`ApiError::NotAcceptable`] if the request accepts none of them.
    pub(crate) fn choose(&self, named: Option<Format>, has_csv: bool) -> Result<Format, ApiError> {
        if let Some(format) = named {
            return Ok(format);
        }
        // A client that accepts only problem details means errors; other responses are still JSON.
        let json = self.quality(JSON).max(u16::from(self.wants_problem_details()));
        let csv = if has_csv { self.quality(CSV) } else { 0 };
        match (json, csv) {
            (0, 0) => {
                Err(ApiError::NotAcceptable { offered: if has_csv { "application/json and text/csv" } else { JSON } })
            }
            (json, csv) if csv > json => Ok(Format::Csv),
            _ => Ok(Format::Json),
        }
    }

    /// Whether a document that exists only as `media_type` is acceptable.
    ///
    /// # Errors
    /// [`ApiError::NotAcceptable`] if it is not.
    pub(crate) fn require(&self, media_type: &'static str) -> Result<(), ApiError> {
        // As above: a client that accepts only problem details means errors.
        let is_json_meant = media_type == JSON && self.wants_problem_details();
        if self.quality(media_type) > 0 || is_json_meant {
            Ok(())
        } else {
            Err(ApiError::NotAcceptable { offered: media_type })
        }
    }
}

fn media_range(text: &str) -> Option<(String, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| !range.is_empty())?.to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let quality = match quality {
        None => 1_000,
        Some(text) => text.trim().parse::<f64>().ok().filter(|q| (0.0..=1.0).contains(q)).map_or(0, |q| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1,000")]
            let thousandths = (q * 1_000.0).round() as u16;
            thousandths
        }),
    };
    Some((range, quality))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn accept(text: &'static str) -> Accept {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(text));
        Accept::of(&headers)
    }

    fn chosen(text: &'static str) -> Option<Format> {
        accept(text).choose(None, true).ok()
    }

    #[test]
    fn the_preferred_format_wins_and_json_is_default() {
        assert_eq!(Accept::of(&HeaderMap::new()).choose(None, true).ok(), Some(Format::Json));
        for (text, format) in [
            ("*/*", Some(Format::Json)),
            ("application/json", Some(Format::Json)),
            ("application/*", Some(Format::Json)),
            ("text/csv", Some(Format::Csv)),
            ("text/*", Some(Format::Csv)),
            ("text/csv;q=0.5, application/json", Some(Format::Json)),
            ("text/csv, application/json;q=0.9", Some(Format::Csv)),
            ("TEXT/CSV; charset=utf-8", Some(Format::Csv)),
            ("application/json;q=0, */*", Some(Format::Csv)),
            ("application/problem+json", Some(Format::Json)),
            ("application/xml", None),
            ("text/html, application/xml", None),
            ("application/json;q=0", None),
            ("application/json;q=nonsense", None),
        ] {
            assert_eq!(chosen(text), format, "{text}");
        }
    }

    #[test]
    fn the_query_overrides_accept_and_csv_is_optional() {
        assert_eq!(accept("application/json").choose(Some(Format::Csv), true).ok(), Some(Format::Csv));
        assert!(accept("text/csv").choose(None, false).is_err());
    }

    #[test]
    fn problem_details_are_sent_when_named() {
        assert!(accept("application/json, application/problem+json").wants_problem_details());
        assert!(!accept("*/*").wants_problem_details());
        assert!(!accept("application/problem+json;q=0, */*").wants_problem_details());
    }
}
