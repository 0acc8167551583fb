#![allow(clippy::unwrap_used)]
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex};

use tracing::Level;
use tracing::instrument::WithSubscriber as _;

use super::*;
use crate::clerk::backend::site::{KEY, Say, Site, say};

const COUNT: &str = r#"{"total_count":7}"#;

fn count() -> Say {
    say("200 OK", "", COUNT)
}

async fn post(backend: &Backend, patience: Patience) -> Result<Value, Error> {
    backend.call(Method::POST, &["actor_tokens"], &[], Some(&Value::Null), patience).await
}

#[tokio::test]
async fn reading_is_tried_again_when_that_may_help() {
    let site = Site::start([
        say("429 Too Many Requests", "retry-after: 0\r\n", ""),
        say("503 Service Unavailable", "", "<html>"),
        count(),
    ])
    .await;
    assert_eq!(site.backend().count(Patience::Long).await, Ok(7));
    assert_eq!(site.asked().len(), 3);
    // A connection that breaks is no answer either.
    let site = Site::start([Say::Bytes(String::new()), count()]).await;
    assert_eq!(site.backend().count(Patience::Long).await, Ok(7));
}

#[tokio::test]
async fn nothing_is_tried_again_that_cannot_help() {
    let refusal = r#"{"errors":[{"message":"no","code":"form_param_value_invalid"}]}"#;
    for (answer, error) in [
        (say("401 Unauthorized", "", "{}"), Error::Key),
        (say("404 Not Found", "", "{}"), Error::NotFound),
        (
            say("422 Unprocessable", "", refusal),
            Error::Refused { status: 422, code: "form_param_value_invalid".into() },
        ),
        (say("200 OK", "", "<!doctype html>"), Error::Unreadable),
        (say("204 No Content", "", ""), Error::Unreadable),
        (say("429 Too Many", "retry-after: 61\r\n", ""), Error::Limited(Duration::from_secs(61))),
    ] {
        let site = Site::start([answer, count()]).await;
        assert_eq!(site.backend().count(Patience::Long).await, Err(error));
        assert_eq!(site.asked().len(), 1);
    }
}

#[tokio::test]
async fn who_waits_is_told_at_once() {
    for (answer, error) in [
        (say("429 Too Many Requests", "retry-after: 3\r\n", ""), Error::Limited(Duration::from_secs(3))),
        (say("429 Too Many Requests", "retry-after: soon\r\n", ""), Error::Limited(Duration::from_secs(1))),
        (say("500 Internal Server Error", "", "{}"), Error::Broken(500)),
        (Say::Bytes(String::new()), Error::Unreachable),
        (Say::Bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{COUNT}")), Error::Unreachable),
    ] {
        let site = Site::start([answer, count()]).await;
        assert_eq!(site.backend().count(Patience::Short).await, Err(error));
        assert_eq!(site.asked().len(), 1);
    }
}

#[tokio::test]
async fn making_something_is_tried_again_only_if_it_was_not_taken() {
    let site = Site::start([say("429 Too Many Requests", "retry-after: 0\r\n", ""), say("200 OK", "", "{}")]).await;
    assert_eq!(post(&site.backend(), Patience::Long).await, Ok(Value::Object(serde_json::Map::new())));
    for (answer, error) in [
        (say("502 Bad Gateway", "", ""), Error::Broken(502)),
        // It may have been taken all the same.
        (Say::Bytes(String::new()), Error::Unreachable),
    ] {
        let site = Site::start([answer, say("200 OK", "", "{}")]).await;
        assert_eq!(post(&site.backend(), Patience::Long).await, Err(error));
        assert_eq!(site.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_redirect_leads_nowhere() {
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let other = Site::start([count()]).await;
        let site = Site::start([say(status, &format!("location: {}/v1/users/count\r\n", other.url), "")]).await;
        let error = site.backend().count(Patience::Long).await.unwrap_err();
        assert!(matches!(&error, Error::Refused { code, .. } if code == "no reason given"), "{error}");
        assert!(other.asked().is_empty());
    }
}

#[tokio::test]
async fn an_answer_ends_in_time_and_in_size() {
    let site = Site::start([Say::Endless, Say::Nothing]).await;
    let backend = site.backend();
    assert_eq!(backend.count(Patience::Short).await, Err(Error::Unreadable));
    let slow = backend.attempt::<Value>(&Method::GET, &["users"], &[], None, Duration::from_millis(50)).await;
    assert_eq!(slow, Err(Error::TooSlow));
}

#[test]
fn only_what_looks_like_a_word_of_clerks_is_shown() {
    let said = |word: &str| {
        let body = serde_json::json!({ "errors": [{ "code": word }, { "code": "second" }] });
        code(body.to_string().as_bytes())
    };
    assert_eq!(said("resource_not_found"), "resource_not_found");
    for odd in ["", "two words", "\u{1b}[31m", "<script>", &"a".repeat(65)] {
        assert_eq!(said(odd), "no reason given", "{odd:?}");
    }
    assert_eq!(code(b"<html>"), "no reason given");
    assert_eq!(code(br#"{"errors":[]}"#), "no reason given");
}

/// Where lines go.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_key_is_in_no_line_and_no_error() {
    let lines = Lines::default();
    let writer = lines.clone();
    let all = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(move || writer.clone()).finish();
    // With one subscriber alone, whether it hears a line for the first time is asked of the thread that says it, and another
    // test's thread knows of none. With two, all are asked.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let said = async {
        let echo = format!(r#"{{"errors":[{{"message":"{KEY}","code":"{KEY} is no key"}}]}}"#);
        let site = Site::start([
            say("503 Service Unavailable", "", &echo),
            say("400 Bad Request", "", &echo),
            say("401 Unauthorized", "", &echo),
            say("302 Found", &format!("location: http://{KEY}/\r\n"), &echo),
            say("200 OK", "", &echo),
        ])
        .await;
        let backend = site.backend();
        let mut said = format!("{backend:?}");
        for _ in 0..4 {
            let error = backend.count(Patience::Long).await.unwrap_err();
            writeln!(said, "{error} {error:?} {}", error.as_str()).unwrap();
        }
        said
    }
    .with_subscriber(all)
    .await;
    let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(lines.contains("clerk.again"), "{lines}");
    assert!(!said.contains("canary") && !lines.contains("canary"), "{said}{lines}");
}
