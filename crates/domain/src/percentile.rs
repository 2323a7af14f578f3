//! The weighted percentile of `METRICS`: the reference definition in Rust, which the SQL must match.

use crate::Weight;

/// One pull request's duration with its weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The duration in seconds.
    pub seconds: f64,
    /// How much of it counts.
    pub weight: Weight,
    /// Breaks ties, so that the result does not depend on the input order.
    pub id: i64,
}

/// The weighted percentile at `fraction` (0.5 is the median); `None` without samples.
///
/// Samples are sorted by (seconds, weight, id), with weights `w_k` and running sums `S_k`. Each sample has the position
/// `C_k = S_k - w_k / 2`. The result interpolates linearly between the two samples around
/// `C_1 + fraction * (C_n - C_1)`. With equal weights this is PostgreSQL's `percentile_cont`.
pub fn weighted_percentile(samples: &[Sample], fraction: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(|a, b| a.seconds.total_cmp(&b.seconds).then(a.weight.cmp(&b.weight)).then(a.id.cmp(&b.id)));
    interpolated(sorted.iter().map(|sample| (sample.seconds, f64::from(sample.weight.units()))), fraction)
}

/// The same of values with weights in any unit, above 0.
pub(crate) fn weighted_quantile(values: &[(f64, f64)], fraction: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    interpolated(sorted.into_iter(), fraction)
}

/// The percentile of values with weights, in order.
fn interpolated(sorted: impl Iterator<Item = (f64, f64)>, fraction: f64) -> Option<f64> {
    let mut running = 0.0;
    let positions: Vec<(f64, f64)> = sorted
        .map(|(value, weight)| {
            running += weight;
            (running - weight / 2.0, value)
        })
        .collect();
    let (first, last) = (positions.first()?, positions.last()?);
    let target = first.0 + fraction * (last.0 - first.0);
    let next = positions.partition_point(|(center, _)| *center <= target);
    match (positions.get(next.wrapping_sub(1)), positions.get(next)) {
        (Some(below), Some(above)) => Some(below.1 + (above.1 - below.1) * (target - below.0) / (above.0 - below.0)),
        (Some(below), None) => Some(below.1),
        (None, _) => Some(first.1),
    }
}

/// The weighted mean; `None` without samples.
pub fn weighted_mean(samples: &[Sample]) -> Option<f64> {
    let weight: f64 = samples.iter().map(|sample| f64::from(sample.weight.units())).sum();
    let sum: f64 = samples.iter().map(|sample| sample.seconds * f64::from(sample.weight.units())).sum();
    (!samples.is_empty()).then(|| sum / weight)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn samples(values: &[f64], weights: &[&str]) -> Vec<Sample> {
        let weights = weights.iter().map(|text| text.parse().expect("valid"));
        (0..).zip(values).zip(weights).map(|((id, &seconds), weight)| Sample { seconds, weight, id }).collect()
    }

    fn rounded(samples: &[Sample], fraction: f64) -> f64 {
        (weighted_percentile(samples, fraction).expect("not empty") * 10_000.0).round() / 10_000.0
    }

    #[test]
    fn the_definition_oracles_hold() {
        for (values, weights, p50, p75, p95) in [
            (vec![2.0, 10.0, 20.0], vec!["1", "1", "1"], 10.0, 15.0, 19.0),
            (vec![2.0, 10.0, 20.0], vec!["1", "0.5", "0.5"], 8.6667, 13.75, 18.75),
            (vec![4.0, 8.0, 100.0], vec!["1", "1", "0.1"], 7.1, 35.1818, 87.0364),
            (vec![5.0], vec!["0.25"], 5.0, 5.0, 5.0),
        ] {
            let samples = samples(&values, &weights);
            assert_eq!((rounded(&samples, 0.5), rounded(&samples, 0.75), rounded(&samples, 0.95)), (p50, p75, p95));
        }
    }

    #[test]
    fn an_empty_sample_has_no_percentile_or_mean() {
        assert_eq!(weighted_percentile(&[], 0.5), None);
        assert_eq!(weighted_mean(&[]), None);
    }

    #[test]
    fn the_mean_is_weighted() {
        assert_eq!(weighted_mean(&samples(&[4.0, 10.0], &["1", "0.5"])), Some(6.0));
    }

    proptest! {
        #[test]
        fn equal_weights_match_percentile_cont(
            mut values in prop::collection::vec(0u32..1_000_000, 1..50),
            units in 1..=Weight::UNITS,
            fraction in 0.0f64..=1.0,
        ) {
            let weight = Weight::from_units(units).expect("in range");
            let samples: Vec<Sample> =
                (0..).zip(&values).map(|(id, &v)| Sample { seconds: f64::from(v), weight, id }).collect();
            values.sort_unstable();
            #[expect(clippy::cast_precision_loss, reason = "fewer than fifty values")]
            let position = fraction * (values.len() - 1) as f64;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below fifty")]
            let below = position.floor() as usize;
            let above = (below + 1).min(values.len() - 1);
            let (low, high) = (f64::from(values[below]), f64::from(values[above]));
            let expected = low + (high - low) * position.fract();
            let actual = weighted_percentile(&samples, fraction).expect("not empty");
            prop_assert!((actual - expected).abs() < 1e-3, "{actual} {expected}");
        }

        #[test]
        fn the_order_of_samples_does_not_matter(
            mut parts in prop::collection::vec((0u32..100, 1..=Weight::UNITS), 1..30),
            fraction in 0.0f64..=1.0,
        ) {
            let build = |parts: &[(u32, u16)]| -> Vec<Sample> {
                (0..).zip(parts).map(|(id, &(v, units))| Sample {
                    seconds: f64::from(v),
                    weight: Weight::from_units(units).expect("in range"),
                    id,
                }).collect()
            };
            let forward = weighted_percentile(&build(&parts), fraction);
            parts.reverse();
            prop_assert_eq!(forward, weighted_percentile(&build(&parts), fraction));
        }
    }
}
