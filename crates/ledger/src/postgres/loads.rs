//! Bulk loads: rows of a source in batches, known by their place in it. Those of a load that is to appear all at once lie
//! aside in `load_rows` until its end.

use super::error::Attempt;
use super::push::{Columns, push, size};
use super::row::get;
use super::tx::{Tx, flag, number, text, time};
use crate::api::{Load, Pushed};
use handover_core::{Error, NewDelivery};
use tokio_postgres::Row;

const COLUMNS: &str = "key, whole, rows, skipped, duplicates, ended_at IS NOT NULL, made_by";
/// One statement takes so many rows at most, and begins no row after so many bytes.
const ROWS_MAX: usize = 5_000;
const BYTES_MAX: usize = 16 * 1024 * 1024;

fn load_of(row: &Row) -> Attempt<Load> {
    Ok(Load {
        key: get(row, 0)?,
        whole: get(row, 1)?,
        rows: get::<i64>(row, 2)?.unsigned_abs(),
        skipped: get::<i64>(row, 3)?.unsigned_abs(),
        duplicates: get::<i64>(row, 4)?.unsigned_abs(),
        ended: get(row, 5)?,
        made_by: get(row, 6)?,
    })
}

pub(super) async fn begin(tx: &mut Tx<'_>, actor: &str, key: &str, whole: bool) -> Attempt<Load> {
    let now = tx.ledger().now();
    let call = format!("SELECT {COLUMNS} FROM integration._begin_load($1, $2, $3, $4)");
    let values = [text(&actor), text(&key), flag(&whole), time(&now)];
    load_of(&tx.row("begin a load", &call, &values).await?)
}

pub(super) async fn is_made_by(tx: &mut Tx<'_>, key: &str, made_by: Option<&str>) -> Attempt<Load> {
    let call = format!("SELECT {COLUMNS} FROM integration._load_is_made_by($1, $2)");
    let rows = tx.rows("say by what a load is made", &call, &[text(&key), text(&made_by)]).await?;
    match rows.first() {
        Some(row) => load_of(row),
        None => Err(Error::not_found("there is no such load").on(key).hint("begin it first").into()),
    }
}

pub(super) async fn load(
    tx: &mut Tx<'_>,
    actor: &str,
    key: &str,
    (at, skipped): (u64, u64),
    rows: &[NewDelivery],
) -> Attempt<Load> {
    if rows.iter().any(|new| new.max_attempts == 0) {
        return Err(Error::config("a delivery needs at least one attempt").into());
    }
    let from = i64::try_from(at).unwrap_or(i64::MAX);
    let next = format!("SELECT {COLUMNS} FROM integration._next_load($1, $2)");
    let load = load_of(&tx.row("go on with a load", &next, &[text(&key), number(&from)]).await?)?;
    let duplicates = match load.whole {
        true => {
            put_aside(tx, key, from, rows).await?;
            0
        }
        false => {
            let born: Vec<_> = rows.iter().map(|new| (new, None)).collect();
            let pushed = push(tx, actor, &born).await?;
            pushed.iter().filter(|one| matches!(one, Pushed::Duplicate(_))).count()
        }
    };
    let (count, skipped, duplicates) = (rows.len() as i64, skipped.cast_signed(), duplicates as i64);
    let now = tx.ledger().now();
    let took = format!("SELECT {COLUMNS} FROM integration._took_load($1, $2, $3, $4, $5)");
    let values = [text(&key), number(&count), number(&skipped), number(&duplicates), time(&now)];
    load_of(&tx.row("go on with a load", &took, &values).await?)
}

async fn put_aside(tx: &mut Tx<'_>, key: &str, at: i64, rows: &[NewDelivery]) -> Attempt<()> {
    let insert = "INSERT INTO integration.load_rows (load_key, at, source_app, target_app, data, kind, flow, priority, run_at, \
         max_attempts, dedup_key, order_key, parent_id, replay_of, trace) \
         SELECT $14, $15 + u.at - 1, u.source, u.target, u.data, u.kind, u.flow, coalesce(u.priority, 0), u.run_at, \
         u.max_attempts, u.dedup, u.orderly, u.parent, u.replay, u.trace \
         FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) WITH ORDINALITY \
         AS u (source, target, data, kind, flow, priority, run_at, max_attempts, dedup, orderly, parent, replay, trace, at)";
    let (mut rest, mut at) = (rows, at);
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest.iter().take(ROWS_MAX).take_while(|new| {
            let fits = bytes < BYTES_MAX;
            bytes += size(&new.data);
            fits
        });
        let (some, after) = rest.split_at(fitting.count().max(1));
        let columns = Columns::of(some.iter());
        let mut values = columns.values().to_vec();
        values.extend([text(&key), number(&at)]);
        tx.rows("put rows of a load aside", insert, &values).await?;
        at += some.len() as i64;
        rest = after;
    }
    Ok(())
}

pub(super) async fn end(tx: &mut Tx<'_>, actor: &str, key: &str) -> Attempt<Load> {
    let now = tx.ledger().now();
    let call = format!("SELECT {COLUMNS} FROM integration._end_load($1, $2, $3, false)");
    let load = load_of(&tx.row("end a load", &call, &[text(&actor), text(&key), time(&now)]).await?)?;
    if load.whole {
        tx.frees_work();
    }
    Ok(load)
}

pub(super) async fn drop_load(tx: &mut Tx<'_>, key: &str) -> Attempt<bool> {
    let row = tx.row("give up a load", "SELECT integration._drop_load($1)", &[text(&key)]).await?;
    get(&row, 0)
}
