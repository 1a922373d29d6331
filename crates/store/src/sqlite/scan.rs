//! Walking what a selector means: which way leads to its events, and each event with its deliveries.
//!
//! Where what failed or was discarded is asked for, an index of just those leads to the events; where
//! deliveries decide and endpoints are named, the endpoint log and the replays do ([`streams`]); otherwise
//! the project's events are walked ([`project`]). All of them give
//! events in the order of their ids, and say how far they looked.

mod deliveries;
mod item;
mod project;
mod slice;
mod streams;

use super::SqliteStore;
use crate::Result;
use crate::roles::{PAGE_BYTES_MAX, Place, Scan, ScanItem, ScanPage, ScanRequest};
use async_trait::async_trait;
use dacapo_model::Id;
use item::{Items, Look};
use rusqlite::{Connection, OptionalExtension};
use std::ops::RangeInclusive;

/// With more endpoints than this, walking the project is no longer than walking each.
const ENDPOINTS_WALKED_MAX: usize = 64;
/// Rows read at once to find the next events, at least. Few in tests, whose walks take many rounds then.
const ROWS_AHEAD_MIN: u64 = if cfg!(test) { 3 } else { 256 };
/// Orders are rowids, which are signed.
const ORDER_MAX: u64 = i64::MAX.cast_unsigned();

#[async_trait]
impl Scan for SqliteStore {
    async fn scan(&self, request: ScanRequest) -> Result<ScanPage> {
        self.history.read(move |connection| page(connection, &request)).await
    }

    async fn cut(&self, request: ScanRequest, rows: usize) -> Result<Option<Id>> {
        self.history.read(move |connection| cut(connection, &request, rows)).await
    }
}

/// Along the project: its index alone is read, a small part of what a walk reads.
fn cut(connection: &Connection, request: &ScanRequest, rows: usize) -> Result<Option<Id>> {
    let bounds = bounds(connection, request)?;
    let is_along_project = request.selector.parts().event_ids.is_empty() && streams::of(connection, request)?.is_none();
    if bounds.is_empty() || !is_along_project {
        return Ok(None);
    }
    let end = project::end_of_stretch(connection, request, &bounds, rows as u64)?;
    Ok(end.map(|order| edge(order, request.ascending)))
}

/// Compared by its order alone, so the last id in reading direction.
const fn edge(order: u64, ascending: bool) -> Id {
    Id::from_parts(order, if ascending { u64::MAX } else { 0 })
}

fn page(connection: &Connection, request: &ScanRequest) -> Result<ScanPage> {
    let bounds = bounds(connection, request)?;
    let mut page = Page { items: Vec::new(), deliveries: 0, bytes: 0, looked_upto: None, rest: None, rows: 0, request };
    if bounds.is_empty() {
        return Ok(page.finish());
    }
    let mut items = Items::prepare(connection, request)?;
    let parts = request.selector.parts();
    if !parts.event_ids.is_empty() {
        by_ids(&mut page, &mut items, &bounds)?;
        return Ok(page.finish());
    }
    match streams::of(connection, request)? {
        Some(streams) => streams::walk(connection, &streams, &mut page, &mut items, bounds)?,
        None => project::walk(connection, &mut page, &mut items, &bounds)?,
    }
    Ok(page.finish())
}

/// The events a page may look at.
fn bounds(connection: &Connection, request: &ScanRequest) -> Result<RangeInclusive<u64>> {
    let parts = request.selector.parts();
    let (mut low, mut high) = (parts.first.order(), parts.last.order().min(ORDER_MAX));
    match (request.after, request.ascending) {
        (Some(Place::Within { event, .. }), true) => low = low.max(event.order()),
        (Some(Place::Within { event, .. }), false) => high = high.min(event.order()),
        (Some(Place::Behind(id)), true) => match next_order(connection, id, true)? {
            Some(next) => low = low.max(next),
            None => return Ok(EMPTY),
        },
        (Some(Place::Behind(id)), false) => match next_order(connection, id, false)? {
            Some(next) => high = high.min(next),
            None => return Ok(EMPTY),
        },
        (None, _) => {}
    }
    match (request.upto, request.ascending) {
        (Some(upto), true) => high = high.min(upto.order()),
        (Some(upto), false) => low = low.max(upto.order()),
        (None, _) => {}
    }
    Ok(if low > high || parts.first > parts.last { EMPTY } else { low..=high })
}

/// The first order in reading direction that is not wholly behind the id. That need not be an event's: then the
/// event with its order may be still to come.
fn next_order(connection: &Connection, id: Id, ascending: bool) -> Result<Option<u64>> {
    let order = id.order();
    let mut statement = connection.prepare_cached("SELECT tail FROM events WHERE ord = ?1")?;
    let tail: Option<i64> = statement.query_row([order.cast_signed()], |row| row.get(0)).optional()?;
    let is_to_come = tail.map(i64::cast_unsigned).is_some_and(|tail| match ascending {
        true => tail > id.tail(),
        false => tail < id.tail(),
    });
    Ok(match (is_to_come, ascending) {
        (true, _) => Some(order),
        (false, true) => order.checked_add(1),
        (false, false) => order.checked_sub(1),
    })
}

#[expect(clippy::reversed_empty_ranges, reason = "a range without a member")]
const EMPTY: RangeInclusive<u64> = 1..=0;

/// What was found so far.
struct Page<'r> {
    items: Vec<ScanItem>,
    /// Read for the events so far.
    deliveries: usize,
    /// Of payload.
    bytes: usize,
    /// `None`: to the end.
    looked_upto: Option<u64>,
    /// Where the last event goes on, when it was not looked at whole.
    rest: Option<Place>,
    rows: u64,
    request: &'r ScanRequest,
}

impl Page<'_> {
    /// `true` when there is room for no more.
    fn push(&mut self, look: Look) -> bool {
        if self.request.reads_data() {
            self.bytes += look.item.as_ref().map_or(0, |item| item.data_bytes);
        }
        self.items.extend(look.item);
        self.deliveries += look.deliveries;
        self.rest = look.rest;
        self.rest.is_some()
            || self.items.len() >= self.request.items_max.max(1)
            || self.deliveries >= self.request.deliveries_max
            || self.bytes >= PAGE_BYTES_MAX
    }

    fn rows_left(&self) -> u64 {
        (self.request.rows_max.max(1) as u64).saturating_sub(self.rows)
    }

    /// Rows worth reading ahead of the items they may become.
    fn rows_ahead(&self) -> u64 {
        let items = self.request.items_max.saturating_sub(self.items.len()) as u64;
        items.max(ROWS_AHEAD_MIN).min(self.rows_left())
    }

    fn finish(self) -> ScanPage {
        let behind = |order| Place::Behind(edge(order, self.request.ascending));
        let next = self.rest.or(self.looked_upto.map(behind));
        ScanPage { items: self.items, next, rows: self.rows }
    }
}

const fn direction(request: &ScanRequest) -> &'static str {
    if request.ascending { "ASC" } else { "DESC" }
}

/// In the order asked for; a vector, because both directions are of one type then.
fn ordered(mut orders: Vec<u64>, request: &ScanRequest) -> Vec<u64> {
    orders.sort_unstable();
    orders.dedup();
    if !request.ascending {
        orders.reverse();
    }
    orders
}

fn by_ids(page: &mut Page<'_>, items: &mut Items<'_>, bounds: &RangeInclusive<u64>) -> Result<()> {
    let ids = page.request.selector.parts().event_ids.iter().map(|id| id.order());
    for order in ordered(ids.filter(|order| bounds.contains(order)).collect(), page.request) {
        page.rows += 1;
        let found = items.of(order)?;
        if page.push(found) || page.rows_left() == 0 {
            page.looked_upto = Some(order);
            return Ok(());
        }
    }
    Ok(())
}
