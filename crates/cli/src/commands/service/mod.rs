//! `handover service`: `handover run` as a service of systemd.
//!
//! Invariants: a unit that somebody else wrote is neither replaced nor removed unless `--force` says so, and one of another
//! project is not taken for this one's; a unit is written whole or not at all; nothing is started unless `--now` says so.

mod place;
mod systemd;
mod unit;

use super::{Start, shown};
use crate::printer::Outcome;
use handover_core::{Error, Result};
use handover_file::{AtomicFile, make_dirs, remove_file};
use place::Service;
use serde_json::json;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use systemd::Manager;
use unit::Owner;

const HELP: &str = "\
The unit runs `handover run` for the project here (or the one of --config), starts it again when it fails, and asks it to stop \
before its programs. A user writes a unit of their own, root one of the system, which runs as the owner of the project's folder.

Examples:
  handover service install --dry-run     the unit, on stdout
  handover service install --now         write it, start it, and start it with the machine
  handover service status
  handover service uninstall";

/// The arguments of `service`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: ServiceCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ServiceCommand {
    /// Write a systemd unit, and say what it is and how it is started
    Install(InstallArgs),
    /// Stop it, and remove its unit
    Uninstall(UninstallArgs),
    /// Whether there is a unit, whether it is up to date, and whether it runs
    Status(PlaceArgs),
}

#[derive(Debug, clap::Args)]
struct PlaceArgs {
    /// A unit of this user [default, unless this is root]
    #[arg(long)]
    user: bool,
    /// A unit of the machine
    #[arg(long, conflicts_with = "user")]
    system: bool,
    /// The unit's name [default: handover- and the name of the project's folder]
    #[arg(long, value_name = "NAME", value_parser = unit_name)]
    name: Option<String>,
}

#[derive(Debug, clap::Args)]
struct InstallArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Whom a unit of the machine runs as [default: the owner of the project's folder]
    #[arg(long, value_name = "USER", value_parser = user_name)]
    run_as: Option<String>,
    /// Print the unit, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Start it too, and let it start with the machine, or with the first login of its user
    #[arg(long, conflicts_with = "dry_run")]
    now: bool,
    /// Replace a unit of this name that somebody else wrote
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
struct UninstallArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Remove a unit of this name that somebody else wrote, or that cannot be stopped
    #[arg(long)]
    force: bool,
}

/// Runs it.
pub(crate) fn run(start: &Start, args: &Args) -> Outcome {
    if !cfg!(target_os = "linux") {
        return Err(Error::config("services are written for systemd, on Linux; launchd has no support here")
            .hint("let your service manager run `handover run` in the project's folder")
            .into());
    }
    match &args.command {
        ServiceCommand::Install(args) => install(start, args),
        ServiceCommand::Uninstall(args) => uninstall(start, args),
        ServiceCommand::Status(args) => status(start, args),
    }
}

/// A name that systemd takes, without its ending.
fn unit_name(text: &str) -> Result<String, String> {
    let name = text.strip_suffix(".service").unwrap_or(text);
    let fine = !name.is_empty()
        && name.len() <= 200
        && !name.starts_with(['.', '-'])
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if fine { Ok(name.to_owned()) } else { Err("use letters, digits, `-`, `_` and `.`".to_owned()) }
}

fn user_name(text: &str) -> Result<String, String> {
    let fine = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if fine { Ok(text.to_owned()) } else { Err("this is no name of a user".to_owned()) }
}

fn install(start: &Start, args: &InstallArgs) -> Outcome {
    let service = Service::of(start, &args.place)?;
    let text = service.text(args.run_as.as_deref())?;
    if args.dry_run {
        if start.printer.is_json() {
            start
                .printer
                .json(&json!({ "unit": service.name, "file": service.file, "text": text, "written": false }));
        } else {
            start.printer.data(text.trim_end());
            start.printer.talk(format_args!("this would be {}", shown(&service.file)));
        }
        return Ok(ExitCode::SUCCESS);
    }
    if service.manager == Manager::System && !rustix::process::geteuid().is_root() {
        return Err(Error::config("a unit of the machine is written by root")
            .hint("sudo does it; without `--system` it is a unit of this user")
            .into());
    }
    let present = service.present()?;
    if let Some((_, owner)) = present.as_ref().filter(|(_, owner)| *owner != Owner::Ours && !args.force) {
        return Err(service.refuse(owner, "replaced").into());
    }
    let changed = present.as_ref().is_none_or(|(there, _)| *there != text);
    if changed {
        write(&service.file, &text)?;
    }
    let started = if args.now { Some(begin(&service)?) } else { None };
    if start.printer.is_json() {
        start.printer.json(&json!({
            "unit": service.name, "file": service.file, "text": text, "written": changed, "started": started.is_some(),
        }));
        return Ok(ExitCode::SUCCESS);
    }
    let printer = start.printer;
    printer.data(match (changed, &present) {
        (false, _) => format!("The unit is as it should be: {}", shown(&service.file)),
        (true, Some(_)) => format!("Replaced {}", shown(&service.file)),
        (true, None) => format!("Wrote {}", shown(&service.file)),
    });
    for line in text
        .lines()
        .filter(|line| ["User=", "WorkingDirectory=", "ExecStart="].iter().any(|k| line.starts_with(k)))
    {
        printer.data(format_args!("  {line}"));
    }
    printer.data(match started {
        Some(()) => "\nIt runs, and starts by itself from now on.".to_owned(),
        None => format!(
            "\nIt is not started yet:\n  {}\n  {}",
            service.manager.systemctl("daemon-reload"),
            service.manager.systemctl(&format!("enable --now {}", service.name))
        ),
    });
    hints(start, &service);
    Ok(ExitCode::SUCCESS)
}

/// How it is looked at, and what to know.
fn hints(start: &Start, service: &Service) {
    let (printer, manager, name) = (start.printer, service.manager, &service.name);
    printer.data(format_args!(
        "\nIts log:            {}\nHow it is:          {}\nAfter an edit of {}:  {}",
        manager.journal(name),
        manager.systemctl(&format!("status {name}")),
        shown(Path::new(service.config.file_name().unwrap_or_default())),
        manager.systemctl(&format!("reload {name}"))
    ));
    printer.data(format_args!(
        "Variables and passwords of its programs: {}, one NAME=value a line; nobody else should read it (chmod 600).",
        shown(&service.folder.join("handover.env"))
    ));
    if manager == Manager::User {
        printer.data("A user's services end with the last login, unless: loginctl enable-linger");
    }
    if !systemd::is_running() {
        printer.talk("note: systemd does not run this machine now, so nothing starts the unit here");
    }
}

fn write(file: &Path, text: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        make_dirs(folder)?;
    }
    let mut unit = AtomicFile::create(file)?;
    unit.write_all(text.as_bytes()).map_err(|e| Error::io("write", shown(file), e))?;
    unit.commit()
}

fn begin(service: &Service) -> Result<()> {
    let hint = |e: Error| {
        e.hint("the unit is written; what systemd says of it: `systemctl status`, `journalctl -xe`")
    };
    service.manager.ask(&["daemon-reload"]).map_err(hint)?;
    service.manager.ask(&["enable", "--now", &service.name]).map_err(hint).map(drop)
}

fn uninstall(start: &Start, args: &UninstallArgs) -> Outcome {
    let service = Service::of(start, &args.place)?;
    let Some((_, owner)) = service.present()? else {
        return Err(Error::not_found("there is no such unit: nothing was done")
            .on(shown(&service.file))
            .hint("`--name` names another, `--system` and `--user` say whose")
            .into());
    };
    if owner != Owner::Ours && !args.force {
        return Err(service.refuse(&owner, "removed").into());
    }
    let stopped = if systemd::is_running() {
        match service.manager.ask(&["disable", "--now", &service.name]) {
            Ok(_) => true,
            Err(e) if args.force => {
                start.printer.talk(format_args!("it could not be stopped: {e}"));
                false
            }
            Err(e) => {
                return Err(e.hint("the unit is left where it is; `--force` removes it all the same").into());
            }
        }
    } else {
        false
    };
    remove_file(&service.file)?;
    if systemd::is_running()
        && let Err(e) = service.manager.ask(&["daemon-reload"])
    {
        start.printer.talk(format_args!("note: {e}"));
    }
    if start.printer.is_json() {
        start.printer.json(&json!({ "unit": service.name, "file": service.file, "stopped": stopped }));
    } else {
        let stopped = if stopped { "Stopped it, and removed" } else { "Removed" };
        start.printer.data(format_args!("{stopped} {}. The project is as it was.", shown(&service.file)));
    }
    Ok(ExitCode::SUCCESS)
}

fn status(start: &Start, args: &PlaceArgs) -> Outcome {
    let service = Service::of(start, args)?;
    let present = service.present()?;
    let unit = match &present {
        None => "missing",
        Some((_, Owner::Foreign)) => "foreign",
        Some((_, Owner::AnotherProject(_))) => "another project's",
        Some((text, Owner::Ours)) => {
            let user = text.lines().find_map(|line| line.strip_prefix("User="));
            if service.text(user)? == *text { "up to date" } else { "changed" }
        }
    };
    let (enabled, active) = if present.is_some() && systemd::is_running() {
        (service.manager.word("is-enabled", &service.name), service.manager.word("is-active", &service.name))
    } else {
        ("unknown".to_owned(), "unknown".to_owned())
    };
    let printer = start.printer;
    if printer.is_json() {
        printer.json(&json!({
            "unit": service.name, "file": service.file, "state": unit, "enabled": enabled, "active": active,
            "systemd": systemd::is_running(),
        }));
        return Ok(ExitCode::SUCCESS);
    }
    let said = match unit {
        "missing" => "there is none: `handover service install` writes it",
        "foreign" => "somebody else wrote it",
        "another project's" => "it belongs to another project: `--name` chooses another name",
        "changed" => {
            "it is not what `handover service install` would write now: it was changed by hand, or the program or project moved"
        }
        _ => "it is as `handover service install` wrote it",
    };
    printer.data(format_args!(
        "{}\n  unit     {said}\n  enabled  {enabled}\n  active   {active}",
        shown(&service.file)
    ));
    if present.is_some() {
        printer.data(format_args!("  log      {}", service.manager.journal(&service.name)));
    }
    if !systemd::is_running() {
        printer.talk("note: systemd does not run this machine now");
    }
    Ok(ExitCode::SUCCESS)
}
