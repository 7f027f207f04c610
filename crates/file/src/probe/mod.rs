//! What the data directory's file system can do, found out by doing it; what it cannot is said, with what is done
//! instead.
//!
//! Invariants: everything happens in one folder of its own inside `.handover/tmp`, which is removed again on every way
//! out, with whatever folders were made for it; nothing is written anywhere else. A probe that cannot tell says so
//! and never fails.
//!
//! A crash leaves that folder, `.handover/tmp/probe-…`, unlocked; the next [`crate::lock::sweep`] removes it.

use crate::arrive::{self, Event, EventKind, Lease, Watcher};
use crate::lock::{self, PROBE_PREFIX};
use crate::place::create_dirs;
use filesystem::Filesystem;
use handover_core::{HolderId, Result};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::Serialize;
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, UNIX_EPOCH};

mod filesystem;

/// How long an event may take to arrive before events count as not delivered.
const EVENT_WAIT: Duration = Duration::from_secs(1);
/// Less free space than this is said.
const FREE_LOW_BYTES: u64 = 1024 * 1024 * 1024;
/// Coarser file times than this are said.
const TIME_COARSE_NS: u64 = 10_000_000;

/// What was found out about a data directory and the folders that are watched.
#[derive(Debug, Clone, Serialize)]
pub struct Probe {
    /// The data directory.
    pub data: String,
    /// Whether files can be written in it. Where not, nothing else below could be tried.
    pub writable: bool,
    /// Its file system.
    #[serde(flatten)]
    pub filesystem: Filesystem,
    /// Whether the event of a rename was delivered.
    pub events: bool,
    /// Whether a rename that never replaces is one step.
    pub rename_noreplace: bool,
    /// Whether two files can be exchanged in one step.
    pub exchange: bool,
    /// Whether a file can have two names.
    pub hard_links: bool,
    /// Whether a read lease tells a file that is being written from one that is not.
    pub leases: bool,
    /// The finest difference between two file times, in nanoseconds.
    pub time_resolution_ns: Option<u64>,
    /// The folders that are watched.
    pub watched: Vec<WatchedFolder>,
    /// What is weak: for each a sentence that says what it means and what is done instead.
    pub weaknesses: Vec<String>,
}

/// What was found out about a folder that is watched; nothing is written in it.
#[derive(Debug, Clone, Serialize)]
pub struct WatchedFolder {
    /// Its path.
    pub path: String,
    /// Whether it is there and a folder.
    pub exists: bool,
    /// Whether it is on the data directory's device.
    pub same_device: bool,
    /// Its file system, where it is there.
    pub filesystem: Option<Filesystem>,
}

/// Probes a data directory and the folders that are watched. Takes a few milliseconds, and a second more where no
/// events are delivered.
pub fn probe(data_root: &Path, watch_folders: &[PathBuf]) -> Probe {
    let mut probe = Probe {
        data: arrive::shown(data_root),
        writable: false,
        filesystem: Filesystem::of(data_root),
        events: false,
        rename_noreplace: false,
        exchange: false,
        hard_links: false,
        leases: false,
        time_resolution_ns: None,
        watched: watch_folders.iter().map(|folder| watched(data_root, folder)).collect(),
        weaknesses: Vec::new(),
    };
    match Scratch::make(data_root) {
        Ok(scratch) => {
            probe.writable = true;
            probe.try_out(&scratch.folder);
            probe.judge();
        }
        Err(error) => {
            let hint = error.hint_text().unwrap_or("choose another data directory").to_owned();
            probe
                .weaknesses
                .push(format!("The data directory cannot be written ({error}): nothing can run; {hint}."));
        }
    }
    probe.judge_watched();
    probe
}

fn watched(data_root: &Path, folder: &Path) -> WatchedFolder {
    let there = fs::metadata(folder).ok().filter(fs::Metadata::is_dir);
    let data = nearest_device(data_root);
    WatchedFolder {
        path: arrive::shown(folder),
        exists: there.is_some(),
        same_device: there.as_ref().map(MetadataExt::dev) == data,
        filesystem: there.map(|_| Filesystem::of(folder)),
    }
}

fn nearest_device(path: &Path) -> Option<u64> {
    let absolute = std::path::absolute(path).ok()?;
    absolute.ancestors().find_map(|above| fs::metadata(above).ok()).map(|metadata| metadata.dev())
}

/// The folder in which things are tried out; dropping it removes it, and the folders made for it.
struct Scratch {
    folder: PathBuf,
    made: Vec<PathBuf>,
    _lock: Option<File>,
}

impl Scratch {
    fn make(data_root: &Path) -> Result<Self> {
        let name = format!("{PROBE_PREFIX}{}", HolderId::new(std::process::id()));
        let folder = data_root.join(".handover/tmp").join(name);
        let mut made = create_dirs(&folder)?;
        let mut lock = lock::keep(&folder);
        if !folder.is_dir() {
            // A sweep saw it before it was locked.
            made.extend(create_dirs(&folder)?);
            lock = lock::keep(&folder);
        }
        let scratch = Self { folder, made, _lock: lock };
        // A full disk has room for folders' names and not for a file.
        let file = scratch.folder.join("written");
        fs::write(&file, b"x").map_err(|e| handover_core::Error::io("write", arrive::shown(&file), e))?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
        // Not those in which somebody else has made something since.
        for made in self.made.iter().rev() {
            let _ = fs::remove_dir(made);
        }
    }
}

impl Probe {
    fn try_out(&mut self, folder: &Path) {
        self.events = events_delivered(folder);
        self.rename_noreplace = rename_noreplace(folder);
        self.exchange = exchange(folder);
        self.hard_links = fs::hard_link(folder.join("written"), folder.join("linked")).is_ok();
        self.leases = leases_tell(&folder.join("leased"));
        self.time_resolution_ns = time_resolution_ns(&folder.join("timed"));
    }

    fn judge(&mut self) {
        let kind = self.filesystem.kind.clone();
        let mut say = |weak: bool, sentence: String| {
            if weak {
                self.weaknesses.push(sentence);
            }
        };
        say(
            self.filesystem.network,
            format!(
                "The data directory is on a network mount ({kind}): changes by other machines give no events and \
                 file times are the server's, so folders are scanned at intervals; keep the ledger on a local disk \
                 or use PostgreSQL."
            ),
        );
        say(
            !self.events,
            "File events are not delivered here: new files are found by scans at intervals, so they start later."
                .to_owned(),
        );
        say(
            !self.rename_noreplace,
            format!(
                "This file system ({kind}) has no rename that never replaces: {} instead.",
                if self.hard_links {
                    "a file gets its name by a hard link"
                } else {
                    "an empty file holds the name until the rename"
                }
            ),
        );
        say(
            !self.exchange,
            "Two files cannot be exchanged in one step here: a retry that publishes anew does it in three renames."
                .to_owned(),
        );
        say(
            !self.hard_links && self.rename_noreplace,
            "Files cannot have two names here: where a hard link would do, a file is copied.".to_owned(),
        );
        say(
            !self.leases,
            "Read leases do not tell here whether a file is being written: a foreign file is taken when no visible \
             process has it open and it has been left alone for the settle time; a done marker or a rename is surer."
                .to_owned(),
        );
        let coarse = self.time_resolution_ns.is_none_or(|ns| ns > TIME_COARSE_NS);
        say(
            coarse,
            "File times are coarse here: a file written twice in a moment may look unchanged, so folders that \
             changed lately are listed again, and checksums decide."
                .to_owned(),
        );
        let free = self.filesystem.free_bytes;
        say(
            free.is_some_and(|free| free < FREE_LOW_BYTES),
            format!(
                "Only {} MiB are free for the data directory: when the disk is full, work waits until there is room.",
                free.unwrap_or(0) / (1024 * 1024)
            ),
        );
    }

    fn judge_watched(&mut self) {
        for folder in &self.watched {
            let path = &folder.path;
            if !folder.exists {
                self.weaknesses.push(format!(
                    "The watched folder {path} does not exist: it is waited for, and nothing comes from it until then."
                ));
                continue;
            }
            if let Some(filesystem) = folder.filesystem.as_ref().filter(|filesystem| filesystem.network) {
                self.weaknesses.push(format!(
                    "The watched folder {path} is on a network mount ({}): files that other machines put there give \
                     no events and it cannot be told whether one is still open, so they are found by scans and \
                     taken after the settle time; done markers or manifests are surer.",
                    filesystem.kind
                ));
            }
        }
    }
}

/// Whether a rename that never replaces leaves a taken name alone and takes a free one.
fn rename_noreplace(folder: &Path) -> bool {
    let (one, two) = two_files(folder);
    let rename = |to: &Path| renameat_with(CWD, &one, CWD, to, RenameFlags::NOREPLACE);
    rename(&two) == Err(rustix::io::Errno::EXIST) && rename(&folder.join("free")).is_ok()
}

/// Whether two files change places.
fn exchange(folder: &Path) -> bool {
    let (one, two) = two_files(folder);
    renameat_with(CWD, &one, CWD, &two, RenameFlags::EXCHANGE).is_ok()
        && fs::read(&one).is_ok_and(|content| content == b"two")
}

fn two_files(folder: &Path) -> (PathBuf, PathBuf) {
    let (one, two) = (folder.join("one"), folder.join("two"));
    for (file, content) in [(&one, "one"), (&two, "two")] {
        // Where this fails, so does the rename that it is for.
        let _ = fs::write(file, content);
    }
    (one, two)
}

/// Makes a file, renames it and waits for the event, by the very watcher that sources use.
fn events_delivered(folder: &Path) -> bool {
    let watched = folder.join("watched");
    let (told, events) = channel();
    let begun = fs::create_dir(&watched).is_ok();
    let Ok(watcher) = Watcher::start(move |event| drop(told.send(event))) else { return false };
    let source = folder.join("renamed");
    begun
        && watcher.watch(&watched).is_ok()
        && fs::write(&source, b"x").is_ok()
        && fs::rename(&source, watched.join("renamed")).is_ok()
        && comes(&events, &watched.join("renamed"))
}

fn comes(events: &Receiver<Event>, path: &Path) -> bool {
    let end = Instant::now() + EVENT_WAIT;
    while let Ok(event) = events.recv_timeout(end.saturating_duration_since(Instant::now())) {
        // Systems other than Linux do not tell a rename from the making of a file.
        if event.path == path && matches!(event.kind, EventKind::RenamedIn | EventKind::Changed) {
            return true;
        }
    }
    false
}

/// Whether a lease is refused while a file is open for writing, and granted afterwards.
fn leases_tell(path: &Path) -> bool {
    let Ok(writer) = File::create(path) else { return false };
    let Ok(reader) = File::open(path) else { return false };
    let refused = matches!(arrive::read_lease(&reader), Lease::Writer);
    drop(writer);
    refused && matches!(arrive::read_lease(&reader), Lease::Granted)
}

/// The finest file time that is kept: of a time with every digit, how many come back.
fn time_resolution_ns(path: &Path) -> Option<u64> {
    let file = File::create(path).ok()?;
    let (seconds, nanoseconds) = (1_700_000_001, 123_456_789);
    let time = UNIX_EPOCH + Duration::new(seconds, nanoseconds);
    file.set_times(FileTimes::new().set_modified(time)).ok()?;
    let kept = file.metadata().ok()?;
    if kept.mtime().unsigned_abs() != seconds {
        return Some(2_000_000_000);
    }
    let digits = u64::try_from(kept.mtime_nsec()).ok()?;
    [1, 100, 1_000, 1_000_000, 10_000_000, 1_000_000_000]
        .into_iter()
        .find(|grain| digits == u64::from(nanoseconds) / grain * grain)
}
