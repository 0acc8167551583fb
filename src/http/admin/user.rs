//! One person on the roll: the record, what the operator may change, and what happened.

use askama::Template;
use serde::Deserialize;
use serde_json::Value;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::entry::{Row, Rows};
use super::form::{self, filled};
use super::session::Admin;
use super::view::{Frame, html, number};
use super::when::When;
use super::{Stop, entry, session, view};
use crate::audit::Filter;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::page::PageRequest;
use crate::store::UserPatch;
use crate::user::{User, UserId, UserRef};

#[derive(Template)]
#[template(path = "user.html")]
struct Page {
    frame: Frame,
    address: String,
    clerk_id: String,
    name: String,
    initial: String,
    email: Option<String>,
    marks: Vec<&'static str>,
    fields: Vec<Field>,
    metadata: Vec<Json>,
    clerk: String,
    role: String,
    practice: String,
    alert: &'static str,
    saved: bool,
    rows: Vec<Row>,
    more: bool,
}

/// One line of the record.
struct Field {
    label: &'static str,
    value: Shown,
}

/// How a value is shown.
enum Shown {
    Text(String),
    /// An id or an address: in letters of one width.
    Code(String),
    Time(When),
    Nothing,
}

/// Mirrored JSON, to be unfolded.
struct Json {
    label: &'static str,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    saved: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    role: String,
    practice: String,
}

/// `GET` and `POST /admin/users/{id}`.
pub(super) async fn serve(call: Call, id: &str) -> Result<Response, Stop> {
    // Nothing is said about an id, not even that it is none, to somebody who is not signed in.
    let id = id.parse::<UserRef>().map(|id| id.id());
    match call.method {
        Method::GET => {
            let here = id.map_or_else(|_| "/admin/users".to_owned(), |id| format!("{}{id}", view::USER));
            let admin = session::reader(&call, &here).await?;
            let query: Query = call.query()?;
            let notice = if query.saved.is_some() { Notice::Saved } else { Notice::None };
            show(&call, &admin, id.map_err(|_| Problem::not_found())?, notice).await
        }
        Method::POST => {
            let admin = session::writer(&call).await?;
            assign(call, &admin, id.map_err(|_| Problem::not_found())?).await
        }
        _ => Err(Problem::method_not_allowed("GET, HEAD, POST").into()),
    }
}

/// What the page says about a form just sent.
enum Notice {
    None,
    Saved,
    /// What is wrong with it, and what was typed.
    Refused(&'static str, Form),
}

async fn assign(mut call: Call, admin: &Admin, id: UserId) -> Result<Response, Stop> {
    let form: Form = form::posted(&mut call).await?;
    let role = form.role.trim().parse();
    let practice = filled(Some(&form.practice)).map(str::parse).transpose();
    let (Ok(role), Ok(practice)) = (role, practice) else {
        let alert = "Nothing was saved: a role or practice is 1 to 64 letters, digits, '_', '-', '.' and ':'.";
        return show(&call, admin, id, Notice::Refused(alert, form)).await;
    };
    let patch = UserPatch { role: Some(role), practice_id: Some(practice), ..UserPatch::default() };
    let set = call.app.store.set_user(id, patch, None, admin.did("user.assigned")).await;
    match set.map_err(Problem::from)? {
        Some(user) => Ok(reply::see_other(&format!("{}{}?saved", view::USER, user.id))),
        None => Err(Problem::not_found().into()),
    }
}

async fn show(call: &Call, admin: &Admin, id: UserId, notice: Notice) -> Result<Response, Stop> {
    let store = &call.app.store;
    let user = store.user(id)?.ok_or(Problem::not_found())?;
    let about = Filter { subject: Some(user.clerk_id.clone()), ..Filter::default() };
    let timeline = store.audit(about, PageRequest::default()).await?;
    store.record(admin.did("user.read").about(&user.clerk_id)).await?;
    let (role, practice) = (user.role.to_string(), user.practice_id.as_ref().map(ToString::to_string));
    let (status, alert, saved, role, practice) = match notice {
        Notice::None => (StatusCode::OK, "", false, role, practice.unwrap_or_default()),
        Notice::Saved => (StatusCode::OK, "", true, role, practice.unwrap_or_default()),
        Notice::Refused(alert, typed) => (StatusCode::BAD_REQUEST, alert, false, typed.role, typed.practice),
    };
    let profile = user.profile();
    let name = entry::call_name(&user);
    let page = Page {
        frame: Frame::new(&call.app, admin, "/admin/users"),
        address: format!("{}{}", view::USER, user.id),
        clerk_id: user.clerk_id.to_string(),
        initial: name.chars().next().map(|c| c.to_uppercase().collect()).unwrap_or_default(),
        email: profile.email.clone().filter(|email| *email != name),
        name,
        marks: view::marks(&user, &profile),
        fields: fields(&user),
        metadata: metadata(&user),
        clerk: pretty(user.clerk.as_str()),
        role,
        practice,
        alert,
        saved,
        rows: Rows::new(store, call.app.clock.now()).about(&user.clerk_id).of(timeline.items)?,
        more: timeline.next_cursor.is_some(),
    };
    Ok(html(status, &page)?)
}

/// The record, line by line.
fn fields(user: &User) -> Vec<Field> {
    let p = user.profile();
    let text = |value: Option<String>| value.map_or(Shown::Nothing, Shown::Text);
    let code = |value: Option<String>| value.map_or(Shown::Nothing, Shown::Code);
    let time = |value| Option::map_or(value, Shown::Nothing, |at| Shown::Time(When::minute(at)));
    let yes = |value: bool| Shown::Text(if value { "Yes" } else { "No" }.to_owned());
    let verified = if p.email_verified { "verified" } else { "not verified" };
    let usage: Vec<String> = user.usage.iter().map(|(name, count)| format!("{name} {}", number(*count))).collect();
    let line = |label, value| Field { label, value };
    vec![
        line("Rollbook id", Shown::Code(user.id.to_string())),
        line("Clerk id", Shown::Code(user.clerk_id.to_string())),
        line("E-mail", text(p.email.map(|email| format!("{email} ({verified})")))),
        line("Phone", text(p.phone)),
        line("User name", text(p.username)),
        line("First name", text(p.first_name)),
        line("Last name", text(p.last_name)),
        line("External id", code(p.external_id)),
        // An address a user may choose: shown, never loaded or linked.
        line("Picture", code(p.image_url)),
        line("Banned", yes(p.banned)),
        line("Locked out", yes(p.locked)),
        line("Second factor", Shown::Text(if p.two_factor_enabled { "On" } else { "Off" }.to_owned())),
        line("Created", time(p.created_at)),
        line("Updated", time(p.updated_at)),
        line("Last sign-in", time(p.last_sign_in_at)),
        line("Deleted", time(user.deleted_at)),
        line("Subscription", Shown::Text(format!("{}, {}", user.subscription.plan, user.subscription.status))),
        line("Usage", text((!usage.is_empty()).then(|| usage.join(", ")))),
        line("Known from", Shown::Text(known_from(user.source).to_owned())),
    ]
}

fn known_from(source: crate::user::Source) -> &'static str {
    match source {
        crate::user::Source::Webhook => "A webhook",
        crate::user::Source::Sync => "A sync with Clerk",
        crate::user::Source::Token => "A session token",
    }
}

fn metadata(user: &User) -> Vec<Json> {
    let fields = user.clerk.fields();
    let labels = [
        ("Public metadata", "public_metadata"),
        ("Private metadata", "private_metadata"),
        ("Unsafe metadata", "unsafe_metadata"),
    ];
    let member = |(label, name)| fields.raw(name).map(|raw| Json { label, text: pretty(raw.get()) });
    labels.into_iter().filter_map(member).filter(|json| !matches!(json.text.as_str(), "{}" | "null")).collect()
}

fn pretty(json: &str) -> String {
    serde_json::from_str::<Value>(json).map_or_else(|_| json.to_owned(), |value| view::pretty(&value))
}
