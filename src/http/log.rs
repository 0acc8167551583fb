//! `/log`: the log as others read and check it. Tiles and checkpoint in the layout of C2SP tlog-tiles, proofs as JSON and
//! in the form of C2SP tlog-proof. Nothing here is told of people but one entry's detail, to admins
//! and to keys that may read entries as well.
//!
//! Everything is as of the newest published checkpoint: what came later is not under a signature yet.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use warp::http::HeaderValue;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use warp::reply::Response;

use super::call::Call;
use super::caller::Caller;
use super::problem::Problem;
use super::proven::{Proven, in_doubt, path, pruned};
use super::reply;
use super::route::{Operation, Route, Who};
use crate::api_key::Scope;
use crate::merkle::{self, Hash};
use crate::notary::Published;
use crate::store;
use crate::tlog::tile_path::TilePath;

/// What a full tile, which never changes, may be kept for.
const FOR_EVER: &str = "max-age=31536000, immutable";

/// The log's own routes.
pub(super) fn routes() -> Vec<Route> {
    let operation = |operation: Operation| operation.tag("Log").by(Who::Admin(Scope::LogRead));
    let plain = "text/plain; charset=utf-8";
    vec![
        Route::at("/log/checkpoint").get(operation(
            Operation::new("logCheckpoint", "The newest signed checkpoint", checkpoint)
                .describe(
                    "A signed note (C2SP tlog-checkpoint). The rest of `/log` is as of this one. With `ROLLBOOK_PUBLIC_LOG=true` all of \
                     it is for anybody.",
                )
                .answers_in::<String>(200, plain, "The note."),
        )),
        Route::at("/log/vkey").get(operation(
            Operation::new("logVerifierKey", "The keys that checkpoints are verified with", vkey)
                .describe("One line for each, the newest first. Keep them somewhere else than the log.")
                .answers_in::<String>(200, plain, "The keys, in the form of C2SP signed-note."),
        )),
        Route::at("/log/tile/{path*}").get(operation(
            Operation::new("logTile", "A tile of hashes or a bundle of entries", tile)
                .describe(
                    "In the layout of C2SP tlog-tiles: `0/x001/234`, `entries/000.p/5`. A full tile never changes.",
                )
                .answers_in::<String>(200, "application/octet-stream", "The file.")
                .problems(&[404, 410]),
        )),
        Route::at("/log/proof/inclusion").get(operation(
            Operation::new("proveInclusion", "Prove that an entry is in the log", inclusion)
                .describe("RFC 6962, section 2.1.1. Hashes are in base64.")
                .query::<InclusionQuery>()
                .answers::<InclusionJson>(200, "The proof."),
        )),
        Route::at("/log/proof/consistency").get(operation(
            Operation::new("proveConsistency", "Prove that the log only grew", consistency)
                .describe("RFC 6962, section 2.1.2. Hashes are in base64.")
                .query::<ConsistencyQuery>()
                .answers::<ConsistencyJson>(200, "The proof."),
        )),
        Route::at("/log/entries/{index}").get(operation(
            Operation::new("logEntry", "An entry with its proof", entry)
                .describe("With its detail for admins, and for keys with `audit:read` as well.")
                .answers::<ProvenJson<'_>>(200, "The entry.")
                .problems(&[404, 410]),
        )),
        Route::at("/log/entries/{index}.tlog-proof").get(operation(
            Operation::new("logEntryProof", "An entry's proof as a file", entry_proof)
                .describe("In the form of C2SP tlog-proof.")
                .answers_in::<String>(200, plain, "The proof.")
                .problems(&[404, 410]),
        )),
    ]
}

async fn checkpoint(call: Call) -> Result<Response, Problem> {
    call.log_reader().await?;
    call.no_query()?;
    Ok(text(call.published()?.note.clone()))
}

async fn vkey(call: Call) -> Result<Response, Problem> {
    call.log_reader().await?;
    call.no_query()?;
    let keys = call.app.notary.verifiers();
    let lines: Vec<String> = keys.iter().map(ToString::to_string).collect();
    if lines.is_empty() { Err(in_doubt()) } else { Ok(text(lines.join("\n") + "\n")) }
}

fn text(body: String) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A tile of hashes or a bundle of entries.
async fn tile(call: Call) -> Result<Response, Problem> {
    call.log_reader().await?;
    call.no_query()?;
    let path: String = call.part("path")?;
    let path: TilePath = format!("tile/{path}").parse().map_err(|_| Problem::not_found())?;
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

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct InclusionQuery {
    /// The entry's number, less than the size.
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    index: u64,
    /// The size of the log to prove it in; that of the newest checkpoint unless given.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_u64))]
    size: Option<u64>,
}

/// A proof that an entry is in the log.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "InclusionProof")]
struct InclusionJson {
    index: u64,
    size: u64,
    leaf_hash: String,
    root: String,
    proof: Vec<String>,
}

async fn inclusion(call: Call) -> Result<Response, Problem> {
    call.log_reader().await?;
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

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConsistencyQuery {
    /// The smaller size.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_u64))]
    from: u64,
    /// The larger size; that of the newest checkpoint unless given.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_u64))]
    to: Option<u64>,
}

/// A proof that the log of one size begins with that of another.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConsistencyProof")]
struct ConsistencyJson {
    from: u64,
    to: u64,
    from_root: String,
    to_root: String,
    proof: Vec<String>,
}

async fn consistency(call: Call) -> Result<Response, Problem> {
    call.log_reader().await?;
    let ConsistencyQuery { from, to } = call.query()?;
    let to = call.size(to)?;
    if from == 0 || from > to {
        return Err(Problem::bad_request("The sizes must satisfy 1 <= from <= to <= size of the newest checkpoint."));
    }
    let json = call.app.store.examine(move |evidence| {
        let proof = merkle::consistency(from, to, |level, index| evidence.hashes(level, index))?;
        let [from_root, to_root] = [evidence.root_at(from)?, evidence.root_at(to)?].map(|root| STANDARD.encode(root));
        Ok(ConsistencyJson { from, to, from_root, to_root, proof: base64(&proof) })
    });
    Ok(reply::json(&json.await?))
}

/// One entry with its proof.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProvenEntry")]
struct ProvenJson<'a> {
    index: u64,
    /// The leaf as JSON.
    #[schemars(with = "Map<String, Value>")]
    leaf: &'a RawValue,
    /// Its exact bytes, which are hashed.
    leaf_base64: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Map<String, Value>")]
    detail: Option<&'a RawValue>,
    /// The salt that the leaf's commitment to the detail begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    inclusion: Inclusion,
    /// The signed note.
    checkpoint: &'a str,
}

/// The way from the leaf to the root of the log of that size.
#[derive(Serialize, JsonSchema)]
struct Inclusion {
    size: u64,
    proof: Vec<String>,
}

async fn entry_proof(call: Call) -> Result<Response, Problem> {
    let reader = call.log_reader().await?;
    let proven = call.proven(reader.as_ref()).await?;
    Ok(text(proven.file()?.to_string()))
}

async fn entry(call: Call) -> Result<Response, Problem> {
    let reader = call.log_reader().await?;
    let proven = call.proven(reader.as_ref()).await?;
    // A detail is about people, which the rest of the log is not.
    let reader = reader.filter(|reader| reader.may(Scope::AuditRead));
    if let Some(reader) = &reader {
        call.app.store.record(reader.entry(&call, "log.entry_read").with("index", Some(proven.index))).await?;
    }
    let malformed = || Problem::from(store::Error::Corrupt("an entry"));
    let (salt, detail) = match proven.salt_and_detail()?.filter(|_| reader.is_some()) {
        Some((salt, detail)) => (Some(salt), Some(serde_json::from_slice(detail).map_err(|_| malformed())?)),
        None => (None, None),
    };
    Ok(reply::json(&ProvenJson {
        index: proven.index,
        leaf: serde_json::from_str(&proven.leaf).map_err(|_| malformed())?,
        leaf_base64: STANDARD.encode(&proven.leaf),
        detail,
        salt: salt.map(|salt| STANDARD.encode(salt)),
        inclusion: Inclusion { size: proven.published.checkpoint.size, proof: base64(&proven.path) },
        checkpoint: &proven.published.note,
    }))
}

fn base64(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| STANDARD.encode(hash)).collect()
}

impl Call {
    /// The admin who reads the log, or the key with the scope; `None` for anybody else, where the log is public.
    async fn log_reader(&self) -> Result<Option<Caller>, Problem> {
        let reader = if self.app.settings.public_log {
            self.optional_caller().await?.filter(|caller| caller.may(Scope::LogRead))
        } else {
            let caller = self.caller().await?;
            self.require(&caller, Scope::LogRead).await?;
            Some(caller)
        };
        if let Some(Caller::Key(key)) = &reader {
            // Whoever mirrors the log would else write more of it than they read.
            self.app.tally.done_by(&key.id, "log.read");
        }
        Ok(reader)
    }

    /// The entry that the path names, with its proof. For an admin who asks for one that is younger than the newest
    /// checkpoint, one is signed.
    async fn proven(&self, reader: Option<&Caller>) -> Result<Proven, Problem> {
        self.no_query()?;
        Ok(Proven::find(&self.app, self.part("index")?, reader.is_some()).await?)
    }

    fn published(&self) -> Result<Arc<Published>, Problem> {
        self.app.notary.published().ok_or_else(in_doubt)
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
