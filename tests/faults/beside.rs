//! The files beside the data file: the high-water mark and the signing key.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rollbook::audit::{Actor, Draft, Source};
use rollbook::clock::{Clock, Timestamp};
use rollbook::notary::{Error, key_path, mark_path};
use rollbook::store::By;
use rollbook::sync::Policy;
use rollbook::tlog::checkpoint::Checkpoint;
use tempfile::TempDir;

use crate::disk::{Call, Disk, Fault, Survival};
use crate::file;
use crate::promises::{mark_is_not_behind, published_are_beginnings};
use crate::script::{deliver, worked_in};
use crate::site::{Place, Site, T, run};

/// A way in which a file cannot be written in a folder: done, and undone.
struct Harm {
    name: &'static str,
    done: fn(&Path),
    undone: fn(&Path),
}

/// The same for every user, root too.
const HARMS: [Harm; 2] = [
    Harm {
        name: "the folder is gone",
        done: |folder| fs::rename(folder, aside(folder)).unwrap(),
        undone: |folder| fs::rename(aside(folder), folder).unwrap(),
    },
    Harm {
        name: "the disk is full",
        done: |folder| {
            // To the last byte.
            let _ = fs::write(folder.join("filler"), vec![7; 1 << 20]).unwrap_err();
        },
        undone: |folder| fs::remove_file(folder.join("filler")).unwrap(),
    },
];

fn aside(folder: &Path) -> PathBuf {
    folder.with_extension("aside")
}

/// A small file system in memory, as long as this lives.
struct Small(TempDir);

impl Small {
    /// `None` where there is no right to make one.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=128k,mode=700", "none"]).arg(folder.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

fn note() -> Draft {
    Draft::new("test.noted", Actor::System, Source::System)
}

fn by() -> By {
    By { actor: Actor::Cli, source: Source::Cli }
}

/// While the mark cannot be written nothing is published, everything else goes on, and afterwards that does too.
async fn assert_not_published(place: &Place, harm: &Harm) {
    let folder = place.data().parent().unwrap().to_owned();
    let site = Site::open(place).await.unwrap();
    site.store.record(note()).await.unwrap();
    let before = site.notary.publish().await.unwrap();
    site.store.record(note()).await.unwrap();
    let rows = || site.store.evidence().unwrap().checkpoints_after((0, 0), usize::MAX).unwrap();
    let kept = rows();

    (harm.done)(&folder);
    let refused = site.notary.publish().await.unwrap_err();
    assert!(matches!(refused, Error::Mark { .. }), "{}: {refused}", harm.name);
    assert_eq!(site.notary.published(), Some(before), "{}", harm.name);
    assert_eq!(rows(), kept, "{}", harm.name);
    // A key that is in no file would be lost by the next start, with all that it had signed.
    let keys = site.notary.verifiers();
    let refused = site.notary.rotate(by()).await.unwrap_err();
    assert!(matches!(refused, Error::Key(_)), "{}: {refused}", harm.name);
    assert_eq!(site.notary.verifiers(), keys, "{}", harm.name);
    // Webhooks are taken all the while.
    let event = crate::common::user_event("user.created", "user_meanwhile", T, "Mia").to_string();
    let answers = deliver(&site.store, &[(format!("msg_{}", harm.name.replace(' ', "_")), event)]).await;
    assert!(answers[0].is_ok() && site.store.is_ready(), "{}: {answers:?}", harm.name);

    (harm.undone)(&folder);
    let published = site.notary.publish().await.unwrap();
    assert_eq!(published.checkpoint.size, site.store.counts().entries, "{}", harm.name);
    assert_eq!(place.mark().as_ref(), Some(&published.note), "{}", harm.name);
    let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{}: something was left over: {left:?}", harm.name);
    site.close().await;
    let site = Site::open(place).await.unwrap();
    assert_eq!(site.store.doubt(), None, "{}", harm.name);
    site.close().await;
}

#[test]
fn nothing_is_published_while_the_mark_cannot_be_written() {
    let mut small = None;
    for harm in &HARMS {
        let mut place = worked_in();
        if harm.name == "the disk is full" {
            small = Small::mount();
            let Some(small) = &small else {
                println!("SKIPPED: {} (no right to mount a file system)", harm.name);
                continue;
            };
            place = place.moved(small.0.path());
        }
        run(assert_not_published(&place, harm));
    }
    drop(small);
}

/// Between the mark and the row in the file, and between the row and whoever is told.
#[test]
fn a_crash_between_the_mark_and_the_checkpoint_leaves_the_mark_ahead() {
    let mut ahead = 0;
    for n in 0.. {
        let place = worked_in();
        let broke = run(async {
            let site = Site::open(&place).await.unwrap();
            site.store.record(note()).await.unwrap();
            place.disk.suffer(Fault::Breaks(Call::Write, n));
            let published = site.notary.publish().await;
            let broke = place.disk.is_broken();
            assert_eq!(published.is_err(), broke);
            // What is looked at before the mark is written may fail as well.
            let is_marked = matches!(published, Ok(_) | Err(Error::Store(rollbook::store::Error::Failed)));
            let entries = site.store.counts().entries;
            site.close().await;
            for survival in [Survival::All, Survival::None, Survival::Some(n), Survival::First(n)] {
                let case = format!("write {n} fails, {survival:?} survives");
                let left = place.beside(place.disk.salvage(survival));
                let site = Site::open(&left).await.unwrap();
                assert_eq!(site.store.doubt(), None, "{case}");
                let keys = site.notary.verifiers();
                let marked = Checkpoint::open(&left.mark().unwrap(), &keys).unwrap();
                assert_eq!(marked.size, if is_marked { entries } else { entries - 1 }, "{case}");
                let row = site.store.evidence().unwrap().newest_checkpoint().unwrap().unwrap();
                ahead += usize::from(row.size < marked.size);
                // What the mark says was never told, and may be.
                let told = site.notary.publish().await.unwrap();
                assert!(!is_marked || told.checkpoint == marked, "{case}");
                site.close().await;
            }
            broke
        });
        if !broke {
            break;
        }
    }
    assert!(ahead > 10, "the mark was ahead {ahead} times");
}

/// A key's time is over, and the process ends somewhere while it is taken out of use: the log says it once, neither never
/// nor twice.
#[test]
fn a_key_is_retired_in_the_log_once_wherever_that_breaks_off() {
    const OVER: i64 = 31 * 24 * 60 * 60 * 1000;
    let place = worked_in();
    run(async {
        let site = Site::open(&place).await.unwrap();
        site.notary.rotate(by()).await.unwrap();
        site.close().await;
    });
    for n in 0.. {
        let place = place.beside(place.disk.salvage(Survival::All));
        let later = Clock::fixed(Timestamp::from_millis(T + OVER));
        let broke = run(async {
            let site = Site::open_with(&place, Policy::default(), later.clone()).await.unwrap();
            place.disk.suffer(Fault::Breaks(Call::Write, n));
            let _ = site.notary.publish().await;
            let broke = place.disk.is_broken();
            site.close().await;
            for survival in [Survival::All, Survival::None] {
                let left = place.beside(place.disk.salvage(survival));
                let site = Site::open_with(&left, Policy::default(), later.clone()).await.unwrap();
                site.notary.publish().await.unwrap();
                assert_eq!(site.notary.verifiers().len(), 1);
                site.close().await;
                let leaves = file::leaves(&file::open_disk(&left.disk));
                let told = leaves.iter().filter(|leaf| String::from_utf8_lossy(leaf).contains("\"log.key_retired\""));
                assert_eq!(told.count(), 1, "write {n} fails, {survival:?} survives");
            }
            broke
        });
        if !broke {
            break;
        }
    }
}

/// A log that is signed for the first time: the key file, the entry that names it, the mark, the checkpoint.
#[test]
fn the_first_start_can_break_off_anywhere() {
    let made = Disk::default();
    // The file itself is made beside its place, and is whole when it gets its name.
    drop(rollbook::store::Store::with_backend(
        made.clone(),
        Path::new("new"),
        64 * 1024,
        Policy::default(),
        Clock::system(),
    ));
    let mut broken = 0;
    for call in [Call::Write, Call::Sync] {
        for n in 0.. {
            let place = Place::new().beside(made.salvage(Survival::All));
            place.disk.suffer(Fault::Breaks(call, n));
            let notes = run(async {
                let Ok(site) = Site::open(&place).await else { return Vec::new() };
                let published = site.notary.publish().await;
                site.close().await;
                published.map(|published| published.note.clone()).into_iter().collect()
            });
            if !place.disk.is_broken() {
                break;
            }
            broken += 1;
            for survival in [Survival::All, Survival::None, Survival::Some(n), Survival::First(n)] {
                let case = format!("{call:?} {n} fails, {survival:?} survives");
                run(assert_introduced(&place.beside(place.disk.salvage(survival)), &notes, &case));
            }
        }
    }
    println!("the first start broke off in {broken} places");
    assert!(broken > 20, "{broken}");
}

async fn assert_introduced(place: &Place, notes: &[String], case: &str) {
    let before = fs::read(key_path(&place.data())).ok();
    let site = Site::open(place).await.unwrap_or_else(|error| panic!("{case}: {error:?}"));
    assert_eq!(site.store.doubt(), None, "{case}");
    let published = site.notary.publish().await.unwrap();
    let keys = site.notary.verifiers();
    site.close().await;
    let mut witness = file::Witness::default();
    let db = file::open_disk(&place.disk);
    witness.follow(&db);
    let notes: Vec<String> = notes.iter().cloned().chain([published.note.clone()]).collect();
    published_are_beginnings(&notes, &keys, &witness, case);
    mark_is_not_behind(place.mark().as_deref(), &notes, &keys, case);
    let named =
        file::leaves(&db).iter().filter(|leaf| String::from_utf8_lossy(leaf).contains("\"log.key_made\"")).count();
    assert_eq!(named, 1, "{case}");
    let after = fs::read(key_path(&place.data())).unwrap();
    assert!(before.is_none_or(|before| before == after), "{case}: another key");
    assert!(mark_path(&place.data()).exists(), "{case}");
}
