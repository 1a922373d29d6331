//! Receivers that misbehave, each on its own loopback port, straight on TCP. They live until dropped, serve a bounded
//! number of connections, and every one of their loops ends with the handle.

mod answers;

use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Connections served at once; further ones wait unaccepted.
const CONNECTIONS_MAX: usize = 64;
/// Longest one connection is served.
const CONNECTION_LIFE_MAX: Duration = Duration::from_secs(120);
/// Bytes of a request that are read before it is answered.
const REQUEST_BYTES_MAX: usize = 256 << 10;
/// What `AcceptsSlowly` waits before each accept.
const ACCEPT_PAUSE: Duration = Duration::from_secs(5);

/// What a receiver does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Reads the request and says nothing.
    NeverAnswers,
    /// A correct answer, one byte a second.
    OneByteASecond,
    /// 200 with a body of 64 MB.
    HugeBody,
    /// 302 to itself, for ever.
    RedirectLoop,
    /// Promises 1,000 bytes, sends 10, closes.
    ClosesMidBody,
    /// No HTTP at all.
    Garbage,
    /// RST as soon as it has accepted.
    Resets,
    /// Leaves connections in the listen queue for seconds.
    AcceptsSlowly,
    /// Megabytes of response headers.
    HugeHeaders,
    /// `100 Continue`, again and again, and never an answer.
    EndlessContinue,
    /// 204, which has no body, with a body.
    NoContentWithBody,
    /// 200 KB of gzip that hold 100 MB.
    GzipBomb,
}

impl Kind {
    pub const ALL: [Self; 12] = [
        Self::NeverAnswers,
        Self::OneByteASecond,
        Self::HugeBody,
        Self::RedirectLoop,
        Self::ClosesMidBody,
        Self::Garbage,
        Self::Resets,
        Self::AcceptsSlowly,
        Self::HugeHeaders,
        Self::EndlessContinue,
        Self::NoContentWithBody,
        Self::GzipBomb,
    ];

    /// Whether a sender may call it delivered: a 2xx whose body it could at least begin to read.
    pub fn may_succeed(self) -> bool {
        matches!(self, Self::HugeBody | Self::NoContentWithBody | Self::GzipBomb)
    }
}

/// A running receiver; dropping it ends everything it does.
#[derive(Debug)]
pub struct Hostile {
    kind: Kind,
    address: SocketAddr,
    connections: Arc<AtomicU64>,
    closed: CancellationToken,
}

impl Hostile {
    pub async fn start(kind: Kind) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("hostile: bind a loopback port")?;
        let address = listener.local_addr()?;
        let connections = Arc::new(AtomicU64::new(0));
        let closed = CancellationToken::new();
        tokio::spawn(accept(listener, kind, Arc::clone(&connections), closed.clone()));
        Ok(Self { kind, address, connections, closed })
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Accepted so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

async fn accept(listener: TcpListener, kind: Kind, connections: Arc<AtomicU64>, closed: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let serving = async {
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            if kind == Kind::AcceptsSlowly {
                sleep(ACCEPT_PAUSE).await;
            }
            let Ok((stream, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            connections.fetch_add(1, Ordering::Relaxed);
            let closed = closed.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = closed.cancelled() => {}
                    // Being cut off by the sender is how most of these end.
                    _ = timeout(CONNECTION_LIFE_MAX, serve(stream, kind)) => {}
                }
                drop(slot);
            });
        }
    };
    tokio::select! {
        () = closed.cancelled() => {}
        () = serving => {}
    }
}

async fn serve(mut stream: TcpStream, kind: Kind) -> std::io::Result<()> {
    if kind == Kind::Resets {
        stream.set_zero_linger()?;
        return Ok(());
    }
    let own = stream.local_addr()?;
    while read_request(&mut stream).await? {
        match kind {
            Kind::NeverAnswers => return std::future::pending().await,
            Kind::OneByteASecond => answers::drip(&mut stream).await?,
            Kind::HugeBody => answers::huge_body(&mut stream).await?,
            Kind::RedirectLoop => answers::redirect(&mut stream, own).await?,
            Kind::ClosesMidBody => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789").await?;
                return stream.shutdown().await;
            }
            Kind::Garbage => {
                stream.write_all(b"\x16\x03\x01\x00\xff\xfe not http at all \x00\r\n\r\n\x80\x81").await?;
                return stream.shutdown().await;
            }
            Kind::Resets => return Ok(()),
            Kind::AcceptsSlowly => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?,
            Kind::HugeHeaders => return answers::huge_headers(&mut stream).await,
            Kind::EndlessContinue => return answers::endless_continue(&mut stream).await,
            Kind::NoContentWithBody => {
                stream.write_all(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello").await?;
                return stream.shutdown().await;
            }
            Kind::GzipBomb => answers::gzip_bomb(&mut stream).await?,
        }
    }
    Ok(())
}

/// Reads one request, head and body; false when the other side has closed.
async fn read_request(stream: &mut TcpStream) -> std::io::Result<bool> {
    let mut request = Vec::with_capacity(4096);
    loop {
        if let Some(length) = answers::request_length(&request)
            && request.len() >= length
        {
            return Ok(true);
        }
        if request.len() >= REQUEST_BYTES_MAX || stream.read_buf(&mut request).await? == 0 {
            return Ok(false);
        }
    }
}
