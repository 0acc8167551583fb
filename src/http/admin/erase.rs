//! Erasing a person: what would go, the password once more, and what went.

use askama::Template;
use serde::Deserialize;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::brief::cut;
use super::form::{self, filled};
use super::password::Password;
use super::session::{self, Admin};
use super::sign_in::{self, Proof};
use super::view::{self, Frame, html, number};
use super::{Desk, Stop, entry};
use crate::audit::{Actor, Source};
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::store::{By, EraseError, Extent, MANY, Order};
use crate::user::{UserId, UserRef};

/// What a reason may weigh when it is shown again, in bytes of HTML: one that is not too long fits.
const REASON: usize = 5 * 1024;

#[derive(Template)]
#[template(path = "erase.html")]
struct Page<'a> {
    frame: Frame,
    address: String,
    name: &'a str,
    lines: Vec<String>,
    /// Whether there are more details than were counted.
    many: bool,
    shared: Option<String>,
    live: bool,
    /// The targets that are still to be told something, by name.
    untold: String,
    alert: &'static str,
    reason: &'a str,
    done: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    password: Password,
    #[serde(default)]
    reason: String,
    /// Ticked: also if Clerk has not deleted them.
    live: Option<String>,
    /// Ticked: also if targets are still to be told something.
    untold: Option<String>,
}

/// `GET` and `POST /admin/users/{id}/erase`.
pub(super) async fn serve(desk: &Desk, mut call: Call, id: &str) -> Result<Response, Stop> {
    // Nothing is said about an id, not even that it is none, to somebody who is not signed in.
    let id = id.parse::<UserRef>();
    match call.method {
        Method::GET => {
            let here =
                id.as_ref().map_or_else(|_| "/admin/users".to_owned(), |id| format!("{}{}", view::USER, id.id()));
            let admin = session::reader(&call, &here).await?;
            call.no_query()?;
            ask(&call, &admin, &id.map_err(|_| Problem::not_found())?, StatusCode::OK, "", "").await
        }
        Method::POST => {
            let admin = session::writer(&call).await?;
            let form: Form = form::posted(&mut call).await?;
            erase(desk, &call, &admin, &id.map_err(|_| Problem::not_found())?, form).await
        }
        _ => Err(Problem::method_not_allowed("GET, HEAD, POST").into()),
    }
}

/// The page that says what would go, and asks for the password.
async fn ask(
    call: &Call,
    admin: &Admin,
    id: &UserRef,
    status: StatusCode,
    alert: &'static str,
    reason: &str,
) -> Result<Response, Stop> {
    let store = &call.app.store;
    let extent = store.erasure_outline(id).await.map_err(refused)?;
    let user = store.user(UserId::of(&extent.person))?;
    store.record(admin.did("user.read").about(&extent.person)).await?;
    let name = user.map_or_else(|| extent.person.to_string(), |user| view::name(&entry::call_name(&user)));
    // Somebody who is in the log alone is known by Clerk's id, of which our own does not tell.
    let path = if extent.record { UserRef::Id(UserId::of(&extent.person)) } else { id.clone() };
    let page = Page {
        frame: Frame::new(&call.app, admin, "/admin/users"),
        address: format!("{}{path}", view::USER),
        name: &name,
        lines: lines(&extent),
        many: extent.details >= MANY,
        shared: None,
        live: extent.live,
        untold: extent.untold_names(),
        alert,
        reason: cut(reason, REASON).0,
        done: false,
    };
    Ok(html(status, &page)?)
}

async fn erase(desk: &Desk, call: &Call, admin: &Admin, id: &UserRef, form: Form) -> Result<Response, Stop> {
    let reason = filled(Some(&form.reason)).unwrap_or_default();
    match sign_in::prove_again(desk, call, admin, form.password).await? {
        Proof::Right(_) => {}
        Proof::Wrong => {
            let alert = "That is not your password. Nothing was erased.";
            return ask(call, admin, id, StatusCode::FORBIDDEN, alert, reason).await;
        }
        Proof::Locked(seconds) => return Err(Problem::too_many_requests(sign_in::LOCKED, seconds).into()),
    }
    let order = Order {
        by: By { actor: Actor::Admin(admin.name.clone()), source: Source::Admin },
        reason: (!reason.is_empty()).then(|| reason.to_owned()),
        even_if_live: form.live.is_some(),
        even_if_untold: form.untold.is_some(),
    };
    let alert = match call.app.store.erase(id, order, |_| {}).await {
        Ok(extent) => return done(call, admin, &extent),
        Err(EraseError::Live) => "Nothing was erased: tick the box, or delete them at Clerk first.",
        Err(EraseError::Untold(_)) => "Nothing was erased: tick the box, or let the targets catch up first.",
        Err(EraseError::TellingReason) => "The reason names the person, and would stay. Please put it in other words.",
        Err(EraseError::LongReason) => "The reason is too long: at most 1,000 characters, please.",
        Err(error) => return Err(refused(error)),
    };
    ask(call, admin, id, StatusCode::BAD_REQUEST, alert, reason).await
}

/// The page that says what went. It names nobody.
fn done(call: &Call, admin: &Admin, extent: &Extent) -> Result<Response, Stop> {
    let page = Page {
        frame: Frame::new(&call.app, admin, "/admin/users"),
        address: String::new(),
        name: "a person",
        lines: lines(extent),
        many: false,
        shared: (extent.shared > 0).then(|| number(extent.shared)),
        live: false,
        untold: String::new(),
        alert: "",
        reason: "",
        done: true,
    };
    Ok(html(StatusCode::OK, &page)?)
}

fn lines(extent: &Extent) -> Vec<String> {
    let record = if extent.record { "The record, with role and practice" } else { "No record: there is none" };
    let counted = [
        (extent.objects, "mirrored object: session, membership, …", "mirrored objects: sessions, memberships, …"),
        (extent.details, "entry’s detail", "entries’ details: addresses, values before and after"),
        (extent.quarantined, "delivery in quarantine", "deliveries in quarantine"),
        (extent.mentions, "mention in what is kept of others", "mentions in what is kept of others"),
    ];
    let counted = counted.into_iter().filter(|(count, ..)| *count > 0);
    let counted =
        counted.map(|(count, one, more)| format!("{} {}", number(count), if count == 1 { one } else { more }));
    [record.to_owned()].into_iter().chain(counted).collect()
}

fn refused(error: EraseError) -> Stop {
    match error {
        EraseError::Store(error) => error.into(),
        EraseError::Unknown => Problem::not_found().into(),
        EraseError::Restless => {
            Problem::unavailable("The user's record keeps changing; please try again.", 5).because(error).into()
        }
        EraseError::Live | EraseError::Untold(_) | EraseError::TellingReason | EraseError::LongReason => {
            Problem::bad_request("The user was not erased.").because(error).into()
        }
    }
}
