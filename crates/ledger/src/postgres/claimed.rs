//! A claimed batch as one row, an array for each column: a batch is one message of the server's and one wake of ours, where a
//! row for each delivery costs both sides more than the claim itself. What is the same for all that are claimed together is
//! no column: the app, the holder, the token, the end of the lease.

use super::error::{Attempt, Fault};
use super::row::{Time, json_of};
use crate::api::Claim;
use handover_core::{Delivery, DeliveryId, Error, HolderId, LeaseToken, Status};
use jiff::Timestamp;
use std::vec::IntoIter;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

/// The columns of a claimed batch, in the order that [`deliveries`] reads; its rows come in any order, but all columns in
/// the same.
pub(super) const COLUMNS: &str = "min(lease_until), min(updated_at), array_agg(id), array_agg(kind), array_agg(source_app), \
     array_agg(data::text), array_agg(created_at), array_agg(created_by), array_agg(flow), array_agg(priority), \
     array_agg(run_at), array_agg(attempts), array_agg(max_attempts), array_agg(dedup_key), array_agg(order_key), \
     array_agg(parent_id), array_agg(replay_of), array_agg(last_error), array_agg(trace), array_agg(rescues), \
     array_agg(snoozes), array_agg(result::text)";

/// A column, from its first row on.
struct Column<T>(IntoIter<T>);

impl<'a, T: FromSql<'a>> Column<T> {
    fn of(row: &'a Row, number: usize) -> Attempt<Self> {
        let all: Option<Vec<T>> = super::row::get(row, number)?;
        Ok(Self(all.unwrap_or_default().into_iter()))
    }

    fn next(&mut self) -> Attempt<T> {
        self.0.next().ok_or_else(|| Fault::from(Error::internal("PostgreSQL gave a batch of uneven columns")))
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
    let mut kind = Column::<&str>::of(row, 3)?;
    let mut source_app = Column::<&str>::of(row, 4)?;
    let mut data = Column::<&str>::of(row, 5)?;
    let mut created_at = Column::<Time>::of(row, 6)?;
    let mut created_by = Column::<Option<&str>>::of(row, 7)?;
    let mut flow = Column::<Option<&str>>::of(row, 8)?;
    let mut priority = Column::<i32>::of(row, 9)?;
    let mut run_at = Column::<Time>::of(row, 10)?;
    let mut attempts = Column::<i64>::of(row, 11)?;
    let mut max_attempts = Column::<i64>::of(row, 12)?;
    let mut dedup_key = Column::<Option<&str>>::of(row, 13)?;
    let mut order_key = Column::<Option<&str>>::of(row, 14)?;
    let mut parent_id = Column::<Option<i64>>::of(row, 15)?;
    let mut replay_of = Column::<Option<i64>>::of(row, 16)?;
    let mut last_error = Column::<Option<&str>>::of(row, 17)?;
    let mut trace = Column::<Option<&str>>::of(row, 18)?;
    let mut rescues = Column::<i64>::of(row, 19)?;
    let mut snoozes = Column::<i64>::of(row, 20)?;
    let mut result = Column::<Option<&str>>::of(row, 21)?;
    let lease_until: Option<Timestamp> = lease_until.map(|time| time.0);
    let mut claimed = Vec::with_capacity(ids.len());
    for id in ids {
        let (data, unreadable) = json_of(data.next()?);
        let created_at = created_at.next()?.0;
        let delivery = Delivery {
            id: DeliveryId(id),
            kind: kind.next()?.parse()?,
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
            priority: priority.next()?,
            run_at: run_at.next()?.0,
            attempts: count(attempts.next()?),
            max_attempts: count(max_attempts.next()?),
            lease_token: Some(token.clone()),
            leased_by: Some(HolderId(claim.holder.0.clone())),
            lease_until,
            dedup_key: owned(dedup_key.next()?),
            order_key: owned(order_key.next()?),
            parent_id: parent_id.next()?.map(DeliveryId),
            replay_of: replay_of.next()?.map(DeliveryId),
            last_error: owned(last_error.next()?),
            trace: owned(trace.next()?),
            rescues: count(rescues.next()?),
            snoozes: count(snoozes.next()?),
            result: result.next()?.map(|text| json_of(text).0),
        };
        claimed.push((delivery, unreadable));
    }
    Ok(claimed)
}
