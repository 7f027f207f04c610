//! Programs whose guard is gone: found by their environment and killed.
//!
//! Two ways to come here. The guard died and the runtime lives: its programs have become the runtime's children
//! ([`kill_orphans_of`]). Both died at once: the programs belong to init, and the next runtime finds them by
//! [`HOLDER_VARIABLE`](super::HOLDER_VARIABLE) ([`sweep_leftovers`]).
//!
//! Invariants: only processes of this user; only such as say themselves, by a variable, that they were started
//! for the one who is gone; never a guard, which cleans up by itself.

use super::procfs::{self, Children, Known};
use super::{GUARD_VARIABLE, HOLDER_VARIABLE, RUN_VARIABLE};
use handover_core::HolderId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};
use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long is waited for killed processes to be gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a child is looked at that shows nothing; most likely it is one of ours about to be executed.
const UNCLEAR_LOOKS_MAX: u32 = 50;
const PAUSE: Duration = Duration::from_millis(2);

/// What is known of a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderState {
    /// It holds its lock.
    Alive,
    /// It was one of ours, and its lock is free.
    Dead,
    /// Not one of ours: another data directory's. Its programs are none of our business.
    Unknown,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// So many processes were killed and are gone.
    pub killed: usize,
    /// So many were told to go but are still there (a disk or a network mount that does not answer).
    pub left: usize,
}

/// Kills the programs that were started for holders that are dead, where no guard lived to do it. Blocks until
/// they are gone, ten seconds at most; without leftovers it costs a look at every process of this user.
pub fn sweep_leftovers(state: impl Fn(&HolderId) -> HolderState) -> Swept {
    let deadline = Instant::now() + PATIENCE;
    let mut states = HashMap::new();
    let mut is_leftover = |pid| {
        let Some(holder) = holder_of(pid) else { return false };
        *states.entry(holder).or_insert_with_key(&state) == HolderState::Dead
    };
    let mut swept = Swept::default();
    loop {
        let killed: Vec<Killed> =
            procfs::all().into_iter().filter_map(|pid| kill_if(pid, &mut is_leftover)).collect();
        if killed.is_empty() {
            return swept;
        }
        let found = killed.len();
        let left = killed.into_iter().filter(|one| !one.is_gone_by(deadline)).count();
        swept.killed += found - left;
        if left > 0 {
            return Swept { left, ..swept };
        }
        // One that was about to be executed showed nothing at that moment.
        sleep(PAUSE);
    }
}

/// A process that was sent SIGKILL.
struct Killed {
    pid: Pid,
    /// Names this very process, whatever becomes of its number; none on a kernel without (before Linux 5.3).
    handle: Option<OwnedFd>,
}

#[cfg(target_os = "linux")]
fn handle_of(pid: Pid) -> Option<OwnedFd> {
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn handle_of(_pid: Pid) -> Option<OwnedFd> {
    None
}

fn send_kill(pid: Pid, handle: Option<&OwnedFd>) -> bool {
    #[cfg(target_os = "linux")]
    if let Some(handle) = handle {
        return rustix::process::pidfd_send_signal(handle, Signal::KILL).is_ok();
    }
    let _ = handle;
    kill_process(pid, Signal::KILL).is_ok()
}

/// Kills a process if it is the one: the handle is taken before it is asked, so no other can be hit.
fn kill_if(pid: Pid, mut is_the_one: impl FnMut(Pid) -> bool) -> Option<Killed> {
    // Most are not, and need no handle.
    if !is_the_one(pid) {
        return None;
    }
    let handle = handle_of(pid);
    (is_the_one(pid) && send_kill(pid, handle.as_ref())).then_some(Killed { pid, handle })
}

impl Killed {
    /// Waits until it is gone; false if it is not by `deadline`.
    fn is_gone_by(&self, deadline: Instant) -> bool {
        while Instant::now() < deadline {
            match &self.handle {
                Some(handle) => {
                    let timeout = Timespec::try_from(deadline - Instant::now()).ok();
                    if poll(&mut [PollFd::new(handle, PollFlags::IN)], timeout.as_ref()).is_ok_and(|n| n > 0)
                    {
                        return true;
                    }
                }
                None if procfs::stat(self.pid).is_none_or(|stat| stat.zombie) => return true,
                None => sleep(PAUSE),
            }
        }
        false
    }
}

/// The holder that a process was started for; none for a guard, for us and for others' processes.
fn holder_of(pid: Pid) -> Option<HolderId> {
    if pid == rustix::process::getpid() {
        return None;
    }
    let Known::Environ(environ) = procfs::environ(pid) else { return None };
    if environ.get(GUARD_VARIABLE).is_some() {
        return None;
    }
    let holder = environ.get(HOLDER_VARIABLE)?;
    let uid = std::fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    (uid == rustix::process::geteuid().as_raw())
        .then(|| HolderId(String::from_utf8_lossy(holder).into_owned()))
}

/// Kills and reaps the programs that a dead guard left to this process: its session's, and those whose run's
/// name has `nonce`. Blocks until they are gone, ten seconds at most; the number that then is left.
pub(super) fn kill_orphans_of(guard: Pid, nonce: &str) -> usize {
    let deadline = Instant::now() + PATIENCE;
    let children = Children::open();
    let (mut ours, mut unclear_looks) = (HashSet::new(), 0);
    loop {
        let mut unclear = false;
        for pid in children.list() {
            match is_of(pid, guard, nonce) {
                Some(true) => drop(ours.insert(pid)),
                Some(false) => {}
                None => unclear = true,
            }
        }
        ours.retain(|pid| {
            // A program's main process leads its group.
            let _ = kill_process_group(*pid, Signal::KILL);
            let _ = kill_process(*pid, Signal::KILL);
            matches!(waitpid(Some(*pid), WaitOptions::NOHANG), Ok(None))
        });
        unclear_looks += u32::from(unclear);
        if ours.is_empty() && (!unclear || unclear_looks > UNCLEAR_LOOKS_MAX) || Instant::now() > deadline {
            return ours.len();
        }
        sleep(PAUSE);
    }
}

/// Whether a child of ours came from this guard; none if that cannot be seen at this moment.
fn is_of(pid: Pid, guard: Pid, nonce: &str) -> Option<bool> {
    let stat = procfs::stat(pid)?;
    if stat.session == Some(guard) {
        return Some(true);
    }
    match procfs::environ(pid) {
        Known::Environ(environ) => {
            let tag = String::from_utf8_lossy(environ.get(RUN_VARIABLE).unwrap_or_default()).into_owned();
            Some(tag.split('/').any(|run| run.split_once('-').is_some_and(|(name, _)| name == nonce)))
        }
        Known::NotNow if stat.zombie => Some(false),
        Known::NotNow => None,
        Known::Never => Some(false),
    }
}
