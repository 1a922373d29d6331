//! One segment of the walk, page by page.

use super::Walk;
use super::part::Part;
use crate::deliver::Sampler;
use crate::replay::items;
use crate::replay::page::past_the_one_taken;
use dacapo_model::{Clock, Frozen, Id, Timestamp};
use dacapo_store::roles::{Load, Place, ScanPage, ScanRequest};
use dacapo_store::{Store, StoreError};
use std::sync::Arc;

/// Events, and rows, of one page of the walk.
const PAGE_EVENTS_MAX: usize = 1_000;
const PAGE_ROWS_MAX: usize = 10_000;
/// Deliveries of one page, and at most twice as many.
const PAGE_DELIVERIES_MAX: usize = 10_000;
/// Events between two of which others that share the thread get their turn.
const EVENTS_AT_ONCE: usize = 64;

pub struct Segment {
    /// `None`: the first one.
    pub after: Option<Place>,
    /// `None`: to the end.
    pub upto: Option<Id>,
    /// Requests to render, at most.
    pub samples_max: usize,
}

pub struct Counting {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    sampler: Arc<Sampler>,
    walk: Walk,
    selector: Arc<Frozen>,
    until: Timestamp,
}

impl Counting {
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, sampler: Arc<Sampler>, walk: Walk) -> Self {
        let until = clock.now().plus(walk.within);
        let selector = Arc::new(walk.definition.frozen.clone());
        Self { store, clock, sampler, walk, selector, until }
    }

    pub fn request(&self, after: Option<Place>, upto: Option<Id>) -> ScanRequest {
        ScanRequest {
            project: self.walk.view.project.id,
            selector: Arc::clone(&self.selector),
            ascending: true,
            after,
            upto,
            rows_max: PAGE_ROWS_MAX,
            items_max: PAGE_EVENTS_MAX,
            deliveries_max: PAGE_DELIVERIES_MAX,
            load: Load {
                content: self.selector.needs_routing() && self.walk.view.routes_by_content(),
                deliveries: true,
            },
        }
    }

    pub async fn count(self: Arc<Self>, segment: Segment) -> Result<Part, StoreError> {
        let Segment { after, upto, samples_max } = segment;
        let once = self.walk.definition.options.target.is_some();
        let mut part = if after.is_none() { Part::first() } else { Part::later() };
        // The last event of which something was counted.
        let mut last = None;
        let mut page = self.store.scan(self.request(after, upto)).await?;
        loop {
            // The next page is read while this one is counted, where it does not hang on that.
            let ahead = page.next.filter(|_| !once).map(|after| self.request(Some(after), upto));
            let read_ahead = async {
                match ahead {
                    Some(request) => self.store.scan(request).await.map(Some),
                    None => Ok(None),
                }
            };
            let (read, counted) = tokio::join!(read_ahead, self.take(&page, &mut part, &mut last, samples_max));
            counted?;
            let after = if once { past_the_one_taken(page.next, last) } else { page.next };
            let Some(after) = after else { return Ok(part) };
            if self.clock.now() >= self.until {
                part.break_off();
                return Ok(part);
            }
            page = match read? {
                Some(page) => page,
                None => self.store.scan(self.request(Some(after), upto)).await?,
            };
        }
    }

    async fn take(
        &self,
        page: &ScanPage,
        part: &mut Part,
        last: &mut Option<Id>,
        samples_max: usize,
    ) -> Result<(), StoreError> {
        let Walk { view, replay, definition, .. } = &self.walk;
        part.looked_at(page.rows);
        for (n, item) in page.items.iter().enumerate() {
            if n % EVENTS_AT_ONCE == EVENTS_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            let planned = items::of(view, *replay, definition, item);
            part.count(item, &planned, *last == Some(item.event.id));
            if !planned.is_empty() {
                *last = Some(item.event.id);
            }
            for one in planned.iter().filter(|one| one.target.discarded.is_none()) {
                if part.samples() >= samples_max {
                    break;
                }
                // The walk has left out what only a request shows.
                let Some(event) = self.store.event(view.project.id, item.event.id).await? else { break };
                let sample = self.sampler.render(view, *replay, definition, &event, &one.target).await?;
                sample.into_iter().for_each(|sample| part.show(sample));
            }
        }
        Ok(())
    }
}
