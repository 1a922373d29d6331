//! `POST ~/events` (§2.3.3): the hot path. The body is read without building a tree, the answer is
//! a constant, and what lies between is the engine's.

use super::custom_headers;
use crate::convoy::error::Error;
use crate::convoy::{Outcome, envelope};
use crate::{Shared, body};
use axum::body::Body;
use bytes::Bytes;
use dacapo_control::{Caller, Control, Violations};
use dacapo_engine::address::of_app;
use dacapo_engine::{Accepted, Address, Refusal, Submission};
use dacapo_model::attempt::HeaderLines;
use dacapo_model::catalog::ProjectView;
use dacapo_model::event::{Audience, ConnectFace};
use dacapo_model::json::decode::Object;
use dacapo_model::json::{NESTING_MAX, is_nested_deeper};
use dacapo_model::project::Kind;
use dacapo_model::{Endpoint, Id};
use http::{HeaderName, HeaderValue, StatusCode};
use std::sync::Arc;

const QUEUED: &str = "{\"status\":true,\"message\":\"Event queued successfully\",\"data\":null}\n";
/// How often whom an event is addressed to is found again, each time because another node changed just that.
const LOOKS_MAX: usize = 8;
/// Ours: the answer's body does not say which event it was (§10, 1).
const X_EVENT_ID: HeaderName = HeaderName::from_static("x-event-id");

pub async fn create(shared: &Shared, mut caller: Caller, body: Body) -> Outcome {
    let body = body::read(body, shared.settings.body_bytes_max).await?;
    let new = NewEvent::decode(&body)?;
    let accepted = accept(shared, &mut caller, &new).await?;
    let mut response = envelope::fixed(StatusCode::CREATED, QUEUED);
    response.headers_mut().insert(X_EVENT_ID, id_header(accepted.event.id));
    Ok(response)
}

async fn accept(shared: &Shared, caller: &mut Caller, new: &NewEvent) -> Result<Accepted, Error> {
    for _ in 0..LOOKS_MAX {
        let endpoints = match new.endpoints(&caller.project) {
            Err(_) => {
                // Another node may have made it a moment ago.
                shared.control.catch_up(caller).await;
                new.endpoints(&caller.project)?
            }
            Ok(found) => found,
        };
        for endpoint in &endpoints {
            subscribe_if_bare(&shared.control, &caller.project, endpoint).await?;
        }
        match shared.engine.accept(new.submission(caller, &endpoints)).await {
            Err(Refusal::Overtaken) => shared.control.catch_up(caller).await,
            other => return Ok(other?),
        }
    }
    Err(Refusal::Overtaken.into())
}

struct NewEvent {
    endpoint_id: String,
    app_id: String,
    event_type: String,
    data: Bytes,
    headers: HeaderLines,
    idempotency_key: String,
}

impl NewEvent {
    fn decode(bytes: &Bytes) -> Result<Self, Error> {
        let given = Object::read(bytes)?;
        let text = |name| Ok::<String, Error>(given.string(name)?.map(Into::into).unwrap_or_default());
        let event_type = text("event_type")?;
        let new = Self {
            endpoint_id: text("endpoint_id")?,
            app_id: text("app_id")?,
            // An explicit null is data.
            data: given.raw_or_null("data").map(|data| body::payload(bytes, data.get())).unwrap_or_default(),
            headers: match given.string_map("custom_headers")? {
                Some(given) => custom_headers::checked(given)?,
                None => HeaderLines::new(),
            },
            idempotency_key: text("idempotency_key")?,
            event_type,
        };
        let mut found = Violations::default();
        if new.data.is_empty() {
            found.add("data", "please provide your data");
        }
        found.require("event_type", &new.event_type, "please provide an event type");
        found.into_result().map_err(|found| Error::bad(found.to_string()))?;
        if is_nested_deeper(&new.data, NESTING_MAX) {
            return Err(Error::bad(format!("data: nested deeper than {NESTING_MAX} levels")));
        }
        // It goes out as a header with every attempt.
        if HeaderValue::from_bytes(new.idempotency_key.as_bytes()).is_err() {
            return Err(Error::bad(
                "idempotency_key: not a valid header value: line breaks and control characters cannot be sent",
            ));
        }
        if new.endpoint_id.is_empty() && new.app_id.is_empty() {
            return Err(Error::bad("please provide an endpoint ID"));
        }
        Ok(new)
    }

    /// Whom it is addressed to.
    fn endpoints(&self, project: &ProjectView) -> Result<Vec<Arc<Endpoint>>, Error> {
        if self.idempotency_key.is_empty() && project.project.config.wants_keys() {
            return Err(Error::bad("idempotency_key is required when a custom request_id_header is configured"));
        }
        if !self.endpoint_id.is_empty() {
            let found = self.endpoint_id.parse::<Id>().ok().and_then(|id| project.live_endpoint(id));
            return Ok(vec![found.ok_or(Error::bad("endpoint not found"))?.clone()]);
        }
        let found: Vec<_> = of_app(project, &self.app_id).cloned().collect();
        if found.is_empty() {
            return Err(Error::bad("app ID has no configured endpoints"));
        }
        Ok(found)
    }

    fn submission(&self, caller: &Caller, endpoints: &[Arc<Endpoint>]) -> Submission {
        let found = || Audience::Endpoints(endpoints.iter().map(|endpoint| endpoint.id).collect());
        let (address, audience) = match (caller.project.project.kind, endpoints) {
            // Matching is by source there, and this event has none: it is stored and matches nothing.
            (Kind::Incoming, _) => (Address::Source, Audience::Source),
            (Kind::Outgoing, [endpoint]) if !self.endpoint_id.is_empty() => (Address::Endpoint(endpoint.id), found()),
            (Kind::Outgoing, _) => (Address::App(self.app_id.clone()), found()),
        };
        Submission {
            seen: Arc::clone(&caller.project),
            event_type: self.event_type.clone(),
            data: self.data.clone(),
            headers: self.headers.clone(),
            source_id: None,
            url_query: String::new(),
            url_path: String::new(),
            idempotency_key: self.idempotency_key.clone(),
            address,
            audience,
            connect: ConnectFace::default(),
        }
    }
}

async fn subscribe_if_bare(control: &Control, project: &ProjectView, endpoint: &Endpoint) -> Result<(), Error> {
    Ok(control.ensure_catch_all(project, endpoint).await?)
}

fn id_header(id: Id) -> HeaderValue {
    HeaderValue::from_bytes(&id.encode()).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(body: &'static str) -> Result<NewEvent, String> {
        NewEvent::decode(&Bytes::from_static(body.as_bytes())).map_err(|error| match error {
            Error::BadRequest(text) => text.into_owned(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn the_payload_is_kept_to_the_byte_but_for_whitespace() {
        let body = r#"{"endpoint_id":"e","event_type":"t","data":{ "z": 1.50, "a":"\u00e9 <" }}"#;
        assert_eq!(decode(body).expect("read").data, r#"{"z":1.50,"a":"\u00e9 <"}"#);
    }

    #[test]
    fn any_json_value_is_data() {
        for data in ["null", "{}", "5", "\"hey\"", "[1]"] {
            let body = format!(r#"{{"endpoint_id":"e","event_type":"t","data":{data}}}"#);
            assert_eq!(NewEvent::decode(&Bytes::from(body)).expect("read").data, data);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (body, text) in [
            (r#"{"event_type":"t","endpoint_id":"e"}"#, "data:please provide your data"),
            (r#"{"data":1,"endpoint_id":"e"}"#, "event_type:please provide an event type"),
            ("{}", "data:please provide your data, event_type:please provide an event type"),
            (r#"{"data":1,"event_type":"t"}"#, "please provide an endpoint ID"),
            ("", "body must not be empty"),
            (r#"{"data":1,"event_type":5}"#, "body contains incorrect JSON type for field \"event_type\""),
            (r#"{"custom_headers":{"a":1}}"#, "body contains incorrect JSON type for field \"custom_headers\""),
            (r#""{}""#, "body contains incorrect JSON type (at character 4)"),
            (
                r#"{"data":1,"event_type":"t","endpoint_id":"e","idempotency_key":"a\nb"}"#,
                "idempotency_key: not a valid header value: line breaks and control characters cannot be sent",
            ),
        ] {
            assert_eq!(decode(body).err().as_deref(), Some(text), "{body}");
        }
    }
}
