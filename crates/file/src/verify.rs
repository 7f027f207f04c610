//! `verify`: looks through any file or directory, ours or not, and says for each file whether it is what its
//! manifest says. Needs no ledger, changes nothing.
//!
//! Invariants: nothing found stops the search, except that the path given is not there; symbolic links are not
//! followed; memory grows with one folder's names, not with the tree. There is nothing to recover after a crash.

mod folder;

use crate::archive::{check_original, original_of};
use crate::place::{io_error, show};
use crate::read::{Difference, compare, manifest_bytes, manifest_path_of};
use handover_core::name::MANIFEST_SUFFIX;
use handover_core::{ErrorKind, Manifest, Result};
use serde::Serialize;
use std::fs;
use std::path::Path;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Ok,
    /// Worth a look; no data is wrong.
    Warn,
    /// Data is missing, damaged, or cannot be read.
    Fail,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The file is what its manifest says.
    Whole,
    /// The manifest's file is not there.
    MissingData,
    /// The size differs.
    WrongSize,
    /// The checksum differs, or what the archive holds does not read back.
    WrongChecksum,
    /// Something else than a regular file is at its name.
    NoFile,
    /// The manifest is not what a manifest should be.
    MalformedManifest,
    /// The manifest comes from a newer Handover.
    FutureVersion,
    /// The manifest's own name does not fit the name of its file.
    WrongManifestName,
    /// A file named by the convention, without a manifest.
    NoManifest,
    /// Two files have the same name but for their extension.
    DuplicateName,
    /// A temporary file that nobody is writing.
    OrphanTemporary,
    /// It cannot be read.
    Unreadable,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file, as text, as it was reached from the path given.
    pub path: String,
    /// How bad it is.
    pub status: Grade,
    /// What it is about.
    pub what: Subject,
    /// A sentence for a person.
    pub message: String,
}

impl Finding {
    fn new(path: &Path, status: Grade, what: Subject, message: impl Into<String>) -> Self {
        Self { path: show(path), status, what, message: message.into() }
    }

    fn unreadable(path: &Path, why: impl std::fmt::Display) -> Self {
        Self::new(path, Grade::Fail, Subject::Unreadable, format!("it cannot be read: {why}"))
    }
}

/// Looks through a file or a directory and all below it.
///
/// # Errors
/// Where the path is not there; whatever is found below it is a finding, not an error.
pub fn verify_dir(path: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    verify_each(path, &mut |finding| findings.push(finding))?;
    Ok(findings)
}

/// The same, telling each finding as it is found.
///
/// # Errors
/// As [`verify_dir`].
pub fn verify_each(path: &Path, tell: &mut dyn FnMut(Finding)) -> Result<()> {
    let meta = fs::metadata(path).map_err(|e| io_error("look at", path, e))?;
    if meta.is_dir() {
        folder::walk(path, tell);
    } else if path.as_os_str().to_string_lossy().ends_with(MANIFEST_SUFFIX) {
        check_manifest(path, tell);
    } else {
        match manifest_path_of(path) {
            Ok(Some(manifest)) => drop(check_manifest(&manifest, tell)),
            Ok(None) => tell(Finding::new(
                path,
                Grade::Warn,
                Subject::NoManifest,
                "no manifest beside it names this file, so there is nothing to check it against",
            )),
            Err(e) => tell(Finding::unreadable(path, e)),
        }
    }
    Ok(())
}

/// Checks a manifest and its file. Returns the name of the file that it describes, where it can be read.
fn check_manifest(path: &Path, tell: &mut dyn FnMut(Finding)) -> Option<String> {
    let bytes = match manifest_bytes(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::BadData => {
            tell(Finding::new(path, Grade::Fail, Subject::MalformedManifest, e.to_string()));
            return None;
        }
        Err(e) => {
            tell(Finding::unreadable(path, e));
            return None;
        }
    };
    let manifest = match Manifest::parse(&bytes) {
        Ok(manifest) => manifest,
        Err(e) => {
            let what = if is_future(&bytes) { Subject::FutureVersion } else { Subject::MalformedManifest };
            tell(Finding::new(path, Grade::Fail, what, e.to_string()));
            return None;
        }
    };
    check_file(path, &manifest, tell);
    Some(manifest.filename)
}

/// Whether the only thing wrong with a manifest may be that it is newer than we are.
fn is_future(bytes: &[u8]) -> bool {
    let known = handover_core::manifest::SCHEMA_VERSION;
    let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(bytes) else { return false };
    match value.get_mut("schema_version") {
        Some(version) if version.as_str().is_some_and(|v| v.trim_start_matches('v') > &known[1..]) => {
            *version = known.into();
            serde_json::to_vec(&value).is_ok_and(|bytes| Manifest::parse(&bytes).is_ok())
        }
        _ => false,
    }
}

fn check_file(manifest_path: &Path, manifest: &Manifest, tell: &mut dyn FnMut(Finding)) {
    let path = manifest_path.with_file_name(&manifest.filename);
    let stem =
        manifest_path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(MANIFEST_SUFFIX));
    let fits = |stem: &str| {
        manifest.filename.strip_prefix(stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if !stem.is_some_and(fits) {
        tell(Finding::new(
            manifest_path,
            Grade::Warn,
            Subject::WrongManifestName,
            format!("the manifest describes {}, and is not named after it", manifest.filename),
        ));
    }
    tell(match compare(&path, manifest) {
        Ok(None) => check_whole(&path, manifest),
        Ok(Some(difference)) => {
            let what = match difference {
                Difference::Size(_) => Subject::WrongSize,
                Difference::Checksum(_) => Subject::WrongChecksum,
            };
            Finding::new(&path, Grade::Fail, what, difference.into_error(&path, manifest).to_string())
        }
        Err(e) => match e.kind() {
            ErrorKind::NotFound => Finding::new(
                &path,
                Grade::Fail,
                Subject::MissingData,
                "its manifest is there, and the file is not",
            ),
            ErrorKind::BadData => Finding::new(&path, Grade::Fail, Subject::NoFile, e.to_string()),
            _ => Finding::unreadable(&path, e),
        },
    });
}

/// A file that is what its manifest says; one in the archive is read through to the original.
fn check_whole(path: &Path, manifest: &Manifest) -> Finding {
    let archived = original_of(manifest).is_some();
    match check_original(path, manifest) {
        Ok(()) => Finding::new(path, Grade::Ok, Subject::Whole, sound(manifest, archived)),
        Err(e) if e.kind() == ErrorKind::BadData => {
            Finding::new(path, Grade::Fail, Subject::WrongChecksum, e.to_string())
        }
        Err(e) => Finding::unreadable(path, e),
    }
}

fn sound(manifest: &Manifest, archived: bool) -> String {
    let rows = manifest.row_count.map(|rows| format!(", {rows} rows")).unwrap_or_default();
    let archived = if archived { ", archived, reads back to the original" } else { "" };
    format!("size and checksum are as the manifest says ({} bytes{rows}{archived})", manifest.file_size)
}
