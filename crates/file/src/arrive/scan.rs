//! What lies in a folder: the truth behind the events.
//!
//! Invariants:
//! - One listing of the folder and one look (lstat) at each file whose name matches; nothing is opened, except
//!   a manifest without its file.
//! - The order is that of modification time, then of path: the same folder gives the same answer.
//! - Memory is bounded by [`ScanOptions::batch`], however many files there are: the oldest come first and
//!   [`Scan::next`] says where to go on.
//! - A scan changes nothing, so a crash in one costs nothing.

use super::{Candidate, beside, refuse_unless_regular, shown};
use globset::GlobSet;
use handover_core::{Error, Result};
use jiff::Timestamp;
use std::collections::BinaryHeap;
use std::ffi::{OsStr, OsString};
use std::fs::DirEntry;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How many candidates one scan returns unless it is told otherwise.
pub const BATCH_DEFAULT: usize = 10_000;
/// How many refusals one scan describes; the rest are counted.
pub const REFUSALS_MAX: usize = 1_000;
/// How deep folders may lie in one another in a recursive scan.
const DEPTH_MAX: usize = 64;

/// How to scan.
pub struct ScanOptions<'a> {
    /// Also look into the folders inside; links to folders are not followed, dot-named ones are passed over.
    pub recursive: bool,
    /// The most candidates to return, at least 1.
    pub batch: usize,
    /// Go on behind this place, see [`Scan::next`].
    pub after: Option<Cursor>,
    /// Files that the caller knows already, taken or refused: they are counted and not returned.
    pub known: Option<&'a dyn Fn(&Candidate) -> bool>,
}

impl Default for ScanOptions<'_> {
    fn default() -> Self {
        Self { recursive: false, batch: BATCH_DEFAULT, after: None, known: None }
    }
}

/// A place in the order of a scan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    mtime: Timestamp,
    path: PathBuf,
}

/// A file that will never be taken as it is, and why.
#[derive(Debug)]
pub struct Refusal {
    /// Where it lies.
    pub path: PathBuf,
    /// What was seen of it, where it could be looked at: the link or pipe itself.
    pub seen: Option<Candidate>,
    /// Why it is refused, and what to do.
    pub error: Error,
}

/// How many matching names were passed over, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Names that begin with a dot, by which programs hide files that they are still writing.
    pub dot_names: u64,
    /// Done markers.
    pub done_markers: u64,
    /// Manifests.
    pub manifests: u64,
    /// Files that the caller knows already.
    pub known: u64,
    /// Files that went away while the folder was read.
    pub vanished: u64,
}

/// What a scan found.
#[derive(Debug, Default)]
pub struct Scan {
    /// Files that may be taken once they are complete, oldest first.
    pub candidates: Vec<Candidate>,
    /// Files that may not, by path; at most [`REFUSALS_MAX`].
    pub refused: Vec<Refusal>,
    /// How many refusals beyond those there were.
    pub refused_more: u64,
    /// What was passed over.
    pub skipped: Skipped,
    /// Where to go on, where there were more candidates than the batch holds.
    pub next: Option<Cursor>,
}

/// Scans a folder for files whose name matches.
///
/// # Errors
/// Where the folder itself cannot be read: [`handover_core::ErrorKind::NotFound`], [`handover_core::ErrorKind::Denied`].
/// Anything wrong with a single file is a [`Refusal`].
pub fn scan(folder: &Path, patterns: &GlobSet, options: &ScanOptions<'_>) -> Result<Scan> {
    let mut scanner =
        Scanner { patterns, options, oldest: BinaryHeap::new(), scan: Scan::default(), folders: Vec::new() };
    scanner.folder(folder, 0)?;
    while let Some((inner, depth)) = scanner.folders.pop() {
        if let Err(error) = scanner.folder(&inner, depth) {
            scanner.refuse(inner, None, error);
        }
    }
    Ok(scanner.finish())
}

/// Why a scan passes over a file that lies in the folder; none where it would return it.
pub fn why_passed_over(path: &Path, patterns: &GlobSet) -> Option<String> {
    let Some(name) = path.file_name() else {
        return Some("it has no file name".to_owned());
    };
    if !patterns.is_match(name) {
        return Some("its name matches none of the patterns".to_owned());
    }
    match kind_of(name) {
        NameKind::Dot => {
            Some("its name begins with a dot, as hidden and unfinished files' names do".to_owned())
        }
        NameKind::Marker => Some("it is a done marker: it speaks for the file of its name".to_owned()),
        NameKind::Manifest if beside::is_manifest(path) => {
            Some("it is a manifest: it speaks for the file that it names".to_owned())
        }
        NameKind::Manifest | NameKind::Plain => {
            Candidate::look(path).err().map(|error| format!("it is refused: {error}"))
        }
    }
}

enum NameKind {
    Dot,
    Marker,
    Manifest,
    Plain,
}

fn kind_of(name: &OsStr) -> NameKind {
    let bytes = name.as_bytes();
    if bytes.starts_with(b".") {
        NameKind::Dot
    } else if bytes.ends_with(beside::DONE_SUFFIX.as_bytes()) {
        NameKind::Marker
    } else if bytes.ends_with(handover_core::name::MANIFEST_SUFFIX.as_bytes()) {
        NameKind::Manifest
    } else {
        NameKind::Plain
    }
}

/// A candidate in the order of a scan.
#[derive(PartialEq, Eq)]
struct Aged(Candidate);

impl Aged {
    fn place(&self) -> (Timestamp, &OsStr) {
        (self.0.mtime, self.0.path.as_os_str())
    }
}

impl Ord for Aged {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for Aged {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

fn is_folder(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_dir())
}

struct Scanner<'a> {
    patterns: &'a GlobSet,
    options: &'a ScanOptions<'a>,
    /// The oldest so far; its top is the youngest of them.
    oldest: BinaryHeap<Aged>,
    scan: Scan,
    folders: Vec<(PathBuf, usize)>,
}

impl Scanner<'_> {
    fn folder(&mut self, folder: &Path, depth: usize) -> Result<()> {
        let failed = |e| Error::io("read the folder", shown(folder), e);
        let mut manifests: Vec<OsString> = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if self.options.recursive && self.descend(&entry, &name, depth) {
                continue;
            }
            if !self.patterns.is_match(&name) {
                continue;
            }
            match kind_of(&name) {
                NameKind::Dot => self.scan.skipped.dot_names += 1,
                NameKind::Marker => self.scan.skipped.done_markers += 1,
                NameKind::Manifest => manifests.push(name),
                // A folder with a plain name, such as `done`, was never meant for a file.
                NameKind::Plain if is_folder(&entry) && !name.as_bytes().contains(&b'.') => {}
                NameKind::Plain => self.look(entry.path(), entry.metadata()),
            }
        }
        self.manifests(folder, manifests)
    }

    /// Notes a folder for later; tells whether the entry was one.
    fn descend(&mut self, entry: &DirEntry, name: &OsStr, depth: usize) -> bool {
        if !is_folder(entry) {
            return false;
        }
        if depth >= DEPTH_MAX {
            let error = Error::bad_data("this folder lies too deep inside others").on(shown(&entry.path()));
            self.refuse(entry.path(), None, error);
        } else if !name.as_bytes().starts_with(b".") {
            self.folders.push((entry.path(), depth + 1));
        }
        true
    }

    /// Names that end as manifests do: such a name is passed over where it speaks for a file.
    fn manifests(&mut self, folder: &Path, names: Vec<OsString>) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let with_file = beside::with_a_file(folder, &names)?;
        for name in names {
            let path = folder.join(&name);
            if with_file.contains(&name) || beside::reads_as_manifest(&path) {
                self.scan.skipped.manifests += 1;
            } else {
                let metadata = std::fs::symlink_metadata(&path);
                self.look(path, metadata);
            }
        }
        Ok(())
    }

    fn look(&mut self, path: PathBuf, metadata: std::io::Result<std::fs::Metadata>) {
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                self.scan.skipped.vanished += 1;
                return;
            }
            Err(e) => {
                let error = Error::io("look at the file", shown(&path), e);
                return self.refuse(path, None, error);
            }
        };
        let refusal = refuse_unless_regular(&path, &metadata);
        let candidate = Candidate::from_metadata(path, &metadata);
        match refusal {
            // The caller has refused it before: it takes no place of one that was not refused yet.
            Some(_) if self.is_known(&candidate) => self.scan.skipped.known += 1,
            Some(error) => self.refuse(candidate.path.clone(), Some(candidate), error),
            None => self.keep(candidate),
        }
    }

    fn is_known(&self, candidate: &Candidate) -> bool {
        self.options.known.is_some_and(|known| known(candidate))
    }

    fn keep(&mut self, candidate: Candidate) {
        if let Some(after) = &self.options.after
            && (candidate.mtime, candidate.path.as_os_str()) <= (after.mtime, after.path.as_os_str())
        {
            return;
        }
        if self.is_known(&candidate) {
            self.scan.skipped.known += 1;
            return;
        }
        self.oldest.push(Aged(candidate));
        if self.oldest.len() > self.options.batch.max(1) {
            self.oldest.pop();
            // The place is filled in when the last of the batch is known.
            self.scan.next.get_or_insert_with(|| Cursor { mtime: Timestamp::MIN, path: PathBuf::new() });
        }
    }

    fn refuse(&mut self, path: PathBuf, seen: Option<Candidate>, error: Error) {
        if self.scan.refused.len() < REFUSALS_MAX {
            self.scan.refused.push(Refusal { path, seen, error });
        } else {
            self.scan.refused_more += 1;
        }
    }

    fn finish(mut self) -> Scan {
        self.scan.candidates = self.oldest.into_sorted_vec().into_iter().map(|aged| aged.0).collect();
        self.scan.refused.sort_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
        if let (Some(next), Some(last)) = (&mut self.scan.next, self.scan.candidates.last()) {
            *next = Cursor { mtime: last.mtime, path: last.path.clone() };
        }
        self.scan
    }
}
