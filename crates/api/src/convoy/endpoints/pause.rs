//! `PUT ~/endpoints/{id}/pause` (§3.3).

use crate::Api;
use crate::convoy::error::Error;
use crate::convoy::version::Version;
use crate::convoy::view::endpoint::EndpointView;
use crate::convoy::{Outcome, envelope};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_control::endpoints::EndpointError;
use http::HeaderMap;

/// A body, where one is sent, is not read.
pub async fn pause(
    State(shared): Api,
    Extension(caller): Extension<Caller>,
    path: Named,
    headers: HeaderMap,
) -> Outcome {
    let version = Version::of(&headers)?;
    let id = path.id.ok_or(EndpointError::Unknown).map_err(Error::switching_endpoint)?;
    let switched = shared.control.toggle_pause(caller.project_id(), id).await;
    let endpoint = switched.map_err(Error::switching_endpoint)?;
    let view = EndpointView::read(&endpoint, version, shared.health_of(&endpoint), shared.now());
    Ok(envelope::accepted("endpoint status updated successfully", view))
}
