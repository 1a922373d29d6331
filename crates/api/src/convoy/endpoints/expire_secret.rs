//! `PUT ~/endpoints/{id}/expire_secret` (§3.3): `expiration` counts hours.

use super::fields;
use crate::Api;
use crate::convoy::payload::Payload;
use crate::convoy::version::Version;
use crate::convoy::view::endpoint::EndpointView;
use crate::convoy::{Outcome, envelope};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_control::endpoints::EndpointError;
use dacapo_model::json::decode::Object;
use http::HeaderMap;

pub async fn expire_secret(
    State(shared): Api,
    Extension(caller): Extension<Caller>,
    path: Named,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Outcome {
    let version = Version::of(&headers)?;
    let body = Object::read(&body)?;
    let secret = fields::text(&body, "secret")?;
    // A moment in the past expires it now.
    let hours = u64::try_from(body.i64("expiration")?.unwrap_or_default()).unwrap_or_default();
    let id = path.id.ok_or(EndpointError::Unknown)?;
    let endpoint = shared.control.expire_secret(caller.project_id(), id, secret, hours).await?;
    let view = EndpointView::read(&endpoint, version, shared.health_of(&endpoint), shared.now());
    Ok(envelope::ok("endpoint secret expired successfully", view))
}
