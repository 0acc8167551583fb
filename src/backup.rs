//! Backups: whole copies of the data file, made while it is in use, and proved before they get their name.
//!
//! A backup is the data as of one moment in a file of its own, `rollbook-20261121T180311Z.redb`, named for when it was
//! begun. It is written beside that name, brought to the disk, opened again, and its log is recomputed and held against
//! the newest checkpoint; only what passes gets the name. It is everything but the signing key, which belongs somewhere
//! else. Whoever puts one in the place of the data file can start from it.

mod desk;
mod folder;
mod gait;
mod part;
mod retention;
mod schedule;

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::audit::Draft;
use crate::clock::{Clock, Timestamp};
use crate::disk::{self, size};
use crate::notary::Notary;
use crate::store::{self, AtRest, By, CopyError, OpenError, Store, check_pages};
use crate::verify::{self, Kept, Pace, Terms};

pub use self::desk::{Backups, NotBegun, Outcome, Rules, Step};
pub use self::folder::{Backup, Newest, list, newest, open, takes_files};
pub use self::schedule::{Due, keep};

use self::gait::Gait;
use self::part::{Part, Place};

/// How much of a backup is kept in memory while it is checked, in bytes.
const CACHE: usize = 16 * 1024 * 1024;

const NO_FOLDER: &str = "no folder for backups is set (ROLLBOOK_BACKUP_DIR); say where: `rollbook backup FOLDER` or the \
    name of a new file";
const IN_DOUBT: &str =
    "the log is in doubt, so a backup of it could not be proved; settle that first (`rollbook adopt --help`)";

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its file.
    pub path: PathBuf,
    /// How long the file is, in bytes.
    pub bytes: u64,
    /// How many entries its log has.
    pub entries: u64,
    /// How long it took, in milliseconds.
    pub took: i64,
    /// The time in its name, if it is in the folder of the settings under a name of ours.
    pub named_for: Option<Timestamp>,
}

/// What backup is wanted.
#[derive(Debug, Clone)]
pub struct Order {
    /// A folder, or the name of a new file; the folder of the settings when `None`.
    pub to: Option<PathBuf>,
    /// The folder of the settings, if one is set.
    pub folder: Option<PathBuf>,
    /// Who wants it.
    pub by: By,
}

/// Why there is no backup. Nothing of it is left, and the data file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder is not there, or does not take files from us.
    #[error(
        "{} does not take files ({}); make the folder and give it to the user Rollbook runs as",
        .folder.display(), disk::cause(.cause)
    )]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// No folder is set, and none was named.
    #[error("{NO_FOLDER}")]
    NoFolder,
    /// Something has the name already.
    #[error("{} is there already, and a backup is written over nothing; name a new file, or a folder", .0.display())]
    Taken(PathBuf),
    /// The name is that of something that belongs to the data file.
    #[error("{} is a name that belongs to the data file; name another file, or a folder", .0.display())]
    Reserved(PathBuf),
    /// Something has the name that it would have until it is proved.
    #[error(
        "{} is in the way: a backup is being made there, or was when its process was killed; in the second case remove it", .0.display()
    )]
    InTheWay(PathBuf),
    /// The disk is too full.
    #[error(
        "a backup needs as much room as the data file, {}, and {} has {}", size(*.need), .folder.display(), size(*.free)
    )]
    NoRoom {
        /// The folder.
        folder: PathBuf,
        /// What is needed, in bytes.
        need: u64,
        /// What there is.
        free: u64,
    },
    /// The copy could not be written.
    #[error("{} cannot be written: {cause}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        cause: io::Error,
    },
    /// The copy cannot be opened again, or is not whole.
    #[error("the copy cannot be opened again: {0}")]
    Open(OpenError),
    /// The copy's log does not agree with itself or with what was signed of it.
    #[error("the copy's log is not whole: {0}")]
    Unsound(String),
    /// The copy could not be checked.
    #[error("the copy cannot be checked: {0}")]
    Verify(verify::Error),
    /// The log is in doubt: a copy could not be proved.
    #[error("{IN_DOUBT}")]
    InDoubt,
    /// The server stops.
    #[error("stopped before it was done")]
    Stopped,
    /// The data file cannot be read, or takes no writes.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        if matches!(error, OpenError::Stopped) { Self::Stopped } else { Self::Open(error) }
    }
}

impl Error {
    /// The reason as one word, for the log.
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Folder { .. } | Self::NoFolder => "folder",
            Self::Taken(_) | Self::Reserved(_) | Self::InTheWay(_) => "taken",
            Self::NoRoom { .. } => "no_room",
            Self::Write { .. } => "write",
            Self::Open(_) | Self::Unsound(_) | Self::Verify(_) => "unsound",
            Self::InDoubt => "in_doubt",
            Self::Stopped => "stopped",
            Self::Store(_) => "store",
        }
    }

    /// Whether somebody besides the one who asked for it has to know. What is wrong with a place that was named by hand is
    /// told to whoever named it; one that was given up was not wanted any more; and doubt about the log has its own alarm.
    const fn concerns_others(&self, was_named: bool) -> bool {
        match self {
            Self::Stopped | Self::InDoubt => false,
            Self::Open(_) | Self::Unsound(_) | Self::Verify(_) | Self::Store(_) => true,
            _ => !was_named,
        }
    }
}

/// Hears what is being done and how far that is, and says whether to go on.
pub type Watch = Box<dyn FnMut(Step) -> ControlFlow<()> + Send>;

/// Makes a backup of the store, and notes it in the log: `backup.made`, also when it came to nothing. Webhooks are taken
/// meanwhile. Those who call see to it that one is made at a time.
///
/// # Errors
/// With why there is none.
pub async fn make(
    store: &Store,
    notary: &Notary,
    clock: &Clock,
    Order { to, folder, by }: Order,
    watch: Watch,
) -> Result<Made, Error> {
    let at = clock.now();
    let work = {
        let (store, notary) = (store.clone(), notary.clone());
        move || copy(&store, &notary, to, folder.as_deref(), at, watch)
    };
    let copied = tokio::task::spawn_blocking(work).await.unwrap_or(Err(store::Error::Panicked.into()));
    let entry = by.entry("backup.made");
    match copied {
        Ok(made) => {
            let made = Made { took: clock.now().as_millis() - at.as_millis(), ..made };
            store.record(describe(&made, entry)).await?;
            Ok(made)
        }
        Err(error) => {
            tracing::error!(cause = %error, "backup.failed");
            if let Err(cause) = store.record(entry.ended("error", error.as_str())).await {
                tracing::warn!(%cause, "audit.not_written");
            }
            Err(error)
        }
    }
}

/// What the log says of one: the name of one in the folder of the settings, the whole path of any other.
fn describe(made: &Made, entry: Draft) -> Draft {
    let entry = if made.named_for.is_some() {
        entry.with("name", made.path.file_name().map(|name| name.to_string_lossy().into_owned()))
    } else {
        entry.with("path", Some(made.path.display().to_string()))
    };
    entry.with("bytes", Some(made.bytes)).with("entries", Some(made.entries))
}

/// Copies, proves, and gives the name. Blocks.
fn copy(
    store: &Store,
    notary: &Notary,
    to: Option<PathBuf>,
    folder: Option<&Path>,
    at: Timestamp,
    mut watch: Watch,
) -> Result<Made, Error> {
    if store.doubt().is_some() {
        return Err(Error::InDoubt);
    }
    let place = match (to, folder) {
        (Some(to), _) => Place::meant_by(to),
        (None, Some(folder)) => Place::Folder(folder.to_owned()),
        (None, None) => return Err(Error::NoFolder),
    };
    let part = Part::new(&place, store.path(), at)?;
    ensure_room(store, place.folder())?;
    // Before the copy, which then holds what they speak of.
    let terms = terms(notary);
    let mut gait = Gait::beside(store);
    let copied = store.copy_to(part.path(), &mut |done, of| {
        gait.rest();
        watch(Step::copying(done, of)).is_continue()
    });
    copied.map_err(|error| match error {
        CopyError::Target(cause) => Error::Write { path: part.path().to_owned(), cause },
        CopyError::Stopped => Error::Stopped,
        CopyError::Store(cause) => cause.into(),
    })?;
    let entries = prove(part.path(), &terms, &mut |done, of| {
        gait.rest();
        watch(Step::checking(done, of))
    })?;
    let (path, bytes) = part.keep()?;
    let named_for = folder.filter(|folder| place.is(folder)).and(folder::time_of(&path));
    Ok(Made { path, bytes, entries, took: 0, named_for })
}

/// Checks every page of the copy and recomputes its log, each half of the work; returns how many entries it has.
fn prove(path: &Path, terms: &Terms, watch: verify::Watch<'_>) -> Result<u64, Error> {
    check_pages(path, CACHE, &mut |done, of| watch(done, 2 * of))?;
    let mut watch = |done, of| watch(of + done, 2 * of);
    let report = verify::file(&AtRest::open(path, CACHE)?, terms, Pace::GENTLE, &mut watch);
    let report = report.map_err(|error| match error {
        verify::Error::Stopped => Error::Stopped,
        error => Error::Verify(error),
    })?;
    // What an operator has adopted, knowing it or not, is no fault of the copy's.
    match report.findings.told.into_iter().next() {
        Some(finding) => Err(Error::Unsound(finding)),
        None => Ok(report.entries),
    }
}

/// The newest checkpoint, and the keys it is signed with.
fn terms(notary: &Notary) -> Terms {
    let newest = notary.published().map(|published| Kept {
        file: "the newest checkpoint".to_owned(),
        line: None,
        note: published.note.clone(),
    });
    Terms { keys: notary.verifiers(), kept: newest.into_iter().collect() }
}

fn ensure_room(store: &Store, folder: &Path) -> Result<(), Error> {
    let free = disk::free(folder).map_err(|cause| Error::Folder { folder: folder.to_owned(), cause })?;
    // Data that is in no file takes what it takes.
    let need = fs::metadata(store.path()).map_or(0, |file| disk::used(&file));
    if free < need { Err(Error::NoRoom { folder: folder.to_owned(), need, free }) } else { Ok(()) }
}
