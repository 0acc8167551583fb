//! What is read through the API, asked for by an admin: paths and queries of any form get an answer, and a fault is never
//! ours. The input is a path with its query.
#![no_main]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::LazyLock;

use http::{Request, StatusCode};
use libfuzzer_sys::fuzz_target;
use rollbook::audit::{Actor, Source};
use rollbook::clerk::issuer::Issuer;
use rollbook::clock::Clock;
use rollbook::config::Config;
use rollbook::http::guard::Peer;
use rollbook::http::routes;
use rollbook::server::Server;
use rollbook::store::{By, UserPatch};
use rollbook::user::{ClerkId, UserId};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;
use warp::reply::Response;

const ISSUER: &str = "https://fuzzed.clerk.accounts.dev";
const ADMIN: &str = "user_2fuzzed000000000000000000";

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());
static SITE: LazyLock<Site> = LazyLock::new(|| RUNTIME.block_on(Site::new()));

fuzz_target!(|target: &str| {
    if !target.starts_with('/') {
        return;
    }
    let Ok(request) =
        Request::get(target).header("authorization", format!("Bearer {}", SITE.token)).body(String::new())
    else {
        return;
    };
    let status = RUNTIME.block_on(SITE.answer(request)).status();
    assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN, "{status}");
});

/// A server that does not listen, with one admin on its roll.
struct Site {
    server: Server,
    token: String,
    _folder: TempDir,
}

impl Site {
    async fn new() -> Self {
        let (folder, issuer) =
            (tempfile::tempdir().unwrap(), Issuer::generate(ISSUER.to_owned(), "ins_fuzzed").unwrap());
        let settings = [
            ("CLERK_WEBHOOK_SIGNING_SECRET", "whsec_ZnV6emVkLCBmdXp6ZWQsIGZ1enplZCEh".to_owned()),
            ("CLERK_ISSUER", ISSUER.to_owned()),
            ("CLERK_JWT_KEY", issuer.public_pem().to_owned()),
            ("ROLLBOOK_LISTEN", "127.0.0.1:0".to_owned()),
            ("ROLLBOOK_DATA", folder.path().join("rollbook.redb").display().to_string()),
        ];
        let get = |name: &str| settings.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        let server = Server::bind(Config::read(get).unwrap(), Clock::system()).await.unwrap();
        let id: ClerkId = ADMIN.parse().unwrap();
        let token = issuer.token(&id, "sess_fuzzed", Clock::system().now(), 86_400).unwrap();
        let site = Self { server, token, _folder: folder };
        let me = Request::get("/api/auth/me").header("authorization", format!("Bearer {}", site.token));
        assert_eq!(site.answer(me.body(String::new()).unwrap()).await.status(), StatusCode::OK);
        let by = By { actor: Actor::Cli, source: Source::Cli };
        let patch = UserPatch { role: Some("ADMIN".parse().unwrap()), ..UserPatch::default() };
        let set = site.server.app().store.set_user(UserId::of(&id), patch, None, by.entry("user.assigned"));
        set.await.unwrap().unwrap();
        site
    }

    async fn answer(&self, mut request: Request<String>) -> Response {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        request.extensions_mut().insert(Peer::new(address, address));
        warp::service(routes(self.server.app())).oneshot(request).await.unwrap()
    }
}
