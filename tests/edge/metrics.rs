//! What is measured, and who may see it.

use std::collections::BTreeSet;
use std::path::Path;

use reqwest::{Method, StatusCode};
use rollbook::http::{Fault, faults};

use crate::common::{Answer, TestServer, sign, token, user_event};
use crate::process::{Process, serve};

const AT: i64 = 1_700_000_000_000;

/// The value on the line that begins so.
pub(crate) fn value(page: &str, line: &str) -> Option<f64> {
    page.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' ')?.parse().ok())
}

/// A server that has seen a bit of everything.
pub(crate) async fn lived_in() -> TestServer {
    // A service is told of what never happens here.
    let settings = [
        ("ROLLBOOK_METRICS_LISTEN", "127.0.0.1:0"),
        ("ROLLBOOK_FORWARD_URL", "https://hooks.example.com/"),
        ("ROLLBOOK_FORWARD_SECRET", crate::common::SECRET),
        ("ROLLBOOK_FORWARD_TYPES", "role.created"),
    ];
    let server = TestServer::with(&settings).await;
    let created = user_event("user.created", "user_Ann", AT, "Ann");
    assert_eq!(server.outcome(&created).await, "applied");
    assert_eq!(
        server.deliver_as("msg_twice", &user_event("user.updated", "user_Ann", AT + 9, "Anna")).await.status,
        200
    );
    assert_eq!(server.deliver_as("msg_twice", &created).await.json()["outcome"], "duplicate");
    let forged = sign::sign(crate::common::SECRET, "msg_forged", sign::now_seconds(), b"something else");
    assert_eq!(server.post_signed(&forged, &created.to_string()).await.status, 401);
    assert_eq!(server.get_as(&token("user_Ann"), "/api/auth/me").await.status, 200);
    assert_eq!(server.get_as(&token("user_Ann"), "/api/users/user_Ann").await.status, 200);
    assert_eq!(server.get_as("junk", "/api/users/user_Bob").await.status, 401);
    assert_eq!(server.get("/nothing/here").await.status, 404);
    assert_eq!(server.request(Method::from_bytes(b"BREW").unwrap(), "/health").send().await.unwrap().status(), 405);
    // No handler fails when it is asked to; what answers in its place is the same.
    assert_eq!(faults(&server.app)(Fault::Panicked, &Method::PATCH).status(), 500);
    server
}

#[tokio::test]
async fn it_says_what_happened() {
    let server = lived_in().await;
    let page = server.get("/metrics").await;
    assert_eq!(page.header("content-type"), "text/plain; version=0.0.4");
    let page = page.text;
    for (line, expected) in [
        (r#"rollbook_webhook_deliveries_total{outcome="applied"}"#, 2.0),
        (r#"rollbook_webhook_deliveries_total{outcome="duplicate"}"#, 1.0),
        (r#"rollbook_webhook_deliveries_total{outcome="stale"}"#, 0.0),
        (r#"rollbook_webhook_deliveries_total{outcome="bad_signature"}"#, 1.0),
        ("rollbook_webhook_duration_seconds_count", 3.0),
        ("rollbook_users", 1.0),
        ("rollbook_store_ready", 1.0),
        ("rollbook_log_in_doubt", 0.0),
        ("rollbook_write_queue_length", 0.0),
        ("rollbook_jwks_keys", 1.0),
        ("rollbook_connections_closed_idle_total", 0.0),
        ("rollbook_connections_refused_total", 0.0),
        (r#"rollbook_forward_up{target="settings"}"#, 1.0),
        (r#"rollbook_forward_delivered_total{target="settings"}"#, 0.0),
        (r#"rollbook_forward_failures_total{target="settings"}"#, 0.0),
        (r#"rollbook_refusals_total{action="api.unauthenticated",reason="malformed"}"#, 1.0),
        (r#"rollbook_refusals_total{action="webhook.rejected",reason="bad_signature"}"#, 1.0),
        (r#"rollbook_http_requests_total{route="/api/webhooks/clerk",method="POST",status="200"}"#, 3.0),
        (r#"rollbook_http_requests_total{route="/api/users/{id}",method="GET",status="200"}"#, 1.0),
        (r#"rollbook_http_requests_total{route="/api/users/{id}",method="GET",status="401"}"#, 1.0),
        (r#"rollbook_http_requests_total{route="unmatched",method="GET",status="404"}"#, 1.0),
        (r#"rollbook_http_requests_total{route="unmatched",method="other",status="405"}"#, 1.0),
        (r#"rollbook_http_requests_total{route="unmatched",method="PATCH",status="500"}"#, 1.0),
        (r#"rollbook_http_request_duration_seconds_count{route="/api/users/{id}"}"#, 2.0),
    ] {
        assert_eq!(value(&page, line), Some(expected), "{line}\n{page}");
    }
    let counts = server.app.store.counts();
    for (line, expected) in [
        ("rollbook_log_entries", counts.entries),
        ("rollbook_last_event_timestamp_seconds", counts.last_event_at.unwrap().as_millis().unsigned_abs() / 1000),
        ("rollbook_data_file_bytes", std::fs::metadata(server.data()).unwrap().len()),
        ("rollbook_commit_operations_sum", server.app.store.figures().batches.sum()),
    ] {
        assert_eq!(value(&page, line).map(f64::floor), Some(f64::from(u32::try_from(expected).unwrap())), "{line}");
    }
    let now = f64::from(u32::try_from(sign::now_seconds()).unwrap());
    for line in ["process_start_time_seconds", "rollbook_checkpoint_timestamp_seconds"] {
        assert!(value(&page, line).is_some_and(|at| (now - at).abs() < 600.0), "{line}\n{page}");
    }
    assert!(value(&page, "process_resident_memory_bytes").is_some_and(|bytes| bytes > 1e6), "{page}");
    assert!(value(&page, "rollbook_connections").is_some_and(|open| open >= 1.0), "{page}");
}

#[tokio::test]
async fn it_names_nobody_and_grows_by_nothing_that_is_sent() {
    let server = lived_in().await;
    let before = server.get("/metrics").await.text.lines().count();
    for n in 0..50 {
        server.get(&format!("/secret/path/{n}")).await;
        let method = Method::from_bytes(format!("BREW{n}").as_bytes()).unwrap();
        server.request(method, "/health").send().await.unwrap();
        server.get_as("junk", &format!("/api/users/user_{n}")).await;
    }
    let page = server.get("/metrics").await.text;
    // `/metrics` itself is there from its second time on.
    assert!(page.lines().count() <= before + 20, "{page}");
    for personal in ["user_Ann", "Ann", "example.org", "127.0.0.1", "secret", "BREW", "sess_", "user_1", "junk"] {
        assert!(!page.contains(personal), "{personal}\n{page}");
    }
}

#[tokio::test]
async fn it_is_for_this_machine_and_for_admins() {
    let server = TestServer::with(&[("ROLLBOOK_PUBLIC_URL", "https://roll.example")]).await;
    assert_eq!(server.get("/metrics").await.status, 200);
    let as_if = async |name: &str, token: Option<&str>| {
        let request = server.request(Method::GET, "/metrics").header(name, "for=127.0.0.1");
        let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
        request.send().await.unwrap().status()
    };
    for header in ["x-forwarded-for", "forwarded", "via", "x-real-ip"] {
        assert_eq!(as_if(header, None).await, StatusCode::UNAUTHORIZED, "{header}");
    }
    assert_eq!(as_if("x-something", None).await, StatusCode::OK);
    let through = server.request(Method::GET, "/metrics").header("host", "roll.example");
    assert_eq!(through.send().await.unwrap().status(), StatusCode::UNAUTHORIZED, "a proxy that adds no header");
    let somebody = token("user_Ann");
    assert_eq!(as_if("via", Some(&somebody)).await, StatusCode::FORBIDDEN);
    let admin = server.admin("user_Root").await;
    assert_eq!(as_if("via", Some(&admin)).await, StatusCode::OK);
    assert_eq!(server.get("/metrics?x=1").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(server.request(Method::POST, "/metrics").send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn it_has_an_address_of_its_own_if_that_is_set() {
    let server = lived_in().await;
    let address = server.metrics.unwrap();
    let ask = async |method: Method, path: &str, headers: &[(&str, &str)]| {
        let request = server.client.request(method, format!("http://{address}{path}"));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Answer::of(request.send().await.unwrap()).await
    };
    let page = ask(Method::GET, "/metrics", &[("via", "1.1 proxy"), ("host", "rollbook:9090")]).await;
    assert_eq!((page.status.as_u16(), page.header("x-content-type-options")), (200, "nosniff"));
    assert_eq!(value(&page.text, "rollbook_users"), Some(1.0));
    assert_eq!(ask(Method::GET, "/health", &[]).await.text, r#"{"status":"ok"}"#);
    assert_eq!(ask(Method::POST, "/metrics", &[]).await.status, 405);
    assert_eq!(ask(Method::from_bytes(b"BREW").unwrap(), "/metrics", &[]).await.status, 405);
    for path in ["/", "/api/session", "/admin", "/log/checkpoint", "/ready"] {
        assert_eq!(ask(Method::GET, path, &[]).await.status, 404, "{path}");
    }
    server.stop().await;
}

#[test]
fn the_address_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = serve(dir.path());
    command.env("ROLLBOOK_METRICS_LISTEN", "127.0.0.1:0");
    let server = Process::start(command);
    server.terminate();
    let (status, said) = server.wait();
    assert!(status.success() && said.contains("metrics on http://127.0.0.1:"), "{said}");
}

#[tokio::test]
async fn the_readme_lists_all_of_them() {
    let server = lived_in().await;
    let page = server.get("/metrics").await.text;
    let found: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, table) = readme.split_once("\n| Metric | What it is |\n").unwrap();
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let told: BTreeSet<&str> = rows
        .flat_map(|row| row.split('|').nth(1).unwrap().split(','))
        .map(|cell| cell.trim().trim_matches('`'))
        .collect();
    // A key from the settings is never fetched and has no age; without the secret key nothing is compared with Clerk's;
    // without a folder there are no backups, without a certificate nothing is known of one.
    let elsewhere = BTreeSet::from([
        "rollbook_backup_last_success_timestamp_seconds",
        "rollbook_jwks_age_seconds",
        "rollbook_jwks_fetches_total",
        "rollbook_sync_drift",
        "rollbook_sync_last_success_timestamp_seconds",
        "rollbook_sync_users",
        "rollbook_tls_certificate_expiry_timestamp_seconds",
        "rollbook_tls_certificate_renewed",
        "rollbook_tls_handshakes_total",
    ]);
    assert_eq!(told, found.union(&elsewhere).copied().collect());
}
