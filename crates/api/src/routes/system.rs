//! Whether this process lives, and whether it can work: for load balancers and orchestrators. They need no key.

use crate::auth::{Caller, Scope};
use crate::fault::{Fault, Whole};
use crate::model::{ErrorEnvelope, HealthCheck, HealthView, Liveness};
use crate::state::Api;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use handover_monitor::metrics::Format;
use handover_runtime::operations::health::Verdict;
use http::{HeaderMap, StatusCode, header};
use std::time::Duration;

/// So long a look at health may take before it is said that something does not answer.
const HEALTH_ANSWERS: Duration = Duration::from_secs(7);
/// So long the ledger may take to answer.
const LEDGER_ANSWERS: Duration = Duration::from_secs(3);

/// Whether this process lives.
#[utoipa::path(get, path = "/livez", tag = "system", security(()), responses((status = 200, body = Liveness)))]
pub(crate) async fn livez() -> Json<Liveness> {
    Json(Liveness { status: "ok".into() })
}

/// Whether this process takes requests: its ledger answers, and it is not ending.
#[utoipa::path(get, path = "/readyz", tag = "system", security(()), responses(
    (status = 200, body = Liveness),
    (status = 503, description = "not now", body = ErrorEnvelope)
))]
pub(crate) async fn readyz(State(api): State<Api>) -> Result<Json<Liveness>, Fault> {
    if *api.draining.borrow() {
        return Err(Fault::unavailable("DRAINING", "this process is ending", Duration::from_secs(1)));
    }
    let current = api.current();
    match tokio::time::timeout(LEDGER_ANSWERS, current.ledger().paused()).await {
        Ok(answered) => answered.map(drop)?,
        Err(_) => {
            let message = "the ledger does not answer";
            return Err(Fault::unavailable("UNAVAILABLE", message, Duration::from_secs(2)));
        }
    }
    Ok(Json(Liveness { status: "ok".into() }))
}

/// Whether all is well: the checks of `handover health`, with what was seen. 503 where something does not work.
#[utoipa::path(get, path = "/health", tag = "system", responses(
    (status = 200, description = "All is well, or somebody should look", body = HealthView),
    (status = 401, body = ErrorEnvelope), (status = 403, body = ErrorEnvelope), (status = 429, body = ErrorEnvelope),
    (status = 503, description = "Something does not work", body = HealthView)
))]
pub(crate) async fn health(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Fault> {
    caller.require(Scope::Read)?;
    if !caller.is_for_all() {
        let message = "this key is for some apps alone, and health is of all";
        return Err(Fault::new(StatusCode::FORBIDDEN, "FORBIDDEN", message));
    }
    // A look that was on its way when the ledger went waits for it at each check.
    let Ok(seen) = tokio::time::timeout(HEALTH_ANSWERS, api.monitor.health()).await else {
        let message = "the ledger or a folder does not answer";
        return Err(Fault::unavailable("UNAVAILABLE", message, Duration::from_secs(2)));
    };
    let seen = seen?;
    let status = match seen.verdict {
        Verdict::Pass | Verdict::Warn => StatusCode::OK,
        Verdict::Fail => StatusCode::SERVICE_UNAVAILABLE,
    };
    let verdict = seen.verdict.word().to_owned();
    let checks = seen.checks.iter().map(|check| HealthCheck {
        name: check.name.to_owned(),
        verdict: check.verdict.word().to_owned(),
        text: check.text.clone(),
        todo: check.todo.clone(),
    });
    let view = HealthView { verdict, at: seen.at, checks: checks.collect() };
    let mut response = (status, Json(view)).into_response();
    response.extensions_mut().insert(Whole);
    Ok(response)
}

/// What is counted and measured, as Prometheus reads it; OpenMetrics where that is asked for. With `api: { metrics: open }` it
/// needs no key.
#[utoipa::path(get, path = "/metrics", tag = "system", responses(
    (status = 200, description = "Prometheus's text, or OpenMetrics", content(
        (String = "text/plain"), (String = "application/openmetrics-text")
    )),
    (status = 401, body = ErrorEnvelope), (status = 403, body = ErrorEnvelope), (status = 429, body = ErrorEnvelope)
))]
pub(crate) async fn metrics(
    State(api): State<Api>,
    // Nobody where it is open to all.
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    if let Some(Extension(caller)) = caller {
        caller.require(Scope::Read)?;
        if !caller.is_for_all() {
            let message = "this key is for some apps alone, and metrics are of all";
            return Err(Fault::new(StatusCode::FORBIDDEN, "FORBIDDEN", message));
        }
    }
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::accepted(&accepts.collect::<Vec<_>>().join(","));
    let more = |families: &mut _| crate::metrics::families(&api, families);
    let text = api.scrapes.text(&api.monitor, format, more).await;
    Ok(([(header::CONTENT_TYPE, format.media_type()), (header::VARY, "accept")], text).into_response())
}
