//! Names: reserved before they are written, given to one output of one delivery, never given again.

use super::claim::{holds, stale};
use super::error::sql;
use super::push::next_ids;
use super::query::get;
use super::row::time;
use super::writer::Write;
use crate::api::{Held, NameRow, Reservation, Reserve};
use handover_core::{DeliveryId, Error, ErrorKind, FileName, Result};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

/// Numbers set aside together, as far as they are needed.
struct Numbers {
    wanted: usize,
    rest: std::ops::Range<i64>,
}

impl Numbers {
    /// Numbers for so many names at most.
    fn new(wanted: usize) -> Self {
        Self { wanted, rest: 0..0 }
    }

    fn next(&mut self, write: &Write<'_>) -> Result<DeliveryId> {
        if self.rest.is_empty() {
            let first = next_ids(write, self.wanted)?.0;
            self.rest = first..first + i64::try_from(self.wanted).unwrap_or(1);
        }
        Ok(DeliveryId(self.rest.next().unwrap_or(self.rest.end)))
    }
}

pub(super) fn reserve(write: &Write<'_>, reserve: &Reserve) -> Result<Reservation> {
    reserve_one(write, reserve, &mut Numbers::new(1))
}

fn reserve_one(write: &Write<'_>, reserve: &Reserve, numbers: &mut Numbers) -> Result<Reservation> {
    if let Some(mine) = mine(write, reserve)? {
        return Ok(mine);
    }
    let sequence = free_sequence(write, reserve)?;
    let stem = match &reserve.stem {
        Some(stem) => stem.clone(),
        None => stem(reserve, sequence),
    };
    let file_id = numbers.next(write)?;
    let inserted = write
        .sql
        .prepare_cached(
            "INSERT INTO names VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                reserve.folder,
                stem,
                reserve.maker.map(|m| m.0),
                reserve.slot,
                file_id.0,
                reserve.app.as_str(),
                reserve.type_name.as_str(),
                reserve.date.to_string(),
                sequence,
                write.now
            ])
        })
        .map_err(sql("reserve a name"))?;
    if inserted == 0 {
        return Err(Error::new(ErrorKind::Exists, "the name is taken by another delivery")
            .on(format!("{}/{stem}", reserve.folder)));
    }
    let reserved_at = write.now.parse().unwrap_or(write.at);
    Ok(Reservation { folder: reserve.folder.clone(), stem, sequence, file_id, reserved_at, fresh: true })
}

/// Reserves many; only a name that is taken leaves the others their way.
pub(super) fn reserve_all(write: &Write<'_>, reserves: &[Reserve]) -> Result<Vec<Result<Reservation>>> {
    let mut numbers = Numbers::new(reserves.len());
    reserves
        .iter()
        .map(|one| match reserve_one(write, one, &mut numbers) {
            Err(error) if error.kind() != ErrorKind::Exists => Err(error),
            other => Ok(other),
        })
        .collect()
}

fn stem(reserve: &Reserve, sequence: u32) -> String {
    let name = FileName {
        app: reserve.app.clone(),
        type_name: reserve.type_name.clone(),
        date: reserve.date,
        sequence,
        ext: String::new(),
    };
    name.stem()
}

fn mine(write: &Write<'_>, reserve: &Reserve) -> Result<Option<Reservation>> {
    let Some(maker) = reserve.maker else { return Ok(None) };
    write
        .sql
        .prepare_cached(
            "SELECT folder, stem, sequence, file_id, created_at FROM names WHERE delivery_id = ?1 AND slot = ?2",
        )
        .and_then(|mut statement| {
            statement
                .query_row(params![maker.0, reserve.slot], |row| {
                    Ok(Reservation {
                        folder: row.get(0)?,
                        stem: row.get(1)?,
                        sequence: row.get(2)?,
                        file_id: DeliveryId(row.get(3)?),
                        reserved_at: time(row, 4)?,
                        fresh: false,
                    })
                })
                .optional()
        })
        .map_err(sql("look for a reserved name"))
}

/// The wanted sequence where it is free and above the floor, else the next after the larger of ledger and folder.
fn free_sequence(write: &Write<'_>, reserve: &Reserve) -> Result<u32> {
    let fail = sql("look for a free sequence");
    if let Some(wanted) = reserve.wanted.filter(|w| *w > reserve.floor) {
        let taken = write
            .sql
            .prepare_cached("SELECT 1 FROM names WHERE folder = ?1 AND stem = ?2")
            .and_then(|mut statement| statement.exists(params![reserve.folder, stem(reserve, wanted)]))
            .map_err(&fail)?;
        if !taken {
            return Ok(wanted);
        }
    }
    let highest: u32 = write
        .sql
        .prepare_cached("SELECT coalesce(max(sequence), 0) FROM names WHERE folder = ?1 AND app = ?2 AND type = ?3 AND date = ?4")
        .and_then(|mut statement| {
            let values =
                params![reserve.folder, reserve.app.as_str(), reserve.type_name.as_str(), reserve.date.to_string()];
            statement.query_row(values, |row| row.get(0))
        })
        .map_err(&fail)?;
    highest.max(reserve.floor).checked_add(1).ok_or_else(|| {
        Error::new(ErrorKind::Exists, "there is no higher sequence left for a name")
            .on(format!("{}/{}", reserve.folder, stem(reserve, u32::MAX)))
            .hint("move the file with the highest sequence out of the folder, or use another type")
    })
}

/// Frees the output to take another name; the name itself stays taken. Whose it is, is looked at in the same
/// transaction: one that wakes late takes no name from whoever has the delivery now.
pub(super) fn discard(write: &Write<'_>, reservation: &Reservation, by: Option<&Held>) -> Result<()> {
    match by {
        Some(held) if !holds(write.sql, held)? => return Err(stale(write.sql, held)),
        None if get(write.sql, reservation.file_id)?.is_some() => {
            let message = "this name cannot be given up: its file is a delivery already";
            return Err(Error::new(ErrorKind::Stale, message).on(&reservation.stem));
        }
        Some(_) | None => {}
    }
    write
        .sql
        .prepare_cached(
            "UPDATE names SET delivery_id = NULL, slot = 'discarded' WHERE folder = ?1 AND stem = ?2",
        )
        .and_then(|mut statement| statement.execute(params![reservation.folder, reservation.stem]))
        .map(|_| ())
        .map_err(sql("give up a name"))
}

fn name_row(row: &Row<'_>) -> rusqlite::Result<NameRow> {
    Ok(NameRow {
        folder: row.get(0)?,
        stem: row.get(1)?,
        maker: row.get::<_, Option<i64>>(2)?.map(DeliveryId),
        slot: row.get(3)?,
        file_id: DeliveryId(row.get(4)?),
    })
}

pub(super) fn name(connection: &Connection, folder: &str, stem: &str) -> Result<Option<NameRow>> {
    connection
        .prepare_cached(
            "SELECT folder, stem, delivery_id, slot, file_id FROM names WHERE folder = ?1 AND stem = ?2",
        )
        .and_then(|mut statement| statement.query_row([folder, stem], name_row).optional())
        .map_err(sql("look for a name"))
}

pub(super) fn names_in(connection: &Connection, folder: &str) -> Result<Vec<String>> {
    let text = "SELECT stem FROM names WHERE folder = ?1 AND (delivery_id IS NOT NULL \
                OR EXISTS (SELECT 1 FROM deliveries WHERE id = file_id) \
                OR EXISTS (SELECT 1 FROM data_archive WHERE id = file_id))";
    connection
        .prepare_cached(text)
        .and_then(|mut statement| statement.query_map([folder], |row| row.get(0))?.collect())
        .map_err(sql("list the names in a folder"))
}

pub(super) fn names_of(connection: &Connection, maker: DeliveryId) -> Result<Vec<NameRow>> {
    connection
        .prepare_cached(
            "SELECT folder, stem, delivery_id, slot, file_id FROM names WHERE delivery_id = ?1 ORDER BY slot",
        )
        .and_then(|mut statement| statement.query_map([maker.0], name_row)?.collect())
        .map_err(sql("list a delivery's names"))
}
