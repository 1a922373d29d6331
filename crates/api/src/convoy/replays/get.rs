//! `GET ~/replays/{id}`.

use super::named;
use crate::Api;
use crate::convoy::view::replay::ReplayView;
use crate::convoy::{Outcome, envelope};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;

pub async fn get(State(shared): Api, Extension(caller): Extension<Caller>, path: Named) -> Outcome {
    let replay = shared.engine.replays().get(caller.project_id(), named(&path)?).await?;
    Ok(envelope::ok("Replay fetched successfully", ReplayView::new(&replay, shared.now())))
}
