//! Whether there is a backup that is not too old.

use super::Check;
use crate::backup::{self, Backups, Due, Newest, Rules};
use crate::clock::Timestamp;
use crate::disk;

/// What the check of the newest backup is called.
pub const BACKUPS: &str = "backups";

/// How old the newest backup may be where none is made by itself.
const WEEK: i64 = 7 * 24;

/// Whether there is a backup that is not too old, as the rules have it: it may be twice as old as they want. `server` is the
/// server's backups, if it is the server who asks: it knows how the last one ended and when the next is due.
#[must_use]
pub fn backups(rules: Option<&Rules>, server: Option<&Backups>, now: Timestamp) -> Check {
    let Some(rules) = rules else {
        return Check::warning(BACKUPS, "none are made", "set ROLLBOOK_BACKUP_DIR to a folder");
    };
    let folder = rules.folder.display();
    let Newest { backup, ahead } = match backup::newest(&rules.folder, now) {
        Ok(newest) => newest,
        Err(cause) => {
            let found = format!("the folder for backups, {folder}, cannot be read: {}", disk::cause(&cause));
            let advice =
                "make the folder and give it to the user Rollbook runs as, or set another (ROLLBOOK_BACKUP_DIR)";
            return Check::failure(BACKUPS, found, advice);
        }
    };
    let hours = backup.as_ref().map(|backup| (now.as_millis() - backup.at.as_millis()).max(0) / HOUR);
    let found = match (&backup, hours) {
        (Some(backup), Some(hours)) => format!("the newest backup is {} ({})", age(hours), backup.name),
        _ => format!("no backup is in {folder}"),
    };
    let again = || again(rules, server, backup.as_ref().map(|backup| backup.at), now);
    if let Some(cause) = server.and_then(|server| server.last()?.result.err()) {
        return Check::warning(BACKUPS, format!("{found}, and the last one came to nothing: {cause}"), again());
    }
    if let Some(ahead) = ahead {
        let found = format!("{found}, and {} bears a time that is yet to come", ahead.name);
        let advice = "look at the clock; if it is right, move that file elsewhere, for nobody knows how old it is";
        return Check::warning(BACKUPS, found, advice);
    }
    let most = rules.every.map_or(WEEK, |every| 2 * i64::from(every.get()));
    if hours.is_some_and(|hours| hours <= most) {
        Check::ok(BACKUPS, found)
    } else {
        Check::warning(BACKUPS, found, again())
    }
}

const HOUR: i64 = 60 * 60 * 1000;

fn age(hours: i64) -> String {
    match hours {
        ..1 => "less than an hour old".to_owned(),
        1 => "an hour old".to_owned(),
        2..48 => format!("{hours} hours old"),
        _ => format!("{} days old", hours / 24),
    }
}

/// What to do about it, and what the server does.
fn again(rules: &Rules, server: Option<&Backups>, newest: Option<Timestamp>, now: Timestamp) -> String {
    const BY_HAND: &str = "make one with `rollbook backup` or on the admin page, under System";
    match server {
        _ if rules.every.is_none() => BY_HAND.to_owned(),
        None => "a running server makes one when it is due; `rollbook backup` makes one now".to_owned(),
        Some(server) if server.is_in_doubt() => "none is made while the log is in doubt".to_owned(),
        Some(server) if server.running().is_some() => "one is being made".to_owned(),
        Some(server) => server.due(now, newest).map_or_else(
            || BY_HAND.to_owned(),
            |Due { at, is_retry }| {
                let what = if is_retry { "it is tried again" } else { "the next is made" };
                format!("{what} {}; `rollbook backup` makes one now", until(at.as_millis() - now.as_millis()))
            },
        ),
    }
}

/// How long until then, in so many milliseconds.
fn until(millis: i64) -> String {
    match u64::try_from(millis).unwrap_or_default().div_ceil(60_000) {
        // It is looked once a minute.
        ..2 => "within a minute".to_owned(),
        minutes @ 2..120 => format!("in {minutes} minutes"),
        minutes => format!("in {} hours", minutes / 60),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::num::NonZeroU32;

    use super::*;
    use crate::checks::Level;

    #[test]
    fn backups_grow_old() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str| fs::write(dir.path().join(name), "x").unwrap();
        let begun: Timestamp = "2026-11-21T18:03:11Z".parse().unwrap();
        let rules = |every| Rules { folder: dir.path().to_owned(), every: NonZeroU32::new(every), keep: None };
        let check = |every, hours: i64| backups(Some(&rules(every)), None, begun.plus_millis(hours * HOUR));
        assert!(check(0, 0).found.starts_with("no backup is in /") && check(24, 0).level == Level::Warning);
        fs::write(dir.path().join("rollbook-20261121T180311Z.redb"), "").unwrap();
        assert!(check(0, 0).found.starts_with("no backup is in /"), "an empty file is none");
        put("rollbook-20261121T180311Z.redb");
        let levels = |every, all: [i64; 4]| all.map(|hours| check(every, hours).level == Level::Ok);
        assert_eq!(levels(0, [0, 47, 168, 169]), [true, true, true, false]);
        assert_eq!(levels(24, [0, 24, 48, 49]), [true, true, true, false]);
        assert_eq!(levels(1, [0, 2, 3, 99]), [true, true, false, false]);
        for (hours, words) in
            [(0, "less than an hour"), (1, "an hour old"), (47, "47 hours"), (48, "2 days old (rollbook-2026")]
        {
            assert!(check(0, hours).found.contains(words), "{:?}", check(0, hours));
        }
        // A time that is yet to come is said, and does not stand for the newest.
        put("rollbook-20990101T000000Z.redb");
        let ahead = check(24, 49);
        assert!(
            ahead.found.contains("2 days old") && ahead.found.contains("rollbook-20990101T000000Z.redb bears"),
            "{ahead:?}"
        );
        assert_eq!(check(24, 0).level, Level::Warning);
        let missing = Rules { folder: dir.path().join("missing"), ..rules(0) };
        let missing = backups(Some(&missing), None, begun);
        assert!(
            missing.level == Level::Failure && missing.found.ends_with("cannot be read: No such file or directory")
        );
        let none = backups(None, None, begun);
        assert!(none.level == Level::Warning && none.sentence().contains("set ROLLBOOK_BACKUP_DIR"), "{none:?}");
    }

    #[test]
    fn how_long_until_the_next_is_told_from_a_minute_up() {
        let told = [0, 1, 60_000, 60_001, 35 * 60_000, 120 * 60_000].map(until);
        assert_eq!(
            told,
            ["within a minute", "within a minute", "within a minute", "in 2 minutes", "in 35 minutes", "in 2 hours"]
        );
    }
}
