//! `GET /v1/users`, `/v1/users/count`, `/v1/users/{id}`.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::answer::{self, Answer, Refusal};
use super::call::Call;
use super::roll::{Roll, User};
use super::wanted::{Field, Wanted};

/// What a page has when nothing is said, and when more is asked for than there can be.
const USUAL: usize = 10;

/// The most that a page has.
const MOST: usize = 500;

/// Times to order by, besides the one of signing up.
const TIMES: [&str; 3] = ["updated_at", "last_active_at", "last_sign_in_at"];

/// By what, and whether the smallest is first.
struct Order<'a> {
    by: &'a str,
    rises: bool,
}

/// A page of users: a bare array, as in every version of the API so far.
pub(super) fn list(roll: &Roll, call: &Call) -> Result<Answer, Refusal> {
    let wanted = Wanted::read(call)?;
    let limit = match call.number("limit")? {
        Some(0) => return Err(Refusal::parameter("limit")),
        Some(limit) if limit <= MOST => limit,
        _ => USUAL,
    };
    let offset = call.number("offset")?.unwrap_or_default();
    let order = Order::read(call)?;
    let after = call.first("starting_after").map(|id| {
        let known = roll.user(id).filter(|_| order.by == "created_at" && offset == 0);
        known.ok_or_else(|| Refusal::parameter("starting_after"))
    });
    let after = after.transpose()?;
    let rows: Box<dyn Iterator<Item = User<'_>>> = match order {
        Order { by: "created_at", rises: true } => Box::new(roll.oldest_first(after)),
        Order { by: "created_at", rises: false } => Box::new(roll.newest_first(after)),
        order => Box::new(order.sorted(roll).into_iter()),
    };
    let page: Vec<_> = rows.filter(|user| wanted.fits(*user)).skip(offset).take(limit).map(User::text).collect();
    Ok(answer::json(format!("[{}]", page.join(","))))
}

/// How many fit.
pub(super) fn count(roll: &Roll, call: &Call) -> Result<Answer, Refusal> {
    let wanted = Wanted::read(call)?;
    let count =
        if wanted.is_all() { roll.len() } else { roll.oldest_first(None).filter(|user| wanted.fits(*user)).count() };
    Ok(answer::json(json!({ "object": "total_count", "total_count": count }).to_string()))
}

/// One user.
pub(super) fn one(roll: &Roll, id: &str) -> Result<Answer, Refusal> {
    let user = roll.user(id).ok_or_else(|| Refusal::not_found(format!("No user was found with id {id}")))?;
    Ok(answer::json(user.text().into_owned()))
}

impl<'a> Order<'a> {
    /// A `+` that was not escaped arrives as a space, and is implied where there is no sign.
    fn read(call: &'a Call) -> Result<Self, Refusal> {
        let text = call.first("order_by").unwrap_or("-created_at");
        let (by, rises) = match text.strip_prefix('-') {
            Some(by) => (by, false),
            None => (text.strip_prefix(['+', ' ']).unwrap_or(text), true),
        };
        let is_one = by == "created_at" || TIMES.contains(&by) || Field::of_order(by).is_some();
        if is_one { Ok(Self { by, rises }) } else { Err(Refusal::parameter("order_by")) }
    }

    /// By something that the roll is not kept by. Who has none of it comes last.
    fn sorted(self, roll: &Roll) -> Vec<User<'_>> {
        let mut rows: Vec<_> = roll.oldest_first(None).map(|user| (self.value(user), user)).collect();
        rows.sort_by(|(a, _), (b, _)| {
            let by_value = compare(a, b);
            let is_missing = a.is_null() || b.is_null();
            if self.rises || is_missing { by_value } else { by_value.reverse() }
        });
        rows.into_iter().map(|(_, user)| user).collect()
    }

    fn value(&self, user: User<'_>) -> Value {
        let user = user.object();
        match Field::of_order(self.by) {
            Some(field) => field.values(&user).first().map_or(Value::Null, |text| Value::from(*text)),
            None => user.get(self.by).cloned().unwrap_or_default(),
        }
    }
}

/// Numbers or texts; what is missing is greater than all.
fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => a.is_null().cmp(&b.is_null()).then_with(|| a.as_i64().cmp(&b.as_i64())),
    }
}
