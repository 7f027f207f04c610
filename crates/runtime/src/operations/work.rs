//! Working for one app by hand: its command replaced for this once, and a source program given a job.

use crate::config::{App, Config, Program, Runs};
use crate::engine::job_for;
use crate::project::Project;
use handover_core::{DeliveryId, Error, Result};

/// The configuration with another command for this app.
///
/// # Errors
/// [`handover_core::ErrorKind::Config`] where the app is no console program, or the command will not do.
pub fn with_command(mut config: Config, app: &str, words: &[String]) -> Result<Config> {
    let declared = config.require_app(app)?;
    let Runs::Program(program) = &declared.runs else {
        return Err(Error::config(format!(
            "app `{app}` is no console program: its command cannot be replaced"
        ))
        .hint("declare an app with `run:` and give its name"));
    };
    let line = shlex::try_join(words.iter().map(String::as_str))
        .map_err(|e| Error::config("the command will not do").because(e))?;
    let mut new = Program::new(&line, false)?;
    // What the declaration says of the output holds, unless the command names a path for it.
    if new.output == crate::config::Output::Stdout {
        new.output = program.output;
    }
    new.mode = program.mode;
    config.apps = config
        .apps
        .iter()
        .map(|declared| {
            let mut declared = App::clone(declared);
            if declared.name.as_str() == app {
                declared.runs = Runs::Program(new.clone());
            }
            declared
        })
        .collect();
    Ok(config)
}

/// Whether the app is a program that nothing leads to and no clock starts: it runs when it is asked to.
pub fn runs_when_asked(config: &Config, app: &App) -> bool {
    let led_to = config.flows.iter().any(|flow| flow.links.iter().any(|link| link.to == app.name));
    app.program().is_some() && app.schedule.is_none() && !led_to
}

/// Gives such a program a job.
///
/// # Errors
/// Where the ledger cannot be used.
pub async fn push_job(project: &Project, actor: &str, app: &App) -> Result<Option<DeliveryId>> {
    let today = project.clock.now().to_zoned(project.config.timezone.clone()).date();
    let job = job_for(&project.config.routes(), app, today, None)?;
    let pushed = project.ledger.push(actor, vec![job]).await?;
    Ok(pushed.first().map(|pushed| pushed.id()))
}
