//! The answers, from the store alone: the running server gives them over the socket, and a command gives
//! them to itself when no server runs.

use std::sync::Arc;

use super::{Erase, Feed, Listing, Practice, Reply, Request, export};
use crate::audit::{Actor, Draft, Source};
use crate::backup::Backups;
use crate::clerk::backend::Backend;
use crate::clock::Clock;
use crate::http::acting;
use crate::http::admin::link;
use crate::http::{App, record};
use crate::notary::{self, Notary, Published};
use crate::page::PageRequest;
use crate::reconcile;
use crate::store::{self, By, ChangeError, EraseError, Error, Extent, Order, Store, UserPatch};
use crate::user::{Handle, HandleKind, UserRef};

/// What answers need.
#[derive(Debug, Clone)]
pub struct Desk {
    /// The roll and the book.
    pub store: Store,
    /// Vouches for the book.
    pub notary: Notary,
    /// Asks Clerk; `None` without a secret key.
    pub backend: Option<Backend>,
    /// Compares the roll with Clerk's users.
    pub walks: reconcile::Desk,
    /// Makes backups.
    pub backups: Backups,
    /// The time.
    pub clock: Clock,
    /// The origin browsers use.
    pub public_origin: String,
    /// Where the server listens.
    pub address: String,
    /// The server that runs; `None` where a command has opened the file by itself.
    pub server: Option<App>,
}

impl Desk {
    /// Does what is asked and says what came of it. What takes long says on the way how far it is, and gives files.
    pub async fn answer(&self, request: Request, feed: &Feed) -> Reply {
        let answered = match request {
            Request::AdminLink { name } => return self.admin_link(&name).await,
            Request::Status => return self.status(),
            Request::Checks => return self.health().await,
            Request::Checkpoint => return signed(self.notary.publish().await),
            Request::RotateKey => return self.rotate_key().await,
            Request::Adopt { reason } => return signed(self.notary.adopt(&reason, cli()).await),
            Request::Prune { before, override_retention, go } => {
                return self.prune(before, override_retention, go, feed).await;
            }
            Request::Scrub => return self.scrub(feed).await,
            Request::ActorToken { user, actor, reason } => {
                return self.actor_token(acting::Order { user, actor, reason }, feed).await;
            }
            Request::Backup { to } => return self.backup(to, feed).await,
            Request::Sync { dry_run } => return self.sync(dry_run, feed).await,
            Request::ExportUsers(wanted) => return exported(self.export_users(wanted, feed).await),
            Request::ExportAudit(wanted) => return exported(self.export_audit(wanted, feed).await),
            Request::ExportLog { details } => return exported(self.export_log(details, feed).await),
            Request::User { id } => self.user(&id).await,
            Request::Users(listing) => self.users(listing).await,
            Request::SetUser { id, role, practice, plan, status } => {
                let practice_id = match practice {
                    Practice::Keep => None,
                    Practice::None => Some(None),
                    Practice::Is(practice) => Some(Some(practice)),
                };
                self.set_user(&id, UserPatch { role, practice_id, plan, status }).await
            }
            Request::Erase(erase) => return self.erase(erase, feed).await,
            Request::Verify(terms) => return self.verify(terms, feed).await,
            Request::CreateKey(wanted) => return self.create_key(wanted).await,
            Request::Keys => self.keys().await,
            Request::RevokeKey { id } => self.revoke_key(id).await,
            Request::EverOnFile { value, kind, user } => self.ever_on_file(&value, kind, user, feed).await,
        };
        answered.unwrap_or_else(|error| Reply::Refused { reason: error.to_string() })
    }

    async fn rotate_key(&self) -> Reply {
        match self.notary.rotate(cli()).await {
            Ok(vkey) => Reply::VerifierKey { vkey: vkey.to_string() },
            Err(error) => Reply::Refused { reason: error.to_string() },
        }
    }

    async fn admin_link(&self, name: &str) -> Reply {
        let now = self.clock.now();
        match link::mint(&self.store, name, now, Actor::Cli, Source::Cli, &self.public_origin).await {
            Ok(url) => Reply::AdminLink { url },
            Err(error) => Reply::Refused { reason: error.to_string() },
        }
    }

    fn status(&self) -> Reply {
        Reply::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            address: self.address.clone(),
            tls: self.server.as_ref().is_some_and(|app| app.settings.tls.is_some()),
            ready: self.store.is_ready(),
            doubt: self.store.doubt().map(|doubt| doubt.to_string()),
        }
    }

    async fn user(&self, id: &UserRef) -> Result<Reply, Error> {
        let Some(user) = self.store.user(id.id())? else { return Ok(Reply::NotFound) };
        self.store.record(Draft::new("user.read", Actor::Cli, Source::Cli).about(&user.clerk_id)).await?;
        Ok(Reply::User { user: record(&user) })
    }

    async fn users(&self, listing: Listing) -> Result<Reply, Error> {
        let Listing { filter, limit, cursor } = listing;
        let page = self.store.users(filter, PageRequest { limit, cursor }).await?;
        let look = Draft::new("users.listed", Actor::Cli, Source::Cli);
        self.store.record(look.listing(page.items.iter().map(|user| &user.clerk_id))).await?;
        Ok(Reply::Users { items: page.items.iter().map(record).collect(), next_cursor: page.next_cursor })
    }

    async fn set_user(&self, id: &UserRef, patch: UserPatch) -> Result<Reply, Error> {
        match self.store.set_user(id.id(), patch, None, cli().entry("user.assigned")).await {
            Ok(user) => Ok(user.map_or(Reply::NotFound, |user| Reply::User { user: record(&user) })),
            Err(ChangeError::Store(error)) => Err(error),
            Err(error) => Ok(Reply::Refused { reason: error.to_string() }),
        }
    }

    /// Erases somebody, or says what that would take. It is done also when nobody waits for it any more.
    async fn erase(&self, erase: Erase, feed: &Feed) -> Reply {
        let Erase { id, confirmed, even_if_live, even_if_untold, reason } = erase;
        let done = if confirmed {
            let order = Order { by: cli(), reason, even_if_live, even_if_untold };
            self.store.erase(&id, order, search(feed)).await
        } else {
            self.weigh_erasure(&id, feed).await
        };
        match done {
            Ok(extent) => Reply::Erasure { extent, done: confirmed },
            Err(EraseError::Unknown) => Reply::NotFound,
            Err(error @ EraseError::Live) => Reply::Refused { reason: format!("{error}, or add --still-at-clerk") },
            Err(error @ EraseError::Untold(_)) => {
                Reply::Refused { reason: format!("{error}; let them catch up, or add --untold") }
            }
            Err(error) => Reply::Refused { reason: error.to_string() },
        }
    }

    async fn weigh_erasure(&self, id: &UserRef, feed: &Feed) -> Result<Extent, EraseError> {
        let extent = self.store.erasure_extent(id, search(feed)).await?;
        self.store.record(Draft::new("user.read", Actor::Cli, Source::Cli).about(&extent.person)).await?;
        Ok(extent)
    }

    async fn ever_on_file(
        &self,
        value: &str,
        kind: Option<HandleKind>,
        user: Option<UserRef>,
        feed: &Feed,
    ) -> Result<Reply, Error> {
        // Everybody is asked, one after the other: that can take longer than a caller waits for a word.
        let _ = feed.progress(0, None);
        let person = match user {
            Some(UserRef::Clerk(id)) => Some(id),
            Some(UserRef::Id(id)) => match self.store.user(id)? {
                Some(user) => Some(user.clerk_id),
                None => return Ok(Reply::NotFound),
            },
            None => None,
        };
        let asked = Draft::new("value.looked_up", Actor::Cli, Source::Cli);
        self.store.ever_on_file(Handle::typed(value, kind), person, asked).await.map(Reply::Sightings)
    }
}

fn exported(reply: Result<Reply, export::Error>) -> Reply {
    reply.unwrap_or_else(|error| Reply::Refused { reason: error.to_string() })
}

/// Passes on how far a search through the file is.
fn search(feed: &Feed) -> impl Fn(store::Progress) + Send + Sync + use<> {
    let feed = feed.clone();
    // From now on it is a long answer. Whether anybody is there to hear of it is the connection's business.
    let _ = feed.progress(0, None);
    move |progress| {
        let _ = feed.progress(progress.done, Some(progress.of));
    }
}

/// Somebody at the terminal.
pub(super) const fn cli() -> By {
    By { actor: Actor::Cli, source: Source::Cli }
}

fn signed(published: Result<Arc<Published>, notary::Error>) -> Reply {
    match published {
        Ok(published) => Reply::Checkpoint { note: published.note.clone() },
        Err(error) => Reply::Refused { reason: error.to_string() },
    }
}
