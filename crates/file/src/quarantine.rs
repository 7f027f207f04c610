//! What goes into errors/: a bad file, with the reason in its manifest; or, where the file cannot or need not
//! be kept, the reason alone.
//!
//! Invariants: the reason is always kept; the original is only read, never moved or changed from here; what is
//! kept of it is bounded. Nothing appears before it is published, so a crash leaves only a draft.

use crate::draft::{Draft, Written};
use crate::layout::DataDir;
use crate::place::{io_error, open_regular, show};
use handover_core::limits::ERROR_TEXT_MAX_BYTES;
use handover_core::name::check_ext;
use handover_core::{CountRows, Error, HolderId, Manifest, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{self, Read, Write};
use std::path::Path;

/// The key under which a manifest carries the reason.
pub const REASON_KEY: &str = "reason";
/// The `type` of quarantined files is the file's own with this appended.
pub const QUARANTINED_SUFFIX: &str = "-quarantined";

/// Why a file is in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A word for programs: [`handover_core::ErrorKind::code`].
    pub code: String,
    /// What is wrong, as a sentence.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// When it was found out.
    pub at: Timestamp,
    /// The app that found it out.
    pub by: String,
    /// Where the file was, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_path: Option<String>,
    /// Its size in bytes, where it could be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_size: Option<u64>,
    /// Why the file itself was not kept, where it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_kept: Option<String>,
}

impl Reason {
    /// The reason that an error gives.
    pub fn new(error: &Error, by: impl Into<String>, at: Timestamp) -> Self {
        Self {
            code: error.code().to_owned(),
            message: bounded(error.to_string()),
            hint: error.hint_text().map(str::to_owned),
            at: at.round(jiff::Unit::Millisecond).unwrap_or(at),
            by: by.into(),
            source_path: None,
            source_size: None,
            not_kept: None,
        }
    }

    /// With the path that the file had.
    #[must_use]
    pub fn of_file(mut self, path: &Path) -> Self {
        self.source_path = Some(show(path));
        self
    }

    /// Writes it into the manifest of what is kept.
    pub fn put_into(&self, manifest: &mut Manifest) {
        if let Ok(value) = serde_json::to_value(self) {
            manifest.more.insert(REASON_KEY.to_owned(), value);
        }
    }

    /// The reason that a manifest carries, if it does.
    pub fn from_manifest(manifest: &Manifest) -> Option<Self> {
        manifest.more.get(REASON_KEY).cloned().and_then(|value: Value| serde_json::from_value(value).ok())
    }
}

fn bounded(mut text: String) -> String {
    if text.len() > ERROR_TEXT_MAX_BYTES {
        let end = text.floor_char_boundary(ERROR_TEXT_MAX_BYTES - 4);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// What is to be published into errors/.
#[derive(Debug)]
pub enum Kept {
    /// The whole file.
    Whole(Written),
    /// The reason alone, as a `.json`.
    ReasonOnly(Written),
}

impl Kept {
    /// The draft to publish; its `ext()` is the extension to name it with.
    pub fn into_written(self) -> Written {
        match self {
            Kept::Whole(written) | Kept::ReasonOnly(written) => written,
        }
    }
}

/// Copies a bad file into a draft, up to `limit_bytes`. Where it is larger, gone, unreadable or no regular file,
/// the draft is the reason as JSON, which says so, and `reason` is changed to say so too. `rows` counts its rows.
///
/// # Errors
/// Where the draft cannot be written; [`handover_core::ErrorKind::NotYet`] where the disk is full.
pub fn keep(
    data: &DataDir,
    holder: &HolderId,
    source: &Path,
    ext: &str,
    rows: Option<Box<dyn CountRows>>,
    reason: &mut Reason,
    limit_bytes: u64,
) -> Result<Kept> {
    match copy(data, holder, source, ext, rows, reason, limit_bytes)? {
        Ok(written) => Ok(Kept::Whole(written)),
        Err(why) => {
            reason.not_kept = Some(why);
            reason_only(data, holder, reason).map(Kept::ReasonOnly)
        }
    }
}

/// A draft with the reason alone.
///
/// # Errors
/// Where it cannot be written; [`handover_core::ErrorKind::NotYet`] where the disk is full.
pub fn reason_only(data: &DataDir, holder: &HolderId, reason: &Reason) -> Result<Written> {
    let mut text = serde_json::to_vec_pretty(reason)
        .map_err(|e| Error::internal("a reason cannot be written").because(e.to_string()))?;
    text.push(b'\n');
    let mut draft = data.draft(holder, "json")?;
    draft.write_all(&text).map_err(|e| io_error("write", draft.path(), e))?;
    draft.finish()
}

/// The outer error is ours (the draft); the inner one is the source's, in words.
fn copy(
    data: &DataDir,
    holder: &HolderId,
    source: &Path,
    ext: &str,
    rows: Option<Box<dyn CountRows>>,
    reason: &mut Reason,
    limit_bytes: u64,
) -> Result<Result<Written, String>> {
    let (mut file, meta) = match open_regular(source) {
        Ok(opened) => opened,
        Err(e) => return Ok(Err(e.to_string())),
    };
    reason.source_size = Some(meta.len());
    let too_large = || format!("it is larger than {limit_bytes} bytes");
    if meta.len() > limit_bytes {
        return Ok(Err(too_large()));
    }
    let ext = if check_ext(ext).is_ok() { ext } else { "dat" };
    let mut draft = data.draft(holder, ext)?.counting(rows);
    match copy_bounded(&mut file, &mut draft, limit_bytes) {
        Ok(true) => draft.finish().map(Ok),
        Ok(false) => Ok(Err(too_large())),
        Err(Side::Source(e)) => Ok(Err(format!("it cannot be read: {e}"))),
        Err(Side::Draft(e)) => Err(io_error("write", draft.path(), e)),
    }
}

enum Side {
    Source(io::Error),
    Draft(io::Error),
}

fn copy_bounded(source: &mut impl Read, draft: &mut Draft, limit_bytes: u64) -> Result<bool, Side> {
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        let n = match source.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Side::Source(e)),
        };
        draft.write_all(&buffer[..n]).map_err(Side::Draft)?;
        if draft.bytes_written() > limit_bytes {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::tests::Lines;
    use std::fs;

    fn place() -> (tempfile::TempDir, DataDir, HolderId, Reason) {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(&dir.path().join("data")).unwrap();
        let error = Error::bad_data("the header is missing").hint("add one");
        let reason = Reason::new(&error, "validator", "2025-11-24T10:30:00Z".parse().unwrap());
        (dir, data, HolderId::new(7), reason)
    }

    #[test]
    fn a_bad_file_is_kept_whole_up_to_the_limit() {
        let (dir, data, holder, mut reason) = place();
        let source = dir.path().join("bad\n.csv");
        fs::write(&source, "h\n1\n").unwrap();
        reason = reason.of_file(&source);
        let kept =
            keep(&data, &holder, &source, "csv", Some(Box::<Lines>::default()), &mut reason, 4).unwrap();
        assert!(matches!(&kept, Kept::Whole(w) if w.row_count == Some(2) && w.ext() == "csv"));
        assert_eq!((reason.source_size, reason.not_kept.as_deref()), (Some(4), None));
        drop(kept);
        let kept = keep(&data, &holder, &source, "csv", None, &mut reason, 3).unwrap();
        let Kept::ReasonOnly(written) = &kept else { panic!("{kept:?}") };
        let read: Reason = serde_json::from_slice(&fs::read(written.path()).unwrap()).unwrap();
        assert_eq!(read, reason);
        assert!(read.not_kept.unwrap().contains("larger than 3"));
        assert!(read.source_path.unwrap().ends_with("bad\\x0a.csv"));
        assert_eq!(kept.into_written().ext(), "json");
        assert_eq!(fs::read_dir(data.tmp_dir()).unwrap().count(), 0);
    }

    #[test]
    fn what_cannot_be_kept_leaves_its_reason() {
        let (dir, data, holder, mut reason) = place();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        for (source, why) in
            [(dir.path().join("gone"), "cannot open"), (link, "symbolic link"), (dir.path().into(), "folder")]
        {
            let kept = keep(&data, &holder, &source, "c/sv", None, &mut reason, 100).unwrap();
            assert!(matches!(kept, Kept::ReasonOnly(_)));
            let said = reason.not_kept.clone().unwrap();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_manifest_carries_the_reason() {
        let (_dir, _data, _holder, reason) = place();
        let text = format!(
            r#"{{"filename":"a.csv","created_at":"2025-11-24T10:30:00Z","created_by":"a","file_size":0,"checksum":"{}"}}"#,
            crate::read::hash_of(b"")
        );
        let mut manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(Reason::from_manifest(&manifest), None);
        reason.put_into(&mut manifest);
        let again = Manifest::parse(manifest.to_json().as_bytes()).unwrap();
        assert_eq!(Reason::from_manifest(&again), Some(reason));
    }

    #[test]
    fn an_endless_message_is_cut_between_characters() {
        let error = Error::bad_data("é".repeat(ERROR_TEXT_MAX_BYTES));
        let reason = Reason::new(&error, "a", Timestamp::UNIX_EPOCH);
        assert!(reason.message.len() <= ERROR_TEXT_MAX_BYTES && reason.message.ends_with('…'));
    }
}
