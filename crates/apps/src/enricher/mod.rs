//! The enricher: columns taken from reference files by key, and columns calculated by CEL, appended to each row.
//!
//! Invariants:
//! - What a row had stays as it was, byte for byte; new columns stand after it.
//! - A row gets all its new columns, or is rejected with the reason; a key that a reference does not have is counted.
//! - Rows in = rows out + rows rejected. Memory holds the references and one row.
//!
//! On a crash nothing is lost: the output is void and the file is enriched again.

mod compute;
#[cfg(test)]
mod compute_tests;
mod config;
mod reference;

pub use config::{Config, Lookup, Pairs, Unmatched};

use crate::app::{AppIo, Outcome, RowApp};
use crate::config::resolve;
use crate::reject::{Reason, Rejects};
use crate::rows::{Fault, Row, RowReader};
use crate::table::{Header, flush, push_cell, read_header, rest_unreadable, shown, write};
use compute::{Calculator, Cells, Computed};
use handover_core::suggest::nearest;
use handover_core::{Error, Result};
use reference::{Reading, Reference, push_key};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

/// An enricher whose references are read and whose expressions are compiled.
pub struct Enricher {
    lookups: Vec<Ready>,
    computed: Vec<Computed>,
}

struct Ready {
    reference: Reference,
    /// Our columns that make the key.
    keys: Vec<String>,
    /// Our names of the taken columns.
    take: Vec<String>,
    unmatched: Unmatched,
}

impl Enricher {
    /// Reads the references and compiles the expressions; paths are relative to `base`.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] where the configuration, a reference or an expression is wrong, or what
    /// reading a reference gives.
    pub fn new(config: &Config, base: &Path) -> Result<Self> {
        let mut names: Vec<&str> = Vec::new();
        let taken = config.lookups.iter().flat_map(|lookup| &lookup.take.0);
        for (name, _) in taken.chain(&config.compute.0) {
            if name.is_empty() || names.contains(&name.as_str()) {
                return Err(Error::config(format!("the new column {name:?} has no name or comes twice"))
                    .hint("give one of them another name: take: { ours: theirs }"));
            }
            names.push(name);
        }
        if names.is_empty() {
            return Err(
                Error::config("the enricher has nothing to add").hint("give it `lookups` or `compute`")
            );
        }
        let lookups = config.lookups.iter().map(|lookup| ready(lookup, base)).collect::<Result<_>>()?;
        let calculator = Calculator::new()?;
        let compile = |(name, source): &(String, String)| calculator.compile(name, source);
        let computed = config.compute.0.iter().map(compile).collect::<Result<_>>()?;
        Ok(Self { lookups, computed })
    }
}

fn ready(lookup: &Lookup, base: &Path) -> Result<Ready> {
    let shown = lookup.from.display().to_string();
    if lookup.key.0.is_empty() || lookup.take.0.is_empty() {
        return Err(Error::config("a lookup needs a `key` and something to `take`").on(shown));
    }
    let split = |pairs: &Pairs| pairs.0.iter().cloned().unzip::<String, String, Vec<_>, Vec<_>>();
    let ((keys, their_keys), (take, their_columns)) = (split(&lookup.key), split(&lookup.take));
    let reference = Reference::open(resolve(base, &lookup.from), shown, their_keys, their_columns)?;
    Ok(Ready { reference, keys, take, unmatched: lookup.unmatched })
}

/// What one run needs to know of its file.
struct Plan {
    columns: HashMap<String, usize>,
    /// Columns of the file of which the text is wanted.
    wanted: Vec<usize>,
    /// For each lookup, where its key stands among old and new columns.
    keys: Vec<Vec<usize>>,
    /// How many columns the file has.
    width: usize,
}

impl Enricher {
    fn new_names(&self) -> impl Iterator<Item = &String> {
        let taken = self.lookups.iter().flat_map(|lookup| &lookup.take);
        taken.chain(self.computed.iter().map(|computed| &computed.name))
    }

    /// Finds every column, or says why the whole file is refused.
    fn plan(&self, header: &Header) -> Result<Plan> {
        let width = header.names.len();
        let mut columns: HashMap<String, usize> = HashMap::new();
        let mut twice: Vec<&str> = Vec::new();
        for (index, name) in header.names.iter().enumerate() {
            if columns.insert(name.clone(), index).is_some() {
                twice.push(name);
            }
        }
        for (index, name) in self.new_names().enumerate() {
            if columns.insert(name.clone(), width + index).is_some() {
                return Err(Error::bad_data(format!("the file has a column {name:?} already"))
                    .hint("give the new column another name in `take` or `compute`"));
            }
        }
        let find = |what: &str, name: &str, below: usize| -> Result<usize> {
            if twice.contains(&name) {
                return Err(Error::bad_data(format!(
                    "{what} uses {name:?}, and the file has two such columns"
                )));
            }
            let found = columns.get(name).copied().filter(|index| *index < below);
            found.ok_or_else(|| {
                let error = Error::bad_data(format!("{what} uses {name:?}, which the file does not have"));
                match nearest(name, header.names.iter().map(String::as_str)) {
                    Some(near) => error.hint(format!("did you mean {near}?")),
                    None => error.hint(format!("it has: {}", header.names.join(", "))),
                }
            })
        };
        let mut below = width;
        let mut wanted: Vec<usize> = Vec::new();
        let mut keys = Vec::new();
        for lookup in &self.lookups {
            let what = format!("the lookup in {}", lookup.reference.shown);
            let key = lookup.keys.iter().map(|name| find(&what, name, below)).collect::<Result<Vec<_>>>()?;
            wanted.extend(&key);
            keys.push(key);
            below += lookup.take.len();
        }
        for computed in &self.computed {
            for name in &computed.uses {
                wanted.push(find(
                    &format!("compute: {} (`{}`)", computed.name, computed.source),
                    name,
                    below,
                )?);
            }
            if computed.uses_row && !header.names.iter().any(|name| name == compute::ROW) {
                wanted.extend(0..width);
            }
            below += 1;
        }
        wanted.retain(|index| *index < width);
        wanted.sort_unstable();
        wanted.dedup();
        Ok(Plan { columns, wanted, keys, width })
    }
}

/// The work on one file.
struct Work<'a> {
    app: &'a Enricher,
    plan: Plan,
    readings: Vec<Arc<Reading>>,
    calculator: Calculator,
    unmatched: Vec<u64>,
    /// The cells of the row under way: those of the file that are wanted, then the new ones.
    cells: Vec<String>,
    key: Vec<u8>,
}

type Refused = Result<(), Reason>;

fn reason(field: Option<&str>, text: String) -> Reason {
    Reason { field: field.map(str::to_owned), text }
}

impl Work<'_> {
    /// Fills `cells` from this row.
    fn enrich(&mut self, header: &Header, row: &Row<'_>) -> Refused {
        let width = self.plan.width;
        if let Some(fault) = row.fault {
            return Err(reason(None, format!("source-error: {}", fault.message())));
        }
        if row.len() != width {
            let code = if row.len() < width { "missing-cell" } else { "extra-cell" };
            return Err(reason(None, format!("{code}: the row has {} cells of {width}", row.len())));
        }
        self.cells.resize(width, String::new());
        for index in &self.plan.wanted {
            let bytes = row.cell(*index);
            let name = &header.names[*index];
            let text = std::str::from_utf8(&bytes)
                .map_err(|_| reason(Some(name), "encoding-error: the cell is not UTF-8".to_owned()))?;
            self.cells[*index].clear();
            self.cells[*index].push_str(text);
        }
        for index in 0..self.app.lookups.len() {
            self.look_up(index)?;
        }
        for computed in &self.app.computed {
            let cells = Cells { columns: &self.plan.columns, cells: &self.cells };
            let text = self.calculator.evaluate(computed, &cells).map_err(|why| {
                let used = computed.uses.iter().filter_map(|name| {
                    Some(format!("{name} is {}", shown(self.cells.get(*self.plan.columns.get(name)?)?)))
                });
                let used: Vec<String> = used.collect();
                let used = if used.is_empty() { String::new() } else { format!(" ({})", used.join(", ")) };
                reason(Some(&computed.name), format!("compute-error: `{}`: {why}{used}", computed.source))
            })?;
            self.cells.push(text);
        }
        Ok(())
    }

    fn look_up(&mut self, index: usize) -> Refused {
        let lookup = &self.app.lookups[index];
        self.key.clear();
        for column in &self.plan.keys[index] {
            push_key(&mut self.key, self.cells[*column].as_bytes());
        }
        match (self.readings[index].get(&self.key), lookup.unmatched) {
            (Some(found), _) => self.cells.extend(found.iter().map(|cell| cell.to_string())),
            (None, unmatched) => {
                self.unmatched[index] += 1;
                if unmatched == Unmatched::Reject {
                    let key: Vec<String> =
                        self.plan.keys[index].iter().map(|column| shown(&self.cells[*column])).collect();
                    let text =
                        format!("lookup-error: {} is not in {}", key.join(", "), lookup.reference.shown);
                    return Err(reason(lookup.keys.first().map(String::as_str), text));
                }
                self.cells.extend(lookup.take.iter().map(|_| String::new()));
            }
        }
        Ok(())
    }

    /// What the references were, for the manifest.
    fn references(&self) -> Value {
        let references = self.app.lookups.iter().zip(&self.readings).zip(&self.unmatched);
        let one = |((lookup, reading), unmatched): ((&Ready, &Arc<Reading>), &u64)| {
            json!({
                "path": lookup.reference.shown,
                "checksum": reading.checksum.to_string(),
                "rows": reading.row_count,
                "unmatched": unmatched,
            })
        };
        references.map(one).collect()
    }

    fn notes(&self) -> impl Iterator<Item = String> {
        let counted = self.app.lookups.iter().zip(&self.unmatched).filter(|(_, count)| **count > 0);
        counted.map(|(lookup, count)| {
            let done = match lookup.unmatched {
                Unmatched::Keep => "kept, with empty columns",
                Unmatched::Reject => "rejected",
            };
            let (from, keys) = (&lookup.reference.shown, lookup.keys.join(", "));
            format!("{count} rows have a key ({keys}) that {from} does not have: {done}")
        })
    }
}

impl RowApp for Enricher {
    fn name(&self) -> &'static str {
        "enricher"
    }

    fn run(&self, io: AppIo<'_>) -> Result<Outcome> {
        let AppIo { input, output, rejected, progress, cancelled } = io;
        let readings: Vec<_> =
            self.lookups.iter().map(|lookup| lookup.reference.current()).collect::<Result<_>>()?;
        let mut reader = RowReader::new(input, progress, cancelled);
        let header = match read_header(&mut reader)? {
            Ok(header) => header,
            Err(error) => return Ok(Outcome::refused(error)),
        };
        let plan = match self.plan(&header) {
            Ok(plan) => plan,
            Err(error) => return Ok(Outcome::refused(error)),
        };
        let mut work = Work {
            app: self,
            plan,
            readings,
            calculator: Calculator::new()?,
            unmatched: vec![0; self.lookups.len()],
            cells: Vec::new(),
            key: Vec::new(),
        };
        let mut out = BufWriter::with_capacity(128 * 1024, output);
        let mut rejects = Rejects::new(rejected);
        let mut outcome = Outcome::default();
        let mut line = header.before.clone();
        push_row(&mut line, &header.content, self.new_names(), &header.line_end);
        write(&mut out, &line)?;
        while let Some(row) = reader.next_row()? {
            if row.is_empty() {
                write(&mut out, row.whole())?;
                continue;
            }
            outcome.rows_in += 1;
            match work.enrich(&header, &row) {
                Ok(()) => {
                    outcome.rows_out += 1;
                    line.clear();
                    push_row(&mut line, row.content(), work.cells[work.plan.width..].iter(), row.line_end());
                    write(&mut out, &line)?;
                }
                Err(why) => rejects.reject(&header, &row, &[why])?,
            }
            let (fault, number) = (row.fault, row.number);
            if fault == Some(Fault::UnclosedQuote) && reader.lost_bytes() {
                outcome.refuse = Some(rest_unreadable(number));
            }
        }
        flush(&mut out)?;
        outcome.rows_rejected = rejects.count();
        outcome.notes = rejects.finish()?;
        outcome.notes.extend(work.notes());
        if !self.lookups.is_empty() {
            outcome.manifest.insert("references".to_owned(), work.references());
        }
        outcome.checked(self.name())
    }
}

fn push_row<'a>(line: &mut Vec<u8>, content: &[u8], new: impl Iterator<Item = &'a String>, line_end: &[u8]) {
    line.extend_from_slice(content);
    for cell in new {
        line.push(b',');
        push_cell(line, cell.as_bytes());
    }
    line.extend_from_slice(line_end);
}
