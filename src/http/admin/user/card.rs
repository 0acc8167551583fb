//! What the record says of a person, line by line.

use serde_json::Value;

use crate::http::admin::brief::{brief, cut, visible};
use crate::http::admin::view;
use crate::http::admin::when::When;
use crate::user::{self, Profile, User};

/// What one value may weigh, in bytes of HTML.
const VALUE: usize = 256;

/// What one kind of metadata may weigh.
const METADATA: usize = 2048;

/// One line of the record.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) label: &'static str,
    pub(super) value: Shown,
}

/// How a value is shown.
#[derive(Debug)]
pub(super) enum Shown {
    Text(String),
    /// An id or an address: in letters of one width, and taken whole by whoever clicks on it.
    Code(String),
    Time(When),
    Nothing,
}

/// What is kept in one kind of metadata.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) label: &'static str,
    pub(super) text: String,
    /// Whether that is not all of it.
    pub(super) is_cut: bool,
}

/// The record, without what stands over it: the name, the e-mail address and what catches the eye.
pub(super) fn fields(user: &User, profile: &Profile) -> Vec<Field> {
    let text = |value: &Option<String>| value.as_ref().map_or(Shown::Nothing, |text| Shown::Text(brief(text, VALUE)));
    let code = |value: &Option<String>| value.as_ref().map_or(Shown::Nothing, |text| Shown::Code(brief(text, VALUE)));
    let time = |value| Option::map_or(value, Shown::Nothing, |at| Shown::Time(When::minute(at)));
    let line = |label, value| Field { label, value };
    let mut fields = vec![
        line("Clerk id", Shown::Code(user.clerk_id.to_string())),
        line("Rollbook id", Shown::Code(user.id.to_string())),
        line("External id", code(&profile.external_id)),
        line("Phone", text(&profile.phone)),
        line("User name", text(&profile.username)),
        // An address that strangers choose: shown, never loaded or linked.
        line("Picture", code(&profile.image_url)),
        line("Second factor", Shown::Text(if profile.two_factor_enabled { "On" } else { "Off" }.to_owned())),
        line("Last sign-in", time(profile.last_sign_in_at)),
        line("Created", time(profile.created_at)),
        line("Updated", time(profile.updated_at)),
        line("Known from", Shown::Text(known_from(user.source).to_owned())),
    ];
    if user.deleted_at.is_some() {
        fields.push(line("Deleted", time(user.deleted_at)));
    }
    fields
}

const fn known_from(source: user::Source) -> &'static str {
    match source {
        user::Source::Webhook => "A webhook",
        user::Source::Sync => "A sync with Clerk",
        user::Source::Token => "A session token",
    }
}

/// The metadata that are not empty.
pub(super) fn metadata(user: &User) -> Vec<Metadata> {
    let fields = user.clerk.fields();
    let labels = [
        ("Public metadata", "public_metadata"),
        ("Private metadata", "private_metadata"),
        ("Unsafe metadata", "unsafe_metadata"),
    ];
    let member = |(label, name)| {
        let text = visible(&pretty(fields.raw(name)?.get()));
        let (shown, is_cut) = cut(&text, METADATA);
        Some(Metadata { label, text: shown.to_owned(), is_cut })
    };
    labels.into_iter().filter_map(member).filter(|json| !matches!(json.text.as_str(), "{}" | "null")).collect()
}

/// JSON to be read by people.
pub(super) fn pretty(json: &str) -> String {
    serde_json::from_str::<Value>(json).map_or_else(|_| json.to_owned(), |value| view::pretty(&value))
}
