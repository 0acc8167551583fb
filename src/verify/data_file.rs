//! The log in a data file.

use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::absent::ADOPTED;
use super::report::{People, Report};
use super::signed::{Signed, What};
use super::source::{Fault, Numbered, Source, View};
use crate::audit::{self, Leaf, Ranges};
use crate::clock::Timestamp;
use crate::merkle::Hash;
use crate::notary;
use crate::store::{self, Evidence, Head, Identity, Mapping, StoredCheckpoint};
use crate::tlog::note::VerifierKey;

/// So many checkpoints are read at a time.
const PAGE: usize = 500;

/// So many rows that should not be there are named.
const NAMED: usize = 5;

type Rows<'a> = &'a dyn Fn() -> Result<Evidence, store::Error>;

/// A data file: open in this process or at rest.
pub(super) struct DataFile<'a> {
    path: PathBuf,
    rows: Rows<'a>,
    /// The last checkpoint that was taken in: its epoch and size.
    last: (u64, u64),
}

impl<'a> DataFile<'a> {
    pub(super) fn new(path: &Path, rows: Rows<'a>) -> Self {
        Self { path: path.to_owned(), rows, last: (0, 0) }
    }

    fn evidence(&self) -> Result<Evidence, Fault> {
        sound("the file", self.rows)
    }

    /// The high-water mark, which belongs to a file in use; a copy has none.
    fn mark(&self, signed: &mut Signed<'_>, report: &mut Report) {
        match fs::read(notary::mark_path(&self.path)) {
            Ok(note) => drop(signed.stored(What::mark(), &String::from_utf8_lossy(&note))),
            Err(cause) if cause.kind() == ErrorKind::NotFound => {}
            Err(cause) => report.notice(format!("the high-water mark beside the file cannot be read ({cause})")),
        }
    }
}

impl Source for DataFile<'_> {
    type View<'v>
        = Now
    where
        Self: 'v;

    fn begin(&mut self, signed: &mut Signed<'_>, report: &mut Report) -> Result<(), Fault> {
        let rows = self.evidence()?;
        report.people = Some(People::default());
        report.adopted_before = newest_adoption(&rows)?.unwrap_or(0);
        let keys = keys(&rows, report)?;
        signed.know(keys);
        // Before the checkpoints: what is signed meanwhile is then in both.
        self.mark(signed, report);
        let mut newest = None;
        loop {
            let page = sound("the checkpoints", || rows.checkpoint_rows_after(self.last, PAGE))?;
            let Some(((epoch, size), _)) = page.last() else { break };
            self.last = (*epoch, *size);
            for (key, row) in page {
                newest = take_in(key, row, signed, report);
                report.checkpoints += 1;
            }
        }
        signed.newest(newest.as_ref().map(|newest| &*newest.note), report);
        Ok(())
    }

    fn view(&mut self, _: Range<u64>, _: &mut Report) -> Result<Now, Fault> {
        let rows = self.evidence()?;
        let head = match sound("the head", || rows.head()) {
            Err(Fault::Damaged(_)) => None,
            head => Some(head?),
        };
        // Three places say how long the log is. One of them may be wrong.
        let mut sizes = [
            head.map_or(0, |head| head.size),
            sound("the entries", || rows.leaves_end())?,
            sound("the tiles", || rows.hashes_end())?,
        ];
        sizes.sort_unstable();
        Ok(Now { rows, head, size: sizes[1], last: self.last })
    }
}

/// The rows of the file at one moment.
pub(super) struct Now {
    rows: Evidence,
    /// `None` when it cannot be read.
    head: Option<Head>,
    size: u64,
    last: (u64, u64),
}

impl View for Now {
    fn size(&self) -> u64 {
        self.size
    }

    fn root(&self) -> Option<Hash> {
        self.head.map(|head| head.root)
    }

    fn leaves(&self, range: Range<u64>, _: &mut Vec<String>) -> Result<Numbered, Fault> {
        sound(&range, || self.rows.leaves(range.clone()))
    }

    fn details(&self, range: Range<u64>) -> Result<Option<Numbered>, Fault> {
        sound(&range, || self.rows.details(range.clone())).map(Some)
    }

    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, Fault> {
        sound("the tiles", || self.rows.tile_row(level, index))
    }

    fn mapping(&self, reference: &str) -> Result<Option<Mapping>, Fault> {
        sound("the people", || self.rows.mapping(reference)).map(Some)
    }

    fn unlisted(
        &self,
        seq: u64,
        leaf: &Leaf,
        detail: Option<&[u8]>,
        people: &[u64],
    ) -> Result<Option<&'static str>, Fault> {
        if !sound("the lists", || self.rows.is_listed_by_action(seq, leaf))? {
            return Ok(Some("action"));
        }
        if !sound("the lists", || self.rows.is_listed_by_actor(seq, leaf))? {
            return Ok(Some("actor"));
        }
        if let Some(detail) = detail
            && !sound("the lists", || self.rows.is_listed_by_address(seq, detail))?
        {
            return Ok(Some("address"));
        }
        let is_listed = |number| sound("the lists", || self.rows.is_listed_by_person(seq, number));
        for number in people {
            if !is_listed(*number)? {
                // What was known of the person may be out of date: they can have been erased a moment ago.
                for reference in leaf.people() {
                    if let Some(Mapping::Person(number)) = self.mapping(reference)?
                        && !is_listed(number)?
                    {
                        return Ok(Some("person"));
                    }
                }
                break;
            }
        }
        Ok(None)
    }

    fn finish(
        &self,
        root: &Hash,
        last_at: Option<Timestamp>,
        signed: &mut Signed<'_>,
        report: &mut Report,
    ) -> Result<(), Fault> {
        self.check_head(root, last_at, report)?;
        self.check_ends(report)?;
        self.check_counts(report)?;
        self.take_in_the_newest(signed, report)
    }

    fn details_among(&self, places: &Ranges) -> Result<Ranges, Fault> {
        let mut found = Ranges::default();
        for place in places.iter() {
            let there = sound("the details", || self.rows.detail_places(place..place + 1, 1))?;
            if there == [place] {
                found.insert(place);
            }
        }
        Ok(found)
    }
}

impl Now {
    fn check_head(&self, root: &Hash, last_at: Option<Timestamp>, report: &mut Report) -> Result<(), Fault> {
        let findings = &mut report.findings;
        match &self.head {
            None => findings.add("the head (size and root) cannot be read".to_owned()),
            Some(head) => {
                if head.size != self.size {
                    findings.add(format!("the head says {} entries, and there are {}", head.size, self.size));
                }
                if head.root != *root {
                    findings.add("the root in the head is not that of the entries".to_owned());
                }
            }
        }
        let noted = sound("the time of the last entry", || self.rows.last_at())?;
        if noted != last_at {
            findings.add(
                "the time of the last entry, as it is noted beside the log (last_at), is not the entry's".to_owned(),
            );
        }
        Ok(())
    }

    /// What lies behind the log's end or before its beginning.
    fn check_ends(&self, report: &mut Report) -> Result<(), Fault> {
        let (size, findings) = (self.size, &mut report.findings);
        let end = sound("the entries", || self.rows.leaves_end())?;
        if end > size {
            findings.add(format!("there is an entry {}, behind the end of the log of {size}", end - 1));
        }
        for (level, index) in sound("the tiles", || self.rows.tiles_beyond(size, NAMED))? {
            findings.add(format!("there is a tile {level}/{index}, which a log of {size} entries does not have"));
        }
        for place in sound("the details", || self.rows.detail_places(size..u64::MAX, NAMED))? {
            findings.add(format!("there is a detail of entry {place}, behind the end of the log of {size}"));
        }
        let first = sound("the place of the first entry", || self.rows.first())?;
        if first > report.pruned_before {
            findings.add(format!("entries before {first} are said to be pruned, and no log.pruned entry says so"));
        }
        Ok(())
    }

    fn check_counts(&self, report: &mut Report) -> Result<(), Fault> {
        let counts = sound("the lists", || self.rows.row_counts())?;
        if counts.by_action != counts.leaves {
            report
                .findings
                .add(format!("the list by action has {} entries, and the log {}", counts.by_action, counts.leaves));
        }
        if counts.subjects != counts.references {
            report
                .findings
                .add(format!("there are {} people, and {} references to people", counts.subjects, counts.references));
        }
        report.people = report.people.map(|people| People { known: counts.subjects, ..people });
        Ok(())
    }

    /// What was signed since the pass began.
    fn take_in_the_newest(&self, signed: &mut Signed<'_>, report: &mut Report) -> Result<(), Fault> {
        let page = sound("the checkpoints", || self.rows.checkpoint_rows_after(self.last, PAGE))?;
        if page.is_empty() {
            return Ok(());
        }
        signed.know(keys(&self.rows, report)?);
        for (key, row) in page {
            report.checkpoints += 1;
            let Some(checkpoint) = take_in(key, row, signed, report) else { continue };
            signed.newest(Some(&checkpoint.note), report);
            if checkpoint.size <= self.size {
                let root = sound("the tiles", || self.rows.root_at(checkpoint.size))?;
                signed.reached(checkpoint.size, || root);
            }
        }
        Ok(())
    }
}

/// Takes in a checkpoint; returns it if it can be read.
fn take_in(
    (epoch, size): (u64, u64),
    row: Option<StoredCheckpoint>,
    signed: &mut Signed<'_>,
    report: &mut Report,
) -> Option<StoredCheckpoint> {
    let Some(row) = row else {
        report.findings.add(format!("the checkpoint of {size} entries (epoch {epoch}) cannot be read"));
        return None;
    };
    if let Some(checkpoint) = signed.stored(What::stored(size), &row.note)
        && checkpoint.size != size
    {
        report.findings.add(format!("the checkpoint of {} entries is filed as one of {size}", checkpoint.size));
    }
    Some(row)
}

/// The keys that the log is signed with, the one that signs now first.
fn keys(rows: &Evidence, report: &mut Report) -> Result<Vec<VerifierKey>, Fault> {
    let identity = match sound("the log's name and keys", || rows.identity()) {
        Err(Fault::Damaged(what)) => {
            report.findings.add(what);
            return Ok(Vec::new());
        }
        identity => identity?,
    };
    let Some(Identity { vkey, former, .. }) = identity else {
        report.notice("the log was never signed".to_owned());
        return Ok(Vec::new());
    };
    let mut keys = Vec::new();
    for text in [vkey].into_iter().chain(former) {
        match text.parse() {
            Ok(key) => keys.push(key),
            Err(error) => report.findings.add(format!("a key that the log is signed with cannot be read: {error}")),
        }
    }
    Ok(keys)
}

/// The newest entry that says that the file was adopted.
fn newest_adoption(rows: &Evidence) -> Result<Option<u64>, Fault> {
    let Some(seq) = sound("the lists", || rows.newest_of(ADOPTED))? else { return Ok(None) };
    let leaf = sound("the entries", || rows.leaf(seq))?;
    let leaf = leaf.and_then(|leaf| serde_json::from_slice::<Leaf>(&leaf).ok());
    Ok(leaf.filter(|leaf| leaf.action == ADOPTED && leaf.source != audit::Source::Webhook).map(|_| seq))
}

/// What could not be read, in words.
trait Named {
    fn named(&self) -> String;
}

impl Named for str {
    fn named(&self) -> String {
        self.to_owned()
    }
}

impl Named for Range<u64> {
    fn named(&self) -> String {
        format!("something between entry {} and entry {}", self.start, self.end.saturating_sub(1))
    }
}

/// Reads, and tells damage from a disk that fails. Of some damage the database does not return an error but panics.
fn sound<T>(what: &(impl Named + ?Sized), read: impl FnOnce() -> Result<T, store::Error>) -> Result<T, Fault> {
    match store::caught(read) {
        Some(Ok(read)) => Ok(read),
        Some(Err(error)) if !error.is_damage() => Err(Fault::Error(error.into())),
        Some(Err(error)) => Err(Fault::Damaged(format!("{} cannot be read: {error}", what.named()))),
        None => Err(Fault::Damaged(format!("{} cannot be read: the file is damaged there", what.named()))),
    }
}
