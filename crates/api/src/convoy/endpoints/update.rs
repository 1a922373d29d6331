//! `PUT ~/endpoints/{id}` (§3.3).

use super::fields;
use crate::Api;
use crate::convoy::error::Error;
use crate::convoy::payload::Payload;
use crate::convoy::version::Version;
use crate::convoy::view::endpoint::EndpointView;
use crate::convoy::{Outcome, envelope};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_control::endpoints::{EndpointError, EndpointUpdate};
use dacapo_model::json::decode::{BodyError, Object};
use http::HeaderMap;

pub async fn update(
    State(shared): Api,
    Extension(caller): Extension<Caller>,
    path: Named,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Outcome {
    let version = Version::of(&headers)?;
    let update = decode(&body, version).map_err(parsers_text)?;
    let id = path.id.ok_or(EndpointError::Unknown)?;
    let endpoint = shared.control.update_endpoint(caller.project_id(), id, update).await?;
    let view = EndpointView::written(&endpoint, version, shared.health_of(&endpoint), shared.now());
    Ok(envelope::accepted("Endpoint updated successfully", view))
}

fn decode(body: &[u8], version: Version) -> Result<EndpointUpdate, BodyError> {
    let body = Object::read(body)?;
    Ok(EndpointUpdate {
        url: fields::renamed_text(&body, version, "url", "target_url")?,
        name: fields::renamed_text(&body, version, "name", "title")?,
        owner_id: fields::text(&body, "owner_id")?,
        description: fields::text(&body, "description")?,
        support_email: fields::optional_text(&body, "support_email")?,
        slack_webhook_url: fields::optional_text(&body, "slack_webhook_url")?,
        teams_webhook_url: fields::optional_text(&body, "teams_webhook_url")?,
        content_type: fields::optional_text(&body, "content_type")?,
        advanced_signatures: body.bool("advanced_signatures")?,
        http_timeout: fields::seconds(&body, version, "http_timeout")?,
        rate_limit: body.i64("rate_limit")?.unwrap_or_default(),
        rate_limit_duration: fields::seconds(&body, version, "rate_limit_duration")?,
        authentication: fields::authentication(&body)?,
        mtls: fields::has_certificate(&body)?,
        recover_on_heal: fields::recovery(&body),
    })
}

/// This route alone says what the parser says (§1.4).
fn parsers_text(error: BodyError) -> Error {
    match error {
        BodyError::Empty | BodyError::Truncated => Error::bad("unexpected end of JSON input"),
        other => Error::from(other),
    }
}
