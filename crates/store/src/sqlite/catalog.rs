//! Configuration rows: a kind, an id, a JSON document.

use super::SqliteStore;
use super::codec::inconsistent;
use super::fresh::Fresh;
use super::recover::NEWEST_ORD;
use crate::roles::{Catalog, Contents};
use crate::{Result, StoreError};
use async_trait::async_trait;
use dacapo_model::Id;
use dacapo_model::catalog::Change;
use rusqlite::{Connection, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Kinds in an order in which rows can be applied: what owns comes before what is owned.
const ORGANISATION: i64 = 1;
const USER: i64 = 2;
const PROJECT: i64 = 3;
const ENDPOINT: i64 = 4;
const SUBSCRIPTION: i64 = 5;
const EVENT_TYPE: i64 = 6;
const KEY: i64 = 7;

#[async_trait]
impl Catalog for SqliteStore {
    async fn load(&self) -> Result<Contents> {
        let fresh = Arc::clone(&self.fresh);
        self.work.read(move |connection| load(connection, &fresh)).await
    }

    async fn write(&self, changes: Vec<Change>) -> Result<u64> {
        self.writer.run(move |session| write(session.connection, &changes)).await
    }
}

fn load(connection: &Connection, fresh: &Fresh) -> Result<Contents> {
    let newest_fresh = fresh.look(connection, |orders| orders.last().map(|order| order.cast_signed()))?;
    let version: i64 =
        connection.query_row("SELECT value FROM meta WHERE key = 'catalog_version'", [], |row| row.get(0))?;
    let newest: Option<i64> = connection.query_row(NEWEST_ORD, [], |row| row.get(0))?;
    let mut newest_id = newest.max(newest_fresh).map(|ord| Id::from_parts(ord.cast_unsigned(), u64::MAX));
    let mut rows = Vec::new();
    let mut statement = connection.prepare("SELECT kind, id, doc FROM catalog ORDER BY kind, id")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let id = super::codec::id_column(row, 1)?;
        newest_id = newest_id.max(Some(id));
        rows.push(decode(row.get(0)?, id, row.get_ref(2)?.as_str().unwrap_or_default())?);
    }
    Ok(Contents { version: version.cast_unsigned(), rows, newest_id })
}

fn write(connection: &Connection, changes: &[Change]) -> Result<u64> {
    let mut statement =
        connection.prepare_cached("INSERT OR REPLACE INTO catalog (kind, id, doc) VALUES (?1, ?2, ?3)")?;
    for change in changes {
        let (kind, id, doc) = encode(change)?;
        statement.execute(params![kind, id.to_bytes(), doc])?;
    }
    let sql = "UPDATE meta SET value = value + 1 WHERE key = 'catalog_version' RETURNING value";
    let version: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(version.cast_unsigned())
}

fn encode(change: &Change) -> Result<(i64, Id, String)> {
    Ok(match change {
        Change::Organisation(row) => (ORGANISATION, row.id, text(row)?),
        Change::User(row) => (USER, row.id, text(row)?),
        Change::Project(row) => (PROJECT, row.id, text(row)?),
        Change::Endpoint(row) => (ENDPOINT, row.id, text(row)?),
        Change::Subscription(row) => (SUBSCRIPTION, row.id, text(row)?),
        Change::EventType(row) => (EVENT_TYPE, row.id, text(row)?),
        Change::Key(row) => (KEY, row.id, text(row)?),
    })
}

fn text<T: Serialize>(row: &Arc<T>) -> Result<String> {
    serde_json::to_string(row).map_err(|cause| StoreError::Refused(cause.to_string()))
}

fn decode(kind: i64, id: Id, doc: &str) -> Result<Change> {
    Ok(match kind {
        ORGANISATION => Change::Organisation(value(id, doc)?),
        USER => Change::User(value(id, doc)?),
        PROJECT => Change::Project(value(id, doc)?),
        ENDPOINT => Change::Endpoint(value(id, doc)?),
        SUBSCRIPTION => Change::Subscription(value(id, doc)?),
        EVENT_TYPE => Change::EventType(value(id, doc)?),
        KEY => Change::Key(value(id, doc)?),
        _ => return Err(inconsistent("catalog", "kind", id, "unknown kind")),
    })
}

fn value<T: DeserializeOwned>(id: Id, doc: &str) -> Result<Arc<T>> {
    serde_json::from_str(doc).map(Arc::new).map_err(|cause| inconsistent("catalog", "doc", id, &cause.to_string()))
}
