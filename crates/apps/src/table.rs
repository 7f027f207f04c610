//! A table's header, and how values are shown: what the apps that read tables share.

use handover_core::{Error, Result};
use handover_records::Dialect;
use handover_records::csv::{Fault, Reader, RowRef};
use std::borrow::Cow;
use std::io::Read;

/// How much of empty lines and comments may stand before a header.
const BEFORE_MAX_BYTES: usize = 1024 * 1024;

/// The first row of an input: its columns' names, and the row as it stands.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    /// Empty lines and comments before it.
    pub(crate) before: Vec<u8>,
    /// The row as it stands, with its byte order mark if it has one, without its line end. Empty where the dialect has
    /// no header.
    pub(crate) content: Vec<u8>,
    /// Its line end: LF, CRLF, CR or nothing.
    pub(crate) line_end: Vec<u8>,
    /// The names in their order; `field1`, `field2` … where the dialect has no header.
    pub(crate) names: Vec<String>,
    /// Whether the names stand in the file.
    pub(crate) is_written: bool,
}

impl Header {
    /// Appends the header as it came; only what stood before it, where the dialect has none.
    pub(crate) fn push(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.before);
        if self.is_written {
            into.extend_from_slice(&self.content);
            into.extend_from_slice(&self.line_end);
        }
    }

    /// The line end for rows that have none of their own.
    pub(crate) fn line_end_or_lf(&self) -> &[u8] {
        if self.line_end.is_empty() { b"\n" } else { &self.line_end }
    }
}

/// Reads the header; where the dialect has none, looks at the first row and leaves it to be read. The inner error is
/// the reason to refuse the whole file.
///
/// # Errors
/// Where the input cannot be read.
pub(crate) fn read_header<R: Read>(reader: &mut Reader<R>, dialect: &Dialect) -> Result<Result<Header>> {
    let mut before = Vec::new();
    loop {
        match reader.peek_row()? {
            None => return Ok(Err(empty(dialect))),
            Some(row) if !row.is_blank() => break,
            Some(row) => before.extend_from_slice(row.whole()),
        }
        if before.len() > BEFORE_MAX_BYTES {
            return Ok(Err(Error::bad_data("source-error: only empty lines where the header should be")));
        }
        reader.next_row()?;
    }
    if !dialect.header {
        let Some(row) = reader.peek_row()? else { return Ok(Err(empty(dialect))) };
        return Ok(Ok(numbered(&row, before)));
    }
    let Some(row) = reader.next_row()? else { return Ok(Err(empty(dialect))) };
    Ok(own(&row, before))
}

fn empty(dialect: &Dialect) -> Error {
    let what = if dialect.header { "not even a header" } else { "not one row" };
    Error::bad_data(format!("the file is empty: {what}"))
}

/// The header of a table that has none: its columns by their numbers.
fn numbered(row: &RowRef<'_>, before: Vec<u8>) -> Header {
    let names = (1..=row.len()).map(|number| format!("field{number}")).collect();
    Header { before, content: Vec::new(), line_end: row.line_end().to_vec(), names, is_written: false }
}

/// The header of its row.
fn own(row: &RowRef<'_>, before: Vec<u8>) -> Result<Header> {
    match row.fault() {
        None => {}
        Some(Fault::NotUtf8) => {
            let column = row.cell_not_utf8().map_or(0, |index| index + 1);
            return Err(Error::bad_data(format!(
                "encoding-error: column {column} of the header cannot be read in the file's encoding"
            ))
            .hint(
                "say the encoding: `input: { dialect: { encoding: windows-1252 } }`, or `encoding: detect`",
            ));
        }
        Some(fault) => {
            let why = fault.message();
            return Err(Error::bad_data(format!("source-error: the header cannot be read: {why}")));
        }
    }
    let names = row.cells().map(|cell| String::from_utf8_lossy(&cell).into_owned()).collect();
    Ok(Header {
        before,
        content: row.content().to_vec(),
        line_end: row.line_end().to_vec(),
        names,
        is_written: true,
    })
}

/// Why a file is refused of which the end was swallowed by an open quote and could not be kept.
pub(crate) fn rest_unreadable(row: u64) -> Error {
    Error::bad_data(format!(
        "source-error: a quote opened in row {row} is never closed, so the rest of the file cannot be read as rows"
    ))
}

/// A value as a message shows it: in quotes, its control characters escaped, at most 80 characters.
pub(crate) fn shown(value: &str) -> String {
    const MOST: usize = 80;
    let short: Cow<'_, str> = match value.char_indices().nth(MOST) {
        Some((at, _)) => Cow::Owned(format!("{}…", &value[..at])),
        None => Cow::Borrowed(value),
    };
    format!("{short:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(bytes: &[u8], dialect: &Dialect) -> Result<Header> {
        read_header(&mut Reader::new(bytes, dialect), dialect).unwrap()
    }

    #[test]
    fn a_header_is_read_and_kept_as_it_stands() {
        let found = header(b"\n\xef\xbb\xbf\"a\",b c\r\n1,2\r\n", &Dialect::default()).unwrap();
        assert_eq!((found.before.as_slice(), found.line_end.as_slice()), (&b"\n"[..], &b"\r\n"[..]));
        let found = header(b"\xef\xbb\xbf\"a\",b c\r\n1,2\r\n", &Dialect::default()).unwrap();
        assert_eq!(found.names, ["a", "b c"]);
        assert_eq!(found.content, b"\xef\xbb\xbf\"a\",b c");
        let mut into = Vec::new();
        found.push(&mut into);
        assert_eq!(into, b"\xef\xbb\xbf\"a\",b c\r\n");
    }

    #[test]
    fn without_a_header_the_columns_have_numbers_and_the_first_row_is_a_row() {
        let dialect = Dialect { header: false, comment: Some(b'#'), ..Dialect::default() };
        let mut reader = Reader::new(&b"# x\n1,2\n3,4\n"[..], &dialect);
        let found = read_header(&mut reader, &dialect).unwrap().unwrap();
        assert_eq!(found.names, ["field1", "field2"]);
        assert_eq!((found.before.as_slice(), found.is_written), (&b"# x\n"[..], false));
        assert_eq!(reader.next_row().unwrap().unwrap().whole(), b"1,2\n");
    }

    #[test]
    fn what_has_no_header_is_refused_with_the_reason() {
        for (bytes, why) in [
            (&b""[..], "the file is empty: not even a header"),
            (b"\xef\xbb\xbf", "the file is empty: not even a header"),
            (b"a,\xff\n", "column 2 of the header cannot be read"),
            (b"a,\"b\n1,2\n", "never closed"),
            (b"\n\n", "the file is empty: not even a header"),
        ] {
            let error = header(bytes, &Dialect::default()).unwrap_err().to_string();
            assert!(error.contains(why), "{bytes:?}: {error}");
        }
    }

    #[test]
    fn a_long_value_is_shown_short() {
        assert_eq!(shown("a\nb"), "\"a\\nb\"");
        assert_eq!(shown(&"é".repeat(200)).chars().count(), 83);
    }
}
