//! `handover show`: everything of one delivery, with its family as a tree.

use super::{Start, block_on, shown_here};
use crate::printer::{Outcome, Printer};
use crate::table::{Cell, Column, Table, Tone, clean, width, wrapped};
use handover_core::units::format_size;
use handover_core::{Delivery, DeliveryId, Kind, Status, path_text};
use handover_file::arrive::Proof;
use handover_runtime::Project;
use handover_runtime::operations::facts::Role;
use handover_runtime::operations::lineage::Node;
use handover_runtime::operations::show::{File, Shown, show};
use handover_runtime::operations::times;
use jiff::Timestamp;
use serde_json::Value;
use std::process::ExitCode;

/// Longer lines than this are hard to read.
const WIDTH_MAX: usize = 110;
/// Where the facts begin.
const INDENT: usize = 15;
/// So much of a record is shown.
const RECORD_SHOWN_BYTES: usize = 1_000;

const HELP: &str = "\
Examples:
  handover show 17
  handover show 17 --json | jq -r '.outputs[].file'";

/// The arguments of `show`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The delivery's number
    id: DeliveryId,
}

/// Shows it.
pub(crate) fn run(start: &Start, args: Args) -> Outcome {
    let project = start.existing()?;
    let shown = block_on(show(&project, args.id))??;
    if start.printer.is_json() {
        start.printer.json(&shown);
        return Ok(ExitCode::SUCCESS);
    }
    let page = Page { printer: start.printer, project: &project, now: project.clock.now() };
    page.facts(&shown);
    page.outputs(&shown);
    page.said(&shown.delivery);
    page.history(&shown);
    page.family(&shown);
    Ok(ExitCode::SUCCESS)
}

struct Page<'a> {
    printer: Printer,
    project: &'a Project,
    now: Timestamp,
}

impl Page<'_> {
    fn fact(&self, name: &str, text: &str) {
        let width = width().unwrap_or(WIDTH_MAX).min(WIDTH_MAX);
        self.printer.data(format_args!("  {name:13}{}", wrapped(text, width, INDENT)));
    }

    fn head(&self, title: &str) {
        self.printer.data(format_args!("\n{title}"));
    }

    fn at(&self, time: Timestamp) -> String {
        times::at(time, &self.project.config.timezone, self.now)
    }

    fn facts(&self, shown: &Shown) {
        let delivery = &shown.delivery;
        self.printer.data(format_args!("delivery {}: {}", delivery.id, delivery.status));
        self.printer.data("");
        if let Some(input) = &shown.input {
            self.fact(if input.facts.role == Role::Arrival { "original" } else { "file" }, &place(input));
            let mut size = Vec::new();
            size.extend(input.facts.rows.map(|rows| times::count(rows, "row")));
            size.extend(input.facts.size.map(format_size));
            size.extend(text(&delivery.data, "checksum").map(str::to_owned));
            self.fact("", &size.join(", "));
            self.fact("manifest", &manifest(input, delivery));
        }
        match delivery.kind {
            Kind::Record => self.record(delivery),
            // What a schedule gives its program is the app's own `with:`, which may hold secrets.
            Kind::Job if delivery.data.get("submitted") == Some(&Value::Bool(true)) => self.job(delivery),
            Kind::Job | Kind::File => {}
        }
        let to = delivery.target_app.as_deref().unwrap_or("nobody: here its flow ends");
        self.fact("from, to", &format!("{} -> {to}", delivery.source_app));
        if let Some(flow) = &delivery.flow {
            self.fact("flow", flow);
        }
        if delivery.target_app.is_some() {
            self.work(delivery);
        }
        let handed = times::happened(delivery.created_at, &self.project.config.timezone, self.now);
        self.fact("handed over", &handed);
        if let Some(ended) = delivery.processed_at.filter(|_| delivery.target_app.is_some()) {
            let all = times::lasts(delivery.created_at, ended);
            self.fact("ended", &format!("{}, {all} after it was handed over", self.at(ended)));
        }
        if delivery.status == Status::Pending && delivery.run_at > self.now {
            let due = times::at_and_ago(delivery.run_at, &self.project.config.timezone, self.now);
            self.fact("next attempt", &due);
        }
        if let Some(deleted) = delivery.deleted_at {
            self.fact("deleted", &self.at(deleted));
        }
    }

    /// What a job asks for, and what was answered where that is kept with it.
    fn job(&self, delivery: &Delivery) {
        for (key, name) in [("config", "asks for"), ("input", "of")] {
            if let Some(value) = delivery.data.get(key) {
                self.fact(name, &short(value.to_string()));
            }
        }
        let answers = [("output", "answered"), ("rejected", "rejected")];
        for (key, name) in answers {
            let Some(kept) = delivery.result.as_ref().and_then(|result| result.get(key)) else { continue };
            let size = format_size(kept.get("size").and_then(Value::as_u64).unwrap_or_default());
            self.fact(name, &format!("{size} of {}", text(kept, "media_type").unwrap_or_default()));
            if let Some(kept) = text(kept, "text").filter(|text| !text.trim().is_empty()) {
                self.fact("", &short(clean(kept.trim_end())));
            }
        }
    }

    /// A record, what was made of it where nobody else has it, and the file that it went into.
    fn record(&self, delivery: &Delivery) {
        self.fact("record", &short(delivery.data.to_string()));
        let result = delivery.result.as_ref();
        let made = result.and_then(|result| result.get("data")).and_then(Value::as_array);
        for (nth, data) in made.into_iter().flatten().take(10).enumerate() {
            self.fact(if nth == 0 { "became" } else { "" }, &short(data.to_string()));
        }
        if let Some(path) = result.and_then(|result| text(result, "gathered")) {
            self.fact("gathered into", path);
        }
        if let Some(said) = result.filter(|result| !is_our_own(result)) {
            self.fact("result", &short(said.to_string()));
        }
    }

    fn work(&self, delivery: &Delivery) {
        let result = delivery.result.as_ref();
        let number = |key: &str| result.and_then(|result| result.get(key)).and_then(Value::as_u64);
        let took = number("took_ms").map(|ms| {
            let ms = i64::try_from(ms).unwrap_or(i64::MAX);
            format!(", the last took {}", times::length(jiff::SignedDuration::from_millis(ms)))
        });
        let attempts =
            format!("{} of {}{}", delivery.attempts, delivery.max_attempts, took.unwrap_or_default());
        self.fact("attempts", &attempts);
        if delivery.rescues > 0 || delivery.snoozes > 0 {
            let text =
                format!("taken back {} times, told \"later\" {} times", delivery.rescues, delivery.snoozes);
            self.fact("", &text);
        }
        let rows = [
            ("rows_in", "in"),
            ("rows_out", "out"),
            ("rows_rejected", "rejected"),
            ("rows_filtered", "filtered"),
        ];
        let rows: Vec<String> = rows
            .iter()
            .filter_map(|(key, word)| number(key).map(|n| format!("{} {word}", times::number(n))))
            .collect();
        if !rows.is_empty() {
            self.fact("rows", &rows.join(", "));
        }
        if let Some(holder) = delivery.leased_by.as_ref().filter(|_| delivery.status == Status::Processing) {
            let until = delivery.lease_until.map(|until| format!(", lease until {}", self.at(until)));
            self.fact("worked on by", &format!("{holder}{}", until.unwrap_or_default()));
        }
    }

    fn outputs(&self, shown: &Shown) {
        if shown.outputs.is_empty() {
            return;
        }
        self.head("outputs");
        let mut table = Table::new(&[
            Column::left("delivery"),
            Column::left("goes to"),
            Column::right("rows"),
            Column::right("size"),
            Column::path("file"),
        ])
        .indent(2);
        for file in &shown.outputs {
            let ids: Vec<String> = file.deliveries.iter().map(ToString::to_string).collect();
            let to =
                if file.to.is_empty() { format!("({})", role(file.facts.role)) } else { file.to.join(", ") };
            table.cells([
                ids.join(", ").into(),
                to.into(),
                file.facts.rows.map(times::number).unwrap_or_default().into(),
                file.facts.size.map(format_size).unwrap_or_default().into(),
                place(file).into(),
            ]);
        }
        self.printer.data(&table);
    }

    /// What was said about it: notes, the error, the end of stderr, what a service answered.
    fn said(&self, delivery: &Delivery) {
        let width = width().unwrap_or(WIDTH_MAX).min(WIDTH_MAX);
        let notes = delivery.result.as_ref().and_then(|result| result.get("notes")).and_then(Value::as_array);
        if let Some(notes) = notes.filter(|notes| !notes.is_empty()) {
            self.head("notes");
            for note in notes.iter().filter_map(Value::as_str) {
                self.printer.data(format_args!("  {}", wrapped(note, width, 4)));
            }
        }
        if let Some(error) = &delivery.last_error {
            let over = matches!(delivery.status, Status::Completed | Status::Archived);
            self.head(if over { "last error, since overcome or archived with it" } else { "error" });
            self.printer.data(format_args!("  {}", wrapped(error, width, 4)));
        }
        for (key, head) in [("stderr", "the end of stderr"), ("answer", "the beginning of the answer")] {
            let words = delivery.result.as_ref().and_then(|result| text(result, key));
            let Some(words) = words.filter(|words| !words.trim().is_empty()) else { continue };
            self.head(head);
            for line in words.trim_end().lines() {
                self.printer.data(format_args!("  | {}", clean(line)));
            }
        }
    }

    fn history(&self, shown: &Shown) {
        self.head("history");
        let mut table = Table::new(&[
            Column::left("at"),
            Column::left("status"),
            Column::left("by"),
            Column::text("says"),
        ])
        .indent(2);
        for entry in &shown.history {
            table.cells([
                self.at(entry.at).into(),
                Cell::toned(entry.to.as_str(), super::list::tone(entry.to)),
                entry.actor.as_str().into(),
                entry.note.clone().unwrap_or_default().into(),
            ]);
        }
        self.printer.data(&table);
    }

    fn family(&self, shown: &Shown) {
        let lineage = &shown.lineage;
        if lineage.tree.len() > 1 || lineage.replays.is_some() || !lineage.replayed_by.is_empty() {
            self.head("lineage");
        }
        if lineage.tree.len() > 1 {
            let mut table = Table::new(&[
                Column::left(""),
                Column::path(""),
                Column::left(""),
                Column::left(""),
                Column::left(""),
            ])
            .indent(2);
            for (node, branch) in lineage.tree.iter().zip(branches(&lineage.tree)) {
                let name = match &node.facts.path {
                    Some(path) if node.facts.role == Role::Arrival => shown_here(&path_text::from_text(path)),
                    _ => node.facts.name.clone(),
                };
                let to = node.app.clone().unwrap_or_else(|| format!("({})", role(node.facts.role)));
                let mut marks = Vec::new();
                marks.extend(node.here.then(|| "<- this one".to_owned()));
                marks.extend(node.replay_of.map(|old| format!("replays {old}")));
                table.cells([
                    format!("{branch}{}", node.id).into(),
                    name.into(),
                    to.into(),
                    Cell::toned(node.status.as_str(), super::list::tone(node.status)),
                    Cell::toned(marks.join(", "), Tone::Warn),
                ]);
            }
            self.printer.data(&table);
            if lineage.cut {
                self.printer.data("  … and more: `handover show ID` of one of them shows what follows it");
            }
        }
        if let Some(old) = lineage.replays {
            self.printer.data(format_args!("  it runs delivery {old} again"));
        }
        if !lineage.replayed_by.is_empty() {
            let ids: Vec<String> = lineage.replayed_by.iter().map(ToString::to_string).collect();
            self.printer.data(format_args!("  it was run again as delivery {}", ids.join(", ")));
        }
    }
}

/// Whether a record's result is what a worker keeps of its work, which is shown part by part, and not what was said with `ack`.
fn is_our_own(result: &Value) -> bool {
    let Some(result) = result.as_object() else { return false };
    let made = result.len() == 1 && result.get("data").is_some_and(Value::is_array);
    made || result.contains_key("took_ms") || result.contains_key("gathered")
}

/// A value as it is shown, cut where it is long.
fn short(text: String) -> String {
    let end = text.floor_char_boundary(RECORD_SHOWN_BYTES);
    if text.len() > end { format!("{}… (--json has all)", &text[..end]) } else { text }
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Arrival => "original",
        Role::File => "end",
        Role::Export => "export",
        Role::Report => "report",
        Role::RejectedRows => "rejected",
        Role::Quarantined => "quarantine",
        Role::Job => "job",
        Role::Record => "record",
    }
}

/// Where a file is, as it is shown.
fn place(file: &File) -> String {
    match (&file.file, &file.facts.path) {
        (Some(found), _) if file.archived => {
            format!("{} (archived)", shown_here(&path_text::from_text(found)))
        }
        (Some(found), _) => shown_here(&path_text::from_text(found)),
        (None, Some(path)) => format!("{path} (no longer there)"),
        (None, None) => String::new(),
    }
}

fn manifest(input: &File, delivery: &Delivery) -> String {
    match input.facts.role {
        Role::Arrival => match text(&delivery.data, "proof").and_then(|proof| proof.parse::<Proof>().ok()) {
            Some(proof) => format!("none, it is foreign; known to be complete: {}", proof.sentence()),
            None => "none, it is foreign; it was refused as it stands".to_owned(),
        },
        _ => {
            let by = text(&delivery.data, "created_by").unwrap_or_default();
            let version = text(&delivery.data, "schema_version").unwrap_or_default();
            let flows = delivery.data.get("flows").and_then(Value::as_array);
            let flows: Vec<&str> = flows.into_iter().flatten().filter_map(Value::as_str).collect();
            format!(
                "{version} by {by}{}",
                if flows.is_empty() { String::new() } else { format!(", of {}", flows.join(", ")) }
            )
        }
    }
}

/// The branches before each line of a tree.
fn branches(tree: &[Node]) -> Vec<String> {
    (0..tree.len())
        .map(|i| {
            let depth = tree[i].depth;
            // Whether, after line `i`, another line of this depth comes before one of a lesser depth.
            let goes_on = |level: usize| {
                tree[i + 1..].iter().take_while(|node| node.depth >= level).any(|node| node.depth == level)
            };
            let mut lead: String =
                (1..depth).map(|level| if goes_on(level) { "│  " } else { "   " }).collect();
            if depth > 0 {
                lead += if goes_on(depth) { "├─ " } else { "└─ " };
            }
            lead
        })
        .collect()
}
