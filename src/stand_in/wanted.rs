//! Which users a call asks for.

use hyper::StatusCode;
use serde_json::{Map, Value};

use super::answer::Refusal;
use super::call::Call;
use super::roll::User;
use crate::json;

/// The most values that one parameter may have.
const MOST: usize = 100;

/// Filters of the API over what this stand-in does not keep.
const ELSEWHERE: [&str; 3] = ["organization_id", "provider", "provider_user_id"];

/// What a user is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Id,
    ExternalId,
    Username,
    FirstName,
    LastName,
    EmailAddress,
    PhoneNumber,
    Web3Wallet,
}

/// What has to be so.
enum Test {
    /// One of the values is one of these.
    OneOf(Field, Vec<String>),
    /// None of the values is one of these.
    NoneOf(Field, Vec<String>),
    /// A value of one of the fields holds this, in lower case.
    Holds(&'static [Field], String),
    Banned(bool),
    /// The member is a time before this, or else one after it.
    Time(&'static str, bool, i64),
}

/// All that has to be so.
pub(super) struct Wanted {
    /// What can be told without reading the object.
    of_ids: Vec<Test>,
    of_objects: Vec<Test>,
}

impl Wanted {
    pub(super) fn read(call: &Call) -> Result<Self, Refusal> {
        if let Some(name) = ELSEWHERE.into_iter().find(|name| call.first(name).is_some()) {
            let message = format!("The stand-in for Clerk cannot look for {name}");
            return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, "not_in_the_stand_in", message));
        }
        let mut tests = Vec::new();
        for (name, field) in Field::LISTS {
            tests.extend(listed(call, name, field)?);
        }
        for (name, fields) in Field::SEARCHES {
            tests.extend(call.first(name).map(|text| Test::Holds(fields, text.to_lowercase())));
        }
        let banned = call.first("banned").map(|text| text.parse().map_err(|_| Refusal::parameter("banned")));
        tests.extend(banned.transpose()?.map(Test::Banned));
        for member in ["created_at", "last_active_at", "last_sign_in_at"] {
            for (end, before) in [("before", true), ("after", false)] {
                let text = call.first(&format!("{member}_{end}")).map(str::parse);
                let time = text.transpose().map_err(|_| Refusal::parameter(member))?;
                tests.extend(time.map(|time| Test::Time(member, before, time)));
            }
        }
        let is_of_id = |test: &Test| matches!(test, Test::OneOf(Field::Id, _) | Test::NoneOf(Field::Id, _));
        let (of_ids, of_objects) = tests.into_iter().partition(is_of_id);
        Ok(Self { of_ids, of_objects })
    }

    /// Whether everybody fits.
    pub(super) fn is_all(&self) -> bool {
        self.of_ids.is_empty() && self.of_objects.is_empty()
    }

    pub(super) fn fits(&self, user: User<'_>) -> bool {
        let has_id = |test: &Test| match test {
            Test::NoneOf(_, ids) => ids.iter().all(|id| id != user.id),
            Test::OneOf(_, ids) => ids.iter().any(|id| id == user.id),
            _ => true,
        };
        self.of_ids.iter().all(has_id) && (self.of_objects.is_empty() || passes(&user.object(), &self.of_objects))
    }
}

/// What a parameter with a list of values asks for.
fn listed(call: &Call, name: &'static str, field: Field) -> Result<impl Iterator<Item = Test>, Refusal> {
    let (mut one_of, mut none_of) = (Vec::new(), Vec::new());
    for value in call.all(name) {
        match value.strip_prefix('-').filter(|_| field.is_an_id()) {
            Some(value) => none_of.push(value.to_owned()),
            None if field.is_an_id() => one_of.push(value.strip_prefix(['+', ' ']).unwrap_or(value).to_owned()),
            None => one_of.push(value.to_owned()),
        }
    }
    if one_of.len() + none_of.len() > MOST {
        return Err(Refusal::parameter(name));
    }
    let one_of = (!one_of.is_empty()).then_some(Test::OneOf(field, one_of));
    Ok(one_of.into_iter().chain((!none_of.is_empty()).then_some(Test::NoneOf(field, none_of))))
}

fn passes(user: &Map<String, Value>, tests: &[Test]) -> bool {
    tests.iter().all(|test| match test {
        Test::OneOf(field, values) => field.values(user).iter().any(|value| values.iter().any(|one| one == value)),
        Test::NoneOf(field, values) => field.values(user).iter().all(|value| values.iter().all(|one| one != value)),
        Test::Holds(fields, text) => {
            fields.iter().flat_map(|field| field.values(user)).any(|value| value.to_lowercase().contains(text))
        }
        Test::Banned(banned) => user.get("banned").and_then(Value::as_bool).unwrap_or_default() == *banned,
        Test::Time(member, before, limit) => {
            let time = user.get(*member).and_then(json::whole_number);
            time.is_some_and(|time| if *before { time < *limit } else { time > *limit })
        }
    })
}

impl Field {
    /// Parameters that list values.
    const LISTS: [(&'static str, Self); 6] = [
        ("user_id", Self::Id),
        ("external_id", Self::ExternalId),
        ("username", Self::Username),
        ("email_address", Self::EmailAddress),
        ("phone_number", Self::PhoneNumber),
        ("web3_wallet", Self::Web3Wallet),
    ];

    /// Parameters that look for a part.
    const SEARCHES: [(&'static str, &'static [Self]); 5] = [
        (
            "query",
            &[
                Self::Id,
                Self::Username,
                Self::FirstName,
                Self::LastName,
                Self::EmailAddress,
                Self::PhoneNumber,
                Self::Web3Wallet,
            ],
        ),
        ("email_address_query", &[Self::EmailAddress]),
        ("phone_number_query", &[Self::PhoneNumber]),
        ("username_query", &[Self::Username]),
        ("name_query", &[Self::FirstName, Self::LastName]),
    ];

    /// What `order_by` calls it.
    pub(super) fn of_order(name: &str) -> Option<Self> {
        Some(match name {
            "username" => Self::Username,
            "first_name" => Self::FirstName,
            "last_name" => Self::LastName,
            "email_address" => Self::EmailAddress,
            "phone_number" => Self::PhoneNumber,
            "web3wallet" => Self::Web3Wallet,
            _ => return None,
        })
    }

    pub(super) fn values(self, user: &Map<String, Value>) -> Vec<&str> {
        let text = |name| user.get(name).and_then(Value::as_str).into_iter().collect();
        let list = |list: &str, name: &str| -> Vec<&str> {
            let list = user.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            list.iter().filter_map(|one| one.get(name)?.as_str()).collect()
        };
        match self {
            Self::Id => text("id"),
            Self::ExternalId => text("external_id"),
            Self::Username => text("username"),
            Self::FirstName => text("first_name"),
            Self::LastName => text("last_name"),
            Self::EmailAddress => list("email_addresses", "email_address"),
            Self::PhoneNumber => list("phone_numbers", "phone_number"),
            Self::Web3Wallet => list("web3_wallets", "web3_wallet"),
        }
    }

    /// Whether a sign before a value says that it is to be in or out.
    const fn is_an_id(self) -> bool {
        matches!(self, Self::Id | Self::ExternalId)
    }
}
