//! What a configuration needs of the machine: programs that exist, folders that are there and can be written. `check` says it, `run`
//! finds it out for itself, because it may change at any time.

use super::Config;
use super::app::Runs;
use super::builtin::{BuiltIn, refuse};
use super::error::Problem;
use super::report::Report;
use super::settings::LedgerAddress;
use crate::project::Project;
use handover_apps::validator::JsonSchema;
use handover_ledger::postgres::{PostgresLedger, SchemaState};
use handover_service::TlsFiles;
use rustix::fs::{Access, access};
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

impl Config {
    /// What the machine lacks: warnings for a program that is not in `PATH`, a folder that does not exist or cannot be
    /// written, errors for a schema or a reference that a built-in app cannot start with; and, as a notice, how a program
    /// is run that nothing leads to.
    pub fn check_environment(&self) -> Vec<Problem> {
        self.check_environment_in(std::env::var_os("PATH").as_deref())
    }

    fn check_environment_in(&self, path: Option<&OsStr>) -> Vec<Problem> {
        let mut report = Report::new(&self.document);
        for app in &self.apps {
            let at = ["apps", app.name.as_str()];
            if let Some(Err(error)) =
                app.job.config.as_ref().map(|schema| JsonSchema::new(schema, &self.base))
            {
                let problem = report.value(&[at[0], at[1], "job", "config"], error.to_string());
                problem.maybe_help(error.hint_text().map(|hint| hint.replace("`schema:`", "`config:`")));
            }
            match &app.runs {
                Runs::Program(program) => {
                    let Some(word) = program.name() else { continue };
                    if let Err((message, hint)) = find(word, &self.base, path) {
                        report.word(&[at[0], at[1], "run"], word, 0, message).help(hint).warning();
                    }
                    if self.api.is_none()
                        && app.schedule.is_none()
                        && !self.flows.iter().any(|flow| flow.apps().contains(&app.name))
                    {
                        let message = format!("the app `{}` stands in no flow and has no schedule", app.name);
                        let hint = format!("`handover work {} --once` runs it, once each time", app.name);
                        report.key(&at, message).help(hint).notice();
                    }
                }
                Runs::BuiltIn(builtin) => self.check_builtin(&mut report, &at, builtin),
                Runs::Service(service) => {
                    let Some(tls) = &service.tls else { continue };
                    check_client(&mut report, tls, [at[0], at[1], "tls", "server_name"]);
                }
            }
        }
        self.check_ledger(&mut report);
        self.check_tls(&mut report);
        for (nth, target) in self.targets.iter().enumerate() {
            let Some(tls) = &target.tls else { continue };
            check_client(&mut report, tls, ["notify", &nth.to_string(), "tls", "server_name"]);
        }
        let mut problems = report.problems;
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems
    }

    /// Whether what the API would show is there.
    fn check_tls(&self, report: &mut Report<'_>) {
        let tls = self.api.as_ref().and_then(|api| api.tls.as_ref());
        if let Some(Err((key, error))) = tls.map(super::ApiTls::load) {
            let problem = report.value(&["api", "tls", key], error.to_string());
            problem.maybe_help(error.hint_text().map(str::to_owned));
        }
    }

    /// Whether a ledger on PostgreSQL can be reached, and how its schema stands; and of any whether the data directory is its
    /// own. The embedded one is made where it is missing, and its folder is tried out with the data directory.
    fn check_ledger(&self, report: &mut Report<'_>) {
        let LedgerAddress::Postgres(url) = &self.ledger else { return self.check_bound(report) };
        let state = match PostgresLedger::schema_state(url.expose()) {
            Ok(state) => state,
            Err(error) => return refused(report, &error),
        };
        if (self.migrate || state == SchemaState::Current)
            && let Err(error) = PostgresLedger::check_rights(url.expose(), state)
        {
            return refused(report, &error);
        }
        if state == SchemaState::Missing
            && let Err(error) = Project::check_bound(self)
        {
            return refused(report, &error);
        }
        let said = match state {
            SchemaState::Current => return self.check_bound(report),
            SchemaState::Missing => "the ledger's schema is not there yet".to_owned(),
            SchemaState::Behind(1) => "the ledger's schema is behind by 1 migration".to_owned(),
            SchemaState::Behind(lacking) => format!("the ledger's schema is behind by {lacking} migrations"),
            SchemaState::Ahead { has, knows } => {
                let message = format!("the ledger has schema {has}, and this Handover knows up to {knows}");
                report.value(&["ledger"], message).help("a newer Handover has used it: update this one");
                return;
            }
        };
        if self.migrate {
            report
                .value(&["ledger"], said)
                .help("`handover run` brings it up to date when it starts")
                .notice();
        } else {
            report
                .value(&["ledger"], said)
                .help("`migrate: false` is set: let one `handover run` without it bring it up to date");
        }
    }

    /// Whether the data directory is this ledger's own.
    fn check_bound(&self, report: &mut Report<'_>) {
        if let Err(error) = Project::check_bound(self) {
            refused(report, &error);
        }
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
        if matches!(builtin, BuiltIn::Exporter(_)) {
            for (key, folder) in builtin.folders() {
                let path: Vec<&str> = at.iter().copied().chain(key.iter().map(String::as_str)).collect();
                if let Some((message, hint)) = not_writable(&self.base.join(&folder), &folder) {
                    report.value(&path, message).help(hint).warning();
                }
            }
        }
        if let Err(error) = builtin.try_start(&self.base) {
            refuse(report, at, &error);
        }
    }
}

/// The ledger will not do, for this reason.
fn refused(report: &mut Report<'_>, error: &handover_core::Error) {
    report.value(&["ledger"], error.to_string()).maybe_help(error.hint_text().map(str::to_owned));
}

/// What keeps exports from being written into a folder; one that is not there is made, if it can be.
fn not_writable(folder: &Path, shown: &Path) -> Option<(String, String)> {
    let shown = shown.display();
    let there = folder.ancestors().find(|path| path.symlink_metadata().is_ok())?;
    if !there.is_dir() {
        let message = format!("`{shown}` cannot be a folder: {} is none", there.display());
        return Some((message, "choose another folder for exports".to_owned()));
    }
    access(there, Access::WRITE_OK | Access::EXEC_OK).is_err().then(|| {
        let message = if there == folder {
            format!("the folder `{shown}` cannot be written")
        } else {
            format!("the folder `{shown}` cannot be made in {}", there.display())
        };
        (
            message,
            "give the user that runs handover the right to write there; until then exports fail".to_owned(),
        )
    })
}

/// Whether connections can be made with what `tls:` says; `at` is where its `server_name` is.
fn check_client(report: &mut Report<'_>, tls: &TlsFiles, at: [&str; 4]) {
    for (at, checked) in [(&at[..3], tls.check_files()), (&at[..], tls.check_name())] {
        let Err(error) = checked else { continue };
        report.key(at, error.to_string()).maybe_help(error.hint_text().map(str::to_owned));
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
