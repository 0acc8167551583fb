//! Checkpoints: who signed them, and whether the log begins with what they speak of.

mod kept;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Terms;
use super::report::{Newest, Report};
use crate::merkle::Hash;
use crate::tlog::checkpoint::{BadCheckpoint, Checkpoint};
use crate::tlog::note::{Note, VerifierKey};

pub use self::kept::{Kept, NoCheckpoint};

/// What was signed, to be compared when the pass gets to its size.
pub(super) struct Signed<'t> {
    terms: &'t Terms,
    /// The log's own, and those that were given.
    keys: Vec<VerifierKey>,
    /// The name that the log is signed under now.
    origin: String,
    /// By size, the largest first, once the pass begins.
    claims: Vec<Claim>,
    wrong: BTreeMap<(String, Wrong), Told>,
    /// Misfits under a name that the log had before.
    earlier: Option<Told>,
    /// Places of entries that say that the log was adopted.
    pub(super) adoptions: Vec<u64>,
}

/// That a log of so many entries had this root.
struct Claim {
    size: u64,
    root: Hash,
    what: What,
    /// Signed under a name that the log had before.
    is_earlier: bool,
}

/// Which checkpoint.
#[derive(Debug, Clone)]
pub(super) struct What {
    /// Where it is: those that are wrong in one place in one way are told together.
    place: String,
    /// What to call it.
    name: String,
}

impl What {
    /// A checkpoint that is kept with the log.
    pub(super) fn stored(size: u64) -> Self {
        Self { place: String::new(), name: format!("the checkpoint of {size} entries") }
    }

    /// The file beside the data file.
    pub(super) fn mark() -> Self {
        Self { place: "mark".to_owned(), name: "the high-water mark beside the file".to_owned() }
    }

    fn kept(kept: &Kept, size: Option<u64>) -> Self {
        let size = size.map_or_else(|| "a checkpoint".to_owned(), |size| format!("the checkpoint of {size} entries"));
        let line = kept.line.map(|line| format!(", line {line}")).unwrap_or_default();
        Self { place: kept.file.clone(), name: format!("{}{line}: {size}", kept.file) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wrong {
    Signature,
    Root,
    Size,
}

/// The first of several of a kind, and how many more there are.
struct Told {
    first: String,
    more: u64,
}

impl<'t> Signed<'t> {
    pub(super) const fn new(terms: &'t Terms) -> Self {
        Self {
            terms,
            keys: Vec::new(),
            origin: String::new(),
            claims: Vec::new(),
            wrong: BTreeMap::new(),
            earlier: None,
            adoptions: Vec::new(),
        }
    }

    /// The keys that the log names as its own, the one that signs now first. Those that were given count besides.
    pub(super) fn know(&mut self, own: Vec<VerifierKey>) {
        self.keys = own;
        self.keys.extend_from_slice(&self.terms.keys);
        self.origin = self.keys.first().map_or_else(String::new, |key| key.name().to_owned());
    }

    /// A checkpoint that is kept with the log. Returns what it says if it can be believed.
    pub(super) fn stored(&mut self, what: What, note: &str) -> Option<Checkpoint> {
        match Checkpoint::open(note, &self.keys) {
            Ok(checkpoint) => {
                self.claim(what, &checkpoint, checkpoint.origin != self.origin);
                Some(checkpoint)
            }
            Err(error) => {
                self.unbelievable(what, &error);
                None
            }
        }
    }

    /// The newest checkpoint that is kept with the log, which [`Signed::stored`] has seen as well; `None` when there is
    /// none. Where keys were given, one of them must have signed it.
    pub(super) fn newest(&mut self, note: Option<&str>, report: &mut Report) {
        let given = &self.terms.keys;
        let Some(note) = note else {
            if given.is_empty() {
                report.notice("nothing was signed yet".to_owned());
            } else {
                report.findings.add("no checkpoint is kept with the log, and so none is signed by your key".to_owned());
            }
            return;
        };
        let (Ok(read), Ok(checkpoint)) = (note.parse::<Note>(), Checkpoint::unverified(note)) else { return };
        if !given.is_empty()
            && let Err(error) = Checkpoint::open(note, given)
        {
            let size = checkpoint.size;
            report
                .findings
                .add(format!("the newest checkpoint, of {size} entries, is not signed by your key: {error}"));
        }
        let keys = if given.is_empty() { &self.keys } else { given };
        let signers = read.verify(keys).unwrap_or_default();
        let signers = signers.iter().map(|key| format!("{}+{:08x}", key.name(), key.id())).collect();
        report.newest = Some(Newest { size: checkpoint.size, signers });
    }

    /// Takes in what was kept elsewhere, once the log's own keys are known and its own checkpoints are in.
    pub(super) fn begin(&mut self) {
        let terms = self.terms;
        for kept in &terms.kept {
            let keys = if terms.keys.is_empty() { &self.keys } else { &terms.keys };
            match Checkpoint::open(&kept.note, keys) {
                Ok(checkpoint) => self.claim(What::kept(kept, Some(checkpoint.size)), &checkpoint, false),
                Err(error) => self.unbelievable(What::kept(kept, None), &error),
            }
        }
        self.claims.sort_by_key(|claim| Reverse(claim.size));
    }

    fn claim(&mut self, what: What, checkpoint: &Checkpoint, is_earlier: bool) {
        self.claims.push(Claim { size: checkpoint.size, root: checkpoint.root, what, is_earlier });
    }

    fn unbelievable(&mut self, what: What, error: &BadCheckpoint) {
        let text = format!("{} cannot be believed: {error}", what.name);
        self.tell(what.place, Wrong::Signature, text);
    }

    /// Compares what was signed at this size with the root that the entries give there.
    pub(super) fn reached(&mut self, size: u64, root: impl FnOnce() -> Hash) {
        if self.claims.last().is_none_or(|claim| claim.size != size) {
            return;
        }
        let root = root();
        while let Some(claim) = self.claims.pop_if(|claim| claim.size == size) {
            if claim.root != root {
                self.misfit(claim, Wrong::Root, "was signed over other entries than those that are there");
            }
        }
    }

    fn misfit(&mut self, claim: Claim, wrong: Wrong, why: &str) {
        let text = format!("{} {why}", claim.what.name);
        if claim.is_earlier {
            add(&mut self.earlier, text);
        } else {
            self.tell(claim.what.place, wrong, text);
        }
    }

    fn tell(&mut self, place: String, wrong: Wrong, text: String) {
        let mut told = self.wrong.remove(&(place.clone(), wrong));
        add(&mut told, text);
        self.wrong.extend(told.map(|told| ((place, wrong), told)));
    }

    /// Says what was found, the log having so many entries; those checkpoints that could not be compared are left out
    /// when the pass did not get to the end.
    pub(super) fn finish(&mut self, size: u64, is_complete: bool, report: &mut Report) {
        for claim in std::mem::take(&mut self.claims) {
            if claim.size > size && is_complete {
                let why = format!(
                    "speaks of more entries than the {size} there are: some were taken from the end, or this is an older copy"
                );
                self.misfit(claim, Wrong::Size, &why);
            }
        }
        report.kept = self.terms.kept.len() as u64;
        report.keys_given = !self.terms.keys.is_empty();
        for told in std::mem::take(&mut self.wrong).into_values() {
            report.findings.add(told.text());
        }
        let adopted = self.adoptions.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        match self.earlier.take() {
            None if adopted.is_empty() => {}
            None => report.notice(format!("an operator has adopted the file as it was (log.forked): entry {adopted}")),
            Some(told) if adopted.is_empty() => report.findings.add(told.text()),
            Some(told) => report.notice(format!(
                "an operator has adopted the file as it was (log.forked): entry {adopted}. From before that, {}",
                told.text()
            )),
        }
    }
}

impl Told {
    fn text(self) -> String {
        match self.more {
            0 => self.first,
            1 => format!("{}, and 1 more checkpoint likewise", self.first),
            more => format!("{}, and {more} more checkpoints likewise", self.first),
        }
    }
}

fn add(told: &mut Option<Told>, text: String) {
    match told {
        Some(told) => told.more += 1,
        None => *told = Some(Told { first: text, more: 0 }),
    }
}
