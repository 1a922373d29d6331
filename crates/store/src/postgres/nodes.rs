//! Who runs, for people to see: nobody decides by it.

use super::codec::id_of;
use super::lease::EXPIRY;
use super::session::{Purpose, Sessions, Sql, Step};
use super::{Options, PostgresStore, address::Address};
use crate::Result;
use crate::roles::NodeView;
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// Counting what is due may walk a long queue.
const LOOK_TIME_MAX: Duration = Duration::from_secs(10);
const CONNECTIONS: usize = 1;

static NODES: Sql = Sql {
    text: "SELECT n.id, n.label, (extract(epoch FROM n.started_at) * 1000000)::int8, \
           (extract(epoch FROM now() - n.heartbeat) * 1000)::int8, n.retiring, \
           coalesce(s.shards, '{}'), (extract(epoch FROM s.since) * 1000000)::int8, \
           coalesce(d.due, 0), coalesce((extract(epoch FROM now()) * 1000000)::int8 - d.oldest, 0) \
           FROM nodes n \
           LEFT JOIN (SELECT owner, array_agg(shard ORDER BY shard) AS shards, max(since) AS since \
            FROM shards GROUP BY owner) s ON s.owner = n.id \
           LEFT JOIN (SELECT sh.owner, count(*) AS due, min(w.due_at) AS oldest FROM waiting w \
            JOIN shards sh ON sh.shard = w.shard WHERE w.due_at <= (extract(epoch FROM now()) * 1000000)::int8 \
            GROUP BY sh.owner) d ON d.owner = n.id \
           ORDER BY n.started_at, n.id",
    types: &[] as &[Type],
};

impl PostgresStore {
    /// All nodes of a database, without becoming one.
    pub async fn look_at_nodes(options: &Options) -> Result<Vec<NodeView>> {
        read(&Sessions::new(&Address::parse(&options.url)?, CONNECTIONS, options.prepared)?).await
    }
}

pub(super) async fn read(sessions: &Sessions) -> Result<Vec<NodeView>> {
    let rows = sessions.once(Purpose::List(LOOK_TIME_MAX), Step::Known(&NODES, Vec::new())).await?;
    rows.iter().map(view).collect()
}

fn view(row: &Row) -> Result<NodeView> {
    let silent = Duration::from_millis(row.try_get::<_, i64>(3)?.max(0).cast_unsigned());
    let shards: Vec<i16> = row.try_get(5)?;
    Ok(NodeView {
        id: id_of(row.try_get(0)?),
        label: row.try_get(1)?,
        started_at: dacapo_model::Timestamp::from_micros(row.try_get(2)?),
        silent,
        is_alive: silent < EXPIRY,
        is_leaving: row.try_get(4)?,
        shards: shards.into_iter().filter_map(|shard| u8::try_from(shard).ok()).collect(),
        since: row.try_get::<_, Option<i64>>(6)?.map(dacapo_model::Timestamp::from_micros),
        due: row.try_get::<_, i64>(7)?.cast_unsigned(),
        lag: Duration::from_micros(row.try_get::<_, i64>(8)?.max(0).cast_unsigned()),
    })
}
