//! Events by id and as lists.

use super::{bytes, direction};
use crate::Result;
use crate::roles::{EventFilter, Page};
use crate::sqlite::codec::{self, ord};
use crate::sqlite::fan_out;
use crate::sqlite::sql::{Conditions, order_bounds};
use dacapo_model::event::Audience;
use dacapo_model::{Event, Id};
use rusqlite::{Connection, params, params_from_iter};
use std::sync::Arc;

/// Another project's is not read: that would take longer than to find none.
pub fn one(connection: &Connection, project: Id, id: Id) -> Result<Option<Arc<Event>>> {
    let sql = format!("SELECT {} FROM events e WHERE e.ord = ?1 AND e.project = ?2", codec::EVENT_COLUMNS);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![ord(id), project.to_bytes()])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let event = codec::event(row)?;
    Ok((event.id == id).then(|| Arc::new(event)))
}

/// Walks the project's events. SQL leaves out what it can, so that a row that is not wanted is
/// neither copied nor decoded; what it lets pass is looked at again here.
pub fn list(connection: &Connection, project: Id, filter: &EventFilter, page: Page) -> Result<Vec<Arc<Event>>> {
    let mut conditions = Conditions::default();
    conditions.equals("e.project", project.to_bytes().to_vec());
    conditions.between("e.ord", &order_bounds(page, filter.window));
    conditions.any_of("e.source", bytes(&filter.sources));
    conditions.any_of("e.type", filter.event_types.iter().cloned());
    conditions.any_text(ADDRESSED_TO, bytes(&filter.endpoints));
    if let Some(key) = &filter.idempotency_key {
        conditions.equals("e.idem", key.clone());
    }
    if let Some(to) = filter.related_to {
        conditions.equals("e.related_to", to.to_bytes().to_vec());
    }
    let sql = format!(
        "SELECT {} FROM events e INDEXED BY events_by_project WHERE {} ORDER BY e.ord {}",
        codec::EVENT_COLUMNS,
        conditions.sql(),
        direction(page)
    );
    // Not kept: its text depends on the filter, and would drive the short statements out.
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(conditions.values()))?;
    let mut found = Vec::new();
    while found.len() < page.limit
        && let Some(row) = rows.next()?
    {
        let event = codec::event(row)?;
        if page.reaches(event.id) && admits(filter, &event) && reaches(connection, &event, &filter.endpoints)? {
            found.push(Arc::new(event));
        }
    }
    Ok(found)
}

/// Endpoint `{}` is among the targets, was addressed, or got a replay. The first three look for the
/// id's bytes anywhere in the lists.
pub const ADDRESSED_TO: &[&str] = &[
    "instr(e.targets, {}) > 0",
    "instr(e.audience, {}) > 0",
    "instr(e.more, {}) > 0",
    "EXISTS (SELECT 1 FROM settled s INDEXED BY settled_by_event \
     WHERE s.trigger = 1 AND s.event_ord = e.ord AND s.endpoint = {})",
    "EXISTS (SELECT 1 FROM waiting w INDEXED BY waiting_by_event \
     WHERE w.trigger = 1 AND w.event_ord = e.ord AND w.endpoint = {})",
];

fn admits(filter: &EventFilter, event: &Event) -> bool {
    let source_fits = || event.source_id.is_some_and(|source| filter.sources.contains(&source));
    (filter.sources.is_empty() || source_fits())
        && (filter.event_types.is_empty() || filter.event_types.contains(&event.event_type))
        && filter.livemode.is_none_or(|livemode| event.connect.livemode == livemode)
}

fn reaches(connection: &Connection, event: &Event, endpoints: &[Id]) -> Result<bool> {
    if endpoints.is_empty() || event.targets.iter().any(|target| endpoints.contains(&target.endpoint_id)) {
        return Ok(true);
    }
    if matches!(&event.audience, Audience::Endpoints(ids) if ids.iter().any(|id| endpoints.contains(id))) {
        return Ok(true);
    }
    if fan_out::reaches(connection, ord(event.id), endpoints)? {
        return Ok(true);
    }
    let mut replayed_to = connection.prepare_cached(
        "SELECT endpoint FROM settled INDEXED BY settled_by_event WHERE trigger = 1 AND event_ord = ?1 \
         UNION ALL SELECT endpoint FROM waiting INDEXED BY waiting_by_event WHERE trigger = 1 AND event_ord = ?1",
    )?;
    let mut rows = replayed_to.query(params![ord(event.id)])?;
    while let Some(row) = rows.next()? {
        if endpoints.contains(&codec::id_column(row, 0)?) {
            return Ok(true);
        }
    }
    Ok(false)
}
