//! `POST /connect/v1/events`: into the log, and out to the endpoints whose subscriptions match.

use crate::connect::Outcome;
use crate::connect::error::Error;
use crate::connect::idempotency_key::{self, IDEMPOTENT_REPLAYED, TRUE};
use crate::connect::payload::Payload;
use crate::connect::view::{EventView, json};
use crate::{Api, Shared, body};
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use dacapo_control::Caller;
use dacapo_engine::{Accepted, Address, Refusal, Submission};
use dacapo_model::attempt::HeaderLines;
use dacapo_model::catalog::ProjectView;
use dacapo_model::event::{Audience, ConnectFace, Related};
use dacapo_model::json::decode::Object;
use dacapo_model::json::{NESTING_MAX, is_nested_deeper};
use dacapo_model::{Event, Id};
use http::{HeaderMap, StatusCode};
use std::sync::Arc;

/// How often whom an event is addressed to is found again, each time because another node changed just that.
const LOOKS_MAX: usize = 8;

pub async fn create(
    State(shared): Api,
    Extension(mut caller): Extension<Caller>,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Outcome {
    let key = idempotency_key::optional(&headers)?.unwrap_or_default();
    let new = NewEvent::decode(&body)?;
    let mut found = new.address(&caller.project, key);
    if found.is_err() {
        // Another node may have made the endpoint a moment ago.
        shared.control.catch_up(&mut caller).await;
        found = new.address(&caller.project, key);
    }
    let found = found?;
    if let Some(original) = original(&shared, &caller, key).await? {
        return repeated(&original, &new);
    }
    let accepted = accept(&shared, &mut caller, &new, key, found).await?;
    // Somebody with the same key was faster.
    if let Some(first) = accepted.duplicate_of
        && let Some(original) = shared.store.event(caller.project_id(), first).await?
    {
        return repeated(&original, &new);
    }
    Ok(answer(&accepted.event))
}

async fn accept(
    shared: &Shared,
    caller: &mut Caller,
    new: &NewEvent,
    key: &str,
    (mut address, mut audience): (Address, Audience),
) -> Result<Accepted, Error> {
    for _ in 0..LOOKS_MAX {
        if let Address::Endpoint(id) = address
            && let Some(endpoint) = caller.project.live_endpoint(id)
        {
            shared.control.ensure_catch_all(&caller.project, endpoint).await?;
        }
        match shared.engine.accept(new.submission(caller, key, address, audience)).await {
            Err(Refusal::Overtaken) => shared.control.catch_up(caller).await,
            other => return Ok(other?),
        }
        (address, audience) = new.address(&caller.project, key)?;
    }
    Err(Refusal::Overtaken.into())
}

struct NewEvent {
    event_type: String,
    data: Bytes,
    related: Option<Related>,
    endpoint_id: String,
}

impl NewEvent {
    fn decode(bytes: &Bytes) -> Result<Self, Error> {
        let given = Object::read(bytes)?;
        let text = |name| Ok::<String, Error>(given.string(name)?.map(Into::into).unwrap_or_default());
        let event_type = text("type")?;
        if event_type.is_empty() {
            return Err(Error::parameter("parameter_missing", "type", "type is required."));
        }
        let data = given.raw("data").ok_or(Error::parameter("parameter_missing", "data", "data is required."))?;
        if !data.get().starts_with('{') {
            return Err(Error::parameter("parameter_invalid", "data", "data is an object."));
        }
        let related = related(&text("related_to")?, text("related_to_kind")?)?;
        let data = body::payload(bytes, data.get());
        if is_nested_deeper(&data, NESTING_MAX) {
            let deep = format!("data is nested deeper than {NESTING_MAX} levels.");
            return Err(Error::parameter("parameter_invalid", "data", deep));
        }
        Ok(Self { event_type, data, related, endpoint_id: text("endpoint_id")? })
    }

    /// And whom that stands for.
    fn address(&self, project: &ProjectView, key: &str) -> Result<(Address, Audience), Error> {
        if key.is_empty() && project.project.config.wants_keys() {
            // It goes out in that header, and nothing stands in for it.
            let wanted = "The project's own request_id_header carries it with each delivery: send an Idempotency-Key.";
            return Err(Error::parameter("idempotency_key_required", "Idempotency-Key", wanted));
        }
        if self.endpoint_id.is_empty() {
            return Ok((Address::Project, Audience::Project));
        }
        let found = || {
            let address = Address::Endpoint(self.endpoint_id.parse().ok()?);
            let audience = address.audience(project)?;
            Some((address, audience))
        };
        found().ok_or_else(|| Error::parameter("endpoint_not_found", "endpoint_id", "No such endpoint."))
    }

    fn submission(&self, caller: &Caller, key: &str, address: Address, audience: Audience) -> Submission {
        Submission {
            seen: Arc::clone(&caller.project),
            event_type: self.event_type.clone(),
            data: self.data.clone(),
            headers: HeaderLines::new(),
            source_id: None,
            url_query: String::new(),
            url_path: String::new(),
            idempotency_key: key.to_owned(),
            address,
            audience,
            connect: ConnectFace { livemode: caller.livemode, related: self.related.clone() },
        }
    }

    fn is_same_as(&self, event: &Event) -> bool {
        self.event_type == event.event_type && self.data == event.data && self.related == event.connect.related
    }
}

/// Both or none.
fn related(to: &str, kind: String) -> Result<Option<Related>, Error> {
    if to.is_empty() && kind.is_empty() {
        return Ok(None);
    }
    if kind.is_empty() {
        return Err(Error::parameter("parameter_missing", "related_to_kind", "related_to comes with related_to_kind."));
    }
    let invalid = || Error::parameter("invalid_related_to", "related_to", "related_to is a UUID.");
    let to = Id::parse_uuid(to).ok_or_else(invalid)?;
    Ok(Some(Related { to, kind }))
}

/// The event that has this key already.
async fn original(shared: &Shared, caller: &Caller, key: &str) -> Result<Option<Arc<Event>>, Error> {
    if key.is_empty() {
        return Ok(None);
    }
    match shared.store.event_by_idempotency_key(caller.project_id(), key).await? {
        Some(first) => Ok(shared.store.event(caller.project_id(), first).await?),
        None => Ok(None),
    }
}

fn repeated(original: &Event, new: &NewEvent) -> Outcome {
    if !new.is_same_as(original) {
        return Err(Error::KeyConflict);
    }
    let mut response = answer(original);
    response.headers_mut().insert(IDEMPOTENT_REPLAYED, TRUE);
    Ok(response)
}

fn answer(event: &Event) -> Response {
    json(StatusCode::CREATED, &EventView::new(event))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &'static str) -> (&'static str, String) {
        match NewEvent::decode(&Bytes::from_static(body.as_bytes())) {
            Err(Error::Parameter { code, param, .. }) => (code, param.into_owned()),
            other => panic!("{:?}", other.map(|_| ())),
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, code, param) in [
            ("{}", "parameter_missing", "type"),
            (r#"{"type":"t"}"#, "parameter_missing", "data"),
            (r#"{"type":"t","data":[1]}"#, "parameter_invalid", "data"),
            (
                r#"{"type":"t","data":{},"related_to":"00000000-0000-0000-0000-000000000009"}"#,
                "parameter_missing",
                "related_to_kind",
            ),
            (r#"{"type":"t","data":{},"related_to_kind":"invoice"}"#, "invalid_related_to", "related_to"),
            (r#"{"type":"t","data":{},"related_to":"x","related_to_kind":"k"}"#, "invalid_related_to", "related_to"),
        ] {
            assert_eq!(refusal(body), (code, param.to_owned()), "{body}");
        }
    }

    /// What is taken must be readable by whoever gets it.
    #[test]
    fn what_is_nested_too_deep_is_refused() {
        let body = |levels: usize| {
            let data = format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
            Bytes::from(format!(r#"{{"type":"t","data":{data}}}"#))
        };
        assert!(NewEvent::decode(&body(NESTING_MAX)).is_ok());
        match NewEvent::decode(&body(NESTING_MAX + 1)) {
            Err(Error::Parameter { code, param, message }) => {
                assert_eq!((code, &*param), ("parameter_invalid", "data"));
                assert!(message.contains("10000 levels"), "{message}");
            }
            other => panic!("{:?}", other.map(|_| ())),
        }
    }

    #[test]
    fn a_whole_event() {
        let body = concat!(
            r#"{"type":"t","data":{ "a": 1 },"#,
            r#""related_to":"00000000-0000-0000-0000-000000000009","related_to_kind":"k"}"#,
        );
        let new = NewEvent::decode(&Bytes::from_static(body.as_bytes())).expect("read");
        assert_eq!(new.data, r#"{"a":1}"#);
        assert_eq!(new.related, Some(Related { to: Id::from_u128(9), kind: "k".to_owned() }));
    }
}
