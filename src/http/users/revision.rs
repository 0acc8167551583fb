//! Which state of a record an answer shows, and which one a caller means to change: `ETag` and `If-Match` (RFC 9110
//! §8.8.3, §13.1.1).

use warp::http::HeaderValue;
use warp::http::header::{ETAG, IF_MATCH};
use warp::reply::Response;

use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::route::Header;
use crate::store::{Expected, Revision};
use crate::user::User;

/// The header of an operation that changes a record.
pub(super) const EXPECTED: Header = Header {
    name: "If-Match",
    about: "The `ETag` of the record as it was last seen. When it has been changed since, nothing is done (412).",
    pattern: "^(\\*|\"[0-9a-f]{32}\"(, ?\"[0-9a-f]{32}\")*)$",
    required: false,
};

/// The answer with the state of the record that it shows.
pub(super) fn tagged(mut response: Response, user: &User) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", Revision::of(user))) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// The states that the caller means to change; any when they do not say, or say `*`.
///
/// # Errors
/// 400 when the header is malformed.
pub(super) fn expected(call: &Call) -> Result<Expected, Problem> {
    let malformed = || Problem::bad_request("If-Match is `*`, or a list of entity tags such as an ETag shows.");
    let lines: Result<Vec<&str>, _> = call.headers.get_all(IF_MATCH).iter().map(HeaderValue::to_str).collect();
    let text = lines.map_err(|_| malformed())?.join(",");
    match text.trim() {
        "" if !call.headers.contains_key(IF_MATCH) => Ok(None),
        "*" => Ok(None),
        list => strong(list).map(Some).ok_or_else(malformed),
    }
}

/// The revisions among the tags of a list, which may be empty; `None` when it is no such list. Tags that are weak, or not of our making, are
/// those of no state there is.
fn strong(list: &str) -> Option<Vec<Revision>> {
    let mut revisions = Vec::new();
    let mut rest = list.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let (is_weak, tag) = rest.strip_prefix("W/").map_or((false, rest), |tag| (true, tag));
        let (tag, behind) = tag.strip_prefix('"')?.split_once('"')?;
        if !tag.bytes().all(|b| b == b'!' || (b'#'..=b'~').contains(&b)) {
            return None;
        }
        revisions.extend(tag.parse().ok().filter(|_: &Revision| !is_weak));
        let behind = behind.trim_start_matches([' ', '\t']);
        if !behind.is_empty() && !behind.starts_with(',') {
            return None;
        }
        rest = behind.trim_start_matches([' ', '\t', ',']);
    }
    Some(revisions)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tags_are_read_as_a_list() {
        let tag = "00112233445566778899aabbccddeeff";
        let own: Revision = tag.parse().unwrap();
        for (list, found) in [
            (format!("\"{tag}\""), vec![own]),
            (format!(" \"a,b\" ,\t\"{tag}\",, \"\""), vec![own]),
            (format!("W/\"{tag}\""), vec![]),
            (format!("\"{}\"", tag.to_uppercase()), vec![]),
            (String::new(), vec![]),
            (",".to_owned(), vec![]),
        ] {
            assert_eq!(strong(&list), Some(found), "{list}");
        }
        for bad in ["a", "\"a", "\"a\" \"b\"", "\"a\"b", "w/\"a\"", "*, \"a\"", "\"a b\""] {
            assert_eq!(strong(bad), None, "{bad}");
        }
    }
}
