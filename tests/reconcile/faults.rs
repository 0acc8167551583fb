//! Clerk out of order, a key that is of no use, and people who come and go while their list is read.

use std::sync::{Arc, Mutex};

use rollbook::audit::{Actor, Source};
use rollbook::clock::Clock;
use rollbook::reconcile::NotBegun;
use rollbook::stand_in::StandIn;
use rollbook::store::By;
use rollbook::sync::Report;
use tokio::sync::oneshot;
use warp::Filter as _;
use warp::http::{HeaderMap, StatusCode};
use warp::path::FullPath;

use super::{Pair, by, created, deleted, of_sync, server, updated, walk};
use crate::common::TestServer;

/// Whom to answer something else than Clerk would: an end of a path, and the status, where 200 is an empty list.
type Faults = Arc<Mutex<Vec<(&'static str, u16)>>>;

/// What stands before Clerk, and is now and then out of order.
struct Front {
    url: String,
    faults: Faults,
    _end: oneshot::Sender<()>,
}

impl Front {
    async fn of(clerk: &StandIn) -> Self {
        let faults = Faults::default();
        let (base, client, set) = (clerk.url.clone(), reqwest::Client::new(), Arc::clone(&faults));
        let query = warp::query::raw().or(warp::any().map(String::new)).unify();
        let answer = warp::path::full().and(query).and(warp::header::headers_cloned()).then(
            move |path: FullPath, query: String, headers: HeaderMap| {
                let url = format!("{base}{}?{query}", path.as_str());
                let key = headers["authorization"].to_str().unwrap().to_owned();
                let faults = set.lock().unwrap().clone();
                let fault = faults.into_iter().find(|(end, _)| path.as_str().ends_with(end)).map(|(_, status)| status);
                let request = client.get(url).header("authorization", key);
                async move {
                    if let Some(status) = fault {
                        let body = if status == 200 { "[]" } else { "{\"errors\":[]}" };
                        return answered(StatusCode::from_u16(status).unwrap(), body.to_owned());
                    }
                    let answer = request.send().await.unwrap();
                    answered(answer.status(), answer.text().await.unwrap())
                }
            },
        );
        let (end, ended) = oneshot::channel::<()>();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = warp::serve(answer).incoming(listener).graceful(async move { drop(ended.await) });
        tokio::spawn(serving.run());
        Self { url, faults, _end: end }
    }

    fn fail(&self, faults: &[(&'static str, u16)]) {
        *self.faults.lock().unwrap() = faults.to_vec();
    }
}

fn answered(status: StatusCode, text: String) -> warp::http::Response<String> {
    warp::http::Response::builder().status(status).body(text).unwrap()
}

async fn fronted() -> (StandIn, Front, TestServer) {
    let clerk = StandIn::start("ins_test", Clock::system()).await.unwrap();
    let front = Front::of(&clerk).await;
    let server = server(&clerk, &front.url, &[]).await;
    (clerk, front, server)
}

#[tokio::test]
async fn only_the_word_that_there_is_nobody_is_a_deletion() {
    let (clerk, front, server) = fronted().await;
    for id in ["user_Gone", "user_Odd"] {
        assert_eq!(server.outcome(&created(id, "Ann")).await, "applied");
    }
    // Of one Clerk says 404, for the other it fails, again and again.
    front.fail(&[("/user_Odd", 500)]);
    let walked = walk(&server, false).await.unwrap();
    assert_eq!(walked.report, Report { deleted: 1, failed: 1, ..Report::default() });
    assert!(server.user("user_Gone").unwrap().deleted_at.is_some());
    assert!(server.user("user_Odd").unwrap().deleted_at.is_none());
    // Somebody who is there after all is taken as Clerk has them.
    clerk.apply(&updated("user_Odd", 5, "Bo")).unwrap();
    front.fail(&[]);
    assert_eq!(walk(&server, false).await.unwrap().report, Report { fetched: 1, updated: 1, ..Report::default() });
    assert_eq!(server.user("user_Odd").unwrap().profile().first_name.as_deref(), Some("Bo"));
}

#[tokio::test]
async fn a_refused_key_ends_it_with_a_clear_word() {
    let pair = Pair::start(&[("CLERK_SECRET_KEY", "sk_test_00000000000000000000000000000000")]).await;
    pair.tell(&created("user_Ann", "Ann")).await;
    let cause = walk(&pair.server, false).await.unwrap_err();
    assert!(cause.contains("CLERK_SECRET_KEY") && !cause.contains("00000000"), "{cause}");
    let entries = of_sync(&pair.server).await;
    let last = &entries.last().unwrap().leaf;
    assert_eq!((last.action.as_str(), last.outcome.as_str()), ("sync.finished", "error"));
    assert_eq!(last.reason.as_deref(), Some("key_refused"));
    assert!(pair.server.user("user_Ann").unwrap().deleted_at.is_none());
}

#[tokio::test]
async fn a_key_of_another_instance_is_refused_before_anybody_is_compared() {
    let clerk = StandIn::start("ins_other", Clock::system()).await.unwrap();
    let server = server(&clerk, &clerk.url, &[]).await;
    assert_eq!(server.outcome(&created("user_Ann", "Ann")).await, "applied");
    clerk.apply(&created("user_Stranger", "Stranger")).unwrap();
    let cause = walk(&server, false).await.unwrap_err();
    assert!(cause.contains("ins_other") && cause.contains("ins_test"), "{cause}");
    assert_eq!(server.user("user_Stranger"), None);
    assert!(server.user("user_Ann").unwrap().deleted_at.is_none());
    assert_eq!(server.count("sync.started").await, 0);
}

#[tokio::test]
async fn until_a_webhook_comes_the_first_key_says_which_instance_it_is() {
    let clerk = StandIn::start("ins_first", Clock::system()).await.unwrap();
    let first = server(&clerk, &clerk.url, &[]).await;
    clerk.apply(&created("user_Ann", "Ann")).unwrap();
    walk(&first, true).await.unwrap();
    assert_eq!(first.app.store.instance().unwrap(), None, "a dry one changes nothing");
    walk(&first, false).await.unwrap();
    assert_eq!(first.app.store.instance().unwrap().as_deref(), Some("ins_first"));
    let other = StandIn::start("ins_other", Clock::system()).await.unwrap();
    let key = [("CLERK_SECRET_KEY", other.secret_key()), ("CLERK_API_URL", other.url.as_str())];
    let second = TestServer::open(first.stop().await, &key, Clock::system()).await;
    let cause = walk(&second, false).await.unwrap_err();
    assert!(cause.contains("ins_other") && cause.contains("ins_first"), "{cause}");
    assert!(second.user("user_Ann").unwrap().deleted_at.is_none());
}

/// Why the last comparison did not come to its end, as the log has it.
async fn reason(server: &TestServer) -> Option<String> {
    of_sync(server).await.pop().unwrap().leaf.reason
}

#[tokio::test]
async fn a_list_that_lacks_those_whom_clerk_counts_deletes_nobody() {
    let (clerk, front, server) = fronted().await;
    let ids: Vec<String> = (0..11).map(|n| format!("user_{n}")).collect();
    for id in &ids {
        let event = created(id, "Ann");
        clerk.apply(&event).unwrap();
        assert_eq!(server.outcome(&event).await, "applied");
    }
    let nobody = ids.iter().map(|id| (&*format!("/{id}").leak(), 404));
    front.fail(&nobody.chain([("/users", 200)]).collect::<Vec<_>>());
    for is_dry in [true, false] {
        let cause = walk(&server, is_dry).await.unwrap_err();
        assert_eq!(cause, "Clerk counts 11 users and lists 0; nobody was deleted");
        assert_eq!(reason(&server).await.as_deref(), Some("implausible"));
    }
    assert_eq!(server.app.store.counts().users, 11);
    // It begins anew, and does not go on behind the end of such a list.
    front.fail(&[]);
    assert_eq!(walk(&server, false).await.unwrap().report, Report { fetched: 11, unchanged: 11, ..Report::default() });
}

#[tokio::test]
async fn very_many_are_not_deleted_unless_somebody_wants_it() {
    let pair = Pair::start(&[]).await;
    for n in 0..101 {
        assert_eq!(pair.server.outcome(&created(&format!("user_{n}"), "Ann")).await, "applied");
    }
    let (walks, store) = (&pair.server.app.walks, &pair.server.app.store);
    let ourselves = By { actor: Actor::System, source: Source::System };
    let cause = walks.follow(false, ourselves, |_| ()).await.unwrap().result.unwrap_err();
    assert!(cause.starts_with("101 users of the roll are not in Clerk's list; nobody was deleted. Run"), "{cause}");
    assert_eq!(reason(&pair.server).await.as_deref(), Some("too_many_missing"));
    assert_eq!(store.counts().users, 101);
    // Whoever asks for it gets it.
    let begun = walks.follow(false, by(), |step| {
        if step.done > 0 {
            walks.suspend();
        }
    });
    begun.await.unwrap().result.unwrap_err();
    assert!(store.counts().users < 101);
}

#[tokio::test]
async fn without_a_key_there_is_none() {
    let server = TestServer::start().await;
    assert_eq!(server.app.walks.begin(false, by()), Err(NotBegun::NoKey));
    assert!(NotBegun::NoKey.to_string().contains("CLERK_SECRET_KEY"));
}

#[tokio::test]
async fn it_goes_on_behind_where_clerk_stopped_answering() {
    let (clerk, front, server) = fronted().await;
    let scene = rollbook::sample::Scene::new(b"crowd", rollbook::clock::Timestamp::from_millis(super::AT));
    clerk.put_crowd(&scene, 1200, rollbook::clock::Timestamp::from_millis(super::AT));
    let broken = std::cell::Cell::new(false);
    let outcome = server.app.walks.follow(false, by(), |step| {
        if step.done >= 500 && !broken.replace(true) {
            front.fail(&[("/users", 403)]);
        }
    });
    let cause = outcome.await.unwrap().result.unwrap_err();
    assert!(cause.contains("403"), "{cause}");
    // The page that was on its way by then came, or did not.
    let users = server.app.store.counts().users;
    assert!([500, 1000].contains(&users), "{users}");
    assert!(server.app.store.suspended_walk().unwrap().is_some());
    front.fail(&[]);
    let before = clerk.requests();
    let walked = walk(&server, false).await.unwrap();
    assert_eq!(walked.report, Report { fetched: 1200, created: 1200, ..Report::default() });
    assert!(walked.is_first);
    // The instance, the number, and the pages that are left.
    assert_eq!(clerk.requests() - before, 2 + (1200 - users).div_ceil(500));
}

#[tokio::test]
async fn it_begins_anew_when_the_user_it_stopped_at_is_gone() {
    let pair = Pair::start(&[]).await;
    let ids: Vec<String> = (0..3).map(|n| format!("user_{n}")).collect();
    for id in &ids {
        pair.lose(&created(id, "Ann"));
    }
    let store = &pair.server.app.store;
    let walk = store.begin_walk(false, None, by()).await.unwrap();
    let after = rollbook::sync::Stage::List(Some("user_1".parse().unwrap()));
    store.reconcile(walk, Vec::new(), after).await.unwrap();
    pair.lose(&deleted("user_1"));
    assert_eq!(pair.walk(false).await.report, Report { fetched: 2, created: 2, ..Report::default() });
    pair.compare();
}

#[tokio::test(flavor = "multi_thread")]
async fn people_come_change_and_go_while_it_walks() {
    let pair = Pair::start(&[]).await;
    let scene = rollbook::sample::Scene::new(b"crowd", rollbook::clock::Timestamp::from_millis(super::AT));
    pair.clerk.put_crowd(&scene, 1200, rollbook::clock::Timestamp::from_millis(super::AT));
    let everybody = pair.clerk.users();
    let id = |n: usize| everybody[n]["id"].as_str().unwrap();
    pair.walk(false).await;
    let now = super::AT + 1300 * 1000;
    let load = async {
        for n in 0..40 {
            let mut change = updated(id(n * 30), now + i64::try_from(n).unwrap(), "Changed");
            change["data"]["created_at"] = everybody[n * 30]["created_at"].clone();
            pair.tell(&change).await;
            pair.tell(&deleted(id(n * 30 + 1))).await;
            let mut come = created(&format!("user_new{n}"), "New");
            come["data"]["created_at"] = (now + i64::try_from(n).unwrap()).into();
            pair.tell(&come).await;
        }
    };
    let (walked, ()) = tokio::join!(pair.walk(false), load);
    // Whatever came first, a webhook or the walk: it is once so, and never taken back.
    assert_eq!((walked.report.failed, walked.report.deleted), (0, 0), "{:?}", walked.report);
    pair.compare();
    assert_eq!(pair.walk(false).await.drift(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_walks_at_a_time_and_stops_when_told() {
    let pair = Pair::start(&[]).await;
    let scene = rollbook::sample::Scene::new(b"crowd", rollbook::clock::Timestamp::from_millis(super::AT));
    pair.clerk.put_crowd(&scene, 2000, rollbook::clock::Timestamp::from_millis(super::AT));
    let walks = &pair.server.app.walks;
    let busy = std::cell::Cell::new(None);
    let outcome = walks.follow(false, by(), |step| {
        if busy.get().is_none() {
            busy.set(Some(walks.begin(false, by())));
        }
        if step.done > 0 {
            walks.suspend();
        }
    });
    let outcome = outcome.await.unwrap();
    assert_eq!(busy.get(), Some(Err(NotBegun::Busy)));
    assert!(outcome.result.unwrap_err().contains("goes on from there"));
    assert!(pair.server.app.store.counts().users < 2000);
    walks.begin(false, by()).unwrap();
    // The server stops in the middle, and does not wait for the end.
    let Pair { clerk, server } = pair;
    let dir = server.stop().await;
    let key = [("CLERK_SECRET_KEY", clerk.secret_key()), ("CLERK_API_URL", clerk.url.as_str())];
    let server = TestServer::open(dir, &key, Clock::system()).await;
    let walked = walk(&server, false).await.unwrap();
    assert_eq!(walked.report, Report { fetched: 2000, created: 2000, ..Report::default() });
    assert_eq!(server.app.walks.last().unwrap().result, Ok(walked));
}
