//! `/docs`.

use reqwest::StatusCode;

use super::operations::all;
use crate::common::TestServer;

#[tokio::test]
async fn the_page_names_every_operation_and_loads_nothing_from_elsewhere() {
    let server = TestServer::start().await;
    let page = server.get("/docs").await;
    assert_eq!((page.status, page.header("content-type")), (StatusCode::OK, "text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").starts_with("default-src 'none'; style-src 'self'"));
    assert!(!page.text.contains("<script") && !page.text.contains("style=") && !page.text.contains("src=\"http"));
    for operation in all(&server).await {
        assert!(page.text.contains(&format!("<code>{}</code>", operation.path)), "{}", operation.path);
        assert!(page.text.contains(operation.object["summary"].as_str().unwrap().split('\'').next().unwrap()));
    }
    // Every link within the page leads somewhere.
    for link in page.text.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(page.text.contains(&format!("id=\"{link}\"")), "{link}");
    }
    let style = page.text.split("href=\"").find(|part| part.contains(".css")).unwrap().split('"').next().unwrap();
    assert_eq!(server.get(style).await.status, StatusCode::OK);
}
