//! Trying an https address out when it is saved (contracts/convoy.md §3.2): whether anybody is there who
//! says yes.
//!
//! - In: an address. Out: nothing, or why it will not do.
//! - Promise: it takes no longer than it may, over all methods; the egress guard applies as to deliveries.

use crate::transport::{Exchange, Failure, Outgoing, Transport};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Uri};
use std::sync::Arc;
use std::time::Duration;

/// What an operator's pings may take.
pub const PING_TIME_MAX: Duration = Duration::from_secs(10);
/// What the answer says is of no interest; as much of it is read so that its connection can be kept.
const ANSWER_BYTES_MAX: usize = 4 * 1024;
const BODY: &[u8] = br#"{"test":"ping"}"#;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Tries them in turn; one success is enough.
#[derive(Clone)]
pub struct Ping {
    pub transport: Arc<dyn Transport>,
    pub methods: Vec<Method>,
    /// For all of them together.
    pub within: Duration,
    pub user_agent: String,
}

/// Why an address will not do: what the last method came to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PingFailed {
    #[error("endpoint returned a non-2xx response: got status code {0}")]
    Status(u16),
    #[error(transparent)]
    Unanswered(#[from] Failure),
}

impl Ping {
    pub async fn try_out(&self, address: &Uri) -> Result<(), PingFailed> {
        let in_turn = async {
            let mut last = Ok(());
            for method in &self.methods {
                last = self.ask(method, address).await;
                if last.is_ok() {
                    break;
                }
            }
            last
        };
        tokio::time::timeout(self.within, in_turn).await.unwrap_or(Err(Failure::TimedOut(self.within).into()))
    }

    async fn ask(&self, method: &Method, address: &Uri) -> Result<(), PingFailed> {
        let mut headers = HeaderMap::new();
        if let Ok(agent) = HeaderValue::from_str(&self.user_agent) {
            headers.insert(USER_AGENT, agent);
        }
        let mut body = Bytes::new();
        if method == Method::POST {
            headers.insert(CONTENT_TYPE, JSON);
            body = Bytes::from_static(BODY);
        }
        let request = Outgoing {
            method: method.clone(),
            uri: address.clone(),
            headers,
            body,
            timeout: self.within,
            body_bytes_max: ANSWER_BYTES_MAX,
        };
        let Exchange { result, .. } = self.transport.exchange(request).await;
        match result?.status {
            200..=299 => Ok(()),
            status => Err(PingFailed::Status(status)),
        }
    }
}
