//! The database door, driven as the binary that people run, and by programs that know nothing of it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod bad_input;
mod bulk;
mod housekeeping;
mod plain_sql;
mod pulling;

use serde_json::Value;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder with a project in it, removed in the end.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Two apps that work on files, so that nobody here takes their records.
const CONFIG: &str = "apps:\n  \
    importer: { uses: file-importer, with: { from: ., pattern: '*.none', type: t } }\n  \
    billing: { run: cat }\n  \
    shipping: { run: cat, retries: 0 }\nflows: { f: importer -> billing, g: importer -> shipping }\n";

impl Place {
    pub(crate) fn new() -> Self {
        Self::with(CONFIG)
    }

    pub(crate) fn with(config: &str) -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        place.write("handover.yaml", config);
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handover"));
        command.args(words).current_dir(self.path()).env("USER", "tester");
        command.env_remove("HANDOVER_CONFIG_FILE").stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Answer {
        self.command(words).output().unwrap().into()
    }

    /// Runs a command with this on its standard input.
    pub(crate) fn fed(&self, words: &[&str], input: impl AsRef<[u8]>) -> Answer {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.as_ref().to_vec();
        let feeding = std::thread::spawn(move || {
            // A command that ends early does not read to the end.
            let _ = stdin.write_all(&input);
        });
        let answer = child.wait_with_output().unwrap().into();
        feeding.join().unwrap();
        answer
    }

    #[track_caller]
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let answer = self.run(words);
        assert_eq!(answer.code, 0, "{words:?}: {}{}", answer.out, answer.err);
        answer.out
    }

    #[track_caller]
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let text = self.ok(&[words, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{words:?}: {e}: {text}"))
    }

    /// Pushes these lines to billing.
    #[track_caller]
    pub(crate) fn push(&self, lines: &str) {
        let answer = self.fed(&["push", "--from", "shop", "--to", "billing"], lines);
        assert_eq!(answer.code, 0, "{answer:?}");
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.path().join("data/.handover/ledger.db")
    }

    pub(crate) fn sql(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.ledger()).unwrap();
        connection.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
        connection
    }

    /// The answer of a query that gives one number.
    pub(crate) fn number(&self, query: &str) -> i64 {
        self.sql().query_row(query, [], |row| row.get(0)).unwrap()
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The lines of what `pull` prints.
pub(crate) fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
