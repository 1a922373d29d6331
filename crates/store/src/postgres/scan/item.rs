//! Events with all of their deliveries, those that are meant.

use crate::Result;
use crate::postgres::codec::{self, uuid, uuids};
use crate::postgres::session::{Sql, Step, Transaction};
use crate::roles::{ScanItem, ScanRequest};
use crate::targets::TARGET_BYTES;
use dacapo_model::{Delivery, Event, Id};
use std::collections::HashMap;
use std::sync::Arc;
use tokio_postgres::types::Type;

/// An event's columns, how long its payload is, its later targets, and whether some of those still wait
/// to become deliveries.
pub fn columns(request: &ScanRequest) -> String {
    let columns = if request.load.data || request.selector.reads_data() {
        codec::EVENT_COLUMNS.to_owned()
    } else {
        // A payload that nobody looks at is not fetched.
        codec::EVENT_COLUMNS.replace("e.data", "''::bytea")
    };
    format!(
        "{columns}, octet_length(e.data), coalesce(octet_length(e.more), 0), \
         e.more IS NOT NULL AND EXISTS (SELECT FROM fan_outs f WHERE f.event = e.id AND f.shard IS NOT NULL)"
    )
}

/// Of the project's events with these ids, those that are meant.
pub async fn of(transaction: &mut Transaction, request: &ScanRequest, ids: &[Id]) -> Result<HashMap<Id, ScanItem>> {
    let sql = format!("SELECT {} FROM events e WHERE e.id = ANY ($1) AND e.project = $2", columns(request));
    let (ids, project) = (uuids(ids.iter().copied()), uuid(request.project));
    let values = vec![(&ids as _, Type::UUID_ARRAY), (&project as _, Type::UUID)];
    let rows = transaction.run(vec![Step::Once(&sql, values)]).await?;
    decide(transaction, request, &rows[0]).await
}

/// Of rows with [`columns`], those that are meant.
pub async fn decide(
    transaction: &mut Transaction,
    request: &ScanRequest,
    rows: &[tokio_postgres::Row],
) -> Result<HashMap<Id, ScanItem>> {
    let selector = &request.selector;
    let mut admitted = Vec::new();
    for row in rows {
        let event = codec::event(row)?;
        // Whom it never reached will be known when the last part is written; until then it is on its way.
        let is_unfolding: bool = codec::column(row, codec::EVENT_COLUMN_COUNT + 2)?;
        if selector.admits(&event) && !(is_unfolding && selector.needs_routing()) {
            let bytes = |column| codec::column::<i32>(row, column).map(|bytes| usize::try_from(bytes).unwrap_or(0));
            let later_targets = bytes(codec::EVENT_COLUMN_COUNT + 1)? / TARGET_BYTES;
            admitted.push((event, bytes(codec::EVENT_COLUMN_COUNT)?, later_targets));
        }
    }
    let mut deliveries = HashMap::new();
    if request.load.deliveries || selector.reads_deliveries() {
        let events: Vec<_> = admitted.iter().map(|(event, _, later)| (event, *later)).collect();
        deliveries = all_deliveries(transaction, &events).await?;
    }
    let items = admitted.into_iter().filter_map(|(event, data_bytes, _)| {
        let deliveries: Vec<Delivery> = deliveries.remove(&event.id).unwrap_or_default();
        let is_meant = selector.reaches(&event, &deliveries)
            && (selector.needs_routing() || !selector.pairs(&event, &deliveries, Vec::new).is_empty());
        is_meant.then(|| (event.id, ScanItem { event: Arc::new(event), data_bytes, deliveries }))
    });
    Ok(items.collect())
}

macro_rules! deliveries {
    ($from:literal) => {
        concat!("SELECT d.id, d.project, d.endpoint, d.event, d.detail FROM ", $from)
    };
}

const RANGES: &[Type] = &[Type::UUID_ARRAY, Type::UUID_ARRAY, Type::UUID_ARRAY];
const EVENTS: &[Type] = &[Type::UUID_ARRAY];

/// The deliveries an event was born with lie in a short range behind it; another's may lie between.
pub static SETTLED: Sql = Sql {
    text: deliveries!(
        "unnest($1, $2, $3) b (event, low, high) JOIN settled d \
         ON d.id BETWEEN b.low AND b.high AND d.event = b.event AND d.trigger <> 1"
    ),
    types: RANGES,
};
pub static WAITING: Sql = Sql {
    text: deliveries!(
        "unnest($1, $2, $3) b (event, low, high) JOIN waiting d \
         ON d.id BETWEEN b.low AND b.high AND d.event = b.event AND d.class <> 2"
    ),
    types: RANGES,
};
pub static SETTLED_REPLAYS: Sql =
    Sql { text: deliveries!("settled d WHERE d.trigger = 1 AND d.event = ANY ($1)"), types: EVENTS };
pub static WAITING_REPLAYS: Sql =
    Sql { text: deliveries!("waiting d WHERE d.class = 2 AND d.event = ANY ($1)"), types: EVENTS };

/// By event, each by id. With each event how many targets it has behind those in itself.
async fn all_deliveries(
    transaction: &mut Transaction,
    events: &[(&Event, usize)],
) -> Result<HashMap<Id, Vec<Delivery>>> {
    if events.is_empty() {
        return Ok(HashMap::new());
    }
    let ids = uuids(events.iter().map(|(event, _)| event.id));
    let born: Vec<_> = events.iter().filter(|(event, _)| !event.targets.is_empty()).collect();
    let parents = uuids(born.iter().map(|(event, _)| event.id));
    let order = |event: &Event, beyond: u64| Id::from_parts(event.id.order().saturating_add(beyond), 0);
    let low = uuids(born.iter().map(|(event, _)| order(event, 1)));
    let high = uuids(born.iter().map(|(event, later)| order(event, 1 + (event.targets.len() + later) as u64)));
    let steps = vec![
        Step::Known(&SETTLED, vec![&parents, &low, &high]),
        Step::Known(&WAITING, vec![&parents, &low, &high]),
        Step::Known(&SETTLED_REPLAYS, vec![&ids]),
        Step::Known(&WAITING_REPLAYS, vec![&ids]),
    ];
    let answers = transaction.run(steps).await?;
    let mut found: HashMap<Id, Vec<Delivery>> = HashMap::new();
    for (answer, table) in answers.iter().zip(["settled", "waiting", "settled", "waiting"]) {
        for row in answer {
            let (delivery, _) = codec::delivery(row, 0, table)?;
            found.entry(delivery.event_id).or_default().push(delivery);
        }
    }
    for deliveries in found.values_mut() {
        deliveries.sort_unstable_by_key(|delivery| delivery.id);
    }
    Ok(found)
}
