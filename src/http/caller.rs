//! Who is calling, and what they may see.

use serde_json::{Map, Value};

use super::call::Call;
use super::problem::Problem;
use crate::audit::{Actor, Draft, Source};
use crate::clerk::session::Session;
use crate::json::Object;
use crate::store::Provisioned;
use crate::user::{ClerkId, User, UserId};

/// Somebody with a valid session and a live record. Made by [`Call::caller`] alone.
#[derive(Debug)]
pub(super) struct Caller {
    session: Session,
    user: User,
}

impl Caller {
    /// The caller's own record.
    pub(super) const fn user(&self) -> &User {
        &self.user
    }

    /// Whether the caller may read and change everybody.
    pub(super) fn is_admin(&self) -> bool {
        self.user.role.is_admin()
    }

    /// An entry that says the caller did something.
    pub(super) fn entry(&self, call: &Call, action: &str) -> Draft {
        entry(call, &self.session, action)
    }
}

impl Call {
    /// The caller, whose record is made now if no event has come yet.
    ///
    /// # Errors
    /// Those of [`Call::session`]; 403 for a deleted or banned user, or an impersonated session where those
    /// are not allowed; 404 when the user is not synced and may not be provisioned.
    pub(super) async fn caller(&self) -> Result<Caller, Problem> {
        let session = self.session().await?;
        self.known(session).await
    }

    /// The caller, if the request comes with a token.
    ///
    /// # Errors
    /// Those of [`Call::caller`], but for a missing token.
    pub(super) async fn optional_caller(&self) -> Result<Option<Caller>, Problem> {
        match self.optional_session().await? {
            Some(session) => self.known(session).await.map(Some),
            None => Ok(None),
        }
    }

    async fn known(&self, session: Session) -> Result<Caller, Problem> {
        if session.actor().is_some() && !self.app.settings.allow_impersonation {
            self.denied(&session, "impersonated", None).await?;
            return Err(Problem::forbidden("Impersonated sessions are not allowed here."));
        }
        let user = match self.app.store.user(UserId::of(session.user()))? {
            Some(user) => user,
            None => self.provision(&session).await?,
        };
        if user.deleted_at.is_some() {
            return Err(self.gone(&session).await);
        }
        if user.profile().banned {
            self.denied(&session, "banned", None).await?;
            return Err(Problem::forbidden("This user is banned."));
        }
        Ok(Caller { session, user })
    }

    async fn provision(&self, session: &Session) -> Result<User, Problem> {
        let id = session.user();
        if self.app.store.deleted_at(id)?.is_some() {
            return Err(self.gone(session).await);
        }
        if !self.app.settings.provision {
            return Err(Problem::not_found().because("not synced yet, and ROLLBOOK_PROVISION is off"));
        }
        let made = entry(self, session, "user.provisioned").about(id);
        match self.app.store.provision(id.clone(), claims(session), made).await? {
            Provisioned::Found(user) | Provisioned::Made(user) => Ok(*user),
            Provisioned::Deleted => Err(self.gone(session).await),
        }
    }

    async fn gone(&self, session: &Session) -> Problem {
        match self.denied(session, "deleted", None).await {
            Ok(()) => Problem::forbidden("This user was deleted."),
            Err(problem) => problem,
        }
    }

    /// Notes in the log that somebody with a valid token was refused: the first time in each second by an
    /// entry of its own, beyond that by the minute's count, so that a token is no way to fill the disk. Somebody
    /// erased is only counted: no entry may name them again.
    ///
    /// # Errors
    /// 503 when it cannot be noted.
    pub(super) async fn denied(
        &self,
        session: &Session,
        reason: &'static str,
        target: Option<&ClerkId>,
    ) -> Result<(), Problem> {
        if self.app.store.erased_at(session.user())?.is_some() {
            self.app.tally.note("api.denied", "erased");
            return Ok(());
        }
        if !self.app.denials.is_first(session.user(), self.app.clock.now()) {
            self.app.tally.note("api.denied", reason);
            return Ok(());
        }
        let mut draft = entry(self, session, "api.denied").ended("denied", reason);
        if let Some(target) = target {
            draft = draft.about(target);
        }
        self.app.store.record(draft).await?;
        Ok(())
    }

    /// As [`Call::denied`], for a caller who is known.
    ///
    /// # Errors
    /// 503 when it cannot be noted.
    pub(super) async fn deny(
        &self,
        caller: &Caller,
        reason: &'static str,
        target: Option<&ClerkId>,
    ) -> Result<(), Problem> {
        self.denied(&caller.session, reason, target).await
    }
}

fn entry(call: &Call, session: &Session, action: &str) -> Draft {
    let mut draft = Draft::new(action, Actor::User(session.user().clone()), Source::Api)
        .with("ip", Some(call.ip.to_string()))
        .with("user_agent", call.user_agent())
        .with("session", Some(session.id().to_owned()));
    draft.impersonator = session.actor().cloned();
    draft
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
    put("created_at", Some(session.issued_at().as_millis().into()));
    Object::new(user)
}
