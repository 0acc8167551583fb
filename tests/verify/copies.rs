//! A file that is only read, and how the command ends when there is no verdict.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use redb::{Database, TableDefinition};
use rollbook::store::AtRest;

use crate::log::*;
use crate::process::{Process, serve};

/// Name, content and mode of every file in the log's folder.
fn files(log: &Log) -> Vec<(String, Vec<u8>, u32)> {
    let mut files: Vec<_> = fs::read_dir(log.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| {
            let mode = entry.metadata().unwrap().permissions().mode();
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap(), mode)
        })
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn what_is_shown_of_a_log_that_is_whole() {
    let log = Log::of(300).await;
    let said = log.run(&["verify"]).whole();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("log       /") && lines[0].ends_with("/rollbook.redb"), "{said}");
    assert_eq!(lines[1], "entries   300");
    assert!(lines[2].starts_with("root      ") && lines[2].len() == 54, "{said}");
    assert!(
        lines[3].starts_with("signed    3 checkpoints, the newest of 300 entries by log.example.com/log-1+"),
        "{said}"
    );
    assert_eq!(lines[4..6], ["details   300 kept", "people    31 known"]);
    assert_eq!(lines.len(), 8, "{said}");
    let said = log.run(&["verify", "--against", "rollbook.redb.hwm"]).whole();
    assert!(said.contains("\nagainst   1 checkpoint that was kept elsewhere\n") && !said.contains("\nnote "), "{said}");
    assert!(said.ends_with("OK: the log agrees with itself and with the checkpoints you kept\n"), "{said}");
}

#[tokio::test]
async fn a_copy_is_read_and_not_changed() {
    let log = Log::of(300).await;
    let signed = fs::read(log.path("rollbook.redb.hwm")).unwrap();
    for name in ["rollbook.redb.hwm", "rollbook.redb.key"] {
        fs::remove_file(log.path(name)).unwrap();
    }
    fs::write(log.path("kept.txt"), signed).unwrap();
    fs::set_permissions(log.data(), Permissions::from_mode(0o444)).unwrap();
    let before = files(&log);
    log.run(&["verify", "rollbook.redb", "--against", "kept.txt"]).whole();
    assert!(files(&log) == before, "a file was made or changed");
    // Several may read it at once.
    let (one, other) = (AtRest::open(&log.data(), 1 << 20).unwrap(), AtRest::open(&log.data(), 1 << 20).unwrap());
    assert_eq!(one.evidence().unwrap().head().unwrap(), other.evidence().unwrap().head().unwrap());
    log.run(&["verify"]).whole();
}

#[tokio::test]
async fn what_a_killed_server_left_is_read_as_it_is() {
    let log = Log::of(5).await;
    let server = Process::start(serve(log.dir.path()));
    for n in 0..20 {
        let event = crate::common::user_event("user.updated", &format!("user_{n}"), T, "Ada").to_string();
        assert_eq!(server.connect().deliver(&format!("msg_{n}"), &event).unwrap().0, 200);
    }
    server.kill();
    let before = files(&log);
    let said = log.run(&["verify"]).whole();
    assert!(said.contains("\nentries   26\n"), "{said}");
    assert!(files(&log) == before, "a file was made or changed");
}

#[tokio::test]
async fn the_exit_status_tells_why_there_is_no_verdict() {
    let log = Log::of(5).await;
    fs::create_dir(log.path("empty")).unwrap();
    fs::write(log.path("diary"), "dear diary\n").unwrap();
    fs::write(log.path("noise"), [0xff; 90]).unwrap();
    fs::write(log.path("nothing"), "").unwrap();
    let whole = fs::read(log.data()).unwrap();
    fs::write(log.path("half"), &whole[..whole.len() / 2]).unwrap();
    let key = log.vkey();
    let other_id = key.replacen(char::from(key.as_bytes()[key.find('+').unwrap() + 1]), "g", 1);
    let cases: [(&[&str], i32, &str); 10] = [
        (&["--vkey", "nonsense"], 2, "invalid value 'nonsense' for '--vkey <KEY>'"),
        (&["--vkey", &other_id], 2, "for '--vkey <KEY>'"),
        (&["--against", "missing"], 2, "--against missing: No such file"),
        (&["--against", "diary"], 2, "--against: there is no checkpoint in diary"),
        (&["--against", "noise"], 2, "--against: there is no checkpoint in noise"),
        (&["missing"], 2, "there is no data file and no export at missing"),
        (&["empty"], 2, "empty is no export of a log: it has neither a checkpoint nor tiles"),
        (&["diary"], 3, "diary is not a Rollbook data file"),
        (&["nothing"], 3, "nothing is not a Rollbook data file"),
        (&["half"], 3, "half is not a Rollbook data file, or is a torn copy of one"),
    ];
    for (arguments, code, says) in cases {
        let said = log.run(&[&["verify"], arguments].concat());
        assert_eq!(said.code, Some(code), "{arguments:?}: {}{}", said.out, said.err);
        assert!(said.err.contains(says) && said.out.is_empty(), "{arguments:?}: {}{}", said.out, said.err);
    }
    let table: TableDefinition<'_, (&str, u128), ()> = TableDefinition::new("user_index-1");
    let torn = log.copy();
    torn.change(|txn| assert!(txn.delete_table(table).unwrap()));
    let said = torn.run(&["verify"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.out.contains("TAMPERED: ") && said.out.contains("lacks the table `user_index-1`"), "{}", said.out);
    // In use by somebody who cannot be asked.
    let held = Database::open(log.data()).unwrap();
    let said = log.run(&["verify"]);
    assert!(said.code == Some(3) && said.err.contains("is in use by another process"), "{}", said.err);
    drop(held);
    log.run(&["verify"]).whole();
}
