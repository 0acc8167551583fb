#![allow(clippy::unwrap_used)]
use super::site::{KEY, Site, say};
use super::*;

fn user(id: &str) -> String {
    format!(r#"{{"id":"{id}","object":"user","updated_at":1767225600001,"private_metadata":{{}}}}"#)
}

/// A full page of users with these in between.
fn full_page(first: usize, others: &[(usize, &str)]) -> String {
    let mut users: Vec<String> = (first..first + PAGE).map(|n| user(&format!("user_{n}"))).collect();
    for (at, text) in others {
        (*text).clone_into(&mut users[*at]);
    }
    format!("[{}]", users.join(","))
}

async fn page(body: &str, after: Option<&str>) -> (Site, Result<Users, Error>) {
    let site = Site::start([say("200 OK", "", body)]).await;
    let page = site.backend().users(after.map(|id| id.parse().unwrap()).as_ref()).await;
    (site, page)
}

#[tokio::test]
async fn says_who_asks_and_in_which_version() {
    for end in ["", "/", "/v1", "/v1/"] {
        let site = Site::start([say("200 OK", "", r#"{"object":"total_count","total_count":7}"#)]).await;
        let backend = Backend::new(&format!("{}{end}", site.url), KEY, Clock::system()).unwrap();
        assert_eq!(backend.count(Patience::Short).await, Ok(7));
        let asked = site.asked().remove(0);
        assert!(asked.starts_with("GET /v1/users/count HTTP/1.1\r\n"), "{asked}");
        for line in [
            format!("authorization: Bearer {KEY}"),
            format!("clerk-api-version: {VERSION}"),
            format!("user-agent: rollbook/{}", env!("CARGO_PKG_VERSION")),
            "accept: application/json".to_owned(),
        ] {
            assert!(asked.lines().any(|said| said == line), "{line} not in {asked}");
        }
    }
    assert_eq!(Backend::new("https://api.clerk.com", "sk_test_\n", Clock::system()).unwrap_err(), BadBackend::Key);
    assert_eq!(Backend::new("", KEY, Clock::system()).unwrap_err(), BadBackend::Url);
}

#[tokio::test]
async fn asks_for_the_oldest_first_and_goes_on_behind_the_last() {
    let (site, first) = page(&full_page(0, &[]), None).await;
    let first = first.unwrap();
    assert_eq!((first.users.len(), first.unreadable, first.next.unwrap().as_str()), (PAGE, 0, "user_499"));
    assert_eq!(site.lines(), ["GET /v1/users?order_by=%2Bcreated_at&limit=500"]);
    let (site, last) = page(&format!("[{}]", user("user_500")), Some("user_499")).await;
    let last = last.unwrap();
    assert_eq!((last.users[0].id.as_str(), last.next), ("user_500", None));
    assert_eq!(last.users[0].updated_at, Timestamp::from_millis(1_767_225_600_001));
    assert_eq!(site.lines(), ["GET /v1/users?order_by=%2Bcreated_at&limit=500&starting_after=user_499"]);
}

#[tokio::test]
async fn users_who_cannot_be_read_do_not_stop_the_others() {
    let odd = [(3, "null"), (5, "{}"), (7, r#"{"id":7}"#)];
    let page_of = async |others: &[(usize, &str)]| page(&full_page(0, others), None).await.1;
    let some = page_of(&odd).await.unwrap();
    assert_eq!((some.users.len(), some.unreadable, some.next.unwrap().as_str()), (PAGE - 3, 3, "user_499"));
    // At the end of a page they come again on the next one, and count once.
    let end = page_of(&[odd[0], (498, "{}"), (499, r#"{"id":""}"#)]).await.unwrap();
    assert_eq!((end.unreadable, end.next.unwrap().as_str()), (1, "user_497"));
    let (_, last) = page(&format!("[{{}},{},[]]", user("user_1")), None).await;
    let last = last.unwrap();
    assert_eq!((last.users.len(), last.unreadable, last.next), (1, 2, None));
    let all: Vec<(usize, &str)> = (0..PAGE).map(|n| (n, "{}")).collect();
    assert_eq!(page_of(&all).await.unwrap_err(), Error::Unreadable);
}

#[tokio::test]
async fn a_page_that_comes_twice_ends_the_walk() {
    // An API that does not know `starting_after` would give the first page for ever.
    let (_, again) = page(&full_page(0, &[]), Some("user_499")).await;
    assert_eq!(again.unwrap_err(), Error::Unreadable);
}

#[tokio::test]
async fn takes_nobody_for_somebody_else() {
    let site = Site::start([say("200 OK", "", &user("user_2")), say("404 Not Found", "", "")]).await;
    let (backend, id) = (site.backend(), "user_1".parse().unwrap());
    assert_eq!(backend.user(&id, Patience::Short).await.unwrap_err(), Error::Unreadable);
    assert!(backend.user(&id, Patience::Short).await.unwrap().is_none());
}

#[tokio::test]
async fn secrets_are_dropped_from_what_is_fetched() {
    let body = r#"{"id":"user_1","phone_numbers":[{"id":"idn_1","backup_codes":["canary"]}]}"#;
    let site = Site::start([say("200 OK", "", body)]).await;
    let user = site.backend().user(&"user_1".parse().unwrap(), Patience::Short).await.unwrap().unwrap();
    assert!(user.clerk.as_str().contains("idn_1") && !user.clerk.as_str().contains("canary"));
}

#[tokio::test]
async fn an_id_leads_nowhere_else() {
    let ids = ["user_/../x", "a?b#c", "%2e%2e", "a\\b"];
    let site = Site::start(ids.map(|_| say("404 Not Found", "", ""))).await;
    let backend = site.backend();
    for id in ids {
        assert!(backend.user(&id.parse().unwrap(), Patience::Short).await.unwrap().is_none());
    }
    let lines =
        ["GET /v1/users/user_%2F..%2Fx", "GET /v1/users/a%3Fb%23c", "GET /v1/users/%252e%252e", "GET /v1/users/a%5Cb"];
    assert_eq!(site.lines(), lines);
    // A URL takes these for directions, so nobody is asked.
    assert!(backend.user(&"..".parse().unwrap(), Patience::Short).await.unwrap().is_none());
    assert_eq!(backend.session_token(&".".parse().unwrap(), Duration::from_mins(1)).await, Err(Error::NotFound));
    assert_eq!(backend.revoke_actor_token("").await, Err(Error::NotFound));
    assert_eq!(site.lines().len(), lines.len());
}

#[tokio::test]
async fn asks_for_tokens_as_the_api_wants_it() {
    let made = r#"{"object":"actor_token","id":"act_1","status":"pending","url":"https://example.com/canary"}"#;
    let jwt = r#"{"object":"token","jwt":"a.b.c"}"#;
    let site = Site::start([made, jwt, "{}"].map(|body| say("200 OK", "", body))).await;
    let backend = site.backend();
    let token = backend.actor_token(&"user_1".parse().unwrap(), "rollbook:cli").await.unwrap();
    assert_eq!((token.id.as_str(), token.url.as_deref()), ("act_1", Some("https://example.com/canary")));
    assert!(!format!("{token:?}").contains("canary"));
    assert_eq!(backend.session_token(&"sess_1".parse().unwrap(), Duration::from_mins(1)).await.unwrap(), "a.b.c");
    assert_eq!(backend.revoke_actor_token("act_1").await, Ok(()));
    let lines = ["POST /v1/actor_tokens", "POST /v1/sessions/sess_1/tokens", "POST /v1/actor_tokens/act_1/revoke"];
    assert_eq!(site.lines(), lines);
    let body = |number: usize| -> Value {
        serde_json::from_str(site.asked()[number].split_once("\r\n\r\n").unwrap().1).unwrap()
    };
    assert_eq!(
        body(0),
        json!({
            "user_id": "user_1", "actor": { "sub": "rollbook:cli" },
            "expires_in_seconds": 600, "session_max_duration_in_seconds": 1800,
        })
    );
    assert_eq!(body(1), json!({ "expires_in_seconds": 60 }));
}

#[tokio::test]
async fn a_token_is_known_even_if_its_link_leads_astray() {
    for url in [
        "",
        r#","url":null"#,
        r#","url":7"#,
        r#","url":"ftp://127.0.0.1/""#,
        r#","url":"javascript:alert(1)""#,
        r#","url":"http://example.com/""#,
    ] {
        let site = Site::start([say("200 OK", "", &format!(r#"{{"id":"act_1"{url}}}"#))]).await;
        let token = site.backend().actor_token(&"user_1".parse().unwrap(), "rollbook:cli").await.unwrap();
        // It can be taken back.
        assert_eq!((token.id.as_str(), token.url), ("act_1", None), "{url}");
    }
}

#[tokio::test]
async fn a_link_is_what_a_browser_would_make_of_it() {
    let made = r#"{"id":"act_1","url":" https://EXAMPLE.com/a\nb?\u0007\u001b[2J "}"#;
    let site = Site::start([say("200 OK", "", made)]).await;
    let token = site.backend().actor_token(&"user_1".parse().unwrap(), "rollbook:cli").await.unwrap();
    assert_eq!(token.url.as_deref(), Some("https://example.com/ab?%07%1B[2J"));
}

#[tokio::test]
async fn a_token_without_a_name_of_its_own_is_none() {
    for id in [String::new(), "act_1\\u001b".to_owned(), "../users".to_owned(), "a".repeat(129)] {
        let made = format!(r#"{{"id":"{id}","url":"https://example.com/"}}"#);
        let site = Site::start([say("200 OK", "", &made)]).await;
        let token = site.backend().actor_token(&"user_1".parse().unwrap(), "rollbook:cli").await;
        assert_eq!(token.unwrap_err(), Error::Unreadable, "{id}");
    }
}

#[tokio::test]
async fn the_instance_is_told_where_the_api_tells_it() {
    let site =
        Site::start([say("200 OK", "", r#"{"object":"instance","id":"ins_1"}"#), say("404 Not Found", "", "")]).await;
    assert_eq!(site.backend().instance(Patience::Short).await, Ok(Some("ins_1".to_owned())));
    assert_eq!(site.backend().instance(Patience::Short).await, Ok(None));
    assert_eq!(site.lines(), ["GET /v1/instance"; 2]);
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_called() {
    let site = Site::start([]).await;
    let port = site.url.rsplit(':').next().unwrap();
    let named = |client| {
        let backend = Backend::new(&format!("http://localhost:{port}"), KEY, Clock::system()).unwrap();
        let inner = Arc::into_inner(backend.0).unwrap();
        Backend(Arc::new(Inner { client: OnceCell::new_with(client), ..inner }))
    };
    assert_eq!(named(None).count(Patience::Short).await, Err(Error::Unreachable));
    assert_eq!(site.asked().len(), 1);
    // What a client of a public address makes of a name that has come to lead here.
    let public = http::client(&"http://api.example.com".parse().unwrap()).unwrap();
    assert_eq!(named(Some(public)).count(Patience::Short).await, Err(Error::NotPublic));
    assert_eq!(site.asked().len(), 1);
}
