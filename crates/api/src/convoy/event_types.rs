//! Event types (contracts/convoy.md §2.2).

use super::error::Error;
use super::payload::Payload;
use super::view::event_type::EventTypeView;
use super::{Outcome, envelope};
use crate::Api;
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use bytes::Bytes;
use dacapo_control::Caller;
use dacapo_control::event_types::{EventTypeError, EventTypeUpdate, NewEventType, Spec, listed};
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

/// `PUT ~/event-types/{id}`: status and message as documented (§2.0).
pub async fn update(
    State(shared): Api,
    Extension(caller): Extension<Caller>,
    path: Named,
    Payload(body): Payload,
) -> Outcome {
    let update = decode_update(&body)?;
    let id = path.id.ok_or(EventTypeError::Unknown)?;
    let event_type = shared.control.update_event_type(caller.project_id(), id, update).await?;
    Ok(envelope::created("Event type created successfully", EventTypeView::read(&event_type)))
}

/// `POST ~/event-types/{id}/deprecate`. A body is not read.
pub async fn deprecate(State(shared): Api, Extension(caller): Extension<Caller>, path: Named) -> Outcome {
    let id = path.id.ok_or(EventTypeError::Unknown)?;
    let event_type = shared.control.deprecate_event_type(caller.project_id(), id).await?;
    Ok(envelope::created("Event type deprecated successfully", EventTypeView::read(&event_type)))
}

/// `POST ~/event-types/import`: the webhooks of an OpenAPI document.
pub async fn import(State(shared): Api, Extension(caller): Extension<Caller>, Payload(body): Payload) -> Outcome {
    let spec = Object::read(&body)?.string("spec")?.unwrap_or_default().into_owned();
    // Reading a large document takes a while, and others wait for this thread.
    let reading = tokio::task::spawn_blocking(move || Spec::read(&spec));
    let spec = reading.await.map_err(|_| Error::Internal)??;
    let all = shared.control.import_event_types(caller.project_id(), spec).await?;
    let views: Vec<_> = all.iter().map(|event_type| EventTypeView::read(event_type)).collect();
    Ok(envelope::ok("Event types imported successfully", views))
}

fn decode(body: &[u8]) -> Result<NewEventType, BodyError> {
    let body = Object::read(body)?;
    let text = |name| Ok::<_, BodyError>(body.string(name)?.map(Into::into).unwrap_or_default());
    Ok(NewEventType {
        name: text("name")?,
        category: text("category")?,
        description: text("description")?,
        json_schema: schema(&body).unwrap_or_default(),
    })
}

fn decode_update(body: &[u8]) -> Result<EventTypeUpdate, BodyError> {
    let body = Object::read(body)?;
    let text = |name| Ok::<_, BodyError>(body.string(name)?.map(Into::into));
    Ok(EventTypeUpdate { category: text("category")?, description: text("description")?, json_schema: schema(&body) })
}

/// Answers are compact (§1.2), so what is kept is, too.
fn schema(body: &Object<'_>) -> Option<String> {
    let given = Bytes::copy_from_slice(body.raw("json_schema")?.get().as_bytes());
    Some(String::from_utf8_lossy(&compact(&given)).into_owned())
}
