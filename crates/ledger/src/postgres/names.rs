//! Names: reserved before they are written, given to one output of one delivery, never given again.

use super::PostgresLedger;
use super::claim::{stale, stands};
use super::error::{Attempt, Fault};
use super::push::some;
use super::query::get_in;
use super::row::{count, get, id, time as time_of};
use super::tx::{Tx, number, numbers, text, texts, time};
use crate::api::{Held, NameRow, Reservation, Reserve};
use handover_core::{DeliveryId, Error, ErrorKind, FileName, Result};
use jiff::civil::Date;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

const RESERVE: &str = "SELECT r.folder, r.stem, r.sequence, r.file_id, r.reserved_at, r.fresh, r.refused \
     FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) WITH ORDINALITY \
     AS q (maker, slot, folder, app, type, date, wanted, floor, stem, prefix, at), \
     LATERAL integration._reserve(q.maker, q.slot, q.folder, q.app, q.type, q.date, q.wanted, q.floor, q.stem, q.prefix, $11) \
     AS r ORDER BY q.at";

/// Reserves many, in their order; one that is taken leaves the others their way.
pub(super) async fn reserve_all(tx: &mut Tx<'_>, all: &[Reserve]) -> Attempt<Vec<Result<Reservation>>> {
    let makers: Vec<Option<i64>> = all.iter().map(|one| one.maker.map(|id| id.0)).collect();
    let slots: Vec<&str> = all.iter().map(|one| one.slot.as_str()).collect();
    let folders: Vec<&str> = all.iter().map(|one| one.folder.as_str()).collect();
    let apps: Vec<&str> = all.iter().map(|one| one.app.as_str()).collect();
    let types: Vec<&str> = all.iter().map(|one| one.type_name.as_str()).collect();
    let dates: Vec<Date> = all.iter().map(|one| one.date).collect();
    let wanted: Vec<Option<i64>> = all.iter().map(|one| one.wanted.map(i64::from)).collect();
    let floors: Vec<i64> = all.iter().map(|one| i64::from(one.floor)).collect();
    let stems = some(all.iter().map(|one| one.stem.as_deref()));
    let prefixes: Vec<String> = all.iter().map(prefix).collect();
    let now = tx.ledger().now();
    let values = [
        numbers(&makers),
        texts(&slots),
        texts(&folders),
        texts(&apps),
        texts(&types),
        (&dates, Type::DATE_ARRAY),
        numbers(&wanted),
        numbers(&floors),
        texts(&stems),
        texts(&prefixes),
        time(&now),
    ];
    let rows = tx.rows("reserve names", RESERVE, &values).await?;
    rows.iter().zip(all).map(|(row, asked)| reservation(row, asked)).collect()
}

fn reservation(row: &Row, asked: &Reserve) -> Attempt<Result<Reservation>> {
    let place = |stem: &str| format!("{}/{stem}", asked.folder);
    match get::<Option<&str>>(row, 6)? {
        Some("taken") => {
            let stem = asked.stem.clone().unwrap_or_default();
            let error = Error::new(ErrorKind::Exists, "the name is taken by another delivery");
            return Ok(Err(error.on(place(&stem))));
        }
        Some(_) => {
            let error = Error::new(ErrorKind::Exists, "there is no higher sequence left for a name");
            return Ok(Err(error
                .on(place(&stem(asked, u32::MAX)))
                .hint("move the file with the highest sequence out of the folder, or use another type")));
        }
        None => {}
    }
    Ok(Ok(Reservation {
        folder: get(row, 0)?,
        stem: get(row, 1)?,
        sequence: count(row, 2)?,
        file_id: id(row, 3)?,
        reserved_at: time_of(row, 4)?,
        fresh: get(row, 5)?,
    }))
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

/// What a name has before its sequence.
fn prefix(reserve: &Reserve) -> String {
    stem(reserve, 0).strip_suffix("000").unwrap_or_default().to_owned()
}

/// Frees the output to take another name; the name itself stays taken. Whose it is, is looked at in the same
/// transaction: one that wakes late takes no name from whoever has the delivery now.
pub(super) async fn discard(tx: &mut Tx<'_>, reservation: &Reservation, by: Option<&Held>) -> Attempt<()> {
    match by {
        Some(held) if !stands(tx, held).await? => return Err(stale(tx, held).await),
        None if get_in(tx, reservation.file_id).await?.is_some() => {
            let message = "this name cannot be given up: its file is a delivery already";
            return Err(Error::new(ErrorKind::Stale, message).on(&reservation.stem).into());
        }
        Some(_) | None => {}
    }
    let update =
        "UPDATE integration.names SET delivery_id = NULL, slot = 'discarded' WHERE folder = $1 AND stem = $2";
    let values = [text(&reservation.folder), text(&reservation.stem)];
    tx.rows("give up a name", update, &values).await.map(|_| ())
}

fn name_row(row: &Row) -> Attempt<NameRow> {
    Ok(NameRow {
        folder: get(row, 0)?,
        stem: get(row, 1)?,
        maker: get::<Option<i64>>(row, 2)?.map(DeliveryId),
        slot: get(row, 3)?,
        file_id: id(row, 4)?,
    })
}

const NAMES: &str = "SELECT folder, stem, delivery_id, slot, file_id FROM integration.names";

pub(super) async fn name(ledger: &PostgresLedger, folder: &str, stem: &str) -> Result<Option<NameRow>> {
    let query = format!("{NAMES} WHERE folder = $1 AND stem = $2");
    let rows = ledger.read("look for a name", &query, &[text(&folder), text(&stem)]).await?;
    rows.first().map(name_row).transpose().map_err(|fault: Fault| fault.error)
}

pub(super) async fn names_in(ledger: &PostgresLedger, folder: &str) -> Result<Vec<String>> {
    let query = "SELECT stem FROM integration.names WHERE folder = $1 AND (delivery_id IS NOT NULL \
                 OR EXISTS (SELECT FROM integration.deliveries_live WHERE id = file_id) \
                 OR EXISTS (SELECT FROM integration.data_archive WHERE id = file_id)) ORDER BY stem";
    let rows = ledger.read("list the names in a folder", query, &[text(&folder)]).await?;
    rows.iter().map(|row| get(row, 0).map_err(|fault| fault.error)).collect()
}

pub(super) async fn names_of(ledger: &PostgresLedger, maker: DeliveryId) -> Result<Vec<NameRow>> {
    let query = format!("{NAMES} WHERE delivery_id = $1 ORDER BY slot");
    let rows = ledger.read("list a delivery's names", &query, &[number(&maker.0)]).await?;
    rows.iter().map(|row| name_row(row).map_err(|fault| fault.error)).collect()
}
