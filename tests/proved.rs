//! An exported log of 70,000 entries before judges that nobody here wrote: the transparency-log packages of the Go
//! project, the code with which Sigstore's clients check proofs, and ct-merkle. Where a judge is not installed that part
//! says so and passes: Debian's `golang-go` and `golang-golang-x-mod-dev`; `npm install @sigstore/verify`, found by way of
//! `NODE_PATH`.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use futures_util::StreamExt as _;
use rollbook::audit::{Actor, Draft, Source};
use rollbook::clock::Clock;
use rollbook::merkle;
use rollbook::notary::{Notary, key_path, mark_path};
use rollbook::store::Store;
use rollbook::sync::Policy;
use rollbook::user::ClerkId;
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;

const ENTRIES: u64 = 70_000;

/// The export is an entry too, written before anything is exported.
const EXPORTED_ENTRIES: u64 = ENTRIES + 1;

/// The log, its export, and proofs of some of its entries as the API gives them.
struct Exported {
    data: PathBuf,
    folder: PathBuf,
    proofs: PathBuf,
}

/// Made once: it takes longer than all the judging. It stays until it is made again.
static EXPORTED: LazyLock<Exported> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("proved");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    let (data, folder) = (dir.join("roll.redb"), dir.join("export"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let proofs = runtime.block_on(fill(&data));
    let proofs_path = dir.join("proofs.json");
    fs::write(&proofs_path, proofs.to_string()).unwrap();
    let made = rollbook(&data, &["export", "log", "--out", folder.to_str().unwrap()]);
    assert!(made.status.success(), "{made:?}");
    Exported { data, folder, proofs: proofs_path }
});

fn rollbook(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
    command.args(arguments).env_clear().env("ROLLBOOK_DATA", data).current_dir(data.parent().unwrap()).output().unwrap()
}

async fn fill(data: &Path) -> Value {
    let store = Store::open(data, 64 << 20, Policy::default(), Clock::system()).unwrap();
    let notary = Notary::open(store.clone(), Clock::system(), "log.example.com").await.unwrap();
    let person = |n: u64| format!("user_{}", n % 500).parse::<ClerkId>().unwrap();
    let entry = |n: u64| {
        Draft::new("user.read", Actor::User(person(n)), Source::Api).about(&person(n / 7)).with("ip", Some("192.0.2.1"))
    };
    let appended = futures_util::stream::iter((1..ENTRIES).map(|n| store.record(entry(n)))).buffer_unordered(256);
    appended.for_each(async |appended| appended.unwrap()).await;
    let published = notary.publish().await.unwrap();
    let size = published.checkpoint.size;
    assert_eq!(size, ENTRIES);
    let evidence = store.evidence().unwrap();
    let proofs = (0..size).step_by(225).map(|index| {
        let path = merkle::inclusion(index, size, |level, tile| evidence.hashes(level, tile)).unwrap();
        let leaf = evidence.leaves(index..index + 1).unwrap().remove(0).1;
        json!({
            "index": index, "leaf_base64": STANDARD.encode(leaf), "checkpoint": published.note,
            "inclusion": { "size": size, "proof": path.iter().map(|hash| STANDARD.encode(hash)).collect::<Vec<_>>() },
        })
    });
    let proofs = proofs.collect();
    drop((evidence, notary));
    store.close().await;
    proofs
}

/// The same export with one bit of one file changed.
fn flipped(of: &Path, file: &str, bit: usize) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    assert!(Command::new("cp").arg("-r").arg(of.join(".")).arg(copy.path()).status().unwrap().success());
    let mut bytes = fs::read(copy.path().join(file)).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs::write(copy.path().join(file), bytes).unwrap();
    copy
}

/// Where one bit of the export is changed.
const FLIPS: [(&str, usize); 6] = [
    ("tile/entries/000", 8 * 100),
    ("tile/entries/200", 8 * 9_999 + 7),
    ("tile/0/100", 8 * 8_191),
    ("tile/1/000", 3),
    ("checkpoint", 8 * 40),
    ("vkey", 8 * 40),
];

#[expect(clippy::explicit_write, reason = "a passing test keeps to itself what it prints by macro")]
fn skip(what: &str, why: &str) {
    writeln!(std::io::stderr(), "SKIPPED {what}: {why}").unwrap();
}

#[test]
fn our_own_judgement() {
    let judge = |folder: &Path| rollbook(&EXPORTED.data, &["verify", folder.to_str().unwrap()]);
    let whole = judge(&EXPORTED.folder);
    assert!(whole.status.success(), "{whole:?}");
    for (file, bit) in FLIPS {
        let bad = judge(flipped(&EXPORTED.folder, file, bit).path());
        assert_eq!(bad.status.code(), Some(1), "{file}: {bad:?}");
    }
    // The same by the checkpoint that was kept elsewhere.
    let (mark, key) = (mark_path(&EXPORTED.data), key_path(&EXPORTED.data));
    assert!(key.exists());
    let against = rollbook(&EXPORTED.data, &["verify", "--against", mark.to_str().unwrap()]);
    assert!(against.status.success(), "{against:?}");
}

#[test]
fn the_go_projects_judgement() {
    let go = |folder: &Path| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proved/verify_log.go");
        let mut command = Command::new("go");
        // Debian's packages are sources in a GOPATH of their own; nothing is fetched.
        command.args(["run"]).arg(script).arg(folder);
        command.envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode"), ("GOFLAGS", "")]).output()
    };
    let whole = match go(&EXPORTED.folder) {
        Err(cause) => return skip("Go's sumdb packages", &cause.to_string()),
        Ok(whole) => whole,
    };
    if String::from_utf8_lossy(&whole.stderr).contains("cannot find package") {
        return skip("Go's sumdb packages", "golang.org/x/mod is not in /usr/share/gocode");
    }
    let said = String::from_utf8_lossy(&whole.stdout).into_owned();
    assert!(whole.status.success(), "{whole:?}");
    assert!(said.starts_with(&format!("OK: {EXPORTED_ENTRIES} entries, ")), "{said}");
    for (file, bit) in FLIPS {
        let bad = go(flipped(&EXPORTED.folder, file, bit).path()).unwrap();
        assert!(!bad.status.success(), "{file}: {}", String::from_utf8_lossy(&bad.stdout));
    }
}

#[test]
fn sigstores_judgement() {
    let node = |proofs: &Path| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proved/verify_log.mjs");
        Command::new("node").arg(script).arg(proofs).arg(EXPORTED.folder.join("vkey")).output()
    };
    if std::env::var_os("NODE_PATH").is_none() {
        return skip("@sigstore/verify", "NODE_PATH is not set");
    }
    let whole = match node(&EXPORTED.proofs) {
        Err(cause) => return skip("@sigstore/verify", &cause.to_string()),
        Ok(whole) if whole.status.code() == Some(77) => return skip("@sigstore/verify", "not installed"),
        Ok(whole) => whole,
    };
    assert!(whole.status.success(), "{whole:?}");
    assert_eq!(String::from_utf8_lossy(&whole.stdout).trim(), "OK: 312 inclusion proofs");
    let mut proofs: Vec<Value> = serde_json::from_slice(&fs::read(&EXPORTED.proofs).unwrap()).unwrap();
    let change = |proof: &mut Value, n: usize| {
        let place =
            if n.is_multiple_of(2) { &mut proof["leaf_base64"] } else { &mut proof["inclusion"]["proof"][n % 16] };
        let mut bytes = STANDARD.decode(place.as_str().unwrap()).unwrap();
        bytes[n % 32] ^= 1;
        *place = STANDARD.encode(bytes).into();
    };
    let dir = tempfile::tempdir().unwrap();
    for n in (0..proofs.len()).step_by(31) {
        let whole = proofs[n].clone();
        change(&mut proofs[n], n);
        let path = dir.path().join("proofs.json");
        fs::write(&path, serde_json::to_vec(&proofs[n..=n]).unwrap()).unwrap();
        let bad = node(&path).unwrap();
        assert_eq!(bad.status.code(), Some(1), "{bad:?}");
        proofs[n] = whole;
    }
}

#[test]
fn ct_merkles_judgement() {
    let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let mut before = None;
    for index in 0..EXPORTED_ENTRIES.div_ceil(256) {
        let rest = EXPORTED_ENTRIES % 256;
        let partial = if index == EXPORTED_ENTRIES / 256 { format!(".p/{rest}") } else { String::new() };
        let mut rest = &fs::read(EXPORTED.folder.join(format!("tile/entries/{index:03}{partial}"))).unwrap()[..];
        while let [high, low, tail @ ..] = rest {
            let (leaf, tail) = tail.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            tree.push(leaf.to_vec());
            if tree.len() == ENTRIES {
                before = Some(tree.root());
            }
            rest = tail;
        }
    }
    let checkpoint = fs::read_to_string(EXPORTED.folder.join("checkpoint")).unwrap();
    let lines: Vec<&str> = checkpoint.lines().collect();
    assert_eq!((lines[0], lines[1]), ("log.example.com/log-1", EXPORTED_ENTRIES.to_string().as_str()));
    assert_eq!(lines[2], STANDARD.encode(tree.root().as_bytes()));
    let root = before.unwrap();
    for proof in serde_json::from_slice::<Vec<Value>>(&fs::read(&EXPORTED.proofs).unwrap()).unwrap() {
        let path: Vec<u8> = proof["inclusion"]["proof"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|hash| STANDARD.decode(hash.as_str().unwrap()).unwrap())
            .collect();
        let leaf = STANDARD.decode(proof["leaf_base64"].as_str().unwrap()).unwrap();
        let index = proof["index"].as_u64().unwrap();
        let path = ct_merkle::InclusionProof::<Sha256>::try_from_bytes(path).unwrap();
        root.verify_inclusion(&leaf, index, &path).unwrap();
        assert!(root.verify_inclusion(&leaf, index + 1, &path).is_err());
    }
}
