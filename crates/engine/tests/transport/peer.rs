//! Receivers on the loopback, byte by byte.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A listener that hands each connection to its behaviour.
pub struct Peer {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    pub requests: Arc<AtomicUsize>,
}

impl Peer {
    pub async fn new<F, Fut>(behave: F) -> Self
    where
        F: Fn(Wire) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (accepted, seen) = (connections.clone(), requests.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(behave(Wire { stream, seen: seen.clone() }));
            }
        });
        Self { address, connections, requests }
    }

    /// Answers every request with these bytes.
    pub async fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::new(move |mut wire| {
            let answer = answer.clone();
            async move {
                loop {
                    wire.request().await?;
                    wire.say(&answer).await?;
                }
            }
        })
        .await
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook?a=1", self.address)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

pub struct Wire {
    pub stream: TcpStream,
    seen: Arc<AtomicUsize>,
}

impl Wire {
    /// One request with a `Content-Length`; `None` when the other side has gone.
    pub async fn request(&mut self) -> Option<String> {
        let mut text = Vec::new();
        loop {
            if let Some(head) = text.windows(4).position(|four| four == b"\r\n\r\n") {
                let lower = String::from_utf8_lossy(&text[..head]).to_lowercase();
                let length = lower.split("content-length: ").nth(1)?.lines().next()?.parse::<usize>().ok()?;
                if text.len() >= head + 4 + length {
                    self.seen.fetch_add(1, Ordering::SeqCst);
                    return String::from_utf8(text).ok();
                }
            }
            if self.stream.read_buf(&mut text).await.ok()? == 0 {
                return None;
            }
        }
    }

    pub async fn say(&mut self, bytes: &[u8]) -> Option<()> {
        self.stream.write_all(bytes).await.ok()
    }
}
