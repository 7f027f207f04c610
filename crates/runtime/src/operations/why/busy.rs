//! What keeps a delivery from being begun where its app could work on it: the limit of its workers, and what they are busy with.
//! And what was asked to end and has not.

use super::{Asking, Explanation, State};
use crate::config::{Mode, Runs};
use crate::operations::times;
use handover_core::{Delivery, Result, Status};
use handover_ledger::{AuditEntry, Cancellation, Filter};

/// So many of the deliveries that are being worked on are counted.
const COUNTED_MAX: usize = 1_000;
/// So many of them are named.
const NAMED_MAX: usize = 3;

impl Asking<'_> {
    /// Explains what waits for a free worker. `what` is it, and `waits` the answer so far.
    pub(super) async fn busy(&self, app: &str, what: &str, waits: Explanation) -> Result<Explanation> {
        let filter = Filter {
            app: Some(app.to_owned()),
            status: Some(Status::Processing),
            limit: COUNTED_MAX,
            ..Filter::default()
        };
        let mut busy = self.project.ledger.list(filter).await?;
        busy.sort_by_key(|one| (one.updated_at, one.id));
        let declared = self.project.config.app(app);
        let workers = times::count(declared.map_or(1, |app| app.workers as u64), "worker");
        let before = match busy.len() as u64 {
            0 => "none is being worked on: it should begin at once".to_owned(),
            1 => "1 is being worked on".to_owned(),
            count => format!("{} are being worked on", times::number(count)),
        };
        let mut answer = waits
            .say(format!("{what} waits for a free worker of {app} ({workers}, of its deliveries {before})."));
        answer.sentences.extend(busy.iter().take(NAMED_MAX).map(|one| self.is_busy_with(app, one)));
        if busy.len() > NAMED_MAX {
            let more = times::number((busy.len() - NAMED_MAX) as u64);
            answer = answer.say(format!("And {more} more."));
        }
        let once = declared.is_some_and(|app| match &app.runs {
            Runs::Program(program) => program.mode == Mode::Once,
            Runs::Service(_) => true,
            Runs::BuiltIn(_) => false,
        });
        if once && !busy.is_empty() {
            answer = answer
                .say(format!("More of them run at once with more `workers` at {app}, on each machine."));
        }
        Ok(answer
            .release("It is worked on when those before it are done.")
            .todo(format!("handover list --app {app} --status processing")))
    }

    /// Explains what waits for an older one of its order key; none where there is none.
    pub(super) async fn behind(
        &self,
        delivery: &Delivery,
        app: &str,
        what: &str,
        waits: &Explanation,
    ) -> Result<Option<Explanation>> {
        let Some(key) = &delivery.order_key else { return Ok(None) };
        let mut older = Vec::new();
        for status in [Status::Processing, Status::Pending] {
            let filter = Filter {
                app: Some(app.to_owned()),
                kind: Some(delivery.kind),
                status: Some(status),
                order_key: Some(key.clone()),
                before: Some(delivery.id),
                limit: COUNTED_MAX,
                ..Filter::default()
            };
            older.extend(self.project.ledger.list(filter).await?);
        }
        older.retain(|one| one.deleted_at.is_none());
        let Some(oldest) = older.iter().min_by_key(|one| one.id) else { return Ok(None) };
        let stands = match oldest.status {
            Status::Processing => "which is being worked on".to_owned(),
            _ if oldest.run_at > self.now => format!("which is tried again at {}", self.at(oldest.run_at)),
            _ => "which waits too".to_owned(),
        };
        let others = match older.len() as u64 - 1 {
            0 => String::new(),
            count => format!(", and {} between them", times::count(count, "other")),
        };
        let id = oldest.id;
        Ok(Some(
            waits
                .clone()
                .say(format!("{what} waits for delivery {id}, {stands}{others}: they have the order key {key:?}, and those of one key are worked on one after the other."))
                .release("It is worked on when those before it have ended, completed or failed.")
                .todo(format!("handover why {id}"))
                .todo(format!("handover cancel {id}")),
        ))
    }

    /// Explains what was given back last time because its program is broken; none where it was not, or where nothing runs.
    pub(super) fn hindered(
        &self,
        delivery: &Delivery,
        app: &str,
        what: &str,
        waits: &Explanation,
        history: &[AuditEntry],
    ) -> Option<Explanation> {
        // An attempt that failed, or was put off, is tried again later than that.
        if delivery.run_at > delivery.updated_at {
            return None;
        }
        let last = history.last().filter(|last| last.from == Some(Status::Processing))?;
        let why = last.note.as_deref()?;
        let again = match self.worked() {
            true => {
                "It is given to the program again by itself, after a rest that grows from a second to a minute."
            }
            false => "It is given to the program again when handover runs.",
        };
        let answer = waits
            .clone()
            .say(format!(
                "{what} was given back by {app} at {}, without using up an attempt: {why}.",
                self.at(last.at)
            ))
            .release(again)
            .todo("handover check");
        Some(if self.worked() { answer } else { answer.todo("handover run --once") })
    }

    /// `scorer works on delivery 17 since 12:00:05, run by handover run, process 4711.`
    fn is_busy_with(&self, app: &str, one: &Delivery) -> String {
        let by = match &one.leased_by {
            Some(holder) => match self.running.iter().find(|process| process.holder == *holder) {
                Some(process) => {
                    let command = process.command.as_deref().unwrap_or("handover");
                    let pid = process.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
                    format!(", run by {command}{pid}")
                }
                None if holder.is_process() => {
                    format!(", run by {holder}, which is not on this machine or is gone")
                }
                None => format!(", claimed by {holder}"),
            },
            None => ", claimed by plain SQL".to_owned(),
        };
        format!("{app} works on delivery {} since {}{by}.", one.id, self.at(one.updated_at))
    }

    /// The end that was asked for of a delivery, where it has not come.
    pub(super) async fn cancellation(&self, delivery: &Delivery) -> Result<Option<Cancellation>> {
        if !matches!(delivery.status, Status::Pending | Status::Processing) {
            return Ok(None);
        }
        let asked = self.project.ledger.cancellations().await?;
        Ok(asked.into_iter().find(|one| one.id == delivery.id))
    }

    /// Explains what was asked to end. `answer` says how it stands otherwise.
    pub(super) fn cancelling(
        &self,
        mut answer: Explanation,
        asked: &Cancellation,
        works: bool,
    ) -> Explanation {
        answer.state = State::Cancelling;
        answer.since = Some(asked.at);
        answer.sentences.insert(0, format!("It was asked to stop at {} by {}.", self.at(asked.at), asked.by));
        answer.todo.retain(|command| !command.starts_with("handover cancel"));
        answer.release(match works {
            true => "It ends when its programs are gone; if they are done sooner, it completes.",
            false => "It ends when a process of handover sees that nobody works on it any more.",
        })
    }
}
