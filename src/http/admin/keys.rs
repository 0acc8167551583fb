//! API keys: the list, the form that makes one, and the one page that shows its secret.

use askama::Template;
use serde::Deserialize;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::brief::{FIELD, cut};
use super::form;
use super::password::Password;
use super::session::{self, Admin};
use super::sign_in::{self, Proof};
use super::view::{Frame, html};
use super::when::When;
use super::{Desk, Stop};
use crate::api_key::{ApiKey, KeyId, KeyName, Scope, Scopes, Secret, State, Wanted};
use crate::clock::Timestamp;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::store::KeyError;

const HERE: &str = "/admin/keys";

/// So many keys are shown: those that work before all others.
const MOST: usize = 50;

const DAY: i64 = 24 * 60 * 60 * 1000;

/// For how many days a key may work, and how that is said; the first but one is proposed.
const LIVES: [(u16, &str); 4] = [(30, "30 days"), (90, "90 days"), (365, "A year"), (0, "Until it is revoked")];

#[derive(Template)]
#[template(path = "keys.html")]
struct Page<'a> {
    frame: Frame,
    keys: Vec<Row>,
    /// Those that were revoked or ran out.
    spent: Vec<Row>,
    /// How many more there are.
    more: usize,
    alert: &'a str,
    name: &'a str,
    scopes: Vec<Choice>,
    lives: Vec<Life>,
}

/// A key in the list.
struct Row {
    id: String,
    name: String,
    scopes: Vec<&'static str>,
    state: &'static str,
    /// How the state looks.
    tone: &'static str,
    works: bool,
    revocable: bool,
    created: When,
    created_by: String,
    expires: Option<When>,
    used: Option<When>,
}

/// A scope in the form.
struct Choice {
    scope: Scope,
    ticked: bool,
}

/// A time to live in the form.
struct Life {
    days: u16,
    words: &'static str,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "key.html")]
struct Made<'a> {
    frame: Frame,
    id: &'a str,
    name: &'a str,
    scopes: Vec<&'static str>,
    expires: Option<When>,
    secret: &'a str,
}

/// The form. Each scope is a box of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    name: String,
    password: Password,
    days: u16,
    #[serde(rename = "users:read")]
    users_read: Option<String>,
    #[serde(rename = "users:write")]
    users_write: Option<String>,
    #[serde(rename = "audit:read")]
    audit_read: Option<String>,
    #[serde(rename = "log:read")]
    log_read: Option<String>,
    #[serde(rename = "metrics:read")]
    metrics_read: Option<String>,
}

impl Form {
    const fn is_ticked(&self, scope: Scope) -> bool {
        match scope {
            Scope::UsersRead => self.users_read.is_some(),
            Scope::UsersWrite => self.users_write.is_some(),
            Scope::AuditRead => self.audit_read.is_some(),
            Scope::LogRead => self.log_read.is_some(),
            Scope::MetricsRead => self.metrics_read.is_some(),
        }
    }

    /// What the form asks for.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence for the person who filled it in.
    fn wanted(&self, now: Timestamp) -> Result<Wanted, &'static str> {
        let name: KeyName =
            self.name.parse().map_err(|_| "No key was made: its name is 1 to 64 characters, in one line.")?;
        let scopes = Scopes::new(Scope::ALL.into_iter().filter(|scope| self.is_ticked(*scope)))
            .map_err(|_| "No key was made: tick at least one thing that it may do.")?;
        let life =
            LIVES.iter().find(|(days, _)| *days == self.days).ok_or("No key was made: choose how long it works.")?;
        let expires_at = (life.0 > 0).then(|| now.plus_millis(i64::from(life.0) * DAY));
        Ok(Wanted { name, scopes, expires_at })
    }
}

/// `GET` and `POST /admin/keys`.
pub(super) async fn serve(desk: &Desk, mut call: Call) -> Result<Response, Stop> {
    match call.method {
        Method::GET => {
            let admin = session::reader(&call, HERE).await?;
            call.no_query()?;
            list(&call, &admin, StatusCode::OK, "", None).await
        }
        Method::POST => {
            let admin = session::writer(&call).await?;
            let form: Form = form::posted(&mut call).await?;
            create(desk, &call, &admin, form).await
        }
        _ => Err(Problem::method_not_allowed("GET, HEAD, POST").into()),
    }
}

/// `POST /admin/keys/{id}/revoke`.
pub(super) async fn revoke(mut call: Call, id: &str) -> Result<Response, Stop> {
    let admin = session::writer(&call).await?;
    let form::Nothing {} = form::posted(&mut call).await?;
    let id: KeyId = id.parse().map_err(|_| Problem::not_found())?;
    let revoked = call.app.store.revoke_api_key(id, admin.did("key.revoked")).await?;
    if revoked.is_some() { Ok(reply::see_other(HERE)) } else { Err(Problem::not_found().into()) }
}

async fn create(desk: &Desk, call: &Call, admin: &Admin, form: Form) -> Result<Response, Stop> {
    let wanted = match form.wanted(call.app.clock.now()) {
        Ok(wanted) => wanted,
        Err(alert) => return list(call, admin, StatusCode::BAD_REQUEST, alert, Some(&form)).await,
    };
    let Form { password, .. } = &form;
    match sign_in::prove_again(desk, call, admin, password.clone()).await? {
        Proof::Right(_) => {}
        Proof::Wrong => {
            let alert = "That is not your password. No key was made.";
            return list(call, admin, StatusCode::FORBIDDEN, alert, Some(&form)).await;
        }
        Proof::Locked(seconds) => return Err(Problem::too_many_requests(sign_in::LOCKED, seconds).into()),
    }
    match call.app.store.create_api_key(wanted, admin.did("key.created")).await {
        Ok((key, secret)) => made(call, admin, &key, &secret),
        Err(KeyError::Past) => Err(Problem::bad_request("No key was made.").into()),
        Err(KeyError::Store(error)) => Err(error.into()),
    }
}

/// The page with the secret. It is the answer to the form itself, and nothing leads to it again.
fn made(call: &Call, admin: &Admin, key: &ApiKey, secret: &Secret) -> Result<Response, Stop> {
    let page = Made {
        frame: Frame::new(&call.app, admin, HERE),
        id: key.id.as_str(),
        name: key.name.as_str(),
        scopes: key.scopes.iter().map(Scope::as_str).collect(),
        expires: key.expires_at.map(When::minute),
        secret: secret.reveal(),
    };
    Ok(html(StatusCode::OK, &page)?)
}

/// The list with the form, which is filled in as it was sent, but for the password.
async fn list(
    call: &Call,
    admin: &Admin,
    status: StatusCode,
    alert: &str,
    typed: Option<&Form>,
) -> Result<Response, Stop> {
    let now = call.app.clock.now();
    let keys = call.app.store.api_keys().await?;
    let all = keys.len();
    let (working, spent): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.state(now) == State::Active);
    let mut keys: Vec<Row> = working.into_iter().chain(spent).take(MOST).map(|key| Row::new(key, now)).collect();
    let spent = keys.split_off(keys.iter().take_while(|key| key.works).count());
    let days = typed.map_or(LIVES[1].0, |form| form.days);
    let page = Page {
        frame: Frame::new(&call.app, admin, HERE),
        more: all - keys.len() - spent.len(),
        keys,
        spent,
        alert,
        name: typed.map_or("", |form| cut(&form.name, FIELD).0),
        scopes: Scope::ALL
            .map(|scope| Choice { scope, ticked: typed.is_some_and(|form| form.is_ticked(scope)) })
            .into(),
        lives: LIVES.map(|(life, words)| Life { days: life, words, chosen: life == days }).into(),
    };
    Ok(html(status, &page)?)
}

impl Row {
    fn new(key: ApiKey, now: Timestamp) -> Self {
        let state = key.state(now);
        Self {
            scopes: key.scopes.iter().map(Scope::as_str).collect(),
            state: state.as_str(),
            tone: match state {
                State::Active => "good",
                State::Expired => "warn",
                State::Revoked => "",
            },
            works: state == State::Active,
            revocable: state != State::Revoked,
            created: When::minute(key.created_at),
            created_by: match key.created_by.as_str() {
                "cli" => "at the terminal".to_owned(),
                by => format!("by {}", by.strip_prefix("admin:").unwrap_or(by)),
            },
            expires: key.expires_at.map(When::minute),
            used: key.last_used_at.map(|at| When::ago(at, now)),
            id: key.id.into(),
            name: key.name.into(),
        }
    }
}
