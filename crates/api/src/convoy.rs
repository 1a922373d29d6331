//! The Convoy surface, `/api/v1` (contracts/convoy.md §1-§4): what its clients can observe, and
//! nothing of how things are done.

pub mod auth;
mod batch;
pub mod dates;
pub mod deliveries;
pub mod endpoints;
pub mod envelope;
pub mod error;
pub mod event_types;
pub mod events;
mod go_duration;
pub mod meta_events;
mod paging;
mod payload;
pub mod projects;
pub mod replays;
pub mod subscriptions;
mod tree;
pub mod version;
pub mod view;

use axum::response::{IntoResponse, Response};
use error::Error;

/// What handlers give: the answer, or what was wrong.
pub type Outcome = Result<Response, Error>;

/// Behind the key check, as every path of this surface is.
pub fn unknown_path() -> Response {
    Error::UnknownPath.into_response()
}
