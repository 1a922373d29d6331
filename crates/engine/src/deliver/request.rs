//! What is sent: target, headers and body of one attempt (contracts/convoy.md §6.1, §6.2; design §7).

use super::template::Template;
use super::{event_id_text, form, headers};
use crate::dispatch::Work;
use crate::settings::Settings;
use crate::transport::Outgoing;
use bytes::Bytes;
use dacapo_model::attempt::HeaderLines;
use dacapo_model::endpoint::ContentType;
use dacapo_model::project::Project;
use dacapo_model::{Endpoint, Timestamp, Trigger, signature};
use http::header::{CONTENT_LENGTH, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// Sent with `add_event_id_trace_headers`.
const TRACE_EVENT: HeaderName = HeaderName::from_static("x-convoy-event-id");
const TRACE_DELIVERY: HeaderName = HeaderName::from_static("x-convoy-eventdelivery-id");
const ATTEMPT: HeaderName = HeaderName::from_static("webhook-attempt");
const REPLAY: HeaderName = HeaderName::from_static("webhook-replay");
const ORIGINAL_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-original-timestamp");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Event headers that belong to a connection or are computed anew.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub struct Prepared {
    pub recorded_headers: HeaderLines,
    pub outgoing: Outgoing,
}

/// Why no request can be made of it. Trying again would not help.
#[derive(Debug, thiserror::Error)]
pub enum Unsendable {
    #[error("the endpoint's URL cannot be used: {0}")]
    Url(http::uri::InvalidUri),
    #[error("{name} cannot be sent: {detail}")]
    Header { name: String, detail: &'static str },
    #[error("a form needs a JSON object; this payload is none")]
    NotAForm,
    #[error("idempotency_key is required when a custom request_id_header is configured")]
    NoIdempotencyKey,
}

pub fn prepare(template: &Template, work: &Work, now: Timestamp, settings: &Settings) -> Result<Prepared, Unsendable> {
    let (endpoint, project) = (&template.endpoint, &template.view.project);
    let body = body(endpoint, &work.event.data)?;
    let mut headers = template.headers.clone();
    sign(&mut headers, template, project, work, &body, now)?;
    identify(&mut headers, template, project, work)?;
    pass_on(&mut headers, &work.event.headers)?;
    headers.entry(USER_AGENT).or_insert_with(|| template.user_agent.clone());
    let outgoing = Outgoing {
        method: Method::POST,
        uri: template.uri.clone(),
        body,
        timeout: endpoint.timeout(),
        body_bytes_max: settings.response_body_bytes_max,
        headers,
    };
    Ok(Prepared { recorded_headers: headers::lines(&outgoing.headers), outgoing })
}

fn body(endpoint: &Endpoint, data: &Bytes) -> Result<Bytes, Unsendable> {
    match endpoint.content_type {
        ContentType::Json => Ok(data.clone()),
        ContentType::Form => form::encode(data).map(Bytes::from).ok_or(Unsendable::NotAForm),
    }
}

fn sign(
    headers: &mut HeaderMap,
    template: &Template,
    project: &Project,
    work: &Work,
    body: &Bytes,
    now: Timestamp,
) -> Result<(), Unsendable> {
    let endpoint = &template.endpoint;
    let keys = template.signing_keys(now);
    let config = &project.config;
    let seconds = now.seconds();
    // For forms too the signature covers the JSON (contracts/convoy.md §6.2).
    let convoy =
        signature::convoy(&keys, &config.signature.versions, endpoint.advanced_signatures, seconds, &work.event.data);
    if !convoy.is_empty() {
        headers.insert(template.signature.clone(), value("the signature", &convoy)?);
    }
    if config.standard_webhooks {
        // Receivers tell repeats by it, signed or not: a replay's own target may have no secret.
        let id = event_id_text(work.event.id);
        headers.insert(WEBHOOK_ID, value("webhook-id", &id)?);
        headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(seconds));
        if !keys.is_empty() {
            let signed = signature::standard_v1(&keys, &id, seconds, body);
            headers.insert(WEBHOOK_SIGNATURE, value("webhook-signature", &signed)?);
        }
    }
    Ok(())
}

/// Which event, which attempt, which replay.
fn identify(headers: &mut HeaderMap, template: &Template, project: &Project, work: &Work) -> Result<(), Unsendable> {
    let (event, delivery, config) = (&work.event, &work.delivery, &project.config);
    if !event.idempotency_key.is_empty() {
        headers.insert(template.request_id.clone(), value(&config.request_id_header, &event.idempotency_key)?);
    } else if !config.request_id_header.eq_ignore_ascii_case(dacapo_model::project::DEFAULT_REQUEST_ID_HEADER) {
        return Err(Unsendable::NoIdempotencyKey);
    }
    headers.insert(template.event_id.clone(), id_value(&event.id.event_text()));
    headers.insert(ATTEMPT, HeaderValue::from(delivery.attempts + 1));
    if config.add_event_id_trace_headers {
        headers.insert(TRACE_EVENT, value("X-Convoy-Event-ID", &event.id.to_string())?);
        headers.insert(TRACE_DELIVERY, value("X-Convoy-EventDelivery-ID", &delivery.id.to_string())?);
    }
    if delivery.trigger == Trigger::Replay
        && let Some(replay) = delivery.replay_id
    {
        headers.insert(REPLAY, value("webhook-replay", &replay.to_string())?);
        headers.insert(ORIGINAL_TIMESTAMP, HeaderValue::from(event.created_at.seconds()));
    }
    Ok(())
}

/// Event headers, which never override ours; `User-Agent` is the event's when it has one.
fn pass_on(headers: &mut HeaderMap, event_headers: &HeaderLines) -> Result<(), Unsendable> {
    if event_headers.is_empty() {
        return Ok(());
    }
    let ours = headers.clone();
    for (given, text) in event_headers.iter() {
        let name = name(given)?;
        let computed = name == HOST || name == CONTENT_LENGTH || HOP_BY_HOP.contains(&name.as_str());
        if computed || ours.contains_key(&name) {
            continue;
        }
        headers.append(name, value(given, text)?);
    }
    Ok(())
}

pub(super) fn name(given: &str) -> Result<HeaderName, Unsendable> {
    HeaderName::from_bytes(given.as_bytes())
        .map_err(|_| Unsendable::Header { name: given.to_owned(), detail: "no valid header name" })
}

/// Letters and digits only.
fn id_value(text: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(text).unwrap_or(HeaderValue::from_static(""))
}

pub(super) fn value(given: &str, text: &str) -> Result<HeaderValue, Unsendable> {
    HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| Unsendable::Header { name: given.to_owned(), detail: "no valid header value" })
}
