//! Pages and counts as they are shown.

use super::cursor::Cursor;
use crate::convoy::view::event::EventView;
use dacapo_engine::search::{Counted, Found, Looked, SearchPage};
use dacapo_model::selector::Pair;
use dacapo_model::{Delivery, Id, Timestamp};
use serde::Serialize;

#[derive(Serialize)]
pub struct PageView<'a> {
    content: Vec<FoundView<'a>>,
    pagination: PaginationView,
    looked: LookedView,
}

#[derive(Serialize)]
struct FoundView<'a> {
    #[serde(flatten)]
    event: EventView<'a>,
    /// The endpoints the selector means this event for.
    meant_for: Vec<MeantView>,
    deliveries: Vec<DeliveryView>,
    /// `false`, and only said then: the event has more deliveries than are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<bool>,
}

#[derive(Serialize)]
struct MeantView {
    endpoint_id: Id,
    /// The newest delivery that makes it so.
    delivery_id: Option<Id>,
    already_succeeded: bool,
}

/// What a selector can ask about; the whole of it is at `~/eventdeliveries/{uid}`.
#[derive(Serialize)]
struct DeliveryView {
    uid: Id,
    endpoint_id: Id,
    subscription_id: Id,
    status: &'static str,
    attempts: u32,
    http_status: Option<u16>,
    replay_id: Option<Id>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Serialize)]
struct PaginationView {
    per_page: usize,
    has_next_page: bool,
    /// Empty at the end.
    next_page_cursor: String,
}

#[derive(Serialize)]
struct LookedView {
    rows: u64,
    /// Everything up to this moment is decided; `null`: everything there is.
    until: Option<Timestamp>,
}

#[derive(Serialize)]
pub struct CountView {
    events: u64,
    deliveries: u64,
    already_succeeded: u64,
    payload_bytes: u64,
    /// `false`: at least so many; the count goes on at the cursor.
    exact: bool,
    looked: LookedView,
    next_page_cursor: String,
}

impl<'a> PageView<'a> {
    pub fn new(page: &'a SearchPage, per_page: usize, high_water: Id) -> Self {
        Self {
            content: page.found.iter().map(FoundView::new).collect(),
            pagination: PaginationView {
                per_page,
                has_next_page: page.looked.next.is_some(),
                next_page_cursor: cursor(page.looked, high_water),
            },
            looked: LookedView::new(page.looked),
        }
    }
}

fn cursor(looked: Looked, high_water: Id) -> String {
    looked.next.map(|after| Cursor { after, high_water }.to_string()).unwrap_or_default()
}

impl<'a> FoundView<'a> {
    fn new(found: &'a Found) -> Self {
        Self {
            event: EventView::new(&found.item.event),
            meant_for: found.pairs.iter().map(MeantView::new).collect(),
            deliveries: found.item.deliveries.iter().map(DeliveryView::new).collect(),
            complete: (!found.is_whole()).then_some(false),
        }
    }
}

impl MeantView {
    fn new(pair: &Pair) -> Self {
        let Pair { endpoint_id, delivery_id, already_succeeded } = *pair;
        Self { endpoint_id, delivery_id, already_succeeded }
    }
}

impl DeliveryView {
    fn new(delivery: &Delivery) -> Self {
        Self {
            uid: delivery.id,
            endpoint_id: delivery.endpoint_id,
            subscription_id: delivery.subscription_id,
            status: delivery.status.as_str(),
            attempts: delivery.attempts,
            http_status: delivery.last_status,
            replay_id: delivery.replay_id,
            created_at: delivery.created_at,
            updated_at: delivery.updated_at,
        }
    }
}

impl LookedView {
    fn new(looked: Looked) -> Self {
        Self { rows: looked.rows, until: looked.next.map(Id::time) }
    }
}

impl CountView {
    pub fn new(counted: &Counted, high_water: Id) -> Self {
        Self {
            events: counted.events,
            deliveries: counted.pairs,
            already_succeeded: counted.already_succeeded,
            payload_bytes: counted.data_bytes,
            exact: counted.looked.next.is_none(),
            looked: LookedView::new(counted.looked),
            next_page_cursor: cursor(counted.looked, high_water),
        }
    }
}
