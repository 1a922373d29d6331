//! Replays, what came of their items, and what endpoints were, as they are.

use crate::Result;
use crate::copy::{EndpointVersion, ReplayCall, ReplayCount, ReplayRow};
use crate::postgres::codec::{uuid, uuids};
use crate::postgres::session::{Sql, Step, Transaction, Value};
use tokio_postgres::types::Type;

static REPLAYS: Sql = Sql {
    text: "INSERT INTO replays (id, project, state, open, revision, page, key, fingerprint, definition, control, progress) \
           SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    types: &[
        Type::UUID_ARRAY,
        Type::UUID_ARRAY,
        Type::INT2_ARRAY,
        Type::BOOL_ARRAY,
        Type::INT8_ARRAY,
        Type::INT8_ARRAY,
        Type::BYTEA_ARRAY,
        Type::BYTEA_ARRAY,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
    ],
};
/// The next change comes after these.
static RAISE: Sql = Sql {
    text: "UPDATE replay_revision SET revision = greatest(revision, (SELECT max(r) FROM unnest($1) r))",
    types: &[Type::INT8_ARRAY],
};
static COUNTS: Sql = Sql {
    text: "INSERT INTO replay_counts (replay, slot, status, reason, count) \
           SELECT i.replay, 0, i.status, i.reason, i.count FROM unnest($1, $2, $3, $4) i (replay, status, reason, count)",
    types: &[Type::UUID_ARRAY, Type::INT2_ARRAY, Type::INT2_ARRAY, Type::INT8_ARRAY],
};
static VERSIONS: Sql = Sql {
    text: "INSERT INTO endpoint_versions (endpoint, until, doc) SELECT * FROM unnest($1, $2, $3)",
    types: &[Type::UUID_ARRAY, Type::INT8_ARRAY, Type::TEXT_ARRAY],
};
static CALLS: Sql = Sql {
    text: "INSERT INTO replay_calls (project, kind, id, said) SELECT * FROM unnest($1, $2, $3, $4)",
    types: &[Type::UUID_ARRAY, Type::INT2_ARRAY, Type::UUID_ARRAY, Type::TEXT_ARRAY],
};

pub async fn write(transaction: Transaction, rows: &[ReplayRow]) -> Result<()> {
    let (ids, projects) = (uuids(rows.iter().map(|row| row.id)), uuids(rows.iter().map(|row| row.project)));
    let states: Vec<i16> = rows.iter().map(|row| row.state).collect();
    let open: Vec<bool> = rows.iter().map(|row| row.open).collect();
    let revisions: Vec<i64> = rows.iter().map(|row| row.revision).collect();
    let pages: Vec<i64> = rows.iter().map(|row| row.page).collect();
    let keys: Vec<Option<&[u8]>> = rows.iter().map(|row| row.key.as_ref().map(|key| key.as_bytes())).collect();
    let fingerprints: Vec<Option<&[u8]>> = rows.iter().map(|row| row.fingerprint.as_deref()).collect();
    let definitions: Vec<&str> = rows.iter().map(|row| row.definition.as_str()).collect();
    let controls: Vec<&str> = rows.iter().map(|row| row.control.as_str()).collect();
    let progress: Vec<&str> = rows.iter().map(|row| row.progress.as_str()).collect();
    let values: Vec<Value<'_>> = vec![
        &ids,
        &projects,
        &states,
        &open,
        &revisions,
        &pages,
        &keys,
        &fingerprints,
        &definitions,
        &controls,
        &progress,
    ];
    let steps = vec![Step::Known(&REPLAYS, values), Step::Known(&RAISE, vec![&revisions])];
    transaction.commit(steps).await.map(drop)
}

pub async fn write_counts(transaction: Transaction, rows: &[ReplayCount]) -> Result<()> {
    let replays = uuids(rows.iter().map(|row| row.replay));
    let statuses: Vec<i16> = rows.iter().map(|row| row.status).collect();
    let reasons: Vec<i16> = rows.iter().map(|row| row.reason).collect();
    let counts: Vec<i64> = rows.iter().map(|row| row.count).collect();
    let step = Step::Known(&COUNTS, vec![&replays, &statuses, &reasons, &counts]);
    transaction.commit(vec![step]).await.map(drop)
}

pub async fn write_versions(transaction: Transaction, rows: &[EndpointVersion]) -> Result<()> {
    let endpoints: Vec<uuid::Uuid> = rows.iter().map(|row| uuid(row.endpoint)).collect();
    let until: Vec<i64> = rows.iter().map(|row| row.until).collect();
    let docs: Vec<&str> = rows.iter().map(|row| row.doc.as_str()).collect();
    transaction.commit(vec![Step::Known(&VERSIONS, vec![&endpoints, &until, &docs])]).await.map(drop)
}

pub async fn write_calls(transaction: Transaction, rows: &[ReplayCall]) -> Result<()> {
    let (projects, ids) = (uuids(rows.iter().map(|row| row.project)), uuids(rows.iter().map(|row| row.id)));
    let kinds: Vec<i16> = rows.iter().map(|row| row.kind).collect();
    let said: Vec<&str> = rows.iter().map(|row| row.said.as_str()).collect();
    transaction.commit(vec![Step::Known(&CALLS, vec![&projects, &kinds, &ids, &said])]).await.map(drop)
}
