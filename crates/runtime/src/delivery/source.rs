//! What an attempt reads, in one form: a file that was handed over, or what came with a job, a text, a JSON value or the name of
//! a published file.
//!
//! Invariant: a file is compared with its manifest before what was made of it counts. There is no other state, so a crash
//! leaves nothing.

use super::Attempt;
use super::payload::{FilePayload, JobPayload, Takes};
use super::rows::find_input;
use handover_core::{FileName, Kind, Result, media};
use handover_file::Checked;
use handover_file::layout::DataDir;
use serde_json::Value;
use std::io::{self, Cursor, Read};

/// What came with a job, as it is given to its app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inline {
    pub(super) bytes: Vec<u8>,
    pub(super) ext: String,
}

/// Where an input comes from.
#[derive(Debug, Clone)]
pub(super) enum From {
    File(Box<FilePayload>),
    Inline(Inline),
}

/// An input with rows: what it is called, or would be, and the flows of what is made of it.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) name: FileName,
    pub(super) flows: Vec<String>,
    pub(super) from: From,
}

impl Source {
    /// The file, where it is one.
    pub(super) fn file(&self) -> Option<&FilePayload> {
        match &self.from {
            From::File(payload) => Some(payload),
            From::Inline(_) => None,
        }
    }

    /// Opens it for reading.
    ///
    /// # Errors
    /// Those of the file.
    pub(super) fn open(&self, data: &DataDir) -> Result<Opened> {
        match &self.from {
            From::File(payload) => {
                find_input(data, payload)?.open_checked(&payload.manifest).map(Box::new).map(Opened::File)
            }
            From::Inline(inline) => Ok(Opened::Inline(Cursor::new(inline.bytes.clone()))),
        }
    }
}

/// An open input.
pub(super) enum Opened {
    File(Box<Checked>),
    Inline(Cursor<Vec<u8>>),
}

impl Opened {
    /// Sees to it that what was read was what the manifest tells of.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::BadData`] where it was not.
    pub(super) fn finish(self) -> Result<()> {
        match self {
            Self::File(checked) => checked.finish(),
            Self::Inline(_) => Ok(()),
        }
    }
}

impl Read for Opened {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(checked) => checked.read(into),
            Self::Inline(bytes) => bytes.read(into),
        }
    }
}

impl Attempt {
    /// What the delivery is to be made of: its file, or what its job came with; none for a job without input.
    ///
    /// # Errors
    /// Bad data where the row holds something else.
    pub(super) fn reads(&self) -> Result<Option<Source>> {
        if self.delivery.kind == Kind::File {
            return Source::of(FilePayload::of(&self.delivery)?).map(Some);
        }
        let JobPayload { input, type_name, date, flows, .. } = JobPayload::of(&self.delivery)?;
        let inline = match input {
            None => return Ok(None),
            Some(Takes::File(value)) => {
                let payload = FilePayload::from_value(&value);
                let lacks = || {
                    handover_core::Error::bad_data("the job's input does not hold a file's manifest and path")
                };
                return Ok(Some(Source { flows, ..Source::of(payload.ok_or_else(lacks)?)? }));
            }
            Some(Takes::Text { text, media_type }) => Inline {
                ext: media_type.as_deref().and_then(media::extension).unwrap_or("txt").to_owned(),
                bytes: text.into_bytes(),
            },
            Some(Takes::Json(value)) => as_json(&value),
        };
        let name =
            FileName { app: self.app.name.clone(), type_name, date, sequence: 1, ext: inline.ext.clone() };
        Ok(Some(Source { name, flows, from: From::Inline(inline) }))
    }
}

impl Source {
    fn of(payload: FilePayload) -> Result<Self> {
        let (name, flows) = (payload.name()?, payload.manifest.flows.clone());
        Ok(Self { name, flows, from: From::File(payload.into()) })
    }
}

/// A JSON value as a text: a list as an array of records, anything else as one line.
fn as_json(value: &Value) -> Inline {
    let ext = if value.is_object() { "ndjson" } else { "json" };
    Inline { bytes: format!("{value}\n").into_bytes(), ext: ext.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_json_value_is_an_array_or_one_line() {
        let inline = |value: Value| {
            let inline = as_json(&value);
            (String::from_utf8(inline.bytes).unwrap(), inline.ext)
        };
        assert_eq!(inline(json!([{"a": 1}])), ("[{\"a\":1}]\n".into(), "json".into()));
        assert_eq!(inline(json!({"a": 1})), ("{\"a\":1}\n".into(), "ndjson".into()));
    }
}
