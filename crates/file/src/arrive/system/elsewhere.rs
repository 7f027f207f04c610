//! The `notify` crate, where there is no inotify.

use super::{EventKind, Happening, Refused, Told};
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RemoveKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How many events wait for the listener; what does not find room is lost, and said to be.
const QUEUE_MAX: usize = 16_384;

enum Message {
    Happened(notify::Result<notify::Event>),
    Wake,
}

/// Begins and ends watches.
#[derive(Debug, Clone)]
pub(in super::super) struct System {
    watcher: Arc<Mutex<RecommendedWatcher>>,
    queue: SyncSender<Message>,
}

/// Hears what happens. One thread has it.
#[derive(Debug)]
pub(in super::super) struct Listener {
    events: Receiver<Message>,
    lost: Arc<AtomicBool>,
}

/// Both ends.
pub(in super::super) fn start() -> std::io::Result<(System, Listener)> {
    let (queue, events) = sync_channel(QUEUE_MAX);
    let lost = Arc::new(AtomicBool::new(false));
    let (sender, overflowed) = (queue.clone(), lost.clone());
    let watcher = notify::recommended_watcher(move |event| {
        if sender.try_send(Message::Happened(event)).is_err() {
            overflowed.store(true, Ordering::SeqCst);
        }
    })
    .map_err(|error| match error.kind {
        notify::ErrorKind::Io(error) => error,
        _ => std::io::Error::other(error.to_string()),
    })?;
    Ok((System { watcher: Arc::new(Mutex::new(watcher)), queue }, Listener { events, lost }))
}

impl System {
    /// Watches what happens directly in a folder.
    pub(in super::super) fn watch(&self, folder: &Path) -> Result<(), Refused> {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        watcher.watch(folder, RecursiveMode::NonRecursive).map_err(|error| match error.kind {
            notify::ErrorKind::MaxFilesWatch => Refused::TooMany,
            _ => Refused::Other(error.to_string()),
        })
    }

    /// Ends the watch of a folder, where the system has not ended it already.
    pub(in super::super) fn unwatch(&self, folder: &Path) {
        let _ = self.watcher.lock().unwrap_or_else(PoisonError::into_inner).unwatch(folder);
    }

    /// Has the listener return. A full queue does that as well.
    pub(in super::super) fn wake(&self) {
        let _ = self.queue.try_send(Message::Wake);
    }
}

impl Listener {
    /// Waits for events, at most for so long.
    pub(in super::super) fn listen(&mut self, at_most: Duration) -> Told {
        let message = self.events.recv_timeout(at_most);
        if self.lost.swap(false, Ordering::SeqCst) {
            return Told::Lost;
        }
        match message {
            Ok(Message::Happened(Ok(event))) if event.need_rescan() => Told::Lost,
            Ok(Message::Happened(Ok(event))) => Told::Happened(happening(event).into_iter().collect()),
            Ok(Message::Happened(Err(error))) => Told::Failed(error.to_string()),
            Ok(Message::Wake) => Told::Woken,
            Err(RecvTimeoutError::Timeout) => Told::Nothing,
            Err(RecvTimeoutError::Disconnected) => Told::Woken,
        }
    }
}

fn happening(event: notify::Event) -> Option<Happening> {
    use notify::EventKind as K;
    let (kind, may_be_folder) = match event.kind {
        K::Access(AccessKind::Close(AccessMode::Write)) => (EventKind::Closed, false),
        K::Modify(ModifyKind::Name(RenameMode::To)) => (EventKind::RenamedIn, true),
        K::Modify(ModifyKind::Name(RenameMode::From)) => (EventKind::Removed, true),
        // It repeats the two before it.
        K::Modify(ModifyKind::Name(RenameMode::Both)) => return None,
        K::Modify(ModifyKind::Name(_)) => (EventKind::Changed, true),
        K::Create(CreateKind::File) => (EventKind::Changed, false),
        K::Create(_) => (EventKind::Changed, true),
        K::Remove(RemoveKind::File) => (EventKind::Removed, false),
        K::Remove(_) => (EventKind::Removed, true),
        K::Modify(_) => (EventKind::Changed, false),
        _ => return None,
    };
    let path = event.paths.into_iter().next()?;
    Some(Happening { path, kind, may_be_folder })
}
