//! Reading work that waits: at start, when a lane's window was exceeded, and for far retries.

use crate::Result;
use async_trait::async_trait;
use dacapo_model::{Class, Delivery, Event, Id, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// What waits for one endpoint in one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    pub project_id: Id,
    pub endpoint_id: Id,
    pub class: Class,
    /// The earliest moment something is due.
    pub next_due: Timestamp,
}

/// How many wait, of a stretch of the lanes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    pub counts: Vec<(Class, u64)>,
    /// Where the next stretch begins. `None`: that was the last one.
    pub next: Option<CountedUpto>,
}

/// A delivery that waits, by its place in its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountedUpto {
    pub endpoint_id: Id,
    pub class: Class,
    pub due_at: Timestamp,
    pub delivery_id: Id,
}

/// A delivery with what is needed to send it.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub delivery: Delivery,
    pub event: Arc<Event>,
}

/// Where to look for work, and for how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    pub endpoint_id: Id,
    pub class: Class,
    pub limit: usize,
    /// Bytes of payload read, and at most one payload more.
    pub bytes_max: usize,
    /// Some of what the caller holds already: a store may leave these out, and need not.
    pub known: Arc<[Id]>,
}

/// What was found in a lane.
#[derive(Clone, Debug, Default)]
pub struct Due {
    /// Earliest first.
    pub waiting: Vec<Waiting>,
    /// That is all there is up to that moment, but for what the caller was known to hold. `false` where rows or bytes
    /// were as many as were asked for.
    pub is_all: bool,
    /// Where it is all: when the next one is due.
    pub next: Option<Timestamp>,
}

/// Word that [`Queue::due`] may give something new. It says where to look, not what is there: the
/// same deliveries may be announced twice, and a look may find none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Of shards this process held when the word came.
    Endpoints(Vec<Id>),
    /// The same, and what came is of live events.
    Live(Vec<Id>),
    /// A fan-out is to be continued ([`super::FanOuts`]), perhaps by this process.
    FanOuts,
    /// Look at the whole backlog: word may have been missed, or there is too much to name.
    All,
}

/// Word that waits to be heard; what finds no place becomes [`Arrival::All`].
pub const ARRIVALS_QUEUED_MAX: usize = 256;

/// The hearing end of [`Queue::arrivals`].
#[derive(Debug)]
pub struct Arrivals(Option<mpsc::Receiver<Arrival>>);

impl Arrivals {
    /// For a store nobody else writes to.
    pub const fn never() -> Self {
        Self(None)
    }

    pub const fn of(channel: mpsc::Receiver<Arrival>) -> Self {
        Self(Some(channel))
    }

    /// Waits for the next word; for ever when there will be none. Nothing is lost when the waiting
    /// is given up.
    pub async fn next(&mut self) -> Arrival {
        if let Some(channel) = &mut self.0
            && let Some(arrival) = channel.recv().await
        {
            return arrival;
        }
        std::future::pending().await
    }
}

#[async_trait]
pub trait Queue: Send + Sync + 'static {
    /// Every (endpoint, class) with waiting deliveries, of the shards this process holds. Costs what there are lanes,
    /// however much waits in them: this is looked at again and again.
    async fn backlog(&self) -> Result<Vec<Backlog>>;

    /// How many wait in the next `rows_max` places of those lanes. Millions are counted in stretches, each of which
    /// keeps nobody waiting; deliveries that move in between may be counted twice or not at all.
    async fn count_waiting(&self, after: Option<CountedUpto>, rows_max: usize) -> Result<Depth>;

    /// For each of these lanes, in order: what waits in it and is due up to `until`, earliest first (ties: oldest
    /// first), as much as was asked for. Reading claims nothing: a delivery stays here until it is recorded
    /// as settled, so the caller leaves out what it already holds. `Fenced` when the shard of one of the endpoints
    /// is not this process's.
    async fn due_in(&self, lanes: &[Look], until: Timestamp) -> Result<Vec<Due>>;

    /// The same of a single lane, whatever its bytes.
    async fn due(&self, endpoint_id: Id, class: Class, until: Timestamp, limit: usize) -> Result<Vec<Waiting>> {
        let look = Look { endpoint_id, class, limit, bytes_max: usize::MAX, known: Arc::default() };
        let found = self.due_in(&[look], until).await?;
        Ok(found.into_iter().next().unwrap_or_default().waiting)
    }

    /// What other processes put into this one's shards from now on; a call ends the channel of the
    /// call before. The embedded store has no others and never says anything.
    fn arrivals(&self) -> Arrivals;

    /// Under load, how long after a read that found all there was the next one had better come. At once where nobody
    /// else writes.
    fn rests_between_reads(&self) -> Duration {
        Duration::ZERO
    }

    /// The earliest due time after `after` of an endpoint and class; `None` when nothing waits.
    async fn next_due(&self, endpoint: Id, class: Class, after: Timestamp) -> Result<Option<Timestamp>>;
}
