//! What is counted of breakers.

use crate::dispatch::Exchanged;
use crate::dispatch::idle::{self, AT};
use crate::dispatch::lane::{Found, Part};
use crate::settings::Settings;
use bytes::Bytes;
use dacapo_model::event::Target;
use dacapo_model::retry::{Kind, Policy};
use dacapo_model::{Class, Event, Id, Mode, Shard};
use dacapo_store::roles::Holding;
use dacapo_store::roles::lease::Deadline;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const PROJECT: Id = Id::from_u128(1);
/// Of a replay to an address that is no endpoint's: its lane has its id.
const REPLAY: Id = Id::from_u128(2);
const ITEM: Id = Id::from_u128(3);

#[tokio::test]
async fn the_breaker_of_a_replays_own_address_counts_while_something_is_to_be_sent_there() {
    let (dispatcher, _clock, _refills) = idle::dispatcher().await;
    let open = || dispatcher.breakers().1;
    {
        let mut state = dispatcher.lock();
        let lane = state.lane(PROJECT, REPLAY);
        assert!(lane.place(Class::Live, (ITEM, 0), AT, false, &Settings::default()));
        for _ in 0..100 {
            lane.guard.sent();
            lane.guard.finished(Exchanged::Failed, AT);
        }
        assert!(lane.guard.is_tripped());
    }
    assert_eq!(open(), 1, "an item is under way");
    dispatcher.lock().lane(PROJECT, REPLAY).recorded(ITEM, Some((Class::Replay, AT)));
    assert_eq!(open(), 1, "it is to be tried again");
    // It was given up: a read finds nothing more.
    let found = Found { is_all: true, ..Found::default() };
    dispatcher.lock().lane(PROJECT, REPLAY).refilled(Class::Replay, found, AT, |_| Part::Run);
    assert_eq!(open(), 0, "nobody would ever close it");
}

#[tokio::test]
async fn the_timer_of_a_replays_own_address_that_is_dead_is_not_due_for_ever() {
    let (dispatcher, clock, _refills) = idle::dispatcher().await;
    let until = {
        let mut state = dispatcher.lock();
        let lane = state.lane(PROJECT, REPLAY);
        for _ in 0..100 {
            lane.guard.sent();
            lane.guard.finished(Exchanged::Failed, AT);
        }
        lane.stored_until(Class::Replay, AT);
        let until = lane.guard.open_until().expect("it is open");
        state.set_timer(AT, REPLAY);
        until
    };
    let next = || dispatcher.lock().timers.first().copied();
    dispatcher.fire_due();
    assert_eq!(next(), Some((until, REPLAY)), "when a probe may go");
    clock.advance(until.since(AT));
    dispatcher.fire_due();
    assert_eq!(next(), None, "the probe is being read");
}

/// A node that stood still finds its exchanges failed, and its shards another's: what it makes of that is no reason to
/// keep anybody waiting when they are its own again.
#[tokio::test]
async fn what_exchanges_of_a_lost_shard_come_to_holds_nothing_up_once_it_is_back() {
    const UNDER_WAY: u64 = 12;
    let (dispatcher, _clock, _refills) = idle::dispatcher().await;
    let endpoint = Id::from_u128(7);
    let hold = |epoch: Option<u64>| {
        let shards: BTreeMap<Shard, u64> = epoch.map(|epoch| (Shard::of(endpoint), epoch)).into_iter().collect();
        dispatcher.adopt(Arc::new(Holding::new(shards, BTreeSet::new(), Deadline::never())));
    };
    let take_one = |n: u64| {
        let policy = Policy { kind: Kind::Linear, interval_s: 1, limit: 1 };
        let (subscription_id, mode) = (Id::from_u128(8), Mode::AtLeastOnce);
        let targets = vec![Target { endpoint_id: endpoint, subscription_id, mode, policy, discarded: None }];
        let id = Id::from_u128(u128::from(n) << 32);
        let event = Arc::new(Event { targets, ..Event::plain(id, PROJECT, "t", Bytes::new(), AT) });
        let (_, placings) = dispatcher.place(&[Arc::clone(&event)]);
        dispatcher.offer(&[event], &placings, |_| true);
        dispatcher.take().is_some()
    };
    hold(Some(1));
    assert!((0..UNDER_WAY).all(take_one));
    hold(None);
    for _ in 0..UNDER_WAY {
        dispatcher.finished(endpoint, None, Exchanged::Failed);
    }
    assert!(dispatcher.lock().lanes[&endpoint].guard.is_tripped(), "or this shows nothing");
    hold(Some(2));
    assert!(take_one(UNDER_WAY));
}
