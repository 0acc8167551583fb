//! What Rollbook says while it runs: one line for each thing, on standard output, as JSON for machines or
//! as text for a terminal. Whatever a value holds, it comes out escaped on its one line. Spans are not
//! written: a line says all it has to say in its own fields.

mod line;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::str::FromStr;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Map, Value};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::audit::{Leaf, Source};

/// How many lines may wait for whoever reads them.
const WAITING: usize = 8192;

/// How long the end of the program waits for the last lines to be read.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object.
    Json,
    /// Text, in colour.
    Text,
}

impl Format {
    /// Text when standard output is a terminal, JSON when it is anything else.
    #[must_use]
    pub fn of_stdout() -> Self {
        if io::stdout().is_terminal() { Self::Text } else { Self::Json }
    }
}

/// Which lines are written: those of at least some level, for each module or for all.
#[derive(Debug, Clone)]
pub struct Filter(Targets);

/// Text that is no filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be error, warn, info, debug, trace or off, or such with modules: warn,rollbook=debug")]
pub struct BadFilter;

impl FromStr for Filter {
    type Err = BadFilter;

    /// Stricter than tracing's own reading, which takes a misspelt level for the name of a module.
    fn from_str(s: &str) -> Result<Self, BadFilter> {
        let mut targets = Targets::new();
        // A module that is named goes by its own level, wherever it stands.
        let (named, bare): (Vec<_>, Vec<_>) = s.split(',').map(str::trim).partition(|item| item.contains('='));
        for item in bare.into_iter().chain(named) {
            targets = match item.split_once('=') {
                None => everywhere(targets, level(item)?),
                Some((module, item)) if is_module(module) => targets.with_target(module, level(item)?),
                Some(_) => return Err(BadFilter),
            };
        }
        Ok(Self(targets))
    }
}

/// That level for every module. But warp traces the paths that are asked for, and those name people; whoever
/// wants that must ask for it by name.
fn everywhere(targets: Targets, level: LevelFilter) -> Targets {
    targets.with_default(level).with_target("warp", level.min(LevelFilter::DEBUG))
}

fn level(word: &str) -> Result<LevelFilter, BadFilter> {
    match word {
        "off" | "error" | "warn" | "info" | "debug" | "trace" => word.parse().map_err(|_| BadFilter),
        _ => Err(BadFilter),
    }
}

fn is_module(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b':')
}

/// Keeps the log going; dropping it writes what still waits, and must be the last thing that `main` does.
#[derive(Debug)]
#[must_use]
pub struct Guard(Option<WorkerGuard>);

impl Drop for Guard {
    /// Waits for the last lines, but not for ever: the worker's own guard prints to standard output when its
    /// queue is full, and with a reader that stands still that print would never return.
    fn drop(&mut self) {
        let (done, wait) = mpsc::channel();
        let worker = self.0.take();
        std::thread::spawn(move || {
            drop(worker);
            let _ = done.send(());
        });
        let _ = wait.recv_timeout(LAST_LINES);
    }
}

/// Starts the log on standard output.
///
/// # Errors
/// When standard output is closed, or a log was started before.
pub fn start(filter: Filter, format: Format) -> io::Result<Guard> {
    // A file of our own on the same descriptor: many lines become one write, and nobody's lock is held.
    let out = BufWriter::new(File::from(io::stdout().as_fd().try_clone_to_owned()?));
    let (writer, worker) = queue(out);
    subscriber(filter, format, writer).try_init().map_err(io::Error::other)?;
    Ok(Guard(Some(worker)))
}

/// A reader that does not drain the pipe must never hold up a request, so lines wait in a queue of
/// [`WAITING`] that a thread of its own empties. When it is full, new lines are lost until there is room
/// again. Only lines are lost: the audit log is in the data file, whatever becomes of its echo here.
fn queue(out: impl Write + Send + 'static) -> (impl for<'w> MakeWriter<'w> + Send + Sync + 'static, WorkerGuard) {
    NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING).thread_name("log").finish(out)
}

fn subscriber<W>(filter: Filter, format: Format, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer);
    let layer = match format {
        Format::Json => layer.event_format(line::Json).boxed(),
        Format::Text => layer.compact().with_target(false).fmt_fields(line::Text).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter.0))
}

/// Writes the line that goes with an entry of the audit log. Persons stand in it as they do in the
/// entry, by their salted reference; what changed is named and its values are left out.
pub fn entry(leaf: &Leaf, seq: u64, elapsed: Option<Duration>) {
    let redacted = |name: &String| (name.clone(), Value::from("[REDACTED]"));
    let details = Value::Object(leaf.changed.iter().map(redacted).collect::<Map<_, _>>());
    tracing::info!(
        target: "rollbook::audit",
        timestamp = %leaf.at,
        event = leaf.action,
        userId = person(leaf),
        // Of people there is the reference alone; what else an entry is about would be somebody's id at times.
        name = leaf.target.as_deref().and_then(|target| target.strip_prefix("target:")),
        // The id is no secret, and a key that came back with an older copy is revoked again by it.
        key = leaf.target.as_deref().and_then(|target| target.strip_prefix("key:")),
        source = source(leaf.source),
        outcome = leaf.outcome,
        reason = leaf.reason,
        seq,
        request = leaf.request,
        details = %details,
        durationMs = elapsed.map(|time| (time.as_secs_f64() * 1e6).round() / 1e3),
    );
}

/// The reference of the person an entry is about, else of the one who did it.
fn person(leaf: &Leaf) -> Option<&str> {
    let target = leaf.target.as_deref().filter(|target| target.starts_with("s1."));
    target.or_else(|| leaf.actor.strip_prefix("user:"))
}

const fn source(source: Source) -> &'static str {
    match source {
        Source::Webhook => "webhook",
        Source::Api => "api",
        Source::Admin => "admin",
        Source::Cli => "cli",
        Source::Sync => "sync",
        Source::System => "system",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::clock::Timestamp;

    /// A writer whose content can be read while it is in use.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    pub(super) fn written(filter: &str, format: Format, say: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = subscriber(filter.parse().unwrap(), format, move || writer.clone());
        tracing::subscriber::with_default(subscriber, say);
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    fn leaf() -> Leaf {
        Leaf {
            action: "user.updated".to_owned(),
            actor: "clerk".to_owned(),
            at: Timestamp::from_millis(1_716_883_200_000),
            changed: vec!["email".to_owned(), "first_name".to_owned()],
            count: None,
            detail: None,
            event_at: None,
            impersonator: None,
            outcome: "applied".to_owned(),
            reason: None,
            request: Some("msg_1".to_owned()),
            source: Source::Webhook,
            target: Some("s1.abc".to_owned()),
            v: 1,
        }
    }

    #[test]
    fn an_entry_has_the_shape_that_was_promised() {
        let line = written("info", Format::Json, || entry(&leaf(), 7, Some(Duration::from_micros(1250))));
        assert_eq!(
            line,
            concat!(
                r#"{"timestamp":"2024-05-28T08:00:00.000Z","level":"INFO","event":"user.updated","userId":"s1.abc","#,
                r#""source":"webhook","outcome":"applied","seq":7,"request":"msg_1","#,
                r#""details":{"email":"[REDACTED]","first_name":"[REDACTED]"},"durationMs":1.25}"#,
                "\n"
            )
        );
    }

    #[test]
    fn an_entry_shows_references_only() {
        let about_object = Leaf { target: Some("organization:org_1".to_owned()), ..leaf() };
        let line = written("info", Format::Json, || entry(&about_object, 0, None));
        let about_target = Leaf { target: Some("target:crm".to_owned()), ..leaf() };
        assert!(written("info", Format::Json, || entry(&about_target, 0, None)).contains(r#","name":"crm","#));
        assert!(!line.contains("org_1") && !line.contains("userId") && !line.contains("durationMs"), "{line}");
        let by_user =
            Leaf { actor: "user:s1.me".to_owned(), target: None, reason: Some("no_token".to_owned()), ..leaf() };
        let line = written("info", Format::Json, || entry(&by_user, 0, None));
        assert!(line.contains(r#""userId":"s1.me""#) && line.contains(r#""reason":"no_token""#), "{line}");
    }

    #[test]
    fn a_filter_is_made_of_levels() {
        for bad in ["inof", "", "info,", "rollbook", "rollbook=", "=info", "INFO", "rollbook[span]=info", "info debug"]
        {
            assert_eq!(bad.parse::<Filter>().map(|_| ()), Err(BadFilter), "{bad}");
        }
        let say = || {
            tracing::info!(target: "other", "other.info");
            tracing::debug!(target: "rollbook::x", "ours.debug");
            tracing::trace!(target: "rollbook::x", "ours.trace");
        };
        let lines = written("warn, rollbook=debug", Format::Json, say);
        assert!(lines.contains("ours.debug") && !lines.contains("ours.trace") && !lines.contains("other"), "{lines}");
        assert_eq!(written("off", Format::Json, say), "");
        let path = || tracing::trace!(target: "warp::filters::path", "param?: user_1");
        assert_eq!(written("trace", Format::Json, path), "", "paths name people");
        for asked in ["trace,warp=trace", "warp=trace,trace"] {
            assert!(written(asked, Format::Json, path).contains("user_1"));
        }
    }

    #[test]
    fn a_reader_that_stands_still_holds_up_nobody() {
        /// Takes nothing until the other end of the channel is gone.
        struct Stuck(mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, gate) = mpsc::channel();
        let (writer, worker) = queue(Stuck(gate));
        let subscriber = subscriber("info".parse().unwrap(), Format::Json, writer);
        tracing::subscriber::with_default(subscriber, || {
            // Returns at all: were a line to wait for its reader, this would never end.
            for n in 0..2 * WAITING {
                tracing::info!(n, "line");
            }
        });
        drop(release);
        drop(worker);
    }
}
