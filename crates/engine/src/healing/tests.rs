//! Heals beside a catalog whose writes can be made to fail.

use super::*;
use crate::settings::Settings;
use dacapo_model::clock::ManualClock;
use dacapo_model::endpoint::{Endpoint, RecoverOnHeal};
use dacapo_model::project::Project;
use dacapo_model::{Id, Timestamp};
use dacapo_store::roles::{Catalog, Contents};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const PROJECT: Id = Id::from_u128(1);
const ENDPOINT: Id = Id::from_u128(2);
const AT: Timestamp = Timestamp::from_millis(1_790_000_000_000);

#[derive(Default)]
struct Rows {
    version: AtomicU64,
    is_broken: AtomicBool,
}

#[async_trait]
impl Catalog for Rows {
    async fn load(&self) -> dacapo_store::Result<Contents> {
        Ok(Contents::default())
    }

    async fn write(&self, _: Vec<Change>, _: Vec<dacapo_model::MetaEvent>) -> dacapo_store::Result<u64> {
        if self.is_broken.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("broken".to_owned()));
        }
        Ok(self.version.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

/// The keys it was called with.
#[derive(Default)]
struct Calls {
    keys: Mutex<Vec<String>>,
    /// Those of these endpoints cannot be started.
    refused: Vec<Id>,
}

#[async_trait]
impl OnHeal for Calls {
    async fn healed(&self, heal: &Heal) -> Result<(), StoreError> {
        self.keys.lock().expect("no test panics here").push(heal.key());
        if self.refused.contains(&heal.endpoint_id) {
            return Err(StoreError::Unavailable("too many replays are open".to_owned()));
        }
        Ok(())
    }
}

fn endpoint() -> Endpoint {
    numbered(0)
}

fn numbered(number: u32) -> Endpoint {
    Endpoint {
        recover_on_heal: Some(RecoverOnHeal { lookback: 3_600, since: AT }),
        ..Endpoint::plain(ENDPOINT.child(number), PROJECT, "https://example.test/", AT)
    }
}

fn project() -> Project {
    Project::plain(PROJECT, Id::from_u128(9), AT)
}

struct Setup {
    rows: Arc<Rows>,
    catalog: Arc<LiveCatalog>,
    calls: Arc<Calls>,
    healing: Healing,
}

impl Setup {
    async fn new(refused: Vec<Id>) -> Self {
        let rows = Arc::new(Rows::default());
        let (catalog, _) = LiveCatalog::load(Arc::clone(&rows) as _).await.expect("an empty catalog");
        let catalog = Arc::new(catalog);
        let clock = Arc::new(ManualClock::at(AT));
        let (dispatcher, _requests) = Dispatcher::new(Arc::clone(&catalog), clock, Settings::default());
        let calls = Arc::new(Calls { refused, ..Calls::default() });
        let healing = Healing { catalog: Arc::clone(&catalog), dispatcher, on_heal: Arc::clone(&calls) as _ };
        let setup = Self { rows, catalog, calls, healing };
        setup.write(vec![Change::Project(Arc::new(project()))]).await;
        setup
    }

    async fn write(&self, changes: Vec<Change>) {
        self.catalog.edit().await.expect("may edit").write(changes).await.expect("written");
    }

    /// So many endpoints that were activated.
    async fn healed(&self, count: u32) {
        let healed = |number| {
            let mut endpoint = numbered(number);
            endpoint.activate(AT);
            Change::Endpoint(Arc::new(endpoint))
        };
        self.write((0..count).map(healed).collect()).await;
    }

    fn keys(&self) -> Vec<String> {
        self.calls.keys.lock().expect("no test panics here").clone()
    }

    fn writes(&self) -> u64 {
        self.rows.version.load(Ordering::SeqCst)
    }
}

/// Each write of the catalog makes every batch of events under way be routed again.
#[tokio::test]
async fn many_heals_at_once_are_marked_in_one_write() {
    let setup = Setup::new(Vec::new()).await;
    setup.healed(40).await;
    let before = setup.writes();
    setup.healing.act_upon_all(0).await;
    assert_eq!((setup.keys().len(), setup.writes() - before), (40, 1));
    setup.healing.act_upon_all(1).await;
    assert_eq!((setup.keys().len(), setup.writes() - before), (40, 1), "all of them are marked");
}

#[tokio::test]
async fn heals_that_cannot_be_started_do_not_keep_the_others_from_their_turn() {
    let most = u32::try_from(HEALS_MAX).expect("few");
    let last = numbered(most).id;
    let setup = Setup::new((0..most).map(|number| numbered(number).id).collect()).await;
    setup.healed(most + 1).await;
    for round in 0..2 {
        setup.healing.act_upon_all(round).await;
    }
    assert!(setup.keys().iter().any(|key| key.contains(&last.to_string())), "it had its turn");
    let due = setup.healing.due(&setup.catalog.snapshot(), 2);
    assert_eq!(due.len(), HEALS_MAX, "the others stay due");
    assert!(due.iter().all(|heal| heal.endpoint_id != last), "it is marked, beside some that failed");
}

#[tokio::test]
async fn a_heal_is_acted_upon_under_one_key_until_it_is_marked_and_then_no_more() {
    let setup = Setup::new(Vec::new()).await;
    let (rows, healing) = (&setup.rows, &setup.healing);
    let write = async |change| setup.write(vec![change]).await;
    let count = || setup.keys().len();

    write(Change::Endpoint(Arc::new(endpoint()))).await;
    healing.act_upon_all(0).await;
    assert_eq!(count(), 0, "it was never ill");

    let open = Health { open_until: Some(AT), trips: 1, ..Health::new(&endpoint()) };
    let closed = Health { open_until: None, trips: 0, heals: 1, healed_at: Some(AT), ..open.clone() };
    write(Change::Health(Arc::new(open))).await;
    healing.act_upon_all(0).await;
    assert_eq!(count(), 0, "it has not healed");
    write(Change::Health(Arc::new(closed))).await;

    // As after a crash between the two: the mark is missing.
    rows.is_broken.store(true, Ordering::SeqCst);
    healing.act_upon_all(0).await;
    rows.is_broken.store(false, Ordering::SeqCst);
    healing.act_upon_all(0).await;
    healing.act_upon_all(0).await;
    let keys = setup.keys();
    assert_eq!(keys.len(), 2, "called until it was marked: {keys:?}");
    assert_eq!(keys[0], keys[1]);

    let mut resumed = endpoint();
    resumed.activate(AT);
    write(Change::Endpoint(Arc::new(resumed))).await;
    healing.act_upon_all(0).await;
    healing.act_upon_all(0).await;
    assert_eq!(count(), 3, "an activation is another heal, and one");
}
