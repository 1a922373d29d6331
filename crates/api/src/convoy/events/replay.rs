//! `PUT ~/events/{id}/replay` (§2.3.9): whatever state the event is in, it is matched again with
//! today's subscriptions and every match gets a new delivery. A body is not read.

use crate::Api;
use crate::convoy::error::Error;
use crate::convoy::replays::asker;
use crate::convoy::view::event::EventView;
use crate::convoy::{Outcome, envelope};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_engine::ReplayRequest;

pub async fn replay(State(shared): Api, Extension(caller): Extension<Caller>, path: Named) -> Outcome {
    let unknown = || Error::bad("event not found");
    let event_id = path.id.ok_or_else(unknown)?;
    let project_id = caller.project_id();
    let request = ReplayRequest {
        project_id,
        event_id,
        endpoint: None,
        idempotency: None,
        keep_discarded: true,
        asked_by: asker(&caller),
    };
    shared.engine.replay(request).await?;
    let event = shared.store.event(project_id, event_id).await?.ok_or_else(unknown)?;
    Ok(envelope::ok("Endpoint event replayed successfully", EventView::new(&event).acknowledged(shared.now())))
}
