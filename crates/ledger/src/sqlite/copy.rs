//! Reading a part of the ledger as JSON, and writing what was read elsewhere: for `ledger copy`.

use super::error::sql;
use super::writer::Write;
use crate::copy::{Holds, Page, Part, State};
use handover_core::Result;
use rusqlite::{Connection, OptionalExtension as _, params};

/// The rows of a part after a key.
pub(super) fn read(connection: &Connection, part: Part, after: Option<&str>, limit: usize) -> Result<Page> {
    let fields: Vec<String> = part
        .columns()
        .into_iter()
        .map(|(name, holds)| match holds {
            Holds::Json => format!("'{name}', json({name})"),
            Holds::Plain | Holds::Time => format!("'{name}', \"{name}\""),
        })
        .collect();
    let key = part.key().iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let places: Vec<String> =
        (0..part.key().len()).map(|place| format!("json_extract(?1, '$[{place}]')")).collect();
    let text = format!(
        "SELECT json_array({key}), json_object({}) FROM {} WHERE ?1 IS NULL OR ({key}) > ({}) ORDER BY {key} LIMIT ?2",
        fields.join(", "),
        part.source(),
        places.join(", ")
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows: Vec<(String, String)> = connection
        .prepare_cached(&text)
        .and_then(|mut statement| {
            statement.query_map(params![after, limit], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
        .map_err(sql("read what is to be copied"))?;
    let full = i64::try_from(rows.len()).is_ok_and(|read| read == limit);
    let next = rows.last().filter(|_| full).map(|(key, _)| key.clone());
    Ok(Page { rows: rows.into_iter().map(|(_, row)| row).collect(), next })
}

/// Writes rows as they were read; what the triggers would say of their birth is not part of their history.
pub(super) fn write(write: &Write<'_>, part: Part, rows: &[String]) -> Result<()> {
    let fail = sql("write what is copied");
    let before = last_entry(write.sql)?;
    let columns = part.columns();
    let names: Vec<String> = columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let values: Vec<String> = columns
        .iter()
        .map(|(name, holds)| match holds {
            Holds::Plain => format!("?1 ->> '$.{name}'"),
            Holds::Time => format!("strftime('%Y-%m-%dT%H:%M:%fZ', ?1 ->> '$.{name}')"),
            // A result may be missing; data never is, and may be null itself.
            Holds::Json if *name == "result" => format!("nullif(?1 -> '$.{name}', 'null')"),
            Holds::Json => format!("?1 -> '$.{name}'"),
        })
        .collect();
    let text = format!("INSERT INTO {} ({}) VALUES ({})", part.table(), names.join(", "), values.join(", "));
    let mut statement = write.sql.prepare_cached(&text).map_err(&fail)?;
    for row in rows {
        statement.execute([row]).map_err(&fail)?;
    }
    if matches!(part, Part::Deliveries | Part::Records) {
        write
            .sql
            .prepare_cached("DELETE FROM audit_log WHERE id > ?1")
            .and_then(|mut statement| statement.execute([before]))
            .map_err(&fail)?;
    }
    Ok(())
}

fn last_entry(connection: &Connection) -> Result<i64> {
    connection
        .prepare_cached("SELECT coalesce(max(id), 0) FROM audit_log")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .map_err(sql("read the audit log"))
}

pub(super) fn state(connection: &Connection) -> Result<State> {
    let identity = connection
        .query_row("SELECT identity FROM ledger", [], |row| row.get(0))
        .map_err(sql("read its identity"))?;
    let last_id = connection
        .query_row(
            "SELECT max(seq) FROM sqlite_sequence WHERE name IN ('deliveries', 'data_staging')",
            [],
            |row| row.get::<_, Option<i64>>(0),
        )
        .optional()
        .map_err(sql("read the last number"))?;
    Ok(State { identity, last_id: last_id.flatten().unwrap_or(0), last_entry: last_entry(connection)? })
}

/// Becomes the ledger that the other was.
pub(super) fn take_over(write: &Write<'_>, state: &State) -> Result<()> {
    let fail = sql("take over an identity");
    write
        .sql
        .execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name IN ('deliveries', 'data_staging')",
            [state.last_id],
        )
        .and_then(|_| write.sql.execute("UPDATE ledger SET identity = ?1", [&state.identity]))
        .map(|_| ())
        .map_err(fail)
}
