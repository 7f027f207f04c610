//! The connection to one guard: asks it, and hands each run its answers.
//!
//! Invariants:
//! - Frames are written by one task, whole, whatever happens to the run that asked.
//! - Requests and replies have a socket each, and that of the requests is not watched: the guard would wake us by each frame
//!   that it takes from it.
//! - Whoever waits for a run gets its end, or hears that the guard died; then its programs are gone already.
//! - A run that is dropped is killed.

use super::protocol::{Death, FRAME_MAX_BYTES, Frames, Reply, Request};
use super::{RUN_VARIABLE, leftovers};
use handover_core::{Error, Result};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::Pid;
use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as Requests;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::UnixStream as Replies;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// A longer `HANDOVER_RUN` around us is not carried on.
const OUTER_TAG_MAX_BYTES: usize = 512;

/// What is written to the guard.
enum Outgoing {
    Frame(Vec<u8>, Vec<OwnedFd>),
    /// Nothing more.
    Close,
}

/// How a run ended, as the guard saw it.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunEnd {
    pub death: Death,
    pub stopped: bool,
    pub left: u32,
}

/// Takes the end of a run, or the system's error number if it could not be started.
type Waiter = oneshot::Sender<Result<RunEnd, i32>>;

/// The runs that wait for answers, by their numbers; none when the guard is gone.
type Runs = Mutex<Option<HashMap<u64, Waiter>>>;

/// The connection to one guard.
#[derive(Debug)]
pub(super) struct Link {
    /// The tag of this guard's runs, before their number.
    prefix: String,
    next: AtomicU64,
    out: mpsc::UnboundedSender<Outgoing>,
    runs: Arc<Runs>,
    closing: Arc<AtomicBool>,
    reader: Mutex<Option<JoinHandle<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// Serves the connection to a guard that has answered; `requests` do not block. Within a tokio runtime.
    pub(super) fn start(child: Child, requests: Requests, replies: Replies) -> Self {
        let nonce = handover_core::id::random_hex()[..12].to_owned();
        let outer = std::env::var(RUN_VARIABLE).ok().filter(|outer| outer.len() <= OUTER_TAG_MAX_BYTES);
        let prefix = outer.map_or_else(|| nonce.clone(), |outer| format!("{outer}/{nonce}"));
        let runs: Arc<Runs> = Arc::new(Mutex::new(Some(HashMap::new())));
        let closing = Arc::new(AtomicBool::new(false));
        let (out, outgoing) = mpsc::unbounded_channel();
        tokio::spawn(write_frames(requests, outgoing, Arc::clone(&closing)));
        let reader = Reader { replies, child, nonce, runs: Arc::clone(&runs), closing: Arc::clone(&closing) };
        let reader = Mutex::new(Some(tokio::spawn(reader.read())));
        Self { prefix, next: AtomicU64::new(1), out, runs, closing, reader }
    }

    /// How many runs it has; none if its guard is gone.
    pub(super) fn runs(&self) -> Option<usize> {
        lock(&self.runs).as_ref().map(HashMap::len)
    }

    /// Asks the guard to end. What is given ends when it has.
    pub(super) fn close(&self) -> Option<JoinHandle<()>> {
        self.closing.store(true, Ordering::SeqCst);
        let _ = self.out.send(Outgoing::Close);
        lock(&self.reader).take()
    }

    /// A new run, known to nobody yet.
    pub(super) fn open(self: &Arc<Self>) -> Result<OpenRun> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (ended, ends) = oneshot::channel();
        let mut runs = lock(&self.runs);
        let runs = runs.as_mut().ok_or_else(guard_died)?;
        runs.insert(id, ended);
        Ok(OpenRun { id, link: Arc::clone(self), ends, sent: false, over: false })
    }
}

/// A run, for whoever puts another behind it, which begins when this one's tree is gone, without a word from us.
#[derive(Debug, Clone)]
pub struct RunHandle {
    pub(super) link: Arc<Link>,
    pub(super) run: u64,
}

impl RunHandle {
    /// Has it begin at once, if it waits behind another.
    pub fn begin(&self) {
        self.ask(&Request::Begin { run: self.run });
    }

    /// Has it not begin, if it waits behind another. One that has begun goes on.
    pub fn withdraw(&self) {
        self.ask(&Request::Withdraw { run: self.run });
    }

    fn ask(&self, request: &Request) {
        let _ = self.link.out.send(Outgoing::Frame(request.encode(), Vec::new()));
    }
}

/// The guard is gone, and so is the program.
pub(super) fn guard_died() -> Error {
    Error::new(handover_core::ErrorKind::Program, "the guard process died, and its programs were stopped").hint(
        "a new guard is started for the next program; if this happens again, see the system log (out of memory?)",
    )
}

/// A run of ours at the guard. Dropped before its end, it is killed.
#[derive(Debug)]
pub(super) struct OpenRun {
    id: u64,
    link: Arc<Link>,
    /// Gives the end, or the system's error number if it could not be started; closed if the guard died.
    pub ends: oneshot::Receiver<Result<RunEnd, i32>>,
    sent: bool,
    over: bool,
}

impl OpenRun {
    /// Its number.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The value of its `HANDOVER_RUN`.
    pub(super) fn tag(&self) -> String {
        format!("{}-{}", self.link.prefix, self.id)
    }

    /// Sends the request to start it; false if it is too long. The descriptors are closed here when they are sent.
    pub(super) fn send_start(&mut self, request: &Request, descriptors: Vec<OwnedFd>) -> bool {
        let frame = request.encode();
        if frame.len() > FRAME_MAX_BYTES {
            return false;
        }
        self.sent = true;
        // If nobody takes it any more, the guard is dead, and `ends` says so.
        let _ = self.link.out.send(Outgoing::Frame(frame, descriptors));
        true
    }

    /// To speak of it elsewhere.
    pub(super) fn handle(&self) -> RunHandle {
        RunHandle { link: Arc::clone(&self.link), run: self.id }
    }

    /// Asks for its end.
    pub(super) fn stop(&self, hard: bool) {
        let frame = Request::Stop { run: self.id, hard }.encode();
        let _ = self.link.out.send(Outgoing::Frame(frame, Vec::new()));
    }

    /// It has ended: nothing is to be killed any more.
    pub(super) fn set_over(&mut self) {
        self.over = true;
    }
}

impl Drop for OpenRun {
    fn drop(&mut self) {
        if self.sent && !self.over {
            self.stop(true);
        } else if let Some(runs) = lock(&self.link.runs).as_mut() {
            runs.remove(&self.id);
        }
    }
}

/// Writes the frames, one after the other, until nobody has any more; then the guard's socket ends.
async fn write_frames(
    stream: Requests,
    mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
    closing: Arc<AtomicBool>,
) {
    while let Some(Outgoing::Frame(frame, descriptors)) = outgoing.recv().await {
        if let Err(error) = write_frame(&stream, &frame, descriptors).await {
            tracing::debug!(%error, "the guard cannot be written to");
            return;
        }
    }
    closing.store(true, Ordering::SeqCst);
    let _ = stream.shutdown(Shutdown::Write);
}

/// Writes one frame; its descriptors go with its first bytes.
async fn write_frame(stream: &Requests, frame: &[u8], mut descriptors: Vec<OwnedFd>) -> io::Result<()> {
    let mut rest = frame;
    while !rest.is_empty() {
        match send(stream, rest, &descriptors) {
            Ok(count) => {
                rest = &rest[count..];
                descriptors.clear();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Rare, so it is watched for this only now.
                tokio::net::UnixStream::from_std(stream.try_clone()?)?.writable().await?;
            }
            // Too many descriptors are on their way; the guard is taking them.
            Err(error) if error.raw_os_error() == Some(libc::ETOOMANYREFS) => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn send(stream: &Requests, bytes: &[u8], descriptors: &[OwnedFd]) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    let flags = SendFlags::NOSIGNAL;
    #[cfg(not(target_os = "linux"))]
    let flags = SendFlags::empty();
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !borrowed.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    loop {
        match rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, flags) {
            Err(rustix::io::Errno::INTR) => {}
            done => return done.map_err(io::Error::from),
        }
    }
}

/// Waits for the guard to be gone and kills what it left to us; how many processes would not go.
fn clean_up_after(mut guard: Child, nonce: &str, asked: bool) -> usize {
    if !asked {
        let _ = guard.kill();
    }
    // Only after this have its programs come to us.
    let _ = guard.wait();
    let pid = i32::try_from(guard.id()).ok().and_then(Pid::from_raw);
    pid.map_or(0, |pid| leftovers::kill_orphans_of(pid, nonce))
}

/// Reads what the guard says until it ends, and cleans up after it.
struct Reader {
    replies: Replies,
    child: Child,
    nonce: String,
    runs: Arc<Runs>,
    closing: Arc<AtomicBool>,
}

impl Reader {
    async fn read(self) {
        if let Err(error) = self.read_replies().await {
            tracing::error!(%error, "the guard said what it should not");
        }
        let Self { child, nonce, runs, closing, .. } = self;
        let asked = closing.load(Ordering::SeqCst);
        // A thread, not a task of the runtime, whose own end would wait for it.
        let (done, is_done) = oneshot::channel();
        std::thread::spawn(move || done.send(clean_up_after(child, &nonce, asked)));
        if let (Ok(left), false) = (is_done.await, asked) {
            tracing::warn!(left, "the guard died; its programs were killed");
        }
        // Whoever waits hears of it now.
        lock(&runs).take();
    }

    /// Hands out replies until the socket ends.
    async fn read_replies(&self) -> io::Result<()> {
        let mut frames = Frames::default();
        let mut bytes = [0u8; 4096];
        loop {
            self.replies.readable().await?;
            match self.replies.try_read(&mut bytes) {
                Ok(0) => return Ok(()),
                Ok(count) => frames.push(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                // It died with requests unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
                Err(error) => return Err(error),
            }
            while let Some(reply) = frames.next(Reply::decode)? {
                self.hand_out(reply);
            }
        }
    }

    /// Nobody may be waiting any more; that is no fault.
    fn hand_out(&self, reply: Reply) {
        let mut runs = lock(&self.runs);
        let Some(runs) = runs.as_mut() else { return };
        match reply {
            Reply::Ready => {}
            Reply::Refused { run, errno } => {
                let _ = runs.remove(&run).map(|waiter| waiter.send(Err(errno)));
            }
            Reply::Ended { run, death, stopped, left } => {
                let _ = runs.remove(&run).map(|waiter| waiter.send(Ok(RunEnd { death, stopped, left })));
            }
        }
    }
}
