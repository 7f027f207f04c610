//! Events on their way from a watcher to a task. The queue is bounded: what does not fit is replaced by the word that
//! everything is to be looked at, which is what an event is a hint of anyway.

use handover_core::Result;
use handover_file::arrive::{Event, EventKind, Watcher};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc::{self, error::TryRecvError};

/// So many events may wait.
const EVENTS_MAX: usize = 16_384;

/// The queue's end that events come out of.
pub(crate) struct Events {
    queue: mpsc::Receiver<Event>,
    missed: Arc<AtomicBool>,
}

/// Starts a watcher whose events come out of a queue.
///
/// # Errors
/// Where the system gives no more watchers.
pub(crate) fn watch() -> Result<(Watcher, Events)> {
    let (put, events) = queue(EVENTS_MAX);
    Ok((Watcher::start(put)?, events))
}

fn queue(most: usize) -> (impl Fn(Event) + Send + 'static, Events) {
    let (sender, queue) = mpsc::channel(most);
    let missed = Arc::new(AtomicBool::new(false));
    let noted = missed.clone();
    let put = move |event| {
        // A queue whose other end is gone has nobody to tell.
        if sender.try_send(event).is_err() {
            noted.store(true, Ordering::SeqCst);
        }
    };
    (put, Events { queue, missed })
}

impl Events {
    /// Waits for the next; none when no more can come.
    pub(crate) async fn recv(&mut self) -> Option<Event> {
        match self.missed() {
            Some(rescan) => Some(rescan),
            None => self.queue.recv().await,
        }
    }

    /// The next, if one is there.
    pub(crate) fn try_recv(&mut self) -> Result<Event, TryRecvError> {
        self.missed().map_or_else(|| self.queue.try_recv(), Ok)
    }

    /// That events were missed, once. The queue was full then, so whoever reads comes by here again.
    fn missed(&mut self) -> Option<Event> {
        let missed = self.missed.swap(false, Ordering::SeqCst);
        missed.then(|| Event { path: PathBuf::new(), kind: EventKind::Rescan })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_asks_for_a_scan() {
        let (put, mut events) = queue(2);
        let event = |name: &str| Event { path: name.into(), kind: EventKind::Closed };
        ["a", "b", "c", "d"].into_iter().for_each(|name| put(event(name)));
        assert_eq!(events.recv().await.unwrap().kind, EventKind::Rescan);
        assert_eq!(events.try_recv().unwrap(), event("a"));
        assert_eq!(events.recv().await.unwrap(), event("b"));
        assert_eq!(events.try_recv(), Err(TryRecvError::Empty));
        put(event("e"));
        assert_eq!(events.recv().await.unwrap(), event("e"));
        drop(put);
        assert_eq!(events.recv().await, None);
    }
}
