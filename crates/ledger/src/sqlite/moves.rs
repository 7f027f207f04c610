//! What belongs to every move of a delivery: its line in the audit log, and the counts. For other programs the tables'
//! triggers do this, row by row; the writer has those switched off, and says it here for a whole batch at once.
//!
//! Invariants: every statement of ours that makes, moves or removes a row of the state machine's tables tells it here, in
//! the same transaction; deliveries with following numbers that make the same move together share one row of the log.

use super::error::sql;
use super::jobs::ended;
use super::writer::Write;
use handover_core::{DeliveryId, Kind, Result, Status};
use rusqlite::params;

/// So many deliveries one row of the log stands for; the migration's `audit_offsets` has as many.
pub(super) const RUN_MAX: i64 = 1024;

/// A move of one delivery.
#[derive(Debug, Clone)]
pub(super) struct Moved {
    pub(super) id: DeliveryId,
    /// The app that it goes to; empty at the end of a flow.
    pub(super) app: String,
    pub(super) kind: Kind,
    /// None at birth.
    pub(super) from: Option<Status>,
    pub(super) to: Status,
    pub(super) note: Option<String>,
}

impl Moved {
    pub(super) fn new(id: DeliveryId, app: impl Into<String>, kind: Kind, from: Status, to: Status) -> Self {
        Self { id, app: app.into(), kind, from: Some(from), to, note: None }
    }

    #[must_use]
    pub(super) fn note(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }

    /// Whether `next` may stand in the same row of the log, of which this is the last and `first` the first.
    fn shares(&self, next: &Self, first: i64) -> bool {
        next.id.0 == self.id.0 + 1
            && next.id.0 - first < RUN_MAX
            && (next.from, next.to) == (self.from, self.to)
            && next.note == self.note
    }
}

/// Tells of moves that one actor made, in their order.
pub(super) fn moved(write: &Write<'_>, actor: &str, moves: &[Moved]) -> Result<()> {
    let mut tally = Tally::default();
    let mut begin = 0;
    for (index, one) in moves.iter().enumerate() {
        if let Some(from) = one.from {
            tally.add(&one.app, one.kind, from, -1);
        }
        tally.add(&one.app, one.kind, one.to, 1);
        let first = &moves[begin];
        if moves.get(index + 1).is_some_and(|next| one.shares(next, first.id.0)) {
            continue;
        }
        audit(write, actor, first, one.id)?;
        begin = index + 1;
    }
    tally.write(write)?;
    ended(write, moves)
}

fn audit(write: &Write<'_>, actor: &str, first: &Moved, last: DeliveryId) -> Result<()> {
    let text = "INSERT INTO audit_log (at, actor, delivery_id, last_id, from_status, to_status, note) \
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    write
        .sql
        .prepare_cached(text)
        .and_then(|mut statement| {
            statement.execute(params![
                write.now,
                actor,
                first.id.0,
                (last != first.id).then_some(last.0),
                first.from.map(Status::as_str),
                first.to.as_str(),
                first.note
            ])
        })
        .map(|_| ())
        .map_err(sql("write the audit log"))
}

/// Tells of archived deliveries that were deleted for good: of each its app, its kind and its source.
pub(super) fn deleted(write: &Write<'_>, gone: &[(String, Kind, String)]) -> Result<()> {
    let (mut tally, mut sources) = (Tally::default(), Sources::default());
    for (app, kind, source) in gone {
        tally.add(app, *kind, Status::Archived, -1);
        sources.add(source, *kind);
    }
    sources.deleted(write)?;
    tally.write(write)
}

/// A change of one count: by how much, and how many came.
struct Change {
    app: String,
    kind: Kind,
    status: Status,
    by: i64,
    entered: i64,
}

/// Changes of the counts, gathered: a batch goes to few apps.
#[derive(Default)]
struct Tally(Vec<Change>);

impl Tally {
    fn add(&mut self, app: &str, kind: Kind, status: Status, by: i64) {
        let entered = by.max(0);
        match self.0.iter_mut().find(|c| c.status == status && c.kind == kind && c.app == app) {
            Some(known) => {
                known.by += by;
                known.entered += entered;
            }
            None => self.0.push(Change { app: app.to_owned(), kind, status, by, entered }),
        }
    }

    fn write(&self, write: &Write<'_>) -> Result<()> {
        let text = "INSERT INTO tally VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (app, kind, status) \
                    DO UPDATE SET n = n + excluded.n, entered = entered + excluded.entered";
        for change in self.0.iter().filter(|change| change.by != 0 || change.entered != 0) {
            let Change { app, kind, status, by, entered } = change;
            write
                .sql
                .prepare_cached(text)
                .and_then(|mut s| s.execute(params![app, kind.as_str(), status.as_str(), by, entered]))
                .map_err(sql("count deliveries"))?;
        }
        Ok(())
    }
}

/// What sources have handed over, or what left the live tables for the archive.
#[derive(Default)]
pub(super) struct Sources(Vec<(String, Kind, i64)>);

impl Sources {
    pub(super) fn add(&mut self, source: &str, kind: Kind) {
        match self.0.iter_mut().find(|(s, k, _)| *k == kind && s == source) {
            Some(known) => known.2 += 1,
            None => self.0.push((source.to_owned(), kind, 1)),
        }
    }

    /// They were handed over.
    pub(super) fn pushed(&self, write: &Write<'_>) -> Result<()> {
        self.write(
            write,
            "INSERT INTO sources (source, kind, pushed, live) VALUES (?1, ?2, ?3, ?3) ON CONFLICT (source, kind) \
             DO UPDATE SET pushed = pushed + excluded.pushed, live = live + excluded.live",
        )
    }

    /// They went from the live tables to the archive.
    pub(super) fn archived(&self, write: &Write<'_>) -> Result<()> {
        self.write(
            write,
            "INSERT INTO sources (source, kind, live, archived) VALUES (?1, ?2, -?3, ?3) ON CONFLICT (source, kind) \
             DO UPDATE SET live = live + excluded.live, archived = archived + excluded.archived",
        )
    }

    /// They were deleted from the archive, as kept long enough.
    fn deleted(&self, write: &Write<'_>) -> Result<()> {
        self.write(
            write,
            "INSERT INTO sources (source, kind, archived, deleted, expired) VALUES (?1, ?2, -?3, ?3, ?3) \
             ON CONFLICT (source, kind) DO UPDATE SET archived = archived + excluded.archived, \
             deleted = deleted + excluded.deleted, expired = expired + excluded.expired",
        )
    }

    fn write(&self, write: &Write<'_>, text: &str) -> Result<()> {
        for (source, kind, count) in &self.0 {
            write
                .sql
                .prepare_cached(text)
                .and_then(|mut s| s.execute(params![source, kind.as_str(), count]))
                .map_err(sql("count what the sources handed over"))?;
        }
        Ok(())
    }
}
