//! Who has which file open for writing, read from /proc (proc_pid_fd(5)).
//!
//! It serves two ends: it names the writer of a file that waits, and it is the second-best evidence where no lease
//! can be had. It sees only the processes that this user may look into, and no file that is written through a memory
//! mapping alone; [`Writers::complete`] says whether it saw them all.

use std::collections::HashMap;
use std::time::Instant;

/// The most descriptors that one look goes through.
const LOOKS_MAX: usize = 100_000;

/// A process that has a file open for writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Writer {
    pub(crate) pid: u32,
    pub(crate) program: String,
}

impl std::fmt::Display for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (process {})", self.program, self.pid)
    }
}

/// One look through the processes.
#[derive(Debug)]
pub(crate) struct Writers {
    by_file: HashMap<(u64, u64), u32>,
    /// Whether every process could be looked into.
    pub(crate) complete: bool,
    /// When.
    pub(crate) taken: Instant,
}

impl Writers {
    /// Who has this file open for writing, as far as can be seen.
    pub(crate) fn of(&self, device: u64, inode: u64) -> Option<Writer> {
        let pid = *self.by_file.get(&(device, inode))?;
        let program = std::fs::read(format!("/proc/{pid}/comm"))
            .map(|name| String::from_utf8_lossy(&name).trim().escape_debug().to_string())
            .ok()
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "a program".to_owned());
        Some(Writer { pid, program })
    }

    /// Looks through the processes.
    #[cfg(target_os = "linux")]
    pub(crate) fn look() -> Self {
        let mut writers = Self { by_file: HashMap::new(), complete: true, taken: Instant::now() };
        let Ok(processes) = std::fs::read_dir("/proc") else {
            writers.complete = false;
            return writers;
        };
        let mut looks = 0;
        for entry in processes.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            match std::fs::read_dir(format!("/proc/{pid}/fd")) {
                Ok(descriptors) => {
                    for descriptor in descriptors.flatten() {
                        looks += 1;
                        writers.note(pid, &descriptor);
                    }
                }
                // It ended in the meantime, or it is none of ours.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(_) => writers.complete = false,
            }
            if looks > LOOKS_MAX {
                writers.complete = false;
                break;
            }
        }
        writers
    }

    /// Other systems have no such place.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn look() -> Self {
        Self { by_file: HashMap::new(), complete: false, taken: Instant::now() }
    }

    /// The link of a descriptor that is open for writing has the owner's right to write (proc_pid_fd(5)).
    #[cfg(target_os = "linux")]
    fn note(&mut self, pid: u32, descriptor: &std::fs::DirEntry) {
        use std::os::unix::fs::MetadataExt;
        let looked = descriptor.metadata().and_then(|link| {
            if link.mode() & 0o200 == 0 {
                return Ok(None);
            }
            std::fs::metadata(descriptor.path()).map(Some)
        });
        match looked {
            Ok(Some(file)) if file.is_file() => {
                self.by_file.insert((file.dev(), file.ino()), pid);
            }
            Ok(_) => {}
            // It was closed in the meantime.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            // A process may be listed and yet its files be out of reach: one in a sandbox, for example.
            Err(_) => self.complete = false,
        }
    }
}
