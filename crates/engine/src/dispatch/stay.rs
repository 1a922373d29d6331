//! Work for a shard beside dispatch: the shard stays this node's until it is done.

use super::Dispatcher;
use dacapo_model::{Id, Shard};
use std::sync::Arc;

/// While it lives, its shard is not let go. (It can be lost all the same, with the lease.)
pub struct Stay {
    dispatcher: Arc<Dispatcher>,
    shard: Shard,
}

impl Dispatcher {
    /// `None` when the shard of this id is not this node's to work for.
    pub fn stay(self: &Arc<Self>, id: Id) -> Option<Stay> {
        let shard = Shard::of(id);
        let mut state = self.lock();
        if !state.holding.dispatches(shard) {
            return None;
        }
        *state.stays.entry(shard).or_default() += 1;
        Some(Stay { dispatcher: Arc::clone(self), shard })
    }

    /// Whether the shard of this id is this node's to work for, and is to stay so.
    pub fn works_for(&self, id: Id) -> bool {
        self.lock().holding.dispatches(Shard::of(id))
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let mut state = self.dispatcher.lock();
        if let Some(count) = state.stays.get_mut(&self.shard) {
            *count -= 1;
            if *count == 0 {
                state.stays.remove(&self.shard);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::idle;
    use dacapo_store::roles::Holding;
    use dacapo_store::roles::lease::Deadline;
    use std::collections::{BTreeMap, BTreeSet};

    #[tokio::test]
    async fn a_shard_that_is_asked_for_goes_when_the_last_of_its_work_is_done() {
        let (dispatcher, _clock, _refills) = idle::dispatcher().await;
        let project = Id::from_u128(7);
        let shard = Shard::of(project);
        let (first, second) = (dispatcher.stay(project), dispatcher.stay(project));
        assert!(first.is_some() && second.is_some());
        let shards = BTreeMap::from([(shard, 1)]);
        dispatcher.adopt(Arc::new(Holding::new(shards, BTreeSet::from([shard]), Deadline::never())));
        assert!(dispatcher.stay(project).is_none() && !dispatcher.works_for(project));
        assert_eq!(dispatcher.quiet_leaving().0, []);
        drop(first);
        assert_eq!(dispatcher.quiet_leaving().0, []);
        drop(second);
        assert_eq!(dispatcher.quiet_leaving().0, [shard]);
    }
}
