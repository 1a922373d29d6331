//! What is sent of a meta event: its body as it is, signed. Names of headers are fixed here, whatever the project
//! calls its own.

use crate::settings::Settings;
use crate::transport::Outgoing;
use dacapo_model::project::{self, DEFAULT_REQUEST_ID_HEADER, DEFAULT_SIGNATURE_HEADER};
use dacapo_model::{MetaEvent, signature};
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::time::Duration;

/// For the whole exchange.
const TIMEOUT: Duration = Duration::from_secs(10);

/// `Err`: why no request can be made of it.
pub fn prepare(told: &MetaEvent, wanted: &project::MetaEvent, settings: &Settings) -> Result<Outgoing, String> {
    let uri = wanted.url.parse().map_err(|cause| format!("meta_event.url cannot be used: {cause}"))?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(USER_AGENT, value(&settings.user_agent)?);
    let key = signature::Key::new(&wanted.secret);
    let signed = signature::convoy(&[&key], &[], false, 0, &told.body);
    headers.insert(name(DEFAULT_SIGNATURE_HEADER)?, value(&signed)?);
    headers.insert(name(DEFAULT_REQUEST_ID_HEADER)?, value(&told.idempotency_key())?);
    Ok(Outgoing {
        method: Method::POST,
        uri,
        headers,
        body: told.body.clone(),
        timeout: TIMEOUT,
        body_bytes_max: settings.response_body_bytes_max,
    })
}

fn name(given: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(given.as_bytes()).map_err(|cause| cause.to_string())
}

fn value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|cause| cause.to_string())
}
