//! Records that go on by file become one file: NDJSON, or a table where the app that made them has `ext: csv`.
//!
//! The file is the app's that made the records: in its folder, under its name, with a manifest as any other. Its type and
//! its date are those of the file that its first record came from ([`Context::origin`]). Records of different apps or
//! flows become different files.
//!
//! Invariants: the file is published before its records complete; that they complete and that the file is handed over is one
//! transaction, for all of them or for none; a file has as many rows as it took records.
//!
//! On a crash, or where a lease was lost, the records are gathered again. A name belongs to the first record of its file:
//! gathered again from the same one on, they come to the same name, and what stands there is replaced; where another is
//! the first now, what was published for the former is withdrawn before.

use super::naming::{Naming, Place};
use super::outputs::{Maker, Named, Output, Right, Says};
use super::records::Origin;
use super::rows::{blocking, rows_of};
use super::settle::verdict;
use super::{Attempt, Summary, said, tell_failure};
use crate::config::{App, By, Hop};
use crate::context::Context;
use crate::engine::events::Event;
use crate::meter::Ended;
use crate::traces::{self, SpanKind};
use handover_core::{AppName, Error, ErrorKind, Json, Result, fault};
use handover_file::draft::Written;
use handover_file::layout::default_folder;
use handover_ledger::{Answer, Answers, Outcome, Queue, Reservation};
use handover_records::csv::{CellWriter, Quoting};
use handover_records::{Dialect, FileKind, Format};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;
use tracing::{error, info, warn};

/// Which output of its first record a gathered file is.
const SLOT: &str = "gathered";
/// Who made records whose source is no app's name.
const NOBODY: &str = "records";

/// Makes files of claimed records, and hands them over. Nothing escapes: what goes wrong is said, and the records are
/// tried again.
pub(crate) async fn gather(ctx: &Arc<Context>, to: &Arc<App>, records: Vec<Attempt>, size: u64) {
    for group in groups(records, size) {
        let batch = Batch { ctx, to, records: group };
        if let Err(e) = batch.hand_over().await {
            batch.failed(e).await;
        }
    }
}

/// Records of one app and one flow, no larger together than a file is to be, in their order.
fn groups(records: Vec<Attempt>, size: u64) -> Vec<Vec<Attempt>> {
    let mut groups: Vec<(u64, Vec<Attempt>)> = Vec::new();
    let mut open: HashMap<(String, Option<String>), usize> = HashMap::new();
    for record in records {
        let bytes = record.delivery.data.to_string().len() as u64 + 1;
        let key = (record.delivery.source_app.clone(), record.delivery.flow.clone());
        match open.get(&key).and_then(|nth| groups.get_mut(*nth)).filter(|(so_far, _)| so_far + bytes <= size)
        {
            Some((so_far, group)) => {
                *so_far += bytes;
                group.push(record);
            }
            None => {
                open.insert(key, groups.len());
                groups.push((bytes, vec![record]));
            }
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// Records that become one file.
struct Batch<'a> {
    ctx: &'a Arc<Context>,
    to: &'a Arc<App>,
    /// At least one.
    records: Vec<Attempt>,
}

/// The app that made them, as far as it is one.
struct MadeBy {
    name: AppName,
    folder: String,
    ext: String,
}

impl Batch<'_> {
    fn made_by(&self) -> Result<(Option<Arc<App>>, MadeBy)> {
        let source = self.records[0].delivery.source_app.as_str();
        let app = self.ctx.config().app(source).cloned();
        let name = AppName::new(source).or_else(|_| AppName::new(NOBODY))?;
        let folder = match &app {
            Some(app) => app.folder.clone(),
            None => default_folder(name.as_str()).to_owned(),
        };
        let gathers = |ext: &&String| {
            FileKind::of_ext(ext).is_some_and(|kind| kind.format != Format::Json && kind.ext() == **ext)
        };
        let ext = app.as_ref().and_then(|app| app.ext.as_ref()).filter(gathers);
        let ext = ext.cloned().unwrap_or_else(|| "ndjson".to_owned());
        Ok((app, MadeBy { name, folder, ext }))
    }

    async fn hand_over(&self) -> Result<()> {
        let first = &self.records[0];
        let (app, by) = self.made_by()?;
        self.withdraw_former(&by.name).await?;
        first.lease.lasts_until(first.delivery.lease_until);
        let right = Right::Claim(&first.held, &first.lease);
        let maker = Maker {
            ctx: self.ctx,
            by: &by.name,
            delivery: &first.delivery,
            trace: first.traceparent(),
            right,
        };
        let Origin { type_name, date } = self.ctx.origin(app.as_deref(), &first.delivery).await?;
        let naming = Naming {
            slot: SLOT.into(),
            place: Place::Data(by.folder.clone()),
            app: by.name.clone(),
            type_name,
            date,
            wanted: None,
            ext: by.ext.clone(),
            stem: None,
        };
        let named = maker.reserve(naming).await?;
        let (written, odd) = self.write(&by.ext).await?;
        let output = maker.publish(named, written, self.says(&by.name, odd.len())).await?;
        fault::point("gather.published")?;
        self.commit(output, odd).await
    }

    fn says(&self, by: &AppName, odd: usize) -> Says {
        let first = &self.records[0].delivery;
        let flows = self.ctx.flows_of(by, first);
        // The link that it goes along, by the flows that have it.
        let hops = self.ctx.routes.next(by, &flows).into_iter();
        let known = hops.filter(|hop| hop.to == self.to.name && hop.by == By::File).flat_map(|hop| hop.flows);
        let known: Vec<String> = known.collect();
        let flows = if known.is_empty() { flows } else { known };
        let mut more = Map::new();
        let last = &self.records[self.records.len() - 1].delivery;
        more.insert("gathered".into(), json!({ "first": first.id.to_string(), "last": last.id.to_string() }));
        Says {
            hops: vec![Hop { to: self.to.name.clone(), flows: flows.clone(), by: By::File }],
            flows,
            rows_rejected: (odd > 0).then_some(odd as u64),
            more,
            row_count: Some((self.records.len() - odd) as u64),
        }
    }

    /// Writes the file. Returns it, and which records could not be rows of it.
    async fn write(&self, ext: &str) -> Result<(Written, Vec<usize>)> {
        let (data, holder) = (self.ctx.project.data.clone(), self.ctx.process.holder.clone());
        let records: Vec<Json> = self.records.iter().map(|record| record.delivery.data.clone()).collect();
        let ext = ext.to_owned();
        blocking(move || {
            let mut draft = data.draft(&holder, &ext)?.counting(rows_of(&ext));
            let (bytes, odd) = match FileKind::of_ext(&ext) {
                Some(FileKind { format: Format::Csv, dialect, .. }) => table(&records, &dialect)?,
                _ => (lines(&records), Vec::new()),
            };
            draft.write_all(&bytes).map_err(|e| Error::io("write", draft.path().display(), e))?;
            let written = draft.finish()?;
            let rows = (records.len() - odd.len()) as u64;
            match written.row_count {
                Some(count) if count != rows => Err(Error::internal(format!(
                    "{rows} records were gathered, and the file has {count} rows"
                ))),
                _ => Ok((written, odd)),
            }
        })
        .await
    }

    /// All records complete, and the file is handed over, or nothing is.
    async fn commit(&self, output: Output, odd: Vec<usize>) -> Result<()> {
        let Output { payload, deliveries } = output;
        let mut next = Some(deliveries);
        let result = json!({ "gathered": payload.path, "file_id": payload.manifest.delivery_id });
        let mut answer = |nth: usize, record: &Attempt| {
            let outcome = if odd.contains(&nth) {
                Outcome::Failed {
                    error: "the record is no object, so it cannot be a row of a table".to_owned(),
                    verdict: handover_ledger::Verdict::Final,
                    result: None,
                }
            } else {
                Outcome::Completed { result: Some(result.clone()), next: next.take().unwrap_or_default() }
            };
            Answer { id: record.delivery.id, outcome }
        };
        let answers = Answers {
            queue: Queue::Records,
            token: self.records[0].held.token.clone(),
            answers: self.records.iter().enumerate().map(|(nth, record)| answer(nth, record)).collect(),
            whole: true,
        };
        self.records.iter().for_each(|record| record.lease.settling());
        self.ctx.project.ledger.answer(answers).await?;
        self.count(&odd);
        self.end_span(None);
        fault::point("gather.committed")?;
        let records = (self.records.len() - odd.len()) as u64;
        info!(app = %self.to.name, "{records} records were gathered into {}", payload.path);
        let by = self.records[0].delivery.source_app.clone();
        let (observer, app) = (&self.ctx.process.observer, self.to.name.clone());
        observer.tell(Event::Gathered { app: app.clone(), by, records, path: payload.path });
        for nth in odd {
            let error = "the record is no object, so it cannot be a row of a table".to_owned();
            let id = self.records[nth].delivery.id;
            observer.tell(Event::Failed { app: app.clone(), id, file: None, error, quarantined: false });
        }
        Ok(())
    }

    /// Sends one span for all: that of the first record, whose trace the file is in.
    fn end_span(&self, error: Option<String>) {
        let project = &self.ctx.project;
        let first = &self.records[0];
        let Some(span) = first.span.as_ref().filter(|span| span.context.sampled) else { return };
        let mut said = traces::about(&first.delivery);
        said.push(("handover.records", self.records.len().into()));
        let name = format!("gather for {}", self.to.name);
        project.tracer.end(span.ended(name, SpanKind::Internal, project.clock.now(), said, error));
    }

    /// Counts the records as what their app took: each is a row, and becomes one of the file.
    fn count(&self, odd: &[usize]) {
        for (nth, record) in self.records.iter().enumerate() {
            let (ended, rows) = match odd.contains(&nth) {
                true => (Ended::Failed, Summary { rows_rejected: Some(1), ..Summary::default() }),
                false => (Ended::Completed, Summary { rows_out: Some(1), ..Summary::default() }),
            };
            record.count(ended, &Summary { rows_in: Some(1), ..rows });
        }
    }

    /// A record that is not the first of its file now, and was when a crash came, has a name, and perhaps a file of which
    /// the ledger knows nothing: both are given up.
    async fn withdraw_former(&self, by: &AppName) -> Result<()> {
        for record in self.records.iter().skip(1) {
            if record.delivery.rescues == 0 && record.delivery.attempts <= 1 && record.delivery.snoozes == 0 {
                continue;
            }
            let ledger = &self.ctx.project.ledger;
            let names = ledger.names_of(record.delivery.id).await?;
            let Some(row) = names.into_iter().find(|row| row.slot == SLOT) else { continue };
            if ledger.get(row.file_id).await?.is_some() {
                continue;
            }
            let reservation = Reservation {
                folder: row.folder.clone(),
                sequence: row.stem.rsplit('_').next().and_then(|text| text.parse().ok()).unwrap_or_default(),
                stem: row.stem,
                file_id: row.file_id,
                reserved_at: record.delivery.created_at,
                fresh: false,
            };
            let naming = Naming {
                slot: SLOT.into(),
                place: Place::Data(String::new()),
                app: by.clone(),
                type_name: handover_core::TypeName::new(NOBODY)?,
                date: self.ctx.today(),
                wanted: None,
                ext: String::new(),
                stem: None,
            };
            let folder = self.ctx.project.data.absolute(&row.folder)?;
            let right = Right::Claim(&record.held, &record.lease);
            let maker = Maker { ctx: self.ctx, by, delivery: &record.delivery, trace: None, right };
            maker.withdraw(&Named { reservation, folder, naming }).await?;
        }
        Ok(())
    }

    /// The file is taken back, and the records are tried again: at once where some of them are not ours any more, else
    /// after a while.
    async fn failed(&self, why: Error) {
        let app = &self.to.name;
        for published in self.records[0].lease.take_published() {
            if let Err(e) = blocking(move || published.take_back()).await {
                warn!(app = %app, "a gathered file cannot be taken back: {e}; it is replaced when its records are gathered again");
            }
        }
        self.records.iter().for_each(|record| record.lease.settling());
        let ledger = &self.ctx.project.ledger;
        let told = if matches!(why.kind(), ErrorKind::Stale | ErrorKind::Cancelled) {
            warn!(app = %app, "late: {why}; the other records are gathered again");
            let held = self.records.iter().map(|record| record.held.clone()).collect();
            ledger.release(held, None).await.map(|_| Vec::new())
        } else {
            let answer = |record: &Attempt| Answer {
                id: record.delivery.id,
                outcome: Outcome::Failed { error: said(&why), verdict: verdict(why.kind()), result: None },
            };
            ledger
                .answer(Answers {
                    queue: Queue::Records,
                    token: self.records[0].held.token.clone(),
                    answers: self.records.iter().map(answer).collect(),
                    whole: false,
                })
                .await
        };
        self.end_span(Some(said(&why)));
        match told {
            Ok(answered) => {
                for (record, answered) in self.records.iter().zip(answered) {
                    if let handover_ledger::Answered::Failed(to) = answered {
                        record.count(
                            Ended::after(to.status),
                            &Summary { rows_in: Some(1), ..Summary::default() },
                        );
                        tell_failure(record, why.kind(), said(&why), to.status, to.run_at);
                    }
                }
            }
            Err(e) => {
                error!(app = %app, "cannot settle {} records: {e}; they are gathered again when their leases end", self.records.len());
            }
        }
    }
}

fn lines(records: &[Json]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        bytes.extend_from_slice(record.line().as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

/// A table of all fields that the records have, in the order in which they come; and which records are no objects.
fn table(records: &[Json], dialect: &Dialect) -> Result<(Vec<u8>, Vec<usize>)> {
    let mut columns: Vec<&str> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for name in records.iter().filter_map(|record| record.as_object()).flat_map(Map::keys) {
        known.entry(name).or_insert_with(|| {
            columns.push(name);
            columns.len() - 1
        });
    }
    let cells = CellWriter::new(dialect, Quoting::Minimal);
    let mut bytes = Vec::new();
    let mut odd = Vec::new();
    cells.push_row(&mut bytes, &columns)?;
    for (nth, record) in records.iter().enumerate() {
        let Some(fields) = record.as_object().filter(|fields| !fields.is_empty()) else {
            odd.push(nth);
            continue;
        };
        let text = record.text();
        let texts: HashMap<String, &RawValue> = serde_json::from_str(&text)
            .map_err(|e| Error::internal("a record cannot be read a second time").because(e))?;
        let mut row = vec![String::new(); columns.len()];
        for (name, value) in fields {
            if let Some(cell) = known.get(name.as_str()).and_then(|column| row.get_mut(*column)) {
                *cell = cell_of(value, texts.get(name.as_str()));
            }
        }
        cells.push_row(&mut bytes, &row)?;
    }
    if columns.is_empty() {
        bytes.clear();
    }
    Ok((bytes, odd))
}

/// Texts as they are, null as nothing, all else as the JSON that it came as.
fn cell_of(value: &Value, came_as: Option<&&RawValue>) -> String {
    match (value, came_as) {
        (Value::Null, _) => String::new(),
        (Value::String(text), _) => text.clone(),
        (_, Some(raw)) => raw.get().to_owned(),
        (other, None) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_the_fields_of_all_records() {
        let long = r#"{"a":12.50,"b":123456789012345678901234567890,"b":true}"#;
        let records =
            [json!({"a": 1, "b": "x,y"}).into(), json!(5).into(), json!({"c": null, "b": [1]}).into()];
        let records: Vec<Json> = records.into_iter().chain([Json::parse(long).unwrap()]).collect();
        let (bytes, odd) = table(&records, &Dialect::default()).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), "a,b,c\n1,\"x,y\",\n,[1],\n12.50,true,\n");
        assert_eq!(odd, [1]);
    }

    #[test]
    fn lines_are_json() {
        let broken = Json::parse("[1,\n2.0]").unwrap();
        assert_eq!(
            lines(&[json!({"b": 1, "a": 2}).into(), json!("x").into(), broken]),
            b"{\"b\":1,\"a\":2}\n\"x\"\n[1, 2.0]\n"
        );
    }
}
