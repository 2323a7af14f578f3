//! The `Link` header. It shows whether there are more pages. Its addresses are not followed: pages are requested by
//! number on the configured address, so the scheme and host that a server behind a proxy reports do not matter.

use crate::GitHubError;

/// The address of the next page, if the header names one.
///
/// Source: GitHub, "Using pagination in the REST API".
pub(crate) fn next_page(header: &str) -> Option<&str> {
    address_of(header, "rel=\"next\"")
}

/// Whether the header of this page announces further pages.
///
/// # Errors
/// [`GitHubError::InvalidAnswer`] if the next page is an earlier one: such pages never end.
pub(crate) fn has_next(header: Option<&str>, number: u32) -> Result<bool, GitHubError> {
    let Some(address) = header.and_then(next_page) else { return Ok(false) };
    match page_number(address) {
        Some(next) if next <= number => {
            Err(GitHubError::invalid(format!("the pages form a loop: {next} follows {number}")))
        }
        _ => Ok(true),
    }
}

/// The number of the last page, if the header names it.
pub(crate) fn last_page(header: &str) -> Option<u32> {
    page_number(address_of(header, "rel=\"last\"")?)
}

fn page_number(address: &str) -> Option<u32> {
    let query = address.split_once('?')?.1;
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.into_iter().find(|(key, _)| key == "page").and_then(|(_, page)| page.parse().ok())
}

fn address_of<'a>(header: &'a str, relation: &str) -> Option<&'a str> {
    let mut rest = header;
    while let Some((_, from_address)) = rest.split_once('<') {
        let (address, parameters) = from_address.split_once('>')?;
        // Addresses may contain commas; the parameters of a link end at the next `<`.
        let end = parameters.find('<').unwrap_or(parameters.len());
        if parameters[..end].split([';', ',']).any(|parameter| parameter.trim() == relation) {
            return Some(address);
        }
        rest = &parameters[end..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_page_is_found_on_any_host() {
        for next in
            ["https://h/a?page=4", "http://internal:8080/a?page=4", "/a?per_page=2&page=4", "?cursor=x", "http://["]
        {
            let header = format!(
                "<https://h/a?page=2>; rel=\"prev\", <{next}>; rel=\"next\", <https://h/a?page=5>; rel=\"last\""
            );
            assert_eq!(has_next(Some(&header), 3), Ok(true), "{next}");
        }
    }

    #[test]
    fn a_link_to_an_earlier_page_is_refused() {
        for (next, number) in [(1, 2), (2, 2), (1, 1)] {
            let header = format!("<https://h/a?page={next}>; rel=\"next\"");
            assert!(has_next(Some(&header), number).is_err(), "{next} after {number}");
        }
    }

    #[test]
    fn the_last_page_number_is_parsed() {
        assert_eq!(last_page("<https://h/a?per_page=100&page=17>; rel=\"last\""), Some(17));
        assert_eq!(last_page("<https://h/a?page=x>; rel=\"last\", <https://h/a?page=3>; rel=\"next\""), None);
    }

    #[test]
    fn last_pages_and_nonsense_have_no_next_page() {
        for header in
            ["", "<https://h/a?page=1>; rel=\"prev\"", "nonsense", "<https://h", "<>; rel=next", "<<>>;;,,rel"]
        {
            assert_eq!(has_next(Some(header), 1), Ok(false), "{header}");
        }
        assert_eq!(has_next(None, 1), Ok(false));
    }
}
