//! `rollbook doctor`: looks at everything that has to be right, and says of each thing that is not what to do.

mod clerk;

use std::io::{self, Write};

use crate::checks::{self, Check, Level};
use crate::clerk::http::Url;
use crate::clerk::jwks::Keys;
use crate::clerk::sender::{Answer, Sender, probe};
use crate::clock::Clock;
use crate::config::{self, Config, Faults, Local};
use crate::control::{self, Found, Health, Reply, Request, ask};
use crate::server::{backup_rules, public_origin, reachable, scheme, tls_files};
use crate::tls::Tls;

/// Why the command ended with 1.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something has to be seen to.
    #[error("{failed} of {all} checks failed{}", also(*.warnings))]
    Unwell {
        /// How many failed.
        failed: usize,
        /// How many there are.
        all: usize,
        /// How many found something that may have to be seen to.
        warnings: usize,
    },
    /// The findings cannot be written.
    #[error("cannot write the findings: {0}")]
    Output(#[from] io::Error),
}

/// Checks settings, files, keys, clock, backups, the running server and Clerk's API, and writes a line for each.
///
/// # Errors
/// When anything is wrong. Warnings are none.
pub async fn run(
    local: Result<Local, Faults>,
    config: Result<Config, Faults>,
    out: &mut (dyn Write + Send),
) -> Result<(), Error> {
    let mut checks = vec![match &config {
        Ok(_) => Check::ok("settings", "complete"),
        Err(faults) => Check::failure("settings", faults.to_string(), ""),
    }];
    if let Ok(local) = &local {
        // One that does not answer in time has the file open all the same.
        let status = ask(&local.data, &Request::Status).await;
        let is_served = matches!(status, Ok(Some(_)) | Err(control::Error::TooSlow));
        checks.extend([
            checks::data_file(&local.data, is_served),
            checks::log_files(&local.data),
            checks::room(&local.data),
        ]);
        checks.extend(checks::former_copies(&local.data));
    }
    if let Ok(config) = &config {
        checks.extend(signing_keys(&config.tokens).await);
        checks.push(checks::cors(&config.cors.origins));
        checks.extend(certificate(&config.local));
        let rules = config.backups.clone().map(backup_rules);
        checks.push(checks::backups(rules.as_ref(), None, Clock::system().now()));
    }
    let health = match &local {
        Ok(local) => {
            let (server, health) = server(local, config.as_ref().ok()).await;
            checks.extend(server);
            health
        }
        Err(_) => None,
    };
    if let Ok(config) = &config {
        checks.extend(clerk::check(config.backend.as_ref(), health.as_ref()).await);
    }
    let mut found: Vec<Found> = checks.iter().map(Found::from).collect();
    add(&mut found, health.map(|health| health.checks).unwrap_or_default());
    for check in &found {
        let mark = match check.level {
            Level::Ok => "ok  ",
            Level::Warning => "warn",
            Level::Failure => "FAIL",
        };
        // A finding of several lines stays in its column.
        writeln!(out, "{mark}  {:11}  {}", check.name, check.sentence.replace('\n', "\n                   "))?;
    }
    let of = |level| found.iter().filter(|check| check.level == level).count();
    let (failed, warnings) = (of(Level::Failure), of(Level::Warning));
    if failed > 0 { Err(Error::Unwell { failed, all: found.len(), warnings }) } else { Ok(()) }
}

fn also(warnings: usize) -> String {
    match warnings {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        many => format!(", {many} warnings"),
    }
}

/// Adds what the running server finds of itself: what nothing else was found of, and what looks worse from there, where
/// other settings may be in force. Of backups it knows more than we do, for it makes them.
fn add(found: &mut Vec<Found>, server: Vec<Found>) {
    let own: Vec<(String, Level)> = found.iter().map(|check| (check.name.clone(), check.level)).collect();
    for check in server {
        match own.iter().find(|(name, _)| *name == check.name) {
            None => found.push(check),
            Some(_) if check.name == checks::BACKUPS => {
                found.retain(|own| own.name != checks::BACKUPS);
                found.push(check);
            }
            Some((_, level)) if check.level < *level => {
                found.push(Found { sentence: format!("the running server finds: {}", check.sentence), ..check });
            }
            Some(_) => {}
        }
    }
}

/// Whether what is in the files of the settings can be served; `None` where HTTPS is not spoken.
fn certificate(local: &Local) -> Option<Check> {
    let (set, clock) = (local.tls.clone()?, Clock::system());
    Some(match Tls::open(tls_files(set), clock.clone()) {
        Ok(tls) => {
            checks::certificate(&tls, &public_origin(local.public_url.as_ref(), true, local.listen), clock.now())
        }
        Err(cause) => Check::failure(checks::CERTIFICATE, cause.to_string(), ""),
    })
}

/// Whether session tokens can be verified, and whether our clock is that of whoever signs them.
async fn signing_keys(tokens: &config::TokenSource) -> Vec<Check> {
    const NAME: &str = "token keys";
    let url = match &tokens.keys {
        config::Keys::Pem(pem) => {
            return vec![match Keys::from_pem(pem.expose()) {
                Ok(_) => Check::ok(NAME, "from CLERK_JWT_KEY"),
                Err(bad) => Check::failure(NAME, format!("CLERK_JWT_KEY: {bad}"), ""),
            }];
        }
        config::Keys::Remote(url) => url,
    };
    let Ok(parsed) = url.parse::<Url>() else {
        return vec![Check::failure(NAME, format!("{url} is not a URL"), "")];
    };
    let status = Keys::remote(parsed, None, Clock::system()).refresh().await;
    let keys = match status.failure {
        None => Check::ok(NAME, format!("{} from {url}", status.keys)),
        Some(failure) => Check::failure(NAME, format!("none from {url}: {failure}"), ""),
    };
    let theirs = probe(url).await.ok().and_then(|answer| answer.server_time);
    let clock = theirs.map(|theirs| checks::clock(Clock::system().now().as_seconds() - theirs.as_seconds()));
    [keys].into_iter().chain(clock).collect()
}

/// The running server, and a signed event there and back; and what it finds of itself.
async fn server(local: &Local, config: Option<&Config>) -> (Vec<Check>, Option<Health>) {
    const NAME: &str = "server";
    let failure = |found: String, advice: &str| (vec![Check::failure(NAME, found, advice)], None);
    match ask(&local.data, &Request::Status).await {
        Ok(Some(Reply::Status { address, version, ready: true, tls, .. })) => {
            let running = Check::ok(NAME, format!("{version} at {}://{address}", scheme(tls)));
            let checks = vec![running, round_trip(&address, tls, config).await];
            match ask(&local.data, &Request::Checks).await {
                Ok(Some(Reply::Checks(health))) => (checks, Some(health)),
                _ => (checks, None),
            }
        }
        Ok(Some(Reply::Status { address, doubt: Some(doubt), tls, .. })) => failure(
            format!("at {}://{address} is read only: {doubt}", scheme(tls)),
            "`rollbook adopt --help` says what can be done",
        ),
        Ok(Some(Reply::Status { address, tls, .. })) => {
            failure(format!("at {}://{address} takes no writes", scheme(tls)), "restart it once the disk is in order")
        }
        Ok(_) => failure("does not run on this data file".to_owned(), "start it with `rollbook serve`"),
        Err(control::Error::TooSlow) => failure("does not answer".to_owned(), "restart it"),
        Err(cause) => failure(cause.to_string(), ""),
    }
}

async fn round_trip(address: &str, is_tls: bool, config: Option<&Config>) -> Check {
    const NAME: &str = "round trip";
    let failure = |found: String, advice: &str| Check::failure(NAME, found, advice);
    match send(address, is_tls, config).await {
        Ok(answer) => match answer.status {
            200 => Check::ok(NAME, "a signed event was taken and recorded"),
            401 => failure(
                "the server refused our signature: it runs with another CLERK_WEBHOOK_SIGNING_SECRET".to_owned(),
                "restart it",
            ),
            status => failure(format!("the server answered {status} to a signed event: {}", answer.body), ""),
        },
        Err(cause) => failure(cause, ""),
    }
}

/// Sends a signed event, and returns the answer.
async fn send(address: &str, is_tls: bool, config: Option<&Config>) -> Result<Answer, String> {
    let Some(secret) = config.and_then(|config| config.signing_secrets.first()) else {
        return Err("cannot be tried without CLERK_WEBHOOK_SIGNING_SECRET".to_owned());
    };
    let address = address.parse().map_or_else(|_| address.to_owned(), reachable);
    let sender =
        Sender::to_own(secret.expose(), &format!("{}://{address}", scheme(is_tls))).map_err(|e| e.to_string())?;
    sender.test("doctor").await.map_err(|e| e.to_string())
}
