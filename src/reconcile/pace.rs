//! How often Clerk is asked.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The least time between two requests: eight a second. Clerk allows ten, at instances for development; what is left is for
/// the other requests that are made with the key.
const BETWEEN: Duration = Duration::from_millis(125);

/// Keeps requests apart.
#[derive(Debug)]
pub(super) struct Pace(Instant);

impl Pace {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    /// Returns when the next request may be made.
    pub(super) async fn turn(&mut self) {
        sleep_until(self.0).await;
        self.0 = Instant::now() + BETWEEN;
    }
}
