//! The one layer around every route: who calls, under which request id, and what no handler should
//! have to think of (panics, headers every answer carries, the log line).
//!
//! It is on the way of every event, so it is one layer instead of a stack of them, and the event
//! itself goes past the table of routes.

use crate::convoy::{self, events, version};
use crate::request_id::{RequestId, X_REQUEST_ID};
use crate::{Shared, connect, router};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use dacapo_control::{Caller, Surface};
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Method, Uri};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use tower::ServiceExt;

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

/// All surfaces, as the server calls them.
#[derive(Clone)]
pub struct Surfaces {
    shared: Arc<Shared>,
    routes: axum::Router,
}

impl Surfaces {
    pub fn new(state: crate::ApiState) -> Self {
        let shared = Arc::new(Shared::new(state));
        Self { routes: router::routes(shared.clone()), shared }
    }

    pub async fn answer(&self, request: Request) -> Response {
        let started = Instant::now();
        let area = Area::of(request.uri().path());
        let id = match area {
            Area::Connect => self.shared.request_ids.make(),
            Area::Convoy | Area::Open | Area::Bare => self.shared.request_ids.accept(request.headers()),
        };
        let line = LogLine::of(&request);
        let answered = match area {
            Area::Convoy => AssertUnwindSafe(self.convoy(request)).catch_unwind().await,
            Area::Connect => AssertUnwindSafe(self.connect(request, &id)).catch_unwind().await,
            Area::Open | Area::Bare => AssertUnwindSafe(self.route(request)).catch_unwind().await,
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

    async fn convoy(&self, request: Request) -> Response {
        match self.convoy_caller(&request) {
            Ok(caller) if is_new_event(&request) => {
                events::create(&self.shared, caller, request.into_body()).await.into_response()
            }
            Ok(_) => {
                // What another node has answered is known here too.
                self.shared.control.catalog.catch_up().await;
                match self.convoy_caller(&request) {
                    Ok(caller) => self.route_for(caller, request).await,
                    Err(error) => error.into_response(),
                }
            }
            Err(error) => error.into_response(),
        }
    }

    fn convoy_caller(&self, request: &Request) -> Result<Caller, convoy::error::Error> {
        if !convoy::auth::is_json_or_silent(request.headers()) {
            return Err(convoy::error::Error::MediaType);
        }
        let key = convoy::auth::key(request.headers())?;
        Ok(self.shared.control.authenticate(Surface::Convoy, key)?)
    }

    async fn connect(&self, request: Request, id: &RequestId) -> Response {
        let Some(key) = connect::auth::key(request.headers()) else {
            return connect::error::Error::NoKey.answer(id);
        };
        if self.shared.control.authenticate(Surface::Connect, key).is_err() {
            return connect::error::Error::InvalidKey.answer(id);
        }
        // A new event is routed anew when it was routed by an older configuration.
        if request.method() != Method::POST || request.uri().path() != "/connect/v1/events" {
            self.shared.control.catalog.catch_up().await;
        }
        let Ok(caller) = self.shared.control.authenticate(Surface::Connect, key) else {
            return connect::error::Error::InvalidKey.answer(id);
        };
        let mut response = self.route_for(caller, request).await;
        match response.extensions_mut().remove::<connect::error::Error>() {
            Some(error) => answer_instead(&response, &error, id),
            None => response,
        }
    }

    async fn route_for(&self, caller: Caller, mut request: Request) -> Response {
        request.extensions_mut().insert(caller);
        self.route(request).await
    }

    async fn route(&self, request: Request) -> Response {
        // Boxed: its state is large, and the usual request does not come here.
        match Box::pin(self.routes.clone().oneshot(request)).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// `POST /api/v1/projects/{project}/events`. Whatever project it names, the key's is meant.
fn is_new_event(request: &Request) -> bool {
    request.method() == Method::POST
        && request
            .uri()
            .path()
            .strip_prefix("/api/v1/projects/")
            .and_then(|rest| rest.strip_suffix("/events"))
            .is_some_and(|project| !project.is_empty() && !project.contains('/'))
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
    fn only_the_path_of_new_events_goes_past_the_table() {
        let is_one = |method: Method, uri: &str| {
            let request = Request::builder().method(method).uri(uri).body(axum::body::Body::empty());
            is_new_event(&request.expect("a request"))
        };
        assert!(is_one(Method::POST, "/api/v1/projects/p/events"));
        assert!(is_one(Method::POST, "/api/v1/projects/p/events?a=1"));
        assert!(!is_one(Method::GET, "/api/v1/projects/p/events"));
        for other in ["/api/v1/projects//events", "/api/v1/projects/p/events/", "/api/v1/projects/p/q/events"] {
            assert!(!is_one(Method::POST, other), "{other}");
        }
    }

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
