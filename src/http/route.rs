//! One table of routes: what is at which path, for whom, and what answers. Requests are dispatched by it, the methods of a
//! 405 come from it, and so does the description at `/openapi.json`; none of them can say something else than the others.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use crate::api_key::Scope;

/// A path and what can be done there.
#[derive(Debug)]
pub(super) struct Route {
    paths: Vec<Template>,
    operations: Vec<Operation>,
}

/// One method at a path.
pub(super) struct Operation {
    pub(super) method: Method,
    /// A name that no other operation has, `listUsers`.
    pub(super) id: &'static str,
    /// What it does, in a few words without a full stop.
    pub(super) summary: &'static str,
    /// What else is to be known, as sentences.
    pub(super) description: &'static str,
    /// Which part of the API it belongs to.
    pub(super) tag: &'static str,
    pub(super) who: Who,
    pub(super) query: Option<Shape>,
    pub(super) headers: Vec<Header>,
    pub(super) body: Option<Body>,
    pub(super) answers: Vec<Answer>,
    pub(super) problems: Vec<StatusCode>,
    handle: Handler,
}

type Handler = Arc<dyn Fn(Call) -> Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>> + Send + Sync>;

/// The JSON Schema of a type.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// Who may call an operation. This is what the description says; the handler sees to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Anybody.
    Anyone,
    /// Anybody; a session changes the answer.
    MaybeSession,
    /// A session.
    Session,
    /// An admin's session.
    AdminSession,
    /// The user in the path, an admin, or a key with the scope.
    SelfOr(Scope),
    /// An admin, or a key with the scope.
    Admin(Scope),
    /// Anybody on this machine; from elsewhere an admin, or a key with the scope.
    NearbyOr(Scope),
    /// Whoever has the webhook's signing secret.
    Signature,
}

/// A header that a request may carry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) pattern: &'static str,
    pub(super) required: bool,
}

/// The body of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body {
    pub(super) shape: Shape,
    pub(super) required: bool,
}

/// An answer that is no problem.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) about: &'static str,
    pub(super) content: Option<Content>,
}

/// What an answer holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content {
    pub(super) kind: &'static str,
    pub(super) shape: Shape,
}

/// The template of the path that a request was matched with; in the extensions of its answer.
#[derive(Debug, Clone, Copy)]
pub struct Matched(pub &'static str);

/// What stands in the path where the template has a name.
pub(super) type Parts = Vec<(&'static str, String)>;

fn shape<T: JsonSchema>() -> Shape {
    |generator| generator.subschema_for::<T>()
}

impl Route {
    /// The route at that path. A segment `{name}` takes one segment, `{name}.ending` one that ends so, and a last
    /// one `{name*}` whatever is left.
    pub(super) fn at(path: &'static str) -> Self {
        Self { paths: vec![Template::new(path)], operations: Vec::new() }
    }

    /// The same at another path too.
    pub(super) fn also(mut self, path: &'static str) -> Self {
        self.paths.push(Template::new(path));
        self
    }

    pub(super) fn get(self, operation: Operation) -> Self {
        self.with(Method::GET, operation)
    }

    pub(super) fn post(self, operation: Operation) -> Self {
        self.with(Method::POST, operation)
    }

    pub(super) fn patch(self, operation: Operation) -> Self {
        self.with(Method::PATCH, operation)
    }

    pub(super) fn delete(self, operation: Operation) -> Self {
        self.with(Method::DELETE, operation)
    }

    fn with(mut self, method: Method, operation: Operation) -> Self {
        self.operations.push(Operation { method, ..operation });
        self
    }

    /// The paths as they are written in the table.
    pub(super) fn paths(&self) -> impl Iterator<Item = &'static str> {
        self.paths.iter().map(|template| template.text)
    }

    pub(super) fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The methods that are answered, as an `Allow` header lists them.
    fn allow(&self) -> String {
        let answered = |method: &Method| self.operations.iter().any(|operation| operation.method == *method);
        let names =
            [(Method::GET, "GET, HEAD"), (Method::POST, "POST"), (Method::PATCH, "PATCH"), (Method::DELETE, "DELETE")];
        names.iter().filter(|(method, _)| answered(method)).map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
    }
}

impl Operation {
    /// An operation that `handle` answers.
    pub(super) fn new<F>(
        id: &'static str,
        summary: &'static str,
        handle: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        Self {
            method: Method::GET,
            id,
            summary,
            description: "",
            tag: "",
            who: Who::Anyone,
            query: None,
            headers: Vec::new(),
            body: None,
            answers: Vec::new(),
            problems: Vec::new(),
            handle: Arc::new(move |call| Box::pin(handle(call))),
        }
    }

    pub(super) const fn tag(mut self, tag: &'static str) -> Self {
        self.tag = tag;
        self
    }

    pub(super) const fn describe(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    pub(super) const fn by(mut self, who: Who) -> Self {
        self.who = who;
        self
    }

    /// Its query parameters are the members of `T`, which [`Call::query`] reads.
    pub(super) fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(|generator| T::json_schema(generator));
        self
    }

    pub(super) fn header(mut self, header: Header) -> Self {
        self.headers.push(header);
        self
    }

    /// Its body is a `T`.
    pub(super) fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(Body { shape: shape::<T>(), required: true });
        self
    }

    /// Its body may be a `T`, or be left out.
    pub(super) fn maybe_body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(Body { shape: shape::<T>(), required: false });
        self
    }

    /// It may answer with that status and a `T` as JSON.
    pub(super) fn answers<T: JsonSchema>(self, status: u16, about: &'static str) -> Self {
        self.answers_in::<T>(status, "application/json", about)
    }

    /// It may answer with that status and a `T` in another form than JSON.
    pub(super) fn answers_in<T: JsonSchema>(mut self, status: u16, kind: &'static str, about: &'static str) -> Self {
        let content = Some(Content { kind, shape: shape::<T>() });
        self.answers.push(Answer { status: known(status), about, content });
        self
    }

    /// It may answer with that status and nothing more.
    pub(super) fn answers_bare(mut self, status: u16, about: &'static str) -> Self {
        self.answers.push(Answer { status: known(status), about, content: None });
        self
    }

    /// The problems it may answer with, besides those that come with who may call it and what it is sent.
    pub(super) fn problems(mut self, statuses: &[u16]) -> Self {
        self.problems.extend(statuses.iter().map(|status| known(*status)));
        self
    }
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operation").field("method", &self.method).field("id", &self.id).finish_non_exhaustive()
    }
}

fn known(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A path with named parts.
#[derive(Debug)]
struct Template {
    text: &'static str,
    segments: Vec<Segment>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Is(&'static str),
    /// A named part, by the length of the ending it must have: the longer one is the closer fit.
    Named(std::cmp::Reverse<usize>, &'static str, &'static str),
    Rest(&'static str),
}

impl Template {
    fn new(text: &'static str) -> Self {
        let segment = |part: &'static str| match part.strip_prefix('{').and_then(|part| part.split_once('}')) {
            Some((name, ending)) => match name.strip_suffix('*') {
                Some(name) => Segment::Rest(name),
                None => Segment::Named(std::cmp::Reverse(ending.len()), name, ending),
            },
            None => Segment::Is(part),
        };
        Self { text, segments: text.trim_start_matches('/').split('/').map(segment).collect() }
    }

    /// The named parts of the path, if it is one of these. They are taken as they were sent: nothing is decoded.
    fn matches(&self, path: &[&str]) -> Option<Parts> {
        let mut parts = Parts::new();
        for (at, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Is(text) if path.get(at) == Some(text) => {}
                Segment::Is(_) => return None,
                Segment::Named(_, name, ending) => {
                    let value = path.get(at)?.strip_suffix(ending).filter(|value| !value.is_empty())?;
                    parts.push((name, value.to_owned()));
                }
                Segment::Rest(name) => {
                    parts.push((name, path.get(at..).filter(|rest| !rest.is_empty())?.join("/")));
                    return Some(parts);
                }
            }
        }
        (path.len() == self.segments.len()).then_some(parts)
    }
}

/// Every route.
#[derive(Debug)]
pub(super) struct Table {
    routes: Vec<Route>,
    /// Every path with its route, the closer fit before the wider.
    order: Vec<(usize, usize)>,
}

impl Table {
    pub(super) fn new(routes: Vec<Route>) -> Self {
        let mut order: Vec<(usize, usize)> = Vec::new();
        for (at, route) in routes.iter().enumerate() {
            order.extend((0..route.paths.len()).map(|path| (at, path)));
        }
        order.sort_by(|a, b| {
            let segments = |(route, path): &(usize, usize)| &routes[*route].paths[*path].segments;
            segments(a).cmp(segments(b))
        });
        Self { routes, order }
    }

    pub(super) fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Answers the call by what is at the path, where a slash at the end does not matter.
    pub(super) async fn answer(&self, path: &str, call: Call) -> Response {
        let trimmed = path.strip_prefix('/').unwrap_or(path);
        let segments: Vec<&str> = trimmed.strip_suffix('/').unwrap_or(trimmed).split('/').collect();
        let found = self.order.iter().find_map(|(route, path)| {
            let (route, template) = (&self.routes[*route], &self.routes[*route].paths[*path]);
            template.matches(&segments).map(|parts| (route, template.text, parts))
        });
        let Some((route, template, parts)) = found else { return Problem::not_found().into_response() };
        let mut response = match route.operations.iter().find(|operation| operation.method == call.method) {
            Some(operation) => (operation.handle)(call.at(parts)).await.unwrap_or_else(Problem::into_response),
            None => Problem::method_not_allowed(Cow::Owned(route.allow())).into_response(),
        };
        response.extensions_mut().insert(Matched(template));
        response
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn matched(templates: &[&'static str], path: &str) -> Option<(&'static str, Parts)> {
        let table = Table::new(templates.iter().map(|path| Route::at(path)).collect());
        let segments: Vec<&str> = path[1..].split('/').collect();
        table.order.iter().find_map(|(route, path)| {
            let template = &table.routes[*route].paths[*path];
            template.matches(&segments).map(|parts| (template.text, parts))
        })
    }

    #[test]
    fn the_closest_fit_is_taken() {
        let table = ["/a/{x*}", "/a/{id}", "/a/b", "/a/{id}.txt", "/a/{id}/c", "/"];
        let named = |name, value: &str| vec![(name, value.to_owned())];
        assert_eq!(matched(&table, "/a/b"), Some(("/a/b", vec![])));
        assert_eq!(matched(&table, "/a/7"), Some(("/a/{id}", named("id", "7"))));
        assert_eq!(matched(&table, "/a/7.txt"), Some(("/a/{id}.txt", named("id", "7"))));
        assert_eq!(matched(&table, "/a/b/c"), Some(("/a/{id}/c", named("id", "b"))));
        assert_eq!(matched(&table, "/a/b/d/e"), Some(("/a/{x*}", named("x", "b/d/e"))));
        assert_eq!(matched(&table, "/"), Some(("/", vec![])));
        assert_eq!(matched(&table, "/b"), None);
        assert_eq!(matched(&["/a/{id}"], "/a/"), None);
    }

    #[test]
    fn get_is_head_too() {
        let nothing = |id| Operation::new(id, "", |_| async { Err(Problem::not_found()) });
        assert_eq!(Route::at("/").get(nothing("a")).patch(nothing("b")).allow(), "GET, HEAD, PATCH");
    }
}
