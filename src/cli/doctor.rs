//! `rollbook doctor`: looks at everything that has to be right, and says of each thing that is not what to do.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::clerk::http::Url;
use crate::clerk::jwks::Keys;
use crate::clerk::sender::{Sender, probe};
use crate::clock::{Clock, Timestamp};
use crate::config::{self, Config, Faults, Local};
use crate::control::{self, Reply, Request, ask};
use crate::disk::folder;
use crate::notary::{key_path, mark_path};
use crate::server::reachable;

/// As much of a difference between two clocks, in seconds, as neither Svix (300) nor session tokens (5) mind.
const CLOCK_TOLERANCE: i64 = 4;

/// As much room on the disk, in bytes, as there should be.
const ENOUGH_ROOM: u64 = 256 << 20;

/// Why the command ended with 1.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something has to be seen to.
    #[error("{0} of {1} checks failed")]
    Unwell(usize, usize),
    /// The findings cannot be written.
    #[error("cannot write the findings: {0}")]
    Output(#[from] io::Error),
}

/// What one check found: a short sentence, and whether all is well.
struct Finding {
    what: &'static str,
    found: Result<String, String>,
}

/// Checks settings, files, keys, clock and the running server, and writes a line for each.
///
/// # Errors
/// When anything is wrong.
pub async fn run(
    local: Result<Local, Faults>,
    config: Result<Config, Faults>,
    out: &mut (dyn Write + Send),
) -> Result<(), Error> {
    let mut findings = vec![Finding {
        what: "settings",
        found: config.as_ref().map(|_| "complete".to_owned()).map_err(std::string::ToString::to_string),
    }];
    if let Ok(local) = &local {
        findings.push(Finding { what: "data file", found: data_file(&local.data) });
        findings.push(Finding { what: "log's files", found: beside(&local.data) });
        findings.push(Finding { what: "disk", found: room(&local.data) });
    }
    if let Ok(config) = &config {
        findings.extend(signing_keys(&config.tokens).await);
        findings.push(Finding { what: "CORS", found: Ok(cors(&config.cors)) });
    }
    if let Ok(local) = &local {
        findings.extend(server(local, config.as_ref().ok()).await);
    }
    let unwell = findings.iter().filter(|finding| finding.found.is_err()).count();
    for Finding { what, found } in &findings {
        let (mark, text) = match found {
            Ok(text) => ("ok  ", text),
            Err(text) => ("FAIL", text),
        };
        // A finding of several lines stays in its column.
        writeln!(out, "{mark}  {what:11}  {}", text.replace('\n', "\n                   "))?;
    }
    if unwell > 0 { Err(Error::Unwell(unwell, findings.len())) } else { Ok(()) }
}

fn data_file(path: &Path) -> Result<String, String> {
    let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let shown = shown.display();
    if !path.exists() {
        let folder = folder(path);
        let writable = tempfile::tempfile_in(folder).map(drop);
        return writable.map(|()| format!("{shown} is made at the first start")).map_err(|cause| {
            format!("{shown} cannot be made ({cause}); create its folder and give it to the user Rollbook runs as")
        });
    }
    let meta = OpenOptions::new().read(true).write(true).open(path).and_then(|file| file.metadata());
    let meta =
        meta.map_err(|cause| format!("{shown} cannot be opened ({cause}); give it to the user Rollbook runs as"))?;
    match meta.permissions().mode() & 0o777 {
        mode if mode & 0o077 == 0 => Ok(format!("{shown}, {} MiB, for its owner only", meta.len() >> 20)),
        mode => Err(format!("{shown} has mode {mode:o}: others can read it; run chmod 600 on it")),
    }
}

/// Whether the signing key and the high-water mark are there and nobody else can read them.
fn beside(data: &Path) -> Result<String, String> {
    let (key, mark) = (key_path(data), mark_path(data));
    if !data.exists() && !key.exists() && !mark.exists() {
        return Ok("the signing key and the high-water mark are made at the first start".to_owned());
    }
    for path in [&key, &mark] {
        let shown = path.display();
        let meta = path.symlink_metadata().map_err(|cause| {
            format!("{shown} is missing or out of reach ({cause}); put it back, or see `rollbook adopt --help`")
        })?;
        if !meta.is_file() || meta.permissions().mode() & 0o077 != 0 {
            return Err(format!("{shown} must be a file that its owner alone can read: run chmod 600 on it"));
        }
    }
    Ok(format!("{} and {}, for their owner only; keep a copy of the key elsewhere", key.display(), mark.display()))
}

fn room(path: &Path) -> Result<String, String> {
    let folder = folder(path);
    let stat =
        rustix::fs::statvfs(folder).map_err(|cause| format!("{} cannot be asked ({cause})", folder.display()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let shown = format!("{} MiB free", free >> 20);
    if free >= ENOUGH_ROOM { Ok(shown) } else { Err(format!("only {shown}; make room before writes fail")) }
}

/// Which pages may call the API from a browser: one that may not is told no more by the browser than that it failed.
fn cors(cors: &config::Cors) -> String {
    match &cors.origins[..] {
        [] => "no page of another origin may call the API (ROLLBOOK_CORS_ORIGINS)".to_owned(),
        origins => format!("pages of {} may call the API", origins.join(", ")),
    }
}

/// Whether session tokens can be verified, and whether our clock is that of whoever signs them.
async fn signing_keys(tokens: &config::TokenSource) -> Vec<Finding> {
    let url = match &tokens.keys {
        config::Keys::Pem(pem) => {
            let found = Keys::from_pem(pem.expose()).map(|_| "from CLERK_JWT_KEY".to_owned());
            return vec![Finding { what: "token keys", found: found.map_err(|bad| format!("CLERK_JWT_KEY: {bad}")) }];
        }
        config::Keys::Remote(url) => url,
    };
    let Ok(parsed) = url.parse::<Url>() else {
        return vec![Finding { what: "token keys", found: Err(format!("{url} is not a URL")) }];
    };
    let status = Keys::remote(parsed, None, Clock::system()).refresh().await;
    let found = match status.failure {
        None => Ok(format!("{} from {url}", status.keys)),
        Some(failure) => Err(format!("none from {url}: {failure}")),
    };
    let clock = probe(url).await.ok().and_then(|answer| answer.server_time);
    let clock = clock.map(|theirs| Finding { what: "clock", found: clock_against(theirs, Clock::system().now()) });
    [Finding { what: "token keys", found }].into_iter().chain(clock).collect()
}

fn clock_against(theirs: Timestamp, ours: Timestamp) -> Result<String, String> {
    let ahead = ours.as_seconds() - theirs.as_seconds();
    if ahead.abs() <= CLOCK_TOLERANCE {
        Ok("agrees with the issuer's".to_owned())
    } else {
        let direction = if ahead > 0 { "fast" } else { "slow" };
        Err(format!(
            "{} s {direction} by the issuer's; tokens and webhooks will be refused: turn on time synchronisation",
            ahead.abs()
        ))
    }
}

/// The running server, and a signed event there and back.
async fn server(local: &Local, config: Option<&Config>) -> Vec<Finding> {
    let finding = |found| Finding { what: "server", found };
    let address = match ask(&local.data, &Request::Status).await {
        Ok(Some(Reply::Status { address, version, ready: true, .. })) => {
            let running = finding(Ok(format!("{version} at http://{address}")));
            return vec![running, Finding { what: "round trip", found: round_trip(&address, config).await }];
        }
        Ok(Some(Reply::Status { address, doubt: Some(doubt), .. })) => {
            format!("at http://{address} is read only: {doubt}; `rollbook adopt --help` says what can be done")
        }
        Ok(Some(Reply::Status { address, .. })) => {
            format!("at http://{address} takes no writes; restart it once the disk is in order")
        }
        Ok(_) => "does not run on this data file; start it with `rollbook serve`".to_owned(),
        Err(control::Error::TooSlow) => "does not answer; restart it".to_owned(),
        Err(cause) => cause.to_string(),
    };
    vec![finding(Err(address))]
}

async fn round_trip(address: &str, config: Option<&Config>) -> Result<String, String> {
    let Some(secret) = config.and_then(|config| config.signing_secrets.first()) else {
        return Err("cannot be tried without CLERK_WEBHOOK_SIGNING_SECRET".to_owned());
    };
    let address = address.parse().map_or_else(|_| address.to_owned(), reachable);
    let sender = Sender::new(secret.expose(), &format!("http://{address}")).map_err(|e| e.to_string())?;
    let now = Clock::system().now();
    let mut noise = [0; 8];
    getrandom::fill(&mut noise).map_err(|e| e.to_string())?;
    let id = format!("msg_doctor_{:016x}", u64::from_be_bytes(noise));
    // A type of our own: it is recorded, and changes nothing.
    let event = json!({ "type": "rollbook.doctor", "object": "event", "timestamp": now.as_millis(), "data": {} });
    let answer = sender.send(&id, now, &event).await.map_err(|e| e.to_string())?;
    match answer.status {
        200 => Ok("a signed event was taken and recorded".to_owned()),
        401 => Err("the server refused our signature: it runs with another CLERK_WEBHOOK_SIGNING_SECRET; restart it"
            .to_owned()),
        status => Err(format!("the server answered {status} to a signed event: {}", answer.body)),
    }
}
