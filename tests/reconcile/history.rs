//! Histories of a few people, whose webhooks are lost, repeated, out of order and late. Whatever came, after one comparison
//! the roll is what Clerk has, and what comes later does not change that.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use rollbook::store::UserPatch;
use rollbook::user::UserId;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{AT, Pair, by, created, walk};
use crate::common::{clerk_id, deleted_event, user_event};

/// What happens to somebody.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// They sign up; if they were deleted before, as somebody else.
    Create,
    Rename(u8),
    /// In the same millisecond as the step before, by Clerk's clock.
    RenameAtOnce(u8),
    Ban,
    Delete,
}

/// What becomes of a webhook.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Lost,
    Once,
    Twice,
    /// Only after the comparison.
    Late,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Create),
        3 => any::<u8>().prop_map(Step::Rename),
        2 => any::<u8>().prop_map(Step::RenameAtOnce),
        1 => Just(Step::Ban),
        2 => Just(Step::Delete),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![3 => Just(Fate::Lost), 2 => Just(Fate::Once), 1 => Just(Fate::Twice), 2 => Just(Fate::Late)]
}

/// Somebody, a step, what becomes of its webhook, and when that comes among the others.
type Dice = (usize, Step, Fate, u16);

/// A webhook, of whom, and its id.
#[derive(Debug)]
struct Told {
    id: String,
    user: String,
    event: Value,
    fate: Fate,
    turn: u16,
}

/// What happened, as Clerk tells it, in its order.
fn history(dice: &[Dice]) -> Vec<Told> {
    let mut people: BTreeMap<usize, (u32, Option<Value>)> = BTreeMap::new();
    let mut told = Vec::new();
    for (at, (who, step, fate, turn)) in (1_i64..).zip(dice) {
        let (lives, now) = people.entry(*who).or_default();
        let time = AT + at * 10;
        let event = match (step, now.take()) {
            (Step::Create, None) => {
                *lives += 1;
                user_event("user.created", &format!("user_{who}x{lives}"), time, "First")
            }
            (Step::Delete, Some(before)) => deleted_event(before["data"]["id"].as_str().unwrap(), time),
            (step, Some(before)) => changed(before, *step, time),
            (_, None) => continue,
        };
        *now = (event["type"] != "user.deleted").then(|| event.clone());
        let user = event["data"]["id"].as_str().unwrap().to_owned();
        told.push(Told { id: format!("msg_{at}"), user, event, fate: *fate, turn: *turn });
    }
    rescue(&mut told);
    told
}

fn changed(mut event: Value, step: Step, time: i64) -> Value {
    event["type"] = "user.updated".into();
    event["timestamp"] = (time + 5).into();
    let data = &mut event["data"];
    match step {
        Step::Rename(name) | Step::RenameAtOnce(name) => data["first_name"] = format!("Name{name}").into(),
        _ => data["banned"] = true.into(),
    }
    if !matches!(step, Step::RenameAtOnce(_)) {
        data["updated_at"] = time.into();
    }
    event
}

/// Of whom nothing comes before the comparison and something after it, nobody can know by then that they are gone: of them
/// the deletion comes too.
fn rescue(told: &mut [Told]) {
    let early = |told: &Told| matches!(told.fate, Fate::Once | Fate::Twice);
    let known: BTreeSet<String> = told.iter().filter(|told| early(told)).map(|told| told.user.clone()).collect();
    for told in told.iter_mut().filter(|told| told.event["type"] == "user.deleted" && !known.contains(&told.user)) {
        told.fate = Fate::Late;
    }
}

async fn deliver(pair: &Pair, told: &[Told], is_due: impl Fn(Fate) -> bool) {
    let mut due: Vec<&Told> = told.iter().filter(|told| is_due(told.fate)).collect();
    due.sort_by_key(|told| told.turn);
    for told in due {
        for _ in 0..=usize::from(told.fate == Fate::Twice) {
            assert_eq!(pair.server.deliver_as(&told.id, &told.event).await.status, 200);
        }
    }
}

async fn run(policy: &str, dice: &[Dice]) {
    let pair = Pair::start(&[("ROLLBOOK_DELETE", policy)]).await;
    // Clerk need not be paced in its own house, and somebody is there from the start whom an operator knows.
    pair.clerk.allow(10_000);
    pair.tell(&created("user_Kept", "Kept")).await;
    let patch = UserPatch { practice_id: Some(Some("north".parse().unwrap())), ..UserPatch::default() };
    let entry = by().entry("user.assigned");
    let kept = UserId::of(&clerk_id("user_Kept"));
    pair.server.app.store.set_user(kept, patch, None, entry).await.unwrap().unwrap();
    pair.lose(&super::updated("user_Kept", 1, "Still"));

    let told = history(dice);
    for told in &told {
        pair.lose(&told.event);
    }
    deliver(&pair, &told, |fate| matches!(fate, Fate::Once | Fate::Twice)).await;
    let walked = walk(&pair.server, false).await.unwrap();
    assert_eq!((walked.report.failed, walked.report.apart), (0, 0));
    pair.compare();
    deliver(&pair, &told, |fate| fate == Fate::Late).await;
    pair.compare();

    assert_eq!(pair.server.user("user_Kept").unwrap().practice_id.unwrap().as_str(), "north");
    for told in told.iter().filter(|told| told.event["type"] == "user.deleted") {
        let left = pair.server.user(&told.user);
        assert!(left.is_none_or(|user| policy == "soft" && user.deleted_at.is_some()), "{}", told.user);
    }
    // And the next one has nothing to do.
    assert_eq!(walk(&pair.server, false).await.unwrap().drift(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_comparison_makes_good_whatever_was_lost(dice in vec((0..4_usize, step(), fate(), any::<u16>()), 1..24)) {
        Runtime::new().unwrap().block_on(async {
            tokio::join!(run("soft", &dice), run("hard", &dice));
        });
    }
}
