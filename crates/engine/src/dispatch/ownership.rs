//! Which lanes are this node's: follows the lease (design §4).
//!
//! - In: what the store says this node holds, and word of what other nodes put into its shards.
//! - Out: lanes taken up and abandoned; shards given up once nothing of theirs is under way.
//! - Promise: nothing is sent for a shard that is leaving, lost, or held by a lease that may not be
//!   relied on any more. What arrives for a held shard is looked for.
//! - Failure: a look that fails is repeated; what is missed is found by the store's slow poll.

use super::lane::Lane;
use super::{Dispatcher, State};
use dacapo_model::{Class, Id, Shard, Timestamp};
use dacapo_store::Store;
use dacapo_store::roles::{Allowance, Arrival, Holding};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How often leaving shards are looked at for whether they are quiet.
const QUIET_LOOK: Duration = Duration::from_millis(10);
/// After a look at the backlog that failed.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// While a held lease is being renewed late, a lane that may not send looks again.
const STALLED_LOOK: Duration = Duration::from_millis(100);

/// Keeps dispatch in step with the lease.
pub struct Follower {
    pub store: Arc<dyn Store>,
    pub dispatcher: Arc<Dispatcher>,
    /// Told when large fan-outs may be this node's to go on with.
    pub fan_outs: Arc<Notify>,
}

impl Follower {
    /// Before the first look at the backlog: what is held now.
    pub fn adopt(&self) {
        let held = self.store.holding().borrow().clone();
        self.dispatcher.adopt(held);
    }

    /// Runs until `stop`.
    pub async fn follow(self, stop: CancellationToken) {
        let mut holding = self.store.holding();
        let mut arrivals = self.store.arrivals();
        // Told before this began to listen, perhaps.
        holding.mark_changed();
        let mut look_at_backlog = false;
        while !stop.is_cancelled() {
            tokio::select! {
                changed = holding.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let held = holding.borrow_and_update().clone();
                    look_at_backlog |= self.dispatcher.adopt(held);
                }
                arrival = arrivals.next() => match arrival {
                    Arrival::Endpoints(endpoints) => self.dispatcher.arrived(&endpoints, &Class::ALL),
                    Arrival::Live(endpoints) => self.dispatcher.arrived(&endpoints, &[Class::Live]),
                    Arrival::FanOuts => self.fan_outs.notify_one(),
                    Arrival::All => look_at_backlog = true,
                },
                () = tokio::time::sleep(QUIET_LOOK), if self.dispatcher.is_leaving() => self.let_quiet_go().await,
                () = tokio::time::sleep(LOOK_AGAIN_AFTER), if look_at_backlog => {}
                () = stop.cancelled() => return,
            }
            if look_at_backlog {
                self.fan_outs.notify_one();
                look_at_backlog = !self.take_up().await;
            }
        }
    }

    /// `false` when it is to be tried again.
    async fn take_up(&self) -> bool {
        match self.store.backlog().await {
            Ok(backlog) => {
                self.dispatcher.take_up(&backlog);
                true
            }
            Err(cause) => {
                tracing::warn!(%cause, "what waits in shards taken over could not be read; trying again");
                false
            }
        }
    }

    async fn let_quiet_go(&self) {
        let (quiet, allowances) = self.dispatcher.quiet_leaving();
        if quiet.is_empty() {
            return;
        }
        if let Err(cause) = self.store.let_go(&quiet, &allowances).await {
            tracing::warn!(%cause, "shards could not be handed over; trying again");
        }
    }
}

impl Dispatcher {
    /// `true` when something was gained or is to stay after all: what waits in it is to be read.
    pub(crate) fn adopt(&self, held: Arc<Holding>) -> bool {
        let now = self.clock.now();
        let mut state = self.lock();
        let before = std::mem::replace(&mut state.holding, Arc::clone(&held));
        let is_same = |shard: &Shard| before.shards.get(shard) == held.shards.get(shard);
        let gained: Vec<Shard> = held.shards.keys().copied().filter(|shard| !is_same(shard)).collect();
        // Asked for, and not wanted any more: what was abandoned for that is to be read again.
        let is_back = |shard: &Shard| held.shards.contains_key(shard) && !held.leaving.contains(shard);
        let stays = before.leaving.iter().any(is_back);
        state.gained.retain(|shard, _| held.shards.contains_key(shard));
        state.gained.extend(gained.iter().map(|shard| (*shard, now)));
        let mut freed = 0;
        for (endpoint, lane) in &mut state.lanes {
            let shard = Shard::of(*endpoint);
            if !is_same(&shard) || held.leaving.contains(&shard) {
                freed += lane.abandon();
            }
            if !is_same(&shard) && held.shards.contains_key(&shard) {
                // What it knew of the limit is older than what another node has sent since.
                lane.spent = Spent::at_take_over(&held, *endpoint, Some(now));
            }
        }
        state.window_bytes -= freed;
        state.lanes.retain(|endpoint, lane| held.shards.contains_key(&Shard::of(*endpoint)) || !lane.is_idle());
        stays || !gained.is_empty()
    }

    /// Another node put something into these endpoints' lanes.
    fn arrived(&self, endpoints: &[Id], classes: &[Class]) {
        let now = self.clock.now();
        let snapshot = self.catalog.snapshot();
        // Looked up before the lock is taken: there may be many projects.
        let project_of = |endpoint: &Id| {
            let mut projects = snapshot.projects().map(|view| view.project.id);
            projects.find(|project| snapshot.endpoint(*project, *endpoint).is_some())
        };
        let lanes: Vec<(Id, Id)> =
            endpoints.iter().filter_map(|endpoint| Some((project_of(endpoint)?, *endpoint))).collect();
        let mut state = self.lock();
        for (project, endpoint) in &lanes {
            if !state.dispatches(*endpoint) {
                continue;
            }
            let lane = state.lane(*project, *endpoint);
            for class in classes {
                lane.stored_until(*class, now);
            }
        }
        self.refill_hungry(&mut state, lanes.iter().map(|(_, endpoint)| *endpoint));
    }

    fn is_leaving(&self) -> bool {
        !self.lock().holding.leaving.is_empty()
    }

    /// With how far the limits of their endpoints are used up.
    pub(super) fn quiet_leaving(&self) -> (Vec<Shard>, Vec<Allowance>) {
        let state = self.lock();
        let mut quiet = state.holding.leaving.clone();
        for (endpoint, lane) in &state.lanes {
            if !lane.is_quiet() {
                quiet.remove(&Shard::of(*endpoint));
            }
        }
        quiet.retain(|shard| !state.stays.contains_key(shard));
        let allowances = state.allowances(&quiet);
        (quiet.into_iter().collect(), allowances)
    }

    /// For whoever owns all of it next, once nothing more is sent.
    pub fn last_allowances(&self) -> Vec<Allowance> {
        let state = self.lock();
        state.allowances(&state.holding.shards.keys().copied().collect())
    }
}

/// What a lane that is new to this node knows of its rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spent {
    /// Nobody sent before.
    Nothing,
    /// As its owner before left it: whole again then.
    UntilWhole(Timestamp),
    /// Another node may have used all of it until then.
    AllUntil(Timestamp),
}

impl Spent {
    /// `gained`: when the endpoint's shard came to this node, where it did.
    pub(super) fn at_take_over(held: &Holding, endpoint: Id, gained: Option<Timestamp>) -> Self {
        let Some(gained) = gained.filter(|at| endpoint.time() < *at) else { return Self::Nothing };
        held.allowances.get(&endpoint).map_or(Self::AllUntil(gained), |whole_at| Self::UntilWhole(*whole_at))
    }
}

impl State {
    fn allowances(&self, shards: &BTreeSet<Shard>) -> Vec<Allowance> {
        let of_shards = self.lanes.iter().filter(|(endpoint, _)| shards.contains(&Shard::of(**endpoint)));
        let allowance =
            |(endpoint, lane): (&Id, &Lane)| Some(Allowance { endpoint_id: *endpoint, whole_at: lane.whole_at()? });
        of_shards.filter_map(allowance).collect()
    }

    pub(super) fn dispatches(&self, endpoint: Id) -> bool {
        self.holding.dispatches(Shard::of(endpoint))
    }

    /// As [`Self::dispatches`], for a lane that was taken out of the rotation: one that is another's is
    /// abandoned, one whose lease is late looks again soon.
    pub(super) fn may_send(&mut self, endpoint: Id, now: Timestamp) -> bool {
        let shard = Shard::of(endpoint);
        if self.holding.dispatches(shard) {
            return true;
        }
        let is_late = self.holding.shards.contains_key(&shard) && !self.holding.leaving.contains(&shard);
        if let Some(lane) = self.lanes.get_mut(&endpoint) {
            lane.listed = false;
            if !is_late {
                self.window_bytes -= lane.abandon();
            }
        }
        if is_late {
            self.set_timer(now.plus(STALLED_LOOK), endpoint);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dacapo_store::roles::lease::Deadline;
    use std::collections::{BTreeMap, HashMap};

    /// What is not known to be unused counts as used; what is newer than the take-over nobody used.
    #[test]
    fn a_limit_is_taken_over_as_it_was_told_and_used_up_where_it_was_not() {
        let at = |seconds: i64| Timestamp::from_millis(1_700_000_000_000 + seconds * 1_000);
        let born = |seconds, n| Id::floor_of(at(seconds)).child(n);
        let (told, untold, newer) = (born(0, 1), born(0, 2), born(20, 3));
        let held = Holding::new(BTreeMap::new(), BTreeSet::new(), Deadline::never());
        let held = held.with_allowances(Arc::new(HashMap::from([(told, at(11))])));
        let spent = |endpoint, gained| Spent::at_take_over(&held, endpoint, gained);
        assert_eq!(spent(told, Some(at(10))), Spent::UntilWhole(at(11)));
        assert_eq!(spent(untold, Some(at(10))), Spent::AllUntil(at(10)));
        assert_eq!(spent(newer, Some(at(10))), Spent::Nothing);
        assert_eq!(spent(told, None), Spent::Nothing, "an embedded store is nobody else's");
    }
}
