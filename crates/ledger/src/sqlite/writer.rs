//! The one writer: a thread that takes commands from a queue and commits them in groups.
//!
//! Invariants: all writes of this process go through it; a command runs in a savepoint of its own, so that one that
//! fails takes nothing with it; a caller hears of its command only after the group's commit is on disk, or of the
//! error that undid the group; a group that changed no row is not committed, so that nobody is woken by it. A group of
//! claims alone is committed without a sync of its own: see [`sync_mode`]. The tables' triggers, which are for other
//! programs, do not fire here: what they would do, [`super::moves`] does.
//!
//! On a crash the group is gone whole, and nobody was told otherwise.

use super::error::{again, sql};
use super::wake::Touch;
use handover_core::limits::{ERROR_TEXT_MAX_BYTES, GROUP_COMMIT_MAX};
use handover_core::{Clock, Error, ErrorKind, Result, fault};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// A group of so many commands says that more are on their way.
const SIBLINGS: usize = 4;
/// For so long after such a group was committed.
const BUSY: Duration = Duration::from_millis(10);
/// How long a group then waits for them (as PostgreSQL's `commit_delay`): one sync serves more commands, and a page that
/// all of them change is written once.
const DELAY: Duration = Duration::from_millis(2);

/// What a command may use while it runs.
pub(super) struct Write<'a> {
    /// The connection, within a transaction.
    pub(super) sql: &'a Connection,
    /// Now, the same for a whole group, as the ledger writes it.
    pub(super) now: String,
    /// The same as a time.
    pub(super) at: jiff::Timestamp,
    /// Set by a command that lets waiting work go on, where its [`Step`] does not say so.
    pub(super) frees_work: Cell<bool>,
}

/// Which protocol a command belongs to, for the fault points around its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Arrive,
    Claim,
    Reserve,
    Complete,
    /// Completes without handing anything over to an app.
    End,
    /// Makes no new work.
    Quiet,
    Other,
}

impl Step {
    fn before(self) -> Option<&'static str> {
        match self {
            Step::Arrive => Some("arrive.before_commit"),
            Step::Claim => Some("claim.before_commit"),
            Step::Complete | Step::End => Some("complete.before_commit"),
            Step::Reserve | Step::Quiet | Step::Other => None,
        }
    }

    fn after(self) -> Option<&'static str> {
        match self {
            Step::Arrive => Some("arrive.committed"),
            Step::Claim => Some("claim.committed"),
            Step::Reserve => Some("reserve.committed"),
            Step::Complete | Step::End => Some("complete.committed"),
            Step::Quiet | Step::Other => None,
        }
    }

    fn wakes(self) -> bool {
        matches!(self, Step::Arrive | Step::Complete | Step::Other)
    }
}

type Run = Box<dyn FnOnce(Option<&Write<'_>>) -> Reply + Send>;
type Tell = Box<dyn FnOnce(Option<&Error>) + Send>;

/// A queued command.
struct Queued {
    step: Step,
    /// Without a transaction, where none could be begun, it only makes the reply.
    run: Run,
}

/// What the queue carries.
enum Message {
    Command(Queued),
    /// Another process may have committed: look.
    Look,
}

/// What a command led to.
struct Reply {
    /// Whether there may be new work.
    wakes: bool,
    /// The error, where it took the whole transaction with it, as a full disk does.
    undone: Option<Error>,
    /// Tells the caller, given what came of the commit.
    tell: Tell,
}

/// The queue's end that commands are put into. The thread ends when the last of them is dropped.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    /// Whether a look is queued already.
    looking: Arc<AtomicBool>,
}

impl Writer {
    /// Starts the thread. `wake` is changed after each commit that may have made work.
    pub(super) fn start(
        connection: Connection,
        clock: Arc<dyn Clock>,
        wake: Arc<watch::Sender<u64>>,
        touch: Touch,
    ) -> Result<Self> {
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)
            // Nor are the tables' checks of what is JSON, a status, a number: our types are these.
            .and_then(|_| connection.pragma_update(None, "ignore_check_constraints", true))
            .map_err(sql("open the file"))?;
        let (queue, commands) = mpsc::channel();
        let looking = Arc::new(AtomicBool::new(false));
        let look = looking.clone();
        std::thread::Builder::new()
            .name("ledger-writer".into())
            .spawn(move || {
                serve(&connection, &commands, clock.as_ref(), &Wakes { here: wake, elsewhere: touch }, &look)
            })
            .map_err(|e| Error::io("start the ledger's writer", "thread", e))?;
        Ok(Self { queue, looking })
    }

    /// Runs a command and waits until it is on disk.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        step: Step,
        command: impl FnOnce(&Write<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel::<Result<T>>();
        let run = Box::new(move |write: Option<&Write<'_>>| -> Reply {
            let result = match write {
                Some(write) => in_savepoint(write, command),
                None => Err(Error::internal("the ledger's writer did not run a command")),
            };
            let frees_work = write.is_some_and(|write| write.frees_work.take());
            let gone = write.is_some_and(|write| write.sql.is_autocommit());
            Reply {
                wakes: result.is_ok() && (step.wakes() || frees_work),
                undone: result.as_ref().err().filter(|_| gone).map(again),
                tell: Box::new(move |undone| {
                    let _ = answer.send(undone.map_or(result, |error| Err(again(error))));
                }),
            }
        });
        let gone = || Error::new(ErrorKind::Cancelled, "the ledger is closed");
        self.queue.send(Message::Command(Queued { step, run })).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Has the writer look whether another process has committed. False where the writer is gone.
    pub(super) fn look(&self) -> bool {
        self.looking.swap(true, Ordering::SeqCst) || self.queue.send(Message::Look).is_ok()
    }
}

fn in_savepoint<T>(write: &Write<'_>, command: impl FnOnce(&Write<'_>) -> Result<T>) -> Result<T> {
    execute(write.sql, "SAVEPOINT command").map_err(sql("begin a command"))?;
    let result = command(write);
    if result.is_ok() {
        execute(write.sql, "RELEASE command").map_err(sql("end a command"))?;
    } else if !write.sql.is_autocommit() {
        execute(write.sql, "ROLLBACK TO command")
            .and_then(|()| execute(write.sql, "RELEASE command"))
            .map_err(sql("undo a command"))?;
    }
    result
}

fn execute(connection: &Connection, text: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(text)?.execute([]).map(|_| ())
}

/// Those who are told of new work.
struct Wakes {
    here: Arc<watch::Sender<u64>>,
    elsewhere: Touch,
}

impl Wakes {
    fn here(&self) {
        self.here.send_modify(|n| *n += 1);
    }
}

fn serve(
    connection: &Connection,
    messages: &mpsc::Receiver<Message>,
    clock: &dyn Clock,
    wakes: &Wakes,
    looking: &AtomicBool,
) {
    let mut seen = data_version(connection);
    let mut last_large: Option<Instant> = None;
    while let Ok(first) = messages.recv() {
        if last_large.is_some_and(|at| at.elapsed() < BUSY) {
            std::thread::sleep(DELAY);
        }
        let mut look = false;
        let mut group = Vec::new();
        for message in std::iter::once(first).chain(messages.try_iter().take(GROUP_COMMIT_MAX - 1)) {
            match message {
                Message::Command(command) => group.push(command),
                Message::Look => look = true,
            }
        }
        if !group.is_empty() {
            let large = group.len() >= SIBLINGS;
            commit_group(connection, group, clock, wakes);
            last_large = large.then(Instant::now);
        }
        if look {
            looking.store(false, Ordering::SeqCst);
            let now = data_version(connection);
            if now != seen {
                seen = now;
                wakes.here();
            }
        }
    }
}

fn data_version(connection: &Connection) -> Option<i64> {
    connection.prepare_cached("PRAGMA data_version").and_then(|mut s| s.query_row([], |row| row.get(0))).ok()
}

fn commit_group(connection: &Connection, group: Vec<Queued>, clock: &dyn Clock, wakes: &Wakes) {
    let steps: Vec<Step> = group.iter().map(|queued| queued.step).collect();
    let durable = steps.iter().any(|step| *step != Step::Claim);
    let mut group = group.into_iter();
    let mut replies = Vec::with_capacity(steps.len());
    let outcome = sync_mode(connection, durable)
        .and_then(|()| in_transaction(connection, clock, &mut group, &mut replies))
        .and_then(|changed| {
            if changed {
                steps.iter().filter_map(|s| s.before()).try_for_each(fault::point)?;
                execute(connection, "COMMIT").map_err(sql("commit"))?;
            } else {
                execute(connection, "ROLLBACK").map_err(sql("end a transaction"))?;
            }
            Ok(changed)
        });
    replies.extend(group.map(|queued| (queued.run)(None)));
    match outcome {
        Ok(changed) => {
            if changed {
                // A fault after the commit can only kill: what is on disk is on disk.
                let _ = steps.iter().filter_map(|s| s.after()).try_for_each(fault::point);
            }
            if changed && replies.iter().any(|reply| reply.wakes) {
                wakes.here();
                wakes.elsewhere.now();
            }
            replies.into_iter().for_each(|reply| (reply.tell)(None));
        }
        Err(error) => {
            if !connection.is_autocommit() {
                let _ = execute(connection, "ROLLBACK");
            }
            replies.into_iter().for_each(|reply| (reply.tell)(Some(&error)));
        }
    }
}

/// A claim alone needs no sync: a power cut gives back what was claimed, as if its process had died, and nothing is
/// published before a later commit, which syncs the claim with it. Everything else is on disk when it is answered.
fn sync_mode(connection: &Connection, durable: bool) -> Result<()> {
    let text = if durable { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
    execute(connection, text).map_err(sql("choose how to commit"))
}

/// Begins a transaction and runs the commands in it. Returns whether they changed anything.
fn in_transaction(
    connection: &Connection,
    clock: &dyn Clock,
    group: &mut impl Iterator<Item = Queued>,
    replies: &mut Vec<Reply>,
) -> Result<bool> {
    execute(connection, "BEGIN IMMEDIATE").map_err(sql("begin a transaction"))?;
    let at = clock.now();
    let write =
        Write { sql: connection, now: handover_core::clock::rfc3339(at), at, frees_work: Cell::new(false) };
    let before = connection.total_changes();
    for queued in group {
        let reply = (queued.run)(Some(&write));
        let undone = reply.undone.as_ref().map(again);
        replies.push(reply);
        if let Some(error) = undone {
            return Err(error);
        }
    }
    Ok(connection.total_changes() > before)
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
