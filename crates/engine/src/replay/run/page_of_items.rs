//! One page of a walk: its events are read, become items, and are written with the cursor that stands behind them.

use super::Runner;
use crate::dispatch::{Had, Moment, Place, Work};
use crate::replay::items;
use crate::replay::pace::Pace;
use crate::replay::page::{self, PAGE_ITEMS_MAX, Room};
use dacapo_model::catalog::ProjectView;
use dacapo_model::id::{IdMap, IdSet};
use dacapo_model::replay::{Marks, Order, Progress};
use dacapo_model::{Delivery, Event, Id, Replay, Timestamp, Trigger};
use dacapo_store::StoreError;
use dacapo_store::roles::{HELD_UNTIL, ItemPage, Load, ScanPage, ScanRequest, Scheduled};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Deliveries a page reads, and at most twice as many.
const PAGE_DELIVERIES_MAX: usize = 2 * PAGE_ITEMS_MAX;
/// Rows a page looks at, where few of them are meant.
const PAGE_ROWS_MAX: usize = 2_000;

impl Runner {
    /// Whether nearly all items of it that find room in memory are this node's to send: then their payloads are
    /// read with the walk, so that none is read twice. Otherwise they are read of those that found room.
    pub(super) fn reads_all(&self, replay: &Replay) -> bool {
        replay.definition.options.order == Order::Unordered && self.dispatcher.dispatches_all()
    }

    pub(super) async fn read(&self, replay: &Replay, events: usize, content: bool) -> Result<ScanPage, StoreError> {
        let request = ScanRequest {
            project: replay.project_id,
            selector: Arc::new(replay.definition.frozen.clone()),
            ascending: true,
            after: page::place(&replay.progress),
            upto: None,
            rows_max: PAGE_ROWS_MAX,
            items_max: events,
            deliveries_max: PAGE_DELIVERIES_MAX,
            load: Load { content, deliveries: true },
        };
        self.store.scan(request).await
    }

    /// `None` when the replay had moved on.
    pub(super) async fn write(
        &self,
        replay: &Replay,
        view: &ProjectView,
        page: ScanPage,
        room: Room,
        seen: Seen,
    ) -> Result<Option<Written>, StoreError> {
        let Seen { since, at: now, is_whole, marks } = seen;
        let definition = &replay.definition;
        let due_at = match definition.options.order {
            Order::Unordered => now,
            Order::PerEndpoint => HELD_UNTIL,
        };
        let once = definition.options.target.is_some();
        let bytes: IdMap<usize> = page.items.iter().map(|item| (item.event.id, item.data_bytes)).collect();
        let taken = page::take(page, room, once, |item| items::of(view, replay.id, definition, item));
        let mut rows: Vec<Work> = Vec::with_capacity(taken.items.len());
        let mut had = Had { since, read_at: now, by: IdSet::default() };
        for (event, planned) in taken.items {
            let (id, at) = self.ids.mint(now);
            if planned.has_reached {
                had.by.insert(id);
            }
            let mut delivery = planned.target.delivery(&event, id, Trigger::Replay, Some(replay.id), at);
            if !delivery.status.is_settled() {
                delivery.due_at = due_at;
            }
            rows.push(Work { delivery, event });
        }
        let mut progress = replay.progress.clone();
        progress.marks = marks.unwrap_or(progress.marks);
        let written = Written { to_send: taken.to_send as u64, is_last: taken.next.is_none() };
        progress.exhausted = written.is_last;
        progress.scanned += taken.rows;
        taken.next.into_iter().for_each(|next| page::stand_at(&mut progress, next));
        let deliveries: Vec<Delivery> = rows.iter().map(|work| work.delivery.clone()).collect();
        let items = ItemPage { replay: replay.id, after: replay.page, progress, items: deliveries };
        // What waits for its predecessor is released later.
        let mut rows = if due_at == HELD_UNTIL { Vec::new() } else { rows };
        let bytes_of = |work: &Work| bytes.get(&work.event.id).copied().unwrap_or(0);
        let mut places = self.dispatcher.place_sized(rows.iter().map(|work| (work, bytes_of(work))));
        if !is_whole {
            self.read_payloads(replay, &mut rows, &mut places).await;
        }
        let scheduled = self.store.schedule(items).await;
        // The walk reads what the endpoints of its events had, not what another one had.
        let had = (!once).then_some(&had);
        // Some may be gone, or there after all: then the lanes look for themselves.
        let is_all = matches!(scheduled, Ok(Scheduled::Written { gone: 0, .. }));
        let unsure = (!is_all).then(|| rows.iter().map(|work| work.delivery.clone()).collect::<Vec<_>>());
        self.dispatcher.offer_rows(rows, &places, is_all, had);
        self.dispatcher.stored(&unsure.unwrap_or_default());
        match scheduled? {
            Scheduled::Void => Ok(None),
            Scheduled::Written { .. } => Ok(Some(written)),
        }
    }

    /// How far it is, where no page takes that along: a page without items. That it moved on, the next step sees.
    pub(super) async fn mark(&self, replay: &Replay, pace: &mut Pace, now: Timestamp) -> Result<(), StoreError> {
        let Some(marks) = pace.marks(replay, now) else { return Ok(()) };
        let progress = Progress { marks, ..replay.progress.clone() };
        let page = ItemPage { replay: replay.id, after: replay.page, progress, items: Vec::new() };
        if self.store.schedule(page).await? != Scheduled::Void {
            pace.has_marked();
        }
        Ok(())
    }

    /// Of the rows that memory takes. Those whose payload cannot be read now are read from the queue later.
    async fn read_payloads(&self, replay: &Replay, rows: &mut [Work], places: &mut [Place]) {
        let in_memory = |place: &Place| matches!(place, Place::Memory(_));
        let wanted: BTreeSet<Id> =
            rows.iter().zip(&*places).filter(|(_, place)| in_memory(place)).map(|(work, _)| work.event.id).collect();
        if wanted.is_empty() {
            return;
        }
        let found = self.store.events_among(replay.project_id, wanted.into_iter().collect()).await;
        let found = found.unwrap_or_else(|cause| {
            tracing::warn!(%cause, replay = %replay.id, "payloads could not be read with a page; they are read from the queue");
            Vec::new()
        });
        let found: IdMap<Arc<Event>> = found.into_iter().map(|event| (event.id, event)).collect();
        for (work, place) in rows.iter_mut().zip(places) {
            let Place::Memory(bytes) = *place else { continue };
            match found.get(&work.event.id) {
                Some(event) => work.event = Arc::clone(event),
                None => *place = Place::Unread(bytes),
            }
        }
    }
}

/// How a page was read.
pub(super) struct Seen {
    /// Before it was.
    pub since: Moment,
    pub at: Timestamp,
    /// Its events have their payloads.
    pub is_whole: bool,
    /// To be written with it.
    pub marks: Option<Marks>,
}

/// A page of items.
pub(super) struct Written {
    /// Of those, the ones that are not born settled.
    pub to_send: u64,
    pub is_last: bool,
}
