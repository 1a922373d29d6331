//! `GET ~/endpoints/{id}` (§3.3).

use crate::Api;
use crate::convoy::error::Error;
use crate::convoy::version::Version;
use crate::convoy::view::endpoint::EndpointView;
use crate::convoy::{Outcome, envelope};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use http::HeaderMap;

pub async fn get(State(shared): Api, Extension(caller): Extension<Caller>, path: Named, headers: HeaderMap) -> Outcome {
    let version = Version::of(&headers)?;
    let found = path.id.and_then(|id| caller.project.live_endpoint(id));
    let endpoint = found.ok_or(Error::NotFound("Resource not found"))?;
    let view = EndpointView::read(endpoint, version, shared.health_of(endpoint), shared.now());
    Ok(envelope::ok("Endpoint fetched successfully", view))
}
