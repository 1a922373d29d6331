//! Along the project's events. SQL leaves out what it can, within a stretch of so many events.

use super::item::{Items, columns};
use super::{Page, direction};
use crate::Result;
use crate::roles::ScanRequest;
use crate::sqlite::query::ADDRESSED_TO;
use crate::sqlite::sql::Conditions;
use crate::targets::TARGET_BYTES;
use dacapo_model::Status;
use dacapo_model::selector::Pattern;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use std::ops::RangeInclusive;

/// Conditions of a walk that looks at each event: its project's, within its bounds.
const PLAIN: usize = 2;
/// Events of other projects that a walk along the table passes, beyond as many as it met of its own.
const FOREIGN_ROWS_MAX: u64 = 256;
/// Of an event's columns.
const PROJECT_COLUMN: usize = 2;

pub fn walk(
    connection: &Connection,
    page: &mut Page<'_>,
    items: &mut Items<'_>,
    bounds: &RangeInclusive<u64>,
) -> Result<()> {
    let request = page.request;
    let everything = conditions(request, bounds);
    if everything.len() == PLAIN {
        return walk_all(connection, page, items, bounds);
    }
    let mut left = bounds.clone();
    loop {
        let rows = page.rows_ahead();
        let end = end_of_stretch(connection, request, &left, rows)?;
        let stretch = part(&left, end, request.ascending);
        let source = if is_dense(connection, &stretch, rows)? { TABLE } else { INDEX };
        if walk_stretch(connection, page, items, &stretch, source)? {
            return Ok(());
        }
        let Some(end) = end else {
            page.looked_upto = None;
            return Ok(());
        };
        page.looked_upto = Some(end);
        if page.rows_left() == 0 {
            return Ok(());
        }
        left = beyond(&left, end, request.ascending);
    }
}

/// `true`: there is room for no more.
fn walk_stretch(
    connection: &Connection,
    page: &mut Page<'_>,
    items: &mut Items<'_>,
    stretch: &RangeInclusive<u64>,
    source: &str,
) -> Result<bool> {
    let request = page.request;
    let conditions = conditions(request, stretch);
    let mut statement = connection.prepare_cached(&select(request, source, &conditions))?;
    let mut rows = statement.query(params_from_iter(conditions.values()))?;
    let mut is_full = false;
    let mut looked = stretch.clone();
    while let Some(row) = rows.next()? {
        let order = row.get::<_, i64>(0)?.cast_unsigned();
        let found = items.of_row(row)?;
        if page.push(found) {
            page.looked_upto = Some(order);
            looked = part(stretch, Some(order), request.ascending);
            is_full = true;
            break;
        }
    }
    page.rows += count(connection, request, &looked)?;
    Ok(is_full)
}

/// What lies up to there, in reading direction.
fn part(of: &RangeInclusive<u64>, end: Option<u64>, ascending: bool) -> RangeInclusive<u64> {
    match (end, ascending) {
        (Some(end), true) => *of.start()..=end,
        (Some(end), false) => end..=*of.end(),
        (None, _) => of.clone(),
    }
}

/// SQL leaves nothing out, so each row it looks at is seen here. Where most events are the project's, the table is
/// walked, which saves a look-up each; otherwise the index is.
fn walk_all(
    connection: &Connection,
    page: &mut Page<'_>,
    items: &mut Items<'_>,
    bounds: &RangeInclusive<u64>,
) -> Result<()> {
    let request = page.request;
    let sql = format!(
        "SELECT {} FROM {TABLE} WHERE e.ord BETWEEN ?1 AND ?2 ORDER BY e.ord {}",
        columns(request),
        direction(request)
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(<[i64; 2]>::from(signed(bounds)))?;
    let (project, mut own, mut foreign) = (request.project.to_bytes(), 0, 0);
    while let Some(row) = rows.next()? {
        let order = row.get::<_, i64>(0)?.cast_unsigned();
        if row.get_ref(PROJECT_COLUMN)?.as_blob().is_ok_and(|of| of == project) {
            own += 1;
            if take_row(page, items, row, order)? {
                return Ok(());
            }
            continue;
        }
        foreign += 1;
        if foreign > own + FOREIGN_ROWS_MAX {
            return walk_index(connection, page, items, &beyond(bounds, order, request.ascending));
        }
    }
    Ok(())
}

fn walk_index(
    connection: &Connection,
    page: &mut Page<'_>,
    items: &mut Items<'_>,
    bounds: &RangeInclusive<u64>,
) -> Result<()> {
    let conditions = conditions(page.request, bounds);
    let mut statement = connection.prepare_cached(&select(page.request, INDEX, &conditions))?;
    let mut rows = statement.query(params_from_iter(conditions.values()))?;
    while let Some(row) = rows.next()? {
        let order = row.get::<_, i64>(0)?.cast_unsigned();
        if take_row(page, items, row, order)? {
            return Ok(());
        }
    }
    Ok(())
}

/// `true`: there is room for no more.
fn take_row(page: &mut Page<'_>, items: &mut Items<'_>, row: &Row<'_>, order: u64) -> Result<bool> {
    let found = items.of_row(row)?;
    page.rows += 1;
    let is_full = page.push(found) || page.rows_left() == 0;
    if is_full {
        page.looked_upto = Some(order);
    }
    Ok(is_full)
}

/// Ways along the events.
const TABLE: &str = "events e NOT INDEXED";
const INDEX: &str = "events e INDEXED BY events_by_project";

fn select(request: &ScanRequest, source: &str, conditions: &Conditions) -> String {
    format!(
        "SELECT {} FROM {source} WHERE {} ORDER BY e.ord {}",
        columns(request),
        conditions.sql(),
        direction(request)
    )
}

/// Whether no more than as many events lie here again, of other projects, as these. None of their columns is read.
fn is_dense(connection: &Connection, stretch: &RangeInclusive<u64>, rows: u64) -> Result<bool> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM events NOT INDEXED WHERE ord BETWEEN ?1 AND ?2 LIMIT ?3)";
    let (low, high) = signed(stretch);
    let most = i64::try_from(rows * 2).unwrap_or(i64::MAX);
    let found: i64 = connection.prepare_cached(sql)?.query_row(params![low, high, most + 1], |row| row.get(0))?;
    Ok(found <= most)
}

/// What lies beyond it, in reading direction.
fn beyond(of: &RangeInclusive<u64>, end: u64, ascending: bool) -> RangeInclusive<u64> {
    match ascending {
        true => end.saturating_add(1)..=*of.end(),
        false => *of.start()..=end.saturating_sub(1),
    }
}

/// The last of so many events; `None`: there are not that many. The index alone is read.
pub fn end_of_stretch(
    connection: &Connection,
    request: &ScanRequest,
    bounds: &RangeInclusive<u64>,
    rows: u64,
) -> Result<Option<u64>> {
    let sql = format!(
        "SELECT ord FROM events INDEXED BY events_by_project WHERE project = ?1 AND ord BETWEEN ?2 AND ?3 \
         ORDER BY ord {} LIMIT 1 OFFSET ?4",
        direction(request)
    );
    let offset = i64::try_from(rows.max(1) - 1).unwrap_or(i64::MAX);
    let (low, high) = signed(bounds);
    let values = params![request.project.to_bytes(), low, high, offset];
    let end: Option<i64> = connection.prepare_cached(&sql)?.query_row(values, |row| row.get(0)).optional()?;
    Ok(end.map(i64::cast_unsigned))
}

fn count(connection: &Connection, request: &ScanRequest, bounds: &RangeInclusive<u64>) -> Result<u64> {
    let sql = "SELECT count(*) FROM events INDEXED BY events_by_project WHERE project = ?1 AND ord BETWEEN ?2 AND ?3";
    let (low, high) = signed(bounds);
    let count = connection
        .prepare_cached(sql)?
        .query_row(params![request.project.to_bytes(), low, high], |row| row.get::<_, i64>(0))?;
    Ok(count.cast_unsigned())
}

fn signed(bounds: &RangeInclusive<u64>) -> (i64, i64) {
    let signed = |order: u64| i64::try_from(order).unwrap_or(i64::MAX);
    (signed(*bounds.start()), signed(*bounds.end()))
}

/// What SQL can leave out; the item decides.
fn conditions(request: &ScanRequest, stretch: &RangeInclusive<u64>) -> Conditions {
    let (selector, parts) = (&request.selector, request.selector.parts());
    let mut conditions = Conditions::default();
    conditions.equals("e.project", request.project.to_bytes().to_vec());
    conditions.between("e.ord", stretch);
    conditions.any_of("e.source", parts.sources.iter().map(|id| id.to_bytes().to_vec()));
    if let Some(key) = &parts.idempotency_key {
        conditions.equals("e.idem", key.clone());
    }
    conditions.any_term(parts.event_types.patterns().iter().map(|pattern| match pattern {
        Pattern::Exact(name) => ("e.type = {}", Value::from(name.clone())),
        Pattern::Prefix(prefix) => ("substr(e.type, 1, length({})) = {}", Value::from(prefix.clone())),
    }));
    if selector.needs_routing() && selector.reads_deliveries() && parts.mode != dacapo_model::SetMode::Missing {
        let endpoints = parts.endpoints.iter().flatten().map(|id| id.to_bytes().to_vec());
        conditions.any_text(ADDRESSED_TO, endpoints.collect::<Vec<_>>().into_iter());
    }
    if !selector.needs_routing() {
        let states = selector.delivery_states();
        if states.iter().all(|state| state.is_settled()) {
            conditions.literal(with_settled_in(&states));
        }
    }
    conditions
}

/// Some delivery, born with the event or a replay of it, is settled in one of these states.
fn with_settled_in(states: &[Status]) -> String {
    let codes: Vec<String> = states.iter().map(|state| state.code().to_string()).collect();
    let codes = codes.join(", ");
    format!(
        "(EXISTS (SELECT 1 FROM settled s NOT INDEXED \
         WHERE s.ord BETWEEN e.ord + 1 AND e.ord + (length(e.targets) + coalesce(length(e.more), 0)) / {TARGET_BYTES} AND s.status IN ({codes})) \
         OR EXISTS (SELECT 1 FROM settled s INDEXED BY settled_by_event \
         WHERE s.trigger = 1 AND s.event_ord = e.ord AND s.status IN ({codes})))"
    )
}
