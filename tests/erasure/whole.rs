//! One person of whom there is everything there can be, and two others.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, StatusCode};
use rollbook::clock::{Clock, Timestamp};
use rollbook::control::{Erase, Reply, Request, ask, feed, follow};
use rollbook::sample::{EVENT_TYPES, Scene, event};
use rollbook::store::Extent;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{TestServer, clerk_id, sign, token};
use crate::file::{self, Roll, Table, Witness};

const AT: Timestamp = Timestamp::from_millis(1_750_000_000_000);

/// An address that Ines had for a while.
const FORMER: &str = "duarte.old@example.org";

/// Ines, who is erased.
fn ines() -> Scene {
    Scene::new(b"erasure", AT)
}

/// Noor, in an organisation of her own.
fn noor() -> Scene {
    Scene::new(b"erasure", AT).person(2, AT).organization(2, AT)
}

/// What must not be found afterwards: the id, addresses, a number, a name.
fn strings() -> Vec<String> {
    let of_sample = ["ines.duarte@example.org", "+15555550142", "crm-1041", "Duarte", FORMER];
    [ines().user_id()].into_iter().chain(of_sample.map(str::to_owned)).collect()
}

fn changed(mut event: Value, change: impl FnOnce(&mut Value)) -> Value {
    change(&mut event);
    event
}

/// Everything there is about Ines and Noor, by every way it can come.
async fn live_through_everything(server: &TestServer) {
    let boss = server.admin("user_boss").await;
    for kind in EVENT_TYPES.into_iter().filter(|kind| *kind != "user.deleted") {
        server.outcome(&event(kind, &ines(), AT.plus_millis(5)).unwrap()).await;
        server.outcome(&event(kind, &noor(), AT.plus_millis(5)).unwrap()).await;
    }
    // For a while Ines has another address, by which she is invited once more; then it is gone.
    let at = |millis: i64| AT.plus_millis(millis);
    let moved = changed(event("user.updated", &ines(), at(10)).unwrap(), |event| {
        event["data"]["email_addresses"][0]["email_address"] = FORMER.into();
    });
    server.outcome(&moved).await;
    let invited = changed(event("organizationInvitation.created", &noor().person(1, AT), at(11)).unwrap(), |event| {
        event["data"]["email_address"] = FORMER.to_uppercase().into();
    });
    server.outcome(&invited).await;
    server.outcome(&event("user.updated", &ines(), at(12)).unwrap()).await;

    // An organisation that Ines made and that others are in; Noor says who her manager is.
    let founded = event("organization.created", &ines().organization(1, at(13)), at(13)).unwrap();
    assert_eq!(founded["data"]["created_by"], ines().user_id());
    server.outcome(&founded).await;
    let managed = changed(event("user.updated", &noor(), at(14)).unwrap(), |event| {
        event["data"]["public_metadata"] =
            json!({ "manager": ines().user_id(), "mail": ines().email(), "sample": true });
    });
    server.outcome(&managed).await;

    // What cannot be applied.
    let elsewhere = changed(event("user.updated", &ines(), at(15)).unwrap(), |e| e["instance_id"] = "ins_other".into());
    assert_eq!(server.outcome(&elsewhere).await, "quarantined");
    for body in [
        format!("{{\"type\":\"user.updated\",\"data\":{{\"id\":\"{}\",", ines().user_id()),
        format!("{{\"type\":\"x\",\"data\":\"{}\"}}", ines().email()),
        "{\"type\":\"x\",\"data\":\"nobody\"}".to_owned(),
    ] {
        let headers = sign::sign(crate::common::SECRET, &sign::fresh_id(), sign::now_seconds(), body.as_bytes());
        assert_eq!(server.post_signed(&headers, &body).await.json()["outcome"], "quarantined");
    }
    server.outcome(&json!({ "type": "new.thing", "data": { "about": ines().email() }, "timestamp": 1 })).await;
    server.outcome(&json!({ "type": "new.thing", "data": { "about": "the weather" }, "timestamp": 1 })).await;

    // Reading and being read.
    let (hers, theirs) = (token(&ines().user_id()), token(&noor().user_id()));
    for path in ["/api/auth/me".to_owned(), format!("/api/users/{}/audit", ines().user_id())] {
        assert_eq!(server.get_as(&hers, &path).await.status, StatusCode::OK);
    }
    let other = format!("/api/users/{}", noor().user_id());
    assert_eq!(server.get_as(&hers, &other).await.status, StatusCode::NOT_FOUND);
    let her = format!("/api/users/{}", ines().user_id());
    assert_eq!(server.get_as(&theirs, &her).await.status, StatusCode::NOT_FOUND);
    for path in [
        her.clone(),
        format!("{her}/audit"),
        "/api/users".to_owned(),
        format!("/api/users?email={}", ines().email()),
        format!("/api/audit?subject={}", ines().user_id()),
    ] {
        assert_eq!(server.get_as(&boss, &path).await.status, StatusCode::OK, "{path}");
    }
    let question = json!({ "value": ines().email() });
    let asked =
        server.request(Method::POST, "/api/users/ever").bearer_auth(&boss).json(&question).send().await.unwrap();
    assert_eq!(asked.status(), StatusCode::OK);
    server.outcome(&event("user.deleted", &ines(), at(20)).unwrap()).await;
}

async fn erase(server: &TestServer, confirmed: bool) -> Option<Extent> {
    let id = ines().user_id().parse().unwrap();
    let erase = Erase {
        id,
        confirmed,
        even_if_live: false,
        even_if_untold: false,
        reason: Some("asked to be forgotten".to_owned()),
    };
    let (feed, _listening) = feed();
    match follow(&server.data(), &Request::Erase(erase), &feed).await.unwrap().unwrap() {
        Reply::Erasure { extent, done } => {
            assert_eq!(done, confirmed);
            Some(extent)
        }
        Reply::NotFound => None,
        other => panic!("{other:?}"),
    }
}

/// The data file while nobody has it open.
struct Still {
    tables: BTreeMap<String, Table>,
    roll: Roll,
}

impl Still {
    fn of(dir: &TempDir, witness: &mut Witness) -> Self {
        let db = file::open(&dir.path().join("rollbook.redb"));
        witness.follow(&db);
        Self { tables: file::dump(&db), roll: file::roll(&db) }
    }

    /// Every row that holds the text, in any case.
    fn holding(&self, text: &str) -> Vec<(&str, &str, &str)> {
        let wanted = text.to_lowercase();
        let holds = |text: &str| text.to_lowercase().contains(&wanted);
        let rows =
            self.tables.iter().flat_map(|(name, rows)| rows.iter().map(move |(k, v)| (&name[..], &k[..], &v[..])));
        rows.filter(|(_, key, value)| holds(key) || holds(value)).collect()
    }

    /// The places in the log of the entries about or by that person, and their details.
    fn details(&self, id: &str) -> BTreeMap<String, &String> {
        // A row begins with the person's number, whose first seven bytes are zero here.
        let number = |row: &str| row.strip_prefix(&"\\x00".repeat(7)).unwrap().as_bytes().to_vec();
        let number = number(&self.tables["subjects"][&format!("{id:?}")]);
        let number = if number[0] == b'\\' {
            u64::from_str_radix(std::str::from_utf8(&number[2..4]).unwrap(), 16).unwrap()
        } else {
            u64::from(number[0])
        };
        let mine = self.tables["audit_by_subject"].keys().filter_map(|key| key.strip_prefix(&format!("({number}, ")));
        let mine: BTreeSet<&str> = mine.map(|rest| rest.trim_end_matches(')')).collect();
        self.tables["audit_detail"]
            .iter()
            .filter(|(seq, _)| mine.contains(&seq[..]))
            .map(|(s, d)| (s.clone(), d))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_somebody_erased_and_nothing_of_others_is_lost() {
    let set: &[(&str, &str)] = &[("CLERK_INSTANCE_ID", "ins_test")];
    let mut witness = Witness::default();
    let server = TestServer::with(set).await;
    live_through_everything(&server).await;
    let dir = server.stop().await;
    let before = Still::of(&dir, &mut witness);
    for text in strings() {
        assert!(!before.holding(&text).is_empty(), "{text} never was there");
    }

    let server = TestServer::open(dir, set, Clock::system()).await;
    let planned = erase(&server, false).await.unwrap();
    assert!(server.user(&ines().user_id()).is_some(), "only asked");
    let extent = erase(&server, true).await.unwrap();
    // The question left an entry about her itself; it has no detail.
    assert_eq!(extent, planned);
    assert!(extent.record && !extent.live && extent.objects >= 4 && extent.details > 40, "{extent:?}");
    assert_eq!((extent.quarantined, extent.shared), (3, 0), "{extent:?}");
    assert!(erase(&server, true).await.is_none() && erase(&server, false).await.is_none(), "there is nobody any more");
    let id = ines().user_id().parse().unwrap();
    assert!(matches!(ask(&server.data(), &Request::User { id }).await.unwrap(), Some(Reply::NotFound)));
    let dir = server.stop().await;

    let after = Still::of(&dir, &mut witness);
    for text in strings() {
        assert_eq!(after.holding(&text), [], "{text}");
    }
    nobody_else_lost_anything(&before, &after);
}

fn nobody_else_lost_anything(before: &Still, after: &Still) {
    let (gone, noor) = (ines().user_id(), noor().user_id());
    let mut users = before.roll.users.clone();
    users.remove(&gone).unwrap();
    let metadata = &mut users.get_mut(&noor).unwrap()["clerk"]["public_metadata"];
    (metadata["manager"], metadata["mail"]) = ("[erased]".into(), "[erased]".into());
    assert_eq!(after.roll.users, users);
    let index = before.roll.index.iter().filter(|(_, id)| *id != gone).cloned();
    assert_eq!(after.roll.index, index.collect());
    assert!(after.roll.tombstones.is_empty() && after.roll.sign_ins.is_empty());

    // Objects: hers are gone, the others differ in what names her alone.
    let is_hers =
        |key: &(String, String)| before.roll.children.contains(&(format!("user:{gone}"), key.0.clone(), key.1.clone()));
    for (key, object) in &before.roll.objects {
        match after.roll.objects.get(key) {
            None => assert!(is_hers(key), "{key:?} is gone"),
            Some(now) if now == object => assert!(!is_hers(key)),
            Some(now) => {
                assert!(now.to_string().contains("[erased]") && !is_hers(key), "{key:?}");
                assert_eq!((&now["version"], &now["parents"]), (&object["version"], &object["parents"]));
                let fields = |object: &Value| object["body"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
                assert_eq!(fields(now), fields(object));
            }
        }
    }
    let (stays, blanked): (Vec<_>, Vec<_>) =
        after.roll.objects.iter().partition(|(_, now)| !now.to_string().contains("[erased]"));
    assert!(stays.len() > 10 && (3..12).contains(&blanked.len()), "{} {}", stays.len(), blanked.len());
    let names_nobody_gone = |(parent, ..): &&(String, String, String)| *parent != format!("user:{gone}");
    let listed: BTreeSet<_> = before
        .roll
        .children
        .iter()
        .filter(names_nobody_gone)
        .filter(|(_, kind, id)| !is_hers(&(kind.clone(), id.clone())))
        .cloned()
        .collect();
    assert_eq!(after.roll.children, listed);

    // Details of entries about Noor or by her: all but those that name Ines or are about her as well.
    let (mut kept, now, hers) = (before.details(&noor), after.details(&noor), before.details(&gone));
    kept.retain(|seq, detail| !hers.contains_key(seq) && !strings().iter().any(|text| detail.contains(text)));
    assert!(kept.len() > 20);
    assert!(now == kept, "{:?} {:?}", now.keys(), kept.keys());
    assert_eq!(after.tables["deliveries"], before.tables["deliveries"]);
    assert_eq!(after.tables["erased"].len(), 1);
    assert_eq!(after.tables["quarantine"].len(), before.tables["quarantine"].len() - 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_late_of_somebody_erased_names_nobody() {
    let set: &[(&str, &str)] = &[("CLERK_INSTANCE_ID", "ins_test")];
    let mut witness = Witness::default();
    let server = TestServer::with(set).await;
    live_through_everything(&server).await;
    erase(&server, true).await.unwrap();
    let boss = token("user_boss");

    // Every event about her again, as of a later visit; and one about an organisation she made.
    let later = AT.plus_millis(1000);
    let mut passed_over = 0;
    for kind in EVENT_TYPES {
        let late = event(kind, &ines().visit(1, later), later).unwrap();
        let about_her = |data: &Value| {
            [&data["user_id"], &data["public_user_data"]["user_id"], &data["payer"]["user_id"]]
                .contains(&&ines().user_id().into())
        };
        if !kind.starts_with("user.") && !about_her(&late["data"]) {
            continue;
        }
        assert_eq!(server.outcome(&late).await, "stale", "{kind}");
        let entry = server.entries().await.pop().unwrap();
        assert_eq!((entry.leaf.action.as_str(), entry.leaf.reason.as_deref()), (kind, Some("erased")));
        assert!(entry.leaf.target.is_none() && entry.leaf.detail.is_none() && entry.leaf.actor == "clerk", "{kind}");
        passed_over += 1;
    }
    assert!(passed_over > 25, "{passed_over}");
    let renamed =
        changed(event("organization.updated", &ines().organization(1, AT.plus_millis(13)), later).unwrap(), |event| {
            event["data"]["name"] = "Lantern and Daughters".into();
            event["extra"] = json!([ines().user_id()]);
        });
    assert_eq!(server.outcome(&renamed).await, "applied");
    let elsewhere = changed(event("user.updated", &ines(), later).unwrap(), |e| e["instance_id"] = "ins_other".into());
    assert_eq!(
        server.outcome(&changed(elsewhere, |e| e["data"] = json!({ "id": ines().user_id() }))).await,
        "quarantined"
    );

    // Her tokens, which Clerk may have signed before; and what was in progress when she was erased.
    let entries = server.app.store.counts().entries;
    for path in ["/api/auth/me", "/api/session", "/api/users", &format!("/api/users/{}", noor().user_id())] {
        let answer = server.get_as(&token(&ines().user_id()), path).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(server.app.store.counts().entries, entries, "counted, not noted");
    let (her, noors) = (clerk_id(&ines().user_id()), clerk_id(&noor().user_id()));
    let draft = |action: &str| {
        rollbook::audit::Draft::new(action, rollbook::audit::Actor::User(her.clone()), rollbook::audit::Source::Api)
    };
    server.app.store.record(draft("user.read").about(&noors).with("ip", Some("192.0.2.41"))).await.unwrap();
    server.app.store.record(draft("users.listed").listing([&her, &noors])).await.unwrap();
    let look = rollbook::audit::Draft::new("users.listed", rollbook::audit::Actor::Cli, rollbook::audit::Source::Cli);
    server.app.store.record(look.listing([&her, &noors])).await.unwrap();
    let last = server.entries().await;
    let [read, _, listed] = &last[last.len() - 3..] else { panic!() };
    assert_eq!((read.leaf.actor.as_str(), &read.leaf.detail), ("anonymous", &None));
    assert_eq!(read.target_user.as_ref(), Some(&noors));
    assert_eq!(listed.detail.as_ref().unwrap()["members"], json!([noor().user_id()]));

    // What an admin sees: entries about nobody, and lists without her.
    let erased = server.get_as(&boss, "/api/audit?action=user.erased").await.json();
    assert_eq!(erased["items"].as_array().unwrap().len(), 2, "{erased}");
    assert!(erased["items"].as_array().unwrap().iter().all(|entry| entry["target_user"].is_null()));
    let lists = server.get_as(&boss, "/api/audit?action=users.listed").await.json();
    let first = lists["items"].as_array().unwrap().last().unwrap()["detail"]["members"].as_array().unwrap().clone();
    let names: Vec<&str> = first.iter().map(|member| member.as_str().unwrap()).collect();
    assert!(
        names.contains(&noor().user_id().as_str()) && names.iter().any(|name| name.starts_with("s1.")),
        "{names:?}"
    );

    let dir = server.stop().await;
    let still = Still::of(&dir, &mut witness);
    for text in strings() {
        assert_eq!(still.holding(&text), [], "{text}");
    }
    assert!(still.holding("Lantern and Daughters").iter().any(|(table, ..)| *table == "objects"));
    let denied = still.tables["audit_leaf"]
        .values()
        .find(|leaf| leaf.contains(r#"\"reason\":\"erased\""#) && leaf.contains("api.denied"));
    assert!(denied.unwrap().contains(r#"\"actor\":\"anonymous\""#) && denied.unwrap().contains(r#"\"count\":4"#));
}
