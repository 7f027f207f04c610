//! Schedules: which due times were seen to, so that each runs once however many processes watch the clock.

use super::error::sql;
use super::push::push;
use super::row::time;
use super::writer::Write;
use crate::api::ScheduleMark;
use handover_core::clock::rfc3339;
use handover_core::{DeliveryId, NewDelivery, Result};
use rusqlite::{Connection, OptionalExtension as _, params};

pub(super) fn mark(connection: &Connection, app: &str) -> Result<Option<ScheduleMark>> {
    connection
        .prepare_cached("SELECT last_due FROM schedules WHERE app = ?1")
        .and_then(|mut statement| {
            statement
                .query_row([app], |row| Ok(ScheduleMark { app: app.to_owned(), last_due: time(row, 0)? }))
                .optional()
        })
        .map_err(sql("read a schedule"))
}

pub(super) fn due(
    write: &Write<'_>,
    actor: &str,
    mark: &ScheduleMark,
    new: Option<&NewDelivery>,
) -> Result<Option<DeliveryId>> {
    let moved = write
        .sql
        .prepare_cached(
            "INSERT INTO schedules VALUES (?1, ?2) ON CONFLICT DO UPDATE SET last_due = excluded.last_due \
             WHERE excluded.last_due > last_due",
        )
        .and_then(|mut statement| statement.execute(params![mark.app, rfc3339(mark.last_due)]))
        .map_err(sql("note a schedule's run"))?;
    match new {
        Some(new) if moved > 0 => push(write, actor, new).map(|pushed| Some(pushed.id())),
        _ => Ok(None),
    }
}
