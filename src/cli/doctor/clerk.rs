//! Clerk's Backend API: whether it takes the key, and whether it has the users that are on the roll.

use crate::checks::{self, Check};
use crate::clerk::backend::{Backend, Error, Patience};
use crate::clock::Clock;
use crate::config;
use crate::control::Health;

/// What Clerk says, against what the running server knows, if one runs. The key is that of the doctor's own settings.
pub(super) async fn check(set: Option<&config::Backend>, health: Option<&Health>) -> Vec<Check> {
    let Some(set) = set else { return vec![checks::answered(None, None, None)] };
    let backend = match Backend::new(&set.url, set.key.expose(), Clock::system()) {
        Ok(backend) => backend,
        Err(bad) => return vec![Check::failure("Clerk's API", bad.to_string(), "")],
    };
    let (users, instance) = ask(&backend).await;
    let ours = health.and_then(|health| health.instance.as_deref());
    let answered = checks::answered(Some(&users), instance.as_deref(), ours);
    let is_other = instance.as_deref().zip(ours).is_some_and(|(theirs, ours)| theirs != ours);
    let counted = users.ok().zip(health).filter(|_| !is_other);
    let counted =
        counted.map(|(users, health)| checks::counted_there(users, health.users, health.apart, health.failed));
    [answered].into_iter().chain(counted).collect()
}

/// How many users Clerk has, and which instance it is, where it says so.
async fn ask(backend: &Backend) -> (Result<u64, Error>, Option<String>) {
    match backend.count(Patience::Short).await {
        Ok(users) => (Ok(users), backend.instance(Patience::Short).await.ok().flatten()),
        Err(error) => (Err(error), None),
    }
}
