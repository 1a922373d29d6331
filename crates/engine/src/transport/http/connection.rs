//! One connection, driven by whoever uses it.
//!
//! HTTP/1 has no task of its own: the exchange polls the connection along with its answer, so a
//! request costs no hand-over to another task and back. An idle connection is polled by nobody; what
//! became of it meanwhile shows when it is looked at before its next use. HTTP/2 carries several
//! exchanges and has a task.

use super::connector::Link;
use super::failure::chain;
use crate::transport::Failure;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

/// HTTP/1 read buffer: the head of an answer has to fit, or the exchange is broken off.
/// The number of headers is bounded by hyper (100).
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The same for HTTP/2.
const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;
/// What an HTTP/2 peer may send of one answer before we have read any of it.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
/// … of all answers on one connection.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

pub(super) type Outbound = Request<Full<Bytes>>;

/// Why a request got no answer.
pub(super) enum Unanswered {
    /// The connection was closed before any of it was written: it may be sent on another one.
    NotSent(Box<Outbound>, Failure),
    Failed(Failure),
}

impl From<TrySendError<Outbound>> for Unanswered {
    fn from(mut error: TrySendError<Outbound>) -> Self {
        let failure = Failure::Broken(chain(error.error()));
        match error.take_message() {
            Some(request) => Self::NotSent(Box::new(request), failure),
            None => Self::Failed(failure),
        }
    }
}

/// HTTP/1: one exchange at a time.
pub(super) struct Single {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: http1::Connection<Link, Full<Bytes>>,
    /// The driver has ended and must not be polled again.
    ended: bool,
    ip: IpAddr,
}

/// HTTP/2: a handle to a connection that several exchanges share.
#[derive(Clone)]
pub(super) struct Shared {
    sender: http2::SendRequest<Full<Bytes>>,
    ip: IpAddr,
}

pub(super) enum Connection {
    Single(Box<Single>),
    Shared(Shared),
}

impl Connection {
    /// Speaks what the peer chose when TLS began, otherwise HTTP/1.
    pub(super) async fn open(link: Link) -> Result<Self, Failure> {
        let broken = |error: hyper::Error| Failure::Broken(chain(&error));
        let ip = link.ip();
        if link.speaks_http2() {
            let (sender, driver) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_header_list_size(HEADER_LIST_BYTES_MAX)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .handshake(link)
                .await
                .map_err(broken)?;
            // Ends when its last handle is gone; what went wrong, each exchange hears by itself.
            tokio::spawn(async move { drop(driver.await) });
            return Ok(Self::Shared(Shared { sender, ip }));
        }
        let (sender, driver) = http1::Builder::new()
            // `X-Convoy-Signature`, not `x-convoy-signature`: some receivers (functions behind an
            // API gateway) are handed names as they stood on the wire.
            .title_case_headers(true)
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(link)
            .await
            .map_err(broken)?;
        Ok(Self::Single(Box::new(Single { sender, driver, ended: false, ip })))
    }

    pub(super) fn ip(&self) -> IpAddr {
        match self {
            Self::Single(single) => single.ip,
            Self::Shared(shared) => shared.ip,
        }
    }

    pub(super) async fn send(&mut self, request: Outbound) -> Result<Response<Incoming>, Unanswered> {
        match self {
            Self::Single(single) => {
                let mut answer = pin!(single.sender.try_send_request(request));
                let answered = poll_fn(|cx| {
                    drive(&mut single.driver, &mut single.ended, cx);
                    answer.as_mut().poll(cx)
                });
                answered.await.map_err(Unanswered::from)
            }
            Self::Shared(shared) => match shared.sender.ready().await {
                Ok(()) => shared.sender.try_send_request(request).await.map_err(Unanswered::from),
                Err(closed) => Err(Unanswered::NotSent(Box::new(request), Failure::Broken(chain(&closed)))),
            },
        }
    }

    /// The next frame of an answer's body.
    pub(super) fn poll_frame(
        &mut self,
        body: Pin<&mut Incoming>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, hyper::Error>>> {
        if let Self::Single(single) = self {
            single.drive(cx);
        }
        body.poll_frame(cx)
    }
}

impl Single {
    /// Whether the next request may go out on it, as far as can be seen.
    pub(super) async fn is_ready(&mut self) -> bool {
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(!self.ended && self.sender.is_ready())
        })
        .await
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.driver, &mut self.ended, cx);
    }
}

impl Shared {
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }
}

/// Why it ended, the exchange under way hears from its answer.
fn drive(driver: &mut http1::Connection<Link, Full<Bytes>>, ended: &mut bool, cx: &mut Context<'_>) {
    if !*ended && Pin::new(driver).poll(cx).is_ready() {
        *ended = true;
    }
}
