//! Which processes work on a data directory now. The lock that each holds is the proof; what the system says of a
//! process beyond that is for people and may be missing.

use handover_core::HolderId;
use handover_file::layout::DataDir;
use handover_file::lock;
use jiff::Timestamp;
use serde::Serialize;

/// So much of a command is shown.
const COMMAND_MAX_CHARS: usize = 80;

/// A process that works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Running {
    /// Its name in the ledger.
    pub holder: HolderId,
    /// Its process id.
    pub pid: Option<u32>,
    /// Since when it works.
    pub since: Option<Timestamp>,
    /// Its command, such as `handover run`.
    pub command: Option<String>,
    /// Whether it watches folders: `run` does. One whose command is not known counts as one that does.
    pub watches: bool,
    /// Whether it works on deliveries: `run` and `work` do, others hold a lock for a moment.
    pub works: bool,
}

/// The living, in the order in which they began.
pub fn running(data: &DataDir) -> Vec<Running> {
    let Ok(entries) = std::fs::read_dir(data.locks_dir()) else { return Vec::new() };
    let mut found: Vec<Running> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let holder = HolderId(name.strip_suffix(".lock")?.to_owned());
            if !lock::is_alive(data, &holder) {
                return None;
            }
            let since =
                entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| Timestamp::try_from(t).ok());
            Some(of(holder, since))
        })
        .collect();
    found.sort_by(|a, b| (a.since, &a.holder).cmp(&(b.since, &b.holder)));
    found
}

fn of(holder: HolderId, since: Option<Timestamp>) -> Running {
    let pid = holder.0.split('-').next().and_then(|pid| pid.parse().ok());
    // A number of another machine is another program's here.
    let words = pid.filter(|_| lock::can_be_judged(&holder)).map_or_else(Vec::new, words_of);
    let is = |command: &str| words.is_empty() || words.iter().skip(1).any(|word| word == command);
    let (watches, works) = (is("run"), is("run") || is("work"));
    let command = (!words.is_empty()).then(|| {
        let rest = words[1..].join(" ");
        let short: String = format!("handover {rest}").chars().take(COMMAND_MAX_CHARS).collect();
        short.trim_end().escape_debug().to_string()
    });
    Running { holder, pid, since, command, watches, works }
}

/// The words of a process's command (proc_pid_cmdline(5)), where it is one of ours that can be looked at.
fn words_of(pid: u32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let words: Vec<String> = text.trim_end_matches('\0').split('\0').map(str::to_owned).collect();
    // In another process namespace the number is another program's.
    let ours = std::fs::read_link(format!("/proc/{pid}/exe")).ok().zip(std::env::current_exe().ok());
    let same_name = |(a, b): (std::path::PathBuf, std::path::PathBuf)| a.file_name() == b.file_name();
    if ours.is_some_and(same_name) && words.len() > 1 { words } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use handover_file::HolderLock;

    #[test]
    fn only_the_living_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        assert_eq!(running(&data), []);
        std::fs::write(data.locks_dir().join("1-dead.lock"), "").unwrap();
        let lock = HolderLock::take(&data, HolderId::new(std::process::id())).unwrap();
        let found = running(&data);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].pid, Some(std::process::id()));
        assert!(found[0].since.is_some());
        drop(lock);
        assert_eq!(running(&data), []);
    }
}
