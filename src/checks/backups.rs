//! Whether there is a backup that is not too old.

use super::Check;
use crate::backup::{self, Newest, Rules};
use crate::clock::Timestamp;

/// What the check of the newest backup is called.
pub const BACKUPS: &str = "backups";

/// How old the newest backup may be where none is made by itself.
const WEEK: i64 = 7 * 24;

/// Whether there is a backup that is not too old, as the rules have it: it may be twice as old as they want. `failure` is
/// why the last one came to nothing, if it did.
#[must_use]
pub fn backups(rules: &Rules, failure: Option<&str>, now: Timestamp) -> Check {
    let folder = rules.folder.display();
    let Newest { backup, ahead } = match backup::newest(&rules.folder, now) {
        Ok(newest) => newest,
        Err(cause) => {
            let found = format!("{folder} cannot be read ({cause})");
            let advice =
                "make the folder and give it to the user Rollbook runs as, or set another (ROLLBOOK_BACKUP_DIR)";
            return Check::failure(BACKUPS, found, advice);
        }
    };
    let hours = backup.as_ref().map(|backup| (now.as_millis() - backup.at.as_millis()).max(0) / HOUR);
    let found = match (&backup, hours) {
        (Some(backup), Some(hours)) => format!("the newest is {} ({})", age(hours), backup.name),
        _ => format!("there is none in {folder}"),
    };
    if let Some(cause) = failure {
        return Check::warning(BACKUPS, format!("{found}, and the last one came to nothing: {cause}"), again(rules));
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
        Check::warning(BACKUPS, found, again(rules))
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

const fn again(rules: &Rules) -> &'static str {
    if rules.every.is_some() {
        "see that the server runs: it makes one when it is due, and tries again within the hour; or make one with `rollbook backup`"
    } else {
        "make one with `rollbook backup` or on the admin page, under System"
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
        let check = |every, hours: i64| backups(&rules(every), None, begun.plus_millis(hours * HOUR));
        assert!(check(0, 0).found.starts_with("there is none") && check(24, 0).level == Level::Warning);
        fs::write(dir.path().join("rollbook-20261121T180311Z.redb"), "").unwrap();
        assert!(check(0, 0).found.starts_with("there is none"), "an empty file is none");
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
        let failed = backups(&rules(24), Some("the disk is full"), begun);
        assert!(
            failed.level == Level::Warning && failed.found.ends_with("came to nothing: the disk is full"),
            "{failed:?}"
        );
        let missing = Rules { folder: dir.path().join("missing"), ..rules(0) };
        assert_eq!(backups(&missing, None, begun).level, Level::Failure);
    }
}
