//! Words for messages.

/// A count with its noun: `1 run`, `2 runs`.
pub fn count_of(count: impl std::fmt::Display, what: &str) -> String {
    let count = count.to_string();
    let plural = if count == "1" { "" } else { "s" };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_something_is_singular() {
        assert_eq!([0, 1, 2].map(|count| count_of(count, "page")), ["0 pages", "1 page", "2 pages"]);
    }
}
