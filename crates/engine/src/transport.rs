//! The seam to the network: one request out, one answer or the reason there was none.
//!
//! An exchange never fails as a Rust error: what happened is data ([`Exchange`]), because a
//! customer's broken endpoint is an expected result.

mod http;

pub use self::http::HttpTransport;

use ::http::{HeaderMap, Method, Uri};
use async_trait::async_trait;
use bytes::Bytes;
use std::net::IpAddr;
use std::time::Duration;

/// A request, complete: the bytes that were signed are the bytes that are sent.
#[derive(Debug)]
pub struct Outgoing {
    /// A delivery's is POST.
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// For the whole exchange: look-up, connection, TLS, request, answer and its body.
    pub timeout: Duration,
    /// Bytes of the answer's body that are kept; the rest is not read.
    pub body_bytes_max: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Exchange {
    /// The address that was dialled, when one was.
    pub ip: Option<IpAddr>,
    pub result: Result<Answer, Failure>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// Un-gzipped, at most `body_bytes_max` bytes.
    pub body: Bytes,
}

/// Why no (complete) answer came. The texts are shown to users on the attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The egress guard refused every address the name stands for.
    #[error("{0}")]
    AddressRefused(String),
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    #[error("cannot resolve {host}: {detail}")]
    Unresolved { host: String, detail: String },
    #[error("cannot connect: {0}")]
    Unconnected(String),
    #[error("TLS failed: {0}")]
    Tls(String),
    /// No request could be made of the delivery: nothing was sent.
    #[error("{0}")]
    Unsendable(String),
    /// Connected, but the answer did not come whole.
    #[error("the exchange broke off: {0}")]
    Broken(String),
}

#[async_trait]
pub trait Transport: Send + Sync + 'static {
    async fn exchange(&self, request: Outgoing) -> Exchange;

    /// Why nothing would be sent to this address, as far as it can be told now.
    async fn refusal(&self, address: &Uri) -> Option<String> {
        let _ = address;
        None
    }
}
