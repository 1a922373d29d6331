//! Walking what a selector means: which way leads to its events, and each event with its deliveries.
//!
//! As in the embedded engine ([`crate::sqlite`]), with two differences: an index by endpoint stands in
//! for the endpoint log, and because several nodes make ids, the deliveries of one event may lie
//! between those of another ([`streams`] says what follows). Always on the primary: a replica that lags
//! would leave events out of what is frozen.

pub mod item;
pub mod project;
pub mod slice;
pub mod streams;

use super::PostgresStore;
use super::query::{LIST_TIME_MAX, in_time};
use super::session::{Purpose, Transaction};
use crate::Result;
use crate::roles::{PAGE_BYTES_MAX, Place, Scan, ScanItem, ScanPage, ScanRequest};
use async_trait::async_trait;
use dacapo_model::Id;
use item::{Admitted, Look};
use std::collections::{HashMap, VecDeque};
use std::ops::RangeInclusive;

/// With more endpoints than this, walking the project is no longer than walking each.
const ENDPOINTS_WALKED_MAX: usize = 64;
/// Events read at once, where payloads are: they are in memory together. Few in tests, as below.
const CHUNK_EVENTS: usize = if cfg!(test) { 4 } else { 256 };
/// The same where none are.
const LEAN_CHUNK_EVENTS: usize = if cfg!(test) { 7 } else { 1_000 };
/// Rows read at once to find the next events, at least. Few in tests, whose walks take many rounds then.
const ROWS_AHEAD_MIN: u64 = if cfg!(test) { 3 } else { 256 };

#[async_trait]
impl Scan for PostgresStore {
    async fn scan(&self, request: ScanRequest) -> Result<ScanPage> {
        in_time(async { page(&mut self.to_scan().await?, &request).await }).await
    }

    async fn cut(&self, request: ScanRequest, rows: usize) -> Result<Option<Id>> {
        let bounds = bounds(&request);
        let is_along_project = request.selector.parts().event_ids.is_empty() && streams::of(&request).is_none();
        if bounds.is_empty() || !is_along_project {
            return Ok(None);
        }
        let rows = rows as u64;
        let (end, _) =
            in_time(async { project::stretch(&mut self.to_scan().await?, &request, &bounds, rows).await }).await?;
        Ok(end)
    }
}

impl PostgresStore {
    pub(super) async fn to_scan(&self) -> Result<Transaction> {
        self.inner.history.transaction(Purpose::Scan(LIST_TIME_MAX)).await
    }
}

async fn page(transaction: &mut Transaction, request: &ScanRequest) -> Result<ScanPage> {
    let bounds = bounds(request);
    let mut page = Page { items: Vec::new(), deliveries: 0, bytes: 0, next: None, rows: 0, request };
    if bounds.is_empty() {
        return Ok(page.finish());
    }
    if !request.selector.parts().event_ids.is_empty() {
        by_ids(transaction, &mut page, &bounds).await?;
        return Ok(page.finish());
    }
    match streams::of(request) {
        Some(streams) => streams::walk(transaction, &streams, &mut page, bounds).await?,
        None => project::walk(transaction, &mut page, bounds).await?,
    }
    Ok(page.finish())
}

/// The events a page may look at.
fn bounds(request: &ScanRequest) -> RangeInclusive<u128> {
    let parts = request.selector.parts();
    let (mut low, mut high) = (parts.first.as_u128(), parts.last.as_u128());
    match (request.after, request.ascending) {
        (Some(Place::Within { event, .. }), true) => low = low.max(event.as_u128()),
        (Some(Place::Within { event, .. }), false) => high = high.min(event.as_u128()),
        (Some(Place::Behind(Id::MAX)), true) | (Some(Place::Behind(Id::MIN)), false) => return EMPTY,
        (Some(Place::Behind(event)), true) => low = low.max(event.as_u128() + 1),
        (Some(Place::Behind(event)), false) => high = high.min(event.as_u128() - 1),
        (None, _) => {}
    }
    match (request.upto, request.ascending) {
        (Some(upto), true) => high = high.min(upto.as_u128()),
        (Some(upto), false) => low = low.max(upto.as_u128()),
        (None, _) => {}
    }
    if low > high { EMPTY } else { low..=high }
}

#[expect(clippy::reversed_empty_ranges, reason = "a range without a member")]
const EMPTY: RangeInclusive<u128> = 1..=0;

/// What was found so far.
pub struct Page<'r> {
    items: Vec<ScanItem>,
    /// Read for the events so far.
    deliveries: usize,
    /// Of payload.
    bytes: usize,
    next: Option<Place>,
    rows: u64,
    request: &'r ScanRequest,
}

impl Page<'_> {
    /// `true` when there is room for no more: then `next` is set.
    fn push(&mut self, event: Id, look: Look) -> bool {
        if self.request.reads_data() {
            self.bytes += look.item.as_ref().map_or(0, |item| item.data_bytes);
        }
        self.items.extend(look.item);
        self.deliveries += look.deliveries;
        let is_full = look.rest.is_some()
            || self.items.len() >= self.request.items_max.max(1)
            || self.deliveries >= self.request.deliveries_max
            || self.bytes >= PAGE_BYTES_MAX;
        if is_full {
            self.next = Some(look.rest.unwrap_or(Place::Behind(event)));
        }
        is_full
    }

    fn rows_left(&self) -> u64 {
        (self.request.rows_max.max(1) as u64).saturating_sub(self.rows)
    }

    /// Rows worth reading ahead of the items they may become.
    fn rows_ahead(&self) -> u64 {
        let items = self.request.items_max.saturating_sub(self.items.len()) as u64;
        items.max(ROWS_AHEAD_MIN).min(self.rows_left())
    }

    fn chunk(&self) -> usize {
        if self.request.reads_data() { CHUNK_EVENTS } else { LEAN_CHUNK_EVENTS }
    }

    /// Reads these events, which are in the order asked for. `true` when there is room for no more:
    /// then `next` is set.
    async fn take(&mut self, transaction: &mut Transaction, ids: &[Id]) -> Result<bool> {
        for chunk in ids.chunks(self.chunk()) {
            let admitted = item::read(transaction, self.request, chunk).await?;
            if self.look(transaction, chunk, admitted).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// At those of these events that were admitted, as many at once as have the deliveries of a page.
    async fn look(
        &mut self,
        transaction: &mut Transaction,
        ids: &[Id],
        mut admitted: HashMap<Id, Admitted>,
    ) -> Result<bool> {
        let mut left: VecDeque<Admitted> = ids.iter().filter_map(|id| admitted.remove(id)).collect();
        while let Some(first) = left.pop_front() {
            let mut deliveries = first.born();
            let mut batch = vec![first];
            while let Some(next) = left.front()
                && deliveries + next.born() <= self.request.deliveries_max
                && let Some(next) = left.pop_front()
            {
                deliveries += next.born();
                batch.push(next);
            }
            let (looks, rest) = item::look(transaction, self.request, batch).await?;
            for (event, look) in looks {
                if self.push(event, look) {
                    return Ok(true);
                }
            }
            rest.into_iter().rev().for_each(|admitted| left.push_front(admitted));
        }
        Ok(false)
    }

    fn finish(self) -> ScanPage {
        ScanPage { items: self.items, next: self.next, rows: self.rows }
    }
}

const fn direction(request: &ScanRequest) -> &'static str {
    if request.ascending { "ASC" } else { "DESC" }
}

fn ordered(mut ids: Vec<Id>, request: &ScanRequest) -> Vec<Id> {
    ids.sort_unstable();
    ids.dedup();
    if !request.ascending {
        ids.reverse();
    }
    ids
}

/// What lies beyond this id, in reading direction.
fn beyond(bounds: &RangeInclusive<u128>, upto: Id, ascending: bool) -> RangeInclusive<u128> {
    match (ascending, upto.as_u128().checked_add(1), upto.as_u128().checked_sub(1)) {
        (true, Some(next), _) => next..=*bounds.end(),
        (false, _, Some(next)) => *bounds.start()..=next,
        _ => EMPTY,
    }
}

async fn by_ids(transaction: &mut Transaction, page: &mut Page<'_>, bounds: &RangeInclusive<u128>) -> Result<()> {
    let request = page.request;
    let ids = request.selector.parts().event_ids.iter().copied().filter(|id| bounds.contains(&id.as_u128()));
    let mut ids = ordered(ids.collect(), request);
    let more = ids.len() > request.rows_max.max(1);
    ids.truncate(request.rows_max.max(1));
    page.rows += ids.len() as u64;
    if !page.take(transaction, &ids).await? && more {
        page.next = ids.last().copied().map(Place::Behind);
    }
    Ok(())
}
