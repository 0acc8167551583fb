//! Who may call: whoever shows the key, in a version of the API that there is, and not too often.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::Instant;

use super::answer::Refusal;
use super::call::Call;

/// The versions of the API. <https://clerk.com/docs/guides/development/upgrading/versioning>
const VERSIONS: [&str; 6] = ["2021-02-05", "2024-10-01", "2025-03-12", "2025-04-10", "2025-11-10", "2026-05-12"];

/// The time in which requests are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// Requests that a development instance has in that time.
const USUAL: u32 = 100;

#[derive(Debug)]
pub(super) struct Gate {
    key: String,
    requests: AtomicU64,
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    allowed: u32,
    since: Instant,
    taken: u32,
}

impl Gate {
    pub(super) fn new(secret: &[u8; 16]) -> Self {
        let key = format!("sk_test_{:032x}", u128::from_be_bytes(*secret));
        let window = Window { allowed: USUAL, since: Instant::now(), taken: 0 };
        Self { key, requests: AtomicU64::new(0), window: Mutex::new(window) }
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn allow(&self, requests: u32) {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).allowed = requests;
    }

    /// Lets the call in, or says why not.
    pub(super) fn admit(&self, call: &Call) -> Result<(), Refusal> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.check_key(call)?;
        check_version(call)?;
        // Clerk counts no requests for its keys.
        if call.path() == ["v1", "jwks"] { Ok(()) } else { self.count() }
    }

    fn check_key(&self, call: &Call) -> Result<(), Refusal> {
        let refused = |code, message| Refusal::new(StatusCode::UNAUTHORIZED, code, message);
        let Some(shown) = call.header("authorization") else {
            return Err(refused("authentication_invalid", "The request has no Authorization header"));
        };
        match shown.strip_prefix("Bearer ") {
            None => Err(refused(
                "authorization_header_format_invalid",
                "The Authorization header must be `Bearer` and a secret key",
            )),
            Some(key) if key == self.key => Ok(()),
            Some(_) => Err(refused("clerk_key_invalid", "The secret key is not the one of this stand-in")),
        }
    }

    fn count(&self) -> Result<(), Refusal> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let age = window.since.elapsed();
        if age >= WINDOW {
            (window.since, window.taken) = (Instant::now(), 0);
        }
        if window.taken >= window.allowed {
            return Err(Refusal::too_many((WINDOW.saturating_sub(age)).as_secs() + 1));
        }
        window.taken += 1;
        Ok(())
    }
}

fn check_version(call: &Call) -> Result<(), Refusal> {
    let refused = |message: &str| Refusal::new(StatusCode::BAD_REQUEST, "api_version_invalid", message);
    match (call.header("clerk-api-version"), call.first("__clerk_api_version")) {
        (Some(_), Some(_)) => Err(refused("The version is to be named once, in the header or in the query")),
        (Some(version), _) | (_, Some(version)) if !VERSIONS.contains(&version) => {
            Err(refused("The API has no such version"))
        }
        _ => Ok(()),
    }
}
