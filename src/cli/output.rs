//! Where an export goes: standard output, a file, or a folder of files. What is written has its name once it is whole;
//! until then it is beside, under a name that begins with a dot. Only its owner can read it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};

use crate::control::Piece;
use crate::disk;

/// An output that is being written.
#[derive(Debug)]
pub enum Output {
    /// Standard output.
    Standard(BufWriter<io::Stdout>),
    /// One file.
    File {
        /// Beside its place.
        file: NamedTempFile,
        /// Its place.
        place: PathBuf,
        /// Whether it may take the place of another file.
        force: bool,
    },
    /// A folder of files.
    Folder(Folder),
}

/// A folder that is being filled.
#[derive(Debug)]
pub struct Folder {
    place: PathBuf,
    /// Whether it was not there before.
    is_new: bool,
    /// In it, until everything is whole: the folder itself may be one that cannot be moved or replaced.
    inside: Option<TempDir>,
    /// What is directly in it, in the order in which it came.
    names: Vec<String>,
    /// The file that is being written, and its name.
    current: Option<(String, BufWriter<File>)>,
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.inside = None;
        if self.is_new {
            // Stays when there is something in it.
            let _ = fs::remove_dir(&self.place);
        }
    }
}

impl Output {
    /// Standard output.
    #[must_use]
    pub fn standard() -> Self {
        Self::Standard(BufWriter::new(io::stdout()))
    }

    /// A file. Only with `force` may it replace one.
    ///
    /// # Errors
    /// When there is one already, or its folder cannot be written to.
    pub fn file(place: &Path, force: bool) -> io::Result<Self> {
        match fs::symlink_metadata(place) {
            Ok(there) if there.is_dir() => {
                return Err(said(ErrorKind::IsADirectory, place, "is a folder; name a file in it"));
            }
            // A device or somebody's link would be gone.
            Ok(there) if !there.is_file() => {
                return Err(said(ErrorKind::AlreadyExists, place, "is there already and is no plain file"));
            }
            Ok(_) if !force => return Err(exists(place)),
            _ => {}
        }
        let file = tempfile::Builder::new().prefix(".export-").tempfile_in(disk::folder(place));
        Ok(Self::File { file: file.map_err(at(place))?, place: place.to_owned(), force })
    }

    /// A folder that is empty or not there.
    ///
    /// # Errors
    /// When there is something in it, or it cannot be made.
    pub fn folder(place: &Path) -> io::Result<Self> {
        let is_new = match fs::read_dir(place) {
            Ok(mut inside) => {
                if inside.next().is_some() {
                    return Err(said(ErrorKind::DirectoryNotEmpty, place, "is not empty; name another folder"));
                }
                false
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                DirBuilder::new().mode(0o700).create(place).map_err(at(place))?;
                true
            }
            Err(error) => return Err(at(place)(error)),
        };
        let mut folder = Folder { place: place.to_owned(), is_new, inside: None, names: Vec::new(), current: None };
        folder.inside = Some(tempfile::Builder::new().prefix(".export-").tempdir_in(place).map_err(at(place))?);
        Ok(Self::Folder(folder))
    }

    /// Writes a piece.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn take(&mut self, piece: &Piece) -> io::Result<()> {
        match self {
            Self::Standard(out) => out.write_all(&piece.bytes),
            Self::File { file, place, .. } => file.write_all(&piece.bytes).map_err(at(place)),
            Self::Folder(folder) => folder.take(piece).map_err(at(&folder.place)),
        }
    }

    /// Brings everything to the disk and gives it its name.
    ///
    /// # Errors
    /// When that cannot be done; then there is nothing under that name but what was there before.
    pub fn keep(self) -> io::Result<()> {
        match self {
            Self::Standard(mut out) => out.flush(),
            Self::File { file, place, force } => {
                file.as_file().sync_all().map_err(at(&place))?;
                let kept = if force { file.persist(&place) } else { file.persist_noclobber(&place) };
                match kept {
                    Ok(_) => disk::sync_folder(&place).map_err(at(&place)),
                    Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Err(exists(&place)),
                    Err(error) => Err(at(&place)(error.error)),
                }
            }
            Self::Folder(mut folder) => folder.keep().map_err(at(&folder.place)),
        }
    }
}

impl Folder {
    fn take(&mut self, piece: &Piece) -> io::Result<()> {
        let Some(inside) = &self.inside else { return Ok(()) };
        if self.current.as_ref().is_none_or(|(name, _)| *name != piece.file) {
            finish(self.current.take())?;
            let file = create(inside.path(), &piece.file)?;
            let first = piece.file.split('/').next().unwrap_or_default();
            if !self.names.iter().any(|name| name == first) {
                self.names.push(first.to_owned());
            }
            self.current = Some((piece.file.clone(), file));
        }
        self.current.as_mut().map_or(Ok(()), |(_, file)| file.write_all(&piece.bytes))
    }

    /// Moves everything to its place, what came last at the end: it says that the rest is there.
    fn keep(&mut self) -> io::Result<()> {
        finish(self.current.take())?;
        let Some(inside) = self.inside.take() else { return Ok(()) };
        sync_below(inside.path())?;
        for name in &self.names {
            fs::rename(inside.path().join(name), self.place.join(name))?;
        }
        inside.close()?;
        File::open(&self.place)?.sync_all()?;
        disk::sync_folder(&self.place)
    }
}

/// Makes a file of that name, which has `/` between folders, and the folders it is in.
fn create(folder: &Path, name: &str) -> io::Result<BufWriter<File>> {
    // A name comes from the server: it must not lead out of the folder.
    if name.split('/').any(|part| matches!(part, "" | "." | "..") || part.contains('\0')) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "the running server named a file that cannot be"));
    }
    let path = folder.join(name);
    DirBuilder::new().recursive(true).mode(0o700).create(disk::folder(&path))?;
    Ok(BufWriter::new(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?))
}

fn finish(file: Option<(String, BufWriter<File>)>) -> io::Result<()> {
    match file {
        Some((_, file)) => file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all(),
        None => Ok(()),
    }
}

/// Makes the names in a folder, and in every folder in it, durable.
fn sync_below(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_below(&entry.path())?;
        }
    }
    File::open(folder)?.sync_all()
}

fn exists(place: &Path) -> io::Error {
    said(ErrorKind::AlreadyExists, place, "is there already; --force replaces it")
}

fn said(kind: ErrorKind, place: &Path, text: &str) -> io::Error {
    io::Error::new(kind, format!("{} {text}", place.display()))
}

fn at(place: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", place.display()))
}
