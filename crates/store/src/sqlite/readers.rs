//! The reading connections: few, each used by one blocking task at a time.

use super::gate::Gate;
use super::schema;
use crate::{Result, StoreError};
use rusqlite::Connection;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// SQLite looks at the deadline after this many steps of its machine (some tens of microseconds).
const STEPS_BETWEEN_LOOKS: i32 = 1_000;

pub struct Readers {
    idle: Mutex<Vec<Reader>>,
    permits: Arc<Semaphore>,
    size: u32,
    /// How long a read may take, waiting for its turn included; then it is `TooSlow`.
    time_max: Option<Duration>,
    /// Passed by each read.
    gate: Arc<Gate>,
}

struct Reader {
    connection: Connection,
    /// Looked at by the connection's progress handler.
    deadline: Arc<Mutex<Option<Instant>>>,
}

impl Readers {
    /// As many connections, and so reads at the same time, as `size`; further ones wait their turn.
    pub fn open(file: &Path, size: u32, time_max: Option<Duration>, gate: Arc<Gate>) -> Result<Self> {
        let idle = (0..size).map(|_| Reader::open(file)).collect::<Result<Vec<_>>>()?;
        Ok(Self { idle: Mutex::new(idle), permits: Arc::new(Semaphore::new(size as usize)), size, time_max, gate })
    }

    /// Runs `work` on a connection, in one read transaction, so that all its statements see one state.
    pub async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let deadline = self.time_max.map(|limit| Instant::now() + limit);
        let turn = Arc::clone(&self.permits).acquire_owned();
        let permit = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline.into(), turn).await.map_err(|_| StoreError::TooSlow)?,
            None => turn.await,
        };
        // Goes along with the connection: a caller that stops waiting does not free its place early.
        let lent = Lent::take(self, permit.map_err(|_| closed())?)?;
        let task = tokio::task::spawn_blocking(move || lent.run(deadline, work));
        task.await.map_err(|cause| StoreError::Unavailable(format!("a read was cut off: {cause}")))?
    }

    /// Waits for the reads under way and closes the connections.
    pub async fn close(&self) {
        let all = self.permits.acquire_many(self.size).await;
        self.permits.close();
        drop(all);
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

impl Reader {
    fn open(file: &Path) -> Result<Self> {
        let mut connection = schema::open_reader(file)?;
        let deadline = Arc::new(Mutex::new(None::<Instant>));
        let watched = Arc::clone(&deadline);
        let is_over = move || {
            let deadline = *watched.lock().unwrap_or_else(PoisonError::into_inner);
            deadline.is_some_and(|deadline| Instant::now() >= deadline)
        };
        connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(is_over))?;
        Ok(Self { connection, deadline })
    }

    fn set_deadline(&self, deadline: Option<Instant>) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
    }
}

/// A reader on loan: comes back, out of its transaction, however the work ends.
struct Lent {
    reader: Option<Reader>,
    pool: Arc<Readers>,
    /// Given back after the reader, because fields are dropped after `drop`.
    _permit: OwnedSemaphorePermit,
}

impl Lent {
    fn take(pool: &Arc<Readers>, permit: OwnedSemaphorePermit) -> Result<Self> {
        let reader = pool.lock().pop().ok_or_else(closed)?;
        Ok(Self { reader: Some(reader), pool: Arc::clone(pool), _permit: permit })
    }

    fn run<T>(self, deadline: Option<Instant>, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let pool = Arc::clone(&self.pool);
        let _inside = pool.gate.enter(deadline).ok_or(StoreError::TooSlow)?;
        // Declared later, so its transaction ends before it leaves the gate.
        let lent = self;
        let reader = lent.reader.as_ref().ok_or_else(closed)?;
        reader.connection.execute_batch("BEGIN")?;
        reader.set_deadline(deadline);
        work(&reader.connection)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(reader) = self.reader.take() else { return };
        reader.set_deadline(None);
        // Reading needs no commit; ending the transaction lets the log be reset.
        if !reader.connection.is_autocommit()
            && let Err(cause) = reader.connection.execute_batch("ROLLBACK")
        {
            tracing::warn!(%cause, "a read transaction did not end");
        }
        self.pool.lock().push(reader);
    }
}
