//! Whether browsers and Clerk will take the certificate that is served.

use std::net::IpAddr;

use super::{Check, DAY};
use crate::clock::Timestamp;
use crate::tls::{Certificate, Tls};

/// The name of the check.
pub const CERTIFICATE: &str = "certificate";

/// So long before its end, in milliseconds, somebody should see to a certificate, if it is not of those that live for a few
/// days only.
const SOON: i64 = 21 * DAY;

/// Whether the certificate is valid now and for a while yet, is that of the name browsers use, and its key nobody else's to
/// read.
#[must_use]
pub fn certificate(tls: &Tls, public_origin: &str, now: Timestamp) -> Check {
    let (certificate, path) = (tls.certificate(), tls.files().certificate.display());
    let until = day(certificate.not_after());
    let found = format!("{path}, valid until {until}");
    if certificate.not_after() < now {
        let found = match tls.trouble() {
            Some(trouble) => format!("the one that is served was valid until {until}; {trouble}"),
            None => format!("{path} was valid until {until}"),
        };
        return Check::failure(CERTIFICATE, found, "renew it: it is taken from the file by itself");
    }
    if let Some(trouble) = tls.trouble() {
        let found = format!("{trouble}; the one from before is served, which is valid until {until}");
        return Check::failure(CERTIFICATE, found, "");
    }
    if is_ending(&certificate, now) {
        return Check::warning(CERTIFICATE, found, "renew it: it is taken from the file by itself");
    }
    if let Some(host) = name_of(public_origin).filter(|host| !certificate.is_for(host)) {
        let found = format!("{path} is not for {host}");
        return Check::warning(CERTIFICATE, found, "get one that names it, or browsers and Clerk will refuse to come");
    }
    let key = tls.files().key.display();
    match tls.is_exposed() {
        Ok(true) => {
            let advice = "run chmod 640 on it, and think about who may have read it";
            Check::warning(CERTIFICATE, format!("everybody on this machine can read {key}"), advice)
        }
        Ok(false) => Check::ok(CERTIFICATE, found),
        Err(cause) => {
            Check::warning(CERTIFICATE, format!("{key} is out of reach ({cause})"), "put it back before the next start")
        }
    }
}

/// Whether it should have been renewed by now: in the last three weeks, or in the last fifth of a shorter life.
fn is_ending(certificate: &Certificate, now: Timestamp) -> bool {
    let life = certificate.not_after().as_millis().saturating_sub(certificate.not_before().as_millis());
    certificate.not_after().as_millis().saturating_sub(now.as_millis()) < SOON.min(life / 5)
}

/// The name of the host in an origin, if it has one that certificates are made for.
fn name_of(origin: &str) -> Option<&str> {
    let (_, authority) = origin.split_once("://")?;
    let name = authority.split(':').next().filter(|name| !name.starts_with('['))?;
    (name != "localhost" && name.parse::<IpAddr>().is_err()).then_some(name)
}

fn day(at: Timestamp) -> String {
    at.to_string().chars().take("2026-01-01".len()).collect()
}
