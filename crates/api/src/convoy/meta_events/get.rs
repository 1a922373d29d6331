//! `GET ~/meta-events/{id}`.

use super::UNKNOWN;
use crate::Api;
use crate::convoy::view::meta_event::MetaEventView;
use crate::convoy::{Outcome, envelope};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;

pub async fn get(State(shared): Api, Extension(caller): Extension<Caller>, path: Named) -> Outcome {
    let id = path.id.ok_or(UNKNOWN)?;
    let found = shared.engine.meta_events().meta_event(caller.project_id(), id).await?.ok_or(UNKNOWN)?;
    Ok(envelope::ok("Meta event fetched successfully", MetaEventView::new(&found)))
}
