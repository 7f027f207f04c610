//! Reading a part of the ledger as JSON, and writing what was read elsewhere: for `ledger copy`.
//!
//! The counts are made anew when everything is there, by [`take_over`].

use super::error::sql;
use super::moves::RUN_MAX;
use super::writer::Write;
use crate::transfer::{Entry, Holds, Page, Part, State};
use handover_core::{Error, Result};
use rusqlite::{Connection, OptionalExtension as _, params};

/// The rows of a part after a key.
pub(super) fn read(connection: &Connection, part: Part, after: Option<&str>, limit: usize) -> Result<Page> {
    let key = part.key().iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let places: Vec<String> =
        (0..part.key().len()).map(|place| format!("json_extract(?1, '$[{place}]')")).collect();
    let text = format!(
        "SELECT json_array({key}), json_object({}) FROM {} WHERE (?1 IS NULL OR ({key}) > ({})) ORDER BY {key} LIMIT ?2",
        fields(part),
        part.table(),
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

fn fields(part: Part) -> String {
    if part == Part::Audit {
        return "'at', at, 'actor', actor, 'first', delivery_id, 'last', coalesce(last_id, delivery_id), \
                'from_status', from_status, 'to_status', to_status, 'note', note"
            .to_owned();
    }
    let field = |(name, holds): (&str, Holds)| match (part, name, holds) {
        (Part::Loads, "ended_at", _) => "'ended_at', CASE WHEN ended THEN updated_at END".to_owned(),
        (Part::Loads, "whole", _) => "'whole', json(iif(whole, 'true', 'false'))".to_owned(),
        (.., Holds::Texts) => format!("'{name}', json({name})"),
        (.., Holds::Plain | Holds::Time | Holds::Json) => format!("'{name}', \"{name}\""),
    };
    part.columns().into_iter().map(field).collect::<Vec<_>>().join(", ")
}

/// Writes rows as they were read.
pub(super) fn write(write: &Write<'_>, part: Part, rows: &[String]) -> Result<()> {
    if part == Part::Audit {
        return rows.iter().try_for_each(|row| entry(write, row));
    }
    let fail = sql("write what is copied");
    let column = |(name, holds): (&'static str, Holds)| match (part, name, holds) {
        (Part::Loads, "ended_at", _) => ("ended".to_owned(), "?1 ->> '$.ended_at' IS NOT NULL".to_owned()),
        (.., Holds::Plain | Holds::Json | Holds::Texts) => {
            (format!("\"{name}\""), format!("?1 ->> '$.{name}'"))
        }
        (.., Holds::Time) => {
            (format!("\"{name}\""), format!("strftime('%Y-%m-%dT%H:%M:%fZ', ?1 ->> '$.{name}')"))
        }
    };
    let (names, values): (Vec<String>, Vec<String>) = part.columns().into_iter().map(column).unzip();
    let text = format!("INSERT INTO {} ({}) VALUES ({})", part.table(), names.join(", "), values.join(", "));
    let mut statement = write.sql.prepare_cached(&text).map_err(&fail)?;
    for row in rows {
        statement.execute([row]).map_err(&fail)?;
    }
    Ok(())
}

/// An entry of the audit log, in runs as long as this backend has them.
fn entry(write: &Write<'_>, row: &str) -> Result<()> {
    let entry: Entry =
        serde_json::from_str(row).map_err(|e| Error::internal("an audit entry cannot be read").because(e))?;
    let text = "INSERT INTO audit_log (at, actor, delivery_id, last_id, from_status, to_status, note) \
                VALUES (strftime('%Y-%m-%dT%H:%M:%fZ', ?1), ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut first = entry.first;
    while first <= entry.last {
        let last = entry.last.min(first + RUN_MAX - 1);
        write
            .sql
            .prepare_cached(text)
            .and_then(|mut statement| {
                statement.execute(params![
                    entry.at,
                    entry.actor,
                    first,
                    (last != first).then_some(last),
                    entry.from_status,
                    entry.to_status,
                    entry.note
                ])
            })
            .map_err(sql("write what is copied"))?;
        first = last + 1;
    }
    Ok(())
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
    let last_entry = connection
        .query_row("SELECT coalesce(max(id), 0) FROM audit_log", [], |row| row.get(0))
        .map_err(sql("read the audit log"))?;
    let loaded = connection
        .query_row(
            "SELECT count(*) + coalesce(sum(rows), 0) + (SELECT count(*) FROM api_keys) + (SELECT count(*) FROM alerts) \
             + (SELECT count(*) FROM notices) + (SELECT count(*) FROM sizes) + (SELECT count(*) FROM actions) FROM loads",
            [],
            |row| row.get(0),
        )
        .map_err(sql("read the loads"))?;
    Ok(State { identity, last_id: last_id.flatten().unwrap_or(0), last_entry, loaded })
}

const EVERYTHING: &str = "SELECT source_app, target_app, kind, status, 1 AS live FROM deliveries \
     UNION ALL SELECT source_app, target_app, kind, status, 1 FROM data_staging \
     UNION ALL SELECT source_app, target_app, kind, status, 0 FROM data_archive";

/// Becomes the ledger that the other was: with its identity, its numbers, and counts of what is there. What was handed over and
/// deleted, and how many ever came where, has come as it was counted.
pub(super) fn take_over(write: &Write<'_>, state: &State) -> Result<()> {
    let tally = format!(
        "INSERT INTO tally (app, kind, status, n) SELECT coalesce(target_app, ''), kind, status, count(*) FROM ({EVERYTHING}) \
         WHERE true GROUP BY 1, 2, 3 ON CONFLICT (app, kind, status) DO UPDATE SET n = excluded.n"
    );
    let sources = format!(
        "INSERT INTO sources (source, kind, live, archived) \
         SELECT source_app, kind, sum(live), count(*) - sum(live) FROM ({EVERYTHING}) WHERE true GROUP BY 1, 2 \
         ON CONFLICT (source, kind) DO UPDATE SET live = excluded.live, archived = excluded.archived"
    );
    for text in ["UPDATE tally SET n = 0", "UPDATE sources SET live = 0, archived = 0", &tally, &sources] {
        write.sql.execute(text, []).map_err(sql("count what was copied"))?;
    }
    let numbers =
        "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name IN ('deliveries', 'data_staging')";
    write
        .sql
        .execute(numbers, [state.last_id])
        .and_then(|_| write.sql.execute("UPDATE ledger SET identity = ?1", [&state.identity]))
        .map(|_| ())
        .map_err(sql("take over an identity"))
}
