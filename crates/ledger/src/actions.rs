//! What people did: to deliveries, as the audit log has it, and besides, as the table `actions` has it: pausing, keys, muting,
//! logins, replays with their filter.
//!
//! Invariants: a deed stands in one of the two, never in both. People are told from workers by how their names begin
//! ([`PEOPLE`]): an index of the audit log holds their moves alone, so that a page of them is cheap however long the past.

use async_trait::async_trait;
use handover_core::{DeliveryId, Result, Status};
use jiff::Timestamp;
use serde::Serialize;

/// How the names begin of those who are people, or programs of theirs that ask over the network, in their first four letters:
/// `cli:USER`, `key:ID`, `token:SUBJECT`, `page:…`, and `api`, an API without keys. The index of the migrations says the same.
pub(crate) const PEOPLE: &str = "('cli:', 'key:', 'toke', 'page', 'api')";

/// Something that somebody did, which is no move of a delivery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewAction {
    /// Who: `cli:USER`, `key:ID`, `token:SUBJECT`, `page:…`.
    pub actor: String,
    /// By what: the command, the API's route, or the page.
    pub via: String,
    /// What they did: `pause`, `create a key`, `mute`, `replay`.
    pub did: String,
    /// To what, where it is no app and no delivery: a key's id, an alert's key, a filter.
    pub thing: Option<String>,
    /// To which app.
    pub app: Option<String>,
    /// To which delivery, or the first of several.
    pub delivery: Option<DeliveryId>,
    /// The last of several.
    pub last: Option<DeliveryId>,
    /// What came of it, or why.
    pub note: Option<String>,
}

/// Something that somebody did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deed {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// By what, where that is known: a command, a route, a page.
    pub via: Option<String>,
    /// What they did.
    pub did: String,
    /// To what, where it is no app and no delivery.
    pub thing: Option<String>,
    /// To which app.
    pub app: Option<String>,
    /// To which delivery, or the first of several.
    pub delivery_id: Option<DeliveryId>,
    /// The last of several.
    pub last_id: Option<DeliveryId>,
    /// From which status, where it was moved.
    pub from: Option<Status>,
    /// To which status.
    pub to: Option<Status>,
    /// What came of it, or why.
    pub note: Option<String>,
}

/// Which deeds to list: all conditions hold at once.
#[derive(Debug, Clone, Default)]
pub struct DeedFilter {
    /// At or after this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// By this one: the whole name, or what stands behind its colon.
    pub who: Option<String>,
    /// To this delivery.
    pub delivery: Option<DeliveryId>,
    /// To this app, or to deliveries that go to it.
    pub app: Option<String>,
    /// Also what workers did, and how deliveries came in.
    pub workers: bool,
    /// The page behind the one that ended so ([`Deeds::next`]).
    pub after: Option<String>,
    /// At most so many; newest first.
    pub limit: usize,
}

/// A page of deeds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Deeds {
    /// Newest first.
    pub deeds: Vec<Deed>,
    /// Where the next page begins; none at the end.
    pub next: Option<String>,
}

/// What people did. Every method is one transaction; every answer is durable.
///
/// # Errors
/// As [`crate::Ledger`].
#[async_trait]
pub trait Actions: Send + Sync {
    /// Notes that somebody did something.
    async fn note_action(&self, action: NewAction) -> Result<()>;

    /// Who did what, newest first.
    async fn deeds(&self, filter: DeedFilter) -> Result<Deeds>;

    /// Forgets the actions from before this time. Returns how many went.
    async fn forget_actions(&self, before: Timestamp) -> Result<u64>;
}

/// What a move is called as a deed.
pub(crate) fn called(from: Option<Status>, to: Status) -> &'static str {
    match (from, to) {
        (None, _) => "hand over",
        (Some(Status::Pending), Status::Processing) => "claim",
        (Some(Status::Processing), Status::Pending) => "give back",
        (Some(Status::Failed), Status::Pending) => "retry",
        (_, Status::Completed) => "complete",
        (Some(Status::Pending), Status::Failed) => "cancel",
        (_, Status::Failed) => "fail",
        (_, Status::Archived) => "archive",
        (_, Status::Pending | Status::Processing) => "move",
    }
}

/// Where a page stands in the two tables: below which number of the audit log and of the actions it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) entry: i64,
    pub(crate) action: i64,
}

impl Place {
    /// Where the filter's page begins. What is no place of ours is the beginning.
    pub(crate) fn of(filter: &DeedFilter) -> Self {
        let read = |text: &str| {
            let (entry, action) = text.split_once('.')?;
            Some(Self { entry: entry.parse().ok()?, action: action.parse().ok()? })
        };
        filter.after.as_deref().and_then(read).unwrap_or(Self { entry: i64::MAX, action: i64::MAX })
    }
}

/// Makes one page of what the two tables gave, each newest first with its numbers and at most `limit` of them.
pub(crate) fn page(
    filter: &DeedFilter,
    mut place: Place,
    entries: Vec<(i64, Deed)>,
    actions: Vec<(i64, Deed)>,
) -> Deeds {
    let full = entries.len() >= filter.limit || actions.len() >= filter.limit;
    let (mut entries, mut actions) = (entries.into_iter().peekable(), actions.into_iter().peekable());
    let mut deeds = Vec::new();
    while deeds.len() < filter.limit {
        let entry_is_next = match (entries.peek(), actions.peek()) {
            (None, None) => break,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some((_, entry)), Some((_, action))) => entry.at >= action.at,
        };
        let next = if entry_is_next { entries.next() } else { actions.next() };
        let Some((number, deed)) = next else { break };
        *(if entry_is_next { &mut place.entry } else { &mut place.action }) = number;
        deeds.push(deed);
    }
    let left = full || entries.peek().is_some() || actions.peek().is_some();
    // What is older than asked for ends it: behind it all is older still.
    let young = |deed: &Deed| filter.since.is_none_or(|since| deed.at >= since);
    let all = deeds.len();
    deeds.retain(young);
    let more = left && deeds.len() == all && all > 0;
    Deeds { deeds, next: more.then(|| format!("{}.{}", place.entry, place.action)) }
}
