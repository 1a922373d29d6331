//! The reading connections: few, each used by one blocking task at a time.

use super::schema;
use crate::{Result, StoreError};
use rusqlite::Connection;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Connections, and so reads at the same time; further ones wait their turn.
const READERS: usize = 4;

pub struct Readers {
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Readers {
    pub fn open(file: &Path) -> Result<Self> {
        let idle = (0..READERS).map(|_| schema::open_reader(file)).collect::<Result<Vec<_>>>()?;
        Ok(Self { idle: Mutex::new(idle), permits: Semaphore::new(READERS) })
    }

    /// Runs `work` on a connection, in one read transaction, so that all its statements see one state.
    pub async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let closed = || StoreError::Unavailable("closing".to_owned());
        let _permit = self.permits.acquire().await.map_err(|_| closed())?;
        let connection = self.lock().pop().ok_or_else(closed)?;
        let pool = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let result = in_transaction(&connection, work);
            pool.lock().push(connection);
            result
        });
        task.await.map_err(|cause| StoreError::Unavailable(format!("a read was cut off: {cause}")))?
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_transaction<T>(connection: &Connection, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    connection.execute_batch("BEGIN")?;
    let result = work(connection);
    // Reading needs no commit; ending the transaction lets the log be reset.
    connection.execute_batch("ROLLBACK")?;
    result
}
