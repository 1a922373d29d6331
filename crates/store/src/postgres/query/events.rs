//! Events by id and as lists.

use super::Walk;
use crate::Result;
use crate::postgres::codec::{self, uuid, uuids};
use crate::postgres::session::{Sql, Step, Transaction};
use crate::postgres::sql::{Conditions, id_bounds};
use crate::roles::{EventFilter, Page};
use crate::targets;
use dacapo_model::event::{Audience, Target};
use dacapo_model::{Event, Id};
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use tokio_postgres::types::Type;

pub static ONE: Sql = Sql {
    text: "SELECT e.id, e.project, e.type, e.source, e.idem, e.related_to, e.flags, e.detail, e.data \
           FROM events e WHERE e.id = $1 AND e.project = $2",
    types: &[Type::UUID, Type::UUID],
};

pub async fn one(transaction: &mut Transaction, project: Id, id: Id) -> Result<Option<Arc<Event>>> {
    let (id, project) = (uuid(id), uuid(project));
    let rows = transaction.run(vec![Step::Known(&ONE, vec![&id, &project])]).await?;
    rows[0].first().map(|row| codec::event(row).map(Arc::new)).transpose()
}

/// Those that are there.
pub async fn among(transaction: &mut Transaction, project: Id, ids: &[Id]) -> Result<Vec<Arc<Event>>> {
    let (ids, project) = (uuids(ids.iter().copied()), uuid(project));
    let sql = format!("SELECT {} FROM events e WHERE e.id = ANY ($1) AND e.project = $2", codec::EVENT_COLUMNS);
    let values = vec![(&ids as _, Type::UUID_ARRAY), (&project as _, Type::UUID)];
    let rows = transaction.run(vec![Step::Once(&sql, values)]).await?;
    rows[0].iter().map(|row| codec::event(row).map(Arc::new)).collect()
}

static LATER: Sql = Sql { text: "SELECT count FROM fan_outs WHERE event = $1", types: &[Type::UUID] };

/// How many targets of an event lie outside of it.
pub async fn later(transaction: &mut Transaction, event: Id) -> Result<u64> {
    let event = uuid(event);
    let rows = transaction.run(vec![Step::Known(&LATER, vec![&event])]).await?;
    let count: i32 = rows[0].first().map_or(Ok(0), |row| codec::column(row, 0))?;
    Ok(u64::from(count.cast_unsigned()))
}

static MORE: Sql = Sql {
    text: "SELECT e.more FROM events e WHERE e.id = $1 AND e.project = $2 AND e.more IS NOT NULL",
    types: &[Type::UUID, Type::UUID],
};

/// The targets of an event that lie outside of it.
pub async fn later_targets(transaction: &mut Transaction, project: Id, event: Id) -> Result<Vec<Target>> {
    let (id, project) = (uuid(event), uuid(project));
    let rows = transaction.run(vec![Step::Known(&MORE, vec![&id, &project])]).await?;
    let Some(row) = rows[0].first() else { return Ok(Vec::new()) };
    targets::decode(codec::column(row, 0)?)
        .ok_or_else(|| codec::inconsistent("events", "more", event, "unknown layout"))
}

/// Endpoints a condition looks for inside of events one by one; with more of them, every event of the
/// page's range is read and looked at here.
const SOUGHT_MAX: usize = 16;
/// Any of these is among the targets, was addressed, or got a replay. The first two look for the
/// id's bytes anywhere in the event's detail, or among its later targets.
pub const REACHES: &str = "(EXISTS (SELECT FROM unnest({}) i (endpoint) WHERE position(uuid_send(i.endpoint) IN e.detail) > 0 \
     OR position(uuid_send(i.endpoint) IN e.more) > 0 \
     OR EXISTS (SELECT FROM settled s WHERE s.trigger = 1 AND s.event = e.id AND s.endpoint = i.endpoint) \
     OR EXISTS (SELECT FROM waiting w WHERE w.class = 2 AND w.event = e.id AND w.endpoint = i.endpoint)))";

pub fn conditions(project: Id, filter: &EventFilter, bounds: &RangeInclusive<u128>) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.with("e.project = {}", uuid(project), Type::UUID);
    conditions.between("e.id", bounds);
    conditions.any_id("e.source", &filter.sources);
    if !filter.event_types.is_empty() {
        let types: Vec<Vec<u8>> = filter.event_types.iter().map(|name| name.clone().into_bytes()).collect();
        conditions.with("e.type = ANY ({})", types, Type::BYTEA_ARRAY);
    }
    if (1..=SOUGHT_MAX).contains(&filter.endpoints.len()) {
        conditions.with(REACHES, uuids(filter.endpoints.iter().copied()), Type::UUID_ARRAY);
    }
    if let Some(key) = &filter.idempotency_key {
        conditions.with("e.idem = {}", key.clone().into_bytes(), Type::BYTEA);
    }
    if let Some(to) = filter.related_to {
        conditions.with("e.related_to = {}", uuid(to), Type::UUID);
    }
    conditions
}

pub fn select() -> String {
    format!("SELECT {} FROM events e", codec::EVENT_COLUMNS)
}

/// Walks the project's events. SQL leaves out what it can; what it lets pass is looked at again here.
pub async fn list(
    transaction: &mut Transaction,
    project: Id,
    filter: &EventFilter,
    page: Page,
) -> Result<Vec<Arc<Event>>> {
    let bounds = id_bounds(page, filter.window);
    let mut beside = replayed_to(transaction, project, filter, &bounds).await?;
    beside.extend(largely_reached(transaction, project, filter, &bounds).await?);
    let sought: HashSet<Id> = filter.endpoints.iter().copied().collect();
    let select = select();
    let walk = Walk { select: &select, column: "e.id", id_at: 0, page };
    let mut found = Vec::new();
    let keep = |row: &tokio_postgres::Row| {
        let event = codec::event(row)?;
        let wanted =
            admits(filter, &event) && (sought.is_empty() || reaches(&event, &sought) || beside.contains(&event.id));
        if wanted {
            found.push(Arc::new(event));
        }
        Ok(wanted)
    };
    walk.go(transaction, bounds, |bounds| conditions(project, filter, bounds), keep).await?;
    Ok(found)
}

fn admits(filter: &EventFilter, event: &Event) -> bool {
    filter.livemode.is_none_or(|livemode| event.connect.livemode == livemode)
}

fn reaches(event: &Event, sought: &HashSet<Id>) -> bool {
    let addressed = match &event.audience {
        Audience::Endpoints(ids) => ids.iter().any(|id| sought.contains(id)),
        Audience::Project | Audience::Source => false,
    };
    addressed || event.targets.iter().any(|target| sought.contains(&target.endpoint_id))
}

/// Events in range with a replay to any of the endpoints: replays are few beside events.
async fn replayed_to(
    transaction: &mut Transaction,
    project: Id,
    filter: &EventFilter,
    bounds: &RangeInclusive<u128>,
) -> Result<HashSet<Id>> {
    if filter.endpoints.is_empty() || bounds.is_empty() {
        return Ok(HashSet::new());
    }
    let mut found = HashSet::new();
    for (table, replays) in [("settled", "d.trigger = 1"), ("waiting", "d.class = 2")] {
        let mut conditions = Conditions::default();
        conditions.literal(replays);
        conditions.with("d.project = {}", uuid(project), Type::UUID);
        conditions.between("d.event", bounds);
        conditions.any_id("d.endpoint", &filter.endpoints);
        let sql = format!("SELECT DISTINCT d.event FROM {table} d WHERE {}", conditions.sql());
        let rows = transaction.run(vec![Step::Once(&sql, conditions.values())]).await?;
        for row in &rows[0] {
            found.insert(codec::id(row, 0)?);
        }
    }
    Ok(found)
}

/// Events in range with any of the endpoints among their later targets: there are few with such.
async fn largely_reached(
    transaction: &mut Transaction,
    project: Id,
    filter: &EventFilter,
    bounds: &RangeInclusive<u128>,
) -> Result<HashSet<Id>> {
    if filter.endpoints.is_empty() || bounds.is_empty() {
        return Ok(HashSet::new());
    }
    let mut conditions = Conditions::default();
    conditions.with("f.project = {}", uuid(project), Type::UUID);
    conditions.between("f.event", bounds);
    conditions.with(
        "EXISTS (SELECT FROM unnest({}) i (endpoint) WHERE position(uuid_send(i.endpoint) IN e.more) > 0)",
        uuids(filter.endpoints.iter().copied()),
        Type::UUID_ARRAY,
    );
    let sql = format!("SELECT f.event FROM fan_outs f JOIN events e ON e.id = f.event WHERE {}", conditions.sql());
    let rows = transaction.run(vec![Step::Once(&sql, conditions.values())]).await?;
    rows[0].iter().map(|row| codec::id(row, 0)).collect()
}
