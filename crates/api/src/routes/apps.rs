//! The apps, as they are declared, and how each stands.

use crate::auth::{Caller, Scope};
use crate::fault::Fault;
use crate::model::{AppList, AppStatusView, AppView, ErrorEnvelope, ServiceView, UpstreamView};
use crate::state::{Api, Current};
use axum::extract::{Path, State};
use axum::{Extension, Json};
use handover_core::Status;
use handover_runtime::config::{App, BuiltIn, Mode, Runs};
use handover_service::Service;

/// The apps that this key is for, in the order of the configuration.
#[utoipa::path(get, path = "/apps", tag = "apps", responses(
    (status = 200, body = AppList),
    (status = 401, body = ErrorEnvelope), (status = 403, body = ErrorEnvelope), (status = 429, body = ErrorEnvelope)
))]
pub(crate) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<AppList>, Fault> {
    if !caller.may(Scope::Submit) {
        caller.require(Scope::Read)?;
    }
    let current = api.current();
    let apps = current.project.config.apps.iter().filter(|app| caller.is_for(app.name.as_str()));
    Ok(Json(AppList { apps: apps.map(|app| view(&current, app)).collect() }))
}

fn view(current: &Current, app: &App) -> AppView {
    let (runs, takes_jobs) = match &app.runs {
        Runs::BuiltIn(BuiltIn::Importer(_)) => ("built-in", false),
        Runs::BuiltIn(_) => ("built-in", true),
        Runs::Program(program) if program.mode == Mode::Stream => ("stream", true),
        Runs::Program(_) => ("program", true),
        Runs::Service(_) => ("service", true),
    };
    AppView {
        name: app.name.to_string(),
        runs: runs.to_owned(),
        description: app.description.clone(),
        icon: app.icon.clone(),
        workers: app.workers,
        takes_jobs,
        config_schema: current.contracts.schema(app.name.as_str()).cloned(),
        input: app.job.input.clone(),
        output: app.job.output.clone(),
        idempotency_key_required: app.job.key_required,
        service: current.project.services.get(app.name.as_str()).map(|service| service_view(app, service)),
        next_run: app.schedule.as_ref().and_then(|schedule| schedule.next_after(current.project.clock.now())),
    }
}

fn service_view(app: &App, service: &Service) -> ServiceView {
    let settings = service.settings();
    let groups = &settings.groups;
    ServiceView {
        versions: groups.iter().filter_map(|group| group.version.clone()).collect(),
        upstreams: groups.iter().map(|group| group.upstreams.len()).sum(),
        timeout_seconds: settings.timeout.as_secs_f64(),
        retries: settings.retries,
        health: settings.health.as_ref().map(|health| health.path.clone()),
        limit: limit(app),
    }
}

fn limit(app: &App) -> Option<String> {
    app.limit.as_ref().map(ToString::to_string)
}

/// How the upstreams of a service stand.
fn upstreams(service: &Service) -> Vec<UpstreamView> {
    let of = service.state().into_iter();
    of.flat_map(|group| group.upstreams.into_iter().map(move |one| (group.version.clone(), one)))
        .map(|(version, one)| {
            let (last_error, at) = one.last_error.unzip();
            UpstreamView {
                version,
                address: one.address,
                healthy: one.healthy,
                breaker: one.breaker.word().to_owned(),
                outstanding: one.outstanding,
                last_error,
                last_error_at: at.and_then(|at| at.try_into().ok()),
                since: one.since.try_into().unwrap_or_default(),
            }
        })
        .collect()
}

/// How an app stands: how many wait for it, are being worked on, are done.
#[utoipa::path(get, path = "/apps/{app}/status", tag = "apps",
    params(("app" = String, Path, description = "The app's name")),
    responses(
        (status = 200, body = AppStatusView), (status = 400, body = ErrorEnvelope),
        (status = 401, body = ErrorEnvelope), (status = 403, body = ErrorEnvelope),
        (status = 404, body = ErrorEnvelope), (status = 429, body = ErrorEnvelope)
    )
)]
pub(crate) async fn status(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<String>,
) -> Result<Json<AppStatusView>, Fault> {
    caller.require(Scope::Read)?;
    let current = api.current();
    require(&current, &app)?;
    caller.require_app(&app)?;
    let service = current.project.services.get(&app);
    let ledger = current.ledger();
    let counts = ledger.counts().await?;
    let sum = |status| counts.iter().filter(|c| c.app == app && c.status == status).map(|c| c.count).sum();
    let paused = ledger.paused().await?.into_iter().find(|pause| pause.app == app);
    Ok(Json(AppStatusView {
        upstreams: service.map(|service| upstreams(service)),
        limit: current.project.config.app(&app).and_then(|app| limit(app)),
        pending: sum(Status::Pending),
        processing: sum(Status::Processing),
        completed: sum(Status::Completed),
        failed: sum(Status::Failed),
        archived: sum(Status::Archived),
        paused_since: paused.map(|pause| pause.since),
        oldest_pending: ledger.oldest_pending(&app).await?,
        requests: current.project.services.get(&app).map(|_| api.metrics.of(&app).snapshot().into()),
        app,
    }))
}

/// Fails with 404 where the configuration declares no such app; the nearest name is said.
pub(crate) fn require(current: &Current, app: &str) -> Result<(), Fault> {
    current.project.config.require_app(app).map(drop).map_err(|error| {
        let hint = error.hint_text().unwrap_or_default();
        Fault::not_found(format!("there is no app {app:?}: {hint}").trim_end_matches([':', ' ']).to_owned())
    })
}
