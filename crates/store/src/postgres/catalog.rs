//! Configuration rows: a kind, an id, a JSON document, the version they were written with.

use super::codec::{column, id, id_of, uuid};
use super::meta_events::MetaEventRows;
use super::schema::{LOCK_CATALOG, LOCK_SPACE};
use super::session::{Purpose, Sql, Step, Transaction};
use super::{Inner, PostgresStore};
use crate::roles::{Catalog, Contents, EditLock};
use crate::{Result, document};
use async_trait::async_trait;
use dacapo_model::catalog::Change;
use dacapo_model::{Id, MetaEvent};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// A start reads all of it.
const LOAD_TIME_MAX: Duration = Duration::from_secs(30);

/// One statement, so one snapshot: the rows are those of the version.
static SINCE: Sql = Sql {
    text: "SELECT v.version, c.kind, c.id, c.doc FROM catalog_version v LEFT JOIN catalog c ON c.version > $1 \
           ORDER BY c.kind, c.id",
    types: &[Type::INT8],
};
/// Each is the end of a primary key's index; what waits begins behind the rows of nobody (sweep.sql).
const NEWEST: &str = "(SELECT id FROM events ORDER BY id DESC LIMIT 1) UNION ALL \
     (SELECT id FROM waiting WHERE id > '00000000-0000-0000-0000-000000001000' ORDER BY id DESC LIMIT 1) UNION ALL \
     (SELECT id FROM settled ORDER BY id DESC LIMIT 1) UNION ALL \
     (SELECT id FROM meta_events ORDER BY id DESC LIMIT 1)";
static LOCK: Sql = Sql { text: "SELECT pg_advisory_xact_lock($1, $2)", types: &[Type::INT4, Type::INT4] };
pub static RAISE: Sql = Sql { text: "UPDATE catalog_version SET version = version + 1 RETURNING version", types: &[] };
pub static WRITE: Sql = Sql {
    text: "INSERT INTO catalog (kind, id, version, doc) SELECT i.kind, i.id, $4, i.doc FROM unnest($1, $2, $3) \
           i (kind, id, doc) ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, doc = excluded.doc",
    types: &[Type::INT2_ARRAY, Type::UUID_ARRAY, Type::TEXT_ARRAY, Type::INT8],
};
/// Replays may ask for an endpoint as it was. A look-up for each: joined, every endpoint there is would be read.
static KEEP: Sql = Sql {
    text: "INSERT INTO endpoint_versions (endpoint, until, doc) SELECT k.id, k.until, k.doc FROM \
           (SELECT i.id, i.until, (SELECT c.doc FROM catalog c WHERE c.kind = $3 AND c.id = i.id) doc \
           FROM unnest($1, $2) i (id, until)) k WHERE k.doc IS NOT NULL \
           ON CONFLICT (endpoint, until) DO UPDATE SET doc = excluded.doc",
    types: &[Type::UUID_ARRAY, Type::INT8_ARRAY, Type::INT2],
};
static TELL: Sql = Sql { text: "SELECT pg_notify('dacapo_catalog', $1)", types: &[Type::TEXT] };

#[async_trait]
impl Catalog for PostgresStore {
    async fn load(&self) -> Result<Contents> {
        let everything = -1i64;
        let steps = vec![Step::Known(&SINCE, vec![&everything]), Step::Once(NEWEST, Vec::new())];
        let transaction = self.inner.reads.transaction(Purpose::Walk(LOAD_TIME_MAX)).await?;
        let answers = transaction.commit(steps).await?;
        let mut contents = contents(&answers[0])?;
        for row in &answers[1] {
            contents.newest_id = contents.newest_id.max(Some(id(row, 0)?));
        }
        Ok(contents)
    }

    async fn write(&self, changes: Vec<Change>, told: Vec<MetaEvent>) -> Result<u64> {
        Box::new(self.take_lock().await?).write(changes, told).await
    }

    async fn load_since(&self, version: u64) -> Result<Contents> {
        let version = i64::try_from(version).unwrap_or(i64::MAX);
        let rows = self.inner.reads.once(Purpose::Work, Step::Known(&SINCE, vec![&version])).await?;
        contents(&rows)
    }

    async fn lock(&self) -> Result<Option<Box<dyn EditLock>>> {
        Ok(Some(Box::new(self.take_lock().await?)))
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn newer(&self) -> watch::Receiver<u64> {
        self.inner.newer.subscribe()
    }
}

impl PostgresStore {
    async fn take_lock(&self) -> Result<Lock> {
        let mut transaction = self.inner.upkeep.transaction(Purpose::Edit).await?;
        transaction.run(vec![Step::Known(&LOCK, vec![&LOCK_SPACE, &LOCK_CATALOG])]).await?;
        Ok(Lock { transaction, inner: Arc::clone(&self.inner) })
    }
}

/// Held by the transaction that will also write.
struct Lock {
    transaction: Transaction,
    inner: Arc<Inner>,
}

#[async_trait]
impl EditLock for Lock {
    async fn write(self: Box<Self>, changes: Vec<Change>, told: Vec<MetaEvent>) -> Result<u64> {
        let Self { mut transaction, inner } = *self;
        let meta_events = MetaEventRows::of(&told)?;
        let (mut kinds, mut ids, mut docs): (Vec<i16>, Vec<Uuid>, Vec<String>) = Default::default();
        // A statement writes a row once: the last change of a thing is its state.
        let mut last = std::collections::BTreeMap::new();
        let mut replaced = std::collections::BTreeMap::new();
        for change in &changes {
            let (kind, id, doc) = document::encode(change)?;
            if let Change::Endpoint(endpoint) = change {
                replaced.insert(id, document::replaced_at(endpoint).micros());
            }
            last.insert((kind, id), doc);
        }
        let (endpoints, until): (Vec<Uuid>, Vec<i64>) = replaced.into_iter().map(|(id, at)| (uuid(id), at)).unzip();
        let kind = i16::try_from(document::ENDPOINT).unwrap_or(i16::MAX);
        for ((kind, id), doc) in last {
            kinds.push(i16::try_from(kind).unwrap_or(i16::MAX));
            ids.push(uuid(id));
            docs.push(doc);
        }
        let raised = transaction.run(vec![Step::Known(&RAISE, Vec::new())]).await?;
        let version: i64 = column(&raised[0][0], 0)?;
        let word = version.to_string();
        let mut steps = vec![
            Step::Known(&KEEP, vec![&endpoints, &until, &kind]),
            Step::Known(&WRITE, vec![&kinds, &ids, &docs, &version]),
            Step::Known(&TELL, vec![&word]),
        ];
        steps.extend(meta_events.insert());
        transaction.commit(steps).await?;
        inner.announce_meta_events(told.iter().map(|told| told.project_id).collect());
        Ok(version.cast_unsigned())
    }
}

fn contents(rows: &[Row]) -> Result<Contents> {
    let mut contents = Contents::default();
    for row in rows {
        contents.version = column::<i64>(row, 0)?.cast_unsigned();
        // No row is newer: the version comes alone.
        let Some(kind) = column::<Option<i16>>(row, 1)? else { continue };
        let id: Id = id_of(column(row, 2)?);
        contents.rows.push(document::decode(kind.into(), id, column(row, 3)?)?);
        contents.newest_id = contents.newest_id.max(Some(id));
    }
    Ok(contents)
}
