//! Jobs: listed, looked at, cancelled, retried, replayed, explained.

use super::{Version, cursor, page, read_page};
use crate::auth::{Caller, Scope};
use crate::body::{Id, Query};
use crate::fault::Fault;
use crate::model::{Cancelling, ErrorEnvelope, Explained, Job, JobPage, JobStatus, ReplayedOne};
use crate::prefer::Prefer;
use crate::state::{Api, Current};
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use handover_core::{Delivery, DeliveryId, Kind, Status};
use handover_ledger::{Cancelled, Filter, NewAction};
use handover_runtime::operations::why;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use utoipa::IntoParams;

/// Waits for the end of a job, so long at most.
pub(super) async fn until_ended(api: &Api, id: DeliveryId, wait: Duration) {
    let mut follow = api.hub.follow(id);
    let mut draining = api.draining.clone();
    let ended = async {
        while let Some(standing) = follow.next().await {
            if !is_open(standing.status) {
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

/// A job that this caller may see.
pub(crate) async fn visible(api: &Api, caller: &Caller, id: DeliveryId) -> Result<Delivery, Fault> {
    let delivery = api.current().ledger().get(id).await?;
    let job = delivery.filter(|delivery| {
        delivery.kind == Kind::Job && delivery.target_app.as_deref() != Some(handover_core::WEBHOOK_APP)
    });
    // What a caller may not see is not there for it.
    let seen = job.filter(|job| {
        caller.is_for(job.target_app.as_deref().unwrap_or_default())
            && (is_own(caller, job) || caller.may(Scope::Read))
    });
    seen.ok_or_else(|| Fault::not_found(format!("there is no job {id} that this key may see")))
}

/// Whether it is a job that this caller submitted, and may still submit.
fn is_own(caller: &Caller, job: &Delivery) -> bool {
    caller.may(Scope::Submit) && job.created_by.as_deref() == Some(&caller.name)
}

/// Whether a delivery has not ended.
fn is_open(status: Status) -> bool {
    matches!(status, Status::Pending | Status::Processing)
}

pub(super) async fn load(current: &Current, id: DeliveryId, version: &str) -> Result<Job, Fault> {
    let delivery = current.ledger().get(id).await?;
    let delivery = delivery
        .ok_or_else(|| Fault::internal(format!("job {id} is not there, which was just submitted")))?;
    view(current, &delivery, version).await
}

async fn view(current: &Current, delivery: &Delivery, version: &str) -> Result<Job, Fault> {
    let cancelling = is_open(delivery.status)
        && current.ledger().cancellations().await?.iter().any(|one| one.id == delivery.id);
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
        None => caller.only_app(),
    };
    let filter = Filter {
        app,
        kind: Some(Kind::Job),
        status: query.status.map(JobStatus::of_ledger),
        since: query.since,
        before: query.cursor.as_deref().map(cursor::read).transpose()?,
        by: own.then(|| caller.name.clone()),
        ..Filter::default()
    };
    let current = api.current();
    let (found, more) = read_page(current.ledger(), filter, limit).await?;
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
    if let Some(wait) = prefer.wait.filter(|wait| !wait.is_zero() && is_open(delivery.status)) {
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
    if !is_own(&caller, &job) {
        caller.require(Scope::Operate)?;
    }
    cancel_delivery(&api, &caller, id).await
}

pub(crate) async fn cancel_delivery(api: &Api, caller: &Caller, id: DeliveryId) -> Result<Response, Fault> {
    let done = api.current().ledger().ask_to_cancel(&caller.name, id).await?;
    if done == Cancelled::Asked {
        let note = Some("it ends when its work has stopped".to_owned());
        let what = NewAction { delivery: Some(id), note, ..NewAction::default() };
        super::deliveries::noted(&api.current(), caller, &format!("POST …/{id}/cancel"), "cancel", what)
            .await?;
    }
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
    headers: HeaderMap,
) -> Result<Response, Fault> {
    crate::idempotency::refuse(&headers)?;
    visible(&api, &caller, id).await?;
    caller.require(Scope::Operate)?;
    let via = format!("POST /api/{version}/jobs/{id}/replay");
    let new = super::deliveries::replayed(&api, &caller, id, &via).await?;
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
    let said = why::of(&current.project, id).await?;
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
