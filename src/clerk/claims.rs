//! What a session token says, read strictly: JSON that names no key twice, every member of exactly the type
//! Clerk gives it. What does not fit is refused, never guessed at.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::key::is_key_id;
use super::organization::Organization;
use crate::clock::Timestamp;
use crate::json::{Object, parse_strict};
use crate::user::ClerkId;

/// How far Clerk's clock and ours may be apart, in milliseconds. Clerk's own default.
const SKEW: i64 = 5000;

/// The longest token, in bytes. Clerk's fit into a cookie of 4 kB.
pub(super) const MAX_TOKEN: usize = 8 * 1024;

/// The classes of token (`cat`) that stand for a session: Clerk marks sessions with the first, and every class
/// of some instances with the second.
const CLASSES: [&str; 2] = ["cl_B7d4PD111AAA", "cl_I7d4PD111III"];

/// Header members that would have a key fetched or taken from the token itself, or its rules changed.
const FORBIDDEN: [&str; 6] = ["crit", "b64", "jku", "jwk", "x5u", "x5c"];

/// What a token's claims must keep to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The instance, exactly as it writes itself into `iss`.
    pub issuer: String,
    /// Which origins (`azp`) may have asked for a token; all when empty.
    pub authorized_parties: Vec<String>,
    /// Whether a token without `azp` is refused. Such tokens are normal: native apps, top-level navigation.
    pub require_azp: bool,
    /// One of these must be in `aud`; not looked at when empty.
    pub audiences: Vec<String>,
}

/// Why a token is refused. For counters and our own log; callers hear only that it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Longer than 8 KiB.
    TooLong,
    /// Not three parts of base64url, or the first is not a JSON object that names no key twice.
    Malformed,
    /// Another algorithm than RS256.
    Algorithm,
    /// A header member that must not be obeyed: `crit`, `jku` and the like.
    Header,
    /// `typ` is not `JWT`: an access token of OAuth.
    Type,
    /// `cat` says it is not a session's: a machine's, or made from a template.
    Class,
    /// `kid` cannot be a key's id.
    KeyId,
    /// The instance publishes no key of that id: another instance's token, a retired key, or no `kid` at all.
    UnknownKey,
    /// The signature is not that key's.
    Signature,
    /// The claims are not a JSON object that names no key twice.
    Claims,
    /// `iss` is not the instance.
    Issuer,
    /// `sub` is no user's id.
    Subject,
    /// `sid` is no session's id.
    SessionId,
    /// `exp`, `iat` or `nbf` is missing or not a whole number.
    Times,
    /// The time is over.
    Expired,
    /// The time has not come.
    NotYet,
    /// `azp` is missing or not allowed.
    Party,
    /// `aud` is missing or not ours.
    Audience,
    /// `act` names nobody.
    Actor,
    /// `sts` is neither `active` nor `pending`.
    Status,
}

impl Fault {
    /// The fault as one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::Header => "header",
            Self::Type => "type",
            Self::Class => "class",
            Self::KeyId => "key_id",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::Issuer => "issuer",
            Self::Subject => "subject",
            Self::SessionId => "session_id",
            Self::Times => "times",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Party => "party",
            Self::Audience => "audience",
            Self::Actor => "actor",
            Self::Status => "status",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A token taken apart, its header read and found acceptable. Nothing in it is to be believed yet.
pub(super) struct Token<'a> {
    /// What is signed: the first two parts.
    pub(super) signed: &'a str,
    pub(super) signature: &'a str,
    /// The id of the key it claims to be signed with.
    pub(super) kid: Option<String>,
    claims: &'a str,
}

impl<'a> Token<'a> {
    pub(super) fn split(token: &'a str) -> Result<Self, Fault> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Fault::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Fault::Malformed)?;
        if [header, claims, signature].iter().any(|part| part.is_empty() || !part.bytes().all(is_base64url)) {
            return Err(Fault::Malformed);
        }
        let kid = key_id(&object(header).ok_or(Fault::Malformed)?)?;
        Ok(Self { signed, signature, kid, claims })
    }

    /// Reads the claims and holds them against the rules. To be called when the signature is known to be good.
    pub(super) fn claims(&self, rules: &Rules, now: Timestamp) -> Result<Claims, Fault> {
        let all = object(self.claims).ok_or(Fault::Claims)?;
        let text = |name| all.get(name).and_then(Value::as_str);
        if text("iss") != Some(&rules.issuer) {
            return Err(Fault::Issuer);
        }
        let user = text("sub").filter(|id| id.len() > "user_".len() && id.starts_with("user_"));
        let user = user.and_then(|id| id.parse().ok()).ok_or(Fault::Subject)?;
        let session = text("sid").and_then(|id| id.parse().ok()).ok_or(Fault::SessionId)?;
        let times = Times::read(&all)?;
        times.check(now)?;
        check_party(all.get("azp"), rules)?;
        check_audience(all.get("aud"), rules)?;
        let pending = match all.get("sts").map(Value::as_str) {
            None | Some(Some("active")) => false,
            Some(Some("pending")) => true,
            Some(_) => return Err(Fault::Status),
        };
        let actor = match all.get("act") {
            None => None,
            Some(act) => Some(actor(act).ok_or(Fault::Actor)?),
        };
        let organization = Organization::of(&all);
        Ok(Claims { user, session, times, pending, actor, organization, all: Object::new(all) })
    }
}

/// The claims of a token whose signature was good, and which kept the rules.
pub(super) struct Claims {
    pub(super) user: ClerkId,
    pub(super) session: ClerkId,
    pub(super) times: Times,
    /// Whether the session still has tasks to do before it counts.
    pub(super) pending: bool,
    pub(super) actor: Option<ClerkId>,
    pub(super) organization: Option<Organization>,
    pub(super) all: Object,
}

/// When a token holds.
pub(super) struct Times {
    pub(super) expires_at: Timestamp,
    pub(super) issued_at: Timestamp,
    not_before: Timestamp,
}

impl Times {
    fn read(claims: &Map<String, Value>) -> Result<Self, Fault> {
        let time = |name| match claims.get(name).and_then(Value::as_i64) {
            Some(seconds) => Ok(Timestamp::from_millis(seconds.saturating_mul(1000))),
            None => Err(Fault::Times),
        };
        Ok(Self { expires_at: time("exp")?, issued_at: time("iat")?, not_before: time("nbf")? })
    }

    /// Whether the token holds now, give or take the skew.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), Fault> {
        if self.expires_at <= now.plus_millis(-SKEW) {
            return Err(Fault::Expired);
        }
        if self.not_before.max(self.issued_at) > now.plus_millis(SKEW) {
            return Err(Fault::NotYet);
        }
        Ok(())
    }
}

/// `azp`, the origin that asked for the token: text, and one of those listed, if any are.
fn check_party(azp: Option<&Value>, rules: &Rules) -> Result<(), Fault> {
    let allowed = match azp {
        None => !rules.require_azp,
        Some(Value::String(party)) => rules.authorized_parties.is_empty() || rules.authorized_parties.contains(party),
        Some(_) => false,
    };
    if allowed { Ok(()) } else { Err(Fault::Party) }
}

/// `aud`, text or a list of texts: where audiences are configured, one of them must be in it.
fn check_audience(aud: Option<&Value>, rules: &Rules) -> Result<(), Fault> {
    let is_ours = |value: &Value| value.as_str().is_some_and(|text| rules.audiences.iter().any(|ours| ours == text));
    let allowed = match aud {
        _ if rules.audiences.is_empty() => true,
        Some(Value::Array(list)) => list.iter().all(Value::is_string) && list.iter().any(is_ours),
        Some(value) => is_ours(value),
        None => false,
    };
    if allowed { Ok(()) } else { Err(Fault::Audience) }
}

/// Who acts on the user's session: `act.sub`.
fn actor(act: &Value) -> Option<ClerkId> {
    act.get("sub")?.as_str()?.parse().ok()
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// The JSON object in a part of a token.
fn object(part: &str) -> Option<Map<String, Value>> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
    match parse_strict(&text) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

/// Reads the header; gives the key's id. Members we do not know are no matter: Clerk adds such.
fn key_id(header: &Map<String, Value>) -> Result<Option<String>, Fault> {
    let text = |name| header.get(name).map(Value::as_str);
    if text("alg") != Some(Some("RS256")) {
        return Err(Fault::Algorithm);
    }
    if FORBIDDEN.iter().any(|name| header.contains_key(*name)) {
        return Err(Fault::Header);
    }
    if !matches!(text("typ"), None | Some(Some("JWT"))) {
        return Err(Fault::Type);
    }
    if text("cat").is_some_and(|class| !class.is_some_and(|class| CLASSES.contains(&class))) {
        return Err(Fault::Class);
    }
    match text("kid") {
        None => Ok(None),
        Some(Some(kid)) if is_key_id(kid) => Ok(Some(kid.to_owned())),
        Some(_) => Err(Fault::KeyId),
    }
}
