//! Waking without polling: a commit of any process writes the write-ahead log, and the file's event says so.
//!
//! An event is only a hint. The writer then asks `PRAGMA data_version` on its own connection, which changes only
//! when another connection has committed, so our own commits wake nobody twice. The event comes when the log is
//! written, a moment before the commit can be seen (between them lies a sync), so a hint is followed by a few looks
//! with growing distance. A look once a second is the net under lost events; where events are not to be had at all,
//! a look every tenth of a second stands in.
//!
//! Nothing that finds no work may write, or two idle processes would wake each other for ever: claims and rescues
//! look through a reader first, and the writer commits nothing that changed no row.

use super::writer::Writer;
use handover_core::{Error, Result};
use notify::{RecursiveMode, Watcher as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const NET: Duration = Duration::from_secs(1);
const WITHOUT_EVENTS: Duration = Duration::from_millis(100);
/// The distances of the looks that follow a hint.
const AFTER_HINT: [Duration; 5] = [
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(8),
    Duration::from_millis(32),
    Duration::from_millis(128),
];

/// The running watcher; it ends when this is dropped.
pub(super) struct Watching {
    closed: Arc<AtomicBool>,
    hint: mpsc::SyncSender<()>,
    /// Whether events are delivered.
    pub(super) events: bool,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        // A full queue holds a hint already, and the thread sees `closed` after it.
        let _ = self.hint.try_send(());
    }
}

/// Starts the thread that gives the writer its hints.
pub(super) fn start(writer: Writer, file: &Path) -> Result<Watching> {
    let (hint, hints) = mpsc::sync_channel::<()>(1);
    let closed = Arc::new(AtomicBool::new(false));
    let watcher = watch(file, hint.clone());
    let watching = Watching { closed: closed.clone(), hint, events: watcher.is_ok() };
    let net = if watching.events { NET } else { WITHOUT_EVENTS };
    std::thread::Builder::new()
        .name("ledger-wake".into())
        .spawn(move || {
            let _kept = watcher;
            listen(&writer, &hints, &closed, net);
        })
        .map_err(|e| Error::io("start the ledger's watcher", "thread", e))?;
    Ok(watching)
}

fn watch(file: &Path, hint: mpsc::SyncSender<()>) -> notify::Result<notify::RecommendedWatcher> {
    let mut log = file.file_name().unwrap_or_default().to_owned();
    log.push("-wal");
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let ours = event.is_ok_and(|event| {
            !event.kind.is_access() && event.paths.iter().any(|path| path.file_name() == Some(&log))
        });
        if ours {
            let _ = hint.try_send(());
        }
    })?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

fn listen(writer: &Writer, hints: &mpsc::Receiver<()>, closed: &AtomicBool, net: Duration) {
    let mut looks = AFTER_HINT.len();
    loop {
        match hints.recv_timeout(AFTER_HINT.get(looks).copied().unwrap_or(net)) {
            Ok(()) => looks = 0,
            Err(mpsc::RecvTimeoutError::Timeout) => looks = (looks + 1).min(AFTER_HINT.len()),
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
        if closed.load(Ordering::SeqCst) || !writer.look() {
            return;
        }
    }
}
