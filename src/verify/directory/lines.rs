//! The parts of an export that name people and can be withheld: a line of JSON for each detail, and for each person.

use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead, BufReader, Seek as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::io_error;
use crate::audit::{MAX_DETAIL, Ranges, Salt, subject_ref};
use crate::user::ClerkId;
use crate::verify::report::Findings;
use crate::verify::source::{Fault, Numbered};

/// No line is longer, in bytes: a detail in which every character is escaped, and its salt.
const MAX_LINE: u64 = 7 * MAX_DETAIL as u64;

/// The shortest line of a person, in bytes: what tells how many there can be.
const PERSON: u64 = 110;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DetailLine {
    index: u64,
    salt: String,
    detail: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonLine {
    id: ClerkId,
    #[serde(rename = "ref")]
    reference: String,
    salt: String,
}

/// The details, in the order of their entries, read as the pass goes on.
pub(super) struct DetailLines {
    path: PathBuf,
    lines: Lines,
    next: Option<(u64, Vec<u8>)>,
    /// Whether the first line was read.
    is_begun: bool,
    last: Option<u64>,
}

impl DetailLines {
    pub(super) fn new(path: PathBuf, file: File) -> Self {
        Self { lines: Lines::new(path.clone(), file), path, next: None, is_begun: false, last: None }
    }

    /// Salts and details of the entries in that range; none before it was taken.
    pub(super) fn take(&mut self, range: Range<u64>, findings: &mut Findings) -> Result<Numbered, Fault> {
        if !std::mem::replace(&mut self.is_begun, true) {
            self.advance(findings)?;
        }
        let mut taken = Vec::new();
        while let Some(detail) = self.next.take_if(|(seq, _)| *seq < range.end) {
            taken.push(detail);
            self.advance(findings)?;
        }
        Ok(taken)
    }

    /// The place of the detail that comes next.
    pub(super) fn next_place(&self) -> Option<u64> {
        self.next.as_ref().map(|(seq, _)| *seq)
    }

    /// Reads on to the next line that can be one.
    fn advance(&mut self, findings: &mut Findings) -> Result<(), Fault> {
        while let Some(line) = self.lines.next()? {
            match row(line) {
                Some((seq, row)) if self.last.is_none_or(|last| last < seq) => {
                    self.last = Some(seq);
                    self.next = Some((seq, row));
                    return Ok(());
                }
                Some((seq, _)) => findings.add(format!("{}: entry {seq} is not in its place", self.lines.named())),
                None => findings.add(format!("{} is no detail", self.lines.named())),
            }
        }
        Ok(())
    }

    /// Those of the places that have a detail.
    pub(super) fn among(&self, places: &Ranges) -> Result<Ranges, Fault> {
        let mut lines = Lines::new(self.path.clone(), File::open(&self.path).map_err(io_error(&self.path))?);
        let mut found = Ranges::default();
        while let Some(line) = lines.next()? {
            if let Some((seq, _)) = row(line).filter(|(seq, _)| places.contains(*seq)) {
                found.insert(seq);
            }
        }
        Ok(found)
    }
}

/// Place, and salt and detail as a data file has them.
fn row(line: &[u8]) -> Option<(u64, Vec<u8>)> {
    let line: DetailLine = serde_json::from_slice(line).ok()?;
    Some((line.index, [&salt(&line.salt)?[..], line.detail.as_bytes()].concat()))
}

fn salt(base64: &str) -> Option<Salt> {
    STANDARD.decode(base64).ok()?.try_into().ok()
}

/// The people that can be named. Of each only a fingerprint of 8 bytes is kept, made with a key that nobody outside this
/// process can foresee: 8 MB for a million people.
pub(super) struct PeopleLines {
    fingerprints: Vec<u64>,
    hasher: RandomState,
}

impl PeopleLines {
    /// Reads and checks every line: the reference has to follow from salt and id.
    pub(super) fn read(path: &Path, mut file: File, findings: &mut Findings) -> Result<Self, Fault> {
        let length = file.seek(std::io::SeekFrom::End(0)).and_then(|end| file.rewind().map(|()| end));
        let most = length.map_err(io_error(path))? / PERSON;
        let mut lines = Lines::new(path.to_owned(), file);
        let mut people =
            Self { fingerprints: Vec::with_capacity(usize::try_from(most).unwrap_or(0)), hasher: RandomState::new() };
        while let Some(line) = lines.next()? {
            let person: Option<PersonLine> = serde_json::from_slice(line).ok();
            let fits =
                |person: &PersonLine| salt(&person.salt).map(|salt| subject_ref(&salt, &person.id) == person.reference);
            match person.and_then(|person| fits(&person).map(|fits| (person, fits))) {
                Some((person, true)) => people.fingerprints.push(people.hasher.hash_one(&*person.reference)),
                Some((PersonLine { reference, .. }, false)) => {
                    findings.add(format!("{}: {reference} does not follow from salt and id", lines.named()));
                }
                None => findings.add(format!("{} is no person", lines.named())),
            }
        }
        people.fingerprints.sort_unstable();
        Ok(people)
    }

    pub(super) fn count(&self) -> u64 {
        self.fingerprints.len() as u64
    }

    pub(super) fn has(&self, reference: &str) -> bool {
        self.fingerprints.binary_search(&self.hasher.hash_one(reference)).is_ok()
    }
}

/// The lines of a file, none of which can fill the memory.
struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    fn new(path: PathBuf, file: File) -> Self {
        Self { path, file: BufReader::with_capacity(1 << 16, file), line: Vec::new(), number: 0 }
    }

    fn next(&mut self) -> Result<Option<&[u8]>, Fault> {
        self.line.clear();
        let read = std::io::Read::take(&mut self.file, MAX_LINE).read_until(b'\n', &mut self.line);
        if read.map_err(io_error(&self.path))? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.line.pop_if(|byte| *byte == b'\n').is_none() && self.line.len() as u64 == MAX_LINE {
            return Err(Fault::Damaged(format!("{} is longer than any detail", self.named())));
        }
        Ok(Some(&self.line))
    }

    fn named(&self) -> String {
        format!("{}, line {}", self.path.file_name().unwrap_or_default().to_string_lossy(), self.number)
    }
}
