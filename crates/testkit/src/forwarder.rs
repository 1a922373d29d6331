//! A forwarder without storage: what Dacapo is measured against. The same stack (axum, hyper-util's client with its
//! keep-alive pool, tokio on all cores, jemalloc), and nothing that would make it slower than it need be: it answers
//! once the body is in a bounded queue, and up to `SENDS_MAX` sends run at once.
//! Promise: none beyond best effort; a failed send is counted and forgotten.

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};

/// Bodies waiting to be sent; when full, callers wait for their answer.
const QUEUE_BODIES_MAX: usize = 4096;
/// Bodies taken from the queue at once.
const TAKE_BODIES_MAX: usize = 64;
/// Sends under way at once.
const SENDS_MAX: usize = 64;

type Http = Client<HttpConnector, Full<Bytes>>;

#[derive(Clone, Debug)]
struct Accepting {
    queue: mpsc::Sender<Bytes>,
}

/// Serves `POST /` on `listener` and forwards every body to `target`, until the process ends.
pub async fn serve(listener: TcpListener, target: Uri) -> Result<()> {
    let (queue, bodies) = mpsc::channel(QUEUE_BODIES_MAX);
    tokio::spawn(forward(bodies, target));
    let router = Router::new().route("/", post(accept)).with_state(Accepting { queue });
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await.context("forwarder: serve")
}

async fn accept(State(accepting): State<Accepting>, body: Bytes) -> StatusCode {
    match accepting.queue.send(body).await {
        Ok(()) => StatusCode::CREATED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn forward(mut bodies: mpsc::Receiver<Bytes>, target: Uri) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let http: Http = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(SENDS_MAX).build(connector);
    let slots = Arc::new(Semaphore::new(SENDS_MAX));
    let failed = Arc::new(AtomicU64::new(0));
    let mut batch = Vec::with_capacity(TAKE_BODIES_MAX);
    while bodies.recv_many(&mut batch, TAKE_BODIES_MAX).await > 0 {
        for body in batch.drain(..) {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let (http, target, failed) = (http.clone(), target.clone(), Arc::clone(&failed));
            tokio::spawn(async move {
                if send(&http, target, body).await.is_err() {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
                drop(slot);
            });
        }
    }
}

async fn send(http: &Http, target: Uri, body: Bytes) -> Result<()> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut answer = http.request(request).await?.into_body();
    while let Some(frame) = answer.frame().await {
        frame?;
    }
    Ok(())
}
