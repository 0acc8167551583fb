//! Exports: everything that fits, read a stretch at a time and sent on as it is read. First the log says that it leaves.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{AuditExport, Desk, Feed, Gone, Reply, UsersExport};
use crate::audit::{self, Actions, Actor, Draft, Erasure, Source};
use crate::export::users;
use crate::http;
use crate::notary;
use crate::page::PageRequest;
use crate::store::{self, Evidence, Person};
use crate::tlog::tile_path::{Content, TilePath};
use crate::user::{ClerkId, UserRef};

/// So many tiles are read in one go.
const TILES: usize = 16;

/// So many rows of the log, or people, are read in one go.
const ROWS: u64 = 256;

/// Why an export was not finished.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The store cannot be read, or takes no entry.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Nobody vouches for the log.
    #[error(transparent)]
    Notary(#[from] notary::Error),
    /// Something went while the export was made, and what says so is behind its end.
    #[error("somebody was erased, or entries were pruned, while the log was exported; please export it again")]
    Overtaken,
    /// Nobody takes it.
    #[error(transparent)]
    Gone(#[from] Gone),
}

impl Desk {
    /// Sends the users that fit, each as they are when it is their turn.
    pub(super) async fn export_users(&self, wanted: UsersExport, feed: &Feed) -> Result<Reply, Error> {
        let UsersExport { filter, format } = wanted;
        let entry = leaving("users.exported")
            .with("format", Some(format.as_str()))
            .with("query", filter.query.clone())
            .with("email", filter.email.clone())
            .with("role", filter.role.as_ref().map(ToString::to_string))
            .with("practice", filter.practice.as_ref().map(ToString::to_string))
            .with("deleted", filter.deleted.then_some(true));
        self.store.record(entry).await?;
        let counts = self.store.counts();
        let total = if filter.deleted { counts.deleted } else { counts.users };
        // How many have a role or are of a practice is not counted.
        let total = (filter.role.is_none() && filter.practice.is_none()).then_some(total);
        feed.piece("users", users::head(format)).await?;
        let (mut after, mut rows, mut count) = (None, 0, 0);
        loop {
            feed.progress(rows, total)?;
            let stretch = self.store.walk_users(filter.clone(), after).await?;
            rows += stretch.rows;
            count += stretch.items.len() as u64;
            let items = stretch.items;
            let lines = apart(move || users::rows(format, &items.iter().map(http::record).collect::<Vec<_>>())).await?;
            feed.piece("users", lines).await?;
            after = stretch.next;
            if after.is_none() {
                return Ok(Reply::Exported { count });
            }
        }
    }

    /// Sends the entries that fit, oldest first, up to the one that says so.
    pub(super) async fn export_audit(&self, wanted: AuditExport, feed: &Feed) -> Result<Reply, Error> {
        let format = wanted.format;
        let Some(filter) = self.filter(wanted)? else { return Ok(Reply::NotFound) };
        let mut export =
            http::AuditExport::begin(&self.store, &self.notary, filter, format, leaving("audit.exported")).await?;
        feed.piece("audit", export.head()).await?;
        loop {
            let (done, total) = export.progress();
            feed.progress(done, Some(total))?;
            match export.next().await? {
                Some(lines) => feed.piece("audit", lines).await?,
                None => return Ok(Reply::Exported { count: export.count() }),
            }
        }
    }

    /// Which entries are wanted; `None` when that names somebody whom nobody knows.
    fn filter(&self, wanted: AuditExport) -> Result<Option<audit::Filter>, Error> {
        let AuditExport { action, subject, actor, address, from, to, format: _ } = wanted;
        let subject = subject.map(|subject| self.person(subject)).transpose()?;
        let actor = actor.map(|actor| actor.resolve(|user| self.person(user.clone()))).transpose()?;
        if matches!(subject, Some(None)) || matches!(actor, Some(None)) {
            return Ok(None);
        }
        Ok(Some(audit::Filter {
            action,
            subject: subject.flatten(),
            actor: actor.flatten(),
            address,
            from,
            to,
            without_looks: false,
        }))
    }

    /// Sends the log as of a checkpoint signed for it. The checkpoint comes last: without it, it is not whole.
    pub(super) async fn export_log(&self, details: bool, feed: &Feed) -> Result<Reply, Error> {
        self.store.record(leaving("log.exported").with("details", Some(details))).await?;
        let published = self.notary.publish().await?;
        let size = published.checkpoint.size;
        let total = if details { 2 * size } else { size };
        let (mut paths, mut done) = (tiles(size), 0);
        loop {
            feed.progress(done, Some(total))?;
            let some: Vec<TilePath> = paths.by_ref().take(TILES).collect();
            if some.is_empty() {
                break;
            }
            let bundles = some.iter().filter(|path| path.content == Content::Entries);
            done += bundles.map(|path| path.width() as u64).sum::<u64>();
            for (path, file) in self.tile_files(some).await? {
                feed.piece(&path.to_string(), file).await?;
            }
        }
        if details {
            self.send_details(size, feed).await?;
            self.send_people(feed).await?;
        }
        self.not_overtaken(size).await?;
        let vkeys: Vec<String> = self.notary.verifiers().iter().map(|key| format!("{key}\n")).collect();
        feed.piece("vkey", vkeys.concat()).await?;
        feed.piece("checkpoint", published.note.clone()).await?;
        Ok(Reply::Exported { count: size })
    }

    /// Whether all that is missing from an export of that size is announced in it: otherwise it would look tampered with.
    async fn not_overtaken(&self, size: u64) -> Result<(), Error> {
        for action in [Erasure::ACTION, "log.pruned"] {
            let filter = audit::Filter { action: Some(Actions::Named(action.to_owned())), ..audit::Filter::default() };
            let newest = self.store.audit(filter, PageRequest::default()).await?.items;
            if newest.first().is_some_and(|entry| entry.seq >= size) {
                return Err(Error::Overtaken);
            }
        }
        Ok(())
    }

    /// The files of these tiles, less those that were pruned.
    async fn tile_files(&self, paths: Vec<TilePath>) -> Result<Vec<(TilePath, Vec<u8>)>, store::Error> {
        let read = move |evidence: &Evidence| {
            let files = paths.into_iter().map(|path| Ok(evidence.tile_file(path)?.map(|file| (path, file))));
            files.filter_map(Result::transpose).collect()
        };
        self.store.examine(read).await
    }

    async fn send_details(&self, size: u64, feed: &Feed) -> Result<(), Error> {
        const FILE: &str = "details.jsonl";
        feed.piece(FILE, "").await?;
        let mut from = self.store.first_entry()?;
        while from < size {
            feed.progress(size + from, Some(2 * size))?;
            let to = size.min(from + ROWS);
            let rows = self.store.examine(move |evidence| evidence.details(from..to)).await?;
            let mut lines = Vec::new();
            for (index, row) in rows {
                let (salt, detail) = row.split_at_checked(32).ok_or(store::Error::Corrupt("a detail"))?;
                // As text in the text: its exact bytes are what the leaf commits to.
                let detail = str::from_utf8(detail).map_err(|_| store::Error::Corrupt("a detail"))?;
                let line = json!({ "index": index, "salt": STANDARD.encode(salt), "detail": detail });
                lines.extend_from_slice(format!("{line}\n").as_bytes());
            }
            feed.piece(FILE, lines).await?;
            from = to;
        }
        Ok(())
    }

    async fn send_people(&self, feed: &Feed) -> Result<(), Error> {
        const FILE: &str = "subjects.jsonl";
        let mut after: Option<ClerkId> = None;
        loop {
            let last = after.take();
            let limit = usize::try_from(ROWS).unwrap_or(usize::MAX);
            let people = self.store.examine(move |evidence| evidence.people_after(last.as_ref(), limit)).await?;
            let line = |person: &Person| json!({ "id": person.id.as_str(), "ref": person.reference, "salt": STANDARD.encode(person.salt) });
            let lines: Vec<String> = people.iter().map(|person| format!("{}\n", line(person))).collect();
            feed.piece(FILE, lines.concat()).await?;
            match people.into_iter().next_back() {
                Some(person) => after = Some(person.id),
                None => return Ok(()),
            }
        }
    }

    /// The person meant, `None` when Rollbook does not know that id of its own. Clerk's id is taken as it stands: the
    /// log may know people whom the roll no longer has.
    fn person(&self, user: UserRef) -> Result<Option<ClerkId>, store::Error> {
        match user {
            UserRef::Clerk(id) => Ok(Some(id)),
            UserRef::Id(id) => Ok(self.store.user(id)?.map(|user| user.clerk_id)),
        }
    }
}

/// The entry that says that somebody at the terminal takes data away.
fn leaving(action: &str) -> Draft {
    Draft::new(action, Actor::Cli, Source::Cli)
}

/// All tiles of a tree of that size.
fn tiles(size: u64) -> impl Iterator<Item = TilePath> {
    let of = move |content| (0..).map_while(move |index| TilePath::in_tree(content, index, size));
    let levels = (0..64).map(Content::Hashes).take_while(move |content| TilePath::in_tree(*content, 0, size).is_some());
    of(Content::Entries).chain(levels.flat_map(of))
}

/// Work that would keep others waiting, on a thread of its own.
async fn apart(work: impl FnOnce() -> Vec<u8> + Send + 'static) -> Result<Vec<u8>, store::Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| store::Error::Panicked)
}
