//! `DELETE ~/endpoints/{id}` (§3.3).

use crate::Api;
use crate::convoy::{Outcome, envelope};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_control::endpoints::EndpointError;

pub async fn delete(State(shared): Api, Extension(caller): Extension<Caller>, path: Named) -> Outcome {
    let id = path.id.ok_or(EndpointError::Unknown)?;
    shared.control.delete_endpoint(caller.project_id(), id).await?;
    Ok(envelope::ok("Endpoint deleted successfully", ()))
}
