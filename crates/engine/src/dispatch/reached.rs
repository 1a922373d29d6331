//! Whether an endpoint has had the event of an item that waits in memory.
//!
//! - In: what the store knew at some moment, for many items at once, and every success since.
//! - Promise: what a courier is told holds when it is told; where nothing certain is known it is told so,
//!   and asks the store.

use dacapo_model::Id;
use dacapo_model::id::{IdMap, IdSet};
use std::collections::{HashMap, VecDeque};

/// Successes kept in mind for looks at the store that are under way; after more, such a look says nothing.
const SUCCESSES_MAX: usize = 8_192;

/// When a look at the store began.
#[derive(Clone, Copy, Debug)]
pub struct Moment(u64);

/// The newest successes of all endpoints.
#[derive(Default)]
pub struct Successes {
    count: u64,
    newest: VecDeque<(Id, Id)>,
}

impl Successes {
    pub fn moment(&self) -> Moment {
        Moment(self.count)
    }

    pub fn add(&mut self, endpoint: Id, event: Id) {
        if self.newest.len() == SUCCESSES_MAX {
            self.newest.pop_front();
        }
        self.newest.push_back((endpoint, event));
        self.count += 1;
    }

    /// Events by endpoint; `None` when there were too many.
    pub fn since(&self, moment: Moment) -> Option<HashMap<Id, IdSet>> {
        let new = usize::try_from(self.count - moment.0).ok().filter(|new| *new <= self.newest.len())?;
        let mut events: HashMap<Id, IdSet> = HashMap::new();
        for (endpoint, event) in self.newest.range(self.newest.len() - new..) {
            events.entry(*endpoint).or_default().insert(*event);
        }
        Some(events)
    }
}

/// What is known of one lane's items, by id of the event.
#[derive(Default)]
pub struct Reached {
    known: IdMap<bool>,
}

impl Reached {
    /// An item comes into memory, of whose event this is known.
    pub fn learn(&mut self, event: Id, reached: bool) {
        *self.known.entry(event).or_default() |= reached;
    }

    pub fn succeeded(&mut self, event: Id) {
        if let Some(reached) = self.known.get_mut(&event) {
            *reached = true;
        }
    }

    /// The item leaves memory. Nothing is known of a second one of the same event from then on.
    pub fn tell(&mut self, event: Id) -> Option<bool> {
        self.known.remove(&event)
    }

    pub fn forget(&mut self) {
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: Id = Id::from_u128(1);
    const EVENT: Id = Id::from_u128(2);

    #[test]
    fn a_success_after_the_look_counts() {
        let mut reached = Reached::default();
        reached.learn(EVENT, false);
        reached.succeeded(EVENT);
        reached.learn(EVENT, false);
        assert_eq!(reached.tell(EVENT), Some(true));
        assert_eq!(reached.tell(EVENT), None, "a second item of the event is looked up");
        reached.succeeded(EVENT);
        assert_eq!(reached.tell(EVENT), None, "nothing is kept of what no item is of");
    }

    #[test]
    fn successes_while_a_look_is_under_way_are_known_or_known_to_be_too_many() {
        let mut successes = Successes::default();
        successes.add(ENDPOINT, Id::from_u128(100));
        let began = successes.moment();
        assert!(successes.since(began).expect("none").is_empty());
        successes.add(ENDPOINT, EVENT);
        let since = successes.since(began).expect("one");
        assert_eq!(since[&ENDPOINT].iter().collect::<Vec<_>>(), [&EVENT]);
        for other in 0..SUCCESSES_MAX as u128 {
            successes.add(ENDPOINT, Id::from_u128(1_000 + other));
        }
        assert!(successes.since(began).is_none());
        assert!(successes.newest.len() <= SUCCESSES_MAX);
    }
}
