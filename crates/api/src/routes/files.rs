//! Files: uploaded, which publishes them with their manifest by the same protocol as any output; and downloaded.

use super::Version;
use super::results::file_content;
use crate::auth::{Caller, Scope};
use crate::body::{Query, cut, too_large};
use crate::fault::Fault;
use crate::model::{ErrorEnvelope, Uploaded};
use crate::state::{Api, Current};
use crate::transfer::send;
use crate::upload::{Upload, is_cut, is_too_large};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handover_core::name::check_ext;
use handover_core::{Error, ErrorKind, FileName, TypeName};
use handover_file::draft::Written;
use handover_file::read::{self, Retained};
use handover_runtime::operations::put::{self, Done, Put};
use http::{HeaderMap, StatusCode, header};
use jiff::civil::Date;
use serde::Deserialize;
use utoipa::IntoParams;

/// What an uploaded file is to be.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PostQuery {
    /// The app whose output it is.
    #[param(example = "file-importer")]
    app: String,
    /// What it holds: the type in its name.
    #[serde(rename = "type")]
    #[param(rename = "type", example = "sales")]
    type_name: String,
    /// Its extension.
    #[param(example = "csv")]
    ext: String,
    /// The date in its name; by default today.
    #[param(value_type = Option<String>, format = Date)]
    date: Option<Date>,
    /// The app that gets it; by default those that the app's links lead to.
    next: Option<String>,
    /// The flow that it belongs to; by default every flow that leads on from the app.
    flow: Option<String>,
}

/// Uploads a file: published under the next free name, all at once, with its manifest, and handed on.
#[utoipa::path(post, path = "/files", tag = "files", params(PostQuery,
        ("Content-Digest" = Option<String>, Header, description = "sha-256=:…: is compared with what came (RFC 9530)")
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, body = Uploaded, headers(("Location" = String, description = "The file"))),
        (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope), (status = 403, body = ErrorEnvelope),
        (status = 408, body = ErrorEnvelope), (status = 413, body = ErrorEnvelope), (status = 422, body = ErrorEnvelope),
        (status = 429, body = ErrorEnvelope), (status = 503, body = ErrorEnvelope)
    )
)]
pub(crate) async fn post(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Version(version): Version,
    Query(query): Query<PostQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    caller.require(Scope::Submit)?;
    crate::idempotency::refuse(&headers)?;
    let name = |field: &str, error: Error| Fault::field(field, error.to_string()).into_bad_request();
    check_ext(&query.ext).map_err(|e| name("ext", e))?;
    let put = Put {
        app: query.app.parse().map_err(|e| name("app", e))?,
        type_name: TypeName::new(&query.type_name).map_err(|e| name("type", e))?,
        next: query.next.map(|next| next.parse()).transpose().map_err(|e| name("next", e))?,
        flow: query.flow,
        date: query.date,
        ext: Some(query.ext),
        sequence: None,
    };
    let current = api.current();
    let written = receive(&api, &current, &caller, &put, &headers, body).await?;
    let done = put::put_written(&current.project, &caller.name, put, written).await?;
    Ok(created(done, version))
}

/// How a file goes on that is uploaded under its name.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PutQuery {
    /// The app that gets it; by default those that the app's links lead to.
    next: Option<String>,
    /// The flow that it belongs to; by default every flow that leads on from the app.
    flow: Option<String>,
}

/// Uploads a file under its own name, such as `imports/2025-11-24/file-importer_sales_2025-11-24_001.csv`. The same content once
/// more changes nothing; another content under a name that is taken is refused: what is published is never replaced.
#[utoipa::path(put, path = "/files/{*path}", tag = "files", params(
        ("path" = String, Path, description = "Folder, date and name"), PutQuery,
        ("Content-Digest" = Option<String>, Header, description = "sha-256=:…: is compared with what came (RFC 9530)")
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, body = Uploaded, headers(("Location" = String, description = "The file"))),
        (status = 204, description = "It is there with this content already"),
        (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope), (status = 403, body = ErrorEnvelope),
        (status = 408, body = ErrorEnvelope), (status = 409, description = "The name is taken", body = ErrorEnvelope),
        (status = 413, body = ErrorEnvelope), (status = 422, body = ErrorEnvelope), (status = 429, body = ErrorEnvelope),
        (status = 503, body = ErrorEnvelope)
    )
)]
pub(crate) async fn put(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Version(version): Version,
    Path(path): Path<String>,
    Query(query): Query<PutQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    caller.require(Scope::Submit)?;
    let current = api.current();
    let name = named(&current, &path)?;
    let next = query.next.map(|next| next.parse()).transpose();
    let put = Put {
        app: name.app,
        type_name: name.type_name,
        next: next.map_err(|e: Error| Fault::field("next", e.to_string()).into_bad_request())?,
        flow: query.flow,
        date: Some(name.date),
        ext: Some(name.ext),
        sequence: Some(name.sequence),
    };
    let written = receive(&api, &current, &caller, &put, &headers, body).await?;
    let checksum = written.checksum;
    match put::put_written(&current.project, &caller.name, put, written).await {
        Ok(done) => Ok(created(done, version)),
        Err(e) if e.kind() == ErrorKind::Exists => {
            let (data, wanted) = (current.project.data.clone(), path.clone());
            let there = tokio::task::spawn_blocking(move || {
                read::retained(&data, &wanted).map(|found| found.checksum())
            });
            match there.await {
                Ok(Ok(same)) if same == checksum => Ok(StatusCode::NO_CONTENT.into_response()),
                _ => Err(e.into()),
            }
        }
        Err(e) => Err(e.into()),
    }
}

/// The name in a path, where both follow the convention and the folder is the app's.
fn named(current: &Current, path: &str) -> Result<FileName, Fault> {
    let wrong = |issue: String| Fault::field("path", issue).into_bad_request();
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let name: FileName = name.parse().map_err(|e: Error| {
        let hint = e.hint_text().unwrap_or_default();
        wrong(format!("{e}; {hint}"))
    })?;
    let own = current.project.config.app(name.app.as_str()).map(|app| app.folder.clone());
    let own = own.unwrap_or_else(|| handover_file::layout::default_folder(name.app.as_str()).to_owned());
    let right = format!("{own}/{}", name.date);
    if folder != right {
        return Err(wrong(format!("a file of {} with this date lies in {right}/", name.app)));
    }
    Ok(name)
}

/// Takes a body into a draft that nobody sees.
async fn receive(
    api: &Api,
    current: &Current,
    caller: &Caller,
    put: &Put,
    headers: &HeaderMap,
    body: Body,
) -> Result<Written, Fault> {
    caller.require_app(put.app.as_str())?;
    if let Some(next) = &put.next {
        caller.require_app(next.as_str())?;
    }
    let wanted = digest(headers)?;
    let ext = put.ext.as_deref().unwrap_or("dat");
    let mut draft = put::draft(&current.project, &api.holder, put, ext)?;
    let most = current.config.limits.upload;
    let mut upload = Upload::begin(headers, body, most, api.transfers.take(&caller.name)?)?;
    let written = tokio::task::spawn_blocking(move || {
        std::io::copy(&mut upload, &mut draft).map_err(|e| Error::io("take", "the body", e))?;
        draft.finish()
    });
    match written.await.map_err(|e| Fault::internal(e.to_string()))? {
        Ok(written) if wanted.as_ref().is_some_and(|wanted| wanted[..] != written.checksum.0[..]) => {
            let message = "what came has another SHA-256 than Content-Digest says: nothing was published; send it again";
            Err(Fault::bad_request("DIGEST_MISMATCH", message))
        }
        Ok(written) => Ok(written),
        Err(e) if is_too_large(&e) => Err(too_large(most)),
        Err(e) if is_cut(&e) => Err(cut(&"nothing of it was published")),
        Err(e) => Err(e.into()),
    }
}

/// The SHA-256 that a client says its body has (RFC 9530).
fn digest(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Fault> {
    let all = ["content-digest", "repr-digest"].into_iter().flat_map(|name| headers.get_all(name));
    for text in all.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(',')) {
        let Some(encoded) = text.trim().strip_prefix("sha-256=:") else { continue };
        let bytes = encoded.strip_suffix(':').and_then(|encoded| STANDARD.decode(encoded).ok());
        return match bytes.filter(|bytes| bytes.len() == 32) {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(Fault::bad_request(
                "BAD_DIGEST",
                "Content-Digest holds no SHA-256: write sha-256=:BASE64:",
            )),
        };
    }
    Ok(None)
}

fn created(done: Done, version: &str) -> Response {
    let location = format!("/api/{version}/files/{}", done.path);
    let uploaded = Uploaded {
        delivery_id: done.delivery_id,
        path: done.path,
        deliveries: done.deliveries,
        next_apps: done.next_apps.iter().map(ToString::to_string).collect(),
        size: done.file_size,
        checksum: done.checksum.to_string(),
        rows: done.row_count,
    };
    (StatusCode::CREATED, [(header::LOCATION, location)], Json(uploaded)).into_response()
}

/// Downloads a published file, from its place or from the archive: whole, or the part that `Range` asks for.
#[utoipa::path(get, path = "/files/{*path}", tag = "files",
    params(
        ("path" = String, Path, description = "The file's path in the data directory"),
        ("Range" = Option<String>, Header, description = "bytes=FIRST-LAST")
    ),
    responses(
        (status = 200, description = "All of it", content_type = "application/octet-stream", body = Vec<u8>,
            headers(("ETag" = String), ("Repr-Digest" = String))),
        (status = 206, description = "The part", content_type = "application/octet-stream", body = Vec<u8>),
        (status = 304, description = "It is what the client has"),
        (status = 400, body = ErrorEnvelope), (status = 401, body = ErrorEnvelope), (status = 403, body = ErrorEnvelope),
        (status = 404, body = ErrorEnvelope), (status = 416, body = ErrorEnvelope), (status = 429, body = ErrorEnvelope)
    )
)]
pub(crate) async fn get(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    caller.require(Scope::Read)?;
    let current = api.current();
    if published(&current, &caller, &path).await?.is_none() {
        return Err(Fault::not_found("there is no published file under this path"));
    }
    send(&headers, file_content(&current, &path).await?, Some(api.transfers.take(&caller.name)?))
}

/// The published file under a path, where this caller's apps made it or get it.
pub(super) async fn published(
    current: &Current,
    caller: &Caller,
    path: &str,
) -> Result<Option<Retained>, Fault> {
    let (data, wanted) = (current.project.data.clone(), path.to_owned());
    let found = tokio::task::spawn_blocking(move || read::retained(&data, &wanted));
    // A path that is none, a file without a manifest: nothing is published there.
    let Ok(found) = found.await.map_err(|e| Fault::internal(e.to_string()))? else { return Ok(None) };
    let theirs = caller.is_for_all() || {
        let manifest = found.manifest();
        let mut apps = manifest.next_app.iter().chain(&manifest.next_apps).chain([&manifest.created_by]);
        apps.any(|app| caller.is_for(app.as_str()))
    };
    Ok(theirs.then_some(found))
}
