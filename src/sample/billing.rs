//! Events of Clerk Billing: a person who pays by the month.

use serde_json::{Value, json};

use super::{Scene, person};
use crate::clock::Timestamp;

const MONTH: i64 = 30 * 24 * 3_600_000;
/// When the plan and its payee were set up; they belong to no person.
const PLANNED: Timestamp = Timestamp::from_millis(1_764_547_200_000);
const PRICE: i64 = 1_900;
const TAX: i64 = 437;

pub(super) fn subscription(verb: &str, scene: &Scene, at: Timestamp) -> Value {
    let overdue = verb == "pastDue";
    let status = if overdue { "past_due" } else { "active" };
    json!({
        "object": "commerce_subscription", "id": scene.visits("csub", "subscription"), "status": status,
        "active_at": scene.visit.since.as_millis(), "canceled_at": null, "ended_at": null,
        "past_due_at": overdue.then(|| at.as_millis()),
        "latest_payment_id": scene.visits("cpa", "payment"),
        "payer_id": scene.persons("cpayer", "payer"), "payer": payer(scene),
        "payment_source_id": scene.persons("cps", "card"), "items": [item(status, scene, at)],
        "created_at": scene.visit.since.as_millis(), "updated_at": at.as_millis(),
    })
}

/// An item of a subscription as an event of its own: then it names its payer and its subscription.
pub(super) fn item_event(verb: &str, scene: &Scene, at: Timestamp) -> Value {
    let status = match verb {
        "created" => "upcoming",
        "updated" | "freeTrialEnding" => "active",
        "pastDue" => "past_due",
        verb => verb,
    };
    let mut item = item(status, scene, at);
    item["payer"] = payer(scene);
    item["subscription_id"] = scene.visits("csub", "subscription").into();
    item["is_free_trial"] = (verb == "freeTrialEnding").into();
    item
}

fn item(status: &str, scene: &Scene, at: Timestamp) -> Value {
    let since = scene.visit.since;
    let plan = scene.id("cplan", "plan", PLANNED);
    json!({
        "object": "commerce_subscription_item", "id": scene.visits("csub_item", "item"), "status": status,
        "is_free_trial": false, "interval": "month",
        "period_start": since.as_millis(), "period_end": since.plus_millis(MONTH).as_millis(),
        "plan_id": plan,
        "plan": {
            "id": plan, "slug": "practice", "name": "Practice", "is_recurring": true,
            "amount": PRICE, "currency": "EUR",
        },
        "subscription_id": null, "created_at": since.as_millis(), "updated_at": at.as_millis(),
    })
}

/// Who pays: a person, so that the fields of an organisation are empty strings, as Clerk sends them.
fn payer(scene: &Scene) -> Value {
    let (who, joined) = (scene.who(), scene.person.since.as_millis());
    json!({
        "object": "commerce_payer", "id": scene.persons("cpayer", "payer"), "user_id": scene.user_id(),
        "first_name": who.first, "last_name": who.last, "email": scene.email(),
        "organization_id": "", "organization_name": "", "image_url": person::image_url(scene),
        "created_at": joined, "updated_at": joined,
    })
}

pub(super) fn payment_attempt(verb: &str, scene: &Scene, at: Timestamp) -> Value {
    let paid = verb == "updated";
    let mut attempt = json!({
        "id": scene.visits("pa", "attempt"), "payment_id": scene.visits("cpa", "payment"),
        "invoice_id": scene.visits("cinv", "invoice"), "statement_id": scene.visits("stmt", "statement"),
        "gateway_external_id": scene.visits("pi", "intent"), "status": if paid { "paid" } else { "pending" },
        "paid_at": paid.then(|| at.as_millis()), "failed_at": null, "failed_reason": null,
        "billing_date": scene.visit.since.as_millis(), "charge_type": "checkout",
        "payee": {
            "id": scene.id("cpayee", "payee", PLANNED), "gateway_type": "stripe",
            "gateway_external_id": "acct_sample", "gateway_status": "active",
        },
        "payer": payer(scene),
        "totals": { "subtotal": money(PRICE), "tax_total": money(TAX), "grand_total": money(PRICE + TAX) },
        "payment_source": {
            "id": scene.persons("cps", "card"), "gateway": "stripe", "gateway_external_id": "pm_sample",
            "gateway_external_account_id": null, "payment_method": "card", "status": "active",
            "card_type": "visa", "last4": "0341",
        },
        "subscription_items": [billed_item(scene, at)],
        "created_at": scene.visit.since.as_millis(), "updated_at": at.as_millis(),
    });
    if let Some(instance) = &scene.instance {
        attempt["instance_id"] = instance.as_str().into();
    }
    attempt
}

/// An item as a payment shows it: with the amounts.
fn billed_item(scene: &Scene, at: Timestamp) -> Value {
    let mut item = item("active", scene, at);
    let next = item["period_end"].clone();
    for (name, value) in [
        ("amount", money(PRICE)),
        ("lifetime_paid", PRICE.into()),
        ("next_payment_amount", PRICE.into()),
        ("next_payment_date", next),
        ("plan_period", "month".into()),
        ("credit", Value::Null),
        ("canceled_at", Value::Null),
        ("past_due_at", Value::Null),
    ] {
        item[name] = value;
    }
    item
}

fn money(cents: i64) -> Value {
    let formatted = format!("€{}.{:02}", cents / 100, cents % 100);
    json!({ "amount": cents, "amount_formatted": formatted, "currency": "EUR", "currency_symbol": "€" })
}
