//! Operations: is it alive, does it take events, what does it count.

use crate::Api;
use crate::convoy::envelope;
use crate::convoy::error::Error;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use dacapo_engine::Health;
use dacapo_model::{Id, Timestamp};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use std::time::Duration;

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

#[derive(Serialize)]
struct NodeJson {
    id: Id,
    label: String,
    started_at: Timestamp,
    silent_ms: u64,
    alive: bool,
    leaving: bool,
    shards: Vec<u8>,
    since: Option<Timestamp>,
    due: u64,
    lag_ms: u64,
}

/// Who shares the store; an empty list where nobody can.
pub async fn nodes(State(shared): Api) -> Result<Response, Error> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let nodes = shared.engine.nodes().await?;
    let nodes = nodes.into_iter().map(|node| NodeJson {
        id: node.id,
        label: node.label,
        started_at: node.started_at,
        silent_ms: millis(node.silent),
        alive: node.is_alive,
        leaving: node.is_leaving,
        shards: node.shards,
        since: node.since,
        due: node.due,
        lag_ms: millis(node.lag),
    });
    Ok(envelope::ok("nodes", nodes.collect::<Vec<_>>()))
}

pub async fn metrics(State(shared): Api) -> Response {
    ([(CONTENT_TYPE, EXPOSITION)], shared.engine.metrics().expose()).into_response()
}
