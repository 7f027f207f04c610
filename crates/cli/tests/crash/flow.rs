//! The project of these tests: rows with numbers flow through import, validation, a console program, enrichment and
//! export. One row in ten is bad.

use handover_testkit::process::{children, wait_for, was_killed};
use handover_testkit::{Project, Running, files_below};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// Longer than anything here takes, on a machine that does much else.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A project of these tests, and the rows that it was given.
pub(crate) struct Flow {
    pub(crate) project: Project,
    /// The numbers of the rows that arrived and are good; and of those that are bad.
    pub(crate) good: BTreeSet<u64>,
    pub(crate) bad: BTreeSet<u64>,
    next: u64,
}

/// What differs between the projects.
pub(crate) struct Setting {
    /// What becomes of an original.
    pub(crate) original: &'static str,
    /// The console program in the middle.
    pub(crate) program: String,
    /// More of its declaration.
    pub(crate) more: &'static str,
    /// The lease.
    pub(crate) lease: &'static str,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            original: "leave",
            program: r#"awk -F, -v OFS=, 'NR == 1 { print $0, "twice"; next } { print $0, $2 * 2 }'"#
                .to_owned(),
            more: "",
            lease: "60s",
        }
    }
}

impl Flow {
    /// The usual flow.
    pub(crate) fn new(setting: &Setting) -> Self {
        let Setting { original, program, more, lease } = setting;
        let program = serde_json::Value::String(program.clone());
        Self::with(&format!(
            "apps:
  file-importer: {{ uses: file-importer, with: {{ from: incoming, pattern: '*.csv', type: sales, original: {original} }} }}
  validator: {{ uses: validator, with: {{ schema: schemas/sales.json }} }}
  twice: {{ run: {program}, retries: 50{more} }}
  enricher:
    uses: enricher
    with: {{ lookups: [ {{ from: reference/regions.csv, key: region, take: [region_name] }} ] }}
  file-exporter: {{ uses: file-exporter, with: {{ to: outgoing }} }}
flows:
  sales: file-importer -> validator -> twice -> enricher -> file-exporter
lease: {lease}
"
        ))
    }

    /// Another configuration, with the same schema and reference.
    pub(crate) fn with(configuration: &str) -> Self {
        let project = Project::new(env!("CARGO_BIN_EXE_handover"), configuration);
        project.write(
            "schemas/sales.json",
            r#"{ "fields": [ { "name": "id", "type": "integer" }, { "name": "amount", "type": "integer" }, { "name": "region" } ] }"#,
        );
        project.write("reference/regions.csv", "region,region_name\nn,North\ns,South\n");
        std::fs::create_dir_all(project.join("incoming")).unwrap();
        Self { project, good: BTreeSet::new(), bad: BTreeSet::new(), next: 1 }
    }

    /// A file with so many new rows arrives.
    pub(crate) fn arrive(&mut self, name: &str, rows: u64) {
        let mut text = "id,amount,region\n".to_owned();
        for id in self.next..self.next + rows {
            let is_bad = id % 10 == 3;
            let amount = if is_bad { "many".to_owned() } else { (id * 7).to_string() };
            writeln!(text, "{id},{amount},{}", if id % 2 == 0 { "n" } else { "s" }).unwrap();
            if is_bad {
                self.bad.insert(id)
            } else {
                self.good.insert(id)
            };
        }
        self.next += rows;
        self.project.arrive(format!("incoming/{name}"), text);
    }

    /// Three files of one day.
    pub(crate) fn three_files(&mut self) {
        for (nth, rows) in [20, 10, 15].into_iter().enumerate() {
            self.arrive(&format!("2025-11-24-{nth}.csv"), rows);
        }
    }

    /// Waits until a runtime works: it holds its lock, and the guard runs.
    #[track_caller]
    pub(crate) fn is_up(&self, runtime: &mut Running) {
        let lock = format!("{}-", runtime.pid());
        wait_for(LONG, "the runtime works", || {
            assert!(runtime.poll().is_none(), "it ended:\n{}", runtime.stderr());
            let locks = files_below(&self.project.join("data/.handover/locks"));
            let is_its = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(&lock);
            (locks.iter().any(is_its) && !children(runtime.pid()).is_empty()).then_some(())
        });
    }

    /// Starts `run --once` with a fault, which must end it by SIGKILL.
    #[track_caller]
    pub(crate) fn killed_at(&self, fault: &str) {
        let mut run = self.project.start_with_fault(&["run", "--once"], fault);
        let status = run.end_within(LONG);
        assert!(was_killed(status), "{fault} never came by: {status}\n{}", run.stderr());
    }

    /// Runs once to the end, which must be a good one.
    #[track_caller]
    pub(crate) fn run_once(&self) -> Running {
        let mut run = self.project.start(&["run", "--once"]);
        let status = run.end_within(LONG);
        assert!(status.success(), "run --once: {status}\n{}\n{}", run.stdout(), run.stderr());
        run
    }
}
