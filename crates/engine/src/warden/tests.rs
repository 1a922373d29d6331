//! What an answer says depends on who was asked.

use super::*;
use async_trait::async_trait;
use dacapo_model::clock::ManualClock;
use dacapo_model::delivery::{Delivery, Mode, Status as Settled, Trigger};
use dacapo_model::endpoint::Endpoint;
use dacapo_model::project::{Config, Project};
use dacapo_model::retry::{self, Policy};
use dacapo_model::{Attempt, Timestamp};
use dacapo_store::roles::{Catalog, Contents};
use std::sync::atomic::{AtomicU64, Ordering};

const PROJECT: Id = Id::from_u128(1);
const ENDPOINT: Id = Id::from_u128(2);
const AT: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const NOW: &str = "https://example.test/new";
const BEFORE: &str = "https://example.test/old";

#[derive(Default)]
struct Rows(AtomicU64);

#[async_trait]
impl Catalog for Rows {
    async fn load(&self) -> dacapo_store::Result<Contents> {
        Ok(Contents::default())
    }

    async fn write(&self, _: Vec<Change>, _: Vec<dacapo_model::MetaEvent>) -> dacapo_store::Result<u64> {
        Ok(self.0.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

async fn catalog() -> Arc<LiveCatalog> {
    let (catalog, _) = LiveCatalog::load(Arc::new(Rows::default())).await.expect("an empty catalog");
    let project = Project {
        config: Config { disable_endpoint: true, ..Config::default() },
        ..Project::plain(PROJECT, Id::from_u128(9), AT)
    };
    let endpoint = Endpoint::plain(ENDPOINT, PROJECT, NOW, AT);
    let changes = vec![Change::Project(Arc::new(project)), Change::Endpoint(Arc::new(endpoint))];
    catalog.edit().await.expect("may edit").write(changes).await.expect("written");
    Arc::new(catalog)
}

/// Of a delivery that ended for this reason at this address.
fn report(reason: Reason, url: &str) -> Report {
    let delivery = Delivery {
        id: Id::from_u128(5),
        project_id: PROJECT,
        event_id: Id::from_u128(4),
        endpoint_id: ENDPOINT,
        subscription_id: Id::from_u128(3),
        trigger: Trigger::Event,
        replay_id: None,
        mode: Mode::AtLeastOnce,
        policy: Policy { kind: retry::Kind::Linear, interval_s: 1, limit: 1 },
        attempts: 1,
        manual: false,
        status: Settled::Failure,
        reason: Some(reason),
        last_status: Some(410),
        due_at: AT,
        created_at: AT,
        updated_at: AT,
        latency_us: 0,
    };
    let attempt = Attempt {
        id: Id::from_u128(6),
        delivery_id: delivery.id,
        number: 1,
        url: url.to_owned(),
        ip: None,
        request_headers: Default::default(),
        status: Some(410),
        response_headers: Default::default(),
        response_body: Default::default(),
        error: None,
        succeeded: false,
        requested_at: AT,
        duration_us: 1,
    };
    Report { delivery, attempt: Some(attempt), meta_event: None }
}

/// What the endpoint is after the warden has judged this.
async fn after(catalog: &LiveCatalog, report: &Report) -> Status {
    let (queue, mut verdicts) = mpsc::channel(1);
    Warden { queue }.look_at(report);
    switch_off(catalog, &ManualClock::at(AT), verdicts.try_recv().expect("it is a case for the warden")).await;
    catalog.snapshot().project(PROJECT).and_then(|view| view.live_endpoint(ENDPOINT)).expect("is there").status
}

#[tokio::test]
async fn what_an_older_address_answers_switches_no_endpoint_off() {
    for reason in [Reason::Gone, Reason::RetryLimit] {
        let catalog = catalog().await;
        assert_eq!(after(&catalog, &report(reason, BEFORE)).await, Status::Active, "{reason:?}");
        assert_eq!(after(&catalog, &report(reason, NOW)).await, Status::Inactive, "{reason:?}");
    }
}
