//! Looking for what a selector means, without changing anything: search and counts.
//!
//! - In: a frozen selector and how much may be looked at.
//! - Out: events with the endpoints each is meant for, how far it looked, and where to go on.
//! - Promise: a call ends after a bounded number of rows or a bounded time, whichever comes first, and
//!   says so; its slices are short reads, so nothing waits behind it. A walk over its pages meets each
//!   event once.
//! - Failure: the store's; nothing was changed.

use crate::route;
use dacapo_model::catalog::ProjectView;
use dacapo_model::selector::{Pair, Problem, SelectorError};
use dacapo_model::{Clock, Event, Frozen, Id, Selector, SetMode};
use dacapo_store::roles::{DeliveryFilter, Load, Page, Place, ScanItem, ScanRequest, Slice};
use dacapo_store::{LiveCatalog, Store, StoreError};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Rows one read looks at: some milliseconds, a body predicate on long payloads apart.
const SLICE_ROWS: usize = 2_000;
/// Rows of a search that gives no item are looked at no longer than this many at once.
const SEARCH_ROWS_MAX: u64 = 100_000;
/// A search that has found less than a page by then gives what it has.
pub const SEARCH_TIME_MAX: Duration = Duration::from_secs(1);
/// A count that has not come to the end by then says "at least".
pub const COUNT_TIME_MAX: Duration = Duration::from_secs(2);
const COUNT_ROWS_MAX: u64 = 2_000_000;
/// Events of a count that are in memory at the same time.
const COUNT_SLICE_ITEMS: usize = 2_000;
/// Deliveries one read gives, and at most twice as many; an event with more of them is shown with some of
/// those it is meant for.
const SLICE_DELIVERIES: usize = 1_000;
/// Events between two of which others that share the thread get their turn.
const EVENTS_AT_ONCE: usize = 64;
/// A search that has so many in its page gives what it has.
const SEARCH_DELIVERIES_MAX: usize = 10_000;

#[derive(Clone, Debug)]
pub struct SearchRequest {
    pub project_id: Id,
    pub selector: Arc<Frozen>,
    /// Oldest first.
    pub ascending: bool,
    /// Where the page before ended.
    pub after: Option<Id>,
    /// Events at most; at least one.
    pub items_max: usize,
}

#[derive(Clone, Debug)]
pub struct Found {
    pub item: ScanItem,
    /// The endpoints it is meant for; none in a replay of an event that nobody matches today.
    pub pairs: Vec<Pair>,
}

impl Found {
    /// Whether all of its deliveries are here.
    pub fn is_whole(&self) -> bool {
        self.item.slice == Slice::default()
    }
}

#[derive(Clone, Debug)]
pub struct SearchPage {
    pub found: Vec<Found>,
    pub looked: Looked,
}

/// How far a call looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looked {
    pub rows: u64,
    /// Everything up to here is decided; `None`: there is no more.
    pub next: Option<Id>,
}

/// `looked.next` is set: at least so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub events: u64,
    /// Of an event and an endpoint.
    pub pairs: u64,
    /// Of these, those whose endpoint got the event already.
    pub already_succeeded: u64,
    pub data_bytes: u64,
    pub looked: Looked,
}

pub struct Searcher {
    pub store: Arc<dyn Store>,
    pub catalog: Arc<LiveCatalog>,
    pub clock: Arc<dyn Clock>,
}

#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    #[error("unknown project")]
    UnknownProject,
    #[error(transparent)]
    Selector(#[from] SelectorError),
}

impl Searcher {
    /// As of `high_water` and the moment in it, so that one id says again what a selector meant.
    pub fn freeze(&self, project: Id, selector: &Selector, high_water: Id) -> Result<Frozen, FreezeError> {
        let catalog = self.catalog.snapshot();
        let view = catalog.project(project).ok_or(FreezeError::UnknownProject)?;
        Ok(selector.freeze(high_water.time(), high_water, view)?)
    }

    /// A replay, a subscription or an event the selector names and the project does not have. (Endpoints and owners are looked
    /// for where it is frozen.)
    pub async fn find_unknown(&self, project: Id, selector: &Selector) -> Result<Option<SelectorError>, StoreError> {
        if let Some(replay) = selector.replay_id
            && !self.has_replay(project, replay).await?
        {
            return Ok(Some(SelectorError::new("replay_id", Problem::UnknownReplay(replay.to_string()))));
        }
        if let Some(subscription) = self.unknown_subscription(project, &selector.subscription_ids) {
            let problem = Problem::UnknownSubscription(subscription.to_string());
            return Ok(Some(SelectorError::new("subscription_ids", problem)));
        }
        let unknown = self.unknown_event(project, &selector.event_ids).await?;
        Ok(unknown.map(|event| SelectorError::new("event_ids", Problem::UnknownEvent(event.to_string()))))
    }

    /// Those that were deleted are known: history still names them.
    fn unknown_subscription(&self, project: Id, named: &[Id]) -> Option<Id> {
        let catalog = self.catalog.snapshot();
        let view = catalog.project(project)?;
        named.iter().copied().find(|id| !view.subscriptions.contains_key(id))
    }

    /// One of many events, or of one: that has deliveries and no row of its own.
    async fn has_replay(&self, project: Id, replay: Id) -> Result<bool, StoreError> {
        if self.store.replay_by_id(project, replay).await?.is_some() {
            return Ok(true);
        }
        let filter = DeliveryFilter { replay: Some(replay), ..DeliveryFilter::default() };
        let one = Page { limit: 1, from: None, ascending: true };
        Ok(!self.store.deliveries(project, filter, one).await?.is_empty())
    }

    async fn unknown_event(&self, project: Id, events: &[Id]) -> Result<Option<Id>, StoreError> {
        let catalog = self.catalog.snapshot();
        let Some(view) = catalog.project(project).filter(|_| !events.is_empty()) else { return Ok(None) };
        let named = Selector { event_ids: events.to_vec(), ..Selector::default() };
        let Ok(frozen) = named.freeze(self.clock.now(), Id::MAX, view) else { return Ok(None) };
        let selector = Arc::new(frozen);
        let (mut found, mut after) = (BTreeSet::new(), None);
        loop {
            let page = self
                .store
                .scan(ScanRequest {
                    project,
                    selector: Arc::clone(&selector),
                    ascending: true,
                    after,
                    upto: None,
                    rows_max: SLICE_ROWS,
                    items_max: COUNT_SLICE_ITEMS,
                    deliveries_max: SLICE_DELIVERIES,
                    load: Load::default(),
                })
                .await?;
            found.extend(page.items.iter().map(|item| item.event.id));
            after = page.next;
            if after.is_none() {
                return Ok(events.iter().copied().find(|event| !found.contains(event)));
            }
        }
    }

    pub async fn search(&self, request: SearchRequest) -> Result<SearchPage, StoreError> {
        let items_max = request.items_max.max(1);
        let mut page = SearchPage { found: Vec::new(), looked: Looked { rows: 0, next: request.after } };
        let (mut at, mut deliveries) = (request.after.map(Place::Behind), 0);
        let began = self.clock.now();
        loop {
            let slice = Read {
                project: request.project_id,
                selector: &request.selector,
                ascending: request.ascending,
                after: at,
                items_max: items_max - page.found.len(),
                load: Load::ALL,
            };
            let (rows, next) = self
                .read(slice, |found| {
                    deliveries += found.item.deliveries.len();
                    match page.found.last_mut().filter(|last| last.item.event.id == found.item.event.id) {
                        Some(last) if last.pairs.is_empty() => *last = found,
                        Some(_) => {}
                        None => page.found.push(found),
                    }
                })
                .await?;
            page.looked.rows += rows;
            let is_full = page.found.len() >= items_max || deliveries >= SEARCH_DELIVERIES_MAX;
            let is_shown = |place: Place| {
                let last = page.found.last().filter(|last| last.item.event.id == place.event());
                last.is_some_and(|last| is_full || !last.pairs.is_empty())
            };
            at = next.map(|place| if is_shown(place) { place.past_event() } else { place });
            // An event that is begun is looked at to its end: a cursor says events only.
            if let Some(Place::Within { .. }) = at {
                continue;
            }
            page.looked.next = at.map(Place::event);
            let is_late = self.clock.now().since(began) >= SEARCH_TIME_MAX || page.looked.rows >= SEARCH_ROWS_MAX;
            if at.is_none() || is_full || is_late {
                return Ok(page);
            }
        }
    }

    /// `after`: where the count before ended. `time_max`: then it answers with what it has.
    pub async fn count(
        &self,
        project: Id,
        selector: &Arc<Frozen>,
        after: Option<Id>,
        time_max: Duration,
    ) -> Result<Counted, StoreError> {
        let mut counted = Counted {
            events: 0,
            pairs: 0,
            already_succeeded: 0,
            data_bytes: 0,
            looked: Looked { rows: 0, next: after },
        };
        let began = self.clock.now();
        let (mut at, mut last) = (after.map(Place::Behind), None);
        loop {
            let slice = Read {
                project,
                selector,
                ascending: true,
                after: at,
                items_max: COUNT_SLICE_ITEMS,
                // Routing today asks what the payload looks like.
                // What succeeded already is known from the deliveries alone.
                load: Load { content: selector.needs_routing(), deliveries: true },
            };
            let (rows, next) = self
                .read(slice, |found| {
                    let event = Some(found.item.event.id);
                    if last != event {
                        last = event;
                        counted.events += 1;
                        counted.data_bytes += found.item.data_bytes as u64;
                    }
                    counted.pairs += found.pairs.len() as u64;
                    counted.already_succeeded +=
                        found.pairs.iter().filter(|pair| pair.already_succeeded).count() as u64;
                })
                .await?;
            at = next;
            counted.looked.rows += rows;
            if let Some(Place::Within { .. }) = at {
                continue;
            }
            counted.looked.next = at.map(Place::event);
            let is_late = self.clock.now().since(began) >= time_max || counted.looked.rows >= COUNT_ROWS_MAX;
            if at.is_none() || is_late {
                return Ok(counted);
            }
        }
    }

    /// Events alone, whatever their endpoints. `TooSlow` when they cannot be counted within `time_max`.
    pub async fn tally(&self, project: Id, selector: &Arc<Frozen>, time_max: Duration) -> Result<u64, StoreError> {
        let began = self.clock.now();
        let (mut events, mut after, mut last) = (0, None, None);
        loop {
            let request = ScanRequest {
                project,
                selector: Arc::clone(selector),
                ascending: true,
                after,
                upto: None,
                rows_max: SLICE_ROWS,
                items_max: COUNT_SLICE_ITEMS,
                deliveries_max: SLICE_DELIVERIES,
                load: Load::default(),
            };
            let page = self.store.scan(request).await?;
            for item in &page.items {
                events += u64::from(last != Some(item.event.id));
                last = Some(item.event.id);
            }
            after = page.next;
            if after.is_none() {
                return Ok(events);
            }
            if self.clock.now().since(began) >= time_max {
                return Err(StoreError::TooSlow);
            }
        }
    }

    /// Gives the rows it looked at, and where to go on.
    async fn read(&self, read: Read<'_>, mut take: impl FnMut(Found)) -> Result<(u64, Option<Place>), StoreError> {
        let page = self
            .store
            .scan(ScanRequest {
                project: read.project,
                selector: Arc::clone(read.selector),
                ascending: read.ascending,
                after: read.after,
                upto: None,
                rows_max: SLICE_ROWS,
                items_max: read.items_max,
                deliveries_max: SLICE_DELIVERIES,
                load: read.load,
            })
            .await?;
        let catalog = self.catalog.snapshot();
        let view = catalog.project(read.project);
        for (n, item) in page.items.into_iter().enumerate() {
            if n % EVENTS_AT_ONCE == EVENTS_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            let pairs = item.pairs(read.selector, || matching(view, &item.event));
            // A backfill asks for events that lack something; a replay shows also what nobody matches.
            if read.selector.parts().mode != SetMode::Missing || !pairs.is_empty() {
                take(Found { item, pairs });
            }
        }
        Ok((page.rows, page.next))
    }
}

struct Read<'s> {
    project: Id,
    selector: &'s Arc<Frozen>,
    ascending: bool,
    after: Option<Place>,
    items_max: usize,
    load: Load,
}

fn matching(view: Option<&Arc<ProjectView>>, event: &Event) -> Vec<Id> {
    let targets = view.map(|view| route::again(view, event, None)).unwrap_or_default();
    targets.into_iter().map(|target| target.endpoint_id).collect()
}
