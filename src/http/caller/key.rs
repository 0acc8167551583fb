//! Callers with an API key. The key is looked up for every request, so that one revoked or expired is refused at once.

use crate::api_key::{ApiKey, Secret, State};
use crate::http::call::Call;
use crate::http::problem::Problem;

/// How stale the stored time of the last use may be, in milliseconds.
const TOUCH: i64 = 60 * 1000;

impl Call {
    /// The key with that secret. Whatever is wrong with it, the answer is the same.
    ///
    /// # Errors
    /// 401 when there is none, or it is not in force; 429 when it is shown too often.
    pub(super) async fn key(&self, secret: &str) -> Result<ApiKey, Problem> {
        let Ok(secret) = secret.parse::<Secret>() else { return Err(self.unauthenticated("malformed_key")) };
        let (hash, now, store) = (secret.hash(), self.app.clock.now(), &self.app.store);
        let Some(key) = store.api_key(&hash)? else { return Err(self.unauthenticated("unknown_key")) };
        match key.state(now) {
            State::Active => {}
            State::Expired => return Err(self.unauthenticated("expired_key")),
            State::Revoked => return Err(self.unauthenticated("revoked_key")),
        }
        self.count_token(key.id.as_str())?;
        if key.last_used_at.is_none_or(|at| now >= at.plus_millis(TOUCH)) {
            store.note_api_key_use(hash, now).await?;
        }
        Ok(key)
    }
}
