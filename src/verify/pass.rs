//! The pass over the log.

use std::ops::{ControlFlow, Range};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::absent::{Absent, News};
use super::entries::{Acquaintances, Checked, check};
use super::flaws::{Flaw, Flaws};
use super::report::{Details, Report};
use super::signed::Signed;
use super::source::{Fault, Source, View};
use super::tree::Tree;
use super::{Error, Pace, Terms, Watch};
use crate::clock::Timestamp;

/// What the pass carries from step to step.
struct Pass<'t> {
    signed: Signed<'t>,
    report: Report,
    tree: Tree,
    absent: Absent,
    flaws: Flaws,
    last_at: Option<Timestamp>,
}

/// Verifies the log that is read from the source.
pub(super) fn run<S: Source>(mut source: S, terms: &Terms, pace: Pace, watch: Watch<'_>) -> Result<Report, Error> {
    let mut pass = Pass {
        signed: Signed::new(terms),
        report: Report::default(),
        tree: Tree::default(),
        absent: Absent::default(),
        flaws: Flaws::default(),
        last_at: None,
    };
    match pass.walk(&mut source, pace, watch) {
        Ok(()) => {}
        Err(Fault::Damaged(what)) => {
            pass.flaws.tell(&mut pass.report);
            pass.report.findings.add(what);
            pass.report.entries = pass.tree.size();
            pass.report.findings.add(format!("from entry {} on nothing could be verified", pass.tree.size()));
            pass.signed.finish(pass.tree.size(), false, &mut pass.report);
        }
        Err(Fault::Error(error)) => return Err(error),
    }
    Ok(pass.report)
}

impl Pass<'_> {
    fn walk<S: Source>(&mut self, source: &mut S, pace: Pace, watch: Watch<'_>) -> Result<(), Fault> {
        source.begin(&mut self.signed, &mut self.report)?;
        self.signed.begin();
        let mut known: Vec<Acquaintances> = Vec::new();
        known.resize_with(pace.threads, Acquaintances::default);
        let mut at = 0;
        loop {
            let view = source.view(at..at.saturating_add(pace.step), &mut self.report)?;
            let size = view.size();
            let range = at..size.min(at.saturating_add(pace.step));
            for checked in share(&view, range.clone(), &mut known)? {
                self.take(checked, &view)?;
            }
            at = range.end;
            self.report.entries = at;
            if at >= size {
                return self.finish(&view);
            }
            drop(view);
            if watch(at, size) == ControlFlow::Break(()) {
                return Err(Error::Stopped.into());
            }
        }
    }

    /// Takes in what the entries of one run came to.
    fn take(&mut self, checked: Checked, view: &impl View) -> Result<(), Fault> {
        if let Some((first, last)) = checked.times {
            if self.last_at.is_some_and(|before| first < before) {
                self.flaws.add(Flaw::Time, checked.timed_from);
            }
            self.last_at = Some(last);
        }
        checked.faults.into_iter().for_each(|fault| self.report.findings.add(fault));
        for (flaw, seq) in checked.flaws {
            self.flaws.add(flaw, seq);
        }
        if let Some(details) = checked.details {
            self.report.details.get_or_insert(Details::default()).there += details;
        }
        checked.without_detail.into_iter().for_each(|seq| self.absent.detail(seq));
        for (seq, reference) in checked.unknown {
            self.absent.person(seq, reference);
        }
        for (seq, reference) in checked.misfits {
            self.absent.misfit(seq, reference);
        }
        for (seq, news) in checked.news {
            match news {
                News::Erased(erasure) => self.absent.erased(erasure),
                News::Garbled(why) => {
                    self.report.entry(seq, format!("entry {seq} announces no erasure that can be read: {why}"));
                }
                News::Pruned(first) => self.absent.pruned(first),
                News::Adopted => self.signed.adoptions.push(seq),
            }
        }
        for (seq, hash) in (checked.from..).zip(checked.hashes) {
            if hash.is_none() {
                self.absent.leaf(seq);
            }
            self.tree.push(hash, view, &mut self.signed, &mut self.flaws)?;
        }
        Ok(())
    }

    fn finish(&mut self, view: &impl View) -> Result<(), Fault> {
        let root = self.tree.finish(view, &mut self.signed, &mut self.flaws)?;
        self.report.root = STANDARD.encode(root);
        std::mem::take(&mut self.absent).finish(view, &mut self.flaws, &mut self.report)?;
        std::mem::take(&mut self.flaws).tell(&mut self.report);
        view.finish(&root, self.last_at, &mut self.signed, &mut self.report)?;
        self.signed.finish(self.report.entries, true, &mut self.report);
        Ok(())
    }
}

/// Checks the entries of a step, a part of them on each thread.
fn share(view: &impl View, range: Range<u64>, known: &mut [Acquaintances]) -> Result<Vec<Checked>, Fault> {
    let part = (range.end - range.start).div_ceil(known.len() as u64).max(1);
    let parts = known.iter_mut().zip(0..).map(|(known, n)| {
        let from = range.end.min(range.start + n * part);
        (from..range.end.min(from + part), known)
    });
    let mut parts = parts.filter(|(range, _)| !range.is_empty());
    let Some((first, acquaintances)) = parts.next() else { return Ok(Vec::new()) };
    std::thread::scope(|scope| {
        let others: Vec<_> = parts.map(|(range, known)| scope.spawn(move || check(view, range, known))).collect();
        let first = check(view, first, acquaintances);
        let others = others.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(Fault::Damaged("what is there cannot be read".to_owned())))
        });
        std::iter::once(first).chain(others).collect()
    })
}
