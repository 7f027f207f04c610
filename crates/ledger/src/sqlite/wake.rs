//! Waking without polling: a commit of any process writes the write-ahead log, and the file's event says so.
//!
//! An event is only a hint. The writer then asks `PRAGMA data_version` on its own connection, which changes only
//! when another connection has committed, so our own commits wake nobody twice. A look once a second is the net
//! under lost events; where events are not to be had at all, a look every tenth of a second stands in.
//!
//! Nothing that finds no work may write, or two idle processes would wake each other for ever: claims and rescues
//! look through a reader first.

use super::writer::Writer;
use handover_core::{Error, Result};
use notify::{RecursiveMode, Watcher as _};
use std::path::Path;
use std::sync::{Weak, mpsc};
use std::time::Duration;

const NET: Duration = Duration::from_secs(1);
const WITHOUT_EVENTS: Duration = Duration::from_millis(100);

/// Starts the thread that gives the writer its hints for as long as `alive` is. Returns whether events are delivered.
pub(super) fn start(writer: Writer, file: &Path, alive: Weak<()>) -> Result<bool> {
    let (events, hints) = mpsc::sync_channel::<()>(1);
    let keep = events.clone();
    let mut wal = file.as_os_str().to_owned();
    wal.push("-wal");
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|e| !e.kind.is_access() && e.paths.iter().any(|p| p.as_os_str() == wal)) {
            let _ = events.try_send(());
        }
    })
    .and_then(|mut watcher| {
        watcher.watch(file.parent().unwrap_or(Path::new(".")), RecursiveMode::NonRecursive).map(|()| watcher)
    });
    let delivered = watcher.is_ok();
    let net = if delivered { NET } else { WITHOUT_EVENTS };
    std::thread::Builder::new()
        .name("ledger-wake".into())
        .spawn(move || {
            let _kept = (watcher, keep);
            while alive.upgrade().is_some() {
                let _ = hints.recv_timeout(net);
                if !writer.look() {
                    return;
                }
            }
        })
        .map(|_| delivered)
        .map_err(|e| Error::io("start the ledger's watcher", "thread", e))
}
