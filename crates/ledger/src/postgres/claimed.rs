//! A claimed batch as one row, an array for each column: a batch is one message of the server's and one wake of ours, where a
//! row for each delivery costs both sides more than the claim itself. What is the same for all that are claimed together is
//! no column: the app, the holder, the token, the end of the lease. And what few deliveries have is gathered for those alone that
//! have any of it, as an array for each of a batch's columns is what the claim of it costs beside its rows.

use super::error::{Attempt, Fault};
use super::row::{Time, json_of};
use crate::api::{Claim, Queue};
use handover_core::{Delivery, DeliveryId, Error, HolderId, Kind, LeaseToken, Status};
use jiff::Timestamp;
use std::iter::Peekable;
use std::vec::IntoIter;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

/// What every delivery has, in the order that [`deliveries`] reads; its rows come in any order, but all columns in the same.
const EACH: &str = "min(lease_until), min(updated_at), array_agg(id), array_agg(source_app), array_agg(data::text), \
     array_agg(created_at), array_agg(created_by), array_agg(flow), array_agg(attempts), array_agg(max_attempts), array_agg(parent_id)";
/// What few have, after the number of each of them.
const FEW: [&str; 12] = [
    "id",
    "kind",
    "priority",
    "run_at",
    "dedup_key",
    "order_key",
    "replay_of",
    "last_error",
    "trace",
    "rescues",
    "snoozes",
    "result::text",
];
/// Whether it is one of those few.
const IS_ONE: &str = "kind = 'job' OR priority <> 0 OR run_at <> created_at OR dedup_key IS NOT NULL OR order_key IS NOT NULL \
     OR replay_of IS NOT NULL OR last_error IS NOT NULL OR trace IS NOT NULL OR rescues <> 0 OR snoozes <> 0 OR result IS NOT NULL";

/// Reads these rows, claimed together, as one.
pub(super) fn query(rows: &str) -> String {
    let few: String = FEW.iter().map(|what| format!(", array_agg({what}) FILTER (WHERE few)")).collect();
    format!("SELECT {EACH}{few} FROM (SELECT *, ({IS_ONE}) AS few FROM {rows} OFFSET 0) AS claimed")
}

/// A column, from its first row on.
struct Column<T>(IntoIter<T>);

impl<'a, T: FromSql<'a>> Column<T> {
    fn of(row: &'a Row, number: usize) -> Attempt<Self> {
        let all: Option<Vec<T>> = super::row::get(row, number)?;
        Ok(Self(all.unwrap_or_default().into_iter()))
    }
}

impl<T> Column<T> {
    fn next(&mut self) -> Attempt<T> {
        self.0.next().ok_or_else(|| Fault::from(Error::internal("PostgreSQL gave a batch of uneven columns")))
    }
}

/// What few deliveries have.
struct Few<'a> {
    ids: Peekable<IntoIter<i64>>,
    kind: Column<&'a str>,
    priority: Column<i32>,
    run_at: Column<Time>,
    dedup_key: Column<Option<&'a str>>,
    order_key: Column<Option<&'a str>>,
    replay_of: Column<Option<i64>>,
    last_error: Column<Option<&'a str>>,
    trace: Column<Option<&'a str>>,
    rescues: Column<i64>,
    snoozes: Column<i64>,
    result: Column<Option<&'a str>>,
}

impl<'a> Few<'a> {
    /// From this column on.
    fn of(row: &'a Row, first: usize) -> Attempt<Self> {
        Ok(Self {
            ids: Column::of(row, first)?.0.peekable(),
            kind: Column::of(row, first + 1)?,
            priority: Column::of(row, first + 2)?,
            run_at: Column::of(row, first + 3)?,
            dedup_key: Column::of(row, first + 4)?,
            order_key: Column::of(row, first + 5)?,
            replay_of: Column::of(row, first + 6)?,
            last_error: Column::of(row, first + 7)?,
            trace: Column::of(row, first + 8)?,
            rescues: Column::of(row, first + 9)?,
            snoozes: Column::of(row, first + 10)?,
            result: Column::of(row, first + 11)?,
        })
    }

    /// Gives it to this delivery, if it is the next of those few.
    fn give(&mut self, to: &mut Delivery) -> Attempt<()> {
        if self.ids.next_if_eq(&to.id.0).is_some() {
            to.kind = self.kind.next()?.parse()?;
            to.priority = self.priority.next()?;
            to.run_at = self.run_at.next()?.0;
            to.dedup_key = owned(self.dedup_key.next()?);
            to.order_key = owned(self.order_key.next()?);
            to.replay_of = self.replay_of.next()?.map(DeliveryId);
            to.last_error = owned(self.last_error.next()?);
            to.trace = owned(self.trace.next()?);
            to.rescues = count(self.rescues.next()?);
            to.snoozes = count(self.snoozes.next()?);
            to.result = self.result.next()?.map(|text| json_of(text).0.into());
        }
        Ok(())
    }
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

fn count(n: i64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// What was claimed, each with the reason why its data cannot be handed to an app, where that is so.
pub(super) fn deliveries(
    row: &Row,
    claim: &Claim,
    token: &LeaseToken,
) -> Attempt<Vec<(Delivery, Option<String>)>> {
    let lease_until: Option<Time> = super::row::get(row, 0)?;
    let updated_at: Option<Time> = super::row::get(row, 1)?;
    let ids = Column::<i64>::of(row, 2)?.0;
    let mut source_app = Column::<&str>::of(row, 3)?;
    let mut data = Column::<&str>::of(row, 4)?;
    let mut created_at = Column::<Time>::of(row, 5)?;
    let mut created_by = Column::<Option<&str>>::of(row, 6)?;
    let mut flow = Column::<Option<&str>>::of(row, 7)?;
    let mut attempts = Column::<i64>::of(row, 8)?;
    let mut max_attempts = Column::<i64>::of(row, 9)?;
    let mut parent_id = Column::<Option<i64>>::of(row, 10)?;
    let mut few = Few::of(row, 11)?;
    let kind = match claim.queue {
        Queue::Records => Kind::Record,
        Queue::Deliveries => Kind::File,
    };
    let lease_until: Option<Timestamp> = lease_until.map(|time| time.0);
    let mut claimed = Vec::with_capacity(ids.len());
    for id in ids {
        let (data, unreadable) = json_of(data.next()?);
        let created_at = created_at.next()?.0;
        let mut delivery = Delivery {
            id: DeliveryId(id),
            kind,
            source_app: source_app.next()?.to_owned(),
            target_app: Some(claim.app.clone()),
            data,
            status: Status::Processing,
            created_at,
            processed_at: None,
            updated_at: updated_at.as_ref().map_or(created_at, |time| time.0),
            created_by: owned(created_by.next()?),
            deleted_at: None,
            flow: owned(flow.next()?),
            priority: 0,
            run_at: created_at,
            attempts: count(attempts.next()?),
            max_attempts: count(max_attempts.next()?),
            lease_token: Some(token.clone()),
            leased_by: Some(HolderId(claim.holder.0.clone())),
            lease_until,
            dedup_key: None,
            order_key: None,
            parent_id: parent_id.next()?.map(DeliveryId),
            replay_of: None,
            last_error: None,
            trace: None,
            rescues: 0,
            snoozes: 0,
            result: None,
        };
        few.give(&mut delivery)?;
        claimed.push((delivery, unreadable));
    }
    match few.ids.next() {
        None => Ok(claimed),
        Some(_) => Err(Error::internal("PostgreSQL gave a batch whose columns are in another order").into()),
    }
}
