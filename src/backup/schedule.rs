//! When the server makes backups by itself: so many hours after the newest one that is in the folder. So a restart makes no
//! other one, and neither does a backup that somebody made by hand.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::desk::Backups;
use crate::audit::{Actor, Source};
use crate::clerk::http::shortened;
use crate::clock::Timestamp;
use crate::store::By;

/// How long it is waited for what.
#[derive(Debug, Clone, Copy)]
struct Waits {
    /// So often it is looked whether one is due, and so long after the start for the first time.
    look_every: Duration,
    /// After one that came to nothing. Shortened by chance: servers that share a disk fail together.
    pause: Duration,
}

const USUAL: Waits = Waits { look_every: Duration::from_mins(1), pause: Duration::from_hours(1) };

/// A backup that was due and came to nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    at: Timestamp,
    /// How long to wait before the next try, in milliseconds.
    pause: i64,
}

/// When the next one is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When.
    pub at: Timestamp,
    /// Whether it was due before and came to nothing.
    pub is_retry: bool,
}

/// When the next one is due, `every` so many milliseconds. The clock may have been put back: what it says is yet to come
/// holds nothing up.
pub(super) fn due(now: Timestamp, newest: Option<Timestamp>, every: i64, failure: Option<Failure>) -> Due {
    let by_age = newest.filter(|at| *at <= now).map(|at| at.plus_millis(every));
    let retry = failure.filter(|failure| failure.at <= now).map(|failure| failure.at.plus_millis(failure.pause));
    Due { at: retry.max(by_age).unwrap_or(now).max(now), is_retry: retry.is_some() && retry >= by_age }
}

/// Makes one whenever it is due, until `stopped`. Returns at once where no folder is set.
pub async fn keep(backups: Backups, stopped: watch::Receiver<()>) {
    keep_at(USUAL, backups, stopped).await;
}

async fn keep_at(waits: Waits, backups: Backups, mut stopped: watch::Receiver<()>) {
    if backups.rules().is_none() {
        return;
    }
    backups.look().await;
    while timeout(waits.look_every, stopped.changed()).await.is_err() {
        tokio::select! {
            () = look_after(&backups, waits) => {}
            _ = stopped.changed() => return,
        }
    }
}

async fn look_after(backups: &Backups, waits: Waits) {
    let newest = backups.look().await;
    let now = backups.now();
    if backups.running().is_some() || backups.due(now, newest).is_none_or(|due| due.at > now) {
        return;
    }
    // Another one that was begun meanwhile will do.
    let Ok(outcome) = backups.follow(None, ourselves(), |_| ()).await else { return };
    let pause = i64::try_from(shortened(waits.pause).as_millis()).unwrap_or(i64::MAX);
    backups.note_failure(outcome.result.is_err().then_some(Failure { at: outcome.at, pause }));
}

/// The server itself.
const fn ourselves() -> By {
    By { actor: Actor::System, source: Source::System }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::fs;
    use std::num::NonZeroU32;
    use std::path::Path;

    use super::super::desk::{NotBegun, Rules};
    use super::*;
    use crate::audit::{Doubt, Entry};
    use crate::clock::Clock;
    use crate::notary::Notary;
    use crate::store::Store;
    use crate::sync::Policy;

    /// As usual, but for somebody in a hurry. The clock stands still, so that the pause is never over by itself.
    const HURRIED: Waits = Waits { look_every: Duration::from_millis(5), pause: Duration::from_hours(1) };

    const HOUR: i64 = 60 * 60 * 1000;
    const AT: Timestamp = Timestamp::from_millis(1_795_284_191_000);

    #[test]
    fn what_the_clock_says_is_yet_to_come_holds_nothing_up() {
        let at = |hours: i64| Timestamp::from_millis(hours * HOUR);
        let due = |now, newest: Option<i64>, failed: Option<i64>| {
            let failure = failed.map(|hours| Failure { at: at(hours), pause: HOUR });
            let due = due(at(now), newest.map(at), 24 * HOUR, failure);
            // A retry is told by its sign.
            due.at.as_millis() / HOUR * if due.is_retry { -1 } else { 1 }
        };
        assert_eq!([due(100, None, None), due(100, Some(90), None), due(100, Some(76), None)], [100, 114, 100]);
        assert_eq!([due(100, Some(3), None), due(100, Some(101), None)], [100, 100]);
        // After a failure it waits, but not for a time that it failed in the future.
        assert_eq!(
            [due(100, None, Some(100)), due(100, Some(3), Some(98)), due(100, None, Some(900))],
            [-101, -100, 100]
        );
        assert_eq!(due(100, Some(90), Some(100)), 114);
    }

    struct House {
        clock: Clock,
        store: Store,
        notary: Notary,
        dir: tempfile::TempDir,
    }

    impl House {
        async fn build() -> Self {
            let (clock, dir) = (Clock::fixed(AT), tempfile::tempdir().unwrap());
            let path = dir.path().join("rollbook.redb");
            let store = Store::open(&path, 1 << 20, Policy::default(), clock.clone()).unwrap();
            let notary = Notary::open(store.clone(), clock.clone(), "localhost").await.unwrap();
            notary.publish().await.unwrap();
            Self { clock, store, notary, dir }
        }

        /// A server's backups, a day apart, three of them kept, in a folder that may not be there; and the schedule, kept
        /// until what is returned with them is dropped.
        fn keep(&self, folder: &Path) -> (Backups, watch::Sender<()>) {
            let rules = Rules { folder: folder.to_owned(), every: NonZeroU32::new(24), keep: NonZeroU32::new(3) };
            let backups = Backups::new(self.store.clone(), self.notary.clone(), self.clock.clone(), Some(rules));
            let (stop, stopped) = watch::channel(());
            tokio::spawn(keep_at(HURRIED, backups.clone(), stopped));
            (backups, stop)
        }

        /// Lets so many hours go by.
        fn pass(&self, hours: i64) {
            self.clock.set(self.clock.now().plus_millis(hours * HOUR));
        }
    }

    fn days(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut days: Vec<String> = names.filter_map(|name| Some(name.get(13..17)?.to_owned())).collect();
        days.sort_unstable();
        days
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_is_made_every_day_and_the_oldest_go() {
        let (house, folder) = (House::build().await, tempfile::tempdir().unwrap());
        fs::write(folder.path().join("rollbook-19990101T000000Z.redb"), "somebody's own, very old").unwrap();
        fs::write(folder.path().join("notes-19990101T000000Z.redb"), "no name of ours").unwrap();
        let (backups, stop) = house.keep(folder.path());
        for made in 1..=4 {
            let entries = house.store.told("backup.made", made).await;
            assert!(entries.iter().all(|entry| entry.leaf.actor == "system" && entry.leaf.outcome == "ok"));
            backups.idle().await;
            house.pass(24);
        }
        house.store.told("backup.made", 5).await;
        backups.idle().await;
        let removed = house.store.told("backup.removed", 3).await;
        let name = |entry: &Entry| entry.detail.as_ref().unwrap()["name"].as_str().unwrap().to_owned();
        let names: Vec<String> = removed.iter().map(name).collect();
        assert_eq!(
            names,
            ["rollbook-20261122T180311Z.redb", "rollbook-20261121T180311Z.redb", "rollbook-19990101T000000Z.redb"]
        );
        assert!(removed.iter().all(|entry| entry.leaf.actor == "system" && entry.leaf.outcome == "ok"));
        // The last is of the file that is not ours.
        assert_eq!(days(folder.path()), ["1123", "1124", "1125", "1T00"]);
        assert_eq!((backups.failures(), backups.newest()), (0, Some(AT.plus_millis(4 * 24 * HOUR))));
        drop(stop);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_restart_makes_no_other_one() {
        let (house, folder) = (House::build().await, tempfile::tempdir().unwrap());
        let (backups, stop) = house.keep(folder.path());
        house.store.told("backup.made", 1).await;
        backups.idle().await;
        drop(stop);
        house.pass(23);
        let (again, stop) = house.keep(folder.path());
        let due = again.due(house.clock.now(), again.look().await);
        assert_eq!(due, Some(Due { at: AT.plus_millis(24 * HOUR), is_retry: false }));
        for _ in 0..3 {
            look_after(&again, HURRIED).await;
        }
        assert_eq!(house.store.told("backup.made", 1).await.len(), 1);
        house.pass(1);
        house.store.told("backup.made", 2).await;
        again.idle().await;
        drop(stop);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_fails_is_tried_again_after_a_while() {
        let house = House::build().await;
        let folder = house.dir.path().join("missing");
        let (backups, stop) = house.keep(&folder);
        let failed = house.store.told("backup.made", 1).await;
        assert_eq!(failed[0].leaf.reason.as_deref(), Some("folder"));
        backups.idle().await;
        assert_eq!((backups.failures(), backups.newest()), (1, None));
        assert!(backups.last().unwrap().result.unwrap_err().contains("make the folder"));
        for _ in 0..3 {
            look_after(&backups, HURRIED).await;
        }
        assert_eq!(house.store.told("backup.made", 1).await.len(), 1, "not before the pause is over");
        fs::create_dir(&folder).unwrap();
        house.pass(1);
        assert_eq!(house.store.told("backup.made", 2).await[0].leaf.outcome, "ok");
        backups.idle().await;
        drop(stop);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_name_from_the_future_stops_nothing() {
        let (house, folder) = (House::build().await, tempfile::tempdir().unwrap());
        let future = folder.path().join("rollbook-20990101T000000Z.redb");
        fs::write(&future, "made while the clock was wrong").unwrap();
        let (backups, stop) = house.keep(folder.path());
        for made in 1..=5 {
            house.store.told("backup.made", made).await;
            backups.idle().await;
            house.pass(24);
        }
        assert!(future.exists(), "it pushes nothing out, and stays");
        assert!(days(folder.path()).len() >= 4, "{:?}", days(folder.path()));
        drop(stop);
    }

    #[tokio::test]
    async fn while_the_log_is_in_doubt_none_is_tried() {
        let (house, folder) = (House::build().await, tempfile::tempdir().unwrap());
        let rules = Rules { folder: folder.path().to_owned(), every: NonZeroU32::new(24), keep: None };
        let backups = Backups::new(house.store.clone(), house.notary.clone(), house.clock.clone(), Some(rules));
        assert!(backups.due(AT, None).is_some());
        house.store.refuse_writes(Doubt::NoMark);
        look_after(&backups, HURRIED).await;
        assert_eq!((backups.due(AT, None), backups.last(), backups.failures()), (None, None, 0));
        assert_eq!(backups.begin(ourselves()), Err(NotBegun::InDoubt));
    }

    #[tokio::test]
    async fn without_folder_or_hours_nothing_is_made() {
        let (house, folder) = (House::build().await, tempfile::tempdir().unwrap());
        let (_stop, stopped) = watch::channel(());
        let build = |rules| Backups::new(house.store.clone(), house.notary.clone(), house.clock.clone(), rules);
        keep_at(HURRIED, build(None), stopped).await;
        let never = build(Some(Rules { folder: folder.path().to_owned(), every: None, keep: None }));
        look_after(&never, HURRIED).await;
        assert_eq!(never.due(AT, None), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
