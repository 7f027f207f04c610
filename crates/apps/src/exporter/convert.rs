//! Converting row by row: another format, another dialect, parts, or only the first rows.
//!
//! - Table to table: the cells' texts, written anew where the dialect differs.
//! - Table to JSON: an object a row, every value a text; what a column holds is not guessed (the data-transformer casts).
//! - JSON to table: the first record's fields are the columns; texts as they are, numbers and booleans as JSON writes
//!   them, null as nothing, arrays and objects as JSON.
//! - JSON to JSON: the record's own bytes.
//!
//! Invariants:
//! - What cannot be said in the new format is rejected with its reason: a row without its cells, a record with a field
//!   that is no column, what is no JSON.
//! - Names of columns that are empty or come twice cannot be fields: such a file is refused.

use super::parts::Parts;
use crate::app::Outcome;
use crate::pipeline::{self, Flow, Step};
use crate::reject::{Reason, Rejects};
use crate::streams::OutputConfig;
use crate::table::{Header, read_header, rest_unreadable, shown};
use handover_core::{Error, Result};
use handover_records::csv::{self, CellWriter, RowRef};
use handover_records::json::{self, RecordRef, push_string};
use handover_records::{FileKind, Format, Input, InputOptions, Records, open_input};
use std::borrow::Cow;
use std::io::{Read, Write};

/// What is converted.
pub(super) struct Job<'a> {
    pub(super) options: InputOptions<'a>,
    pub(super) to: &'a OutputConfig,
    /// Stop after so many rows.
    pub(super) limit: Option<u64>,
    /// Whether what is made are records of a ledger.
    pub(super) records: bool,
}

/// Converts an input.
///
/// # Errors
/// Where it cannot be read, or an output not be written.
pub(super) fn run<W: Write + Send>(
    input: impl Read + Send,
    job: &Job<'_>,
    parts: &mut Parts<'_, W>,
    rejected: &mut (dyn Write + Send),
) -> Result<Outcome> {
    let Input { records, dialect, compression, .. } = open_input(input, &job.options)?;
    let found = FileKind { format: job.options.format, compression, dialect };
    let limit = job.limit.unwrap_or(u64::MAX);
    match records {
        Records::Rows(mut rows) => {
            let header = match read_header(&mut rows, &found.dialect)? {
                Ok(header) => header,
                Err(error) => return Ok(Outcome::refused(error)),
            };
            let way = match RowWay::new(&header, &found, job.to, parts)? {
                Ok(way) => way,
                Err(error) => return Ok(Outcome::refused(error)),
            };
            let rejects = Rejects::of_table(&header, &found.dialect);
            let columns = header.names.len();
            let mut step =
                Rows { parts, way, rejects, columns, counts: Counts::new(limit), line: Vec::new() };
            pipeline::run(rows, &mut std::io::sink(), rejected, &mut step)?;
            Ok(step.counts.outcome(&step.rejects))
        }
        Records::Json(records) => {
            let to = job.to.options(&found);
            let way = match to.format {
                Format::Csv => {
                    RecordWay::Table { cells: CellWriter::new(&to.dialect, to.quoting), columns: None }
                }
                Format::Ndjson | Format::Json => RecordWay::Same { record: job.records },
            };
            let with_header = to.dialect.header;
            let rejects = Rejects::of_records();
            let mut step =
                RecordStep { parts, way, with_header, rejects, counts: Counts::new(limit), line: Vec::new() };
            pipeline::run(records, &mut std::io::sink(), rejected, &mut step)?;
            Ok(step.counts.outcome(&step.rejects))
        }
    }
}

/// What was read and written so far.
struct Counts {
    rows_in: u64,
    rows_out: u64,
    limit: u64,
    refuse: Option<Error>,
}

impl Counts {
    fn new(limit: u64) -> Self {
        Self { rows_in: 0, rows_out: 0, limit, refuse: None }
    }

    fn full(&self) -> bool {
        self.rows_in >= self.limit || self.refuse.is_some()
    }

    fn flow(&self) -> Flow {
        if self.full() { Flow::Stop } else { Flow::Go }
    }

    fn outcome(&mut self, rejects: &Rejects) -> Outcome {
        Outcome {
            rows_in: self.rows_in,
            rows_out: self.rows_out,
            rows_rejected: rejects.count(),
            refuse: self.refuse.take(),
            notes: rejects.notes(),
            ..Outcome::default()
        }
    }
}

/// How a row is written.
enum RowWay {
    /// As it stands.
    Same,
    /// In another dialect.
    Table(CellWriter),
    /// As an object; each name stands here as `"name":`.
    Object(Vec<Vec<u8>>),
}

impl RowWay {
    /// The inner error is the reason to refuse the whole file.
    fn new<W: Write>(
        header: &Header,
        found: &FileKind,
        to: &OutputConfig,
        parts: &mut Parts<'_, W>,
    ) -> Result<Result<Self>> {
        let options = to.options(found);
        if options.format != Format::Csv {
            return Ok(object_names(header).map(RowWay::Object));
        }
        let mut top = Vec::new();
        let mut plain = options.dialect.clone();
        plain.encoding = found.dialect.encoding;
        if plain == found.dialect && options.quoting == csv::Quoting::Minimal {
            header.push(&mut top);
            parts.header(top);
            return Ok(Ok(RowWay::Same));
        }
        let cells = CellWriter::new(&options.dialect, options.quoting);
        if options.dialect.header {
            cells.push_row(&mut top, &header.names)?;
        }
        parts.header(top);
        Ok(Ok(RowWay::Table(cells)))
    }

    /// Appends the row; false with the reason where it cannot be said.
    fn push(&self, row: &RowRef<'_>, columns: usize, into: &mut Vec<u8>) -> Result<Option<Reason<'static>>> {
        match self {
            RowWay::Same => {
                into.extend_from_slice(row.whole());
                if row.line_end().is_empty() {
                    into.push(b'\n');
                }
                Ok(None)
            }
            RowWay::Table(cells) => {
                if let Some(reason) = fault(row) {
                    return Ok(Some(reason));
                }
                Ok(cells
                    .push_row(into, row.cells())
                    .err()
                    .map(|error| reason("source-error", error.to_string())))
            }
            RowWay::Object(names) => {
                if let Some(reason) = fault(row).or_else(|| ragged(row, columns)) {
                    return Ok(Some(reason));
                }
                into.push(b'{');
                for (index, (name, cell)) in names.iter().zip(row.cells()).enumerate() {
                    if index > 0 {
                        into.push(b',');
                    }
                    into.extend_from_slice(name);
                    push_string(into, &String::from_utf8_lossy(&cell));
                }
                into.push(b'}');
                Ok(None)
            }
        }
    }
}

fn object_names(header: &Header) -> Result<Vec<Vec<u8>>> {
    let mut names: Vec<Vec<u8>> = Vec::with_capacity(header.names.len());
    for (index, name) in header.names.iter().enumerate() {
        if name.is_empty() {
            return Err(Error::bad_data(format!(
                "blank-label: column {} has no name, so it cannot be a field",
                index + 1
            )));
        }
        let mut quoted = Vec::new();
        push_string(&mut quoted, name);
        quoted.push(b':');
        if names.contains(&quoted) {
            return Err(Error::bad_data(format!(
                "duplicate-label: two columns are named {}, so they cannot be fields of one object",
                shown(name)
            )));
        }
        names.push(quoted);
    }
    Ok(names)
}

fn reason(code: &'static str, message: impl Into<Cow<'static, str>>) -> Reason<'static> {
    Reason { field: None, code, message: message.into() }
}

fn fault(row: &RowRef<'_>) -> Option<Reason<'static>> {
    let fault = row.fault()?;
    let code = match fault {
        csv::Fault::Nul => return None,
        csv::Fault::NotUtf8 => "encoding-error",
        csv::Fault::UnclosedQuote | csv::Fault::TooLong => "source-error",
    };
    Some(reason(code, fault.message()))
}

fn ragged(row: &RowRef<'_>, columns: usize) -> Option<Reason<'static>> {
    let cells = row.len();
    let code = match cells.cmp(&columns) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Less => "missing-cell",
        std::cmp::Ordering::Greater => "extra-cell",
    };
    Some(reason(code, format!("the row has {cells} cells, and the header {columns}")))
}

struct Rows<'p, 'a, W: Write> {
    parts: &'p mut Parts<'a, W>,
    way: RowWay,
    rejects: Rejects,
    columns: usize,
    counts: Counts,
    line: Vec<u8>,
}

impl<W: Write + Send> Step for Rows<'_, '_, W> {
    fn batch(&mut self, batch: &csv::Batch, _: &mut Vec<u8>, rejected: &mut Vec<u8>) -> Result<Flow> {
        for row in batch.rows() {
            if self.counts.full() {
                break;
            }
            if row.is_blank() {
                if matches!(self.way, RowWay::Same) {
                    self.parts.raw(row.whole())?;
                }
                continue;
            }
            self.counts.rows_in += 1;
            self.line.clear();
            if row.lost_bytes() {
                let reason = fault(&row).unwrap_or_else(|| reason("source-error", "the row is too long"));
                self.rejects.row(rejected, &row, &[reason]);
                if row.fault() == Some(csv::Fault::UnclosedQuote) {
                    self.counts.refuse = Some(rest_unreadable(row.number()));
                }
                continue;
            }
            match self.way.push(&row, self.columns, &mut self.line)? {
                None => {
                    self.parts.row(&self.line)?;
                    self.counts.rows_out += 1;
                }
                Some(reason) => self.rejects.row(rejected, &row, &[reason]),
            }
        }
        Ok(self.counts.flow())
    }
}

/// How a record is written.
enum RecordWay {
    /// As it stands, if it is JSON, or such as a ledger keeps as it is.
    Same { record: bool },
    /// As a row; the first record says the columns.
    Table { cells: CellWriter, columns: Option<Vec<String>> },
}

struct RecordStep<'p, 'a, W: Write> {
    parts: &'p mut Parts<'a, W>,
    way: RecordWay,
    with_header: bool,
    rejects: Rejects,
    counts: Counts,
    line: Vec<u8>,
}

impl<W: Write + Send> Step<json::Batch> for RecordStep<'_, '_, W> {
    fn batch(&mut self, batch: &json::Batch, _: &mut Vec<u8>, rejected: &mut Vec<u8>) -> Result<Flow> {
        for record in batch.records() {
            if self.counts.full() {
                break;
            }
            self.counts.rows_in += 1;
            self.line.clear();
            match self.push(&record)? {
                None => {
                    self.parts.row(&self.line)?;
                    self.counts.rows_out += 1;
                }
                Some(reason) => self.rejects.record(rejected, &record, &[reason]),
            }
        }
        Ok(self.counts.flow())
    }
}

impl<W: Write> RecordStep<'_, '_, W> {
    fn push(&mut self, record: &RecordRef<'_>) -> Result<Option<Reason<'static>>> {
        if let RecordWay::Same { record: of_ledger } = self.way {
            let fine = match record.fault() {
                None if of_ledger => json::record(record.raw()).map(|_| ()),
                _ => record.check().map_err(|problem| problem.message),
            };
            if let Err(message) = fine {
                return Ok(Some(reason("source-error", message)));
            }
            // Outside strings a line feed is white space, and inside them none stands.
            self.line.extend(record.raw().iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
            return Ok(None);
        }
        let RecordWay::Table { cells, columns } = &mut self.way else { return Ok(None) };
        let fields = match record.check().and_then(|()| record.fields()) {
            Err(problem) => return Ok(Some(reason("source-error", problem.message))),
            Ok(None) => {
                return Ok(Some(reason("type-error", "the record is no object, so it has no columns")));
            }
            Ok(Some(fields)) => fields,
        };
        if columns.is_none() {
            let names: Vec<String> = fields.iter().map(|(name, _)| name.clone().into_owned()).collect();
            if self.with_header {
                let mut top = Vec::new();
                cells.push_row(&mut top, &names)?;
                self.parts.header(top);
            }
            *columns = Some(names);
        }
        let Some(columns) = columns else { return Ok(None) };
        let mut row: Vec<Cow<'_, str>> = vec![Cow::Borrowed(""); columns.len()];
        for (index, (name, value)) in fields.iter().enumerate() {
            // Records of one file mostly have their fields in one order.
            let at = match columns.get(index) {
                Some(column) if column == name => Some(index),
                _ => columns.iter().position(|column| column == name),
            };
            let Some(at) = at else {
                let message =
                    format!("the first record has no field {}, so there is no column for it", shown(name));
                return Ok(Some(Reason {
                    field: Some(name.to_string().into()),
                    code: "extra-cell",
                    message: message.into(),
                }));
            };
            row[at] = cell_of(value.get());
        }
        let written = cells.push_row(&mut self.line, row.iter().map(|cell| cell.as_bytes()));
        Ok(written.err().map(|error| reason("source-error", error.to_string())))
    }
}

/// The text of a JSON value as a cell holds it.
fn cell_of(raw: &str) -> Cow<'_, str> {
    match raw.as_bytes().first() {
        Some(b'"') => match serde_json::from_str::<Cow<'_, str>>(raw) {
            Ok(text) => text,
            Err(_) => Cow::Borrowed(raw),
        },
        _ if raw == "null" => Cow::Borrowed(""),
        _ => Cow::Borrowed(raw),
    }
}
