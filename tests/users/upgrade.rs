//! A file of the schema before: its users are found, and have what Clerk Billing said of them.

use redb::{ReadableTable as _, TableDefinition};
use rollbook::clock::Clock;
use serde_json::{Value, json};

use crate::common::{TestServer, token, user_event};
use crate::{T, file, record, send, server};

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta-1");
const USERS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("users-1");
const INDEX: TableDefinition<'_, (&str, u128), ()> = TableDefinition::new("user_index-1");
const FACETS: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("audit_by_facet-1");
const KEYS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("api_keys-1");

#[tokio::test]
async fn a_file_of_schema_2_is_brought_up_to_date() {
    let (server, admin) = server(&[]).await;
    let item = json!({
        "type": "subscriptionItem.active", "object": "event", "timestamp": T, "instance_id": "ins_test",
        "data": { "id": "csub_item_1", "status": "active", "plan": { "slug": "pro" }, "updated_at": T,
            "payer": { "user_id": "user_1" } },
    });
    server.outcome(&item).await;
    server.outcome(&user_event("user.created", "user_2", T, "Bo")).await;
    let body = r#"{"role":"NURSE","practice_id":"north"}"#;
    send(&server, &admin, reqwest::Method::PATCH, "/api/users/user_2", body, "").await;
    let lists = ["", "query=ann", "query=te&role=NURSE", "role=NURSE&practice=north", "email=user_1@example.org"];
    let said = async |server: &TestServer| {
        let mut said = Vec::new();
        for list in lists {
            said.push(server.get_as(&admin, &format!("/api/users?{list}")).await.json()["items"].clone());
        }
        said
    };
    let before = said(&server).await;
    assert!(before.iter().all(|items| !items.as_array().unwrap().is_empty()));

    let dir = server.stop().await;
    let path = dir.path().join("rollbook.redb");
    let db = file::open(&path);
    let (now, tables) = (file::roll(&db), file::dump(&db));
    let txn = db.begin_write().unwrap();
    {
        assert!(txn.delete_table(KEYS).unwrap() && txn.delete_table(INDEX).unwrap());
        assert!(txn.delete_table(FACETS).unwrap());
        let mut index = txn.open_table(INDEX).unwrap();
        let mut users = txn.open_table(USERS).unwrap();
        let rows: Vec<(u128, Value)> = users
            .iter()
            .unwrap()
            .map(Result::unwrap)
            .map(|(id, row)| (id.value(), serde_json::from_slice(row.value()).unwrap()))
            .collect();
        for (id, mut row) in rows {
            // As they stood there: other facets, and no word of Billing's.
            for facet in ["la", "lrUSER", "ltann tester"] {
                index.insert((facet, id), ()).unwrap();
            }
            row.as_object_mut().unwrap().remove("subscription");
            let text = serde_json::to_string(&row).unwrap();
            // A row is written with its members in another order than this; it is read in any.
            users.insert(id, text.as_bytes()).unwrap();
        }
        txn.open_table(META).unwrap().insert("schema", &2_u32.to_be_bytes()[..]).unwrap();
    }
    txn.commit().unwrap();
    drop(db);

    let server = TestServer::open(dir, &[], Clock::system()).await;
    assert_eq!(said(&server).await, before);
    assert_eq!(record(&server, &admin, "user_1").await["subscription"], json!({ "plan": "pro", "status": "active" }));
    assert_eq!(server.get_as(&token("user_1"), "/api/auth/me").await.status, 200);
    let dir = server.stop().await;
    let after = file::open(&dir.path().join("rollbook.redb"));
    assert_eq!(file::roll(&after), now);
    assert_eq!(file::dump(&after)["user_index"], tables["user_index"]);
    file::Witness::default().follow(&after);
}
