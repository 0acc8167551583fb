//! Opening a data file: make it, or know it for ours and whole.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use redb::{
    Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase as _, StorageBackend, TableError,
    TableHandle as _,
};

use super::error::{Error, OpenError};
use super::snapshot::Storage;
use super::{former, tables};
use crate::disk;

/// The schema this binary writes. It reads the earlier ones as well, and brings them up to date when it opens them.
pub(super) const SCHEMA: u32 = 5;

/// The tables that files of an earlier schema do not have, by the schema that brought them.
const SINCE: &[(u32, &[&str])] = &[
    (2, &["audit_checkpoint-1", "value_tags-1", "erased-1"]),
    (3, &["api_keys-1"]),
    (4, &["audit_by_facet-1", "hours-1"]),
    (5, &["walk_marks-1", "targets-1", "target_courses-1"]),
];

/// The schema that brought the lists by facet.
const FACETS: u32 = 4;

/// The ending of a rewritten data file that does not have its name yet.
pub(super) const SCRUB: &str = "scrub";

/// A killed process's lock can outlive it for a moment; a restart should not stumble over that.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// A database that is open, and the storage it is in.
pub(super) struct Opened {
    pub(super) db: Database,
    pub(super) storage: Storage,
}

/// Opens the data file at `path`, making a new one when there is none. One of an earlier schema is kept as it was, beside
/// it, and then brought up to date.
pub(super) fn open(path: &Path, cache_bytes: usize) -> Result<Opened, OpenError> {
    if !path.try_exists().map_err(|cause| inaccessible(path, cause))? {
        // Making it would put it in the place of the link: a volume may not be mounted.
        if path.is_symlink() {
            let cause = std::io::Error::new(ErrorKind::NotFound, "it is a link to what is not there");
            return Err(inaccessible(path, cause));
        }
        create(path, cache_bytes)?;
    }
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(|cause| inaccessible(path, cause))?;
    keep_private(path, &file)?;
    former::keep(path, cache_bytes)?;
    let opened = open_patiently(path, || open_file(path, cache_bytes))?;
    upgrade(path, &opened.db)?;
    // Whoever was rewriting the file when they were killed left half a copy of it behind.
    let real = std::fs::canonicalize(path).map_err(|cause| inaccessible(path, cause))?;
    disk::remove_left_over(&beside(&real, SCRUB)).map_err(|cause| inaccessible(path, cause))?;
    Ok(opened)
}

/// Opens the file at `path`, which has to hold a database.
pub(super) fn open_file(path: &Path, cache_bytes: usize) -> Result<Opened, DatabaseError> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    if file.metadata()?.len() == 0 {
        // Of nothing a new database would be made.
        return Err(std::io::Error::from(ErrorKind::InvalidData).into());
    }
    let storage = Storage::file(file)?;
    let db = builder(cache_bytes).create_with_backend(storage.clone())?;
    Ok(Opened { db, storage })
}

/// Opens the data file that the backend holds, making a new one when it is empty. Of what is in no file nothing is kept before
/// it is brought up to date.
pub(super) fn open_backend(backend: impl StorageBackend, path: &Path, cache_bytes: usize) -> Result<Opened, OpenError> {
    let is_new = backend.len().map_err(|cause| inaccessible(path, cause))? == 0;
    let storage = Storage::new(backend);
    let db = builder(cache_bytes).create_with_backend(storage.clone()).map_err(|cause| refused(path, cause))?;
    if is_new {
        initialise(&db, SCHEMA).map_err(|cause| OpenError::Store { path: path.to_owned(), cause })?;
    }
    upgrade(path, &db)?;
    Ok(Opened { db, storage })
}

/// Makes a whole new file beside `path` and then gives it its name, so that a file of that name is never half made.
fn create(path: &Path, cache_bytes: usize) -> Result<(), OpenError> {
    let beside = beside(path, "new");
    let made = || -> Result<(), OpenError> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = file.open(&beside).map_err(|cause| inaccessible(path, cause))?;
        let db = builder(cache_bytes).create_file(file).map_err(|cause| refused(path, cause))?;
        initialise(&db, SCHEMA).map_err(|cause| OpenError::Store { path: path.to_owned(), cause })?;
        drop(db);
        std::fs::rename(&beside, path).map_err(|cause| inaccessible(path, cause))?;
        disk::sync_folder(path).map_err(|cause| inaccessible(path, cause))
    };
    made().inspect_err(|_| {
        let _ = std::fs::remove_file(&beside);
    })
}

/// The name of a file in the making, in the folder of the one it is to replace.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    path.with_file_name(format!(".{}.{ending}", path.file_name().unwrap_or_default().to_string_lossy()))
}

/// Makes the tables that are not there, and stamps the file.
fn initialise(db: &Database, schema: u32) -> Result<(), Error> {
    let mut txn = db.begin_write()?;
    txn.set_two_phase_commit(true);
    txn.set_quick_repair(true);
    {
        let mut tables = tables::Tables::open(&txn)?;
        tables.meta.insert("schema", &schema.to_be_bytes()[..])?;
    }
    txn.commit()?;
    Ok(())
}

/// Knows the file ([`check`]), and brings it up to date: all of it in one transaction, or nothing.
fn upgrade(path: &Path, db: &Database) -> Result<(), OpenError> {
    let found = check(path, db)?;
    if found == SCHEMA {
        return Ok(());
    }
    // At a million users or entries it takes minutes, in which nothing else is said.
    tracing::info!(from = found, to = SCHEMA, "store.upgrading");
    let renew = || -> Result<(), Error> {
        let mut txn = db.begin_write()?;
        txn.set_two_phase_commit(true);
        txn.set_quick_repair(true);
        if found < 3 {
            txn.delete_table(tables::user_index())?;
        }
        {
            let mut tables = tables::Tables::open(&txn)?;
            if found < 3 {
                tables.renew_users()?;
            }
            if found < FACETS {
                tables.list_by_facets()?;
            }
            tables.meta.insert("schema", &SCHEMA.to_be_bytes()[..])?;
        }
        txn.commit()?;
        Ok(())
    };
    renew().map_err(|cause| OpenError::Store { path: path.to_owned(), cause })
}

pub(super) fn builder(cache_bytes: usize) -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes);
    builder
}

/// The file holds personal data: only its owner may read it, whatever the umask was when it was copied here.
fn keep_private(path: &Path, file: &File) -> Result<(), OpenError> {
    let mode = file.metadata().map_err(|cause| inaccessible(path, cause))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    file.set_permissions(PermissionsExt::from_mode(0o600)).map_err(|cause| inaccessible(path, cause))
}

pub(super) fn open_patiently<T>(path: &Path, open: impl Fn() -> Result<T, DatabaseError>) -> Result<T, OpenError> {
    let since = Instant::now();
    loop {
        match open() {
            Err(DatabaseError::DatabaseAlreadyOpen) if since.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(50));
            }
            opened => return opened.map_err(|cause| refused(path, cause)),
        }
    }
}

/// Knows the file by its schema stamp, and knows it for whole by its tables: a torn copy of a live file
/// opens without an error, with tables missing. Returns its schema.
pub(super) fn check(path: &Path, db: &Database) -> Result<u32, OpenError> {
    let store = |cause: Error| OpenError::Store { path: path.to_owned(), cause };
    let not_ours = || OpenError::NotOurs(path.to_owned());
    let txn = db.begin_read().map_err(|e| store(e.into()))?;
    let meta = match txn.open_table(tables::meta()) {
        Ok(meta) => meta,
        Err(TableError::Storage(cause)) => return Err(store(cause.into())),
        Err(_) => return Err(not_ours()),
    };
    let stamp = meta.get("schema").map_err(|e| store(e.into()))?.ok_or_else(not_ours)?;
    let found = u32::from_be_bytes(stamp.value().try_into().map_err(|_| not_ours())?);
    if !(1..=SCHEMA).contains(&found) {
        return Err(OpenError::Newer { path: path.to_owned(), found, known: SCHEMA });
    }
    let came_later = |name: &&str| SINCE.iter().any(|(since, names)| *since > found && names.contains(name));
    let present: Vec<String> =
        txn.list_tables().map_err(|e| store(e.into()))?.map(|table| table.name().to_owned()).collect();
    let is_there = |name: &&str| came_later(name) || present.iter().any(|p| p == name);
    if let Some(table) = tables::NAMES.iter().find(|name| !is_there(name)) {
        return Err(OpenError::Torn { path: path.to_owned(), table: (*table).to_owned() });
    }
    Ok(found)
}

/// Knows the file, and makes the tables that it does not have: as much as it takes to read the log in it. What is said of
/// the users stays as an older version left it. Returns its schema.
pub(super) fn complete(path: &Path, db: &Database) -> Result<u32, OpenError> {
    let found = check(path, db)?;
    if found < SCHEMA {
        initialise(db, found).map_err(|cause| OpenError::Store { path: path.to_owned(), cause })?;
    }
    Ok(found)
}

/// Whether the entries are listed by their facets: not in a file of an earlier schema that is only read.
pub(super) fn has_facets(txn: &ReadTransaction) -> Result<bool, Error> {
    let stamp = txn.open_table(tables::meta())?.get("schema")?.map(|row| row.value().to_vec());
    Ok(stamp.is_some_and(|stamp| stamp[..] >= FACETS.to_be_bytes()[..]))
}

pub(super) fn refused(path: &Path, cause: DatabaseError) -> OpenError {
    match cause {
        DatabaseError::DatabaseAlreadyOpen => OpenError::Locked(path.to_owned()),
        // No header of redb's, or one that speaks of more than there is.
        DatabaseError::Storage(redb::StorageError::Io(cause))
            if matches!(cause.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            OpenError::NotOurs(path.to_owned())
        }
        DatabaseError::Storage(redb::StorageError::Io(cause)) => inaccessible(path, cause),
        DatabaseError::Storage(redb::StorageError::Corrupted(_)) => OpenError::NotOurs(path.to_owned()),
        other => OpenError::Store { path: path.to_owned(), cause: other.into() },
    }
}

fn inaccessible(path: &Path, cause: std::io::Error) -> OpenError {
    let path: PathBuf = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    OpenError::Inaccessible { path, cause }
}
