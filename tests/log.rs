//! The log over HTTP: who may read it, and that what is read proves what it should to somebody else's code.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Answer, TestServer, token, user_event};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use futures_util::future::join_all;
use reqwest::StatusCode;
use rollbook::audit::{Actor, Doubt, Draft, Source};
use rollbook::tlog::checkpoint::Checkpoint;
use rollbook::tlog::proof::Proof;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const PUBLIC: (&str, &str) = ("ROLLBOOK_PUBLIC_LOG", "true");

/// A server whose log has at least so many entries under its newest checkpoint.
async fn with_entries(settings: &[(&str, &str)], count: u64) -> TestServer {
    let server = TestServer::with(settings).await;
    let note = |n: u64| Draft::new("test.noted", Actor::System, Source::System).with("n", Some(n));
    for entry in join_all((0..count).map(|n| server.app.store.record(note(n)))).await {
        entry.unwrap();
    }
    server.app.notary.publish().await.unwrap();
    server
}

async fn bytes(server: &TestServer, path: &str) -> Vec<u8> {
    let answer = server.client.get(server.url(path)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.bytes().await.unwrap().to_vec()
}

/// Size and root of the newest checkpoint, read by hand.
async fn head(server: &TestServer) -> (u64, [u8; 32]) {
    let text = String::from_utf8(bytes(server, "/log/checkpoint").await).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "localhost/log-1");
    assert!(lines[3].is_empty() && lines[4].starts_with("— localhost/log-1 "), "{text}");
    (lines[1].parse().unwrap(), STANDARD.decode(lines[2]).unwrap().try_into().unwrap())
}

/// All leaves of the log, by way of its entry bundles.
async fn leaves(server: &TestServer, size: u64) -> Vec<Vec<u8>> {
    let mut leaves = Vec::new();
    for index in 0..size.div_ceil(256) {
        let width = (size - index * 256).min(256);
        let partial = if width < 256 { format!(".p/{width}") } else { String::new() };
        let bundle = bytes(server, &format!("/log/tile/entries/{index:03}{partial}")).await;
        let mut rest = &bundle[..];
        while let [high, low, tail @ ..] = rest {
            let (leaf, tail) = tail.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            leaves.push(leaf.to_vec());
            rest = tail;
        }
    }
    leaves
}

fn tree(leaves: &[Vec<u8>]) -> MemoryBackedTree<Sha256, Vec<u8>> {
    let mut tree = MemoryBackedTree::new();
    for leaf in leaves {
        tree.push(leaf.clone());
    }
    tree
}

/// Base64 hashes as one run of bytes, as ct-merkle wants them.
fn joined(proof: &Value) -> Vec<u8> {
    proof.as_array().unwrap().iter().flat_map(|hash| STANDARD.decode(hash.as_str().unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn who_may_read_the_log() {
    let paths = [
        "/log/checkpoint",
        "/log/vkey",
        "/log/tile/0/000.p/1",
        "/log/tile/entries/000.p/1",
        "/log/proof/inclusion?index=0",
        "/log/proof/consistency?from=1",
        "/log/entries/0",
        "/log/entries/0.tlog-proof",
    ];
    let server = TestServer::start().await;
    let (stranger, admin) = (token("user_1"), server.admin("user_2").await);
    for path in paths {
        assert_eq!(server.get(path).await.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(server.get_as(&stranger, path).await.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(server.get_as(&admin, path).await.status, StatusCode::OK, "{path}");
    }
    let public = TestServer::with(&[PUBLIC]).await;
    for path in paths {
        assert_eq!(public.get(path).await.status, StatusCode::OK, "{path}");
        assert_eq!(public.get_as(&stranger, path).await.status, StatusCode::OK, "{path}");
        assert_eq!(public.get_as("no token", path).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn what_strangers_read_names_nobody() {
    let server = TestServer::with(&[PUBLIC]).await;
    let admin = server.admin("user_admin").await;
    assert_eq!(server.outcome(&user_event("user.created", "user_ada", 1_750_000_000_000, "Ada")).await, "applied");
    assert_eq!(server.outcome(&user_event("user.updated", "user_ada", 1_750_000_001_000, "Eve")).await, "applied");
    server.app.notary.publish().await.unwrap();
    let index = server.entries().await.iter().find(|entry| entry.leaf.action == "user.updated").unwrap().seq;
    let path = format!("/log/entries/{index}");
    let told = server.get(&path).await;
    assert_eq!((told.json().get("detail"), told.json().get("salt")), (None, None));
    for name in ["user_ada", "Ada", "Eve", "example.org"] {
        assert!(!told.text.contains(name), "{}", told.text);
    }
    let all = server.get_as(&admin, &path).await.json();
    assert_eq!(all["detail"]["changes"]["first_name"], json!({"before": "Ada", "after": "Eve"}));
    // What the leaf says of its detail, checked as anybody would: SHA-256 over salt and text.
    let detail = server.get_as(&admin, &path).await.text;
    let detail = detail
        .split_once(r#""leaf_base64":"#)
        .unwrap()
        .1
        .split_once(r#","detail":"#)
        .unwrap()
        .1
        .split_once(r#","salt":"#)
        .unwrap()
        .0
        .to_owned();
    let salted = [STANDARD.decode(all["salt"].as_str().unwrap()).unwrap(), detail.into_bytes()].concat();
    let hash = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(salted));
    assert_eq!(all["leaf"]["detail"], hash);
    assert_eq!(server.count("log.entry_read").await, 2);
}

#[tokio::test]
async fn tiles_and_entries_give_the_signed_root() {
    let server = with_entries(&[PUBLIC], 700).await;
    let (size, root) = head(&server).await;
    assert!(size >= 700, "{size}");
    let leaves = leaves(&server, size).await;
    assert_eq!(leaves.len() as u64, size);
    assert_eq!(tree(&leaves).root().as_bytes()[..], root[..]);
    let hashes: Vec<u8> = leaves.iter().flat_map(|leaf| Sha256::digest([&[0][..], leaf].concat())).collect();
    assert_eq!(bytes(&server, "/log/tile/0/001").await, hashes[256 * 32..512 * 32]);
    assert_eq!(bytes(&server, "/log/tile/0/001.p/7").await, hashes[256 * 32..263 * 32]);
    assert_eq!(bytes(&server, "/log/tile/1/000.p/2").await.len(), 64);
    // Full tiles never change; what is not full yet is asked for again.
    let cached = |answer: Answer| answer.header("cache-control").to_owned();
    assert_eq!(cached(server.get("/log/tile/0/001").await), "public, max-age=31536000, immutable");
    assert_eq!(cached(server.get("/log/tile/entries/001").await), "public, max-age=31536000, immutable");
    assert_eq!(cached(server.get("/log/tile/0/001.p/7").await), "no-store");
    assert_eq!(cached(server.get("/log/checkpoint").await), "no-store");
    let beyond = [
        format!("/log/tile/0/{:03}", size / 256),
        format!("/log/tile/entries/{:03}.p/{}", size / 256, size % 256 + 1),
        "/log/tile/1/000".to_owned(),
        "/log/tile/2/000.p/1".to_owned(),
        "/log/tile/0/1".to_owned(),
        "/log/tile/0/000.p/0".to_owned(),
        "/log/tile/0/000.p/256".to_owned(),
        "/log/tile/64/000".to_owned(),
        "/log/tile/0/x999999999999999999/000".to_owned(),
        "/log/tile/entries".to_owned(),
        "/log/tile/0/%30%30%30".to_owned(),
        "/log/".to_owned(),
        "/log/tile//000".to_owned(),
    ];
    for path in beyond {
        assert_eq!(server.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn proofs_convince_another_implementation() {
    let server = with_entries(&[PUBLIC], 300).await;
    let (size, root) = head(&server).await;
    let leaves = leaves(&server, size).await;
    let root = RootHash::<Sha256>::new(root.into(), size);
    for index in [0, 1, 255, 256, 257, size - 1] {
        let answer = server.get(&format!("/log/proof/inclusion?index={index}")).await.json();
        assert_eq!((&answer["index"], &answer["size"]), (&json!(index), &json!(size)));
        let proof = InclusionProof::<Sha256>::try_from_bytes(joined(&answer["proof"])).unwrap();
        root.verify_inclusion(&leaves[usize::try_from(index).unwrap()], index, &proof).unwrap();
        assert!(root.verify_inclusion(&leaves[usize::try_from((index + 1) % size).unwrap()], index, &proof).is_err());
        let entry = server.get(&format!("/log/entries/{index}")).await.json();
        assert_eq!(entry["inclusion"]["proof"], answer["proof"]);
        assert_eq!(
            STANDARD.decode(entry["leaf_base64"].as_str().unwrap()).unwrap(),
            leaves[usize::try_from(index).unwrap()]
        );
    }
    for from in [1, 2, 255, 256, 299] {
        let answer = server.get(&format!("/log/proof/consistency?from={from}&to={size}")).await.json();
        let before = tree(&leaves[..usize::try_from(from).unwrap()]).root();
        let proof = ConsistencyProof::<Sha256>::try_from_bytes(joined(&answer["proof"])).unwrap();
        root.verify_consistency(&before, &proof).unwrap();
        assert_eq!(STANDARD.decode(answer["from_root"].as_str().unwrap()).unwrap(), before.as_bytes()[..]);
    }
    let older = server.get("/log/proof/inclusion?index=3&size=200").await.json();
    let proof = InclusionProof::<Sha256>::try_from_bytes(joined(&older["proof"])).unwrap();
    tree(&leaves[..200]).root().verify_inclusion(&leaves[3], 3, &proof).unwrap();
}

#[tokio::test]
async fn impossible_proofs_are_refused() {
    let server = with_entries(&[PUBLIC], 10).await;
    let (size, _) = head(&server).await;
    let (over, most) = (size + 1, u64::MAX);
    for query in [
        format!("inclusion?index={size}"),
        format!("inclusion?index={most}"),
        format!("inclusion?index=0&size={over}"),
        "inclusion?index=0&size=0".to_owned(),
        "inclusion?index=5&size=5".to_owned(),
        format!("inclusion?index=0&size={most}"),
        "inclusion".to_owned(),
        "inclusion?index=-1".to_owned(),
        "inclusion?index=0&index=1".to_owned(),
        "inclusion?index=0&leaf=1".to_owned(),
        "inclusion?index=18446744073709551616".to_owned(),
        "consistency".to_owned(),
        "consistency?from=0".to_owned(),
        "consistency?from=5&to=4".to_owned(),
        format!("consistency?from=1&to={over}"),
        format!("consistency?from={most}&to={most}"),
        "consistency?from=1&to=x".to_owned(),
    ] {
        assert_eq!(server.get(&format!("/log/proof/{query}")).await.status, StatusCode::BAD_REQUEST, "{query}");
    }
    for path in [format!("/log/entries/{size}"), format!("/log/entries/{most}.tlog-proof"), "/log/entries/x".to_owned()]
    {
        assert_eq!(server.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["/log/checkpoint?size=3", "/log/vkey?x", "/log/tile/0/000.p/1?x=1", "/log/entries/0?x=1"] {
        assert_eq!(server.get(path).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    let post = server.client.post(server.url("/log/checkpoint")).send().await.unwrap();
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn one_text_proves_one_entry() {
    let server = TestServer::start().await;
    let admin = server.admin("user_admin").await;
    // So new that no checkpoint covers it: for an admin one is signed.
    server.app.store.record(Draft::new("test.noted", Actor::System, Source::System)).await.unwrap();
    let entry = server.entries().await.pop().unwrap();
    assert!(server.app.notary.published().unwrap().checkpoint.size <= entry.seq);
    let text = server.get_as(&admin, &format!("/log/entries/{}.tlog-proof", entry.seq)).await.text;
    let proof: Proof = text.parse().unwrap();
    let keys = server.app.notary.verifiers();
    let checkpoint = proof.verify(&entry.leaf.to_bytes(), &keys).unwrap();
    assert!(checkpoint.size > entry.seq && proof.index == entry.seq);
    assert!(proof.verify(b"another", &keys).is_err());
    let shown = server.get_as(&admin, "/log/vkey").await.text;
    assert_eq!(shown, format!("{}\n", keys[0]));
}

#[tokio::test]
async fn a_log_in_doubt_is_vouched_for_no_more() {
    let server = with_entries(&[PUBLIC], 3).await;
    let admin = server.admin("user_admin").await;
    let before = server.app.store.counts().entries;
    server.app.store.refuse_writes(Doubt::NoKey);
    assert_eq!(server.get("/ready").await.status, StatusCode::SERVICE_UNAVAILABLE);
    let event = user_event("user.created", "user_new", 1_750_000_000_000, "New");
    let refused = server.deliver(&event).await;
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "60"));
    // Reading goes on, though it cannot be noted in the log.
    assert_eq!(server.get_as(&admin, "/api/users").await.status, StatusCode::OK);
    assert!(server.app.notary.publish().await.is_err());
    assert_eq!(server.app.store.counts().entries, before);
}

#[tokio::test]
async fn a_rotated_key_signs_beside_the_former_one() {
    let server = with_entries(&[PUBLIC], 3).await;
    let former = server.app.notary.verifiers();
    let by = rollbook::store::By { actor: Actor::Cli, source: Source::Cli };
    let newer = server.app.notary.rotate(by.clone()).await.unwrap();
    assert!(server.app.notary.rotate(by).await.is_err(), "one at a time");
    let note = server.get("/log/checkpoint").await.text;
    for keys in [former, vec![newer.clone()]] {
        Checkpoint::open(&note, &keys).unwrap();
    }
    assert_eq!(server.get("/log/vkey").await.text.lines().next(), Some(newer.to_string().as_str()));
    assert_eq!(server.count("log.key_rotated").await, 1);
}
