//! CSV tables: RFC 4180, without content that a spreadsheet would run.

/// A table with a header.
#[derive(Debug)]
pub(crate) struct Rows {
    writer: csv::Writer<Vec<u8>>,
}

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell<'a> {
    /// Text from people, which is escaped.
    Text(&'a str),
    /// A whole number; `None` for an empty cell.
    Whole(Option<i64>),
    /// A number; `None` for an empty cell.
    Number(Option<f64>),
    /// Yes or no.
    Flag(bool),
}

impl<'a> Cell<'a> {
    /// Text; an empty cell for `None`.
    pub(crate) fn optional(text: Option<&'a str>) -> Self {
        Self::Text(text.unwrap_or_default())
    }
}

impl Rows {
    /// A table with these columns.
    ///
    /// # Errors
    /// If a row cannot be written, which does not happen in memory.
    pub(crate) fn new<'a>(header: impl IntoIterator<Item = &'a str>) -> Result<Self, csv::Error> {
        let mut rows =
            Self { writer: csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new()) };
        rows.push(header.into_iter().map(Cell::Text))?;
        Ok(rows)
    }

    /// Adds a row with as many cells as there are columns.
    ///
    /// # Errors
    /// If there are more or fewer.
    pub(crate) fn push<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) -> Result<(), csv::Error> {
        self.writer.write_record(cells.into_iter().map(|cell| match cell {
            Cell::Text(text) => harmless(text),
            Cell::Whole(number) => number.map(|number| number.to_string()).unwrap_or_default(),
            // The shortest text that reads back as the same number.
            Cell::Number(number) => number.map(|number| number.to_string()).unwrap_or_default(),
            Cell::Flag(flag) => flag.to_string(),
        }))
    }

    /// The text of the table.
    ///
    /// # Errors
    /// If it cannot be written, which does not happen in memory.
    pub(crate) fn into_bytes(self) -> Result<Vec<u8>, csv::Error> {
        self.writer.into_inner().map_err(|error| error.into_error().into())
    }
}

/// Text that starts like a formula gets a leading apostrophe, so that a spreadsheet does not treat it as one. Source:
/// OWASP, "CSV Injection".
pub(crate) fn harmless(text: &str) -> String {
    const FORMULA: [char; 8] = ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    if text.trim_start().starts_with(FORMULA) || text.starts_with(['\t', '\r', '\n']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a31_formulas_are_escaped_and_fields_are_quoted() -> Result<(), csv::Error> {
        for (text, written) in [
            ("Add a cache", "Add a cache"),
            ("=HYPERLINK(\"http://evil\",\"x\")", "\"'=HYPERLINK(\"\"http://evil\"\",\"\"x\"\")\""),
            ("  =1+1", "'  =1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@sum", "'@sum"),
            ("\tx", "'\tx"),
            ("two\r\nlines", "\"two\r\nlines\""),
            ("a \"quote\"", "\"a \"\"quote\"\"\""),
            ("", ""),
        ] {
            let mut rows = Rows::new(["title", "n"])?;
            rows.push([Cell::Text(text), Cell::Whole(Some(1))])?;
            assert_eq!(String::from_utf8_lossy(&rows.into_bytes()?), format!("title,n\r\n{written},1\r\n"), "{text:?}");
        }
        Ok(())
    }

    #[test]
    fn numbers_round_trip_through_text() -> Result<(), csv::Error> {
        let mut rows = Rows::new(["a", "b", "c", "d"])?;
        rows.push([Cell::Number(Some(0.1 + 0.2)), Cell::Number(None), Cell::Whole(Some(-3)), Cell::Flag(true)])?;
        assert_eq!(rows.into_bytes()?, b"a,b,c,d\r\n0.30000000000000004,,-3,true\r\n");
        Ok(())
    }
}
