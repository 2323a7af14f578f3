//! The `Link` header.

/// The address of the next page, if the header names one.
///
/// Source: GitHub, "Using pagination in the REST API".
pub(crate) fn next_page(header: &str) -> Option<&str> {
    address_of(header, "rel=\"next\"")
}

/// The number of the last page, if the header names it.
pub(crate) fn last_page(header: &str) -> Option<u32> {
    let address = url::Url::parse(address_of(header, "rel=\"last\"")?).ok()?;
    address.query_pairs().find(|(key, _)| key == "page").and_then(|(_, page)| page.parse().ok())
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
    fn the_next_page_is_found_among_the_relations() {
        let header = "<https://h/a?page=1>; rel=\"prev\", <https://h/a?page=3,4>; rel=\"next\", <https://h/a?page=5>; rel=\"last\"";
        assert_eq!(next_page(header), Some("https://h/a?page=3,4"));
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
            assert_eq!(next_page(header), None, "{header}");
        }
    }
}
