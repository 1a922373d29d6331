//! The Connect surface, `/connect/v1` (contracts/connect.md): the log behind the webhooks, with
//! idempotent replay.

pub mod auth;
mod cursor;
pub mod deliveries;
pub mod error;
pub mod events;
mod fingerprint;
mod idempotency_key;
mod paging;
mod payload;
mod status;
mod view;
mod window;

use axum::response::{IntoResponse, Response};
use dacapo_model::Id;
use error::Error;

/// Nothing has this id. It is looked for where what was written is none, so that an answer takes as long as for
/// one that is unknown, or another tenant's.
const NOBODYS: Id = Id::MIN;

/// What handlers give: the answer, or what was wrong.
pub type Outcome = Result<Response, Error>;

/// Behind the key check, as every path of this surface is.
pub fn unknown_path() -> Response {
    Error::UnknownPath.into_response()
}

pub async fn wrong_method() -> Error {
    Error::WrongMethod
}
