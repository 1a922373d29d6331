//! `POST /connect/v1/events/{id}/replay`: a new delivery of a stored event, once per idempotency
//! key, however often and from wherever the call is repeated.

use crate::Api;
use crate::connect::error::Error;
use crate::connect::idempotency_key::{self, IDEMPOTENT_REPLAYED, TRUE};
use crate::connect::payload::Payload;
use crate::connect::view::{ReplayView, json};
use crate::connect::{NOBODYS, Outcome, fingerprint};
use crate::path::Named;
use axum::Extension;
use axum::extract::State;
use dacapo_control::Caller;
use dacapo_engine::ReplayRequest;
use dacapo_model::Id;
use dacapo_model::json::decode::{BodyError, Object};
use dacapo_model::replay::{Asker, AskerKind};
use http::{HeaderMap, StatusCode};

pub async fn replay(
    State(shared): Api,
    Extension(caller): Extension<Caller>,
    path: Named,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Outcome {
    let key = idempotency_key::required(&headers)?;
    let event_id = Id::parse_event(&path.text).unwrap_or(NOBODYS);
    let request = ReplayRequest {
        project_id: caller.project_id(),
        event_id,
        endpoint: endpoint(&body)?,
        idempotency: Some((key.to_owned(), fingerprint::of(event_id, &body))),
        keep_discarded: false,
        asked_by: Asker { kind: AskerKind::ConnectKey, id: Some(caller.key_id) },
    };
    let replayed = shared.engine.replay(request).await?;
    let view = ReplayView::new(&replayed.deliveries).ok_or(Error::NoEndpoint)?;
    let mut response = json(StatusCode::CREATED, &view);
    if replayed.repeated {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, TRUE);
    }
    Ok(response)
}

/// `None`: every endpoint that matches. What is no id names an endpoint nobody has.
fn endpoint(body: &[u8]) -> Result<Option<Id>, Error> {
    let body = match Object::read(body) {
        Err(BodyError::Empty) => return Ok(None),
        read => read?,
    };
    let given = body.string("endpoint_id")?.filter(|text| !text.is_empty());
    Ok(given.map(|text| text.parse().unwrap_or(NOBODYS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_optional() {
        for body in ["", " ", "{}", "null", r#"{"endpoint_id":null}"#] {
            assert!(matches!(endpoint(body.as_bytes()), Ok(None)), "{body:?}");
        }
        let named = endpoint(br#"{"endpoint_id":"00000000000000000000000003"}"#);
        assert_eq!(named.ok(), Some(Some(Id::from_u128(3))));
        let malformed = endpoint(br#"{"endpoint_id":"nobody"}"#);
        assert_eq!(malformed.ok(), Some(Some(NOBODYS)), "a key that was used with another body must tell so first");
        assert!(matches!(endpoint(b"[]"), Err(Error::Body(_))));
    }
}
