//! A full disk, whatever the server is just doing, and what is there once there is room again.

use std::fs;

use crate::file::Witness;
use crate::ledger::{Dice, Ledger, data, left_behind};
use crate::process::{Process, rollbook, serve, serve_after};
use crate::volume::Volume;
use crate::{assert_verified, times};

/// Room for a log of some thousand entries.
const ROOM: u64 = 16 << 20;

/// It has stopped by itself, and says why.
fn assert_stopped(server: Process) {
    let (status, said) = server.wait();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("the store has failed"), "{said}");
}

#[test]
fn full_while_webhooks_come_it_stops_and_goes_on_once_there_is_room() {
    let Some(volume) = Volume::mount(ROOM) else { return };
    let (dir, mut dice) = (volume.path(), Dice::new());
    let (ledger, mut witness, mut stops) = (Ledger::default(), Witness::default(), 0);
    for _ in 0..times("SIEGE_ROUNDS", 4).min(60) {
        let server = Process::start(serve(dir));
        let (acks, leave) = (1 + dice.below(40), dice.below(300) << 10);
        let refusals = ledger.run(server, 8, acks, |server| {
            volume.fill(leave);
            assert_stopped(server);
        });
        assert!(refusals.iter().all(|status| *status == 503), "{refusals:?}");
        ledger.check(&left_behind(dir), &mut witness);
        // Started on the full disk, it says so or takes what still fits, and loses nothing either way.
        match Process::launch(serve(dir)) {
            Ok(server) => drop(ledger.run_while(server, 8, 200, |server, acks| match acks {
                200 => server.kill(),
                _ => assert_stopped(server),
            })),
            Err((status, said)) => {
                stops += 1;
                assert_eq!(status.code(), Some(1), "{said}");
                assert!(said.contains("ROLLBOOK_DATA") || said.contains("the store has failed"), "{said}");
            }
        }
        ledger.check(&left_behind(dir), &mut witness);
        volume.clear();
        ledger.run(Process::start(serve(dir)), 8, 30, Process::kill);
        ledger.check(&left_behind(dir), &mut witness);
    }
    let server = Process::start(serve(dir));
    ledger.settle(&server);
    server.terminate();
    assert!(server.wait().0.success());
    ledger.check(&left_behind(dir), &mut witness);
    assert_verified(dir);
    println!("{} acknowledged, {} entries, {stops} starts refused", ledger.acknowledged(), witness.size());
}

#[test]
fn full_while_a_checkpoint_is_signed_it_says_so_and_signs_once_there_is_room() {
    let Some(volume) = Volume::mount(ROOM) else { return };
    let (dir, ledger, mut witness) = (volume.path(), Ledger::default(), Witness::default());
    ledger.run(Process::start(serve(dir)), 4, 50, Process::kill);
    let server = Process::start(serve(dir));
    let mark = fs::read(dir.join("rollbook.redb.hwm")).unwrap();
    ledger.run_while(server, 4, 10, |mut server, _| {
        volume.fill(0);
        rollbook(dir, &["checkpoint"]).refusal();
        assert_eq!(fs::read(dir.join("rollbook.redb.hwm")).unwrap(), mark, "the old mark is whole");
        if !server.has_ended() {
            server.kill();
        }
    });
    ledger.check(&left_behind(dir), &mut witness);
    volume.clear();
    let server = Process::start(serve(dir));
    ledger.settle(&server);
    rollbook(dir, &["checkpoint"]).done();
    server.terminate();
    assert!(server.wait().0.success());
    ledger.check(&left_behind(dir), &mut witness);
    assert_verified(dir);
}

#[test]
fn full_while_a_backup_is_made_there_is_none_and_webhooks_are_taken() {
    let Some(volume) = Volume::mount(ROOM) else { return };
    let (dir, ledger, mut witness) = (tempfile::tempdir().unwrap(), Ledger::default(), Witness::default());
    ledger.run(Process::start(serve(dir.path())), 8, 300, Process::kill);
    let to = volume.path().to_str().unwrap();
    let (mut made, mut refused) = (0, Vec::new());
    ledger.run(Process::start(serve(dir.path())), 4, 1, |server| {
        for _ in 0..times("SIEGE_ROUNDS", 4).min(60) {
            let ended = std::thread::scope(|scope| {
                let backup = scope.spawn(|| rollbook(dir.path(), &["backup", to]));
                while volume.is_empty() && !backup.is_finished() {}
                volume.fill(0);
                backup.join().unwrap()
            });
            volume.clear();
            match ended.code {
                Some(0) => {
                    // It was quicker: then it is whole.
                    made += 1;
                    let path = volume.only_file();
                    rollbook(dir.path(), &["verify", path.to_str().unwrap()]).done();
                    fs::remove_file(path).unwrap();
                }
                _ => refused.push(ended.refusal()),
            }
            assert!(volume.is_empty(), "nothing of it is left");
        }
        rollbook(dir.path(), &["backup", to]).done();
        rollbook(dir.path(), &["verify", volume.only_file().to_str().unwrap()]).done();
        server.kill();
    });
    ledger.check(&left_behind(dir.path()), &mut witness);
    println!("{made} backups were quicker, {} refused: {:?}", refused.len(), refused.last());
}

#[test]
fn a_disk_that_is_full_from_the_start_is_said_to_be() {
    let Some(volume) = Volume::mount(ROOM) else { return };
    volume.fill(0);
    let Err((status, said)) = Process::launch(serve(volume.path())) else { panic!("there is no room for it") };
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("ROLLBOOK_DATA") && said.contains("No space left"), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "one sentence is enough: {said}");
    volume.clear();
    Ledger::default().run(Process::start(serve(volume.path())), 4, 20, Process::kill);
}

#[test]
fn out_of_space_it_says_so_stops_and_has_lost_nothing() {
    let (dir, ledger, mut witness) = (tempfile::tempdir().unwrap(), Ledger::default(), Witness::default());
    // A file may grow to so many blocks of 512 bytes; being told so is not to be fatal by itself.
    let server = Process::start(serve_after("trap '' XFSZ; ulimit -f 8192", dir.path()));
    let refusals = ledger.run(server, 8, 1, assert_stopped);
    assert!(!refusals.is_empty() && refusals.iter().all(|status| *status == 503), "{refusals:?}");
    assert!(fs::metadata(data(dir.path())).unwrap().len() <= 8192 * 512);
    ledger.check(&left_behind(dir.path()), &mut witness);
    ledger.run(Process::start(serve(dir.path())), 8, 300, Process::kill);
    ledger.check(&left_behind(dir.path()), &mut witness);
}
