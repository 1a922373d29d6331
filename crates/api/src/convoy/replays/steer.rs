//! `POST ~/replays/{id}/pause`, `/resume` and `/cancel`. When one of the stopping ones has answered, no
//! node that is counted as confirmed sends anything more of it. A body is not read.

use super::{asker, named};
use crate::Api;
use crate::convoy::view::replay::SteeredView;
use crate::convoy::{Outcome, envelope};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;

pub async fn pause(State(shared): Api, Extension(caller): Extension<Caller>, path: Named) -> Outcome {
    let steered = shared.engine.replays().pause(caller.project_id(), named(&path)?, &asker(&caller)).await?;
    Ok(envelope::ok("Replay paused", SteeredView::new(&steered, shared.now())))
}

pub async fn resume(State(shared): Api, Extension(caller): Extension<Caller>, path: Named) -> Outcome {
    let steered = shared.engine.replays().resume(caller.project_id(), named(&path)?, &asker(&caller)).await?;
    Ok(envelope::ok("Replay resumed", SteeredView::new(&steered, shared.now())))
}

pub async fn cancel(State(shared): Api, Extension(caller): Extension<Caller>, path: Named) -> Outcome {
    let steered = shared.engine.replays().cancel(caller.project_id(), named(&path)?, &asker(&caller)).await?;
    Ok(envelope::ok("Replay cancelled", SteeredView::new(&steered, shared.now())))
}
