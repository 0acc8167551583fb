//! The settings as they are in force, in words for the admin page: what follows from other settings, or from what the
//! system gave us, is filled in.

use std::net::SocketAddr;
use std::path::Path;

use super::listeners::Listeners;
use super::{absolute, public_origin};
use crate::config::{Config, InForce, Keys, Place, Value};
use crate::http;

/// Every setting, in the order of the table.
pub(super) fn rows(config: &Config, listeners: &Listeners) -> Vec<http::InForce> {
    config.in_force.iter().map(|row| shown(row, derived(row.setting.name, config, listeners))).collect()
}

/// What came of a setting, where its text alone does not say.
fn derived(name: &str, config: &Config, listeners: &Listeners) -> Option<String> {
    let (local, tls) = (&config.local, config.local.tls.as_ref());
    let text = |address: SocketAddr| address.to_string();
    let file = |path: &Path| absolute(path.to_owned()).display().to_string();
    let remote = |keys: &Keys| match keys {
        Keys::Remote(url) => Some(url.clone()),
        Keys::Pem(_) => None,
    };
    match name {
        "CLERK_ISSUER" => Some(config.tokens.issuer.clone()),
        "CLERK_JWKS_URL" => remote(&config.tokens.keys),
        "ROLLBOOK_LISTEN" => Some(text(listeners.address())),
        "ROLLBOOK_METRICS_LISTEN" => listeners.metrics_address().map(text),
        "ROLLBOOK_TLS_REDIRECT_LISTEN" => listeners.redirect_address().map(text),
        "ROLLBOOK_TLS_CERT" => tls.map(|set| file(&set.certificate)),
        "ROLLBOOK_TLS_KEY" => tls.map(|set| file(&set.key)),
        "ROLLBOOK_PUBLIC_URL" => Some(public_origin(local.public_url.as_ref(), tls.is_some(), listeners.address())),
        "ROLLBOOK_DATA" => Some(file(&local.data)),
        "ROLLBOOK_BACKUP_DIR" => config.backups.as_ref().map(|set| file(&set.folder)),
        _ => None,
    }
}

fn shown(row: &InForce, derived: Option<String>) -> http::InForce {
    let is_secret = matches!(row.value, Value::Secrets(_));
    let value = match &row.value {
        Value::Secrets(1) => Some("set, not shown".to_owned()),
        Value::Secrets(n) => Some(format!("{n} set, not shown")),
        Value::Text(text) => derived.or_else(|| Some(text.clone())),
        Value::None => derived,
    };
    let from = match (&row.variable, row.place) {
        (None, _) if row.value == Value::None && value.is_some() => "follows from others".to_owned(),
        (None, _) if value.is_none() => "not set".to_owned(),
        (None, _) => "default".to_owned(),
        (Some(_), Some(Place::Flag)) => format!("--{} on the command line", row.setting.flag.unwrap_or_default()),
        (Some(name), Some(Place::Environment)) => with_name("environment", name, row.setting.name),
        (Some(name), Some(Place::File)) => with_name(".env", name, row.setting.name),
        (Some(_), None) => "set by the program that started it".to_owned(),
    };
    http::InForce {
        name: row.setting.name,
        help: row.setting.help,
        value,
        from,
        is_set: row.variable.is_some(),
        is_secret,
    }
}

/// The place, with the name by which the setting goes there if that is another of its names.
fn with_name(place: &str, name: &str, usual: &str) -> String {
    if name == usual { place.to_owned() } else { format!("{place}, as {name}") }
}
