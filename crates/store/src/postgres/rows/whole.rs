//! What nearly all batches are, as one call each: an answer of the server is a packet and a wake-up on either side, which
//! a few events do not make up for.

use super::{EventRows, SettledRows, WaitingRows};
use crate::postgres::lease::Fence;
use crate::postgres::session::{Call, Sql, Value};
use tokio_postgres::types::Type;

/// Events with what waits of them, unless the catalog is newer than what they were routed under: what it is comes
/// back (`whole.sql`).
static COMMIT_EVENTS: Sql = Sql {
    text: "SELECT commit_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
    types: &[
        Type::TEXT,
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

pub fn commit_events<'a>(routed_at: &'a i64, events: &'a EventRows<'_>, waiting: &'a WaitingRows) -> Call<'a> {
    let mut values: Vec<Value<'a>> = vec![routed_at];
    values.extend(events.values());
    values.extend(waiting.values());
    Call { function: &COMMIT_EVENTS, values }
}

/// From the queue to the history, unless a shard is another's: how many went (`whole.sql`).
pub static SETTLE_FIRST_ATTEMPTS: Sql = Sql {
    text: "SELECT settle_first_attempts($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    types: &[
        Type::TEXT,
        Type::INT4,
        Type::INT4,
        Type::INT2_ARRAY,
        Type::INT8_ARRAY,
        Type::UUID,
        Type::UUID_ARRAY,
        Type::INT4_ARRAY,
        Type::UUID_ARRAY,
        Type::UUID_ARRAY,
        Type::UUID_ARRAY,
        Type::INT2_ARRAY,
        Type::INT2_ARRAY,
        Type::BYTEA_ARRAY,
    ],
};

impl SettledRows {
    /// Those whose row knows of fewer attempts than `before`.
    pub fn settle_first_attempts<'a>(&'a self, before: &'a Vec<i32>, fence: &'a Fence) -> Call<'a> {
        let mut values: Vec<Value<'a>> = fence.shown().into();
        values.extend([&self.ids as Value<'a>, before, &self.projects, &self.endpoints, &self.events]);
        values.extend([&self.triggers as Value<'a>, &self.statuses, &self.details]);
        Call { function: &SETTLE_FIRST_ATTEMPTS, values }
    }
}
