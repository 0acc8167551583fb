//! The description of the API (`OpenAPI` 3.1.1, <https://spec.openapis.org/oas/v3.1.1>), made from the table of routes.

use std::collections::BTreeSet;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use warp::http::StatusCode;
use warp::reply::Response;

use super::call::Call;
use super::limit;
use super::problem::{self, Problem};
use super::reply;
use super::route::{Answer, Operation, Route, Table, Who};
use crate::api_key::Scope;

const ABOUT: &str = "\
The roll of your Clerk users, and the book of everything that happened to them.

Errors are problem documents (RFC 9457) with a fixed sentence and an id, by which the cause is found in the server's log.
Lists come in pages: ask again with `cursor` set to `next_cursor` until that is null. Times are RFC 3339 in UTC.
Query parameters and members of a body that are not named here are refused.

Whoever asks shows a Clerk session token or an API key in the `Authorization` header. An admin is a user whose role is
`ADMIN`. A key may do what its scopes allow.";

/// The whole document. `origin` is where browsers reach the server.
pub(super) fn document(table: &Table, origin: &str) -> Value {
    let settings = |settings: SchemaSettings| {
        settings.with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    let mut schemas = Schemas {
        sent: settings(SchemaSettings::draft2020_12().for_serialize()).into_generator(),
        // Query structs and bodies are small, and what is read of a type may differ from what is written of it.
        read: settings(SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true)).into_generator(),
    };
    let mut paths = Map::new();
    for route in table.routes() {
        for (copy, path) in route.paths().enumerate() {
            let operations = route
                .operations()
                .iter()
                .map(|operation| (operation.method.as_str().to_lowercase(), schemas.operation(operation, path, copy)));
            paths.insert(path.replace("*}", "}"), Value::Object(operations.collect()));
        }
    }
    let problem = schemas.sent.subschema_for::<problem::Document<'_>>();
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Rollbook",
            "version": env!("CARGO_PKG_VERSION"),
            "description": format!("{ABOUT} {}", scopes()),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": origin }],
        "tags": tags(table.routes()),
        "paths": paths,
        "components": {
            "schemas": schemas.sent.take_definitions(true),
            "responses": problems(&json!(problem)),
            "securitySchemes": security_schemes(),
        },
    })
}

struct Schemas {
    sent: SchemaGenerator,
    read: SchemaGenerator,
}

impl Schemas {
    /// One operation at one of its paths, which are the same but for their names.
    fn operation(&mut self, operation: &Operation, path: &str, copy: usize) -> Value {
        let mut parameters = path_parameters(path);
        if let Some(query) = operation.query {
            parameters.extend(query_parameters(&json!(query(&mut self.read))));
        }
        parameters.extend(operation.headers.iter().map(|header| {
            json!({
                "name": header.name, "in": "header", "description": header.about, "required": header.required,
                "schema": { "type": "string", "pattern": header.pattern },
            })
        }));
        let mut responses = Map::new();
        for answer in &operation.answers {
            let response =
                responses.entry(answer.status.as_str()).or_insert_with(|| json!({ "description": answer.about }));
            if let Some(content) = self.content(*answer) {
                let contents = response.as_object_mut().map(|r| r.entry("content").or_insert_with(|| json!({})));
                if let Some(Value::Object(contents)) = contents {
                    contents.extend(content);
                }
            }
        }
        for status in statuses(operation, path) {
            let reference = json!({ "$ref": format!("#/components/responses/{}", status.as_u16()) });
            responses.insert(status.as_str().to_owned(), reference);
        }
        responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/default" }));
        let mut object = json!({
            "operationId": if copy == 0 { operation.id.to_owned() } else { format!("{}Also{copy}", operation.id) },
            "summary": operation.summary,
            "tags": [operation.tag],
            "security": security(operation.who),
            "responses": responses,
        });
        let described = [operation.description, who_may(operation.who)].map(str::trim).join("\n\n");
        object["description"] = described.trim().into();
        if !parameters.is_empty() {
            object["parameters"] = parameters.into();
        }
        if let Some(body) = operation.body {
            let schema = (body.shape)(&mut self.read);
            object["requestBody"] =
                json!({ "required": body.required, "content": { "application/json": { "schema": schema } } });
        }
        object
    }

    fn content(&mut self, answer: Answer) -> Option<Map<String, Value>> {
        let content = answer.content?;
        let schema = (content.shape)(&mut self.sent);
        Some(Map::from_iter([(content.kind.to_owned(), json!({ "schema": schema }))]))
    }
}

/// The named parts of a path.
fn path_parameters(path: &str) -> Vec<Value> {
    let named = path.split('/').filter_map(|part| part.strip_prefix('{')?.split_once('}'));
    let parameter = |name: &str| {
        let (about, schema) = match name.trim_end_matches('*') {
            "index" => ("The number of an entry, from 0.", json!({ "type": "string", "pattern": "^[0-9]{1,19}$" })),
            "path" => ("The rest of the path, with its slashes.", json!({ "type": "string", "minLength": 1 })),
            _ if path.starts_with("/api/organizations") => {
                ("The organization's id at Clerk, `org_…`.", json!({ "type": "string", "pattern": "^[!-~]{1,128}$" }))
            }
            _ => ("Rollbook's id or Clerk's.", json!({ "type": "string", "pattern": "^[!-~]{1,128}$" })),
        };
        json!({
            "name": name.trim_end_matches('*'), "in": "path", "required": true, "description": about, "schema": schema,
        })
    };
    named.map(|(name, _)| parameter(name)).collect()
}

/// The members of a query's schema, each as a parameter.
fn query_parameters(schema: &Value) -> Vec<Value> {
    let required: BTreeSet<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let parameter = |(name, schema): (&String, &Value)| {
        let mut schema = schema.clone();
        let about = schema.as_object_mut().and_then(|schema| schema.remove("description")).unwrap_or_default();
        // A parameter that may be left out has no other way to say nothing.
        if let Some(schema) = schema.as_object_mut().filter(|schema| schema.get("default").is_some_and(Value::is_null))
        {
            schema.remove("default");
        }
        if let Some(kinds) = schema["type"].as_array().filter(|kinds| kinds.len() == 2 && kinds[1] == "null") {
            schema["type"] = kinds[0].clone();
        }
        json!({
            "name": name, "in": "query", "required": required.contains(name.as_str()), "description": about,
            "schema": schema,
        })
    };
    schema["properties"].as_object().into_iter().flatten().map(parameter).collect()
}

/// The problems an operation may answer with: its own, and those that come with who may call it and what it is sent.
fn statuses(operation: &Operation, path: &str) -> BTreeSet<StatusCode> {
    let mut statuses: BTreeSet<StatusCode> = operation.problems.iter().copied().collect();
    // Any request may have no readable Host, or name one that is not ours.
    statuses.extend([StatusCode::BAD_REQUEST, StatusCode::MISDIRECTED_REQUEST]);
    match operation.who {
        Who::Anyone => {}
        // Trouble of the store, after which the sender should try again.
        Who::Signature => statuses.extend([StatusCode::UNAUTHORIZED, StatusCode::SERVICE_UNAVAILABLE]),
        // No record of the caller's where none is made (404); no keys to check a token with (503).
        _ => statuses.extend([
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::NOT_FOUND,
            StatusCode::SERVICE_UNAVAILABLE,
        ]),
    }
    if operation.who == Who::Signature || !limit::is_free(&operation.method, path) {
        statuses.insert(StatusCode::TOO_MANY_REQUESTS);
    }
    if operation.body.is_some() {
        statuses.extend([
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ]);
    }
    statuses
}

/// Every problem there is, by its status.
fn problems(schema: &Value) -> Map<String, Value> {
    let mut problems = Map::new();
    for kind in problem::Kind::ALL {
        let problem = Problem::new(*kind, "");
        let mut response = json!({
            "description": problem.words().0,
            "content": { "application/problem+json": { "schema": schema } },
        });
        let header = match problem.status() {
            StatusCode::UNAUTHORIZED => Some("WWW-Authenticate"),
            StatusCode::METHOD_NOT_ALLOWED => Some("Allow"),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Some("Retry-After"),
            _ => None,
        };
        if let Some(header) = header {
            response["headers"] = json!({ header: { "schema": { "type": "string" } } });
        }
        problems.entry(problem.status().as_str()).or_insert(response);
    }
    problems.insert(
        "default".to_owned(),
        json!({
            "description": "An error of the server (5xx), or a request that no route accepts",
            "content": { "application/problem+json": { "schema": schema } },
        }),
    );
    problems
}

fn security(who: Who) -> Value {
    match who {
        Who::Anyone => json!([]),
        Who::MaybeSession => json!([{}, { "session": [] }]),
        Who::Session | Who::AdminSession => json!([{ "session": [] }]),
        Who::NearbyOr(scope) => json!([{}, { "session": [] }, { "key": [scope.as_str()] }]),
        Who::SelfOr(scope) | Who::Admin(scope) => json!([{ "session": [] }, { "key": [scope.as_str()] }]),
        Who::Signature => json!([{ "signature": [] }]),
    }
}

const fn who_may(who: Who) -> &'static str {
    match who {
        Who::Anyone | Who::MaybeSession => "",
        Who::Session => "For whoever has a session; not for API keys.",
        Who::AdminSession => "For admins; not for API keys.",
        Who::SelfOr(_) => "For the user, for admins, and for API keys with the scope.",
        Who::Admin(_) => "For admins, and for API keys with the scope.",
        Who::NearbyOr(_) => "For this machine; from elsewhere for admins, and for API keys with the scope.",
        Who::Signature => "For whoever signs with the webhook's secret.",
    }
}

fn security_schemes() -> Value {
    json!({
        "session": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "A session token of Clerk's, `await session.getToken()`.",
        },
        "key": {
            "type": "http", "scheme": "bearer", "bearerFormat": "rbk_…",
            "description": "An API key, for servers. Made with `rollbook keys create` or on the admin page.",
        },
        "signature": {
            "type": "apiKey", "in": "header", "name": "svix-signature",
            "description": "A signature of the webhook's sender over message id, time and the raw body (Svix, or Standard Webhooks).",
        },
    })
}

/// The scopes there are, as a sentence.
fn scopes() -> String {
    let scopes = Scope::ALL.map(|scope| format!("`{}` ({})", scope.as_str(), scope.describe()));
    format!("The scopes are {}.", scopes.join("; "))
}

/// The parts of the API, in the order in which they come.
fn tags(routes: &[Route]) -> Vec<Value> {
    let mut names: Vec<&str> = Vec::new();
    for operation in routes.iter().flat_map(Route::operations) {
        if !names.contains(&operation.tag) {
            names.push(operation.tag);
        }
    }
    names.iter().map(|name| json!({ "name": name })).collect()
}

/// The document.
pub(super) async fn serve(call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    Ok(reply::json(call.app.description()))
}

/// The operation that describes itself.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::at("/openapi.json").get(
            Operation::new("openapi", "This description", serve)
                .tag("About")
                .answers::<Map<String, Value>>(200, "The API, as OpenAPI 3.1."),
        ),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::http::api;

    #[test]
    fn the_description_is_sound() {
        let table = Table::new(api());
        let mut ids = BTreeSet::new();
        for operation in table.routes().iter().flat_map(Route::operations) {
            assert!(ids.insert(operation.id), "{} stands twice", operation.id);
            assert!(!operation.summary.is_empty() && !operation.tag.is_empty(), "{}", operation.id);
            assert!(!operation.answers.is_empty(), "{}", operation.id);
        }
        // The limits, which come before the routes, have to know where the signature is looked at first.
        for route in table.routes() {
            for (path, operation) in route.paths().flat_map(|path| route.operations().iter().map(move |o| (path, o))) {
                let is_free = limit::is_free(&operation.method, &path.replace("{id}", "user_1"));
                let is_open = matches!(operation.id, "health" | "ready" | "webhookHealth");
                assert_eq!(is_free, operation.who == Who::Signature || is_open, "{path}");
            }
        }
        let document = document(&table, "http://localhost:8080").to_string();
        let known: Value = serde_json::from_str(&document).unwrap();
        for reference in document.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(known.pointer(reference).is_some(), "{reference}");
        }
    }
}
