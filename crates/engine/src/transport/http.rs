//! [`Transport`] over the network: one shared client with a keep-alive pool, HTTP/1.1, and HTTP/2
//! where a TLS peer chooses it.
//!
//! - Where a request may go is decided in [`connector`], on the address that is dialled.
//! - Redirects are answers like any other: nothing here follows one.
//! - One clock bounds the whole exchange; whatever a peer does (nothing, a byte a second, `1xx`
//!   for ever), the exchange ends then, and its connection with it.
//! - A request whose bytes may have left is never sent twice from here. The pool repeats a request
//!   only when its connection turned out to be closed before the request was taken from the hand-over
//!   queue (hyper hands the unsent message back); a connection that breaks later is
//!   [`Failure::Broken`], and sending again is the retry schedule's business.

mod body;
mod connector;
mod failure;
mod host;
mod resolver;
mod tls;

use super::{Answer, Exchange, Failure, Outgoing, Transport};
use async_trait::async_trait;
use bytes::Bytes;
use connector::{Connector, Dialled};
use dacapo_model::address::Guard;
use failure::Stopped;
use http::uri::{Authority, PathAndQuery};
use http::{Extensions, Method, Request, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use resolver::Resolver;
use rustls::pki_types::CertificateDer;
use std::net::IpAddr;
use std::time::Duration;

/// Idle connections kept to one host; more are closed when their exchange ends.
const IDLE_PER_HOST_MAX: usize = 128;
/// Below the 5 s after which common servers hang up on an idle connection, so that a request
/// rarely meets a connection that is just being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// HTTP/1 read buffer: the head of an answer has to fit, or the exchange is broken off.
/// The number of headers is bounded by hyper (100).
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The same for HTTP/2.
const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;
/// What an HTTP/2 peer may send of one answer before we have read any of it.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
/// … of all answers on one connection.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Cannot be set up: the TLS library or the resolver refused its configuration.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up delivery over HTTP: {0}")]
pub struct SetUpFailed(String);

/// The network. Share one: the connection pool is inside.
pub struct HttpTransport {
    client: Client<Connector, Full<Bytes>>,
}

impl HttpTransport {
    /// Trusts the system's certificate authorities (the Mozilla list when the system has none).
    pub fn new(guard: Guard) -> Result<Self, SetUpFailed> {
        Self::trusting(guard, Vec::new())
    }

    /// As [`Self::new`], with further certificate authorities.
    pub fn trusting(guard: Guard, authorities: Vec<CertificateDer<'static>>) -> Result<Self, SetUpFailed> {
        let tls = tls::config(authorities).map_err(|error| SetUpFailed(error.to_string()))?;
        let resolver = Resolver::from_system().map_err(SetUpFailed)?;
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            // `X-Convoy-Signature`, not `x-convoy-signature`: some receivers (functions behind an
            // API gateway) are handed names as they stood on the wire.
            .http1_title_case_headers(true)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .http2_max_header_list_size(HEADER_LIST_BYTES_MAX)
            .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
            .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .build(Connector::new(guard, resolver, tls));
        Ok(Self { client })
    }

    async fn answer(&self, request: Request<Full<Bytes>>, body_bytes_max: usize) -> Result<(IpAddr, Answer), Stopped> {
        let response = self.client.request(request).await.map_err(Stopped::from_client)?;
        let (head, body) = response.into_parts();
        let ip = head.extensions.get::<Dialled>().map(|dialled| dialled.0);
        let raw = body::read(body, body_bytes_max)
            .await
            .map_err(|error| Stopped { ip, failure: Failure::Broken(failure::chain(&error)) })?;
        let body = body::decoded(&head.headers, raw, body_bytes_max);
        let ip = ip.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
        Ok((ip, Answer { status: head.status.as_u16(), headers: head.headers, body }))
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn exchange(&self, outgoing: Outgoing) -> Exchange {
        let Outgoing { uri, headers, body, timeout, body_bytes_max } = outgoing;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = without_credentials(uri);
        *request.headers_mut() = headers;
        let captured = capture_connection(&mut request);

        match tokio::time::timeout(timeout, self.answer(request, body_bytes_max)).await {
            Ok(Ok((ip, answer))) => Exchange { ip: Some(ip), result: Ok(answer) },
            Ok(Err(Stopped { ip, failure })) => Exchange { ip, result: Err(failure) },
            Err(_) => Exchange { ip: dialled(&captured), result: Err(Failure::TimedOut(timeout)) },
        }
    }
}

/// Where the request of an unfinished exchange went, if it went anywhere.
fn dialled(captured: &CaptureConnection) -> Option<IpAddr> {
    let mut extras = Extensions::new();
    captured.connection_metadata().as_ref()?.get_extras(&mut extras);
    extras.get::<Dialled>().map(|dialled| dialled.0)
}

/// `user:password@` must not reach the wire (HTTP/2 would put it into `:authority`).
fn without_credentials(uri: Uri) -> Uri {
    let bare = match uri.authority().map(Authority::as_str) {
        Some(authority) if authority.contains('@') => authority.rsplit('@').next().unwrap_or_default().to_owned(),
        _ => return uri,
    };
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let scheme = uri.scheme_str().unwrap_or("http");
    Uri::builder().scheme(scheme).authority(bare).path_and_query(path).build().unwrap_or(uri)
}
