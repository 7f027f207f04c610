//! The contract, method by method: writes go to the writer, reads to a reader.

use super::writer::Step;
use super::{
    SqliteLedger, answer, archive, arrivals, by_hand, claim, finish, health, loads, names, push, query,
    schedules, search, transfer,
};
use crate::api::{
    Answered, Answers, AppCount, Arrival, Arrived, AuditEntry, Claim, Completion, Conserved, Content, Failed,
    Failure, Filter, Forgotten, Held, Ledger, Load, NameRow, NewArrival, Outcome, Pause, Pushed, Queue,
    Rescued, Reservation, Reserve, ScheduleMark, Searched, Waiting,
};
use crate::health::Health;
use crate::links::Links;
use crate::transfer::{Page, Part, State};
use async_trait::async_trait;
use handover_core::clock::rfc3339;
use handover_core::{Checksum, Delivery, DeliveryId, HolderId, LeaseToken, NewDelivery, Result, Status};
use jiff::Timestamp;
use std::time::Duration;
use tokio::sync::{broadcast, watch};

impl SqliteLedger {
    fn now(&self) -> String {
        rfc3339(self.clock.now())
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn location(&self) -> String {
        self.file.display().to_string()
    }

    fn wake(&self) -> watch::Receiver<u64> {
        self.wake.subscribe()
    }

    fn wake_for(&self, _app: &str) -> watch::Receiver<u64> {
        self.wake()
    }

    fn ends(&self) -> broadcast::Receiver<DeliveryId> {
        self.ends.subscribe()
    }

    async fn push(&self, actor: &str, new: Vec<NewDelivery>) -> Result<Vec<Pushed>> {
        let by = actor.to_owned();
        self.writer.run(Step::Other, move |w| push::push_all(w, &by, &new)).await
    }

    async fn begin_load(&self, actor: &str, key: &str, whole: bool) -> Result<Load> {
        let (by, key) = (actor.to_owned(), key.to_owned());
        self.writer.run(Step::Quiet, move |w| loads::begin(w, &by, &key, whole)).await
    }

    async fn load_is_made_by(&self, key: &str, made_by: Option<&str>) -> Result<Load> {
        let (key, made_by) = (key.to_owned(), made_by.map(str::to_owned));
        self.writer.run(Step::Quiet, move |w| loads::is_made_by(w, &key, made_by)).await
    }

    async fn load(
        &self,
        actor: &str,
        key: &str,
        at: u64,
        skipped: u64,
        rows: Vec<NewDelivery>,
    ) -> Result<Load> {
        let (by, key) = (actor.to_owned(), key.to_owned());
        self.writer.run(Step::Other, move |w| loads::load(w, &by, &key, (at, skipped), &rows)).await
    }

    async fn end_load(&self, actor: &str, key: &str) -> Result<Load> {
        let (by, key) = (actor.to_owned(), key.to_owned());
        self.writer.run(Step::Other, move |w| loads::end(w, &by, &key)).await
    }

    async fn drop_load(&self, _actor: &str, key: &str) -> Result<bool> {
        let key = key.to_owned();
        self.writer.run(Step::Quiet, move |w| loads::give_up(w, &key)).await
    }

    async fn arrive(&self, actor: &str, arrivals: Vec<NewArrival>) -> Result<Vec<Arrived>> {
        let by = actor.to_owned();
        self.writer.run(Step::Arrive, move |w| arrivals::arrive(w, &by, &arrivals)).await
    }

    async fn claim(&self, request: Claim) -> Result<Vec<Delivery>> {
        let (now, look) = (self.now(), request.clone());
        if !self.readers.quick(move |c| claim::any(c, look.queue, &look.app, &now)).await? {
            return Ok(Vec::new());
        }
        self.writer.run(Step::Claim, move |w| claim::claim(w, &request)).await
    }

    async fn renew(&self, held: Vec<Held>, lease: Duration) -> Result<Vec<Held>> {
        if held.is_empty() {
            return Ok(held);
        }
        self.writer.run(Step::Quiet, move |w| claim::renew(w, held, lease)).await
    }

    async fn lost(&self, held: Vec<Held>) -> Result<Vec<Held>> {
        self.readers
            .run(move |c| {
                let mut lost = Vec::new();
                for claim in held {
                    if !claim::holds(c, &claim)? {
                        lost.push(claim);
                    }
                }
                Ok(lost)
            })
            .await
    }

    async fn holds(&self, held: &Held) -> Result<bool> {
        let held = held.clone();
        self.readers.run(move |c| claim::holds(c, &held)).await
    }

    async fn complete(&self, completion: Completion) -> Result<Vec<DeliveryId>> {
        let step = if completion.next.iter().any(|next| next.target_app.is_some()) {
            Step::Complete
        } else {
            Step::End
        };
        let (queue, id) = (completion.held.queue, completion.held.id);
        let next = self.writer.run(step, move |w| finish::complete(w, completion)).await?;
        self.ends.tell(queue, std::iter::once(id));
        Ok(next)
    }

    async fn fail(&self, failure: Failure) -> Result<Failed> {
        let (queue, id) = (failure.held.queue, failure.held.id);
        let failed = self.writer.run(Step::Other, move |w| finish::fail(w, failure)).await?;
        self.ends.tell(queue, std::iter::once(id));
        Ok(failed)
    }

    async fn answer(&self, answers: Answers) -> Result<Vec<Answered>> {
        let hands_nothing_on =
            |outcome: &Outcome| matches!(outcome, Outcome::Completed { next, .. } if next.is_empty());
        let step = match answers.answers.iter().all(|answer| hands_nothing_on(&answer.outcome)) {
            true => Step::End,
            false => Step::Complete,
        };
        let queue = answers.queue;
        let ids: Vec<DeliveryId> = answers.answers.iter().map(|answer| answer.id).collect();
        let answered = self.writer.run(step, move |w| answer::answer(w, answers)).await?;
        self.ends.tell(queue, ids.into_iter());
        Ok(answered)
    }

    async fn held_by(&self, token: &LeaseToken) -> Result<Vec<Held>> {
        let token = token.clone();
        self.readers.run(move |c| answer::held_by(c, &token)).await
    }

    async fn claimable(&self, queue: Queue, app: &str) -> Result<bool> {
        let (app, now) = (app.to_owned(), self.now());
        self.readers.run(move |c| claim::any(c, queue, &app, &now)).await
    }

    async fn waiting(&self, queue: Queue, app: &str, at_most: usize) -> Result<Waiting> {
        let (app, now) = (app.to_owned(), self.now());
        self.readers.run(move |c| answer::waiting(c, queue, &app, &now, at_most)).await
    }

    async fn filling(&self, queue: Queue, app: &str, rows: usize, bytes: u64) -> Result<Option<usize>> {
        let (app, now) = (app.to_owned(), self.now());
        self.readers.run(move |c| query::filling(c, queue, &app, &now, rows, bytes)).await
    }

    async fn release(&self, held: Vec<Held>, why: Option<String>) -> Result<usize> {
        if held.is_empty() {
            return Ok(0);
        }
        self.writer.run(Step::Other, move |w| claim::release(w, &held, why.as_deref())).await
    }

    async fn holders(&self) -> Result<Vec<HolderId>> {
        self.readers.run(claim::holders).await
    }

    async fn rescue(&self, actor: &str, lost: Vec<HolderId>) -> Result<Vec<Rescued>> {
        let (now, look) = (self.now(), lost.clone());
        if !self.readers.run(move |c| claim::any_lost(c, &look, &now)).await? {
            return Ok(Vec::new());
        }
        let by = actor.to_owned();
        self.writer.run(Step::Other, move |w| claim::rescue(w, &by, &lost)).await
    }

    async fn retry(&self, actor: &str, id: DeliveryId) -> Result<()> {
        let by = actor.to_owned();
        self.writer.run(Step::Other, move |w| by_hand::retry(w, &by, id)).await
    }

    async fn cancel(&self, actor: &str, id: DeliveryId) -> Result<()> {
        let by = actor.to_owned();
        self.writer.run(Step::Other, move |w| by_hand::cancel(w, &by, id)).await?;
        self.ends.tell(Queue::Deliveries, std::iter::once(id));
        Ok(())
    }

    async fn replay(&self, actor: &str, id: DeliveryId) -> Result<DeliveryId> {
        let by = actor.to_owned();
        self.writer.run(Step::Other, move |w| by_hand::replay(w, &by, id)).await
    }

    async fn pause(&self, actor: &str, app: &str) -> Result<()> {
        let (by, app) = (actor.to_owned(), app.to_owned());
        self.writer.run(Step::Quiet, move |w| by_hand::pause(w, &by, &app)).await
    }

    async fn resume(&self, _actor: &str, app: &str) -> Result<bool> {
        let app = app.to_owned();
        self.writer.run(Step::Other, move |w| by_hand::resume(w, &app)).await
    }

    async fn paused(&self) -> Result<Vec<Pause>> {
        self.readers.run(query::paused).await
    }

    async fn restore(&self, _actor: &str, id: DeliveryId) -> Result<bool> {
        self.writer.run(Step::Other, move |w| by_hand::restore(w, id)).await
    }

    async fn reserve(&self, reserve: Reserve) -> Result<Reservation> {
        self.writer.run(Step::Reserve, move |w| names::reserve(w, &reserve)).await
    }

    async fn reserve_all(&self, reserves: Vec<Reserve>) -> Result<Vec<Result<Reservation>>> {
        self.writer.run(Step::Reserve, move |w| names::reserve_all(w, &reserves)).await
    }

    async fn discard(&self, reservation: &Reservation, by: Option<&Held>) -> Result<()> {
        let (reservation, by) = (reservation.clone(), by.cloned());
        self.writer.run(Step::Reserve, move |w| names::discard(w, &reservation, by.as_ref())).await
    }

    async fn name(&self, folder: &str, stem: &str) -> Result<Option<NameRow>> {
        let (folder, stem) = (folder.to_owned(), stem.to_owned());
        self.readers.run(move |c| names::name(c, &folder, &stem)).await
    }

    async fn names(&self, names: Vec<(String, String)>) -> Result<Vec<Option<NameRow>>> {
        self.readers
            .run(move |c| names.iter().map(|(folder, stem)| names::name(c, folder, stem)).collect())
            .await
    }

    async fn names_in(&self, folder: &str) -> Result<Vec<String>> {
        let folder = folder.to_owned();
        self.readers.run(move |c| names::names_in(c, &folder)).await
    }

    async fn names_of(&self, maker: DeliveryId) -> Result<Vec<NameRow>> {
        self.readers.run(move |c| names::names_of(c, maker)).await
    }

    async fn arrivals(&self, app: &str, limit: usize) -> Result<Vec<Arrival>> {
        let app = app.to_owned();
        self.readers.run(move |c| arrivals::of_app(c, &app, limit)).await
    }

    async fn arrivals_of(&self, app: &str, paths: &[String]) -> Result<Vec<Arrival>> {
        let (app, paths) = (app.to_owned(), serde_json::json!(paths).to_string());
        self.readers.run(move |c| arrivals::of_paths(c, &app, &paths)).await
    }

    async fn arrivals_at(&self, path: &str) -> Result<Vec<Arrival>> {
        let path = path.to_owned();
        self.readers.run(move |c| arrivals::at(c, &path)).await
    }

    async fn same_content(&self, app: &str, checksum: Checksum, except: DeliveryId) -> Result<Vec<Arrival>> {
        let app = app.to_owned();
        self.readers.quick(move |c| arrivals::same_content(c, &app, checksum, except)).await
    }

    async fn take_content(&self, held: &Held, app: &str, checksum: Checksum) -> Result<Content> {
        let (held, app) = (held.clone(), app.to_owned());
        self.writer.run(Step::Quiet, move |w| arrivals::take_content(w, &held, &app, checksum)).await
    }

    async fn schedule_mark(&self, app: &str) -> Result<Option<ScheduleMark>> {
        let app = app.to_owned();
        self.readers.run(move |c| schedules::mark(c, &app)).await
    }

    async fn schedule_due(
        &self,
        actor: &str,
        mark: ScheduleMark,
        push: Option<NewDelivery>,
    ) -> Result<Option<DeliveryId>> {
        let by = actor.to_owned();
        self.writer.run(Step::Other, move |w| schedules::due(w, &by, &mark, push.as_ref())).await
    }

    async fn get(&self, id: DeliveryId) -> Result<Option<Delivery>> {
        self.readers.run(move |c| query::get(c, id)).await
    }

    async fn list(&self, filter: Filter) -> Result<Vec<Delivery>> {
        self.readers.run(move |c| query::list(c, &filter)).await
    }

    async fn waiting_since(&self, before: Timestamp, at_most: usize) -> Result<Vec<Delivery>> {
        self.readers.run(move |c| query::waiting_since(c, before, at_most)).await
    }

    async fn failed_lately(&self, at_most: usize) -> Result<Vec<Delivery>> {
        self.readers.run(move |c| query::failed_lately(c, at_most)).await
    }

    async fn replayed(&self, of: Vec<DeliveryId>) -> Result<Vec<DeliveryId>> {
        self.readers.run(move |c| query::replayed(c, &of)).await
    }

    async fn search(&self, filter: Filter, look: usize) -> Result<Searched> {
        self.readers.run(move |c| search::search(c, &filter, look)).await
    }

    async fn counts(&self) -> Result<Vec<AppCount>> {
        self.readers.run(query::counts).await
    }

    async fn conservation(&self) -> Result<Vec<Conserved>> {
        self.readers.run(query::conservation).await
    }

    async fn links(&self) -> Result<Links> {
        self.readers.run(query::links).await
    }

    async fn oldest_pending(&self, app: &str) -> Result<Option<Timestamp>> {
        let (app, now) = (app.to_owned(), self.now());
        self.readers.run(move |c| query::oldest_pending(c, &app, &now)).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>> {
        let now = self.now();
        self.readers.run(move |c| query::next_due(c, &now)).await
    }

    async fn audit(&self, id: DeliveryId) -> Result<Vec<AuditEntry>> {
        self.readers.run(move |c| query::audit(c, id)).await
    }

    async fn archive(&self, actor: &str, ids: Vec<DeliveryId>) -> Result<usize> {
        let by = actor.to_owned();
        self.writer.run(Step::Quiet, move |w| archive::archive(w, &by, &ids)).await
    }

    async fn archive_ended(
        &self,
        actor: &str,
        queue: Queue,
        status: Status,
        before: Timestamp,
        max: usize,
    ) -> Result<usize> {
        if !matches!(status, Status::Completed | Status::Failed)
            || !self.readers.run(move |c| archive::any_ended(c, queue, status, before)).await?
        {
            return Ok(0);
        }
        let by = actor.to_owned();
        self.writer
            .run(Step::Quiet, move |w| archive::archive_ended(w, &by, queue, status, before, max))
            .await
    }

    async fn move_archived(&self, max: usize) -> Result<usize> {
        if !self.readers.run(archive::any_marked).await? {
            return Ok(0);
        }
        self.writer.run(Step::Quiet, move |w| archive::move_marked(w, max)).await
    }

    async fn prepare_archive(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn forget(&self, archived: Timestamp, entries: Timestamp, max: usize) -> Result<Forgotten> {
        if !self.readers.run(move |c| archive::any_to_forget(c, archived, entries)).await? {
            return Ok(Forgotten::default());
        }
        self.writer.run(Step::Quiet, move |w| archive::forget(w, archived, entries, max)).await
    }

    async fn health(&self) -> Result<Health> {
        let file = self.file.clone();
        self.readers.run(move |_| health::health(&file)).await
    }

    async fn state(&self) -> Result<State> {
        self.readers.run(transfer::state).await
    }

    async fn read_part(&self, part: Part, after: Option<String>, limit: usize) -> Result<Page> {
        self.readers.run(move |c| transfer::read(c, part, after.as_deref(), limit)).await
    }

    async fn write_part(&self, part: Part, rows: Vec<String>) -> Result<()> {
        self.writer.run(Step::Quiet, move |w| transfer::write(w, part, &rows)).await
    }

    async fn take_over(&self, state: &State) -> Result<()> {
        let state = state.clone();
        self.writer.run(Step::Quiet, move |w| transfer::take_over(w, &state)).await
    }
}
