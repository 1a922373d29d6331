//! The catalog in memory, as the store has it: readers take a snapshot without waiting, writers go
//! through the store first. What other processes write is taken over when the store tells of it
//! ([`Catalog::newer`]), when a commit was refused for it, and before each edit.

use crate::roles::{Catalog, EditLock};
use crate::{Result, StoreError};
use dacapo_model::Id;
use dacapo_model::catalog::{Change, Snapshot};
use dacapo_model::meta_event::Teller;
use std::sync::{Arc, OnceLock, RwLock, Weak};
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

pub struct LiveCatalog(Arc<Shared>);

struct Shared {
    store: Arc<dyn Catalog>,
    /// Any snapshot is whole and its version says which, so it is replaced by a newer one only.
    current: RwLock<Arc<Snapshot>>,
    writing: Arc<Mutex<()>>,
    version: watch::Sender<u64>,
    /// Makes meta events of changes; set once the process has ids to give them.
    teller: OnceLock<Arc<Teller>>,
}

/// Before a refresh that failed is tried again.
const REFRESH_AGAIN_AFTER: Duration = Duration::from_millis(200);

impl LiveCatalog {
    /// Reads the whole catalog and follows it. Also gives the newest id of the store, for the id source.
    pub async fn load(store: Arc<dyn Catalog>) -> Result<(Self, Option<Id>)> {
        // Subscribed before reading: what is written in between is told.
        let newer = store.newer();
        let contents = store.load().await?;
        let snapshot = Snapshot::default().apply(&contents.rows, contents.version);
        let (version, _) = watch::channel(contents.version);
        let current = RwLock::new(Arc::new(snapshot));
        let shared = Arc::new(Shared { store, current, writing: Arc::default(), version, teller: OnceLock::new() });
        tokio::spawn(follow(Arc::downgrade(&shared), newer));
        Ok((Self(shared), contents.newest_id))
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.snapshot()
    }

    /// From now on changes are told to whom wants that.
    pub fn tell_by(&self, teller: Arc<Teller>) {
        // A second one would be the same.
        let _ = self.0.teller.set(teller);
    }

    /// Told after each change; the value is the snapshot's version.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    /// Takes over what was written since. Afterwards the snapshot holds everything that was in the
    /// store when this was called.
    pub async fn refresh(&self) -> Result<Arc<Snapshot>> {
        self.0.refresh().await
    }

    /// As [`Self::refresh`] where other processes write too, so that what one of them has answered is
    /// known here; elsewhere the snapshot is always the newest. A store that cannot be read now leaves
    /// it as it is.
    pub async fn catch_up(&self) {
        if !self.0.store.is_shared() {
            return;
        }
        if let Err(cause) = self.0.refresh().await {
            tracing::debug!(%cause, "the catalog could not be looked at; going on with the known one");
        }
    }

    /// Holds off other writers, here and in other processes, so that "look, then write" is one step.
    /// Readers are not held off.
    pub async fn edit(&self) -> Result<Edit> {
        let guard = Arc::clone(&self.0.writing).lock_owned().await;
        let lock = self.0.store.lock().await?;
        let base = match &lock {
            Some(_) => self.0.refresh().await?,
            None => self.0.snapshot(),
        };
        Ok(Edit { shared: Arc::clone(&self.0), base, lock, guard })
    }
}

/// The right to change the catalog, with the state it starts from.
pub struct Edit {
    shared: Arc<Shared>,
    base: Arc<Snapshot>,
    lock: Option<Box<dyn EditLock>>,
    guard: OwnedMutexGuard<()>,
}

impl Edit {
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.base
    }

    /// Durable and visible to every reader of this process when it returns, and found by every commit
    /// of another. Goes through to its end also when the caller stops waiting: a store that has the
    /// change and readers that do not would never meet again.
    pub async fn write(self, changes: Vec<Change>) -> Result<()> {
        let Self { shared, base, lock, guard } = self;
        let told = shared.teller.get().map(|teller| teller.of_changes(&base, &changes)).unwrap_or_default();
        let whole = async move {
            let version = match lock {
                Some(lock) => lock.write(changes.clone(), told).await?,
                None => shared.store.write(changes.clone(), told).await?,
            };
            shared.publish(base.apply(&changes, version));
            drop(guard);
            Ok(())
        };
        tokio::spawn(whole).await.map_err(|cause| StoreError::Unavailable(format!("a write was cut off: {cause}")))?
    }
}

impl Shared {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.current.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    async fn refresh(&self) -> Result<Arc<Snapshot>> {
        let base = self.snapshot();
        let contents = self.store.load_since(base.version).await?;
        if contents.version > base.version {
            self.publish(base.apply(&contents.rows, contents.version));
        }
        Ok(self.snapshot())
    }

    fn publish(&self, next: Snapshot) {
        let version = next.version;
        let mut current = self.current.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if version <= current.version {
            return;
        }
        *current = Arc::new(next);
        drop(current);
        // Two publishers may come here in the wrong order; the older one says nothing.
        self.version.send_if_modified(|told| {
            let rises = version > *told;
            *told = version.max(*told);
            rises
        });
    }
}

/// Ends with the catalog, or when the store will tell nothing more.
async fn follow(shared: Weak<Shared>, mut newer: watch::Receiver<u64>) {
    while newer.changed().await.is_ok() {
        loop {
            let told = *newer.borrow_and_update();
            let Some(shared) = shared.upgrade() else { return };
            if told <= shared.snapshot().version {
                break;
            }
            match shared.refresh().await {
                Ok(_) => break,
                Err(cause) => tracing::warn!(%cause, "changes of the configuration could not be read; trying again"),
            }
            drop(shared);
            tokio::time::sleep(REFRESH_AGAIN_AFTER).await;
        }
    }
}
