//! Several fan-outs at once, over a store that notes whose part it wrote and cannot read some of them.

use super::resting::REST_MAX;
use super::*;
use crate::settings::Settings;
use async_trait::async_trait;
use bytes::Bytes;
use dacapo_model::clock::ManualClock;
use dacapo_model::{Event, Timestamp};
use dacapo_store::roles::{Catalog, Contents, Part};
use dacapo_store::{LiveCatalog, StoreError};
use std::collections::BTreeMap;
use std::sync::Mutex;

const AT: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// Event by event, the parts that are missing; what is named in `unreadable` cannot be read.
#[derive(Default)]
struct Parts {
    missing: Mutex<BTreeMap<Id, usize>>,
    unreadable: Mutex<Vec<Id>>,
    /// Of whom parts were asked for, in order.
    asked: Mutex<Vec<Id>>,
    written: Mutex<Vec<Id>>,
}

#[async_trait]
impl FanOuts for Parts {
    async fn unfinished(&self, after: Option<Id>, most: usize) -> Result<Vec<Id>> {
        let missing = self.missing.lock().expect("no test panics here");
        Ok(missing.keys().copied().filter(|id| after.is_none_or(|after| *id > after)).take(most).collect())
    }

    async fn part(&self, event: Id, _: usize) -> Result<Option<Part>> {
        self.asked.lock().expect("no test panics here").push(event);
        if self.unreadable.lock().expect("no test panics here").contains(&event) {
            let (row, detail) = (event.to_string(), "damaged".to_owned());
            return Err(StoreError::Inconsistent { table: "events", column: "more", row, detail });
        }
        let is_missing = self.missing.lock().expect("no test panics here").contains_key(&event);
        Ok(is_missing.then(|| Part { event: Arc::new(large(event)), first: 0, targets: Vec::new() }))
    }

    async fn unfold(&self, part: &Part) -> Result<bool> {
        let event = part.event.id;
        self.written.lock().expect("no test panics here").push(event);
        let mut missing = self.missing.lock().expect("no test panics here");
        let left = missing.get_mut(&event).expect("is unfinished");
        *left -= 1;
        if *left == 0 {
            missing.remove(&event);
        }
        Ok(true)
    }
}

struct Nothing;

#[async_trait]
impl Catalog for Nothing {
    async fn load(&self) -> Result<Contents> {
        Ok(Contents::default())
    }

    async fn write(&self, _: Vec<dacapo_model::catalog::Change>, _: Vec<dacapo_model::MetaEvent>) -> Result<u64> {
        Ok(1)
    }
}

fn large(id: Id) -> Event {
    Event::plain(id, Id::from_u128(1), "a", Bytes::from_static(b"{}"), AT)
}

fn id(number: usize) -> Id {
    Id::from_u128(number as u128 + 1)
}

struct Setup {
    parts: Arc<Parts>,
    clock: Arc<ManualClock>,
    unfolder: Unfolder,
    resting: Resting,
}

impl Setup {
    /// So many parts are missing of each.
    async fn new(missing: &[usize]) -> Self {
        let parts = Arc::new(Parts::default());
        *parts.missing.lock().expect("no test panics here") =
            missing.iter().enumerate().map(|(number, parts)| (id(number), *parts)).collect();
        let clock = Arc::new(ManualClock::at(AT));
        let (catalog, _) = LiveCatalog::load(Arc::new(Nothing)).await.expect("an empty catalog");
        let (dispatcher, _requests) = Dispatcher::new(Arc::new(catalog), Arc::clone(&clock) as _, Settings::default());
        let unfolder = Unfolder {
            store: Arc::clone(&parts) as _,
            dispatcher,
            clock: Arc::clone(&clock) as _,
            begun: Arc::default(),
            part_targets_max: 1,
        };
        Self { parts, clock, unfolder, resting: Resting::default() }
    }

    async fn round(&mut self) -> bool {
        self.unfolder.round(&mut self.resting, &CancellationToken::new()).await.expect("can be listed")
    }

    fn take(of: &Mutex<Vec<Id>>) -> Vec<Id> {
        std::mem::take(&mut *of.lock().expect("no test panics here"))
    }
}

#[tokio::test]
async fn fan_outs_take_turns_a_part_each() {
    let mut setup = Setup::new(&[3, 1, 2]).await;
    while setup.round().await {}
    let order = [0, 1, 2, 0, 2, 0].map(id);
    assert_eq!(Setup::take(&setup.parts.written), order);
}

#[tokio::test]
async fn those_behind_the_first_page_have_their_turn_too() {
    let mut setup = Setup::new(&[2; LISTED_MAX + 1]).await;
    assert!(setup.round().await);
    assert_eq!(Setup::take(&setup.parts.written), (0..=LISTED_MAX).map(id).collect::<Vec<_>>());
    while setup.round().await {}
    assert!(setup.parts.missing.lock().expect("no test panics here").is_empty());
}

#[tokio::test]
async fn one_that_cannot_be_read_holds_nobody_up_and_rests_longer_each_time() {
    let mut setup = Setup::new(&[1, 2]).await;
    *setup.parts.unreadable.lock().expect("no test panics here") = vec![id(0)];
    while setup.round().await {}
    assert_eq!(Setup::take(&setup.parts.written), [id(1); 2]);
    assert_eq!(Setup::take(&setup.parts.asked), [id(0), id(1), id(1)], "it was left alone while it rested");

    let mut rest = Duration::from_millis(500);
    for _ in 0..10 {
        setup.clock.advance(rest - Duration::from_millis(1));
        assert!(!setup.round().await);
        assert_eq!(Setup::take(&setup.parts.asked), [], "{rest:?}");
        setup.clock.advance(Duration::from_millis(1));
        assert!(!setup.round().await);
        assert_eq!(Setup::take(&setup.parts.asked), [id(0)], "{rest:?}");
        rest = (rest * 2).min(REST_MAX);
    }
    // Whoever repaired it waits no longer than that.
    setup.parts.unreadable.lock().expect("no test panics here").clear();
    setup.clock.advance(REST_MAX);
    assert!(setup.round().await);
    assert_eq!(Setup::take(&setup.parts.written), [id(0)]);
    assert!(setup.resting.is_empty(setup.clock.now()));
}
