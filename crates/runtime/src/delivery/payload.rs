//! What a row's `data` holds for a file: its manifest and its path; and for an arrival: the original.

use handover_core::{Delivery, Error, FileName, Kind, Manifest, Result, TypeName, path_text};
use handover_file::arrive::Candidate;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// The key that a file's path has in `data`, beside the manifest's own fields.
const PATH: &str = "path";
/// The key of a manifest that says what a file of another name, as a pattern gives exports, is called by the convention.
pub(crate) const STANDS_FOR: &str = "stands_for";

/// A file that was handed over.
#[derive(Debug, Clone)]
pub struct FilePayload {
    /// Its manifest; `flows` are those of this delivery alone.
    pub manifest: Manifest,
    /// Its path within the data directory, or the absolute path of an export.
    pub path: String,
}

impl FilePayload {
    /// Reads it from a delivery.
    ///
    /// # Errors
    /// Bad data where the row holds something else.
    pub fn of(delivery: &Delivery) -> Result<Self> {
        Self::in_delivery(delivery).ok_or_else(|| {
            Error::bad_data(format!("delivery {} does not hold a file's manifest and path", delivery.id))
        })
    }

    /// Reads it from a delivery of a file; a record may look like one.
    pub fn in_delivery(delivery: &Delivery) -> Option<Self> {
        if delivery.kind == Kind::Record { None } else { Self::from_value(&delivery.data) }
    }

    /// Reads it from `data`.
    pub fn from_value(data: &Value) -> Option<Self> {
        let mut manifest: Manifest = serde_json::from_value(data.clone()).ok()?;
        let path = manifest.more.remove(PATH)?.as_str()?.to_owned();
        Some(Self { manifest, path })
    }

    /// The `data` of a delivery of this file.
    pub fn to_value(&self) -> Value {
        let mut manifest = self.manifest.clone();
        manifest.more.insert(PATH.to_owned(), Value::String(self.path.clone()));
        serde_json::to_value(manifest).unwrap_or_default()
    }

    /// The file's name, read by the convention; of an export with a name of its own, what it stands for.
    ///
    /// # Errors
    /// Bad data where it does not follow it.
    pub fn name(&self) -> Result<FileName> {
        match self.manifest.more.get(STANDS_FOR).and_then(Value::as_str) {
            Some(name) => name.parse(),
            None => self.manifest.file_name(),
        }
    }

    /// Its path where it lies outside the data directory, as exports do.
    pub(crate) fn outside(&self) -> Option<PathBuf> {
        let path = path_text::from_text(&self.path);
        path.is_absolute().then_some(path)
    }
}

/// The name of the file that `data` holds, as [`FilePayload::name`] gives it, without reading the rest.
pub(super) fn name_of(data: &Value) -> Option<FileName> {
    let name = data.get(STANDS_FOR).or_else(|| data.get("filename"))?;
    name.as_str()?.parse().ok()
}

/// An original that an importer is to take.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ArrivalPayload {
    /// The original's path as text ([`handover_core::path_text`]).
    pub original: String,
    /// What its file will be called: the type.
    #[serde(rename = "type")]
    pub type_name: TypeName,
    /// The source's date.
    pub date: Date,
    /// The extension.
    pub ext: String,
    /// Which of the importer's sources it came from, from 0.
    pub source: usize,
    /// The state of the file that was proved to be complete.
    pub candidate: Candidate,
    /// The proof.
    pub proof: String,
    /// The manifest that lay beside it, which it must agree with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Manifest>,
    /// The flows that it belongs to.
    pub flows: Vec<String>,
}

impl ArrivalPayload {
    /// Reads it from a delivery.
    ///
    /// # Errors
    /// Bad data where the row holds something else.
    pub fn of(delivery: &Delivery) -> Result<Self> {
        serde_json::from_value(delivery.data.value().clone()).map_err(|e| {
            Error::bad_data(format!("delivery {} does not hold an arrival", delivery.id))
                .because(e.to_string())
        })
    }
}

/// A job: what is asked of an app, and on what.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobPayload {
    /// The type of what it prints.
    #[serde(rename = "type")]
    pub type_name: TypeName,
    /// The date in its output's name.
    pub date: Date,
    /// The flows that its output belongs to.
    #[serde(default)]
    pub flows: Vec<String>,
    /// The time that it was due, where a schedule made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<jiff::Timestamp>,
    /// What it is to do, for `{config}`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub config: Value,
    /// Whether somebody submitted it and waits for its result: then a small one is kept with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub submitted: bool,
    /// What it is to work on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Takes>,
    /// Where its end is to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
}

/// What a job takes as its input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Takes {
    /// A text.
    Text {
        /// The text.
        text: String,
        /// What it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        media_type: Option<String>,
    },
    /// A JSON value.
    Json(Value),
    /// A published file, as [`FilePayload::to_value`] has it.
    File(Value),
}

impl JobPayload {
    /// Reads it from a delivery.
    ///
    /// # Errors
    /// Bad data where the row holds something else.
    pub fn of(delivery: &Delivery) -> Result<Self> {
        Self::deserialize(delivery.data.value()).map_err(|e| {
            Error::bad_data(format!("delivery {} does not hold a job", delivery.id)).because(e.to_string())
        })
    }

    /// The `data` of its delivery.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}
