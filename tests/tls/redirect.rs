//! The address for plain HTTP.

use std::net::SocketAddr;

use reqwest::{Client, Method, Response};

use crate::authority::Authority;
use crate::common::TestServer;

/// A server with an address for plain HTTP, which is the second value.
async fn start(settings: &[(&str, &str)]) -> (TestServer, SocketAddr, tempfile::TempDir) {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let files = authority.make().write(dir.path());
    let mut all = vec![("ROLLBOOK_TLS_REDIRECT_LISTEN", "127.0.0.1:0")];
    all.extend(files.iter().map(|(name, path)| (*name, path.as_str())));
    all.extend_from_slice(settings);
    let server = TestServer::with(&all).await;
    let redirect = server.redirect.unwrap();
    (server, redirect, dir)
}

async fn ask(method: Method, address: SocketAddr, path: &str, host: Option<&str>) -> Response {
    let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut request = client.request(method, format!("http://{address}{path}"));
    if let Some(host) = host {
        request = request.header("host", host);
    }
    request.send().await.unwrap()
}

fn location(response: &Response) -> &str {
    response.headers().get("location").map_or("", |there| there.to_str().unwrap())
}

#[tokio::test]
async fn pages_are_sent_on_to_the_public_url() {
    let (server, redirect, _dir) = start(&[("ROLLBOOK_PUBLIC_URL", "https://roll.example.com")]).await;
    let sent = ask(Method::GET, redirect, "/admin/users?q=ann", Some("roll.example.com")).await;
    assert_eq!((sent.status().as_u16(), location(&sent)), (308, "https://roll.example.com/admin/users?q=ann"));
    // Said in the clear it would be for anybody to say.
    assert!(sent.headers().get("strict-transport-security").is_none());
    assert_eq!(sent.headers()["x-content-type-options"], "nosniff");
    let elsewhere = ask(Method::GET, redirect, "/", Some("evil.example")).await;
    assert_eq!((elsewhere.status().as_u16(), location(&elsewhere)), (421, ""));
    drop(server.stop().await);
}

#[tokio::test]
async fn without_one_they_are_sent_to_the_same_name() {
    let (server, redirect, _dir) = start(&[]).await;
    let sent = ask(Method::GET, redirect, "/docs", None).await;
    assert_eq!(location(&sent), format!("https://127.0.0.1:{}/docs", server.address.port()));
    drop(server.stop().await);
}

#[tokio::test]
async fn a_webhook_in_the_clear_is_refused_and_told_why() {
    let (server, redirect, _dir) = start(&[]).await;
    let refused = ask(Method::POST, redirect, "/api/webhooks/clerk", None).await;
    assert_eq!((refused.status().as_u16(), location(&refused)), (403, ""));
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    let told: serde_json::Value = refused.json().await.unwrap();
    assert!(told["detail"].as_str().unwrap().contains("https://"), "{told}");
    assert_eq!(server.count("user.created").await, 0);
    drop(server.stop().await);
}
