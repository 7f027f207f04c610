//! Reading a part of the ledger as JSON, and writing what was read elsewhere: for `ledger copy`.
//!
//! Rows go into the parts of the tables, where no trigger sees them; the counts are made anew when everything is there, by
//! [`take_over`].

use super::PostgresLedger;
use super::error::Attempt;
use super::query::each;
use super::row::get;
use super::tx::{Tx, number, text, texts};
use crate::transfer::{Holds, Page, Part, State};
use handover_core::{Error, Result};

/// The rows of a part after a key.
pub(super) async fn read(
    ledger: &PostgresLedger,
    part: Part,
    after: Option<String>,
    limit: usize,
) -> Result<Page> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let query = if part == Part::Audit { AUDIT.to_owned() } else { table(part) };
    let rows = ledger.read("read what is to be copied", &query, &[text(&after), number(&limit)]).await?;
    let rows: Vec<(String, String)> = each(&rows, |row| Ok((get(row, 0)?, get(row, 1)?)))?;
    let mut keys = rows.iter().map(|(key, _)| key).collect::<Vec<_>>();
    keys.dedup();
    let full = i64::try_from(keys.len()).is_ok_and(|read| read == limit);
    let next = rows.last().filter(|_| full).map(|(key, _)| key.clone());
    Ok(Page { rows: rows.into_iter().map(|(_, row)| row).collect(), next })
}

/// Of each entry a row for each run of numbers: where they are not all from the least to the greatest, for each number.
const AUDIT: &str = "SELECT json_build_array(a.id)::text, json_build_object('at', a.at, 'actor', a.actor, 'first', i.first, \
     'last', i.last, 'from_status', a.from_status, 'to_status', a.to_status, 'note', a.note)::text \
     FROM (SELECT * FROM integration.audit_log WHERE $1 IS NULL OR id > ($1::json ->> 0)::bigint ORDER BY id LIMIT $2) AS a, \
     LATERAL (SELECT i AS first, i AS last FROM unnest(a.ids) AS i WHERE a.ids IS NOT NULL \
              UNION ALL SELECT lower(a.span), upper(a.span) - 1 WHERE a.ids IS NULL) AS i ORDER BY a.id, i.first";

/// What was counted of each source, added up.
const SOURCES: &str = "(SELECT source, kind, coalesce(sum(n) FILTER (WHERE what = 'pushed'), 0)::bigint AS pushed, \
     coalesce(sum(n) FILTER (WHERE what = 'deleted'), 0)::bigint AS deleted, \
     coalesce(sum(n) FILTER (WHERE what = 'expired'), 0)::bigint AS expired \
     FROM integration.source_tally GROUP BY source, kind) AS sources";

/// How many ever came where, added up.
const COUNTS: &str = "(SELECT app, kind, status, entered FROM integration.v_tally) AS counts";

fn table(part: Part) -> String {
    let field = |(name, holds): (&str, Holds)| match holds {
        Holds::Json => format!("'{name}', \"{name}\"::text"),
        _ => format!("'{name}', \"{name}\""),
    };
    let fields = part.columns().into_iter().map(field).collect::<Vec<_>>().join(", ");
    let key = part.key().iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let kind = |name: &str| match name {
        "id" if part == Part::Keys => "text",
        "at" if part == Part::Sizes => "timestamptz",
        "id" | "at" | "delivery_id" | "seq" | "seconds" => "bigint",
        _ => "text",
    };
    let places = part.key().iter().enumerate();
    let places: Vec<String> =
        places.map(|(place, name)| format!("($1::json ->> {place})::{}", kind(name))).collect();
    let table = match part {
        Part::Sources => SOURCES.to_owned(),
        Part::Counts => COUNTS.to_owned(),
        part => format!("integration.{}", part.table()),
    };
    format!(
        "SELECT json_build_array({key})::text, json_build_object({fields})::text FROM {table} \
         WHERE ($1 IS NULL OR ({key}) > ({})) ORDER BY {key} LIMIT $2",
        places.join(", ")
    )
}

/// Writes rows as they were read.
pub(super) async fn write(tx: &mut Tx<'_>, part: Part, rows: &[String]) -> Attempt<()> {
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    if part == Part::Audit {
        let insert = "INSERT INTO integration.audit_log (at, actor, ids, span, from_status, to_status, note) \
             SELECT (e ->> 'at')::timestamptz, e ->> 'actor', NULL, \
             int8range((e ->> 'first')::bigint, (e ->> 'last')::bigint, '[]'), e ->> 'from_status', e ->> 'to_status', e ->> 'note' \
             FROM unnest($1) WITH ORDINALITY AS u (row, at), LATERAL (SELECT u.row::json AS e) AS j ORDER BY u.at";
        tx.rows("write what is copied", insert, &[texts(&rows)]).await?;
        return Ok(());
    }
    if part == Part::Sources {
        let insert = "INSERT INTO integration.source_tally (source, kind, what, n) \
             SELECT r.source, r.kind, w.what, w.n FROM unnest($1) AS u (row), \
             LATERAL json_to_record(u.row::json) AS r (source text, kind text, pushed bigint, deleted bigint, expired bigint), \
             LATERAL (VALUES ('pushed', r.pushed), ('deleted', r.deleted), ('expired', r.expired)) AS w (what, n) WHERE w.n <> 0";
        tx.rows("write what is copied", insert, &[texts(&rows)]).await?;
        return Ok(());
    }
    let column = |(name, holds): (&'static str, Holds)| match holds {
        Holds::Json => (format!("\"{name}\""), format!("(j.row ->> '{name}')::json")),
        _ => (format!("\"{name}\""), format!("r.\"{name}\"")),
    };
    let (columns, values): (Vec<String>, Vec<String>) = part.columns().into_iter().map(column).unzip();
    let (table, kind) = match part {
        Part::Deliveries | Part::Records => (format!("{}_live", part.table()), part.table()),
        other => (other.table().to_owned(), other.table()),
    };
    let insert = format!(
        "INSERT INTO integration.{table} ({}) SELECT {} FROM unnest($1) WITH ORDINALITY AS u (row, at), \
         LATERAL (SELECT u.row::json AS row) AS j, \
         LATERAL json_populate_record(NULL::integration.{kind}, j.row) AS r ORDER BY u.at",
        columns.join(", "),
        values.join(", ")
    );
    tx.rows("write what is copied", &insert, &[texts(&rows)]).await?;
    Ok(())
}

pub(super) async fn state(ledger: &PostgresLedger) -> Result<State> {
    let query = "SELECT (SELECT identity FROM integration.ledger), \
                 (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM integration.delivery_ids), \
                 (SELECT coalesce(max(id), 0) FROM integration.audit_log), \
                 (SELECT count(*) + coalesce(sum(rows), 0)::bigint FROM integration.loads) \
                 + (SELECT count(*) FROM integration.api_keys) + (SELECT count(*) FROM integration.alerts) \
                 + (SELECT count(*) FROM integration.notices) + (SELECT count(*) FROM integration.sizes) \
                 + (SELECT count(*) FROM integration.actions)";
    let rows = ledger.read("read the ledger's state", query, &[]).await?;
    let read: Vec<State> = each(&rows, |row| {
        Ok(State {
            identity: get(row, 0)?,
            last_id: get(row, 1)?,
            last_entry: get(row, 2)?,
            loaded: get(row, 3)?,
        })
    })?;
    read.into_iter().next().ok_or_else(|| Error::internal("the ledger has no state"))
}

const EVERYTHING: &str = "SELECT source_app, target_app, kind, status FROM integration.v_deliveries \
     UNION ALL SELECT source_app, target_app, kind, status FROM integration.data_archive";

/// Becomes the ledger that the other was: with its identity, its numbers, and counts of what is there. What was handed over and
/// deleted, and how many ever came where, has come as it was counted.
pub(super) async fn take_over(tx: &mut Tx<'_>, state: &State) -> Attempt<()> {
    let tally = format!(
        "INSERT INTO integration.tally SELECT coalesce(target_app, ''), kind, status, count(*), 0 FROM ({EVERYTHING}) AS e GROUP BY 1, 2, 3"
    );
    let sources = "INSERT INTO integration.source_tally (source, kind, what, n) \
         SELECT source_app, kind, 'live', count(*) FROM integration.v_deliveries GROUP BY 1, 2 \
         UNION ALL SELECT source_app, kind, 'archived', count(*) FROM integration.data_archive GROUP BY 1, 2";
    for statement in [
        "DELETE FROM integration.tally WHERE n <> 0",
        "DELETE FROM integration.source_tally WHERE what IN ('live', 'archived')",
        &tally,
        sources,
    ] {
        tx.rows("count what was copied", statement, &[]).await?;
    }
    // Nobody works on either; what still says so is found by its lease.
    let claims = "INSERT INTO integration.claims SELECT lease_token, coalesce(min(target_app), ''), coalesce(min(leased_by), ''), \
         coalesce(min(lease_until), clock_timestamp()), count(*), min(id), max(id), array_agg(id ORDER BY id) \
         FROM integration.data_staging_live WHERE status = 'processing' AND lease_token IS NOT NULL GROUP BY lease_token";
    tx.rows("note what is claimed", claims, &[]).await?;
    if state.last_id > 0 {
        let numbers = "SELECT setval('integration.delivery_ids', $1)";
        tx.rows("take over the numbers", numbers, &[number(&state.last_id)]).await?;
    }
    tx.rows("take over an identity", "UPDATE integration.ledger SET identity = $1", &[text(&state.identity)])
        .await?;
    Ok(())
}
