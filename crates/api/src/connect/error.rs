//! The one layer in which the Connect surface's status codes live (contracts/connect.md, Error
//! envelope): handlers say what is wrong, this file says how that is answered.

use crate::body::BodyRefused;
use crate::convoy::error::retry_after_header;
use crate::request_id::RequestId;
use axum::response::{IntoResponse, Response};
use dacapo_control::subscriptions::SubscriptionError;
use dacapo_engine::{Refusal, ReplayRefusal};
use dacapo_model::json::decode::BodyError;
use dacapo_store::StoreError;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;

/// How soon a caller should try again when the store says nothing itself.
const STORE_RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub enum Error {
    NoKey,
    InvalidKey,
    /// Unknown, malformed and another tenant's are this, to the byte.
    EventNotFound,
    DeliveryNotFound,
    UnknownPath,
    WrongMethod,
    /// Nobody would get the replay.
    NoEndpoint,
    KeyRequired,
    KeyInvalid,
    KeyConflict,
    Parameter {
        code: &'static str,
        param: Cow<'static, str>,
        message: Cow<'static, str>,
    },
    Body(BodyError),
    TooLarge(BodyRefused),
    Unreadable(BodyRefused),
    Unavailable {
        reason: String,
        retry_after: Duration,
    },
    /// A list took longer than anybody waits for one.
    TooSlow,
    /// Ours; the caller learns no details.
    Internal,
}

/// `type` of the envelope.
const INVALID_REQUEST: &str = "invalid_request_error";
const AUTHENTICATION: &str = "authentication_error";
const IDEMPOTENCY: &str = "idempotency_error";
const API: &str = "api_error";

#[derive(Serialize)]
struct Envelope<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    r#type: &'static str,
    code: &'static str,
    message: Cow<'a, str>,
    param: Option<&'a str>,
    request_id: &'a str,
}

impl Error {
    pub fn parameter(code: &'static str, param: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Parameter { code, param: param.into(), message: message.into() }
    }

    pub fn answer(&self, request_id: &RequestId) -> Response {
        let (status, kind, code) = self.codes();
        let error =
            Inner { r#type: kind, code, message: self.message(), param: self.param(), request_id: request_id.as_str() };
        let body = serde_json::to_vec(&Envelope { error }).unwrap_or_default();
        let mut response = (status, body).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Self::Unavailable { retry_after, .. } = self {
            response.headers_mut().insert(RETRY_AFTER, retry_after_header(*retry_after));
        }
        response
    }

    fn codes(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NoKey => (StatusCode::UNAUTHORIZED, AUTHENTICATION, "authentication_required"),
            Self::InvalidKey => (StatusCode::UNAUTHORIZED, AUTHENTICATION, "invalid_api_key"),
            Self::EventNotFound => (StatusCode::NOT_FOUND, INVALID_REQUEST, "event_not_found"),
            Self::DeliveryNotFound => (StatusCode::NOT_FOUND, INVALID_REQUEST, "webhook_delivery_not_found"),
            Self::UnknownPath => (StatusCode::NOT_FOUND, INVALID_REQUEST, "path_not_found"),
            Self::WrongMethod => (StatusCode::METHOD_NOT_ALLOWED, INVALID_REQUEST, "method_not_allowed"),
            Self::NoEndpoint => (StatusCode::BAD_REQUEST, INVALID_REQUEST, "webhook_endpoint_not_configured"),
            Self::KeyRequired => (StatusCode::BAD_REQUEST, IDEMPOTENCY, "idempotency_key_required"),
            Self::KeyInvalid => (StatusCode::BAD_REQUEST, IDEMPOTENCY, "idempotency_key_invalid"),
            Self::KeyConflict => (StatusCode::CONFLICT, IDEMPOTENCY, "idempotency_conflict"),
            Self::Parameter { code, .. } => (StatusCode::BAD_REQUEST, INVALID_REQUEST, code),
            Self::Body(BodyError::WrongField { .. }) => (StatusCode::BAD_REQUEST, INVALID_REQUEST, "parameter_invalid"),
            Self::Body(_) | Self::Unreadable(_) => (StatusCode::BAD_REQUEST, INVALID_REQUEST, "body_invalid"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, "body_too_large"),
            Self::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, API, "service_unavailable"),
            Self::TooSlow => (StatusCode::GATEWAY_TIMEOUT, API, "timeout"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, API, "internal_error"),
        }
    }

    fn message(&self) -> Cow<'_, str> {
        match self {
            Self::NoKey => "No API key: send it as Authorization: Bearer sk_live_… or sk_test_…".into(),
            Self::InvalidKey => "This API key is not valid here.".into(),
            Self::EventNotFound => "No such event.".into(),
            Self::DeliveryNotFound => "No such webhook delivery.".into(),
            Self::UnknownPath => "Nothing is served under this path.".into(),
            Self::WrongMethod => "This path does not take this method.".into(),
            Self::NoEndpoint => "No enabled webhook endpoint would receive this event.".into(),
            Self::KeyRequired => "Send an Idempotency-Key, so that a repeated call schedules nothing twice.".into(),
            Self::KeyInvalid => "An Idempotency-Key is 1 to 255 visible ASCII characters or spaces.".into(),
            Self::KeyConflict => "This Idempotency-Key was used for another request.".into(),
            Self::Parameter { message, .. } => message.as_ref().into(),
            Self::Body(error) => error.to_string().into(),
            Self::TooLarge(refused) | Self::Unreadable(refused) => refused.to_string().into(),
            Self::Unavailable { reason, .. } => reason.into(),
            Self::TooSlow => "This took too long: narrow the time range.".into(),
            Self::Internal => "Something failed on our side.".into(),
        }
    }

    fn param(&self) -> Option<&str> {
        match self {
            Self::Parameter { param, .. } => Some(param),
            Self::Body(BodyError::WrongField { field }) => Some(field),
            _ => None,
        }
    }
}

/// The answer needs the request's id, which the layer around all routes knows: it finds the error in
/// the response and prints it (`edge.rs`).
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = self.codes().0.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                Self::Unavailable { reason: error.to_string(), retry_after: STORE_RETRY_AFTER }
            }
            StoreError::TooSlow => Self::TooSlow,
            _ => {
                tracing::error!(%error, "the store failed");
                Self::Internal
            }
        }
    }
}

impl From<SubscriptionError> for Error {
    fn from(error: SubscriptionError) -> Self {
        match error {
            SubscriptionError::Store(error) => error.into(),
            SubscriptionError::UnknownProject => Self::InvalidKey,
            other => {
                tracing::error!(error = %other, "no subscription could be made for an endpoint without one");
                Self::Internal
            }
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownProject => Self::InvalidKey,
            Refusal::Unavailable { retry_after, .. } => Self::Unavailable { reason: refusal.to_string(), retry_after },
            Refusal::Draining | Refusal::Overtaken => {
                Self::Unavailable { reason: refusal.to_string(), retry_after: STORE_RETRY_AFTER }
            }
        }
    }
}

impl From<ReplayRefusal> for Error {
    fn from(refusal: ReplayRefusal) -> Self {
        match refusal {
            ReplayRefusal::UnknownEvent => Self::EventNotFound,
            ReplayRefusal::NobodyListens => Self::NoEndpoint,
            ReplayRefusal::IdempotencyConflict => Self::KeyConflict,
            ReplayRefusal::Unavailable { retry_after, .. } => {
                Self::Unavailable { reason: refusal.to_string(), retry_after }
            }
        }
    }
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<BodyRefused> for Error {
    fn from(refused: BodyRefused) -> Self {
        match refused {
            BodyRefused::TooLarge { .. } => Self::TooLarge(refused),
            BodyRefused::Unreadable => Self::Unreadable(refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request_id::RequestIds;
    use dacapo_model::id::SystemEntropy;
    use http_body_util::BodyExt;

    async fn print(error: Error) -> (u16, String) {
        let id = RequestIds::new(&SystemEntropy).make();
        let response = error.answer(&id);
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.expect("in memory").to_bytes();
        (status, String::from_utf8(bytes.to_vec()).expect("UTF-8").replace(id.as_str(), "req_1"))
    }

    #[tokio::test]
    async fn the_envelope() {
        let expected = concat!(
            r#"{"error":{"type":"invalid_request_error","code":"event_not_found","message":"No such event.","#,
            r#""param":null,"request_id":"req_1"}}"#,
        );
        assert_eq!(print(Error::EventNotFound).await, (404, expected.to_owned()));
        let expected = concat!(
            r#"{"error":{"type":"invalid_request_error","code":"invalid_cursor","message":"bad","#,
            r#""param":"cursor","request_id":"req_1"}}"#,
        );
        assert_eq!(print(Error::parameter("invalid_cursor", "cursor", "bad")).await, (400, expected.to_owned()));
        assert_eq!(print(Error::KeyConflict).await.0, 409);
    }
}
