//! Writing down what attempts came to.

use crate::Result;
use async_trait::async_trait;
use dacapo_model::{Attempt, Delivery, MetaEvent};
use std::sync::Arc;

/// A delivery after an attempt (or after it was given up without one).
#[derive(Clone, Debug)]
pub struct Report {
    /// The new state: `status`, `attempts`, `reason`, `due_at` … as they are from now on.
    pub delivery: Delivery,
    /// The attempt that led here; `None` when it was discarded without one.
    pub attempt: Option<Attempt>,
    /// To be written if this settles the delivery.
    pub meta_event: Option<Box<MetaEvent>>,
}

impl Report {
    /// A row of its delivery that knows of this many attempts has gone on since, and the report is late.
    pub fn late_from(&self) -> u32 {
        self.attempt.as_ref().map_or(self.delivery.attempts.saturating_add(1), |made| made.number)
    }
}

#[async_trait]
pub trait Record: Send + Sync + 'static {
    /// Settled deliveries leave the queue, others wait until their `due_at`. A report that comes late
    /// (the delivery is settled already, or knows of its attempt and has gone on) keeps its attempt and
    /// changes nothing else, so a batch may be recorded again after an unclear failure.
    ///
    /// `Fenced` names the shards that another node has taken over; the reports about them are not
    /// recorded and never will be (their deliveries are the new owner's, which sends them again),
    /// all others of the batch are.
    async fn record(&self, batch: Arc<[Report]>) -> Result<()>;

    /// Under load, how many reports are worth waiting for a while longer than usual.
    fn batch_worth_sending(&self) -> usize {
        1
    }
}
