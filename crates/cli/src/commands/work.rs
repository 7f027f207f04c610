//! `handover work`: works for one app alone.

use super::run::{Serve, serve};
use super::{Start, actor, block_on};
use crate::printer::Outcome;
use handover_runtime::Project;
use handover_runtime::config::{BuiltIn, Config, Runs};
use handover_runtime::engine::Options;
use handover_runtime::operations::work;

const HELP: &str = "\
Claims what waits for APP and runs it, as `handover run` does for all apps; nothing is watched. A COMMAND after `--` \
stands in for the app's own `run:`, with the same placeholders. Several may work for one app, on one machine. A program \
that no link leads to and no schedule starts is run once.

Examples:
  handover work scorer
  handover work scorer --once -- python3 -m pdb score.py {input}";

/// The arguments of `work`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The app
    app: String,
    /// End when nothing is runnable
    #[arg(long)]
    pub(crate) once: bool,
    /// What runs in place of the app's own command
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Works.
pub(crate) fn run(start: &Start, args: Args) -> Outcome {
    let name = args.app.clone();
    let config = changed(start.config()?, &args)?;
    let app = config.require_app(&name)?.clone();
    let project = Project::open(config)?;
    let asked = work::runs_when_asked(&project.config, &app);
    let once = args.once || asked;
    block_on(async {
        if asked && let Some(id) = work::push_job(&project, &actor(), &app).await? {
            start.printer.talk(format_args!("{name} has no input: it runs once, as delivery {id}"));
        }
        if matches!(&app.runs, Runs::BuiltIn(BuiltIn::Importer(_))) {
            start.printer.talk(format_args!(
                "{name} takes what has been noticed already: `handover run` watches its folders"
            ));
        }
        let reread = move |config: Config| changed(config, &args);
        serve(Serve {
            start: start.clone(),
            project,
            options: Options { only: Some(name), once },
            reread: Box::new(reread),
        })
        .await
    })?
}

/// The configuration with the command that was given, if one was.
fn changed(config: Config, args: &Args) -> Outcome<Config> {
    config.require_app(&args.app)?;
    if args.command.is_empty() {
        Ok(config)
    } else {
        Ok(work::with_command(config, &args.app, &args.command)?)
    }
}
