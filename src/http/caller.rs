//! Who is calling, and what they may do: somebody with a session, or a server with an API key.

mod key;
mod person;

use super::call::Call;
use super::problem::Problem;
use crate::api_key::{ApiKey, Scope, Secret};
use crate::audit::{Actor, Draft, Source};
use crate::user::ClerkId;

pub(super) use self::person::Person;

/// What somebody is told who is no admin.
const ADMINS: &str = "This is for admins.";

/// Somebody who proved who they are. Made by [`Call::caller`] alone.
#[derive(Debug)]
pub(super) enum Caller {
    /// Somebody with a valid session and a live record.
    Person(Box<Person>),
    /// The bearer of a key that is neither expired nor revoked.
    Key(ApiKey),
}

impl Caller {
    /// Whether the caller may do that with everybody: an admin may, and a key with the scope.
    pub(super) fn may(&self, scope: Scope) -> bool {
        match self {
            Self::Person(person) => person.is_admin(),
            Self::Key(key) => key.scopes.contains(scope),
        }
    }

    /// The id of the session or key that the caller showed.
    pub(super) fn credential(&self) -> &str {
        match self {
            Self::Person(person) => person.session.id(),
            Self::Key(key) => key.id.as_str(),
        }
    }

    /// An entry that says the caller did something.
    pub(super) fn entry(&self, call: &Call, action: &str) -> Draft {
        match self {
            Self::Person(person) => person.entry(call, action),
            Self::Key(key) => entry(call, Actor::Key(key.id.clone()), action),
        }
    }
}

impl Call {
    /// Whoever calls.
    ///
    /// # Errors
    /// 401 without a valid token or key; 403 for a session that is pending or impersonated where that is not allowed, and
    /// for a deleted or banned user; 404 when the user is not synced and may not be provisioned; 503 when there is nothing
    /// to check a token with.
    pub(super) async fn caller(&self) -> Result<Caller, Problem> {
        match self.optional_caller().await? {
            Some(caller) => Ok(caller),
            None => Err(self.unauthenticated("no_token")),
        }
    }

    /// Whoever calls, if the request comes with an `Authorization` header at all.
    ///
    /// # Errors
    /// Those of [`Call::caller`], but for a missing header.
    pub(super) async fn optional_caller(&self) -> Result<Option<Caller>, Problem> {
        let Some(token) = self.bearer()? else { return Ok(None) };
        let caller = if token.starts_with(Secret::PREFIX) {
            Caller::Key(self.key(token).await?)
        } else {
            Caller::Person(Box::new(self.known(token).await?))
        };
        Ok(Some(caller))
    }

    /// The user who calls, where a key will not do: it stands for nobody.
    ///
    /// # Errors
    /// Those of [`Call::caller`]; 403 for a key, noted in the log.
    pub(super) async fn signed_in(&self) -> Result<Person, Problem> {
        let caller = self.caller().await?;
        self.only_person(caller).await
    }

    /// The user who calls, if the request comes with an `Authorization` header at all.
    ///
    /// # Errors
    /// Those of [`Call::signed_in`], but for a missing header.
    pub(super) async fn maybe_signed_in(&self) -> Result<Option<Person>, Problem> {
        match self.optional_caller().await? {
            Some(caller) => self.only_person(caller).await.map(Some),
            None => Ok(None),
        }
    }

    /// The admin who calls, where a key will not do.
    ///
    /// # Errors
    /// Those of [`Call::signed_in`]; 403 for everybody else, noted in the log.
    pub(super) async fn admin(&self) -> Result<Person, Problem> {
        let person = self.signed_in().await?;
        if person.is_admin() {
            return Ok(person);
        }
        self.note_denial(person.entry(self, "api.denied"), "not_admin", None).await?;
        Err(Problem::forbidden(ADMINS))
    }

    async fn only_person(&self, caller: Caller) -> Result<Person, Problem> {
        match caller {
            Caller::Person(person) => Ok(*person),
            Caller::Key(_) => {
                self.deny(&caller, "not_for_keys", None).await?;
                Err(Problem::forbidden("This needs a session token; an API key stands for no user."))
            }
        }
    }

    /// Refuses whoever may not do that with everybody: who is no admin, or has a key without the scope.
    ///
    /// # Errors
    /// 403, noted in the log.
    pub(super) async fn require(&self, caller: &Caller, scope: Scope) -> Result<(), Problem> {
        if caller.may(scope) {
            return Ok(());
        }
        match caller {
            Caller::Person(_) => {
                self.deny(caller, "not_admin", None).await?;
                Err(Problem::forbidden(ADMINS))
            }
            Caller::Key(_) => {
                self.deny(caller, "no_scope", None).await?;
                Err(Problem::forbidden(lacks(scope)))
            }
        }
    }

    /// Notes in the log that the caller was refused; see [`Call::note_denial`].
    ///
    /// # Errors
    /// 503 when it cannot be noted.
    pub(super) async fn deny(
        &self,
        caller: &Caller,
        reason: &'static str,
        target: Option<&ClerkId>,
    ) -> Result<(), Problem> {
        self.note_denial(caller.entry(self, "api.denied"), reason, target).await
    }

    /// Notes in the log that somebody with a valid token or key was refused: the first time in each second by an
    /// entry of its own, beyond that by the minute's count, so that neither is a way to fill the disk. Somebody
    /// erased is only counted: no entry may name them again.
    async fn note_denial(
        &self,
        mut denial: Draft,
        reason: &'static str,
        target: Option<&ClerkId>,
    ) -> Result<(), Problem> {
        if let Actor::User(id) = &denial.actor
            && self.app.store.erased_at(id)?.is_some()
        {
            self.app.tally.refused("api.denied", "erased");
            return Ok(());
        }
        if !self.app.denials.is_first(&denial.actor, self.app.clock.now()) {
            match denial.actor {
                Actor::Key(id) => self.app.tally.refused_to(&id, "api.denied", reason),
                _ => self.app.tally.refused("api.denied", reason),
            }
            return Ok(());
        }
        if let Some(target) = target {
            denial = denial.about(target);
        }
        self.app.store.record(denial.ended("denied", reason)).await?;
        Ok(())
    }
}

/// An entry about something done by way of the API, and from where.
fn entry(call: &Call, actor: Actor, action: &str) -> Draft {
    Draft::new(action, actor, Source::Api).with("ip", Some(call.ip.to_string())).with("user_agent", call.user_agent())
}

/// What a key without the scope is told.
const fn lacks(scope: Scope) -> &'static str {
    match scope {
        Scope::UsersRead => "This needs an API key with the scope users:read.",
        Scope::UsersWrite => "This needs an API key with the scope users:write.",
        Scope::AuditRead => "This needs an API key with the scope audit:read.",
        Scope::LogRead => "This needs an API key with the scope log:read.",
        Scope::MetricsRead => "This needs an API key with the scope metrics:read.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lacks_a_scope_is_told_which() {
        for scope in Scope::ALL {
            assert!(lacks(scope).ends_with(&format!(" {scope}.")), "{scope}");
        }
    }
}
