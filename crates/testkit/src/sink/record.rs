//! What a sink remembers.

use super::Keep;
use crate::clock;
use crate::histogram::Histogram;
use crate::ledger::{self, Ledger, Mark};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, request};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// One request, whole.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub status: StatusCode,
    pub at_us: u64,
}

impl Seen {
    /// First value of a header, or `""`.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

/// Counters first: they are all the benchmark needs.
#[derive(Debug)]
pub struct Record {
    requests: AtomicU64,
    delivered: AtomicU64,
    last_us: AtomicU64,
    latency: Histogram,
    ledger: Ledger,
    markers: usize,
    seen: Mutex<Vec<Seen>>,
    seen_max: usize,
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Arrival {
    /// Counted from 0.
    pub index: u64,
    at_us: u64,
    mark: Option<Mark>,
}

impl Record {
    pub(super) fn new(keep: Keep) -> Self {
        Self {
            requests: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            last_us: AtomicU64::new(0),
            latency: Histogram::default(),
            ledger: Ledger::new(keep.markers),
            markers: keep.markers,
            seen: Mutex::new(Vec::new()),
            seen_max: keep.requests,
        }
    }

    pub(super) fn arrived(&self, body: &[u8]) -> Arrival {
        let at_us = clock::micros();
        let mark = ledger::mark_of(body);
        if let Some(sent_us) = mark.and_then(|mark| mark.at_us) {
            self.latency.add(at_us.saturating_sub(sent_us));
        }
        self.last_us.fetch_max(at_us, Ordering::Relaxed);
        Arrival { index: self.requests.fetch_add(1, Ordering::Relaxed), at_us, mark }
    }

    pub(super) fn answered(&self, arrival: &Arrival, status: StatusCode, head: request::Parts, body: Bytes) {
        if self.seen_max > 0
            && let Ok(mut seen) = self.seen.lock()
            && seen.len() < self.seen_max
        {
            let path = head.uri.path_and_query().map_or_else(String::new, |path| path.as_str().to_owned());
            seen.push(Seen { path, headers: head.headers, body, status, at_us: arrival.at_us });
        }
        if !status.is_success() {
            return;
        }
        if self.markers > 0
            && let Some(mark) = arrival.mark
        {
            self.ledger.add(mark.marker);
        }
        self.delivered.fetch_add(1, Ordering::Release);
    }

    /// Everything that came, whatever the answer.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Answered 2xx.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Acquire)
    }

    /// When the latest request came (`clock`).
    pub fn last_us(&self) -> u64 {
        self.last_us.load(Ordering::Relaxed)
    }

    /// Sending → arrival, of requests whose body says when it was sent.
    pub fn latency(&self) -> &Histogram {
        &self.latency
    }

    /// Deliveries answered 2xx, per marker.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The first requests, whole, in the order they were answered.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().map(|seen| seen.clone()).unwrap_or_default()
    }
}
