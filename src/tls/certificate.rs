//! What is known of a certificate.

use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

use crate::clock::Timestamp;

/// The certificate that a server shows, as far as we judge it. Whether anybody trusts it is theirs to decide.
#[derive(Debug, Clone)]
pub struct Certificate {
    der: CertificateDer<'static>,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Certificate {
    /// Reads one; `None` when it is none of X.509 version 3 with two times in their order.
    pub(super) fn read(der: &CertificateDer<'static>) -> Option<Self> {
        let read = EndEntityCert::try_from(der).ok()?;
        // Whoever asks whether it was valid at a time at which it was not is told when it is.
        let not_before = match at(&read, 0) {
            Err(Error::CertNotValidYet { not_before, .. }) => time(not_before),
            _ => Timestamp::from_millis(0),
        };
        let not_after = match at(&read, u64::MAX) {
            Err(Error::CertExpired { not_after, .. }) => time(not_after),
            _ => return None,
        };
        Some(Self { der: der.clone(), not_before, not_after })
    }

    /// From when it is valid.
    pub const fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Until when it is valid.
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether it is for a server of that name; an address is a name too.
    pub fn is_for(&self, host: &str) -> bool {
        let name = ServerName::try_from(host.trim_matches(['[', ']']));
        let read = EndEntityCert::try_from(&self.der);
        matches!((name, read), (Ok(name), Ok(read)) if read.verify_is_valid_for_subject_name(&name).is_ok())
    }
}

/// What speaks against the certificate so many seconds after 1970. With no root to lead to something always does; its times
/// are looked at first.
fn at(certificate: &EndEntityCert<'_>, seconds: u64) -> Result<(), Error> {
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    certificate.verify_for_usage(&[], &[], &[], at, KeyUsage::server_auth(), None, None).map(drop)
}

fn time(at: UnixTime) -> Timestamp {
    Timestamp::from_millis(i64::try_from(at.as_secs()).unwrap_or(i64::MAX / 1000).saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_certificate_says_when_and_for_whom_it_is() {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = ["roll.example.com", "*.example.net", "192.0.2.1", "2001:db8::1"].map(str::to_owned);
        let mut wanted = rcgen::CertificateParams::new(names).unwrap();
        wanted.not_before = rcgen::date_time_ymd(2020, 1, 2);
        wanted.not_after = rcgen::date_time_ymd(2051, 3, 4);
        let made = wanted.self_signed(&key).unwrap();
        let read = Certificate::read(made.der()).unwrap();
        assert_eq!(read.not_before().to_string(), "2020-01-02T00:00:00.000Z");
        assert_eq!(read.not_after().to_string(), "2051-03-04T00:00:00.000Z");
        for ours in ["roll.example.com", "ROLL.example.com", "a.example.net", "192.0.2.1", "[2001:db8::1]"] {
            assert!(read.is_for(ours), "{ours}");
        }
        for other in ["example.com", "a.roll.example.com", "example.net", "a.b.example.net", "192.0.2.2", "[::1]", ""] {
            assert!(!read.is_for(other), "{other}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        for garbage in [&b""[..], b"\x30\x03\x02\x01\x00", &[0; 500]] {
            assert!(Certificate::read(&CertificateDer::from(garbage.to_vec())).is_none());
        }
    }

    #[test]
    fn the_certificate_of_an_authority_that_serves_has_its_times_too() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut wanted = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        wanted.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        wanted.not_after = rcgen::date_time_ymd(2040, 1, 1);
        let made = wanted.self_signed(&key).unwrap();
        assert_eq!(Certificate::read(made.der()).unwrap().not_after().to_string(), "2040-01-01T00:00:00.000Z");
    }
}
