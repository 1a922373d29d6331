//! Walking what a selector means: which way leads to its events, and each event with its deliveries.
//!
//! As in the embedded engine ([`crate::sqlite`]), with two differences: an index by endpoint stands in
//! for the endpoint log, and because several nodes make ids, the deliveries of one event may lie
//! between those of another ([`streams`] says what follows). Always on the primary: a replica that lags
//! would leave events out of what is frozen.

pub mod item;
pub mod project;
pub mod streams;

use super::PostgresStore;
use super::query::in_time;
use super::session::Transaction;
use crate::Result;
use crate::roles::{Scan, ScanItem, ScanPage, ScanRequest};
use async_trait::async_trait;
use dacapo_model::Id;
use std::ops::RangeInclusive;

/// With more endpoints than this, walking the project is no longer than walking each.
const ENDPOINTS_WALKED_MAX: usize = 64;
/// Events read at once: their payloads are in memory together.
const CHUNK_EVENTS: usize = 256;

#[async_trait]
impl Scan for PostgresStore {
    async fn scan(&self, request: ScanRequest) -> Result<ScanPage> {
        in_time(async { page(&mut self.one().await?, &request).await }).await
    }
}

async fn page(transaction: &mut Transaction, request: &ScanRequest) -> Result<ScanPage> {
    let bounds = bounds(request);
    let mut page = Page { items: Vec::new(), next: None, rows: 0, request };
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
    match (request.after.map(Id::as_u128), request.ascending) {
        (Some(u128::MAX), true) | (Some(0), false) => return EMPTY,
        (Some(after), true) => low = low.max(after + 1),
        (Some(after), false) => high = high.min(after - 1),
        (None, _) => {}
    }
    if low > high { EMPTY } else { low..=high }
}

#[expect(clippy::reversed_empty_ranges, reason = "a range without a member")]
const EMPTY: RangeInclusive<u128> = 1..=0;

/// What was found so far.
pub struct Page<'r> {
    items: Vec<ScanItem>,
    next: Option<Id>,
    rows: u64,
    request: &'r ScanRequest,
}

impl Page<'_> {
    /// `true` when there is room for no more.
    fn push(&mut self, found: Option<ScanItem>) -> bool {
        self.items.extend(found);
        self.items.len() >= self.request.items_max.max(1)
    }

    fn rows_left(&self) -> u64 {
        (self.request.rows_max.max(1) as u64).saturating_sub(self.rows)
    }

    /// Reads these events, which are in the order asked for. `true` when there is room for no more:
    /// then `next` is set.
    async fn take(&mut self, transaction: &mut Transaction, ids: &[Id]) -> Result<bool> {
        for chunk in ids.chunks(CHUNK_EVENTS) {
            let mut found = item::of(transaction, self.request, chunk).await?;
            for id in chunk {
                let found = found.remove(id);
                if self.push(found) {
                    self.next = Some(*id);
                    return Ok(true);
                }
            }
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
        page.next = ids.last().copied();
    }
    Ok(())
}
