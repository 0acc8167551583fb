//! The data file as an older Rollbook wrote it: kept beside it before it is brought up to date, since the older one cannot
//! read it any more then. It stays until somebody removes it.

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::at_rest::AtRest;
use super::error::{Error, OpenError};
use super::evidence::Head;
use super::schema;
use crate::disk;

/// What stands behind the data file's name, before the schema.
const SUFFIX: &str = ".schema";

/// The copies that were kept of the data file at `data` before it was brought up to date.
///
/// # Errors
/// When its folder cannot be read.
pub fn former_copies(data: &Path) -> io::Result<Vec<PathBuf>> {
    let mut copies = Vec::new();
    let Some(name) = data.file_name().and_then(|name| name.to_str()) else { return Ok(copies) };
    for entry in fs::read_dir(disk::folder(data))? {
        let found = entry?.file_name();
        let rest = found.to_str().and_then(|found| found.strip_prefix(name)?.strip_prefix(SUFFIX));
        let path = data.with_file_name(&found);
        let is_one = |rest: &str| rest.split('.').all(|number| number.parse::<u32>().is_ok());
        if rest.is_some_and(is_one) && path.is_file() {
            copies.push(path);
        }
    }
    copies.sort_unstable();
    Ok(copies)
}

/// Keeps the data file as it is, if it is of an earlier schema, unless that was done already. The file is not touched.
pub(super) fn keep(path: &Path, cache_bytes: usize) -> Result<(), OpenError> {
    // For as long as this is open, nobody can write the file.
    let file = AtRest::open(path, cache_bytes)?;
    if file.is_current() {
        return Ok(());
    }
    let found = file.schema();
    let head = head(&file).map_err(|cause| OpenError::Store { path: path.to_owned(), cause })?;
    let is_kept = |copy: &Path| is_copy(copy, found, head, cache_bytes);
    let mut copy = named(path, found, 1);
    // A name may be taken by the copy of another time: that was put back, and written to since.
    for n in 2.. {
        if is_kept(&copy) {
            return Ok(());
        }
        if copy.symlink_metadata().is_err() {
            break;
        }
        copy = named(path, found, n);
    }
    ensure_room(path, found, &copy)?;
    let part = schema::beside(&copy, "part");
    let made = make(path, &part, &copy, &is_kept).inspect_err(|_| {
        let _ = fs::remove_file(&part);
    });
    made.map_err(|cause| OpenError::NotKept { path: path.to_owned(), found, copy: copy.clone(), cause })?;
    tracing::info!(schema = found, copy = %copy.display(), "store.kept_as_it_was");
    Ok(())
}

/// The n-th copy's name.
fn named(path: &Path, schema: u32, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("{SUFFIX}{schema}"));
    if n > 1 {
        name.push(format!(".{n}"));
    }
    name.into()
}

/// Whether a data file of that schema is there, whole, whose log ends alike.
fn is_copy(copy: &Path, schema: u32, expected: Head, cache_bytes: usize) -> bool {
    copy.is_file()
        && AtRest::open(copy, cache_bytes)
            .is_ok_and(|file| file.schema() == schema && head(&file).is_ok_and(|head| head == expected))
}

fn head(file: &AtRest) -> Result<Head, Error> {
    file.evidence()?.head()
}

fn ensure_room(path: &Path, found: u32, copy: &Path) -> Result<(), OpenError> {
    let not_kept = |cause| OpenError::NotKept { path: path.to_owned(), found, copy: copy.to_owned(), cause };
    let folder = disk::folder(copy);
    let need = fs::metadata(path).map(|file| disk::used(&file)).map_err(not_kept)?;
    let free = disk::free(folder).map_err(not_kept)?;
    if free < need {
        return Err(OpenError::NoRoom { path: path.to_owned(), found, folder: folder.to_owned(), need, free });
    }
    Ok(())
}

/// Writes it beside its name, opens it, and gives it the name.
fn make(path: &Path, part: &Path, copy: &Path, is_kept: &dyn Fn(&Path) -> bool) -> io::Result<()> {
    disk::remove_left_over(part)?;
    let mut from = File::open(path)?;
    let mut to = disk::create_private(part, &from.metadata()?)?;
    disk::copy(&mut from, &mut to, &mut |_| ControlFlow::Continue(()))?;
    if !is_kept(part) {
        return Err(io::Error::other("it is not what it was copied from"));
    }
    fs::rename(part, copy)?;
    disk::sync_folder(copy)
}
