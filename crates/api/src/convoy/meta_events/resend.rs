//! `PUT ~/meta-events/{id}/resend`: once more, whatever became of it. A body is not read.

use super::UNKNOWN;
use crate::Api;
use crate::convoy::view::meta_event::MetaEventView;
use crate::convoy::{Outcome, envelope};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;

pub async fn resend(State(shared): Api, Extension(caller): Extension<Caller>, path: Named) -> Outcome {
    let id = path.id.ok_or(UNKNOWN)?;
    let resent = shared.engine.meta_events().resend_meta_event(caller.project_id(), id, shared.now()).await?;
    let resent = resent.ok_or(UNKNOWN)?;
    Ok(envelope::ok("Meta event processed for retry successfully", MetaEventView::new(&resent)))
}
