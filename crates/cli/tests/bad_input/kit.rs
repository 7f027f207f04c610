//! A project with something bad in it, and what came of that.

use handover_testkit::process::wait_for;
use handover_testkit::{Project, Running, files_below};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Longer than anything here takes, on a machine that does much else.
pub(crate) const LONG: Duration = Duration::from_secs(90);
/// The good file beside every bad one.
pub(crate) const GOOD: &str = "id,name\n1,good\n";

/// A project of these tests.
pub(crate) struct Case {
    pub(crate) project: Project,
}

/// How one run of the binary ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) log: String,
}

/// A row of the ledger, as far as these tests look at it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) id: i64,
    pub(crate) app: String,
    pub(crate) status: String,
    pub(crate) attempts: i64,
    pub(crate) error: String,
    pub(crate) data: Value,
    pub(crate) result: Value,
}

impl Row {
    /// The original's path of an arrival.
    pub(crate) fn original(&self) -> &str {
        self.data["original"].as_str().unwrap_or_default()
    }
}

/// One file in `errors/` with its reason.
#[derive(Debug, Clone)]
pub(crate) struct Reason {
    /// What is kept: the bad file, or its reason alone.
    pub(crate) kept: PathBuf,
    pub(crate) message: String,
    pub(crate) hint: String,
    pub(crate) source: String,
    pub(crate) not_kept: Option<String>,
}

impl Case {
    /// A project with this configuration.
    pub(crate) fn new(configuration: &str) -> Self {
        Self { project: Project::new(env!("CARGO_BIN_EXE_handover"), configuration) }
    }

    /// Files are imported as they are and exported again. `more` is more of the importer's configuration.
    pub(crate) fn importing(more: &str) -> Self {
        Self::new(&format!(
            "apps:
  file-importer: {{ uses: file-importer, with: {{ from: incoming, type: t, settle: 0s{more} }}, retries: 0 }}
  file-exporter: {{ uses: file-exporter, with: {{ to: outgoing }}, retries: 0 }}
flows:
  f: file-importer -> file-exporter
"
        ))
    }

    /// A console program stands between importer and exporter: its command, run by the shell, and more of its
    /// declaration.
    pub(crate) fn program(command: &str, more: &str) -> Self {
        let command = Value::String(command.to_owned());
        Self::declared(&format!("run: {command}, shell: true, retries: 0{more}"))
    }

    /// An app, declared in full, stands between importer and exporter.
    pub(crate) fn declared(app: &str) -> Self {
        Self::new(&format!(
            "apps:
  file-importer: {{ uses: file-importer, with: {{ from: incoming, type: t, settle: 0s }}, retries: 0 }}
  middle: {{ {app} }}
  file-exporter: {{ uses: file-exporter, with: {{ to: outgoing }}, retries: 0 }}
flows:
  f: file-importer -> middle -> file-exporter
"
        ))
    }

    /// The path of something in the project.
    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.project.join(name)
    }

    /// A file arrives.
    pub(crate) fn put(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        self.project.arrive(Path::new("incoming").join(name), content)
    }

    /// The good file arrives.
    pub(crate) fn put_good(&self) {
        self.put("good.csv", GOOD);
    }

    /// The binary with these words, to its end.
    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        end(self.project.start(words))
    }

    /// `handover run --once`.
    #[track_caller]
    pub(crate) fn once(&self) -> Ran {
        self.run(&["run", "--once", "-v"])
    }

    /// A daemon.
    pub(crate) fn serve(&self) -> Running {
        self.project.start(&["run", "-v"])
    }

    /// This command, to its end.
    #[track_caller]
    pub(crate) fn end(&self, command: Command) -> Ran {
        std::fs::create_dir_all(self.join("logs")).unwrap();
        end(Running::start(command, &self.join("logs/own.log")))
    }

    fn ledger(&self, flags: OpenFlags) -> Option<Connection> {
        let ledger = Connection::open_with_flags(self.join("data/.handover/ledger.db"), flags).ok()?;
        ledger.busy_timeout(LONG).ok()?;
        Some(ledger)
    }

    /// Every delivery; none where there is no ledger yet.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.try_rows().unwrap_or_default()
    }

    fn try_rows(&self) -> Option<Vec<Row>> {
        let ledger = self.ledger(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let text = "SELECT id, coalesce(target_app, ''), status, attempts, coalesce(last_error, ''), data, \
                    coalesce(result, 'null') FROM deliveries ORDER BY id";
        let mut query = ledger.prepare(text).ok()?;
        let json = |text: String| serde_json::from_str(&text).unwrap();
        let rows = query.query_map((), |row| {
            Ok(Row {
                id: row.get(0)?,
                app: row.get(1)?,
                status: row.get(2)?,
                attempts: row.get(3)?,
                error: row.get(4)?,
                data: json(row.get(5)?),
                result: json(row.get(6)?),
            })
        });
        rows.ok()?.collect::<Result<_, _>>().ok()
    }

    /// The deliveries that failed.
    pub(crate) fn failed(&self) -> Vec<Row> {
        self.rows().into_iter().filter(|row| row.status == "failed").collect()
    }

    /// The one delivery that failed.
    #[track_caller]
    pub(crate) fn the_failed(&self) -> Row {
        let failed = self.failed();
        assert_eq!(failed.len(), 1, "{failed:#?}");
        failed[0].clone()
    }

    /// The one row of an arrival whose original's name ends so.
    #[track_caller]
    pub(crate) fn arrival(&self, name: &str) -> Row {
        let rows = self.rows();
        let found: Vec<_> = rows.iter().filter(|row| row.original().ends_with(name)).collect();
        assert_eq!(found.len(), 1, "{name}: {rows:#?}");
        found[0].clone()
    }

    /// Changes the ledger by SQL: what a command of a person would do.
    pub(crate) fn sql(&self, text: &str) {
        self.ledger(OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap().execute_batch(text).unwrap();
    }

    /// Keeps an app from claiming. The project must have run.
    pub(crate) fn pause(&self, app: &str) {
        self.sql(&format!("INSERT INTO paused_apps VALUES ('{app}', '2026-01-01T00:00:00.000Z', 'a test')"));
    }

    /// Lets every app claim again.
    pub(crate) fn resume(&self) {
        self.sql("DELETE FROM paused_apps");
    }

    /// What lies in `errors/`, with its reasons, by name.
    pub(crate) fn reasons(&self) -> Vec<Reason> {
        manifests_in(&self.join("data/errors"))
            .into_iter()
            .filter_map(|(path, manifest)| reason(&path, &manifest))
            .collect()
    }

    /// The one thing in quarantine.
    #[track_caller]
    pub(crate) fn the_reason(&self) -> Reason {
        let reasons = self.reasons();
        assert_eq!(reasons.len(), 1, "{reasons:#?}");
        reasons[0].clone()
    }

    /// The one reason for a source whose name ends so.
    #[track_caller]
    pub(crate) fn reason_for(&self, name: &str) -> Reason {
        let reasons = self.reasons();
        let found: Vec<_> = reasons.iter().filter(|reason| reason.source.ends_with(name)).collect();
        assert_eq!(found.len(), 1, "{name}: {reasons:#?}");
        found[0].clone()
    }

    /// What was exported: content by file name. A file without its manifest does not count.
    pub(crate) fn exported(&self) -> BTreeMap<String, Vec<u8>> {
        let names = manifests_in(&self.join("outgoing")).into_iter().map(|(path, manifest)| {
            let name = manifest["filename"].as_str().unwrap().to_owned();
            (name.clone(), std::fs::read(path.with_file_name(name)).unwrap())
        });
        names.collect()
    }

    /// How often this content was exported.
    pub(crate) fn times_exported(&self, content: impl AsRef<[u8]>) -> usize {
        self.exported().values().filter(|found| found.as_slice() == content.as_ref()).count()
    }

    /// The good file went through, once, and nothing unfinished is left.
    #[track_caller]
    pub(crate) fn assert_went_on(&self) {
        assert_eq!(self.times_exported(GOOD), 1, "{:?}\n{:#?}", self.exported().keys(), self.rows());
        self.assert_nothing_half();
        wait_for(LONG, "temporary files are gone", || {
            let hidden =
                |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            let exports = files_below(&self.join("outgoing")).into_iter().filter(hidden).count();
            (exports == 0 && files_below(&self.join("data/.handover/tmp")).is_empty()).then_some(())
        });
    }

    /// Every data file has its manifest, or gets it at once, and every manifest its data file, which agrees with it in
    /// size.
    #[track_caller]
    pub(crate) fn assert_nothing_half(&self) {
        for root in ["data", "outgoing"] {
            let root = self.join(root);
            wait_for(LONG, "every file has its manifest", || {
                let files = seen_below(&root).len();
                (files == 2 * manifests_in(&root).len()).then_some(())
            });
            for (path, manifest) in manifests_in(&root) {
                let data = path.with_file_name(manifest["filename"].as_str().unwrap());
                assert_eq!(Some(data.metadata().unwrap().len()), manifest["file_size"].as_u64(), "{path:?}");
            }
        }
    }
}

#[track_caller]
fn end(mut running: Running) -> Ran {
    let status = running.end_within(LONG);
    Ran { code: status.code(), out: running.stdout(), log: running.stderr() }
}

/// What people and programs see below a folder: dot-named files are still being written.
fn seen_below(folder: &Path) -> Vec<PathBuf> {
    let hidden = |path: &PathBuf| {
        path.strip_prefix(folder)
            .unwrap()
            .components()
            .any(|part| part.as_os_str().to_string_lossy().starts_with('.'))
    };
    files_below(folder).into_iter().filter(|path| !hidden(path)).collect()
}

/// The manifests below a folder.
pub(crate) fn manifests_in(folder: &Path) -> Vec<(PathBuf, Value)> {
    let paths = seen_below(folder).into_iter().filter(|path| path.to_string_lossy().ends_with(".meta.json"));
    paths
        .map(|path| (path.clone(), serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()))
        .collect()
}

/// The files below a folder that are no manifests, with their content.
pub(crate) fn data_files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let paths = seen_below(folder).into_iter().filter(|path| !path.to_string_lossy().ends_with(".meta.json"));
    paths
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect()
}

fn reason(path: &Path, manifest: &Value) -> Option<Reason> {
    let text = |key: &str| manifest["reason"][key].as_str().map(str::to_owned);
    Some(Reason {
        kept: path.with_file_name(manifest["filename"].as_str()?),
        message: text("message")?,
        hint: text("hint").unwrap_or_default(),
        source: text("source_path").unwrap_or_default(),
        not_kept: text("not_kept"),
    })
}

/// Says that a test cannot be made here, and why.
pub(crate) fn skip(why: &str) {
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    {
        eprintln!("SKIPPED: {why}");
    }
}

/// That a text has every one of these words.
#[track_caller]
pub(crate) fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
}
