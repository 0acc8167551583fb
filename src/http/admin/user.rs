//! One person on the roll: the record and what belongs to it, what the operator may change, and what happened.

pub(super) mod act;
mod around;
mod card;
pub(super) mod delete;
mod gone;
pub(super) mod object;
mod timeline;

use askama::Template;
use serde::Deserialize;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use self::around::{Membership, Newest, Plan, Session};
use self::card::{Field, Metadata, Shown};
use self::timeline::Timeline;
use super::brief::{FIELD, brief, cut};
use super::form::{self, filled};
use super::session::Admin;
use super::view::{Frame, html};
use super::{Stop, entry, session, view};
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::store::{ChangeError, Revision, Store, UserPatch};
use crate::sync::DeletePolicy;
use crate::user::{User, UserId, UserRef};

/// How often a change is tried anew when something else of the record changes at the same time.
const TRIES: usize = 5;

#[derive(Template)]
#[template(path = "user.html")]
struct Page {
    frame: Frame,
    address: String,
    clerk_id: String,
    name: String,
    initial: String,
    email: Option<Email>,
    marks: Vec<&'static str>,
    fields: Vec<Field>,
    given: Given,
    typed: Given,
    plan: Plan,
    usage: Vec<(String, String)>,
    sessions: Newest<Session>,
    memberships: Newest<Membership>,
    metadata: Vec<Metadata>,
    alert: String,
    done: &'static str,
    timeline: Timeline,
    deletable: bool,
    /// Whether somebody can be signed in as them.
    enterable: bool,
    /// Whether Clerk can be asked to.
    has_key: bool,
}

/// The primary address.
struct Email {
    address: String,
    verified: bool,
}

/// What an operator gives, as text.
#[derive(Clone, PartialEq, Eq)]
struct Given {
    role: String,
    practice: String,
}

impl Given {
    fn to(user: &User) -> Self {
        let practice = user.practice_id.as_ref().map(ToString::to_string);
        Self { role: user.role.to_string(), practice: practice.unwrap_or_default() }
    }

    /// What of it is shown again where it was refused.
    fn cut(&self) -> Self {
        let cut = |text: &str| cut(text, FIELD).0.to_owned();
        Self { role: cut(&self.role), practice: cut(&self.practice) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    saved: Option<String>,
    deleted: Option<String>,
}

/// The form for role and practice, and what they were when the page was made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    role: String,
    practice: String,
    role_was: String,
    practice_was: String,
}

/// What the page says about a form just sent.
enum Notice {
    None,
    Done(&'static str),
    /// What is wrong with it, and what was typed.
    Refused(StatusCode, String, Given),
}

/// `GET` and `POST /admin/users/{id}`.
pub(super) async fn serve(call: Call, id: &str) -> Result<Response, Stop> {
    // Nothing is said about an id, not even that it is none, to somebody who is not signed in.
    let id = id.parse::<UserRef>();
    let admin = session::either(&call, &object::here(&id)).await?;
    let id = id.map_err(|_| Problem::not_found())?;
    if call.method == Method::POST {
        return assign(call, &admin, id.id()).await;
    }
    let notice = match call.query()? {
        Query { saved: Some(_), .. } => Notice::Done("Saved."),
        Query { deleted: Some(_), .. } => Notice::Done("Deleted. The record below is what is kept."),
        Query { .. } => Notice::None,
    };
    match (call.app.store.user(id.id())?, id) {
        (Some(user), _) => show(&call, &admin, user, notice).await,
        (None, UserRef::Clerk(id)) => gone::show(&call, &admin, &id).await,
        (None, UserRef::Id(_)) => Err(Problem::not_found().into()),
    }
}

async fn assign(mut call: Call, admin: &Admin, id: UserId) -> Result<Response, Stop> {
    let form: Form = form::posted(&mut call).await?;
    let store = call.app.store.clone();
    let typed = Given { role: form.role, practice: form.practice };
    let seen = Given { role: form.role_was, practice: form.practice_was };
    let role = typed.role.trim().parse();
    let practice = filled(Some(&typed.practice)).map(str::parse).transpose();
    let (Ok(role), Ok(practice)) = (role, practice) else {
        let alert = "Nothing was saved: a role or practice is 1 to 64 letters, digits, '_', '-', '.' and ':'.";
        let user = store.user(id)?.ok_or(Problem::not_found())?;
        let refused = Notice::Refused(StatusCode::BAD_REQUEST, alert.to_owned(), typed.cut());
        return show(&call, admin, user, refused).await;
    };
    let patch = UserPatch { role: Some(role), practice_id: Some(practice), ..UserPatch::default() };
    for _ in 0..TRIES {
        let user = store.user(id)?.ok_or(Problem::not_found())?;
        if Given::to(&user) != seen {
            let refused = Notice::Refused(StatusCode::CONFLICT, overtaken(&user), typed);
            return show(&call, admin, user, refused).await;
        }
        // Events move the rest of the record all the time; only role and practice are this form's.
        let expected = Some(vec![Revision::of(&user)]);
        match store.set_user(id, patch.clone(), expected, admin.did("user.assigned")).await {
            Ok(Some(user)) => return Ok(reply::see_other(&format!("{}{}?saved", view::USER, user.id))),
            Ok(None) => return Err(Problem::not_found().into()),
            Err(ChangeError::Outdated) => {}
            Err(error) => return Err(Problem::from(error).into()),
        }
    }
    Err(Problem::unavailable("The record keeps changing; please try again.", 5).into())
}

/// What is said to an admin who sends a form made before somebody else's change.
fn overtaken(user: &User) -> String {
    let practice = user.practice_id.as_ref().map_or_else(|| "no practice".to_owned(), |p| format!("practice {p}"));
    format!(
        "Nothing was saved: this was changed meanwhile, to role {} and {practice}. To put what you typed in its place, save again.",
        user.role
    )
}

async fn show(call: &Call, admin: &Admin, user: User, notice: Notice) -> Result<Response, Stop> {
    let store = &call.app.store;
    let timeline = Timeline::read(call, &user.clerk_id).await?;
    store.record(admin.did("user.read").about(&user.clerk_id)).await?;
    let given = Given::to(&user);
    let (status, alert, done, typed) = match notice {
        Notice::None => (StatusCode::OK, String::new(), "", given.clone()),
        Notice::Done(done) => (StatusCode::OK, String::new(), done, given.clone()),
        Notice::Refused(status, alert, typed) => (status, alert, "", typed),
    };
    let profile = user.profile();
    let name = view::name(&entry::call_name(&user));
    let email = |address| Email { address: brief(address, view::NAME), verified: profile.email_verified };
    let now = call.app.clock.now();
    let page = Page {
        frame: Frame::new(&call.app, admin, "/admin/users"),
        address: format!("{}{}", view::USER, user.id),
        clerk_id: user.clerk_id.to_string(),
        initial: name.chars().next().map(|c| c.to_uppercase().collect()).unwrap_or_default(),
        email: profile.email.as_deref().map(email),
        name,
        marks: view::marks(&user, &profile),
        fields: card::fields(&user, &profile),
        given,
        typed,
        plan: around::plan(store, &user).await?,
        usage: around::usage(&user),
        sessions: around::sessions(store, &user, now).await?,
        memberships: around::memberships(store, &user).await?,
        metadata: card::metadata(&user),
        alert,
        done,
        timeline,
        deletable: is_deletable(store, &user),
        enterable: user.deleted_at.is_none() && !profile.banned,
        has_key: call.app.backend.is_some(),
    };
    Ok(html(status, &page)?)
}

/// Whether deleting them would do something.
fn is_deletable(store: &Store, user: &User) -> bool {
    user.deleted_at.is_none() || store.policy().delete == DeletePolicy::Hard
}
