//! Idempotency keys of a batch: who was first, in the batch and in the store. Batches without keys,
//! which is most of them, never come here.

use crate::postgres::codec::{id_of, uuid};
use crate::postgres::session::{Failure, Sql, Step, Transaction};
use crate::{Result, StoreError};
use dacapo_model::{Event, Id};
use std::collections::BTreeMap;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

type Key<'a> = (Id, &'a [u8]);

/// Waits for a transaction that is writing the same key, and leaves it its key when it commits.
static TAKE: Sql = Sql {
    text: "INSERT INTO idempotency (project, key, event) SELECT * FROM unnest($1, $2, $3) \
           ON CONFLICT DO NOTHING RETURNING project, key, event",
    types: &[Type::UUID_ARRAY, Type::BYTEA_ARRAY, Type::UUID_ARRAY],
};
/// A statement of its own: the one before it does not see what it waited for.
static OWNERS: Sql = Sql {
    text: "SELECT k.project, k.key, k.event FROM unnest($1, $2) i (project, key) \
           JOIN idempotency k ON k.project = i.project AND k.key = i.key",
    types: &[Type::UUID_ARRAY, Type::BYTEA_ARRAY],
};

pub struct Keys<'a> {
    /// By item.
    of_item: Vec<Option<Key<'a>>>,
    /// The first item of the batch with each key. Sorted: two batches that take the same keys in
    /// another order would wait for each other.
    first: BTreeMap<Key<'a>, Id>,
}

impl<'a> Keys<'a> {
    pub fn of(items: impl Iterator<Item = Option<&'a Event>>) -> Self {
        let mut keys = Self { of_item: Vec::new(), first: BTreeMap::new() };
        for item in items {
            let keyed = item.filter(|event| !event.idempotency_key.is_empty());
            keys.of_item.push(keyed.map(|event| (event.project_id, event.idempotency_key.as_bytes())));
            if let Some(event) = keyed {
                keys.first.entry((event.project_id, event.idempotency_key.as_bytes())).or_insert(event.id);
            }
        }
        keys
    }

    /// Gives, for each item, the other event that had its key first; `before` runs before anything else.
    pub async fn take(
        &self,
        transaction: &mut Transaction,
        before: Vec<Step<'_>>,
    ) -> std::result::Result<Vec<Option<Id>>, Failure> {
        let projects: Vec<Uuid> = self.first.keys().map(|(project, _)| uuid(*project)).collect();
        let keys: Vec<&[u8]> = self.first.keys().map(|(_, key)| *key).collect();
        let events: Vec<Uuid> = self.first.values().copied().map(uuid).collect();
        let mut steps = before;
        steps.push(Step::Known(&TAKE, vec![&projects, &keys, &events]));
        steps.push(Step::Known(&OWNERS, vec![&projects, &keys]));
        let answers = transaction.try_run(steps).await?;
        let mut owners: BTreeMap<Key<'_>, Id> = BTreeMap::new();
        for row in answers.last().into_iter().flatten() {
            let (project, key, event) = parts(row)?;
            owners.insert((project, key), event);
        }
        let mut seen = BTreeMap::new();
        let mut firsts = Vec::with_capacity(self.of_item.len());
        for key in &self.of_item {
            let Some(key) = key else {
                firsts.push(None);
                continue;
            };
            // Gone again between the two statements: its event was dropped.
            let owner =
                *owners.get(key).ok_or_else(|| StoreError::Unavailable("a key was just forgotten".to_owned()))?;
            let own = self.first.get(key) == Some(&owner) && seen.insert(*key, ()).is_none();
            firsts.push((!own).then_some(owner));
        }
        Ok(firsts)
    }
}

fn parts(row: &Row) -> Result<(Id, &[u8], Id)> {
    Ok((id_of(row.try_get(0)?), row.try_get(1)?, id_of(row.try_get(2)?)))
}
