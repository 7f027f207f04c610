//! Publishing: the only way a file comes to its place.
//!
//! The protocol, for a group of files at once, so that one sync serves many:
//! 1. the manifests are written to temporary files, so that a full disk is met before anything is in sight; the
//!    bytes of the data files and of the manifests are synced under their temporary names;
//! 2. folders are created, each data file is moved to its reserved name **without replacing**;
//! 3. each folder is synced once;
//! 4. each manifest is moved to its name without replacing;
//! 5. each folder is synced once.
//!
//! Invariants:
//! - **The manifest is the commit marker**: it appears after its data file is durable in place, and describes it.
//! - Nothing is replaced but what the same reservation has left there ([`Owner`] tells), and that only while
//!   `may_replace` (the ledger's word on the lease) says so, before and after the exchange. Of two that write the same
//!   name, the holder of the lease wins, whenever the other wakes.
//! - No manifest is moved to its name unless `may_publish` says, just before, that the work is still wanted. One that
//!   turns out late after that is taken back by its caller ([`Published::take_back`]).
//! - One file's failure is its own: the rest of its group goes on. What failed is undone, nothing is left in sight.
//!
//! A crash at any point leaves either nothing in sight, or a data file without a manifest, which does not exist
//! for anyone and which the same reservation replaces when it is tried again, or the published file.

mod group;
mod ours;
mod replace;
mod take_back;

pub use ours::{Owner, Stands};

use crate::draft::Written;
use crate::place::KnownFolders;
use crate::temp::TempNames;
use group::Job;
use handover_core::limits::PUBLISH_GROUP_MAX;
use handover_core::name::MANIFEST_SUFFIX;
use handover_core::{Error, ErrorKind, Manifest, Result};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use take_back::Identity;

/// How many requests may wait for the thread before [`Publisher::submit`] waits itself.
const QUEUE_MAX: usize = 1024;
/// One group at a time, so that each is large; but while a group of so many bytes is on its way to the disk, another thread
/// serves those behind it.
const LONG_BYTES: u64 = 1024 * 1024;
/// A group of so many files says that more are on their way.
const SIBLINGS: usize = 2;
/// For so long after such a group was taken.
const BUSY: Duration = Duration::from_millis(15);
/// How long a group then waits for them (as PostgreSQL's `commit_delay`): one sync serves more files.
const DELAY: Duration = Duration::from_millis(3);

/// Asks whether the lease is still ours.
pub type AskLease = Box<dyn FnMut() -> Result<bool> + Send>;

/// A file to be published.
pub struct PublishRequest {
    /// The finished draft.
    pub written: Written,
    /// The folder that it goes to; created where it is missing.
    pub folder: PathBuf,
    /// Its name there, with its extension.
    pub name: String,
    /// Its name without the extension, unique in the folder: the manifest is `{stem}.meta.json`.
    pub stem: String,
    /// Its manifest, complete; size, checksum and name must be those of the draft.
    pub manifest: Manifest,
    /// Whether the name was reserved just now, so that whatever stands there is somebody else's.
    pub fresh: bool,
    /// Asked before and after anything is replaced: the ledger's own word. Where `fresh`, never.
    pub may_replace: AskLease,
    /// Asked before each manifest is moved to its name, so it must be cheap as a rule.
    pub may_publish: AskLease,
}

impl PublishRequest {
    /// A request for a name reserved just now, which replaces nothing.
    pub fn new(written: Written, folder: PathBuf, name: String, stem: String, manifest: Manifest) -> Self {
        let (may_replace, may_publish): (AskLease, AskLease) =
            (Box::new(|| Ok(false)), Box::new(|| Ok(true)));
        Self { written, folder, name, stem, manifest, fresh: true, may_replace, may_publish }
    }

    /// The same for a name that an earlier attempt may have left something at.
    #[must_use]
    pub fn replacing(mut self, may_replace: impl FnMut() -> Result<bool> + Send + 'static) -> Self {
        self.fresh = false;
        self.may_replace = Box::new(may_replace);
        self
    }
}

/// A published file.
#[derive(Debug)]
pub struct Published {
    /// Where it is.
    pub path: PathBuf,
    /// Where its manifest is.
    pub manifest_path: PathBuf,
    /// What its manifest says.
    pub manifest: Manifest,
    /// Whether something of an earlier attempt was replaced.
    pub replaced: bool,
    names: TempNames,
    /// Of the data file and of the manifest.
    identities: (Option<Identity>, Option<Identity>),
}

/// A file that was not published, and why.
///
/// Kinds: [`ErrorKind::Exists`], the name is somebody else's: reserve the next and try again with `written`;
/// [`ErrorKind::Stale`], the lease is lost; [`ErrorKind::NotYet`], the disk is full.
#[derive(Debug)]
pub struct Unpublished {
    /// Why.
    pub error: Error,
    /// The draft, whole, to be published otherwise; none where it was lost.
    pub written: Option<Box<Written>>,
}

impl From<Unpublished> for Error {
    fn from(unpublished: Unpublished) -> Error {
        unpublished.error
    }
}

impl From<Error> for Unpublished {
    fn from(error: Error) -> Self {
        Self { error, written: None }
    }
}

/// What came of a request.
pub type Outcome = Result<Published, Unpublished>;

type Done = Box<dyn FnOnce(Outcome) + Send>;
type Request = (PublishRequest, Done);

/// The queue's other end.
struct Requests {
    queue: Receiver<Request>,
    /// When the last group was taken, where it was a large one.
    last: Option<Instant>,
}

/// Lets the second thread serve while the first is busy for long.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    open: bool,
    over: bool,
}

impl Gate {
    fn set(&self, change: impl FnOnce(&mut GateState)) {
        change(&mut lock(&self.state));
        self.changed.notify_all();
    }

    /// Waits until it is open; false when all is over.
    fn pass(&self) -> bool {
        let closed = |state: &mut GateState| !state.open && !state.over;
        let state =
            self.changed.wait_while(lock(&self.state), closed).unwrap_or_else(PoisonError::into_inner);
        state.open
    }
}

/// Dropped when the first thread ends: the second then ends too or, after a panic, serves in its stead.
struct Ends<'a>(&'a Gate);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.set(|state| (state.open, state.over) = (thread::panicking(), true));
    }
}

/// The one thread that publishes. Clones share it; when the last is dropped, what is queued is published first.
#[derive(Clone)]
pub struct Publisher(Arc<Inner>);

struct Inner {
    queue: Mutex<Option<SyncSender<Request>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    gate: Arc<Gate>,
}

impl Publisher {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start() -> Result<Self> {
        let (queue, requests) = sync_channel(QUEUE_MAX);
        let requests = Arc::new(Mutex::new(Requests { queue: requests, last: None }));
        let gate = Arc::new(Gate::default());
        let start = |first: bool| {
            let (requests, gate) = (Arc::clone(&requests), Arc::clone(&gate));
            thread::Builder::new()
                .name("handover-publish".to_owned())
                .spawn(
                    move || if first { serve(&requests, &gate) } else { serve_meanwhile(&requests, &gate) },
                )
                .map_err(|e| Error::io("start a thread", "publisher", e))
        };
        let threads = vec![start(true)?, start(false)?];
        Ok(Self(Arc::new(Inner { queue: Mutex::new(Some(queue)), threads: Mutex::new(threads), gate })))
    }

    /// Queues a file. `done` is called with the outcome, on the publisher's thread, so it must not wait for
    /// anything, least of all for another publication. Waits while the queue is full.
    pub fn submit(&self, request: PublishRequest, done: impl FnOnce(Outcome) + Send + 'static) {
        let queue = lock(&self.0.queue).clone();
        let Some(queue) = queue else { return done(Err(gone(request))) };
        if let Err(refused) = queue.send((request, Box::new(done))) {
            let (request, done) = refused.0;
            done(Err(gone(request)));
        }
    }

    /// Publishes a file and waits for the outcome.
    ///
    /// # Errors
    /// See [`Unpublished`].
    pub fn publish(&self, request: PublishRequest) -> Outcome {
        let (sender, outcome) = sync_channel(1);
        self.submit(request, move |result| {
            let _ = sender.send(result);
        });
        outcome
            .recv()
            .unwrap_or_else(|_| Err(Error::internal("the publisher ended without an answer").into()))
    }
}

fn gone(request: PublishRequest) -> Unpublished {
    let error = Error::new(ErrorKind::Cancelled, "the publisher has ended").on(request.name);
    Unpublished { error, written: Some(Box::new(request.written)) }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(lock(&self.queue).take());
        // The first thread may be the one that is here: then the second does what is left.
        self.gate.set(|state| state.open = true);
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads.into_iter().filter(|t| t.thread().id() != thread::current().id()) {
            let _ = thread.join();
        }
    }
}

/// Publishes a file on this thread: for commands, which publish one at a time.
///
/// # Errors
/// See [`Unpublished`].
pub fn publish_now(request: PublishRequest) -> Outcome {
    let mut jobs = [Job::new(request)];
    group::run(&mut jobs, &mut KnownFolders::default());
    let [job] = jobs;
    job.outcome()
}

/// Serves requests in groups: whatever has come while the group before was being synced.
fn serve(requests: &Mutex<Requests>, gate: &Gate) {
    let _ends = Ends(gate);
    let mut known = KnownFolders::default();
    loop {
        let Some(group) = gather(&mut lock(requests)) else { return };
        let long = group.iter().map(|(request, _)| request.written.file_size).sum::<u64>() >= LONG_BYTES;
        if long {
            gate.set(|state| state.open = true);
        }
        publish_group(group, &mut known);
        if long {
            gate.set(|state| state.open = false);
        }
    }
}

/// Serves what comes while the first thread is busy for long.
fn serve_meanwhile(requests: &Mutex<Requests>, gate: &Gate) {
    let mut known = KnownFolders::default();
    while gate.pass() {
        let Some(group) = gather(&mut lock(requests)) else { return };
        publish_group(group, &mut known);
    }
}

fn publish_group(group: Vec<Request>, known: &mut KnownFolders) {
    let (mut jobs, dones): (Vec<Job>, Vec<Done>) =
        group.into_iter().map(|(request, done)| (Job::new(request), done)).unzip();
    group::run(&mut jobs, known);
    for (job, done) in jobs.into_iter().zip(dones) {
        let outcome = job.outcome();
        // One caller's panic must not stop every other caller's files.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || done(outcome))).is_err() {
            tracing::error!("a caller panicked over what came of its publication");
        }
    }
}

/// Waits for the next group; none when no more can come.
fn gather(requests: &mut Requests) -> Option<Vec<Request>> {
    let first = requests.queue.recv().ok()?;
    if requests.last.is_some_and(|last| last.elapsed() < BUSY) {
        thread::sleep(DELAY);
    }
    let more = std::iter::from_fn(|| requests.queue.try_recv().ok()).take(PUBLISH_GROUP_MAX - 1);
    let group: Vec<Request> = std::iter::once(first).chain(more).collect();
    requests.last = (group.len() >= SIBLINGS).then(Instant::now);
    Some(group)
}

/// The name of the manifest of a file whose name without extension is this.
pub(crate) fn manifest_name(stem: &str) -> String {
    format!("{stem}{MANIFEST_SUFFIX}")
}
