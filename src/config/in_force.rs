//! What the settings came to: each with the value it works with and where that is from. Of secrets it holds no more than
//! how many there are.

use super::settings::{self as names, SETTINGS, Setting};
use super::sources::Place;

/// A setting as it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// The setting.
    pub setting: &'static Setting,
    /// The variable that sets it, which may be another of its names; `None` when it is not set.
    pub variable: Option<String>,
    /// Where that variable was found; `None` when the program itself set it.
    pub place: Option<Place>,
    /// Its value.
    pub value: Value,
}

/// The value of a setting, as far as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// There is none.
    None,
    /// This text.
    Text(String),
    /// So many secrets, which are not for showing.
    Secrets(usize),
}

/// Every setting, in the order of the table; `signing_secrets` says how many of these there are.
pub(super) fn all(get: &dyn Fn(&str) -> Option<String>, signing_secrets: usize) -> Vec<InForce> {
    let one = |setting: &'static Setting| {
        let set = variables(setting).into_iter().find_map(|name| {
            let text = get(&name).filter(|text| !text.is_empty())?;
            Some((name, text))
        });
        let (variable, text) = set.map_or((None, setting.default.to_owned()), |(name, text)| (Some(name), text));
        let value = match () {
            () if text.is_empty() => Value::None,
            () if *setting == names::SIGNING_SECRET => Value::Secrets(signing_secrets),
            () if setting.is_secret() => Value::Secrets(1),
            () => Value::Text(text),
        };
        InForce { setting, variable, place: None, value }
    };
    SETTINGS.iter().map(one).collect()
}

/// The variables that may set it.
fn variables(setting: &Setting) -> Vec<String> {
    let named = [Some(setting.name), setting.also].into_iter().flatten();
    let files = |name: &str| setting.is_secret().then(|| format!("{name}_FILE"));
    named.flat_map(|name| [Some(name.to_owned()), files(name)]).flatten().collect()
}
