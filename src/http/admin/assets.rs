//! The style sheet, the icon and the scripts, part of the binary. Their addresses carry a hash of their content, so
//! browsers may keep them for a year.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use warp::http::HeaderValue;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use warp::reply::Response;

use crate::http::problem::Problem;

const SCRIPT: &str = "text/javascript; charset=utf-8";

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    vec![
        Asset::new("style", "css", "text/css; charset=utf-8", include_str!("../../../templates/style.css")),
        Asset::new("live", "js", "text/javascript; charset=utf-8", include_str!("../../../templates/live.js")),
        Asset::new("icon", "svg", "image/svg+xml", include_str!("../../../templates/icon.svg")),
        Asset::new("clock", "js", SCRIPT, include_str!("../../../templates/clock.js")),
        Asset::new("progress", "js", SCRIPT, include_str!("../../../templates/progress.js")),
    ]
});

struct Asset {
    stem: &'static str,
    /// The file name: stem, hash and extension.
    name: String,
    kind: &'static str,
    body: &'static str,
}

impl Asset {
    fn new(stem: &'static str, extension: &str, kind: &'static str, body: &'static str) -> Self {
        let hash = URL_SAFE_NO_PAD.encode(&digest(&SHA256, body.as_bytes()).as_ref()[..9]);
        Self { stem, name: format!("{stem}-{hash}.{extension}"), kind, body }
    }
}

/// The file name of the one with that stem; empty when there is none.
pub(super) fn named(stem: &str) -> &'static str {
    ASSETS.iter().find(|asset| asset.stem == stem).map_or("", |asset| &asset.name)
}

/// `GET /admin/assets/{name}`, open to everybody.
///
/// # Errors
/// 404 for another name, which includes those of older versions.
pub(super) fn serve(name: &str) -> Result<Response, Problem> {
    let asset = ASSETS.iter().find(|asset| asset.name == name).ok_or(Problem::not_found())?;
    let mut response = Response::new(asset.body.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    Ok(response)
}
