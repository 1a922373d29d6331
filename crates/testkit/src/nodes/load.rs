//! A load on several nodes: each event goes to the next node that answers, until one acknowledges it.
//!
//! A try that was refused, or got no answer, is followed by another under a marker of its own: what a node
//! committed and could not answer any more is then neither lost nor a duplicate.

use crate::clock;
use crate::ledger::Ledger;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Markers a load may use; the ledgers hold this many.
pub const MARKERS_MAX: usize = 1_000_000;
/// Calls under way at once.
const CALLERS: usize = 24;
/// A call without an answer is given up after this.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// A node that did not answer is left alone for this long.
const AWAY_FOR: Duration = Duration::from_millis(500);
/// After a round of all nodes without one that answers.
const ALL_AWAY_PAUSE: Duration = Duration::from_millis(20);

/// Where the events go.
#[derive(Clone, Debug)]
pub struct Courses {
    /// Addresses of the nodes.
    pub nodes: Vec<String>,
    pub project_id: String,
    pub api_key: String,
    /// In turn.
    pub endpoints: Vec<String>,
}

/// A load under way.
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    callers: JoinSet<()>,
}

/// What it came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// Events that were to be sent.
    pub events: u64,
    pub acknowledged: u64,
    /// Answered 503.
    pub refused: u64,
    /// No answer: nobody knows whether these were stored.
    pub unanswered: u64,
    /// Answered with something else, which nothing here should be.
    pub odd: u64,
}

#[derive(Debug)]
struct Shared {
    courses: Courses,
    authorization: HeaderValue,
    http: Client<HttpConnector, Full<Bytes>>,
    per_second: u32,
    started: Instant,
    turns: AtomicU64,
    markers: AtomicU64,
    /// By node: not to be asked before this moment, microseconds of `clock`.
    away_until: Vec<AtomicU64>,
    next_node: AtomicUsize,
    acknowledged: Arc<Ledger>,
    refused: AtomicU64,
    unanswered: AtomicU64,
    odd: AtomicU64,
    events: AtomicU64,
    stop: CancellationToken,
}

impl Stream {
    /// This many events a second, evenly, until stopped. While nobody answers they pile up and go out after.
    pub fn start(courses: Courses, per_second: u32) -> Result<Self> {
        ensure!(!courses.nodes.is_empty() && !courses.endpoints.is_empty() && per_second > 0, "an empty load");
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let shared = Arc::new(Shared {
            authorization: HeaderValue::from_str(&format!("Bearer {}", courses.api_key))?,
            http: Client::builder(TokioExecutor::new()).build(connector),
            per_second,
            started: Instant::now(),
            turns: AtomicU64::new(0),
            markers: AtomicU64::new(0),
            away_until: courses.nodes.iter().map(|_| AtomicU64::new(0)).collect(),
            next_node: AtomicUsize::new(0),
            acknowledged: Arc::new(Ledger::new(MARKERS_MAX)),
            refused: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            odd: AtomicU64::new(0),
            events: AtomicU64::new(0),
            stop: CancellationToken::new(),
            courses,
        });
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(call_on(Arc::clone(&shared)));
        }
        Ok(Self { shared, callers })
    }

    /// Markers a node answered 2xx for.
    pub fn acknowledged(&self) -> Arc<Ledger> {
        Arc::clone(&self.shared.acknowledged)
    }

    pub fn so_far(&self) -> Spread {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let shared = &self.shared;
        Spread {
            events: read(&shared.events),
            acknowledged: shared.acknowledged.distinct(),
            refused: read(&shared.refused),
            unanswered: read(&shared.unanswered),
            odd: read(&shared.odd),
        }
    }

    /// Every event that was begun is acknowledged when this returns.
    pub async fn stop(mut self, within: Duration) -> Result<Spread> {
        self.shared.stop.cancel();
        let all = async { while self.callers.join_next().await.is_some() {} };
        timeout(within, all).await.context("the load did not come to its end: nobody acknowledges")?;
        let spread = self.so_far();
        ensure!(spread.odd == 0, "{} answers that are neither 2xx nor 503", spread.odd);
        Ok(spread)
    }
}

async fn call_on(shared: Arc<Shared>) {
    loop {
        let turn = shared.turns.fetch_add(1, Ordering::Relaxed);
        let due = shared.started + Duration::from_secs_f64(turn as f64 / f64::from(shared.per_second));
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = sleep_until(due) => {}
        }
        if shared.markers.load(Ordering::Relaxed) as usize >= MARKERS_MAX {
            return;
        }
        shared.events.fetch_add(1, Ordering::Relaxed);
        shared.until_acknowledged(turn).await;
    }
}

impl Shared {
    async fn until_acknowledged(&self, turn: u64) {
        let endpoint = &self.courses.endpoints[turn as usize % self.courses.endpoints.len()];
        loop {
            let Some(node) = self.next_present() else {
                tokio::time::sleep(ALL_AWAY_PAUSE).await;
                continue;
            };
            let marker = self.markers.fetch_add(1, Ordering::Relaxed);
            match timeout(ANSWER_WITHIN, self.call(node, endpoint, marker)).await {
                Ok(Some(status)) if status.is_success() => return self.acknowledged.add(marker),
                Ok(Some(StatusCode::SERVICE_UNAVAILABLE)) => self.refused.fetch_add(1, Ordering::Relaxed),
                Ok(Some(_)) => self.odd.fetch_add(1, Ordering::Relaxed),
                Ok(None) | Err(_) => self.unanswered.fetch_add(1, Ordering::Relaxed),
            };
            let until = clock::micros() + u64::try_from(AWAY_FOR.as_micros()).unwrap_or(u64::MAX);
            self.away_until[node].store(until, Ordering::Relaxed);
        }
    }

    fn next_present(&self) -> Option<usize> {
        let (now, count) = (clock::micros(), self.away_until.len());
        let first = self.next_node.fetch_add(1, Ordering::Relaxed);
        (first..first + count)
            .map(|number| number % count)
            .find(|number| self.away_until[*number].load(Ordering::Relaxed) <= now)
    }

    async fn call(&self, node: usize, endpoint: &str, marker: u64) -> Option<StatusCode> {
        let (url, project) = (&self.courses.nodes[node], &self.courses.project_id);
        // The mark comes first: see the ledger.
        let body = format!(
            r#"{{"endpoint_id":"{endpoint}","event_type":"nodes.tick","data":{{"n":{marker},"at":{}}}}}"#,
            clock::micros()
        );
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("{url}/api/v1/projects/{project}/events").parse().ok()?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.headers_mut().insert(AUTHORIZATION, self.authorization.clone());
        let response = self.http.request(request).await.ok()?;
        let status = response.status();
        // Acknowledged once the status line is here; the rest is read to keep the connection.
        let _ = response.into_body().collect().await;
        Some(status)
    }
}
