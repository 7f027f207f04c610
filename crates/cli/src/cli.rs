//! The command line, as it is parsed. What the commands make of it is in [`crate::commands`].

use crate::commands;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// The options of every command stand together in each help text.
const GLOBAL: &str = "Global options";

/// Hands data from one console program to the next: atomic, checked, replayable, observable.
#[derive(Debug, Parser)]
#[command(name = "handover", version, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// The configuration [default: $HANDOVER_CONFIG_FILE, or handover.yaml here or in a folder above]
    #[arg(short, long, global = true, help_heading = GLOBAL, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON wherever a person would see a table
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) json: bool,
    /// Say more in the log: -v what happens, -vv everything
    #[arg(short, long, global = true, help_heading = GLOBAL, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands, in the order in which a person meets them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch three months of real flights go through a whole flow
    Demo(commands::demo::Args),
    /// Make a small working project
    Init(commands::init::Args),
    /// Which pattern a link should have, and why
    Advise(commands::advise::Args),
    /// Whether the configuration is right and the machine has what it needs
    Check(commands::check::Args),
    /// Work: watch folders, run apps, hand files over, until stopped
    Run(commands::run::Args),
    /// Publish a file by hand as an app's output
    Put(commands::put::Args),
    /// Hand records over in bulk, as lines of JSON or rows of a table
    Push(commands::push::Args),
    /// Take records of an app, with a token to answer by
    Pull(commands::pull::Args),
    /// Complete what was pulled
    Ack(commands::ack::Args),
    /// Say that what was pulled failed
    Fail(commands::fail::Args),
    /// Keep what was pulled for longer
    Extend(commands::extend::Args),
    /// Work for one app alone, with its own command or another
    Work(commands::work::Args),
    /// How everything stands: apps, processes, disk, ledger
    Status(commands::status::Args),
    /// Whether all is well: exit code 0, 1 or 2
    Health(commands::health::Args),
    /// Deliveries, newest first
    List(commands::list::Args),
    /// Everything of one delivery: files, rows, attempts, history, lineage
    Show(commands::show::Args),
    /// Why a file, a delivery or an app stands where it stands, and what to do
    Why(commands::why::Args),
    /// Run deliveries of the past again
    Replay(commands::replay::Args),
    /// Try failed deliveries again
    Retry(commands::retry::Args),
    /// End deliveries that have not ended
    Cancel(commands::by_hand::CancelArgs),
    /// Bring deleted deliveries back
    Restore(commands::by_hand::RestoreArgs),
    /// Begin nothing more of an app
    Pause(commands::by_hand::PauseArgs),
    /// Let a paused app go on
    Resume(commands::by_hand::ResumeArgs),
    /// Compress old files and put them out of the way
    Archive(commands::archive::Args),
    /// What is wrong now, since when, and who was told
    Alerts(commands::alerts::Args),
    /// Who did what, and when
    Audit(commands::audit::Args),
    /// Compare files with their manifests, in any folder
    Verify(commands::verify::Args),
    /// Who may ask over the network: API keys
    Keys(commands::keys::Args),
    /// Let systemd run it
    Service(commands::service::Args),
    /// Move the history to another ledger
    Ledger(commands::ledger::Args),
    /// Run a built-in app by itself, as an ordinary console program
    App(commands::app::AppArgs),
    /// The OpenAPI document of the API
    Openapi(commands::openapi::Args),
    /// The JSON Schema of handover.yaml, for editors
    Schema(commands::schema::Args),
    /// What a shell needs to complete commands
    Completions(commands::completions::Args),
    /// All commands as Markdown
    #[command(hide = true)]
    Reference,
    /// The process that keeps programs in hand; `run` starts it by itself
    #[command(hide = true)]
    Guard,
}
