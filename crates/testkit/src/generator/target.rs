//! Where a load goes and how its requests look. Everything but the marker and the time is built once.

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use std::net::SocketAddr;

/// Size of the payload that is delivered.
pub const PAYLOAD_BYTES: usize = 250;
/// The payload around the padding, at its longest: two 20-digit numbers.
const FRAME_BYTES_MAX: usize = 64;

#[derive(Clone, Debug)]
pub enum Shape {
    /// Convoy's `POST ~/events` to these endpoints in turn (contracts/convoy.md §2.3.3).
    Convoy { project_id: String, endpoints: Vec<String> },
    /// Connect's `POST /connect/v1/events`, to whoever subscribes (contracts/connect.md).
    Connect,
    /// The payload alone, `POST /`: what the forwarder takes.
    Bare,
}

#[derive(Debug)]
pub struct Target {
    address: SocketAddr,
    path: Uri,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
    /// What stands before the payload, one for each endpoint.
    before: Vec<Vec<u8>>,
    after: &'static [u8],
}

impl Target {
    /// `base`: `http://127.0.0.1:port`. `authorization`: the whole header value.
    pub fn new(base: &str, shape: &Shape, authorization: Option<&str>) -> Result<Self> {
        let authority = base.trim_end_matches('/').strip_prefix("http://").context("base: http:// only")?;
        let address: SocketAddr = authority.parse().context("base: an address and a port")?;
        ensure!(address.ip().is_loopback(), "load goes to loopback only, not to {address}");
        let (path, before, after): (String, Vec<Vec<u8>>, &'static [u8]) = match shape {
            Shape::Convoy { project_id, endpoints } => {
                let before = endpoints
                    .iter()
                    .map(|id| format!(r#"{{"endpoint_id":"{id}","event_type":"bench.tick","data":"#).into_bytes())
                    .collect();
                (format!("/api/v1/projects/{project_id}/events"), before, b"}")
            }
            Shape::Connect => {
                ("/connect/v1/events".to_owned(), vec![br#"{"type":"bench.tick","data":"#.to_vec()], b"}")
            }
            Shape::Bare => ("/".to_owned(), vec![Vec::new()], b""),
        };
        ensure!(!before.is_empty(), "at least one endpoint");
        Ok(Self {
            address,
            path: path.parse()?,
            host: HeaderValue::from_str(authority)?,
            authorization: authorization.map(HeaderValue::from_str).transpose()?,
            before,
            after,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn request(&self, marker: u64, at_us: u64) -> Request<Full<Bytes>> {
        let before = &self.before[(marker % self.before.len() as u64) as usize];
        let mut body = BytesMut::with_capacity(before.len() + PAYLOAD_BYTES + FRAME_BYTES_MAX);
        body.extend_from_slice(before);
        write_payload(&mut body, marker, at_us);
        body.extend_from_slice(self.after);

        let mut request = Request::new(Full::new(body.freeze()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        request
    }
}

const PADDING: [u8; PAYLOAD_BYTES] = [b'x'; PAYLOAD_BYTES];

/// `{"n":…,"at":…,"pad":"…"}`, exactly `PAYLOAD_BYTES` long and already compact.
fn write_payload(out: &mut BytesMut, marker: u64, at_us: u64) {
    let start = out.len();
    out.extend_from_slice(b"{\"n\":");
    write_number(out, marker);
    out.extend_from_slice(b",\"at\":");
    write_number(out, at_us);
    out.extend_from_slice(b",\"pad\":\"");
    let rest = (start + PAYLOAD_BYTES - 2).saturating_sub(out.len());
    out.extend_from_slice(&PADDING[..rest]);
    out.extend_from_slice(b"\"}");
}

fn write_number(out: &mut BytesMut, mut number: u64) {
    /// Digits of `u64::MAX`.
    const DIGITS_MAX: usize = 20;
    let mut digits = [0; DIGITS_MAX];
    let mut start = DIGITS_MAX;
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger;

    #[test]
    fn payload_has_its_size_and_its_mark() {
        for (marker, at_us) in [(0, 0), (17, 1_234_567), (u64::MAX, u64::MAX)] {
            let mut out = BytesMut::new();
            write_payload(&mut out, marker, at_us);
            assert_eq!(out.len(), PAYLOAD_BYTES);
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(value["n"], marker);
            assert_eq!(ledger::mark_of(&out).unwrap().at_us, Some(at_us));
        }
    }

    #[test]
    fn loopback_only() {
        assert!(Target::new("http://10.0.0.1:80", &Shape::Bare, None).is_err());
        assert!(Target::new("http://127.0.0.1:80", &Shape::Bare, None).is_ok());
    }
}
