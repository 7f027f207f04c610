//! Whether this process lives, and whether it can work: for load balancers and orchestrators. They need no key.

use crate::auth::{Caller, Scope};
use crate::fault::{Fault, Whole};
use crate::model::{ErrorEnvelope, HealthCheck, HealthView, Liveness};
use crate::state::Api;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use handover_runtime::operations::health::{Health, Verdict, look};
use http::StatusCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So old at most is what is told of health.
const HEALTH_FRESH: Duration = Duration::from_secs(5);
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
    let seen = looked(&api).await?;
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

/// What was seen a moment ago, or is seen now: it lists folders, so one look serves all who ask meanwhile.
async fn looked(api: &Api) -> Result<Arc<Health>, Fault> {
    let mut known = api.health.lock().await;
    if let Some((_, seen)) = known.as_ref().filter(|(at, _)| at.elapsed() < HEALTH_FRESH) {
        return Ok(seen.clone());
    }
    let (project, handle) = (api.current().project.clone(), tokio::runtime::Handle::current());
    // Not on a thread that answers others.
    let seen = tokio::task::spawn_blocking(move || handle.block_on(look(&project))).await;
    let seen = Arc::new(seen.map_err(|e| Fault::internal(e.to_string()))?);
    *known = Some((Instant::now(), seen.clone()));
    Ok(seen)
}
