//! How many files the process may have open, which decides how many connections it can take.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For everything that is no connection of a client: the data file and what is beside it, backups, calls to other
/// services, commands. However many clients come, these must go on.
const RESERVE: u64 = 128;

/// How many connections there can be, of those wanted. Where the system lets a process ask for more descriptors than it was
/// given, it is asked.
pub(super) fn connections(wanted: usize) -> usize {
    let given = getrlimit(Resource::Nofile);
    let needed = u64::try_from(wanted).unwrap_or(u64::MAX).saturating_add(RESERVE);
    let asked = given.maximum.map_or(needed, |most| needed.min(most));
    if given.current.is_some_and(|current| current < asked) {
        // Refused, there are as many as before.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(asked), ..given });
    }
    let room = room(getrlimit(Resource::Nofile).current);
    if room < wanted {
        tracing::warn!(connections = room, wanted, "the limit on open files leaves room for few connections");
    }
    room.min(wanted)
}

/// What is left for connections of so many descriptors; `None` is no limit.
fn room(descriptors: Option<u64>) -> usize {
    let left = descriptors.map_or(u64::MAX, |all| all - RESERVE.min(all / 2));
    usize::try_from(left).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_never_for_connections() {
        assert_eq!(room(Some(1152)), 1024);
        assert_eq!(room(Some(64)), 32);
        assert_eq!(room(None), usize::MAX);
    }
}
