//! `POST ~/eventdeliveries/batchretry` (§2.4.4): every delivery a list with the same filters shows that
//! failed or was given up, once more. Those that succeeded or are under way are left alone, as Convoy's
//! worker leaves them.
//!
//! It is a replay: what is sent again is a delivery of its own beside the one that failed, which stays as
//! it was. Dates are those of the event.

use super::filter;
use crate::convoy::batch::{self, Batch};
use crate::convoy::error::Error;
use crate::convoy::{Outcome, envelope};
use crate::query_string::QueryString;
use crate::{Api, Shared};
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_model::selector::{DeliveryStatus, EventTypes, Moment, Pattern};
use dacapo_model::{Id, Replay, Selector, Status};
use dacapo_store::roles::{DeliveryFilter, Page};

/// How people find it among the project's replays.
const NAME: &str = "batch retry";
/// Replays read at once while looking for the newest of this name.
const PAGE_REPLAYS: usize = 100;

/// A body is not read.
pub async fn batch_retry(State(shared): Api, Extension(caller): Extension<Caller>, query: QueryString) -> Outcome {
    let filter = filter::read(&query, &shared, caller.project_id()).await?;
    let newest = newest(&shared, caller.project_id()).await?;
    let is_active = || Error::bad("an active batch retry already exists");
    if newest.as_ref().is_some_and(|replay| !replay.control.state.is_over()) {
        return Err(is_active());
    }
    if let Some(selector) = filter.and_then(|filter| selector(filter, &caller, &shared)) {
        // Whoever comes second finds the first one's, on any node: both name the same one before.
        let before = newest.map_or(Id::MIN, |replay| replay.id);
        let key = Some(format!("convoy:batchretry:{before}"));
        let wanted = Batch { name: NAME, selector, include_succeeded: false, key };
        let (_, is_repeated) = batch::start(&shared, &caller, wanted).await?;
        if is_repeated {
            return Err(is_active());
        }
    }
    Ok(envelope::ok("Batch retry processing", ()))
}

async fn newest(shared: &Shared, project: Id) -> Result<Option<Replay>, Error> {
    let mut page = Page { limit: PAGE_REPLAYS + 1, from: None, ascending: false };
    loop {
        let mut replays = shared.engine.replays().list(project, Vec::new(), page).await?;
        let next = if replays.len() > PAGE_REPLAYS { replays.pop() } else { None };
        if let Some(found) = replays.into_iter().find(|replay| replay.definition.name == NAME) {
            return Ok(Some(found));
        }
        let Some(next) = next else { return Ok(None) };
        page.from = Some(next.id);
    }
}

/// `None` when nothing can match.
fn selector(filter: DeliveryFilter, caller: &Caller, shared: &Shared) -> Option<Selector> {
    let wanted = |status: &Status| filter.statuses.is_empty() || filter.statuses.contains(status);
    let statuses: Vec<_> =
        [Status::Failure, Status::Discarded].into_iter().filter(wanted).map(DeliveryStatus).collect();
    let known = |id: &Id| caller.project.endpoints.contains_key(id);
    let endpoint_ids: Vec<Id> = filter.endpoints.iter().copied().filter(known).collect();
    let is_to_come = filter.window.from.is_some_and(|from| from > shared.now());
    let names_nobody = endpoint_ids.is_empty() && !filter.endpoints.is_empty();
    if statuses.is_empty() || names_nobody || is_to_come {
        return None;
    }
    Some(Selector {
        from: filter.window.from.map(Moment::At),
        to: filter.window.to.map(Moment::At),
        event_types: EventTypes::new(filter.event_type.map(Pattern::Exact).into_iter().collect()),
        endpoint_ids,
        event_ids: filter.event.into_iter().collect(),
        delivery_status: statuses,
        subscription_ids: filter.subscription.into_iter().collect(),
        ..Selector::default()
    })
}
