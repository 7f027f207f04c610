//! What may lie beside a foreign file and speak for it: a done marker, `{name}.done`, and a manifest,
//! `{name}.meta.json` or `{name without its extension}.meta.json`.
//!
//! Invariants:
//! - A done marker speaks only for the file that was there when it was made: one older than the file's last change
//!   is left from an earlier file of that name.
//! - A manifest speaks only for the file that it names.

use super::{Candidate, hints, open_plain, shown, timestamp};
use handover_core::limits::MANIFEST_MAX_BYTES;
use handover_core::name::MANIFEST_SUFFIX;
use handover_core::{Error, ErrorKind, Manifest, Result};
use serde_json::Value;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The ending of a done marker's name.
pub const DONE_SUFFIX: &str = ".done";

/// A manifest that lies beside a foreign file.
#[derive(Debug)]
pub(crate) enum Found {
    /// There is none.
    None,
    /// It is well-formed and names the file.
    Good(OsString, Box<Manifest>),
    /// There is one for this file, and it cannot be used; the candidate is of the manifest itself.
    Bad(Candidate, Error),
}

/// The name with an ending.
pub(crate) fn with_suffix(name: &OsStr, suffix: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(suffix);
    name
}

/// The names that a manifest of this file may have, the more telling one first.
pub(crate) fn manifest_names(name: &OsStr) -> Vec<OsString> {
    let full = with_suffix(name, MANIFEST_SUFFIX);
    let stem = with_suffix(OsStr::from_bytes(hints::stem_of(name.as_bytes())), MANIFEST_SUFFIX);
    let convention = name.as_bytes().split(|b| *b == b'.').next().unwrap_or_default();
    let convention = with_suffix(OsStr::from_bytes(convention), MANIFEST_SUFFIX);
    let mut names = vec![full];
    for other in [stem, convention] {
        if !names.contains(&other) && !other.as_bytes().starts_with(b".") {
            names.push(other);
        }
    }
    names
}

/// The name of the file's done marker, where there is one that speaks for the file as it is now.
pub(crate) fn done_marker(candidate: &Candidate) -> Option<OsString> {
    let name = with_suffix(candidate.name(), DONE_SUFFIX);
    let metadata = std::fs::symlink_metadata(candidate.path.with_file_name(&name)).ok()?;
    let made = timestamp(metadata.mtime(), metadata.mtime_nsec());
    (metadata.is_file() && made >= candidate.mtime).then_some(name)
}

/// The manifest beside a file.
pub(crate) fn manifest(candidate: &Candidate) -> Found {
    let own = candidate.name();
    for (index, name) in manifest_names(own).into_iter().enumerate() {
        let path = candidate.path.with_file_name(&name);
        let Ok(seen) = Candidate::look(&path) else { continue };
        match read(&path) {
            Ok(manifest) if OsStr::new(&manifest.filename) == own => {
                return Found::Good(name, Box::new(manifest));
            }
            // By its stem alone it may be the manifest of another file that is there: not a word about this one.
            Ok(manifest) if index > 0 && path.with_file_name(&manifest.filename).exists() => {}
            Ok(manifest) => {
                let error = Error::bad_data(format!(
                    "the manifest beside the file names another file, {:?}",
                    manifest.filename
                ));
                return Found::Bad(seen, error.on(shown(&path)).hint("correct its filename, or remove it"));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Found::Bad(seen, error),
        }
    }
    Found::None
}

/// Reads one manifest.
pub(crate) fn read(path: &Path) -> Result<Manifest> {
    Manifest::parse(&bytes(path)?).map_err(|e| {
        let hint = e.hint_text().map(str::to_owned);
        let error = Error::new(e.kind(), e.to_string()).on(shown(path));
        error.hint(hint.unwrap_or_else(|| "correct the manifest, or remove it".to_owned()))
    })
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    let failed = |e| Error::io("read the manifest", shown(path), e);
    let mut bytes = Vec::new();
    open_plain(path).map_err(failed)?.take(MANIFEST_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MANIFEST_MAX_BYTES {
        return Err(Error::bad_data("the manifest is larger than any manifest").on(shown(path)));
    }
    Ok(bytes)
}

/// Whether this file with a manifest's name reads as one, of whatever file: JSON with a text `filename`.
pub(crate) fn reads_as_manifest(path: &Path) -> bool {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return false };
    metadata.is_file()
        && bytes(path).is_ok_and(|bytes| {
            serde_json::from_slice::<Value>(&bytes)
                .is_ok_and(|value| value.get("filename").is_some_and(Value::is_string))
        })
}

/// Whether this file with a manifest's name is one: a file of its name lies beside it, or it reads as one.
pub(crate) fn is_manifest(path: &Path) -> bool {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
    let name = name.to_owned();
    with_a_file(folder, std::slice::from_ref(&name)).is_ok_and(|found| found.contains(&name))
        || reads_as_manifest(path)
}

/// Those of the manifests' names beside which a file lies for which they can speak. One more listing of the folder,
/// without a look at any file.
pub(crate) fn with_a_file(folder: &Path, manifests: &[OsString]) -> Result<HashSet<OsString>> {
    let wanted: HashSet<&OsStr> = manifests.iter().map(OsString::as_os_str).collect();
    let mut found = HashSet::new();
    let failed = |e| Error::io("read the folder", shown(folder), e);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if wanted.contains(name.as_os_str()) || name.as_bytes().ends_with(DONE_SUFFIX.as_bytes()) {
            continue;
        }
        found.extend(manifest_names(&name).into_iter().filter(|m| wanted.contains(m.as_os_str())));
    }
    Ok(found)
}

/// What lies beside a file of this size, in bytes, and goes where it goes: its done marker, and the manifest that
/// names it and its size.
pub(crate) fn companions(path: &Path, size: u64) -> Vec<Companion> {
    let Some(name) = path.file_name() else { return Vec::new() };
    let mut found = Vec::new();
    let marker = path.with_file_name(with_suffix(name, DONE_SUFFIX));
    if std::fs::symlink_metadata(&marker).is_ok_and(|m| m.is_file()) {
        found.push(Companion { path: marker, of_stem: false, suffix: DONE_SUFFIX });
    }
    for (index, manifest) in manifest_names(name).into_iter().enumerate() {
        let manifest = path.with_file_name(manifest);
        if read(&manifest).is_ok_and(|m| OsStr::new(&m.filename) == name && m.file_size == size) {
            found.push(Companion { path: manifest, of_stem: index > 0, suffix: MANIFEST_SUFFIX });
        }
    }
    found
}

/// A done marker or a manifest of a file.
#[derive(Debug)]
pub(crate) struct Companion {
    /// Where it lies.
    pub(crate) path: PathBuf,
    of_stem: bool,
    suffix: &'static str,
}

impl Companion {
    /// Its name beside the file under another name.
    pub(crate) fn name_beside(&self, file: &OsStr) -> OsString {
        let base = if self.of_stem { hints::stem_of(file.as_bytes()) } else { file.as_bytes() };
        with_suffix(&OsString::from_vec(base.to_vec()), self.suffix)
    }
}
