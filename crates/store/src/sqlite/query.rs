//! Lists and look-ups. A delivery may be settled, waiting or fresh: lists are the union of the three.

mod attempts;
pub mod deliveries;
mod events;

pub use events::ADDRESSED_TO;

use super::SqliteStore;
use super::codec;
use super::fan_out;
use crate::Result;
use crate::roles::{DeliveryFilter, DeliveryView, EventFilter, Page, Query};
use async_trait::async_trait;
use dacapo_model::event::Target;
use dacapo_model::{Attempt, Event, Id};
use rusqlite::{Connection, params};
use std::sync::Arc;

#[async_trait]
impl Query for SqliteStore {
    async fn event(&self, project: Id, id: Id) -> Result<Option<Arc<Event>>> {
        self.history.read(move |connection| events::one(connection, project, id)).await
    }

    async fn events_among(&self, project: Id, ids: Vec<Id>) -> Result<Vec<Arc<Event>>> {
        let each = move |connection: &Connection| {
            ids.iter().filter_map(|id| events::one(connection, project, *id).transpose()).collect()
        };
        self.history.read(each).await
    }

    async fn later_targets(&self, project: Id, event: Id) -> Result<Vec<Target>> {
        self.history.read(move |connection| fan_out::later(connection, project, event)).await
    }

    async fn events(&self, project: Id, filter: EventFilter, page: Page) -> Result<Vec<Arc<Event>>> {
        self.history.read(move |connection| events::list(connection, project, &filter, page)).await
    }

    async fn event_by_idempotency_key(&self, project: Id, key: &str) -> Result<Option<Id>> {
        let key = key.to_owned();
        let look_up = move |connection: &Connection| {
            let mut statement =
                connection.prepare_cached("SELECT event FROM idempotency WHERE project = ?1 AND key = ?2")?;
            let mut rows = statement.query(params![project.to_bytes(), key])?;
            rows.next()?.map(|row| codec::id_column(row, 0)).transpose()
        };
        self.history.read(look_up).await
    }

    async fn delivery(&self, project: Id, id: Id) -> Result<Option<DeliveryView>> {
        let fresh = Arc::clone(&self.fresh);
        self.history.read(move |connection| deliveries::one(connection, &fresh, project, id)).await
    }

    async fn deliveries(&self, project: Id, filter: DeliveryFilter, page: Page) -> Result<Vec<DeliveryView>> {
        let fresh = Arc::clone(&self.fresh);
        self.history.read(move |connection| deliveries::list(connection, &fresh, project, &filter, page)).await
    }

    async fn attempts(&self, project: Id, delivery: Id, limit: usize) -> Result<Vec<Attempt>> {
        let fresh = Arc::clone(&self.fresh);
        self.history.read(move |connection| attempts::list(connection, &fresh, project, delivery, limit)).await
    }
}

pub const fn direction(page: Page) -> &'static str {
    if page.ascending { "ASC" } else { "DESC" }
}

fn bytes(ids: &[Id]) -> impl ExactSizeIterator<Item = Vec<u8>> {
    ids.iter().map(|id| id.to_bytes().to_vec())
}
