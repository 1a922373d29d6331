//! What nearly all batches are, as one statement each: an answer of the server is a packet and a wake-up on either
//! side, which a few events do not make up for.

use super::{EventRows, SettledRows, WaitingRows};
use crate::postgres::session::{Sql, Step, Value};
use tokio_postgres::types::Type;

/// Events with what waits of them, unless the catalog is newer than what they were routed under (`$1`): what it is
/// comes back. One statement and one snapshot, so all of it is written or nothing.
static INSERT_BORN: Sql = Sql {
    text: "WITH catalog AS MATERIALIZED (SELECT version FROM catalog_version), \
           born AS (INSERT INTO events (id, project, type, source, idem, related_to, flags, detail, data) \
            SELECT unnest($2), unnest($3), unnest($4), unnest($5), unnest($6), unnest($7), unnest($8), unnest($9), unnest($10) WHERE (SELECT version FROM catalog) <= $1), \
           owed AS (INSERT INTO waiting (id, shard, endpoint, class, due_at, project, event, attempts, detail) \
            SELECT unnest($11), unnest($12), unnest($13), unnest($14), unnest($15), unnest($16), unnest($17), unnest($18), unnest($19) WHERE (SELECT version FROM catalog) <= $1) \
           SELECT version FROM catalog",
    types: &[
        Type::INT8,
        Type::UUID_ARRAY,
        Type::UUID_ARRAY,
        Type::BYTEA_ARRAY,
        Type::UUID_ARRAY,
        Type::BYTEA_ARRAY,
        Type::UUID_ARRAY,
        Type::INT2_ARRAY,
        Type::BYTEA_ARRAY,
        Type::BYTEA_ARRAY,
        Type::UUID_ARRAY,
        Type::INT2_ARRAY,
        Type::UUID_ARRAY,
        Type::INT2_ARRAY,
        Type::INT8_ARRAY,
        Type::UUID_ARRAY,
        Type::UUID_ARRAY,
        Type::INT4_ARRAY,
        Type::BYTEA_ARRAY,
    ],
};

/// See [`INSERT_BORN`].
pub fn insert_born<'a>(routed_at: &'a i64, events: &'a EventRows<'_>, waiting: &'a WaitingRows) -> Step<'a> {
    let mut values: Vec<Value<'a>> = vec![routed_at];
    values.extend(events.values());
    values.extend(waiting.values());
    Step::Known(&INSERT_BORN, values)
}

/// From the queue to the history, in one statement: how many went. Those whose row knows of this attempt already
/// stay (`before`), and all of them when one of the shards (`$9`, by the epochs `$10`) is not the node's (`$11`).
pub static MOVE: Sql = Sql {
    text: "WITH gone AS (DELETE FROM waiting w \
            USING (SELECT unnest($1) AS id, unnest($2) AS before, unnest($3) AS project, unnest($4) AS endpoint, \
             unnest($5) AS event, unnest($6) AS trigger, unnest($7) AS status, unnest($8) AS detail) i \
            WHERE w.id = i.id AND w.attempts < i.before AND NOT EXISTS (SELECT FROM unnest($9, $10) h (shard, epoch) \
             LEFT JOIN shards s ON s.shard = h.shard AND s.owner = $11 AND s.epoch = h.epoch WHERE s.shard IS NULL) \
            RETURNING i.*), \
           settled AS (INSERT INTO settled (id, project, endpoint, event, trigger, status, inline, detail) \
            SELECT id, project, endpoint, event, trigger, status, true, detail FROM gone) \
           SELECT count(*) FROM gone",
    types: &[
        Type::UUID_ARRAY,
        Type::INT4_ARRAY,
        Type::UUID_ARRAY,
        Type::UUID_ARRAY,
        Type::UUID_ARRAY,
        Type::INT2_ARRAY,
        Type::INT2_ARRAY,
        Type::BYTEA_ARRAY,
        Type::INT2_ARRAY,
        Type::INT8_ARRAY,
        Type::UUID,
    ],
};

impl SettledRows {
    /// See [`MOVE`]; `shards`: numbers, epochs and the node they belong to.
    pub fn take_out_of_queue<'a>(&'a self, before: &'a Vec<i32>, shards: [Value<'a>; 3]) -> Step<'a> {
        let mut values: Vec<Value<'a>> = vec![
            &self.ids,
            before,
            &self.projects,
            &self.endpoints,
            &self.events,
            &self.triggers,
            &self.statuses,
            &self.details,
        ];
        values.extend(shards);
        Step::Known(&MOVE, values)
    }
}
