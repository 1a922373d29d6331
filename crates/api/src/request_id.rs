//! Ids of requests: they tie an answer, a log line and a support question together.

use dacapo_model::id::Entropy;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::atomic::{AtomicU64, Ordering};

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A caller's own id is taken up to this length; a longer one is replaced by ours.
const GIVEN_BYTES_MAX: usize = 128;

/// Makes `req_…` ids: a random part per process, then a number.
pub struct RequestIds {
    process: u64,
    made: AtomicU64,
}

/// Of one request; goes into its answer, its log line and, on Connect, its error.
#[derive(Clone, Debug)]
pub struct RequestId(HeaderValue);

impl RequestIds {
    pub fn new(entropy: &dyn Entropy) -> Self {
        Self { process: entropy.u64(), made: AtomicU64::new(0) }
    }

    pub fn make(&self) -> RequestId {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let mut text = *b"req_00000000000000000000000000";
        write_hex(self.process, &mut text[4..20]);
        write_hex(number, &mut text[20..]);
        RequestId(HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("req_")))
    }

    /// The id the caller sent, or one of ours.
    pub fn accept(&self, headers: &HeaderMap) -> RequestId {
        match headers.get(X_REQUEST_ID) {
            Some(given) if !given.is_empty() && given.len() <= GIVEN_BYTES_MAX && given.to_str().is_ok() => {
                RequestId(given.clone())
            }
            _ => self.make(),
        }
    }
}

/// The last digits of `number`, as many as there are places. Once for every request, so without the
/// formatting machinery.
fn write_hex(number: u64, places: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (digit, place) in places.iter_mut().rev().enumerate() {
        *place = DIGITS[(number >> (4 * digit) & 15) as usize];
    }
}

impl RequestId {
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub fn into_header(self) -> HeaderValue {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dacapo_model::id::SystemEntropy;

    #[test]
    fn ids_differ_and_given_ones_are_kept() {
        let ids = RequestIds::new(&SystemEntropy);
        let (first, second) = (ids.make(), ids.make());
        assert_ne!(first.as_str(), second.as_str());
        assert!(first.as_str().starts_with("req_"));
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_static("mine"));
        assert_eq!(ids.accept(&headers).as_str(), "mine");
        headers.insert(X_REQUEST_ID, HeaderValue::try_from("x".repeat(129)).expect("a header value"));
        assert!(ids.accept(&headers).as_str().starts_with("req_"));
    }
}
