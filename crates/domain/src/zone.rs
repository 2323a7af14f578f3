//! Time zones that mean the same everywhere.

use chrono_tz::Tz;

/// Names that the IANA database keeps for old programs: PostgreSQL reads them as abbreviations with a fixed offset,
/// everybody else as zones with daylight saving time.
const AMBIGUOUS: [&str; 4] = ["CET", "EET", "MET", "WET"];

/// The time zone of an IANA name that Rust and PostgreSQL understand alike.
pub fn parse_zone(name: &str) -> Option<Tz> {
    name.parse().ok().filter(|zone: &Tz| !AMBIGUOUS.contains(&zone.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_postgresql_reads_as_fixed_offsets_are_no_zones() {
        assert_eq!(parse_zone("Europe/Oslo"), Some(chrono_tz::Europe::Oslo));
        for name in ["CET", "EET", "MET", "WET", "CEST", "Mars/Phobos", ""] {
            assert_eq!(parse_zone(name), None, "{name}");
        }
    }
}
