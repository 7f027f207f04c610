//! The ledger's contract: what a backend can be asked, and what it promises.

use crate::actions::Actions;
use crate::activity::Activities;
use crate::alerts::Alerts;
use crate::budgets::Budgets;
use crate::health::Health;
use crate::jobs::Jobs;
use crate::keys::Keys;
use crate::links::LinkRows;
use crate::sizes::Sizes;
use crate::transfer::{Page, Part, State};
use async_trait::async_trait;
use handover_core::{
    AppName, Checksum, Delivery, DeliveryId, HolderId, Kind, LeaseToken, NewDelivery, Result, Status,
    TypeName,
};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::{broadcast, watch};

/// Which of the two tables: records have one of their own, which other programs may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Queue {
    /// `deliveries`: files and jobs.
    Deliveries,
    /// `data_staging`: records.
    Records,
}

impl From<Kind> for Queue {
    fn from(kind: Kind) -> Self {
        if kind == Kind::Record { Queue::Records } else { Queue::Deliveries }
    }
}

/// What became of a pushed delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the ledger under this number.
    New(DeliveryId),
    /// One with the same dedup key was there already: this one.
    Duplicate(DeliveryId),
}

impl Pushed {
    /// The number, new or old.
    pub fn id(self) -> DeliveryId {
        let (Pushed::New(id) | Pushed::Duplicate(id)) = self;
        id
    }
}

/// Asks for work.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Which table.
    pub queue: Queue,
    /// The app that will do it.
    pub app: String,
    /// At most so many.
    pub max: usize,
    /// How long the lease lasts unless renewed.
    pub lease: Duration,
    /// The process that asks.
    pub holder: HolderId,
}

/// A claim that somebody holds: the delivery and the token that proves it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Held {
    /// Which table.
    pub queue: Queue,
    /// The delivery.
    pub id: DeliveryId,
    /// The proof.
    pub token: LeaseToken,
}

/// Ends a delivery well, and hands over what came of it.
#[derive(Debug, Clone)]
pub struct Completion {
    /// What is completed.
    pub held: Held,
    /// What came of it: rows, outputs, notes, the end of stderr.
    pub result: Value,
    /// What follows, in the same transaction. Each gets this delivery as its parent unless it names one.
    pub next: Vec<NewDelivery>,
    /// The content of the file that an arrival turned out to have.
    pub checksum: Option<Checksum>,
}

/// How a failure goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Tried again after a growing delay, until the attempts are used up.
    Retry,
    /// Tried again after a delay without using up an attempt.
    Later,
    /// Given up.
    Final,
}

/// Ends an attempt badly.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What failed.
    pub held: Held,
    /// What went wrong, for people.
    pub error: String,
    /// How it goes on.
    pub verdict: Verdict,
    /// Where it is tried again, not sooner than after this: whoever refused it said so.
    pub after: Option<Duration>,
    /// What came of it nevertheless: the end of stderr, the exit code, files in quarantine.
    pub result: Option<Value>,
    /// Files that were published nevertheless (a report, a quarantined file), as deliveries at the end of a flow.
    pub next: Vec<NewDelivery>,
}

/// What a failure led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// Pending where it is tried again, else failed.
    pub status: Status,
    /// When it is tried again.
    pub run_at: Option<Timestamp>,
}

/// How one delivery of a claimed batch ends.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Which one.
    pub id: DeliveryId,
    /// How it ends.
    pub outcome: Outcome,
}

/// The two ends of an [`Answer`].
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Well.
    Completed {
        /// What came of it, if anything is to be kept.
        result: Option<Value>,
        /// What follows. Each gets this delivery as its parent unless it names one.
        next: Vec<NewDelivery>,
    },
    /// Badly.
    Failed {
        /// What went wrong, for people.
        error: String,
        /// How it goes on.
        verdict: Verdict,
        /// What came of it nevertheless.
        result: Option<Value>,
    },
}

/// Answers to a claim, all under its one token, in one transaction.
#[derive(Debug, Clone)]
pub struct Answers {
    /// Which table.
    pub queue: Queue,
    /// The proof that all of one claim share.
    pub token: LeaseToken,
    /// At most one for each delivery.
    pub answers: Vec<Answer>,
    /// Whether all count or none: where one is stale, the whole fails with `Stale` and changes nothing.
    pub whole: bool,
}

/// What an answer led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// It is completed; the numbers of what follows.
    Completed(Vec<DeliveryId>),
    /// It failed, or waits for another attempt.
    Failed(Failed),
    /// The claim no longer stands: nothing was changed; why.
    Stale(String),
}

/// What an app could claim now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// How many, counted up to the limit that was given.
    pub count: u64,
    /// When the oldest of them was handed over; none where there are none.
    pub oldest: Option<Timestamp>,
}

/// A bulk load: rows that go into a queue in batches, and are known by their place in their source, so that a load that
/// was cut goes on where it stopped, and is never taken twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Load {
    /// Its name, which the loader chooses: the same source has the same name.
    pub key: String,
    /// Whether its rows stay unseen until its end, and then appear all at once.
    pub whole: bool,
    /// How many rows of the source are in the ledger.
    pub rows: u64,
    /// How many of them were known already by their dedup key.
    pub duplicates: u64,
    /// Whether it has ended: then nothing more is taken under this name.
    pub ended: bool,
    /// By what its rows are made of their source, where that was said ([`Ledger::load_is_made_by`]).
    pub made_by: Option<String>,
}

/// A delivery that was taken from a lost holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescued {
    /// The delivery.
    pub id: DeliveryId,
    /// Its app.
    pub app: String,
    /// Who had it.
    pub holder: Option<HolderId>,
    /// Pending again, or failed where it was rescued too often.
    pub status: Status,
}

/// Asks for a file name. One output of a delivery (`slot`) has one name for ever.
#[derive(Debug, Clone)]
pub struct Reserve {
    /// The delivery whose output it will be; none for a file that a person puts in.
    pub maker: Option<DeliveryId>,
    /// Which output: `out`, `rejected`, `report`, `quarantine`.
    pub slot: String,
    /// The folder with its date, relative to the data directory, such as `validated/2025-11-24`; or an export's
    /// absolute path.
    pub folder: String,
    /// The app in the name.
    pub app: AppName,
    /// The type in the name.
    pub type_name: TypeName,
    /// The date in the name.
    pub date: Date,
    /// The sequence wanted: taken where it is free and above `floor`.
    pub wanted: Option<u32>,
    /// Every sequence up to this one is taken in the folder.
    pub floor: u32,
    /// This name or none, instead of one by the sequence: an export of its own form, a file put in under its name.
    pub stem: Option<String>,
}

/// A name that nobody else gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The folder as it was asked for.
    pub folder: String,
    /// The name without extension.
    pub stem: String,
    /// The sequence in it.
    pub sequence: u32,
    /// The number set aside for the delivery that this file will be.
    pub file_id: DeliveryId,
    /// When it was made.
    pub reserved_at: Timestamp,
    /// Whether it was made just now, so that a file of this name cannot be ours.
    pub fresh: bool,
}

/// A row of the names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NameRow {
    /// The folder.
    pub folder: String,
    /// The name without extension.
    pub stem: String,
    /// The delivery whose output it is.
    pub maker: Option<DeliveryId>,
    /// Which output.
    pub slot: String,
    /// The delivery that the file is.
    pub file_id: DeliveryId,
}

/// What makes one state of one original: a changed file is a new arrival.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ArrivalKey {
    /// The importer.
    pub app: String,
    /// The original's path, as [`handover_core::path_text`].
    pub path: String,
    /// The device it is on.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last written.
    pub mtime: Timestamp,
}

/// A foreign file that is to be taken, or that was refused.
#[derive(Debug, Clone)]
pub struct NewArrival {
    /// Which state of which file.
    pub key: ArrivalKey,
    /// The proof that it is complete.
    pub proof: String,
    /// The importer's delivery.
    pub delivery: NewDelivery,
    /// Where it is refused at once: why. The delivery is then born failed.
    pub refused: Option<String>,
}

/// What became of a new arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// It has a delivery now.
    New(DeliveryId),
    /// This very state of the file was known: its delivery.
    Known(DeliveryId),
}

/// The key of a result that says so where an attempt ended without having read the original: it had gone, or had become
/// another. The same state of it then arrives anew, should it come back.
pub const NOT_TAKEN: &str = "not_taken";

/// Whose a content is, where duplicates are not wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nobody had it: from now on this delivery has it, unless it fails.
    Ours,
    /// It was imported before: by these, oldest first.
    Imported(Vec<Arrival>),
    /// This delivery has it, and has not ended yet: ask again.
    Undecided(DeliveryId),
}

/// A known arrival.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Arrival {
    /// Which state of which file.
    #[serde(flatten)]
    pub key: ArrivalKey,
    /// The importer's delivery.
    pub delivery_id: DeliveryId,
    /// The proof that it was complete.
    pub proof: String,
    /// Its content, once it was imported.
    pub checksum: Option<String>,
    /// When it was noticed.
    pub arrived_at: Timestamp,
}

/// A line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// From which status; none at birth.
    pub from: Option<Status>,
    /// To which.
    pub to: Status,
    /// What was said of it.
    pub note: Option<String>,
}

/// How many deliveries of an app stand where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppCount {
    /// The app that they go to; empty at the end of a flow.
    pub app: String,
    /// What they are.
    pub kind: Kind,
    /// Where they stand.
    pub status: Status,
    /// How many.
    pub count: u64,
    /// How many ever came there, by whatever way: it never falls. One that is tried again comes to `pending` again.
    pub entered: u64,
}

/// What one source has handed over, and what became of it. Each number is counted where that happens, so that
/// [`Conserved::holds`] says whether anything was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conserved {
    /// The source.
    pub source: String,
    /// What it handed over.
    pub kind: Kind,
    /// How many.
    pub pushed: u64,
    /// How many stand in the tables, and are not deleted.
    pub live: u64,
    /// How many are in the archive.
    pub archived: u64,
    /// How many were deleted, for good or so that they can be restored.
    pub deleted: u64,
    /// How many of these by retention ([`Ledger::forget`]).
    pub expired: u64,
}

impl Conserved {
    /// Whether all is accounted for.
    pub fn holds(&self) -> bool {
        self.pushed == self.live + self.archived + self.deleted
    }
}

/// A paused app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// The app.
    pub app: String,
    /// Since when.
    pub since: Timestamp,
    /// Who paused it.
    pub by: String,
}

/// Which runs of a schedule were seen to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleMark {
    /// The app.
    pub app: String,
    /// The last time that was due and seen to.
    pub last_due: Timestamp,
}

/// Which deliveries to list: all conditions hold at once.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Goes to this app.
    pub app: Option<String>,
    /// Was handed over by this app.
    pub source: Option<String>,
    /// Goes to one of these apps, or is no job and was handed over by one of them: what somebody sees who may see these apps alone.
    pub seen_by: Option<Vec<String>>,
    /// Stands here.
    pub status: Option<Status>,
    /// Stands at one of these; none is no condition.
    pub statuses: Vec<Status>,
    /// Is this.
    pub kind: Option<Kind>,
    /// Its row was made by this one: of a job, whoever asked for it. With the kind job a page is cheap however many others there are.
    pub by: Option<String>,
    /// Belongs to this flow.
    pub flow: Option<String>,
    /// Was handed over at or after this time.
    pub since: Option<Timestamp>,
    /// Was handed over before this time.
    pub until: Option<Timestamp>,
    /// Has this text in its error, its dedup key or its data (a path, a record), whatever the case of ASCII letters. Data of more
    /// than [`handover_core::limits::SEARCHED_DATA_MAX_BYTES`] is not looked into. No index helps: ask by [`Ledger::search`].
    pub text: Option<String>,
    /// Ended before this time.
    pub ended_before: Option<Timestamp>,
    /// Its number is lower (for the next page).
    pub before: Option<DeliveryId>,
    /// Its number is higher.
    pub after: Option<DeliveryId>,
    /// Made from this delivery.
    pub parent: Option<DeliveryId>,
    /// A replay of this delivery.
    pub replay_of: Option<DeliveryId>,
    /// Reads the file at this path within the data directory.
    pub path: Option<String>,
    /// Also what is in the archive.
    pub archived: bool,
    /// At most so many; newest first.
    pub limit: usize,
}

/// What a search found, and how far it looked.
#[derive(Debug, Clone, PartialEq)]
pub struct Searched {
    /// Newest first.
    pub deliveries: Vec<Delivery>,
    /// Where to look on: the `before` of the next search. None where nothing more can be found.
    pub below: Option<DeliveryId>,
}

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

    /// Takes the next rows of a load, in one transaction; the first of them is row `at`, counted from 0. Fails with
    /// `Stale` where the load has not come just so far (another process loads it too), or has ended.
    async fn load(&self, actor: &str, key: &str, at: u64, rows: Vec<NewDelivery>) -> Result<Load>;

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

    /// Gives work back untouched, without using up an attempt; returns how many were still held.
    async fn release(&self, held: Vec<Held>) -> Result<usize>;

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
    async fn links(&self) -> Result<Vec<LinkRows>>;

    /// The oldest delivery that an app could claim now.
    async fn oldest_pending(&self, app: &str) -> Result<Option<Timestamp>>;

    /// When the next delayed delivery is due, or the next lease runs out, of those that lie in the future.
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
