//! Waking without polling: who commits new work touches a file beside the ledger, and the file's event tells the
//! others.
//!
//! An event is only a hint. The writer then asks `PRAGMA data_version` on its own connection, which changes only
//! when another connection has committed, so our own commits wake nobody twice. The touch comes after the commit, so
//! whoever is woken sees it. The write-ahead log itself would give an event for each page; this gives one for each
//! commit that made work. Programs with plain SQL touch nothing: a look once a second finds what they did. Where
//! events are not to be had at all, a look every tenth of a second stands in.
//!
//! Nothing that finds no work may touch, or two idle processes would wake each other for ever: the writer commits
//! nothing that changed no row, and touches only where there may be new work.

use super::writer::Writer;
use handover_core::{Error, Result};
use notify::{RecursiveMode, Watcher as _};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const NET: Duration = Duration::from_secs(1);
const WITHOUT_EVENTS: Duration = Duration::from_millis(100);

/// The file that is touched.
fn touched(ledger: &Path) -> PathBuf {
    let mut name = ledger.as_os_str().to_owned();
    name.push("-wake");
    PathBuf::from(name)
}

/// Tells the other processes that there may be new work.
pub(super) struct Touch(Option<File>);

impl Touch {
    /// Opens the file; where that cannot be done, the others look by themselves.
    pub(super) fn open(ledger: &Path) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the ledger's own file, as the database is")]
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(touched(ledger));
        Self(file.ok())
    }

    /// One that tells nobody.
    #[cfg(test)]
    pub(super) fn nowhere() -> Self {
        Self(None)
    }

    /// Makes the event.
    pub(super) fn now(&self) {
        if let Some(file) = &self.0 {
            let _ = file.write_at(b".", 0);
        }
    }
}

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
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            let _ = hint.try_send(());
        }
    })?;
    watcher.watch(&touched(file), RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

fn listen(writer: &Writer, hints: &mpsc::Receiver<()>, closed: &AtomicBool, net: Duration) {
    loop {
        if let Err(mpsc::RecvTimeoutError::Disconnected) = hints.recv_timeout(net) {
            return;
        }
        if closed.load(Ordering::SeqCst) || !writer.look() {
            return;
        }
    }
}
