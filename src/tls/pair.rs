//! A certificate and its key, read from their files and judged together.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::aws_lc_rs::{self, Ticketer};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, InconsistentKeys, ServerConfig};

use super::{Certificate, Files};
use crate::clock::Timestamp;
use crate::disk;

/// The largest file that is read, in bytes; chains have a few thousand.
const LARGEST: u64 = 1 << 20;

/// A certificate with its key, ready to be served.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) config: ServerConfig,
    pub(super) certificate: Certificate,
}

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{} cannot be read ({}); give it to the user Rollbook runs as, or name another", .0.display(), disk::cause(.1))]
    Unreadable(PathBuf, io::Error),
    /// It is too large to be what is looked for.
    #[error("{} is larger than any certificate or key", .0.display())]
    TooLarge(PathBuf),
    /// There is no certificate in the file for it.
    #[error("{} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)", .0.display())]
    NoCertificate(PathBuf),
    /// One of the certificates cannot be read.
    #[error("{}: its certificate no. {} cannot be read; copy the file again, whole", .0.display(), .1)]
    BadCertificate(PathBuf, usize),
    /// There is no key in the file for it.
    #[error("{} holds no key in PEM (-----BEGIN PRIVATE KEY-----)", .0.display())]
    NoKey(PathBuf),
    /// The key is encrypted.
    #[error(
        "{} holds a key with a passphrase, which nobody could type at each start; take it off with \
         openssl pkey -in FILE -out NEW-FILE", .0.display()
    )]
    Locked(PathBuf),
    /// The key cannot be used.
    #[error("{} holds a key that cannot be used ({}); it must be ECDSA, Ed25519, or RSA of 2048 bits or more", .0.display(), .1)]
    BadKey(PathBuf, rustls::Error),
    /// They are not of each other.
    #[error(
        "{} does not hold the key of the first certificate in {}; name the two files that were made together, and put the \
         server's own certificate before those of its authorities", .0.key.display(), .0.certificate.display()
    )]
    Mismatch(Box<Files>),
    /// The certificate is not valid any more.
    #[error("{}: the certificate was valid until {}; renew it", .0.display(), .1)]
    Expired(PathBuf, Timestamp),
    /// It is not valid yet.
    #[error("{}: the certificate is not valid before {}; wait until then, or set this machine's clock right", .0.display(), .1)]
    NotYet(PathBuf, Timestamp),
    /// The system gives no random numbers.
    #[error("no keys for TLS can be made: {0}")]
    NoRandomness(rustls::Error),
}

/// Reads both files, which fit together and are good at `now`.
pub(super) fn read(files: &Files, now: Timestamp) -> Result<Pair, Error> {
    let chain = chain(&files.certificate)?;
    let certificate = judged(&files.certificate, &chain, now)?;
    let key = key(&files.key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(Error::NoRandomness)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|cause| match cause {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Error::Mismatch(Box::new(files.clone())),
            cause => Error::BadKey(files.key.clone(), cause),
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = Ticketer::new().map_err(Error::NoRandomness)?;
    Ok(Pair { config, certificate })
}

/// Whether everybody can read the file. That a group can is how keys are shared with the servers that need them.
pub(super) fn is_exposed(key: &Path) -> io::Result<bool> {
    Ok(fs::metadata(key)?.permissions().mode() & 0o007 != 0)
}

/// Every certificate in the file, in its order; at least one.
fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = contents(path)?;
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        chain.push(certificate.map_err(|_| Error::BadCertificate(path.to_owned(), chain.len() + 1))?);
    }
    if chain.is_empty() { Err(Error::NoCertificate(path.to_owned())) } else { Ok(chain) }
}

/// The first of them, which can be shown at `now`.
fn judged(path: &Path, chain: &[CertificateDer<'static>], now: Timestamp) -> Result<Certificate, Error> {
    // The others are for clients to judge.
    let own = chain.first().and_then(Certificate::read).ok_or_else(|| Error::BadCertificate(path.to_owned(), 1))?;
    if own.not_after() < now {
        return Err(Error::Expired(path.to_owned(), own.not_after()));
    }
    if own.not_before() > now {
        return Err(Error::NotYet(path.to_owned(), own.not_before()));
    }
    Ok(own)
}

/// The first key in the file.
fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let text = contents(path)?;
    // The newer form says so in its first line, the older one in a line below.
    if text.windows(9).any(|word| word == b"ENCRYPTED") {
        return Err(Error::Locked(path.to_owned()));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| Error::NoKey(path.to_owned()))
}

fn contents(path: &Path) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut text));
    read.map_err(|cause| Error::Unreadable(path.to_owned(), cause))?;
    if text.len() as u64 > LARGEST { Err(Error::TooLarge(path.to_owned())) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::clock::Clock;

    /// A folder with a certificate and its key in it.
    fn made() -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        let files = Files { certificate: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
        let key = rcgen::KeyPair::generate().unwrap();
        let mut wanted = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        wanted.not_before = rcgen::date_time_ymd(2020, 1, 1);
        wanted.not_after = rcgen::date_time_ymd(2050, 1, 1);
        fs::write(&files.certificate, wanted.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        (dir, files)
    }

    fn refusal(files: &Files, at: &str) -> String {
        read(files, at.parse().unwrap()).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn each_thing_that_is_wrong_is_told_apart() {
        const NOW: &str = "2030-01-01T00:00:00.000Z";
        let (_dir, files) = made();
        let (_other_dir, other) = made();
        assert!(read(&files, NOW.parse().unwrap()).is_ok());
        let path = files.certificate.display();
        for (files, at, told) in [
            (
                files.clone(),
                "2019-12-31T00:00:00.000Z",
                format!("{path}: the certificate is not valid before 2020-01-01"),
            ),
            (files.clone(), "2050-01-02T00:00:00.000Z", format!("{path}: the certificate was valid until 2050-01-01")),
            (
                Files { key: other.key.clone(), ..files.clone() },
                NOW,
                "name the two files that were made together".to_owned(),
            ),
            (Files { key: files.certificate.clone(), ..files.clone() }, NOW, format!("{path} holds no key in PEM")),
            (Files { certificate: files.key.clone(), ..files.clone() }, NOW, "holds no certificate in PEM".to_owned()),
            (
                Files { key: "/nowhere/key.pem".into(), ..files.clone() },
                NOW,
                "/nowhere/key.pem cannot be read (No such file".to_owned(),
            ),
        ] {
            let refusal = refusal(&files, at);
            assert!(refusal.contains(&told), "{refusal}");
        }
    }

    #[test]
    fn a_damaged_file_and_a_locked_key_are_refused() {
        const NOW: &str = "2030-01-01T00:00:00.000Z";
        let (_dir, files) = made();
        let (whole, key) = (fs::read_to_string(&files.certificate).unwrap(), fs::read_to_string(&files.key).unwrap());
        let half = format!("{whole}-----BEGIN CERTIFICATE-----\nMAA!\n-----END CERTIFICATE-----\n");
        fs::write(&files.certificate, half).unwrap();
        assert!(refusal(&files, NOW).contains("its certificate no. 2 cannot be read"));
        fs::write(&files.certificate, &whole).unwrap();
        fs::write(&files.key, key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")).unwrap();
        assert!(refusal(&files, NOW).contains("with a passphrase"));
        fs::write(&files.key, vec![b'x'; 2 << 20]).unwrap();
        assert!(refusal(&files, NOW).contains("larger than any"));
    }

    #[test]
    fn both_may_be_in_one_file() {
        let (_dir, files) = made();
        let both = fs::read_to_string(&files.key).unwrap() + &fs::read_to_string(&files.certificate).unwrap();
        fs::write(&files.key, both).unwrap();
        let one = Files { certificate: files.key.clone(), key: files.key };
        assert!(read(&one, Clock::system().now()).is_ok());
    }

    #[test]
    fn a_key_is_for_its_owner_and_a_group() {
        let (_dir, files) = made();
        for (mode, is_open) in [(0o600, false), (0o640, false), (0o644, true), (0o604, true)] {
            fs::set_permissions(&files.key, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_exposed(&files.key).unwrap(), is_open, "{mode:o}");
        }
    }
}
