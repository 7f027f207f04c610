//! Reading: one delivery, lists, counts, history. Nothing here writes.

use super::PostgresLedger;
use super::claim::LEASED;
use super::error::{Attempt, Fault};
use super::row::{COLUMNS, NOT_IN_FLIGHT, delivery, get, parsed, time as time_of, time_or_none};
use super::tx::{Tx, Value, number, numbers, text, time};
use crate::api::{AppCount, AuditEntry, Filter, Pause, Queue};
use crate::links::{self, LinkRows, Links, Parents};
use crate::search::patterns;
use handover_core::limits::SEARCHED_DATA_MAX_BYTES;
use handover_core::{Delivery, DeliveryId, Kind, Result, Status};
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

/// Where deliveries stand, with what belongs to the condition: what is in flight by lanes is another part of its own.
pub(super) const PARTS: [(&str, &str); 3] =
    [("deliveries_live", "true"), ("data_staging_live", NOT_IN_FLIGHT), ("_in_flight", "true")];
pub(super) const ARCHIVE: (&str, &str) = ("data_archive", "true");
/// The records that are marked as processing: no index of the records has them all.
pub(super) const PROCESSING: (&str, &str) = ("_processing", "true");

/// Reads all rows in one way.
pub(super) fn each<T>(rows: &[Row], read: impl Fn(&Row) -> Attempt<T>) -> Result<Vec<T>> {
    rows.iter().map(read).collect::<Attempt<_>>().map_err(|fault: Fault| fault.error)
}

fn one(tables: &[(&str, &str)]) -> String {
    let part = |(table, seen): (&str, &str)| {
        format!("SELECT {COLUMNS} FROM integration.{table} WHERE id = $1 AND {seen}")
    };
    tables.iter().copied().map(part).collect::<Vec<_>>().join(" UNION ALL ")
}

fn anywhere() -> Vec<(&'static str, &'static str)> {
    PARTS.into_iter().chain([ARCHIVE]).collect()
}

pub(super) async fn get_by_id(ledger: &PostgresLedger, id: DeliveryId) -> Result<Option<Delivery>> {
    // Most that are asked for live, and the archive has many parts to plan for.
    for tables in [&PARTS[..1], &anywhere()] {
        let rows = ledger.read("read a delivery", &one(tables), &[number(&id.0)]).await?;
        if let Some(found) = each(&rows, delivery)?.pop() {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The same within a transaction.
pub(super) async fn get_in(tx: &mut Tx<'_>, id: DeliveryId) -> Attempt<Option<Delivery>> {
    let rows = tx.rows("read a delivery", &one(&anywhere()), &[number(&id.0)]).await?;
    rows.first().map(delivery).transpose()
}

pub(super) async fn list(ledger: &PostgresLedger, filter: &Filter) -> Result<Vec<Delivery>> {
    let (query, values) = list_query(filter);
    each(&ledger.read("list deliveries", &query, &values_of(&values)).await?, delivery)
}

/// The oldest files and jobs that wait.
pub(super) async fn waiting_since(
    ledger: &PostgresLedger,
    before: Timestamp,
    at_most: usize,
) -> Result<Vec<Delivery>> {
    let (table, seen) = PARTS[0];
    let query = format!(
        "SELECT {COLUMNS} FROM integration.{table} WHERE status = 'pending' AND created_at <= $1 AND {seen} \
         AND deleted_at IS NULL ORDER BY created_at, id LIMIT $2"
    );
    let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
    let before = Some(before);
    let rows = ledger.read("list what waits longest", &query, &[time(&before), number(&at_most)]).await?;
    each(&rows, delivery)
}

/// What failed, the latest first.
pub(super) async fn failed_lately(ledger: &PostgresLedger, at_most: usize) -> Result<Vec<Delivery>> {
    let tables = [PARTS[0], PARTS[1]].map(|(table, seen)| {
        format!(
            "(SELECT {COLUMNS} FROM integration.{table} WHERE status = 'failed' AND {seen} AND deleted_at IS NULL \
             ORDER BY created_at DESC LIMIT $1)"
        )
    });
    let query = format!("{} ORDER BY created_at DESC, id DESC LIMIT $1", tables.join(" UNION ALL "));
    let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
    let rows = ledger.read("list what failed lately", &query, &[number(&at_most)]).await?;
    each(&rows, delivery)
}

/// Those of these that were replayed.
pub(super) async fn replayed(ledger: &PostgresLedger, of: &[DeliveryId]) -> Result<Vec<DeliveryId>> {
    let tables = anywhere().into_iter().map(|(table, seen)| {
        format!("SELECT replay_of FROM integration.{table} WHERE replay_of = ANY($1) AND {seen}")
    });
    let query = format!("{} ORDER BY replay_of", tables.collect::<Vec<_>>().join(" UNION "));
    let of: Vec<i64> = of.iter().map(|id| id.0).collect();
    let rows = ledger.read("look what was replayed", &query, &[numbers(&of)]).await?;
    each(&rows, |row| Ok(DeliveryId(get(row, 0)?)))
}

/// A value that a query keeps until it is asked.
pub(super) struct Owned(Box<dyn ToSql + Sync + Send>, Type);

impl Owned {
    fn of(value: impl ToSql + Sync + Send + 'static, ty: Type) -> Self {
        Self(Box::new(value), ty)
    }

    pub(super) fn number(number: i64) -> Self {
        Self::of(number, Type::INT8)
    }
}

/// The values as a query takes them.
pub(super) fn values_of(owned: &[Owned]) -> Vec<Value<'_>> {
    owned.iter().map(|Owned(value, ty)| (&**value as &(dyn ToSql + Sync), ty.clone())).collect()
}

/// The query of a list and its values. What has status `archived` is in the archive, asked for or not.
fn list_query(filter: &Filter) -> (String, Vec<Owned>) {
    let (conditions, mut values) = conditions(filter);
    values.push(Owned::number(i64::try_from(filter.limit).unwrap_or(i64::MAX)));
    let limit = format!("${}", values.len());
    // A table is left out that does not hold the kind.
    let mut tables = match filter.kind {
        None => PARTS.to_vec(),
        Some(Kind::Record) => PARTS[1..].to_vec(),
        Some(Kind::File | Kind::Job) => PARTS[..1].to_vec(),
    };
    if filter.status == Some(Status::Processing) {
        tables.iter_mut().filter(|part| **part == PARTS[1]).for_each(|part| *part = PROCESSING);
    }
    if filter.archived || filter.status == Some(Status::Archived) {
        tables.push(ARCHIVE);
    }
    // Each table gives its own newest first, by its own index; only those few are merged.
    let id = number_of(filter);
    let newest = |(table, seen): &(&str, &str)| {
        format!(
            "(SELECT {COLUMNS} FROM integration.{table} WHERE {seen}{conditions} ORDER BY {id} DESC LIMIT {limit})"
        )
    };
    let all = tables.iter().map(newest).collect::<Vec<_>>().join(" UNION ALL ");
    (format!("SELECT * FROM ({all}) AS listed ORDER BY id DESC LIMIT {limit}"), values)
}

/// The number as rows are ordered by it: in the form of the indexes of what failed of one app and of one caller's jobs, or as it is.
pub(super) fn number_of(filter: &Filter) -> &'static str {
    let by_own = match filter.status {
        Some(Status::Failed) => filter.app.is_some(),
        _ => filter.by.is_some() && filter.kind == Some(Kind::Job),
    };
    if by_own { "id + 0" } else { "id" }
}

/// The filter as further conditions of SQL, with numbered parameters, which all tables of a union share.
pub(super) fn conditions(filter: &Filter) -> (String, Vec<Owned>) {
    let words = |text: &Option<String>| Some(Owned::of(text.clone()?, Type::TEXT));
    let at = |time: Option<Timestamp>| Some(Owned::of(time?, Type::TIMESTAMPTZ));
    let id = |id: Option<DeliveryId>| Some(Owned::number(id?.0));
    let [below, above] = match number_of(filter) {
        "id" => ["id < ", "id > "],
        _ => ["id + 0 < ", "id + 0 > "],
    };
    let wanted: [(&str, Option<Owned>); 13] = [
        ("target_app = ", words(&filter.app)),
        ("source_app = ", words(&filter.source)),
        ("created_by = ", words(&filter.by)),
        ("flow = ", words(&filter.flow)),
        ("created_at >= ", at(filter.since)),
        ("created_at < ", at(filter.until)),
        ("processed_at < ", at(filter.ended_before)),
        (below, id(filter.before)),
        (above, id(filter.after)),
        ("parent_id = ", id(filter.parent)),
        ("replay_of = ", id(filter.replay_of)),
        ("order_key = ", words(&filter.order_key)),
        ("kind = 'file' AND integration._path(data) = ", words(&filter.path)),
    ];
    let mut values = Vec::new();
    let mut parts = Vec::new();
    // Written out, or PostgreSQL could not see that an index of some statuses, or of one kind, serves.
    parts.extend(filter.status.map(|status| format!("status = '{status}'")));
    parts.extend(filter.kind.map(|kind| format!("kind = '{kind}'")));
    for (condition, value) in wanted {
        if let Some(value) = value {
            values.push(value);
            parts.push(format!("{condition}${}", values.len()));
        }
    }
    if !filter.statuses.is_empty() {
        let any: Vec<String> = filter.statuses.iter().map(|status| format!("'{status}'")).collect();
        parts.push(format!("status IN ({})", any.join(", ")));
    }
    if let Some(apps) = &filter.seen_by {
        values.push(Owned::of(apps.clone(), Type::TEXT_ARRAY));
        let any = format!("= ANY(${})", values.len());
        parts.push(format!("(target_app {any} OR (kind <> 'job' AND source_app {any}))"));
    }
    if let Some(text) = &filter.text {
        values.extend(patterns(text).map(|pattern| Owned::of(pattern, Type::TEXT)));
        let (plain, in_json) = (values.len() - 1, values.len());
        parts.push(format!(
            "(last_error ILIKE ${plain} OR dedup_key ILIKE ${plain} \
             OR CASE WHEN pg_column_size(data) <= {SEARCHED_DATA_MAX_BYTES} THEN data::text ILIKE ${in_json} END)"
        ));
    }
    (parts.iter().map(|part| format!(" AND {part}")).collect(), values)
}

pub(super) async fn counts(ledger: &PostgresLedger) -> Result<Vec<AppCount>> {
    let query = "SELECT app, kind, status, n, entered FROM integration.v_tally ORDER BY app, kind, status";
    let rows = ledger.read("count deliveries", query, &[]).await?;
    each(&rows, |row| {
        Ok(AppCount {
            app: get(row, 0)?,
            kind: parsed(row, 1)?,
            status: parsed(row, 2)?,
            count: u64::try_from(get::<i64>(row, 3)?).unwrap_or(0),
            entered: u64::try_from(get::<i64>(row, 4)?).unwrap_or(0),
        })
    })
}

/// The one time that a query gives, if it gives one.
async fn smallest(ledger: &PostgresLedger, query: &str, values: &[Value<'_>]) -> Result<Option<Timestamp>> {
    let rows = ledger.read("look for the next time", query, values).await?;
    let time = rows.first().map(|row| time_or_none(row, 0)).transpose();
    time.map(Option::flatten).map_err(|fault| fault.error)
}

pub(super) async fn oldest_pending(ledger: &PostgresLedger, app: &str) -> Result<Option<Timestamp>> {
    let oldest = [PARTS[0], PARTS[1]].map(|(table, seen)| {
        format!(
            "(SELECT created_at AS t FROM integration.{table} WHERE status = 'pending' AND target_app = $1 \
             AND run_at <= coalesce($2, clock_timestamp()) AND deleted_at IS NULL AND {seen} ORDER BY created_at LIMIT 1)"
        )
    });
    let query = format!("SELECT min(t) FROM ({}) AS oldest", oldest.join(" UNION ALL "));
    let now = ledger.now();
    smallest(ledger, &query, &[text(&app), time(&now)]).await
}

/// What went along each link.
pub(super) async fn links(ledger: &PostgresLedger) -> Result<Links> {
    fn number(row: &Row, column: usize) -> Attempt<u64> {
        get::<i64>(row, column).map(|count| u64::try_from(count).unwrap_or(0))
    }
    let doing = "count what went along the links";
    let rows = ledger.read(doing, &links::query("integration."), &[]).await?;
    let rows = each(&rows, |row| {
        let count = |column| number(row, column);
        Ok(LinkRows {
            source: get(row, 0)?,
            target: get(row, 1)?,
            kind: parsed(row, 2)?,
            status: parsed(row, 3)?,
            replay: get(row, 4)?,
            rows: count(5)?,
            rows_in: count(6)?,
            rows_out: count(7)?,
            rejected: count(8)?,
            filtered: count(9)?,
            records: count(10)?,
        })
    })?;
    let parents = ledger.read(doing, &links::parents_query("integration."), &[]).await?;
    let parents = each(&parents, |row| {
        Ok(Parents {
            source: get(row, 0)?,
            target: get(row, 1)?,
            count: number(row, 2)?,
            gone: number(row, 3)?,
        })
    })?;
    Ok(Links { rows, parents })
}

/// How many of what waits make up so many bytes with the one that goes beyond.
pub(super) async fn filling(
    ledger: &PostgresLedger,
    queue: Queue,
    app: &str,
    rows: usize,
    bytes: u64,
) -> Result<Option<usize>> {
    let query = format!(
        "SELECT nth FROM (SELECT row_number() OVER line AS nth, sum(bytes) OVER line AS total FROM (\
         SELECT id, priority, octet_length(data::text) + 1 AS bytes FROM integration.{}_live WHERE status = 'pending' AND {} \
         AND target_app = $1 AND run_at <= coalesce($2, clock_timestamp()) AND deleted_at IS NULL \
         AND NOT EXISTS (SELECT FROM integration.paused_apps WHERE app = $1) ORDER BY priority DESC, id + 0 LIMIT $3) AS first \
         WINDOW line AS (ORDER BY priority DESC, id ROWS UNBOUNDED PRECEDING)) AS summed \
         WHERE total > $4 ORDER BY nth LIMIT 1",
        queue.named(),
        queue.not_in_flight()
    );
    let (rows, bytes) = (i64::try_from(rows).unwrap_or(i64::MAX), i64::try_from(bytes).unwrap_or(i64::MAX));
    let now = ledger.now();
    let values = [text(&app), time(&now), number(&rows), number(&bytes)];
    let found = ledger.read("measure what waits", &query, &values).await?;
    let nth = each(&found, |row| get::<i64>(row, 0))?.pop();
    Ok(nth.map(|nth| usize::try_from(nth - 1).unwrap_or(1).max(1)))
}

pub(super) async fn next_due(ledger: &PostgresLedger) -> Result<Option<Timestamp>> {
    let runs = [PARTS[0], PARTS[1]].map(|(table, _)| {
        format!(
            "SELECT min(run_at) AS t FROM integration.{table} WHERE status = 'pending' AND run_at > created_at \
             AND run_at > (SELECT at FROM now)"
        )
    });
    let ends = LEASED.into_iter().chain(["claims WHERE true", "lanes WHERE true"]).map(|leases| {
        format!("SELECT min(lease_until) FROM integration.{leases} AND lease_until > (SELECT at FROM now)")
    });
    let due: Vec<String> = runs.into_iter().chain(ends).collect();
    let query = format!(
        "WITH now AS (SELECT coalesce($1, clock_timestamp()) AS at) SELECT min(t) FROM ({}) AS due",
        due.join(" UNION ALL ")
    );
    let now = ledger.now();
    smallest(ledger, &query, &[time(&now)]).await
}

pub(super) async fn audit(ledger: &PostgresLedger, id: DeliveryId) -> Result<Vec<AuditEntry>> {
    let query = "SELECT at, actor, from_status, to_status, note FROM integration.history($1)";
    let rows = ledger.read("read a delivery's history", query, &[number(&id.0)]).await?;
    each(&rows, |row| {
        let from = get::<Option<&str>>(row, 2)?.map(str::parse).transpose()?;
        Ok(AuditEntry {
            at: time_of(row, 0)?,
            actor: get(row, 1)?,
            from,
            to: parsed(row, 3)?,
            note: get(row, 4)?,
        })
    })
}

pub(super) async fn paused(ledger: &PostgresLedger) -> Result<Vec<Pause>> {
    let query = "SELECT app, since, by FROM integration.paused_apps ORDER BY app";
    let rows = ledger.read("list the paused apps", query, &[]).await?;
    each(&rows, |row| Ok(Pause { app: get(row, 0)?, since: time_of(row, 1)?, by: get(row, 2)? }))
}
