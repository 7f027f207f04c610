//! The few system calls of the guard that have no safe wrapper: signal handlers that are reset in the programs
//! (an ignored or blocked signal would be inherited), "who has died" without reaping, and closing on exec what
//! we inherited. Nothing else here.
#![allow(unsafe_code)]

use super::protocol::Death;
use rustix::process::Pid;
use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// Where the handlers write a byte.
static WAKE: AtomicI32 = AtomicI32::new(-1);

#[cfg(target_os = "linux")]
fn errno_place() -> *mut libc::c_int {
    // SAFETY: returns the address of this thread's errno, always valid.
    unsafe { libc::__errno_location() }
}

#[cfg(not(target_os = "linux"))]
fn errno_place() -> *mut libc::c_int {
    // SAFETY: as above.
    unsafe { libc::__error() }
}

extern "C" fn wake(_signal: libc::c_int) {
    // SAFETY: write(2) and errno are async-signal-safe; the byte lives through the call; a full pipe (it does not
    // block) or a closed descriptor is an error that changes nothing.
    unsafe {
        let errno = *errno_place();
        libc::write(WAKE.load(Ordering::Relaxed), [0u8].as_ptr().cast(), 1);
        *errno_place() = errno;
    }
}

/// Catches SIGCHLD, and the signals that would end this process, with a handler that only writes a byte to
/// `pipe` (which must not block, and stays open from now on). A handler is reset when a program is executed.
pub(super) fn catch_signals(pipe: OwnedFd) -> io::Result<()> {
    WAKE.store(pipe.into_raw_fd(), Ordering::Relaxed);
    for signal in [
        libc::SIGCHLD,
        libc::SIGTERM,
        libc::SIGINT,
        libc::SIGHUP,
        libc::SIGPIPE,
        libc::SIGUSR1,
        libc::SIGUSR2,
    ] {
        // SAFETY: the structure is zeroed and then filled; the handler is async-signal-safe.
        let done = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = wake as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(signal, &raw const action, std::ptr::null_mut())
        };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The children of this process, as far as their deaths go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// This one has died and is not reaped.
    Dead(Pid, Death),
    /// None has died.
    AllAlive,
    /// There are none.
    NoChildren,
}

/// A child that has died. It is not reaped, so its number stays its own.
pub(super) fn next_dead() -> io::Result<Next> {
    // SAFETY: an all-zero siginfo_t is valid, and waitid writes to nothing else; `si_pid` and `si_status` are
    // valid for what waitid fills in, and zero where no child has died.
    let (done, pid, code, status) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let done = libc::waitid(libc::P_ALL, 0, &raw mut info, options);
        (done, info.si_pid(), info.si_code, info.si_status())
    };
    if done != 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ECHILD) => Ok(Next::NoChildren),
            _ => Err(error),
        };
    }
    let death = if code == libc::CLD_EXITED { Death::Exit(status) } else { Death::Signal(status) };
    Ok(Pid::from_raw(pid).map_or(Next::AllAlive, |pid| Next::Dead(pid, death)))
}

/// Marks every descriptor but 0, 1 and 2 to be closed when a program is executed.
pub(super) fn close_on_exec() {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: sets a flag on descriptors; closes none, touches no memory.
        let done = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
        if done == 0 {
            return;
        }
    }
    let Ok(entries) = std::fs::read_dir("/dev/fd") else { return };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for number in numbers.filter(|number| *number > 2).collect::<Vec<_>>() {
        // SAFETY: sets a flag on a descriptor; one that is closed by now is an error that changes nothing.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}
