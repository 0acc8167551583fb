//! Links that sign somebody in as somebody else, where the log cannot take the entry: there is no link then.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "common/disk.rs"]
mod disk;

use std::path::Path;

use disk::{Call, Disk};
use rollbook::audit::{Actor, Draft, Source};
use rollbook::clerk::backend::Backend;
use rollbook::clock::{Clock, Timestamp};
use rollbook::http::acting::{Error, Order, sign_in_as};
use rollbook::json::Object;
use rollbook::stand_in::StandIn;
use rollbook::store::{Store, Told};
use rollbook::sync::Policy;
use rollbook::user::ClerkId;
use serde_json::{Value, json};

const AT: Timestamp = Timestamp::from_millis(1_767_225_600_000);

fn user() -> serde_json::Map<String, Value> {
    json!({ "id": "user_1", "object": "user", "created_at": 1_716_883_200_000_i64 }).as_object().unwrap().clone()
}

fn entry(action: &str) -> Draft {
    Draft::new(action, Actor::Cli, Source::Cli)
}

#[tokio::test]
async fn what_cannot_be_noted_is_taken_back() {
    let (clock, disk, id) = (Clock::fixed(AT), Disk::default(), "user_1".parse::<ClerkId>().unwrap());
    let clerk = StandIn::start("ins_test", clock.clone()).await.unwrap();
    clerk.put_user(user()).unwrap();
    let backend = Backend::new(&clerk.url, clerk.secret_key(), clock.clone()).unwrap();
    let store = Store::with_backend(disk.clone(), Path::new("a disk"), 1 << 20, Policy::default(), clock).unwrap();
    let told = Told::ByToken(Object::new(user()));
    store.provision(id, told, entry("user.provisioned")).await.unwrap();
    let order = Order { user: "user_1".parse().unwrap(), actor: None, reason: "Ticket 4711".to_owned() };

    let link = sign_in_as(&store, &backend, order.clone(), entry("actor_token.created")).await.unwrap();
    assert!(link.contains("ticket=") && clerk.requests() == 1);
    disk.break_at(Call::Sync, 0);
    let failed = sign_in_as(&store, &backend, order.clone(), entry("actor_token.created")).await;
    assert!(matches!(failed, Err(Error::Store(_))), "{failed:?}");
    assert_eq!(clerk.requests(), 3, "made, and taken back");
    let failed = sign_in_as(&store, &backend, order, entry("actor_token.created")).await;
    assert!(matches!(failed, Err(Error::Store(_))), "{failed:?}");
    assert_eq!(clerk.requests(), 3, "not even made");
}
