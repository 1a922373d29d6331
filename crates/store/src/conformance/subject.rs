//! The store under test, and short ways to say what is to be in it.

use crate::roles::{Committed, DeliveryFilter, EventFilter, NewEvent, NewResend, Page, Report, ResendKind, Store};
use async_trait::async_trait;
use bytes::Bytes;
use dacapo_model::attempt::HeaderLines;
use dacapo_model::clock::ManualClock;
use dacapo_model::delivery::Reason;
use dacapo_model::event::{FanOut, Target};
use dacapo_model::id::SystemEntropy;
use dacapo_model::replay::{Asker, AskerKind};
use dacapo_model::retry::{Kind, Policy};
use dacapo_model::{Attempt, Class, Clock, Delivery, Event, Id, IdSource, Mode, Status, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// Where one store lies, outlasting the process that has it open.
#[async_trait]
pub trait Place: Send + Sync {
    async fn open(&self) -> crate::Result<Arc<dyn Store>>;

    /// From here on `open` finds what is durable at this moment, as if the power had failed. What
    /// has the store open goes on beside it and is dropped by the caller.
    async fn crash(&mut self);

    /// Takes every other shard from the store that is open now, without its knowledge. Only for engines
    /// that several processes share.
    async fn depose(&mut self) {
        unreachable!("this engine has one owner")
    }
}

/// Ids of two tenants and their endpoints.
pub const PROJECT: Id = Id::from_u128(0xA1);
pub const OTHER_PROJECT: Id = Id::from_u128(0xA2);
pub const ENDPOINT: Id = Id::from_u128(0xB1);
pub const ENDPOINT_2: Id = Id::from_u128(0xB2);
pub const ENDPOINT_3: Id = Id::from_u128(0xB3);

/// The moment the tests begin at, unless they say otherwise.
pub const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);
/// Routed under whatever the catalog is.
pub const ROUTED_AT: u64 = u64::MAX;
pub const FOREVER: Timestamp = Timestamp::from_millis(4_000_000_000_000);
pub const ALL: usize = 100_000;

pub const UP: Page = Page { limit: ALL, from: None, ascending: true };
pub const DOWN: Page = Page { limit: ALL, from: None, ascending: false };

pub struct Subject {
    place: Box<dyn Place>,
    store: Option<Arc<dyn Store>>,
    pub ids: IdSource,
    pub clock: ManualClock,
}

impl Subject {
    pub async fn new(place: Box<dyn Place>) -> Self {
        let store = place.open().await.expect("an empty store opens");
        Self { place, store: Some(store), ids: IdSource::new(SystemEntropy), clock: ManualClock::at(START) }
    }

    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.store.as_ref().expect("open"))
    }

    pub fn place(&self) -> &dyn Place {
        &*self.place
    }

    pub fn place_mut(&mut self) -> &mut dyn Place {
        &mut *self.place
    }

    /// Loses everything that is not durable.
    pub async fn crash(&mut self) {
        self.place.crash().await;
        self.reopen().await;
    }

    /// Ends in order and starts again.
    pub async fn restart(&mut self) {
        self.store().release().await.expect("releases");
        self.reopen().await;
    }

    async fn reopen(&mut self) {
        self.store = None;
        self.store = Some(self.place.open().await.expect("opens again"));
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn advance_ms(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    pub fn mint(&self) -> Id {
        self.ids.mint(self.now()).0
    }

    /// An event of [`PROJECT`] for these endpoints.
    pub fn event(&self, endpoints: &[Id]) -> Event {
        self.event_with(endpoints.iter().map(|endpoint| target(*endpoint)).collect())
    }

    pub fn event_with(&self, targets: Vec<Target>) -> Event {
        let (id, created_at) = self.ids.event(self.now(), u32::try_from(targets.len()).expect("few"));
        Event {
            fan_out: if targets.is_empty() { FanOut::NoMatch } else { FanOut::Success },
            targets,
            ..Event::plain(id, PROJECT, "invoice.paid", Bytes::from_static(br#"{"n":1}"#), created_at)
        }
    }

    pub async fn commit(&self, events: impl IntoIterator<Item = Event>) -> Vec<Committed> {
        let batch = events
            .into_iter()
            .map(|event| NewEvent { event: Arc::new(event), parked: Vec::new(), later: Vec::new() })
            .collect();
        self.store().commit(batch, ROUTED_AT).await.expect("commits")
    }

    /// Commits an event for these endpoints and gives it.
    pub async fn stored(&self, endpoints: &[Id]) -> Event {
        self.stored_as(self.event(endpoints)).await
    }

    pub async fn stored_as(&self, event: Event) -> Event {
        assert_eq!(self.commit([event.clone()]).await, [Committed::Stored]);
        event
    }

    /// The one delivery of a new event for [`ENDPOINT`], fresh.
    pub async fn fresh(&self) -> Delivery {
        born(&self.stored(&[ENDPOINT]).await, 0)
    }

    /// One in this settled state, after one attempt (none when it is `Discarded`).
    pub async fn settled(&self, status: Status) -> Delivery {
        let born = self.fresh().await;
        let report = if status == Status::Discarded { discard(&born) } else { self.attempted(&born, status) };
        self.record([report.clone()]).await;
        report.delivery
    }

    /// A report of the next attempt.
    pub fn attempted(&self, before: &Delivery, status: Status) -> Report {
        let now = self.now();
        let number = before.attempts + 1;
        let succeeded = status == Status::Success;
        let answer = if succeeded { 200 } else { 500 };
        let mut delivery = before.clone();
        delivery.attempts = number;
        delivery.status = status;
        delivery.manual = false;
        delivery.last_status = Some(answer);
        delivery.reason = (status == Status::Failure).then_some(Reason::RetryLimit);
        delivery.latency_us = if succeeded { 1_234 } else { 0 };
        delivery.updated_at = now;
        if status == Status::Retry {
            delivery.due_at = now.plus(Duration::from_secs(10));
        }
        let attempt = Attempt {
            id: self.mint(),
            delivery_id: before.id,
            number,
            url: "https://example.test/hook?x=1".to_owned(),
            ip: "192.0.2.1".parse().ok(),
            request_headers: HeaderLines::from_iter([("content-type", "application/json")]),
            status: Some(answer),
            response_headers: HeaderLines::from_iter([("server", "test")]),
            response_body: Bytes::from(format!("answer {number}")),
            error: (!succeeded).then(|| "no luck".to_owned()),
            succeeded,
            requested_at: now,
            duration_us: 5_678,
        };
        Report { delivery, attempt: Some(attempt), meta_event: None }
    }

    pub async fn record(&self, reports: impl IntoIterator<Item = Report>) {
        self.store().record(reports.into_iter().collect()).await.expect("records");
    }

    /// Of deliveries of [`PROJECT`], by somebody's key.
    pub fn resend(&self, deliveries: Vec<Id>, kind: ResendKind) -> NewResend {
        let asked_by = Asker { kind: AskerKind::ApiKey, id: Some(Id::from_u128(0xC2)) };
        let (call_id, at) = (self.mint(), self.now());
        NewResend { project_id: PROJECT, deliveries, kind, at, call_id, asked_by }
    }

    /// What the store shows of a delivery of [`PROJECT`].
    pub async fn shown(&self, id: Id) -> Option<Delivery> {
        self.store().delivery(PROJECT, id).await.expect("reads").map(|view| view.delivery)
    }

    pub async fn attempts(&self, id: Id) -> Vec<Attempt> {
        self.store().attempts(PROJECT, id, ALL).await.expect("reads")
    }

    pub async fn due(&self, endpoint: Id, class: Class) -> Vec<Delivery> {
        let due = self.store().due(endpoint, class, FOREVER, ALL).await.expect("reads");
        due.into_iter().map(|waiting| waiting.delivery).collect()
    }

    /// Everything that waits for [`ENDPOINT`], in any class.
    pub async fn due_ids(&self) -> Vec<Id> {
        let mut ids = Vec::new();
        for class in Class::ALL {
            ids.extend(self.due(ENDPOINT, class).await.iter().map(|delivery| delivery.id));
        }
        ids
    }

    pub async fn events(&self, filter: EventFilter, page: Page) -> Vec<Id> {
        let found = self.store().events(PROJECT, filter, page).await.expect("reads");
        found.iter().map(|event| event.id).collect()
    }

    pub async fn deliveries(&self, filter: DeliveryFilter, page: Page) -> Vec<Id> {
        let found = self.store().deliveries(PROJECT, filter, page).await.expect("reads");
        found.iter().map(|view| view.delivery.id).collect()
    }
}

pub fn target(endpoint: Id) -> Target {
    Target {
        endpoint_id: endpoint,
        subscription_id: Id::from_u128(endpoint.as_u128() + 0x100),
        mode: Mode::AtLeastOnce,
        policy: Policy { kind: Kind::Linear, interval_s: 10, limit: 3 },
        discarded: None,
    }
}

pub fn target_discarded(endpoint: Id, reason: Reason) -> Target {
    Target { discarded: Some(reason), ..target(endpoint) }
}

/// The `index`-th delivery of an event as it is born.
pub fn born(event: &Event, index: u32) -> Delivery {
    event.delivery(index).expect("has that many targets")
}

/// Given up without an attempt.
pub fn discard(before: &Delivery) -> Report {
    let mut delivery = before.clone();
    delivery.status = Status::Discarded;
    delivery.reason = Some(Reason::EndpointDeleted);
    Report { delivery, attempt: None, meta_event: None }
}

pub fn ids(deliveries: &[Delivery]) -> Vec<Id> {
    deliveries.iter().map(|delivery| delivery.id).collect()
}
