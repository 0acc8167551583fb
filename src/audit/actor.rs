//! Who did something, and how that is written.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::api_key::KeyId;
use crate::user::{ClerkId, UserRef};

/// The longest name of an admin that is looked for, in bytes.
const LONGEST_NAME: usize = 64;

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Actor {
    /// Clerk, by a webhook.
    Clerk,
    /// A user, with a session token.
    User(ClerkId),
    /// An admin of the admin page, by name.
    Admin(String),
    /// A server, with an API key.
    Key(KeyId),
    /// Somebody at the terminal of the machine.
    Cli,
    /// Rollbook itself.
    System,
    /// Somebody who did not say who they are.
    Anonymous,
}

/// Text that says of nobody that they did anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("who did it is clerk, cli, system, anonymous, admin:NAME, key:ID or a user's id")]
pub struct BadActor;

impl Actor {
    /// How a leaf says it; `None` for a user, who stands in a leaf by a reference that is the store's to make.
    #[must_use]
    pub fn word(&self) -> Option<String> {
        match self {
            Self::Clerk => Some("clerk".to_owned()),
            Self::User(_) => None,
            Self::Admin(name) => Some(format!("admin:{name}")),
            Self::Key(id) => Some(format!("key:{id}")),
            Self::Cli => Some("cli".to_owned()),
            Self::System => Some("system".to_owned()),
            Self::Anonymous => Some("anonymous".to_owned()),
        }
    }

    /// The name under which they act as a user, in the session's tokens (`act.sub`); `None` for whoever cannot.
    #[must_use]
    pub fn acting_name(&self) -> Option<ClerkId> {
        match self {
            Self::User(id) => Some(id.clone()),
            Self::Admin(_) | Self::Cli => format!("{ACTING}{}", self.word()?).parse().ok(),
            _ => None,
        }
    }

    /// Whom a name means under which somebody acts as a user.
    #[must_use]
    pub fn acting(name: &ClerkId) -> Self {
        let ours = name.as_str().strip_prefix(ACTING).and_then(|word| word.parse().ok());
        ours.filter(|actor| matches!(actor, Self::Admin(_) | Self::Cli)).unwrap_or_else(|| Self::User(name.clone()))
    }
}

/// How the names begin under which others than users act as users. No id of Clerk's does.
const ACTING: &str = "rollbook:";

/// Reads what [`Actor::word`] writes, and takes whatever else has no colon in it for Clerk's id of a user.
impl FromStr for Actor {
    type Err = BadActor;

    fn from_str(text: &str) -> Result<Self, BadActor> {
        match text {
            "clerk" => return Ok(Self::Clerk),
            "cli" => return Ok(Self::Cli),
            "system" => return Ok(Self::System),
            "anonymous" => return Ok(Self::Anonymous),
            _ => {}
        }
        match text.split_once(':') {
            None => text.parse().map(Self::User).map_err(|_| BadActor),
            Some(("admin", name)) => {
                let is_name = (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
                if is_name { Ok(Self::Admin(name.to_owned())) } else { Err(BadActor) }
            }
            Some(("key", id)) => id.parse().map(Self::Key).map_err(|_| BadActor),
            Some(_) => Err(BadActor),
        }
    }
}

/// Who did something, as somebody asks for it: a person by our id or by Clerk's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ActorRef {
    /// A user.
    User(UserRef),
    /// Anybody else.
    Other(Actor),
}

impl ActorRef {
    /// Who that is. `person` says which user an id means, which is `None` where nobody knows; so is this then.
    ///
    /// # Errors
    /// Those of `person`.
    pub fn resolve<E>(&self, person: impl FnOnce(&UserRef) -> Result<Option<ClerkId>, E>) -> Result<Option<Actor>, E> {
        match self {
            Self::User(user) => Ok(person(user)?.map(Actor::User)),
            Self::Other(actor) => Ok(Some(actor.clone())),
        }
    }
}

impl FromStr for ActorRef {
    type Err = BadActor;

    fn from_str(text: &str) -> Result<Self, BadActor> {
        match text.parse()? {
            Actor::User(id) => id.as_str().parse().map(Self::User).map_err(|_| BadActor),
            other => Ok(Self::Other(other)),
        }
    }
}

impl TryFrom<String> for ActorRef {
    type Error = BadActor;

    fn try_from(text: String) -> Result<Self, BadActor> {
        text.parse()
    }
}

impl From<ActorRef> for String {
    fn from(actor: ActorRef) -> Self {
        actor.to_string()
    }
}

impl fmt::Display for ActorRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.fmt(f),
            Self::Other(actor) => f.write_str(&actor.word().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_a_leaf_says_is_read_back() {
        let key = "key:key_0123456789abcdef";
        for word in ["clerk", "cli", "system", "anonymous", "admin:ada.lovelace-2_x", key] {
            let actor: Actor = word.parse().unwrap();
            assert_eq!(actor.word().as_deref(), Some(word));
            assert_eq!(word.parse::<ActorRef>().unwrap().to_string(), word);
            assert_eq!(word.parse::<ActorRef>().unwrap(), ActorRef::Other(actor));
        }
    }

    #[test]
    fn what_is_nobody_else_is_a_user() {
        let actor: Actor = "user_1".parse().unwrap();
        assert_eq!(actor, Actor::User("user_1".parse().unwrap()));
        for id in ["user_1", "clerk2", "01890000-0000-7000-8000-000000000000"] {
            assert_eq!(id.parse::<ActorRef>().unwrap(), ActorRef::User(id.parse().unwrap()));
            assert_eq!(id.parse::<ActorRef>().unwrap().to_string(), id);
        }
    }

    #[test]
    fn who_acts_as_somebody_is_told_from_the_name() {
        for (word, name) in [("admin:ada", "rollbook:admin:ada"), ("cli", "rollbook:cli"), ("user_1", "user_1")] {
            let actor: Actor = word.parse().unwrap();
            let acting = actor.acting_name().unwrap();
            assert_eq!((acting.as_str(), Actor::acting(&acting)), (name, actor));
        }
        for word in ["clerk", "system", "anonymous", "key:key_0123456789abcdef"] {
            assert_eq!(word.parse::<Actor>().unwrap().acting_name(), None, "{word}");
            let name: ClerkId = format!("rollbook:{word}").parse().unwrap();
            assert_eq!(Actor::acting(&name), Actor::User(name));
        }
    }

    #[test]
    fn what_names_nobody_is_refused() {
        let (long, name) = ("u".repeat(129), format!("admin:{}", "a".repeat(65)));
        let bad = ["", "two words", "admin:", "admin:a b", &name, "key:", "key:key_1", "user:s1.x", "x:y", "é", &long];
        for text in bad {
            assert_eq!(text.parse::<Actor>(), Err(BadActor), "{text}");
            assert_eq!(text.parse::<ActorRef>(), Err(BadActor), "{text}");
        }
    }
}
