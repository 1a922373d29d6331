//! `GET /connect/v1/webhook-deliveries/{id}`.

use crate::Api;
use crate::connect::error::Error;
use crate::connect::view::{DeliveryView, json};
use crate::connect::{NOBODYS, Outcome};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_model::Id;
use http::StatusCode;

/// The newest attempts that are shown.
const ATTEMPTS_MAX: usize = 100;

pub async fn get(State(shared): Api, Extension(caller): Extension<Caller>, path: Named) -> Outcome {
    let project = caller.project_id();
    let id = Id::parse_uuid(&path.text).unwrap_or(NOBODYS);
    let found = shared.store.delivery(project, id).await?.ok_or(Error::DeliveryNotFound)?;
    let attempts = shared.store.attempts(project, id, ATTEMPTS_MAX).await?;
    Ok(json(StatusCode::OK, &DeliveryView::with_attempts(&found.delivery, &attempts)))
}
