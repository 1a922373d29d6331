//! The one layer around every route: who calls, under which request id, and what no handler should
//! have to think of (panics, headers every answer carries, the log line).
//!
//! It is on the way of every event, so it is one layer instead of a stack of them.

use crate::convoy::{self, version};
use crate::request_id::{RequestId, X_REQUEST_ID};
use crate::{Api, Shared, connect};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dacapo_control::Surface;
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Method, Uri};
use std::panic::AssertUnwindSafe;
use std::time::Instant;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// Which rules hold for a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    Convoy,
    Connect,
    /// No credentials.
    Open,
    /// As `Open`, and without any of our headers (contracts/convoy.md §1.1).
    Bare,
}

impl Area {
    pub fn of(path: &str) -> Self {
        if path.starts_with("/api/v1/") || path == "/api/v1" {
            return Self::Convoy;
        }
        if path.starts_with("/connect/v1/") || path == "/connect/v1" {
            return Self::Connect;
        }
        if path == "/health" { Self::Bare } else { Self::Open }
    }
}

pub async fn edge(State(shared): Api, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let area = Area::of(request.uri().path());
    let id = match area {
        Area::Connect => shared.request_ids.make(),
        Area::Convoy | Area::Open | Area::Bare => shared.request_ids.accept(request.headers()),
    };
    let line = LogLine::of(&request);
    let answered = match area {
        Area::Convoy => AssertUnwindSafe(convoy(&shared, request, next)).catch_unwind().await,
        Area::Connect => AssertUnwindSafe(connect(&shared, request, &id, next)).catch_unwind().await,
        Area::Open | Area::Bare => AssertUnwindSafe(next.run(request)).catch_unwind().await,
    };
    let mut response = answered.unwrap_or_else(|_| panicked(area, &id));
    line.write(&response, &id, started);
    let headers = response.headers_mut();
    match area {
        Area::Convoy | Area::Open => {
            headers.insert(version::X_CONVOY_VERSION, HeaderValue::from_static(version::CURRENT));
            headers.insert(X_REQUEST_ID, id.into_header());
        }
        Area::Connect => {
            headers.insert(REQUEST_ID, id.into_header());
        }
        Area::Bare => {}
    }
    response
}

async fn convoy(shared: &Shared, mut request: Request, next: Next) -> Response {
    if !convoy::auth::is_json_or_silent(request.headers()) {
        return convoy::error::Error::MediaType.into_response();
    }
    let key = match convoy::auth::key(request.headers()) {
        Ok(key) => key,
        Err(error) => return error.into_response(),
    };
    match shared.control.authenticate(Surface::Convoy, key) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => convoy::error::Error::from(error).into_response(),
    }
}

async fn connect(shared: &Shared, mut request: Request, id: &RequestId, next: Next) -> Response {
    let Some(key) = connect::auth::key(request.headers()) else {
        return connect::error::Error::NoKey.answer(id);
    };
    match shared.control.authenticate(Surface::Connect, key) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            let mut response = next.run(request).await;
            match response.extensions_mut().remove::<connect::error::Error>() {
                Some(error) => answer_instead(&response, &error, id),
                None => response,
            }
        }
        Err(_) => connect::error::Error::InvalidKey.answer(id),
    }
}

/// The error as this surface prints it; an `Allow` header stays.
fn answer_instead(response: &Response, error: &connect::error::Error, id: &RequestId) -> Response {
    let mut answer = error.answer(id);
    if let Some(allow) = response.headers().get(http::header::ALLOW) {
        answer.headers_mut().insert(http::header::ALLOW, allow.clone());
    }
    answer
}

/// The panic itself was printed by the process's hook.
fn panicked(area: Area, id: &RequestId) -> Response {
    match area {
        Area::Connect => connect::error::Error::Internal.answer(id),
        Area::Convoy | Area::Open | Area::Bare => convoy::error::Error::Internal.into_response(),
    }
}

/// What is logged of a request: never headers, query strings or bodies, which hold secrets.
struct LogLine {
    method: Method,
    uri: Uri,
}

impl LogLine {
    /// Shares the request's memory: the usual request, of which nobody hears, pays nothing.
    fn of(request: &Request) -> Self {
        Self { method: request.method().clone(), uri: request.uri().clone() }
    }

    fn write(&self, response: &Response, id: &RequestId, started: Instant) {
        let is_failure = response.status().is_server_error();
        if !is_failure && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let (method, path) = (&self.method, self.uri.path());
        let status = response.status().as_u16();
        let elapsed_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let request_id = id.as_str();
        if is_failure {
            tracing::info!(%method, path, status, elapsed_us, request_id, "request failed");
        } else {
            tracing::debug!(%method, path, status, elapsed_us, request_id, "request");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_by_path() {
        for (path, area) in [
            ("/api/v1", Area::Convoy),
            ("/api/v1/projects/x", Area::Convoy),
            ("/api/v10", Area::Open),
            ("/connect/v1/events", Area::Connect),
            ("/healthz", Area::Open),
            ("/health", Area::Bare),
            ("/", Area::Open),
        ] {
            assert_eq!(Area::of(path), area, "{path}");
        }
    }
}
