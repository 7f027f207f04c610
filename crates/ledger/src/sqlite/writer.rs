//! The one writer: a thread that takes commands from a queue and commits them in groups.
//!
//! Invariants: all writes of this process go through it; a command runs in a savepoint of its own, so that one that
//! fails takes nothing with it; a caller hears of its command only after the group's commit is on disk.
//!
//! On a crash the group is gone whole, and nobody was told otherwise.

use super::error::sql;
use handover_core::limits::{ERROR_TEXT_MAX_BYTES, GROUP_COMMIT_MAX};
use handover_core::{Clock, Error, ErrorKind, Result, fault};
use rusqlite::Connection;
use std::sync::{Arc, mpsc};
use tokio::sync::{oneshot, watch};

/// What a command may use while it runs.
pub(super) struct Write<'a> {
    /// The connection, within a transaction.
    pub(super) sql: &'a Connection,
    /// Now, the same for a whole group, as the ledger writes it.
    pub(super) now: String,
    /// The same as a time.
    pub(super) at: jiff::Timestamp,
}

/// Which protocol a command belongs to, for the fault points around its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Arrive,
    Claim,
    Reserve,
    Complete,
    Other,
}

impl Step {
    fn before(self) -> Option<&'static str> {
        match self {
            Step::Arrive => Some("arrive.before_commit"),
            Step::Claim => Some("claim.before_commit"),
            Step::Complete => Some("complete.before_commit"),
            Step::Reserve | Step::Other => None,
        }
    }

    fn after(self) -> Option<&'static str> {
        match self {
            Step::Arrive => Some("arrive.committed"),
            Step::Claim => Some("claim.committed"),
            Step::Reserve => Some("reserve.committed"),
            Step::Complete => Some("complete.committed"),
            Step::Other => None,
        }
    }
}

/// A queued command.
struct Queued {
    step: Step,
    actor: String,
    run: Box<dyn FnOnce(&Write<'_>) -> Reply + Send>,
}

/// What the queue carries.
enum Message {
    Command(Queued),
    /// Another process may have committed: look.
    Look,
}

/// Tells the caller what came of it, given what came of the commit. Says whether there may be new work.
type Reply = (bool, Box<dyn FnOnce(Option<&Error>) + Send>);

/// The queue's end that commands are put into. The thread ends when the last of them is dropped.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
}

impl Writer {
    /// Starts the thread. `wake` is changed after each commit that may have made work.
    pub(super) fn start(
        connection: Connection,
        clock: Arc<dyn Clock>,
        wake: Arc<watch::Sender<u64>>,
    ) -> Result<Self> {
        let (queue, commands) = mpsc::channel();
        std::thread::Builder::new()
            .name("ledger-writer".into())
            .spawn(move || serve(&connection, &commands, clock.as_ref(), &wake))
            .map_err(|e| Error::io("start the ledger's writer", "thread", e))?;
        Ok(Self { queue })
    }

    /// Runs a command and waits until it is on disk.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        step: Step,
        actor: &str,
        command: impl FnOnce(&Write<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel::<Result<T>>();
        let run = Box::new(move |write: &Write<'_>| -> Reply {
            let result = in_savepoint(write, command);
            let wakes = result.is_ok() && step != Step::Claim && step != Step::Reserve;
            let reply = move |lost: Option<&Error>| {
                let result = match lost {
                    Some(error) => Err(Error::new(error.kind(), error.to_string())),
                    None => result,
                };
                let _ = answer.send(result);
            };
            (wakes, Box::new(reply))
        });
        let gone = || Error::new(ErrorKind::Cancelled, "the ledger is closed");
        self.queue
            .send(Message::Command(Queued { step, actor: actor.to_owned(), run }))
            .map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Has the writer look whether another process has committed. False where the writer is gone.
    pub(super) fn look(&self) -> bool {
        self.queue.send(Message::Look).is_ok()
    }
}

fn in_savepoint<T>(write: &Write<'_>, command: impl FnOnce(&Write<'_>) -> Result<T>) -> Result<T> {
    write.sql.execute_batch("SAVEPOINT command").map_err(sql("begin a command"))?;
    let result = command(write);
    let end = if result.is_ok() { "RELEASE command" } else { "ROLLBACK TO command; RELEASE command" };
    write.sql.execute_batch(end).map_err(sql("end a command"))?;
    result
}

fn serve(
    connection: &Connection,
    messages: &mpsc::Receiver<Message>,
    clock: &dyn Clock,
    wake: &watch::Sender<u64>,
) {
    let mut seen = data_version(connection);
    while let Ok(first) = messages.recv() {
        let mut look = false;
        let mut group = Vec::new();
        for message in std::iter::once(first).chain(messages.try_iter().take(GROUP_COMMIT_MAX - 1)) {
            match message {
                Message::Command(command) => group.push(command),
                Message::Look => look = true,
            }
        }
        if !group.is_empty() {
            commit_group(connection, group, clock, wake);
        }
        if look {
            let now = data_version(connection);
            if now != seen {
                seen = now;
                wake.send_modify(|n| *n += 1);
            }
        }
    }
}

fn data_version(connection: &Connection) -> Option<i64> {
    connection.prepare_cached("PRAGMA data_version").and_then(|mut s| s.query_row([], |row| row.get(0))).ok()
}

fn commit_group(connection: &Connection, group: Vec<Queued>, clock: &dyn Clock, wake: &watch::Sender<u64>) {
    let steps: Vec<Step> = group.iter().map(|q| q.step).collect();
    let mut replies = Vec::with_capacity(group.len());
    let mut wakes = false;
    let outcome =
        connection.execute_batch("BEGIN IMMEDIATE").map_err(sql("begin a transaction")).and_then(|()| {
            let at = clock.now();
            let write = Write { sql: connection, now: handover_core::clock::rfc3339(at), at };
            let mut actor = String::new();
            for queued in group {
                if queued.actor != actor {
                    actor.clone_from(&queued.actor);
                    set_actor(connection, Some(&actor))?;
                }
                let (may_wake, reply) = (queued.run)(&write);
                wakes |= may_wake;
                replies.push(reply);
            }
            set_actor(connection, None)?;
            steps.iter().filter_map(|s| s.before()).try_for_each(fault::point)?;
            connection.execute_batch("COMMIT").map_err(sql("commit"))
        });
    match outcome {
        Ok(()) => {
            // A fault after the commit can only kill: what is on disk is on disk.
            let _ = steps.iter().filter_map(|s| s.after()).try_for_each(fault::point);
            replies.into_iter().for_each(|reply| reply(None));
            if wakes {
                wake.send_modify(|n| *n += 1);
            }
        }
        Err(error) => {
            let _ = connection.execute_batch("ROLLBACK");
            replies.into_iter().for_each(|reply| reply(Some(&error)));
        }
    }
}

fn set_actor(connection: &Connection, actor: Option<&str>) -> Result<()> {
    connection
        .prepare_cached("UPDATE actor SET name = ?1")
        .and_then(|mut statement| statement.execute([actor]))
        .map(|_| ())
        .map_err(sql("note who acts"))
}

/// An error's text, cut to what the ledger keeps.
pub(super) fn bounded(text: &str) -> String {
    if text.len() <= ERROR_TEXT_MAX_BYTES {
        return text.to_owned();
    }
    let mut end = ERROR_TEXT_MAX_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}
