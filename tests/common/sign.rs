//! Signing as Svix does, with Svix's own code.

use std::sync::atomic::{AtomicU64, Ordering};

use svix::webhooks::Webhook;

/// The headers of a delivery whose message has that id, sent at `timestamp` (seconds since 1970).
pub(crate) fn sign(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> Vec<(&'static str, String)> {
    let signature = Webhook::new(secret).unwrap().sign(id, timestamp, body).unwrap();
    vec![("svix-id", id.to_owned()), ("svix-timestamp", timestamp.to_string()), ("svix-signature", signature)]
}

/// The system's time in whole seconds since 1970: Svix's verifier knows no other clock.
pub(crate) fn now_seconds() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

/// A message id that no other call in this process got, in Svix's form.
pub(crate) fn fresh_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("msg_{:013}{:014}", now_seconds(), number)
}
