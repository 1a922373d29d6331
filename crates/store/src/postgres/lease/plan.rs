//! Who should own what: pure, and the same on every node that sees the same nodes.

use dacapo_model::{Id, Shard};
use std::collections::{BTreeMap, BTreeSet};

/// Shards a node is leaving at a time. Each of them stands still for the moment between two owners.
pub const LEAVING_MAX: usize = 32;

/// What a node sees.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub me: Id,
    /// Nodes with a heartbeat in time, `me` among them unless it is about to end.
    pub living: &'a BTreeSet<Id>,
    /// `None`: nobody's.
    pub owners: &'a BTreeMap<Shard, Option<Id>>,
    /// What `me` is leaving already.
    pub leaving: &'a BTreeMap<Shard, Id>,
    /// How many it may be leaving at a time: [`LEAVING_MAX`], or all when it is about to end.
    pub leaving_max: usize,
}

/// What it does about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Nobody's, or a dead node's: not bounded, they wait for an owner.
    pub take: BTreeSet<Shard>,
    /// Own ones, with the node that is to have each. Bounded by [`View::leaving_max`], those under way first.
    pub leave: BTreeMap<Shard, Id>,
}

pub fn plan(view: View<'_>) -> Plan {
    let mut plan = Plan::default();
    let mut more = BTreeMap::new();
    for shard in Shard::all() {
        let Some(heir) = heir(shard, view.living) else { continue };
        let owner = view.owners.get(&shard).copied().flatten();
        match owner {
            Some(owner) if owner == view.me && heir != view.me => {
                let list = if view.leaving.contains_key(&shard) { &mut plan.leave } else { &mut more };
                list.insert(shard, heir);
            }
            Some(owner) if view.living.contains(&owner) => {}
            _ if heir == view.me => {
                plan.take.insert(shard);
            }
            _ => {}
        }
    }
    let room = view.leaving_max.saturating_sub(plan.leave.len());
    plan.leave.extend(more.into_iter().take(room));
    plan
}

/// Whom a shard belongs to while exactly these nodes live.
fn heir(shard: Shard, living: &BTreeSet<Id>) -> Option<Id> {
    living.iter().copied().max_by_key(|node| (shard.weight(*node), *node))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: u128) -> BTreeSet<Id> {
        (1..=count).map(Id::from_u128).collect()
    }

    fn shares(living: &BTreeSet<Id>) -> BTreeMap<Id, usize> {
        let mut shares = BTreeMap::new();
        for shard in Shard::all() {
            *shares.entry(heir(shard, living).expect("somebody lives")).or_default() += 1;
        }
        shares
    }

    #[test]
    fn everybody_gets_a_share() {
        for count in [1, 2, 3, 5, 8, 20] {
            let shares = shares(&nodes(count));
            assert_eq!(shares.len() as u128, count);
            let fair = Shard::COUNT / count as usize;
            assert!(shares.values().all(|share| *share > fair / 4 && *share < fair * 2 + 8), "{shares:?}");
        }
    }

    #[test]
    fn a_node_that_comes_moves_its_own_share_only() {
        let (before, after) = (nodes(3), nodes(4));
        for shard in Shard::all() {
            let now = heir(shard, &after);
            assert!(now == heir(shard, &before) || now == Some(Id::from_u128(4)));
        }
    }

    #[test]
    fn what_is_left_at_a_time_is_bounded_and_goes_on() {
        let (me, living) = (Id::from_u128(1), nodes(2));
        let owners: BTreeMap<_, _> = Shard::all().map(|shard| (shard, Some(me))).collect();
        let first =
            plan(View { me, living: &living, owners: &owners, leaving: &BTreeMap::new(), leaving_max: LEAVING_MAX });
        assert_eq!((first.leave.len(), first.take.len()), (LEAVING_MAX, 0));
        let again =
            plan(View { me, living: &living, owners: &owners, leaving: &first.leave, leaving_max: LEAVING_MAX });
        assert_eq!(again, first, "no more are begun before these are through");
    }

    #[test]
    fn a_living_nodes_shards_are_not_taken() {
        let (me, other, living) = (Id::from_u128(1), Id::from_u128(2), nodes(2));
        let owners: BTreeMap<_, _> = Shard::all().map(|shard| (shard, Some(other))).collect();
        assert_eq!(
            plan(View { me, living: &living, owners: &owners, leaving: &BTreeMap::new(), leaving_max: LEAVING_MAX }),
            Plan::default()
        );
        let alone = nodes(1);
        let plan =
            plan(View { me, living: &alone, owners: &owners, leaving: &BTreeMap::new(), leaving_max: LEAVING_MAX });
        assert_eq!(plan.take.len(), Shard::COUNT);
    }
}
