//! Reading the queue table.

use super::PostgresStore;
use super::codec::{self, column, id, uuid};
use super::lease::number;
use super::session::{Purpose, Sql, Step};
use crate::Result;
use crate::StoreError;
use crate::roles::{Arrivals, Backlog, CountedUpto, Depth, Due, Look, Queue, Waiting};
use async_trait::async_trait;
use dacapo_model::{Class, Id, Shard, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// There may be as many lanes as endpoints.
const BACKLOG_TIME_MAX: Duration = Duration::from_secs(30);

/// Other nodes' word comes with each of their commits: what follows within this time is read together.
const READS_APART: Duration = Duration::from_millis(10);

/// From lane to lane along their index: the first of each, and none of the others.
pub static BACKLOG: Sql = Sql {
    text: "WITH RECURSIVE lanes AS ( \
           SELECT f.* FROM unnest($1) s (shard) CROSS JOIN LATERAL \
           (SELECT w.shard, w.endpoint, w.class, w.due_at, w.project FROM waiting w WHERE w.shard = s.shard \
            ORDER BY w.shard, w.endpoint, w.class, w.due_at, w.id LIMIT 1) f \
           UNION ALL \
           SELECT n.* FROM lanes l CROSS JOIN LATERAL \
           (SELECT w.shard, w.endpoint, w.class, w.due_at, w.project FROM waiting w \
            WHERE w.shard = l.shard AND (w.endpoint, w.class) > (l.endpoint, l.class) \
            ORDER BY w.shard, w.endpoint, w.class, w.due_at, w.id LIMIT 1) n) \
           SELECT endpoint, class, due_at, project FROM lanes",
    types: &[Type::INT2_ARRAY],
};
/// A row for each class, and the last place: each shard from a place of its own on, in the order of the shards.
pub static COUNT: Sql = Sql {
    text: "WITH places AS MATERIALIZED ( \
           SELECT p.* FROM unnest($1, $2, $3, $4, $5) s (shard, endpoint, class, due_at, id) CROSS JOIN LATERAL \
           (SELECT w.shard, w.endpoint, w.class, w.due_at, w.id FROM waiting w WHERE w.shard = s.shard \
            AND (w.endpoint, w.class, w.due_at, w.id) > (s.endpoint, s.class, s.due_at, s.id) \
            ORDER BY w.shard, w.endpoint, w.class, w.due_at, w.id LIMIT $6) p LIMIT $6) \
           SELECT c.class, c.count, l.endpoint, l.class, l.due_at, l.id \
           FROM (SELECT class, count(*) AS count FROM places GROUP BY class) c CROSS JOIN \
           (SELECT * FROM places ORDER BY shard DESC, endpoint DESC, class DESC, due_at DESC, id DESC LIMIT 1) l",
    types: &[Type::INT2_ARRAY, Type::UUID_ARRAY, Type::INT2_ARRAY, Type::INT8_ARRAY, Type::UUID_ARRAY, Type::INT8],
};
/// A row for each delivery, or one for a lane without any. An id that begins in the middle of one and ends in the
/// next of the known ones does not come up: half of each is random. All of it is seen at one moment: a lane whose shard has an
/// epoch was this node's (`$6`) then.
pub static DUE: Sql = Sql {
    text: "SELECT e_id, e_project, e_type, e_source, e_idem, e_related_to, e_flags, e_detail, e_data, \
           d_id, d_project, d_endpoint, d_event, d_detail, place, epoch, next_due, \
           found < most AND found = count(d_id) OVER (PARTITION BY place) FROM \
           (SELECT e.id AS e_id, e.project AS e_project, e.type AS e_type, e.source AS e_source, e.idem AS e_idem, \
            e.related_to AS e_related_to, e.flags AS e_flags, e.detail AS e_detail, e.data AS e_data, \
            d.id AS d_id, d.project AS d_project, d.endpoint AS d_endpoint, d.event AS d_event, d.detail AS d_detail, \
            d.due_at, l.place, l.most, l.bytes, s.epoch, n.due_at AS next_due, count(d.id) OVER (PARTITION BY l.place) AS found, \
            sum(octet_length(e.data)) OVER (PARTITION BY l.place ORDER BY d.due_at, d.id \
             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before \
            FROM unnest($1, $2, $3, $5, $7, $8) WITH ORDINALITY l (shard, endpoint, class, most, known, bytes, place) \
            LEFT JOIN shards s ON s.shard = l.shard AND s.owner = $6 \
            LEFT JOIN LATERAL (SELECT w.due_at FROM waiting w WHERE w.shard = l.shard AND w.endpoint = l.endpoint \
             AND w.class = l.class AND w.due_at > $4 ORDER BY w.due_at LIMIT 1) n ON true \
            LEFT JOIN LATERAL (SELECT * FROM waiting w WHERE w.shard = l.shard AND w.endpoint = l.endpoint \
             AND w.class = l.class AND w.due_at <= $4 AND position(uuid_send(w.id) IN l.known) = 0 \
             ORDER BY w.due_at, w.id LIMIT l.most) d ON true \
            LEFT JOIN events e ON e.id = d.event) one \
           WHERE before IS NULL OR before < bytes ORDER BY place, due_at, d_id",
    types: &[
        Type::INT2_ARRAY,
        Type::UUID_ARRAY,
        Type::INT2_ARRAY,
        Type::INT8,
        Type::INT8_ARRAY,
        Type::UUID,
        Type::BYTEA_ARRAY,
        Type::INT8_ARRAY,
    ],
};
pub static NEXT_DUE: Sql = Sql {
    text: "SELECT l.place, n.due_at FROM unnest($1, $2, $3) WITH ORDINALITY l (shard, endpoint, class, place) \
           CROSS JOIN LATERAL (SELECT w.due_at FROM waiting w WHERE w.shard = l.shard AND w.endpoint = l.endpoint \
            AND w.class = l.class AND w.due_at > $4 ORDER BY w.due_at LIMIT 1) n",
    types: &[Type::INT2_ARRAY, Type::UUID_ARRAY, Type::INT2_ARRAY, Type::INT8],
};
/// Behind those of the event and the delivery.
const PLACE_COLUMN: usize = codec::EVENT_COLUMN_COUNT + 5;
const EPOCH_COLUMN: usize = PLACE_COLUMN + 1;
const NEXT_COLUMN: usize = PLACE_COLUMN + 2;
const IS_ALL_COLUMN: usize = PLACE_COLUMN + 3;

/// Lanes, a column an array.
struct Lanes {
    shards: Vec<i16>,
    endpoints: Vec<Uuid>,
    classes: Vec<i16>,
    most: Vec<i64>,
    bytes: Vec<i64>,
    /// Ids, one behind the other.
    known: Vec<Vec<u8>>,
}

impl Lanes {
    fn of(lanes: &[Look]) -> Self {
        Self {
            shards: lanes.iter().map(|lane| number(Shard::of(lane.endpoint_id))).collect(),
            endpoints: lanes.iter().map(|lane| uuid(lane.endpoint_id)).collect(),
            classes: lanes.iter().map(|lane| lane.class.code().into()).collect(),
            most: lanes.iter().map(|lane| i64::try_from(lane.limit).unwrap_or(i64::MAX)).collect(),
            bytes: lanes.iter().map(|lane| i64::try_from(lane.bytes_max).unwrap_or(i64::MAX)).collect(),
            known: lanes.iter().map(|lane| lane.known.iter().flat_map(|id| id.to_bytes()).collect()).collect(),
        }
    }
}

/// `place`: as SQL counts, from 1.
fn at<T>(found: &mut [T], place: i64) -> Result<&mut T> {
    let at = usize::try_from(place - 1).ok();
    at.and_then(|at| found.get_mut(at)).ok_or_else(|| StoreError::Inconsistent {
        table: "waiting",
        column: "place",
        row: place.to_string(),
        detail: "no lane that was asked for".to_owned(),
    })
}

#[async_trait]
impl Queue for PostgresStore {
    async fn backlog(&self) -> Result<Vec<Backlog>> {
        let shards = self.held();
        let walk = Step::Known(&BACKLOG, vec![&shards]);
        let rows = self.inner.reads.once(Purpose::Walk(BACKLOG_TIME_MAX), walk).await?;
        rows.iter()
            .map(|row| {
                let endpoint_id = id(row, 0)?;
                Ok(Backlog {
                    project_id: id(row, 3)?,
                    endpoint_id,
                    class: class(column(row, 1)?, endpoint_id)?,
                    next_due: Timestamp::from_micros(column(row, 2)?),
                })
            })
            .collect()
    }

    async fn count_waiting(&self, after: Option<CountedUpto>, rows_max: usize) -> Result<Depth> {
        let from = after.map_or(i16::MIN, |place| number(Shard::of(place.endpoint_id)));
        let mut shards = self.held();
        shards.retain(|shard| *shard >= from);
        shards.sort_unstable();
        // The first one goes on behind the place; the others begin before any.
        let (mut endpoints, mut ids) = (vec![Uuid::nil(); shards.len()], vec![Uuid::nil(); shards.len()]);
        let (mut classes, mut due) = (vec![-1_i16; shards.len()], vec![i64::MIN; shards.len()]);
        if let Some(place) = after.filter(|_| shards.first() == Some(&from)) {
            (endpoints[0], ids[0]) = (uuid(place.endpoint_id), uuid(place.delivery_id));
            (classes[0], due[0]) = (place.class.code().into(), place.due_at.micros());
        }
        let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
        let count = Step::Known(&COUNT, vec![&shards, &endpoints, &classes, &due, &ids, &limit]);
        let rows = self.inner.reads.once(Purpose::Work, count).await?;
        let (mut depth, mut found) = (Depth::default(), 0);
        for row in &rows {
            let (of, endpoint_id): (i64, Id) = (column(row, 1)?, id(row, 2)?);
            found += of;
            depth.counts.push((class(column(row, 0)?, endpoint_id)?, of.cast_unsigned()));
            depth.next = Some(CountedUpto {
                endpoint_id,
                class: class(column(row, 3)?, endpoint_id)?,
                due_at: Timestamp::from_micros(column(row, 4)?),
                delivery_id: id(row, 5)?,
            });
        }
        if found < limit {
            depth.next = None;
        }
        Ok(depth)
    }

    /// In one round trip.
    async fn due_in(&self, lanes: &[Look], until: Timestamp) -> Result<Vec<Due>> {
        self.inner.check_open()?;
        let mut asked_of: Vec<Shard> = lanes.iter().map(|lane| Shard::of(lane.endpoint_id)).collect();
        let fence = self
            .inner
            .lease
            .fence(asked_of.iter().copied().collect())
            .map_err(|shards| StoreError::Fenced { shards })?;
        let (asked, until) = (Lanes::of(lanes), until.micros());
        let Lanes { shards, endpoints, classes, most, bytes, known } = &asked;
        let node = uuid(self.inner.lease.node);
        let look = Step::Known(&DUE, vec![shards, endpoints, classes, &until, most, &node, known, bytes]);
        let rows = self.inner.reads.once(Purpose::Work, look).await?;
        let mut found: Vec<Due> = lanes.iter().map(|_| Due::default()).collect();
        let mut lost = BTreeSet::new();
        for row in &rows {
            let (place, epoch): (i64, Option<i64>) = (column(row, PLACE_COLUMN)?, column(row, EPOCH_COLUMN)?);
            let due = at(&mut found, place)?;
            let shard = at(&mut asked_of, place)?;
            if !fence.is_held(*shard, epoch) {
                lost.insert(*shard);
                continue;
            }
            due.is_all = column(row, IS_ALL_COLUMN)?;
            due.next = column::<Option<i64>>(row, NEXT_COLUMN)?.filter(|_| due.is_all).map(Timestamp::from_micros);
            // None: the lane has nothing, or what it has lost its event.
            if column::<Option<Uuid>>(row, 0)?.is_some() {
                let (delivery, _) = codec::delivery(row, codec::EVENT_COLUMN_COUNT, "waiting")?;
                due.waiting.push(Waiting { delivery, event: Arc::new(codec::event(row)?) });
            }
        }
        if !lost.is_empty() {
            return Err(StoreError::Fenced { shards: lost.into_iter().collect() });
        }
        Ok(found)
    }

    fn arrivals(&self) -> Arrivals {
        self.inner.arrivals.listen()
    }

    fn rests_between_reads(&self) -> Duration {
        READS_APART
    }

    async fn next_due(&self, endpoint_id: Id, class: Class, after: Timestamp) -> Result<Option<Timestamp>> {
        let Lanes { shards, endpoints, classes, .. } =
            Lanes::of(&[Look { endpoint_id, class, limit: 0, bytes_max: 0, known: Arc::default() }]);
        let after = after.micros();
        let look = Step::Known(&NEXT_DUE, vec![&shards, &endpoints, &classes, &after]);
        let rows = self.inner.reads.once(Purpose::Work, look).await?;
        rows.first().map(|row| column(row, 1).map(Timestamp::from_micros)).transpose()
    }
}

fn class(code: i16, endpoint_id: Id) -> Result<Class> {
    let known = u8::try_from(code).ok().and_then(Class::from_code);
    known.ok_or_else(|| codec::inconsistent("waiting", "class", endpoint_id, "unknown class"))
}
