//! `GET ~/events/{id}` (§2.3.8).

use crate::Api;
use crate::convoy::error::Error;
use crate::convoy::view::event::EventView;
use crate::convoy::{Outcome, envelope};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;

pub async fn get(State(shared): Api, Extension(caller): Extension<Caller>, path: Named) -> Outcome {
    let not_found = Error::NotFound("event not found");
    let Some(id) = path.id else {
        return Err(not_found);
    };
    let project = caller.project_id();
    let event = shared.store.event(project, id).await?.ok_or(not_found)?;
    let later = shared.store.later_targets(project, id).await?;
    Ok(envelope::ok("Endpoint event fetched successfully", EventView::whole(&event, &later)))
}
