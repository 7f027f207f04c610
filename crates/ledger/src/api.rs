//! The ledger's contract: what a backend can be asked, and what it promises.
//!
//! What is asked with and answered stands in the folder beside this, by the sections of [`Ledger`].

mod arrivals;
mod entering;
mod names;
mod reading;
mod working;

pub use arrivals::{Arrival, ArrivalKey, Arrived, Content, NOT_TAKEN, NewArrival};
pub use entering::{Load, Pushed, Queue};
pub use names::{NameRow, Reservation, Reserve};
pub use reading::{AppCount, AuditEntry, Conserved, Filter, Pause, ScheduleMark, Searched};
pub use working::{
    Answer, Answered, Answers, Claim, Completion, Failed, Failure, Held, Outcome, Rescued, Verdict, Waiting,
};

use crate::actions::Actions;
use crate::activity::Activities;
use crate::alerts::Alerts;
use crate::budgets::Budgets;
use crate::health::Health;
use crate::jobs::Jobs;
use crate::keys::Keys;
use crate::links::Links;
use crate::sizes::Sizes;
use crate::transfer::{Page, Part, State};
use async_trait::async_trait;
use handover_core::{Checksum, Delivery, DeliveryId, HolderId, LeaseToken, NewDelivery, Result, Status};
use jiff::Timestamp;
use serde::Serialize;
use std::time::Duration;
use tokio::sync::{broadcast, watch};

/// What was deleted for good, because it had been kept long enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// Archived deliveries.
    pub deliveries: u64,
    /// Entries of the audit log.
    pub entries: u64,
    /// Whether there may be more to delete.
    #[serde(skip)]
    pub more: bool,
}

/// A ledger. Every method is one transaction; every answer is durable.
///
/// # Errors
/// Each method fails with an I/O error where the ledger cannot be reached; other errors are said at the method.
#[async_trait]
pub trait Ledger: Jobs + Keys + Activities + Alerts + Sizes + Actions {
    /// This ledger's own random identity, for ever.
    fn identity(&self) -> &str;

    /// Where it is, for people; no secrets.
    fn location(&self) -> String;

    /// Changes its value whenever there may be new work, whoever made it, in this process or another.
    fn wake(&self) -> watch::Receiver<u64>;

    /// The same for who waits for one app's work alone: where the backend knows for whom new work is, others' wakes it not.
    fn wake_for(&self, app: &str) -> watch::Receiver<u64>;

    /// Tells of files and jobs whose attempts ended or whose end was asked for: those of this process as soon as that is
    /// committed, those of others where the backend can say so. Some may be missed, so whoever waits for an end looks as well.
    fn ends(&self) -> broadcast::Receiver<DeliveryId>;

    /// The limits of rates that its processes share; none where one process at a time serves callers, and counts for itself.
    fn budgets(&self) -> Option<&dyn Budgets> {
        None
    }

    // --- entering -----------------------------------------------------------------------------------------

    /// Hands over. Without a target a delivery is born completed. A known dedup key gives the known delivery.
    async fn push(&self, actor: &str, new: Vec<NewDelivery>) -> Result<Vec<Pushed>>;

    /// Commits arrivals: from then on each has its delivery, however often it is seen. One whose delivery ended without
    /// having read it ([`NOT_TAKEN`]) has none, and gets a new one.
    async fn arrive(&self, actor: &str, arrivals: Vec<NewArrival>) -> Result<Vec<Arrived>>;

    /// Begins a bulk load, or finds how far one of this name has come.
    /// Fails with a configuration error where one of this name is `whole` and this one is not, or the other way round.
    async fn begin_load(&self, actor: &str, key: &str, whole: bool) -> Result<Load>;

    /// Says by what the rows of a load are made, for whoever goes on with it: made otherwise, others of the source's might be
    /// its rows. Where some are in, or it has ended, what was said first stands: compare what comes back.
    async fn load_is_made_by(&self, key: &str, made_by: Option<&str>) -> Result<Load>;

    /// Takes the next rows of a load, in one transaction; the first of them is row `at`, counted from 0, and `skipped` records of
    /// the source were passed over since the last rows. Fails with `Stale` where the load has not come just so far (another process
    /// loads it too), or has ended.
    async fn load(
        &self,
        actor: &str,
        key: &str,
        at: u64,
        skipped: u64,
        rows: Vec<NewDelivery>,
    ) -> Result<Load>;

    /// Ends a load: all rows of a `whole` one appear, at once. Ending it once more changes nothing.
    async fn end_load(&self, actor: &str, key: &str) -> Result<Load>;

    /// Gives up a `whole` load that has not ended, with its rows. Returns whether there was one.
    async fn drop_load(&self, actor: &str, key: &str) -> Result<bool>;

    // --- working ------------------------------------------------------------------------------------------

    /// Gives the holder work, highest priority first, then oldest; nothing of a paused app. All of one claim share
    /// one token.
    async fn claim(&self, claim: Claim) -> Result<Vec<Delivery>>;

    /// From now on the records of these apps (`lanes`) are claimed by lanes, and those of the others (`usual`) as usual; of
    /// apps that are not named it stays as it is, and what is in flight stays with whoever has it. It changes what a claim costs,
    /// and where a completed record stands: in the archive at once. A backend that would gain nothing ignores it.
    async fn claim_by(&self, _actor: &str, _lanes: Vec<String>, _usual: Vec<String>) -> Result<()> {
        Ok(())
    }

    /// Lengthens leases; returns those that are no longer held.
    async fn renew(&self, held: Vec<Held>, lease: Duration) -> Result<Vec<Held>>;

    /// Those of these claims that no longer stand; cheaper than a renewal, and it writes nothing.
    async fn lost(&self, held: Vec<Held>) -> Result<Vec<Held>>;

    /// Whether this claim still stands.
    async fn holds(&self, held: &Held) -> Result<bool>;

    /// Completes and hands over what follows, in one transaction. Returns the numbers of what follows.
    /// Fails with `Stale` where the claim no longer stands.
    async fn complete(&self, completion: Completion) -> Result<Vec<DeliveryId>>;

    /// Ends an attempt badly. Fails with `Stale` where the claim no longer stands.
    async fn fail(&self, failure: Failure) -> Result<Failed>;

    /// Answers many deliveries of one claim in one transaction, in their order: `complete` and `fail` for batches. One
    /// whose claim no longer stands is said to be [`Answered::Stale`], and the others count, unless the answers are
    /// `whole`: then it fails with `Stale`.
    async fn answer(&self, answers: Answers) -> Result<Vec<Answered>>;

    /// What stands under this token, oldest first.
    async fn held_by(&self, token: &LeaseToken) -> Result<Vec<Held>>;

    /// Whether a claim of this app from this queue would find anything now.
    async fn claimable(&self, queue: Queue, app: &str) -> Result<bool>;

    /// What this app could claim from this queue now, counted no further than `at_most`. It counts what a claim would
    /// skip only because of its order key.
    async fn waiting(&self, queue: Queue, app: &str, at_most: usize) -> Result<Waiting>;

    /// How many of what this app could claim from this queue now, in that order and of the first `rows`, make up so many bytes
    /// of data; at least one, and none where all of them together do not exceed it. Each counts with a byte more than its
    /// text, for the end of its line.
    async fn filling(&self, queue: Queue, app: &str, rows: usize, bytes: u64) -> Result<Option<usize>>;

    /// Gives work back untouched, without using up an attempt; returns how many were still held. `why` is what kept it from being
    /// done, where something did: it stands with them as their last error, and in the audit log.
    async fn release(&self, held: Vec<Held>, why: Option<String>) -> Result<usize>;

    /// The processes that hold leases now.
    async fn holders(&self) -> Result<Vec<HolderId>>;

    /// Takes back what lost holders held, and what leases have run out, without using up an attempt.
    async fn rescue(&self, actor: &str, lost: Vec<HolderId>) -> Result<Vec<Rescued>>;

    // --- by hand ------------------------------------------------------------------------------------------

    /// A failed delivery is tried again, with all its attempts. Fails with `IllegalTransition` for any other.
    async fn retry(&self, actor: &str, id: DeliveryId) -> Result<()>;

    /// Ends what has not ended. Fails with `IllegalTransition` for what has.
    async fn cancel(&self, actor: &str, id: DeliveryId) -> Result<()>;

    /// A new delivery from an old one's input, whatever became of it, archived too.
    async fn replay(&self, actor: &str, id: DeliveryId) -> Result<DeliveryId>;

    /// Nothing more of this app is claimed.
    async fn pause(&self, actor: &str, app: &str) -> Result<()>;

    /// Its work goes on. Returns whether it was paused.
    async fn resume(&self, actor: &str, app: &str) -> Result<bool>;

    /// What is paused.
    async fn paused(&self) -> Result<Vec<Pause>>;

    /// Brings a deleted delivery back. Returns whether it was deleted.
    async fn restore(&self, actor: &str, id: DeliveryId) -> Result<bool>;

    // --- names --------------------------------------------------------------------------------------------

    /// Reserves a name, or gives the one that this output of this delivery has.
    async fn reserve(&self, reserve: Reserve) -> Result<Reservation>;

    /// The same for many, in one transaction and in their order. A name that is taken is one's own error.
    async fn reserve_all(&self, reserves: Vec<Reserve>) -> Result<Vec<Result<Reservation>>>;

    /// Gives up a name: it is free for nobody, but this output gets another. Fails with `Stale` where the claim no
    /// longer stands; without a claim, where the file is a delivery already. Then the name stays whose it is.
    async fn discard(&self, reservation: &Reservation, by: Option<&Held>) -> Result<()>;

    /// Whose name it is.
    async fn name(&self, folder: &str, stem: &str) -> Result<Option<NameRow>>;

    /// The same for many names, each given by folder and stem, in their order.
    async fn names(&self, names: Vec<(String, String)>) -> Result<Vec<Option<NameRow>>> {
        let mut found = Vec::with_capacity(names.len());
        for (folder, stem) in names {
            found.push(self.name(&folder, &stem).await?);
        }
        Ok(found)
    }

    /// The names in a folder that are settled: made by a delivery, or those of a file that has one.
    async fn names_in(&self, folder: &str) -> Result<Vec<String>>;

    /// The names of a delivery's outputs.
    async fn names_of(&self, maker: DeliveryId) -> Result<Vec<NameRow>>;

    // --- arrivals -----------------------------------------------------------------------------------------

    /// What this importer has seen, newest first, without what would arrive anew ([`NOT_TAKEN`]).
    async fn arrivals(&self, app: &str, limit: usize) -> Result<Vec<Arrival>>;

    /// The same of originals at these paths alone, in no order.
    async fn arrivals_of(&self, app: &str, paths: &[String]) -> Result<Vec<Arrival>>;

    /// What is known of originals whose path is this, or ends in `/` and this; newest first.
    async fn arrivals_at(&self, path: &str) -> Result<Vec<Arrival>>;

    /// Arrivals of this importer with this content that were imported, oldest first, without this delivery's own.
    async fn same_content(&self, app: &str, checksum: Checksum, except: DeliveryId) -> Result<Vec<Arrival>>;

    /// Takes a content for this delivery of an importer, unless another has it. Of those that ask at once, in whatever
    /// process, one gets it. Fails with `Stale` where the claim no longer stands.
    async fn take_content(&self, held: &Held, app: &str, checksum: Checksum) -> Result<Content>;

    // --- schedules ----------------------------------------------------------------------------------------

    /// The last due time of an app's schedule that was seen to.
    async fn schedule_mark(&self, app: &str) -> Result<Option<ScheduleMark>>;

    /// Sees to a due time: pushes the delivery unless it, or a later time, was seen to already.
    async fn schedule_due(
        &self,
        actor: &str,
        mark: ScheduleMark,
        push: Option<NewDelivery>,
    ) -> Result<Option<DeliveryId>>;

    // --- reading ------------------------------------------------------------------------------------------

    /// One delivery, archived or not.
    async fn get(&self, id: DeliveryId) -> Result<Option<Delivery>>;

    /// Deliveries, newest first.
    async fn list(&self, filter: Filter) -> Result<Vec<Delivery>>;

    /// Files and jobs that wait, handed over at this time or before, oldest first, without deleted ones; cheap however many wait.
    async fn waiting_since(&self, before: Timestamp, at_most: usize) -> Result<Vec<Delivery>>;

    /// What has failed and stands so, handed over last first, without deleted ones; cheap however many have failed.
    async fn failed_lately(&self, at_most: usize) -> Result<Vec<Delivery>>;

    /// Those of these that were replayed, whatever became of that, in the order of their numbers.
    async fn replayed(&self, of: Vec<DeliveryId>) -> Result<Vec<DeliveryId>>;

    /// Deliveries, newest first, with bounded work whatever is asked for: of each table at most so many rows are looked at, `look`, so
    /// that there may be fewer than the limit, or none, and still more below. What has failed is found
    /// by its index however much it is; what is pending or being worked on, where all of it is not more than that.
    async fn search(&self, filter: Filter, look: usize) -> Result<Searched>;

    /// How many stand where, and how many ever came there; cheap however long the past. A place where none stands any more
    /// is among them.
    async fn counts(&self) -> Result<Vec<AppCount>>;

    /// What each source has handed over, and what became of it, by source and kind; cheap however long the past.
    async fn conservation(&self) -> Result<Vec<Conserved>>;

    /// What went along each link, in rows, by source, target, kind and status. It reads everything.
    async fn links(&self) -> Result<Links>;

    /// The oldest delivery that an app could claim now.
    async fn oldest_pending(&self, app: &str) -> Result<Option<Timestamp>>;

    /// When the next delayed delivery is due, or the next lease runs out, of those that lie in the future. It is never later than
    /// that; of a claim of which some has ended it may be the end of what has, where a look at it would cost more than a wake.
    async fn next_due(&self) -> Result<Option<Timestamp>>;

    /// A delivery's history.
    async fn audit(&self, id: DeliveryId) -> Result<Vec<AuditEntry>>;

    // --- archive ------------------------------------------------------------------------------------------

    /// Moves ended deliveries to the archive. Returns how many. Fails with `IllegalTransition` for any that has not
    /// ended, and moves none then.
    async fn archive(&self, actor: &str, ids: Vec<DeliveryId>) -> Result<usize>;

    // --- copying ------------------------------------------------------------------------------------------

    /// What tells whether this ledger changed.
    async fn state(&self) -> Result<State>;

    /// The rows of a part, in its order, after the key at which the page before ended.
    async fn read_part(&self, part: Part, after: Option<String>, limit: usize) -> Result<Page>;

    /// Writes rows that were read elsewhere, in one transaction. For an empty ledger that nobody uses yet.
    async fn write_part(&self, part: Part, rows: Vec<String>) -> Result<()>;

    /// Takes over the identity and the numbers of the ledger whose parts were written here.
    async fn take_over(&self, state: &State) -> Result<()>;

    // --- housekeeping -------------------------------------------------------------------------------------

    /// Moves to the archive what is in this status, completed or failed, and ended before this time, oldest first and at
    /// most so many. Returns how many; of another status none.
    async fn archive_ended(
        &self,
        actor: &str,
        queue: Queue,
        status: Status,
        before: Timestamp,
        max: usize,
    ) -> Result<usize>;

    /// Moves to the archive what other programs have set to `archived` by plain SQL, at most so many of each table.
    /// Returns how many.
    async fn move_archived(&self, max: usize) -> Result<usize>;

    /// Makes room for what will be archived in the next months, where the backend has a part for each. Returns what it
    /// made. Fails with `NotYet` where somebody is in the way.
    async fn prepare_archive(&self) -> Result<Vec<String>>;

    /// Deletes for good what was archived before `archived`, and entries of the audit log from before `entries`, but
    /// of nothing younger than the oldest delivery that is still there: some, so that nothing waits for it, and the caller asks
    /// again while there is `more`. PostgreSQL drops whole months at once,
    /// when all of one is old enough. The counts by source keep what went. Fails with `NotYet` where somebody is in the way.
    async fn forget(&self, archived: Timestamp, entries: Timestamp, max: usize) -> Result<Forgotten>;

    /// How well the ledger's storage keeps up with what is done to it. It writes nothing.
    async fn health(&self) -> Result<Health>;
}
