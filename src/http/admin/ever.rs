//! Was this address ever on file? The answer to the form on the users' page.

use askama::Template;
use serde::Deserialize;
use warp::http::StatusCode;
use warp::reply::Response;

use super::entry::{self, Party};
use super::view::{self, Frame, html, number};
use super::when::When;
use super::{Stop, form, session};
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::store::{self, Sighting, Store};
use crate::user::{Handle, UserId};

#[derive(Template)]
#[template(path = "ever.html")]
struct Page<'a> {
    frame: Frame,
    value: &'a str,
    people: Vec<Person>,
    more: Option<String>,
}

/// Somebody who had it on file.
struct Person {
    party: Party,
    from: Moment,
    until: Option<Moment>,
}

/// An entry and its time.
struct Moment {
    /// `None` once the entry was pruned.
    at: Option<When>,
    number: String,
}

impl From<store::Moment> for Moment {
    fn from(moment: store::Moment) -> Self {
        Self { at: moment.at.map(When::minute), number: number(moment.seq) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    value: String,
}

/// `POST /admin/users/ever`.
pub(super) async fn ask(mut call: Call) -> Result<Response, Stop> {
    let admin = session::writer(&call).await?;
    let form: Form = form::posted(&mut call).await?;
    let handles = Handle::typed(&form.value, None);
    if handles.is_empty() {
        return Err(Problem::bad_request("There is nothing to look up: the field was empty.").into());
    }
    let store = &call.app.store;
    let found = store.ever_on_file(handles, None, admin.did("value.looked_up")).await?;
    let more = found.count.saturating_sub(found.items.len() as u64);
    let page = Page {
        frame: Frame::new(&call.app, &admin, "/admin/users"),
        value: form.value.trim(),
        people: found.items.iter().map(|sighting| Person::new(store, sighting)).collect::<Result<_, _>>()?,
        more: (more > 0).then(|| number(more)),
    };
    Ok(html(StatusCode::OK, &page)?)
}

impl Person {
    fn new(store: &Store, sighting: &Sighting) -> Result<Self, store::Error> {
        let id = UserId::of(&sighting.user);
        let name = entry::readable(store.user(id))?.map(|user| entry::call_name(&user));
        let party = Party {
            href: name.is_some().then(|| format!("{}{id}", view::USER)),
            name: name.unwrap_or_else(|| sighting.user.to_string()),
            reference: String::new(),
        };
        Ok(Self { party, from: sighting.from.into(), until: sighting.until.map(Into::into) })
    }
}
