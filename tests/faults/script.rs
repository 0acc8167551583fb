//! What is done to a store while its disk breaks: every kind of write there is, in an order in which each has something
//! to write.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use rollbook::api_key::{Scope, Scopes, Wanted};
use rollbook::audit::retention::Cutoff;
use rollbook::audit::{Actor, Draft, Source};
use rollbook::clerk::webhook::read_again;
use rollbook::clock::{Clock, Timestamp};
use rollbook::json::Object;
use rollbook::store::{Admin, AdminSession, By, Link, Order, Quarantined, Store, Told, UserPatch};
use rollbook::sync::{Fetched, Found, Policy, Stage};
use rollbook::target::{Course, Kind, Target};
use rollbook::traffic::{Hour, hour_of};
use rollbook::user::{UserId, UserRef};
use serde_json::{Value, json};

use super::site::{Place, Site, T, run};
use crate::common::{clerk_id, deleted_event, user_event};
use crate::deliveries::received;
use crate::disk::Survival;

/// One thing to do: what it is called, and how it is done.
pub(crate) type Deed = (&'static str, for<'a> fn(&'a Site) -> BoxFuture<'a, Result<(), String>>);

/// A part of the script.
pub(crate) enum Step {
    /// Messages that come at the same time: id and body.
    Deliver(Vec<(String, String)>),
    Do(Deed),
}

impl Step {
    /// How many things are done in it.
    pub(crate) fn things(&self) -> usize {
        match self {
            Self::Deliver(messages) => messages.len(),
            Self::Do(_) => 1,
        }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::Deliver(messages) => messages.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>().join(", "),
            Self::Do((name, _)) => (*name).to_owned(),
        }
    }
}

/// So many messages came long ago: together with the first ones of the script they fill the tree's second tile, and the
/// first tile may be pruned.
pub(crate) const OLD: u64 = 500;

/// 2010-01-01.
const LONG_AGO: i64 = 1_262_304_000_000;

/// Messages that come at the same time.
const AT_ONCE: usize = 6;

/// A place where somebody has worked before, closed.
pub(crate) static WORKED_IN: LazyLock<Place> = LazyLock::new(|| {
    let place = Place::new();
    run(async {
        let clock = Clock::fixed(Timestamp::from_millis(LONG_AGO));
        let site = Site::open_with(&place, Policy::default(), clock).await.unwrap();
        let old = (0..OLD.cast_signed()).map(|n| {
            let event = user_event("user.updated", &format!("user_{}", n % 20), LONG_AGO + n, &format!("Ann {n}"));
            received(&format!("old_{n}"), &event.to_string())
        });
        for answer in join_all(old.map(|delivery| site.store.ingest(delivery))).await {
            answer.unwrap();
        }
        site.clock.set(Timestamp::from_millis(T));
        site.notary.publish().await.unwrap();
        site.close().await;
    });
    place
});

/// The whole script.
pub(crate) static SCRIPT: LazyLock<Vec<Step>> = LazyLock::new(|| {
    let mut steps = vec![Step::Do(DEEDS[0])];
    steps.extend(messages().chunks(AT_ONCE).map(|messages| Step::Deliver(messages.to_vec())));
    steps.extend(DEEDS[1..].iter().copied().map(Step::Do));
    steps
});

/// One of every family of events, and what is repeated, late, deleted, strange and illegible.
fn messages() -> Vec<(String, String)> {
    let of_user = |n: i64, user: &str, name: &str| user_event("user.updated", user, T + n, name).to_string();
    let mut stranger = user_event("user.created", "user_stranger", T, "Who");
    stranger["instance_id"] = "ins_other".into();
    let told = [
        ("msg_new", of_user(10, "user_a", "Ann")),
        ("msg_newer", of_user(20, "user_a", "Anna")),
        ("msg_newer", of_user(20, "user_a", "Anna")),
        ("msg_stale", of_user(15, "user_a", "An")),
        ("msg_same", of_user(21, "user_a", "Anna")),
        ("msg_b", of_user(10, "user_b", "Bo")),
        ("msg_c", of_user(10, "user_c", "Cy")),
        ("msg_d", of_user(10, "user_d", "Di")),
        ("msg_c_deleted", deleted_event("user_c", T + 30).to_string()),
        ("msg_c_late", of_user(20, "user_c", "Cyd")),
        ("msg_d_deleted", deleted_event("user_d", T + 30).to_string()),
        ("msg_never_seen", deleted_event("user_never_seen", T + 30).to_string()),
        ("msg_illegible", "{\"no event\"".to_owned()),
        ("msg_other", json!({ "type": "user.created", "data": 7 }).to_string()),
        ("msg_stranger", stranger.to_string()),
        ("msg_untyped", json!({ "type": "novelty.made", "object": "event", "timestamp": T, "data": {} }).to_string()),
    ];
    let told = told.into_iter().map(|(id, body)| (id.to_owned(), body));
    told.chain(fixtures())
        .chain((0..6).map(long))
        .chain([("msg_illegible".to_owned(), "{\"no event\"".to_owned())])
        .collect()
}

/// A message that takes so much room that the file must grow for a few of them.
fn long(n: i64) -> (String, String) {
    let mut event = user_event("user.created", &format!("user_long_{n}"), T, "Lo");
    event["data"]["public_metadata"]["note"] = "long ".repeat(20_000).into();
    (format!("msg_long_{n}"), event.to_string())
}

/// The fixtures, as the instance's of these tests.
fn fixtures() -> impl Iterator<Item = (String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let files: BTreeMap<String, Value> = fs::read_dir(folder)
        .unwrap()
        .map(Result::unwrap)
        .map(|file| {
            let name = file.file_name().into_string().unwrap();
            (name, serde_json::from_slice(&fs::read(file.path()).unwrap()).unwrap())
        })
        .collect();
    files.into_iter().map(|(name, mut event)| {
        event["instance_id"] = "ins_test".into();
        (format!("msg_{}", name.replace('.', "_")), event.to_string())
    })
}

/// Everything that is not a delivery. The first one comes before those.
const DEEDS: &[Deed] = &[
    ("publish a checkpoint", |site| async { told(site.notary.publish().await) }.boxed()),
    ("provision", |site| {
        let id = clerk_id("user_p");
        let claims = Told::ByToken(person("user_p", 10, "Pat"));
        async { told(site.store.provision(id, claims, system("user.provisioned")).await) }.boxed()
    }),
    ("refresh", |site| {
        let id = UserId::of(&clerk_id("user_p"));
        async move { told(site.store.refresh(id, person("user_p", 20, "Patricia"), system("user.updated")).await) }
            .boxed()
    }),
    ("set a role", |site| {
        let patch = UserPatch {
            role: Some("ADMIN".parse().unwrap()),
            plan: Some("clinic".parse().unwrap()),
            ..UserPatch::default()
        };
        let id = UserId::of(&clerk_id("user_a"));
        async move { told(site.store.set_user(id, patch, None, cli().entry("user.assigned")).await) }.boxed()
    }),
    ("add usage", |site| {
        let id = UserId::of(&clerk_id("user_a"));
        async move {
            told(
                site.store
                    .add_usage(id, BTreeMap::from([("calls".parse().unwrap(), 3)]), None, system("user.used"))
                    .await,
            )
        }
        .boxed()
    }),
    ("record", |site| async { told(site.store.record(system("test.noted")).await) }.boxed()),
    ("attest", |site| {
        let entry = system("test.attested").about(&clerk_id("user_b")).with("ip", Some("192.0.2.7"));
        async { told(site.store.attest(entry).await) }.boxed()
    }),
    ("make and use an API key", |site| {
        let scopes = Scopes::new([Scope::UsersRead]).unwrap();
        let wanted = Wanted { name: "server".parse().unwrap(), scopes, expires_at: None };
        async {
            let (_, secret) = site.store.create_api_key(wanted, cli().entry("key.created")).await.map_err(debug)?;
            told(site.store.note_api_key_use(secret.hash(), Timestamp::from_millis(T + 60_000)).await)
        }
        .boxed()
    }),
    ("revoke an API key", |site| {
        async {
            let keys = site.store.api_keys().await.map_err(debug)?;
            told(site.store.revoke_api_key(keys[0].id.clone(), cli().entry("key.revoked")).await)
        }
        .boxed()
    }),
    ("put a link", |site| {
        async { told(site.store.put_link(None, LINK, link(), cli().entry("admin.invited")).await) }.boxed()
    }),
    ("redeem a link", |site| {
        let now = Timestamp::from_millis(T);
        async move { told(site.store.redeem_link(LINK, admin(), now, cli().entry("admin.password_set")).await) }.boxed()
    }),
    ("open a session", |site| {
        async { told(site.store.open_session(SESSION, session(), cli().entry("admin.signed_in")).await) }.boxed()
    }),
    ("see a session", |site| {
        let (now, ip) = (Timestamp::from_millis(T + 60_000), "192.0.2.8".parse().unwrap());
        async move { told(site.store.touch_session(SESSION, now, ip).await) }.boxed()
    }),
    ("close a session", |site| {
        async { told(site.store.close_session(SESSION, cli().entry("admin.signed_out")).await) }.boxed()
    }),
    ("try again what is in quarantine", |site| {
        let again = |item: &Quarantined| read_again(&item.body, item.received_at, item.reason);
        async move { told(site.store.reprocess(0..u64::MAX, again, cli()).await) }.boxed()
    }),
    ("discard", |site| {
        async {
            let first = site.store.quarantine(all()).await.map_err(debug)?.items[0].seq;
            told(site.store.discard(first, cli()).await)
        }
        .boxed()
    }),
    ("add a target", |site| {
        async { told(site.store.add_target(target(), Course::default(), cli().entry("target.added")).await) }.boxed()
    }),
    ("note a target's course", |site| {
        let course = Course { after: Some(400), delivered: 7, ..Course::default() };
        async { told(site.store.put_course(target().name, course, None).await) }.boxed()
    }),
    ("remove a target", |site| {
        async { told(site.store.remove_target(target().name, cli().entry("target.removed")).await) }.boxed()
    }),
    ("keep keys", |site| async { told(site.store.keep_keys(b"{\"keys\":[]}".to_vec()).await) }.boxed()),
    ("count", |site| {
        let mut hour = Hour::new(hour_of(Timestamp::from_millis(T)));
        hour.note_refused("bad_signature", 7);
        async { told(site.store.count(vec![hour]).await) }.boxed()
    }),
    ("review", |site| {
        let to = site.store.counts().entries - 1;
        async move { told(site.store.review(to, cli().entry("log.reviewed")).await) }.boxed()
    }),
    ("compare with Clerk's list", |site| walk(&site.store).boxed()),
    ("delete by hand", |site| {
        let id = UserId::of(&clerk_id("user_b"));
        async move { told(site.store.delete_user(id, None, cli().entry("user.deleted")).await) }.boxed()
    }),
    ("publish another checkpoint", |site| async { told(site.notary.publish().await) }.boxed()),
    ("erase", |site| {
        let order =
            Order { by: cli(), reason: Some("asked to".to_owned()), even_if_live: false, even_if_untold: false };
        let who: UserRef = "user_c".parse().unwrap();
        async move { told(site.store.erase(&who, order, |_| {}).await) }.boxed()
    }),
    ("prune", |site| {
        let cutoff = Cutoff::new("2011-01-01".parse().unwrap(), Timestamp::from_millis(T), false).unwrap();
        async move { told(site.store.prune(cutoff, cli(), |_, _| {}).await) }.boxed()
    }),
    ("change the signing key", |site| async { told(site.notary.rotate(cli()).await) }.boxed()),
    ("record at last", |site| async { told(site.store.record(system("test.noted")).await) }.boxed()),
    ("publish the last checkpoint", |site| async { told(site.notary.publish().await) }.boxed()),
];

/// A walk over the users: one is new, one has changed, one was never told of, and the others Clerk does not have.
async fn walk(store: &Store) -> Result<(), String> {
    let fetched = |id: &str, n: i64, name: &str| {
        Found::User(Fetched {
            id: clerk_id(id),
            updated_at: Timestamp::from_millis(T + n),
            at: Timestamp::from_millis(T + n),
            clerk: person(id, n, name),
        })
    };
    let walk = store.begin_walk(false, None, cli()).await.map_err(debug)?;
    let found =
        vec![fetched("user_a", 100, "Ann-Marie"), fetched("user_new", 100, "Newton"), fetched("user_b", 10, "Bo")];
    let walk = store.reconcile(walk, found, Stage::Missing(None)).await.map_err(debug)?;
    let unmarked = store.unmarked(&walk, None).await.map_err(debug)?;
    let nobody = unmarked.users.iter().take(3).map(|user| Found::Nobody(user.clerk_id.clone())).collect();
    let walk = store.reconcile(walk, nobody, Stage::Missing(unmarked.next)).await.map_err(debug)?;
    store.finish_walk(walk, cli()).await.map_err(debug)?;
    told(store.forget_marks(false).await)
}

fn told<T, E: Debug>(answer: Result<T, E>) -> Result<(), String> {
    answer.map(drop).map_err(debug)
}

fn debug(error: impl Debug) -> String {
    format!("{error:?}")
}

fn cli() -> By {
    By { actor: Actor::Cli, source: Source::Cli }
}

fn system(action: &str) -> Draft {
    Draft::new(action, Actor::System, Source::System)
}

fn all() -> rollbook::page::PageRequest {
    rollbook::page::PageRequest { limit: rollbook::page::Limit::MAX, cursor: None }
}

fn person(id: &str, n: i64, name: &str) -> Object {
    let event = user_event("user.updated", id, T + n, name);
    Object::new(event["data"].as_object().unwrap().clone())
}

const LINK: [u8; 32] = [1; 32];
const SESSION: [u8; 32] = [2; 32];

fn link() -> Link {
    Link { admin: "ada".to_owned(), expires_at: Timestamp::from_millis(T + 60_000), by: None }
}

fn admin() -> Admin {
    let password = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaA".to_owned();
    Admin { name: "ada".to_owned(), password, changed_at: Timestamp::from_millis(T), seen_at: None }
}

fn session() -> AdminSession {
    let now = Timestamp::from_millis(T);
    AdminSession { admin: "ada".to_owned(), opened_at: now, used_at: now, ip: None, user_agent: None }
}

fn target() -> Target {
    let (name, url) = ("billing".parse().unwrap(), "https://billing.example.com/".to_owned());
    Target { name, url, kind: Kind::Events, types: rollbook::audit::feed::Types::default(), bearer: false }
}

/// The messages of a step.
pub(crate) async fn deliver(store: &Store, messages: &[(String, String)]) -> Vec<Result<(), String>> {
    let calls = messages.iter().map(|(id, body)| store.ingest(received(id, body)));
    join_all(calls).await.into_iter().map(told).collect()
}

/// The same place again.
pub(crate) fn worked_in() -> Place {
    WORKED_IN.beside(WORKED_IN.disk.salvage(Survival::All))
}
