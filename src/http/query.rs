//! Query parameters that several lists share, as JSON Schema. Each says exactly what is taken.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::page::{Cursor, Limit, PageRequest};

/// A page of Clerk's objects.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ObjectsQuery {
    #[serde(default)]
    #[schemars(schema_with = "limit")]
    limit: Limit,
    #[serde(default)]
    #[schemars(schema_with = "object_cursor")]
    cursor: Option<Cursor>,
}

impl From<ObjectsQuery> for PageRequest {
    fn from(ObjectsQuery { limit, cursor }: ObjectsQuery) -> Self {
        Self { limit, cursor }
    }
}

/// How many items.
pub(super) fn limit(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "integer", "minimum": 1, "maximum": 500, "default": 50,
        "description": "How many items at most.",
    })
}

/// One action, or all that begin alike.
pub(super) fn actions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "pattern": r"^[A-Za-z0-9_.]{1,64}(\.\*)?$",
        "description": "Only entries with this action; `user.*` means every action that begins so.",
        "examples": ["user.created", "user.*"],
    })
}

/// Who did something.
pub(super) fn actor(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "pattern": "^([!-9;-~]{1,128}|admin:[!-~]{1,64}|key:key_[0-9a-f]{16})$",
        "description": "Only entries by this one: `clerk`, `cli`, `system`, `anonymous`, `admin:NAME`, `key:ID`, or a \
            user's id, Rollbook's or Clerk's.",
        "examples": ["clerk", "admin:ada", "user_2NNEqL2nrIRdJ194ndJqAHwEfxC"],
    })
}

/// A network address.
pub(super) fn address(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [{ "type": "string", "format": "ipv4" }, { "type": "string", "format": "ipv6" }],
        "description": "Only entries of what was done from this network address, as far as it is still known.",
        "examples": ["192.0.2.1", "2001:db8::1"],
    })
}

/// A day or a moment.
pub(super) fn moment(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [{ "type": "string", "format": "date" }, { "type": "string", "format": "date-time" }],
        "examples": ["2026-01-31", "2026-01-31T12:00:00Z"],
    })
}

/// Where a list of entries goes on.
pub(super) fn entry_cursor(_: &mut SchemaGenerator) -> Schema {
    cursor("^a[0-9a-f]{16}$")
}

/// Where a list of users goes on.
pub(super) fn user_cursor(_: &mut SchemaGenerator) -> Schema {
    cursor("^u[0-9a-f]{32}([0-9a-f]{2}){0,128}$")
}

/// Where a list of Clerk's objects goes on.
fn object_cursor(_: &mut SchemaGenerator) -> Schema {
    cursor("^o([0-9a-f]{2}){1,128}$")
}

fn cursor(pattern: &str) -> Schema {
    json_schema!({
        "type": "string", "pattern": pattern,
        "description": "The `next_cursor` of the page before.",
    })
}
