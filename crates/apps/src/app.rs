//! What every app is given and what it answers.

use handover_core::{Error, Result};
use handover_records::{FileKind, Format, Watch};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{Read, Write};

/// An app that reads rows and writes rows: validator, enricher, file-exporter, file-importer.
pub trait RowApp: Send + Sync {
    /// Its name, such as `validator`.
    fn name(&self) -> &'static str;

    /// Runs once over one input.
    ///
    /// # Errors
    /// Where the input cannot be read or an output not be written, where the work was cancelled, or
    /// [`handover_core::ErrorKind::Internal`] where rows got lost. Bad data is no error: it is in the
    /// [`Outcome`], as rejected rows or as the reason to refuse the whole file.
    fn run(&self, io: AppIo<'_>) -> Result<Outcome>;

    /// The extension of the output for an input with this one (`csv` -> `csv.gz`).
    fn output_ext(&self, input_ext: &str) -> String {
        input_ext.to_owned()
    }

    /// The extension of the rejected rows of an input with this one: `csv` for tables, `ndjson` for JSON records.
    fn rejected_ext(&self, input_ext: &str) -> &'static str {
        match FileKind::of_ext(input_ext).map(|kind| kind.format) {
            Some(Format::Ndjson | Format::Json) => Format::Ndjson.ext(),
            Some(Format::Csv) | None => Format::Csv.ext(),
        }
    }
}

/// How much of a run is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Nothing is to be kept: the output and the rejected rows go nowhere, and only the outcome counts. An app may
    /// leave out work that nobody sees, such as compressing.
    pub dry_run: bool,
    /// Stop after so many records of the input; rows in is what was read until then.
    pub limit: Option<u64>,
}

/// The streams of one run.
pub struct AppIo<'a> {
    /// What comes in. Large reads are made, so it needs no buffer.
    pub input: &'a mut (dyn Read + Send),
    /// The extension of the input's name, such as `csv.gz`: it says the format and the compression where the app's
    /// configuration does not. Empty where the input has no name.
    pub input_ext: &'a str,
    /// What goes out. Large writes are made, so it needs no buffer.
    pub output: &'a mut (dyn Write + Send),
    /// The rejected rows. It is not touched unless there is one.
    pub rejected: &'a mut (dyn Write + Send),
    /// Told the bytes of the input read so far, at each read, from whatever thread reads.
    pub progress: Option<&'a (dyn Fn(u64) + Sync)>,
    /// Asked at each read whether to stop, from whatever thread reads.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
    /// How much of the run is wanted.
    pub options: RunOptions,
    /// Gives a new, empty file without a name for what does not fit into memory: it goes away with its handle, so a
    /// crash leaves nothing.
    pub scratch: &'a Scratch<'a>,
}

/// Gives files for what does not fit into memory: open to read and write, and in no folder any more.
pub type Scratch<'a> = dyn Fn() -> Result<File> + Sync + 'a;

/// For a caller that has no room for such files: an app that needs one says so.
///
/// # Errors
/// Always.
pub fn no_scratch() -> Result<File> {
    Err(Error::internal("there is no place for temporary files"))
}

impl<'a> AppIo<'a> {
    /// Progress and cancelling, as readers take them.
    pub fn watch(&self) -> Watch<'a> {
        Watch { progress: self.progress, cancelled: Some(self.cancelled) }
    }
}

/// What came of one run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Records of the input, less the header.
    pub rows_in: u64,
    /// Records that passed.
    pub rows_out: u64,
    /// Records that did not.
    pub rows_rejected: u64,
    /// Records that the configuration leaves out: filtered, or duplicates.
    pub rows_filtered: u64,
    /// The app's report, where it makes one.
    pub report: Option<Value>,
    /// Why the whole file goes to quarantine, where it does; what was written to the output is then void.
    pub refuse: Option<Error>,
    /// More fields for the output's manifest.
    pub manifest: Map<String, Value>,
    /// What a person should know: first reasons of rejects, lookups that found nothing.
    pub notes: Vec<String>,
}

impl Outcome {
    /// The outcome of a file that goes to quarantine before any of its rows was read.
    pub(crate) fn refused(error: Error) -> Self {
        Self { refuse: Some(error), ..Self::default() }
    }

    /// Checks the conservation of rows; every app ends with this.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Internal`] where a row got lost or was doubled.
    pub(crate) fn checked(self, app: &str) -> Result<Self> {
        if self.rows_in == self.rows_out + self.rows_rejected + self.rows_filtered {
            return Ok(self);
        }
        Err(Error::internal(format!(
            "{app} read {} rows, but wrote {}, rejected {} and left out {}",
            self.rows_in, self.rows_out, self.rows_rejected, self.rows_filtered
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use handover_core::ErrorKind;

    #[test]
    fn a_lost_row_is_a_fault_of_ours() {
        let outcome = Outcome { rows_in: 3, rows_out: 1, rows_rejected: 1, ..Outcome::default() };
        assert_eq!(outcome.checked("x").unwrap_err().kind(), ErrorKind::Internal);
        let filtered =
            Outcome { rows_in: 3, rows_out: 1, rows_rejected: 1, rows_filtered: 1, ..Outcome::default() };
        assert!(filtered.checked("x").is_ok());
    }
}
