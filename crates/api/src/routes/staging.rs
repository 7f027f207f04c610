//! Records over REST: pushed in bulk, pulled, answered. The same as `handover push`, `pull`, `ack`, `fail` and `extend`.

use crate::auth::{Caller, Scope};
use crate::body::{JsonBody, OptionalJson, Query, cut, media_type, too_large};
use crate::fault::Fault;
use crate::model::{
    AckOutcome, AckRequest, Acked, Detail, ErrorEnvelope, PullRequest, Pulled, PulledRecord, PushDone,
};
use crate::state::{Api, Current};
use crate::upload::{Upload, is_cut, is_too_large};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use handover_core::limits::{PULL_LEASE_DEFAULT_MS, PULL_MAX};
use handover_core::{AppName, DeliveryId, ErrorKind};
use handover_database::bulk::{self, Cut, Push};
use handover_database::pull::{self, Pull};
use handover_database::record::Shape;
use handover_database::source::Source;
use handover_database::token;
use handover_ledger::{Outcome, Verdict};
use handover_records::Format;
use handover_runtime::operations::jobs::SOURCE;
use handover_runtime::operations::records;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use std::time::Duration;
use utoipa::IntoParams;

/// How records are pushed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PushQuery {
    /// Who hands them over; by default `api`.
    from: Option<String>,
    /// The load's name: pushed again under it after a cut, it goes on where it stopped, and an ended one is not taken twice.
    #[param(max_length = 255)]
    load: Option<String>,
    /// All at once at the end, or not at all; it needs `load`.
    whole: Option<bool>,
    /// A second record with the same value in this field is the same record; `a.b` is b in a.
    dedup: Option<String>,
    /// Records with the same value in this field are worked on one after the other.
    order: Option<String>,
    /// Higher goes first.
    priority: Option<i32>,
    /// The flow that they belong to.
    flow: Option<String>,
}

/// Pushes records for an app: lines of JSON, a JSON array or a CSV table, of any size, as they come.
#[utoipa::path(post, path = "/staging/{app}", tag = "staging",
    params(("app" = String, Path, description = "The app that gets them"), PushQuery),
    request_body(content(
        (String = "application/x-ndjson"), (Vec<serde_json::Value> = "application/json"), (String = "text/csv")
    )),
    responses(
        (status = 200, body = PushDone), (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope),
        (status = 403, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope), (status = 408, body = ErrorEnvelope),
        (status = 409, description = "Another pushes the same load", body = ErrorEnvelope),
        (status = 413, body = ErrorEnvelope), (status = 415, body = ErrorEnvelope),
        (status = 422, description = "A record will not do; those before it are in the ledger", body = ErrorEnvelope),
        (status = 429, body = ErrorEnvelope), (status = 503, body = ErrorEnvelope)
    )
)]
pub(crate) async fn push(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<String>,
    Query(query): Query<PushQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<PushDone>, Fault> {
    caller.require(Scope::Submit)?;
    let current = api.current();
    require_app(&current, &caller, &app)?;
    let load = query.load.clone();
    let plan = plan(&current, &caller, &app, query)?;
    let format = format(&headers)?;
    let most = current.config.limits.upload;
    let upload = Upload::begin(&headers, body, most, api.transfers.take(&caller.name)?)?;
    let source = tokio::task::spawn_blocking(move || Source::open(upload, format)).await;
    let source = match source.map_err(|e| Fault::internal(e.to_string()))? {
        Ok(source) => source,
        Err(e) if is_too_large(&e) => return Err(too_large(most)),
        Err(e) if is_cut(&e) => return Err(cut(&NOTHING)),
        Err(e) => return Err(e.into()),
    };
    let done = bulk::push(current.ledger(), &caller.name, source, plan, &mut |_| Ok(())).await;
    let done = done.map_err(|cut| was_cut(cut, most))?;
    Ok(Json(PushDone {
        records: done.records,
        duplicates: done.duplicates,
        already: done.already,
        key: load,
        ended_before: done.ended_before,
    }))
}

fn require_app(current: &Current, caller: &Caller, app: &str) -> Result<(), Fault> {
    app.parse::<AppName>().map_err(|e| Fault::not_found(format!("there is no app {app:?}: {e}")))?;
    records::require_target(&current.project, app, false)
        .map_err(|e| Fault::from(e.with_kind(ErrorKind::NotFound)))?;
    caller.require_app(app)
}

fn plan(current: &Current, caller: &Caller, app: &str, query: PushQuery) -> Result<Push, Fault> {
    let from = query.from.unwrap_or_else(|| SOURCE.to_owned());
    from.parse::<AppName>().map_err(|e| Fault::field("from", e.to_string()).into_bad_request())?;
    if from != SOURCE {
        caller.require_app(&from)?;
    }
    let whole = query.whole.unwrap_or(false);
    if whole && query.load.is_none() {
        return Err(
            Fault::field("load", "is missing: what is to appear all at once needs a name").into_bad_request()
        );
    }
    if query
        .load
        .as_ref()
        .is_some_and(|load| load.is_empty() || load.len() > 255 || load.chars().any(char::is_control))
    {
        return Err(Fault::field("load", "must have 1 to 255 characters").into_bad_request());
    }
    if let Some(flow) = query.flow.as_deref().filter(|flow| current.project.config.flow(flow).is_none()) {
        return Err(Fault::field("flow", format!("there is no flow {flow:?}")).into_bad_request());
    }
    let attempts = current.project.config.app(app).map(|app| app.max_attempts());
    let usual = Shape::new(from, app);
    Ok(Push {
        shape: Shape {
            max_attempts: attempts.unwrap_or(usual.max_attempts),
            dedup: query.dedup,
            order: query.order,
            priority: query.priority.unwrap_or(0),
            flow: query.flow,
            ..usual
        },
        // A name of its own for each caller and app: equal names of two are two loads, and none is one of Handover's own.
        key: query.load.map(|load| format!("api:{}:{app}:{load}", caller.name)),
        whole,
        skip: false,
    })
}

fn format(headers: &HeaderMap) -> Result<Format, Fault> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match media_type(given).as_str() {
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Format::Ndjson),
        "application/json" => Ok(Format::Json),
        "text/csv" => Ok(Format::Csv),
        _ => {
            let message = format!(
                "records of the type {given:?} are not taken: application/x-ndjson, application/json and text/csv are"
            );
            let fault = Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message);
            Err(fault.with(header::ACCEPT, "application/x-ndjson, application/json, text/csv"))
        }
    }
}

const NOTHING: &str = "nothing of it is in the ledger";

/// What is said of a push that did not come to its end: what is in stays in, and how to go on.
fn was_cut(pushed: Cut, most: u64) -> Fault {
    let Cut { error, done, .. } = pushed;
    let is_in = match (&done.key, done.records) {
        (_, 0) => NOTHING.to_owned(),
        (Some(_), count) => {
            format!("{count} records are in the ledger: push the same again with the same `load` to go on")
        }
        (None, count) => {
            format!("{count} records are in the ledger; with `load` a push could go on where it was cut")
        }
    };
    if is_too_large(&error) {
        return too_large(most);
    }
    match error.kind() {
        ErrorKind::BadData => {
            let text = error.to_string();
            let (field, issue) = text.split_once(": ").unwrap_or(("body", &text));
            let (field, issue) = (field.to_owned(), format!("{issue}; {is_in}"));
            Fault::invalid(vec![Detail { field, issue }])
        }
        _ if is_cut(&error) => cut(&is_in),
        _ => error.into(),
    }
}

/// Claims records of an app: they are the caller's until the lease ends, or it answers with `ack`.
#[utoipa::path(post, path = "/staging/{app}/pull", tag = "staging", request_body(content = PullRequest, description = "How many, and how long"),
    params(("app" = String, Path, description = "The app whose records are wanted")),
    responses(
        (status = 200, body = Pulled), (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope),
        (status = 403, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope), (status = 408, body = ErrorEnvelope),
        (status = 413, body = ErrorEnvelope), (status = 415, body = ErrorEnvelope), (status = 422, body = ErrorEnvelope),
        (status = 429, body = ErrorEnvelope), (status = 503, body = ErrorEnvelope)
    )
)]
pub(crate) async fn pull(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<String>,
    OptionalJson(asked): OptionalJson<PullRequest>,
) -> Result<Json<Pulled>, Fault> {
    caller.require(Scope::Submit)?;
    let current = api.current();
    require_app(&current, &caller, &app)?;
    let within =
        |field: &str, value: Option<u64>, usual: u64, from: u64, to: u64| match value.unwrap_or(usual) {
            value if (from..=to).contains(&value) => Ok(value),
            _ => Err(Fault::field(field, format!("must be {from} to {to}"))),
        };
    let max = within("max", asked.max.map(|max| max as u64), 1, 1, PULL_MAX as u64)?;
    let wait = within("wait_seconds", asked.wait_seconds, 0, 0, 60)?;
    let lease = within("lease_seconds", asked.lease_seconds, PULL_LEASE_DEFAULT_MS / 1_000, 1, 86_400)?;
    records::tell_claims(&current.project, &caller.name, Some(&app)).await?;
    let what = Pull {
        app,
        max: usize::try_from(max).unwrap_or(PULL_MAX),
        wait: Duration::from_secs(wait),
        lease: Duration::from_secs(lease),
        who: caller.name.clone(),
    };
    let mut draining = api.draining.clone();
    let claimed = tokio::select! {
        claimed = pull::pull(current.ledger(), current.project.clock.as_ref(), what) => claimed?,
        _ = draining.wait_for(|drains| *drains) => Vec::new(),
    };
    let first = claimed.first();
    let (token, lease_until) =
        (first.and_then(|one| one.lease_token.clone()), first.and_then(|one| one.lease_until));
    let records = claimed
        .into_iter()
        .map(|one| PulledRecord { id: one.id, attempt: one.attempts, data: one.data })
        .collect();
    Ok(Json(Pulled { token, lease_until, records }))
}

/// Answers a claim: its records, or some of them, are done, given up, or tried again; or the claim lasts longer. All count or none.
#[utoipa::path(post, path = "/staging/{app}/ack", tag = "staging", request_body = AckRequest,
    params(("app" = String, Path, description = "The app whose records they are")),
    responses(
        (status = 200, body = Acked), (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope),
        (status = 403, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope), (status = 408, body = ErrorEnvelope),
        (status = 409, description = "The claim does not stand (any more): nothing was changed", body = ErrorEnvelope),
        (status = 413, body = ErrorEnvelope), (status = 415, body = ErrorEnvelope), (status = 422, body = ErrorEnvelope),
        (status = 429, body = ErrorEnvelope), (status = 503, body = ErrorEnvelope)
    )
)]
pub(crate) async fn ack(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<String>,
    body: JsonBody<AckRequest>,
) -> Result<Response, Fault> {
    caller.require(Scope::Submit)?;
    let current = api.current();
    require_app(&current, &caller, &app)?;
    let asked = body.meant;
    if asked.ids.as_ref().is_some_and(Vec::is_empty) {
        return Err(Fault::field("ids", "is empty: leave it out to answer the whole claim"));
    }
    let ledger = current.ledger();
    let claim = token::read(&asked.token).map_err(|e| Fault::field("token", e.to_string()))?;
    belongs(ledger, &claim, &app).await?;
    let ids = asked.ids.unwrap_or_default();
    let error = || asked.error.clone().unwrap_or_else(|| format!("given up by {}", caller.name));
    let records = match asked.outcome {
        AckOutcome::Extend => {
            let seconds = asked.lease_seconds.unwrap_or(PULL_LEASE_DEFAULT_MS / 1_000);
            if !(1..=86_400).contains(&seconds) {
                return Err(Fault::field("lease_seconds", "must be 1 to 86400"));
            }
            token::extend(ledger, &claim, Duration::from_secs(seconds)).await?
        }
        AckOutcome::Completed => {
            let outcome = Outcome::Completed { result: None, next: Vec::new() };
            answered(&current, &claim, &ids, outcome).await?
        }
        AckOutcome::Failed | AckOutcome::Retry => {
            let verdict = if asked.outcome == AckOutcome::Failed { Verdict::Final } else { Verdict::Retry };
            let outcome = Outcome::Failed { error: error(), verdict, result: None };
            answered(&current, &claim, &ids, outcome).await?
        }
    };
    Ok(Json(Acked { records }).into_response())
}

/// Answers, and counts what was answered. Returns how many.
async fn answered(
    current: &Current,
    claim: &handover_core::LeaseToken,
    ids: &[DeliveryId],
    outcome: Outcome,
) -> Result<usize, Fault> {
    let answered = token::answer(current.ledger(), claim, ids, outcome).await?;
    // The answer stands, whether it could be counted or not.
    if let Err(e) = records::count_answered(&current.project, &answered).await {
        tracing::warn!("cannot count what was answered: {e}");
    }
    Ok(answered.len())
}

/// A token opens what it holds, but only under the app that this is.
async fn belongs(
    ledger: &dyn handover_ledger::Ledger,
    claim: &handover_core::LeaseToken,
    app: &str,
) -> Result<(), Fault> {
    let held = token::holds(ledger, claim, &[]).await?;
    let Some(first) = held.first() else { return Ok(()) };
    match ledger.get(first.id).await? {
        Some(one) if one.target_app.as_deref() != Some(app) => {
            Err(Fault::conflict("STALE", format!("this claim is not of {app}: nothing was changed")))
        }
        _ => Ok(()),
    }
}
