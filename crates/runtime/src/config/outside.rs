//! What a configuration needs of the machine: programs that exist, folders that are there. `check` says it, `run`
//! finds it out for itself, because it may change at any time.

use super::Config;
use super::app::Runs;
use super::builtin::{BuiltIn, refuse};
use super::error::Problem;
use super::report::Report;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

impl Config {
    /// What the machine lacks: warnings for a program that is not in `PATH` and a folder that does not exist, errors
    /// for a schema or a reference that a built-in app cannot start with.
    pub fn check_environment(&self) -> Vec<Problem> {
        self.check_environment_in(std::env::var_os("PATH").as_deref())
    }

    fn check_environment_in(&self, path: Option<&OsStr>) -> Vec<Problem> {
        let mut report = Report::new(&self.document);
        for app in &self.apps {
            let at = ["apps", app.name.as_str()];
            match &app.runs {
                Runs::Program(program) => {
                    let Some(word) = program.name() else { continue };
                    if let Err((message, hint)) = find(word, &self.base, path) {
                        report.word(&[at[0], at[1], "run"], word, 0, message).help(hint).warning();
                    }
                }
                Runs::BuiltIn(builtin) => self.check_builtin(&mut report, &at, builtin),
                Runs::Service { .. } => {}
            }
        }
        let mut problems = report.problems;
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems
    }

    fn check_builtin(&self, report: &mut Report<'_>, at: &[&str], builtin: &BuiltIn) {
        if matches!(builtin, BuiltIn::Importer(_)) {
            for (key, folder) in builtin.folders() {
                let path: Vec<&str> = at.iter().copied().chain(key.iter().map(String::as_str)).collect();
                if !self.base.join(&folder).is_dir() {
                    report
                        .value(&path, format!("the folder `{}` does not exist yet", folder.display()))
                        .help("make it; until then there is nothing to import")
                        .warning();
                }
            }
        }
        if let Err(error) = builtin.try_start(&self.base) {
            refuse(report, at, &error);
        }
    }
}

/// Where a program's file is, as the system would look for it from `base`.
fn find(word: &str, base: &Path, path: Option<&OsStr>) -> Result<PathBuf, (String, String)> {
    if word.contains('/') {
        let file = base.join(word);
        if !file.exists() {
            return Err((
                format!("the program `{word}` does not exist"),
                "paths are relative to handover.yaml".to_owned(),
            ));
        }
        return if is_program(&file) {
            Ok(file)
        } else {
            Err((format!("`{word}` is not executable"), format!("chmod +x {word}")))
        };
    }
    let folders = path.map(std::env::split_paths).into_iter().flatten();
    let found = folders.map(|folder| folder.join(word)).find(|file| is_program(file));
    found.ok_or_else(|| {
        let hint = if is_program(&base.join(word)) {
            format!("it lies beside handover.yaml: write ./{word}")
        } else {
            "install it, or write its path".to_owned()
        };
        (format!("there is no program `{word}` in PATH"), hint)
    })
}

fn is_program(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
