//! inotify(7), asked for no more than what is of use: that somebody opens or reads a file is most of what happens in a
//! busy folder, and would wake us each time.
//!
//! Where many events come they are read together, a moment later. A crash closes the descriptor, and with it the
//! watches.

use super::{EventKind, Happening, Refused, Told};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much is read at a time: some hundreds of events.
const BUFFER_BYTES: usize = 64 * 1024;
/// Events that come so soon after others are one of many.
const BUSY: Duration = Duration::from_millis(5);
/// How long many events are gathered before they are read.
const GATHER: Duration = Duration::from_millis(2);

/// Which folder a watch is of, both ways.
#[derive(Debug, Default)]
struct Watches {
    folders: HashMap<i32, PathBuf>,
    numbers: HashMap<PathBuf, i32>,
}

#[derive(Debug)]
struct Shared {
    queue: OwnedFd,
    wake: OwnedFd,
    watches: Mutex<Watches>,
}

impl Shared {
    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins and ends watches.
#[derive(Debug, Clone)]
pub(in super::super) struct System(Arc<Shared>);

/// Hears what happens. One thread has it.
#[derive(Debug)]
pub(in super::super) struct Listener {
    shared: Arc<Shared>,
    buffer: Vec<MaybeUninit<u8>>,
    last: Option<Instant>,
}

/// Both ends.
pub(in super::super) fn start() -> std::io::Result<(System, Listener)> {
    let shared = Arc::new(Shared {
        queue: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
        wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        watches: Mutex::default(),
    });
    let listener =
        Listener { shared: shared.clone(), buffer: vec![MaybeUninit::uninit(); BUFFER_BYTES], last: None };
    Ok((System(shared), listener))
}

impl System {
    /// Watches what happens directly in a folder.
    pub(in super::super) fn watch(&self, folder: &Path) -> Result<(), Refused> {
        let wanted = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        // Held meanwhile: the first event may come before the number is known.
        let mut watches = self.0.watches();
        let number = inotify::add_watch(&self.0.queue, folder, wanted).map_err(|errno| match errno {
            Errno::NOSPC => Refused::TooMany,
            errno => Refused::Other(errno.to_string()),
        })?;
        if let Some(old) = watches.folders.insert(number, folder.to_owned()) {
            watches.numbers.remove(&old);
        }
        watches.numbers.insert(folder.to_owned(), number);
        Ok(())
    }

    /// Ends the watch of a folder, where the system has not ended it already.
    pub(in super::super) fn unwatch(&self, folder: &Path) {
        let mut watches = self.0.watches();
        if let Some(number) = watches.numbers.remove(folder) {
            watches.folders.remove(&number);
            let _ = inotify::remove_watch(&self.0.queue, number);
        }
    }

    /// Has the listener return.
    pub(in super::super) fn wake(&self) {
        // It fails only where it is set already.
        let _ = rustix::io::write(&self.0.wake, &1u64.to_ne_bytes());
    }
}

impl Listener {
    /// Waits for events, at most for so long.
    pub(in super::super) fn listen(&mut self, at_most: Duration) -> Told {
        let shared = self.shared.clone();
        let mut ends = [PollFd::new(&shared.queue, PollFlags::IN), PollFd::new(&shared.wake, PollFlags::IN)];
        match poll(&mut ends, Timespec::try_from(at_most).ok().as_ref()) {
            Ok(0) => return Told::Nothing,
            Err(Errno::INTR) => return Told::Happened(Vec::new()),
            Err(errno) => {
                std::thread::sleep(GATHER);
                return Told::Failed(errno.to_string());
            }
            Ok(_) => {}
        }
        if !ends[1].revents().is_empty() {
            let _ = rustix::io::read(&shared.wake, &mut [0u8; 8]);
            return Told::Woken;
        }
        if self.last.is_some_and(|last| last.elapsed() < BUSY) {
            std::thread::sleep(GATHER);
        }
        let told = self.read();
        self.last = Some(Instant::now());
        told
    }

    /// All that is there now, one buffer at most.
    fn read(&mut self) -> Told {
        let watches = self.shared.watches();
        let mut events = inotify::Reader::new(self.shared.queue.as_fd(), &mut self.buffer);
        let mut all = Vec::new();
        let mut gone = Vec::new();
        loop {
            match events.next() {
                Ok(event) => {
                    let flags = event.events();
                    if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                        return Told::Lost;
                    }
                    if flags.contains(ReadFlags::IGNORED) {
                        gone.push(event.wd());
                    }
                    let Some(folder) = watches.folders.get(&event.wd()) else { continue };
                    let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                    all.extend(happening(folder, name, flags));
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(errno) => return Told::Failed(errno.to_string()),
            }
            if events.is_buffer_empty() {
                break;
            }
        }
        drop(watches);
        let mut watches = self.shared.watches();
        for number in gone {
            if let Some(folder) = watches.folders.remove(&number) {
                watches.numbers.remove(&folder);
            }
        }
        Told::Happened(all)
    }
}

/// What an event means.
fn happening(folder: &Path, name: Option<&OsStr>, flags: ReadFlags) -> Option<Happening> {
    let kind = match flags {
        f if f.contains(ReadFlags::MOVED_TO) => EventKind::RenamedIn,
        f if f.contains(ReadFlags::CLOSE_WRITE) => EventKind::Closed,
        f if f.intersects(
            ReadFlags::MOVED_FROM | ReadFlags::DELETE | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF,
        ) =>
        {
            EventKind::Removed
        }
        f if f.contains(ReadFlags::UNMOUNT) => EventKind::Removed,
        f if f.intersects(ReadFlags::CREATE | ReadFlags::MODIFY | ReadFlags::ATTRIB) => EventKind::Changed,
        _ => return None,
    };
    let path = name.map_or_else(|| folder.to_owned(), |name| folder.join(name));
    // What comes or goes says whether it is a folder; a change of one's rights is none.
    let comes_or_goes = ReadFlags::MOVED_TO | ReadFlags::MOVED_FROM | ReadFlags::CREATE | ReadFlags::DELETE;
    Some(Happening {
        path,
        kind,
        may_be_folder: flags.contains(ReadFlags::ISDIR) && flags.intersects(comes_or_goes),
    })
}
