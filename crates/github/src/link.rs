//! The `Link` header. It says whether there is more, and is not followed: pages are asked for by their number on the
//! configured address, so it does not matter which scheme and host a server behind a proxy believes to have.

use crate::GitHubError;

/// The address of the next page, if the header names one.
///
/// Source: GitHub, "Using pagination in the REST API".
pub(crate) fn next_page(header: &str) -> Option<&str> {
    address_of(header, "rel=\"next\"")
}

/// Whether the header of the page with this number says that more follow.
///
/// # Errors
/// [`GitHubError::InvalidAnswer`] when the next page is one that was read before: such pages have no end.
pub(crate) fn has_next(header: Option<&str>, number: u32) -> Result<bool, GitHubError> {
    let Some(address) = header.and_then(next_page) else { return Ok(false) };
    match page_number(address) {
        Some(next) if next <= number => {
            Err(GitHubError::invalid(format!("the pages lead in a circle: {next} is said to follow {number}")))
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
        // Addresses may contain commas; parameters of one link end at the next `<`.
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
    fn a_next_page_is_found_among_the_relations_whatever_host_it_is_said_to_be_on() {
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
    fn pages_that_lead_back_are_a_circle() {
        for (next, number) in [(1, 2), (2, 2), (1, 1)] {
            let header = format!("<https://h/a?page={next}>; rel=\"next\"");
            assert!(has_next(Some(&header), number).is_err(), "{next} after {number}");
        }
    }

    #[test]
    fn the_last_page_is_known_by_its_number() {
        assert_eq!(last_page("<https://h/a?per_page=100&page=17>; rel=\"last\""), Some(17));
        assert_eq!(last_page("<https://h/a?page=x>; rel=\"last\", <https://h/a?page=3>; rel=\"next\""), None);
    }

    #[test]
    fn a_last_page_and_nonsense_have_no_next_page() {
        for header in
            ["", "<https://h/a?page=1>; rel=\"prev\"", "nonsense", "<https://h", "<>; rel=next", "<<>>;;,,rel"]
        {
            assert_eq!(has_next(Some(header), 1), Ok(false), "{header}");
        }
        assert_eq!(has_next(None, 1), Ok(false));
    }
}
