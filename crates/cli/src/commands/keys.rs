//! `handover keys`: who may ask over the network.

use super::{Start, actor, block_on, length, note};
use crate::printer::{Outcome, Printer};
use crate::table::{Cell, Column, Table, Tone};
use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use handover_api::auth::{self, Scope, Wanted};
use handover_core::{Error, Result, units};
use handover_ledger::{ApiKey, NewAction};
use handover_runtime::Project;
use handover_runtime::operations::{records, times};
use jiff::Timestamp;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
A key is shown once, when it is made: the ledger keeps a digest of it. Whoever has one asks with it:
  curl -H 'Authorization: Bearer ho_…' http://127.0.0.1:8080/api/v1/apps

Scopes: read (see apps, jobs, deliveries, fetch files), submit (submit jobs and see those, push and pull records, upload \
files), operate (read, cancel, retry, replay), admin (everything).

Examples:
  handover keys create shop --scope submit --app scorer --expires 90d
  handover keys list
  handover keys rotate 7k3v9q2m5x --grace 24h
  handover keys revoke 7k3v9q2m5x";

/// The arguments of `keys`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key, and show it this once
    Create(CreateArgs),
    /// The keys, with what they may do and when they were last used
    List,
    /// Make a key in place of another, which is worth nothing after a while
    Rotate(RotateArgs),
    /// Take the worth from keys, at once
    Revoke(RevokeArgs),
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// What it is for, or who has it
    name: String,
    /// What it may do; several with commas
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',', default_value = "read", value_parser = PossibleValuesParser::new(Scope::ALL.map(Scope::as_str)).try_map(|text| text.parse::<Scope>()))]
    scopes: Vec<Scope>,
    /// For this app alone; several with commas [default: all]
    #[arg(long = "app", value_name = "APP", value_delimiter = ',')]
    apps: Vec<String>,
    /// Worth nothing after so long: 90d [default: never]
    #[arg(long, value_name = "TIME", value_parser = length)]
    expires: Option<Duration>,
}

#[derive(Debug, clap::Args)]
struct RotateArgs {
    /// The key's id, as `list` shows it
    id: String,
    /// So long the old one goes on
    #[arg(long, value_name = "TIME", value_parser = length, default_value = "24h")]
    grace: Duration,
    /// The new one is worth nothing after so long [default: as long as the old one was made for]
    #[arg(long, value_name = "TIME", value_parser = length)]
    expires: Option<Duration>,
}

#[derive(Debug, clap::Args)]
struct RevokeArgs {
    /// Their ids, as `list` shows them
    #[arg(required = true)]
    ids: Vec<String>,
}

/// Does it.
pub(crate) fn run(start: &Start, args: Args) -> Outcome {
    let project = start.project()?;
    let printer = start.printer;
    match args.command {
        Command::Create(args) => create(&project, printer, args),
        Command::List => list(&project, printer),
        Command::Rotate(args) => rotate(&project, printer, &args),
        Command::Revoke(args) => revoke(&project, printer, &args),
    }
}

fn later(from: Timestamp, by: Duration) -> Result<Timestamp> {
    from.checked_add(by).map_err(|e| Error::config("that is too far ahead").because(e))
}

fn create(project: &Project, printer: Printer, args: CreateArgs) -> Outcome {
    let now = project.clock.now();
    for app in &args.apps {
        records::require_target(project, app, false)?;
    }
    let wanted = Wanted {
        name: args.name,
        scopes: args.scopes,
        apps: (!args.apps.is_empty()).then_some(args.apps),
        expires_at: args.expires.map(|expires| later(now, expires)).transpose()?,
    };
    let made = auth::make(wanted, now, &actor())?;
    block_on(async {
        project.ledger.add_key(made.key.clone()).await?;
        let said = format!("{}: {}", made.key.name, made.key.scopes.join(", "));
        note(project, "keys create", "create a key", of_key(&made.key.id, Some(said))).await
    })??;
    show_once(printer, &made.secret, &made.key);
    Ok(ExitCode::SUCCESS)
}

/// The key itself is data: it can be taken up by `$(…)`.
fn show_once(printer: Printer, secret: &str, key: &ApiKey) {
    if printer.is_json() {
        printer.json(&json!({ "secret": secret, "key": key }));
        return;
    }
    printer.data(secret);
    printer.talk(format_args!(
        "key {} of {}: {}. Keep it now: it is not shown again",
        key.id,
        key.name,
        key.scopes.join(", ")
    ));
}

fn list(project: &Project, printer: Printer) -> Outcome {
    let keys = block_on(project.ledger.keys())??;
    if printer.is_json() {
        printer.json(&keys);
        return Ok(ExitCode::SUCCESS);
    }
    if keys.is_empty() {
        printer.talk("no keys yet: `handover keys create NAME` makes one");
        return Ok(ExitCode::SUCCESS);
    }
    let now = project.clock.now();
    let zone = &project.config.timezone;
    let mut table = Table::new(&["id", "name", "scopes", "apps", "state", "last used"].map(Column::left));
    for key in keys {
        let (state, tone) = state(&key, now, |at| times::at(at, zone, now));
        let used = key.last_used_at.map_or_else(|| "never".to_owned(), |at| times::at(at, zone, now));
        table.cells([
            Cell::from(key.id),
            Cell::from(key.name),
            Cell::from(key.scopes.join(", ")),
            Cell::from(key.apps.map_or_else(|| "all".to_owned(), |apps| apps.join(", "))),
            Cell::toned(state, tone),
            Cell::from(used),
        ]);
    }
    printer.data(table);
    Ok(ExitCode::SUCCESS)
}

fn state(key: &ApiKey, now: Timestamp, shown: impl Fn(Timestamp) -> String) -> (String, Tone) {
    match (key.revoked_at, key.expires_at) {
        (Some(at), _) if at <= now => (format!("revoked {}", shown(at)), Tone::Dim),
        (_, Some(at)) if at <= now => (format!("expired {}", shown(at)), Tone::Dim),
        (Some(at), _) => (format!("until {}", shown(at)), Tone::Plain),
        (None, Some(at)) => (format!("until {}", shown(at)), Tone::Plain),
        (None, None) => ("valid".to_owned(), Tone::Plain),
    }
}

fn rotate(project: &Project, printer: Printer, args: &RotateArgs) -> Outcome {
    let now = project.clock.now();
    let keys = block_on(project.ledger.keys())??;
    let old = keys.into_iter().find(|key| key.id == args.id).ok_or_else(|| none(&args.id))?;
    if [old.revoked_at, old.expires_at].into_iter().flatten().any(|end| end <= now) {
        return Err(Error::config(format!("key {} is worth nothing any more", old.id))
            .hint("make a new one with `handover keys create`")
            .into());
    }
    let lasted = old.expires_at.map(|end| end.duration_since(old.created_at).unsigned_abs());
    let expires_at = args.expires.or(lasted).map(|expires| later(now, expires)).transpose()?;
    let scopes: Result<Vec<Scope>> = old.scopes.iter().map(|scope| scope.parse()).collect();
    let wanted = Wanted { name: old.name.clone(), scopes: scopes?, apps: old.apps.clone(), expires_at };
    let made = auth::make(wanted, now, &actor())?;
    let end = later(now, args.grace)?;
    block_on(async {
        project.ledger.add_key(made.key.clone()).await?;
        project.ledger.revoke_key(&old.id, end, Some(made.key.id.clone())).await?;
        note(project, "keys rotate", "rotate a key", of_key(&old.id, Some(format!("by {}", made.key.id))))
            .await
    })??;
    show_once(printer, &made.secret, &made.key);
    if !printer.is_json() {
        printer.talk(format_args!("key {} goes on for {}", old.id, units::format_duration(args.grace)));
    }
    Ok(ExitCode::SUCCESS)
}

/// Something done to a key.
fn of_key(id: &str, said: Option<String>) -> NewAction {
    NewAction { thing: Some(format!("key {id}")), note: said, ..NewAction::default() }
}

fn revoke(project: &Project, printer: Printer, args: &RevokeArgs) -> Outcome {
    for id in &args.ids {
        block_on(async {
            project.ledger.revoke_key(id, project.clock.now(), None).await?;
            note(project, "keys revoke", "revoke a key", of_key(id, None)).await
        })??;
        printer.talk(format_args!(
            "key {id} is worth nothing from now on: every process knows within two seconds"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn none(id: &str) -> Error {
    Error::not_found(format!("there is no key {id}")).hint("`handover keys list` shows the keys")
}
