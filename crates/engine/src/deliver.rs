//! Stage 5, deliver: one delivery to its endpoint.
//!
//! - In: a delivery from dispatch.
//! - Out: a report for the recorder: the attempt and the delivery's new state.
//! - Promise: the bytes that are signed are the bytes that are sent; URL, secrets and authentication
//!   are the endpoint's as they are now; the whole exchange is bounded in time and memory.
//! - Failure: what goes wrong with an endpoint is an outcome, not an error.

mod form;
mod headers;
mod item;
mod request;
mod sample;
mod staff;
mod template;

use crate::dispatch::{Dispatcher, Exchanged, Taken};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::transport::{Answer, Exchange, Failure, Transport};
use dacapo_model::catalog::ProjectView;
use dacapo_model::delivery::{Next, Reason, Verdict, after_attempt};
use dacapo_model::endpoint;
use dacapo_model::id::Entropy;
use dacapo_model::meta_event::{Outcome, Teller};
use dacapo_model::{Attempt, Clock, Delivery, Event, Id, IdSource, Status, Timestamp};
use dacapo_store::LiveCatalog;
use dacapo_store::roles::{Replays, Report};
pub(crate) use headers::lines as header_lines;
use http::HeaderMap;
use request::Prepared;
pub use sample::{Rendered, Sampler};
pub use staff::Helpers;
use std::sync::Arc;
use std::time::Duration;
use template::Template;
pub use template::Templates;
use tokio::sync::mpsc;

/// Carries deliveries; one task per concurrent exchange.
pub struct Courier {
    pub catalog: Arc<LiveCatalog>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<IdSource>,
    pub entropy: Arc<dyn Entropy>,
    pub transport: Arc<dyn Transport>,
    pub dispatcher: Arc<Dispatcher>,
    /// What items of replays look up before they are sent.
    pub replays: Arc<dyn Replays>,
    pub reports: mpsc::Sender<Report>,
    pub settings: Settings,
    pub metrics: Arc<Metrics>,
    pub templates: Templates,
    pub helpers: Helpers,
    pub teller: Arc<Teller>,
}

impl Courier {
    /// One delivery after the other, for as long as there is work; `ended` is called after each.
    async fn carry_on(&self, first: Taken, ended: impl Fn()) {
        let mut next = Some(first);
        while let Some(taken) = next {
            let endpoint = taken.work.delivery.endpoint_id;
            let replay = taken.work.delivery.steered_by().filter(|_| !taken.is_given_up);
            let (report, exchanged) = match &taken.terms {
                None => self.carry(&taken).await,
                // Boxed: its state is large, and most deliveries are none.
                Some(terms) => Box::pin(self.carry_item(&taken, terms)).await,
            };
            self.count(&report);
            // Only fails when the recorder has ended, after the drain's time was up.
            let _ = self.reports.send(report).await;
            self.dispatcher.finished(endpoint, replay, exchanged);
            ended();
            next = self.dispatcher.take();
        }
    }

    async fn carry(&self, taken: &Taken) -> (Report, Exchanged) {
        let snapshot = self.catalog.snapshot();
        let delivery = &taken.work.delivery;
        let Some(view) = snapshot.project(delivery.project_id).filter(|view| view.project.deleted_at.is_none()) else {
            return (self.discard(delivery, Reason::ProjectDeleted), Exchanged::Skipped);
        };
        let Some(endpoint) = view.live_endpoint(delivery.endpoint_id) else {
            return (self.discard(delivery, Reason::EndpointDeleted), Exchanged::Skipped);
        };
        if endpoint.status == endpoint::Status::Inactive {
            return (self.discard(delivery, Reason::EndpointInactive), Exchanged::Skipped);
        }
        let template = self.templates.of(view, endpoint, &self.settings);
        let (mut report, exchanged) = self.exchange(taken, &endpoint.url, template).await;
        self.tell(&mut report, view, &taken.work.event);
        (report, exchanged)
    }

    /// `url`: for the record, where there is no template.
    async fn exchange(
        &self,
        taken: &Taken,
        url: &str,
        template: Result<Arc<Template>, request::Unsendable>,
    ) -> (Report, Exchanged) {
        let (work, delivery) = (&taken.work, &taken.work.delivery);
        let started = self.clock.now();
        let prepared = template.and_then(|template| request::prepare(&template, work, started, &self.settings));
        let (sent_headers, exchange) = match prepared {
            Ok(Prepared { recorded_headers, outgoing }) => (recorded_headers, self.transport.exchange(outgoing).await),
            Err(unsendable) => {
                let report = self.unsendable(delivery, url, unsendable, started);
                return (report, Exchanged::Skipped);
            }
        };
        let took = self.clock.now().since(started);
        self.metrics.exchange_seconds.observe(took.as_secs_f64());
        let verdict = verdict(&exchange, started);
        let exchanged = if verdict == Verdict::Delivered { Exchanged::Succeeded } else { Exchanged::Failed };
        let attempt = self.attempt(delivery, url.to_owned(), sent_headers, exchange, started, took);
        (self.judge(delivery, attempt, verdict), exchanged)
    }

    fn attempt(
        &self,
        delivery: &Delivery,
        url: String,
        request_headers: dacapo_model::attempt::HeaderLines,
        exchange: Exchange,
        started: Timestamp,
        took: Duration,
    ) -> Attempt {
        let (id, _) = self.ids.mint(started);
        let mut attempt = Attempt {
            id,
            delivery_id: delivery.id,
            number: delivery.attempts + 1,
            url,
            ip: exchange.ip,
            request_headers,
            status: None,
            response_headers: Default::default(),
            response_body: Default::default(),
            error: None,
            succeeded: false,
            requested_at: started,
            duration_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        };
        answered(&mut attempt, exchange.result);
        attempt
    }

    /// Word of how a delivery ended, for who wants it.
    fn tell(&self, report: &mut Report, view: &ProjectView, event: &Event) {
        if let Some(attempt) = &report.attempt {
            let outcome = Outcome { delivery: &report.delivery, event, attempt, view };
            report.meta_event = self.teller.of_delivery(&outcome);
        }
    }

    /// The delivery after this attempt.
    fn judge(&self, delivery: &Delivery, attempt: Attempt, verdict: Verdict) -> Report {
        let now = attempt.requested_at.plus(Duration::from_micros(attempt.duration_us));
        // Drawn only where it may be used: it costs a system call.
        let jitter = if verdict == Verdict::Delivered { 0.0 } else { self.entropy.u64() as f64 / u64::MAX as f64 };
        let mut after = delivery.clone();
        after.attempts = attempt.number;
        after.manual = false;
        after.last_status = attempt.status;
        after.updated_at = now;
        match after_attempt(delivery, attempt.number, verdict, now, jitter) {
            Next::Retry { due_at } => {
                after.status = Status::Retry;
                after.reason = None;
                after.due_at = due_at;
            }
            Next::Settled { status, reason } => {
                after.status = status;
                after.reason = reason;
                after.due_at = attempt.requested_at;
                if status == Status::Success {
                    after.latency_us = u64::try_from(now.since(delivery.created_at).as_micros()).unwrap_or(u64::MAX);
                }
            }
        }
        Report { delivery: after, attempt: Some(attempt), meta_event: None }
    }

    fn unsendable(&self, delivery: &Delivery, url: &str, why: request::Unsendable, now: Timestamp) -> Report {
        let exchange = Exchange { ip: None, result: Err(Failure::Unsendable(why.to_string())) };
        let attempt = self.attempt(delivery, url.to_owned(), Default::default(), exchange, now, Duration::ZERO);
        self.judge(delivery, attempt, Verdict::Unsendable)
    }

    /// Given up without an attempt: there is nowhere to send it.
    fn discard(&self, delivery: &Delivery, reason: Reason) -> Report {
        let mut after = delivery.clone();
        after.status = Status::Discarded;
        after.reason = Some(reason);
        after.manual = false;
        after.updated_at = self.clock.now();
        Report { delivery: after, attempt: None, meta_event: None }
    }

    fn count(&self, report: &Report) {
        let delivery = &report.delivery;
        match delivery.status {
            Status::Success => {
                self.metrics.delivered.inc();
                if delivery.attempts == 1 {
                    self.metrics.delivery_seconds.observe(delivery.latency_us as f64 / 1e6);
                }
                return;
            }
            Status::Retry => self.metrics.retried.inc(),
            // Put off without an attempt.
            Status::Scheduled => return,
            _ => self.metrics.given_up.inc(),
        };
        if report.attempt.is_some() {
            self.metrics.failed.inc();
        }
    }
}

/// What came of it, on its attempt.
pub(crate) fn answered(attempt: &mut Attempt, result: Result<Answer, Failure>) {
    match result {
        Ok(answer) => {
            attempt.status = Some(answer.status);
            attempt.succeeded = is_success(answer.status);
            attempt.response_headers = headers::lines(&answer.headers);
            attempt.response_body = answer.body;
        }
        Err(failure) => attempt.error = Some(failure.to_string()),
    }
}

const fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}

pub(crate) fn verdict(exchange: &Exchange, now: Timestamp) -> Verdict {
    match &exchange.result {
        Ok(Answer { status, .. }) if is_success(*status) => Verdict::Delivered,
        Ok(Answer { status, headers, .. }) => {
            Verdict::Answered { status: *status, retry_after: asked_to_wait(*status, headers, now) }
        }
        Err(Failure::AddressRefused(_)) => Verdict::AddressRefused,
        Err(_) => Verdict::Silent,
    }
}

/// No endpoint may put a delivery off for longer than this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3_600);

/// `Retry-After` of a 429 or 503: seconds, or a date.
fn asked_to_wait(status: u16, headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    if !matches!(status, 429 | 503) {
        return None;
    }
    let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => headers::http_date(text)?.since(now),
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// Which id receivers deduplicate on: the event's, on every attempt and every replay.
pub(crate) fn event_id_text(event: Id) -> String {
    event.as_event().to_string()
}
