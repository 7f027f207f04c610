//! Judging one row of a table: quickly where it is surely fine, exactly with all reasons where it is not.
//!
//! Invariant: the quick way answers yes only where the exact one finds nothing ([`super::fast`]). There is no I/O.

use super::fast::{Column, Verdict};
use super::keys::{Parts, push_key};
use super::labels::Layout;
use super::report::{Code, Found};
use super::schema::Schema;
use handover_records::Dialect;
use handover_records::csv::{Fault, RowRef};

/// Judges the rows of one input.
#[derive(Debug)]
pub(super) struct Judge<'s> {
    schema: &'s Schema,
    layout: Layout,
    /// The quick checks, one for each column of the table.
    columns: Vec<Option<Column>>,
    /// The quote, where a cell that does not begin with it stands as it is.
    plain_unless: Option<Option<u8>>,
}

impl<'s> Judge<'s> {
    /// A judge of tables with this layout, in this dialect.
    pub(super) fn new(schema: &'s Schema, layout: Layout, dialect: &Dialect) -> Self {
        let columns = layout.fields.iter().map(|field| field.map(|field| Column::new(&schema.fields[field])));
        let plain = dialect.escape.is_none() && !dialect.skip_initial_space;
        Self { schema, columns: columns.collect(), layout, plain_unless: plain.then_some(dialect.quote) }
    }

    /// Whether the row is surely fine, keys and rules aside.
    #[inline]
    pub(super) fn is_fine(&self, row: &RowRef<'_>) -> bool {
        if row.fault().is_some() || row.len() != self.columns.len() {
            return false;
        }
        let mut any_value = false;
        for (index, ((raw, tail), column)) in row.raw_cells_with_tails().zip(&self.columns).enumerate() {
            let Some(column) = column else { continue };
            let verdict = match self.plain_unless {
                Some(quote) if raw.first().copied() != quote || raw.is_empty() => column.judge(raw, tail),
                _ => column.judge(&row.cell(index), 0),
            };
            match verdict {
                Verdict::Ask => return false,
                Verdict::Missing => {}
                Verdict::Fine => any_value = true,
            }
        }
        any_value
    }

    /// Finds all that is wrong with the row, keys and rules aside.
    pub(super) fn find(&self, row: &RowRef<'_>, found: &mut Vec<Found>) {
        if let Some(fault) = row.fault() {
            return self.fault(row, fault, found);
        }
        if self.is_blank(row) {
            return say(found, None, Code::BlankRow, "", "the row is blank".to_owned());
        }
        let columns = self.layout.fields.len();
        for (index, field) in self.layout.fields.iter().enumerate() {
            let Some(field) = *field else { continue };
            if index < row.len() {
                self.cell(field, &row.cell(index), found);
            } else {
                let message = format!("the row has {} cells of {columns}", row.len());
                say(found, Some(field), Code::MissingCell, "", message);
            }
        }
        if row.len() > columns {
            let extra = String::from_utf8_lossy(row.raw_from(columns)).into_owned();
            say(
                found,
                None,
                Code::ExtraCell,
                &extra,
                format!("the row has {} cells of {columns}", row.len()),
            );
        }
    }

    fn fault(&self, row: &RowRef<'_>, fault: Fault, found: &mut Vec<Found>) {
        let bad = row.cell_not_utf8().filter(|_| fault == Fault::NotUtf8);
        let field = bad.and_then(|index| self.layout.fields.get(index).copied().flatten());
        let (code, value, message) = match bad {
            Some(index) => {
                let cell = row.cell(index);
                let at = std::str::from_utf8(&cell).map_or_else(|error| error.valid_up_to(), str::len) + 1;
                let value = String::from_utf8_lossy(&cell).into_owned();
                (Code::Encoding, value, format!("byte {at} of cell {} is not UTF-8", index + 1))
            }
            None if fault == Fault::NotUtf8 => (Code::Encoding, lossy(row), fault.message()),
            None => (Code::Source, lossy(row), fault.message()),
        };
        say(found, field, code, &value, message);
    }

    /// Whether every cell stands for no value, as Frictionless has it.
    fn is_blank(&self, row: &RowRef<'_>) -> bool {
        self.layout.fields.iter().enumerate().all(|(index, field)| {
            let cell = row.cell(index);
            match field {
                None => cell.is_empty(),
                Some(_) if index >= row.len() => true,
                Some(field) => {
                    std::str::from_utf8(&cell).is_ok_and(|text| self.schema.fields[*field].is_missing(text))
                }
            }
        })
    }

    fn cell(&self, index: usize, bytes: &[u8], found: &mut Vec<Found>) {
        let field = &self.schema.fields[index];
        // The batch was found to be UTF-8, so this takes nothing away.
        let text = String::from_utf8_lossy(bytes);
        if field.is_missing(&text) {
            if field.constraints.required {
                say(found, Some(index), Code::Constraint, &text, "a value is required".to_owned());
            }
            return;
        }
        match field.read(&text) {
            Err(message) => say(found, Some(index), Code::Type, &text, message),
            Ok(value) => {
                field.broken(&text, &value, |message| {
                    say(found, Some(index), Code::Constraint, &text, message)
                });
            }
        }
    }

    /// Notes the key of each cell that is part of one.
    pub(super) fn note_keys(&self, row: &RowRef<'_>, parts: &mut Parts) {
        parts.clear(self.schema.fields.len());
        if row.fault().is_some() {
            return;
        }
        for (index, field) in self.schema.fields.iter().enumerate().filter(|(_, field)| field.keyed) {
            let Some(column) = self.layout.columns[index].filter(|column| *column < row.len()) else {
                continue;
            };
            let cell = row.cell(column);
            let Ok(text) = std::str::from_utf8(&cell) else { continue };
            if !field.is_missing(text) {
                parts.note(index, |into| push_key(field, text, into));
            }
        }
    }

    /// The column of a field.
    pub(super) fn column(&self, field: usize) -> Option<usize> {
        self.layout.columns[field]
    }
}

fn lossy(row: &RowRef<'_>) -> String {
    String::from_utf8_lossy(row.content()).into_owned()
}

fn say(found: &mut Vec<Found>, column: Option<usize>, code: Code, value: &str, message: String) {
    found.push(Found::new(column, code, value, message));
}
