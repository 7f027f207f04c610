//! Sources of foreign files: one task for each importer watches its folders, judges what lies there, and commits
//! arrivals. Events are hints; a scan is the truth.
//!
//! Invariants: a file is taken only after its arrival is in the ledger; each state of a file arrives once; a file
//! that cannot be taken is refused with its reason, once. On a crash the next scan finds what was not committed.

mod arrivals;
mod known;
mod past;

use super::ended;
use super::events::Event;
use super::pool::Busy;
use crate::built::Source;
use crate::config::App;
use crate::context::Context;
use crate::engine::untaken::Forget;
use crate::engine::watched::Events;
use arrivals::Pending;
pub(crate) use arrivals::known_unreadable;
use handover_core::limits::ARRIVALS_BATCH;
use handover_core::name::MANIFEST_SUFFIX;
use handover_core::{Error, ErrorKind, Result};
use handover_file::arrive::{self, Candidate, Hint, Inspector, Readiness, ScanOptions};
use jiff::{SignedDuration, Timestamp};
use known::Known;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;

/// How often a folder is scanned where no event asks for it.
const SCAN_EVERY: Duration = Duration::from_secs(10);
/// How long to wait where the ledger or a folder does not let us look.
const AGAIN: Duration = Duration::from_secs(1);

/// Why a file waits, for `run --once` and for people.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) path: PathBuf,
    pub(crate) reason: String,
}

/// A file that may not be taken yet.
struct Wait {
    index: usize,
    reason: String,
    /// When to look again.
    again: Instant,
}

/// The task of one importer.
pub(crate) struct Importing {
    ctx: Arc<Context>,
    app: Arc<App>,
    sources: Arc<Vec<Source>>,
    known: Known,
    hints: HashMap<PathBuf, Hint>,
    waits: HashMap<PathBuf, Wait>,
    scan_at: Instant,
    inspectors: Vec<Inspector>,
    busy: Arc<AtomicUsize>,
    waiting: Arc<std::sync::Mutex<Vec<Waiting>>>,
    scans: Arc<AtomicUsize>,
    /// What was said since the last scan began, and before that.
    said: HashSet<String>,
    said_before: HashSet<String>,
}

/// What others may know of an importer's task.
#[derive(Clone)]
pub(crate) struct ImportState {
    /// What waits for its completeness, at the last scan.
    pub(crate) waiting: Arc<std::sync::Mutex<Vec<Waiting>>>,
    /// How many scans were made.
    pub(crate) scans: Arc<AtomicUsize>,
}

impl Importing {
    pub(crate) fn new(
        ctx: Arc<Context>,
        app: Arc<App>,
        sources: Arc<Vec<Source>>,
        busy: Arc<AtomicUsize>,
    ) -> (Self, ImportState) {
        let state = ImportState { waiting: Arc::default(), scans: Arc::default() };
        let importing = Self {
            ctx,
            app,
            known: Known::default(),
            hints: HashMap::new(),
            waits: HashMap::new(),
            scan_at: Instant::now(),
            inspectors: sources.iter().map(|_| Inspector::new()).collect(),
            sources,
            busy,
            waiting: state.waiting.clone(),
            scans: state.scans.clone(),
            said: HashSet::new(),
            said_before: HashSet::new(),
        };
        (importing, state)
    }

    /// Looks at the files that events name, and at those that wait when their time comes; scans from time to time.
    pub(crate) async fn serve(mut self, mut events: Events, mut end: watch::Receiver<bool>) {
        self.remember().await;
        let mut paths = HashSet::new();
        loop {
            let now = Instant::now();
            let looked = if self.scan_at <= now {
                paths.clear();
                self.round().await
            } else {
                let due =
                    self.waits.iter().filter(|(_, wait)| wait.again <= now).map(|(path, _)| path.clone());
                paths.extend(due);
                self.look_at(std::mem::take(&mut paths)).await
            };
            if let Err(e) = looked {
                warn!(app = %self.app.name, "cannot look for new files: {e}; it is tried again");
                let text = format!("{}: {}", self.app.name, crate::delivery::said(&e));
                self.ctx.process.observer.tell(Event::Hindered(text));
                self.scan_at = Instant::now() + AGAIN;
            }
            self.scans.fetch_add(1, Ordering::SeqCst);
            let next =
                self.waits.values().map(|wait| wait.again).min().unwrap_or(self.scan_at).min(self.scan_at);
            tokio::select! {
                () = ended(&mut end) => return,
                Some(event) = events.recv() => self.note(event, &mut paths),
                () = tokio::time::sleep_until(next) => {}
            }
            while let Ok(event) = events.try_recv() {
                self.note(event, &mut paths);
            }
        }
    }

    /// Takes an event as the hint that it is.
    fn note(&mut self, event: arrive::Event, paths: &mut HashSet<PathBuf>) {
        match event.kind {
            arrive::EventKind::RenamedIn => {
                self.known.forget(&event.path);
                self.hints.insert(event.path.clone(), Hint::RenamedIn);
            }
            arrive::EventKind::Changed => {
                self.known.forget(&event.path);
                self.hints.remove(&event.path);
            }
            arrive::EventKind::Removed => {
                self.known.forget(&event.path);
                self.hints.remove(&event.path);
                self.waits.remove(&event.path);
                return;
            }
            arrive::EventKind::Closed => {}
            arrive::EventKind::Rescan => {
                self.scan_at = Instant::now();
                return;
            }
        }
        match event.path.to_str() {
            // It speaks for a file whose extension it does not tell.
            Some(path) if path.ends_with(MANIFEST_SUFFIX) => self.scan_at = Instant::now(),
            Some(path) => {
                paths.insert(PathBuf::from(path.strip_suffix(arrive::DONE_SUFFIX).unwrap_or(path)));
            }
            None => {
                paths.insert(event.path);
            }
        }
    }

    /// Looks at single files: a folder with a hundred thousand files is not read for one.
    async fn look_at(&mut self, paths: HashSet<PathBuf>) -> Result<()> {
        if paths.is_empty() {
            return Ok(());
        }
        let _busy = Busy::begin(&self.busy);
        let mut arrivals = Vec::new();
        for path in paths {
            self.waits.remove(&path);
            let Some(index) = self.source_of(&path) else { continue };
            match Candidate::look(&path) {
                Ok(candidate) if self.known.has(&candidate) => {}
                Ok(candidate) => self.judge(index, candidate, &mut arrivals),
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                // A link, a pipe: the scan says what is wrong with it.
                Err(_) => self.scan_at = Instant::now(),
            }
            if arrivals.len() >= ARRIVALS_BATCH {
                self.commit(std::mem::take(&mut arrivals)).await?;
            }
        }
        self.commit(arrivals).await?;
        self.show_waiting();
        Ok(())
    }

    /// The source whose folder the file lies in and whose pattern it matches.
    fn source_of(&self, path: &Path) -> Option<usize> {
        let (folder, name) = (path.parent()?, path.file_name()?);
        let hidden = name.as_encoded_bytes().starts_with(b".");
        self.sources
            .iter()
            .position(|source| !hidden && source.config.from == folder && source.patterns.is_match(name))
    }

    /// Judges one file: it arrives, waits or is refused.
    fn judge(&mut self, index: usize, candidate: Candidate, arrivals: &mut Vec<Pending>) {
        let hint = self.hints.get(&candidate.path).copied();
        let now = self.ctx.project.clock.now();
        let settle = self.sources[index].config.settle;
        match self.inspectors[index].readiness(&candidate, settle, hint, now) {
            Readiness::Ready { proof, manifest } => {
                self.hints.remove(&candidate.path);
                arrivals.push(self.arrival(index, candidate, proof.to_string(), manifest.map(|m| *m), None));
            }
            Readiness::Waiting { reason, until } => {
                let again = Instant::now() + pause_until(until, now);
                self.waits.insert(candidate.path, Wait { index, reason, again });
            }
            Readiness::Refused(error) if error.kind() == ErrorKind::Denied => {
                self.unreadable(index, candidate, error, arrivals);
            }
            Readiness::Refused(error) => {
                arrivals.push(self.arrival(index, candidate, String::new(), None, Some(error)));
            }
        }
    }

    /// A file that may not be read: its writer gets the settle time to give the right to read it; then it is refused.
    fn unreadable(&mut self, index: usize, candidate: Candidate, error: Error, arrivals: &mut Vec<Pending>) {
        if self.known.has(&known_unreadable(&candidate)) {
            return;
        }
        let now = self.ctx.project.clock.now();
        let settle = SignedDuration::try_from(self.sources[index].config.settle).unwrap_or_default();
        match candidate.ctime.saturating_add(settle) {
            Ok(until) if until > now && candidate.ctime <= now => {
                let again = Instant::now() + pause_until(Some(until), now);
                let reason = "may not be read".to_owned();
                self.waits.insert(candidate.path, Wait { index, reason, again });
            }
            _ => arrivals.push(self.arrival(index, candidate, String::new(), None, Some(error))),
        }
    }

    /// Tells others what waits.
    fn show_waiting(&self) {
        let waiting =
            self.waits.iter().map(|(path, wait)| Waiting { path: path.clone(), reason: wait.reason.clone() });
        *self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = waiting.collect();
    }

    /// A scan of every folder.
    async fn round(&mut self) -> Result<()> {
        let _busy = Busy::begin(&self.busy);
        self.scan_at = Instant::now() + SCAN_EVERY;
        if !self.all_are_left() {
            // What still lies there although its import is done is looked up again.
            self.known.clear();
            self.finish_removals().await;
        }
        self.forget_untaken();
        self.known.begin_round();
        self.said_before = std::mem::take(&mut self.said);
        let mut all_seen = true;
        for index in 0..self.sources.len() {
            self.waits.retain(|_, wait| wait.index != index);
            if let Err(e) = self.source(index).await {
                all_seen = false;
                // A folder that is not there yet has nothing in it; anything else may keep files from being seen.
                if e.kind() != ErrorKind::NotFound {
                    let text = format!("{}: {}", self.app.name, crate::delivery::said(&e));
                    self.ctx.process.observer.tell(Event::Hindered(text));
                }
                self.say_once(&e);
            }
        }
        if all_seen {
            self.known.end_round();
        }
        self.show_waiting();
        self.hints.retain(|path, _| self.waits.contains_key(path));
        Ok(())
    }

    /// What this process could not take, and may come back as it was, is asked about again.
    fn forget_untaken(&mut self) {
        match self.ctx.process.untaken.take(&self.app.name) {
            Forget::All => self.known.clear(),
            Forget::These(paths) => paths.iter().for_each(|path| self.known.forget(path)),
        }
    }

    /// A folder that cannot be read is said once, and not at every scan that follows.
    fn say_once(&mut self, error: &Error) {
        let text = crate::delivery::said(error);
        if self.said.insert(text.clone()) && !self.said_before.contains(&text) {
            warn!(app = %self.app.name, "{text}");
            self.ctx.process.observer.tell(Event::Notice(format!("{}: {text}", self.app.name)));
        }
    }

    async fn source(&mut self, index: usize) -> Result<()> {
        let mut after = None;
        loop {
            let mut scan = self.scan(index, after.take())?;
            after = scan.next.take();
            let mut arrivals = Vec::new();
            for candidate in std::mem::take(&mut scan.candidates) {
                self.judge(index, candidate, &mut arrivals);
                if arrivals.len() >= ARRIVALS_BATCH {
                    self.commit(std::mem::take(&mut arrivals)).await?;
                }
            }
            let more = scan.refused_more > 0;
            let mut new = false;
            for refusal in scan.refused {
                if let Some(seen) = refusal.seen.filter(|seen| !self.known.has(seen)) {
                    new = true;
                    arrivals.push(self.arrival(index, seen, String::new(), None, Some(refusal.error)));
                } else if refusal.error.kind() != ErrorKind::BadData {
                    self.say_once(&refusal.error);
                }
            }
            self.commit(arrivals).await?;
            // Those that were refused now are known to the next scan and make room for more of them.
            if after.is_none() && !(more && new) {
                return Ok(());
            }
        }
    }

    fn scan(&self, index: usize, after: Option<arrive::Cursor>) -> Result<arrive::Scan> {
        let source = &self.sources[index];
        let known = |candidate: &Candidate| self.known.has(candidate);
        let options = ScanOptions {
            recursive: source.config.recursive,
            after,
            known: Some(&known),
            ..ScanOptions::default()
        };
        arrive::scan(&source.config.from, &source.patterns, &options).map_err(|e| {
            let missing = e.kind() == ErrorKind::NotFound;
            let error =
                Error::new(e.kind(), "cannot look for new files").on(source.config.from.display()).because(e);
            if missing {
                error.hint("the folder is not there yet: it is noticed when it appears")
            } else {
                error
            }
        })
    }
}

fn pause_until(until: Option<Timestamp>, now: Timestamp) -> Duration {
    let most = Duration::from_millis(250);
    until
        .map_or(most, |until| Duration::try_from(until.duration_since(now)).unwrap_or_default())
        .clamp(Duration::from_millis(5), SCAN_EVERY)
}
