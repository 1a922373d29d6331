//! Reading the queue table.

use super::PostgresStore;
use super::codec::{self, column, id, uuid};
use super::session::{Purpose, Sql, Step};
use crate::Result;
use crate::StoreError;
use crate::roles::{Arrivals, Backlog, Queue, Waiting};
use async_trait::async_trait;
use dacapo_model::{Class, Id, Shard, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// A start with millions waiting walks their keys once.
const BACKLOG_TIME_MAX: Duration = Duration::from_secs(30);

/// One walk over the lane index, which holds all keys but the project.
pub static BACKLOG: Sql = Sql {
    text: "SELECT l.endpoint, l.class, l.next_due, l.count, p.project FROM \
           (SELECT shard, endpoint, class, min(due_at) AS next_due, count(*) AS count FROM waiting \
            WHERE shard = ANY ($1) GROUP BY shard, endpoint, class) l \
           CROSS JOIN LATERAL (SELECT w.project FROM waiting w WHERE w.shard = l.shard AND w.endpoint = l.endpoint \
            AND w.class = l.class ORDER BY w.due_at LIMIT 1) p",
    types: &[Type::INT2_ARRAY],
};
pub static DUE: Sql = Sql {
    text: "SELECT e.id, e.project, e.type, e.source, e.idem, e.related_to, e.flags, e.detail, e.data, \
           d.id, d.project, d.endpoint, d.event, d.detail FROM \
           (SELECT * FROM waiting WHERE shard = $1 AND endpoint = $2 AND class = $3 AND due_at <= $4 \
            ORDER BY due_at, id LIMIT $5) d \
           JOIN events e ON e.id = d.event ORDER BY d.due_at, d.id",
    types: &[Type::INT2, Type::UUID, Type::INT2, Type::INT8, Type::INT8],
};
pub static NEXT_DUE: Sql = Sql {
    text: "SELECT due_at FROM waiting WHERE shard = $1 AND endpoint = $2 AND class = $3 AND due_at > $4 \
           ORDER BY due_at LIMIT 1",
    types: &[Type::INT2, Type::UUID, Type::INT2, Type::INT8],
};

#[async_trait]
impl Queue for PostgresStore {
    async fn backlog(&self) -> Result<Vec<Backlog>> {
        let shards: Vec<i16> = self.inner.lease.held().into_keys().map(|shard| shard.number().into()).collect();
        let walk = Step::Known(&BACKLOG, vec![&shards]);
        let rows = self.inner.reads.once(Purpose::Walk(BACKLOG_TIME_MAX), walk).await?;
        rows.iter()
            .map(|row| {
                let endpoint_id = id(row, 0)?;
                let code: i16 = column(row, 1)?;
                Ok(Backlog {
                    project_id: id(row, 4)?,
                    endpoint_id,
                    class: class(code)
                        .ok_or_else(|| codec::inconsistent("waiting", "class", endpoint_id, "unknown class"))?,
                    next_due: Timestamp::from_micros(column(row, 2)?),
                    count: column::<i64>(row, 3)?.cast_unsigned(),
                })
            })
            .collect()
    }

    async fn due(&self, endpoint: Id, class: Class, until: Timestamp, limit: usize) -> Result<Vec<Waiting>> {
        self.inner.check_open()?;
        let shard = Shard::of(endpoint);
        let fence = self.inner.lease.fence([shard].into()).map_err(|shards| StoreError::Fenced { shards })?;
        let (number, endpoint, class) = key(shard, endpoint, class);
        let (until, limit) = (until.micros(), i64::try_from(limit).unwrap_or(i64::MAX));
        // Looked at afterwards: whoever owns it then with the same epoch owned it when the rows were read.
        let steps = vec![Step::Known(&DUE, vec![&number, &endpoint, &class, &until, &limit]), fence.look()];
        let answers = self.inner.reads.transaction(Purpose::Work).await?.commit(steps).await?;
        let lost = fence.lost(&answers[1])?;
        if !lost.is_empty() {
            return Err(StoreError::Fenced { shards: lost });
        }
        let read = |row| {
            let (delivery, _) = codec::delivery(row, codec::EVENT_COLUMN_COUNT, "waiting")?;
            Ok(Waiting { delivery, event: Arc::new(codec::event(row)?) })
        };
        answers[0].iter().map(read).collect()
    }

    fn arrivals(&self) -> Arrivals {
        self.inner.arrivals.listen()
    }

    async fn next_due(&self, endpoint: Id, class: Class, after: Timestamp) -> Result<Option<Timestamp>> {
        let (shard, endpoint, class) = key(Shard::of(endpoint), endpoint, class);
        let after = after.micros();
        let look = Step::Known(&NEXT_DUE, vec![&shard, &endpoint, &class, &after]);
        let rows = self.inner.reads.once(Purpose::Work, look).await?;
        rows.first().map(|row| column(row, 0).map(Timestamp::from_micros)).transpose()
    }
}

fn key(shard: Shard, endpoint: Id, class: Class) -> (i16, Uuid, i16) {
    (shard.number().into(), uuid(endpoint), class.code().into())
}

fn class(code: i16) -> Option<Class> {
    u8::try_from(code).ok().and_then(Class::from_code)
}
