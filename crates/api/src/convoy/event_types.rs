//! Event types (contracts/convoy.md §2.2).

use super::payload::Payload;
use super::view::event_type::EventTypeView;
use super::{Outcome, envelope};
use crate::Api;
use axum::Extension;
use axum::extract::State;
use bytes::Bytes;
use dacapo_control::Caller;
use dacapo_control::event_types::{NewEventType, listed};
use dacapo_model::json::compact;
use dacapo_model::json::decode::{BodyError, Object};

/// `GET ~/event-types`: a bare array.
pub async fn list(Extension(caller): Extension<Caller>) -> Outcome {
    let views: Vec<_> = listed(&caller.project).map(|event_type| EventTypeView::read(event_type)).collect();
    Ok(envelope::ok("Event types fetched successfully", views))
}

/// `POST ~/event-types`.
pub async fn create(State(shared): Api, Extension(caller): Extension<Caller>, Payload(body): Payload) -> Outcome {
    let new = decode(&body)?;
    let event_type = shared.control.create_event_type(caller.project_id(), new).await?;
    Ok(envelope::created("Event type created successfully", EventTypeView::written(&event_type)))
}

fn decode(body: &[u8]) -> Result<NewEventType, BodyError> {
    let body = Object::read(body)?;
    let text = |name| Ok::<_, BodyError>(body.string(name)?.map(Into::into).unwrap_or_default());
    Ok(NewEventType {
        name: text("name")?,
        category: text("category")?,
        description: text("description")?,
        json_schema: body.raw("json_schema").map(|schema| compacted(schema.get())).unwrap_or_default(),
    })
}

/// Answers are compact (§1.2), so what is kept is, too.
fn compacted(json: &str) -> String {
    String::from_utf8_lossy(&compact(&Bytes::copy_from_slice(json.as_bytes()))).into_owned()
}
