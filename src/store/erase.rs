//! Erasing a person: everything of them goes, and the log's proof stays whole.
//!
//! What is theirs is found by the indexes: the record, the mirrored objects listed by them, the details of entries
//! about and by them, their salt and reference. What else speaks of them is found by looking through every row for their
//! Clerk id and handles. That looking is done beside the writer, in steps; then the writer takes what was found and what
//! came since, in one transaction unless there are very many details. How the log tells of it stands in [`crate::audit`].
//!
//! The bytes of erased rows stay in the file's free pages until it is rewritten.

mod search;
mod survey;
mod work;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::survey::Survey;
use super::error::Error;
use super::{By, Store};
use crate::target::TargetName;
use crate::user::{ClerkId, UserRef};

/// So many details are erased in one transaction: few enough that nobody who waits for the writer notices.
const DETAILS_AT_ONCE: u64 = 5_000;

/// So many of somebody's entries are counted before it is only said that there are more.
pub const MANY: u64 = 1_000;

/// How often a person's record may change under the survey before it is given up.
const ATTEMPTS: usize = 3;

/// The longest reason, in characters.
const LONGEST_REASON: usize = 1000;

/// Who wants somebody erased, and how.
#[derive(Debug, Clone)]
pub struct Order {
    /// Who does it.
    pub by: By,
    /// Why, in the operator's words; it goes into the log, and may not name the person.
    pub reason: Option<String>,
    /// Whether to erase somebody whom Clerk has not deleted.
    pub even_if_live: bool,
    /// Whether to erase somebody of whom targets are still to be told something, which they then never are.
    pub even_if_untold: bool,
}

/// What an erasure takes, or took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Whom.
    pub person: ClerkId,
    /// Whether Clerk still has them, as far as is known.
    pub live: bool,
    /// The targets that are still to be told something about them.
    #[serde(default)]
    pub untold: Vec<TargetName>,
    /// Whether they are on the roll, or are kept there as deleted.
    pub record: bool,
    /// How many entries lose their detail.
    pub details: u64,
    /// How many mirrored objects go: sessions, memberships, ….
    pub objects: u64,
    /// In how many records and objects of others the person is named, and will be blanked.
    pub mentions: u64,
    /// How many deliveries in quarantine go.
    pub quarantined: u64,
    /// How many of the person's addresses, numbers and names were left standing elsewhere, since somebody else has them too.
    pub shared: u64,
}

impl Extent {
    /// The names of the targets that are still to be told something.
    #[must_use]
    pub fn untold_names(&self) -> String {
        self.untold.iter().map(TargetName::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// How far the search through the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// So many rows were looked at.
    pub done: u64,
    /// Of about so many.
    pub of: u64,
}

/// Why nobody was erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// Neither the roll nor the log knows them.
    #[error("there is no such user")]
    Unknown,
    /// Clerk has not deleted them.
    #[error("Clerk has not deleted this user; delete them there first")]
    Live,
    /// Targets are still to be told something about them.
    #[error("not everything about this user was told yet, and never could be, to: {0}")]
    Untold(String),
    /// The reason says whom it is about.
    #[error("the reason names the person, and would be all that is left of them; put it in other words")]
    TellingReason,
    /// The reason is too long.
    #[error("the reason is too long; at most {LONGEST_REASON} characters, please")]
    LongReason,
    /// The person's record changed again and again.
    #[error("the user's record keeps changing; try again")]
    Restless,
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Somebody to tell how far the search is.
type Listener = Arc<dyn Fn(Progress) + Send + Sync>;

impl Store {
    /// What is theirs of the person: what the indexes tell of what an erasure would take. Up to [`MANY`] details are counted;
    /// what stands elsewhere is not looked for.
    ///
    /// # Errors
    /// When nobody knows the person, or the file cannot be read.
    pub async fn erasure_outline(&self, who: &UserRef) -> Result<Extent, EraseError> {
        let who = who.clone();
        self.scan(move |txn| survey::outline(txn, &who)).await?.ok_or(EraseError::Unknown)
    }

    /// What an erasure of the person would take, as of now. Looks through the whole file: at a million entries, seconds.
    ///
    /// # Errors
    /// When nobody knows the person, or the file cannot be read.
    pub async fn erasure_extent(
        &self,
        who: &UserRef,
        progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Extent, EraseError> {
        Ok(self.survey(who.clone(), Arc::new(progress)).await?.extent)
    }

    /// Erases the person, and says what went. Goes on to its end when the caller hangs up. When it is broken off by the
    /// end of the process, the log tells what is gone by then, and the person can be erased again.
    ///
    /// # Errors
    /// When nobody knows the person, the order cannot be followed, or the store takes no writes.
    pub async fn erase(
        &self,
        who: &UserRef,
        order: Order,
        progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Extent, EraseError> {
        let (store, who) = (self.clone(), who.clone());
        let work = async move { store.carry_out(who, order, Arc::new(progress)).await };
        tokio::spawn(work).await.unwrap_or(Err(Error::Panicked.into()))
    }

    async fn survey(&self, who: UserRef, progress: Listener) -> Result<Survey, EraseError> {
        let store = self.clone();
        let look = move || Survey::make(&store, &who, &*progress);
        tokio::task::spawn_blocking(look).await.unwrap_or(Err(Error::Panicked))?.ok_or(EraseError::Unknown)
    }

    async fn carry_out(&self, who: UserRef, order: Order, progress: Listener) -> Result<Extent, EraseError> {
        let order = Arc::new(order);
        let mut sofar = SoFar::default();
        for _ in 0..ATTEMPTS {
            let survey = self.survey(who.clone(), progress.clone()).await?;
            if !sofar.checked {
                check(&order, &survey)?;
                sofar.checked = true;
            }
            if let Some(extent) = self.follow(&order, survey, &mut sofar).await? {
                return Ok(Extent { details: sofar.gone + extent.details, ..extent });
            }
        }
        Err(EraseError::Restless)
    }

    /// Takes what the survey found; `None` when it is no longer true.
    async fn follow(
        &self,
        order: &Arc<Order>,
        survey: Survey,
        sofar: &mut SoFar,
    ) -> Result<Option<Extent>, EraseError> {
        let now = self.now();
        let mut parts = survey.details.parts(DETAILS_AT_ONCE, usize::MAX);
        let rest = parts.pop().unwrap_or_default();
        let survey = Arc::new(survey);
        for part in parts {
            let (survey, order, give_reason) = (survey.clone(), order.clone(), !sofar.reason_given);
            sofar.gone += self.write(move |tx| tx.erase_part(&survey, &order, &part, give_reason, now)).await?;
            sofar.reason_given = true;
        }
        let (order, give_reason) = (order.clone(), !sofar.reason_given);
        Ok(self.write(move |tx| tx.erase_rest(&survey, &order, &rest, give_reason, now)).await?)
    }
}

/// What was done before the last transaction.
#[derive(Default)]
struct SoFar {
    checked: bool,
    reason_given: bool,
    gone: u64,
}

/// Whether the order can be followed.
fn check(order: &Order, survey: &Survey) -> Result<(), EraseError> {
    if survey.extent.live && !order.even_if_live {
        return Err(EraseError::Live);
    }
    if !survey.extent.untold.is_empty() && !order.even_if_untold {
        return Err(EraseError::Untold(survey.extent.untold_names()));
    }
    let reason = order.reason.as_deref().unwrap_or_default();
    if reason.chars().count() > LONGEST_REASON {
        return Err(EraseError::LongReason);
    }
    if survey.is_named_in(reason) {
        return Err(EraseError::TellingReason);
    }
    Ok(())
}
