//! What vacuum has to do on the server, and who keeps it from doing it, as far as the ledger's role may see that: of other
//! roles' sessions the server shows the program and how many transactions ago they began, and not since when.

use super::PostgresLedger;
use super::query::each;
use super::row::get;
use crate::health::{Health, OpenHolder, OpenTransaction, TableHealth};
use handover_core::{Error, Result};

const TABLES: &str = "SELECT c.relname::text, pg_relation_size(c.oid), \
     (SELECT sum(p.avg_width)::bigint FROM pg_stats AS p WHERE p.schemaname = 'integration' AND p.tablename = c.relname), \
     greatest(s.n_live_tup, c.reltuples::bigint), s.n_dead_tup, \
     coalesce((SELECT o.option_value::boolean FROM pg_options_to_table(c.reloptions) AS o \
               WHERE o.option_name = 'autovacuum_enabled'), true), \
     extract(epoch FROM clock_timestamp() - greatest(s.last_vacuum, s.last_autovacuum, \
         pg_postmaster_start_time(), (SELECT min(l.created_at) FROM integration.ledger AS l)))::bigint \
     FROM pg_class AS c JOIN pg_stat_all_tables AS s ON s.relid = c.oid \
     WHERE c.relnamespace = 'integration'::regnamespace AND c.relkind = 'r' ORDER BY 1";

/// So many of what is open are looked at.
const OPEN: &str = "SELECT kind, pid, name, role, seconds, transactions FROM (\
     SELECT 'session' AS kind, pid, coalesce(application_name, '') AS name, coalesce(usename::text, '') AS role, \
         extract(epoch FROM clock_timestamp() - xact_start)::bigint AS seconds, \
         greatest(age(backend_xmin), age(backend_xid))::bigint AS transactions \
     FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
         AND coalesce(backend_type, 'client backend') = 'client backend' \
         AND (xact_start IS NOT NULL OR backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) \
     UNION ALL SELECT 'prepared', 0, gid, owner::text, extract(epoch FROM clock_timestamp() - prepared)::bigint, \
         age(transaction)::bigint FROM pg_prepared_xacts WHERE database = current_database() \
     UNION ALL SELECT 'slot', 0, slot_name::text, '', NULL, age(xmin)::bigint \
         FROM pg_replication_slots WHERE xmin IS NOT NULL) AS open \
     ORDER BY kind = 'session', seconds DESC NULLS LAST, transactions DESC NULLS LAST LIMIT 20";

pub(super) async fn health(ledger: &PostgresLedger) -> Result<Health> {
    let doing = "look at its tables";
    let rows = ledger.read(doing, TABLES, &[]).await?;
    let tables = each(&rows, |row| {
        Ok(TableHealth {
            table: get(row, 0)?,
            bytes: unsigned(get(row, 1)?),
            row_bytes: get::<Option<i64>>(row, 2)?.map(unsigned),
            live: unsigned(get(row, 3)?),
            dead: unsigned(get(row, 4)?),
            autovacuum: get(row, 5)?,
            vacuumed_seconds: unsigned(get(row, 6)?),
        })
    })?;
    let rows = ledger.read(doing, OPEN, &[]).await?;
    let open = each(&rows, |row| {
        let name: String = get(row, 2)?;
        let holder = match get::<&str>(row, 0)? {
            "session" => OpenHolder::Session { pid: get(row, 1)?, application: name, role: get(row, 3)? },
            "prepared" => OpenHolder::Prepared(name),
            _ => OpenHolder::Slot(name),
        };
        let count = |column| get::<Option<i64>>(row, column).map(|count| count.map(unsigned));
        Ok(OpenTransaction { holder, seconds: count(4)?, transactions: count(5)? })
    })?;
    let asked = "SELECT current_setting('autovacuum')::boolean AND current_setting('track_counts')::boolean";
    let rows = ledger.read(doing, asked, &[]).await?;
    let autovacuum = each(&rows, |row| get(row, 0))?.pop();
    let autovacuum = autovacuum.ok_or_else(|| Error::internal("the server did not say its settings"))?;
    Ok(Health { tables, autovacuum, open, file: None })
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
