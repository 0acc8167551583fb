//! Why a log may not be the one it was.

/// What speaks against going on with a log. Nothing is written to it until an operator has settled the matter: going
/// on would give two different pasts the same name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// The file is older than what was signed.
    #[error(
        "the log in the data file has {size} entries, but {marked} were signed before: the file is an older copy of itself"
    )]
    RolledBack {
        /// How many entries the file has.
        size: u64,
        /// How many the high-water mark speaks of.
        marked: u64,
    },
    /// The file has another past than what was signed.
    #[error("the first {marked} entries of the log are not those that were signed before")]
    Forked {
        /// How many entries the high-water mark speaks of.
        marked: u64,
    },
    /// The high-water mark is gone.
    #[error(
        "the high-water mark beside the data file is gone, so that nobody can tell whether the file is an older copy"
    )]
    NoMark,
    /// The high-water mark is no checkpoint of this log.
    #[error("the high-water mark beside the data file is not one that this log's key has signed")]
    BadMark,
    /// The signing key is gone.
    #[error("the signing key beside the data file is gone")]
    NoKey,
    /// The signing key is another one.
    #[error("the signing key beside the data file is not the one that this log was signed with")]
    OtherKey,
    /// The log does not agree with itself.
    #[error("the log does not agree with itself: {0}")]
    Damaged(String),
}
