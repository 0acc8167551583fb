//! The organisation a session is active in, out of either form of Clerk's token.

use serde_json::{Map, Value};

/// The organisation that the user has chosen for the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Clerk's id, `org_…`.
    pub id: String,
    /// Its name in addresses.
    pub slug: Option<String>,
    /// The user's role in it, `org:admin`.
    pub role: Option<String>,
    /// What the user may do in it, `org:dashboard:read`.
    pub permissions: Vec<String>,
}

impl Organization {
    /// Reads the claims of version 2 (one object `o`) or version 1 (`org_…`). Parts of another type than
    /// Clerk's count as absent: they can only take permissions away.
    pub(super) fn of(claims: &Map<String, Value>) -> Option<Self> {
        let text = |object: &Map<String, Value>, name| Some(object.get(name)?.as_str()?.to_owned());
        if claims.get("v").and_then(Value::as_i64) == Some(2) {
            let o = claims.get("o")?.as_object()?;
            let features = claims.get("fea").and_then(Value::as_str).unwrap_or_default();
            return Some(Self {
                id: text(o, "id")?,
                slug: text(o, "slg"),
                role: text(o, "rol").map(|role| format!("org:{role}")),
                permissions: permissions(features, text(o, "per"), text(o, "fpm")),
            });
        }
        let permissions = claims.get("org_permissions").and_then(Value::as_array);
        let permissions = permissions.into_iter().flatten().filter_map(Value::as_str);
        Some(Self {
            id: text(claims, "org_id")?,
            slug: text(claims, "org_slug"),
            role: text(claims, "org_role"),
            permissions: permissions.map(str::to_owned).collect(),
        })
    }
}

/// Unpacks version 2's permissions: the n-th number of `fpm` belongs to the n-th feature that is an
/// organisation's (`o:dashboard`, `uo:teams`), and its bits, lowest first, say which of `per` are given.
fn permissions(features: &str, per: Option<String>, fpm: Option<String>) -> Vec<String> {
    let (Some(per), Some(fpm)) = (per, fpm) else { return Vec::new() };
    let features = features
        .split(',')
        .filter_map(|feature| feature.trim().split_once(':'))
        .filter(|(scope, _)| scope.contains('o'))
        .map(|(_, name)| name);
    let names: Vec<&str> = per.split(',').map(str::trim).take(64).collect();
    let mut given = Vec::new();
    for (feature, bits) in features.zip(fpm.split(',')) {
        let bits: u64 = bits.trim().parse().unwrap_or(0);
        let of_feature = names.iter().enumerate().filter(|(bit, name)| bits >> bit & 1 == 1 && !name.is_empty());
        given.extend(of_feature.map(|(_, name)| format!("org:{feature}:{name}")));
    }
    given
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn read(claims: &Value) -> Option<Organization> {
        Organization::of(claims.as_object().unwrap())
    }

    #[test]
    fn reads_both_forms_alike() {
        let expected = Organization {
            id: "org_1".to_owned(),
            slug: Some("acme".to_owned()),
            role: Some("org:admin".to_owned()),
            permissions: vec!["org:invoices:read".to_owned(), "org:invoices:write".to_owned()],
        };
        let first = json!({"org_id": "org_1", "org_slug": "acme", "org_role": "org:admin",
            "org_permissions": ["org:invoices:read", "org:invoices:write"]});
        let second = json!({"v": 2, "fea": "u:beta,o:invoices",
            "o": {"id": "org_1", "slg": "acme", "rol": "admin", "per": "read,write", "fpm": "3"}});
        assert_eq!(read(&first), Some(expected.clone()));
        assert_eq!(read(&second), Some(expected));
        assert_eq!(read(&json!({})), None);
        assert_eq!(read(&json!({"v": 2, "org_id": "org_1"})), None);
        assert_eq!(read(&json!({"o": {"id": "org_1"}})), None);
    }

    #[test]
    fn unpacks_permissions_by_feature_and_bit() {
        let unpack = |fea: &str, per: &str, fpm: &str| permissions(fea, Some(per.to_owned()), Some(fpm.to_owned()));
        assert_eq!(
            unpack("u:beta,o:board,uo:teams,o:idle", "read,write,delete", "5,2,0"),
            ["org:board:read", "org:board:delete", "org:teams:write"]
        );
        // Bits without a name, numbers without a feature, and what is no number give nothing.
        assert_eq!(unpack("o:a", "read", "6,7"), Vec::<String>::new());
        assert_eq!(unpack("o:a,o:b", "read", "x,1"), ["org:b:read"]);
        assert_eq!(unpack("a,u:b", "read", "1"), Vec::<String>::new());
        assert_eq!(unpack("", "", ""), Vec::<String>::new());
        assert_eq!(unpack("o:a", &vec!["p"; 70].join(","), &u64::MAX.to_string()).len(), 64);
    }
}
