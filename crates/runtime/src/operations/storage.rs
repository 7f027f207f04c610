//! What is wrong with the ledger's storage, in one sentence each, with what to do.
//!
//! Bounds are far from what a busy, well-kept ledger shows: a server that vacuums has its dead rows cleared within minutes.

use handover_core::units::{format_duration, format_size};
use handover_ledger::health::{FileHealth, Health, OpenHolder, OpenTransaction, TableHealth};
use serde::Serialize;
use std::time::Duration;

use super::times::number;

/// Fewer dead rows than this trouble nobody.
const DEAD_MIN: u64 = 100_000;
/// So many dead rows beside a live one are many.
const DEAD_PER_LIVE: u64 = 2;
/// Where vacuum has not come for so long, it is not about to.
const VACUUM_OVERDUE_SECONDS: u64 = 15 * 60;
/// A transaction that is open for so long is forgotten.
const OPEN_MAX_SECONDS: u64 = 3_600;
/// The same, where it cannot be seen since when: so many have begun since.
const OPEN_MAX_TRANSACTIONS: u64 = 1_000_000;
/// A table smaller than this may be as empty as it likes.
const TABLE_MIN_BYTES: u64 = 1 << 30;
/// So many times what its rows need is out of proportion.
const TABLE_PER_ROWS: u64 = 10;
/// What a row costs beside its columns.
const ROW_OVERHEAD_BYTES: u64 = 28;
/// A write-ahead log larger than this does not shrink any more.
const LOG_MAX_BYTES: u64 = 256 << 20;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Concern {
    /// What it is about: the same as long as it is the same trouble.
    pub about: String,
    /// What is wrong, and what to do.
    pub text: String,
    /// What to say when it has gone.
    #[serde(skip)]
    pub over: String,
}

impl Concern {
    fn new(about: impl Into<String>, text: String, over: impl Into<String>) -> Self {
        Self { about: about.into(), text, over: over.into() }
    }
}

/// What of this is worth saying, the causes first.
pub fn concerns(health: &Health) -> Vec<Concern> {
    let mut found: Vec<Concern> = health.open.iter().filter_map(forgotten).collect();
    let off: Vec<&str> = match health.autovacuum {
        true => {
            health.tables.iter().filter(|table| !table.autovacuum).map(|table| table.table.as_str()).collect()
        }
        false => Vec::new(),
    };
    if !health.tables.is_empty() && !health.autovacuum {
        found.push(Concern::new(
            "autovacuum",
            "the PostgreSQL server's autovacuum is off, so the ledger's tables only grow and become slow: \
             set autovacuum = on and track_counts = on in postgresql.conf and reload"
                .to_owned(),
            "the PostgreSQL server's autovacuum is on again",
        ));
    }
    if !off.is_empty() {
        let all = off.join(", ");
        let alter =
            off.iter().map(|table| format!("ALTER TABLE integration.{table} RESET (autovacuum_enabled)"));
        found.push(Concern::new(
            format!("autovacuum of {all}"),
            format!(
                "autovacuum is off for {all}, so it only grows and becomes slow: \
                 {}",
                alter.collect::<Vec<_>>().join("; ")
            ),
            format!("autovacuum is on again for {all}"),
        ));
    }
    found.extend(health.tables.iter().filter_map(dead_rows));
    found.extend(health.tables.iter().filter_map(out_of_proportion));
    found.extend(health.file.as_ref().and_then(long_log));
    found
}

/// A transaction that nobody ends: nothing that died since it began is cleared away.
fn forgotten(open: &OpenTransaction) -> Option<Concern> {
    let since = match (open.seconds, open.transactions) {
        (Some(seconds), _) if seconds >= OPEN_MAX_SECONDS => {
            format!("for {}", format_duration(Duration::from_secs(seconds / 60 * 60)))
        }
        (None, Some(count)) if count >= OPEN_MAX_TRANSACTIONS => {
            format!("while {} others began", number(count))
        }
        _ => return None,
    };
    let (about, who, way) = match &open.holder {
        OpenHolder::Session { pid, application, role } => {
            let name = if application.is_empty() { "without a name" } else { application.as_str() };
            (
                format!("transaction of process {pid}"),
                format!(
                    "a transaction of the program {name} (process {pid}, role {role}) has been open {since}"
                ),
                format!("let that program commit, or end it: SELECT pg_terminate_backend({pid})"),
            )
        }
        OpenHolder::Prepared(name) => (
            format!("prepared transaction {name}"),
            format!("the prepared transaction {name} has been open {since}"),
            format!("COMMIT PREPARED or ROLLBACK PREPARED '{name}'"),
        ),
        OpenHolder::Slot(name) => (
            format!("replication slot {name}"),
            format!("the replication slot {name} has held rows back {since}"),
            format!("connect its standby, or drop it: SELECT pg_drop_replication_slot('{name}')"),
        ),
    };
    let text = format!("{who}, and no dead row of the ledger is cleared away as long as it is: {way}");
    Some(Concern::new(about.clone(), text, format!("{about}: it has ended")))
}

fn dead_rows(table: &TableHealth) -> Option<Concern> {
    let many = table.dead >= DEAD_MIN && table.dead > DEAD_PER_LIVE * table.live;
    if !many || table.vacuumed_seconds < VACUUM_OVERDUE_SECONDS {
        return None;
    }
    let ago = format_duration(Duration::from_secs(table.vacuumed_seconds / 60 * 60));
    let text = format!(
        "{} has {} dead rows beside {} live ones and was not vacuumed for {ago}, so claims become slow: \
         VACUUM integration.{}, and see in pg_stat_activity and the server's settings why autovacuum does not come",
        table.table,
        number(table.dead),
        number(table.live),
        table.table
    );
    Some(Concern::new(format!("dead rows of {}", table.table), text, format!("{} was vacuumed", table.table)))
}

fn out_of_proportion(table: &TableHealth) -> Option<Concern> {
    let needs = table.live.saturating_mul(table.row_bytes? + ROW_OVERHEAD_BYTES);
    if table.bytes < TABLE_MIN_BYTES || table.bytes / TABLE_PER_ROWS < needs {
        return None;
    }
    let text = format!(
        "{} takes {} for rows of {}: in a quiet hour, VACUUM FULL integration.{} gives the rest back (it locks the table)",
        table.table,
        format_size(table.bytes),
        format_size(needs),
        table.table
    );
    Some(Concern::new(
        format!("growth of {}", table.table),
        text,
        format!("{} is in proportion again", table.table),
    ))
}

fn long_log(file: &FileHealth) -> Option<Concern> {
    if file.log_bytes < LOG_MAX_BYTES {
        return None;
    }
    let text = format!(
        "the ledger's write-ahead log has grown to {} beside a ledger of {}, because some program reads it and never ends its \
         transaction: end that program (`fuser` names who has the file ending in -wal open), and the log shrinks by itself",
        format_size(file.log_bytes),
        format_size(file.bytes)
    );
    Some(Concern::new("write-ahead log", text, "the ledger's write-ahead log has shrunk again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(live: u64, dead: u64) -> TableHealth {
        TableHealth {
            table: "data_staging_live".into(),
            bytes: 10 << 20,
            row_bytes: Some(200),
            live,
            dead,
            autovacuum: true,
            vacuumed_seconds: 3_700,
        }
    }

    fn of(tables: Vec<TableHealth>) -> Health {
        Health { tables, autovacuum: true, ..Health::default() }
    }

    fn open(holder: OpenHolder, seconds: Option<u64>, transactions: Option<u64>) -> Health {
        let open = vec![OpenTransaction { holder, seconds, transactions }];
        Health { open, autovacuum: true, ..Health::default() }
    }

    #[track_caller]
    fn only(health: &Health) -> String {
        let found = concerns(health);
        let [concern] = found.as_slice() else { panic!("{found:?}") };
        assert!(!concern.text.contains('\n') && !concern.over.is_empty(), "{concern:?}");
        concern.text.clone()
    }

    #[test]
    fn a_busy_ledger_that_is_vacuumed_is_well() {
        let quiet = |live, dead, seconds| TableHealth { vacuumed_seconds: seconds, ..table(live, dead) };
        let health = of(vec![
            quiet(10, 5_000_000, 60),
            quiet(10, 99_999, 99_999),
            quiet(1_000_000, 1_999_999, 99_999),
            TableHealth { bytes: 90 << 30, ..table(100_000_000, 0) },
            TableHealth { bytes: 90 << 30, row_bytes: None, ..table(0, 0) },
        ]);
        assert_eq!(concerns(&health), []);
        assert_eq!(concerns(&Health::default()), []);
    }

    #[test]
    fn dead_rows_that_nobody_clears_away() {
        let text = only(&of(vec![table(1_000, 100_000)]));
        assert!(text.starts_with(
            "data_staging_live has 100,000 dead rows beside 1,000 live ones and was not vacuumed for 1h 1m"
        ));
        assert!(text.contains("VACUUM integration.data_staging_live"), "{text}");
    }

    #[test]
    fn autovacuum_that_is_off() {
        let text = only(&of(vec![TableHealth { autovacuum: false, ..table(0, 0) }, table(0, 0)]));
        assert!(
            text.contains("off for data_staging_live") && text.contains("RESET (autovacuum_enabled)"),
            "{text}"
        );
        let off = |name: &str| TableHealth { table: name.into(), autovacuum: false, ..table(0, 0) };
        let text = only(&of(vec![off("audit_log"), off("loads")]));
        assert!(
            text.contains("off for audit_log, loads")
                && text.contains("ALTER TABLE integration.audit_log RESET (autovacuum_enabled); ALTER TABLE integration.loads RESET"),
            "{text}"
        );
        let text = only(&Health { autovacuum: false, ..of(vec![table(0, 0)]) });
        assert!(text.contains("autovacuum = on"), "{text}");
    }

    #[test]
    fn a_transaction_that_is_forgotten() {
        let session = || OpenHolder::Session { pid: 4711, application: "psql".into(), role: "ann".into() };
        assert_eq!(concerns(&open(session(), Some(3_599), Some(9_000_000))), []);
        assert_eq!(concerns(&open(session(), None, Some(999_999))), []);
        let text = only(&open(session(), Some(7_260), None));
        assert!(text.starts_with(
            "a transaction of the program psql (process 4711, role ann) has been open for 2h 1m"
        ));
        assert!(text.ends_with("SELECT pg_terminate_backend(4711)"), "{text}");
        let text = only(&open(session(), None, Some(2_000_000)));
        assert!(text.contains("open while 2,000,000 others began"), "{text}");
        let text = only(&open(OpenHolder::Prepared("two-phase".into()), Some(4_000), Some(1)));
        assert!(text.contains("ROLLBACK PREPARED 'two-phase'"), "{text}");
        let text = only(&open(OpenHolder::Slot("standby".into()), None, Some(1_000_000)));
        assert!(text.contains("pg_drop_replication_slot('standby')"), "{text}");
    }

    #[test]
    fn a_table_far_larger_than_its_rows() {
        let text = only(&of(vec![TableHealth { bytes: 5 << 30, ..table(1_000, 0) }]));
        assert!(text.contains("takes 5.4 GB for rows of 228.0 kB") && text.contains("VACUUM FULL"), "{text}");
    }

    #[test]
    fn a_log_that_does_not_shrink() {
        let file =
            |log_bytes| Health { file: Some(FileHealth { bytes: 1 << 20, log_bytes }), ..Health::default() };
        assert_eq!(concerns(&file(200 << 20)), []);
        let text = only(&file(300 << 20));
        assert!(text.contains("has grown to 314.6 MB beside a ledger of 1.0 MB"), "{text}");
    }
}
