//! Jobs are submitted: checked against their app's contract, held to the limits, and put into the ledger with their key.

use super::Version;
use super::files::published;
use super::jobs::{load, until_ended};
use crate::auth::{Caller, Scope};
use crate::body::{JsonBody, Query};
use crate::fault::Fault;
use crate::idempotency;
use crate::model::{Detail, ErrorEnvelope, Job, JobRequest};
use crate::prefer::Prefer;
use crate::state::{Api, Current};
use crate::trace;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use handover_ledger::{IdempotencyKey, NewJob, Submitted};
use handover_runtime::operations::jobs::{JobInput, Refused, Submission, prepare};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Submits a job. It is in the ledger when this answers, and runs whatever becomes of this connection or process.
///
/// With `Idempotency-Key` asking again gives the same job. With `Prefer: wait=N` the answer waits up to N seconds for its end,
/// and is then 200 with the ended job.
#[utoipa::path(post, path = "/jobs", tag = "jobs", request_body = JobRequest,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Asking again with the same key gives the same job; kept as long as its result"),
        ("Prefer" = Option<String>, Header, description = "respond-async, wait=N (RFC 7240)"),
        ("traceparent" = Option<String>, Header, description = "W3C trace context, handed to the program")
    ),
    responses(
        (status = 202, description = "It is in the ledger", body = Job, headers(("Location" = String, description = "The job"))),
        (status = 200, description = "It has ended while this waited", body = Job, headers(("Location" = String, description = "The job"))),
        (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope), (status = 403, body = ErrorEnvelope),
        (status = 404, description = "There is no such app", body = ErrorEnvelope), (status = 408, body = ErrorEnvelope),
        (status = 413, body = ErrorEnvelope), (status = 415, body = ErrorEnvelope),
        (status = 422, description = "A field will not do, or the key was used for something else", body = ErrorEnvelope),
        (status = 429, body = ErrorEnvelope), (status = 503, body = ErrorEnvelope)
    )
)]
pub(crate) async fn submit(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Version(version): Version,
    headers: HeaderMap,
    body: JsonBody<JobRequest>,
) -> Result<Response, Fault> {
    let asked = body.meant;
    let input = match (asked.input, asked.input_file) {
        (Some(_), Some(_)) => {
            return Err(Fault::field("input_file", "stands beside `input`: give one of them"));
        }
        (Some(Value::String(text)), None) => Some(JobInput::Text { text, media_type: asked.input_type }),
        (Some(value), None) => Some(JobInput::Json(value)),
        (None, Some(path)) => Some(JobInput::File(path)),
        (None, None) => None,
    };
    let submission = Submission {
        app: asked.app,
        config: asked.config.map_or(Value::Null, Value::Object),
        input,
        webhook: asked.webhook,
        priority: asked.priority.unwrap_or(0),
        run_at: asked.run_at,
        trace: trace::given(&headers).map(str::to_owned),
    };
    let key = idempotency::key(&headers, &caller.name, &submission.app, &body.value)?;
    // It is not kept while this waits: of a large body the tree is many times as large.
    drop(body.value);
    Submitting { api: &api, caller: &caller, version, headers: &headers }.submit(submission, key).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TypedQuery {
    input_file: Option<String>,
}

/// Submits a job of one app: the body is its configuration. In the document there is one of these for each app.
pub(crate) async fn submit_typed(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<String>,
    Query(query): Query<TypedQuery>,
    headers: HeaderMap,
    body: JsonBody<serde_json::Map<String, Value>>,
) -> Result<Response, Fault> {
    let asked = json!({ "config": body.value, "input_file": query.input_file });
    let key = idempotency::key(&headers, &caller.name, &app, &asked)?;
    drop(asked);
    let submission = Submission {
        app,
        config: Value::Object(body.meant),
        input: query.input_file.map(JobInput::File),
        webhook: None,
        priority: 0,
        run_at: None,
        trace: trace::given(&headers).map(str::to_owned),
    };
    Submitting { api: &api, caller: &caller, version: "v2", headers: &headers }.submit(submission, key).await
}

struct Submitting<'a> {
    api: &'a Api,
    caller: &'a Caller,
    version: &'static str,
    headers: &'a HeaderMap,
}

impl Submitting<'_> {
    async fn submit(&self, submission: Submission, key: Option<IdempotencyKey>) -> Result<Response, Fault> {
        self.caller.require(Scope::Submit)?;
        let refused = match self.try_submit(submission, key.clone()).await {
            Err(refused) if refused.status().is_client_error() => refused,
            other => return other,
        };
        // What was taken before is answered as it was, though it would not be taken any more: by another configuration, say.
        let current = self.api.current();
        let Some(key) = key else { return Err(refused) };
        match current.ledger().known_key(&key).await? {
            Some(Submitted::Known { id, .. }) => {
                let job = load(&current, id, self.version).await?.at_its_submission();
                self.answer(&current, job, true).await
            }
            _ => Err(refused),
        }
    }

    async fn try_submit(
        &self,
        submission: Submission,
        key: Option<IdempotencyKey>,
    ) -> Result<Response, Fault> {
        let current = self.api.current();
        let app = submission.app.clone();
        self.caller.require_app(&app)?;
        let rate = current.rates.take_app(&self.caller.name, &app)?;
        allow_webhook(&current, submission.webhook.as_deref())?;
        if let Some(JobInput::File(path)) = &submission.input
            && published(&current, self.caller, path).await?.is_none()
        {
            return Err(Fault::field("input_file", "names no published file that this key may use"));
        }
        let delivery = prepare(&current.project, &current.contracts, submission).await.map_err(refused)?;
        let required = current.project.config.app(&app).is_some_and(|app| app.job.key_required);
        if key.is_none() && required {
            let message = format!(
                "jobs of {app} are submitted with an Idempotency-Key, so that asking twice is one job"
            );
            return Err(Fault::bad_request("IDEMPOTENCY_KEY_REQUIRED", message));
        }
        let limits = &current.config.limits;
        let house = &self.api.house;
        let (caller_max, queue_max) =
            house.near(current.ledger(), &app, limits.caller_jobs, limits.queue).await?;
        let job = NewJob { delivery, caller: self.caller.name.clone(), key, caller_max, queue_max };
        let mut accepted = Job::submitted(&job, self.version);
        let known = match self.api.submitter.submit(job).await? {
            Submitted::New { id, at } => {
                accepted.is(id, at, self.version);
                false
            }
            Submitted::Known { id, at } => {
                accepted.is(id, at, self.version);
                true
            }
            Submitted::Differs(id) => {
                let message = format!("this Idempotency-Key was used for something else: job {id}");
                return Err(Fault::new(StatusCode::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED", message));
            }
            Submitted::CallerHas(count) => {
                let message = format!(
                    "{count} jobs of this key have not ended, and more are not taken: wait for some of them"
                );
                let fault = Fault::new(StatusCode::TOO_MANY_REQUESTS, "QUOTA_EXCEEDED", message);
                return Err(fault.retry_after(Duration::from_secs(5)));
            }
            Submitted::QueueHas(count) => {
                let message = format!("{count} deliveries wait for {app}, and more are not taken");
                return Err(Fault::unavailable("QUEUE_FULL", message, Duration::from_secs(10)));
            }
        };
        let mut response = self.answer(&current, accepted, known).await?;
        if let Some(rate) = rate {
            rate.put(response.headers_mut());
        }
        Ok(response)
    }

    /// What is asked again is answered as it was the first time: the job as it was submitted. What has become of it since is for
    /// who waits, and for `GET`.
    async fn answer(&self, current: &Current, accepted: Job, known: bool) -> Result<Response, Fault> {
        let prefer = Prefer::of(self.headers);
        let (mut status, mut job) = (StatusCode::ACCEPTED, accepted);
        if let Some(wait) = prefer.wait.filter(|wait| !wait.is_zero()) {
            until_ended(self.api, job.id, wait).await;
            let now = load(current, job.id, self.version).await?;
            if now.has_ended() {
                (status, job) = (StatusCode::OK, now);
            }
        }
        let location = job.links.job.clone();
        let mut response = (status, Json(job)).into_response();
        let mut set = |name: HeaderName, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                response.headers_mut().insert(name, value);
            }
        };
        set(header::LOCATION, &location);
        if known {
            set(HeaderName::from_static("idempotency-replayed"), "true");
        }
        if let Some(applied) = prefer.applied() {
            set(HeaderName::from_static("preference-applied"), &applied);
        }
        Ok(response)
    }
}

fn refused(refused: Refused) -> Fault {
    match refused {
        Refused::NoSuchApp(error) => error.into(),
        Refused::Failed(error) => error.into(),
        Refused::Invalid(details) => Fault::invalid(
            details.into_iter().map(|one| Detail { field: one.field, issue: one.issue }).collect(),
        ),
    }
}

fn allow_webhook(current: &Current, webhook: Option<&str>) -> Result<(), Fault> {
    let Some(url) = webhook else { return Ok(()) };
    let Some(webhooks) = &current.config.webhooks else {
        return Err(Fault::field(
            "webhook",
            "is not taken here: `api.webhooks` says who may be told, and there is none",
        ));
    };
    let is_address = url.parse::<http::Uri>().is_ok_and(|uri| uri.host().is_some());
    if is_address && webhooks.to.iter().any(|prefix| url.starts_with(prefix.as_str())) && !leads_out(url) {
        return Ok(());
    }
    Err(Fault::field("webhook", "is not among the addresses that `api.webhooks.to` allows"))
}

/// Whether an address could lead out of what it begins with: by `..`, however written, or by what some read as a slash.
fn leads_out(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    path.contains('\\') || path.split('/').any(|part| matches!(part, "." | ".."))
}
