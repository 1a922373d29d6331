//! Connections kept for the next request to the same origin.
//!
//! Exchanges take a connection out and put it back; none is shared while it is in use, except
//! HTTP/2's. What lies idle too long is closed, at the latest [`SWEEP_INTERVAL`] after its time.

use super::connection::{Connection, Shared, Single};
use super::origin::Origin;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// Idle connections kept to one origin; more are closed when their exchange ends.
const IDLE_PER_ORIGIN_MAX: usize = 128;
/// Below the 5 s after which common servers hang up on an idle connection, so that a request
/// rarely meets a connection that is just being closed.
const IDLE_MAX: Duration = Duration::from_secs(4);
/// Between two looks for connections that have been idle too long.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Clone, Default)]
pub(super) struct Pool(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    by_origin: HashMap<Origin, Idle>,
    /// A task is there that closes what is too old; it ends with the last connection.
    is_swept: bool,
}

#[derive(Default)]
struct Idle {
    /// The one put back last is taken first: under a falling load the others grow old.
    singles: Vec<(Box<Single>, Instant)>,
    /// Stays here while it is used.
    shared: Option<(Shared, Instant)>,
}

impl Pool {
    /// A connection that was still open when it was looked at.
    pub(super) async fn take(&self, origin: &Origin) -> Option<Connection> {
        loop {
            let mut single = match self.pop(origin)? {
                Connection::Single(single) => single,
                shared @ Connection::Shared(_) => return Some(shared),
            };
            if single.is_ready().await {
                return Some(Connection::Single(single));
            }
        }
    }

    fn pop(&self, origin: &Origin) -> Option<Connection> {
        let mut kept = self.lock();
        let idle = kept.by_origin.get_mut(origin)?;
        let now = Instant::now();
        if let Some((shared, used)) = idle.shared.as_mut().filter(|(shared, _)| shared.is_open()) {
            *used = now;
            return Some(Connection::Shared(shared.clone()));
        }
        let (single, since) = idle.singles.pop()?;
        if now.duration_since(since) < IDLE_MAX {
            return Some(Connection::Single(single));
        }
        // The others are older.
        idle.singles.clear();
        None
    }

    /// After an exchange whose answer was read to its end. Whether an HTTP/1 connection can take another
    /// request is looked at when one comes.
    pub(super) fn put_back(&self, origin: Origin, connection: Connection) {
        let Connection::Single(single) = connection else { return };
        self.keep(origin, |idle, now| {
            if idle.singles.len() < IDLE_PER_ORIGIN_MAX {
                idle.singles.push((single, now));
            }
        });
    }

    /// Lets other exchanges use a new HTTP/2 connection at once.
    pub(super) fn share(&self, origin: &Origin, connection: &Connection) {
        if let Connection::Shared(shared) = connection {
            let shared = shared.clone();
            self.keep(origin.clone(), |idle, now| idle.shared = Some((shared, now)));
        }
    }

    fn keep(&self, origin: Origin, put: impl FnOnce(&mut Idle, Instant)) {
        let mut kept = self.lock();
        put(kept.by_origin.entry(origin).or_default(), Instant::now());
        if !std::mem::replace(&mut kept.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(&self.0)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        lock(&self.0)
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn sweep(pool: Weak<Mutex<Kept>>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut kept = lock(&pool);
        let now = Instant::now();
        let is_young = |since: &Instant| now.duration_since(*since) < IDLE_MAX;
        kept.by_origin.retain(|_, idle| {
            idle.singles.retain(|(_, since)| is_young(since));
            idle.shared.take_if(|(shared, used)| !shared.is_open() || !is_young(used));
            !idle.singles.is_empty() || idle.shared.is_some()
        });
        if kept.by_origin.is_empty() {
            kept.is_swept = false;
            return;
        }
    }
}
