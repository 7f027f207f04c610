//! The style, the script and the icon. A name holds its content's digest, so that a browser keeps each for ever and has the new
//! one after an update.

use super::Wrong;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use handover_core::id::hex;
use http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

const FOLDER: &str = "/pages/assets/";

struct Asset {
    path: String,
    etag: String,
    media_type: &'static str,
    content: &'static str,
}

impl Asset {
    fn new(stem: &str, ext: &str, media_type: &'static str, content: &'static str) -> Self {
        let digest = &hex(&Sha256::digest(content.as_bytes()))[..16];
        let path = format!("{FOLDER}{stem}-{digest}.{ext}");
        Self { path, etag: format!("\"{digest}\""), media_type, content }
    }
}

static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    [
        Asset::new("dashboard", "css", "text/css; charset=utf-8", include_str!("../../assets/dashboard.css")),
        Asset::new(
            "dashboard",
            "js",
            "text/javascript; charset=utf-8",
            include_str!("../../assets/dashboard.js"),
        ),
        Asset::new("handover", "svg", "image/svg+xml", include_str!("../../assets/handover.svg")),
    ]
});

/// The address of the style.
pub(super) fn css() -> &'static str {
    &ASSETS[0].path
}

/// The address of the script.
pub(super) fn js() -> &'static str {
    &ASSETS[1].path
}

/// The address of the icon.
pub(super) fn icon() -> &'static str {
    &ASSETS[2].path
}

/// Whether a path is that of an asset: nobody must be known for it.
pub fn is_asset(path: &str) -> bool {
    path.starts_with(FOLDER)
}

/// One of them.
pub(super) async fn asset(Path(name): Path<String>, asked: HeaderMap) -> Result<Response, Wrong> {
    let found = ASSETS.iter().find(|asset| asset.path.strip_prefix(FOLDER) == Some(&name));
    let asset = found.ok_or_else(|| Wrong::not_found("there is no such file; reload the page"))?;
    let headers = [
        (header::CONTENT_TYPE, asset.media_type),
        (header::ETAG, asset.etag.as_str()),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = known.flat_map(|value| value.split(','));
    if known.any(|etag| etag.trim().trim_start_matches("W/") == asset.etag) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    Ok((headers, asset.content).into_response())
}
