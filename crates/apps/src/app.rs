//! What every app is given and what it answers.

use handover_core::{Error, Result};
use serde_json::{Map, Value};
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
}

/// The streams of one run.
pub struct AppIo<'a> {
    /// What comes in. Large reads are made, so it needs no buffer.
    pub input: &'a mut dyn Read,
    /// What goes out. Large writes are made, so it needs no buffer.
    pub output: &'a mut dyn Write,
    /// The rejected rows. It is not touched unless there is one.
    pub rejected: &'a mut dyn Write,
    /// Told the bytes read so far, at each read.
    pub progress: Option<&'a dyn Fn(u64)>,
    /// Asked at each read whether to stop.
    pub cancelled: &'a dyn Fn() -> bool,
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
        if self.rows_in == self.rows_out + self.rows_rejected {
            return Ok(self);
        }
        Err(Error::internal(format!(
            "{app} read {} rows, but wrote {} and rejected {}",
            self.rows_in, self.rows_out, self.rows_rejected
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
        assert!(
            Outcome { rows_in: 2, rows_out: 1, rows_rejected: 1, ..Outcome::default() }.checked("x").is_ok()
        );
    }
}
