//! One process a data directory: a lock on a file in it, held until the process ends.

use super::SqliteStore;
use crate::roles::{Allowance, Holding, Lease};
use crate::{Result, StoreError};
use async_trait::async_trait;
use dacapo_model::Shard;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// Held by the writing thread for as long as it may write. Released by the operating system when
/// the process ends, however it ends.
pub struct DirectoryLock {
    file: File,
}

/// Unlocked, not only closed: a child that is being started has a copy of the file until it runs its
/// program, and closing ours would leave the lock with it.
impl Drop for DirectoryLock {
    fn drop(&mut self) {
        if let Err(cause) = self.file.unlock() {
            tracing::warn!(%cause, "the data directory stays locked until this process ends");
        }
    }
}

impl DirectoryLock {
    pub fn take(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join("lock");
        let unavailable = |cause: std::io::Error| StoreError::Unavailable(format!("{}: {cause}", path.display()));
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(unavailable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(data_dir.display().to_string())),
            Err(TryLockError::Error(cause)) => Err(unavailable(cause)),
        }
    }
}

#[async_trait]
impl Lease for SqliteStore {
    async fn hold(&self) -> Result<()> {
        // Taken by `open`, given up by `release`.
        self.writer.check_open()
    }

    fn holding(&self) -> watch::Receiver<Arc<Holding>> {
        watch::channel(Arc::new(Holding::everything())).1
    }

    async fn let_go(&self, _: &[Shard], _: &[Allowance]) -> Result<()> {
        // Nobody else could take them.
        self.writer.check_open()
    }

    async fn release(&self) -> Result<()> {
        self.history.close().await;
        self.work.close().await;
        self.writer.close().await;
        Ok(())
    }
}
