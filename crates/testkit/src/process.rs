//! Real processes under a test's hand: started with their log in a file, signalled by their number, waited for
//! with a bound.
//!
//! Invariant: a process that a test started is killed when the test lets go of it, however the test ends.

use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until `what` gives something.
///
/// # Panics
/// Where it has not within `bound`.
#[track_caller]
#[allow(clippy::panic)]
pub fn wait_for<T>(bound: Duration, name: &str, mut what: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + bound;
    loop {
        if let Some(value) = what() {
            return value;
        }
        assert!(Instant::now() < end, "it did not happen within {bound:?}: {name}");
        std::thread::sleep(LOOK);
    }
}

/// A process that a test started.
#[derive(Debug)]
pub struct Running {
    child: Child,
    ended: Option<ExitStatus>,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// Starts a process whose stdout and stderr go to `{log}.out` and `{log}.err`, after what is there.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[allow(clippy::expect_used)]
    pub fn start(mut command: Command, log: &Path) -> Self {
        let (stdout, stderr) = (log.with_extension("out"), log.with_extension("err"));
        let open = |path: &Path| {
            std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .expect("a log of a test's process")
        };
        command.stdin(Stdio::null()).stdout(open(&stdout)).stderr(open(&stderr));
        let child = command.spawn().expect("a test's process starts");
        Self { child, ended: None, stdout, stderr }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal; nothing where it has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.poll().is_none() {
            send(self.pid(), signal);
        }
    }

    /// Stops it (SIGSTOP) where `fine` then says that it stands well, such as outside of a transaction: until then it goes on
    /// for a moment and is stopped again.
    ///
    /// # Panics
    /// Where that has not come within a minute.
    pub fn stop_where(&mut self, mut fine: impl FnMut() -> bool) {
        wait_for(Duration::from_secs(60), "it stops where it stands well", || {
            self.signal(Signal::STOP);
            self.stopped_within(Duration::from_secs(60));
            let stands = fine();
            if !stands {
                self.signal(Signal::CONT);
            }
            stands.then_some(())
        });
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// Where the system does not say.
    #[allow(clippy::expect_used)]
    pub fn poll(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a test's process can be waited for");
        }
        self.ended
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// Where it runs longer than `bound`; its log is shown.
    #[track_caller]
    #[allow(clippy::panic)]
    pub fn end_within(&mut self, bound: Duration) -> ExitStatus {
        let end = Instant::now() + bound;
        loop {
            if let Some(status) = self.poll() {
                return status;
            }
            assert!(
                Instant::now() < end,
                "process {} still runs after {bound:?}:\n{}",
                self.pid(),
                self.stderr()
            );
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until its log has this text.
    ///
    /// # Panics
    /// Where it has not within `bound`, or the process ends before; its log is shown.
    #[track_caller]
    #[allow(clippy::panic)]
    pub fn says_within(&mut self, bound: Duration, text: &str) {
        let end = Instant::now() + bound;
        while !self.stderr().contains(text) {
            let over = self.poll().is_some() || Instant::now() > end;
            assert!(!over || self.stderr().contains(text), "it never said {text:?}:\n{}", self.stderr());
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until it is stopped by SIGSTOP, as far as the system tells (Linux).
    ///
    /// # Panics
    /// Where it is not within `bound`, or ends before; its log is shown.
    #[track_caller]
    #[allow(clippy::panic)]
    pub fn stopped_within(&mut self, bound: Duration) {
        let end = Instant::now() + bound;
        while state_of(self.pid()) != Some('T') {
            let over = self.poll().is_some() || Instant::now() > end;
            assert!(!over, "process {} was never stopped:\n{}", self.pid(), self.stderr());
            std::thread::sleep(LOOK);
        }
    }

    /// What it has written to stdout so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.stdout).unwrap_or_default()).into_owned()
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.stderr).unwrap_or_default()).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.poll().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Whether it was SIGKILL that ended a process.
pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::KILL.as_raw())
}

/// The processes of this machine that are there and not merely unreaped (Linux).
pub fn processes() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| is_running(*pid)).collect()
}

/// Whether a process is there and not merely unreaped (Linux).
pub fn is_running(pid: u32) -> bool {
    state_of(pid).is_some_and(|state| !"ZX".contains(state))
}

/// The children of a process (Linux).
pub fn children(pid: u32) -> Vec<u32> {
    processes().into_iter().filter(|child| parent_of(*child) == Some(pid)).collect()
}

/// A variable of a process's environment, as it was when it was executed (Linux).
pub fn variable_of(pid: u32, name: &str) -> Option<String> {
    let environ = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let prefix = format!("{name}=");
    environ
        .split(|byte| *byte == 0)
        .find_map(|one| one.strip_prefix(prefix.as_bytes()))
        .map(|value| String::from_utf8_lossy(value).into_owned())
}

/// Sends SIGKILL to one process by its number; one that has gone is none.
pub fn kill(pid: u32) {
    send(pid, Signal::KILL);
}

/// Stops one process by its number (SIGSTOP).
pub fn stop(pid: u32) {
    send(pid, Signal::STOP);
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

fn stat(pid: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn state_of(pid: u32) -> Option<char> {
    stat(pid).map(|(state, _)| state)
}

fn parent_of(pid: u32) -> Option<u32> {
    stat(pid).map(|(_, parent)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_ends_with_the_value_that_stands_for_it() {
        let folder = crate::Folder::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo hello >&2; exec sleep 600"]);
        let mut running = Running::start(command, &folder.join("log"));
        running.says_within(Duration::from_secs(60), "hello");
        let pid = running.pid();
        assert!(is_running(pid) && processes().contains(&pid));
        drop(running);
        assert!(!is_running(pid));
    }
}
