//! The log in a directory: an export in the layout of C2SP tlog-tiles.

mod lines;

use std::fs;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};

use self::lines::{DetailLines, PeopleLines};
use super::Error;
use super::report::{Details, People, Report};
use super::signed::{Signed, What};
use super::source::{Fault, Numbered, Source, View};
use crate::audit::{Leaf, Ranges};
use crate::clock::Timestamp;
use crate::merkle::{Hash, TILE_WIDTH};
use crate::store::Mapping;
use crate::tlog::bundle;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::note::VerifierKey;
use crate::tlog::tile_path::{Content, TilePath};

const CHECKPOINT: &str = "checkpoint";
const KEYS: &str = "vkey";
const TILES: &str = "tile";
const DETAILS: &str = "details.jsonl";
const PEOPLE: &str = "subjects.jsonl";

/// The directory.
pub(super) struct Directory {
    root: PathBuf,
    checkpoint: Option<Checkpoint>,
    details: Option<DetailLines>,
    people: Option<PeopleLines>,
}

impl Directory {
    pub(super) fn open(root: &Path) -> Result<Self, Error> {
        let has = |name| root.join(name).try_exists().map_err(io_error(&root.join(name)));
        if !has(CHECKPOINT)? && !has(TILES)? {
            return Err(Error::NoExport(root.to_owned()));
        }
        let details = open(&root.join(DETAILS))?.map(|file| DetailLines::new(root.join(DETAILS), file));
        Ok(Self { root: root.to_owned(), checkpoint: None, details, people: None })
    }

    fn text(&self, name: &str) -> Result<Option<String>, Fault> {
        let bytes = read(&self.root.join(name))?;
        // What is no text is nothing else that belongs there.
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn keys(&self, report: &mut Report) -> Result<Vec<VerifierKey>, Fault> {
        let text = self.text(KEYS)?.unwrap_or_default();
        let mut keys = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line.parse() {
                Ok(key) => keys.push(key),
                Err(error) => report.findings.add(format!("the file {KEYS} holds something else than keys: {error}")),
            }
        }
        Ok(keys)
    }
}

impl Source for Directory {
    type View<'v> = Step<'v>;

    fn begin(&mut self, signed: &mut Signed<'_>, report: &mut Report) -> Result<(), Fault> {
        report.details = self.details.is_some().then(Details::default);
        let people = self.root.join(PEOPLE);
        if let Some(file) = open(&people)? {
            let lines = PeopleLines::read(&people, file, &mut report.findings)?;
            report.people = Some(People { known: lines.count(), erased: 0 });
            self.people = Some(lines);
        }
        signed.know(self.keys(report)?);
        let Some(note) = self.text(CHECKPOINT)? else {
            return Err(Fault::Damaged(format!("the file {CHECKPOINT} is missing")));
        };
        let checkpoint = Checkpoint::unverified(&note)
            .map_err(|error| Fault::Damaged(format!("the file {CHECKPOINT} holds no checkpoint: {error}")))?;
        signed.stored(What::stored(checkpoint.size), &note);
        signed.newest(Some(&note), report);
        report.checkpoints = 1;
        self.checkpoint = Some(checkpoint);
        Ok(())
    }

    fn view(&mut self, range: Range<u64>, report: &mut Report) -> Result<Step<'_>, Fault> {
        let size = self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);
        let details = match &mut self.details {
            Some(lines) => Some(lines.take(range.start..range.end.min(size), &mut report.findings)?),
            None => None,
        };
        Ok(Step { directory: self, size, details })
    }
}

/// One step: the lines that belong to it have been read, the tiles are read when they are asked for.
pub(super) struct Step<'a> {
    directory: &'a Directory,
    size: u64,
    details: Option<Numbered>,
}

impl View for Step<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn root(&self) -> Option<Hash> {
        self.directory.checkpoint.as_ref().map(|checkpoint| checkpoint.root)
    }

    fn leaves(&self, range: Range<u64>, faults: &mut Vec<String>) -> Result<Numbered, Fault> {
        let mut leaves = Vec::new();
        let width = TILE_WIDTH as u64;
        for index in range.start / width..range.end.div_ceil(width) {
            let Some((path, bytes)) = self.read(Content::Entries, index)? else { continue };
            match bundle::decode(&bytes) {
                Ok(found) if found.len() == path.width() => {
                    let found = (index * width..).zip(found).filter(|(seq, _)| range.contains(seq));
                    leaves.extend(found.map(|(seq, leaf)| (seq, leaf.to_vec())));
                }
                Ok(found) => faults.push(format!("{path} holds {} entries", found.len())),
                Err(error) => faults.push(format!("{path}: {error}")),
            }
        }
        Ok(leaves)
    }

    fn details(&self, range: Range<u64>) -> Result<Option<Numbered>, Fault> {
        let Some(details) = &self.details else { return Ok(None) };
        let from = details.partition_point(|(seq, _)| *seq < range.start);
        let until = details.partition_point(|(seq, _)| *seq < range.end);
        Ok(Some(details[from..until].to_vec()))
    }

    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.read(Content::Hashes(level), index)?.map(|(_, bytes)| bytes))
    }

    fn mapping(&self, reference: &str) -> Result<Option<Mapping>, Fault> {
        let Some(people) = &self.directory.people else { return Ok(None) };
        // An export has no numbers; nobody asks for them.
        Ok(Some(if people.has(reference) { Mapping::Person(0) } else { Mapping::None }))
    }

    fn unlisted(&self, _: u64, _: &Leaf, _: Option<&[u8]>, _: &[u64]) -> Result<Option<&'static str>, Fault> {
        Ok(None)
    }

    fn finish(&self, _: &Hash, _: Option<Timestamp>, _: &mut Signed<'_>, report: &mut Report) -> Result<(), Fault> {
        if let Some(lines) = &self.directory.details
            && let Some(seq) = lines.next_place()
        {
            let size = self.size;
            report.findings.add(format!("{DETAILS} has a detail of entry {seq}, behind the end of the log of {size}"));
        }
        self.check_strays(&self.directory.root.join(TILES), report)
    }

    fn details_among(&self, places: &Ranges) -> Result<Ranges, Fault> {
        match &self.directory.details {
            Some(lines) if !places.is_empty() => lines.among(places),
            _ => Ok(Ranges::default()),
        }
    }
}

impl Step<'_> {
    /// The file of a tile as it is in the tree, and where that is.
    fn read(&self, content: Content, index: u64) -> Result<Option<(TilePath, Vec<u8>)>, Fault> {
        let Some(path) = TilePath::in_tree(content, index, self.size) else { return Ok(None) };
        Ok(read(&self.directory.root.join(path.to_string()))?.map(|bytes| (path, bytes)))
    }

    /// Looks at every file below `folder`: a tile that the tree does not have has no place there, unless it is one of
    /// when the log was shorter.
    fn check_strays(&self, folder: &Path, report: &mut Report) -> Result<(), Fault> {
        let entries = match fs::read_dir(folder) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(io_error(folder))?,
        };
        for entry in entries {
            let path = entry.map_err(io_error(folder))?.path();
            if path.is_dir() {
                self.check_strays(&path, report)?;
                continue;
            }
            let name = path.strip_prefix(&self.directory.root).unwrap_or(&path).to_string_lossy();
            let Ok(tile) = name.parse::<TilePath>() else {
                report.notice(format!("{name} is no part of a log"));
                continue;
            };
            if TilePath::in_tree(tile.content, tile.index, self.size) == Some(tile) {
                continue;
            }
            if !tile.is_within(self.size) {
                report.findings.add(format!("there is {name}, which a log of {} entries does not have", self.size));
            } else if !self.is_beginning(&tile, &path)? {
                report.findings.add(format!("{name} is not the beginning of what that tile is now"));
            }
        }
        Ok(())
    }

    fn is_beginning(&self, old: &TilePath, path: &Path) -> Result<bool, Fault> {
        let (Some(bytes), Some((_, now))) = (read(path)?, self.read(old.content, old.index)?) else { return Ok(false) };
        let is_whole = match old.content {
            Content::Hashes(_) => bytes.len() == 32 * old.width(),
            Content::Entries => bundle::decode(&bytes).is_ok_and(|leaves| leaves.len() == old.width()),
        };
        Ok(is_whole && now.starts_with(&bytes))
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Fault> {
    match fs::read(path) {
        // A folder that is a file is as good as not there.
        Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        bytes => Ok(Some(bytes.map_err(io_error(path))?)),
    }
}

fn open(path: &Path) -> Result<Option<fs::File>, Error> {
    match fs::File::open(path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        file => file.map(Some).map_err(io_error(path)),
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |cause| Error::Io { path, cause }
}
