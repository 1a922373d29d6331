//! Reports on their way to a store that takes them at once.

use super::*;
use crate::settings::Settings;
use async_trait::async_trait;
use dacapo_model::catalog::Change;
use dacapo_model::clock::ManualClock;
use dacapo_model::delivery::{Delivery, Status, Trigger};
use dacapo_model::retry::{Kind, Policy};
use dacapo_model::{Clock, Id, MetaEvent, Mode, Timestamp};
use dacapo_store::LiveCatalog;
use dacapo_store::roles::{Catalog, Contents};

const AT: Timestamp = Timestamp::from_millis(1_790_000_000_000);
/// Far beyond what it takes.
const RECORDED_WITHIN: Duration = Duration::from_secs(5);

struct Nothing;

#[async_trait]
impl Catalog for Nothing {
    async fn load(&self) -> dacapo_store::Result<Contents> {
        Ok(Contents::default())
    }

    async fn write(&self, _: Vec<Change>, _: Vec<MetaEvent>) -> dacapo_store::Result<u64> {
        Err(StoreError::Unavailable("not here".to_owned()))
    }
}

/// Says how many reports each call brought.
struct Taken(mpsc::Sender<usize>);

#[async_trait]
impl Record for Taken {
    async fn record(&self, batch: Arc<[Report]>) -> dacapo_store::Result<()> {
        self.0.send(batch.len()).await.expect("somebody counts");
        Ok(())
    }
}

fn report() -> Report {
    let delivery = Delivery {
        id: Id::from_u128(1),
        project_id: Id::from_u128(2),
        event_id: Id::from_u128(3),
        endpoint_id: Id::from_u128(4),
        subscription_id: Id::from_u128(5),
        trigger: Trigger::Event,
        replay_id: None,
        mode: Mode::AtLeastOnce,
        policy: Policy { kind: Kind::Linear, interval_s: 1, limit: 3 },
        attempts: 1,
        manual: false,
        status: Status::Success,
        reason: None,
        last_status: Some(200),
        due_at: AT,
        created_at: AT,
        updated_at: AT,
        latency_us: 1,
    };
    Report { delivery, attempt: None, meta_event: None }
}

#[tokio::test]
async fn a_report_is_recorded_though_no_other_follows_it() {
    let (catalog, _) = LiveCatalog::load(Arc::new(Nothing)).await.expect("loads");
    let (catalog, clock): (_, Arc<dyn Clock>) = (Arc::new(catalog), Arc::new(ManualClock::at(AT)));
    let (dispatcher, _refills) = Dispatcher::new(Arc::clone(&catalog), Arc::clone(&clock), Settings::default());
    let (taken, mut told) = mpsc::channel(REPORTS_QUEUED_MAX);
    let recorder = Recorder {
        store: Arc::new(Taken(taken)),
        dispatcher,
        warden: Warden::start(catalog, clock),
        readiness: Arc::default(),
        metrics: Arc::default(),
    };
    let (reports, reported) = mpsc::channel(REPORTS_QUEUED_MAX);
    let running = recorder.start(reported);
    for _ in 0..2 {
        reports.send(report()).await.expect("the recorder runs");
        let recorded = tokio::time::timeout(RECORDED_WITHIN, told.recv()).await;
        assert_eq!(recorded.expect("is recorded"), Some(1));
    }
    drop(reports);
    running.await.expect("ends with the last of its senders");
}
