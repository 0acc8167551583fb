//! Searches found in the index alone: nobody twice, nobody missed, from any place on.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::Value;

use crate::common::{TestServer, user_event};
use crate::{NO_LIMITS, T, send};

/// Names that begin alike in many ways, so that most people stand under several terms that fit a search.
const FIRST: [&str; 6] = ["Ann", "Anna", "Annabel", "Bo", "Élan", ""];
const LAST: [&str; 5] = ["Ann", "Annas", "Bo", "Élan Ann", "Zoe"];
const ROLES: [&str; 3] = ["USER", "ADMINISTRATOR", "NURSE"];

/// What the n-th person is found by, and their role, practice and whether they are deleted.
fn person(n: usize) -> (String, String, String, &'static str, Option<&'static str>, bool) {
    let practice = [None, Some("north"), Some("north:2")][n / 7 % 3];
    let (first, last) = (FIRST[n % 6], LAST[n / 6 % 5]);
    (first.to_owned(), last.to_owned(), format!("ann{}", n % 11), ROLES[n / 3 % 3], practice, n % 10 == 9)
}

async fn ninety() -> (TestServer, String) {
    let server = TestServer::with(&NO_LIMITS).await;
    let admin = server.admin("user_boss").await;
    for n in 0..90 {
        let (first, last, username, role, practice, deleted) = person(n);
        let id = format!("user_{n:02}");
        let mut event = user_event("user.created", &id, T, &first);
        event["data"]["last_name"] = last.into();
        event["data"]["username"] = username.into();
        server.outcome(&event).await;
        let body = serde_json::json!({ "role": role, "practice_id": practice }).to_string();
        let path = format!("/api/users/{id}");
        assert_eq!(send(&server, &admin, reqwest::Method::PATCH, &path, &body, "").await.status, StatusCode::OK);
        if deleted {
            assert_eq!(
                send(&server, &admin, reqwest::Method::DELETE, &path, "", "").await.status,
                StatusCode::NO_CONTENT
            );
        }
    }
    (server, admin)
}

/// The terms of the n-th person, as the API promises them.
fn terms(n: usize) -> Vec<String> {
    let (first, last, username, ..) = person(n);
    let full = format!("{first} {last}").trim().to_lowercase();
    vec![full, last.to_lowercase(), username, format!("user_{n:02}@example.org")]
}

/// Which of them an item is.
fn number(item: &Value) -> String {
    item["email"].as_str().map_or("boss", |email| &email[5..7]).to_owned()
}

async fn found(server: &TestServer, admin: &str, filter: &str, limit: usize) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = server.get_as(admin, &format!("/api/users?{filter}&limit={limit}{cursor}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{filter}: {}", answer.text);
        let page = answer.json();
        let items = page["items"].as_array().unwrap();
        ids.extend(items.iter().map(number));
        match page["next_cursor"].as_str() {
            Some(next) => {
                assert_eq!(items.len(), limit, "{filter}: only the last page is short");
                cursor = format!("&cursor={next}");
            }
            None => return ids,
        }
    }
}

#[tokio::test]
async fn a_search_finds_everybody_once() {
    let (server, admin) = ninety().await;
    for query in ["a", "an", "ann", "anna", "annabel ann", "ann1", "ann10", "%C3%89l", "bo", "user_1", "z", "nobody"] {
        let text = query.replace("%C3%89", "é");
        for role in [None, Some("USER"), Some("NURSE"), Some("NONE")] {
            for practice in [None, Some("north"), Some("north:2")] {
                for deleted in [false, true] {
                    let fits = |n: usize| {
                        let (_, _, _, its, place, gone) = person(n);
                        role.is_none_or(|role| role == its)
                            && practice.is_none_or(|practice| Some(practice) == place)
                            && gone == deleted
                    };
                    let mut expected: Vec<(String, usize)> = (0..90)
                        .filter(|n| fits(*n))
                        .filter_map(|n| Some((terms(n).into_iter().filter(|term| term.starts_with(&text)).min()?, n)))
                        .collect();
                    expected.sort();
                    let mut filter = format!("query={query}&deleted={deleted}");
                    filter += &role.map_or_else(String::new, |role| format!("&role={role}"));
                    filter += &practice.map_or_else(String::new, |practice| format!("&practice={practice}"));
                    let listed = found(&server, &admin, &filter, 7).await;
                    let terms_of = |ids: &[String]| -> Vec<String> {
                        let first = |n: usize| terms(n).into_iter().filter(|term| term.starts_with(&text)).min();
                        ids.iter().map(|id| first(id.parse().unwrap()).unwrap()).collect()
                    };
                    assert_eq!(
                        terms_of(&listed),
                        expected.iter().map(|(term, _)| term.clone()).collect::<Vec<_>>(),
                        "{filter}"
                    );
                    let once: BTreeSet<usize> = listed.iter().map(|id| id.parse().unwrap()).collect();
                    assert_eq!(
                        (once.len(), once),
                        (listed.len(), expected.iter().map(|(_, n)| *n).collect()),
                        "{filter}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn every_cursor_is_a_place_in_every_list() {
    let (server, admin) = ninety().await;
    let of = async |filter: &str| {
        let page = server.get_as(&admin, &format!("/api/users?limit=2&{filter}")).await.json();
        page["next_cursor"].as_str().unwrap().to_owned()
    };
    let filters =
        ["query=ann", "query=bo&role=NURSE", "", "role=USER", "practice=north&role=NURSE", "email=user_01@example.org"];
    let mut cursors = vec![of("").await, of("query=ann").await, of("query=user_").await];
    cursors.extend(["u".to_owned() + &"0".repeat(32), "u".to_owned() + &"f".repeat(32)]);
    cursors.push(format!("u{}ff00fe", "7".repeat(32)));
    cursors.push(format!("u{}{}", "0".repeat(32), "fe".repeat(128)));
    for filter in filters {
        let all = found(&server, &admin, filter, 500).await;
        for cursor in &cursors {
            let answer = server.get_as(&admin, &format!("/api/users?{filter}&limit=500&cursor={cursor}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{filter} {cursor}: {}", answer.text);
            let rest: Vec<String> = answer.json()["items"].as_array().unwrap().iter().map(number).collect();
            assert!(all.ends_with(&rest), "{filter} {cursor}: what follows a place is the end of the list");
        }
    }
    // Behind everything, and before it.
    let none = server.get_as(&admin, &format!("/api/users?cursor=u{}", "0".repeat(32))).await.json();
    assert_eq!(none["items"].as_array().unwrap().len(), 0);
    let all = server.get_as(&admin, &format!("/api/users?query=ann&limit=500&cursor=u{}", "0".repeat(32))).await.json();
    assert_eq!(all["items"].as_array().unwrap().len(), found(&server, &admin, "query=ann", 500).await.len());
}
