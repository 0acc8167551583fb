//! `/log`: the log as others read and check it. Tiles and checkpoint in the layout of C2SP tlog-tiles, proofs as JSON and
//! in the form of C2SP tlog-proof. Nothing here is told of people but one entry's detail, to admins.
//!
//! Everything is as of the newest published checkpoint: what came later is not under a signature yet.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use warp::http::HeaderValue;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use warp::reply::Response;

use super::call::Call;
use super::caller::Caller;
use super::problem::{Kind, Problem};
use super::reply;
use crate::merkle::{self, Hash, leaf_hash};
use crate::notary::Published;
use crate::store::{self, Evidence};
use crate::tlog::proof::Proof;
use crate::tlog::tile_path::TilePath;

/// What a full tile, which never changes, may be kept for.
const FOR_EVER: &str = "max-age=31536000, immutable";

/// Answers for everything below `/log/`.
pub(super) async fn serve(call: Call, path: &str) -> Result<Response, Problem> {
    call.get_only()?;
    let reader = call.log_reader().await?;
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        ["checkpoint"] => {
            call.no_query()?;
            Ok(text(call.published()?.note.clone()))
        }
        ["vkey"] => {
            call.no_query()?;
            let keys = call.app.notary.verifiers();
            let lines: Vec<String> = keys.iter().map(ToString::to_string).collect();
            if lines.is_empty() { Err(in_doubt()) } else { Ok(text(lines.join("\n") + "\n")) }
        }
        ["proof", "inclusion"] => inclusion(&call).await,
        ["proof", "consistency"] => consistency(&call).await,
        ["entries", name] => entry(&call, reader.as_ref(), name).await,
        ["tile", ..] => tile(&call, path).await,
        _ => Err(Problem::not_found()),
    }
}

fn in_doubt() -> Problem {
    Problem::unavailable("The log is in doubt; nothing of it is vouched for until its operator settles that.", 60)
}

fn text(body: String) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A tile of hashes or a bundle of entries.
async fn tile(call: &Call, path: &str) -> Result<Response, Problem> {
    call.no_query()?;
    let path: TilePath = path.parse().map_err(|_| Problem::not_found())?;
    if !path.is_within(call.published()?.checkpoint.size) {
        return Err(Problem::not_found());
    }
    let bytes = call.app.store.examine(move |evidence| evidence.tile_file(path)).await?.ok_or_else(pruned)?;
    let mut response = Response::new(bytes.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if path.partial.is_none() {
        let who = if call.app.settings.public_log { "public" } else { "private" };
        let value = HeaderValue::try_from(format!("{who}, {FOR_EVER}"));
        headers.extend(value.ok().map(|value| (CACHE_CONTROL, value)));
    }
    Ok(response)
}

fn pruned() -> Problem {
    Problem::new(Kind::Gone, "These entries were pruned; the tree still covers them.")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InclusionQuery {
    index: u64,
    size: Option<u64>,
}

#[derive(Serialize)]
struct InclusionJson {
    index: u64,
    size: u64,
    leaf_hash: String,
    root: String,
    proof: Vec<String>,
}

async fn inclusion(call: &Call) -> Result<Response, Problem> {
    let InclusionQuery { index, size } = call.query()?;
    let size = call.size(size)?;
    if index >= size {
        return Err(Problem::bad_request("The index must be less than the size."));
    }
    let json = call.app.store.examine(move |evidence| {
        let leaf = evidence.leaf_hash(index)?;
        let (path, root) = (path(evidence, index, size)?, evidence.root_at(size)?);
        Ok(InclusionJson {
            index,
            size,
            leaf_hash: STANDARD.encode(leaf),
            root: STANDARD.encode(root),
            proof: base64(&path),
        })
    });
    Ok(reply::json(&json.await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsistencyQuery {
    from: u64,
    to: Option<u64>,
}

#[derive(Serialize)]
struct ConsistencyJson {
    from: u64,
    to: u64,
    from_root: String,
    to_root: String,
    proof: Vec<String>,
}

async fn consistency(call: &Call) -> Result<Response, Problem> {
    let ConsistencyQuery { from, to } = call.query()?;
    let to = call.size(to)?;
    if from == 0 || from > to {
        return Err(Problem::bad_request("The sizes must be so: 0 < from <= to <= that of the newest checkpoint."));
    }
    let json = call.app.store.examine(move |evidence| {
        let proof = merkle::consistency(from, to, |level, index| evidence.hashes(level, index))?;
        let [from_root, to_root] = [evidence.root_at(from)?, evidence.root_at(to)?].map(|root| STANDARD.encode(root));
        Ok(ConsistencyJson { from, to, from_root, to_root, proof: base64(&proof) })
    });
    Ok(reply::json(&json.await?))
}

/// One entry with its proof.
#[derive(Serialize)]
struct ProvenJson<'a> {
    index: u64,
    /// The leaf as JSON, and its exact bytes.
    leaf: &'a RawValue,
    leaf_base64: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a RawValue>,
    /// The salt that the leaf's commitment to the detail begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    inclusion: Inclusion,
    checkpoint: &'a str,
}

#[derive(Serialize)]
struct Inclusion {
    size: u64,
    proof: Vec<String>,
}

/// An entry's rows and the way from it to the root.
struct Proven {
    leaf: String,
    detail: Option<Vec<u8>>,
    path: Vec<Hash>,
}

async fn entry(call: &Call, reader: Option<&Caller>, name: &str) -> Result<Response, Problem> {
    call.no_query()?;
    let (index, as_text) = match name.strip_suffix(".tlog-proof") {
        Some(index) => (index, true),
        None => (name, false),
    };
    let index: u64 = index.parse().map_err(|_| Problem::not_found())?;
    let published = call.covering(index, reader).await?;
    let size = published.checkpoint.size;
    let proven = call.app.store.examine(move |evidence| proven(evidence, index, size)).await?.ok_or_else(pruned)?;
    if as_text {
        let note = published.note.parse().map_err(|_| in_doubt())?;
        let proof = Proof { extra: Vec::new(), index, path: proven.path, checkpoint: note };
        return Ok(text(proof.to_string()));
    }
    if let Some(reader) = reader {
        call.app.store.record(reader.entry(call, "log.entry_read").with("index", Some(index))).await?;
    }
    let malformed = || Problem::from(store::Error::Corrupt("an entry"));
    let detail = proven.detail.as_deref().filter(|_| reader.is_some());
    let (salt, detail) = match detail.map(|row| row.split_at_checked(32).ok_or_else(malformed)).transpose()? {
        Some((salt, detail)) => (Some(salt), Some(serde_json::from_slice(detail).map_err(|_| malformed())?)),
        None => (None, None),
    };
    Ok(reply::json(&ProvenJson {
        index,
        leaf: serde_json::from_str(&proven.leaf).map_err(|_| malformed())?,
        leaf_base64: STANDARD.encode(&proven.leaf),
        detail,
        salt: salt.map(|salt| STANDARD.encode(salt)),
        inclusion: Inclusion { size, proof: base64(&proven.path) },
        checkpoint: &published.note,
    }))
}

/// `None` when the entry was pruned.
fn proven(evidence: &Evidence, index: u64, size: u64) -> Result<Option<Proven>, store::Error> {
    let Some((_, leaf)) = evidence.leaves(index..index + 1)?.pop() else { return Ok(None) };
    let path = path(evidence, index, size)?;
    // What would not convince the reader is not handed out as a proof.
    if merkle::verify_inclusion(&leaf_hash(&leaf), index, size, &path, &evidence.root_at(size)?).is_err() {
        return Err(store::Error::Corrupt("an entry is not what was hashed"));
    }
    let leaf = String::from_utf8(leaf).map_err(|_| store::Error::Corrupt("a leaf"))?;
    let detail = evidence.details(index..index + 1)?.pop().map(|(_, row)| row);
    Ok(Some(Proven { leaf, detail, path }))
}

fn path(evidence: &Evidence, index: u64, size: u64) -> Result<Vec<Hash>, store::Error> {
    merkle::inclusion(index, size, |level, index| evidence.hashes(level, index))
}

fn base64(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| STANDARD.encode(hash)).collect()
}

impl Call {
    /// The admin who reads the log; `None` for anybody else, where the log is public.
    async fn log_reader(&self) -> Result<Option<Caller>, Problem> {
        if self.app.settings.public_log {
            return Ok(self.optional_caller().await?.filter(Caller::is_admin));
        }
        let caller = self.caller().await?;
        self.require_admin(&caller).await?;
        Ok(Some(caller))
    }

    fn published(&self) -> Result<Arc<Published>, Problem> {
        self.app.notary.published().ok_or_else(in_doubt)
    }

    /// A checkpoint that covers the entry: for an admin who asks for one that is newer than the newest, one is signed.
    async fn covering(&self, index: u64, reader: Option<&Caller>) -> Result<Arc<Published>, Problem> {
        let published = self.published()?;
        if index < published.checkpoint.size {
            return Ok(published);
        }
        if reader.is_none() || index >= self.app.store.counts().entries {
            return Err(Problem::not_found());
        }
        self.app.notary.publish().await.map_err(|cause| in_doubt().because(cause))
    }

    /// The size asked for, else that of the newest checkpoint.
    fn size(&self, asked: Option<u64>) -> Result<u64, Problem> {
        let newest = self.published()?.checkpoint.size;
        match asked {
            Some(size) if size == 0 || size > newest => {
                Err(Problem::bad_request("The size must be at least 1 and at most that of the newest checkpoint."))
            }
            Some(size) => Ok(size),
            None => Ok(newest),
        }
    }
}
