//! The receiver of the tests and benchmarks: HTTP/1.1 with keep-alive on loopback, straight on hyper.
//!
//! In: any request. Out: what the `Plan` says. Kept: how many came, who came (a `Ledger`), how late (a `Histogram`),
//! and, when asked, the last requests themselves. Everything it keeps is bounded.

mod plan;
mod record;

pub use plan::{Answer, Failing, Plan};
pub use record::{Record, Seen};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Connections served at once; further ones wait in the listen queue.
const CONNECTIONS_MAX: usize = 4096;
/// Largest request body read; a larger one is answered 413.
const BODY_BYTES_MAX: usize = 16 << 20;

/// What a sink keeps besides its counters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keep {
    /// Count deliveries per marker, for markers below this; 0 keeps none.
    pub markers: usize,
    /// Keep this many of the first requests whole, headers and body; 0 keeps none.
    pub requests: usize,
}

/// A running receiver; dropping it closes the port and every connection.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    state: Arc<State>,
    closed: CancellationToken,
}

#[derive(Debug)]
struct State {
    plan: RwLock<Arc<Plan>>,
    record: Record,
}

impl Sink {
    pub async fn start(plan: Plan, keep: Keep) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("sink: bind a loopback port")?;
        Self::on(listener, plan, keep)
    }

    /// The same on a listener of the caller's choice, e.g. a port that was closed a moment ago.
    pub fn on(listener: TcpListener, plan: Plan, keep: Keep) -> Result<Self> {
        let address = listener.local_addr()?;
        let state = Arc::new(State { plan: RwLock::new(Arc::new(plan)), record: Record::new(keep) });
        let closed = CancellationToken::new();
        tokio::spawn(accept(listener, Arc::clone(&state), closed.clone()));
        Ok(Self { address, state, closed })
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn record(&self) -> &Record {
        &self.state.record
    }

    /// From the next request on.
    pub fn set_plan(&self, plan: Plan) {
        if let Ok(mut current) = self.state.plan.write() {
            *current = Arc::new(plan);
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, closed: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let stream = tokio::select! {
            () = closed.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Out of descriptors or a connection gone before it was taken: the next one may do.
                Err(_) => { tokio::task::yield_now().await; continue }
            },
        };
        let (state, closed) = (Arc::clone(&state), closed.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = closed.cancelled() => {}
                () = serve(stream, state) => {}
            }
            drop(slot);
        });
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(answer(request, &state).await) }
    });
    // A connection cut by the other side is that side's business.
    let _ = hyper::server::conn::http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: Request<Incoming>, state: &State) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        let mut refusal = Response::new(Full::default());
        *refusal.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return refusal;
    };
    let body = body.to_bytes();
    let arrival = state.record.arrived(&body);
    let plan = state.plan.read().map(|plan| Arc::clone(&plan)).unwrap_or_default();
    let (status, delay) = {
        let answer = plan.answer(arrival.index);
        (answer.status, answer.delay)
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    state.record.answered(&arrival, status, head, body);
    plan.answer(arrival.index).response()
}
