//! How well a share is known.

use statrs::function::beta::inv_beta_reg;

/// The part of the probability that is left out on each side of an 80 % interval.
const TAIL: f64 = 0.10;

/// The 80 % interval of a share (Jeffreys): the middle of Beta(x + ½, n − x + ½).
///
/// `n` and `x` need not be whole: see [`effective`].
pub(super) fn jeffreys(x: f64, n: f64) -> (f64, f64) {
    let (a, b) = (x.clamp(0.0, n) + 0.5, n - x.clamp(0.0, n) + 0.5);
    (inv_beta_reg(a, b, TAIL), inv_beta_reg(a, b, 1.0 - TAIL))
}

/// Weighted successes and all as the x and n of as many equal ones: n = (Σw)² / Σw². The unit of the weights does not matter.
pub(super) fn effective(successes: impl Iterator<Item = (bool, f64)>) -> Option<(f64, f64)> {
    let (mut held, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for (is_success, weight) in successes {
        held += if is_success { weight } else { 0.0 };
        sum += weight;
        squares += weight * weight;
    }
    (sum > 0.0).then(|| {
        let n = sum * sum / squares;
        (n * held / sum, n)
    })
}
