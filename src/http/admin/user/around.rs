//! What belongs to a person beside the record: sessions, organisations, subscription and what is counted.

use crate::clock::Timestamp;
use crate::event::{Mirrored, ObjectKey};
use crate::http::admin::brief::brief;
use crate::http::admin::view::number;
use crate::http::admin::when::When;
use crate::http::mirror::{self, ActivityJson, MEMBERSHIP, ORGANIZATION, SESSION};
use crate::json::{Fields, Object};
use crate::page::{Limit, PageRequest};
use crate::store::{self, Store};
use crate::user::{BILLING, Subscription, User};

/// So many of a kind are shown.
const MOST: usize = 20;

/// So many of them at once, the others when they are unfolded.
const FIRST: usize = 5;

/// What one value may weigh, in bytes of HTML.
const VALUE: usize = 96;

/// What one of several in a line may weigh.
const PART: usize = 64;

/// So many sessions are looked through for those that are active.
const LOOKED_THROUGH: usize = 200;

/// The first of some, and whether there are more.
#[derive(Debug)]
pub(super) struct Newest<T> {
    pub(super) rows: Vec<T>,
    /// Those behind the first few.
    pub(super) older: Vec<T>,
    pub(super) more: bool,
}

/// Where the person is signed in, or was.
#[derive(Debug)]
pub(super) struct Session {
    is_active: bool,
    pub(super) status: String,
    /// How the status looks.
    pub(super) tone: &'static str,
    /// Whether somebody else is in it as them.
    pub(super) is_impersonated: bool,
    /// The browser and the system, each apart: strangers choose both, and neither may turn the other around.
    pub(super) device: Vec<String>,
    /// The address, the city and the country.
    pub(super) place: Vec<String>,
    pub(super) active: Option<When>,
    pub(super) began: Option<When>,
}

/// An organisation the person belongs to.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) organization: String,
    pub(super) id: String,
    pub(super) role: Option<String>,
    pub(super) since: Option<When>,
}

/// What the person has subscribed to, and who says so.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) status: String,
    pub(super) tone: &'static str,
    pub(super) by: &'static str,
    pub(super) since: Option<When>,
}

/// What is counted of a person, by name.
pub(super) fn usage(user: &User) -> Vec<(String, String)> {
    user.usage.iter().map(|(name, count)| (name.clone(), number(*count))).collect()
}

/// The newest sessions, those that are active before all others.
///
/// # Errors
/// When the file cannot be read.
pub(super) async fn sessions(store: &Store, user: &User, now: Timestamp) -> Result<Newest<Session>, store::Error> {
    let row = |_: &ObjectKey, body: &Object| Ok(Session::new(&body.fields(), now));
    let (mut sessions, more) = newest(store, user, SESSION, LOOKED_THROUGH, row).await?;
    sessions.sort_by_key(|session| !session.is_active);
    Ok(Newest::new(sessions, more))
}

/// The newest memberships.
///
/// # Errors
/// When the file cannot be read.
pub(super) async fn memberships(store: &Store, user: &User) -> Result<Newest<Membership>, store::Error> {
    let (memberships, more) =
        newest(store, user, MEMBERSHIP, MOST, |_, body| Membership::new(store, &body.fields())).await?;
    Ok(Newest::new(memberships, more))
}

/// The subscription.
///
/// # Errors
/// When the file cannot be read.
pub(super) async fn plan(store: &Store, user: &User) -> Result<Plan, store::Error> {
    let mut billing = Vec::new();
    for kind in BILLING {
        billing.extend(store.children(key(user), kind, PageRequest::default()).await?.items);
    }
    let said = user.assigned.as_ref().map(|said| said.at);
    // As in `Subscription::of`: what is newer counts.
    let (by, since) = match (said, Subscription::billed_at(&billing)) {
        (Some(said), Some(billed)) if billed > said => ("Clerk Billing", Some(billed)),
        (Some(said), _) => ("Set by hand", Some(said)),
        (None, Some(billed)) => ("Clerk Billing", Some(billed)),
        (None, None) => ("Default", None),
    };
    let Subscription { plan, status } = &user.subscription;
    Ok(Plan {
        name: brief(plan, VALUE),
        status: status.clone(),
        tone: match status.as_str() {
            "active" => "good",
            "past_due" => "warn",
            _ => "",
        },
        by,
        since: since.map(When::minute),
    })
}

fn key(user: &User) -> ObjectKey {
    ObjectKey { kind: "user".to_owned(), id: user.clerk_id.clone() }
}

/// The newest objects of a kind that are listed by the person, so many, and whether there are more.
async fn newest<T>(
    store: &Store,
    user: &User,
    kind: &'static str,
    most: usize,
    row: impl Fn(&ObjectKey, &Object) -> Result<T, store::Error>,
) -> Result<(Vec<T>, bool), store::Error> {
    let request = PageRequest { limit: Limit::near(most), cursor: None };
    let page = store.children(key(user), kind, request).await?;
    let with_body = |(key, object): &(ObjectKey, Mirrored)| object.body.as_ref().map(|body| row(key, body));
    let rows = page.items.iter().filter_map(with_body).collect::<Result<_, _>>()?;
    Ok((rows, page.next_cursor.is_some()))
}

impl<T> Newest<T> {
    /// As many of them as are shown.
    fn new(mut rows: Vec<T>, more: bool) -> Self {
        let more = more || rows.len() > MOST;
        rows.truncate(MOST);
        let older = rows.split_off(rows.len().min(FIRST));
        Self { rows, older, more }
    }
}

impl Session {
    fn new(session: &Fields<'_>, now: Timestamp) -> Self {
        let activity = ActivityJson::new(&session.object("latest_activity"));
        let status = session.text("status").unwrap_or_else(|| "unknown".to_owned());
        let status = mirror::as_of(now, status, mirror::at(session, "expire_at"), mirror::at(session, "abandon_at"));
        let told = |parts: &[Option<String>]| parts.iter().flatten().map(|part| brief(part, PART)).collect();
        Self {
            tone: if status == "active" { "good" } else { "" },
            is_active: status == "active",
            status: brief(&status, VALUE),
            is_impersonated: session.object("actor").text("sub").is_some(),
            device: told(&[activity.browser, activity.device]),
            place: told(&[activity.ip, activity.city, activity.country]),
            active: mirror::at(session, "last_active_at").map(|at| When::ago(at, now)),
            began: mirror::at(session, "created_at").map(When::minute),
        }
    }
}

impl Membership {
    fn new(store: &Store, membership: &Fields<'_>) -> Result<Self, store::Error> {
        let within = membership.object("organization");
        let id = within.text("id").unwrap_or_default();
        // The organisation's own word is newer than what a membership said of it.
        let own = match id.parse() {
            Ok(id) => store.object(&ObjectKey { kind: ORGANIZATION.to_owned(), id })?.and_then(|kept| kept.body),
            Err(_) => None,
        };
        let name = own.and_then(|body| body.fields().text("name")).or_else(|| within.text("name"));
        Ok(Self {
            organization: brief(&name.unwrap_or_else(|| id.clone()), VALUE),
            id: brief(&id, VALUE),
            role: membership.text("role_name").or_else(|| membership.text("role")).map(|role| brief(&role, VALUE)),
            since: mirror::at(membership, "created_at").map(When::minute),
        })
    }
}
