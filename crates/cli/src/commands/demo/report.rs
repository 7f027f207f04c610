//! What came of the demo: rows by app, summed from the ledger; where things lie; what to try next.

use super::super::init::quoted;
use super::shown;
use crate::printer::Printer;
use crate::table::{Column, Table};
use handover_core::units::format_size;
use handover_core::{AppName, Delivery, DeliveryId, Result, Status};
use handover_ledger::Filter;
use handover_runtime::Project;
use handover_runtime::operations::times::{count, number};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// So many deliveries are read at a time.
const PAGE: usize = 500;
/// The day with the most rejected rows: a blizzard. Its files serve as examples.
const DAY: &str = "2013-02-09";

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    folder: PathBuf,
    apps: Vec<Sums>,
    /// Rows that came in, went out at the end, and were rejected on the way.
    rows_in: u64,
    rows_out: u64,
    rows_rejected: u64,
    /// Whether no row is missing, at any app.
    pub(super) every_row_accounted_for: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    examples: Vec<Example>,
    /// The delivery that was the exporter's example.
    example_delivery: Option<DeliveryId>,
}

/// What one app did.
#[derive(Debug, Default, Serialize)]
struct Sums {
    app: String,
    files: u64,
    failed: u64,
    rows_in: u64,
    rows_out: u64,
    rows_rejected: u64,
    rows_filtered: u64,
    bytes: u64,
}

/// A file to look at.
#[derive(Debug, Serialize)]
struct Example {
    what: &'static str,
    path: String,
}

/// Sums up what the ledger says of these apps, replays left out, and finds the example files.
pub(super) async fn gather(project: &Project, dir: &Path, apps: &[AppName]) -> Result<Report> {
    let mut sums = Vec::new();
    let mut example = None;
    for app in apps {
        let of_app = deliveries(project, app).await?;
        example = of_app.iter().find(|d| d.data.to_string().contains(DAY)).map(|d| d.id).or(example);
        sums.push(sum(app, &of_app));
    }
    let first = sums.first();
    let (rows_in, rows_out) = (first.map_or(0, |s| s.rows_in), sums.last().map_or(0, |s| s.rows_out));
    let rows_rejected = sums.iter().map(|s| s.rows_rejected).sum();
    let rows_filtered: u64 = sums.iter().map(|s| s.rows_filtered).sum();
    let each = sums.iter().all(|s| s.rows_in == s.rows_out + s.rows_rejected + s.rows_filtered);
    let handed_on = sums.windows(2).all(|pair| pair[0].rows_out == pair[1].rows_in);
    Ok(Report {
        folder: dir.to_owned(),
        apps: sums,
        rows_in,
        rows_out,
        rows_rejected,
        every_row_accounted_for: each && handed_on && rows_in == rows_out + rows_rejected + rows_filtered,
        examples: examples(dir),
        example_delivery: example,
    })
}

/// All that came to an app, but for replays.
async fn deliveries(project: &Project, app: &AppName) -> Result<Vec<Delivery>> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let filter =
            Filter { app: Some(app.to_string()), before, archived: true, limit: PAGE, ..Filter::default() };
        let page = project.ledger.list(filter).await?;
        let Some(last) = page.last() else { return Ok(all) };
        before = Some(last.id);
        all.extend(
            page.into_iter()
                .filter(|d| d.replay_of.is_none() && d.data.get("replay_of").is_none_or(|r| r.is_null())),
        );
    }
}

fn sum(app: &AppName, deliveries: &[Delivery]) -> Sums {
    let mut sums = Sums { app: app.to_string(), ..Sums::default() };
    for delivery in deliveries {
        if delivery.status == Status::Failed {
            sums.failed += 1;
        }
        let Some(result) = delivery.result.as_ref().filter(|_| delivery.status != Status::Failed) else {
            continue;
        };
        let of = |key: &str| result.get(key).and_then(serde_json::Value::as_u64).unwrap_or(0);
        // An arrival that was skipped as known made nothing.
        sums.files += u64::from(result.get("outputs").is_some());
        sums.rows_in += of("rows_in");
        sums.rows_out += of("rows_out");
        sums.rows_rejected += of("rows_rejected");
        sums.rows_filtered += of("rows_filtered");
        sums.bytes += of("bytes_out");
    }
    sums
}

/// The files of one day, those of them that are there.
fn examples(dir: &Path) -> Vec<Example> {
    [
        ("a checkpoint", format!("data/validated/{DAY}/validator_flights_{DAY}_001.csv")),
        ("its manifest", format!("data/validated/{DAY}/validator_flights_{DAY}_001.meta.json")),
        (
            "rejected rows, with reasons",
            format!("data/errors/{DAY}/validator_flights-rejected_{DAY}_001.csv"),
        ),
        ("a report", format!("data/reports/{DAY}/validator_report_{DAY}_001.json")),
        ("an export", format!("outgoing/file-exporter_flights_{DAY}_001.csv.gz")),
    ]
    .into_iter()
    .filter(|(_, path)| dir.join(path).exists())
    .map(|(what, path)| Example { what, path })
    .collect()
}

impl Report {
    /// Says it to a person.
    pub(super) fn say(&self, printer: Printer, nothing_new: bool) {
        if nothing_new {
            printer.data("What this folder's flow has done so far:\n");
        }
        printer.data(self.table());
        let (all, out, rejected) = (number(self.rows_in), number(self.rows_out), number(self.rows_rejected));
        if self.every_row_accounted_for {
            printer.data(format_args!(
                "\n{all} rows in = {out} out + {rejected} rejected: every row is accounted for."
            ));
        } else {
            printer.data(format_args!("\n{all} rows in, {out} out, {rejected} rejected: not all is through. `handover status` shows where it stands, and `handover run --once` goes on."));
        }
        if !self.examples.is_empty() {
            printer.data(format_args!("\nThe day of the blizzard, {DAY}, in {}:", shown(&self.folder)));
            for example in &self.examples {
                printer.data(format_args!("  {:28} {}", example.what, example.path));
            }
        }
        self.say_next(printer);
    }

    fn table(&self) -> Table {
        let failures = self.apps.iter().any(|app| app.failed > 0);
        let mut columns = vec![Column::left("app"), Column::right("files")];
        if failures {
            columns.push(Column::right("failed"));
        }
        columns.extend(["rows in", "rows out", "rejected", "written"].map(Column::right));
        let mut table = Table::new(&columns);
        for app in &self.apps {
            let mut cells = vec![app.app.clone(), number(app.files)];
            if failures {
                cells.push(number(app.failed));
            }
            cells.extend([
                number(app.rows_in),
                number(app.rows_out),
                number(app.rows_rejected),
                format_size(app.bytes),
            ]);
            table.row(cells);
        }
        table
    }

    fn say_next(&self, printer: Printer) {
        printer.data(format_args!("\nTo try next:\n  cd {}", quoted(&shown(&self.folder))));
        let mut lines = vec![("handover status".to_owned(), "what each app did")];
        let rejected = self.examples.iter().find(|example| example.what.starts_with("rejected"));
        lines.extend(
            rejected.map(|example| (format!("handover why {}", example.path), "why these rows were refused")),
        );
        if let Some(id) = self.example_delivery {
            lines.push((
                format!("handover show {id}"),
                "one delivery: its history, where it came from, what came of it",
            ));
            lines.push((
                format!("handover replay {id} && handover run --once"),
                "run it again; nothing of the past changes",
            ));
        }
        lines.push(("handover verify".to_owned(), "every file against its manifest"));
        lines.push((
            "handover keys create me --scope admin && handover run".to_owned(),
            "log in with the key it prints, and see the flow: http://127.0.0.1:8080/",
        ));
        for (command, what) in lines {
            if command.len() > 40 {
                printer.data(format_args!("  {command}\n  {:40} {what}", ""))
            } else {
                printer.data(format_args!("  {command:40} {what}"))
            }
        }
        let files = count(self.apps.first().map_or(0, |app| app.files), "file");
        printer.data(format_args!(
            "\nYour own program goes in by one line of {}: in place of awk under `on-time:` write\n    run: python3 your-script.py\n\
             (it reads CSV on stdin and prints CSV), then replay all {files} through it:\n  \
             handover replay --flow flights --since 1d && handover run --once",
            handover_runtime::config::FILE_NAME
        ));
    }
}
