//! Why a delivery stands where it stands.

use super::{Asking, Explanation, State};
use crate::config::Enters;
use crate::engine::DATA_DIRECTORY;
use crate::operations::facts::{Facts, Role};
use crate::operations::times;
use handover_core::{Delivery, DeliveryId, Kind, Result, Status};
use handover_ledger::{AuditEntry, Filter};
use serde_json::Value;

impl Asking<'_> {
    /// Explains one delivery, whatever was made from it.
    pub(super) async fn delivery(&self, delivery: &Delivery, subject: String) -> Result<Explanation> {
        let id = delivery.id;
        let history = self.project.ledger.audit(id).await?;
        let mut answer = match delivery.status {
            _ if delivery.deleted_at.is_some() => self.deleted(delivery, subject),
            Status::Pending => self.pending(delivery, subject, &history).await?,
            Status::Processing => self.processing(delivery, subject),
            Status::Completed => self.completed(delivery, subject),
            Status::Failed => self.failed(delivery, subject, &history).await?,
            Status::Archived => self.archived(delivery, subject, &history).await?,
        }
        .of(id);
        if let Some(asked) = self.cancellation(delivery).await? {
            let works = delivery.leased_by.as_ref().is_some_and(|holder| self.lives(holder));
            answer = self.cancelling(answer, &asked, works);
        }
        answer.tried = tried(&history, |time| self.at(time));
        if delivery.rescues > 0 {
            let times = times::count(u64::from(delivery.rescues), "time");
            answer
                .sentences
                .push(format!("It was taken back {times} because the process that worked on it was lost."));
        }
        if let Some(old) = delivery.replay_of {
            answer.sentences.push(format!("It runs delivery {old} again."));
        }
        Ok(answer)
    }

    fn deleted(&self, delivery: &Delivery, subject: String) -> Explanation {
        let answer = Explanation::new(subject, State::Deleted)
            .say("It was deleted, so nobody works on it; it can be brought back.")
            .release("Nothing by itself.")
            .todo(format!("handover restore {}", delivery.id));
        match delivery.deleted_at {
            Some(at) => answer.since(at),
            None => answer,
        }
    }

    async fn pending(
        &self,
        delivery: &Delivery,
        subject: String,
        history: &[AuditEntry],
    ) -> Result<Explanation> {
        let (id, app) = (delivery.id, delivery.target_app.as_deref().unwrap_or_default());
        let what = self.it(delivery, &subject);
        if delivery.run_at > self.now {
            return Ok(self.delayed(delivery, subject));
        }
        let waits = Explanation::new(subject, State::Waiting).since(delivery.created_at);
        let paused = self.project.ledger.paused().await?.iter().any(|pause| pause.app == app);
        if delivery.kind == Kind::Record && !paused && self.project.config.app(app).is_none() {
            return Ok(waits
                .say(format!("{what} waits for whoever takes the records of {app}."))
                .release(
                    "It is worked on when a program pulls it, or claims it by SQL in the table data_staging.",
                )
                .todo(format!("handover pull --app {app}"))
                .todo(format!("handover cancel {id}")));
        }
        if self.project.config.app(app).is_none() {
            return Ok(waits
                .say(format!(
                    "{what} waits for the app {app}, which {} does not declare.",
                    self.config_name()
                ))
                .release(format!(
                    "It is worked on when {app} is declared and the configuration is loaded anew."
                ))
                .todo("handover check")
                .todo(format!("handover cancel {id}")));
        }
        if let Some(pause) = self.project.ledger.paused().await?.into_iter().find(|pause| pause.app == app) {
            let mut paused = waits
                .say(format!(
                    "{what} waits because {app} is paused, since {} by {}.",
                    self.at(pause.since),
                    pause.by
                ))
                .release(format!("It is worked on when {app} is resumed."))
                .todo(format!("handover resume {app}"));
            paused.state = State::Paused;
            return Ok(paused);
        }
        if let Some(answer) = self.record_waits(delivery, &what, &waits) {
            return Ok(answer);
        }
        if let Some(answer) = self.behind(delivery, app, &what, &waits).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.hindered(delivery, app, &what, &waits, history) {
            return Ok(answer);
        }
        if !self.worked() {
            return Ok(waits
                .say(format!("{what} waits for {app}, and nothing runs that would work on it."))
                .release("It is worked on as soon as handover runs.")
                .todo("handover run --once"));
        }
        self.busy(app, &what, waits).await
    }

    /// Whether an app of ours takes records; others are taken by whoever asks for them.
    fn takes_records(&self, app: &str) -> bool {
        self.project.config.takes_records(app)
    }

    /// Of a record that is to be gathered, or that nobody works on: what it waits for.
    fn record_waits(&self, delivery: &Delivery, what: &str, waits: &Explanation) -> Option<Explanation> {
        let config = &self.project.config;
        let app = config.app(delivery.target_app.as_deref().unwrap_or_default())?;
        if delivery.kind != Kind::Record {
            return None;
        }
        let name = &app.name;
        match config.doors().enters(name) {
            Enters::Waits if app.is_service() => Some(
                waits
                    .clone()
                    .say(format!("{what} is a record, and no link leads to {name}, by which it would be posted."))
                    .release(format!("Nothing by itself: it goes on when a link leads to {name}, or somebody pulls it."))
                    .todo("handover check")
                    .todo(format!("handover pull --app {name}"))
                    .todo(format!("handover cancel {}", delivery.id)),
            ),
            Enters::Waits => Some(
                waits
                    .clone()
                    .say(format!("{what} is a record, and {name} works on files: no link brings records to it."))
                    .release(format!(
                        "Nothing by itself: it goes on when a link by database leads to {name}, or one by file from an app that works on records."
                    ))
                    .todo("handover check")
                    .todo(format!("handover pull --app {name}"))
                    .todo(format!("handover cancel {}", delivery.id)),
            ),
            Enters::Gathered(gather) if self.worked() => Some(
                waits
                    .clone()
                    .say(format!(
                        "{what} waits to be gathered with others into a file for {name}: with {}, or {} after the first of them came.",
                        times::count(gather.rows as u64, "record"),
                        handover_core::units::format_duration(gather.every)
                    ))
                    .release("It goes on by itself then; `handover run --once` gathers what there is at its end.")
                    .todo(format!("handover list --app {name} --status pending")),
            ),
            _ => None,
        }
    }

    fn delayed(&self, delivery: &Delivery, subject: String) -> Explanation {
        let app = delivery.target_app.as_deref().unwrap_or_default();
        let when = times::at_and_ago(delivery.run_at, &self.project.config.timezone, self.now);
        let what = self.it(delivery, &subject);
        let answer = Explanation::new(subject, State::Delayed).since(delivery.updated_at);
        let answer = match &delivery.last_error {
            Some(error) => answer.say(format!("{app} could not do it yet: {error}")),
            None => answer.say(format!("{what} is not to be worked on before its time.")),
        };
        let answer = match (delivery.attempts, delivery.snoozes) {
            (0, 0) => answer,
            (0, snoozes) => answer.say(format!(
                "It was told to come again later {}; that uses up no attempt.",
                times::count(u64::from(snoozes), "time")
            )),
            (used, _) => answer.say(format!(
                "{used} of {} attempts are used up; after the last one it has failed.",
                delivery.max_attempts
            )),
        };
        if delivery.kind == Kind::Record && !self.takes_records(app) {
            return answer
                .release(format!("It can be pulled again, or claimed by SQL, from {when} on."))
                .todo(format!("handover pull --app {app}"))
                .todo(format!("handover cancel {}", delivery.id));
        }
        let runs = if !self.worked() { ", if handover runs then: nothing runs now" } else { "" };
        let answer = answer.release(format!("It is tried again by itself at {when}{runs}."));
        let answer = if !self.worked() { answer.todo("handover run") } else { answer };
        answer.todo(format!("handover show {}", delivery.id)).todo(format!("handover cancel {}", delivery.id))
    }

    fn processing(&self, delivery: &Delivery, subject: String) -> Explanation {
        let app = delivery.target_app.as_deref().unwrap_or_default();
        let mut answer = Explanation::new(subject, State::Processing).since(delivery.updated_at);
        let holder = delivery.leased_by.as_ref();
        let alive = holder.and_then(|holder| self.running.iter().find(|process| process.holder == *holder));
        let until = delivery.lease_until.map(|until| self.at(until)).unwrap_or_default();
        match (holder, alive) {
            (_, Some(process)) => {
                let command = process.command.as_deref().unwrap_or("handover");
                let pid = process.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
                answer = answer
                    .say(format!(
                        "{app} works on it (attempt {} of {}), run by {command}{pid}.",
                        delivery.attempts, delivery.max_attempts
                    ))
                    .release("It goes on when the app is done.");
            }
            (Some(holder), None) if holder.is_process() => {
                answer.state = State::Waiting;
                answer = answer
                    .say(format!("{app} was at work on it, and the process that ran it ({holder}) is gone."))
                    .release(
                        "The next process that runs takes it back at once, without using up an attempt.",
                    );
                if !self.worked() {
                    answer = answer.todo("handover run --once");
                }
            }
            _ => {
                let by = holder.map(|holder| format!(" ({holder})")).unwrap_or_default();
                answer = answer.say(format!("Another program{by} has claimed it for {app}.")).release(
                    format!("It goes on when that program answers, or when its lease ends at {until}."),
                );
            }
        }
        answer.todo(format!("handover show {}", delivery.id)).todo(format!("handover cancel {}", delivery.id))
    }

    fn completed(&self, delivery: &Delivery, subject: String) -> Explanation {
        let (what, answer_subject) = (self.it(delivery, &subject), subject.clone());
        let mut answer = Explanation::new(subject, State::Done);
        answer.since = delivery.processed_at;
        let facts = Facts::of(delivery);
        let Some(app) = &delivery.target_app else {
            return answer
                .say(self.end_of_flow(delivery, &facts, &answer_subject))
                .todo(format!("handover show {}", delivery.parent_id.unwrap_or(delivery.id)));
        };
        let notes = notes(delivery);
        if let Some(skipped) = notes.iter().find_map(|note| note.strip_prefix("skipped: ")) {
            answer.state = State::Skipped;
            let sentence = format!("It was passed over on purpose: {skipped}.");
            return answer
                .say(sentence)
                .release("Nothing: a changed file arrives anew by itself. It can be brought in all the same, by hand.")
                .todo(format!("handover put {} --app {app} --type {}", self.quoted(facts.path.as_deref().unwrap_or_default()), type_of(delivery)));
        }
        answer = answer.say(format!("{what} is done: {}.", self.did(delivery)));
        answer.sentences.extend(notes.iter().take(5).map(|note| format!("{app} says: {note}.")));
        answer.todo(format!("handover show {}", delivery.id))
    }

    fn end_of_flow(&self, delivery: &Delivery, facts: &Facts, subject: &str) -> String {
        let path = facts.path.as_deref().map(|path| self.shown_text(path)).unwrap_or_default();
        let path = if path == subject { "It".to_owned() } else { path };
        let by = &delivery.source_app;
        let from = delivery.parent_id.map(|id| format!(" from delivery {id}")).unwrap_or_default();
        let what = match facts.role {
            Role::Export => "an export",
            Role::Report => "a report",
            Role::RejectedRows => "rejected rows",
            Role::Quarantined => "a quarantined file",
            _ => "the end of a flow",
        };
        format!("{path} is {what}: {by} made it{from}, and no app reads it")
    }

    /// What an app made of a delivery: rows and files.
    pub(super) fn did(&self, delivery: &Delivery) -> String {
        let app = delivery.target_app.as_deref().unwrap_or_default();
        let result = |key: &str| delivery.result.as_ref().and_then(|result| result.get(key));
        let rows = |key: &str| result(key).and_then(Value::as_u64);
        let counted = match (rows("rows_in"), rows("rows_out"), rows("rows_rejected")) {
            (Some(before), Some(after), Some(rejected)) => {
                let filtered = match rows("rows_filtered") {
                    Some(filtered) => format!(", {} were filtered", times::number(filtered)),
                    None => String::new(),
                };
                format!(
                    " of {}, {} passed{filtered} and {} were rejected",
                    times::count(before, "row"),
                    times::number(after),
                    times::number(rejected)
                )
            }
            (_, Some(after), _) => format!(" with {}", times::count(after, "row")),
            _ => String::new(),
        };
        if let Some(records) = rows("records") {
            return format!("it was split into {} for {app};{counted}", times::count(records, "record"));
        }
        if let Some(path) = result("gathered").and_then(Value::as_str) {
            return format!("it was gathered with others into {} for {app}", self.where_now(path));
        }
        if delivery.kind == Kind::Record {
            return match rows("rows_filtered").or(rows("rows_out")) {
                Some(out) if rows("rows_filtered").is_none() => {
                    format!("{app} made {} of it", times::count(out, "record"))
                }
                _ => format!("{app} has completed it"),
            };
        }
        if let Some(output) = result("output") {
            let size = output.get("size").and_then(Value::as_u64).unwrap_or(0);
            let media_type = output.get("media_type").and_then(Value::as_str).unwrap_or_default();
            let counted = if counted.is_empty() { counted } else { format!(";{counted}") };
            return format!(
                "{app} answered with {} of {media_type}, kept with it{counted}",
                times::count(size, "byte")
            );
        }
        let outputs = result("outputs").and_then(Value::as_array);
        match outputs.and_then(|outputs| outputs.first()).and_then(Value::as_str) {
            Some(path) if counted.starts_with(" of") => {
                format!("{app} made {};{counted}", self.where_now(path))
            }
            Some(path) => format!("{app} made {}{counted}", self.where_now(path)),
            None => format!("{app} ended well and made no file"),
        }
    }

    async fn failed(
        &self,
        delivery: &Delivery,
        subject: String,
        history: &[AuditEntry],
    ) -> Result<Explanation> {
        let (id, app) = (delivery.id, delivery.target_app.as_deref().unwrap_or_default());
        let error = delivery.last_error.clone().unwrap_or_else(|| "no reason was given".to_owned());
        let facts = Facts::of(delivery);
        let mut answer = Explanation::new(subject, State::Failed);
        answer.since = delivery.processed_at;
        if error.starts_with("cancelled by") {
            answer.state = State::Cancelled;
            return Ok(answer
                .say(format!("It was {error}."))
                .release("Nothing by itself.")
                .todo(format!("handover retry {id}")));
        }
        let replays = Filter { replay_of: Some(id), archived: true, limit: 1, ..Filter::default() };
        let replay = self.project.ledger.list(replays).await?.into_iter().next();
        let quarantined = self.quarantined(id).await?;
        let refused = !history.iter().any(|entry| entry.to == Status::Processing);
        answer = match (&quarantined, refused) {
            (_, true) if self.project.config.app(app).is_none() => {
                answer.say(format!("It was refused as it stands: {error}"))
            }
            (_, true) => answer.say(format!("{app} refused it as it stands: {error}")),
            (Some(_), false) => {
                answer.say(format!("{app} found the data bad, and bad data is not tried again: {error}"))
            }
            (None, false) => {
                let attempts = times::count(u64::from(delivery.attempts.max(1)), "attempt");
                answer.say(format!("{app} gave up after {attempts}: {error}"))
            }
        };
        if let Some(path) = &quarantined {
            answer = answer.say(format!("It is kept with its reason in {}.", self.where_now(path)));
        }
        if let Some(replay) = replay {
            answer = answer
                .say(format!("It was run again as delivery {}, which is {}.", replay.id, replay.status));
            answer = answer.todo(format!("handover why {}", replay.id));
        }
        if refused {
            answer.state = State::Refused;
        }
        Ok(match (quarantined.is_some(), refused) {
            (_, true) => refused_goes_on(answer, delivery),
            (true, false) if facts.role == Role::Arrival => {
                refused_goes_on(answer.todo(format!("handover show {id}")), delivery)
            }
            (true, false) if facts.role == Role::Record => answer
                .release("Nothing by itself: correct the program, and retry; or hand a corrected record over.")
                .todo(format!("handover show {id}"))
                .todo(format!("handover retry {id}")),
            (true, false) => answer
                .release("Nothing by itself: correct the file and let it arrive anew, or change the app's rules and retry.")
                .todo(format!("handover show {id}"))
                .todo(format!("handover retry {id}")),
            (false, false) => answer
                .release("Nothing by itself: it is tried again by hand, with all its attempts.")
                .todo(format!("handover show {id}"))
                .todo(format!("handover retry {id}")),
        })
    }

    /// The file in quarantine that a delivery left.
    async fn quarantined(&self, id: DeliveryId) -> Result<Option<String>> {
        let names = self.project.ledger.names_of(id).await?;
        let Some(row) = names.into_iter().find(|row| row.slot == "quarantine") else { return Ok(None) };
        Ok(self.project.ledger.get(row.file_id).await?.and_then(|kept| Facts::of(&kept).path))
    }

    async fn archived(
        &self,
        delivery: &Delivery,
        subject: String,
        history: &[AuditEntry],
    ) -> Result<Explanation> {
        let ended_as =
            history.iter().rev().find(|entry| entry.to == Status::Archived).and_then(|entry| entry.from);
        let answer = match ended_as {
            Some(Status::Failed) => self.failed(delivery, subject, history).await?,
            _ => self.completed(delivery, subject),
        };
        let mut answer = answer.say("It is in the archive: `show` and `replay` read it there.");
        answer.todo = vec![format!("handover show {}", delivery.id)];
        if delivery.target_app.is_some() {
            answer = answer.todo(format!("handover replay {}", delivery.id));
        }
        Ok(answer)
    }

    /// A delivery as sentences begin with it.
    pub(super) fn what(&self, delivery: &Delivery) -> String {
        let facts = Facts::of(delivery);
        match &facts.path {
            Some(path) => self.shown_text(path),
            None => format!("{} (delivery {})", facts.name, delivery.id),
        }
    }

    /// The same below a heading: what stands there already is "it".
    fn it(&self, delivery: &Delivery, subject: &str) -> String {
        let what = self.what(delivery);
        // Of a job nothing is known but its number.
        let is_subject = what == subject
            || (Facts::of(delivery).role == Role::Job && subject == format!("delivery {}", delivery.id));
        if is_subject { "It".to_owned() } else { what }
    }

    pub(super) fn config_name(&self) -> String {
        self.shown(&self.project.config.base.join(&self.project.config.file))
    }
}

/// How it goes on with what was refused as it stood.
pub(super) fn refused_goes_on(answer: Explanation, delivery: &Delivery) -> Explanation {
    if delivery.target_app.as_deref() == Some(DATA_DIRECTORY) {
        return answer.release("Nothing by itself: once the manifest is put right, it arrives anew.");
    }
    answer
        .release(
            "Nothing by itself: once the file is put right, it arrives anew. Where what is put right is not the file \
             itself, such as the manifest beside it, it is retried by hand.",
        )
        .todo(format!("handover retry {}", delivery.id))
}

pub(super) fn notes(delivery: &Delivery) -> Vec<&str> {
    let notes = delivery.result.as_ref().and_then(|result| result.get("notes")).and_then(Value::as_array);
    notes.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The type that a file of this delivery has, or would have.
pub(super) fn type_of(delivery: &Delivery) -> String {
    let given = delivery.data.get("type").and_then(Value::as_str).map(str::to_owned);
    given.unwrap_or_else(|| Facts::of(delivery).name.split('_').nth(1).unwrap_or("data").to_owned())
}

/// The attempts that came to nothing, with what was said of them.
fn tried(history: &[AuditEntry], at: impl Fn(jiff::Timestamp) -> String) -> Vec<String> {
    let mut tried = Vec::new();
    for entry in history {
        if entry.from == Some(Status::Processing) && matches!(entry.to, Status::Pending | Status::Failed) {
            let said = entry.note.as_deref().unwrap_or("given back");
            tried.push(format!("{}  {said}", at(entry.at)));
        } else if entry.from == Some(Status::Failed) && entry.to == Status::Pending {
            tried.push(format!("{}  retried by {}", at(entry.at), entry.actor));
        }
    }
    tried
}
