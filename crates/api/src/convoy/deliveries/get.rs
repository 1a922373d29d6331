//! `GET ~/eventdeliveries/{id}` (§2.4.4).

use crate::Api;
use crate::convoy::error::Error;
use crate::convoy::view::delivery::DeliveryView;
use crate::convoy::{Outcome, envelope};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;

pub async fn get(State(shared): Api, Extension(caller): Extension<Caller>, path: Named) -> Outcome {
    let not_found = Error::NotFound("event delivery not found");
    let Some(id) = path.id else {
        return Err(not_found);
    };
    let found = shared.store.delivery(caller.project_id(), id).await?.ok_or(not_found)?;
    let view = DeliveryView::new(&found.delivery, &found.event, &caller.project, shared.now());
    Ok(envelope::ok("Event Delivery fetched successfully", view))
}
