//! What /proc says about processes: our children, a process's group, its variables.
//!
//! Invariant: everything read here may be out of date when it is used, except that a child stays listed until we
//! reap it. Where there is no /proc (macOS) the lists are empty and only process groups are known.

use rustix::process::Pid;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// The largest environment that is read.
const ENVIRON_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// The children of this process's main thread: the ones it started, and the orphans that came to it.
#[derive(Debug)]
pub(super) struct Children {
    file: Option<File>,
}

impl Children {
    /// Opens the list.
    pub(super) fn open() -> Self {
        let pid = std::process::id();
        Self { file: File::open(format!("/proc/self/task/{pid}/children")).ok() }
    }

    /// The children now, dead and not reaped ones among them. One that joins meanwhile may be missing.
    pub(super) fn list(&self) -> Vec<Pid> {
        self.file.as_ref().and_then(|file| read_list(file).ok()).unwrap_or_else(list_by_parent)
    }
}

fn read_list(file: &File) -> io::Result<Vec<Pid>> {
    let mut text = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        match file.read_at(&mut buffer, text.len() as u64) {
            Ok(0) => break,
            Ok(count) => text.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(text.split(u8::is_ascii_whitespace).filter_map(pid_of).collect())
}

fn pid_of(text: &[u8]) -> Option<Pid> {
    Pid::from_raw(std::str::from_utf8(text).ok()?.parse().ok()?)
}

/// The same, on a kernel without the list: every process whose parent we are.
fn list_by_parent() -> Vec<Pid> {
    let us = rustix::process::getpid();
    all().into_iter().filter(|pid| stat(*pid).is_some_and(|stat| stat.parent == Some(us))).collect()
}

/// Every process.
pub(super) fn all() -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| pid_of(entry.file_name().as_encoded_bytes())).collect()
}

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// Dead, not reaped.
    pub zombie: bool,
    /// Its parent.
    pub parent: Option<Pid>,
    /// Its process group.
    pub group: Option<Pid>,
    /// Its session.
    pub session: Option<Pid>,
}

/// The state of a process; none if it is gone.
pub(super) fn stat(pid: Pid) -> Option<Stat> {
    let mut text = Vec::with_capacity(512);
    File::open(format!("/proc/{pid}/stat")).ok()?.read_to_end(&mut text).ok()?;
    parse_stat(&text)
}

/// The program's name, in brackets, may hold anything, brackets too: the fields begin after the last one.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let end = text.iter().rposition(|b| *b == b')')?;
    let mut fields = std::str::from_utf8(&text[end + 1..]).ok()?.split_ascii_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    let mut pid = || Some(Pid::from_raw(fields.next()?.parse().ok()?));
    Some(Stat { zombie, parent: pid()?, group: pid()?, session: pid()? })
}

/// The variables of a process, as it was started with them.
#[derive(Debug)]
pub(super) struct Environ(Vec<u8>);

impl Environ {
    /// The value of a variable.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.split(|b| *b == 0).find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    }
}

/// What could be learnt of a process's variables.
#[derive(Debug)]
pub(super) enum Known {
    /// These.
    Environ(Environ),
    /// Nothing at this moment: it is about to be executed, or about to end.
    NotNow,
    /// Nothing: it is another user's.
    Never,
}

/// The variables of a process.
pub(super) fn environ(pid: Pid) -> Known {
    let read = |what: &str| -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(format!("/proc/{pid}/{what}"))?.take(ENVIRON_MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read("environ") {
        Ok(bytes) if bytes.is_empty() && read("cmdline").is_ok_and(|line| line.is_empty()) => Known::NotNow,
        Ok(bytes) => Known::Environ(Environ(bytes)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Known::Never,
        Err(_) => Known::NotNow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_hide_the_fields() {
        let stat = parse_stat(b"12 (a) Z 1 (x) S 3 4 5 0 -1").unwrap();
        assert!(!stat.zombie);
        assert_eq!(
            (stat.parent, stat.group, stat.session),
            (Pid::from_raw(3), Pid::from_raw(4), Pid::from_raw(5))
        );
        assert!(parse_stat(b"12 (a) S").is_none() && parse_stat(b"").is_none());
    }

    #[test]
    fn a_variable_is_found_by_its_whole_name() {
        let environ = Environ(b"XHANDOVER_RUN=1\0HANDOVER_RUN2=2\0HANDOVER_RUN=3=4\0".to_vec());
        assert_eq!(environ.get("HANDOVER_RUN"), Some(&b"3=4"[..]));
        assert_eq!(environ.get("HANDOVER"), None);
    }

    #[test]
    fn this_process_is_seen() {
        let us = rustix::process::getpid();
        assert!(all().contains(&us));
        assert!(!stat(us).unwrap().zombie);
        assert!(matches!(environ(us), Known::Environ(_)));
    }
}
