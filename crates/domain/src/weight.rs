//! Shares of a person's work.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A share of one person's work, in (0, 1], exact to four decimals.
///
/// Stored in ten-thousandths, so sums are exact: three times 0.3333 is 0.9999 and is shown that way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u16);

/// Why a weight was rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WeightError {
    /// Not a plain decimal number.
    #[error("`{0}` is not a number")]
    NotANumber(String),
    /// Zero, negative or above one.
    #[error("{0} is not above 0 and at most 1")]
    OutOfRange(String),
    /// A digit that the database would drop.
    #[error("{0} has more than four decimals")]
    TooPrecise(String),
}

impl Weight {
    /// How many units make one whole person.
    pub const UNITS: u16 = 10_000;
    /// All of a person's work.
    pub const FULL: Self = Self(Self::UNITS);

    /// A weight of `units` ten-thousandths; `None` outside 1 to 10,000.
    pub fn from_units(units: u16) -> Option<Self> {
        (1..=Self::UNITS).contains(&units).then_some(Self(units))
    }

    /// The weight in ten-thousandths.
    pub fn units(self) -> u16 {
        self.0
    }

    /// The weight as a fraction, for display and statistics only.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(Self::UNITS)
    }

    /// Ten-thousandths as a decimal without trailing zeros: 15000 is `1.5`.
    pub fn format_units(units: u64) -> String {
        let text = format!("{}.{:04}", units / u64::from(Self::UNITS), units % u64::from(Self::UNITS));
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

impl FromStr for Weight {
    type Err = WeightError;

    /// Parses the decimal digits directly, never through a binary float.
    fn from_str(text: &str) -> Result<Self, WeightError> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let numeric = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let unsigned = whole.strip_prefix('-').unwrap_or(whole);
        if !numeric(unsigned) || !numeric(fraction) || (unsigned.is_empty() && fraction.is_empty()) {
            return Err(WeightError::NotANumber(text.to_owned()));
        }
        let out_of_range = || WeightError::OutOfRange(text.to_owned());
        if whole.starts_with('-') {
            return Err(out_of_range());
        }
        let fraction = fraction.trim_end_matches('0');
        let whole = unsigned.trim_start_matches('0');
        match (whole, fraction) {
            ("", "") => return Err(out_of_range()),
            ("" | "1", _) => {}
            _ => return Err(out_of_range()),
        }
        if whole == "1" {
            return if fraction.is_empty() { Ok(Self::FULL) } else { Err(out_of_range()) };
        }
        if fraction.len() > 4 {
            return Err(WeightError::TooPrecise(text.to_owned()));
        }
        let units: u16 = format!("{fraction:0<4}").parse().map_err(|_| out_of_range())?;
        Self::from_units(units).ok_or_else(out_of_range)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Self::format_units(u64::from(self.0)))
    }
}

impl Serialize for Weight {
    /// Serializes as a JSON number; four decimals survive the round trip through a double.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

impl<'de> Deserialize<'de> for Weight {
    /// From what it serializes as.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer)?.to_string().parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_are_parsed_exactly() {
        for (text, units) in
            [("1", 10_000), ("1.0", 10_000), ("0.5", 5_000), (".3333", 3_333), ("0.0001", 1), ("0.50", 5_000)]
        {
            assert_eq!(text.parse::<Weight>().map(Weight::units), Ok(units), "{text}");
        }
    }

    #[test]
    fn three_thirds_lose_only_the_last_digit() {
        let third: Weight = "0.3333".parse().expect("valid");
        assert_eq!(Weight::format_units(3 * u64::from(third.units())), "0.9999");
    }

    #[test]
    fn an_invalid_share_of_a_person_is_refused() {
        for text in ["0", "0.0", "-1", "-0.5", "1.5", "50", "150", "1.0001"] {
            assert_eq!(text.parse::<Weight>(), Err(WeightError::OutOfRange(text.to_owned())), "{text}");
        }
        for text in ["", ".", "half", "NaN", "inf", "0,5", "1e-1", "0.5.5", "--1", "50%"] {
            assert_eq!(text.parse::<Weight>(), Err(WeightError::NotANumber(text.to_owned())), "{text}");
        }
        assert_eq!("0.33333".parse::<Weight>(), Err(WeightError::TooPrecise("0.33333".to_owned())));
    }

    proptest! {
        #[test]
        fn every_weight_round_trips_through_text(units in 1..=Weight::UNITS) {
            let weight = Weight::from_units(units).expect("in range");
            prop_assert_eq!(weight.to_string().parse::<Weight>(), Ok(weight));
        }
    }
}
