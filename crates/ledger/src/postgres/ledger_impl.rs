//! The contract, method by method: writes are transactions, reads single queries.

use super::tx::in_transaction;
use super::{
    PostgresLedger, answer, archive, arrivals, by_hand, claim, finish, health, lanes, loads, names, push,
    query, schedules, search, transfer,
};
use crate::api::{
    Answered, Answers, AppCount, Arrival, Arrived, AuditEntry, Claim, Completion, Conserved, Content, Failed,
    Failure, Filter, Forgotten, Held, Ledger, Load, NameRow, NewArrival, Pause, Pushed, Queue, Rescued,
    Reservation, Reserve, ScheduleMark, Searched, Waiting,
};
use crate::budgets::Budgets;
use crate::health::Health;
use crate::links::Links;
use crate::transfer::{Page, Part, State};
use async_trait::async_trait;
use handover_core::{
    Checksum, Delivery, DeliveryId, Error, HolderId, LeaseToken, NewDelivery, Result, Status, fault,
};
use jiff::Timestamp;
use std::time::Duration;
use tokio::sync::{broadcast, watch};

#[async_trait]
impl Ledger for PostgresLedger {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn location(&self) -> String {
        self.connections.shown().to_owned()
    }

    fn wake(&self) -> watch::Receiver<u64> {
        self.wake.subscribe()
    }

    fn wake_for(&self, app: &str) -> watch::Receiver<u64> {
        self.wake.subscribe_for(app)
    }

    fn ends(&self) -> broadcast::Receiver<DeliveryId> {
        // Those of other processes are heard on the way of new work.
        self.wake.listen();
        self.ends.subscribe()
    }

    fn budgets(&self) -> Option<&dyn Budgets> {
        Some(self)
    }

    async fn push(&self, actor: &str, new: Vec<NewDelivery>) -> Result<Vec<Pushed>> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let born: Vec<_> = new.iter().map(|new| (new, None)).collect();
        in_transaction!(self, |tx| push::push(tx, actor, &born))
    }

    async fn arrive(&self, actor: &str, arrivals: Vec<NewArrival>) -> Result<Vec<Arrived>> {
        if arrivals.is_empty() {
            return Ok(Vec::new());
        }
        fault::point("arrive.before_commit")?;
        let arrived = in_transaction!(self, |tx| arrivals::arrive(tx, actor, &arrivals))?;
        committed("arrive.committed");
        Ok(arrived)
    }

    async fn begin_load(&self, actor: &str, key: &str, whole: bool) -> Result<Load> {
        in_transaction!(self, |tx| loads::begin(tx, actor, key, whole))
    }

    async fn load_is_made_by(&self, key: &str, made_by: Option<&str>) -> Result<Load> {
        in_transaction!(self, |tx| loads::is_made_by(tx, key, made_by))
    }

    async fn load(
        &self,
        actor: &str,
        key: &str,
        at: u64,
        skipped: u64,
        rows: Vec<NewDelivery>,
    ) -> Result<Load> {
        in_transaction!(self, |tx| loads::load(tx, actor, key, (at, skipped), &rows))
    }

    async fn end_load(&self, actor: &str, key: &str) -> Result<Load> {
        in_transaction!(self, |tx| loads::end(tx, actor, key))
    }

    async fn drop_load(&self, _actor: &str, key: &str) -> Result<bool> {
        in_transaction!(self, |tx| loads::drop_load(tx, key))
    }

    async fn claim(&self, request: Claim) -> Result<Vec<Delivery>> {
        claim::lease_seconds(request.lease)?;
        if request.max == 0 {
            return Ok(Vec::new());
        }
        fault::point("claim.before_commit")?;
        let claimed = match lanes::claim(self, &request).await? {
            Some(claimed) => claimed,
            None => claim::claim(self, &request).await?,
        };
        if !claimed.is_empty() {
            committed("claim.committed");
        }
        Ok(claimed)
    }

    async fn claim_by(&self, actor: &str, lanes: Vec<String>, usual: Vec<String>) -> Result<()> {
        lanes::claim_by(self, actor, lanes, usual).await
    }

    async fn renew(&self, held: Vec<Held>, lease: Duration) -> Result<Vec<Held>> {
        if held.is_empty() {
            return Ok(held);
        }
        let lease = claim::lease_seconds(lease)?;
        in_transaction!(self, |tx| claim::renew(tx, &held, lease))
    }

    async fn lost(&self, held: Vec<Held>) -> Result<Vec<Held>> {
        claim::lost(self, &held).await
    }

    async fn holds(&self, held: &Held) -> Result<bool> {
        claim::lost(self, std::slice::from_ref(held)).await.map(|lost| lost.is_empty())
    }

    async fn complete(&self, completion: Completion) -> Result<Vec<DeliveryId>> {
        fault::point("complete.before_commit")?;
        let next = in_transaction!(self, |tx| finish::complete(tx, &completion))?;
        committed("complete.committed");
        self.ended(completion.held.queue, std::iter::once(completion.held.id));
        Ok(next)
    }

    async fn fail(&self, failure: Failure) -> Result<Failed> {
        let failed = in_transaction!(self, |tx| finish::fail(tx, &failure))?;
        self.ended(failure.held.queue, std::iter::once(failure.held.id));
        Ok(failed)
    }

    async fn answer(&self, answers: Answers) -> Result<Vec<Answered>> {
        if answers.answers.is_empty() {
            return Ok(Vec::new());
        }
        fault::point("complete.before_commit")?;
        let answered = match lanes::answer(self, &answers).await? {
            Some(answered) => answered,
            None => in_transaction!(self, |tx| answer::answer(tx, &answers))?,
        };
        committed("complete.committed");
        self.ended(answers.queue, answers.answers.iter().map(|answer| answer.id));
        Ok(answered)
    }

    async fn held_by(&self, token: &LeaseToken) -> Result<Vec<Held>> {
        claim::held_by(self, token).await
    }

    async fn claimable(&self, queue: Queue, app: &str) -> Result<bool> {
        answer::claimable(self, queue, app).await
    }

    async fn waiting(&self, queue: Queue, app: &str, at_most: usize) -> Result<Waiting> {
        answer::waiting(self, queue, app, at_most).await
    }

    async fn filling(&self, queue: Queue, app: &str, rows: usize, bytes: u64) -> Result<Option<usize>> {
        query::filling(self, queue, app, rows, bytes).await
    }

    async fn release(&self, held: Vec<Held>, why: Option<String>) -> Result<usize> {
        if held.is_empty() {
            return Ok(0);
        }
        in_transaction!(self, |tx| claim::release(tx, &held, why.as_deref()))
    }

    async fn holders(&self) -> Result<Vec<HolderId>> {
        claim::holders(self).await
    }

    async fn rescue(&self, actor: &str, lost: Vec<HolderId>) -> Result<Vec<Rescued>> {
        if !claim::any_lost(self, &lost).await? {
            return Ok(Vec::new());
        }
        in_transaction!(self, |tx| claim::rescue(tx, actor, &lost))
    }

    async fn retry(&self, actor: &str, id: DeliveryId) -> Result<()> {
        in_transaction!(self, |tx| by_hand::retry(tx, actor, id))
    }

    async fn cancel(&self, actor: &str, id: DeliveryId) -> Result<()> {
        in_transaction!(self, |tx| by_hand::cancel(tx, actor, id))?;
        self.ended(Queue::Deliveries, std::iter::once(id));
        Ok(())
    }

    async fn replay(&self, actor: &str, id: DeliveryId) -> Result<DeliveryId> {
        in_transaction!(self, |tx| by_hand::replay(tx, actor, id))
    }

    async fn pause(&self, actor: &str, app: &str) -> Result<()> {
        in_transaction!(self, |tx| by_hand::pause(tx, actor, app))
    }

    async fn resume(&self, _actor: &str, app: &str) -> Result<bool> {
        in_transaction!(self, |tx| by_hand::resume(tx, app))
    }

    async fn paused(&self) -> Result<Vec<Pause>> {
        query::paused(self).await
    }

    async fn restore(&self, _actor: &str, id: DeliveryId) -> Result<bool> {
        in_transaction!(self, |tx| by_hand::restore(tx, id))
    }

    async fn reserve(&self, reserve: Reserve) -> Result<Reservation> {
        let mut all = self.reserve_all(vec![reserve]).await?;
        all.pop().unwrap_or_else(|| Err(Error::internal("a reservation gave no name")))
    }

    async fn reserve_all(&self, reserves: Vec<Reserve>) -> Result<Vec<Result<Reservation>>> {
        if reserves.is_empty() {
            return Ok(Vec::new());
        }
        let reserved = in_transaction!(self, |tx| names::reserve_all(tx, &reserves))?;
        committed("reserve.committed");
        Ok(reserved)
    }

    async fn discard(&self, reservation: &Reservation, by: Option<&Held>) -> Result<()> {
        in_transaction!(self, |tx| names::discard(tx, reservation, by))
    }

    async fn name(&self, folder: &str, stem: &str) -> Result<Option<NameRow>> {
        names::name(self, folder, stem).await
    }

    async fn names_in(&self, folder: &str) -> Result<Vec<String>> {
        names::names_in(self, folder).await
    }

    async fn names_of(&self, maker: DeliveryId) -> Result<Vec<NameRow>> {
        names::names_of(self, maker).await
    }

    async fn arrivals(&self, app: &str, limit: usize) -> Result<Vec<Arrival>> {
        arrivals::of_app(self, app, limit).await
    }

    async fn arrivals_of(&self, app: &str, paths: &[String]) -> Result<Vec<Arrival>> {
        arrivals::of_paths(self, app, paths).await
    }

    async fn arrivals_at(&self, path: &str) -> Result<Vec<Arrival>> {
        arrivals::at(self, path).await
    }

    async fn same_content(&self, app: &str, checksum: Checksum, except: DeliveryId) -> Result<Vec<Arrival>> {
        arrivals::same_content(self, app, checksum, except).await
    }

    async fn take_content(&self, held: &Held, app: &str, checksum: Checksum) -> Result<Content> {
        in_transaction!(self, |tx| arrivals::take_content(tx, held, app, checksum))
    }

    async fn schedule_mark(&self, app: &str) -> Result<Option<ScheduleMark>> {
        schedules::mark(self, app).await
    }

    async fn schedule_due(
        &self,
        actor: &str,
        mark: ScheduleMark,
        push: Option<NewDelivery>,
    ) -> Result<Option<DeliveryId>> {
        in_transaction!(self, |tx| schedules::due(tx, actor, &mark, push.as_ref()))
    }

    async fn get(&self, id: DeliveryId) -> Result<Option<Delivery>> {
        query::get_by_id(self, id).await
    }

    async fn list(&self, filter: Filter) -> Result<Vec<Delivery>> {
        query::list(self, &filter).await
    }

    async fn waiting_since(&self, before: Timestamp, at_most: usize) -> Result<Vec<Delivery>> {
        query::waiting_since(self, before, at_most).await
    }

    async fn failed_lately(&self, at_most: usize) -> Result<Vec<Delivery>> {
        query::failed_lately(self, at_most).await
    }

    async fn replayed(&self, of: Vec<DeliveryId>) -> Result<Vec<DeliveryId>> {
        query::replayed(self, &of).await
    }

    async fn search(&self, filter: Filter, look: usize) -> Result<Searched> {
        search::search(self, &filter, look).await
    }

    async fn counts(&self) -> Result<Vec<AppCount>> {
        query::counts(self).await
    }

    async fn links(&self) -> Result<Links> {
        query::links(self).await
    }

    async fn oldest_pending(&self, app: &str) -> Result<Option<Timestamp>> {
        query::oldest_pending(self, app).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>> {
        query::next_due(self).await
    }

    async fn audit(&self, id: DeliveryId) -> Result<Vec<AuditEntry>> {
        query::audit(self, id).await
    }

    async fn archive(&self, actor: &str, ids: Vec<DeliveryId>) -> Result<usize> {
        if ids.is_empty() {
            return Ok(0);
        }
        in_transaction!(self, |tx| by_hand::archive(tx, actor, &ids))
    }

    async fn archive_ended(
        &self,
        actor: &str,
        queue: Queue,
        status: Status,
        before: Timestamp,
        max: usize,
    ) -> Result<usize> {
        if !matches!(status, Status::Completed | Status::Failed) {
            return Ok(0);
        }
        in_transaction!(self, |tx| archive::archive_ended(tx, actor, queue, status, before, max))
    }

    async fn move_archived(&self, max: usize) -> Result<usize> {
        in_transaction!(self, |tx| archive::move_archived(tx, max))
    }

    async fn prepare_archive(&self) -> Result<Vec<String>> {
        archive::prepare(self).await
    }

    async fn forget(&self, archived: Timestamp, entries: Timestamp, max: usize) -> Result<Forgotten> {
        archive::forget(self, archived, entries, max).await
    }

    async fn health(&self) -> Result<Health> {
        health::health(self).await
    }

    async fn conservation(&self) -> Result<Vec<Conserved>> {
        archive::conservation(self).await
    }

    async fn state(&self) -> Result<State> {
        transfer::state(self).await
    }

    async fn read_part(&self, part: Part, after: Option<String>, limit: usize) -> Result<Page> {
        transfer::read(self, part, after, limit).await
    }

    async fn write_part(&self, part: Part, rows: Vec<String>) -> Result<()> {
        in_transaction!(self, |tx| transfer::write(tx, part, &rows))
    }

    async fn take_over(&self, state: &State) -> Result<()> {
        in_transaction!(self, |tx| transfer::take_over(tx, state))
    }
}

/// A fault after the commit can only kill: what counts counts.
fn committed(point: &'static str) {
    let _ = fault::point(point);
}
