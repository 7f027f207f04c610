//! `handover check`: whether the configuration is right and the machine has what it needs.

use super::{Start, shown_here};
use crate::printer::{Outcome, Printer};
use handover_core::units::format_size;
use handover_file::probe::{Probe, probe};
use handover_runtime::Built;
use handover_runtime::config::{App, BuiltIn, Config, ConfigError, Problem, Runs, Severity};
use handover_runtime::operations::picture::picture;
use handover_runtime::operations::times::count;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "\
Reads the configuration, starts the built-in apps with their schemas and references without running them, looks for \
programs and folders, asks whether the data directory is that of its ledger, and tries out what its disk can do. Nothing is \
left behind. Exit codes: 0 nothing is wrong, perhaps with warnings or notices; 2 it cannot be run.

Examples:
  handover check
  handover check -c staging.yaml";

/// The arguments of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {}

/// Checks it.
pub(crate) fn run(start: &Start, _: Args) -> Outcome {
    let config = start.config()?;
    let mut problems: Vec<Problem> = config.notices().to_vec();
    problems.extend(config.check_environment());
    if !has_errors(&problems)
        && let Err(error) = Built::new(&config)
    {
        let problem = Problem::whole(error.to_string());
        problems.push(match error.hint_text() {
            Some(hint) => problem.hint(hint),
            None => problem,
        });
    }
    problems.sort_by_key(|problem| (problem.line, problem.column));
    let probe = probe(&config.data, &watched(&config));
    if start.printer.is_json() {
        print_json(start.printer, &config, &problems, &probe);
    } else {
        print(start.printer, &config, &problems, &probe)?;
    }
    let fine = !has_errors(&problems) && probe.writable;
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

fn has_errors(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

/// The folders that importers watch and that are there; one that is not has its own warning.
fn watched(config: &Config) -> Vec<PathBuf> {
    let importers = config.apps.iter().filter_map(|app| match &app.runs {
        Runs::BuiltIn(BuiltIn::Importer(with)) => with.sources(&config.base).ok(),
        _ => None,
    });
    let mut folders: Vec<PathBuf> =
        importers.flatten().map(|source| source.from).filter(|from| from.is_dir()).collect();
    folders.dedup();
    folders
}

fn print(printer: Printer, config: &Config, problems: &[Problem], probe: &Probe) -> Result<(), ConfigError> {
    let name = super::shown(&config.file);
    let (errors, others): (Vec<Problem>, Vec<Problem>) =
        problems.iter().cloned().partition(|problem| problem.severity == Severity::Error);
    if !errors.is_empty() {
        printer.talk(config.render(&errors).trim_end());
        printer.talk(format_args!("\n{name} cannot be run: {}", count(errors.len() as u64, "error")));
        return Ok(());
    }
    let (apps, flows) = (config.apps.iter().count() as u64, config.flows.len() as u64);
    let verdict = match probe.writable {
        true => "is fine",
        false => "is well written, but its data directory cannot be written",
    };
    printer.data(format_args!("{name} {verdict}: {}, {}", count(apps, "app"), count(flows, "flow")));
    for flow in &config.flows {
        printer.data(format_args!(
            "\n{}{}",
            flow.name,
            flow.description.as_ref().map(|d| format!(": {d}")).unwrap_or_default()
        ));
        picture(flow).iter().for_each(|line| printer.data(format_args!("  {line}")));
    }
    services(printer, config);
    printer.data(format_args!("\ndata directory {}: {}", shown_here(&config.data), disk(probe)));
    if !others.is_empty() || !probe.weaknesses.is_empty() {
        printer.talk("");
    }
    if !others.is_empty() {
        printer.talk(config.render(&others).trim_end());
    }
    let grade = if probe.writable { "notice" } else { "error" };
    for weakness in &probe.weaknesses {
        printer.talk(format_args!("{grade}: {weakness}"));
    }
    Ok(())
}

/// The service apps with where they are reached.
fn services(printer: Printer, config: &Config) {
    let mut first = true;
    for app in &config.apps {
        let Runs::Service(service) = &app.runs else { continue };
        if std::mem::take(&mut first) {
            printer.data("\nservice apps");
        }
        for group in &service.groups {
            let version = group.version.as_ref().map(|version| format!("/{version}")).unwrap_or_default();
            let at: Vec<String> = group.upstreams.iter().map(ToString::to_string).collect();
            printer.data(format_args!("  {}{version}: {}", app.name, at.join(", ")));
        }
    }
}

/// The same for programs.
fn upstreams(app: &App) -> Option<Value> {
    let Runs::Service(service) = &app.runs else { return None };
    let groups = service.groups.iter().map(|group| {
        let at: Vec<String> = group.upstreams.iter().map(ToString::to_string).collect();
        json!({ "version": group.version, "upstreams": at })
    });
    Some(groups.collect())
}

fn disk(probe: &Probe) -> String {
    let kind = &probe.filesystem.kind;
    let free =
        probe.filesystem.free_bytes.map(|free| format!(", {} free", format_size(free))).unwrap_or_default();
    let weak = if probe.weaknesses.is_empty() { "" } else { "; not all that it should (see below)" };
    if probe.writable { format!("{kind}{free}{weak}") } else { "it cannot be written".to_owned() }
}

fn print_json(printer: Printer, config: &Config, problems: &[Problem], probe: &Probe) {
    let severity = |severity: Severity| match severity {
        Severity::Notice => "notice",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    let problems: Vec<Value> = problems
        .iter()
        .map(|p| {
            json!({
                "severity": severity(p.severity), "path": p.path, "line": p.line, "column": p.column,
                "message": p.message, "hint": p.hint,
            })
        })
        .collect();
    let flows: Vec<Value> = config
        .flows
        .iter()
        .map(|flow| {
            let links: Vec<Value> = flow
                .links
                .iter()
                .map(|l| json!({"from": l.from, "to": l.to, "by": l.by.to_string()}))
                .collect();
            json!({"name": flow.name, "apps": flow.apps(), "links": links, "picture": picture(flow)})
        })
        .collect();
    let apps: Vec<Value> = config
        .apps
        .iter()
        .map(|app| json!({"name": app.name, "runs": kind(app), "folder": app.folder, "workers": app.workers, "retries": app.retries, "service": upstreams(app)}))
        .collect();
    let fine = problems.iter().all(|problem| problem["severity"] != "error") && probe.writable;
    printer.json(&json!({
        "file": super::shown(&config.file), "fine": fine, "apps": apps,
        "flows": flows, "problems": problems, "data": probe,
    }));
}

fn kind(app: &App) -> &'static str {
    match &app.runs {
        Runs::BuiltIn(_) => "built-in",
        Runs::Program(_) => "program",
        Runs::Service(_) => "service",
    }
}
