//! The one system call of this crate that has no safe wrapper: a read lease (`F_SETLEASE`, fcntl(2)).
//!
//! The kernel grants a read lease only while no process has the file open for writing, which answers the question
//! whether somebody still writes. The lease is given back at once. In the microseconds between, a program that
//! opens the file to write waits, and the kernel tells us by a signal; the signal is set to SIGURG, which is
//! ignored unless asked for, because the usual one, SIGIO, would end this process.
//!
//! A crash closes the descriptor, and with it the lease.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

/// The command that chooses the signal (fcntl(2)); the `libc` crate does not have it for every architecture.
#[cfg(target_os = "linux")]
const F_SETSIG: libc::c_int = 10;

/// What the kernel says of a file.
#[derive(Debug)]
pub(crate) enum Lease {
    /// Granted, and given back: nobody has it open for writing.
    Granted,
    /// Somebody has it open for writing.
    Writer,
    /// It cannot be told this way: the file is another user's, or its file system gives no leases.
    Impossible,
}

/// Asks for a read lease on a file that is open for reading, and gives it back.
#[cfg(target_os = "linux")]
pub(crate) fn read_lease(file: &File) -> Lease {
    match set(file, F_SETSIG, libc::SIGURG).and_then(|()| set(file, libc::F_SETLEASE, libc::F_RDLCK)) {
        Ok(()) => {
            // Closing the file gives the lease back too, should this fail.
            let _ = set(file, libc::F_SETLEASE, libc::F_UNLCK);
            Lease::Granted
        }
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Lease::Writer,
        // Another user's file without CAP_LEASE (EACCES), or a file system that gives none (EINVAL and others).
        Err(_) => Lease::Impossible,
    }
}

/// Other systems have no leases.
#[cfg(not(target_os = "linux"))]
pub(crate) fn read_lease(_file: &File) -> Lease {
    Lease::Impossible
}

#[cfg(target_os = "linux")]
fn set(file: &File, command: libc::c_int, argument: libc::c_int) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and these three commands take one integer
    // and touch no memory of this process.
    if unsafe { libc::fcntl(file.as_raw_fd(), command, argument) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_writer_in_this_process_is_seen_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let writer = File::create(&path).unwrap();
        let reader = File::open(&path).unwrap();
        if matches!(read_lease(&reader), Lease::Impossible) {
            return;
        }
        assert!(matches!(read_lease(&reader), Lease::Writer));
        drop(writer);
        assert!(matches!(read_lease(&reader), Lease::Granted));
        File::options().append(true).open(&path).unwrap();
    }

    #[test]
    fn a_program_that_opens_the_file_under_a_lease_does_not_end_this_process() {
        use std::os::unix::fs::OpenOptionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "x").unwrap();
        let reader = File::open(&path).unwrap();
        let leased =
            set(&reader, F_SETSIG, libc::SIGURG).and_then(|()| set(&reader, libc::F_SETLEASE, libc::F_RDLCK));
        if leased.is_ok() {
            let held = File::options().append(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap_err();
            assert_eq!(held.kind(), io::ErrorKind::WouldBlock);
            drop(reader);
            File::options().append(true).open(&path).unwrap();
        }
    }
}
