//! What a delivery holds: its file's manifest, checked, and the beginning of its data; the record or job; the rows that were
//! rejected, with their reasons.

use super::super::Wrong;
use super::super::shown::{self, Cut};
use super::one::{pretty, result_text};
use handover_core::{DeliveryId, Error, Kind};
use handover_runtime::Project;
use handover_runtime::operations::facts::{Facts, Role};
use handover_runtime::operations::preview::{
    CHECKED_MAX_BYTES, Preview, Rejected, Stored, Verdict, rejected,
};
use handover_runtime::operations::show::Shown;
use serde_json::Value;
use std::io::Read as _;
use tokio::sync::OwnedSemaphorePermit;

/// The largest report that is read.
const REPORT_MAX_BYTES: u64 = 1024 * 1024;
/// So many of its counts are shown.
const COUNTS_MAX: usize = 30;
/// So much of a cell is shown.
const CELL_MAX_CHARS: usize = 120;

/// What is on the page of it.
#[derive(Debug, Default)]
pub(super) struct Data {
    /// Of a file: its manifest.
    pub(super) manifest: Option<Cut>,
    pub(super) verdict: Option<Word>,
    /// Whether the checksum can be asked for.
    pub(super) checkable: bool,
    /// Of a record or job: what it holds.
    pub(super) value: Option<Cut>,
    pub(super) preview: Option<Shape>,
    /// What is kept in the row of what came of it.
    pub(super) output: Option<Cut>,
    pub(super) rejected: Option<Rejects>,
    pub(super) report: Option<Report>,
}

/// The verdict of a check.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) bad: bool,
    pub(super) text: String,
}

/// A preview as the page has it.
#[derive(Debug)]
pub(super) enum Shape {
    Table { header: Vec<String>, rows: Vec<Vec<String>>, more: bool },
    Records { records: Vec<String>, more: bool },
    Text { text: String, more: bool },
    Word(String),
}

/// Rejected rows.
#[derive(Debug)]
pub(super) struct Rejects {
    pub(super) count: Option<String>,
    pub(super) rows: Vec<Rejected>,
    /// The delivery whose file has all of them.
    pub(super) all: Option<DeliveryId>,
}

/// What a report counted.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) id: Option<DeliveryId>,
    pub(super) refused: bool,
    pub(super) counts: Vec<(String, String, String)>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) data: Data,
    pub(super) has_file: bool,
}

/// Reads it; with a place for reading whole files the checksum is computed, and `sees_work` says whether the visitor may see what
/// the app made.
pub(super) async fn gather(
    project: &Project,
    shown: &Shown,
    place: Option<OwnedSemaphorePermit>,
    sees_work: bool,
) -> Result<Gathered, Wrong> {
    let (project, shown) = (project.clone(), shown.clone());
    let read = tokio::task::spawn_blocking(move || gathered(&project, &shown, place.is_some(), sees_work));
    Ok(read.await.map_err(|e| Error::internal("reading a delivery broke off").because(e))?)
}

fn gathered(project: &Project, shown: &Shown, checksum: bool, sees_work: bool) -> Gathered {
    let delivery = &shown.delivery;
    let facts = Facts::of(delivery);
    let mut gathered = Gathered::default();
    let data = &mut gathered.data;
    match (facts.role, &facts.path) {
        (Role::Arrival, _) => data.value = Some(shown::cut(&pretty(&delivery.data), shown::TEXT_MAX_CHARS)),
        (_, Some(path)) => {
            data.manifest = Some(shown::cut(&pretty(&delivery.data), shown::TEXT_MAX_CHARS));
            match Stored::find(project, path) {
                Ok(stored) => {
                    gathered.has_file = true;
                    data.checkable = stored.size() <= CHECKED_MAX_BYTES;
                    let verdict = stored.check(checksum && data.checkable);
                    data.verdict = Some(word(&verdict, &stored));
                    data.preview = Some(shape(stored.preview()));
                }
                Err(_) => {
                    let text = "the file is neither where it was published nor in the archive".to_owned();
                    data.verdict = Some(Word { bad: true, text });
                }
            }
        }
        (_, None) => data.value = Some(shown::cut(&pretty(&delivery.data), shown::TEXT_MAX_CHARS)),
    }
    if sees_work {
        let output = delivery
            .result
            .as_ref()
            .and_then(|result| result.pointer("/output/text"))
            .and_then(Value::as_str);
        data.output = output.map(|text| shown::cut(text, shown::TEXT_MAX_CHARS));
        data.rejected = rejects(project, shown);
        data.report = report(project, shown);
    }
    gathered
}

fn word(verdict: &Verdict, stored: &Stored) -> Word {
    let place = if stored.is_archived() { " (in the archive)" } else { "" };
    match verdict {
        Verdict::Size => Word { bad: false, text: format!("the size agrees with the file{place}") },
        Verdict::Whole => Word { bad: false, text: format!("size and checksum agree with the file{place}") },
        Verdict::Differs(how) => Word { bad: true, text: how.clone() },
    }
}

/// A preview with its cells cut to what a line has room for.
fn shape(preview: Preview) -> Shape {
    let cells = |row: Vec<String>| row.iter().map(|cell| shown::cut(cell, CELL_MAX_CHARS).text).collect();
    match preview {
        Preview::Table { header, rows, more } => {
            Shape::Table { header: cells(header), rows: rows.into_iter().map(cells).collect(), more }
        }
        Preview::Records { records, more } => {
            let records = records.iter().map(|record| shown::cut(record, 500).text).collect();
            Shape::Records { records, more }
        }
        Preview::Text { text, more } => Shape::Text { text, more },
        Preview::Binary(size) => Shape::Word(format!("It is no text: {}.", shown::count(size, "byte"))),
        Preview::Empty => Shape::Word("It is empty.".to_owned()),
        Preview::Gone(why) => Shape::Word(why),
    }
}

/// The rows that were rejected, from the file that holds them; those of a small job are kept in its row, and shown whole there.
fn rejects(project: &Project, shown: &Shown) -> Option<Rejects> {
    let delivery = &shown.delivery;
    let number =
        |key: &str| delivery.result.as_ref().and_then(|result| result.get(key)).and_then(Value::as_u64);
    let count = number("rows_rejected").filter(|count| *count > 0).map(shown::number);
    let file = shown.outputs.iter().find(|file| file.facts.role == Role::RejectedRows);
    let Some(file) = file else {
        return count.map(|count| Rejects { count: Some(count), rows: Vec::new(), all: None });
    };
    let preview = Stored::find(project, file.facts.path.as_deref()?).ok().map(|stored| stored.preview());
    let mut rows = preview.as_ref().map(rejected).unwrap_or_default();
    for row in &mut rows {
        row.reason = shown::cut(&row.reason, 300).text;
        row.field = shown::cut(&row.field, CELL_MAX_CHARS).text;
    }
    let count = count.or_else(|| file.facts.rows.map(shown::number));
    Some(Rejects { count, rows, all: file.deliveries.first().copied() })
}

/// What the report about it counted, by field.
fn report(project: &Project, shown: &Shown) -> Option<Report> {
    let delivery = &shown.delivery;
    let kept = delivery.result.as_ref().and_then(|result| result.get("report")).cloned();
    let file = shown.outputs.iter().find(|file| file.facts.role == Role::Report);
    let read = || -> Option<Value> {
        let stored = Stored::find(project, file?.facts.path.as_deref()?).ok()?;
        let mut text = Vec::new();
        stored.open().ok()?.take(REPORT_MAX_BYTES).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    };
    let report = kept.or_else(read)?;
    let mut counts = Vec::new();
    for (field, kinds) in report.get("by_field")?.as_object()? {
        for (kind, count) in kinds.as_object().into_iter().flatten() {
            if counts.len() < COUNTS_MAX {
                let count = count.as_u64().map(shown::number).unwrap_or_default();
                counts.push((shown::cut(field, CELL_MAX_CHARS).text, kind.clone(), count));
            }
        }
    }
    let refused = report.get("refused").and_then(Value::as_bool).unwrap_or(false);
    Some(Report { id: file.and_then(|file| file.deliveries.first().copied()), refused, counts })
}

/// A part of a delivery as it stands, whole.
pub(super) fn whole(shown: &handover_core::Delivery, part: &str) -> Option<String> {
    match part {
        "error" => shown.last_error.clone(),
        "stderr" => result_text(shown, "stderr").map(str::to_owned),
        "output" => shown.result.as_ref()?.pointer("/output/text")?.as_str().map(str::to_owned),
        "result" => shown.result.as_ref().map(pretty),
        "data" if shown.kind == Kind::Record => Some(shown.data.to_string()),
        "data" => Some(pretty(&shown.data)),
        _ => None,
    }
}
