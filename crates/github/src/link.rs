//! The `Link` header.

/// The address of the next page, if the header names one.
///
/// Source: GitHub, "Using pagination in the REST API".
pub(crate) fn next_page(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some((_, from_address)) = rest.split_once('<') {
        let (address, parameters) = from_address.split_once('>')?;
        // Addresses may contain commas; parameters of one link end at the next `<`.
        let end = parameters.find('<').unwrap_or(parameters.len());
        let is_next = parameters[..end].split([';', ',']).any(|parameter| parameter.trim() == "rel=\"next\"");
        if is_next {
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
    fn a_last_page_and_nonsense_have_no_next_page() {
        for header in
            ["", "<https://h/a?page=1>; rel=\"prev\"", "nonsense", "<https://h", "<>; rel=next", "<<>>;;,,rel"]
        {
            assert_eq!(next_page(header), None, "{header}");
        }
    }
}
