//! Small arithmetic that the insights share.

/// How many there are, as a number to reckon with.
#[expect(clippy::cast_precision_loss, reason = "there are not 2^53 of anything")]
pub(super) fn real(count: usize) -> f64 {
    count as f64
}

/// The mean; 0 of nothing.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / real(values.len().max(1))
}

/// The sample variance; 0 of fewer than two.
pub(super) fn variance(values: &[f64]) -> f64 {
    let center = mean(values);
    values.iter().map(|value| (value - center).powi(2)).sum::<f64>() / real(values.len().saturating_sub(1).max(1))
}

/// What a further value is below with a probability, from values in order; `None` of nothing.
///
/// A further value is below the k-th of n with the probability k / (n + 1). `percentile_cont` describes the values at hand, which are
/// closer to each other than to a further one.
pub(super) fn next_below(sorted: &[f64], probability: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = (probability * real(sorted.len() + 1) - 1.0).clamp(0.0, real(last));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the last index")]
    let below = (position.floor() as usize).min(last);
    let above = (below + 1).min(last);
    Some(sorted[below] + (sorted[above] - sorted[below]) * (position - real(below)))
}

/// √(x + 3/8): of a count from a Poisson distribution, twice this has a standard deviation of about 1.
pub(super) fn root(count: f64) -> f64 {
    (count.max(0.0) + 0.375).sqrt()
}

/// The count that has this [`root`]; 0 below that of 0.
pub(super) fn unroot(root: f64) -> f64 {
    (root.max(0.0).powi(2) - 0.375).max(0.0)
}
