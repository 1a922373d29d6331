//! `POST ~/endpoints` (§3.2).

use super::fields;
use crate::Api;
use crate::convoy::error::Error;
use crate::convoy::payload::Payload;
use crate::convoy::version::Version;
use crate::convoy::view::endpoint::EndpointView;
use crate::convoy::{Outcome, envelope};
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_control::endpoints::NewEndpoint;
use dacapo_model::json::decode::{BodyError, Object};
use http::HeaderMap;

pub async fn create(
    State(shared): Api,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Outcome {
    let version = Version::of(&headers)?;
    let new = decode(&body, version).map_err(Error::invalid_format)?;
    let endpoint = shared.control.create_endpoint(caller.project_id(), new).await.map_err(Error::creating_endpoint)?;
    let view = EndpointView::written(&endpoint, version, shared.health_of(&endpoint), shared.now());
    Ok(envelope::created("Endpoint created successfully", view))
}

fn decode(body: &[u8], version: Version) -> Result<NewEndpoint, BodyError> {
    let body = Object::read(body)?;
    let simple_unless_asked = version.duration_strings.then_some(false);
    Ok(NewEndpoint {
        url: fields::renamed_text(&body, version, "url", "target_url")?,
        name: fields::renamed_text(&body, version, "name", "title")?,
        secret: fields::text(&body, "secret")?,
        owner_id: fields::text(&body, "owner_id")?,
        app_id: if body.has("appid") { fields::text(&body, "appid")? } else { fields::text(&body, "app_id")? },
        description: fields::text(&body, "description")?,
        support_email: fields::text(&body, "support_email")?,
        slack_webhook_url: fields::text(&body, "slack_webhook_url")?,
        teams_webhook_url: fields::text(&body, "teams_webhook_url")?,
        content_type: fields::text(&body, "content_type")?,
        advanced_signatures: body.bool("advanced_signatures")?.or(simple_unless_asked),
        http_timeout: fields::seconds(&body, version, "http_timeout")?,
        rate_limit: body.i64("rate_limit")?.unwrap_or_default(),
        rate_limit_duration: fields::seconds(&body, version, "rate_limit_duration")?,
        authentication: fields::authentication(&body)?,
        mtls: fields::has_certificate(&body)?,
        recover_on_heal: fields::recovery(&body),
    })
}
