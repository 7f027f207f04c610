//! A console program that runs once for each record: the record is its stdin, or the file at `{input}`; what it prints
//! is JSON, and becomes the next records.
//!
//! One JSON value, several lines of them, or values one behind the other, as `jq` prints them: each is a record. Nothing
//! printed and exit 0 is nothing handed over: the record is filtered. What is no JSON fails the attempt.
//!
//! Invariant: the record completes, and what follows is pushed, in one transaction. On a crash it runs again.

use super::program::{Files, Work, small};
use super::records::Origin;
use super::rows::blocking_for;
use super::{Attempt, Failed, Finished, Slot, Summary};
use crate::config::{Output, Program};
use handover_core::limits::RECORD_MAX_BYTES;
use handover_core::{Error, ErrorKind, Json, Result, fault};
use handover_file::disk;
use handover_file::draft::Draft;
use serde_json::Value;
use std::io::Read as _;

impl Attempt {
    pub(super) async fn record(&self, program: &Program, slot: &mut Slot) -> Result<Finished, Failed> {
        let Origin { type_name, date } = self.ctx.origin(Some(&self.app), &self.delivery).await?;
        let flows = self.ctx.flows_of(&self.app.name, &self.delivery);
        let work = Work { source: None, type_name, date, flows };
        let mut files = self.record_files(program).await?;
        let spec = self.spec(program, &work, None, &mut files)?;
        let turn = slot.begin_program().await?;
        fault::point("program.before_start")?;
        let ended = self.run_program(spec, turn, slot).await?;
        fault::point("program.ended")?;
        slot.hand_on().await;
        let full = disk::low(&disk::space(self.ctx.project.data.tmp_dir())?);
        let summary = self.judge(&ended, full)?;
        let made = match files.output.take() {
            Some(draft) => {
                printed(&draft).map_err(|error| Failed { summary: summary.clone(), ..Failed::from(error) })?
            }
            None => Vec::new(),
        };
        let next =
            self.ctx.next_records(&self.app.name, &self.delivery, self.traceparent().as_deref(), &made);
        let summary = self.record_summary(made, next.is_empty(), summary);
        Ok(Finished { summary, next, ..Finished::default() })
    }

    /// What the ledger keeps of a record that went well: what nobody else gets is kept with it.
    pub(crate) fn record_summary(&self, made: Vec<Json>, ends: bool, of: Summary) -> Summary {
        let out = made.len() as u64;
        Summary {
            rows_in: Some(1),
            rows_out: Some(out),
            rows_filtered: (out == 0).then_some(1),
            data: if ends { made.into_iter().map(Value::from).collect() } else { Vec::new() },
            ..of
        }
    }

    async fn record_files(&self, program: &Program) -> Result<Files> {
        let (data, holder) = (self.ctx.project.data.clone(), self.ctx.process.holder.clone());
        let line = format!("{}\n", self.delivery.data.line());
        let (with, output) = (self.app.with.clone(), program.output);
        blocking_for(line.len() as u64, move || {
            let config = match with {
                Some(value) => Some(small(data.draft(&holder, "json")?, value.to_string().as_bytes())?),
                None => None,
            };
            let output = match output {
                Output::None => None,
                Output::Stdout => Some(data.draft(&holder, "ndjson")?),
                Output::File => Some(data.draft_path(&holder, "ndjson")?),
            };
            let given = Some(small(data.draft(&holder, "ndjson")?, line.as_bytes())?);
            Ok(Files { given, config, output, ..Files::default() })
        })
        .await
    }
}

/// The JSON values of a text: one, several lines of them, or one behind the other.
pub(super) fn values(bytes: &[u8]) -> serde_json::Result<Vec<Json>> {
    serde_json::Deserializer::from_slice(bytes).into_iter().collect()
}

/// The JSON values that a program left.
fn printed(draft: &Draft) -> Result<Vec<Json>> {
    let path = draft.path();
    let read = |e| Error::io("read", path.display(), e);
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        // It wrote none.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(read(e)),
    };
    let mut bytes = Vec::new();
    file.take(RECORD_MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() > RECORD_MAX_BYTES {
        let most = RECORD_MAX_BYTES / (1024 * 1024);
        let message = format!("the program printed more than {most} MiB for one record");
        return Err(Error::new(ErrorKind::Program, message).hint("link it by file: then any size will do"));
    }
    values(&bytes).map_err(|e| {
        Error::new(ErrorKind::Program, "what the program printed for this record is no JSON")
            .because(e)
            .hint("print one JSON value a line, and everything else to stderr; or link the app by file")
    })
}
