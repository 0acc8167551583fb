//! The signing key, the high-water mark and the checkpoints signed under both: over time, and when a file is not what
//! it was.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rollbook::audit::{Actor, Doubt, Draft, Source};
use rollbook::clock::{Clock, Timestamp};
use rollbook::notary::{Error, Notary, key_path, mark_path};
use rollbook::store::{By, Store, StoredCheckpoint};
use rollbook::sync::Policy;
use rollbook::tlog::checkpoint::Checkpoint;
use tempfile::TempDir;

/// When these tests begin, in milliseconds: at the beginning of a day.
const T: i64 = 1_750_032_000_000;

const HOUR: i64 = 60 * 60 * 1000;
const DAY: i64 = 24 * HOUR;

/// What is done to a file.
type Harm<'a> = Box<dyn Fn() + 'a>;

/// A log and who vouches for it.
struct Log {
    store: Store,
    notary: Notary,
    clock: Clock,
}

fn data(dir: &TempDir) -> PathBuf {
    dir.path().join("roll.redb")
}

async fn open(path: &Path, at: i64) -> Result<Log, Error> {
    let clock = Clock::fixed(Timestamp::from_millis(at));
    let store = Store::open(path, 1 << 20, Policy::default(), clock.clone()).unwrap();
    match Notary::open(store.clone(), clock.clone(), "rollbook.example.com").await {
        Ok(notary) => Ok(Log { store, notary, clock }),
        Err(error) => {
            store.close().await;
            Err(error)
        }
    }
}

impl Log {
    async fn note(&self, count: usize) {
        for _ in 0..count {
            self.store.record(Draft::new("test.noted", Actor::System, Source::System)).await.unwrap();
        }
    }

    fn checkpoints(&self) -> Vec<StoredCheckpoint> {
        self.store.evidence().unwrap().checkpoints_after((0, 0), usize::MAX).unwrap()
    }

    async fn close(self) {
        drop(self.notary);
        self.store.close().await;
    }
}

fn by() -> By {
    By { actor: Actor::Cli, source: Source::Cli }
}

#[tokio::test]
async fn a_new_log_gets_a_key_that_only_its_owner_reads() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&data(&dir), T).await.unwrap();
    assert!(log.notary.is_new());
    let published = log.notary.publish().await.unwrap();
    for path in [key_path(&data(&dir)), mark_path(&data(&dir))] {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    let keys = log.notary.verifiers();
    assert_eq!(fs::read_to_string(mark_path(&data(&dir))).unwrap(), published.note);
    assert_eq!(Checkpoint::open(&published.note, &keys).unwrap().origin, "rollbook.example.com/log-1");
    // Neither the key nor its seed is anywhere in the data file.
    let secret = fs::read_to_string(key_path(&data(&dir))).unwrap();
    let secret = secret.lines().last().unwrap().rsplit('+').next().unwrap().to_owned();
    log.close().await;
    let file = fs::read(data(&dir)).unwrap();
    assert!(!file.windows(secret.len()).any(|part| part == secret.as_bytes()));

    // Nothing new, nothing signed; the same key, the same name, also under another host.
    let log = open(&data(&dir), T + 1).await.unwrap();
    assert!(!log.notary.is_new() && log.notary.verifiers() == keys);
    assert_eq!(log.notary.publish().await.unwrap().note, published.note);
    assert_eq!(log.checkpoints().len(), 1);
    log.close().await;
}

#[tokio::test]
async fn a_key_that_others_can_read_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    open(&data(&dir), T).await.unwrap().close().await;
    let key = key_path(&data(&dir));
    let refused = async || open(&data(&dir), T).await.err().unwrap().to_string();
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    assert!(refused().await.contains("chmod 600"));
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(&key, &elsewhere).unwrap();
    symlink(&elsewhere, &key).unwrap();
    assert!(refused().await.contains("not a link"));
    fs::remove_file(&key).unwrap();
    fs::write(&key, "PRIVATE+KEY+nonsense\n").unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    assert!(refused().await.contains("does not hold a signing key"));
    fs::rename(&elsewhere, &key).unwrap();
    open(&data(&dir), T).await.unwrap().close().await;
}

#[tokio::test]
async fn checkpoints_thin_out_with_age() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&data(&dir), T).await.unwrap();
    // Forty days, four checkpoints on each: two in its first hour, two in the second.
    let minutes = [0, 20, 60, 80];
    let mut signed = Vec::new();
    // And one at noon of the last.
    for (day, minute) in (0..40).flat_map(|day| minutes.map(|minute| (day, minute))).chain([(39, 12 * 60)]) {
        log.clock.set(Timestamp::from_millis(T + day * DAY + minute * 60 * 1000));
        log.note(1).await;
        signed.push((day, minute, log.notary.publish().await.unwrap().checkpoint.size));
    }
    let kept = log.checkpoints();
    let sizes: Vec<u64> = kept.iter().map(|kept| kept.size).collect();
    let stays = |day: i64, minute: i64| match 39 - day {
        0 => true,
        1..=29 => minute == 20 || minute == 80,
        _ => minute == 80,
    };
    let expected: Vec<u64> =
        signed.iter().filter(|(day, minute, _)| stays(*day, *minute)).map(|(_, _, size)| *size).collect();
    assert_eq!(sizes, expected);
    // Whatever was left out, those that stay hold.
    let keys = log.notary.verifiers();
    for kept in &kept {
        let checkpoint = Checkpoint::open(&kept.note, &keys).unwrap();
        assert_eq!(log.store.evidence().unwrap().root_at(kept.size).unwrap(), checkpoint.root);
    }
    log.close().await;
}

#[tokio::test]
async fn a_key_is_retired_after_thirty_days() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&data(&dir), T).await.unwrap();
    let former = log.notary.verifiers();
    assert_eq!(log.notary.retires_at(), None);
    let newer = log.notary.rotate(by()).await.unwrap();
    assert_eq!(log.notary.retires_at(), Some(Timestamp::from_millis(T + 30 * DAY)));
    assert!(matches!(log.notary.rotate(by()).await, Err(Error::Rotating)));
    log.clock.set(Timestamp::from_millis(T + 30 * DAY - 1));
    log.note(1).await;
    let both = log.notary.publish().await.unwrap();
    // Where nothing is new, nothing is signed anew.
    let (again, count) = (log.notary.publish().await.unwrap(), log.checkpoints().len());
    assert!(std::sync::Arc::ptr_eq(&both, &again));
    log.notary.publish().await.unwrap();
    assert_eq!(log.checkpoints().len(), count);
    Checkpoint::open(&both.note, &former).unwrap();
    Checkpoint::open(&both.note, std::slice::from_ref(&newer)).unwrap();
    // Over a restart too.
    log.close().await;
    let log = open(&data(&dir), T + 30 * DAY - 1).await.unwrap();
    assert_eq!(log.store.doubt(), None);
    assert_eq!(log.notary.verifiers().len(), 2);
    log.clock.set(Timestamp::from_millis(T + 30 * DAY));
    let alone = log.notary.publish().await.unwrap();
    Checkpoint::open(&alone.note, std::slice::from_ref(&newer)).unwrap();
    assert!(Checkpoint::open(&alone.note, &former).is_err());
    assert_eq!(log.notary.verifiers(), [newer]);
    assert_eq!(log.notary.retires_at(), None);
    assert_eq!(fs::read_to_string(key_path(&data(&dir))).unwrap().matches("PRIVATE+KEY").count(), 1);
    log.notary.rotate(by()).await.unwrap();
    log.close().await;
}

/// A rotation that ended between the key file and the log is announced at the next start.
#[tokio::test]
async fn a_rotation_that_broke_off_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&data(&dir), T).await.unwrap();
    log.notary.publish().await.unwrap();
    log.close().await;
    // The data file and the mark as they were before the rotation, the key file as it is after.
    let before = [data(&dir), mark_path(&data(&dir))].map(|path| (fs::read(&path).unwrap(), path));
    let log = open(&data(&dir), T).await.unwrap();
    let newer = log.notary.rotate(by()).await.unwrap();
    log.close().await;
    for (content, path) in before {
        fs::write(path, content).unwrap();
    }
    let log = open(&data(&dir), T).await.unwrap();
    assert_eq!(log.store.doubt(), None);
    assert_eq!(log.store.evidence().unwrap().identity().unwrap().unwrap().vkey, newer.to_string());
    log.notary.publish().await.unwrap();
    log.close().await;
}

/// What is done to the files beside a log with entries under its newest checkpoint, and what is noticed.
#[tokio::test]
async fn files_that_do_not_belong_together_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&data(&dir), T).await.unwrap();
    log.note(3).await;
    log.notary.publish().await.unwrap();
    log.close().await;
    let older = fs::read(data(&dir)).unwrap();
    let log = open(&data(&dir), T).await.unwrap();
    log.note(5).await;
    log.notary.publish().await.unwrap();
    log.close().await;
    let stranger = tempfile::tempdir().unwrap();
    let log = open(&data(&stranger), T).await.unwrap();
    log.note(9).await;
    log.notary.publish().await.unwrap();
    log.close().await;

    let (key, mark) = (key_path(&data(&dir)), mark_path(&data(&dir)));
    let whole = [data(&dir), key.clone(), mark.clone()].map(|path| (fs::read(&path).unwrap(), path));
    let swap = |from: &Path, to: &Path| assert!(fs::copy(from, to).unwrap() > 0);
    let harms: [(Harm<'_>, Doubt); 7] = [
        (Box::new(|| fs::remove_file(&key).unwrap()), Doubt::NoKey),
        (Box::new(|| swap(&key_path(&data(&stranger)), &key)), Doubt::OtherKey),
        (Box::new(|| fs::remove_file(&mark).unwrap()), Doubt::NoMark),
        (Box::new(|| swap(&mark_path(&data(&stranger)), &mark)), Doubt::BadMark),
        (Box::new(|| fs::write(&mark, [0xff, 0]).unwrap()), Doubt::BadMark),
        (Box::new(|| fs::write(data(&dir), &older).unwrap()), Doubt::RolledBack { size: 4, marked: 9 }),
        (Box::new(|| fs::remove_file(data(&dir)).unwrap()), Doubt::RolledBack { size: 0, marked: 9 }),
    ];
    for (harm, doubt) in harms {
        harm();
        let log = open(&data(&dir), T).await.unwrap();
        assert_eq!(log.store.doubt(), Some(doubt.clone()));
        let size = log.store.counts().entries;
        assert!(matches!(log.notary.publish().await, Err(Error::InDoubt(found)) if found == doubt));
        assert!(matches!(log.notary.rotate(by()).await, Err(Error::InDoubt(_))));
        assert_eq!(log.store.counts().entries, size, "{doubt}");
        log.close().await;
        // It is not forgotten, and not healed, by another start.
        let log = open(&data(&dir), T).await.unwrap();
        assert_eq!(log.store.doubt(), Some(doubt.clone()));

        let adopted = log.notary.adopt("a test", by()).await;
        if size == 0 {
            assert!(matches!(adopted, Err(Error::Lost(lost)) if lost.signed == Some(9) && lost.is_empty));
            assert_eq!((log.store.doubt(), log.store.counts().entries), (Some(doubt), 0));
            log.close().await;
            continue;
        }
        let adopted = adopted.unwrap();
        assert_eq!(adopted.checkpoint.origin, "rollbook.example.com/log-2");
        assert_eq!((log.store.doubt(), adopted.checkpoint.size), (None, size + 1));
        log.note(1).await;
        assert!(matches!(log.notary.adopt("again", by()).await, Err(Error::NoDoubt)));
        log.close().await;
        let log = open(&data(&dir), T).await.unwrap();
        assert_eq!(log.store.doubt(), None, "after {doubt}");
        log.close().await;
        for (content, path) in &whole {
            fs::write(path, content).unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        }
    }
}

#[tokio::test]
async fn a_file_that_is_put_back_twice_gets_two_names() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&data(&dir), T).await.unwrap();
    log.note(3).await;
    log.notary.publish().await.unwrap();
    log.close().await;
    let old = fs::read(data(&dir)).unwrap();
    let log = open(&data(&dir), T).await.unwrap();
    log.note(3).await;
    log.notary.publish().await.unwrap();
    log.close().await;
    let mut names = Vec::new();
    for without in [None, Some(mark_path(&data(&dir))), Some(key_path(&data(&dir)))] {
        fs::write(data(&dir), &old).unwrap();
        // Either of the two remembers what the file does not.
        without.map_or(Ok(()), fs::remove_file).unwrap();
        let log = open(&data(&dir), T).await.unwrap();
        assert!(log.store.doubt().is_some());
        names.push(log.notary.adopt("restored", by()).await.unwrap().checkpoint.origin.clone());
        log.note(1).await;
        log.notary.publish().await.unwrap();
        log.close().await;
    }
    assert_eq!(names, [2, 3, 4].map(|epoch| format!("rollbook.example.com/log-{epoch}")));
}
