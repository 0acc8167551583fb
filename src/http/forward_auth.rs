//! `/api/auth/verify`: says to a proxy who is asking, so that sites behind it need no sign-in of their own. Who it is
//! stands in headers, which the proxy must hand on in the place of any that the client sent.

use schemars::JsonSchema;
use serde::Deserialize;
use warp::http::HeaderValue;
use warp::http::header::{AUTHORIZATION, COOKIE};
use warp::reply::Response;

use super::call::Call;
use super::problem::{Kind, Problem};
use super::route::{Operation, Route, Who};
use crate::user::User;

/// The cookie in which Clerk's browser library keeps the session token.
const COOKIE_NAME: &str = "__session";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Query {
    /// Strangers may pass, too; a token that is no good is still refused.
    #[serde(default)]
    optional: bool,
    /// Without an `Authorization` header, the token may come as Clerk's cookie. It is for the operator to say so in the
    /// proxy's configuration: a browser sends cookies also with requests that its user knows nothing of.
    #[serde(default)]
    cookie: bool,
}

/// The question that proxies ask.
pub(super) fn routes() -> Vec<Route> {
    let verify = Operation::new("verify", "Tell a proxy who is asking", verify)
        .tag("Session")
        .describe(
            "Forward-auth for nginx, Caddy and Traefik. The answer has no body, but the headers `X-Rollbook-User`, \
             `X-Rollbook-Clerk-User`, `X-Rollbook-Role` and, for an address that was verified, `X-Rollbook-Email`. \
             A stranger whom `optional` lets pass comes without them.",
        )
        .by(Who::MaybeSession)
        .query::<Query>()
        .answers_bare(200, "The request may pass.");
    vec![Route::at("/api/auth/verify").get(verify)]
}

/// Who is asking, in headers.
async fn verify(mut call: Call) -> Result<Response, Problem> {
    let query: Query = call.query()?;
    if query.cookie && !call.headers.contains_key(AUTHORIZATION) {
        call.take_cookie()?;
    }
    let caller = if query.optional { call.maybe_signed_in().await } else { call.signed_in().await.map(Some) };
    let mut response = Response::default();
    if let Some(caller) = caller.map_err(passable)? {
        add_headers(&mut response, caller.user());
    }
    Ok(response)
}

/// Proxies know what to do with 401 and 403, but take 404 for a fault of their own.
fn passable(problem: Problem) -> Problem {
    match problem.kind() {
        Kind::NotFound => Problem::forbidden("This user is not on the roll."),
        _ => problem,
    }
}

/// What the sites behind the proxy may know of the user. A site may take the address for who somebody is, so only one
/// that was verified is named.
fn add_headers(response: &mut Response, user: &User) {
    let profile = user.profile();
    let values = [
        ("x-rollbook-user", Some(user.id.to_string())),
        ("x-rollbook-clerk-user", Some(user.clerk_id.to_string())),
        ("x-rollbook-email", profile.email.filter(|_| profile.email_verified)),
        ("x-rollbook-role", Some(user.role.to_string())),
    ];
    for (name, value) in values {
        if let Some(value) = value.as_deref().and_then(plain) {
            response.headers_mut().insert(name, value);
        }
    }
}

/// The text as a header's value, if every program reads it alike: other characters than ASCII's mean one thing here and
/// another there. Better no address than another one.
fn plain(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok().filter(|_| text.bytes().all(|b| b.is_ascii_graphic()))
}

impl Call {
    /// Takes the session token from Clerk's cookie as though it had come in the `Authorization` header.
    ///
    /// # Errors
    /// 401 when there are several: nobody could say whose request it is.
    fn take_cookie(&mut self) -> Result<(), Problem> {
        let pairs = self.headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|b| *b == b';'));
        let mut tokens = pairs.filter_map(|pair| {
            let (name, value) = std::str::from_utf8(pair).ok()?.trim().split_once('=')?;
            (name == COOKIE_NAME).then(|| value.trim_matches('"').to_owned())
        });
        let (first, second) = (tokens.next(), tokens.next());
        drop(tokens);
        if second.is_some() {
            return Err(self.unauthenticated("two_tokens"));
        }
        // An empty one is what is left after signing out.
        let Some(token) = first.filter(|token| !token.is_empty()) else { return Ok(()) };
        let value =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| self.unauthenticated("not_bearer"))?;
        self.headers.insert(AUTHORIZATION, value);
        Ok(())
    }
}
