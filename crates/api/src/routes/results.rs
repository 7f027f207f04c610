//! What came of a job: small outputs in the answer itself, all of them to be fetched with digest and Range, for so long as
//! results are kept; then 410 says so.

use super::Version;
use super::jobs::visible;
use crate::auth::Caller;
use crate::body::Id;
use crate::fault::Fault;
use crate::model::{ErrorEnvelope, JobOutput, JobResults};
use crate::state::{Api, Current};
use crate::transfer::{Content, Source, send};
use axum::extract::{RawPathParams, State};
use axum::response::Response;
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover_core::units::format_duration;
use handover_core::{Checksum, Delivery, ErrorKind, media};
use handover_file::read::{self, Retained};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// The name of an output that is kept in the ledger.
const INLINE: &str = "output";

/// What came of a job that has completed.
#[utoipa::path(get, path = "/jobs/{id}/results", operation_id = "results", tag = "jobs", params(("id" = i64, Path, description = "The job's number")),
    responses(
        (status = 200, body = JobResults), (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope),
        (status = 403, body = ErrorEnvelope), (status = 404, body = ErrorEnvelope),
        (status = 409, description = "It has not ended, or has failed", body = ErrorEnvelope),
        (status = 410, description = "Results are not kept so long", body = ErrorEnvelope), (status = 429, body = ErrorEnvelope)
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Version(version): Version,
    Id(id): Id,
) -> Result<Json<JobResults>, Fault> {
    let job = visible(&api, &caller, id).await?;
    let current = api.current();
    let expires_at = still_kept(&current, &job)?;
    let result = job.result.clone().unwrap_or_default();
    let number = |name: &str| result.get(name).and_then(Value::as_u64);
    let texts = |name: &str| -> Vec<String> {
        let all = result.get(name).and_then(Value::as_array);
        all.into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
    };
    let base = format!("/api/{version}/jobs/{id}/results");
    let mut outputs: Vec<JobOutput> = Kept::of(&result).map(|kept| kept.view(&base)).into_iter().collect();
    for path in texts("outputs") {
        outputs.push(file_output(&current, &path, &base).await?);
    }
    Ok(Json(JobResults {
        id,
        outputs,
        rows_in: number("rows_in"),
        rows_out: number("rows_out"),
        rows_rejected: number("rows_rejected"),
        notes: texts("notes"),
        expires_at,
    }))
}

/// One output of a job, as it was made: whole, or the part that `Range` asks for.
#[utoipa::path(get, path = "/jobs/{id}/results/{name}", tag = "jobs",
    params(
        ("id" = i64, Path, description = "The job's number"), ("name" = String, Path, description = "The output's name"),
        ("Range" = Option<String>, Header, description = "bytes=FIRST-LAST")
    ),
    responses(
        (status = 200, description = "All of it", content_type = "application/octet-stream", body = Vec<u8>,
            headers(("ETag" = String), ("Repr-Digest" = String))),
        (status = 206, description = "The part", content_type = "application/octet-stream", body = Vec<u8>),
        (status = 304, description = "It is what the client has"),
        (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope), (status = 403, body = ErrorEnvelope),
        (status = 404, body = ErrorEnvelope), (status = 409, body = ErrorEnvelope), (status = 410, body = ErrorEnvelope),
        (status = 416, body = ErrorEnvelope), (status = 429, body = ErrorEnvelope)
    )
)]
pub(crate) async fn fetch(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    params: RawPathParams,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let job = visible(&api, &caller, id).await?;
    let current = api.current();
    still_kept(&current, &job)?;
    let name = params.iter().find(|(key, _)| *key == "name").map_or("", |(_, value)| value).to_owned();
    let none = || Fault::not_found(format!("job {id} has no output of this name"));
    let result = job.result.clone().unwrap_or_default();
    if name == INLINE
        && let Some(kept) = Kept::of(&result)
    {
        return send(&headers, kept.content(format!("job-{id}"))?, None);
    }
    let outputs =
        result.get("outputs").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let path =
        outputs.into_iter().find(|path| path.rsplit('/').next() == Some(&name)).ok_or_else(none)?.to_owned();
    send(&headers, file_content(&current, &path).await?, Some(api.transfers.take(&caller.name)?))
}

/// Until when the results of a job are kept.
///
/// # Errors
/// 409 where it has none (yet), 410 where they are gone.
fn still_kept(current: &Current, job: &Delivery) -> Result<Timestamp, Fault> {
    let id = job.id;
    let view = crate::model::Job::of(job, false, "v1");
    if !view.has_ended() {
        let message = format!("job {id} has not ended: {}", job.status);
        return Err(Fault::conflict("NOT_ENDED", message).retry_after(Duration::from_secs(1)));
    }
    if let Some(error) = view.error {
        return Err(Fault::conflict(
            "JOB_FAILED",
            format!("job {id} failed ({}): {}", error.code, error.message),
        ));
    }
    let kept = current.config.results;
    let ended = job.processed_at.unwrap_or(job.updated_at);
    let expires_at = ended.checked_add(kept).unwrap_or(Timestamp::MAX);
    if expires_at <= current.project.clock.now() {
        let message = format!(
            "results are kept for {} after a job's end, and job {id} ended at {ended}: replay it to have them made again",
            format_duration(kept)
        );
        return Err(gone(message));
    }
    Ok(expires_at)
}

fn gone(message: String) -> Fault {
    Fault::new(StatusCode::GONE, "GONE", message)
}

/// An output that is kept in the ledger.
struct Kept<'a> {
    media_type: &'a str,
    size: u64,
    checksum: Checksum,
    text: Option<&'a str>,
    base64: Option<&'a str>,
}

impl<'a> Kept<'a> {
    fn of(result: &'a Value) -> Option<Self> {
        let output = result.get("output")?;
        let text = |name: &str| output.get(name).and_then(Value::as_str);
        Some(Self {
            media_type: text("media_type").unwrap_or("application/octet-stream"),
            size: output.get("size")?.as_u64()?,
            checksum: text("checksum")?.parse().ok()?,
            text: text("text"),
            base64: text("base64"),
        })
    }

    fn view(&self, base: &str) -> JobOutput {
        let is_json = self.media_type == "application/json";
        let json = self.text.filter(|_| is_json).and_then(|text| serde_json::from_str(text).ok());
        JobOutput {
            name: INLINE.to_owned(),
            media_type: self.media_type.to_owned(),
            size: self.size,
            checksum: self.checksum.to_string(),
            rows: None,
            url: format!("{base}/{INLINE}"),
            text: self.text.filter(|_| json.is_none()).map(str::to_owned),
            json,
        }
    }

    fn content(&self, name: String) -> Result<Content, Fault> {
        let bytes = match (self.text, self.base64) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(base64)) => {
                STANDARD.decode(base64).map_err(|e| Fault::internal(format!("a kept output: {e}")))?
            }
            (None, None) => Vec::new(),
        };
        Ok(Content {
            media_type: self.media_type.to_owned(),
            size: self.size,
            checksum: self.checksum,
            name,
            source: Source::Bytes(bytes.into()),
        })
    }
}

/// A file, wherever it lies now.
async fn find(current: &Current, path: &str) -> Result<Retained, Fault> {
    let (data, wanted) = (current.project.data.clone(), path.to_owned());
    let found = tokio::task::spawn_blocking(move || {
        let outside = handover_core::path_text::from_text(&wanted);
        if outside.is_absolute() { read::exported(&outside) } else { read::retained(&data, &wanted) }
    });
    match found.await.map_err(|e| Fault::internal(e.to_string()))? {
        Ok(found) => Ok(found),
        Err(e) if e.kind() == ErrorKind::NotFound => Err(gone(format!(
            "the file {path} is not there any more: it was removed by hand, or with the archive"
        ))),
        Err(e) => Err(e.into()),
    }
}

async fn file_output(current: &Current, path: &str, base: &str) -> Result<JobOutput, Fault> {
    let found = find(current, path).await?;
    let name = path.rsplit('/').next().unwrap_or(path).to_owned();
    Ok(JobOutput {
        media_type: media_type_of(&name).to_owned(),
        size: size_of(&found),
        checksum: found.checksum().to_string(),
        rows: found.manifest().row_count,
        url: format!("{base}/{name}"),
        name,
        json: None,
        text: None,
    })
}

/// A file as it is sent.
pub(crate) async fn file_content(current: &Current, path: &str) -> Result<Content, Fault> {
    let found = find(current, path).await?;
    let name = path.rsplit('/').next().unwrap_or(path).to_owned();
    Ok(Content {
        media_type: media_type_of(&name).to_owned(),
        size: size_of(&found),
        checksum: found.checksum(),
        name,
        source: Source::Reader(Box::new(move || found.open())),
    })
}

/// Its size as it was published, which in the archive may be another.
fn size_of(found: &Retained) -> u64 {
    handover_file::archive::original_of(found.manifest())
        .map_or(found.manifest().file_size, |was| was.file_size)
}

fn media_type_of(name: &str) -> &'static str {
    media::of_extension(name.split_once('.').map_or("", |(_, ext)| ext))
}
