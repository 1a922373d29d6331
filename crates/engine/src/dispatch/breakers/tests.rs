//! What is counted of breakers.

use crate::dispatch::Exchanged;
use crate::dispatch::idle::{self, AT};
use crate::dispatch::lane::{Found, Part};
use crate::settings::Settings;
use dacapo_model::{Class, Id};

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
