//! The caller's project (contracts/convoy.md §2.1, §7.1).

mod patch;

use super::error::Error;
use super::payload::Payload;
use super::view::project::ProjectView;
use super::{Outcome, envelope};
use crate::Api;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;

/// `GET ~`.
pub async fn get(Extension(caller): Extension<Caller>) -> Outcome {
    Ok(envelope::ok("Project fetched successfully", ProjectView::new(&caller.project.project)))
}

/// `PUT ~`; by `POST`, too, because that is what the Go SDK sends (§11).
pub async fn update(State(shared): Api, Extension(caller): Extension<Caller>, Payload(body): Payload) -> Outcome {
    let update = patch::decode(&body).map_err(Error::invalid_format)?;
    let project = shared.control.update_project(caller.project_id(), update).await?;
    Ok(envelope::accepted("Project updated successfully", ProjectView::new(&project)))
}
