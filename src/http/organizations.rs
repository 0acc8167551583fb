//! `/api/organizations…`: Clerk's organizations and who is in them, for admins.

use warp::reply::Response;

use super::call::Call;
use super::mirror::{self, MEMBERSHIP, MemberJson, ORGANIZATION, OrganizationJson};
use super::problem::Problem;
use super::query::ObjectsQuery;
use super::reply::{self, PageOf};
use super::route::{Operation, Route, Who};
use crate::api_key::Scope;
use crate::audit::{Draft, Target};
use crate::event::{Mirrored, ObjectKey};
use crate::page::{Limit, Page, PageRequest};
use crate::user::ClerkId;

/// Organizations and their members.
pub(super) fn routes() -> Vec<Route> {
    let list = Operation::new("listOrganizations", "List organizations", list)
        .tag("Organizations")
        .describe("Newest first; without those that only a membership has spoken of so far.")
        .by(Who::Admin(Scope::UsersRead))
        .query::<ObjectsQuery>()
        .answers::<PageOf<'_, OrganizationJson>>(200, "A page of organizations.");
    let show = Operation::new("showOrganization", "See an organization", show)
        .tag("Organizations")
        .describe("Where no event of its own has come yet, it is shown as one of its memberships describes it.")
        .by(Who::Admin(Scope::UsersRead))
        .answers::<OrganizationJson>(200, "The organization.")
        .problems(&[404]);
    let members = Operation::new("listMembers", "List an organization's members", members)
        .tag("Organizations")
        .describe("Newest membership first.")
        .by(Who::Admin(Scope::UsersRead))
        .query::<ObjectsQuery>()
        .answers::<PageOf<'_, MemberJson>>(200, "A page of members.")
        .problems(&[404]);
    vec![
        Route::at("/api/organizations").get(list),
        Route::at("/api/organizations/{id}").get(show),
        Route::at("/api/organizations/{id}/members").get(members),
    ]
}

/// A page of organizations, newest first. Those that only a membership has spoken of so far are not in it.
async fn list(call: Call) -> Result<Response, Problem> {
    let caller = call.caller().await?;
    call.require(&caller, Scope::UsersRead).await?;
    let query: ObjectsQuery = call.query()?;
    let page = call.app.store.objects(ORGANIZATION, query.into()).await?;
    let mut look = caller.entry(&call, "organizations.listed");
    look.count = Some(page.items.len() as u64);
    call.app.store.record(look).await?;
    let shown = page
        .items
        .iter()
        .filter_map(|(key, organization)| organization.body.as_ref().map(|body| OrganizationJson::new(key, body)));
    Ok(reply::page(&shown.collect::<Vec<_>>(), page.next_cursor.as_ref()))
}

/// One organization; from what a membership says of it, where no event of its own has come yet.
async fn show(call: Call) -> Result<Response, Problem> {
    let key = key(call.part("id")?);
    let caller = call.caller().await?;
    call.require(&caller, Scope::UsersRead).await?;
    call.no_query()?;
    let shown = if let Some(organization) = call.organization(&key)? {
        organization.body.as_ref().map(|body| OrganizationJson::new(&key, body))
    } else {
        let newest = call.members(&key, PageRequest { limit: Limit::MIN, cursor: None }).await?;
        let membership = newest.items.first().and_then(|(_, membership)| membership.body.as_ref());
        membership.map(|membership| OrganizationJson::within(&key, membership))
    };
    let shown = shown.ok_or_else(Problem::not_found)?;
    call.app.store.record(about(caller.entry(&call, "organization.read"), key)).await?;
    Ok(reply::json(&shown))
}

/// A page of an organization's members, newest membership first.
async fn members(call: Call) -> Result<Response, Problem> {
    let key = key(call.part("id")?);
    let caller = call.caller().await?;
    call.require(&caller, Scope::UsersRead).await?;
    let query: ObjectsQuery = call.query()?;
    let request = PageRequest::from(query);
    let is_known = call.organization(&key)?.is_some();
    let is_first = request.cursor.is_none();
    let page = call.members(&key, request).await?;
    if !is_known && is_first && page.items.is_empty() {
        return Err(Problem::not_found());
    }
    let people: Vec<ClerkId> = page.items.iter().filter_map(|(_, membership)| mirror::member(membership)).collect();
    let look = about(caller.entry(&call, "members.listed"), key).listing(&people);
    call.app.store.record(look).await?;
    let shown = page
        .items
        .iter()
        .filter_map(|(key, membership)| membership.body.as_ref().map(|body| MemberJson::new(key, body)));
    Ok(reply::page(&shown.collect::<Vec<_>>(), page.next_cursor.as_ref()))
}

impl Call {
    /// The organization, unless no event of its own has come.
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
