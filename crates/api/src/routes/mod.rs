//! The routes, one module a resource. Each handler takes and returns types; the OpenAPI document is made from them.
//!
//! v1 and v2 are the same handlers: v2 gives its errors as problem details, and has one operation for each app.

pub(crate) mod apps;
pub(crate) mod deliveries;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod jobs;
pub(crate) mod login;
pub(crate) mod results;
pub(crate) mod staging;
pub(crate) mod submit;
pub(crate) mod system;

use crate::fault::Fault;
use crate::state::Api;
use axum::extract::FromRequestParts;
use axum::extract::OriginalUri;
use handover_core::Delivery;
use handover_ledger::{Filter, Ledger};
use handover_runtime::config::API_VERSIONS;
use http::request::Parts;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// All of them.
pub(crate) fn all() -> OpenApiRouter<Api> {
    let mut router = OpenApiRouter::new()
        .routes(routes!(system::livez))
        .routes(routes!(system::readyz))
        .routes(routes!(system::health))
        .routes(routes!(system::metrics));
    for version in API_VERSIONS {
        router = router.nest(&format!("/api/{version}"), versioned());
    }
    router.route("/api/v2/apps/{app}/jobs", axum::routing::post(submit::submit_typed))
}

/// What every version has.
fn versioned() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(apps::list))
        .routes(routes!(apps::status))
        .routes(routes!(submit::submit, jobs::list))
        .routes(routes!(jobs::get))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::retry))
        .routes(routes!(jobs::replay))
        .routes(routes!(jobs::explain))
        .routes(routes!(results::list))
        .routes(routes!(results::fetch))
        .routes(routes!(events::follow))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::get))
        .routes(routes!(deliveries::explain))
        .routes(routes!(deliveries::retry))
        .routes(routes!(deliveries::replay))
        .routes(routes!(deliveries::cancel))
        .routes(routes!(staging::push))
        .routes(routes!(staging::pull))
        .routes(routes!(staging::ack))
        .routes(routes!(files::post))
        .routes(routes!(files::get, files::put))
}

/// The answer to any other path.
pub(crate) async fn nothing_here(OriginalUri(uri): OriginalUri) -> Fault {
    let version = uri.path().strip_prefix("/api/").and_then(|rest| rest.split('/').next());
    match version {
        Some(version)
            if version.starts_with('v')
                && version[1..].bytes().all(|b| b.is_ascii_digit())
                && !API_VERSIONS.contains(&version) =>
        {
            Fault::not_found(format!(
                "there is no version {version} of the API: there are {}",
                API_VERSIONS.join(" and ")
            ))
        }
        _ => Fault::not_found("there is nothing under this path; /api/docs shows what there is"),
    }
}

/// The version that a request is for.
pub(crate) struct Version(pub(crate) &'static str);

impl<S: Send + Sync> FromRequestParts<S> for Version {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let path = parts.extensions.get::<OriginalUri>().map_or(parts.uri.path(), |uri| uri.0.path());
        let version = path.strip_prefix("/api/").and_then(|rest| rest.split('/').next());
        Ok(Self(API_VERSIONS.into_iter().find(|known| Some(*known) == version).unwrap_or(API_VERSIONS[0])))
    }
}

/// A cursor: the number of the last delivery of the page before, opaque to clients.
pub(crate) mod cursor {
    use crate::fault::Fault;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use handover_core::DeliveryId;

    pub(crate) fn write(id: DeliveryId) -> String {
        URL_SAFE_NO_PAD.encode(id.0.to_be_bytes())
    }

    pub(crate) fn read(text: &str) -> Result<DeliveryId, Fault> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        let id = bytes.map(i64::from_be_bytes).filter(|id| *id > 0);
        id.map(DeliveryId).ok_or_else(|| {
            Fault::field("cursor", "is none that this API gave: leave it out to begin anew")
                .into_bad_request()
        })
    }
}

/// So many of a list are given at once, at most, and where nothing is said.
pub(crate) const PAGE_MAX: usize = 500;
pub(crate) const PAGE_DEFAULT: usize = 50;

/// How many of a list are wanted.
pub(crate) fn page(limit: Option<u32>) -> Result<usize, Fault> {
    match limit.map_or(PAGE_DEFAULT, |limit| limit as usize) {
        limit @ 1..=PAGE_MAX => Ok(limit),
        _ => Err(Fault::field("limit", format!("must be 1 to {PAGE_MAX}")).into_bad_request()),
    }
}

/// So many deliveries of a page are read at a time.
const ROWS_AT_ONCE: usize = 20;
/// A page ends early where its deliveries come to so many bytes, about.
const PAGE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// A page of deliveries, newest first, and whether there are more: at most so many, and fewer where they are large.
pub(crate) async fn read_page(
    ledger: &dyn Ledger,
    filter: Filter,
    limit: usize,
) -> handover_core::Result<(Vec<Delivery>, bool)> {
    let (mut found, mut bytes, mut before) = (Vec::new(), 0, filter.before);
    loop {
        let some = ROWS_AT_ONCE.min(limit - found.len());
        let mut rows = ledger.list(Filter { before, limit: some + 1, ..filter.clone() }).await?;
        let more = rows.len() > some;
        rows.truncate(some);
        bytes +=
            rows.iter().map(|row| size_of(&row.data) + row.result.as_ref().map_or(0, size_of)).sum::<usize>();
        before = rows.last().map(|row| row.id).or(before);
        found.append(&mut rows);
        if !more || found.len() >= limit || bytes > PAGE_MAX_BYTES {
            return Ok((found, more));
        }
    }
}

/// About how many bytes a value takes as JSON.
fn size_of(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| size_of(item) + 1).sum::<usize>() + 2,
        Value::Object(map) => {
            map.iter().map(|(name, item)| name.len() + size_of(item) + 4).sum::<usize>() + 2
        }
        _ => 8,
    }
}
