//! Fault points: named places in the publish, claim and commit protocols where a test may end the process.
//!
//! `HANDOVER_FAULT=publish.linked:kill` kills this process (SIGKILL, as a power cut would) the first time it
//! comes by; `…:kill@3` the third time; `…:stop@1` stops it there (SIGSTOP), to be woken later; `…:error` makes
//! the step fail instead. Unset, which is the rule, a point costs one atomic load.

use crate::error::{Error, ErrorKind, Result};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Every fault point, in the order in which one delivery passes them. Tests walk this list.
pub const POINTS: &[&str] = &[
    "arrive.before_commit",
    "arrive.committed",
    "refusal.committed",
    "claim.before_commit",
    "claim.committed",
    "reserve.committed",
    "program.before_start",
    "program.ended",
    "publish.written",
    "publish.synced",
    "publish.replacing",
    "publish.replaced",
    "publish.linked",
    "publish.dir_synced",
    "publish.manifest_written",
    "publish.manifest_linked",
    "publish.done",
    "split.loaded",
    "stream.given",
    "stream.answered",
    "stream.committed",
    "gather.claimed",
    "gather.published",
    "gather.committed",
    "complete.before_commit",
    "complete.committed",
    "original.before_remove",
    "original.aside",
    "original.removed",
];

#[derive(Debug)]
enum Action {
    Kill,
    Stop,
    Fail,
}

#[derive(Debug)]
struct Armed {
    point: String,
    action: Action,
    at: u64,
    hits: AtomicU64,
    /// Whether the process is being killed: until it is, no thread gets past another point.
    dying: AtomicBool,
}

fn armed() -> Option<&'static Armed> {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    ARMED.get_or_init(|| std::env::var("HANDOVER_FAULT").ok().and_then(|text| parse(&text))).as_ref()
}

fn parse(text: &str) -> Option<Armed> {
    let (point, rest) = text.split_once(':')?;
    let (action, at) = rest.split_once('@').unwrap_or((rest, "1"));
    let action = match action {
        "kill" => Action::Kill,
        "stop" => Action::Stop,
        "error" => Action::Fail,
        _ => return None,
    };
    Some(Armed {
        point: point.to_owned(),
        action,
        at: at.parse().ok()?,
        hits: AtomicU64::new(0),
        dying: AtomicBool::new(false),
    })
}

/// Passes a fault point. Does nothing unless a test armed it.
///
/// # Errors
/// Where the test asked for an error here.
pub fn point(name: &str) -> Result<()> {
    debug_assert!(POINTS.contains(&name), "{name} is not in POINTS");
    let Some(armed) = armed() else { return Ok(()) };
    if armed.dying.load(Ordering::SeqCst) {
        std::thread::sleep(DYING);
    }
    if armed.point != name || armed.hits.fetch_add(1, Ordering::SeqCst) + 1 != armed.at {
        return Ok(());
    }
    match armed.action {
        Action::Kill => {
            armed.dying.store(true, Ordering::SeqCst);
            raise("KILL");
        }
        Action::Stop => raise("STOP"),
        Action::Fail => {
            return Err(Error::new(ErrorKind::Io, format!("a test made this step fail ({name})")));
        }
    }
    Ok(())
}

/// How long a stop may take to reach every thread; until then the thread that asked for it must not go on.
const STOPPING: Duration = Duration::from_millis(200);
/// How long a kill may take.
const DYING: Duration = Duration::from_secs(10);

/// Sends this process a signal by the system's own `kill`, or by a shell's, so that this crate needs no system calls.
/// Where neither can be had, or the signal does nothing, the process aborts: a fault is never passed silently.
fn raise(signal: &str) {
    let pid = std::process::id().to_string();
    let mut by_program = Command::new("kill");
    by_program.arg(format!("-{signal}")).arg(&pid);
    let mut by_shell = Command::new("sh");
    by_shell.args(["-c", &format!("kill -{signal} {pid}")]);
    let sent =
        [by_program, by_shell].iter_mut().any(|kill| kill.status().is_ok_and(|status| status.success()));
    match (sent, signal) {
        (true, "STOP") => std::thread::sleep(STOPPING),
        (true, _) => std::thread::sleep(DYING),
        (false, _) => {}
    }
    if !sent || signal != "STOP" {
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_from_its_text() {
        let armed = parse("publish.linked:kill@3").unwrap();
        assert_eq!((armed.point.as_str(), armed.at), ("publish.linked", 3));
        assert!(parse("publish.linked:explode").is_none());
    }
}
