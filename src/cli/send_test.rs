//! `rollbook send-test`: signs sample events and sends them to a running server, as Clerk would.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Instant;

use serde_json::Value;

use super::healthcheck;
use crate::clerk::sender::{self, Answer, Sender};
use crate::clock::{Clock, Timestamp};
use crate::config::Local;
use crate::sample::{self, EVENT_TYPES, Scene};

/// How far apart, in seconds, the clocks of sender and server may be.
const TOLERANCE: i64 = 300;

/// Why the test failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Clerk has no such event type.
    #[error("{0:?} is not an event type; say `all`, or one of\n{known}", known = known_types())]
    UnknownType(String),
    /// An event could not be sent.
    #[error(transparent)]
    Send(#[from] sender::Error),
    /// The system has no random bytes to make ids from.
    #[error("no random bytes from the system: {0}")]
    Random(#[from] getrandom::Error),
    /// The results could not be written.
    #[error("cannot write the results: {0}")]
    Output(#[from] io::Error),
    /// The server did not accept every event.
    #[error("{refused} of {sent} refused")]
    Refused {
        /// How many were not answered with a 2xx.
        refused: usize,
        /// How many were sent.
        sent: usize,
    },
}

/// What sends events signed with `secret` to the server or endpoint at `url`; where there is none, to the server that runs on
/// the data file, or would.
///
/// # Errors
/// When the secret or the address is not one.
pub async fn sender(url: Option<&str>, local: &Local, secret: &str) -> Result<Sender, sender::Error> {
    match url {
        Some(url) => Sender::new(secret, url),
        None => Sender::to_own(secret, &healthcheck::base(local).await),
    }
}

/// Sends one event of type `event`, or one of every type when that is `all` or absent, to where `sender` sends them, and writes one line for each to `out`: its type, the status, what
/// became of it, the milliseconds it took. What to do about refusals follows.
///
/// # Errors
/// When anything but a 2xx came back, or nothing did.
pub async fn run(event: Option<&str>, sender: &Sender, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    let kinds = pick(event)?;
    let mut seed = [0; 16];
    getrandom::fill(&mut seed)?;
    let clock = Clock::system();
    let times = moments(clock.now(), kinds.len());
    let scene = Scene::new(&seed, times.first().copied().unwrap_or_default());

    let (mut refused, mut hints) = (0, BTreeMap::new());
    for (kind, at) in kinds.iter().zip(times) {
        let Some(event) = sample::event(kind, &scene, at) else { continue };
        let (now, started) = (clock.now(), Instant::now());
        let answer = sender.send(&scene.message_id(kind, at), now, &event).await?;
        writeln!(out, "{}", line(kind, &answer, started.elapsed().as_millis()))?;
        refused += usize::from(!is_success(&answer));
        if let Some(hint) = hint(&answer, now) {
            hints.entry(answer.status).or_insert(hint);
        }
    }
    for (status, hint) in &hints {
        writeln!(out, "\n{status} from {}: {hint}", sender.url())?;
    }
    if refused > 0 { Err(Error::Refused { refused, sent: kinds.len() }) } else { Ok(()) }
}

/// Whether `text` names an event type, or all of them.
///
/// # Errors
/// With the known types when it does not.
pub fn event_type(text: &str) -> Result<String, Error> {
    pick(Some(text)).map(|_| text.to_owned())
}

/// The types to send. Of all, deletions come last, so that the person and the organisation of the test
/// are gone in the end.
fn pick(event: Option<&str>) -> Result<Vec<&'static str>, Error> {
    let wanted = event.unwrap_or("all");
    if wanted == "all" {
        let mut kinds = EVENT_TYPES.to_vec();
        kinds.sort_by_key(|kind| kind.ends_with(".deleted"));
        return Ok(kinds);
    }
    let known = EVENT_TYPES.iter().find(|kind| **kind == wanted);
    known.map(|kind| vec![*kind]).ok_or_else(|| Error::UnknownType(wanted.to_owned()))
}

/// When the events happened: a second apart, the last of them now.
fn moments(now: Timestamp, count: usize) -> Vec<Timestamp> {
    (0..i64::try_from(count).unwrap_or(i64::MAX)).rev().map(|back| now.plus_millis(back * -1000)).collect()
}

/// The known types, those of one object in a line.
fn known_types() -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut last = "";
    for kind in EVENT_TYPES {
        let object = kind.split('.').next().unwrap_or_default();
        match lines.last_mut() {
            Some(line) if object == last => {
                line.push(' ');
                line.push_str(kind);
            }
            _ => lines.push(format!("  {kind}")),
        }
        last = object;
    }
    lines.join("\n")
}

fn is_success(answer: &Answer) -> bool {
    (200..300).contains(&answer.status)
}

fn line(kind: &str, answer: &Answer, millis: u128) -> String {
    format!("{kind:<32} {:>3}  {:<12} {millis:>5} ms", answer.status, meaning(&answer.body))
}

/// The outcome, or what an error is called; safe to show on a terminal.
fn meaning(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let text = ["outcome", "title"].iter().find_map(|name| body[name].as_str()).unwrap_or("(no outcome)");
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

/// What the operator can do about this answer, if there is anything.
fn hint(answer: &Answer, now: Timestamp) -> Option<String> {
    let apart = answer.server_time.map_or(0, |server| server.as_seconds() - now.as_seconds());
    let hint = match answer.status {
        200..300 if meaning(&answer.body) == "(no outcome)" => "this does not seem to be Rollbook.",
        300..400 => "this address redirects. Clerk does not follow redirects: use the final address, also in Clerk.",
        400 => "the headers did not arrive as sent. Does a proxy in between drop or double svix-* headers?",
        401 if apart.abs() > TOLERANCE => {
            return Some(format!(
                "the server's clock is {} s {} this one's, and a signature is good for {TOLERANCE} s. \
                 Set both by NTP.",
                apart.abs(),
                if apart > 0 { "ahead of" } else { "behind" },
            ));
        }
        401 => "the signature was refused: the server has another secret in CLERK_WEBHOOK_SIGNING_SECRET.",
        404 | 405 => "there is no webhook endpoint. Give the address of the server, without a path.",
        421 => {
            "the server does not answer to that host name. Use the address it listens on, \
             or put this one into its ROLLBOOK_PUBLIC_URL."
        }
        429 => "too many requests: wait a minute.",
        500.. => "the server could not store the event. Its log says why.",
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const SECRET: &str = "whsec_YSBzZWNyZXQgZm9yIHRoZSBzZW5kZXIgdGVzdA==";
    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    fn answer(status: u16, body: &str, server_seconds: i64) -> Answer {
        Answer { status, body: body.to_owned(), server_time: Some(NOW.plus_millis(server_seconds * 1000)) }
    }

    #[test]
    fn picks_one_type_or_all() {
        assert_eq!(pick(Some("role.deleted")).unwrap(), ["role.deleted"]);
        let all = pick(None).unwrap();
        assert_eq!(pick(Some("all")).unwrap(), all);
        assert_eq!(all.len(), 46);
        let place = |kind| all.iter().position(|k| *k == kind).unwrap();
        assert!(place("user.created") < place("user.updated") && place("user.updated") < place("session.created"));
        assert!(place("paymentAttempt.updated") < place("user.deleted"));
    }

    #[test]
    fn an_unknown_type_lists_the_known() {
        let error = pick(Some("user.create")).unwrap_err().to_string();
        assert!(error.starts_with("\"user.create\" is not an event type"));
        assert!(EVENT_TYPES.iter().all(|kind| error.contains(kind)));
        assert!(error.contains("\n  user.created user.updated user.deleted\n"));
    }

    #[test]
    fn events_happen_in_order_and_not_in_the_future() {
        let times = moments(NOW, 46);
        assert!(times.is_sorted() && times.len() == 46);
        assert_eq!(times.last(), Some(&NOW));
    }

    #[test]
    fn lines_are_aligned_and_tame() {
        let applied = line("user.created", &answer(200, r#"{"outcome":"applied"}"#, 0), 7);
        assert_eq!(applied, "user.created                     200  applied          7 ms");
        let longest = line("subscriptionItem.freeTrialEnding", &answer(503, "not JSON", 0), 1234);
        assert_eq!(longest.len(), applied.len());
        assert_eq!(meaning(r#"{"title":"a\u001b[2J\nb","detail":"D"}"#), "a[2Jb");
        assert_eq!(meaning(r#"{"outcome":7}"#), "(no outcome)");
    }

    #[test]
    fn hints_say_what_to_do() {
        let hint = |status, body, seconds| hint(&answer(status, body, seconds), NOW).unwrap_or_default();
        assert_eq!(hint(200, r#"{"outcome":"applied"}"#, 9_999), "");
        assert!(hint(200, "<html>", 0).contains("not seem to be Rollbook"));
        assert!(hint(401, "", 300).contains("another secret"));
        assert!(hint(401, "", 301).contains("301 s ahead of"));
        assert!(hint(401, "", -3_600).contains("3600 s behind"));
        assert!(hint(421, "", 0).contains("ROLLBOOK_PUBLIC_URL"));
        assert!(hint(308, "", 0).contains("final address"));
        assert!(hint(503, "", 0).contains("log"));
    }

    /// Answers requests one after the other, as told.
    async fn server(answers: Vec<(u16, &'static str)>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut read = Vec::new();
                // The body is JSON that ends with the envelope's type.
                while !read.ends_with(b"\"}") {
                    stream.read_buf(&mut read).await.unwrap();
                }
                let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}", body.len());
                stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
            }
        });
        url
    }

    #[tokio::test]
    async fn one_line_for_each_event() {
        let url = server(vec![(200, r#"{"outcome":"applied"}"#); 46]).await;
        let mut out = Vec::new();
        run(Some("all"), &Sender::new(SECRET, &url).unwrap(), &mut out).await.unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.lines().count(), 46);
        assert!(out.lines().all(|line| line.contains(" 200  applied ")), "{out}");
    }

    #[tokio::test]
    async fn a_refusal_is_a_failure_with_advice() {
        let url = server(vec![(401, r#"{"title":"Unauthorized","detail":"signature"}"#)]).await;
        let mut out = Vec::new();
        let error = run(Some("user.created"), &Sender::new(SECRET, &url).unwrap(), &mut out).await.unwrap_err();
        assert!(matches!(error, Error::Refused { refused: 1, sent: 1 }), "{error}");
        let out = String::from_utf8(out).unwrap();
        assert!(out.starts_with("user.created                     401  Unauthorized "), "{out}");
        assert!(out.contains(&format!("\n401 from {url}/api/webhooks/clerk: the signature was refused")), "{out}");
        assert!(!out.contains("YSBz"), "{out}");
    }
}
