//! The keys of notes, in the text forms of Go's `note` package: the public half to be handed out, the private half
//! for its file.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The signature type of plain Ed25519, the only one spoken here.
const TYPE: u8 = 0x01;

/// What the text of a signing key begins with.
const PRIVATE: &str = "PRIVATE+KEY+";

/// A public key and the name it signs under: `name+id+key`, the id 8 hexadecimal digits, the key base64 of a byte that
/// says Ed25519 and the 32 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: u32,
    public: [u8; 32],
}

/// A private key and the name it signs under. It prints as `[redacted]`; [`SigningKey::expose`] is the way to its text.
pub struct SigningKey {
    verifier: VerifierKey,
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// A name that no note can hold.
    #[error("a key's name is at least one character, without spaces, control characters and `+`")]
    Name,
    /// A text that is no key.
    #[error("not an Ed25519 key of the form {0}")]
    Form(&'static str),
    /// The id belongs to another name or another key: part of the text was changed.
    #[error("the key's id does not match its name and key")]
    Id,
    /// The system has no randomness to make a key of.
    #[error("no randomness for a new key")]
    Random,
}

impl VerifierKey {
    fn new(name: &str, public: [u8; 32]) -> Result<Self, BadKey> {
        if !is_name(name) {
            return Err(BadKey::Name);
        }
        let hash = digest(&SHA256, &[name.as_bytes(), b"\n", &[TYPE], &public].concat());
        let id = hash.as_ref().iter().take(4).fold(0, |id, byte| id << 8 | u32::from(*byte));
        Ok(Self { name: name.to_owned(), id, public })
    }

    /// The name on the key's signatures.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number on the key's signatures, a short hash of name and key.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Whether this key signed the message.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public).verify(message, signature).is_ok()
    }

    fn check(self, id: &str) -> Result<Self, BadKey> {
        if format!("{:08x}", self.id) == id { Ok(self) } else { Err(BadKey::Id) }
    }
}

impl FromStr for VerifierKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let (name, id, public) = parts(text).ok_or(BadKey::Form("name+id+key"))?;
        Self::new(name, public)?.check(id)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text_of(&self.name, self.id, &self.public))
    }
}

impl SigningKey {
    /// A new key that signs under `name`.
    ///
    /// # Errors
    /// When no note can hold the name, or the system has no randomness.
    pub fn generate(name: &str) -> Result<Self, BadKey> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| BadKey::Random)?;
        Self::new(name, seed)
    }

    fn new(name: &str, seed: [u8; 32]) -> Result<Self, BadKey> {
        let form = BadKey::Form("PRIVATE+KEY+name+id+key");
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| form)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| form)?;
        Ok(Self { verifier: VerifierKey::new(name, public)?, seed, pair })
    }

    /// The public half, by which others check what this key signs.
    #[must_use]
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The same key under another name. To those who check it is another key, with another id.
    ///
    /// # Errors
    /// When no note can hold the name.
    pub fn renamed(&self, name: &str) -> Result<Self, BadKey> {
        Self::new(name, self.seed)
    }

    /// The key as text, for its file and for nothing else: `PRIVATE+KEY+name+id+key`.
    #[must_use]
    pub fn expose(&self) -> String {
        PRIVATE.to_owned() + &text_of(&self.verifier.name, self.verifier.id, &self.seed)
    }

    /// The signature of a message; `None` when the cryptographic library fails.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.pair.try_sign(message).ok().map(|signature| signature.as_ref().to_owned())
    }
}

impl FromStr for SigningKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let parts = text.strip_prefix(PRIVATE).and_then(parts);
        let (name, id, seed) = parts.ok_or(BadKey::Form("PRIVATE+KEY+name+id+key"))?;
        let key = Self::new(name, seed)?;
        Ok(Self { verifier: key.verifier.check(id)?, ..key })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, [redacted])", self.verifier.name)
    }
}

/// Whether a note can hold a key's name. Which characters are spaces is for Unicode to say.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c < ' ' || c == '+' || c.is_whitespace())
}

/// The name, the id and the 32 bytes of a key's text.
fn parts(text: &str) -> Option<(&str, &str, [u8; 32])> {
    let (name, rest) = text.split_once('+')?;
    let (id, key) = rest.split_once('+')?;
    match STANDARD.decode(key).ok()?.split_first()? {
        (&TYPE, bytes) => Some((name, id, bytes.try_into().ok()?)),
        _ => None,
    }
}

/// What [`parts`] reads.
fn text_of(name: &str, id: u32, bytes: &[u8; 32]) -> String {
    format!("{name}+{id:08x}+{}", STANDARD.encode([&[TYPE], &bytes[..]].concat()))
}
