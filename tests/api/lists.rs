//! Lists: every item once, in order, whatever the page's size, the filter, and what happens meanwhile.

use reqwest::StatusCode;
use rollbook::user::UserId;
use serde_json::{Value, json};

use crate::common::{TestServer, clerk_id, deleted_event, token, user_event};
use crate::file::state;
use crate::{T, assign};

/// A list, page by page, to its end.
async fn walk(server: &TestServer, token: &str, path: &str, limit: usize) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = server.get_as(token, &format!("{path}limit={limit}{cursor}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        let page = answer.json();
        let found = page["items"].as_array().unwrap();
        assert_eq!(page.as_object().unwrap().len(), 2);
        items.extend(found.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => {
                assert_eq!(found.len(), limit, "{path}: only the last page is short");
                cursor = format!("&cursor={next}");
            }
            None => return items,
        }
    }
}

fn ids(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

fn name(n: usize) -> String {
    format!("user_{n:03}")
}

/// Our ids of those users, newest first.
fn newest_first(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    let mut ids: Vec<UserId> = numbers.into_iter().map(|n| UserId::of(&clerk_id(&name(n)))).collect();
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids.iter().map(ToString::to_string).collect()
}

/// 120 users: every third a nurse, every fourth of the north, every fifth called Bob and every eighth deleted.
async fn hundred_and_twenty() -> (TestServer, String) {
    let server = TestServer::start().await;
    for n in 0..120 {
        let first = if n % 5 == 0 { "Bob" } else { "Ann" };
        server.outcome(&user_event("user.created", &name(n), T, first)).await;
        let role = if n % 3 == 0 { "NURSE" } else { "USER" };
        assign(&server, &name(n), role, (n % 4 == 0).then_some("north")).await;
        if n % 8 == 7 {
            server.outcome(&deleted_event(&name(n), T + 1)).await;
        }
    }
    // Somebody has to ask; nobody asks about them.
    let admin = server.admin("user_boss").await;
    assign(&server, "user_boss", "ADMIN", Some("office")).await;
    (server, admin)
}

fn live(keep: impl Fn(usize) -> bool) -> impl Iterator<Item = usize> {
    (0..120).filter(|n| n % 8 != 7).filter(move |n| keep(*n))
}

#[tokio::test]
async fn every_user_is_listed_once_whatever_the_page_and_the_filter() {
    let (server, admin) = hundred_and_twenty().await;
    let boss = server.user("user_boss").unwrap().id.to_string();
    for limit in [1, 7, 35, 50, 53, 106, 107, 500] {
        let mut listed = ids(&walk(&server, &admin, "/api/users?", limit).await);
        listed.retain(|id| *id != boss);
        assert_eq!(listed, newest_first(live(|_| true)), "{limit}");
    }
    let filters: [(&str, Vec<String>); 9] = [
        ("role=NURSE", newest_first(live(|n| n % 3 == 0))),
        ("role=nurse", Vec::new()),
        ("practice=north", newest_first(live(|n| n % 4 == 0))),
        ("practice=south", Vec::new()),
        ("role=NURSE&practice=north", newest_first(live(|n| n % 12 == 0))),
        ("role=USER&practice=north", newest_first(live(|n| n % 4 == 0 && n % 3 != 0))),
        ("deleted=true", newest_first((0..120).filter(|n| n % 8 == 7))),
        ("deleted=true&role=NURSE", newest_first((0..120).filter(|n| n % 8 == 7 && n % 3 == 0))),
        ("deleted=false&practice=office", vec![boss.clone()]),
    ];
    for (filter, expected) in filters {
        for limit in [1, 5, 15, 30, 500] {
            let listed = ids(&walk(&server, &admin, &format!("/api/users?{filter}&"), limit).await);
            assert_eq!(listed, expected, "{filter} {limit}");
        }
    }
}

#[tokio::test]
async fn users_are_found_by_the_beginnings_of_their_names() {
    let (server, admin) = hundred_and_twenty().await;
    // Found by a term, they come in its order: all the same here, so by id, oldest first.
    let found_by = |keep: fn(usize) -> bool| {
        let mut ids = newest_first(live(keep));
        ids.reverse();
        ids
    };
    // By e-mail address the order is the address's own.
    let by_address = |keep: fn(usize) -> bool| -> Vec<String> {
        live(keep).map(|n| UserId::of(&clerk_id(&name(n))).to_string()).collect()
    };
    let cases = [
        ("query=bob", found_by(|n| n % 5 == 0)),
        ("query=BOB", found_by(|n| n % 5 == 0)),
        ("query=Bob%20T", found_by(|n| n % 5 == 0)),
        ("query=%20bob%20%20te", found_by(|n| n % 5 == 0)),
        ("query=Tester", found_by(|_| true)),
        ("query=Test&role=NURSE", found_by(|n| n % 3 == 0)),
        ("query=bob&practice=north&role=NURSE", found_by(|n| n % 60 == 0)),
        ("query=ob", Vec::new()),
        ("query=user_0", by_address(|n| n < 100)),
        ("query=user_01&practice=north", by_address(|n| n / 10 == 1 && n % 4 == 0)),
        ("email=user_010@example.org", by_address(|n| n == 10)),
        ("email=USER_010@Example.ORG", by_address(|n| n == 10)),
        ("email=user_010@example.or", Vec::new()),
        ("email=user_010@example.org&role=NURSE", Vec::new()),
        ("email=user_012@example.org&role=NURSE&practice=north&query=ann", by_address(|n| n == 12)),
        ("email=user_007@example.org", Vec::new()),
    ];
    for (filter, expected) in cases {
        for limit in [1, 9, 500] {
            let listed = ids(&walk(&server, &admin, &format!("/api/users?{filter}&"), limit).await);
            assert_eq!(listed, expected, "{filter} {limit}");
        }
    }
    let deleted = walk(&server, &admin, "/api/users?deleted=true&email=user_007@example.org&", 5).await;
    assert_eq!(ids(&deleted), newest_first([7]));
    // Fields that a form left empty filter nothing.
    let all = walk(&server, &admin, "/api/users?query=&email=%20&", 500).await;
    assert_eq!(all.len(), live(|_| true).count() + 1);
}

#[tokio::test]
async fn an_address_may_be_shared_and_all_who_share_it_are_found() {
    let server = TestServer::start().await;
    let admin = server.admin("user_boss").await;
    for n in 0..5 {
        let mut event = user_event("user.created", &name(n), T, "Ann");
        event["data"]["email_addresses"][0]["email_address"] = "Shared@example.org".into();
        // Under two names by the same beginning, and still listed once.
        event["data"]["username"] = "shared".into();
        server.outcome(&event).await;
    }
    for filter in ["email=shared@example.org", "query=share"] {
        for limit in [1, 2, 5] {
            assert_eq!(walk(&server, &admin, &format!("/api/users?{filter}&"), limit).await.len(), 5, "{filter}");
        }
    }
}

#[tokio::test]
async fn what_happens_between_two_pages_moves_nobody() {
    for filter in ["", "role=NURSE&", "query=ann%20tester&"] {
        let server = TestServer::start().await;
        let admin = server.admin("user_boss").await;
        for n in 0..60 {
            server.outcome(&user_event("user.created", &name(n), T, "Ann")).await;
            assign(&server, &name(n), "NURSE", None).await;
        }
        let (mut seen, mut cursor, mut gone) = (Vec::new(), String::new(), Vec::new());
        for page in 0.. {
            let answer = server.get_as(&admin, &format!("/api/users?{filter}limit=7{cursor}")).await.json();
            let found = ids(answer["items"].as_array().unwrap());
            seen.extend(found.iter().cloned());
            let Some(next) = answer["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
            // The very user the cursor stands at goes, others come, another changes.
            let last = found.last().unwrap().clone();
            let clerk = (0..60).map(name).find(|id| UserId::of(&clerk_id(id)).to_string() == last);
            if let Some(clerk) = clerk {
                server.outcome(&deleted_event(&clerk, T + 1)).await;
                gone.push(last);
            }
            for n in 0..3 {
                server.outcome(&user_event("user.created", &format!("user_new_{page}_{n}"), T, "Ann")).await;
            }
            server.outcome(&user_event("user.updated", &name(59), T + 10 + page, "Ann")).await;
        }
        for n in 0..60 {
            let id = UserId::of(&clerk_id(&name(n))).to_string();
            assert_eq!(seen.iter().filter(|seen| **seen == id).count(), 1, "{filter} {n}");
        }
        assert!(!gone.is_empty());
        let mut once = seen.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), seen.len(), "{filter}: nobody twice");
    }
}

#[tokio::test]
async fn a_list_of_users_leaves_one_entry_a_page_that_names_whom_it_showed() {
    let server = TestServer::start().await;
    for n in 0..5 {
        server.outcome(&user_event("user.created", &name(n), T, "Ann")).await;
    }
    let admin = server.admin("user_boss").await;
    walk(&server, &admin, "/api/users?query=ann&", 2).await;
    let entries = server.entries().await;
    let listed: Vec<_> = entries.iter().filter(|entry| entry.leaf.action == "users.listed").collect();
    assert_eq!(listed.iter().map(|entry| entry.leaf.count.unwrap()).collect::<Vec<_>>(), [2, 2, 1]);
    let mut members: Vec<String> = Vec::new();
    for entry in listed {
        let list = entry.detail.as_ref().unwrap()["members"].as_array().unwrap().clone();
        members.extend(list.iter().map(|id| id.as_str().unwrap().to_owned()));
        assert!(!serde_json::to_string(&entry.leaf).unwrap().contains("user_0"), "nobody is named in the leaf");
    }
    members.sort();
    assert_eq!(members, (0..5).map(name).collect::<Vec<_>>());
}

/// The places of entries.
fn places(items: &[Value]) -> Vec<u64> {
    items.iter().map(|item| item["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn the_book_is_listed_newest_first_by_action_person_and_time() {
    let (server, admin) = hundred_and_twenty().await;
    assert_eq!(server.get_as(&admin, "/api/users/user_015").await.status, StatusCode::OK);
    let boss = server.user("user_boss").unwrap().id.to_string();
    let before: Vec<_> = server.entries().await;
    let expect = |keep: &dyn Fn(&rollbook::audit::Entry) -> bool| -> Vec<u64> {
        before.iter().rev().filter(|entry| keep(entry)).map(|entry| entry.seq).collect()
    };
    let about = |id: &'static str| {
        move |entry: &rollbook::audit::Entry| {
            let people = [&entry.target_user, &entry.actor_user, &entry.impersonator_user];
            people.into_iter().any(|person| *person == Some(clerk_id(id)))
        }
    };
    let created = before.iter().filter(|entry| entry.leaf.action == "user.created").collect::<Vec<_>>();
    let (from, to) = (created[30].leaf.at, created[90].leaf.at);
    let user_15 = server.user("user_015").unwrap().id.to_string();
    let last = before.last().unwrap().seq;
    let by_time = |entry: &rollbook::audit::Entry| entry.leaf.at >= from && entry.leaf.at < to;
    let cases: [(String, Vec<u64>); 13] = [
        ("action=user.created".to_owned(), expect(&|entry| entry.leaf.action == "user.created")),
        ("action=user.deleted".to_owned(), expect(&|e| e.leaf.action == "user.deleted")),
        ("subject=user_015".to_owned(), expect(&about("user_015"))),
        (format!("subject={user_15}"), expect(&about("user_015"))),
        (
            "subject=user_015&action=user.assigned".to_owned(),
            expect(&|entry| about("user_015")(entry) && entry.leaf.action == "user.assigned"),
        ),
        ("action=user.*".to_owned(), expect(&|entry| entry.leaf.action.starts_with("user."))),
        ("actor=clerk".to_owned(), expect(&|entry| entry.leaf.actor == "clerk")),
        ("actor=cli".to_owned(), expect(&|entry| entry.leaf.actor == "cli")),
        ("actor=user_boss".to_owned(), expect(&|entry| entry.actor_user == Some(clerk_id("user_boss")))),
        (format!("actor={boss}"), expect(&|entry| entry.actor_user == Some(clerk_id("user_boss")))),
        (
            "address=::ffff:127.0.0.1&action=user.read".to_owned(),
            expect(&|entry| entry.leaf.action == "user.read" && entry.leaf.actor != "cli"),
        ),
        (format!("from={from}&to={to}"), expect(&by_time)),
        (
            format!("from={}&to={}&action=user.created", from.as_millis(), to.as_millis()),
            expect(&|entry| by_time(entry) && entry.leaf.action == "user.created"),
        ),
    ];
    for (filter, expected) in &cases {
        assert!(!expected.is_empty(), "{filter}");
        for limit in [3, 40, 500] {
            // Looking leaves entries of its own, newer than all these.
            let mut found = places(&walk(&server, &admin, &format!("/api/audit?{filter}&"), limit).await);
            found.retain(|seq| *seq <= last);
            assert_eq!(found, *expected, "{filter} {limit}");
        }
    }
    let mut all = places(&walk(&server, &admin, "/api/audit?", 17).await);
    assert!(all.windows(2).all(|pair| pair[0] == pair[1] + 1), "no gap, none twice, newest first");
    all.retain(|seq| *seq <= last);
    assert_eq!(all, expect(&|_| true));
    for nothing in [
        "action=no.such",
        "action=no.*",
        "subject=user_nobody",
        "actor=user_nobody",
        "actor=01920000-0000-7000-8000-000000000000",
        "actor=admin:nobody",
        "address=192.0.2.99",
        "from=2100-01-01",
        "to=2001-01-01",
        "from=2100-01-01&to=2001-01-01",
    ] {
        assert_eq!(walk(&server, &admin, &format!("/api/audit?{nothing}&"), 5).await, [] as [Value; 0], "{nothing}");
    }
    for bad in ["actor=user:s1.x", "actor=admin:", "actor=key:1", "actor=", "address=here", "address=", "action=*"] {
        assert_eq!(server.get_as(&admin, &format!("/api/audit?{bad}")).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test]
async fn ones_own_entries_are_redacted() {
    let server = TestServer::start().await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    server.outcome(&user_event("user.updated", "user_1", T + 1, "Anna")).await;
    server.outcome(&user_event("user.created", "user_2", T, "Bea")).await;
    let admin = server.admin("user_boss").await;
    assert_eq!(server.get_as(&admin, "/api/users/user_1").await.status, StatusCode::OK);
    let own = server.get_as(&token("user_1"), "/api/users/user_1/audit").await;
    let items = own.json()["items"].as_array().unwrap().clone();
    let actions: Vec<_> = items.iter().map(|item| item["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["user.read", "user.updated", "user.created"]);
    assert_eq!((&items[0]["actor"], &items[1]["actor"]), (&json!("user"), &json!("clerk")));
    assert_eq!(items[1]["changed"], json!(["first_name"]));
    for item in &items {
        for name in ["detail", "request", "actor_user", "target_user", "impersonator_user"] {
            assert!(item.get(name).is_none(), "{name}");
        }
    }
    for secret in ["user_boss", "Anna", "127.0.0.1", "msg_", "user_2"] {
        assert!(!own.text.contains(secret), "{secret}");
    }
    // An admin who is none any more is not told whom they looked at.
    assign(&server, "user_boss", "USER", None).await;
    let own = server.get_as(&token("user_boss"), "/api/users/user_boss/audit?action=user.read").await.json();
    assert_eq!(own["items"][0]["target"], "[REDACTED]");
    assign(&server, "user_boss", "ADMIN", None).await;
    let full = server.get_as(&admin, "/api/users/user_1/audit").await.json();
    let updated = &full["items"].as_array().unwrap().iter().find(|item| item["action"] == "user.updated").unwrap();
    assert_eq!(updated["detail"]["changes"]["first_name"], json!({"before": "Ann", "after": "Anna"}));
    assert_eq!(updated["target_user"], "user_1");
    assert!(updated["request"].as_str().unwrap().starts_with("msg_"));
    let read = &full["items"].as_array().unwrap().iter().find(|item| item["action"] == "user.read").unwrap();
    assert_eq!((&read["actor_user"], &read["detail"]["ip"]), (&json!("user_boss"), &json!("127.0.0.1")));
    assert_eq!(server.count("user.audit_read").await, 1, "the admin's look is an entry, one's own is not");
}

/// Queries that no list takes.
const BOTH: [&str; 26] = [
    "limit=0",
    "limit=-1",
    "limit=501",
    "limit=1000000000",
    "limit=99999999999999999999",
    "limit=",
    "limit=abc",
    "limit=%2B5",
    "limit=5.0",
    "limit=1e2",
    "limit=%205",
    "limit=5%00",
    "limit",
    "limit=1&limit=1",
    "limit=1&limit=9999",
    "cursor=",
    "cursor=x",
    "cursor=%00",
    "cursor=AAAA",
    "cursor=../../x",
    "page=2",
    "offset=10",
    "Limit=5",
    "limit[]=5",
    "=1",
    "token=x",
];

/// Queries that the list of users does not take.
const OF_USERS: [&str; 17] = [
    "deleted=yes",
    "deleted=1",
    "deleted=",
    "deleted=TRUE",
    "deleted=true&deleted=false",
    "role=",
    "role=a%20b",
    "practice=",
    "role=NURSE&role=NURSE",
    "query=a&query=b",
    "email=a&email=b",
    "include=",
    "include=nothing",
    "include=clerk&include=clerk",
    "include=Clerk",
    "id=user_1",
    "action=x",
];

/// Queries that the book does not take.
const OF_BOOK: [&str; 12] = [
    "from=yesterday",
    "to=",
    "from=2024-13-01",
    "from=1e3",
    "to=2024-01-01T00:00:00",
    "from=0&from=0",
    "subject=",
    "subject=a%20b",
    "subject=user_1&subject=user_2",
    "email=x",
    "deleted=true",
    "action=a&action=b",
];

#[tokio::test]
async fn parameters_unknown_doubled_or_impossible_are_refused() {
    let server = TestServer::start().await;
    let admin = server.admin("user_boss").await;
    for n in 0..3 {
        server.outcome(&user_event("user.created", &name(n), T, "Ann")).await;
    }
    let cursor = async |path: &str| {
        let page = server.get_as(&admin, path).await.json();
        page["next_cursor"].as_str().unwrap().to_owned()
    };
    let users = cursor("/api/users?limit=1").await;
    let search = cursor("/api/users?limit=1&query=ann").await;
    let book = cursor("/api/audit?limit=1").await;
    let before = state(&server.data());
    let long = format!("cursor={}", "A".repeat(4000));
    let foreign = [format!("cursor={book}"), long.clone()];
    let mut cases: Vec<String> = Vec::new();
    cases.extend(BOTH.iter().chain(&OF_USERS).map(|query| format!("/api/users?{query}")));
    cases.extend(foreign.iter().map(|query| format!("/api/users?{query}")));
    cases.push(format!("/api/users?query=ann&cursor={book}"));
    cases.extend(BOTH.iter().chain(&OF_BOOK).map(|query| format!("/api/audit?{query}")));
    cases.extend([&users, &search].map(|cursor| format!("/api/audit?cursor={cursor}")));
    cases.push(format!("/api/audit?{long}"));
    for query in ["limit=0", "limit=1&limit=2", "cursor=x", "subject=user_1", "from=x", "page=2"] {
        cases.push(format!("/api/users/user_boss/audit?{query}"));
    }
    for path in ["/api/auth/me", "/auth/me", "/api/users/user_boss"] {
        cases.extend(
            ["include=all", "include=clerk&include=clerk", "fields=id", "limit=1"].map(|q| format!("{path}?{q}")),
        );
    }
    cases.push("/api/session?include=clerk".to_owned());
    for path in cases {
        let answer = server.get_as(&admin, &path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {}", answer.text);
        assert_eq!(answer.json()["type"], "urn:rollbook:problem:bad-request", "{path}");
    }
    assert_eq!(state(&server.data()), before, "nothing was shown, so nothing was noted");
    for query in ["limit=1", "limit=500", "limit=050", ""] {
        assert_eq!(server.get_as(&admin, &format!("/api/users?{query}")).await.status, StatusCode::OK, "{query}");
    }
    assert_eq!(server.get_as(&admin, &format!("/api/users?cursor={users}")).await.status, StatusCode::OK);
    assert_eq!(server.get_as(&admin, "/api/users").await.json()["items"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_page_holds_fifty_unless_told_otherwise() {
    let (server, admin) = hundred_and_twenty().await;
    for path in ["/api/users", "/api/audit"] {
        let page = server.get_as(&admin, path).await.json();
        assert_eq!(page["items"].as_array().unwrap().len(), 50, "{path}");
        assert!(page["next_cursor"].is_string(), "{path}");
    }
}
