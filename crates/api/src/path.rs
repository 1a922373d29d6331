//! The ids in a path. What is no id names nothing, just as an unknown id does.

use axum::extract::{FromRequestParts, RawPathParams};
use dacapo_model::Id;
use http::request::Parts;
use std::convert::Infallible;

/// `{id}` and, where there is one, `{attempt}`.
#[derive(Clone, Debug, Default)]
pub struct Named {
    pub id: Option<Id>,
    pub attempt: Option<Id>,
    /// `{id}` as it was written.
    pub text: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let mut named = Self::default();
        let Ok(params) = RawPathParams::from_request_parts(parts, state).await else {
            return Ok(named);
        };
        for (name, value) in &params {
            match name {
                "id" => {
                    named.id = value.parse().ok();
                    named.text = value.to_owned();
                }
                "attempt" => named.attempt = value.parse().ok(),
                _ => {}
            }
        }
        Ok(named)
    }
}
