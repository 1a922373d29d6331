//! What stands between a node and its database and may go wrong: a TCP proxy that passes, cuts, swallows or dawdles.
//!
//! In: connections on a loopback port of its own. Out: the same bytes to one address. It does what its
//! `Line` says from the moment it is told, to open connections too. A connection of which bytes were swallowed
//! ends with the swallowing: its two ends would never understand each other again.

use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// Open connections; further ones wait in the listen queue.
const CONNECTIONS_MAX: usize = 256;
/// Read at once, per direction.
const CHUNK_BYTES: usize = 16 << 10;

/// How the line behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    Open,
    /// Connections are closed, new ones at once.
    Cut,
    /// Half-open: connections stay, are even taken, and nothing passes in either direction.
    Silent,
    /// Each chunk is this late, in each direction.
    Slow(Duration),
}

/// Dropping it closes the port and every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
    closed: CancellationToken,
}

impl Proxy {
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("proxy: bind a loopback port")?;
        let address = listener.local_addr()?;
        let (line, told) = watch::channel(Line::Open);
        let closed = CancellationToken::new();
        tokio::spawn(closed.clone().run_until_cancelled_owned(accept(listener, upstream, told, closed.clone())));
        Ok(Self { address, line, closed })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, line: watch::Receiver<Line>, closed: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Ok((near, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let line = line.clone();
        tokio::spawn(closed.clone().run_until_cancelled_owned(async move {
            connection(near, upstream, line).await;
            drop(slot);
        }));
    }
}

async fn connection(near: TcpStream, upstream: SocketAddr, mut line: watch::Receiver<Line>) {
    let now = *line.borrow_and_update();
    match now {
        Line::Cut => return,
        Line::Silent => {
            // Taken by the kernel and by nobody else, until the line changes.
            let _ = line.changed().await;
            return;
        }
        Line::Open | Line::Slow(_) => {}
    }
    let Ok(far) = TcpStream::connect(upstream).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = pump(near_in, far_out, line.clone()) => {}
        () = pump(far_in, near_out, line) => {}
    }
}

/// Until either end closes, the line is cut, or bytes were swallowed and the line is open again.
async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut line: watch::Receiver<Line>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut swallowed = false;
    loop {
        let now = *line.borrow_and_update();
        if now == Line::Cut || (swallowed && now != Line::Silent) {
            return;
        }
        let count = tokio::select! {
            read = from.read(&mut chunk) => match read {
                Ok(count) if count > 0 => count,
                // The end of one side is not heard on the other while nothing passes.
                _ if now == Line::Silent => {
                    let _ = line.changed().await;
                    return;
                }
                _ => return,
            },
            changed = line.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let then = *line.borrow();
        match then {
            Line::Cut => return,
            Line::Silent => {
                swallowed = true;
                continue;
            }
            Line::Slow(by) => tokio::time::sleep(by).await,
            Line::Open => {}
        }
        if to.write_all(&chunk[..count]).await.is_err() {
            return;
        }
    }
}
