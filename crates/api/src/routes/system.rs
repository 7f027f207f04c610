//! Whether this process lives, and whether it can work: for load balancers and orchestrators. They need no key.

use crate::fault::Fault;
use crate::model::{ErrorEnvelope, Liveness};
use crate::state::Api;
use axum::Json;
use axum::extract::State;
use std::time::Duration;

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
