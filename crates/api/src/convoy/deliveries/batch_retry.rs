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
use dacapo_model::{Id, Selector, Status};
use dacapo_store::roles::DeliveryFilter;

/// How people find it among the project's replays.
const NAME: &str = "batch retry";

/// A body is not read.
pub async fn batch_retry(State(shared): Api, Extension(caller): Extension<Caller>, query: QueryString) -> Outcome {
    let filter = filter::read(&query, &shared, caller.project_id()).await?;
    let newest = batch::newest(&shared, caller.project_id(), NAME).await?;
    let is_active = || Error::bad("an active batch retry already exists");
    if newest.as_ref().is_some_and(|replay| !replay.control.state.is_over()) {
        return Err(is_active());
    }
    if let Some(selector) = filter.and_then(|filter| selector(filter, &caller, &shared)) {
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
