//! The catalog in memory, always as the store has it: readers take a snapshot without waiting,
//! writers go through the store first.

use crate::roles::Catalog;
use crate::{Result, StoreError};
use dacapo_model::Id;
use dacapo_model::catalog::{Change, Snapshot};
use std::sync::{Arc, RwLock};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

pub struct LiveCatalog(Arc<Shared>);

struct Shared {
    store: Arc<dyn Catalog>,
    /// Written under `writing` only; read by everybody.
    current: RwLock<Arc<Snapshot>>,
    writing: Arc<Mutex<()>>,
    version: watch::Sender<u64>,
}

impl LiveCatalog {
    /// Reads the whole catalog. Also gives the newest id of the store, for the id source.
    pub async fn load(store: Arc<dyn Catalog>) -> Result<(Self, Option<Id>)> {
        let contents = store.load().await?;
        let snapshot = Snapshot::default().apply(&contents.rows, contents.version);
        let (version, _) = watch::channel(contents.version);
        let current = RwLock::new(Arc::new(snapshot));
        let shared = Shared { store, current, writing: Arc::default(), version };
        Ok((Self(Arc::new(shared)), contents.newest_id))
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.current.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Told after each change; the value is the snapshot's version.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    /// Holds off other writers, so that "look, then write" is one step. Readers are not held off.
    pub async fn edit(&self) -> Edit<'_> {
        let guard = Arc::clone(&self.0.writing).lock_owned().await;
        Edit { live: self, base: self.snapshot(), guard }
    }
}

/// The right to change the catalog, with the state it starts from.
pub struct Edit<'a> {
    live: &'a LiveCatalog,
    base: Arc<Snapshot>,
    guard: OwnedMutexGuard<()>,
}

impl Edit<'_> {
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.base
    }

    /// Durable and visible to every reader when it returns. Goes through to its end also when the
    /// caller stops waiting: a store that has the change and readers that do not would never meet again.
    pub async fn write(self, changes: Vec<Change>) -> Result<()> {
        let Self { live, base, guard } = self;
        let shared = Arc::clone(&live.0);
        let whole = async move {
            let version = shared.store.write(changes.clone()).await?;
            shared.publish(base.apply(&changes, version));
            drop(guard);
            Ok(())
        };
        tokio::spawn(whole).await.map_err(|cause| StoreError::Unavailable(format!("a write was cut off: {cause}")))?
    }
}

impl Shared {
    fn publish(&self, next: Snapshot) {
        let version = next.version;
        *self.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(next);
        self.version.send_replace(version);
    }
}
