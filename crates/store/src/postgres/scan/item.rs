//! Events with all of their deliveries, those that are meant; or with some, where they are many.

use super::slice::{self, Sliced};
use crate::Result;
use crate::postgres::codec::{self, uuid, uuids};
use crate::postgres::session::{Sql, Step, Transaction};
use crate::roles::{Place, ScanItem, ScanRequest, Slice};
use crate::targets::TARGET_BYTES;
use dacapo_model::{Delivery, Event, Id};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio_postgres::types::Type;

/// An event's columns, how long its payload is, its later targets, and whether some of those still wait
/// to become deliveries.
pub fn columns(request: &ScanRequest) -> String {
    let mut columns = codec::EVENT_COLUMNS.to_owned();
    if !request.reads_data() {
        // A payload that nobody looks at is not fetched.
        columns = columns.replace("e.data", "''::bytea");
    }
    if !request.reads_content() {
        columns = columns.replace("e.idem", "NULL::bytea");
    }
    format!(
        "{columns}, octet_length(e.data), coalesce(octet_length(e.more), 0), \
         e.more IS NOT NULL AND EXISTS (SELECT FROM fan_outs f WHERE f.event = e.id AND f.shard IS NOT NULL)"
    )
}

/// An event whose deliveries decide whether it is meant.
pub struct Admitted {
    event: Event,
    data_bytes: usize,
    /// Targets behind those in the event itself.
    later_targets: usize,
}

impl Admitted {
    /// Deliveries it was born with.
    pub fn born(&self) -> usize {
        self.event.targets.len() + self.later_targets
    }
}

/// What looking at an event, or at a slice of it, came to.
pub struct Look {
    /// `None`: it is not meant.
    pub item: Option<ScanItem>,
    /// Read for it.
    pub deliveries: usize,
    /// Where it goes on, when this was not all of it.
    pub rest: Option<Place>,
}

/// Of the project's events with these ids, those that are admitted.
pub async fn read(transaction: &mut Transaction, request: &ScanRequest, ids: &[Id]) -> Result<HashMap<Id, Admitted>> {
    let sql = format!("SELECT {} FROM events e WHERE e.id = ANY ($1) AND e.project = $2", columns(request));
    let (ids, project) = (uuids(ids.iter().copied()), uuid(request.project));
    let values = vec![(&ids as _, Type::UUID_ARRAY), (&project as _, Type::UUID)];
    let rows = transaction.run(vec![Step::Once(&sql, values)]).await?;
    admitted(request, &rows[0])
}

/// Of rows with [`columns`], those that are admitted.
pub fn admitted(request: &ScanRequest, rows: &[tokio_postgres::Row]) -> Result<HashMap<Id, Admitted>> {
    let selector = &request.selector;
    let mut admitted = HashMap::new();
    for row in rows {
        let event = codec::event(row)?;
        // Whom it never reached will be known when the last part is written; until then it is on its way.
        let is_unfolding: bool = codec::column(row, codec::EVENT_COLUMN_COUNT + 2)?;
        if selector.admits(&event) && !(is_unfolding && selector.needs_routing()) {
            let bytes = |column| codec::column::<i32>(row, column).map(|bytes| usize::try_from(bytes).unwrap_or(0));
            let later_targets = bytes(codec::EVENT_COLUMN_COUNT + 1)? / TARGET_BYTES;
            let data_bytes = bytes(codec::EVENT_COLUMN_COUNT)?;
            admitted.insert(event.id, Admitted { event, data_bytes, later_targets });
        }
    }
    Ok(admitted)
}

/// At events that were born with no more deliveries together than a page takes, or at a single one: at as many of
/// them, from the first on, as have about a page of deliveries by now. Gives back the others: whether the page
/// is full is not decided here, and of an event that it begins within it may get fewer than were read.
pub async fn look(
    transaction: &mut Transaction,
    request: &ScanRequest,
    mut batch: Vec<Admitted>,
) -> Result<(Vec<(Id, Look)>, Vec<Admitted>)> {
    let selector = &request.selector;
    let wanted = request.load.deliveries || selector.reads_deliveries();
    let mut read = Deliveries { of: HashMap::new(), large: HashSet::new(), events: batch.len() };
    if wanted {
        read = Deliveries::read(transaction, &batch, request.deliveries_max).await?;
    }
    let left = batch.split_off(read.events);
    let mut looks = Vec::with_capacity(batch.len());
    for admitted in batch {
        let begun = match request.after {
            Some(Place::Within { event, endpoint }) if event == admitted.event.id => Some(endpoint),
            _ => None,
        };
        let is_large = begun.is_some() || admitted.born() > request.deliveries_max;
        let sliced = if wanted && (is_large || read.large.contains(&admitted.event.id)) {
            slice::after(transaction, request, &admitted.event, begun).await?
        } else {
            let deliveries = read.of.remove(&admitted.event.id).unwrap_or_default();
            let is_reached = selector.reaches(&admitted.event, &deliveries);
            Sliced { is_reached, slice: Slice { after: begun, upto: None }, deliveries }
        };
        looks.push((admitted.event.id, decided(request, admitted, sliced)));
    }
    Ok((looks, left))
}

fn decided(request: &ScanRequest, admitted: Admitted, sliced: Sliced) -> Look {
    let Admitted { event, data_bytes, .. } = admitted;
    let (selector, Sliced { deliveries, slice, is_reached }) = (&request.selector, sliced);
    let rest = slice.upto.map(|endpoint| Place::Within { event: event.id, endpoint });
    let read = deliveries.len();
    let is_meant = is_reached
        && (selector.needs_routing() || !selector.pairs_of_reached(&event, &deliveries, Vec::new).is_empty());
    let item = is_meant.then(|| ScanItem { event: Arc::new(event), data_bytes, slice, deliveries });
    Look { item, deliveries: read, rest }
}

macro_rules! deliveries {
    ($from:literal) => {
        concat!("SELECT d.id, d.project, d.endpoint, d.event, d.detail FROM ", $from)
    };
}

const RANGES: &[Type] = &[Type::UUID_ARRAY, Type::UUID_ARRAY, Type::UUID_ARRAY];
const EVENTS: &[Type] = &[Type::UUID_ARRAY, Type::INT8, Type::UUID, Type::UUID];

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
/// Most stretches of events have none: one look says so, where each event would be looked for in each partition.
pub static SETTLED_REPLAYS: Sql = Sql {
    text: deliveries!(
        "settled d WHERE d.trigger = 1 AND d.event = ANY ($1) \
         AND EXISTS (SELECT FROM settled r WHERE r.trigger = 1 AND r.event BETWEEN $3 AND $4) LIMIT $2"
    ),
    types: EVENTS,
};
pub static WAITING_REPLAYS: Sql = Sql {
    text: deliveries!(
        "waiting d WHERE d.class = 2 AND d.event = ANY ($1) \
         AND EXISTS (SELECT FROM waiting r WHERE r.class = 2 AND r.event BETWEEN $3 AND $4) LIMIT $2"
    ),
    types: EVENTS,
};

/// What a batch of events got.
struct Deliveries {
    of: HashMap<Id, Vec<Delivery>>,
    /// Events that have more by themselves than a page takes.
    large: HashSet<Id>,
    /// So many of the batch's first events were looked at.
    events: usize,
}

impl Deliveries {
    /// What was sent again is known only once it is read: where a batch turns out too large, its halves are read.
    async fn read(transaction: &mut Transaction, batch: &[Admitted], most: usize) -> Result<Self> {
        let mut read = Self { of: HashMap::new(), large: HashSet::new(), events: 0 };
        let (mut parts, mut rows) = (vec![batch], 0);
        while let Some(part) = parts.pop().filter(|_| rows < most) {
            match (all_deliveries(transaction, part, most).await?, part) {
                (Some(found), _) => {
                    rows += found.values().map(Vec::len).sum::<usize>();
                    read.of.extend(found);
                }
                (None, [single]) => {
                    read.large.insert(single.event.id);
                }
                (None, several) => {
                    let (first, second) = several.split_at(several.len() / 2);
                    parts.extend([second, first]);
                    continue;
                }
            }
            read.events += part.len();
        }
        Ok(read)
    }
}

/// By event, each by id. `None` when they are more than `most`.
async fn all_deliveries(
    transaction: &mut Transaction,
    events: &[Admitted],
    most: usize,
) -> Result<Option<HashMap<Id, Vec<Delivery>>>> {
    if events.is_empty() {
        return Ok(Some(HashMap::new()));
    }
    if events.iter().map(|admitted| admitted.born()).sum::<usize>() > most {
        return Ok(None);
    }
    let ids = uuids(events.iter().map(|admitted| admitted.event.id));
    let bounds = events.iter().map(|admitted| admitted.event.id);
    let (first, last) = (bounds.clone().min().unwrap_or(Id::MAX), bounds.max().unwrap_or(Id::MIN));
    let (first, last) = (uuid(first), uuid(last));
    let born: Vec<&Admitted> = events.iter().filter(|admitted| !admitted.event.targets.is_empty()).collect();
    let parents = uuids(born.iter().map(|admitted| admitted.event.id));
    let order = |admitted: &Admitted, beyond: u64| Id::from_parts(admitted.event.id.order().saturating_add(beyond), 0);
    let low = uuids(born.iter().map(|admitted| order(admitted, 1)));
    let high = uuids(born.iter().map(|admitted| order(admitted, 1 + admitted.born() as u64)));
    let limit = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
    let steps = vec![
        Step::Known(&SETTLED, vec![&parents, &low, &high]),
        Step::Known(&WAITING, vec![&parents, &low, &high]),
        Step::Known(&SETTLED_REPLAYS, vec![&ids, &limit, &first, &last]),
        Step::Known(&WAITING_REPLAYS, vec![&ids, &limit, &first, &last]),
    ];
    let answers = transaction.run(steps).await?;
    if answers.iter().map(Vec::len).sum::<usize>() > most {
        return Ok(None);
    }
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
    Ok(Some(found))
}
