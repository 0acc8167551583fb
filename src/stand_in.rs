//! A stand-in for Clerk on this machine, for the demo and for trying things out: users, sessions and actor tokens in memory,
//! and so much of the Backend API over them as Rollbook and Clerk's own clients need, in the paths, pages, errors and limits
//! of the published specification. <https://github.com/clerk/openapi-specs>
//!
//! It proves nothing to anybody: its key is made when it starts, and whoever can reach it can sign in by its links. It listens
//! on the loopback address alone.

mod actor_tokens;
mod answer;
mod call;
mod gate;
mod page;
mod roll;
mod sessions;
mod users;
mod wanted;

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use hyper::body::Incoming;
use hyper::{Method, Request};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::actor_tokens::ActorTokens;
use self::answer::{Answer, Refusal};
use self::call::Call;
use self::gate::Gate;
use self::roll::Roll;
use self::sessions::Sessions;
use crate::clerk::issuer::{self, Issuer};
use crate::clerk::sender::Sender;
use crate::clock::{Clock, Timestamp};
use crate::sample::{self, Scene};
use crate::server::accept::{Drained, Limits, serve};

/// A running stand-in.
#[derive(Debug)]
pub struct StandIn {
    /// The issuer its tokens name; also where it listens, and the address of its API.
    pub url: String,
    /// What signs its tokens.
    pub issuer: Arc<Issuer>,
    shared: Arc<Shared>,
    end: oneshot::Sender<()>,
    served: JoinHandle<Drained>,
}

/// Why there is no stand-in, or why it does not take what it is given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket or a random number cannot be had.
    #[error("the stand-in for Clerk cannot start: {0}")]
    System(#[from] io::Error),
    /// It has no key to sign with.
    #[error(transparent)]
    Issuer(#[from] issuer::Error),
    /// The object lacks the members by which it is known.
    #[error("what Clerk is to have has no id, or no time of its making")]
    Unreadable,
}

/// What all calls share.
#[derive(Debug)]
struct Shared {
    url: String,
    instance: String,
    issuer: Arc<Issuer>,
    clock: Clock,
    gate: Gate,
    state: Mutex<State>,
    /// Where what happens here of itself is told.
    webhooks: OnceLock<Sender>,
}

/// What Clerk has.
#[derive(Debug, Default)]
struct State {
    users: Roll,
    sessions: Sessions,
    actor_tokens: ActorTokens,
}

impl StandIn {
    /// Starts on a free port of this machine, with nobody signed up. Its tokens and times are by `clock`, and its key goes by
    /// the name of the instance, as Clerk's do.
    ///
    /// # Errors
    /// When there is no socket or no key.
    pub async fn start(instance: &str, clock: Clock) -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (name, kid) = (url.clone(), instance.to_owned());
        // Making a key keeps a thread busy for a while.
        let made = tokio::task::spawn_blocking(move || Issuer::generate(name, &kid)).await;
        let issuer = Arc::new(made.map_err(io::Error::other)??);
        let shared = Arc::new(Shared {
            url: url.clone(),
            instance: instance.to_owned(),
            issuer: Arc::clone(&issuer),
            clock,
            gate: Gate::new(&random()?),
            state: Mutex::default(),
            webhooks: OnceLock::new(),
        });
        let own = Arc::clone(&shared);
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let shared = Arc::clone(&own);
            async move { Ok::<_, Infallible>(shared.answer(request).await.unwrap_or_else(Refusal::answer)) }
        });
        let (end, ended) = oneshot::channel::<()>();
        let ended = async move { drop(ended.await) };
        let fault = |_, _: &_| Refusal::internal().answer();
        let served = tokio::spawn(serve(listener, service, fault, Limits::default(), Arc::default(), ended));
        Ok(Self { url, issuer, shared, end, served })
    }

    /// The secret key that it takes.
    #[must_use]
    pub fn secret_key(&self) -> &str {
        self.shared.gate.key()
    }

    /// Allows so many requests in ten seconds from now on. At the start it is 100, as for Clerk's development instances.
    pub fn allow(&self, requests: u32) {
        self.shared.gate.allow(requests);
    }

    /// How many requests its API has had, refused ones too.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.gate.requests()
    }

    /// Tells of the sessions that its links open, as Clerk would. Of everything else it is told, and tells nobody. The first
    /// to be given is the one that is told.
    pub fn tell(&self, webhooks: Sender) {
        let _ = self.shared.webhooks.set(webhooks);
    }

    /// Has this user, or this state of a user it has: an object as the Backend API gives it.
    ///
    /// # Errors
    /// [`Error::Unreadable`] without `id` and `created_at`.
    pub fn put_user(&self, user: Map<String, Value>) -> Result<(), Error> {
        self.shared.state().users.put(user).ok_or(Error::Unreadable)
    }

    /// Has so many invented people, numbered from 0, the first signed up at `since` and each a second after the one before.
    /// They take up little room: each is made up anew when asked for, and is the same every time.
    pub fn put_crowd(&self, scene: &Scene, people: usize, since: Timestamp) {
        self.shared.state().users.put_crowd(scene, people, since);
    }

    /// Has nobody of that id, nor their sessions, any more. Returns whether it had.
    pub fn delete_user(&self, id: &str) -> bool {
        let mut state = self.shared.state();
        state.sessions.delete_of(id);
        state.users.delete(id)
    }

    /// Everybody it has, in the order in which they signed up.
    #[must_use]
    pub fn users(&self) -> Vec<Map<String, Value>> {
        self.shared.state().users.all()
    }

    /// Makes true what an event says, if it is about a user or a session; others change nothing here.
    ///
    /// # Errors
    /// [`Error::Unreadable`] for an event of these that says nothing.
    pub fn apply(&self, event: &Value) -> Result<(), Error> {
        let data = event["data"].as_object().ok_or(Error::Unreadable)?;
        match event["type"].as_str().and_then(|kind| kind.split_once('.')).ok_or(Error::Unreadable)? {
            ("user", "deleted") => {
                let id = data.get("id").and_then(Value::as_str).ok_or(Error::Unreadable)?;
                self.delete_user(id);
                Ok(())
            }
            ("user", _) => self.put_user(data.clone()),
            ("session", _) => self.shared.state().sessions.put(data.clone()).ok_or(Error::Unreadable),
            _ => Ok(()),
        }
    }

    /// Stops it.
    pub async fn stop(self) {
        drop(self.end);
        let _ = self.served.await;
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Result<Answer, Refusal> {
        let call = Call::read(request).await?;
        match (call.method(), call.path().as_slice()) {
            (&Method::GET, [".well-known", "jwks.json"]) => Ok(answer::json(self.issuer.jwks().to_owned())),
            (&Method::GET, ["sign-in"]) => actor_tokens::open(self, &call).await,
            (_, ["v1", rest @ ..]) => {
                self.gate.admit(&call)?;
                self.api(&call, rest)
            }
            _ => Err(Refusal::not_found("Nothing is here")),
        }
    }

    fn api(&self, call: &Call, path: &[&str]) -> Result<Answer, Refusal> {
        match (call.method(), path) {
            (&Method::GET, ["jwks"]) => Ok(answer::json(self.issuer.jwks().to_owned())),
            (&Method::GET, ["instance"]) => Ok(answer::instance(&self.instance)),
            (&Method::GET, ["users"]) => users::list(&self.state().users, call),
            (&Method::GET, ["users", "count"]) => users::count(&self.state().users, call),
            (&Method::GET, ["users", id]) => users::one(&self.state().users, id),
            (&Method::GET, ["sessions"]) => sessions::list(&self.state().sessions, call),
            (&Method::GET, ["sessions", id]) => sessions::one(&self.state().sessions, id),
            (&Method::POST, ["sessions", id, "tokens"]) => sessions::token(self, id, call),
            (&Method::POST, ["sessions", _, "tokens", name]) => {
                Err(Refusal::not_found(format!("No JWT template exists with name: {name}")))
            }
            (&Method::POST, ["actor_tokens"]) => actor_tokens::create(self, call),
            (&Method::POST, ["actor_tokens", id, "revoke"]) => actor_tokens::revoke(self, id),
            _ => Err(Refusal::not_found("The stand-in for Clerk has no such address")),
        }
    }

    /// Sends the event, once. That is less than Clerk does, and enough for what is sent to a server on the same machine.
    async fn tell(&self, kind: &str, data: Map<String, Value>) {
        let (Some(webhooks), now) = (self.webhooks.get(), self.clock.now()) else { return };
        let event = json!({
            "object": "event", "type": kind, "timestamp": now.as_millis(), "instance_id": self.instance, "data": data,
        });
        let id = random().map(|noise| sample::id("msg", now, &noise)).unwrap_or_default();
        match webhooks.send(&id, now, &event).await {
            Ok(answer) if answer.status == 200 => {}
            Ok(answer) => tracing::warn!(kind, status = answer.status, "stand_in.event_refused"),
            Err(cause) => tracing::warn!(kind, %cause, "stand_in.event_not_sent"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}
