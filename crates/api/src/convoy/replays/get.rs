//! `GET ~/replays/{id}`.

use super::{Kept, named};
use crate::Api;
use crate::convoy::view::call::CallView;
use crate::convoy::view::replay::ReplayView;
use crate::convoy::{Outcome, envelope};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;

const MESSAGE: &str = "Replay fetched successfully";

pub async fn get(State(shared): Api, Extension(caller): Extension<Caller>, path: Named) -> Outcome {
    Ok(match Kept::of(&shared, caller.project_id(), named(&path)?).await? {
        Kept::Run(replay) => envelope::ok(MESSAGE, ReplayView::new(&replay, shared.now())),
        Kept::Call(call) => envelope::ok(MESSAGE, CallView::new(&call)),
    })
}
