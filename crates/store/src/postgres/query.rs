//! Lists and look-ups. A delivery is settled or waiting: lists are the union of both, read in one
//! snapshot, so that one that moves meanwhile is seen once.

mod attempts;
pub mod deliveries;
pub mod events;

use super::PostgresStore;
use super::codec::id;
use super::session::{Purpose, Sql, Step, Transaction};
use super::sql::Conditions;
use crate::roles::{DeliveryFilter, DeliveryView, EventFilter, Page, Query};
use crate::{Result, StoreError};
use async_trait::async_trait;
use dacapo_model::event::Target;
use dacapo_model::{Attempt, Event, Id};
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// Longer lists are cut off (contracts/convoy.md §1.13).
pub(super) const LIST_TIME_MAX: Duration = Duration::from_secs(5);
/// Rows one statement of a walk asks for: what SQL let pass may still be left out, so a page may
/// take several.
const CHUNK_ROWS: usize = 1_000;

pub static KEY: Sql =
    Sql { text: "SELECT event FROM idempotency WHERE project = $1 AND key = $2", types: &[Type::UUID, Type::BYTEA] };

#[async_trait]
impl Query for PostgresStore {
    async fn event(&self, project: Id, id: Id) -> Result<Option<Arc<Event>>> {
        events::one(&mut self.one().await?, project, id).await
    }

    async fn events_among(&self, project: Id, ids: Vec<Id>) -> Result<Vec<Arc<Event>>> {
        in_time(async { events::among(&mut self.one().await?, project, &ids).await }).await
    }

    async fn later_targets(&self, project: Id, event: Id) -> Result<Vec<Target>> {
        events::later_targets(&mut self.one().await?, project, event).await
    }

    async fn events(&self, project: Id, filter: EventFilter, page: Page) -> Result<Vec<Arc<Event>>> {
        in_time(events::list(&mut self.many().await?, project, &filter, page)).await
    }

    async fn event_by_idempotency_key(&self, project: Id, key: &str) -> Result<Option<Id>> {
        let (project, key) = (super::codec::uuid(project), key.as_bytes());
        let found = self.one().await?.commit(vec![Step::Known(&KEY, vec![&project, &key])]).await?;
        found[0].first().map(|row| id(row, 0)).transpose()
    }

    async fn delivery(&self, project: Id, id: Id) -> Result<Option<DeliveryView>> {
        deliveries::one(&mut self.one().await?, project, id).await
    }

    async fn deliveries(&self, project: Id, filter: DeliveryFilter, page: Page) -> Result<Vec<DeliveryView>> {
        in_time(deliveries::list(&mut self.many().await?, project, &filter, page)).await
    }

    async fn attempts(&self, project: Id, delivery: Id, limit: usize) -> Result<Vec<Attempt>> {
        attempts::list(&mut self.one().await?, project, delivery, limit).await
    }
}

impl PostgresStore {
    pub(super) async fn one(&self) -> Result<Transaction> {
        self.inner.history.transaction(Purpose::List(LIST_TIME_MAX)).await
    }

    async fn many(&self) -> Result<Transaction> {
        let inner = &self.inner;
        inner.replica.as_ref().unwrap_or(&inner.history).transaction(Purpose::List(LIST_TIME_MAX)).await
    }
}

/// All statements of a list together.
pub async fn in_time<T>(list: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(LIST_TIME_MAX, list).await.unwrap_or(Err(StoreError::TooSlow))
}

const fn direction(page: Page) -> &'static str {
    if page.ascending { "ASC" } else { "DESC" }
}

/// A walk along ids: `select … WHERE {conditions} ORDER BY {column}`, until `keep` has taken enough.
struct Walk<'a> {
    select: &'a str,
    /// What the walk goes along.
    column: &'a str,
    /// Where the id stands in a row.
    id_at: usize,
    page: Page,
}

impl Walk<'_> {
    fn sql(&self, conditions: &Conditions, limit: usize) -> String {
        format!(
            "{} WHERE {} ORDER BY {} {} LIMIT {limit}",
            self.select,
            conditions.sql(),
            self.column,
            direction(self.page)
        )
    }

    /// `conditions` makes the conditions for a range of ids; `keep` says whether it took the row.
    async fn go(
        &self,
        transaction: &mut Transaction,
        bounds: std::ops::RangeInclusive<u128>,
        conditions: impl Fn(&std::ops::RangeInclusive<u128>) -> Conditions,
        mut keep: impl FnMut(&Row) -> Result<bool>,
    ) -> Result<()> {
        let (mut left, mut bounds) = (self.page.limit, bounds);
        // Most pages are one statement: as many rows as are wanted, if SQL can leave out all others.
        let mut chunk = left.min(CHUNK_ROWS);
        while left > 0 && !bounds.is_empty() {
            let conditions = conditions(&bounds);
            let sql = self.sql(&conditions, chunk);
            let answers = transaction.run(vec![Step::Once(&sql, conditions.values())]).await?;
            for row in &answers[0] {
                if left > 0 && keep(row)? {
                    left -= 1;
                }
            }
            let Some(last) = answers[0].last().filter(|_| answers[0].len() == chunk) else { return Ok(()) };
            let last = id(last, self.id_at)?.as_u128();
            bounds = match (self.page.ascending, last.checked_add(1), last.checked_sub(1)) {
                (true, Some(next), _) => next..=*bounds.end(),
                (false, _, Some(next)) => *bounds.start()..=next,
                _ => return Ok(()),
            };
            chunk = CHUNK_ROWS;
        }
        Ok(())
    }
}
