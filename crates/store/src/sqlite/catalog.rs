//! Configuration rows: a kind, an id, a JSON document.

use super::SqliteStore;
use super::fresh::Fresh;
use super::meta_events;
use super::recover;
use super::writer::Session;
use crate::Result;
use crate::document;
use crate::roles::{Catalog, Contents};
use async_trait::async_trait;
use dacapo_model::catalog::Change;
use dacapo_model::{Id, MetaEvent};
use rusqlite::{Connection, params};
use std::sync::Arc;

#[async_trait]
impl Catalog for SqliteStore {
    async fn load(&self) -> Result<Contents> {
        let fresh = Arc::clone(&self.fresh);
        self.work.read(move |connection| load(connection, &fresh)).await
    }

    async fn write(&self, changes: Vec<Change>, told: Vec<MetaEvent>) -> Result<u64> {
        let count = told.len();
        let write = move |session: &mut Session<'_>| {
            told.iter().try_for_each(|told| meta_events::keep(session.connection, told))?;
            write(session.connection, &changes)
        };
        let version = self.writer.run(write).await?;
        self.told(count);
        Ok(version)
    }
}

fn load(connection: &Connection, fresh: &Fresh) -> Result<Contents> {
    let newest_fresh = fresh.look(connection, |orders| orders.last().map(|order| order.cast_signed()))?;
    let version: i64 =
        connection.query_row("SELECT value FROM meta WHERE key = 'catalog_version'", [], |row| row.get(0))?;
    let newest = recover::newest(connection)?;
    let mut newest_id = newest.max(newest_fresh).map(|ord| Id::from_parts(ord.cast_unsigned(), u64::MAX));
    let mut rows = Vec::new();
    let mut statement = connection.prepare("SELECT kind, id, doc FROM catalog ORDER BY kind, id")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let id = super::codec::id_column(row, 1)?;
        newest_id = newest_id.max(Some(id));
        rows.push(document::decode(row.get(0)?, id, row.get_ref(2)?.as_str().unwrap_or_default())?);
    }
    Ok(Contents { version: version.cast_unsigned(), rows, newest_id })
}

fn write(connection: &Connection, changes: &[Change]) -> Result<u64> {
    let mut statement =
        connection.prepare_cached("INSERT OR REPLACE INTO catalog (kind, id, doc) VALUES (?1, ?2, ?3)")?;
    // Replays may ask for an endpoint as it was.
    let mut keep = connection.prepare_cached(
        "INSERT OR REPLACE INTO endpoint_versions (endpoint, until, doc) SELECT id, ?2, doc FROM catalog \
         WHERE kind = ?3 AND id = ?1",
    )?;
    for change in changes {
        let (kind, id, doc) = document::encode(change)?;
        if let Change::Endpoint(endpoint) = change {
            keep.execute(params![id.to_bytes(), document::replaced_at(endpoint).micros(), kind])?;
        }
        statement.execute(params![kind, id.to_bytes(), doc])?;
    }
    let sql = "UPDATE meta SET value = value + 1 WHERE key = 'catalog_version' RETURNING value";
    let version: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(version.cast_unsigned())
}
