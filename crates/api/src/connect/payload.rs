//! The body of a request, bounded.

use super::error::Error;
use crate::Shared;
use crate::body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use std::sync::Arc;

pub struct Payload(pub Bytes);

impl FromRequest<Arc<Shared>> for Payload {
    type Rejection = Error;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Error> {
        Ok(Self(body::read(request.into_body(), shared.settings.body_bytes_max).await?))
    }
}
