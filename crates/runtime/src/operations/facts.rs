//! What a delivery is, in a few words: for lists, trees and explanations.

use crate::delivery::payload::FilePayload;
use handover_core::{Delivery, Kind};
use handover_file::quarantine::QUARANTINED_SUFFIX;
use serde::Serialize;
use serde_json::Value;

/// So much of a record is shown where there is one line for it.
const RECORD_SHOWN_BYTES: usize = 48;

/// What part a delivery plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// An original that an importer is to take.
    Arrival,
    /// A file of the data directory that goes to an app, or ends there.
    File,
    /// A file outside the data directory.
    Export,
    /// A report about another file.
    Report,
    /// Rows that were rejected, with their reasons.
    RejectedRows,
    /// A bad file, or its reason.
    Quarantined,
    /// A job.
    Job,
    /// A record.
    Record,
}

/// A delivery in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// What part it plays.
    pub role: Role,
    /// The file as the ledger keeps it: a path within the data directory, or an absolute one (an original, an export).
    pub path: Option<String>,
    /// Its last part, or a word for what has no file.
    pub name: String,
    /// Its rows, where they are counted.
    pub rows: Option<u64>,
    /// Its size in bytes.
    pub size: Option<u64>,
}

impl Facts {
    /// The facts of a delivery.
    pub fn of(delivery: &Delivery) -> Self {
        if delivery.kind == Kind::Record {
            let name = short(&delivery.data.to_string());
            return Self { role: Role::Record, path: None, name, rows: None, size: None };
        }
        if let Some(payload) = FilePayload::in_delivery(delivery) {
            return Self {
                role: role_of(&payload.path),
                name: last_part(&payload.path),
                rows: payload.manifest.row_count,
                size: Some(payload.manifest.file_size),
                path: Some(payload.path),
            };
        }
        if let Some(original) = delivery.data.get("original").and_then(Value::as_str) {
            let size = delivery.data.pointer("/candidate/size").and_then(Value::as_u64);
            let path = Some(original.to_owned());
            return Self { role: Role::Arrival, path, name: last_part(original), rows: None, size };
        }
        if delivery.data.get("submitted") == Some(&Value::Bool(true)) {
            return Self { role: Role::Job, path: None, name: "job".to_owned(), rows: None, size: None };
        }
        let named = delivery.data.get("type").and_then(Value::as_str).unwrap_or("job");
        let date = delivery.data.get("date").and_then(Value::as_str);
        let name = date.map_or_else(|| named.to_owned(), |date| format!("{named} {date}"));
        Self { role: Role::Job, path: None, name, rows: None, size: None }
    }
}

/// The beginning of a record, to know it by.
fn short(text: &str) -> String {
    if text.len() <= RECORD_SHOWN_BYTES {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(RECORD_SHOWN_BYTES)])
}

fn last_part(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

fn role_of(path: &str) -> Role {
    if path.starts_with('/') {
        return Role::Export;
    }
    match path.split('/').next() {
        Some("reports") => Role::Report,
        Some("errors") => {
            let type_name = last_part(path).split('_').nth(1).unwrap_or_default().to_owned();
            if type_name.ends_with(QUARANTINED_SUFFIX) { Role::Quarantined } else { Role::RejectedRows }
        }
        _ => Role::File,
    }
}
