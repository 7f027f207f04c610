//! A table's header, and writing cells: what validator and enricher share.

use crate::rows::{Row, RowReader};
use handover_core::{Error, Result};
use std::borrow::Cow;
use std::io::Write;

/// How much of empty lines may stand before a header.
const EMPTY_LINES_MAX_BYTES: usize = 1024 * 1024;

/// The first row of an input: its columns' names, and the row as it stands.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    /// Empty lines before it.
    pub(crate) before: Vec<u8>,
    /// The row as it stands, with its byte order mark if it has one, without its line end.
    pub(crate) content: Vec<u8>,
    /// Its line end: LF, CRLF, CR or nothing.
    pub(crate) line_end: Vec<u8>,
    /// The names in their order.
    pub(crate) names: Vec<String>,
}

impl Header {
    /// Writes the header as it came.
    ///
    /// # Errors
    /// Where the output cannot be written.
    pub(crate) fn write(&self, out: &mut dyn Write) -> Result<()> {
        write(out, &self.before)?;
        write(out, &self.content)?;
        write(out, &self.line_end)
    }

    /// The line end for rows that have none of their own.
    pub(crate) fn line_end_or_lf(&self) -> &[u8] {
        if self.line_end.is_empty() { b"\n" } else { &self.line_end }
    }
}

/// Reads the header. The inner error is the reason to refuse the whole file.
///
/// # Errors
/// Where the input cannot be read.
pub(crate) fn read_header(reader: &mut RowReader<'_>) -> Result<Result<Header>> {
    let first = reader.peek(2)?;
    if first == b"\xff\xfe" || first == b"\xfe\xff" {
        return Ok(Err(Error::bad_data("encoding-error: the file is UTF-16, not UTF-8")
            .hint("save it as UTF-8, or put `iconv -f UTF-16 -t UTF-8` as an app before this one")));
    }
    let mut before = Vec::new();
    let header = loop {
        match reader.next_row()? {
            None => return Ok(Err(Error::bad_data("the file is empty: not even a header"))),
            Some(_) if before.len() > EMPTY_LINES_MAX_BYTES => {
                return Ok(Err(Error::bad_data("source-error: only empty lines where the header should be")));
            }
            Some(row) if row.is_empty() => before.extend_from_slice(row.whole()),
            Some(row) => break own(&row, before),
        }
    };
    Ok(header)
}

/// The header of its row.
fn own(row: &Row<'_>, before: Vec<u8>) -> Result<Header> {
    if let Some(fault) = row.fault {
        return Err(Error::bad_data(format!("source-error: the header cannot be read: {}", fault.message())));
    }
    let mut names = Vec::with_capacity(row.len());
    for index in 0..row.len() {
        match String::from_utf8(row.cell(index).into_owned()) {
            Ok(name) => names.push(name),
            Err(_) => {
                return Err(Error::bad_data(format!(
                    "encoding-error: column {} of the header is not UTF-8",
                    index + 1
                )));
            }
        }
    }
    Ok(Header { before, content: row.content().to_vec(), line_end: row.line_end().to_vec(), names })
}

/// Why a file is refused of which the end was swallowed by an open quote and could not be kept.
pub(crate) fn rest_unreadable(row: u64) -> Error {
    Error::bad_data(format!(
        "source-error: a quote opened in row {row} is never closed, so the rest of the file cannot be read as rows"
    ))
}

/// Writes a cell, with quotes where it needs them.
pub(crate) fn push_cell(into: &mut Vec<u8>, cell: &[u8]) {
    let needs = cell.iter().any(|b| matches!(b, b',' | b'"' | b'\n' | b'\r'));
    if !needs {
        into.extend_from_slice(cell);
        return;
    }
    into.push(b'"');
    for part in cell.split_inclusive(|b| *b == b'"') {
        into.extend_from_slice(part);
        if part.ends_with(b"\"") {
            into.push(b'"');
        }
    }
    into.push(b'"');
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

/// Writes to one of an app's streams.
///
/// # Errors
/// Where it cannot be written.
pub(crate) fn write(out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes).map_err(|error| Error::io("write", "the output", error))
}

/// Writes what a buffer still holds.
///
/// # Errors
/// Where it cannot be written.
pub(crate) fn flush(out: &mut dyn Write) -> Result<()> {
    out.flush().map_err(|error| Error::io("write", "the output", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(bytes: &[u8]) -> Result<Header> {
        let mut input = bytes;
        read_header(&mut RowReader::new(&mut input, None, &|| false)).unwrap()
    }

    #[test]
    fn a_header_is_read_and_kept_as_it_stands() {
        let header = header(b"\xef\xbb\xbf\"a\",b c\r\n1,2\r\n").unwrap();
        assert_eq!(header.names, ["a", "b c"]);
        assert_eq!(header.content, b"\xef\xbb\xbf\"a\",b c");
        assert_eq!(header.line_end, b"\r\n");
    }

    #[test]
    fn what_has_no_header_is_refused_with_the_reason() {
        for (bytes, why) in [
            (&b""[..], "the file is empty: not even a header"),
            (b"\xef\xbb\xbf", "the file is empty: not even a header"),
            (b"\xff\xfea\0", "UTF-16"),
            (b"a,\xff\n", "column 2 of the header is not UTF-8"),
            (b"a,\"b\n1,2\n", "never closed"),
            (b"\n\n", "the file is empty: not even a header"),
        ] {
            let error = header(bytes).unwrap_err().to_string();
            assert!(error.contains(why), "{bytes:?}: {error}");
        }
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        for (cell, written) in
            [("a b", "a b"), ("a,b", "\"a,b\""), ("\"", "\"\"\"\""), ("x\ny", "\"x\ny\""), ("", "")]
        {
            let mut into = Vec::new();
            push_cell(&mut into, cell.as_bytes());
            assert_eq!(into, written.as_bytes());
        }
    }

    #[test]
    fn a_long_value_is_shown_short() {
        assert_eq!(shown("a\nb"), "\"a\\nb\"");
        assert_eq!(shown(&"é".repeat(200)).chars().count(), 83);
    }
}
