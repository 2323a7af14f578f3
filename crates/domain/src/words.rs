//! Words for messages.

/// A count with its noun: `1 run`, `2 runs`.
pub fn count_of(count: impl std::fmt::Display, what: &str) -> String {
    let count = count.to_string();
    let plural = if count == "1" { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// Text from elsewhere as one line, cut to so many characters: control characters, which a terminal would obey, become blanks.
pub fn one_line(text: &str, longest: usize) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text: String = text.trim().chars().take(longest).collect();
    text.trim_end().to_owned()
}

/// Whether a text is one line of at most so many characters, without blanks around it.
pub fn is_line(text: &str, longest: usize) -> bool {
    !text.is_empty() && text.trim() == text && !text.chars().any(char::is_control) && text.chars().count() <= longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_something_is_singular() {
        assert_eq!([0, 1, 2].map(|count| count_of(count, "page")), ["0 pages", "1 page", "2 pages"]);
    }

    #[test]
    fn a_line_has_no_blanks_around_it_and_no_control_characters() {
        for (text, longest, expected) in [
            ("a b", 3, true),
            ("a b", 2, false),
            ("", 3, false),
            (" a", 3, false),
            ("a\n", 3, false),
            ("a\u{0}b", 3, false),
        ] {
            assert_eq!(is_line(text, longest), expected, "{text:?}");
        }
    }

    #[test]
    fn a_line_obeys_no_terminal_and_ends() {
        assert_eq!(one_line(" a\u{1b}[31m\nb ", 200), "a [31m b");
        assert_eq!(one_line("abc d", 4), "abc");
        assert_eq!(one_line("\t\n", 4), "");
    }
}
