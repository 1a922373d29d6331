//! From a URL's host to an open connection, through the egress guard.
//!
//! The guard looks at addresses, never at names: what a name means is looked up here, refused
//! addresses are left out, and the one that is dialled is checked again at that moment. There is
//! no way around it, because this is the only place that opens connections.

mod link;

use super::failure::chain;
use super::host::Host;
use super::origin::Origin;
use super::resolver::Resolver;
use crate::transport::Failure;
use dacapo_model::address::Guard;
pub(super) use link::Link;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Open connections in all, idle ones included. A further one fails at once, as an attempt to be
/// retried, instead of taking the files the store and the listener need.
const CONNECTIONS_MAX: usize = 16_384;
/// How long one address may take when there is another to try.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(4);
/// Look-up, all addresses and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[error("{failure}")]
pub(super) struct ConnectError {
    /// The last address that was dialled.
    pub ip: Option<IpAddr>,
    pub failure: Failure,
}

impl From<Failure> for ConnectError {
    fn from(failure: Failure) -> Self {
        Self { ip: None, failure }
    }
}

pub(super) struct Connector(Shared);

struct Shared {
    guard: Guard,
    resolver: Resolver,
    tls: TlsConnector,
    slots: Arc<Semaphore>,
}

impl Connector {
    pub(super) fn new(guard: Guard, resolver: Resolver, tls: Arc<ClientConfig>) -> Self {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Self(Shared { guard, resolver, tls: TlsConnector::from(tls), slots })
    }

    /// A new connection, TLS included.
    pub(super) async fn connect(&self, origin: &Origin) -> Result<Link, ConnectError> {
        timeout(CONNECT_TIMEOUT, self.0.connect(origin))
            .await
            .unwrap_or_else(|_| Err(Failure::Unconnected(format!("nothing within {CONNECT_TIMEOUT:?}")).into()))
    }

    /// Why the guard lets nothing through to this host. One that cannot be looked up now is not refused:
    /// whoever sends to it finds out.
    pub(super) async fn refusal(&self, host: &str) -> Option<String> {
        match timeout(CONNECT_TIMEOUT, self.0.vetted(host)).await {
            Ok(Err(Failure::AddressRefused(refusal))) => Some(refusal),
            _ => None,
        }
    }
}

impl Shared {
    async fn connect(&self, origin: &Origin) -> Result<Link, ConnectError> {
        let slot = self.slots.clone().try_acquire_owned().map_err(|_| {
            Failure::Unconnected(format!("{CONNECTIONS_MAX} connections are open already, which is the limit"))
        })?;
        let (addresses, name) = self.vetted(origin.host()).await?;

        let (stream, ip) = self.dial_in_turn(&addresses, origin.port()).await?;
        if !origin.secure {
            return Ok(Link::plain(stream, ip, slot));
        }
        let broken = |detail: String| ConnectError { ip: Some(ip), failure: Failure::Tls(detail) };
        let name = name.map_err(broken)?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| broken(chain(&error)))?;
        Ok(Link::tls(stream, ip, slot))
    }

    /// The addresses `host` stands for that may be dialled (at least one), and who must prove to be there.
    async fn vetted(&self, host: &str) -> Result<(Vec<IpAddr>, Result<ServerName<'static>, String>), Failure> {
        let unresolved = |detail: String| Failure::Unresolved { host: host.to_owned(), detail };
        let (all, name) = match Host::parse(host).map_err(|detail| unresolved(detail.to_owned()))? {
            Host::Address(ip) => (vec![ip], Ok(ServerName::from(ip))),
            Host::Name(name) => {
                let all = self.resolver.addresses(name).await.map_err(unresolved)?;
                let expected = name.strip_suffix('.').unwrap_or(name).to_owned();
                (all, ServerName::try_from(expected).map_err(|error| error.to_string()))
            }
        };
        let mut vetted = Vec::with_capacity(all.len());
        let mut refused = None;
        for ip in all {
            match self.guard.refusal(ip) {
                None => vetted.push(ip),
                Some(refusal) => refused = refused.or(Some(refusal.to_string())),
            }
        }
        match refused {
            Some(refusal) if vetted.is_empty() => Err(Failure::AddressRefused(refusal)),
            _ => Ok((vetted, name)),
        }
    }

    async fn dial_in_turn(&self, addresses: &[IpAddr], port: u16) -> Result<(TcpStream, IpAddr), ConnectError> {
        let mut last: ConnectError = Failure::Unconnected("there is no address to try".to_owned()).into();
        for (index, ip) in addresses.iter().enumerate() {
            let address = SocketAddr::new(*ip, port);
            let within = if index + 1 < addresses.len() { ADDRESS_TIMEOUT } else { CONNECT_TIMEOUT };
            let failure = match timeout(within, self.dial(address)).await {
                Ok(Ok(stream)) => return Ok((stream, *ip)),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::Unconnected(format!("{address} did not answer within {within:?}")),
            };
            last = ConnectError { ip: Some(*ip), failure };
        }
        Err(last)
    }

    async fn dial(&self, address: SocketAddr) -> Result<TcpStream, Failure> {
        if let Some(refusal) = self.guard.refusal(address.ip()) {
            return Err(Failure::AddressRefused(refusal.to_string()));
        }
        let unconnected = |error: std::io::Error| Failure::Unconnected(format!("{address}: {error}"));
        let stream = TcpStream::connect(address).await.map_err(unconnected)?;
        stream.set_nodelay(true).map_err(unconnected)?;
        Ok(stream)
    }
}
