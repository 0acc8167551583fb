//! What the store adds to an entry's detail: whom it names besides, and the tags of values that came or went.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::Error;
use super::tx::Tx;
use crate::audit::{Draft, Target, show_tag};

impl Tx<'_> {
    /// The detail of the entry at `seq`. What it says of values goes into their table as well.
    pub(super) fn detail<'d>(&mut self, seq: u64, draft: &'d Draft) -> Result<Cow<'d, Map<String, Value>>, Error> {
        let mut detail = Cow::Borrowed(&draft.detail);
        if !draft.members.is_empty() {
            detail.to_mut().insert("members".to_owned(), self.references(draft)?.into());
        }
        if let Some(Target::User(id)) = &draft.target
            && !draft.handles.is_empty()
            && let Some(person) = self.subject(id)?
        {
            let mut tags: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
            for (handle, tag) in self.file_handles(seq, &person, &draft.handles)? {
                tags.entry(handle.kind().member()).or_default().push(show_tag(&tag));
            }
            if !tags.is_empty() {
                detail.to_mut().insert("tags".to_owned(), tags.into_iter().collect());
            }
        }
        Ok(detail)
    }

    /// The references of an entry's members, without those erased in the meantime.
    fn references(&mut self, draft: &Draft) -> Result<Vec<String>, Error> {
        let mut references = Vec::with_capacity(draft.members.len());
        for id in &draft.members {
            references.extend(self.subject(id)?.map(|person| person.reference));
        }
        Ok(references)
    }
}
