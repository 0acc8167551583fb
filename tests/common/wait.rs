//! Waiting for what comes of itself: a look at it right after the act that brings it may be a look too soon.

use std::time::{Duration, Instant};

/// Nothing here takes this long. What does is a failure, not a slow machine.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until it is so, which it must come to be.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !so() {
        assert!(since.elapsed() < PATIENCE, "still waiting: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// The same, where there is nothing but threads.
pub fn blocking(what: &str, mut so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !so() {
        assert!(since.elapsed() < PATIENCE, "still waiting: {what}");
        std::thread::sleep(PAUSE);
    }
}
