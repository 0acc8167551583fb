//! Exports: a directory that somebody was given.

use std::fs;
use std::path::{Path, PathBuf};

use crate::log::*;

struct Export {
    log: Log,
}

impl Export {
    async fn of(entries: u64, arguments: &[&str]) -> Self {
        let log = Log::of(entries).await;
        let said = log.run(&[&["export", "log", "--out", "export"], arguments].concat());
        assert_eq!(said.code, Some(0), "{}", said.err);
        Self { log }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.log.path("export").join(name)
    }

    fn verify(&self) -> Said {
        self.log.run(&["verify", "export"])
    }

    /// What is found when one file has another content, `None` for none at all.
    fn found_with(&self, name: &str, content: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) -> Vec<String> {
        let path = self.path(name);
        let whole = fs::read(&path).unwrap_or_default();
        let existed = path.exists();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match content(whole.clone()) {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let found = self.verify().tampered();
        if existed {
            fs::write(&path, whole).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        found
    }
}

fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8(bytes.to_vec()).unwrap().lines().map(|line| format!("{line}\n")).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "what a change may come to is a file or none")]
fn with_line(bytes: &[u8], change: impl FnOnce(&mut Vec<String>)) -> Option<Vec<u8>> {
    let mut lines = lines(bytes);
    change(&mut lines);
    Some(lines.concat().into_bytes())
}

#[tokio::test]
async fn an_export_is_whole_with_and_without_its_details() {
    let export = Export::of(700, &[]).await;
    let said = export.verify().whole();
    assert!(said.contains("\ndetails   701 kept\npeople    31 known\n"), "{said}");
    assert!(said.contains("\nsigned    1 checkpoint, the newest of 701 entries by log.example.com/log-1+"), "{said}");
    let key = export.log.vkey();
    export.log.run(&["verify", "export", "--vkey", &key, "--against", "rollbook.redb.hwm"]).whole();
    // The key need not come with it.
    fs::remove_file(export.path("vkey")).unwrap();
    export.log.run(&["verify", "export", "--vkey", &key]).whole();
    let found = export.verify().tampered();
    assert_eq!(found, ["the checkpoint of 701 entries cannot be believed: the note is not signed by a known key"]);
    let bare = Export::of(700, &["--without-details"]).await;
    let said = bare.verify().whole();
    assert!(said.contains("\ndetails   withheld\npeople    withheld\n"), "{said}");
}

#[tokio::test]
async fn what_is_changed_in_an_export_is_named() {
    let export = Export::of(700, &[]).await;
    let found = |name: &str, content: &dyn Fn(Vec<u8>) -> Option<Vec<u8>>| export.found_with(name, content);
    let partial = "tile/entries/002.p/189";
    let flip = |at: usize| {
        move |mut bytes: Vec<u8>| {
            bytes[at] ^= 1;
            Some(bytes)
        }
    };
    let gone = |_: Vec<u8>| None;
    let changed = "changed, not what was hashed into the tree";
    assert_eq!(found("tile/entries/001", &flip(20))[0], format!("entry 256: {changed} (tile 0/1)"));
    assert!(found(partial, &flip(20))[0].starts_with(&format!("entry 512: {changed} (tile 0/2)")));
    assert!(found("tile/entries/001", &flip(1))[0].contains("tile/entries/001"));
    assert_eq!(
        found("tile/entries/000", &|bytes| Some(bytes[..9].to_vec()))[0],
        "tile/entries/000: the entry bundle ends inside an entry"
    );
    let missing = found("tile/entries/001", &gone);
    assert_eq!(missing, ["entries 256-511: missing", "entries 256-511: there is a detail, but no leaf"]);
    assert_eq!(found("tile/0/001", &flip(33)), ["entry 257: another hash stands for it in the tree (tile 0/1)"]);
    assert_eq!(found("tile/0/002.p/189", &flip(33)), ["entry 513: another hash stands for it in the tree (tile 0/2)"]);
    assert_eq!(found("tile/0/001", &gone), ["tile 0/1: missing"]);
    assert_eq!(found("tile/1/000.p/2", &flip(33)), ["tile 0/1: another hash stands for it in the tree (tile 1/0)"]);
    assert_eq!(
        found("tile/0/003", &|_| Some(vec![7; 8192])),
        ["there is tile/0/003, which a log of 701 entries does not have"]
    );
    assert_eq!(
        found("tile/0/002.p/5", &|_| Some(vec![7; 160])),
        ["tile/0/002.p/5 is not the beginning of what that tile is now"]
    );
    assert_eq!(found("checkpoint", &gone)[0], "the file checkpoint is missing");
    assert!(found("checkpoint", &|_| Some(b"x".to_vec()))[0].starts_with("the file checkpoint holds no checkpoint: "));
    let short = |bytes: Vec<u8>| Some(String::from_utf8(bytes).unwrap().replacen("\n701\n", "\n700\n", 1).into_bytes());
    assert!(found("checkpoint", &short).iter().any(|found| found.contains("does not match the note")));
    assert!(found("vkey", &flip(3))[0].starts_with("the file vkey holds something else than keys: "));
    // What names people.
    let detail = "entry 7: the detail or its salt was changed, the leaf commits to another";
    let changed = |bytes: Vec<u8>| with_line(&bytes, |lines| lines[7] = lines[7].replacen("192.0.2.1", "192.0.2.2", 1));
    assert_eq!(found("details.jsonl", &changed), [detail]);
    let swapped = |bytes: Vec<u8>| with_line(&bytes, |lines| lines.swap(7, 8));
    assert_eq!(
        found("details.jsonl", &swapped),
        [
            "details.jsonl, line 9: entry 7 is not in its place",
            "entry 7: the detail is missing, and no user.erased entry says why"
        ]
    );
    let without = |bytes: Vec<u8>| with_line(&bytes, |lines| drop(lines.drain(7..9)));
    assert_eq!(
        found("details.jsonl", &without),
        ["entries 7-8: the detail is missing, and no user.erased entry says why"]
    );
    let beyond =
        |bytes: Vec<u8>| with_line(&bytes, |lines| lines.push(lines[0].replacen("\"index\":0", "\"index\":701", 1)));
    assert_eq!(
        found("details.jsonl", &beyond),
        ["details.jsonl has a detail of entry 701, behind the end of the log of 701"]
    );
    let nonsense = |bytes: Vec<u8>| with_line(&bytes, |lines| lines.insert(3, "nonsense\n".to_owned()));
    assert_eq!(found("details.jsonl", &nonsense), ["details.jsonl, line 4 is no detail"]);
    let without = |bytes: Vec<u8>| with_line(&bytes, |lines| drop(lines.remove(3)));
    assert!(
        found("subjects.jsonl", &without)[0]
            .ends_with(", named in entry 3, cannot be found, and no user.erased entry says why")
    );
    let other =
        |bytes: Vec<u8>| with_line(&bytes, |lines| lines[3] = lines[3].replacen(person(3).as_str(), "user_other", 1));
    assert!(found("subjects.jsonl", &other)[0].contains("does not follow from salt and id"));
    export.verify().whole();
}

/// Tiles of when the log was shorter, and files that are none of ours, do no harm.
#[tokio::test]
async fn other_files_in_an_export() {
    let export = Export::of(700, &[]).await;
    let beginning = |name: &str, of: &str, length: usize| {
        let bytes = fs::read(export.path(of)).unwrap();
        fs::create_dir_all(export.path(name).parent().unwrap()).unwrap();
        fs::write(export.path(name), &bytes[..length]).unwrap();
    };
    beginning("tile/0/002.p/5", "tile/0/002.p/189", 160);
    beginning("tile/0/000.p/255", "tile/0/000", 32 * 255);
    fs::write(export.path("tile/0/.DS_Store"), "x").unwrap();
    let said = export.verify().whole();
    assert!(said.contains("note      tile/0/.DS_Store is no part of a log\n"), "{said}");
}

/// Whatever single bit is changed in leaves, tiles and details, it is found; so is any byte of the rest.
#[tokio::test]
async fn every_bit_of_an_export_counts() {
    use std::ops::ControlFlow;

    use rollbook::verify::{Pace, Terms, directory};

    let export = Export::of(2, &[]).await;
    let root = export.log.path("export");
    let is_whole = |root: &Path| {
        let report = directory(root, &Terms::default(), Pace::GENTLE, &mut |_, _| ControlFlow::Continue(()));
        report.unwrap().is_whole()
    };
    assert!(is_whole(&root));
    let mut flips = 0;
    let step = |name: &str| if name.starts_with("tile/") || name == "details.jsonl" { 1 } else { 9 };
    for name in ["tile/entries/000.p/3", "tile/0/000.p/3", "details.jsonl", "subjects.jsonl", "checkpoint"] {
        let whole = fs::read(root.join(name)).unwrap();
        // The last newline may be left out.
        for bit in (0..8 * whole.len() - 8).step_by(step(name)) {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(root.join(name), bytes).unwrap();
            assert!(!is_whole(&root), "{name}: bit {} of byte {} can be changed", bit % 8, bit / 8);
            flips += 1;
        }
        fs::write(root.join(name), whole).unwrap();
    }
    assert!(flips > 8_000 && is_whole(&root), "{flips}");
}
