//! Every table of the file: its key, its value, its version in its name. Integer keys sort as numbers.

use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTableMetadata as _, Table, TableDefinition, TableError, WriteTransaction,
};

use super::error::Error;

macro_rules! tables {
    ($($(#[$doc:meta])+ $name:ident: $key:ty => $value:ty;)+) => {
        /// All tables, open for writing.
        pub(super) struct Tables<'txn> {
            $($(#[$doc])+ pub(super) $name: Table<'txn, $key, $value>,)+
        }

        impl<'txn> Tables<'txn> {
            pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self, TableError> {
                Ok(Self { $($name: txn.open_table($name())?,)+ })
            }
        }

        /// Shows every table to a visitor, in the order of this list.
        pub(super) fn each<V: Visit>(visitor: &mut V) -> Result<(), V::Error> {
            $(visitor.visit($name())?;)+
            Ok(())
        }

        /// How many rows each table has.
        pub(super) fn count(txn: &ReadTransaction) -> Result<Vec<(&'static str, u64)>, Error> {
            Ok(vec![$((stringify!($name), open(txn, $name())?.len()?)),+])
        }

        /// The names of all tables, as they stand in the file.
        pub(super) const NAMES: &[&str] = &[$(concat!(stringify!($name), "-1")),+];

        $($(#[$doc])+ pub(super) const fn $name() -> TableDefinition<'static, $key, $value> {
            TableDefinition::new(concat!(stringify!($name), "-1"))
        })+
    };
}

tables! {
    /// `schema`: what the file is; `instance`: the Clerk instance it is pinned to; `stats`: running counts;
    /// `jwks`: the last good key set; `walk`: the walk over Clerk's users under way, JSON ([`crate::sync::Walk`]); `sync`: the
    /// last that came to its end, JSON ([`crate::sync::Walked`]).
    meta: &'static str => &'static [u8];
    /// Our id → the user's row, JSON ([`super::users`]).
    users: u128 => &'static [u8];
    /// Clerk id → when the user was deleted, milliseconds. A row here outlives every late event.
    user_tombstones: &'static str => i64;
    /// Our id → when an erased person was deleted, milliseconds; erased while they were not, when they were erased. All
    /// that is left of them: late events and tokens are known by it.
    erased: u128 => i64;
    /// (facet, our id): what users are listed and found by (`users/facets.rs`).
    user_index: (&'static str, u128) => ();
    /// Clerk id → the newest sign-in seen for a user not on the roll yet, milliseconds.
    sign_ins: &'static str => i64;
    /// (kind, Clerk id) → any other mirrored object, JSON ([`crate::event::Mirrored`]).
    objects: (&'static str, &'static str) => &'static [u8];
    /// (parent's `kind:id`, kind, Clerk id): the objects a parent has.
    object_children: (&'static str, &'static str, &'static str) => ();
    /// svix-id → the log entry that the delivery left.
    deliveries: &'static str => u64;
    /// Hours since 1970 → what came in during that hour, JSON ([`crate::traffic::Hour`]).
    hours: u64 => &'static [u8];
    /// Log entry → the delivery that could not be applied, JSON.
    quarantine: u64 => &'static [u8];
    /// Place in the log → the leaf's bytes.
    audit_leaf: u64 => &'static [u8];
    /// Place in the log → salt (32 bytes) and detail, JSON. Erasable.
    audit_detail: u64 => &'static [u8];
    /// (level, index) → the hashes of a tile, 32 bytes each; a full row never changes.
    audit_tile: (u8, u64) => &'static [u8];
    /// `head`: the log's size (8 bytes, big-endian) and root; `last_at`: the last entry's time (8 bytes, big-endian);
    /// `first`: the number of the oldest entry kept (8 bytes, big-endian), 0 when there is no row;
    /// `identity`: the log's name and keys, JSON ([`super::Identity`]).
    audit_meta: &'static str => &'static [u8];
    /// (epoch, size) → when the checkpoint was signed (8 bytes, big-endian, milliseconds) and the signed note.
    audit_checkpoint: (u64, u64) => &'static [u8];
    /// (subject number, place in the log): the entries about a person or done by them.
    audit_by_subject: (u64, u64) => ();
    /// (action, place in the log).
    audit_by_action: (&'static str, u64) => ();
    /// (facet, place in the log): the entries by who did them and from which address ([`super::by_facet`]). Erasable.
    audit_by_facet: (&'static str, u64) => ();
    /// Clerk id → subject number (8 bytes, big-endian), salt (32 bytes), reference. Erasable.
    subjects: &'static str => &'static [u8];
    /// Reference → Clerk id. Erasable.
    subject_refs: &'static str => &'static str;
    /// (subject number, a value's tag) → the entry that brought the value first, and the one that took it away
    /// ([`super::values`]). Erasable.
    value_tags: (u64, &'static [u8; 32]) => (u64, u64);
    /// (walk, our id): the users that a walk over Clerk's has met so far; walk 0 is the real one, 1 the one that changes
    /// nothing.
    walk_marks: (u8, u128) => ();
    /// Name → a service that is told of what happens, JSON ([`crate::target::Target`]).
    targets: &'static str => &'static [u8];
    /// Name → how far it has come, JSON ([`crate::target::Course`]).
    target_courses: &'static str => &'static [u8];
    /// Name → admin, JSON.
    admins: &'static str => &'static [u8];
    /// SHA-256 of a link's token → link, JSON.
    admin_links: &'static [u8; 32] => &'static [u8];
    /// SHA-256 of a session cookie → session, JSON.
    admin_sessions: &'static [u8; 32] => &'static [u8];
    /// SHA-256 of an API key's secret → key, JSON ([`crate::api_key::ApiKey`]).
    api_keys: &'static [u8; 32] => &'static [u8];
}

/// What is done with every table alike, whatever its rows are.
pub(super) trait Visit {
    /// Why it may fail.
    type Error;

    /// Does it with one table.
    fn visit<K: redb::Key + 'static, V: redb::Value + 'static>(
        &mut self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<(), Self::Error>;
}

/// One table, open for reading.
pub(super) fn open<K: redb::Key + 'static, V: redb::Value + 'static>(
    txn: &ReadTransaction,
    table: TableDefinition<'static, K, V>,
) -> Result<ReadOnlyTable<K, V>, TableError> {
    txn.open_table(table)
}
