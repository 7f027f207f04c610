//! The commands that act, driven as the binary that people run: what they do, say, and answer as their exit code.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod advise;
mod answers;
mod apps;
mod by_hand;
mod crontab;
mod daemon;
mod demo;
mod files;
mod once;
mod output;
mod service;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder with a project in it, removed in the end.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

/// What a command answered.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// A folder with this configuration.
    pub(crate) fn with(config: &str) -> Self {
        let place = Self::empty();
        place.write("handover.yaml", config);
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// The names in a folder, sorted; none where it is not there.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path().join(folder)) else { return Vec::new() };
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A command of ours in this folder.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handover"));
        command.args(words).current_dir(self.path()).env("USER", "tester");
        command.env_remove("HANDOVER_CONFIG_FILE").stdin(Stdio::null());
        command
    }

    /// Runs a command of ours.
    pub(crate) fn run(&self, words: &[&str]) -> Answer {
        self.command(words).output().unwrap().into()
    }

    /// Runs a command that must succeed.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let answer = self.run(words);
        assert_eq!(answer.code, 0, "{words:?}: {}{}", answer.out, answer.err);
        answer.out
    }

    /// Runs a command with `--json` that must succeed.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let text = self.ok(&[words, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{words:?}: {e}: {text}"))
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

/// Two programs in a row, and one that fails; nothing watches, so that nothing has to settle.
pub(crate) const PROGRAMS: &str = r#"
apps:
  upper: { run: "tr a-z A-Z" }
  out:   { uses: file-exporter, with: { to: ./out } }
  spare: { run: cat }
  bad:   { run: "sh -c 'exit 65'" }
flows:
  text: upper -> out
  bad: spare -> bad
"#;
