//! What is sent: target, headers and body of one attempt (contracts/convoy.md §6.1, §6.2; design §7).

use super::{event_id_text, form, headers};
use crate::dispatch::Work;
use crate::settings::Settings;
use crate::transport::Outgoing;
use base64::Engine as _;
use bytes::Bytes;
use dacapo_model::attempt::HeaderLines;
use dacapo_model::endpoint::{Authentication, ContentType};
use dacapo_model::project::Project;
use dacapo_model::{Endpoint, Timestamp, Trigger, signature};
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

/// Sent with `add_event_id_trace_headers`.
const TRACE_EVENT: HeaderName = HeaderName::from_static("x-convoy-event-id");
const TRACE_DELIVERY: HeaderName = HeaderName::from_static("x-convoy-eventdelivery-id");
const ATTEMPT: HeaderName = HeaderName::from_static("webhook-attempt");
const REPLAY: HeaderName = HeaderName::from_static("webhook-replay");
const ORIGINAL_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-original-timestamp");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Headers of ours at most, event headers aside: sizes the map once.
const OWN_HEADERS: usize = 14;
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
    pub url: String,
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

pub fn prepare(
    project: &Project,
    endpoint: &Endpoint,
    work: &Work,
    now: Timestamp,
    settings: &Settings,
) -> Result<Prepared, Unsendable> {
    let uri: Uri = endpoint.url.parse().map_err(Unsendable::Url)?;
    let body = body(endpoint, &work.event.data)?;
    let mut headers = HeaderMap::with_capacity(OWN_HEADERS);
    sign(&mut headers, project, endpoint, work, &body, now)?;
    identify(&mut headers, project, work)?;
    authenticate(&mut headers, endpoint)?;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(endpoint.content_type.as_str()));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    pass_on(&mut headers, &work.event.headers)?;
    if !headers.contains_key(USER_AGENT) {
        headers.insert(USER_AGENT, value("User-Agent", &settings.user_agent)?);
    }
    let outgoing =
        Outgoing { uri, body, timeout: endpoint.timeout(), body_bytes_max: settings.response_body_bytes_max, headers };
    Ok(Prepared { url: endpoint.url.clone(), recorded_headers: headers::lines(&outgoing.headers), outgoing })
}

fn body(endpoint: &Endpoint, data: &Bytes) -> Result<Bytes, Unsendable> {
    match endpoint.content_type {
        ContentType::Json => Ok(data.clone()),
        ContentType::Form => form::encode(data).map(Bytes::from).ok_or(Unsendable::NotAForm),
    }
}

fn sign(
    headers: &mut HeaderMap,
    project: &Project,
    endpoint: &Endpoint,
    work: &Work,
    body: &Bytes,
    now: Timestamp,
) -> Result<(), Unsendable> {
    let secrets: Vec<&str> = endpoint.signing_secrets(now).map(|secret| secret.value.as_str()).collect();
    let config = &project.config;
    let seconds = now.seconds();
    // For forms too the signature covers the JSON (contracts/convoy.md §6.2).
    let convoy = signature::convoy(
        &secrets,
        &config.signature.versions,
        endpoint.advanced_signatures,
        seconds,
        &work.event.data,
    );
    if !convoy.is_empty() {
        insert(headers, &config.signature.header, &convoy)?;
    }
    if config.standard_webhooks && !secrets.is_empty() {
        let id = event_id_text(work.event.id);
        let signed = signature::standard_v1(&secrets, &id, seconds, body);
        headers.insert(WEBHOOK_ID, value("webhook-id", &id)?);
        headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(seconds));
        headers.insert(WEBHOOK_SIGNATURE, value("webhook-signature", &signed)?);
    }
    Ok(())
}

/// Which event, which attempt, which replay.
fn identify(headers: &mut HeaderMap, project: &Project, work: &Work) -> Result<(), Unsendable> {
    let (event, delivery, config) = (&work.event, &work.delivery, &project.config);
    if !event.idempotency_key.is_empty() {
        insert(headers, &config.request_id_header, &event.idempotency_key)?;
    } else if !config.request_id_header.eq_ignore_ascii_case(dacapo_model::project::DEFAULT_REQUEST_ID_HEADER) {
        return Err(Unsendable::NoIdempotencyKey);
    }
    insert(headers, &config.event_id_header, &event_id_text(event.id))?;
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

fn authenticate(headers: &mut HeaderMap, endpoint: &Endpoint) -> Result<(), Unsendable> {
    match &endpoint.authentication {
        None => Ok(()),
        Some(Authentication::ApiKey { header_name, header_value }) => insert_secret(headers, header_name, header_value),
        Some(Authentication::BasicAuth { username, password }) => {
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
            insert_secret(headers, AUTHORIZATION.as_str(), &format!("Basic {pair}"))
        }
    }
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

fn insert(headers: &mut HeaderMap, given: &str, text: &str) -> Result<(), Unsendable> {
    headers.insert(name(given)?, value(given, text)?);
    Ok(())
}

fn insert_secret(headers: &mut HeaderMap, given: &str, text: &str) -> Result<(), Unsendable> {
    let mut secret = value(given, text)?;
    secret.set_sensitive(true);
    headers.insert(name(given)?, secret);
    Ok(())
}

fn name(given: &str) -> Result<HeaderName, Unsendable> {
    HeaderName::from_bytes(given.as_bytes())
        .map_err(|_| Unsendable::Header { name: given.to_owned(), detail: "no valid header name" })
}

fn value(given: &str, text: &str) -> Result<HeaderValue, Unsendable> {
    HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| Unsendable::Header { name: given.to_owned(), detail: "no valid header value" })
}
