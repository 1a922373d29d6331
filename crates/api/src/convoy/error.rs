//! The one layer in which the Convoy surface's status codes live: handlers say what is wrong, this
//! file says how that is answered (contracts/convoy.md §1.2-1.5, §1.7, §1.9).

use super::envelope;
use crate::body::BodyRefused;
use axum::response::{IntoResponse, Response};
use dacapo_control::AuthError;
use dacapo_control::endpoints::EndpointError;
use dacapo_control::event_types::EventTypeError;
use dacapo_control::projects::ProjectError;
use dacapo_control::subscriptions::SubscriptionError;
use dacapo_engine::{Refusal, Refused, ReplayRefusal};
use dacapo_model::json::decode::BodyError;
use dacapo_model::project::Kind;
use dacapo_store::StoreError;
use http::StatusCode;
use std::borrow::Cow;
use std::time::Duration;

/// How often a caller should try again while the store cannot be used.
const STORE_RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub enum Error {
    /// No credentials, or none that can be read as such.
    Unauthenticated,
    /// Credentials nobody knows.
    Unauthorised,
    /// The request cannot be done as it is. Most "not found" of writing routes are this, too.
    BadRequest(Cow<'static, str>),
    NotFound(&'static str),
    /// It cannot be done as things are now; with another look at them, perhaps. Only of what Convoy does not have.
    Conflict(String),
    /// Nothing is served under this path.
    UnknownPath,
    MediaType,
    TooLarge(BodyRefused),
    Unavailable {
        reason: String,
        retry_after: Duration,
    },
    /// A list took longer than anybody waits for one.
    TooSlow(&'static str),
    /// Ours; the caller learns no details.
    Internal,
}

impl Error {
    pub fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self::BadRequest(text.into())
    }

    /// What some handlers say instead of what exactly is wrong with a body (§1.4).
    pub fn invalid_format(_: BodyError) -> Self {
        Self::bad("Invalid request format")
    }

    /// An endpoint that is created: what is wrong with a field is not named (§3.2).
    pub fn creating_endpoint(error: EndpointError) -> Self {
        match error {
            EndpointError::Invalid(_) => Self::bad("Invalid input provided"),
            EndpointError::ContentType => Self::bad("an error occurred while adding endpoint"),
            other => Self::from(other),
        }
    }

    /// A list of deliveries (§2.4.3).
    pub fn listing_deliveries(error: StoreError) -> Self {
        match error {
            StoreError::TooSlow => Self::TooSlow("Event deliveries took too long. Narrow the date range."),
            other => Self::from(other),
        }
    }

    /// Pausing and activating (§3.3).
    pub fn switching_endpoint(error: EndpointError) -> Self {
        match error {
            EndpointError::Unknown => Self::bad("failed to find endpoint"),
            other => Self::from(other),
        }
    }
}

impl From<AuthError> for Error {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::UnknownKey => Self::Unauthorised,
            AuthError::ProjectGone => Self::bad("project not found"),
        }
    }
}

impl From<EndpointError> for Error {
    fn from(error: EndpointError) -> Self {
        match error {
            EndpointError::UnknownProject => Self::bad("Project not found"),
            EndpointError::Unknown => Self::bad("endpoint not found"),
            EndpointError::ContentType => Self::bad("an error occurred while updating endpoints"),
            EndpointError::Store(error) => error.into(),
            said @ (EndpointError::Invalid(_)
            | EndpointError::Url(_)
            | EndpointError::ChatUrl(_)
            | EndpointError::Ping(_)
            | EndpointError::AuthenticationPart(_)
            | EndpointError::NotAvailable(_)
            | EndpointError::CannotPause(_)
            | EndpointError::CannotActivate(_)
            | EndpointError::NoActiveSecret
            | EndpointError::Recovery
            | EndpointError::Lookback) => Self::bad(said.to_string()),
        }
    }
}

impl From<SubscriptionError> for Error {
    fn from(error: SubscriptionError) -> Self {
        match error {
            SubscriptionError::UnknownProject => Self::bad("project not found"),
            SubscriptionError::UnknownSource(Kind::Incoming) => Self::bad("failed to find source by id"),
            SubscriptionError::UnknownSource(Kind::Outgoing) => Self::bad("failed to create subscription"),
            SubscriptionError::Store(error) => error.into(),
            said => Self::bad(said.to_string()),
        }
    }
}

impl From<EventTypeError> for Error {
    fn from(error: EventTypeError) -> Self {
        match error {
            EventTypeError::UnknownProject => Self::bad("project not found"),
            EventTypeError::Store(error) => error.into(),
            said => Self::bad(said.to_string()),
        }
    }
}

impl From<ProjectError> for Error {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::Invalid(_) => Self::bad("Invalid input provided"),
            ProjectError::Store(error) => error.into(),
            said => Self::bad(said.to_string()),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                Self::Unavailable { reason: error.to_string(), retry_after: STORE_RETRY_AFTER }
            }
            StoreError::TooSlow => Self::TooSlow("Search took too long. Narrow the time range or search term."),
            _ => {
                tracing::error!(%error, "the store failed");
                Self::Internal
            }
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownProject => Self::bad("failed to retrieve project"),
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
            ReplayRefusal::UnknownEvent => Self::bad("event not found"),
            ReplayRefusal::NobodyListens | ReplayRefusal::IdempotencyConflict => Self::bad(refusal.to_string()),
            ReplayRefusal::Unavailable { retry_after, .. } => {
                Self::Unavailable { reason: refusal.to_string(), retry_after }
            }
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown => Self::NotFound(super::replays::UNKNOWN),
            Refused::UnknownProject => Self::bad("project not found"),
            Refused::Store(error) => error.into(),
            said @ (Refused::Selector(_)
            | Refused::Unbounded
            | Refused::UnknownTarget(_)
            | Refused::NeedsTarget(_)
            | Refused::RefusedTarget(_)
            | Refused::NotCounted { .. }) => Self::bad(said.to_string()),
            said @ (Refused::Moved { .. }
            | Refused::KeyConflict
            | Refused::TooMany { .. }
            | Refused::Call
            | Refused::WrongState { .. }) => Self::Conflict(said.to_string()),
        }
    }
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<BodyRefused> for Error {
    fn from(refused: BodyRefused) -> Self {
        match refused {
            BodyRefused::TooLarge { .. } => Self::TooLarge(refused),
            BodyRefused::Unreadable => Self::bad(refused.to_string()),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match self {
            Self::Unauthenticated => envelope::failure(StatusCode::UNAUTHORIZED, "Authentication required"),
            Self::Unauthorised => envelope::failure(StatusCode::UNAUTHORIZED, "authorization failed"),
            Self::BadRequest(text) => envelope::failure(StatusCode::BAD_REQUEST, &text),
            Self::Conflict(text) => envelope::failure(StatusCode::CONFLICT, &text),
            Self::NotFound(text) => envelope::failure(StatusCode::NOT_FOUND, text),
            Self::UnknownPath => (StatusCode::NOT_FOUND, "404 page not found\n").into_response(),
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response(),
            Self::TooLarge(refused) => envelope::failure(StatusCode::PAYLOAD_TOO_LARGE, &refused.to_string()),
            Self::Unavailable { reason, retry_after } => {
                let mut response = envelope::failure(StatusCode::SERVICE_UNAVAILABLE, &reason);
                response.headers_mut().insert(http::header::RETRY_AFTER, retry_after_header(retry_after));
                response
            }
            Self::TooSlow(text) => envelope::failure(StatusCode::GATEWAY_TIMEOUT, text),
            Self::Internal => envelope::failure(StatusCode::INTERNAL_SERVER_ERROR, "internal server error"),
        }
    }
}

/// Whole seconds, rounded up, at least one.
pub fn retry_after_header(wait: Duration) -> http::HeaderValue {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    http::HeaderValue::from(seconds.max(1))
}
