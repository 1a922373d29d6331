//! For tests: a dispatcher over an empty catalog.

use super::{Dispatcher, refill};
use crate::settings::Settings;
use async_trait::async_trait;
use dacapo_model::catalog::Change;
use dacapo_model::clock::ManualClock;
use dacapo_model::{MetaEvent, Timestamp};
use dacapo_store::LiveCatalog;
use dacapo_store::roles::{Catalog, Contents};
use std::sync::Arc;
use tokio::sync::mpsc;

pub const AT: Timestamp = Timestamp::from_millis(1_790_000_000_000);

struct Nothing;

#[async_trait]
impl Catalog for Nothing {
    async fn load(&self) -> dacapo_store::Result<Contents> {
        Ok(Contents::default())
    }

    async fn write(&self, _: Vec<Change>, _: Vec<MetaEvent>) -> dacapo_store::Result<u64> {
        Ok(1)
    }
}

/// At [`AT`], with its clock and what it would read.
pub async fn dispatcher() -> (Arc<Dispatcher>, Arc<ManualClock>, mpsc::Receiver<refill::Request>) {
    let (catalog, _) = LiveCatalog::load(Arc::new(Nothing)).await.expect("an empty catalog");
    let clock = Arc::new(ManualClock::at(AT));
    let (dispatcher, refills) = Dispatcher::new(Arc::new(catalog), Arc::clone(&clock) as _, Settings::default());
    (dispatcher, clock, refills)
}
