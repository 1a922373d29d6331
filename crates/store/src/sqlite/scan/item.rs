//! One event with all of its deliveries, if it is meant; or with some of them, when they are many.

use super::deliveries::Deliveries;
use super::slice::{Sliced, Slicer};
use crate::Result;
use crate::roles::{Place, ScanItem, ScanRequest, Slice};
use crate::sqlite::codec;
use crate::targets::TARGET_BYTES;
use dacapo_model::Event;
use rusqlite::{CachedStatement, Connection, Row};
use std::sync::Arc;

/// Events for [`Items::decide`]: an event's columns, how long its payload is, its later targets, and
/// whether some of those still wait to become deliveries.
pub fn columns(request: &ScanRequest) -> String {
    let columns = match (request.reads_content(), request.reads_data()) {
        (false, _) => codec::EVENT_HEAD_COLUMNS.to_owned(),
        (true, true) => codec::EVENT_COLUMNS.to_owned(),
        // A payload that nobody looks at is not read from the disk; its length stands in the row's head.
        (true, false) => codec::EVENT_COLUMNS.replace("e.data", "x''"),
    };
    format!(
        "{columns}, length(e.data), coalesce(length(e.more), 0), \
         e.more IS NOT NULL AND EXISTS (SELECT 1 FROM fan_outs f WHERE f.event_ord = e.ord)"
    )
}

pub struct Items<'c> {
    request: &'c ScanRequest,
    connection: &'c Connection,
    event: CachedStatement<'c>,
    /// Nothing, when neither the selector nor the caller asks for deliveries.
    deliveries: Option<Deliveries<'c>>,
}

/// What looking at an event, or at a slice of it, came to.
#[derive(Default)]
pub struct Look {
    /// `None`: there is no such event in the project, or it is not meant.
    pub item: Option<ScanItem>,
    /// Read for it.
    pub deliveries: usize,
    /// Where it goes on, when this was not all of it.
    pub rest: Option<Place>,
}

impl<'c> Items<'c> {
    pub fn prepare(connection: &'c Connection, request: &'c ScanRequest) -> Result<Self> {
        let sql = format!("SELECT {} FROM events e WHERE e.ord = ?1", columns(request));
        let wanted = request.load.deliveries || request.selector.reads_deliveries();
        let deliveries = wanted.then(|| Deliveries::prepare(connection, request.ascending)).transpose()?;
        Ok(Self { request, connection, event: connection.prepare_cached(&sql)?, deliveries })
    }

    pub fn of(&mut self, order: u64) -> Result<Look> {
        let found = {
            let mut rows = self.event.query([order.cast_signed()])?;
            rows.next()?.map(|row| read(row, self.request)).transpose()?
        };
        found.map_or(Ok(Look::default()), |found| self.decide(found))
    }

    /// Of a row with [`columns`].
    pub fn of_row(&mut self, row: &Row<'_>) -> Result<Look> {
        let found = read(row, self.request)?;
        self.decide(found)
    }

    fn decide(&mut self, found: Found) -> Result<Look> {
        let Found { event, data_bytes, later_targets, is_unfolding } = found;
        let selector = &self.request.selector;
        if event.project_id != self.request.project || !selector.admits(&event) {
            return Ok(Look::default());
        }
        // Whom it never reached will be known when the last part is written; until then it is on its way.
        if is_unfolding && selector.needs_routing() {
            return Ok(Look::default());
        }
        let begun = match self.request.after {
            Some(Place::Within { event: begun, endpoint }) if begun.order() == event.id.order() => Some(endpoint),
            _ => None,
        };
        let whole = match &mut self.deliveries {
            None => Some(Vec::new()),
            Some(_) if begun.is_some() || event.targets.len() + later_targets > self.request.deliveries_max => None,
            Some(statements) => statements.of(&event, later_targets, self.request.deliveries_max)?,
        };
        let sliced = match whole {
            Some(deliveries) => Sliced {
                is_reached: selector.reaches(&event, &deliveries),
                slice: Slice { after: begun, upto: None },
                deliveries,
            },
            None => Slicer { connection: self.connection, request: self.request, event: &event }.after(begun)?,
        };
        let Sliced { deliveries, slice, is_reached } = sliced;
        let rest = slice.upto.map(|endpoint| Place::Within { event: event.id, endpoint });
        let mut look = Look { item: None, deliveries: deliveries.len(), rest };
        let is_meant = is_reached
            && (selector.needs_routing() || !selector.pairs_of_reached(&event, &deliveries, Vec::new).is_empty());
        look.item = is_meant.then(|| ScanItem { event: Arc::new(event), data_bytes, slice, deliveries });
        Ok(look)
    }
}

struct Found {
    event: Event,
    data_bytes: usize,
    /// Behind those in the event itself (see `sqlite/fan_out.rs`).
    later_targets: usize,
    is_unfolding: bool,
}

fn read(row: &Row<'_>, request: &ScanRequest) -> Result<Found> {
    let (event, behind) = if request.reads_content() {
        (codec::event(row)?, codec::EVENT_COLUMN_COUNT)
    } else {
        (codec::event_head(row)?, codec::EVENT_HEAD_COLUMN_COUNT)
    };
    let bytes = |column: usize| Ok::<_, crate::StoreError>(usize::try_from(row.get::<_, i64>(column)?).unwrap_or(0));
    Ok(Found {
        event,
        data_bytes: bytes(behind)?,
        later_targets: bytes(behind + 1)? / TARGET_BYTES,
        is_unfolding: row.get(behind + 2)?,
    })
}
