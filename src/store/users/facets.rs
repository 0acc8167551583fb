//! What users are listed and found by: the rows of the index.
//!
//! A facet is a scope, or a scope and a term in it, so that every list and every search is one stretch of the index or a
//! few of them, whatever the filter, and no row of it is passed over. The first letter of a scope says whether it is of
//! those on the roll (`l`) or of the deleted (`d`), the second what they have in common: `a` nothing, `r` a role, `p` a
//! practice, `c` both.
//!
//! Behind the scope stands `/`, which no role and no practice has, then how many bytes the term begins with that the
//! user's term before it begins with as well (two hexadecimal digits), then the term. Ann Ames, `ann`, stands under `00ames`,
//! `01ann` and `03ann ames`. Who looks for `an` looks where fewer than two bytes are shared, and finds her once.

use std::collections::BTreeSet;

use crate::user::{PracticeId, Role, User};

/// The longest text a user is found by, in bytes.
pub(super) const MAX_TERM: usize = 128;

/// Every facet of a user.
pub(super) fn facets(user: &User) -> BTreeSet<String> {
    let deleted = user.deleted_at.is_some();
    let mut scopes = vec![scope(deleted, None, None), scope(deleted, Some(&user.role), None)];
    if let Some(practice) = &user.practice_id {
        scopes.push(scope(deleted, None, Some(practice)));
        scopes.push(scope(deleted, Some(&user.role), Some(practice)));
    }
    let terms = terms(user);
    let mut facets = BTreeSet::new();
    for scope in scopes {
        let mut before = "";
        for term in &terms {
            facets.insert(format!("{}{term}", stretch(&scope, shared(before, term))));
            before = term;
        }
        facets.insert(scope);
    }
    facets
}

/// Whether both states of a user have the same facets, as told by what these are made of.
pub(super) fn found_alike(before: &User, after: &User) -> bool {
    let common = |user: &User| (user.deleted_at.is_some(), user.role.clone(), user.practice_id.clone());
    common(before) == common(after) && (before.clerk == after.clerk || terms(before) == terms(after))
}

/// The users of that role and practice, as far as those are asked for.
pub(super) fn scope(deleted: bool, role: Option<&Role>, practice: Option<&PracticeId>) -> String {
    let state = if deleted { 'd' } else { 'l' };
    match (role, practice) {
        (None, None) => format!("{state}a"),
        (Some(role), None) => format!("{state}r{role}"),
        (None, Some(practice)) => format!("{state}p{practice}"),
        (Some(role), Some(practice)) => format!("{state}c{role}/{practice}"),
    }
}

/// What the facets of a scope begin with whose terms share so many bytes with the one before.
pub(super) fn stretch(scope: &str, shared: usize) -> String {
    format!("{scope}/{shared:02x}")
}

/// How many bytes both begin with.
fn shared(before: &str, term: &str) -> usize {
    before.bytes().zip(term.bytes()).take_while(|(a, b)| a == b).count()
}

/// The texts a user is found by the beginnings of.
pub(super) fn terms(user: &User) -> BTreeSet<String> {
    let profile = user.profile();
    let texts = [profile.full_name(), profile.last_name, profile.username, profile.email];
    texts.into_iter().flatten().map(|text| folded(&text)).filter(|term| !term.is_empty()).collect()
}

/// A text as it is searched: lower case, single spaces, bounded.
pub(super) fn folded(text: &str) -> String {
    let mut folded = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    folded.truncate(folded.floor_char_boundary(MAX_TERM));
    folded
}
