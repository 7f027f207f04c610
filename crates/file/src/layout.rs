//! The data directory: where things lie.
//!
//! Invariants: a data file lies in `{root}/{folder}/{date}/`; nothing outside the root is ever named by a
//! relative path; `.handover/` holds what is ours alone. Opening creates what is missing and is safe to repeat,
//! also after a crash half-way.

use crate::place::{create_dirs, io_error, show, sync_dir};
use crate::temp::TempNames;
use handover_core::name::MANIFEST_SUFFIX;
use handover_core::{AppName, Error, HolderId, Result, TypeName, path_text};
use jiff::Timestamp;
use jiff::civil::Date;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// The folder of quarantined files and rejected rows.
pub const ERRORS_FOLDER: &str = "errors";
/// The folder of reports.
pub const REPORTS_FOLDER: &str = "reports";
/// The folder of what has been archived.
pub const ARCHIVE_FOLDER: &str = "archive";
/// The folder of the embedded ledger, locks and temporary files.
pub const STATE_FOLDER: &str = ".handover";

/// A data directory that is there and can be written. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DataDir(Arc<Paths>);

#[derive(Debug)]
struct Paths {
    root: PathBuf,
    given: PathBuf,
    state: PathBuf,
    tmp: PathBuf,
    locks: PathBuf,
}

impl Paths {
    fn new(root: PathBuf, given: PathBuf) -> Self {
        let state = root.join(STATE_FOLDER);
        Self { tmp: state.join("tmp"), locks: state.join("locks"), state, given, root }
    }
}

fn no_directory(root: &Path) -> Error {
    Error::config("the data directory is a file, not a directory")
        .on(show(root))
        .hint("give another path as `data:`")
}

impl DataDir {
    /// Opens the data directory at `root`, creating it and `.handover/{tmp,locks}` where they are missing, and
    /// proves by a trial that files can be written there.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Denied`] for a directory that is read-only or not ours to write, [`handover_core::ErrorKind::Config`] where
    /// the root is no directory, [`handover_core::ErrorKind::NotYet`] where the disk is full.
    pub fn open(root: &Path) -> Result<Self> {
        if fs::metadata(root).is_ok_and(|meta| !meta.is_dir()) {
            return Err(no_directory(root));
        }
        let unusable = |e: Error| {
            let hint = e.hint_text().map(str::to_owned);
            let error = Error::new(e.kind(), "the data directory cannot be used")
                .on(show(root))
                .because(e.to_string());
            match hint {
                Some(hint) => error.hint(hint),
                None => error.hint("check the path given as `data:` and the rights on it"),
            }
        };
        let given = std::path::absolute(root).map_err(|e| unusable(io_error("find", root, e)))?;
        for new in create_dirs(&given).map_err(unusable)? {
            new.parent().map_or(Ok(()), sync_dir).map_err(unusable)?;
        }
        let root = fs::canonicalize(&given).map_err(|e| unusable(io_error("find", &given, e)))?;
        let paths = Paths::new(root, given);
        for dir in [&paths.tmp, &paths.locks] {
            create_dirs(dir).map_err(unusable)?;
        }
        let data = Self(Arc::new(paths));
        data.try_writing().map_err(unusable)?;
        Ok(data)
    }

    /// The data directory at `root` for one who only looks: nothing is created or tried, and it need not be there.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] where the root is no directory.
    pub fn look(root: &Path) -> Result<Self> {
        if fs::metadata(root).is_ok_and(|meta| !meta.is_dir()) {
            return Err(no_directory(root));
        }
        let given = std::path::absolute(root).map_err(|e| io_error("find", root, e))?;
        let root = fs::canonicalize(&given).unwrap_or_else(|_| given.clone());
        Ok(Self(Arc::new(Paths::new(root, given))))
    }

    /// Creates and removes a temporary file; this also teaches the mode that new files get here.
    fn try_writing(&self) -> Result<()> {
        let names = TempNames::apart(self.tmp_dir(), &HolderId::new(std::process::id()));
        let temp = names.next("");
        crate::draft::create_file(temp.path()).map(drop).map_err(|e| io_error("create", temp.path(), e))
    }

    /// The root, absolute and without symbolic links.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// `.handover`: the embedded ledger, locks, temporary files.
    pub fn state_dir(&self) -> &Path {
        &self.0.state
    }

    /// `.handover/tmp`.
    pub fn tmp_dir(&self) -> &Path {
        &self.0.tmp
    }

    /// `.handover/locks`.
    pub fn locks_dir(&self) -> &Path {
        &self.0.locks
    }

    /// The folder of one date: `root/folder/YYYY-MM-DD`. It need not exist.
    pub fn folder(&self, folder: &str, date: Date) -> PathBuf {
        self.0.root.join(folder).join(date.to_string())
    }

    /// The path as the ledger keeps it: relative to the root, as text; none for a path outside.
    pub fn relative(&self, path: &Path) -> Option<String> {
        let inside = path.strip_prefix(&self.0.root).or_else(|_| path.strip_prefix(&self.0.given)).ok()?;
        let plain = inside.components().all(|part| matches!(part, Component::Normal(_)));
        (plain && !inside.as_os_str().is_empty()).then(|| path_text::to_text(inside))
    }

    /// The path of what [`DataDir::relative`] gave.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::BadData`] for a text that is absolute, empty, or leads out by `..`.
    pub fn absolute(&self, relative: &str) -> Result<PathBuf> {
        let inside = path_text::from_text(relative);
        let plain = inside.components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || inside.as_os_str().is_empty() || inside.as_os_str().as_bytes().contains(&0) {
            return Err(Error::bad_data("the path does not stay inside the data directory").on(relative));
        }
        Ok(self.0.root.join(inside))
    }
}

/// The folder of an app that declares none.
pub fn default_folder(app: &str) -> &str {
    match app {
        "file-importer" => "imports",
        "validator" => "validated",
        "data-transformer" => "transformed",
        "enricher" => "enriched",
        "file-exporter" => "exports",
        other => other,
    }
}

/// The highest sequence that a file or manifest of this app, type and date has in the folder; 0 where there is
/// none. Lists the folder.
///
/// # Errors
/// Where the folder is there but cannot be listed.
pub fn highest_sequence(dir: &Path, app: &AppName, type_name: &TypeName, date: Date) -> Result<u32> {
    let prefix = format!("{app}_{type_name}_{date}_");
    let mut highest = 0;
    for_each_name(dir, |name| {
        let sequence = name
            .strip_prefix(prefix.as_str())
            .and_then(|rest| rest.split('.').next())
            .and_then(|digits| digits.parse().ok());
        highest = highest.max(sequence.unwrap_or(0));
        true
    })?;
    Ok(highest)
}

/// Whether the name is taken by its manifest or by a file with this extension. Two looks, no listing: this is
/// for the common case, and [`stem_taken`] for certainty.
///
/// # Errors
/// Where the folder refuses to be looked at.
pub fn name_taken(dir: &Path, stem: &str, ext: &str) -> Result<bool> {
    Ok(exists(&dir.join(format!("{stem}{MANIFEST_SUFFIX}")))? || exists(&dir.join(format!("{stem}.{ext}")))?)
}

/// When anything about a file last changed, its name included; no program can set this time. So it says since when a file is
/// here, where the time of writing, which it keeps when it is moved or copied, does not. None where there is nothing.
///
/// # Errors
/// Where it may not be looked at.
pub fn last_changed(path: &Path) -> Result<Option<Timestamp>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(crate::arrive::timestamp(metadata.ctime(), metadata.ctime_nsec()))),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(io_error("look at", path, e)),
    }
}

/// Whether any file of this name is in the folder, whatever its extension. Lists the folder.
///
/// # Errors
/// Where the folder is there but cannot be listed.
pub fn stem_taken(dir: &Path, stem: &str) -> Result<bool> {
    let mut taken = false;
    for_each_name(dir, |name| {
        taken = name.strip_prefix(stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        !taken
    })?;
    Ok(taken)
}

/// Whether something, be it a dangling link, is at the path.
pub(crate) fn exists(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
        Err(e) => Err(io_error("look at", path, e)),
    }
}

/// Calls `each` with every name that is text until it says false; a folder that is not there has none.
fn for_each_name(dir: &Path, mut each: impl FnMut(&str) -> bool) -> Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(io_error("list", dir, e)),
    };
    for entry in entries {
        let entry = entry.map_err(|e| io_error("list", dir, e))?;
        if entry.file_name().to_str().is_some_and(|name| !each(name)) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use handover_core::ErrorKind;
    use jiff::civil::date;

    #[test]
    fn opening_creates_what_is_missing_and_leaves_no_trace_of_the_trial() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let data = DataDir::open(&dir.path().join("a/data")).unwrap();
            assert!(data.locks_dir().is_dir());
            assert_eq!(fs::read_dir(data.tmp_dir()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_root_that_cannot_be_one_is_refused_with_a_reason() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        assert_eq!(DataDir::open(&file).unwrap_err().kind(), ErrorKind::Config);
        let below = DataDir::open(&file.join("data")).unwrap_err();
        assert_eq!(below.kind(), ErrorKind::Denied);
        assert!(below.hint_text().is_some());
        fs::write(dir.path().join(".handover"), "x").unwrap();
        let error = DataDir::open(dir.path()).unwrap_err();
        assert!(error.to_string().contains("cannot be used"), "{error}");
    }

    #[test]
    fn relative_and_absolute_are_inverse_and_never_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        fs::create_dir(dir.path().join("real")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("real"), &link).unwrap();
        let data = DataDir::open(&link).unwrap();
        let path = data.folder("imports", date(2025, 11, 24)).join("x\n.csv");
        let relative = data.relative(&path).unwrap();
        assert_eq!(relative, "imports/2025-11-24/x\\x0a.csv");
        assert_eq!(data.absolute(&relative).unwrap(), path);
        assert_eq!(data.relative(&link.join("imports/x")).unwrap(), "imports/x");
        assert_eq!(data.relative(&data.root().join("a/../../b")), None);
        assert_eq!(data.relative(Path::new("/elsewhere")), None);
        for bad in ["/etc/passwd", "../x", "a/../x", "", ".", "\\x2e\\x2e/x", "a\\x00"] {
            assert!(data.absolute(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sequences_and_names_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let (app, kind) = (AppName::new("a").unwrap(), TypeName::new("b").unwrap());
        let day = date(2025, 11, 24);
        assert_eq!(highest_sequence(&dir.path().join("none"), &app, &kind, day).unwrap(), 0);
        for name in [
            "a_b_2025-11-24_002.csv",
            "a_b_2025-11-24_1000.meta.json",
            "a_b_2025-11-25_2000.csv",
            "a_bc_2025-11-24_3000.csv",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(highest_sequence(dir.path(), &app, &kind, day).unwrap(), 1000);
        assert!(name_taken(dir.path(), "a_b_2025-11-24_002", "csv").unwrap());
        assert!(!name_taken(dir.path(), "a_b_2025-11-24_002", "json").unwrap());
        assert!(name_taken(dir.path(), "a_b_2025-11-24_1000", "csv").unwrap());
        assert!(stem_taken(dir.path(), "a_b_2025-11-24_002").unwrap());
        assert!(!stem_taken(dir.path(), "a_b_2025-11-24_00").unwrap());
        assert_eq!((default_folder("validator"), default_folder("scorer")), ("validated", "scorer"));
    }
}
