//! A server whose clock stands, and what is asked of it again and again.

use std::sync::LazyLock;

use reqwest::StatusCode;
use rollbook::audit::Entry;
use rollbook::clock::{Clock, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::common::tokens::{Issuer, PARTY, claims, with};
use crate::common::wait::until;
use crate::common::{Answer, CLERK, TestServer, sign};
use crate::file::state;
use crate::jwks_server::JwksServer;

pub(crate) const ME: &str = "/api/auth/me";

/// When Clerk's events were, in milliseconds; longer ago than any token.
pub(crate) const T: i64 = 1_750_000_000_000;

/// Another Clerk instance.
pub(crate) static OTHER: LazyLock<Issuer> = LazyLock::new(|| Issuer::new("ins_other"));

/// A server whose clock stands, so that the edges of a token's time can be met exactly, and that allows one party.
pub(crate) struct Stand {
    pub(crate) server: TestServer,
    pub(crate) clock: Clock,
    /// Seconds since 1970, when the clock was made to stand.
    pub(crate) now: i64,
}

impl Stand {
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let now = sign::now_seconds();
        let clock = Clock::fixed(at(now));
        Self { server: TestServer::with_clock(settings, clock.clone()).await, clock, now }
    }

    /// With the issuer's own key, pinned.
    pub(crate) async fn pinned() -> Self {
        Self::with(&[("CLERK_AUTHORIZED_PARTIES", PARTY)]).await
    }

    /// With the keys that the address publishes.
    pub(crate) async fn remote(keys: &JwksServer) -> Self {
        Self::with(&[("CLERK_JWT_KEY", ""), ("CLERK_JWKS_URL", keys.url())]).await
    }

    pub(crate) fn good(&self) -> Value {
        claims("user_1", self.now)
    }

    /// A token good for two days, so that keys can come and go in its time.
    pub(crate) fn lasting(&self, issuer: &Issuer, user: &str) -> String {
        issuer.mint(&with(&claims(user, self.now), "exp", self.now + 48 * 3600))
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.set(self.clock.now().plus_millis(seconds * 1000));
    }

    pub(crate) async fn status(&self, token: &str) -> u16 {
        self.server.get_as(token, ME).await.status.as_u16()
    }

    /// Refuses each token in the same words and writes nothing. Then lets the good one in: were the refusals owed to
    /// something else that is wrong, that would be refused too.
    pub(crate) async fn refuses<L: std::fmt::Debug>(&self, cases: impl IntoIterator<Item = (L, String)>) {
        let before = state(&self.server.data());
        let mut count = 0;
        for (case, token) in cases {
            assert_refused(&self.server.get_as(&token, ME).await, &case);
            count += 1;
        }
        assert!(count > 0);
        assert_eq!(state(&self.server.data()), before, "something was written");
        self.takes("a good token", &CLERK.mint(&self.good())).await;
    }

    /// Refuses each of the claims, validly signed.
    pub(crate) async fn refuses_claims(&self, cases: impl IntoIterator<Item = Value>) {
        self.refuses(cases.into_iter().map(|claims| (claims.to_string(), CLERK.mint(&claims)))).await;
    }

    /// Refuses each of the headers before good claims, validly signed.
    pub(crate) async fn refuses_headers(&self, cases: impl IntoIterator<Item = Value>) {
        let good = self.good();
        let cases = cases.into_iter().map(|header| (header.to_string(), CLERK.mint_with(&header, &good)));
        self.refuses(cases).await;
    }

    pub(crate) async fn takes(&self, case: &str, token: &str) {
        let answer = self.server.get_as(token, ME).await;
        assert_eq!(answer.status, StatusCode::OK, "{case}: {}", answer.text);
        assert_eq!(answer.json()["clerk_user_id"], "user_1", "{case}");
    }

    /// The entries of denied requests, oldest first.
    pub(crate) async fn denied(&self) -> Vec<Entry> {
        let mut entries = self.server.entries().await;
        entries.retain(|entry| entry.leaf.action == "api.denied");
        entries
    }
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

/// One answer for everything that is wrong with a token.
pub(crate) fn assert_refused(answer: &Answer, case: &impl std::fmt::Debug) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{case:?}: {}", answer.text);
    assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"", "{case:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{case:?}");
    let mut body = answer.json();
    assert!(body["error_id"].as_str().unwrap().starts_with("ERR_"), "{case:?}");
    body.as_object_mut().unwrap().remove("error_id");
    let expected = json!({
        "type": "urn:rollbook:problem:unauthorized", "title": "Not signed in", "status": 401,
        "detail": "A valid session token or API key is required in the Authorization header.",
    });
    assert_eq!(body, expected, "{case:?}");
}

/// Sends a request line and header lines exactly as written; the answer's status and all of its bytes.
pub(crate) async fn raw(server: &TestServer, line: &str, headers: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("{line} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", server.address);
    // A server that has heard enough may close while more is being said.
    let _ = stream.write_all(&[head.as_bytes(), headers, b"\r\n"].concat()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    (answer.get(9..12).unwrap_or_default().parse().unwrap_or(0), answer)
}

/// Waits until the keys that were fetched are in the data file, which happens behind the answers.
pub(crate) async fn kept_and_quiet(stand: &Stand, keys: &JwksServer, fetches: usize) {
    assert_eq!(keys.hits(), fetches);
    until("keys in the data file", || stand.server.app.store.keys().unwrap().is_some()).await;
}

/// What the log says once the server has stopped, which is when the last minute is written down.
pub(crate) async fn after_restart(stand: Stand) -> Vec<Entry> {
    let dir = stand.server.stop().await;
    TestServer::open(dir, &[], stand.clock).await.entries().await
}
