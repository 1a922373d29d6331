//! `PATCH ~/replays/{id}`: other rates or concurrencies, while it runs.

use super::{asker, body, named};
use crate::Api;
use crate::convoy::payload::Payload;
use crate::convoy::view::replay::SteeredView;
use crate::convoy::{Outcome, envelope};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;

pub async fn rate(
    State(shared): Api,
    Extension(caller): Extension<Caller>,
    path: Named,
    Payload(bytes): Payload,
) -> Outcome {
    let id = named(&path)?;
    let pace = body::read_pace(&bytes)?;
    let desk = shared.engine.replays();
    let steered = desk.re_rate(caller.project_id(), id, pace, &asker(&caller)).await?;
    Ok(envelope::ok("Replay changed", SteeredView::new(&steered, shared.now())))
}
