//! Console programs: input by path or stdin, output by file or stdout, judged by their exit.
//!
//! The input is checked against its manifest before the program starts. The output is a draft that nobody sees; it
//! is measured when the program's whole tree is gone.

use super::inline::is_small;
use super::naming::{Naming, OUT, Place, naming_like};
use super::outputs::Says;
use super::payload::{FilePayload, JobPayload};
use super::progress::Progress;
use super::rows::{blocking_for, checked_input, flows_of, rows_of};
use super::slot::{Slot, Turn};
use super::source::{From, Source};
use super::untouched::Untouched;
use super::{Attempt, Failed, Finished, Summary};
use crate::config::{App, Input, Output, Placeholder, Placeholders, Program, Then};
use crate::program::{self, Ended, How, ProgramSpec, Verdict};
use handover_core::limits::{FULL_BELIEVED_MAX, SHUTDOWN_GRACE_MS};
use handover_core::{Error, ErrorKind, FileName, Kind, Result, TypeName, fault, media, units};
use handover_file::disk;
use handover_file::draft::Draft;
use handover_file::read::RetainedPath;
use jiff::civil::Date;
use serde_json::{Map, Value};
use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a program works on, in one form for files and jobs.
pub(super) struct Work {
    /// Its input, if it has one.
    pub(super) source: Option<Source>,
    pub(super) type_name: TypeName,
    pub(super) date: Date,
    pub(super) flows: Vec<String>,
}

impl Work {
    /// The file that it reads.
    fn file(&self) -> Option<&FilePayload> {
        self.source.as_ref().and_then(Source::file)
    }

    /// The size of its input.
    fn bytes(&self) -> u64 {
        self.file().map_or(0, |payload| payload.manifest.file_size)
    }
}

/// The files that a run needs, removed when this is dropped.
#[derive(Default)]
pub(super) struct Files {
    pub(super) input: Option<RetainedPath>,
    /// The input, where it is no file of its own: a record, or what came with a job.
    pub(super) given: Option<Draft>,
    /// The input, open: what was checked is what a program reads on its stdin.
    pub(super) checked: Option<File>,
    /// The manifest beside the input, where that is where it was published.
    pub(super) beside: Option<PathBuf>,
    pub(super) manifest: Option<Draft>,
    pub(super) config: Option<Draft>,
    pub(super) output: Option<Draft>,
}

impl Files {
    /// Where the input is.
    fn input_path(&self) -> Option<&Path> {
        self.input.as_ref().map(RetainedPath::path).or(self.given.as_ref().map(Draft::path))
    }
}

impl Attempt {
    pub(super) async fn program(&self, program: &Program, slot: &mut Slot) -> Result<Finished, Failed> {
        let work = self.what_to_work_on()?;
        let ext = self.ext(&work);
        let hops = self.ctx.routes.next(&self.app.name, &work.flows);
        // What is kept in the row if it is small needs no name before it is known to be large.
        let later = self.keeps_small(&hops) && !program.uses(Placeholder::Sequence);
        let named = match program.output {
            Output::Stdout | Output::File if !later => {
                Some(self.reserve(self.naming(&work, ext.clone())).await?)
            }
            _ => None,
        };
        let came_with = work.file().and(work.source.as_ref()).map(|source| source.name.sequence);
        let sequence = named.as_ref().map(|n| n.reservation.sequence).or(came_with);
        let mut files = self.prepare(program, &work, ext.clone()).await?;
        let spec = self.spec(program, &work, sequence, &mut files)?;
        // A slot is for the program alone: all that it needs is ready.
        let turn = slot.begin_program().await?;
        fault::point("program.before_start")?;
        let untouched =
            Untouched::before(&self.ctx.project.data, files.input.as_ref().map(RetainedPath::path));
        let ended = self.run_program(spec, turn, slot).await?;
        fault::point("program.ended")?;
        slot.hand_on().await;
        // Asked while what the program wrote still takes its room.
        let full = disk::low(&disk::space(self.ctx.project.data.tmp_dir())?);
        let mut summary = self.judge(&ended, full)?;
        summary.rows_in = work.file().and_then(|p| p.manifest.row_count);
        summary.notes.extend(untouched.after(&self.ctx.project.data)?);
        let Some(draft) = files.output.take() else {
            return Ok(Finished { summary, ..Finished::default() });
        };
        let bytes = std::fs::metadata(draft.path()).map_or(0, |meta| meta.len());
        let written = blocking_for(bytes, move || draft.measure()).await?;
        summary.rows_out = written.row_count;
        summary.bytes_out = Some(written.file_size);
        if self.keeps_small(&hops) && is_small(written.file_size) {
            summary.output = Some(Self::inline(&written, self.app.job.output.as_deref())?);
            return Ok(Finished { summary, ..Finished::default() });
        }
        let named = match named {
            Some(named) => named,
            None => self.reserve(self.naming(&work, ext)).await?,
        };
        let says = Says { flows: flows_of(&hops, &work.flows), hops, ..Says::default() };
        let made = self.publish(named, written, says).await?;
        summary.outputs.push(made.payload.path.clone());
        Ok(Finished { summary, next: made.deliveries, ..Finished::default() })
    }

    /// Runs the program to its end when it is its turn; what that of a submitted job says meanwhile is kept as its progress.
    pub(super) async fn run_program(&self, spec: ProgramSpec, turn: Turn, slot: &mut Slot) -> Result<Ended> {
        let (progress, on_line) = match self.is_submitted() {
            true => Some(Progress::begin(&self.ctx, self.delivery.id)).unzip(),
            false => (None, None),
        };
        let run = self.ctx.process.guard.begin(spec, on_line, turn.behind()).await?;
        slot.turn(run.handle()).await;
        let ended = run.end(self.lease.cancel()).await;
        if let Some(progress) = progress {
            progress.end().await;
        }
        ended
    }

    pub(super) fn what_to_work_on(&self) -> Result<Work> {
        let source = self.reads()?;
        if self.delivery.kind == Kind::Job {
            let job = JobPayload::of(&self.delivery)?;
            return Ok(Work { source, type_name: job.type_name, date: job.date, flows: job.flows });
        }
        let source = source.ok_or_else(|| Error::internal("a delivery of a file has none"))?;
        Ok(Work {
            type_name: self.app.type_name.clone().unwrap_or_else(|| source.name.type_name.clone()),
            date: source.name.date,
            flows: source.flows.clone(),
            source: Some(source),
        })
    }

    pub(super) fn ext(&self, work: &Work) -> String {
        let inputs = work.source.as_ref().map(|source| source.name.ext.clone());
        let said = self.app.job.output.as_deref().filter(|_| self.delivery.kind == Kind::Job);
        let said = said.and_then(media::extension).map(str::to_owned);
        self.app.ext.clone().or(said).or(inputs).unwrap_or_else(|| "txt".to_owned())
    }

    pub(super) fn naming(&self, work: &Work, ext: String) -> Naming {
        match &work.source {
            Some(source) => naming(&self.app, &source.name, ext),
            None => Naming {
                slot: OUT.into(),
                place: Place::Data(self.app.folder.clone()),
                app: self.app.name.clone(),
                type_name: work.type_name.clone(),
                date: work.date,
                wanted: Some(1),
                ext,
                stem: None,
            },
        }
    }

    /// Makes the input, manifest, configuration and output ready, off the async threads.
    async fn prepare(&self, program: &Program, work: &Work, ext: String) -> Result<Files> {
        let (data, holder) = (self.ctx.project.data.clone(), self.ctx.process.holder.clone());
        let (payload, inline) = match work.source.clone().map(|source| source.from) {
            Some(From::File(payload)) => (Some(payload), None),
            Some(From::Inline(inline)) => (None, Some(inline)),
            None => (None, None),
        };
        if let Some(payload) = &payload {
            self.ctx.may_read(payload).await?;
        }
        let output = program.output;
        let config = self.configuration();
        blocking_for(work.bytes(), move || {
            let input = payload.as_ref().map(|p| checked_input(&data, &holder, p)).transpose()?;
            let (input, checked) = input.unzip();
            let given = inline.map(|inline| small(data.draft(&holder, &inline.ext)?, &inline.bytes));
            // Beside a file that is where it was published lies its manifest; else the program gets a copy.
            let beside = input.as_ref().and_then(|input| input.manifest_path()).map(PathBuf::from);
            let manifest = match &payload {
                Some(p) if beside.is_none() => {
                    Some(small(data.draft(&holder, "json")?, p.manifest.to_json().as_bytes())?)
                }
                _ => None,
            };
            let config = match config {
                Some(value) => Some(small(data.draft(&holder, "json")?, value.to_string().as_bytes())?),
                None => None,
            };
            let output = match output {
                Output::None => None,
                Output::Stdout => Some(data.draft(&holder, &ext)?.counting(rows_of(&ext))),
                Output::File => Some(data.draft_path(&holder, &ext)?.counting(rows_of(&ext))),
            };
            Ok(Files { input, given: given.transpose()?, checked, beside, manifest, config, output })
        })
        .await
    }

    pub(super) fn spec(
        &self,
        program: &Program,
        work: &Work,
        sequence: Option<u32>,
        files: &mut Files,
    ) -> Result<ProgramSpec> {
        let input_path = files.input_path().map(Path::to_owned);
        let manifest = match (&files.manifest, &files.beside) {
            (Some(draft), _) => draft.path().to_owned(),
            (None, Some(beside)) => beside.clone(),
            (None, None) => PathBuf::new(),
        };
        let values = Placeholders {
            input: input_path.clone().unwrap_or_default().into(),
            output: files.output.as_ref().map(|d| d.path().into()).unwrap_or_default(),
            manifest: manifest.into(),
            config: files.config.as_ref().map(|d| d.path().into()).unwrap_or_default(),
            delivery_id: self.delivery.id.to_string().into(),
            type_name: work.type_name.to_string().into(),
            date: work.date.to_string().into(),
            sequence: sequence.map(|s| format!("{s:03}")).unwrap_or_default().into(),
            fields: match program.arguments().is_empty() {
                true => Map::new(),
                false => match self.configuration() {
                    Some(Value::Object(fields)) => fields,
                    _ => Map::new(),
                },
            },
        };
        let stdin = match (program.input, files.checked.take(), input_path) {
            (Input::Stdin, Some(file), _) => program::Input::File(file),
            (Input::Stdin, None, Some(path)) => {
                program::Input::File(File::open(&path).map_err(|e| Error::io("open", path.display(), e))?)
            }
            _ => program::Input::Null,
        };
        let stdout = match (program.output, &mut files.output) {
            (Output::Stdout, Some(draft)) => program::Output::File(draft.stdio()?),
            _ => program::Output::Null,
        };
        Ok(ProgramSpec {
            words: program.command(&values),
            env: self.environment(&values),
            cwd: self.ctx.config().base.clone(),
            stdin,
            stdout,
            timeout: self.app.timeout,
            grace: Duration::from_millis(SHUTDOWN_GRACE_MS),
            holder: self.ctx.process.holder.clone(),
        })
    }

    /// What the program is told by `{config}`: the app's `with:`, and over it, field by field, what somebody who submitted a
    /// job asks for.
    fn configuration(&self) -> Option<Value> {
        let (data, with) = (&self.delivery.data, self.app.with.clone());
        let asked = data.get("config").filter(|_| self.delivery.kind == Kind::Job);
        if !self.is_submitted() {
            return with.or_else(|| asked.cloned());
        }
        match (with, asked) {
            (Some(Value::Object(mut fields)), Some(Value::Object(asked))) => {
                fields.extend(asked.iter().map(|(key, value)| (key.clone(), value.clone())));
                Some(Value::Object(fields))
            }
            (with, asked) => asked.cloned().or(with),
        }
    }

    fn environment(&self, values: &Placeholders) -> Vec<(OsString, OsString)> {
        let said: [(&str, OsString); 7] = [
            ("HANDOVER_APP", self.app.name.to_string().into()),
            ("HANDOVER_DELIVERY_ID", values.delivery_id.clone()),
            ("HANDOVER_ATTEMPT", self.delivery.attempts.to_string().into()),
            ("HANDOVER_INPUT", values.input.clone()),
            ("HANDOVER_OUTPUT", values.output.clone()),
            ("HANDOVER_MANIFEST", values.manifest.clone()),
            ("HANDOVER_CONFIG", values.config.clone()),
        ];
        let mut all: Vec<(OsString, OsString)> = said.into_iter().map(|(k, v)| (k.into(), v)).collect();
        if self.is_submitted() {
            // What it says is followed as it says it.
            all.push(("PYTHONUNBUFFERED".into(), "1".into()));
        }
        if let Some(trace) = self.traceparent() {
            all.push(("TRACEPARENT".into(), trace.into()));
        }
        all
    }

    /// What the exit means: 0 done, 65 bad data, 75 later, any other a retry; but with the disk full nothing counts,
    /// neither what the program left nor that it failed.
    pub(super) fn judge(&self, ended: &Ended, full: bool) -> Result<Summary, Box<Failed>> {
        let mut meaning = ended.meaning();
        let then = self.app.job.meaning(ended.how, &mut meaning);
        if ended.how == How::TimedOut {
            let timeout = units::format_duration(self.app.timeout);
            meaning.sentence = format!(
                "it ran longer than its timeout of {timeout} and was stopped with all it had started"
            );
        }
        let mut summary = Summary {
            stderr: ended.stderr.clone(),
            exit: Some(meaning.sentence.clone()),
            ..Summary::default()
        };
        // A program may say so of a disk of its own, or only repeat what it was given: it is believed so often, and then it has failed.
        let said_full = self.delivery.snoozes < FULL_BELIEVED_MAX && says_full(&ended.stderr);
        let kind = match meaning.verdict {
            Verdict::Done if full => {
                let error = Error::new(
                    ErrorKind::NotYet,
                    "the disk is full, so what the program wrote is not believed",
                );
                let error = error.hint("make room: it runs again by itself");
                return Err(Box::new(Failed { summary, ..Failed::from(error) }));
            }
            Verdict::Done => {
                summary.exit = None;
                return Ok(summary);
            }
            Verdict::BadData if said_full => ErrorKind::NotYet,
            Verdict::Retry if full || said_full => ErrorKind::NotYet,
            Verdict::BadData => ErrorKind::BadData,
            Verdict::Later => ErrorKind::NotYet,
            Verdict::Retry if ended.how == How::TimedOut => ErrorKind::Timeout,
            Verdict::Retry => ErrorKind::Program,
            Verdict::Cancelled => ErrorKind::Cancelled,
        };
        let last = ended
            .stderr
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .map(|line| format!("; it said: {}", line.trim()));
        let silent = matches!(ended.how, How::Exit(_)).then(|| "; it said nothing on stderr".to_owned());
        let mut error =
            Error::new(kind, format!("{}{}", meaning.sentence, last.or(silent).unwrap_or_default()));
        if kind == ErrorKind::NotYet && meaning.verdict != Verdict::Later {
            error = error.hint("the disk is full: it runs again by itself when there is room");
        }
        let last = kind == ErrorKind::Program && then == Some(Then::Fail);
        Err(Box::new(Failed { summary, last, ..Failed::from(error) }))
    }
}

/// What the output of a program is called whose input has this name.
pub(super) fn naming(app: &App, name: &FileName, ext: String) -> Naming {
    let like = naming_like(name, OUT, Place::Data(app.folder.clone()), &app.name, ext);
    Naming { type_name: app.type_name.clone().unwrap_or(like.type_name), ..like }
}

/// Whether a program said, in the words of strerror(3) for ENOSPC or EDQUOT or by their names, that it had no room.
fn says_full(stderr: &str) -> bool {
    ["No space left on device", "Disk quota exceeded", "ENOSPC", "EDQUOT"]
        .iter()
        .any(|words| stderr.contains(words))
}

pub(crate) fn small(mut draft: Draft, bytes: &[u8]) -> Result<Draft> {
    draft
        .write_all(bytes)
        .and_then(|()| draft.flush())
        .map_err(|e| Error::io("write", draft.path().display(), e))?;
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use super::says_full;

    #[test]
    fn what_programs_say_of_a_full_disk_is_known() {
        assert!(says_full("cat: write error: No space left on device\n"));
        assert!(says_full("Error: ENOSPC: no space left on device, write"));
        assert!(!says_full("row 2: no space left between the words\n"));
    }
}
