//! Rollbook: the roll of your Clerk users, and the book of everything that happened to them, in one file.
//!
//! One process receives Clerk's webhooks, keeps the users and an append-only audit log in one redb file, answers a JSON
//! API for whoever shows a session token, and renders a small admin page. The crate is the whole program;
//! `src/main.rs` adds the command line and the exit code. How to run it stands in the README.
//!
//! # Modules
//!
//! What the program is about. These do no input or output, and see nothing but each other:
//!
//! - [`user`]: what is kept of a person, and the ids people go by
//! - [`event`]: what Clerk told us, in our words
//! - [`audit`]: one line of the log, to the byte
//! - [`merkle`]: the hash tree over those lines (RFC 6962), in tiles
//! - [`tlog`]: the texts by which others read and check that tree (C2SP)
//! - [`api_key`]: what servers show instead of a session token, and what it lets them do
//! - [`sync`]: which of two states wins, and the operator's policy
//! - [`page`]: bounded lists and where they go on
//! - [`histogram`]: how large things were, by steps
//! - [`traffic`]: what came in, by the hour
//! - [`json`]: strict reading, canonical writing, and what differs between two objects
//! - [`clock`]: the time, which tests can set
//! - [`sample`]: invented people and their events, for the demo and for trying out
//! - [`target`]: a service that is told of what happens
//! - [`export`]: the forms in which users and entries leave for other programs (CSV, OCSF)
//!
//! What touches the world, each named for what it talks to, and alone in naming the packages for it:
//!
//! - [`store`]: the file (redb). Every verb is one transaction
//! - [`notary`]: the signing key and the high-water mark beside the file, and the checkpoints signed under both
//! - [`verify`]: a log recomputed, from the file or from an export, and whatever speaks against it
//! - [`backup`]: copies of the file that are proved before they are kept
//! - [`restore`]: such a copy put in the place of a file that was lost
//! - [`clerk`]: signatures, session tokens, keys, and calls over HTTP (svix, jsonwebtoken, reqwest)
//! - [`forward`]: what happens, told to other services until they take it
//! - [`reconcile`]: the roll compared with Clerk's own list, user by user
//! - [`checks`]: what has to be right, and what to do when it is not
//! - [`http`]: routes, handlers, error documents, the admin page (warp, askama)
//! - [`control`]: the socket by which a command reaches the server that has the file open
//! - [`tls`]: the certificate that is shown where no proxy does that, read anew when its files change (tokio-rustls, webpki)
//! - [`config`]: the settings, all read at the start, all faults reported together
//! - [`log`]: lines on standard output
//! - [`disk`]: files that are whole or not there
//!
//! What puts it together:
//!
//! - [`server`]: binds, wires, runs, stops. [`server::accept`] is the loop over connections
//! - [`stand_in`]: Clerk, as far as the demo needs one
//! - [`cli`]: the commands
//!
//! The direction is `cli` → `stand_in` → `server` → `control` → `http` → `checks` → `reconcile`, `forward` and `backup` → `verify` →
//! `notary` → `store`, `clerk` and `tls` → the rest. `store` and `clerk` do not know of each other: they meet in a handler, in
//! the words of [`event`]
//! and [`user`]. Settings are handed down as plain values; only [`server`] and [`cli`] know [`config`].
//! `tests/layering.rs` holds all of this.
//!
//! # What always holds
//!
//! - **Acknowledged means durable.** A webhook is answered 2xx after one transaction has brought the message's mark, the
//!   user's new state, its index rows and the log entry to the disk together. When that fails the answer is 503, and
//!   Clerk's sender tries again.
//! - **One message, one effect.** A message is known by its id (`svix-id`), which retries and replays share.
//! - **The order of arrival does not matter.** States of one object are totally ordered ([`event::Version`]) and the
//!   greatest wins, whichever came first. A deletion is final.
//! - **Nothing verified is lost.** What carries a good signature is kept and answered 2xx, also when its type is
//!   unknown, its body cannot be read or it comes from another Clerk instance: it is then in quarantine, with the reason,
//!   until an admin lets it be tried again ([`store::Store::reprocess`]) or discards it.
//! - **The log only grows.** The store has no verb that changes an entry. Each is hashed into the tree in the transaction
//!   that writes it. Entries that need not be kept any more go from the old end alone, once the log says so, and the tree
//!   over them stays ([`store::Store::prune`]).
//! - **Nothing is signed twice over.** A checkpoint continues from every one before it, which the high-water mark outside
//!   the data file remembers ([`notary`]). A file that does not fit its mark, its key or itself is read only
//!   ([`audit::Doubt`]) until its operator has settled that, in the log.
//! - **No secret is kept, and no person is named where it cannot be undone.** One-time codes, links that let somebody
//!   in, and the content of messages are dropped before anything is stored ([`clerk::clean`]). Leaves of the log and
//!   lines on standard output know users by a salted reference; what else is personal is in the entry's detail, outside
//!   the hashed bytes. Error documents hold fixed sentences.
//! - **Proof comes first.** A signature is checked over the raw bytes before they are parsed, a token's signature before
//!   its claims are believed. [`clerk::session::Session`] and [`event::Delivery`] exist only once that is done. Who may
//!   do what is decided in the handler, never by which route matched.
//! - **Strangers cost nothing that lasts.** What an unauthenticated caller does is counted, and written down once a
//!   minute ([`http::Tally`]); no token makes Rollbook fetch keys more often than every 30 seconds.
//! - **Who reads slowly slows nobody.** Nothing is queued for the readers of the events feed: each page is read when the
//!   connection takes it, in a transaction of its own ([`store::Store::feed`]). Services that are told of events
//!   are readers of it too, each with a place of its own that is kept over restarts ([`forward`]).
//! - **An I/O error of the data file ends the process.** Nobody can know what is on the disk then. Writes answer 503,
//!   `/ready` too, the process ends with 1, and the restart finds everything that was acknowledged.
//!
//! Deliberately absent: a second writer; a setting that accepts unverified tokens or webhooks; a default password or an
//! open set-up form; cookies in the API, but for the one that a proxy may have looked at ([`http`]'s forward-auth); anything on
//! the admin page that needs script; lists by offset; mutable global state; `unsafe`.
//!
//! # A webhook, walked
//!
//! 1. [`server::accept`] takes the connection within its limits. [`http::guard`] looks at the method, at how the
//!    request says where it ends, and at the Host, before anything is routed.
//! 2. The handler takes the raw body ([`http::call::Call::body`]): at most 1 MiB, within ten seconds, not encoded.
//! 3. [`clerk::webhook::Webhooks::receive`] wants each header once and all of one family, checks the signature
//!    with every secret it has, and only then reads the body, cleans it of secrets and makes an [`event::Delivery`] of
//!    it. A body that says nothing we understand is part of the delivery, not an error.
//! 4. [`store::Store::ingest`] hands it to the one writer, which takes whatever is waiting into one transaction. There:
//!    was the message seen before? Is it from our instance? Which state wins ([`sync::judge`])? Then the row, the
//!    indexes, the leaf ([`audit::Leaf`]), its hash in the tree, the mark; then a two-phase commit.
//! 5. After the commit, and not before: 200 with the [`event::Outcome`], and a line on standard output
//!    ([`log::entry`]). A caller that has hung up changes nothing, the transaction runs on.
//!
//! # An API read, walked
//!
//! 1. `GET /api/users/{id}` comes through the same loop and guard, and from an address that has not asked too often
//!    ([`http::limit`]). The one table of routes ([`http::route`]), from which `/openapi.json` is made too, says what
//!    answers it. `{id}` is a [`user::UserRef`]; what cannot be one is not a path of ours, 404.
//! 2. A token is taken from the one `Authorization` header. [`clerk::session::Sessions::verify`] knows it already, or
//!    finds the key by its id ([`clerk::jwks::Keys`]), checks RS256 and the signature, then issuer, times and origin by
//!    our own clock. Or it is an API key ([`api_key`]): its hash is looked up for every request, so that a revoked one is
//!    refused at once.
//! 3. The caller's record is read. Somebody Clerk knows and we do not yet is put on the roll now
//!    ([`store::Store::provision`]): as Clerk says when it can be asked ([`clerk::backend::Lookups`]), else as their youngest
//!    token does, until Clerk can be asked or an event comes. The deleted and the banned get 403.
//! 4. Their own record is theirs to read. An admin, or a key with the scope, may read anybody's, once that is in the log:
//!    the entry is on disk before the answer leaves. For everybody else another's record is 404, as if it were not there.
//! 5. The row becomes JSON by a type of its own, so that file and API can change apart; what Clerk keeps
//!    from a user's own browser is for admins only. Whatever went wrong on the way became a
//!    [`http::problem::Problem`]: a public sentence and an id out, the cause into the log under that id.

pub mod api_key;
pub mod audit;
pub mod backup;
pub mod checks;
pub mod clerk;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod disk;
pub mod event;
pub mod export;
pub mod forward;
pub mod histogram;
pub mod http;
pub mod json;
pub mod log;
pub mod merkle;
pub mod notary;
pub mod page;
pub mod reconcile;
pub mod restore;
pub mod sample;
pub mod server;
pub mod stand_in;
pub mod store;
pub mod sync;
pub mod target;
pub mod tlog;
pub mod tls;
pub mod traffic;
pub mod user;
pub mod verify;
