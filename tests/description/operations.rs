//! The operations that a server describes.

use reqwest::Method;
use serde_json::Value;

use crate::common::TestServer;

/// One method at one path.
pub(crate) struct Operation {
    pub(crate) method: Method,
    /// With names in braces.
    pub(crate) path: String,
    pub(crate) object: Value,
}

/// All of them, as `/openapi.json` has them.
pub(crate) async fn all(server: &TestServer) -> Vec<Operation> {
    let document = server.get("/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap().clone();
    let operations = paths.into_iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().clone();
        methods.into_iter().map(move |(method, object)| Operation {
            method: method.to_uppercase().parse().unwrap(),
            path: path.clone(),
            object,
        })
    });
    operations.collect()
}

impl Operation {
    /// The path with the user (or organisation) in it that is meant.
    pub(crate) fn path(&self, id: &str) -> String {
        self.path.replace("{id}", id).replace("{index}", "0").replace("{path}", "0/000.p/1")
    }

    /// Whether a caller must show one of these; an empty list is for operations that anybody may call.
    pub(crate) fn schemes(&self) -> Vec<String> {
        let ways = self.object["security"].as_array().unwrap();
        ways.iter().flat_map(|way| way.as_object().unwrap().keys().cloned()).collect()
    }

    /// Whether it may be called without anything.
    pub(crate) fn is_open(&self) -> bool {
        let ways = self.object["security"].as_array().unwrap();
        ways.is_empty() || ways.iter().any(|way| way.as_object().unwrap().is_empty())
    }

    pub(crate) fn documents(&self, status: u16) -> bool {
        self.object["responses"].get(status.to_string()).is_some()
    }

    /// A body that the operation takes, if it takes one.
    pub(crate) fn body(&self) -> Option<Value> {
        let schema = self.object.pointer("/requestBody/content/application~1json/schema")?;
        let members = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let value = |name: &str| match schema["properties"][name]["type"].as_str() {
            Some("integer") => Value::from(0),
            _ => Value::from("x"),
        };
        Some(members.map(|name| (name.to_owned(), value(name))).collect())
    }
}
