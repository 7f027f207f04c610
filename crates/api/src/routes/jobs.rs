//! Jobs: submitted, listed, looked at, cancelled, retried, replayed, explained.

use super::{Version, cursor, page};
use crate::auth::{Caller, Scope};
use crate::body::{Id, JsonBody, Query};
use crate::fault::Fault;
use crate::idempotency;
use crate::model::{
    Cancelling, Detail, ErrorEnvelope, Explained, Job, JobPage, JobRequest, JobStatus, ReplayedOne,
};
use crate::prefer::Prefer;
use crate::state::{Api, Current};
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use handover_core::{Delivery, DeliveryId, Kind, Status};
use handover_ledger::{Cancelled, Filter, NewJob, Submitted};
use handover_runtime::operations::jobs::{JobInput, Refused, Submission, prepare};
use handover_runtime::operations::why;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use utoipa::IntoParams;

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
        trace: trace(&headers),
    };
    Submitting { api: &api, caller: &caller, version, headers: &headers }
        .submit(submission, &body.value)
        .await
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
    let submission = Submission {
        app,
        config: Value::Object(body.meant),
        input: query.input_file.map(JobInput::File),
        webhook: None,
        priority: 0,
        run_at: None,
        trace: trace(&headers),
    };
    Submitting { api: &api, caller: &caller, version: "v2", headers: &headers }
        .submit(submission, &body.value)
        .await
}

/// The trace context that a request brings (W3C), where it is one.
fn trace(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let fine = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = parts[..] else { return None };
    let all = fine(version, 2) && fine(trace, 32) && fine(parent, 16) && fine(flags, 2);
    all.then(|| text.to_owned())
}

struct Submitting<'a> {
    api: &'a Api,
    caller: &'a Caller,
    version: &'static str,
    headers: &'a HeaderMap,
}

impl Submitting<'_> {
    async fn submit(&self, submission: Submission, asked: &Value) -> Result<Response, Fault> {
        self.caller.require(Scope::Submit)?;
        let current = self.api.current();
        let app = submission.app.clone();
        self.caller.require_app(&app)?;
        let rate = current.rates.take_job(&self.caller.name, &app)?;
        allow_webhook(&current, submission.webhook.as_deref())?;
        let delivery = prepare(&current.project, &current.contracts, submission).await.map_err(refused)?;
        let key = idempotency::key(self.headers, &self.caller.name, &app, asked)?;
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
        response.headers_mut().extend(rate.into_iter().flatten());
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

/// Waits for the end of a job, so long at most.
async fn until_ended(api: &Api, id: DeliveryId, wait: Duration) {
    let mut follow = api.hub.follow(id);
    let mut draining = api.draining.clone();
    let ended = async {
        while let Some(standing) = follow.next().await {
            if !matches!(standing.status, Status::Pending | Status::Processing) {
                return;
            }
        }
    };
    tokio::select! {
        () = ended => {}
        () = tokio::time::sleep(wait) => {}
        _ = draining.wait_for(|drains| *drains) => {}
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
    if webhooks.to.iter().any(|prefix| url.starts_with(prefix.as_str())) && !leads_out(url) {
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

/// A job that this caller may see.
pub(crate) async fn visible(api: &Api, caller: &Caller, id: DeliveryId) -> Result<Delivery, Fault> {
    let delivery = api.current().ledger().get(id).await?;
    let job = delivery.filter(|delivery| {
        delivery.kind == Kind::Job && delivery.target_app.as_deref() != Some(handover_core::WEBHOOK_APP)
    });
    // What a caller may not see is not there for it.
    let seen = job.filter(|job| {
        let own = caller.may(Scope::Submit) && job.created_by.as_deref() == Some(&caller.name);
        caller.is_for(job.target_app.as_deref().unwrap_or_default()) && (own || caller.may(Scope::Read))
    });
    seen.ok_or_else(|| Fault::not_found(format!("there is no job {id} that this key may see")))
}

async fn load(current: &Current, id: DeliveryId, version: &str) -> Result<Job, Fault> {
    let delivery = current.ledger().get(id).await?;
    let delivery = delivery
        .ok_or_else(|| Fault::internal(format!("job {id} is not there, which was just submitted")))?;
    view(current, &delivery, version).await
}

async fn view(current: &Current, delivery: &Delivery, version: &str) -> Result<Job, Fault> {
    let open = matches!(delivery.status, Status::Pending | Status::Processing);
    let cancelling = open && current.ledger().cancellations().await?.iter().any(|one| one.id == delivery.id);
    Ok(Job::of(delivery, cancelling, version))
}

/// Which jobs are listed: all conditions hold at once.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct JobsQuery {
    /// Of this app.
    app: Option<String>,
    /// That stand here.
    status: Option<JobStatus>,
    /// Submitted at or after this time.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// How many at most; 50 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
}

/// Jobs, newest first, a page at a time. A key without the scope read sees those that it submitted.
#[utoipa::path(get, path = "/jobs", tag = "jobs", params(JobsQuery), responses(
    (status = 200, body = JobPage), (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope),
    (status = 403, body = ErrorEnvelope), (status = 429, body = ErrorEnvelope)
))]
pub(crate) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Version(version): Version,
    Query(query): Query<JobsQuery>,
) -> Result<Json<JobPage>, Fault> {
    let own = !caller.may(Scope::Read);
    if own {
        caller.require(Scope::Submit)?;
    }
    let limit = page(query.limit)?;
    let app = match &query.app {
        Some(app) => {
            caller.require_app(app)?;
            query.app
        }
        None => None,
    };
    let filter = Filter {
        app,
        kind: Some(Kind::Job),
        status: query.status.map(JobStatus::of_ledger),
        since: query.since,
        before: query.cursor.as_deref().map(cursor::read).transpose()?,
        by: own.then(|| caller.name.clone()),
        limit: limit + 1,
        ..Filter::default()
    };
    let current = api.current();
    let mut found = current.ledger().list(filter).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| cursor::write(last.id));
    let cancelling = current.ledger().cancellations().await?;
    let jobs = found
        .iter()
        .filter(|one| {
            let app = one.target_app.as_deref().unwrap_or_default();
            caller.is_for(app) && app != handover_core::WEBHOOK_APP
        })
        .map(|one| Job::of(one, cancelling.iter().any(|asked| asked.id == one.id), version))
        .collect();
    Ok(Json(JobPage { jobs, next }))
}

/// A job.
#[utoipa::path(get, path = "/jobs/{id}", tag = "jobs",
    params(
        ("id" = i64, Path, description = "The job's number"),
        ("Prefer" = Option<String>, Header, description = "wait=N waits up to N seconds for its end (RFC 7240)")
    ),
    responses(
        (status = 200, body = Job), (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope),
        (status = 403, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope), (status = 429, body = ErrorEnvelope)
    )
)]
pub(crate) async fn get(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Version(version): Version,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let mut delivery = visible(&api, &caller, id).await?;
    let prefer = Prefer::of(&headers);
    let open = |delivery: &Delivery| matches!(delivery.status, Status::Pending | Status::Processing);
    if let Some(wait) = prefer.wait.filter(|wait| !wait.is_zero() && open(&delivery)) {
        until_ended(&api, id, wait).await;
        delivery = visible(&api, &caller, id).await?;
    }
    let job = view(&api.current(), &delivery, version).await?;
    let mut response = Json(&job).into_response();
    if !job.has_ended() {
        // A polite pause for who polls.
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Ok(response)
}

/// Ends a job. One that waits has ended at once, with the code CANCELLED; one that is being worked on is said to be
/// cancelling, and ends when all its programs are seen gone. Asking twice changes nothing.
#[utoipa::path(post, path = "/jobs/{id}/cancel", tag = "jobs", params(("id" = i64, Path, description = "The job's number")),
    responses(
        (status = 200, description = "It has ended", body = Cancelling), (status = 202, description = "It is ending", body = Cancelling),
        (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope), (status = 403, body = ErrorEnvelope),
        (status = 404, body = ErrorEnvelope), (status = 409, description = "It has ended before", body = ErrorEnvelope),
        (status = 429, body = ErrorEnvelope)
    )
)]
pub(crate) async fn cancel(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Response, Fault> {
    let job = visible(&api, &caller, id).await?;
    // Who submitted it may end it too.
    if !(caller.may(Scope::Submit) && job.created_by.as_deref() == Some(&caller.name)) {
        caller.require(Scope::Operate)?;
    }
    cancel_delivery(&api, &caller, id).await
}

pub(crate) async fn cancel_delivery(api: &Api, caller: &Caller, id: DeliveryId) -> Result<Response, Fault> {
    let done = api.current().ledger().ask_to_cancel(&caller.name, id).await?;
    let (code, status, cancelling) = match done {
        Cancelled::Ended => (StatusCode::OK, JobStatus::Failed, false),
        Cancelled::Asked => (StatusCode::ACCEPTED, JobStatus::Processing, true),
    };
    Ok((code, Json(Cancelling { id, status, cancelling })).into_response())
}

/// Tries a failed job again, with all its attempts.
#[utoipa::path(post, path = "/jobs/{id}/retry", tag = "jobs", params(("id" = i64, Path, description = "The job's number")),
    responses(
        (status = 202, body = Job), (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope),
        (status = 403, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope),
        (status = 409, description = "It has not failed", body = ErrorEnvelope), (status = 429, body = ErrorEnvelope)
    )
)]
pub(crate) async fn retry(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Version(version): Version,
    Id(id): Id,
) -> Result<Response, Fault> {
    visible(&api, &caller, id).await?;
    caller.require(Scope::Operate)?;
    let current = api.current();
    current.ledger().retry(&caller.name, id).await?;
    Ok((StatusCode::ACCEPTED, Json(load(&current, id, version).await?)).into_response())
}

/// Runs a job again, whatever became of it, as a new one.
#[utoipa::path(post, path = "/jobs/{id}/replay", tag = "jobs", params(("id" = i64, Path, description = "The job's number")),
    responses(
        (status = 202, body = ReplayedOne, headers(("Location" = String, description = "The new job"))),
        (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope), (status = 403, body = ErrorEnvelope),
        (status = 404, body = ErrorEnvelope), (status = 429, body = ErrorEnvelope)
    )
)]
pub(crate) async fn replay(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Version(version): Version,
    Id(id): Id,
) -> Result<Response, Fault> {
    visible(&api, &caller, id).await?;
    caller.require(Scope::Operate)?;
    let new = api.current().ledger().replay(&caller.name, id).await?;
    let location = [(header::LOCATION, format!("/api/{version}/jobs/{new}"))];
    Ok((StatusCode::ACCEPTED, location, Json(ReplayedOne { id: new, replay_of: id })).into_response())
}

/// Why a job stands where it stands: what it waits for, which limit, which holder, since when, what would free it.
#[utoipa::path(get, path = "/jobs/{id}/explain", tag = "jobs", params(("id" = i64, Path, description = "The job's number")),
    responses(
        (status = 200, body = Explained), (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope),
        (status = 403, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope), (status = 429, body = ErrorEnvelope)
    )
)]
pub(crate) async fn explain(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<Explained>, Fault> {
    visible(&api, &caller, id).await?;
    explained(&api.current(), id).await
}

pub(crate) async fn explained(current: &Current, id: DeliveryId) -> Result<Json<Explained>, Fault> {
    let base = current.project.config.base.clone();
    let said = why::why(&current.project, id.to_string().as_ref(), &base).await?;
    Ok(Json(said.into()))
}

impl JobStatus {
    fn of_ledger(self) -> Status {
        match self {
            Self::Pending => Status::Pending,
            Self::Processing => Status::Processing,
            Self::Completed => Status::Completed,
            Self::Failed => Status::Failed,
        }
    }
}

/// A job as an event or a webhook has it.
pub(crate) fn summary(job: &Job) -> Value {
    json!({
        "id": job.id, "app": job.app, "status": job.status, "cancelling": job.cancelling, "attempts": job.attempts,
        "created_at": job.created_at, "ended_at": job.ended_at, "error": job.error, "links": job.links,
    })
}
