//! `/api/organizations…`: Clerk's organisations and who is in them, for admins.

use serde::Deserialize;
use warp::reply::Response;

use super::call::Call;
use super::mirror::{self, MEMBERSHIP, MemberJson, ORGANIZATION, OrganizationJson};
use super::problem::Problem;
use super::reply;
use crate::audit::{Draft, Target};
use crate::event::{Mirrored, ObjectKey};
use crate::page::{Cursor, Limit, Page, PageRequest};
use crate::user::ClerkId;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor>,
}

impl ListQuery {
    fn page(self) -> PageRequest {
        PageRequest { limit: self.limit, cursor: self.cursor }
    }
}

/// A page of organisations, newest first. Those that only a membership has spoken of so far are not in it.
pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    call.get_only()?;
    let caller = call.caller().await?;
    call.require_admin(&caller).await?;
    let query: ListQuery = call.query()?;
    let page = call.app.store.objects(ORGANIZATION, query.page()).await?;
    let mut look = caller.entry(&call, "organizations.listed");
    look.count = Some(page.items.len() as u64);
    call.app.store.record(look).await?;
    let shown = page.items.iter().filter_map(|(key, organization)| {
        organization.body.as_ref().map(|body| OrganizationJson::new(key, body))
    });
    Ok(reply::page(&shown.collect::<Vec<_>>(), page.next_cursor.as_ref()))
}

/// One organisation; from what a membership says of it, where no event of its own has come yet.
pub(super) async fn show(call: Call, id: ClerkId) -> Result<Response, Problem> {
    call.get_only()?;
    call.no_query()?;
    let caller = call.caller().await?;
    call.require_admin(&caller).await?;
    let key = key(id);
    let shown = match call.organization(&key)? {
        Some(organization) => organization.body.as_ref().map(|body| OrganizationJson::new(&key, body)),
        None => {
            let newest = call.members(&key, PageRequest { limit: Limit::MIN, cursor: None }).await?;
            let membership = newest.items.first().and_then(|(_, membership)| membership.body.as_ref());
            membership.map(|membership| OrganizationJson::within(&key, membership))
        }
    };
    let shown = shown.ok_or_else(Problem::not_found)?;
    call.app.store.record(about(caller.entry(&call, "organization.read"), key)).await?;
    Ok(reply::json(&shown))
}

/// A page of an organisation's members, newest membership first.
pub(super) async fn members(call: Call, id: ClerkId) -> Result<Response, Problem> {
    call.get_only()?;
    let caller = call.caller().await?;
    call.require_admin(&caller).await?;
    let query: ListQuery = call.query()?;
    let (key, request) = (key(id), query.page());
    let is_known = call.organization(&key)?.is_some();
    let is_first = request.cursor.is_none();
    let page = call.members(&key, request).await?;
    if !is_known && is_first && page.items.is_empty() {
        return Err(Problem::not_found());
    }
    let people: Vec<ClerkId> = page.items.iter().filter_map(|(_, membership)| mirror::member(membership)).collect();
    let look = about(caller.entry(&call, "members.listed"), key).listing(&people);
    call.app.store.record(look).await?;
    let shown = page.items.iter().filter_map(|(key, membership)| {
        membership.body.as_ref().map(|body| MemberJson::new(key, body))
    });
    Ok(reply::page(&shown.collect::<Vec<_>>(), page.next_cursor.as_ref()))
}

impl Call {
    /// The organisation, unless no event of its own has come.
    ///
    /// # Errors
    /// 404 for one that Clerk deleted.
    fn organization(&self, key: &ObjectKey) -> Result<Option<Mirrored>, Problem> {
        let organization = self.app.store.object(key)?;
        if organization.as_ref().is_some_and(|organization| organization.deleted_at.is_some()) {
            return Err(Problem::not_found());
        }
        Ok(organization)
    }

    async fn members(&self, key: &ObjectKey, page: PageRequest) -> Result<Page<(ObjectKey, Mirrored)>, Problem> {
        Ok(self.app.store.children(key.clone(), MEMBERSHIP, page).await?)
    }
}

fn key(id: ClerkId) -> ObjectKey {
    ObjectKey { kind: ORGANIZATION.to_owned(), id }
}

fn about(mut look: Draft, key: ObjectKey) -> Draft {
    look.target = Some(Target::Object(key));
    look
}
