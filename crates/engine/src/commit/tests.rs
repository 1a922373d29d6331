//! A batch that was routed before somebody else changed the configuration.

use super::*;
use crate::settings::Settings;
use async_trait::async_trait;
use bytes::Bytes;
use dacapo_model::catalog::Change;
use dacapo_model::clock::ManualClock;
use dacapo_model::endpoint::Endpoint;
use dacapo_model::event::{Audience, Target};
use dacapo_model::id::SystemEntropy;
use dacapo_model::project::Project;
use dacapo_model::retry::{Kind, Policy};
use dacapo_model::{Id, Mode, Subscription};
use dacapo_store::roles::{Catalog, Contents, EditLock};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::Semaphore;

const PROJECT: Id = Id::from_u128(1);
const ENDPOINT: Id = Id::from_u128(2);
const AT_ONCE_MAX: usize = 50;
const AT: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// Another node adds an endpoint with a subscription before each of the first `changes` commits, but while it is held off.
struct Busy {
    changes: u64,
    held_off: Arc<AtomicBool>,
    version: AtomicU64,
    stored: Mutex<Vec<Arc<Event>>>,
    /// Of each stored event, the targets behind it.
    later: Mutex<Vec<usize>>,
    /// Of the batches, in order.
    sizes: Mutex<Vec<usize>>,
    /// Each batch takes a permit before it is stored.
    open: Semaphore,
    worth_sending: usize,
    gathers_for: std::time::Duration,
}

impl Busy {
    /// So many batches, and any at once.
    fn taking(batches: usize) -> Self {
        Self {
            changes: 0,
            held_off: Arc::default(),
            version: AtomicU64::new(1),
            stored: Mutex::default(),
            later: Mutex::default(),
            sizes: Mutex::default(),
            open: Semaphore::new(batches),
            worth_sending: 1,
            gathers_for: std::time::Duration::ZERO,
        }
    }
}

/// Enough for all that can go on now.
async fn turns() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

fn project() -> Change {
    Change::Project(Arc::new(Project::plain(PROJECT, Id::from_u128(9), AT)))
}

fn listener() -> [Change; 2] {
    let endpoint = Endpoint::plain(ENDPOINT, PROJECT, "https://example.test/", AT);
    let subscription = Subscription::catch_all(Id::from_u128(3), PROJECT, ENDPOINT, AT);
    [Change::Endpoint(Arc::new(endpoint)), Change::Subscription(Arc::new(subscription))]
}

#[async_trait]
impl Catalog for Busy {
    async fn load(&self) -> dacapo_store::Result<Contents> {
        let version = self.version.load(Ordering::SeqCst);
        let rows = if version > 1 { [project()].into_iter().chain(listener()).collect() } else { vec![project()] };
        Ok(Contents { version, rows, newest_id: None })
    }

    async fn write(&self, _: Vec<Change>, _: Vec<dacapo_model::MetaEvent>) -> dacapo_store::Result<u64> {
        Err(StoreError::Unavailable("not here".to_owned()))
    }

    async fn lock(&self) -> dacapo_store::Result<Option<Box<dyn EditLock>>> {
        self.held_off.store(true, Ordering::SeqCst);
        Ok(Some(Box::new(Held(Arc::clone(&self.held_off)))))
    }
}

struct Held(Arc<AtomicBool>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[async_trait]
impl EditLock for Held {
    async fn write(self: Box<Self>, _: Vec<Change>, _: Vec<dacapo_model::MetaEvent>) -> dacapo_store::Result<u64> {
        Err(StoreError::Unavailable("not here".to_owned()))
    }
}

#[async_trait]
impl Commit for Busy {
    async fn commit(&self, batch: Vec<NewEvent>, routed_at: u64) -> dacapo_store::Result<Vec<Committed>> {
        let mut current = self.version.load(Ordering::SeqCst);
        if current <= self.changes && !self.held_off.load(Ordering::SeqCst) {
            current = self.version.fetch_add(1, Ordering::SeqCst) + 1;
        }
        if routed_at < current {
            return Err(StoreError::StaleCatalog { current });
        }
        let committed = vec![Committed::Stored; batch.len()];
        self.sizes.lock().expect("whole").push(batch.len());
        self.open.acquire().await.expect("open").forget();
        self.later.lock().expect("whole").extend(batch.iter().map(|item| item.later.len()));
        self.stored.lock().expect("whole").extend(batch.into_iter().map(|item| item.event));
        Ok(committed)
    }

    fn batch_worth_sending(&self) -> usize {
        self.worth_sending
    }

    fn batch_gathers_for(&self) -> std::time::Duration {
        self.gathers_for
    }

    async fn probe(&self) -> dacapo_store::Result<()> {
        Ok(())
    }
}

fn event() -> Event {
    Event { fan_out: FanOut::NoMatch, ..Event::plain(Id::MIN, PROJECT, "t", Bytes::from_static(b"{}"), AT) }
}

struct Committing {
    store: Arc<Busy>,
    dispatcher: Arc<Dispatcher>,
    intake: Intake,
    fan_outs: Arc<Notify>,
    _refills: Box<dyn std::any::Any + Send>,
}

async fn committing(changes: u64) -> Committing {
    with_store(Busy { changes, ..Busy::taking(Semaphore::MAX_PERMITS) }).await
}

async fn with_store(store: Busy) -> Committing {
    let store = Arc::new(store);
    let (catalog, _) = LiveCatalog::load(Arc::clone(&store) as _).await.expect("loads");
    let catalog = Arc::new(catalog);
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(AT));
    let (dispatcher, _refills) = Dispatcher::new(Arc::clone(&catalog), Arc::clone(&clock), Settings::default());
    let fan_outs = Arc::new(Notify::new());
    let committer = Committer {
        store: Arc::clone(&store) as _,
        catalog,
        ids: Arc::new(IdSource::new(SystemEntropy)),
        clock,
        dispatcher: Arc::clone(&dispatcher),
        readiness: Arc::default(),
        metrics: Arc::default(),
        fan_outs: Arc::clone(&fan_outs),
        fan_out_at_once_max: AT_ONCE_MAX,
    };
    let (intake, _running) = committer.start(CancellationToken::new());
    Committing { store, dispatcher, intake, fan_outs, _refills: Box::new(_refills) }
}

/// What two callers, who saw no endpoint, are answered; and what was stored.
async fn send(changes: u64) -> (Vec<Result<Accepted, Refusal>>, Vec<Arc<Event>>) {
    let Committing { store, dispatcher, intake, _refills, .. } = committing(changes).await;
    let (a, b) = tokio::join!(intake.commit(event(), Address::Project, 1), intake.commit(event(), Address::Project, 1));
    let stored = std::mem::take(&mut *store.stored.lock().expect("whole"));
    let dispatched = std::iter::from_fn(|| dispatcher.take()).count();
    assert_eq!(dispatched, stored.iter().map(|event| event.targets.len()).sum::<usize>());
    (vec![a, b], stored)
}

#[tokio::test]
async fn an_event_is_routed_as_things_are_when_it_is_stored() {
    // The last never rests by itself.
    for changes in [1, 2, 4, u64::MAX] {
        let (answers, stored) = send(changes).await;
        assert_eq!(stored.len(), 2, "each once");
        for answer in answers {
            let event = answer.expect("is stored").event;
            assert_eq!((event.targets.len(), event.fan_out), (1, FanOut::Success));
            assert_eq!(event.targets[0].endpoint_id, ENDPOINT);
            assert!(stored.iter().any(|stored| stored.id == event.id), "the answer is what was stored");
        }
    }
}

/// It was found among what was known then; who is asked now is another.
#[tokio::test]
async fn what_is_addressed_to_others_by_now_goes_back_to_its_caller_alone() {
    const DELETED: Id = Id::from_u128(77);
    let Committing { store, dispatcher, intake, _refills, .. } = committing(2).await;
    let to = |id| Event { audience: Audience::Endpoints(vec![id]), ..event() };
    let of_app = Event { audience: Audience::Endpoints(vec![DELETED, ENDPOINT]), ..event() };
    let (gone, one_left, plain) = tokio::join!(
        intake.commit(to(DELETED), Address::Endpoint(DELETED), 1),
        intake.commit(of_app, Address::App("owner".to_owned()), 1),
        intake.commit(to(ENDPOINT), Address::Endpoint(ENDPOINT), 1),
    );
    assert!(matches!((gone, one_left), (Err(Refusal::Overtaken), Err(Refusal::Overtaken))));
    let stored = std::mem::take(&mut *store.stored.lock().expect("whole"));
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].id, plain.expect("is stored").event.id);
    assert_eq!(std::iter::from_fn(|| dispatcher.take()).count(), 1);
    // All of a batch.
    let gone = intake.commit(to(DELETED), Address::Endpoint(DELETED), 1).await;
    assert!(matches!(gone, Err(Refusal::Overtaken)));
    assert!(store.stored.lock().expect("whole").is_empty());
}

/// The store says that a transaction beside another is worth it from three events on.
#[tokio::test]
async fn what_is_not_worth_a_transaction_waits_for_the_one_under_way_and_no_longer() {
    let Committing { store, intake, _refills, .. } = with_store(Busy { worth_sending: 3, ..Busy::taking(0) }).await;
    let send = || {
        let intake = intake.clone();
        tokio::spawn(async move { intake.commit(event(), Address::Project, 1).await.map(drop) })
    };
    let sizes = || store.sizes.lock().expect("whole").clone();
    let mut callers = vec![send()];
    turns().await;
    assert_eq!(sizes(), [1], "nothing is under way: it goes at once");
    callers.extend([send(), send()]);
    turns().await;
    assert_eq!(sizes(), [1], "two are not worth it");
    callers.push(send());
    turns().await;
    assert_eq!(sizes(), [1, 3]);
    callers.push(send());
    turns().await;
    store.open.add_permits(2);
    turns().await;
    assert_eq!(sizes(), [1, 3, 1], "alone again, it goes");
    store.open.add_permits(1);
    for caller in callers {
        caller.await.expect("runs").expect("is stored");
    }
}

/// Where other processes have transactions under way, which nobody here knows of.
#[tokio::test]
async fn after_a_large_batch_a_small_one_waits_for_others_though_nothing_is_under_way() {
    let Committing { store, intake, _refills, .. } = with_store(Busy {
        worth_sending: BATCH_EVENTS_BUSY,
        gathers_for: std::time::Duration::from_secs(3_600),
        ..Busy::taking(Semaphore::MAX_PERMITS)
    })
    .await;
    let send = |count: usize| {
        let one = || {
            let intake = intake.clone();
            tokio::spawn(async move { intake.commit(event(), Address::Project, 1).await.map(drop) })
        };
        (0..count).map(|_| one()).collect::<Vec<_>>()
    };
    let sizes = || store.sizes.lock().expect("whole").clone();
    let mut callers = send(1);
    turns().await;
    callers.extend(send(BATCH_EVENTS_BUSY));
    turns().await;
    assert_eq!(sizes(), [1, BATCH_EVENTS_BUSY], "a single one waits for nobody");
    callers.extend(send(1));
    turns().await;
    assert_eq!(sizes(), [1, BATCH_EVENTS_BUSY]);
    callers.extend(send(BATCH_EVENTS_BUSY - 1));
    turns().await;
    assert_eq!(sizes(), [1, BATCH_EVENTS_BUSY, BATCH_EVENTS_BUSY]);
    for caller in callers {
        caller.await.expect("runs").expect("is stored");
    }
}

#[tokio::test]
async fn a_large_fan_out_is_stored_with_its_first_targets_and_the_others_behind_it() {
    let Committing { store, intake, fan_outs, _refills, .. } = committing(0).await;
    let behind = 37;
    let target = |n: usize| Target {
        endpoint_id: Id::from_u128(n as u128 + 10),
        subscription_id: Id::from_u128(3),
        mode: Mode::AtLeastOnce,
        policy: Policy { kind: Kind::Linear, interval_s: 10, limit: 3 },
        discarded: None,
    };
    let largest = AT_ONCE_MAX;
    for (count, own, later) in [(largest, largest, 0), (largest + behind, largest, behind), (1, 1, 0)] {
        let before = store.stored.lock().expect("whole").len();
        let event = Event { targets: (0..count).map(target).collect(), fan_out: FanOut::Success, ..event() };
        let accepted = intake.commit(event, Address::Project, 1).await.expect("is stored");
        assert_eq!(accepted.event.targets.len(), own);
        assert_eq!(store.later.lock().expect("whole")[before], later);
        let told = tokio::time::timeout(std::time::Duration::ZERO, fan_outs.notified()).await.is_ok();
        assert_eq!(told, later > 0, "who goes on with it is told");
    }
    let stored = store.stored.lock().expect("whole");
    let last = stored[1].id.child(u32::try_from(largest + behind - 1).expect("few"));
    assert!(stored[2].id.order() > last.order(), "ids of deliveries to come are kept free");
}
