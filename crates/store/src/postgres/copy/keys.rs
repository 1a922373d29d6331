//! Keys of producers and of replay calls, as they are.

use crate::Result;
use crate::copy::{IdempotencyKey, ReplayKey};
use crate::postgres::codec::{uuid, uuids};
use crate::postgres::session::{Sql, Step, Transaction};
use tokio_postgres::types::Type;
use uuid::Uuid;

static IDEMPOTENCY: Sql = Sql {
    text: "INSERT INTO idempotency (project, key, event) SELECT * FROM unnest($1, $2, $3)",
    types: &[Type::UUID_ARRAY, Type::BYTEA_ARRAY, Type::UUID_ARRAY],
};
/// An array of arrays cannot have rows of different lengths: the deliveries come one after the other,
/// with the number of the key they are of.
static REPLAY: Sql = Sql {
    text: "INSERT INTO replay_keys (project, key, fingerprint, deliveries, at) \
           SELECT k.project, k.key, k.fingerprint, coalesce(d.ids, '{}'), k.at \
           FROM unnest($1, $2, $3, $4) WITH ORDINALITY k (project, key, fingerprint, at, number) \
           LEFT JOIN (SELECT i.number, array_agg(i.id ORDER BY i.at) AS ids \
            FROM unnest($5, $6) WITH ORDINALITY i (number, id, at) GROUP BY i.number) d ON d.number = k.number",
    types: &[
        Type::UUID_ARRAY,
        Type::BYTEA_ARRAY,
        Type::BYTEA_ARRAY,
        Type::INT8_ARRAY,
        Type::INT8_ARRAY,
        Type::UUID_ARRAY,
    ],
};

pub async fn write_idempotency(transaction: Transaction, rows: &[IdempotencyKey]) -> Result<()> {
    let projects = uuids(rows.iter().map(|row| row.project));
    let keys: Vec<&[u8]> = rows.iter().map(|row| row.key.as_bytes()).collect();
    let events = uuids(rows.iter().map(|row| row.event));
    transaction.commit(vec![Step::Known(&IDEMPOTENCY, vec![&projects, &keys, &events])]).await.map(drop)
}

pub async fn write_replay(transaction: Transaction, rows: &[ReplayKey]) -> Result<()> {
    let projects = uuids(rows.iter().map(|row| row.project));
    let keys: Vec<&[u8]> = rows.iter().map(|row| row.key.as_bytes()).collect();
    let fingerprints: Vec<&[u8]> = rows.iter().map(|row| &row.fingerprint[..]).collect();
    let at: Vec<i64> = rows.iter().map(|row| row.at.micros()).collect();
    let made: Vec<(i64, Uuid)> =
        (1..).zip(rows).flat_map(|(number, row)| row.deliveries.iter().map(move |id| (number, uuid(*id)))).collect();
    let (numbers, ids): (Vec<i64>, Vec<Uuid>) = made.into_iter().unzip();
    let values: Vec<crate::postgres::session::Value<'_>> = vec![&projects, &keys, &fingerprints, &at, &numbers, &ids];
    transaction.commit(vec![Step::Known(&REPLAY, values)]).await.map(drop)
}
