//! [`Transport`] over the network: HTTP/1.1 with kept connections, and HTTP/2 where a TLS
//! peer chooses it.
//!
//! - Where a request may go is decided in [`connector`], on the address that is dialled.
//! - Redirects are answers like any other: nothing here follows one.
//! - One clock bounds the whole exchange; whatever a peer does (nothing, a byte a second, `1xx`
//!   for ever), the exchange ends then, and its connection with it. A process that stood still for longer reads what
//!   came meanwhile first.
//! - A request whose bytes may have left is never sent twice from here. The pool repeats a request
//!   only when its connection turned out to be closed before the request was taken from the hand-over
//!   queue (hyper hands the unsent message back); a connection that breaks later is
//!   [`Failure::Broken`], and sending again is the retry schedule's business.

mod body;
mod connection;
mod connector;
mod failure;
mod host;
mod origin;
mod pool;
mod resolver;
mod tls;

use super::{Answer, Exchange, Failure, Outgoing, Transport};
use async_trait::async_trait;
use connection::{Connection, Outbound, Unanswered};
use connector::{ConnectError, Connector};
use dacapo_model::address::Guard;
use http::header::{CONNECTION, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Uri};
use http_body_util::Full;
use origin::Origin;
use pool::Pool;
use resolver::Resolver;
use rustls::pki_types::CertificateDer;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// A timer that fires so much late was not looked at: the process was stopped, or its machine.
const STOOD_STILL: Duration = Duration::from_millis(500);
/// For answers that came meanwhile.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(1);

/// Cannot be set up: the TLS library or the resolver refused its configuration.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up delivery over HTTP: {0}")]
pub struct SetUpFailed(String);

/// The network. Share one: the connection pool is inside.
pub struct HttpTransport {
    connector: Connector,
    pool: Pool,
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
        Ok(Self { connector: Connector::new(guard, resolver, tls), pool: Pool::default() })
    }

    /// `ip` is told as soon as an address was dialled, for exchanges that are cut off.
    async fn answer(&self, outgoing: Outgoing, ip: &mut Option<IpAddr>) -> Result<Answer, Failure> {
        let origin = Origin::of(&outgoing.uri)?;
        let path = outgoing.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let mut request = Request::new(Full::new(outgoing.body));
        *request.method_mut() = outgoing.method;
        *request.headers_mut() = outgoing.headers;
        let (mut connection, response) = loop {
            let (mut connection, is_new) = match self.pool.take(&origin).await {
                Some(kept) => (kept, false),
                None => (self.connect(&origin, ip).await?, true),
            };
            *ip = Some(connection.ip());
            address(&mut request, &origin, &path, &connection);
            match connection.send(request).await {
                Ok(response) => break (connection, response),
                // Each round uses up a kept connection, and then there is a new one.
                Err(Unanswered::NotSent(unsent, _)) if !is_new => request = *unsent,
                Err(Unanswered::NotSent(_, failure) | Unanswered::Failed(failure)) => return Err(failure),
            }
        };
        let (head, body) = response.into_parts();
        let (raw, is_whole) = body::read(&mut connection, body, outgoing.body_bytes_max).await?;
        if is_whole && !closes(&head.headers) {
            self.pool.put_back(origin, connection);
        }
        let body = body::decoded(&head.headers, raw, outgoing.body_bytes_max);
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    async fn connect(&self, origin: &Origin, ip: &mut Option<IpAddr>) -> Result<Connection, Failure> {
        let link = self.connector.connect(origin).await.map_err(|ConnectError { ip: dialled, failure }| {
            *ip = dialled;
            failure
        })?;
        *ip = Some(link.ip());
        let connection = Connection::open(link).await?;
        self.pool.share(origin, &connection);
        Ok(connection)
    }
}

/// The peer hangs up after this answer.
fn closes(headers: &HeaderMap) -> bool {
    headers.get(CONNECTION).is_some_and(|said| said.as_bytes().eq_ignore_ascii_case(b"close"))
}

/// Target and `Host`, in the form the connection's protocol wants.
fn address(request: &mut Outbound, origin: &Origin, path: &PathAndQuery, connection: &Connection) {
    match connection {
        Connection::Single(_) => {
            *request.uri_mut() = path.clone().into();
            if let Some(host) = origin.host_header() {
                request.headers_mut().insert(HOST, host);
            }
        }
        Connection::Shared(_) => {
            *request.uri_mut() = origin.absolute(path.clone());
            request.headers_mut().remove(HOST);
        }
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn exchange(&self, outgoing: Outgoing) -> Exchange {
        let limit = outgoing.timeout;
        let end = Instant::now() + limit;
        let mut ip = None;
        let result = {
            let mut answer = pin!(self.answer(outgoing, &mut ip));
            match timeout_at(end, answer.as_mut()).await {
                // The process stood still: what came meanwhile lies there unread, and the runtime's timers were quicker.
                Err(_) if end.elapsed() >= STOOD_STILL => timeout(CATCHES_UP_WITHIN, answer).await,
                result => result,
            }
        };
        Exchange { ip, result: result.unwrap_or(Err(Failure::TimedOut(limit))) }
    }

    async fn refusal(&self, address: &Uri) -> Option<String> {
        self.connector.refusal(address.host()?).await
    }
}
