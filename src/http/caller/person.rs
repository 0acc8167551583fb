//! Callers with a session: the token, the record it belongs to, and who may not use either.

use serde_json::{Map, Value};

use super::{Caller, entry};
use crate::api_key::Secret;
use crate::audit::{Actor, Draft};
use crate::clerk::backend::Lookup;
use crate::clerk::session::{self, Session};
use crate::http::call::Call;
use crate::http::problem::{Kind, Problem};
use crate::json::Object;
use crate::store::{Provisioned, Told};
use crate::sync::told;
use crate::user::{User, UserId};

/// Somebody with a valid session and a live record.
#[derive(Debug)]
pub(in crate::http) struct Person {
    pub(super) session: Session,
    user: User,
}

impl Person {
    /// The caller's own record.
    pub(in crate::http) const fn user(&self) -> &User {
        &self.user
    }

    /// Whether the caller may read and change everybody.
    pub(in crate::http) fn is_admin(&self) -> bool {
        self.user.role.is_admin()
    }

    /// An entry that says the caller did something.
    pub(in crate::http) fn entry(&self, call: &Call, action: &str) -> Draft {
        session_entry(call, &self.session, action)
    }
}

impl Call {
    /// The user with that session token, whose record is made now if no event has come yet.
    pub(super) async fn known(&self, token: &str) -> Result<Person, Problem> {
        let session = self.verified(token).await?;
        Ok(self.admit(session, self.app.settings.provision).await?.0)
    }

    /// The session of whoever calls, and nothing said of the user yet.
    ///
    /// # Errors
    /// Those of [`Call::signed_in`] that are not about the user.
    pub(in crate::http) async fn session(&self) -> Result<Session, Problem> {
        let token = self.bearer()?.ok_or_else(|| self.unauthenticated("no_token"))?;
        if token.starts_with(Secret::PREFIX) {
            let key = Caller::Key(self.key(token).await?);
            self.only_person(key).await?;
        }
        self.verified(token).await
    }

    /// The user of that session, whose record is made now if there is none, whatever the settings say; and whether it was
    /// made.
    ///
    /// # Errors
    /// Those of [`Call::signed_in`] that are about the user.
    pub(in crate::http) async fn register(&self, session: Session) -> Result<(Person, bool), Problem> {
        self.admit(session, true).await
    }

    /// That somebody says of themselves what their token contradicts.
    pub(in crate::http) async fn contradicted(&self, session: &Session) -> Problem {
        match self.turn_away(session, "contradiction").await {
            Ok(()) => Problem::forbidden("The body contradicts the session token; nothing was created."),
            Err(problem) => problem,
        }
    }

    /// The user of that session, and whether the record was made now.
    async fn admit(&self, session: Session, may_be_made: bool) -> Result<(Person, bool), Problem> {
        if session.actor().is_some() && !self.app.settings.allow_impersonation {
            self.turn_away(&session, "impersonated").await?;
            return Err(Problem::forbidden("Impersonated sessions are not allowed here."));
        }
        let (user, is_new) = match self.app.store.user(UserId::of(session.user()))? {
            Some(user) => (self.refreshed(&session, user).await?, false),
            None => self.provision(&session, may_be_made).await?,
        };
        if user.deleted_at.is_some() {
            return Err(self.gone(&session).await);
        }
        if user.profile().banned {
            self.turn_away(&session, "banned").await?;
            return Err(Problem::forbidden("This user is banned."));
        }
        Ok((Person { session, user }, is_new))
    }

    async fn verified(&self, token: &str) -> Result<Session, Problem> {
        let error = match self.app.sessions.verify(token).await {
            Ok(session) => return self.count_token(session.id()).map(|()| session),
            Err(error) => error,
        };
        match &error {
            session::Error::Invalid(fault) => self.app.tally.refused("api.unauthenticated", fault.as_str()),
            session::Error::Pending(session) => self.turn_away(session, "session_pending").await?,
            session::Error::Unavailable { .. } => {}
        }
        Err(error.into())
    }

    async fn provision(&self, session: &Session, may_be_made: bool) -> Result<(User, bool), Problem> {
        let id = session.user();
        if self.app.store.deleted_at(id)?.is_some() {
            return Err(self.gone(session).await);
        }
        if !may_be_made {
            return Err(
                Problem::new(Kind::NotFound, "This user is not on the roll.").because("ROLLBOOK_PROVISION is off")
            );
        }
        let told = match self.asked_for(session).await {
            Lookup::Found(user) => Told::ByClerk(user),
            Lookup::Missing => return Err(self.gone(session).await),
            Lookup::Unknown => Told::ByToken(claims(session)),
        };
        self.put_on_roll(session, told).await
    }

    async fn put_on_roll(&self, session: &Session, told: Told) -> Result<(User, bool), Problem> {
        let id = session.user();
        let made = session_entry(self, session, "user.provisioned").about(id);
        match self.app.store.provision(id.clone(), told, made).await? {
            Provisioned::Found(user) => Ok((*user, false)),
            Provisioned::Made(user) => Ok((*user, true)),
            Provisioned::Deleted => Err(self.gone(session).await),
        }
    }

    /// What Clerk says of the user, where it can be asked.
    async fn asked_for(&self, session: &Session) -> Lookup {
        match &self.app.lookups {
            Some(lookups) => lookups.user(session.user()).await,
            None => Lookup::Unknown,
        }
    }

    /// The record; brought up to what Clerk says, else the token, where no event has told of the user yet.
    async fn refreshed(&self, session: &Session, user: User) -> Result<User, Problem> {
        if !user.is_told_by_tokens() {
            return Ok(user);
        }
        match self.asked_for(session).await {
            Lookup::Found(fetched) => return Ok(self.put_on_roll(session, Told::ByClerk(fetched)).await?.0),
            Lookup::Missing => return Err(self.gone(session).await),
            Lookup::Unknown => {}
        }
        if told(&user.clerk, &claims(session)).is_none() {
            return Ok(user);
        }
        let entry = session_entry(self, session, "user.updated").about(session.user());
        Ok(self.app.store.refresh(user.id, claims(session), entry).await?.unwrap_or(user))
    }

    async fn gone(&self, session: &Session) -> Problem {
        match self.turn_away(session, "deleted").await {
            Ok(()) => Problem::forbidden("This user was deleted."),
            Err(problem) => problem,
        }
    }

    /// Notes in the log that somebody with a valid token was refused before anything else.
    async fn turn_away(&self, session: &Session, reason: &'static str) -> Result<(), Problem> {
        self.note_denial(session_entry(self, session, "api.denied"), reason, None).await
    }
}

fn session_entry(call: &Call, session: &Session, action: &str) -> Draft {
    let mut draft = entry(call, Actor::User(session.user().clone()), action);
    draft.impersonator = session.actor().cloned();
    draft.with("session", Some(session.id().to_owned()))
}

/// What a token says of its user, in the form of Clerk's user object. Standard tokens name nothing but the
/// id; custom claims may name more.
fn claims(session: &Session) -> Object {
    let mut user = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            user.insert(name.to_owned(), value);
        }
    };
    put("id", Some(session.user().as_str().into()));
    put("object", Some("user".into()));
    for name in ["first_name", "last_name", "username", "image_url"] {
        put(name, session.claim_text(name).map(Value::from));
    }
    if let Some(email) = session.claim_text("email") {
        let id = "from_token";
        put("primary_email_address_id", Some(id.into()));
        put("email_addresses", Some(serde_json::json!([{ "id": id, "email_address": email }])));
    }
    for name in ["created_at", "updated_at"] {
        put(name, Some(session.issued_at().as_millis().into()));
    }
    Object::new(user)
}
