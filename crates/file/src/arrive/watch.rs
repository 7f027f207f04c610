//! Watching folders: events as hints that a look is worth while. A scan is the truth.
//!
//! Invariants:
//! - An event may be missed, come twice or come late; [`EventKind::Rescan`] says that some were missed (the queue
//!   ran over, a folder came into being), and the caller scans now and then whatever happens.
//! - The state is declared, not followed: after anything that may have changed which folders there are, and every
//!   few seconds, what is watched is made to agree with what ought to be. So a folder that does not exist yet, or is
//!   removed and made again, or becomes another behind a link, is noticed.
//! - Every queue is bounded. The callback runs on the watcher's own thread, which holds no lock meanwhile.
//!
//! A crash loses the events with the process; the scan at the next start finds what they were about.

use super::shown;
use super::system::{self, Happening, Listener, Refused, System, Told};
use super::watch_plan::{Content, Plan, Want};
use handover_core::{Error, Result};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often what is watched is compared with what ought to be, where no event asks for it.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// How often in a row that comparison is repeated while folders keep appearing.
const ROUNDS_MAX: usize = 8;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A file was renamed into the folder, which is a proof that it is complete.
    RenamedIn,
    /// A file that was open for writing was closed.
    Closed,
    /// A file was made, linked, written to, or its rights or times were changed.
    Changed,
    /// A file went away; or, where the path is the folder's own, the folder did.
    Removed,
    /// Events of this folder may have been missed: scan it.
    Rescan,
}

/// A hint that something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The file, in the folder's path as it was given; for [`EventKind::Rescan`] the folder.
    pub path: PathBuf,
    /// What happened.
    pub kind: EventKind,
}

/// Watches folders and calls back with what happens in them. Dropping it ends that.
#[derive(Debug)]
pub struct Watcher {
    shared: Arc<Shared>,
    system: System,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    stopped: AtomicBool,
}

#[derive(Debug)]
struct State {
    system: System,
    wanted: BTreeMap<PathBuf, Want>,
    /// What is watched now: the folder's real path, and its device and inode when the watch began.
    held: HashMap<PathBuf, (u64, u64)>,
    plan: Plan,
    weakness: Option<String>,
}

impl Watcher {
    /// Starts a watcher that watches nothing yet. The callback must not block for long: meanwhile events wait, and in
    /// the end are replaced by a rescan.
    ///
    /// # Errors
    /// Where the system gives no more watchers (on Linux `fs.inotify.max_user_instances`) or threads.
    pub fn start(on_event: impl Fn(Event) + Send + 'static) -> Result<Self> {
        let (system, listener) = system::start()
            .map_err(|e| Error::io("start watching folders", "the system's file events", e))?;
        let state = State {
            system: system.clone(),
            wanted: BTreeMap::new(),
            held: HashMap::new(),
            plan: Plan::default(),
            weakness: None,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), stopped: AtomicBool::new(false) });
        let worker = Worker { shared: shared.clone(), listener, on_event };
        std::thread::Builder::new()
            .name("handover-watch".to_owned())
            .spawn(move || worker.run())
            .map_err(|e| Error::io("start a thread", "handover-watch", e))?;
        Ok(Self { shared, system })
    }

    /// Watches the files directly in a folder, which need not exist yet.
    ///
    /// # Errors
    /// Where the folder is there and may not be watched. It is kept in mind all the same and tried again.
    pub fn watch(&self, folder: &Path) -> Result<()> {
        self.want(folder, Want::Files)
    }

    /// Watches a data directory: in each date folder of each app's folder, also of those that come later, the manifests.
    ///
    /// # Errors
    /// As [`Watcher::watch`].
    pub fn watch_data(&self, data_root: &Path) -> Result<()> {
        self.want(data_root, Want::Manifests)
    }

    /// Ends the watch of a folder or data directory.
    pub fn unwatch(&self, folder: &Path) {
        let mut state = self.shared.lock();
        state.wanted.remove(folder);
        let _ = state.agree();
    }

    /// What keeps this watcher from seeing everything, in a sentence; none where nothing is known to.
    pub fn weakness(&self) -> Option<String> {
        self.shared.lock().weakness.clone()
    }

    fn want(&self, folder: &Path, want: Want) -> Result<()> {
        let mut state = self.shared.lock();
        state.wanted.insert(folder.to_owned(), want);
        // The caller scans after this call anyway, so that what is new need not be told.
        let _ = state.agree();
        match &state.weakness {
            Some(weakness) => Err(Error::new(handover_core::ErrorKind::Io, weakness.clone())
                .on(shown(folder))
                .hint("files are still found by the scans, only later")),
            None => Ok(()),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.system.wake();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Worker<F> {
    shared: Arc<Shared>,
    listener: Listener,
    on_event: F,
}

impl<F: Fn(Event)> Worker<F> {
    fn run(mut self) {
        let mut last = None;
        loop {
            let heard = self.listener.listen(CHECK_EVERY);
            if self.shared.stopped.load(Ordering::SeqCst) {
                return;
            }
            let mut told = Vec::new();
            {
                let mut state = self.shared.lock();
                match heard {
                    Told::Happened(events) => {
                        events.iter().for_each(|event| state.happened(event, &mut told))
                    }
                    Told::Lost => state.rescan_all(&mut told),
                    Told::Failed(error) => {
                        tracing::warn!(
                            error,
                            "the system's file events failed; the folders are scanned instead"
                        );
                        state.rescan_all(&mut told);
                    }
                    Told::Woken => {}
                    Told::Nothing => told.extend(state.agree()),
                }
            }
            for event in told {
                // A slow writer makes the same event over and over.
                if event.kind == EventKind::Changed && last.as_ref() == Some(&event) {
                    continue;
                }
                last = Some(event.clone());
                (self.on_event)(event);
            }
        }
    }
}

impl State {
    /// Makes what is watched agree with what ought to be. Returns what that brings to light.
    fn agree(&mut self) -> Vec<Event> {
        let mut told = Vec::new();
        self.weakness = None;
        for _ in 0..ROUNDS_MAX {
            let plan = Plan::of(&self.wanted);
            for gone in self.plan.contents_missing_in(&plan) {
                told.push(Event { path: gone, kind: EventKind::Removed });
            }
            let old = std::mem::replace(&mut self.plan, plan);
            let begun = self.hold();
            for (real, folder) in self.plan.contents() {
                if begun.contains(real) || !old.has_content(real) {
                    told.push(Event { path: folder.given.clone(), kind: EventKind::Rescan });
                }
            }
            // Folders that came between the look and the watch are found by looking once more.
            if begun.is_empty() {
                break;
            }
        }
        told
    }

    /// Begins the watches that the plan has and that are not held, ends those that it has not. Returns those begun.
    fn hold(&mut self) -> HashSet<PathBuf> {
        let ended: Vec<PathBuf> = self
            .held
            .iter()
            .filter(|(real, identity)| self.plan.identity(real) != Some(**identity))
            .map(|(real, _)| real.clone())
            .collect();
        for real in ended {
            self.held.remove(&real);
            // The system may have ended it already.
            self.system.unwatch(&real);
        }
        let mut begun = HashSet::new();
        for (real, identity) in self.plan.folders() {
            if self.held.contains_key(real) {
                continue;
            }
            match self.system.watch(real) {
                Ok(()) => {
                    self.held.insert(real.clone(), identity);
                    begun.insert(real.clone());
                }
                Err(error) => {
                    let full = matches!(error, Refused::TooMany);
                    self.weakness.get_or_insert_with(|| weakness(real, &error));
                    if full {
                        break;
                    }
                }
            }
        }
        begun
    }

    fn rescan_all(&mut self, told: &mut Vec<Event>) {
        told.extend(self.agree());
        told.extend(self.wanted.keys().map(|folder| Event { path: folder.clone(), kind: EventKind::Rescan }));
    }

    fn happened(&mut self, event: &Happening, told: &mut Vec<Event>) {
        let Happening { path, kind, may_be_folder } = event;
        let (kind, may_be_folder) = (*kind, *may_be_folder);
        let itself = self.held.contains_key(path);
        if itself && kind == EventKind::Removed {
            // Whatever comes to lie there is another folder, whatever its inode.
            self.held.remove(path);
            self.system.unwatch(path);
        }
        let parent = path.parent().unwrap_or(path);
        if itself || may_be_folder && self.plan.is_structure(parent) {
            told.extend(self.agree());
        }
        if let Some(name) = path.file_name() {
            self.tell(parent, name, kind, told);
        }
    }

    fn tell(&self, parent: &Path, name: &OsStr, kind: EventKind, told: &mut Vec<Event>) {
        if name.as_bytes().starts_with(b".") {
            return;
        }
        for Content { given, want } in self.plan.content(parent) {
            if *want == Want::Files || super::manifests::is_manifest_name(name) {
                told.push(Event { path: given.join(name), kind });
            }
        }
    }
}

fn weakness(folder: &Path, refused: &Refused) -> String {
    let folder = shown(folder);
    match refused {
        Refused::TooMany => format!(
            "the system allows no more watched folders, so changes in {folder} and others are found by the scans \
             alone; raise fs.inotify.max_user_watches"
        ),
        Refused::Other(error) => {
            format!("{folder} cannot be watched, so changes in it are found by the scans alone ({error})")
        }
    }
}
