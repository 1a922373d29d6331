//! The catalog in memory, always as the store has it: readers take a snapshot without waiting,
//! writers go through the store first.

use crate::Result;
use crate::roles::Catalog;
use dacapo_model::Id;
use dacapo_model::catalog::{Change, Snapshot};
use std::sync::{Arc, RwLock};
use tokio::sync::{Mutex, MutexGuard, watch};

pub struct LiveCatalog {
    store: Arc<dyn Catalog>,
    /// Written under `writing` only; read by everybody.
    current: RwLock<Arc<Snapshot>>,
    writing: Mutex<()>,
    version: watch::Sender<u64>,
}

impl LiveCatalog {
    /// Reads the whole catalog. Also gives the newest id of the store, for the id source.
    pub async fn load(store: Arc<dyn Catalog>) -> Result<(Self, Option<Id>)> {
        let contents = store.load().await?;
        let snapshot = Snapshot::default().apply(&contents.rows, contents.version);
        let (version, _) = watch::channel(contents.version);
        let live = Self { store, current: RwLock::new(Arc::new(snapshot)), writing: Mutex::new(()), version };
        Ok((live, contents.newest_id))
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Told after each change; the value is the snapshot's version.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Holds off other writers, so that "look, then write" is one step. Readers are not held off.
    pub async fn edit(&self) -> Edit<'_> {
        let guard = self.writing.lock().await;
        Edit { live: self, base: self.snapshot(), _guard: guard }
    }
}

/// The right to change the catalog, with the state it starts from.
pub struct Edit<'a> {
    live: &'a LiveCatalog,
    base: Arc<Snapshot>,
    _guard: MutexGuard<'a, ()>,
}

impl Edit<'_> {
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.base
    }

    /// Durable and visible to every reader when it returns.
    pub async fn write(self, changes: Vec<Change>) -> Result<()> {
        let version = self.live.store.write(changes.clone()).await?;
        let next = Arc::new(self.base.apply(&changes, version));
        *self.live.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = next;
        self.live.version.send_replace(version);
        Ok(())
    }
}
