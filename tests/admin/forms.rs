//! Every form of the page alike: it wants a session, our own page and, where much is at stake, the password once more.
//! Whoever adds a form adds a row.

use std::fmt::Write as _;

use reqwest::Method;
use rollbook::api_key::{Scope, Scopes, Wanted};
use rollbook::audit::{Actor, Draft, Source};
use rollbook::forward::Start;
use rollbook::http::admin::link;
use rollbook::page::PageRequest;
use rollbook::store::By;
use rollbook::target::{Kind, Target};
use rollbook::user::UserId;
use serde_json::json;
use tempfile::TempDir;

use crate::common::clerk_id;
use crate::jwks_server::JwksServer;

use super::site::{MINUTE, PASSWORD, Site, sign_in};
use super::targets::until;
use crate::receiver::Receiver;

/// What a form asks for besides its fields.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Nothing: it is for those who come in.
    Nobody,
    /// A session.
    Session,
    /// A session, and the password in the field of that name.
    Password(&'static str),
}

/// A form that would do something.
struct Form {
    path: String,
    needs: Needs,
    fields: Vec<(&'static str, &'static str)>,
    /// Whether its address has a page too, which shows it.
    has_page: bool,
}

fn form(path: &str, needs: Needs, has_page: bool, fields: &[(&'static str, &'static str)]) -> Form {
    Form { path: path.to_owned(), needs, has_page, fields: fields.to_vec() }
}

/// Forms that do nothing which [`Stage::state`] would see.
const UNSEEN: [&str; 5] = ["/ever", "/reprocess", "/backups", "/clerk", "/retry"];

/// A new target.
const TARGET: &[(&str, &str)] = &[
    ("name", "billing"),
    ("url", "https://hooks.example.com/"),
    ("kind", "events"),
    ("types", "user.*"),
    ("from", "now"),
    ("entry", ""),
    ("day", ""),
    ("secret", ""),
];

/// Every form there is. `user` is the page of a user whom Clerk has not deleted, `key` the id of an API key, `session` that
/// of another session of an admin's, `waiting` the page of a delivery in quarantine; there is an admin `eve`, and a target
/// `crm` that fails at the entry `stuck`.
fn forms(user: &str, key: &str, session: &str, waiting: &str, stuck: u64) -> Vec<Form> {
    use Needs::{Nobody, Password, Session};
    vec![
        form("/admin/setup", Nobody, true, &[("token", "x"), ("password", PASSWORD), ("again", PASSWORD)]),
        form("/admin/sign-in", Nobody, true, &[("name", "ada"), ("password", PASSWORD)]),
        form("/admin/sign-out", Session, false, &[]),
        form(
            user,
            Session,
            true,
            &[("role", "ADMIN"), ("practice", "north"), ("role_was", "USER"), ("practice_was", "")],
        ),
        form(&format!("{user}/delete"), Password("password"), true, &[]),
        form(&format!("{user}/act"), Password("password"), true, &[("reason", "Ticket 1"), ("actor", "")]),
        form(
            &format!("{user}/erase"),
            Password("password"),
            true,
            &[("reason", ""), ("live", "yes"), ("untold", "yes")],
        ),
        form("/admin/users/ever", Session, false, &[("value", "ada@example.org")]),
        form("/admin/audit", Session, true, &[("to", "0"), ("note", "quiet")]),
        form("/admin/quarantine/reprocess", Session, false, &[]),
        form(&format!("{waiting}/reprocess"), Session, false, &[]),
        form(&format!("{waiting}/discard"), Session, false, &[("sure", "yes")]),
        form("/admin/backups", Session, true, &[]),
        form("/admin/clerk", Session, true, &[("change", "nothing")]),
        form("/admin/backups/download", Password("password"), false, &[("name", "none")]),
        form("/admin/keys", Password("password"), true, &[("name", "a"), ("days", "30"), ("users:read", "yes")]),
        form(&format!("/admin/keys/{key}/revoke"), Session, false, &[]),
        form("/admin/admins", Password("password"), true, &[("name", "bob")]),
        form("/admin/admins/eve/link", Password("password"), true, &[]),
        form("/admin/admins/eve/remove", Password("password"), true, &[]),
        form(
            "/admin/password",
            Password("current"),
            true,
            &[("password", "seven calm blue whales"), ("again", "seven calm blue whales")],
        ),
        form("/admin/targets", Password("password"), true, TARGET),
        form("/admin/targets/crm", Password("password"), true, &[TARGET[1], TARGET[2], TARGET[3]]),
        form("/admin/targets/crm/pause", Session, false, &[]),
        form("/admin/targets/crm/resume", Session, false, &[]),
        form("/admin/targets/crm/retry", Session, false, &[]),
        form("/admin/targets/crm/test", Session, false, &[]),
        form("/admin/targets/crm/replay/all", Password("password"), true, &[]),
        form("/admin/targets/crm/secret", Password("password"), true, &[("secret", "")]),
        form(&format!("/admin/targets/crm/skip/{stuck}"), Password("password"), true, &[]),
        form("/admin/targets/crm/remove", Password("password"), true, &[]),
        form(&format!("/admin/sessions/{session}/end"), Session, false, &[]),
        form("/admin/sessions/end", Session, false, &[]),
    ]
}

/// A site with something for every form to act on.
struct Stage {
    site: Site,
    cookie: String,
    forms: Vec<Form>,
    _backups: TempDir,
    _crm: Receiver,
}

impl Stage {
    async fn set() -> Self {
        let backups = tempfile::tempdir().unwrap();
        let folder = backups.path().display().to_string();
        let clerk = JwksServer::start(r#"{ "id": "act_1", "url": "https://clerk.example/sign-in" }"#).await;
        let settings = [
            ("ROLLBOOK_BACKUP_DIR", &*folder),
            ("CLERK_SECRET_KEY", "sk_test_0123456789"),
            ("CLERK_API_URL", clerk.url()),
            ("ROLLBOOK_FORWARD_PRIVATE", "127.0.0.0/8"),
        ];
        let site = Site::start_with(&settings, None).await;
        let cookie = site.set_up().await;
        site.deliver("msg_bad", "{\"type\":\"user.created\",\"data\":{}}").await;
        let crm = Receiver::start().await;
        crm.say(|_| Some((503, "", "")));
        let types = "user.*".parse().unwrap();
        let target =
            Target { name: "crm".parse().unwrap(), url: crm.url.clone(), kind: Kind::Api, types, bearer: false };
        let by = By { actor: Actor::Cli, source: Source::Cli };
        site.app.forwarder.add(target, None, Start::Now, by).await.unwrap();
        let user = site.add_user("user_1", &json!({ "first_name": "Ada" })).await;
        let (store, now) = (&site.app.store, site.clock.now());
        let scopes = Scopes::new([Scope::LogRead]).unwrap();
        let wanted = Wanted { name: "server".parse().unwrap(), scopes, expires_at: None };
        let entry = Draft::new("key.created", Actor::Cli, Source::Cli);
        let key = store.create_api_key(wanted, entry).await.unwrap().0.id.to_string();
        link::mint(store, "eve", now, Actor::Cli, Source::Cli, &site.origin()).await.unwrap();
        site.another_session().await;
        let page = site.get("/admin/admins", Some(&cookie)).await.body;
        let session = &page[page.rfind("/admin/sessions/").unwrap() - 800..];
        let session = &session[session.find("/admin/sessions/").unwrap() + 16..][..16];
        let waiting = site.app.store.quarantine(PageRequest::default()).await.unwrap().items[0].seq;
        let stuck = until(&site, "crm", |status| status.course.failing.is_some()).await.course.failing.unwrap().seq;
        let forms = forms(&user, &key, session, &format!("/admin/quarantine/{waiting}"), stuck);
        Self { site, cookie, forms, _backups: backups, _crm: crm }
    }

    /// Everything that a form could have changed.
    async fn state(&self) -> String {
        let store = &self.site.app.store;
        let (counts, all) = (store.counts(), store.admins().await.unwrap());
        let mut state = format!("{} {} {}", counts.users, counts.deleted, counts.quarantined);
        for admin in all.admins {
            write!(state, " {} {} {}", admin.name, admin.password, admin.changed_at).unwrap();
        }
        let user = store.user(UserId::of(&clerk_id("user_1"))).unwrap();
        let keys = store.api_keys().await.unwrap();
        let keys: Vec<_> = keys.iter().map(|key| (key.id.to_string(), key.revoked_at)).collect();
        let noted = ["audit.reviewed", "actor_token.created"];
        let is_noted = |action: &str| noted.contains(&action) || action.starts_with("target.");
        let entries = self.site.entries().await;
        let noted = entries.iter().filter(|e| is_noted(&e.leaf.action) && e.leaf.actor == "admin:ada").count();
        write!(state, " {:?} {:?} {keys:?} {} {noted}", all.links, user, all.sessions.len()).unwrap();
        state
    }

    /// A form's fields with that password, if it needs one.
    fn fields(form: &Form, password: &'static str) -> Vec<(&'static str, &'static str)> {
        let mut fields = form.fields.clone();
        if let Needs::Password(name) = form.needs {
            fields.push((name, password));
        }
        fields
    }
}

#[tokio::test]
async fn forms_of_other_sites_change_nothing() {
    let stage = Stage::set().await;
    let (site, before, ours) = (&stage.site, stage.state().await, stage.site.origin());
    let evil: &[&[(&str, &str)]] = &[
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", &ours)],
        &[("sec-fetch-site", "cross-site"), ("origin", &ours)],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[],
    ];
    for form in &stage.forms {
        let fields = Stage::fields(form, PASSWORD);
        for headers in evil {
            let answer = site.post_with(&form.path, Some(&stage.cookie), headers, &fields).await;
            assert_eq!(answer.status, 403, "{} {headers:?}", form.path);
        }
        for kind in ["text/plain", "multipart/form-data; boundary=x", "application/json"] {
            let headers = [("sec-fetch-site", "same-origin"), ("content-type", kind)];
            let answer = site.post_with(&form.path, Some(&stage.cookie), &headers, &fields).await;
            assert_eq!(answer.status, 415, "{} as {kind}", form.path);
        }
    }
    assert_eq!(stage.state().await, before);
}

/// The cases by which the Go project tests its protection against requests of other sites. Stricter here: a form with a
/// cookie has to say where it comes from, and methods that no page takes are no methods.
#[tokio::test]
async fn requests_of_other_sites_are_judged_as_by_go_or_more_strictly() {
    let (site, cookie) = Site::with_admin().await;
    let ours = site.origin();
    let cases = [
        ("POST", "same-origin", "", 200),
        ("POST", "none", "", 200),
        ("POST", "cross-site", "", 403),
        ("POST", "same-site", "", 403),
        // Go lets this one pass.
        ("POST", "", "", 403),
        ("POST", "", &*ours, 200),
        ("POST", "", "https://attacker.example", 403),
        ("POST", "", "null", 403),
        ("GET", "cross-site", "", 200),
        ("HEAD", "cross-site", "", 200),
        ("OPTIONS", "cross-site", "", 405),
        ("PUT", "cross-site", "", 405),
    ];
    for (method, sent_from, origin, status) in cases {
        let (path, body) = match method {
            "POST" | "PUT" => ("/admin/users/ever", Some("value=ada%40example.org".to_owned())),
            _ => ("/admin/users", None),
        };
        let headers =
            [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", sent_from), ("origin", origin)];
        let headers: Vec<_> = headers.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let method: Method = method.parse().unwrap();
        let answer = site.send(method.clone(), path, Some(&cookie), &headers, body).await;
        assert_eq!(answer.status, status, "{method} {headers:?}: {}", answer.body);
    }
}

#[tokio::test]
async fn forms_of_strangers_change_nothing() {
    let stage = Stage::set().await;
    let before = stage.state().await;
    for form in stage.forms.iter().filter(|form| form.needs != Needs::Nobody) {
        let fields = Stage::fields(form, PASSWORD);
        for cookie in [None, Some(format!("__Host-rollbook={}", "A".repeat(43)))] {
            let answer = stage.site.post(&form.path, cookie.as_deref(), &fields).await;
            assert_eq!(answer.status, 401, "{}", form.path);
            assert!(answer.header("www-authenticate").is_empty());
        }
    }
    assert_eq!(stage.state().await, before);
}

#[tokio::test]
async fn only_a_well_formed_post_changes_anything() {
    let stage = Stage::set().await;
    let (site, cookie, before) = (&stage.site, Some(stage.cookie.as_str()), stage.state().await);
    for form in stage.forms.iter().filter(|form| form.needs != Needs::Nobody) {
        let fields = Stage::fields(form, PASSWORD);
        let query = serde_urlencoded::to_string(&fields).unwrap();
        let asked = site.get(&format!("{}?{query}", form.path), cookie).await.status;
        let expected = if form.has_page { [200, 400] } else { [405, 405] };
        assert!(expected.contains(&asked), "{}: {asked}", form.path);
        for method in [Method::PUT, Method::DELETE, Method::PATCH] {
            let answer = site.send(method, &form.path, cookie, &[("sec-fetch-site", "same-origin")], None).await;
            let allowed = if form.has_page { "GET, HEAD, POST" } else { "POST" };
            assert_eq!((answer.status, answer.header("allow")), (405, allowed), "{}", form.path);
        }
        let mut unknown = fields.clone();
        unknown.push(("more", "x"));
        assert_eq!(site.post(&form.path, cookie, &unknown).await.status, 400, "{}", form.path);
        if let Some(first) = fields.first() {
            let doubled = [&[*first], &fields[..]].concat();
            assert_eq!(site.post(&form.path, cookie, &doubled).await.status, 400, "{}", form.path);
        }
    }
    assert_eq!(stage.state().await, before);
}

#[tokio::test]
async fn what_matters_most_wants_the_password_again() {
    let stage = Stage::set().await;
    let (site, before) = (&stage.site, stage.state().await);
    for form in &stage.forms {
        let Needs::Password(_) = form.needs else { continue };
        assert_eq!(site.post(&form.path, Some(&stage.cookie), &form.fields).await.status, 400, "{}", form.path);
        let answer = site.post(&form.path, Some(&stage.cookie), &Stage::fields(form, "not the password")).await;
        assert_eq!(answer.status, 403, "{}", form.path);
        // Where there is nothing to download, there is no form to say it beside.
        assert!(!form.has_page || answer.body.contains("role=\"alert\""), "{}: {}", form.path, answer.body);
        assert!(!answer.body.contains("not the password"), "{}", form.path);
        // Being right clears the slate, which would be full after five.
        let again = site.post("/admin/sign-in", None, &sign_in("ada", PASSWORD)).await.cookie();
        site.post("/admin/sign-out", Some(&again), &[]).await;
    }
    assert_eq!(stage.state().await, before);
}

#[tokio::test]
async fn each_form_does_what_it_is_for() {
    for n in 0.. {
        let stage = Stage::set().await;
        let Some(form) = stage.forms.get(n) else { break };
        // There is no backup yet to download.
        if form.needs == Needs::Nobody || form.path.ends_with("/download") {
            continue;
        }
        let before = stage.state().await;
        stage.site.later(MINUTE);
        let answer = stage.site.post(&form.path, Some(&stage.cookie), &Stage::fields(form, PASSWORD)).await;
        assert!(matches!(answer.status, 200 | 303), "{}: {} {}", form.path, answer.status, answer.body);
        let is_seen = !UNSEEN.iter().any(|path| form.path.ends_with(path));
        assert!(!is_seen || stage.state().await != before, "{}", form.path);
    }
}
