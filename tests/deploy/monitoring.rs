//! The alerts and the dashboard: they ask for what the server measures, and Prometheus' own judge understands them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rollbook::audit::{Actor, Source};
use rollbook::clock::Clock;
use rollbook::stand_in::StandIn;
use rollbook::store::By;
use serde_json::Value;

use crate::common::{TestServer, sign, token, user_event};
use crate::{approved, deploy, handed_out, judge};

/// The metrics page of a server that has everything: a comparison with Clerk, a backup, a target, keys that were fetched.
async fn everything() -> String {
    let clerk = StandIn::start("ins_test", Clock::system()).await.unwrap();
    let backups = tempfile::tempdir().unwrap();
    let settings = [
        ("CLERK_JWT_KEY", ""),
        ("CLERK_ISSUER", clerk.url.as_str()),
        ("CLERK_SECRET_KEY", clerk.secret_key()),
        ("CLERK_API_URL", clerk.url.as_str()),
        ("ROLLBOOK_BACKUP_DIR", backups.path().to_str().unwrap()),
        ("ROLLBOOK_FORWARD_URL", "https://hooks.example.com/"),
        ("ROLLBOOK_FORWARD_SECRET", crate::common::SECRET),
        ("ROLLBOOK_FORWARD_TYPES", "role.created"),
    ];
    let server = TestServer::with(&settings).await;
    assert_eq!(server.outcome(&user_event("user.created", "user_Ann", 1_700_000_000_000, "Ann")).await, "applied");
    let forged = sign::sign(crate::common::SECRET, "msg_forged", sign::now_seconds(), b"something else");
    assert_eq!(server.post_signed(&forged, "{}").await.status, 401);
    assert_eq!(server.get_as(&token("user_Ann"), "/api/auth/me").await.status, 401);
    let by = || By { actor: Actor::Cli, source: Source::Cli };
    server.app.walks.follow(false, by(), |_| ()).await.unwrap().result.unwrap();
    server.app.backups.follow(None, by(), |_| ()).await.unwrap().result.unwrap();
    server.get("/metrics").await.text
}

/// What a query asks for: each metric, with what is demanded of its labels.
fn asked(query: &str) -> BTreeSet<(String, Vec<(String, String)>)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = BTreeSet::new();
    for (at, _) in query.match_indices("rollbook_").chain(query.match_indices("process_")) {
        if query[..at].ends_with(is_part) {
            continue;
        }
        let name = &query[at..at + query[at..].find(|c| !is_part(c)).unwrap_or(query.len() - at)];
        let rest = &query[at + name.len()..];
        let labels = rest.strip_prefix('{').map_or("", |rest| rest.split('}').next().unwrap());
        let labels = labels.split(", ").flat_map(|pair| pair.split(','));
        let labels = labels
            .filter_map(|pair| pair.split_once('='))
            .map(|(label, value)| (label.trim_end_matches('!').to_owned(), value.trim_matches(['~', '"']).to_owned()));
        found.insert((name.to_owned(), labels.collect()));
    }
    found
}

/// Fails unless the page has it: the metric, and the label and a value that is asked for.
fn is_on(page: &str, name: &str, labels: &[(String, String)]) {
    let has = |name: &str| page.contains(&format!("\n# TYPE {name} "));
    let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    assert!(has(name) || has(family), "{name} is not measured\n{page}");
    let lines: Vec<&str> =
        page.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))).collect();
    assert!(!lines.is_empty(), "{name} has no value\n{page}");
    for (label, value) in labels.iter().filter(|(label, _)| !["job", "instance"].contains(&label.as_str())) {
        assert!(lines.iter().any(|line| line.contains(&format!("{label}=\""))), "{name} has no {label}");
        // What is fetched ends well here, and is refused in one way.
        for value in value.split('|') {
            let is_there = lines.iter().any(|line| line.contains(&format!("{label}=\"{value}\"")));
            assert!(is_there, "{name} is never {label}={value}\n{lines:#?}");
        }
    }
}

/// The queries of the alerts, told by the lines of the file; a folded one goes on while it is indented.
fn alerts() -> Vec<String> {
    let text = handed_out("alerts.yml");
    let mut queries = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(query) = line.trim_start().strip_prefix("expr: ") else { continue };
        let mut query = query.trim_start_matches(">-").to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with("          ")) {
            query = format!("{query} {}", more.trim());
        }
        queries.push(query);
    }
    queries
}

/// The queries of the dashboard.
fn panels(value: &Value) -> Vec<String> {
    match value {
        Value::Object(object) => object
            .iter()
            .flat_map(|(name, value)| match value {
                Value::String(query) if name == "expr" || name == "definition" => vec![query.clone()],
                other => panels(other),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(panels).collect(),
        _ => Vec::new(),
    }
}

fn dashboard() -> Value {
    serde_json::from_str(&handed_out("dashboard.json")).unwrap()
}

#[tokio::test]
async fn everything_that_is_asked_for_is_measured() {
    let page = everything().await;
    let (alerts, panels) = (alerts(), panels(&dashboard()));
    assert!(alerts.len() > 10 && panels.len() > 20, "{alerts:#?}");
    let mut count = 0;
    for query in alerts.iter().chain(&panels) {
        let asked = asked(query);
        assert!(!asked.is_empty() || query.starts_with("up{"), "{query}");
        for (name, labels) in asked {
            is_on(&page, &name, &labels);
            count += 1;
        }
    }
    assert!(count > 40);
}

#[test]
fn prometheus_understands_the_alerts_and_they_call_when_they_should() {
    let path = deploy().join("alerts.yml");
    let Some(judged) = judge("promtool", &["check".as_ref(), "rules".as_ref(), path.as_os_str()]) else { return };
    assert!(approved(&judged).contains("SUCCESS"));
    let folder = tempfile::tempdir().unwrap();
    let tests = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deploy/alerts.yml")).unwrap();
    for (name, text) in [("alerts.yml", handed_out("alerts.yml")), ("tests.yml", tests.clone())] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let tests_path = folder.path().join("tests.yml");
    approved(&judge("promtool", &["test".as_ref(), "rules".as_ref(), tests_path.as_os_str()]).unwrap());
    // Each alert is seen to call, and each has what whoever is called needs.
    let text = handed_out("alerts.yml");
    for alert in text.split("\n      - alert: ").skip(1) {
        let name = alert.lines().next().unwrap();
        assert!(tests.contains(&format!("alertname=\"{name}\"")), "{name} is not tested");
        for part in ["severity: page", "severity: ticket"].iter().filter(|part| alert.contains(**part)) {
            assert!(alert.contains("summary: ") && alert.contains("description: "), "{name}, {part}");
        }
        assert!(alert.contains("severity: "), "{name}");
    }
}

#[test]
fn prometheus_understands_the_dashboard() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yml");
    // Grafana puts these in.
    let filled =
        |query: &String| query.replace("$__rate_interval", "5m").replace("$job", "rollbook").replace("$instance", ".*");
    let queries =
        panels(&dashboard()).iter().filter(|query| !query.starts_with("label_values(")).map(filled).collect::<Vec<_>>();
    let rules = |queries: &[String]| {
        let rule = |(n, query): (usize, &String)| serde_json::json!({"record": format!("panel:{n}"), "expr": query});
        let rules: Vec<Value> = queries.iter().enumerate().map(rule).collect();
        // JSON is YAML.
        fs::write(&path, serde_json::json!({"groups": [{"name": "panels", "rules": rules}]}).to_string()).unwrap();
        judge("promtool", &["check".as_ref(), "rules".as_ref(), path.as_os_str()])
    };
    let Some(judged) = rules(&queries) else { return };
    assert!(approved(&judged).contains(&format!("{} rules found", queries.len())));
    assert!(!rules(&["sum(rollbook_users".to_owned()]).unwrap().status.success());
}

#[test]
fn no_panel_lies_on_another() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let place = |panel: &Value, name: &str| panel["gridPos"][name].as_u64().unwrap();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()));
        assert!(!panel["title"].as_str().unwrap().is_empty());
        let (x, y) = (place(panel, "x"), place(panel, "y"));
        assert!(x + place(panel, "w") <= 24, "{}", panel["title"]);
        for column in x..x + place(panel, "w") {
            for line in y..y + place(panel, "h") {
                assert!(taken.insert((column, line)), "{}", panel["title"]);
            }
        }
    }
}
