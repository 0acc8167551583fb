//! Looks whether the files have changed, and reads them when they have. Whoever renews a certificate writes over the files,
//! puts new ones in their place, or turns a link; all of that shows in what the system says of the file in the end.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;

use super::pair::{self, Error, Pair};
use super::{Files, Tls};

/// How often is looked.
const EVERY: Duration = Duration::from_secs(2);

/// What both files were like at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    certificate: Option<Shape>,
    key: Option<Shape>,
}

/// What the system says of a file, and changes with it: where it is, its length, and its times to the nanosecond.
type Shape = (u64, u64, u64, (i64, i64), (i64, i64));

impl Look {
    pub(super) fn at(files: &Files) -> Self {
        Self { certificate: shape(&files.certificate), key: shape(&files.key) }
    }
}

fn shape(path: &Path) -> Option<Shape> {
    let meta = fs::metadata(path).ok()?;
    let (written, changed) = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
    Some((meta.dev(), meta.ino(), meta.len(), written, changed))
}

impl Tls {
    /// Serves what is in the files whenever they have changed, until the channel is closed or sent something.
    ///
    /// Two files cannot be changed at one moment. What is found is read once it has stayed the same from one look to the
    /// next, and only a certificate with its own key is taken.
    pub async fn keep(self, mut stopped: watch::Receiver<()>) {
        let mut read = self.0.opened.clone();
        let mut seen = read.clone();
        while tokio::time::timeout(EVERY, stopped.changed()).await.is_err() {
            let tls = self.clone();
            let last = (seen.clone(), read.clone());
            // A folder on another machine may take its time.
            let looked = tokio::task::spawn_blocking(move || tls.look(&last.0, &last.1)).await;
            let Ok((look, found)) = looked else { continue };
            if let Some(found) = found {
                self.renew(found);
                read = look.clone();
            }
            seen = look;
        }
    }

    /// What the files are like now, and what is in them if that is to be served or told: `seen` is what they were like at
    /// the last look, `read` when they were last read.
    fn look(&self, seen: &Look, read: &Look) -> (Look, Option<Result<Pair, Error>>) {
        let look = Look::at(self.files());
        let is_known = look == *read;
        if look != *seen || is_known && self.trouble().is_none() {
            return (look, None);
        }
        let found = pair::read(self.files(), self.0.clock.now());
        // What was told once is told. It may pass by itself all the same: a certificate that is not valid yet will be.
        let is_told = is_known && found.is_err();
        if is_told || Look::at(self.files()) != look { (look, None) } else { (look, Some(found)) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::clock::Clock;

    /// Writes a certificate and its key, and says which it is.
    fn write(files: &Files, from: i32) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut wanted = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        wanted.not_before = rcgen::date_time_ymd(from, 1, 1);
        wanted.not_after = rcgen::date_time_ymd(2050, 1, 1);
        fs::write(&files.certificate, wanted.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
    }

    fn begins(tls: &Tls) -> String {
        tls.certificate().not_before().to_string()[..4].to_owned()
    }

    #[test]
    fn what_has_changed_is_read_once_it_keeps_still() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files { certificate: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
        write(&files, 2001);
        let clock = Clock::fixed("2020-01-01T00:00:00.000Z".parse().unwrap());
        let tls = Tls::open(files.clone(), clock.clone()).unwrap();
        let (mut read, mut seen) = (tls.0.opened.clone(), tls.0.opened.clone());
        let mut tick = || {
            let (look, found) = tls.look(&seen, &read);
            seen = look;
            let is_taken = found.as_ref().map(Result::is_ok);
            if let Some(found) = found {
                tls.renew(found);
                read = seen.clone();
            }
            is_taken
        };
        assert_eq!((tick(), tick()), (None, None), "nothing has changed");
        write(&files, 2002);
        assert_eq!(tick(), None, "it may still be changing");
        assert_eq!((tick(), begins(&tls)), (Some(true), "2002".to_owned()));
        assert_eq!((tick(), tick()), (None, None));

        write(&files, 2030);
        assert_eq!((tick(), tick()), (None, Some(false)), "it is not valid yet");
        assert!(tls.trouble().unwrap().contains("not valid before 2030"));
        assert_eq!((tick(), begins(&tls)), (None, "2002".to_owned()), "told once");
        clock.set("2030-01-02T00:00:00.000Z".parse().unwrap());
        assert_eq!((tick(), begins(&tls), tls.trouble()), (Some(true), "2030".to_owned(), None));

        let (key, aside) = (&files.key, dir.path().join("aside"));
        fs::rename(key, &aside).unwrap();
        assert_eq!((tick(), tick(), tick()), (None, Some(false), None));
        fs::rename(&aside, key).unwrap();
        assert_eq!((tick(), tick(), tls.trouble()), (None, Some(true), None));
    }
}
