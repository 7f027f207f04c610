//! Others are told of ended jobs: a POST, signed by Standard Webhooks.
//!
//! The outbox is the ledger: a job with a webhook gets, in the transaction that ends it, a delivery for
//! [`handover_core::WEBHOOK_APP`], and this claims those. So a message is sent at least once, whatever dies; its `webhook-id` is
//! the same each time. What is not taken is tried again for hours, with the ledger's backoff; 410 ends it, as the standard has it.

use crate::model::Job;
use crate::routes::jobs::summary;
use crate::state::{Api, Current};
use crate::trace::TRACEPARENT;
use bytes::Bytes;
use handover_core::{Delivery, DeliveryId, Error, ErrorKind, Result, Status, WEBHOOK_APP};
use handover_ledger::{Claim, Completion, Failure, Held, Queue, Verdict};
use handover_service::client::{Http, USER_AGENT, connect, sign};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tracing::{info, warn};

/// So many messages are under way at the same time.
const AT_ONCE: usize = 64;
/// So long a message may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The claim lasts longer than a message may take.
const LEASE: Duration = Duration::from_secs(60);
/// Looks are at least so far apart.
const LOOK_APART: Duration = Duration::from_millis(200);
/// A look is made at least so often: those that are tried again become due.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// So much of an answer is read.
const ANSWER_MAX_BYTES: usize = 16 * 1024;

/// Sends what is to be sent, until it is dropped.
pub(crate) async fn serve(api: Api) {
    let mut wake = api.current().ledger().wake();
    let sending = Arc::new(Semaphore::new(AT_ONCE));
    let mut client = None;
    loop {
        let current = api.current();
        if current.config.webhooks.is_some() {
            match round(&api, &current, &sending, &mut client).await {
                Ok(0) => {}
                Ok(_) => continue,
                Err(e) => warn!("cannot send webhooks now: {e}; it is tried again"),
            }
        }
        tokio::time::sleep(LOOK_APART).await;
        tokio::select! {
            _ = wake.changed() => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

/// One round: claims as many as can be sent now, and sends each by itself, so that a slow receiver holds up nobody else's.
async fn round(
    api: &Api,
    current: &Arc<Current>,
    sending: &Arc<Semaphore>,
    client: &mut Option<Http>,
) -> Result<usize> {
    // First of all: what cannot be sent is not claimed.
    let http = match client {
        Some(http) => http,
        None => client.insert(connect()?),
    };
    let closed = |_| Error::internal("the places of webhooks are gone");
    let mut place = Some(sending.clone().acquire_owned().await.map_err(closed)?);
    let claim = Claim {
        queue: Queue::Deliveries,
        app: WEBHOOK_APP.to_owned(),
        max: 1 + sending.available_permits(),
        lease: LEASE,
        holder: api.holder.clone(),
    };
    let claimed = current.ledger().claim(claim).await?;
    let count = claimed.len();
    for delivery in claimed {
        let place = match place.take() {
            Some(place) => place,
            None => sending.clone().acquire_owned().await.map_err(closed)?,
        };
        let (current, http) = (current.clone(), http.clone());
        tokio::spawn(async move {
            send(&current, http, delivery).await;
            drop(place);
        });
    }
    Ok(count)
}

/// Sends one, and tells the ledger what came of it.
async fn send(current: &Current, http: Http, delivery: Delivery) {
    let id = delivery.id;
    let Some(token) = delivery.lease_token.clone() else { return };
    let held = Held { queue: Queue::Deliveries, id, token };
    let told = match tell(current, http, &delivery).await {
        Ok(status) => {
            let result = json!({ "status": status.as_u16() });
            let completion = Completion { held, result, next: Vec::new(), checksum: None };
            current.ledger().complete(completion).await.map(drop)
        }
        Err((error, verdict)) => {
            info!(delivery = id.0, "webhook {id} was not taken: {error}");
            let error = error.to_string();
            let failure = Failure { held, error, verdict, after: None, result: None, next: Vec::new() };
            current.ledger().fail(failure).await.map(drop)
        }
    };
    if let Err(e) = told {
        warn!(delivery = id.0, "cannot settle webhook {id}: {e}; it is sent again when its lease ends");
    }
}

async fn tell(current: &Current, http: Http, delivery: &Delivery) -> Result<StatusCode, (Error, Verdict)> {
    let Message { url, body, trace } = message(current, delivery).await?;
    let Some(webhooks) = &current.config.webhooks else {
        return Err((Error::config("no webhooks are configured any more"), Verdict::Final));
    };
    if !webhooks.to.iter().any(|prefix| url.to_string().starts_with(prefix.as_str())) {
        return Err((Error::config("its address is not allowed any more"), Verdict::Final));
    }
    let (id, at) = (format!("msg_{}", delivery.id), current.project.clock.now().as_second());
    let signature = sign(webhooks.secret.expose(), &id, at, &body).map_err(|e| (e, Verdict::Retry))?;
    let request = Request::post(url)
        .header("content-type", "application/json")
        .header("user-agent", USER_AGENT)
        .header("webhook-id", id)
        .header("webhook-timestamp", at)
        .header("webhook-signature", signature);
    let request = trace.into_iter().fold(request, |request, trace| request.header(TRACEPARENT, trace));
    let request = request
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| (Error::internal("a webhook's request").because(e), Verdict::Final))?;
    let failed = |why: String| (Error::new(ErrorKind::Io, why), Verdict::Retry);
    let answer = tokio::time::timeout(TIMEOUT, http.request(request)).await;
    let answer =
        answer.map_err(|_| failed("it took longer than 15 s".into()))?.map_err(|e| failed(e.to_string()))?;
    let status = answer.status();
    // Read, so that the connection can serve again.
    let _ = tokio::time::timeout(TIMEOUT, Limited::new(answer.into_body(), ANSWER_MAX_BYTES).collect()).await;
    match status {
        status if status.is_success() => Ok(status),
        StatusCode::GONE => {
            Err((Error::new(ErrorKind::Io, "the receiver wants no more of them (410)"), Verdict::Final))
        }
        status => Err(failed(format!("the answer was {status}"))),
    }
}

/// Where it goes, what it says, and the trace of its job.
struct Message {
    url: Uri,
    body: String,
    trace: Option<String>,
}

async fn message(current: &Current, delivery: &Delivery) -> Result<Message, (Error, Verdict)> {
    let broken = || (Error::bad_data(format!("delivery {} holds no webhook", delivery.id)), Verdict::Final);
    let text = |name: &str| delivery.data.get(name).and_then(|value| value.as_str());
    let url: Uri = text("url").and_then(|url| url.parse().ok()).ok_or_else(broken)?;
    let job = delivery.data.get("job").and_then(|id| id.as_i64()).map(DeliveryId).ok_or_else(broken)?;
    let status = text("status").unwrap_or(Status::Completed.as_str()).to_owned();
    let found = current.ledger().get(job).await.map_err(|e| (e, Verdict::Retry))?;
    let context = found.as_ref().and_then(|job| current.project.tracer.context_of(job));
    let data = match found {
        Some(job) => summary(&Job::of(&job, false, "v1")),
        None => json!({ "id": job, "status": status }),
    };
    let body = json!({ "type": format!("job.{status}"), "timestamp": delivery.created_at, "data": data });
    Ok(Message { url, body: body.to_string(), trace: context.map(|context| context.to_string()) })
}
