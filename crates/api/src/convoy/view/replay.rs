//! A replay, its items, and how it was steered, as callers see them (docs/replay.md).

use super::delivery::DeliveryView;
use dacapo_engine::Steered;
use dacapo_model::breaker;
use dacapo_model::catalog::ProjectView;
use dacapo_model::delivery::Reason;
use dacapo_model::replay::{AsOf, Asker, Control, Elsewhere, Options, Step};
use dacapo_model::{Delivery, Event, Id, Replay, Status, Timestamp};
use dacapo_store::roles;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
pub struct ReplayView<'a> {
    uid: Id,
    project_id: Id,
    kind: &'static str,
    name: &'a str,
    reason: &'a str,
    mode: &'static str,
    status: &'static str,
    selector: &'a serde_json::Value,
    frozen: &'a dacapo_model::Frozen,
    options: OptionsView<'a>,
    asked_by: &'a Asker,
    counts: Counts,
    /// 0 to 1; `null` while the total is not known.
    progress: Option<f64>,
    /// Items settled a second, of late; of one that is over, while it ran.
    pace: f64,
    eta_seconds: Option<u64>,
    failure: Option<&'a str>,
    steps: &'a [Step],
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Counts {
    /// Of the set, counted at the start; `null` when that took too long.
    matched: Option<u64>,
    /// Written so far.
    items: u64,
    /// Of those, not settled.
    waiting: u64,
    success: u64,
    failure: u64,
    discarded: u64,
    /// Counted at the start and not there any more when their turn came.
    gone: u64,
    /// Of failures and discarded ones.
    by_reason: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
pub struct OptionsView<'a> {
    rate: Option<u32>,
    concurrency: u32,
    endpoint_rate: Option<u32>,
    endpoint_concurrency: Option<u32>,
    order: &'static str,
    include_succeeded: bool,
    as_of: AsOfView,
    target: Option<TargetView<'a>>,
}

#[derive(Clone, Copy, Serialize)]
pub struct AsOfView {
    url: &'static str,
    headers: &'static str,
    secret: &'static str,
}

impl AsOfView {
    pub const fn new(as_of: AsOf) -> Self {
        Self { url: as_of.url.as_str(), headers: as_of.headers.as_str(), secret: as_of.secret.as_str() }
    }
}

/// Without its secret.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum TargetView<'a> {
    EndpointId(Id),
    Url(&'a str),
}

impl<'a> OptionsView<'a> {
    /// How fast as it is now.
    pub fn new(options: &'a Options, control: &Control) -> Self {
        Self {
            rate: control.rate,
            concurrency: control.concurrency,
            endpoint_rate: control.endpoint_rate,
            endpoint_concurrency: control.endpoint_concurrency,
            order: options.order.as_str(),
            include_succeeded: options.include_succeeded,
            as_of: AsOfView::new(options.as_of),
            target: options.target.as_ref().map(|target| match target {
                Elsewhere::Endpoint(id) => TargetView::EndpointId(*id),
                Elsewhere::Url { url, .. } => TargetView::Url(url),
            }),
        }
    }
}

impl<'a> ReplayView<'a> {
    pub fn new(replay: &'a Replay, now: Timestamp) -> Self {
        let (definition, control, counts) = (&replay.definition, &replay.control, &replay.counts);
        let done = counts.settled().saturating_add(replay.gone());
        let progress = definition.matched.map(|matched| match matched {
            0 => 1.0,
            matched => (done as f64 / matched as f64).min(1.0),
        });
        Self {
            uid: replay.id,
            project_id: replay.project_id,
            kind: "run",
            name: &definition.name,
            reason: &definition.reason,
            mode: definition.mode.as_str(),
            status: control.state.as_str(),
            selector: &definition.selector,
            frozen: &definition.frozen,
            options: OptionsView::new(&definition.options, control),
            asked_by: &definition.asked_by,
            counts: Counts {
                matched: definition.matched,
                items: replay.progress.items,
                waiting: replay.waiting(),
                success: counts.of(Status::Success),
                failure: counts.of(Status::Failure),
                discarded: counts.of(Status::Discarded),
                gone: replay.gone(),
                by_reason: by_reason(replay),
            },
            progress,
            pace: replay.pace(now),
            eta_seconds: replay.eta(now).map(|eta| eta.as_secs_f64().ceil() as u64),
            failure: control.failure.as_deref(),
            steps: &control.steps,
            created_at: definition.created_at,
            started_at: control.started_at,
            finished_at: control.finished_at,
        }
    }
}

fn by_reason(replay: &Replay) -> BTreeMap<&'static str, u64> {
    let counted = Reason::ALL.into_iter().map(|reason| (reason.as_str(), replay.counts.with_reason(reason)));
    counted.filter(|(_, count)| *count > 0).collect()
}

/// A replay that was steered.
#[derive(Serialize)]
pub struct SteeredView<'a> {
    #[serde(flatten)]
    replay: ReplayView<'a>,
    /// Exchanges that were under way when their nodes learnt of a stop; 0 when nothing was stopped.
    in_flight: u64,
    /// Living nodes that have not confirmed yet: what they have taken up may still go out.
    unconfirmed_nodes: u64,
}

impl<'a> SteeredView<'a> {
    pub fn new(steered: &'a Steered, now: Timestamp) -> Self {
        Self {
            replay: ReplayView::new(&steered.replay, now),
            in_flight: steered.in_flight,
            unconfirmed_nodes: steered.unconfirmed,
        }
    }
}

/// An item: its delivery, the word for why it ended, and while it has not, what it waits for beside its turn.
#[derive(Serialize)]
pub struct ItemView<'a> {
    #[serde(flatten)]
    delivery: DeliveryView<'a>,
    outcome: Option<&'static str>,
    waits_for: Option<&'static str>,
}

impl<'a> ItemView<'a> {
    /// `breaker`: of its endpoint; `None` where it is none of the project's.
    pub fn new(
        row: &'a roles::DeliveryView,
        project: &'a ProjectView,
        breaker: Option<breaker::State>,
        now: Timestamp,
    ) -> Self {
        Self {
            delivery: DeliveryView::new(&row.delivery, &row.event, project, now),
            outcome: row.delivery.reason.map(Reason::as_str),
            waits_for: waits_for(row.delivery.status, breaker),
        }
    }
}

fn waits_for(status: Status, breaker: Option<breaker::State>) -> Option<&'static str> {
    let is_tripped = breaker.is_some_and(|state| state != breaker::State::Closed);
    match status {
        _ if status.is_settled() => None,
        _ if is_tripped => Some("circuit_breaker"),
        Status::Retry => Some("retry"),
        _ => None,
    }
}

#[derive(Serialize)]
struct Line<'a> {
    uid: Id,
    event_id: Id,
    event_type: &'a str,
    event_created_at: Timestamp,
    endpoint_id: Id,
    status: &'static str,
    outcome: Option<&'static str>,
    attempts: u32,
    last_http_status: Option<u16>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// A line of a report.
pub fn line(delivery: &Delivery, event: &Event, into: &mut Vec<u8>) {
    let line = Line {
        uid: delivery.id,
        event_id: event.id,
        event_type: &event.event_type,
        event_created_at: event.created_at,
        endpoint_id: delivery.endpoint_id,
        status: delivery.status.as_str(),
        outcome: delivery.reason.map(Reason::as_str),
        attempts: delivery.attempts,
        last_http_status: delivery.last_status,
        created_at: delivery.created_at,
        updated_at: delivery.updated_at,
    };
    // Plain data: it cannot fail.
    if serde_json::to_writer(&mut *into, &line).is_ok() {
        into.push(b'\n');
    }
}
