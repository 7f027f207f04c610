//! The account: where every row went, and that nothing is left lying.

use crate::flow::Flow;
use handover_core::{Checksum, Manifest};
use handover_testkit::files_below;
use rusqlite::{Connection, OpenFlags};
use sha2::Digest as _;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

impl Flow {
    /// Everything that must hold when all work is done.
    #[track_caller]
    pub(crate) fn settle_accounts(&self) {
        self.settle_accounts_for(1);
    }

    /// The same where each good row is exported so many times (a diamond: twice).
    #[track_caller]
    pub(crate) fn settle_accounts_for(&self, copies: usize) {
        self.every_row_once(copies);
        self.nothing_left_lying();
        self.every_file_has_its_manifest();
        self.ledger_is_quiet();
    }

    #[track_caller]
    fn every_row_once(&self, copies: usize) {
        let exported = numbers(&self.exports());
        let rejected = numbers(&self.rejects());
        let expect =
            |rows: &BTreeSet<u64>, times| rows.iter().map(|id| (*id, times)).collect::<BTreeMap<_, _>>();
        assert_same(&exported, &expect(&self.good, copies), "exported");
        assert_same(&rejected, &expect(&self.bad, 1), "rejected");
    }

    /// The exported data files.
    pub(crate) fn exports(&self) -> Vec<PathBuf> {
        data_files(&self.project.join("outgoing"))
    }

    fn rejects(&self) -> Vec<PathBuf> {
        data_files(&self.project.join("data/errors"))
    }

    #[track_caller]
    fn nothing_left_lying(&self) {
        let tmp = files_below(&self.project.join("data/.handover/tmp"));
        assert!(tmp.is_empty(), "temporary files are left: {tmp:?}");
        let locks = files_below(&self.project.join("data/.handover/locks"));
        assert!(locks.is_empty(), "locks are left: {locks:?}");
        for folder in ["outgoing", "incoming", "data"] {
            let dotted: Vec<PathBuf> = files_below(&self.project.join(folder))
                .into_iter()
                .filter(|path| {
                    !path.starts_with(self.project.join("data/.handover")) && name(path).starts_with('.')
                })
                .collect();
            assert!(dotted.is_empty(), "dot-named files are left: {dotted:?}");
        }
    }

    /// Each published file has its manifest, which tells the truth; and no file is without one.
    #[track_caller]
    fn every_file_has_its_manifest(&self) {
        let published = files_below(&self.project.join("data"))
            .into_iter()
            .chain(files_below(&self.project.join("outgoing")));
        for path in published.filter(|path| !path.starts_with(self.project.join("data/.handover"))) {
            if name(&path).ends_with(".meta.json") {
                let manifest = Manifest::parse(&std::fs::read(&path).unwrap()).unwrap();
                assert!(path.with_file_name(&manifest.filename).exists(), "{path:?} has lost its file");
                continue;
            }
            let stem = name(&path).split('.').next().unwrap().to_owned();
            let manifest = path.with_file_name(format!("{stem}.meta.json"));
            let bytes = std::fs::read(&manifest).unwrap_or_else(|e| panic!("{path:?} has no manifest: {e}"));
            let manifest = Manifest::parse(&bytes).unwrap();
            let content = std::fs::read(&path).unwrap();
            assert_eq!(manifest.filename, name(&path));
            assert_eq!(manifest.file_size, content.len() as u64, "{path:?}");
            assert_eq!(manifest.checksum, Checksum(sha2::Sha256::digest(&content).into()), "{path:?}");
        }
    }

    /// Nothing is processing or pending, nobody's name is twice, the counts are right.
    #[track_caller]
    fn ledger_is_quiet(&self) {
        let open = self.rows("SELECT id || ' ' || status || ' ' || coalesce(target_app, '') || ' ' || coalesce(last_error, '') \
                              FROM v_deliveries WHERE status NOT IN ('completed')");
        assert!(open.is_empty(), "not all is completed: {open:#?}");
        let leased =
            self.rows("SELECT id FROM v_deliveries WHERE lease_token IS NOT NULL OR lease_until IS NOT NULL");
        assert!(leased.is_empty(), "leases are left: {leased:?}");
        let twice = self.rows("SELECT json_extract(data, '$.path') || ' to ' || coalesce(target_app, '') FROM v_deliveries WHERE kind = 'file' \
                               AND json_extract(data, '$.path') IS NOT NULL GROUP BY 1 HAVING count(*) > 1");
        assert!(twice.is_empty(), "handed over twice: {twice:?}");
        let ended_twice = self.rows(
            "SELECT delivery_id FROM v_audit WHERE to_status = 'completed' GROUP BY 1 HAVING count(*) > 1",
        );
        assert!(ended_twice.is_empty(), "completed twice: {ended_twice:?}");
        assert_eq!(self.rows("PRAGMA integrity_check"), ["ok"]);
    }

    /// Changes rows of the ledger, as another program would.
    pub(crate) fn change(&self, statement: &str) {
        let file = self.project.join("data/.handover/ledger.db");
        let sql = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        sql.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
        assert!(sql.execute(statement, []).unwrap() > 0, "{statement} changed nothing");
    }

    /// What a query gives, its first column as text.
    pub(crate) fn rows(&self, query: &str) -> Vec<String> {
        let file = self.project.join("data/.handover/ledger.db");
        let sql = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        sql.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
        let mut statement = sql.prepare(query).unwrap();
        let text = |row: &rusqlite::Row<'_>| {
            row.get::<_, rusqlite::types::Value>(0).map(|value| match value {
                rusqlite::types::Value::Integer(number) => number.to_string(),
                rusqlite::types::Value::Text(text) => text,
                other => format!("{other:?}"),
            })
        };
        statement.query_map([], text).unwrap().collect::<Result<_, _>>().unwrap()
    }
}

#[track_caller]
fn assert_same(found: &BTreeMap<u64, usize>, expected: &BTreeMap<u64, usize>, what: &str) {
    let differ: BTreeMap<u64, (usize, usize)> = found
        .keys()
        .chain(expected.keys())
        .map(|id| (*id, (found.get(id).copied().unwrap_or(0), expected.get(id).copied().unwrap_or(0))))
        .filter(|(_, (is, should))| is != should)
        .collect();
    assert!(differ.is_empty(), "rows {what} (row: how often, how often it should be): {differ:?}");
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn data_files(folder: &Path) -> Vec<PathBuf> {
    files_below(folder).into_iter().filter(|path| name(path).ends_with(".csv")).collect()
}

/// How often each number stands in the first column of these files.
fn numbers(files: &[PathBuf]) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        for line in text.lines().skip(1) {
            let id = line.split(',').next().unwrap().parse().unwrap_or_else(|_| panic!("{file:?}: {line:?}"));
            *counts.entry(id).or_default() += 1;
        }
    }
    counts
}
