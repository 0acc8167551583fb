//! Passwords: which may be chosen, and how they are hashed. Hashing takes 64 MiB and a tenth of a
//! second, so it runs on blocking threads, two at a time.

use std::sync::Arc;

use argon2::password_hash::{self, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::http::problem::{Kind, Problem};

/// The fewest characters (Unicode scalar values).
const FEWEST: usize = 12;

/// The most bytes: room for any passphrase, none for a flood.
const MOST: usize = 256;

/// The fewest different characters.
const FEWEST_DIFFERENT: usize = 5;

/// How many passwords are hashed at the same time.
const AT_ONCE: usize = 2;

/// Memory in KiB, passes and lanes.
const COST: (u32, u32, u32) = (64 * 1024, 3, 1);

/// How a PHC string of that cost begins.
const TODAY: &str = "$argon2id$v=19$m=65536,t=3,p=1$";

/// What is checked when there is no such admin, so that it takes as long: a hash that no password has.
const NOBODY: &str =
    "$argon2id$v=19$m=65536,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The long passwords people choose most, in lower case.
const COMMON: &str = include_str!("common-passwords.txt");

/// A password as typed.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Password(String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password([redacted])")
    }
}

impl Password {
    /// Whether `admin` may choose it.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence for the person who chose it.
    pub(super) fn fits(&self, admin: &str) -> Result<(), &'static str> {
        let lower = self.0.to_lowercase();
        let mut different: Vec<char> = lower.chars().collect();
        different.sort_unstable();
        different.dedup();
        if self.0.len() > MOST {
            Err("That is too long: at most 256 bytes, please.")
        } else if self.0.chars().count() < FEWEST {
            Err("That is too short: at least 12 characters, please. Four or five unrelated words do well.")
        } else if lower == admin.to_lowercase() {
            Err("That is your name. Please choose something nobody knows.")
        } else if different.len() < FEWEST_DIFFERENT || COMMON.lines().any(|common| common == lower) {
            Err("That is one of the first passwords anybody would try. Please choose another.")
        } else {
            Ok(())
        }
    }

    /// Whether both are the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// What became of a check.
pub(super) struct Verdict {
    /// Whether the password is right.
    pub(super) right: bool,
    /// The same password hashed anew, when it is right and the stored hash is of another cost than today's.
    pub(super) renewed: Option<String>,
}

/// Hashes and checks passwords.
#[derive(Debug)]
pub(super) struct Passwords(Arc<Semaphore>);

impl Default for Passwords {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Passwords {
    /// The PHC string to store for a password.
    ///
    /// # Errors
    /// 500 when the system has no randomness or memory to give.
    pub(super) async fn hash(&self, password: Password) -> Result<String, Problem> {
        self.work(move || hash(&password)).await
    }

    /// Checks a password against the PHC string of an admin; against nobody's when there is no such
    /// admin, which takes as long and always fails.
    ///
    /// # Errors
    /// 500 when what is stored is no PHC string.
    pub(super) async fn check(&self, password: Password, stored: Option<String>) -> Result<Verdict, Problem> {
        self.work(move || check(&password, stored.as_deref())).await
    }

    async fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, password_hash::Error> + Send + 'static,
    ) -> Result<T, Problem> {
        let failed = || Problem::new(Kind::Internal, "The password could not be checked.");
        let slot = Arc::clone(&self.0).acquire_owned().await.map_err(|cause| failed().because(cause))?;
        // The slot goes with the work: a caller who hangs up does not make room for a third.
        let done = tokio::task::spawn_blocking(move || {
            let result = job();
            drop(slot);
            result
        });
        done.await.map_err(|cause| failed().because(cause))?.map_err(|cause| failed().because(cause))
    }
}

fn argon2id() -> password_hash::Result<Argon2<'static>> {
    let (memory, passes, lanes) = COST;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(memory, passes, lanes, None)?))
}

fn hash(password: &Password) -> password_hash::Result<String> {
    Ok(argon2id()?.hash_password(password.0.as_bytes())?.to_string())
}

fn check(password: &Password, stored: Option<&str>) -> password_hash::Result<Verdict> {
    // The cost is taken from the stored string, so hashes of an older cost still count.
    let fits = match argon2id()?.verify_password(password.0.as_bytes(), stored.unwrap_or(NOBODY)) {
        Ok(()) => true,
        Err(password_hash::Error::PasswordInvalid) => false,
        Err(error) => return Err(error),
    };
    let right = fits && stored.is_some();
    let dated = stored.is_some_and(|phc| !phc.starts_with(TODAY));
    Ok(Verdict { right, renewed: if right && dated { Some(hash(password)?) } else { None } })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn typed(text: &str) -> Password {
        Password(text.to_owned())
    }

    #[test]
    fn takes_long_ones_and_refuses_the_first_guesses() {
        for good in ["four plain grey mice", "äöüßéèêçñåøπ", "twelve chars"] {
            assert_eq!(typed(good).fits("admin"), Ok(()), "{good}");
        }
        let long = "ab cd ef ".repeat(30);
        for bad in ["short", "eleven char", &long, "Password1234", "121212121212", "Ada.Lovelace.1815"] {
            assert!(typed(bad).fits("ada.lovelace.1815").is_err(), "{bad}");
        }
    }

    #[test]
    fn the_common_ones_are_in_the_form_they_are_compared_in() {
        for common in COMMON.lines() {
            assert!(common.chars().count() >= FEWEST && common == common.to_lowercase(), "{common}");
        }
    }

    #[tokio::test]
    async fn a_hash_fits_its_password_alone() {
        let passwords = Passwords::default();
        let stored = passwords.hash(typed("four plain grey mice")).await.unwrap();
        assert!(stored.starts_with(TODAY), "{stored}");
        let check = |text: &str, stored: Option<String>| passwords.check(typed(text), stored);
        let verdict = check("four plain grey mice", Some(stored.clone())).await.unwrap();
        assert!(verdict.right && verdict.renewed.is_none());
        assert!(!check("four plain gray mice", Some(stored)).await.unwrap().right);
        assert!(!check("four plain grey mice", None).await.unwrap().right);
        assert!(check("four plain grey mice", Some("plain".to_owned())).await.is_err());
    }

    #[tokio::test]
    async fn a_hash_of_an_older_cost_counts_and_is_renewed() {
        let older = Argon2::from(Params::new(8, 1, 1, None).unwrap());
        let stored = older.hash_password(b"four plain grey mice").unwrap().to_string();
        let passwords = Passwords::default();
        let verdict = passwords.check(typed("four plain grey mice"), Some(stored.clone())).await.unwrap();
        assert!(verdict.right && verdict.renewed.unwrap().starts_with(TODAY));
        let verdict = passwords.check(typed("something else"), Some(stored)).await.unwrap();
        assert!(!verdict.right && verdict.renewed.is_none());
    }

    #[test]
    fn nobody_costs_as_much_as_somebody() {
        assert!(NOBODY.starts_with(TODAY));
    }
}
