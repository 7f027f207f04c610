//! Rejected rows and records, each with its reasons.
//!
//! Of a table: the original columns, then `_row`, `_field` and `_reason`, in the input's dialect and under a header.
//! `_row` is the row's number in the input (the header is row 1, as a spreadsheet shows it), `_field` the columns at
//! fault and `_reason` what is wrong with them, each joined by `; `. A row with too few cells is filled up with empty
//! ones; what a row has beyond the header stands in its reason, so that nothing of it is lost. A row with an open quote
//! or a byte that is not UTF-8 keeps its cells as they are.
//!
//! Of JSON records: one object a line, `{"_row":…,"_errors":[{"field":…,"code":…,"message":…}],"record":…}`; what is no
//! JSON stands in `record` as a text.
//!
//! Invariant: nothing is written before the first rejected row.

use crate::table::Header;
use handover_records::Dialect;
use handover_records::csv::{CellWriter, Fault, Quoting, RowRef};
use handover_records::json::{RecordRef, push_string};
use std::borrow::Cow;
use std::io::Write as _;

/// How many first reasons are kept for people.
const FIRST_REASONS: usize = 3;

/// Why a row was rejected: one reason of perhaps several.
#[derive(Debug, Clone)]
pub(crate) struct Reason<'a> {
    /// The column or field at fault, where it is one.
    pub(crate) field: Option<Cow<'a, str>>,
    /// What sort of fault, for programs.
    pub(crate) code: &'a str,
    /// What is wrong, for people.
    pub(crate) message: Cow<'a, str>,
}

/// Writes rejected rows into the buffer of a batch.
#[derive(Debug)]
pub(crate) struct Rejects {
    table: Option<Table>,
    count: u64,
    first: Vec<String>,
    /// What is joined for one row.
    joined: Vec<u8>,
}

#[derive(Debug)]
struct Table {
    header: Vec<u8>,
    columns: usize,
    line_end: Vec<u8>,
    cells: CellWriter,
}

impl Rejects {
    /// Rejects of a table in this dialect.
    pub(crate) fn of_table(header: &Header, dialect: &Dialect) -> Self {
        let cells = CellWriter::new(dialect, Quoting::Minimal);
        let mut table =
            Table { header: Vec::new(), columns: header.names.len(), line_end: Vec::new(), cells };
        table.line_end.extend_from_slice(header.line_end_or_lf());
        let mut line = Vec::new();
        if header.is_written {
            line.extend_from_slice(&header.content);
        } else {
            for (index, name) in header.names.iter().enumerate() {
                if index > 0 {
                    table.cells.push_delimiter(&mut line);
                }
                table.push_cell(&mut line, name.as_bytes());
            }
        }
        for name in ["_row", "_field", "_reason"] {
            table.cells.push_delimiter(&mut line);
            line.extend_from_slice(name.as_bytes());
        }
        line.extend_from_slice(&table.line_end);
        table.header = line;
        Self { table: Some(table), count: 0, first: Vec::new(), joined: Vec::new() }
    }

    /// Rejects of JSON records.
    pub(crate) fn of_records() -> Self {
        Self { table: None, count: 0, first: Vec::new(), joined: Vec::new() }
    }

    /// How many were rejected.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Writes one row of a table with its reasons.
    pub(crate) fn row(&mut self, into: &mut Vec<u8>, row: &RowRef<'_>, reasons: &[Reason<'_>]) {
        self.note(row.number(), reasons);
        let Some(table) = &self.table else { return };
        if self.count == 1 {
            into.extend_from_slice(&table.header);
        }
        let rest = table.push_row(into, row);
        table.cells.push_delimiter(into);
        // Writing to a buffer does not fail.
        let _ = write!(into, "{}", row.number());
        table.cells.push_delimiter(into);
        self.joined.clear();
        for field in reasons.iter().filter_map(|reason| reason.field.as_deref()) {
            separate(&mut self.joined);
            self.joined.extend_from_slice(field.as_bytes());
        }
        table.push_cell(into, &self.joined);
        table.cells.push_delimiter(into);
        self.joined.clear();
        for reason in reasons {
            separate(&mut self.joined);
            self.joined.extend_from_slice(reason.code.as_bytes());
            self.joined.extend_from_slice(b": ");
            self.joined.extend_from_slice(reason.message.as_bytes());
        }
        if let Some(rest) = rest {
            self.joined.extend_from_slice(b": ");
            self.joined.extend_from_slice(String::from_utf8_lossy(rest).as_bytes());
        }
        table.push_cell(into, &self.joined);
        into.extend_from_slice(&table.line_end);
    }

    /// Writes one JSON record with its reasons.
    pub(crate) fn record(&mut self, into: &mut Vec<u8>, record: &RecordRef<'_>, reasons: &[Reason<'_>]) {
        self.note(record.number(), reasons);
        let _ = write!(into, "{{\"_row\":{},\"_errors\":[", record.number());
        for (index, reason) in reasons.iter().enumerate() {
            into.extend_from_slice(if index > 0 { b",{\"field\":" } else { b"{\"field\":" });
            match &reason.field {
                Some(field) => push_string(into, field),
                None => into.extend_from_slice(b"null"),
            }
            into.extend_from_slice(b",\"code\":");
            push_string(into, reason.code);
            into.extend_from_slice(b",\"message\":");
            push_string(into, &reason.message);
            into.push(b'}');
        }
        into.extend_from_slice(b"],\"record\":");
        if record.check().is_ok() {
            // Outside strings a line feed is white space, and inside them none stands.
            into.extend(record.raw().iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
        } else {
            push_string(into, &String::from_utf8_lossy(record.raw()));
        }
        into.extend_from_slice(b"}\n");
    }

    fn note(&mut self, number: u64, reasons: &[Reason<'_>]) {
        self.count += 1;
        if self.first.len() >= FIRST_REASONS {
            return;
        }
        let said: Vec<String> = reasons
            .iter()
            .map(|reason| match &reason.field {
                Some(field) => format!("{field}: {}: {}", reason.code, reason.message),
                None => format!("{}: {}", reason.code, reason.message),
            })
            .collect();
        self.first.push(format!("row {number}: {}", said.join("; ")));
    }

    /// The first reasons, for people.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = self.first.clone();
        let more = self.count - self.first.len() as u64;
        if more > 0 {
            notes.push(format!("and {more} more rejected rows"));
        }
        notes
    }
}

fn separate(joined: &mut Vec<u8>) {
    if !joined.is_empty() {
        joined.extend_from_slice(b"; ");
    }
}

impl Table {
    /// Writes the row in as many columns as the header has, and gives what is left over.
    fn push_row<'r>(&self, into: &mut Vec<u8>, row: &RowRef<'r>) -> Option<&'r [u8]> {
        let fill = |into: &mut Vec<u8>, cells: usize| {
            (cells..self.columns).for_each(|_| self.cells.push_delimiter(into));
        };
        match row.fault() {
            // Its cells are unknown: its beginning goes into the first column.
            Some(Fault::TooLong) => {
                self.push_cell(into, row.content());
                fill(into, 1);
                return None;
            }
            // Its last quote is open: its cells are written anew.
            Some(Fault::UnclosedQuote) => {
                for index in 0..self.columns {
                    if index > 0 {
                        self.cells.push_delimiter(into);
                    }
                    self.push_cell(into, &row.cell(index));
                }
            }
            _ if row.len() >= self.columns => into.extend_from_slice(row.raw_before(self.columns)),
            _ => {
                into.extend_from_slice(row.content());
                fill(into, row.len());
            }
        }
        (row.len() > self.columns).then(|| row.raw_from(self.columns))
    }

    /// Writes a cell; in a dialect that has no way to write it, with blanks for what cannot stand there.
    fn push_cell(&self, into: &mut Vec<u8>, cell: &[u8]) {
        let start = into.len();
        if self.cells.push_cell(into, cell, start == 0).is_ok() {
            return;
        }
        into.truncate(start);
        let dialect = self.cells.dialect();
        let special = |byte: u8| {
            matches!(byte, b'\r' | b'\n')
                || byte == dialect.delimiter
                || dialect.line_terminator.bytes().contains(&byte)
                || [dialect.quote, dialect.escape].contains(&Some(byte))
        };
        into.extend(cell.iter().map(|byte| if special(*byte) { b' ' } else { *byte }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::read_header;
    use handover_records::{csv, json};

    fn rejected(text: &[u8], dialect: &Dialect) -> (String, Vec<String>) {
        let mut reader = csv::Reader::new(text, dialect);
        let header = read_header(&mut reader, dialect).unwrap().unwrap();
        let mut rejects = Rejects::of_table(&header, dialect);
        let mut into = Vec::new();
        while let Some(row) = reader.next_row().unwrap() {
            let reason =
                Reason { field: Some("b".into()), code: "type-error", message: "\"x\", no; number".into() };
            let short = Reason { field: None, code: "extra-cell", message: "there is more".into() };
            rejects.row(&mut into, &row, &[reason, short]);
        }
        (String::from_utf8_lossy(&into).into_owned(), rejects.notes())
    }

    #[test]
    fn rejected_rows_keep_their_cells_and_get_number_field_and_reason() {
        let (text, notes) = rejected(b"a,b\r\n1\r\n\"1,\",2,3\r\n4,\"open\r\n", &Dialect::default());
        assert_eq!(
            text,
            "a,b,_row,_field,_reason\r\n\
             1,,2,b,\"type-error: \"\"x\"\", no; number; extra-cell: there is more\"\r\n\
             \"1,\",2,3,b,\"type-error: \"\"x\"\", no; number; extra-cell: there is more: 3\"\r\n\
             4,\"open\r\n\",4,b,\"type-error: \"\"x\"\", no; number; extra-cell: there is more\"\r\n"
        );
        assert_eq!(notes[0], "row 2: b: type-error: \"x\", no; number; extra-cell: there is more");
        let dialect = Dialect { header: false, quote: None, delimiter: b';', ..Dialect::default() };
        let (text, _) = rejected(b"1;2\n", &dialect);
        assert_eq!(
            text,
            "field1;field2;_row;_field;_reason\n1;2;1;b;type-error: \"x\", no  number  extra-cell: there is more\n"
        );
    }

    #[test]
    fn rejected_records_are_lines_of_their_own() {
        let mut reader = json::Reader::new(&b"{\"a\":1}\n{bad\n"[..], json::Shape::Lines);
        let mut rejects = Rejects::of_records();
        let mut into = Vec::new();
        while let Some(record) = reader.next_record().unwrap() {
            let reason = Reason { field: Some("/a".into()), code: "type", message: "no \"text\"".into() };
            rejects.record(&mut into, &record, &[reason]);
        }
        let errors = r#""_errors":[{"field":"/a","code":"type","message":"no \"text\""}]"#;
        assert_eq!(
            String::from_utf8(into).unwrap(),
            format!(
                "{{\"_row\":1,{errors},\"record\":{{\"a\":1}}}}\n{{\"_row\":2,{errors},\"record\":\"{{bad\"}}\n"
            )
        );
        assert_eq!(rejects.count(), 2);
    }
}
