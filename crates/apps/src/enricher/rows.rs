//! Enriching rows of a table.
//!
//! Invariant: what a row had stays as it was, byte for byte, and its new cells stand behind it; a row that gets not all
//! of them leaves no byte in the output.

use super::config::Unmatched;
use super::content::push_key;
use super::join::Ready;
use super::plan::{Plan, Slot};
use crate::expression::Cells;
use crate::pipeline::{Flow, Step};
use crate::reject::{Reason, Rejects};
use crate::table::{rest_unreadable, shown};
use handover_core::{Error, Result};
use handover_records::Dialect;
use handover_records::csv::{Batch, CellWriter, Fault, Quoting, RowRef};
use std::borrow::Cow;

/// The work on one table.
pub(super) struct Rows<'a> {
    pub(super) plan: &'a Plan,
    pub(super) joins: Vec<Ready<'a>>,
    /// The calculated columns' names.
    pub(super) names: Vec<&'a str>,
    pub(super) rejects: Rejects,
    pub(super) counts: Counts,
    writer: CellWriter,
    /// The texts of the calculated columns of the row under way.
    texts: Vec<Vec<u8>>,
    key: Vec<u8>,
    line_end: Vec<u8>,
}

/// What came of the rows.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) rows_in: u64,
    pub(super) rows_out: u64,
    pub(super) rows_filtered: u64,
    pub(super) limit: Option<u64>,
    pub(super) refuse: Option<Error>,
}

impl Counts {
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Counts a row that is read; false where no more are wanted.
    #[inline]
    pub(super) fn read(&mut self) -> bool {
        if self.limit.is_some_and(|limit| self.rows_in >= limit) {
            return false;
        }
        self.rows_in += 1;
        true
    }
}

/// What becomes of a row.
pub(super) enum Verdict<'r> {
    Passes,
    LeftOut,
    Rejected(Reason<'r>),
}

/// A row with what is new so far.
struct Sight<'s> {
    row: &'s RowRef<'s>,
    width: usize,
    slots: &'s [Slot],
    joins: &'s [Ready<'s>],
    texts: &'s [Vec<u8>],
}

impl Cells for Sight<'_> {
    #[inline]
    fn cell(&self, column: usize) -> Cow<'_, [u8]> {
        let Some(new) = column.checked_sub(self.width) else { return self.row.cell(column) };
        Cow::Borrowed(match self.slots.get(new) {
            Some(Slot::Joined(join, cell)) => self.joins.get(*join).map_or(b"", |ready| ready.cell(*cell).0),
            Some(Slot::Computed(index)) => self.texts.get(*index).map_or(b"", Vec::as_slice),
            None => b"",
        })
    }
}

impl<'a> Rows<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        joins: Vec<Ready<'a>>,
        names: Vec<&'a str>,
        rejects: Rejects,
        counts: Counts,
        dialect: &Dialect,
    ) -> Self {
        Self {
            plan,
            joins,
            texts: vec![Vec::new(); names.len()],
            names,
            rejects,
            counts,
            writer: CellWriter::new(dialect, Quoting::Minimal),
            key: Vec::new(),
            line_end: dialect.line_terminator.bytes().to_vec(),
        }
    }

    /// Appends the header's row with the new columns' names.
    ///
    /// # Errors
    /// Where the dialect cannot express a name.
    pub(super) fn push_header<'n>(
        &self,
        content: &[u8],
        names: impl Iterator<Item = &'n String>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        out.extend_from_slice(content);
        for name in names {
            self.writer.push_delimiter(out);
            self.writer.push_cell(out, name.as_bytes(), false)?;
        }
        Ok(())
    }

    /// Appends the row and its new cells.
    fn row<'r>(&mut self, row: &RowRef<'r>, out: &mut Vec<u8>) -> Result<Verdict<'r>> {
        if let Some(reason) = unreadable(row, self.plan.width) {
            return Ok(Verdict::Rejected(reason));
        }
        self.push_content(row, out)?;
        for index in 0..self.joins.len() {
            if let Some(verdict) = self.join(index, row) {
                return Ok(verdict);
            }
            out.extend_from_slice(self.joins[index].piece());
        }
        for index in 0..self.plan.computed.len() {
            if let Some(reason) = self.compute(index, row) {
                return Ok(Verdict::Rejected(reason));
            }
            self.writer.push_delimiter(out);
            self.writer.push_cell(out, &self.texts[index], false)?;
        }
        out.extend_from_slice(row.line_end());
        Ok(Verdict::Passes)
    }

    /// The row as it stands; written anew where it ends in an escape character, which would take our delimiter.
    #[inline]
    fn push_content(&self, row: &RowRef<'_>, out: &mut Vec<u8>) -> Result<()> {
        let escape = self.writer.dialect().escape;
        if escape.is_none() || row.content().last().copied() != escape {
            out.extend_from_slice(row.content());
            return Ok(());
        }
        self.writer.push_row(out, row.cells())?;
        out.truncate(out.len() - self.line_end.len());
        Ok(())
    }

    /// Finds the row of a join; what becomes of this one, where it goes no further.
    fn join<'r>(&mut self, index: usize, row: &RowRef<'r>) -> Option<Verdict<'r>> {
        let keys = &self.plan.keys[index];
        let (before, rest) = self.joins.split_at_mut(index);
        let ready = rest.first_mut()?;
        let sight = Sight { row, width: self.plan.width, slots: &self.plan.slots, joins: before, texts: &[] };
        if let Some(totals) = ready.join.totals() {
            for (argument, column) in self.plan.arguments[index].iter().enumerate() {
                if let Some(message) = totals.wrong(argument, &row.cell(*column)) {
                    let field = totals.arguments.get(argument).cloned().map(Cow::Owned);
                    return Some(Verdict::Rejected(Reason {
                        field,
                        code: "aggregate-error",
                        message: message.into(),
                    }));
                }
            }
        }
        let found = match keys.as_slice() {
            [one] => ready.look_up(&sight.cell(*one)),
            several => {
                self.key.clear();
                several
                    .iter()
                    .for_each(|column| push_key(&mut self.key, &sight.cell(*column), several.len()));
                ready.look_up(&self.key)
            }
        };
        match ready.unmatched {
            _ if found => None,
            Unmatched::Keep => None,
            Unmatched::Filter => Some(Verdict::LeftOut),
            Unmatched::Reject => {
                let key: Vec<String> =
                    keys.iter().map(|column| shown(&String::from_utf8_lossy(&sight.cell(*column)))).collect();
                Some(Verdict::Rejected(not_found(ready, &key)))
            }
        }
    }

    /// Calculates a column; why the row is rejected, where it is.
    fn compute(&mut self, index: usize, row: &RowRef<'_>) -> Option<Reason<'static>> {
        let expression = &self.plan.computed[index];
        let (before, rest) = self.texts.split_at_mut(index);
        let text = rest.first_mut()?;
        text.clear();
        let sight =
            Sight { row, width: self.plan.width, slots: &self.plan.slots, joins: &self.joins, texts: before };
        let written = expression.eval_row(&sight).and_then(|value| value.write_csv(text));
        let fault = written.err()?;
        Some(Reason {
            field: Some(Cow::Owned(self.names[index].to_owned())),
            code: "compute-error",
            message: expression.explain_row(&fault, &sight).into(),
        })
    }
}

/// Why a row is rejected whose key is not there.
pub(super) fn not_found(ready: &Ready<'_>, key: &[String]) -> Reason<'static> {
    let field = ready.join.keys().first().cloned().map(Cow::Owned);
    let place = match ready.join {
        super::join::Join::Lookup(lookup) => lookup.reference.shown.as_str(),
        super::join::Join::Aggregate(_) => "the groups of the aggregate",
    };
    Reason { field, code: "lookup-error", message: format!("{} is not in {place}", key.join(", ")).into() }
}

/// Why a row cannot be worked on, where it cannot.
fn unreadable<'r>(row: &RowRef<'r>, width: usize) -> Option<Reason<'r>> {
    let reason =
        |code: &'static str, message: String| Some(Reason { field: None, code, message: message.into() });
    match row.fault() {
        Some(Fault::NotUtf8) => return reason("encoding-error", Fault::NotUtf8.message()),
        Some(fault) => return reason("source-error", fault.message()),
        None => {}
    }
    let code = match row.len() {
        len if len == width => return None,
        len if len < width => "missing-cell",
        _ => "extra-cell",
    };
    reason(code, format!("the row has {} cells of {width}", row.len()))
}

impl Step for Rows<'_> {
    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>, rejected: &mut Vec<u8>) -> Result<Flow> {
        for row in batch.rows() {
            if row.is_blank() {
                out.extend_from_slice(row.whole());
                continue;
            }
            if !self.counts.read() {
                return Ok(Flow::Stop);
            }
            if row.fault() == Some(Fault::UnclosedQuote) && row.lost_bytes() {
                self.counts.refuse = Some(rest_unreadable(row.number()));
            }
            let start = out.len();
            match self.row(&row, out)? {
                Verdict::Passes => self.counts.rows_out += 1,
                Verdict::LeftOut => {
                    out.truncate(start);
                    self.counts.rows_filtered += 1;
                }
                Verdict::Rejected(reason) => {
                    out.truncate(start);
                    self.rejects.row(rejected, &row, &[reason]);
                }
            }
        }
        Ok(Flow::Go)
    }
}
