//! Signed notes (C2SP signed-note v1): a text, and below it one line for each key that signed it.

mod key;

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use key::{BadKey, SigningKey, VerifierKey};

/// The most signatures a note may carry. The specification wants at least 16 to be accepted, and a limit.
const MAX_SIGNATURES: usize = 100;

/// What a signature's line begins with: an em dash and a space.
const MARK: &str = "\u{2014} ";

/// A text and the signatures below it. Who signed it is not known before [`Note::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// One line below the text. What its bytes are is known only to who knows the key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    name: String,
    id: u32,
    bytes: Vec<u8>,
}

/// Why a note is not to be believed, or cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNote {
    /// It is no signed note.
    #[error("not a signed note: {0}")]
    Form(&'static str),
    /// None of the keys that are known signed it.
    #[error("the note is not signed by a known key")]
    Unknown,
    /// It names a known key, which did not sign this text.
    #[error("the signature of {0} does not match the note")]
    Signature(String),
    /// It cannot be signed.
    #[error("the note cannot be signed: {0}")]
    Signing(&'static str),
}

/// Signs a text with each of these keys.
///
/// # Errors
/// When the text is not one that a note can hold, or the keys are none or name one twice.
pub fn sign(text: &str, keys: &[&SigningKey]) -> Result<Note, BadNote> {
    check_characters(text)?;
    if !text.ends_with('\n') {
        return Err(BadNote::Form("its text does not end with a newline"));
    }
    let mut signatures = Vec::with_capacity(keys.len());
    for key in keys {
        let bytes = key.sign(text.as_bytes()).ok_or(BadNote::Signing("the key failed"))?;
        signatures.push(Signature { name: key.verifier().name().to_owned(), id: key.verifier().id(), bytes });
    }
    check_signatures(&signatures).map_err(BadNote::Signing)?;
    Ok(Note { text: text.to_owned(), signatures })
}

impl Note {
    /// What was signed, its last newline included.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Checks the signatures of the keys that are known, and says whose they are, at least one. Signatures by other
    /// keys are passed over, as the specification demands.
    ///
    /// # Errors
    /// When none of the keys signed, or a signature under the name and the id of one is not by it.
    pub fn verify<'a>(&self, keys: &'a [VerifierKey]) -> Result<Vec<&'a VerifierKey>, BadNote> {
        let mut signers = Vec::new();
        for signature in &self.signatures {
            let known = |key: &&VerifierKey| key.name() == signature.name && key.id() == signature.id;
            let Some(key) = keys.iter().find(known) else { continue };
            if !key.verifies(self.text.as_bytes(), &signature.bytes) {
                return Err(BadNote::Signature(signature.name.clone()));
            }
            signers.push(key);
        }
        if signers.is_empty() { Err(BadNote::Unknown) } else { Ok(signers) }
    }
}

impl FromStr for Note {
    type Err = BadNote;

    fn from_str(note: &str) -> Result<Self, BadNote> {
        check_characters(note)?;
        // The text may hold empty lines; the last one ends it.
        let Some((end, _)) = note.rmatch_indices("\n\n").next() else {
            return Err(BadNote::Form("no empty line before its signatures"));
        };
        let lines =
            note[end + 2..].strip_suffix('\n').ok_or(BadNote::Form("it does not end with a signature's line"))?;
        let signatures = lines.split('\n').take(MAX_SIGNATURES + 1).map(Signature::parse).collect::<Option<Vec<_>>>();
        let signatures = signatures.ok_or(BadNote::Form("a signature's line is malformed"))?;
        check_signatures(&signatures).map_err(BadNote::Form)?;
        Ok(Self { text: note[..=end].to_owned(), signatures })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for Signature { name, id, bytes } in &self.signatures {
            writeln!(f, "{MARK}{name} {}", STANDARD.encode([&id.to_be_bytes(), &bytes[..]].concat()))?;
        }
        Ok(())
    }
}

impl Signature {
    fn parse(line: &str) -> Option<Self> {
        let (name, base64) = line.strip_prefix(MARK)?.split_once(' ')?;
        let bytes = STANDARD.decode(base64).ok()?;
        let (id, bytes) = bytes.split_first_chunk()?;
        let sound = key::is_name(name) && !bytes.is_empty();
        sound.then(|| Self { name: name.to_owned(), id: u32::from_be_bytes(*id), bytes: bytes.to_owned() })
    }
}

fn check_characters(text: &str) -> Result<(), BadNote> {
    if text.chars().any(|c| c < ' ' && c != '\n') {
        return Err(BadNote::Form("it holds a control character"));
    }
    Ok(())
}

fn check_signatures(signatures: &[Signature]) -> Result<(), &'static str> {
    match signatures.len() {
        0 => return Err("no signature"),
        1..=MAX_SIGNATURES => {}
        _ => return Err("more than 100 signatures"),
    }
    let same = |a: &Signature, b: &Signature| a.id == b.id && a.name == b.name;
    if signatures.iter().enumerate().any(|(at, one)| signatures[..at].iter().any(|other| same(one, other))) {
        return Err("two signatures of one key");
    }
    Ok(())
}
