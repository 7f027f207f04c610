//! `handover push`: records in bulk.

use super::{Start, actor, block_on, length, parsed, shown};
use crate::printer::{Failure, Outcome, Printer};
use clap::ValueEnum;
use handover_core::{AppName, Error, ErrorKind, Result, id};
use handover_database::bulk::{self, Bad, Cut, Done, Push, Unlike};
use handover_database::record::Shape;
use handover_database::source::Source;
use handover_file::atomic::AtomicFile;
use handover_records::{FileKind, Format};
use handover_runtime::Project;
use handover_runtime::operations::{records, times};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// What the names of Handover's own loads begin with.
const OWN_KEYS: [&str; 2] = ["split:", "api:"];
/// So many bad lines are named one by one.
const NAMED_MAX: u64 = 100;

const HELP: &str = "\
Each line of JSON becomes a record that waits for TO: in the table data_staging, where TO finds it by `handover pull` or \
by SQL. A table becomes one record for each row, an object of texts, named by its header. Plain, gzip or zstd, of any size: \
a thousand records are committed at a time.

A named file is known by its content: pushed again after it was cut, it goes on where it stopped, and one that is in is \
not taken twice (--again takes it all the same). What comes on standard input has no such name; give it one with --key. \
With --whole nothing is seen before everything is in.

Examples:
  handover push --from shop --to billing orders.ndjson
  psql -c 'copy …' | handover push --from erp --to billing --format csv --key orders-2025-11-24
  handover push --from shop --to billing --skip --rejects bad.ndjson --dedup order_id < orders.ndjson";

/// The arguments of `push`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The file; `-` is standard input
    #[arg(default_value = "-", hide_default_value = true)]
    file: PathBuf,
    /// The app that hands them over
    #[arg(long, value_name = "APP", value_parser = parsed::<AppName>)]
    from: AppName,
    /// The app that gets them
    #[arg(long, value_name = "APP", value_parser = parsed::<AppName>)]
    to: AppName,
    /// How they are written [default: by the file's extension, else ndjson]
    #[arg(long, value_enum)]
    format: Option<As>,
    /// End at the first bad line; what was before it is in (this is the default)
    #[arg(long, conflicts_with = "skip")]
    stop: bool,
    /// Pass bad lines over, name and count them
    #[arg(long)]
    skip: bool,
    /// Write the lines that were passed over to this file, with their numbers and reasons; after a cut those from before too
    #[arg(long, value_name = "FILE", requires = "skip")]
    rejects: Option<PathBuf>,
    /// The load's name, by which it goes on after a cut [default: of a named file its content]
    #[arg(long)]
    key: Option<String>,
    /// Push a file anew though it was pushed before
    #[arg(long, conflicts_with = "key")]
    again: bool,
    /// All at once at the end, or not at all
    #[arg(long)]
    whole: bool,
    /// A second record with the same value in this field is the same record; `a.b` is b in a
    #[arg(long, value_name = "FIELD")]
    dedup: Option<String>,
    /// Records with the same value in this field are worked on one after the other
    #[arg(long, value_name = "FIELD")]
    order: Option<String>,
    /// Higher goes first
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
    /// Not to be worked on before so long from now: 30s, 2h
    #[arg(long, value_name = "TIME", value_parser = length)]
    delay: Option<Duration>,
    /// The flow that they belong to
    #[arg(long)]
    flow: Option<String>,
    /// Take them though the configuration declares no app TO
    #[arg(long)]
    accept_unknown: bool,
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum As {
    /// One JSON value a line.
    Ndjson,
    /// One JSON array.
    Json,
    /// A table with a header.
    Csv,
}

impl From<As> for Format {
    fn from(given: As) -> Self {
        match given {
            As::Ndjson => Self::Ndjson,
            As::Json => Self::Json,
            As::Csv => Self::Csv,
        }
    }
}

/// Pushes.
pub(crate) fn run(start: &Start, args: Args) -> Outcome {
    let project = start.project()?;
    records::require_target(&project, args.to.as_str(), args.accept_unknown)?;
    if let Some(key) = args.key.as_deref().filter(|key| OWN_KEYS.iter().any(|own| key.starts_with(own))) {
        return Err(Error::config(format!("the key {key:?} begins as those of Handover's own loads do"))
            .hint("choose another: `split:` is for files that become records, `api:` for loads over the network")
            .into());
    }
    let (input, content) = open(&args.file)?;
    let source = Source::open(input, format(&args))?;
    let push = plan(&project, &args, content)?;
    let mut rejects = args.rejects.as_deref().map(AtomicFile::create).transpose()?;
    let (printer, mut named) = (start.printer, 0);
    let mut bad = |line: &Bad| -> Result<()> {
        named += 1;
        if named <= NAMED_MAX {
            printer.talk(format_args!("skipped: {} {}: {}", line.unit, line.number, line.refused.why));
        }
        match &mut rejects {
            None => Ok(()),
            Some(file) => {
                let text =
                    json!({ line.unit: line.number, "error": line.refused.why, "record": line.refused.text });
                writeln!(file, "{text}").map_err(|e| Error::io("write", "the rejects", e))
            }
        }
    };
    let pushed = block_on(bulk::push(project.ledger.as_ref(), &actor(), source, push.clone(), &mut bad))?;
    if named > NAMED_MAX {
        printer.talk(format_args!("skipped: {} more lines", times::number(named - NAMED_MAX)));
    }
    match pushed {
        Ok(done) => {
            // Where nothing was read, the file is still that of the push that read it.
            if let Some(file) = rejects.filter(|_| !done.ended_before) {
                file.commit()?;
            }
            said(printer, &args, &done);
            Ok(ExitCode::SUCCESS)
        }
        Err(cut) => Err(cut_short(&push, cut)),
    }
}

fn plan(project: &Project, args: &Args, content: Option<String>) -> Result<Push> {
    let now = project.clock.now();
    let run_at = args.delay.map(|delay| now.checked_add(delay)).transpose();
    let run_at = run_at.map_err(|e| Error::config("the delay is too long").because(e))?;
    let attempts = project.config.app(args.to.as_str()).map(|app| app.max_attempts());
    let usual = Shape::new(args.from.as_str(), args.to.as_str());
    let shape = Shape {
        flow: args.flow.clone(),
        priority: args.priority,
        run_at,
        max_attempts: attempts.unwrap_or(usual.max_attempts),
        dedup: args.dedup.clone(),
        order: args.order.clone(),
        ..usual
    };
    let named = match (&args.key, content.filter(|_| !args.again)) {
        (Some(key), _) if key.trim().is_empty() => return Err(Error::config("the key is empty")),
        (Some(key), _) => Some(key.clone()),
        (None, Some(content)) => Some(format!("{}-{}-{content}", args.from, args.to)),
        (None, None) => None,
    };
    let key = named.or_else(|| args.whole.then(|| format!("{}-{}-{}", args.from, args.to, id::random_hex())));
    Ok(Push { shape, key, whole: args.whole, skip: args.skip })
}

fn format(args: &Args) -> Format {
    let by_name = || {
        let name = args.file.file_name()?.to_str()?;
        FileKind::of_name(name).map(|kind| kind.format)
    };
    args.format.map(Format::from).or_else(by_name).unwrap_or(Format::Ndjson)
}

/// Opens the input; of a regular file with the hash of its content.
fn open(file: &Path) -> Result<(Box<dyn Read + Send>, Option<String>)> {
    if file == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let name = shown(file);
    let failed = |e| Error::io("read", &name, e);
    let mut opened = File::open(file).map_err(|e| {
        let missing = e.kind() == io::ErrorKind::NotFound;
        if missing { failed(e).hint("check the path; `-` is standard input") } else { failed(e) }
    })?;
    let meta = opened.metadata().map_err(failed)?;
    if meta.is_dir() {
        return Err(Error::config("this is a folder, and a file is wanted").on(&name));
    }
    if !meta.is_file() {
        return Ok((Box::new(opened), None));
    }
    let mut hash = Sha256::new();
    let mut block = vec![0; 256 * 1024];
    loop {
        match opened.read(&mut block).map_err(failed)? {
            0 => break,
            count => hash.update(&block[..count]),
        }
    }
    opened.rewind().map_err(failed)?;
    let hex: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    Ok((Box::new(opened), Some(hex)))
}

fn said(printer: Printer, args: &Args, done: &Done) {
    if printer.is_json() {
        printer.json(done);
        return;
    }
    let to = &args.to;
    if done.ended_before {
        let all = times::count(done.already, "record");
        printer.data(format_args!("0 records for {to}: this was pushed before, with {all}"));
        printer.talk("--again pushes a file anew; another --key is another load");
        return;
    }
    let new = done.records.saturating_sub(done.duplicates);
    printer.data(format_args!("{} for {to}", times::count(new, "record")));
    if done.already > 0 {
        printer.talk(format_args!(
            "{} were in already, from an earlier push that was cut",
            times::number(done.already)
        ));
    }
    if done.duplicates > 0 {
        printer.talk(format_args!("{} were known by their dedup key", times::number(done.duplicates)));
    }
    if done.skipped > 0 {
        printer.talk(format_args!("{} skipped: bad lines", times::number(done.skipped)));
    }
}

/// What a key was begun with, and this push is not, or the other way round.
fn begun_otherwise(key: &str, whole: bool) -> Error {
    let (was, is, goes_on) = match whole {
        true => ("without --whole", "with it", "leaving --whole out"),
        false => ("with --whole", "without it", "--whole"),
    };
    Error::config(format!("this load was begun {was}, and this push is {is}"))
        .on(key)
        .hint(format!("nothing was done: {goes_on} goes on with it, another --key begins anew"))
}

/// The error with what is in, and how it goes on.
fn cut_short(push: &Push, cut: Cut) -> Failure {
    let Cut { error, done, refused } = cut;
    match (refused, &push.key) {
        (Some(Unlike::Way), Some(key)) => return begun_otherwise(key, push.whole).into(),
        (Some(_), _) => return error.into(),
        (None, _) => {}
    }
    let count = done.already + done.records;
    let records = times::count(count, "record");
    let are = if count == 1 { "is" } else { "are" };
    let bad = error.kind() == ErrorKind::BadData;
    let hint = match (&push.key, push.whole) {
        (_, true) if bad => {
            "nothing of it is in: mend it and push it again, or pass bad lines over with --skip".to_owned()
        }
        (Some(key), true) => {
            format!("nothing of it is seen yet: push the same with --whole --key {key} to go on")
        }
        (Some(key), false) if bad => format!(
            "{records} before it {are} in: mend it and push the same with --key {key} to go on, or pass bad lines over \
             with --skip"
        ),
        (Some(key), false) => format!("{records} {are} in: push the same with --key {key} to go on"),
        (None, _) if bad => format!(
            "{records} before it {are} in, and what follows is not; --skip passes bad lines over, --key NAME lets a push \
             go on where it stopped"
        ),
        (None, _) => format!("{records} {are} in; --key NAME lets a push go on where it stopped"),
    };
    let hint = match error.hint_text() {
        Some(own) if !bad => format!("{own}; {hint}"),
        _ => hint,
    };
    error.hint(hint).into()
}
