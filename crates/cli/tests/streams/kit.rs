//! The project of these tests: what arrives is split into records for the app `work`; what that makes goes to `out`.

use handover_testkit::{Project, Running, files_below};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use std::time::Duration;

/// Longer than anything here takes, on a machine that does much else.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// What a stream program in Python begins with: `answer(record, …)`, and `records()`.
const PYTHON: &str = r#"
import json, os, sys
def answer(r, status="completed", **more):
    print(json.dumps(dict(id=r["id"], status=status, **more)))
def records():
    for line in sys.stdin:
        r = json.loads(line)
        yield r, r["data"]
"#;

/// A project, and what to ask it.
pub(crate) struct Records {
    pub(crate) project: Project,
}

impl Records {
    /// Of this declaration of `work`, with `work.py` as this script.
    pub(crate) fn stream(more: &str, script: &str) -> Self {
        let place = Self::of(&format!("{{ run: python3 work.py, mode: stream, workers: 1{more} }}"), "");
        place.project.write("work.py", format!("{PYTHON}{script}"));
        place
    }

    /// Of this declaration of `work`; `gather` is what its link to `out` says.
    pub(crate) fn of(work: &str, gather: &str) -> Self {
        Self::with(work, "", gather)
    }

    /// The same; `cast` is what the link to `work` says.
    pub(crate) fn with(work: &str, cast: &str, gather: &str) -> Self {
        let configuration = format!(
            "apps:
  in: {{ uses: file-importer, with: {{ from: incoming, pattern: '*', type: sales, settle: 0s }} }}
  work: {work}
  out: {{ uses: file-exporter, with: {{ to: outgoing }} }}
flows:
  f:
    - {{ from: in, to: work, by: database{cast} }}
    - {{ from: work, to: out, by: file{gather} }}
"
        );
        let project = Project::new(env!("CARGO_BIN_EXE_handover"), &configuration);
        std::fs::create_dir_all(project.join("incoming")).unwrap();
        Self { project }
    }

    /// Records `{"n": 1}` to `{"n": count}` arrive.
    pub(crate) fn numbers(&self, count: u64) {
        let lines: String = (1..=count).map(|n| format!("{{\"n\":{n}}}\n")).collect();
        self.project.arrive("incoming/numbers_2025-11-24.ndjson", lines);
    }

    /// `run --once` to its end.
    pub(crate) fn once(&self) -> Running {
        let mut run = self.project.start(&["run", "--once", "-v"]);
        run.end_within(LONG);
        run
    }

    /// `run --once`, which must end well.
    #[track_caller]
    pub(crate) fn well(&self) -> Running {
        let mut run = self.project.start(&["run", "--once", "-v"]);
        let status = run.end_within(LONG);
        assert!(status.success(), "{status}\n{}\n{}", run.stdout(), run.stderr());
        run
    }

    /// What a query gives, its first column as text.
    pub(crate) fn rows(&self, query: &str) -> Vec<String> {
        let sql = self.sql();
        let mut statement = sql.prepare(query).unwrap();
        let text = |row: &rusqlite::Row<'_>| {
            row.get::<_, rusqlite::types::Value>(0).map(|value| match value {
                rusqlite::types::Value::Integer(number) => number.to_string(),
                rusqlite::types::Value::Text(text) => text,
                rusqlite::types::Value::Null => String::new(),
                other => format!("{other:?}"),
            })
        };
        statement.query_map([], text).unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// The ledger, as another program opens it.
    pub(crate) fn sql(&self) -> Connection {
        let file = self.project.join("data/.handover/ledger.db");
        let sql = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        sql.busy_timeout(Duration::from_secs(30)).unwrap();
        sql
    }

    /// What was put off is due now.
    pub(crate) fn all_are_due(&self) {
        let now =
            "UPDATE data_staging SET run_at = created_at WHERE status = 'pending' AND run_at > created_at";
        self.sql().execute(now, []).unwrap();
    }

    /// `n` of the records of `work` that stand so.
    pub(crate) fn standing(&self, status: &str) -> Vec<u64> {
        let query = format!(
            "SELECT json_extract(data, '$.n') FROM data_staging WHERE target_app = 'work' AND status = '{status}' ORDER BY 1"
        );
        self.rows(&query).iter().map(|n| n.parse().unwrap()).collect()
    }

    /// The last error of record `n` of `work`.
    pub(crate) fn error_of(&self, n: u64) -> String {
        self.rows(&format!(
            "SELECT last_error FROM data_staging WHERE target_app = 'work' AND json_extract(data, '$.n') = {n}"
        ))
        .concat()
    }

    /// The exported records, file by file.
    pub(crate) fn exported(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for file in files_below(&self.project.join("outgoing")) {
            let name = file.file_name().unwrap().to_str().unwrap();
            // What is dot-named is still being written.
            if !name.ends_with(".meta.json") && !name.starts_with('.') {
                let text = std::fs::read_to_string(file).unwrap();
                all.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
            }
        }
        all
    }

    /// `n` of the exported records, sorted.
    pub(crate) fn exported_numbers(&self) -> Vec<u64> {
        let mut all: Vec<u64> = self.exported().iter().map(|record| record["n"].as_u64().unwrap()).collect();
        all.sort_unstable();
        all
    }

    /// The names of the data files in a folder of the data directory, or elsewhere, without their folders.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let names = files_below(&self.project.join(folder)).into_iter();
        let names = names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
        names.filter(|name| !name.ends_with(".meta.json") && !name.starts_with('.')).collect()
    }

    /// Every record of `work` was claimed at most once, but for these: nobody else lost an attempt.
    #[track_caller]
    pub(crate) fn nobody_else_lost_an_attempt(&self) {
        let more = self.rows("SELECT data FROM data_staging WHERE attempts > 1");
        assert!(more.is_empty(), "attempts were used up by {more:?}");
    }
}

/// All numbers up to this one but these.
pub(crate) fn all_but(count: u64, without: &[u64]) -> Vec<u64> {
    (1..=count).filter(|n| !without.contains(n)).collect()
}
