//! Where calls may lead: not inside, unless the settings say so, whatever is written and whatever names lead to.

use rollbook::clerk::courier::{Address, BadAddress};
use rollbook::forward::{Error, Start};
use tokio::net::TcpListener;

use crate::common::{TestServer, user_event};
use crate::receiver::Receiver;
use crate::{add, by, create, events, start, until};

async fn refused(server: &TestServer, urls: &[&str]) {
    for url in urls {
        let added = server.app.forwarder.add(events("crm", url), None, Start::Now, by()).await;
        assert!(matches!(added, Err(Error::Address(_))), "{url}: {added:?}");
    }
}

#[tokio::test]
async fn an_address_inside_is_refused_however_it_is_written() {
    let server = TestServer::start().await;
    refused(
        &server,
        &[
            "http://example.com/hook",
            "http://localhost:9/",
            "https://127.0.0.1/",
            "https://0/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://017700000001/",
            "https://10.0.0.1/",
            "https://100.64.0.1/",
            "https://169.254.169.254/latest",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[64:ff9b::10.0.0.1]/",
            "https://[fd00::1]/",
            "http://1.1.1.1/",
            "https://user:secret@example.com/",
            "https://example.com\\@10.0.0.1/",
            "https://example.com/?to=10.0.0.1",
            "https://example.com/#x",
            "https://example.com:0/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "example.com",
            "https://",
        ],
    )
    .await;
    assert!(server.app.forwarder.all().is_empty());
}

#[tokio::test]
async fn a_network_that_the_settings_name_is_open_and_no_other() {
    let server = TestServer::with(&[("ROLLBOOK_FORWARD_PRIVATE", "10.1.0.0/16,fd00::/8")]).await;
    for url in
        ["http://10.1.2.3/", "https://10.1.2.3/", "http://[::ffff:10.1.2.3]/", "http://[fd00::1]/", "https://1.1.1.1/"]
    {
        server.app.forwarder.add(events("crm", url), None, Start::Now, by()).await.unwrap();
        server.app.forwarder.remove(crate::name("crm"), by()).await.unwrap();
    }
    refused(&server, &["http://10.2.0.1/", "http://127.0.0.1/", "http://1.1.1.1/", "https://192.168.0.1/"]).await;
}

#[tokio::test]
async fn a_name_that_leads_inside_leads_nowhere() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for (settings, url) in [
        (&[][..], format!("https://localhost:{port}/")),
        (&[("ROLLBOOK_FORWARD_PRIVATE", "10.0.0.0/8")], format!("http://localhost:{port}/")),
    ] {
        let server = TestServer::with(settings).await;
        add(&server, events("crm", &url)).await;
        create(&server, "user_1").await;
        let failing = until(&server, "crm", |status| status.course.failing.is_some()).await.course.failing.unwrap();
        assert!(failing.why.contains("no address that may be called"), "{failing:?}");
    }
    assert!(futures_util::FutureExt::now_or_never(listener.accept()).is_none(), "a connection was made");
}

#[tokio::test]
async fn what_is_no_longer_allowed_is_no_longer_called() {
    let (server, receiver) = (start().await, Receiver::start().await);
    add(&server, events("crm", &receiver.url)).await;
    let dir = server.stop().await;
    let server = TestServer::open(dir, &[], rollbook::clock::Clock::system()).await;
    create(&server, "user_1").await;
    let status = until(&server, "crm", |status| status.stuck.is_some()).await;
    assert!(status.stuck.unwrap().to_string().contains("ROLLBOOK_FORWARD_PRIVATE"));
    assert!(receiver.calls().is_empty());
}

#[tokio::test]
async fn a_setting_that_cannot_be_called_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let settings = crate::common::settings(&dir);
    let set = [("ROLLBOOK_FORWARD_URL", "http://hooks.example.com/"), ("ROLLBOOK_FORWARD_SECRET", crate::SECRET)];
    let get = |name: &str| {
        let set = set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        set.or_else(|| settings.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone()))
    };
    let config = rollbook::config::Config::read(get).unwrap();
    let refusal =
        rollbook::server::Server::bind(config, rollbook::clock::Clock::system()).await.unwrap_err().to_string();
    assert!(refusal.starts_with("ROLLBOOK_FORWARD_URL") && refusal.contains("ROLLBOOK_FORWARD_PRIVATE"), "{refusal}");
}

#[tokio::test]
async fn a_rollbook_does_not_take_its_own_events_for_those_of_clerk() {
    let server = start().await;
    let target = events("self", &server.url("/api/webhooks/clerk"));
    let secret = Some(crate::common::SECRET.parse().unwrap());
    server.app.forwarder.add(target, secret, Start::Now, by()).await.unwrap();
    create(&server, "user_1").await;
    let failing = until(&server, "self", |status| status.course.failing.is_some() || status.course.delivered > 0).await;
    assert_eq!(failing.course.failing.map(|failing| failing.why).as_deref(), Some("it answers 400"));
    assert!(failing.said.unwrap().contains("an event of a Rollbook, not of Clerk"));
    assert_eq!(server.app.forwarder.test(&crate::name("self")).await.unwrap().status, 400);
    let entries = server.entries().await;
    assert!(entries.iter().all(|entry| !entry.leaf.request.as_deref().unwrap_or_default().starts_with("evt_")));
    assert_eq!(server.app.store.counts().users, 1);
    // Without the member, or with another id, it is somebody's message like any.
    let event = user_event("user.created", "user_2", crate::T, "Ben");
    assert_eq!(server.deliver_as("evt_0123abcd_7", &event).await.status, 200);
    let mut event = user_event("user.created", "user_3", crate::T, "Cid");
    event["seq"] = 7.into();
    assert_eq!(server.deliver_as("evt_0123abcd_x", &event).await.status, 200);
    assert_eq!(server.deliver_as("evt_0123abcd_8", &event).await.status, 400);
}

#[tokio::test]
async fn a_link_local_address_of_the_settings_has_to_be_named_as_a_network() {
    let private = std::sync::Arc::from([]);
    for url in ["http://169.254.169.254/", "https://169.254.169.254/", "http://[fe80::1]/", "http://[::ffff:a9fe:1]/"] {
        assert_eq!(Address::of_settings(url, &private).unwrap_err(), BadAddress::OffLimits, "{url}");
    }
    assert!(Address::of_settings("http://10.0.0.1/", &private).is_ok());
    assert!(Address::of_settings("http://169.254.1.1/", &["169.254.1.0/24".parse().unwrap()].into()).is_ok());
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let (server, receiver, other) = (start().await, Receiver::start().await, Receiver::start().await);
    let location: &'static str = format!("location: {}/", other.url).leak();
    receiver.say(move |_| Some((307, location, "")));
    add(&server, events("crm", &receiver.url)).await;
    create(&server, "user_1").await;
    let failing = until(&server, "crm", |status| status.course.failing.is_some()).await.course.failing.unwrap();
    assert!(failing.why.contains("307") && other.calls().is_empty(), "{failing:?}");
}

#[tokio::test]
async fn an_address_of_the_settings_that_is_a_number_allows_itself_and_nothing_else() {
    let receiver = Receiver::start().await;
    let named = receiver.url.replace("127.0.0.1", "localhost");
    assert_ne!(named, receiver.url);
    for url in [&receiver.url, &named] {
        let set = [("ROLLBOOK_FORWARD_URL", url.as_str()), ("ROLLBOOK_FORWARD_SECRET", crate::receiver::SECRET)];
        let server = TestServer::with(&set).await;
        create(&server, "user_1").await;
        until(&server, "settings", |status| status.course.delivered > 0).await;
        refused(&server, &["http://127.0.0.1:9/", "https://127.0.0.1:9/"]).await;
    }
    assert_eq!(receiver.calls().len(), 2);
}
