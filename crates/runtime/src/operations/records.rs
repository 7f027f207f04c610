//! Records by hand: who they may go to, who takes them, and how those that were answered by a token count.

use crate::config::{ClaimBy, UnknownApps};
use crate::meter::{self, Ended, Volume};
use crate::project::Project;
use handover_core::{DeliveryId, Error, Kind, Result, suggest};
use handover_ledger::Answered;

/// Tells the ledger how the records of the declared apps are claimed, or of this one alone. Of others it stays as it is.
///
/// # Errors
/// Where the ledger cannot be used.
pub async fn tell_claims(project: &Project, actor: &str, only: Option<&str>) -> Result<()> {
    let apps = project.config.apps.iter().filter(|app| only.is_none_or(|only| app.name.as_str() == only));
    let (lanes, usual): (Vec<_>, Vec<_>) = apps.partition(|app| app.claim == ClaimBy::Lanes);
    let names = |apps: Vec<&std::sync::Arc<crate::config::App>>| {
        apps.into_iter().map(|app| app.name.to_string()).collect()
    };
    project.ledger.claim_by(actor, names(lanes), names(usual)).await
}

/// Checks the app that records are to go to, or are wanted for: a declared one, unless the configuration or the caller
/// takes any.
///
/// # Errors
/// [`handover_core::ErrorKind::Config`] naming the nearest declared app.
pub fn require_target(project: &Project, app: &str, accept: bool) -> Result<()> {
    let config = &project.config;
    if accept || config.unknown_apps == UnknownApps::Accept || config.app(app).is_some() {
        return Ok(());
    }
    let names = || config.apps.iter().map(|app| app.name.as_str());
    let near = match (suggest::nearest(app, names()), names().next()) {
        (Some(near), _) => format!("did you mean `{near}`? Otherwise "),
        (None, Some(_)) => format!("the apps are: {}; ", names().collect::<Vec<_>>().join(", ")),
        (None, None) => String::new(),
    };
    let rest = "declare it, or take records for any app: `unknown_apps: accept` in handover.yaml, or --accept-unknown";
    Err(Error::config(format!("there is no app `{app}` in {}", config.shown_name()))
        .hint(format!("{near}{rest}")))
}

/// The same for those who take records: an app of the past, which the ledger knows, may still have some.
///
/// # Errors
/// As [`require_target`], and where the ledger cannot be read.
pub async fn require_source(project: &Project, app: &str, accept: bool) -> Result<()> {
    match require_target(project, app, accept) {
        Err(error) if project.ledger.counts().await?.iter().all(|count| count.app != app) => Err(error),
        _ => Ok(()),
    }
}

/// Counts what was answered by a token: all of one claim, and so of one app and kind, which the first tells. How long it took is
/// counted where one was answered; of many it is not read.
///
/// # Errors
/// Where the ledger cannot be read.
pub async fn count_answered(project: &Project, answered: &[(DeliveryId, Answered)]) -> Result<()> {
    let Some((first, _)) = answered.first().filter(|_| project.meter.is_on()) else { return Ok(()) };
    let Some(first) = project.ledger.get(*first).await? else { return Ok(()) };
    let app = first.target_app.clone().unwrap_or_default();
    let rows = |count: u64| if first.kind == Kind::Record { count } else { 0 };
    if let [(_, Answered::Completed(_))] = answered {
        let volume = Volume { rows_in: rows(1), bytes: meter::bytes_of(&first), ..Volume::default() };
        let took = meter::age(&first, first.processed_at.unwrap_or(first.created_at));
        project.meter.ended(&app, first.kind, Ended::Completed, Some(took), volume);
        return Ok(());
    }
    let count = |ended: Ended| {
        let so = answered.iter().filter(|(_, answered)| match answered {
            Answered::Completed(_) => ended == Ended::Completed,
            Answered::Failed(failed) => ended == Ended::after(failed.status),
            Answered::Stale(_) => false,
        });
        so.count() as u64
    };
    for ended in [Ended::Completed, Ended::Failed, Ended::Retried] {
        let of = count(ended);
        let read = if ended == Ended::Retried { 0 } else { rows(of) };
        let volume = Volume { rows_in: read, ..Volume::default() };
        project.meter.ended_together(&app, first.kind, ended, of, volume);
    }
    Ok(())
}
