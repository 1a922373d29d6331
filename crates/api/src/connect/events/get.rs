//! `GET /connect/v1/events/{id}`.

use crate::Api;
use crate::connect::error::Error;
use crate::connect::view::{EventView, json};
use crate::connect::{NOBODYS, Outcome};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_model::Id;
use http::StatusCode;

pub async fn get(State(shared): Api, Extension(caller): Extension<Caller>, path: Named) -> Outcome {
    let id = Id::parse_event(&path.text).unwrap_or(NOBODYS);
    let event = shared.store.event(caller.project_id(), id).await?.ok_or(Error::EventNotFound)?;
    Ok(json(StatusCode::OK, &EventView::new(&event)))
}
