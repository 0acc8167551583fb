//! `POST /api/users`: makes the caller's own record, for applications that register their users themselves.

use schemars::JsonSchema;
use serde::Deserialize;
use warp::http::header::LOCATION;
use warp::http::{HeaderValue, StatusCode};
use warp::reply::Response;

use super::record::{Include, UserJson, own};
use super::revision::tagged;
use crate::clerk::session::Session;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::http::route::{Operation, Who};

/// The largest body, in bytes.
const LARGEST: usize = 16 * 1024;

/// What the caller says of themselves. It is held against the token, and nothing is taken from it: that somebody writes
/// an address proves nothing.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OwnUser")]
struct Body {
    clerk_user_id: Option<String>,
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    username: Option<String>,
    image_url: Option<String>,
}

impl Body {
    /// Whether the token says otherwise. Of what it says nothing, anything may be said.
    fn contradicts(&self, session: &Session) -> bool {
        let differs = |name: &str, said: &Option<String>, is_same: fn(&str, &str) -> bool| {
            session.claim_text(name).zip(said.as_ref()).is_some_and(|(claim, said)| !is_same(&claim, said))
        };
        let exactly: fn(&str, &str) -> bool = |claim, said| claim == said;
        self.clerk_user_id.as_ref().is_some_and(|id| id != session.user().as_str())
            || differs("email", &self.email, str::eq_ignore_ascii_case)
            || differs("first_name", &self.first_name, exactly)
            || differs("last_name", &self.last_name, exactly)
            || differs("username", &self.username, exactly)
            || differs("image_url", &self.image_url, exactly)
    }
}

pub(super) fn operation() -> Operation {
    Operation::new("createUser", "Create your own record", create)
        .tag("Users")
        .describe(
            "Or get it, when it is there. It is made of what the token says, also when `ROLLBOOK_PROVISION` is off. The body \
             may repeat that; where it says otherwise nothing is made (403), and of what the token does not say nothing is taken.",
        )
        .by(Who::Session)
        .maybe_body::<Body>()
        .answers::<UserJson<'_>>(200, "The record, which was there.")
        .answers::<UserJson<'_>>(201, "The record, made now.")
}

async fn create(mut call: Call) -> Result<Response, Problem> {
    const WRONG: &str = "The body, if there is one, is an object with some of \"clerk_user_id\", \"email\", \"first_name\", \
        \"last_name\", \"username\" and \"image_url\", each text or null.";
    let session = call.session().await?;
    call.no_query()?;
    let body: Body = call.maybe_json(LARGEST, WRONG).await?.unwrap_or_default();
    if body.contradicts(&session) {
        return Err(call.contradicted(&session).await);
    }
    let (caller, is_new) = call.register(session).await?;
    if !is_new {
        call.note_impersonation(&caller).await?;
    }
    let user = caller.user();
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let shown = UserJson::new(user, own(caller.is_admin()), Include::Nothing);
    let mut response = tagged(reply::json_with(status, &shown), user);
    if let Ok(place) = HeaderValue::from_str(&format!("/api/users/{}", user.id)) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}
