//! Lists and look-ups. A delivery may be settled, waiting or fresh: lists are the union of the three.

use super::SqliteStore;
use super::codec::{self, ord};
use super::fresh::Fresh;
use super::sql::Conditions;
use crate::Result;
use crate::roles::{DeliveryFilter, DeliveryView, EventFilter, Page, Query};
use async_trait::async_trait;
use dacapo_model::event::Audience;
use dacapo_model::{Attempt, Delivery, Event, Id, Status};
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

#[async_trait]
impl Query for SqliteStore {
    async fn event(&self, project: Id, id: Id) -> Result<Option<Arc<Event>>> {
        self.readers.read(move |connection| event(connection, project, id)).await
    }

    async fn events(&self, project: Id, filter: EventFilter, page: Page) -> Result<Vec<Arc<Event>>> {
        self.readers.read(move |connection| events(connection, project, &filter, page)).await
    }

    async fn event_by_idempotency_key(&self, project: Id, key: &str) -> Result<Option<Id>> {
        let key = key.to_owned();
        let look_up = move |connection: &Connection| {
            let mut statement =
                connection.prepare_cached("SELECT event FROM idempotency WHERE project = ?1 AND key = ?2")?;
            let mut rows = statement.query(params![project.to_bytes(), key])?;
            rows.next()?.map(|row| codec::id_column(row, 0)).transpose()
        };
        self.readers.read(look_up).await
    }

    async fn delivery(&self, project: Id, id: Id) -> Result<Option<DeliveryView>> {
        let fresh = Arc::clone(&self.fresh);
        self.readers.read(move |connection| delivery(connection, &fresh, project, id)).await
    }

    async fn deliveries(&self, project: Id, filter: DeliveryFilter, page: Page) -> Result<Vec<DeliveryView>> {
        let fresh = Arc::clone(&self.fresh);
        self.readers.read(move |connection| deliveries(connection, &fresh, project, &filter, page)).await
    }

    async fn attempts(&self, project: Id, delivery: Id, limit: usize) -> Result<Vec<Attempt>> {
        let fresh = Arc::clone(&self.fresh);
        self.readers.read(move |connection| attempts(connection, &fresh, project, delivery, limit)).await
    }
}

fn event(connection: &Connection, project: Id, id: Id) -> Result<Option<Arc<Event>>> {
    let sql = format!("SELECT {} FROM events e WHERE e.ord = ?1", codec::EVENT_COLUMNS);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([ord(id)])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let event = codec::event(row)?;
    Ok((event.id == id && event.project_id == project).then(|| Arc::new(event)))
}

fn events(connection: &Connection, project: Id, filter: &EventFilter, page: Page) -> Result<Vec<Arc<Event>>> {
    let mut conditions = Conditions::default();
    conditions.equals("e.project", project.to_bytes().to_vec());
    conditions.orders("e.ord", page, filter.window);
    conditions.any_of("e.source", filter.sources.iter().map(|id| id.to_bytes().to_vec()));
    conditions.any_of("e.type", filter.event_types.iter().cloned());
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
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(conditions.values()))?;
    let mut found = Vec::new();
    while found.len() < page.limit
        && let Some(row) = rows.next()?
    {
        let event = codec::event(row)?;
        let mode_fits = filter.livemode.is_none_or(|livemode| event.connect.livemode == livemode);
        if mode_fits && reaches(&event, &filter.endpoints) {
            found.push(Arc::new(event));
        }
    }
    Ok(found)
}

fn reaches(event: &Event, endpoints: &[Id]) -> bool {
    if endpoints.is_empty() || event.targets.iter().any(|target| endpoints.contains(&target.endpoint_id)) {
        return true;
    }
    matches!(&event.audience, Audience::Endpoints(ids) if ids.iter().any(|id| endpoints.contains(id)))
}

const fn direction(page: Page) -> &'static str {
    if page.ascending { "ASC" } else { "DESC" }
}

fn delivery(connection: &Connection, fresh: &Fresh, project: Id, id: Id) -> Result<Option<DeliveryView>> {
    // Looked at first: a delivery that settles in between is then found in its table.
    let maybe_fresh = fresh.contains(id.order());
    for (table, columns) in [("settled", codec::SETTLED_COLUMNS), ("waiting", codec::WAITING_COLUMNS)] {
        let sql = format!(
            "SELECT {}, {columns} FROM {table} d JOIN events e ON e.ord = d.event_ord WHERE d.ord = ?1",
            codec::EVENT_COLUMNS
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query([ord(id)])?;
        if let Some(row) = rows.next()? {
            let found = view(row)?;
            return Ok((found.delivery.id == id && found.delivery.project_id == project).then_some(found));
        }
    }
    if !maybe_fresh {
        return Ok(None);
    }
    let found = fresh_view(connection, id.order())?;
    Ok(found.filter(|found| found.delivery.id == id && found.delivery.project_id == project))
}

fn view(row: &Row<'_>) -> Result<DeliveryView> {
    Ok(DeliveryView { event: Arc::new(codec::event(row)?), delivery: codec::delivery(row, codec::EVENT_COLUMN_COUNT)? })
}

/// A delivery that only its event implies.
fn fresh_view(connection: &Connection, order: u64) -> Result<Option<DeliveryView>> {
    let sql = format!("SELECT {} FROM events e WHERE e.ord < ?1 ORDER BY e.ord DESC LIMIT 1", codec::EVENT_COLUMNS);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([order.cast_signed()])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let event = Arc::new(codec::event(row)?);
    let index = u32::try_from(order - event.id.order() - 1).unwrap_or(u32::MAX);
    Ok(event.delivery(index).map(|delivery| DeliveryView { delivery, event }))
}

/// A delivery that is not settled, for the writer.
pub fn unsettled(connection: &Connection, fresh: &Fresh, project: Id, id: Id) -> Result<Option<Delivery>> {
    let sql = format!("SELECT {} FROM waiting d WHERE d.ord = ?1", codec::WAITING_COLUMNS);
    let waiting =
        connection.prepare_cached(&sql)?.query_row([ord(id)], |row| Ok(codec::delivery(row, 0))).optional()?;
    let found = match waiting {
        Some(delivery) => Some(delivery?),
        None if fresh.contains(id.order()) => fresh_view(connection, id.order())?.map(|view| view.delivery),
        None => None,
    };
    Ok(found.filter(|delivery| delivery.id == id && delivery.project_id == project))
}

/// Deliveries of one endpoint are found by its index; of more, by walking the project's.
fn deliveries(
    connection: &Connection,
    fresh: &Fresh,
    project: Id,
    filter: &DeliveryFilter,
    page: Page,
) -> Result<Vec<DeliveryView>> {
    let bounds = super::sql::order_bounds(page, filter.window);
    // Before the tables are looked at, see `delivery`.
    let fresh_orders = fresh.range(bounds.clone(), page.ascending, usize::MAX);
    let wants = |status| filter.statuses.is_empty() || filter.statuses.contains(&status);
    let mut found = BTreeMap::new();
    if Status::ALL.into_iter().any(|status| status.is_settled() && wants(status)) {
        let index = match (filter.event, filter.endpoints.len()) {
            (Some(_), _) => "",
            (None, 1) => "INDEXED BY settled_by_endpoint",
            (None, _) => "INDEXED BY settled_by_project",
        };
        let source = Source { table: "settled", columns: codec::SETTLED_COLUMNS, index };
        list(connection, &source, project, filter, page, &mut found)?;
    }
    if wants(Status::Scheduled) || wants(Status::Processing) || wants(Status::Retry) {
        let index = if filter.event.is_some() { "" } else { "INDEXED BY waiting_by_project" };
        let source = Source { table: "waiting", columns: codec::WAITING_COLUMNS, index };
        list(connection, &source, project, filter, page, &mut found)?;
    }
    if wants(Status::Scheduled) {
        list_fresh(connection, &fresh_orders, project, filter, page, &mut found)?;
    }
    let in_order: Box<dyn Iterator<Item = DeliveryView>> =
        if page.ascending { Box::new(found.into_values()) } else { Box::new(found.into_values().rev()) };
    Ok(in_order.take(page.limit).collect())
}

struct Source {
    table: &'static str,
    columns: &'static str,
    index: &'static str,
}

fn list(
    connection: &Connection,
    source: &Source,
    project: Id,
    filter: &DeliveryFilter,
    page: Page,
    found: &mut BTreeMap<u64, DeliveryView>,
) -> Result<()> {
    let mut conditions = Conditions::default();
    match filter.event {
        // The plus keeps the planner from walking the project's index for the few rows of one event.
        Some(_) => conditions.equals("+d.project", project.to_bytes().to_vec()),
        None => conditions.equals("d.project", project.to_bytes().to_vec()),
    }
    if let Some(event) = filter.event {
        conditions.of_event(event, born_with(connection, event)?);
    }
    conditions.orders("d.ord", page, filter.window);
    conditions.any_of("d.endpoint", filter.endpoints.iter().map(|id| id.to_bytes().to_vec()));
    if let Some(subscription) = filter.subscription {
        conditions.equals("d.subscription", subscription.to_bytes().to_vec());
    }
    if let Some(trigger) = filter.trigger {
        conditions.equals("d.trigger", i64::from(trigger.code()));
    }
    if let Some(replay) = filter.replay {
        conditions.equals("d.replay", replay.to_bytes().to_vec());
    }
    if let Some(event_type) = &filter.event_type {
        conditions.equals("e.type", event_type.clone());
    }
    if source.table == "settled" {
        conditions.any_of("d.status", filter.statuses.iter().map(|status| i64::from(status.code())));
    }
    let sql = format!(
        "SELECT {}, {} FROM {} d {} CROSS JOIN events e ON e.ord = d.event_ord WHERE {} ORDER BY d.ord {}",
        codec::EVENT_COLUMNS,
        source.columns,
        source.table,
        source.index,
        conditions.sql(),
        direction(page)
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(conditions.values()))?;
    let mut taken = 0;
    while taken < page.limit
        && let Some(row) = rows.next()?
    {
        let found_here = view(row)?;
        if !filter.statuses.is_empty() && !filter.statuses.contains(&found_here.delivery.status) {
            continue;
        }
        found.insert(found_here.delivery.id.order(), found_here);
        taken += 1;
    }
    Ok(())
}

/// Orders of the deliveries an event was born with; `None` for an unknown event.
fn born_with(connection: &Connection, event: Id) -> Result<Option<RangeInclusive<u64>>> {
    let sql = format!("SELECT {} FROM events e WHERE e.ord = ?1", codec::EVENT_COLUMNS);
    let found = connection.prepare_cached(&sql)?.query_row([ord(event)], |row| Ok(codec::event(row))).optional()?;
    let Some(found) = found.transpose()?.filter(|found| found.id == event) else {
        return Ok(None);
    };
    let first = event.order() + 1;
    Ok(Some(first..=event.order() + found.targets.len() as u64))
}

fn list_fresh(
    connection: &Connection,
    orders: &[u64],
    project: Id,
    filter: &DeliveryFilter,
    page: Page,
    found: &mut BTreeMap<u64, DeliveryView>,
) -> Result<()> {
    let mut taken = 0;
    for order in orders {
        if taken == page.limit {
            return Ok(());
        }
        if found.contains_key(order) {
            continue;
        }
        let Some(view) = fresh_view(connection, *order)? else { continue };
        if view.delivery.project_id == project && admits(filter, &view) && !left_memory(connection, *order)? {
            found.insert(*order, view);
            taken += 1;
        }
    }
    Ok(())
}

/// Whether it settled or was parked after the fresh set was looked at.
fn left_memory(connection: &Connection, order: u64) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM settled WHERE ord = ?1) OR EXISTS (SELECT 1 FROM waiting WHERE ord = ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([order.cast_signed()], |row| row.get(0))?)
}

fn admits(filter: &DeliveryFilter, view: &DeliveryView) -> bool {
    let delivery = &view.delivery;
    (filter.endpoints.is_empty() || filter.endpoints.contains(&delivery.endpoint_id))
        && filter.event.is_none_or(|event| event == delivery.event_id)
        && filter.subscription.is_none_or(|subscription| subscription == delivery.subscription_id)
        && filter.event_type.as_ref().is_none_or(|event_type| *event_type == view.event.event_type)
        && filter.trigger.is_none_or(|trigger| trigger == delivery.trigger)
        && filter.replay.is_none_or(|replay| Some(replay) == delivery.replay_id)
}

fn attempts(
    connection: &Connection,
    fresh: &Fresh,
    project: Id,
    delivery_id: Id,
    limit: usize,
) -> Result<Vec<Attempt>> {
    if delivery(connection, fresh, project, delivery_id)?.is_none() {
        return Ok(Vec::new());
    }
    let mut found = BTreeMap::new();
    let sql = format!("SELECT {}, d.ord FROM settled d WHERE d.ord = ?1", codec::INLINE_COLUMNS);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([ord(delivery_id)])?;
    if let Some(row) = rows.next()?
        && let Some(attempt) = codec::inline_attempt(row, 0, delivery_id)?
    {
        found.insert(1, attempt);
    }
    let sql = format!(
        "SELECT {}, number FROM attempts WHERE delivery = ?1 ORDER BY number DESC LIMIT ?2",
        codec::ATTEMPT_COLUMNS
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![ord(delivery_id), i64::try_from(limit).unwrap_or(i64::MAX)])?;
    while let Some(row) = rows.next()? {
        let number = row.get(codec::ATTEMPT_COLUMN_COUNT)?;
        found.entry(number).or_insert(codec::attempt(row, 0, delivery_id, number)?);
    }
    let surplus = found.len().saturating_sub(limit);
    Ok(found.into_values().skip(surplus).collect())
}
