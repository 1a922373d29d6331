//! A catalog in memory and a control over it, for this crate's tests.

use crate::Control;
use crate::bootstrap::FirstRun;
use crate::pinger::NoPing;
use async_trait::async_trait;
use dacapo_model::Timestamp;
use dacapo_model::address::Guard;
use dacapo_model::catalog::{Change, ProjectView};
use dacapo_model::clock::ManualClock;
use dacapo_model::id::SystemEntropy;
use dacapo_model::{Id, IdSource, MetaEvent};
use dacapo_store::roles::{Catalog, Contents};
use dacapo_store::{LiveCatalog, StoreError};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Default)]
pub struct MemoryCatalog {
    rows: Mutex<Vec<Change>>,
    version: AtomicU64,
    /// Set to make writes fail as a full disk does.
    pub full: AtomicBool,
}

#[async_trait]
impl Catalog for MemoryCatalog {
    async fn load(&self) -> dacapo_store::Result<Contents> {
        let rows = self.rows.lock().expect("no test panics while writing").clone();
        Ok(Contents { version: self.version.load(Ordering::SeqCst), rows, newest_id: None })
    }

    async fn write(&self, changes: Vec<Change>, _: Vec<MetaEvent>) -> dacapo_store::Result<u64> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("disk full".to_owned()));
        }
        self.rows.lock().expect("no test panics while writing").extend(changes);
        Ok(self.version.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

pub struct Fixture {
    pub control: Control,
    pub clock: Arc<ManualClock>,
    pub store: Arc<MemoryCatalog>,
}

impl Fixture {
    pub async fn new() -> Self {
        let store = Arc::new(MemoryCatalog::default());
        let (catalog, _) = LiveCatalog::load(store.clone()).await.expect("an empty catalog");
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_767_225_600_000)));
        let control = Control {
            catalog: Arc::new(catalog),
            clock: clock.clone(),
            ids: Arc::new(IdSource::new(SystemEntropy)),
            entropy: Arc::new(SystemEntropy),
            pinger: Arc::new(NoPing),
            guard: Guard::default(),
        };
        Self { control, clock, store }
    }

    pub async fn first_run(&self) -> FirstRun {
        self.control.bootstrap("Acme", "admin@example.org", |_| Ok(())).await.unwrap_or_else(|fault| panic!("{fault}"))
    }

    pub fn view(&self, project: Id) -> Arc<ProjectView> {
        self.control.snapshot().project(project).expect("a known project").clone()
    }
}
