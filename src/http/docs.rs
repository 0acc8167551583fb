//! `/docs`: the description of the API as a page for people, made from the same document as `/openapi.json`.

use std::borrow::Cow;

use askama::Template;
use serde_json::{Map, Value};
use warp::http::StatusCode;
use warp::reply::Response;

use super::admin::view::{self, Bare};
use super::call::Call;
use super::problem::Problem;
use super::route::{Operation, Route};

#[derive(Template)]
#[template(path = "docs.html")]
struct Page<'a> {
    frame: Bare,
    version: &'a str,
    origin: &'a str,
    about: Vec<Prose<'a>>,
    groups: Vec<Group<'a>>,
    problems: Vec<(&'a str, &'a str)>,
    objects: Vec<Object<'a>>,
}

/// A text, with what stands between backticks in it as code.
type Prose<'a> = Vec<(bool, &'a str)>;

fn prose(text: &str) -> Prose<'_> {
    text.split('`').enumerate().map(|(at, part)| (at % 2 == 1, part)).filter(|(_, part)| !part.is_empty()).collect()
}

/// What belongs together.
struct Group<'a> {
    name: &'a str,
    operations: Vec<Item<'a>>,
}

/// One operation. It is listed once, whatever other paths lead to it.
struct Item<'a> {
    id: &'a str,
    method: String,
    path: &'a str,
    also: Vec<&'a str>,
    summary: &'a str,
    description: Vec<Prose<'a>>,
    scope: Option<&'a str>,
    parameters: Vec<Member<'a>>,
    /// What the body is, where it has no members of known names.
    body_note: Prose<'a>,
    body_example: Option<String>,
    body: Vec<Member<'a>>,
    answers: Vec<Reply<'a>>,
    problems: Vec<&'a str>,
}

struct Reply<'a> {
    status: &'a str,
    about: Prose<'a>,
    /// What it holds; links lead to the object meant.
    content: Kind<'a>,
}

/// A type, for people: `User or null`, `list of Entry`.
#[derive(Default)]
struct Kind<'a> {
    before: &'static str,
    object: Option<&'a str>,
    after: String,
}

/// A parameter, or a member of an object.
struct Member<'a> {
    name: Cow<'a, str>,
    place: &'a str,
    kind: Kind<'a>,
    required: bool,
    about: Prose<'a>,
    limits: Vec<String>,
}

/// An object that answers hold.
struct Object<'a> {
    name: &'a str,
    about: Prose<'a>,
    members: Vec<Member<'a>>,
}

/// The page.
pub(super) fn routes() -> Vec<Route> {
    vec![Route::at("/docs").get(
        Operation::new("docs", "This description, for people", show).tag("About").answers_in::<String>(
            200,
            "text/html; charset=utf-8",
            "The page.",
        ),
    )]
}

async fn show(call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let document = call.app.description();
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let page = Page {
        frame: Bare::new(),
        version: text("/info/version"),
        origin: text("/servers/0/url"),
        about: text("/info/description").split("\n\n").map(prose).collect(),
        groups: groups(document),
        problems: entries(document, "/components/responses")
            .map(|(status, p)| (status.as_str(), of(p, "description")))
            .collect(),
        objects: entries(document, "/components/schemas").map(|(name, schema)| object(name, schema)).collect(),
    };
    let https = call.app.settings.public_origin.starts_with("https://");
    Ok(view::secured(view::html(StatusCode::OK, &page)?, https))
}

fn of<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn entries<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.pointer(pointer).and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

/// Every operation, in the order of the tags; a path that is another's second name is listed with it.
fn groups(document: &Value) -> Vec<Group<'_>> {
    let mut items: Vec<(&str, Item<'_>)> = Vec::new();
    for (path, operations) in entries(document, "/paths") {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            items.push((operation["tags"][0].as_str().unwrap_or_default(), item(path, method, operation)));
        }
    }
    let (second, mut first): (Vec<_>, Vec<_>) = items.into_iter().partition(|(_, item)| main_name(item.id) != item.id);
    for (_, other) in second {
        if let Some((_, item)) = first.iter_mut().find(|(_, item)| item.id == main_name(other.id)) {
            item.also.push(other.path);
        }
    }
    let tags = document["tags"].as_array().into_iter().flatten().map(|tag| of(tag, "name"));
    let mut groups: Vec<Group<'_>> = tags.map(|name| Group { name, operations: Vec::new() }).collect();
    for (tag, item) in first {
        if let Some(group) = groups.iter_mut().find(|group| group.name == tag) {
            group.operations.push(item);
        }
    }
    groups
}

/// The id of the operation whose second name this one is.
fn main_name(id: &str) -> &str {
    id.trim_end_matches(|c: char| c.is_ascii_digit()).strip_suffix("Also").unwrap_or(id)
}

fn item<'a>(path: &'a str, method: &str, operation: &'a Value) -> Item<'a> {
    let (mut answers, mut problems) = (Vec::new(), Vec::new());
    for (status, response) in entries(operation, "/responses") {
        if response.get("$ref").is_some() {
            if status != "default" {
                problems.push(status.as_str());
            }
            continue;
        }
        let contents = response["content"].as_object().into_iter().flatten();
        let mut content = contents.map(|(form, content)| match form.as_str() {
            "application/json" => kind(&content["schema"]),
            form => Kind { after: form.to_owned(), ..Kind::default() },
        });
        answers.push(Reply {
            status,
            about: prose(of(response, "description")),
            content: content.next_back().unwrap_or_default(),
        });
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    let scope = operation["security"].as_array().into_iter().flatten().find_map(|way| way["key"][0].as_str());
    Item {
        id: of(operation, "operationId"),
        method: method.to_uppercase(),
        path,
        also: Vec::new(),
        summary: of(operation, "summary"),
        description: of(operation, "description").split("\n\n").filter(|text| !text.is_empty()).map(prose).collect(),
        scope,
        parameters: operation["parameters"].as_array().into_iter().flatten().map(parameter).collect(),
        body_note: if body["properties"].is_object() { Prose::new() } else { prose(of(body, "description")) },
        body_example: body["examples"].get(0).map(Value::to_string),
        body: members(body),
        answers,
        problems,
    }
}

fn parameter(parameter: &Value) -> Member<'_> {
    let schema = &parameter["schema"];
    Member {
        name: of(parameter, "name").into(),
        place: of(parameter, "in"),
        kind: kind(schema),
        required: parameter["required"] == true,
        about: prose(of(parameter, "description")),
        limits: limits(schema),
    }
}

fn object<'a>(name: &'a str, schema: &'a Value) -> Object<'a> {
    Object { name, about: prose(of(schema, "description")), members: members(schema) }
}

fn members<'a>(schema: &'a Value) -> Vec<Member<'a>> {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let member = |(name, schema): (&'a String, &'a Value)| Member {
        name: name.into(),
        place: "",
        kind: kind(schema),
        required: required.contains(&name.as_str()),
        about: prose(of(schema, "description")),
        limits: limits(schema),
    };
    let mut members = Vec::new();
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        members.push(member((name, schema)));
        // What an object within holds stands below it.
        members.extend(
            self::members(schema)
                .into_iter()
                .map(|within| Member { name: format!("{name}.{}", within.name).into(), ..within }),
        );
    }
    members
}

fn kind<'a>(schema: &'a Value) -> Kind<'a> {
    let named = |schema: &'a Value| schema["$ref"].as_str().and_then(|path| path.rsplit('/').next());
    if let Some(object) = named(schema) {
        return Kind { object: Some(object), ..Kind::default() };
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        return match choices.iter().find_map(named) {
            Some(object) => Kind { object: Some(object), after: " or null".to_owned(), ..Kind::default() },
            None => Kind { after: choices.iter().map(word).collect::<Vec<_>>().join(" or "), ..Kind::default() },
        };
    }
    match named(&schema["items"]) {
        Some(object) => Kind { before: "list of ", object: Some(object), ..Kind::default() },
        None => Kind { after: word(schema), ..Kind::default() },
    }
}

/// A plain type as a word or two.
fn word(schema: &Value) -> String {
    if let Some(choices) = schema["enum"].as_array() {
        let choices = choices.iter().map(Value::to_string);
        return choices.collect::<Vec<_>>().join(" | ");
    }
    match (&schema["format"], &schema["type"]) {
        (Value::String(format), _) if format.starts_with("date") => format.clone(),
        (_, Value::String(kind)) if kind == "array" => format!("list of {}", word(&schema["items"])),
        (_, Value::String(kind)) => kind.clone(),
        (_, Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => "anything".to_owned(),
    }
}

/// What a value must keep to, as short texts.
fn limits(schema: &Value) -> Vec<String> {
    let number = |name: &str, word: &str| Some(format!("{word} {}", schema[name].as_i64()?));
    let mut limits: Vec<String> = [number("minimum", "from"), number("maximum", "to")].into_iter().flatten().collect();
    limits.extend(schema["maxLength"].as_i64().map(|most| format!("at most {most} characters")));
    limits.extend(schema["default"].as_i64().map(|n| format!("{n} by default")));
    limits
}
