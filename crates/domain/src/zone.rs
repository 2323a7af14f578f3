//! Time zones that mean the same everywhere.

use std::sync::LazyLock;

use chrono_tz::Tz;

/// Names that the IANA database keeps for old programs. PostgreSQL reads them as abbreviations with a fixed offset;
/// other software reads them as zones with daylight saving time.
const AMBIGUOUS: [&str; 4] = ["CET", "EET", "MET", "WET"];

/// Former and alternative zone names mapped to current ones: the links of the IANA database 2025b, as `name current`.
static LINKS: LazyLock<Vec<(Tz, Tz)>> = LazyLock::new(|| {
    let links = include_str!("zone_links.txt").lines().filter_map(|line| line.split_once(' '));
    links.filter_map(|(name, current)| Some((parse_zone(name)?, parse_zone(current)?))).collect()
});

/// The time zone of an IANA name that Rust and PostgreSQL interpret the same way.
pub fn parse_zone(name: &str) -> Option<Tz> {
    name.parse().ok().filter(|zone: &Tz| !AMBIGUOUS.contains(&zone.name()))
}

/// The names of a zone, best first: the given name, the current name, then the others. `Europe/Kiev` is also
/// `Europe/Kyiv`: old systems lack the new name, and some new ones drop the old name.
pub fn names_of(zone: Tz) -> Vec<Tz> {
    let current = LINKS.iter().find(|(name, _)| *name == zone).map_or(zone, |(_, current)| *current);
    let links = LINKS.iter().filter(|(_, target)| *target == current).map(|(name, _)| *name);
    let mut names = vec![zone];
    for name in std::iter::once(current).chain(links) {
        if name != zone {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Offset, TimeDelta, TimeZone};

    use super::*;

    #[test]
    fn fixed_offset_names_in_postgresql_are_refused() {
        assert_eq!(parse_zone("Europe/Oslo"), Some(chrono_tz::Europe::Oslo));
        for name in ["CET", "EET", "MET", "WET", "CEST", "Mars/Phobos", ""] {
            assert_eq!(parse_zone(name), None, "{name}");
        }
    }

    #[test]
    fn a_zone_lists_its_given_name_first() {
        let names = |zone: Tz| names_of(zone).into_iter().map(Tz::name).collect::<Vec<_>>();
        assert_eq!(names(Tz::Europe__Kiev)[..2], ["Europe/Kiev", "Europe/Kyiv"]);
        assert_eq!(names(Tz::Europe__Kyiv)[..2], ["Europe/Kyiv", "Europe/Kiev"]);
        assert_eq!(names(Tz::Asia__Kolkata), ["Asia/Kolkata", "Asia/Calcutta"]);
        assert_eq!(names(Tz::Europe__Oslo), ["Europe/Oslo"]);
        assert_eq!(names(Tz::US__Pacific), ["US/Pacific", "America/Los_Angeles"]);
    }

    #[test]
    fn linked_zones_agree_since_1970() {
        assert_eq!(LINKS.len(), include_str!("zone_links.txt").lines().count());
        for (name, current) in LINKS.iter() {
            let mut at = DateTime::UNIX_EPOCH;
            while at.timestamp() < 2_200_000_000 {
                let offset = |zone: &Tz| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
                assert_eq!(offset(name), offset(current), "{name} and {current} on {at}");
                at += TimeDelta::days(7);
            }
        }
    }
}
