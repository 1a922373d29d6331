//! Operations: is it alive, does it take events, what does it count.

use crate::Api;
use crate::convoy::envelope;
use crate::convoy::error::Error;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use dacapo_engine::Health;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};

/// The Convoy whose behaviour we follow, and who we are (contracts/convoy.md §1.1).
const HEALTHY: &str = concat!("Convoy v26.6.6 (Dacapo ", env!("CARGO_PKG_VERSION"), ")");
/// Prometheus' text format.
const EXPOSITION: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
/// The store is tried again every second.
const RETRY_AFTER_S: u64 = 1;

/// The process answers. Whether it takes events is another question: see [`ready`].
pub async fn health() -> Response {
    envelope::ok(HEALTHY, ())
}

pub async fn ready(State(shared): Api) -> Response {
    let reason = match shared.engine.health() {
        Health::Ready => return envelope::ok("ready", ()),
        Health::Unready { reason } => reason,
        Health::Draining => "the server is shutting down".to_owned(),
    };
    let mut response = envelope::failure(StatusCode::SERVICE_UNAVAILABLE, &reason);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
    response
}

/// Who shares the store; an empty list where nobody can.
pub async fn nodes(State(shared): Api) -> Result<Response, Error> {
    Ok(envelope::ok("nodes", shared.engine.nodes().await?))
}

pub async fn metrics(State(shared): Api) -> Response {
    ([(CONTENT_TYPE, EXPOSITION)], shared.engine.metrics().expose()).into_response()
}
