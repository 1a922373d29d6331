//! A lane with large payloads on a real store.

use super::*;
use crate::dispatch::{Exchanged, Taken};
use crate::settings::Settings;
use bytes::Bytes;
use dacapo_model::catalog::Change;
use dacapo_model::clock::ManualClock;
use dacapo_model::delivery::{Mode, Status};
use dacapo_model::event::Target;
use dacapo_model::id::SystemEntropy;
use dacapo_model::retry::{self, Policy};
use dacapo_model::{Delivery, Endpoint, IdSource, Project};
use dacapo_store::roles::{NewEvent, Report};
use dacapo_store::sqlite::SqliteStore;
use dacapo_store::{LiveCatalog, Store};

const PROJECT: Id = Id::from_u128(1);
const ENDPOINT: Id = Id::from_u128(2);
const AT: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const PAYLOAD_BYTES: usize = 100_000;
const LANE_BYTES_MAX: usize = 8 * PAYLOAD_BYTES;
const EVENTS: usize = 60;
/// Exchanges under way when a read may begin.
const AT_ONCE: usize = 3;

fn project() -> Change {
    Change::Project(Arc::new(Project::plain(PROJECT, Id::from_u128(9), AT)))
}

fn event(ids: &IdSource, bytes: usize) -> Arc<Event> {
    let target = Target {
        endpoint_id: ENDPOINT,
        subscription_id: Id::from_u128(77),
        mode: Mode::AtLeastOnce,
        policy: Policy { kind: retry::Kind::Linear, interval_s: 1, limit: 0 },
        discarded: None,
    };
    let (id, created_at) = ids.event(AT, 1);
    Arc::new(Event {
        targets: vec![target],
        ..Event::plain(id, PROJECT, "t", Bytes::from(vec![b' '; bytes]), created_at)
    })
}

/// Large ones, and small ones between them: all arrive, in order, and few are in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_large_payloads_is_read_in_parts_and_arrives_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(directory.path()).expect("opens"));
    let catalog = Arc::new(LiveCatalog::load(Arc::clone(&store) as _).await.expect("reads").0);
    let endpoint = Endpoint::plain(ENDPOINT, PROJECT, "https://a.test/", AT);
    let edit = catalog.edit().await.expect("nobody else");
    edit.write(vec![project(), Change::Endpoint(Arc::new(endpoint))]).await.expect("writes");
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(AT));
    let settings = Settings { lane_bytes_max: LANE_BYTES_MAX, ..Settings::default() };
    let (dispatcher, requests) = Dispatcher::new(catalog, Arc::clone(&clock), settings);
    let ids = IdSource::new(SystemEntropy);
    let events: Vec<Arc<Event>> =
        (0..EVENTS).map(|n| event(&ids, if n % 20 < 4 { 10 } else { PAYLOAD_BYTES })).collect();
    let parked = |event: &Arc<Event>| NewEvent { event: Arc::clone(event), parked: vec![0], later: Vec::new() };
    store.commit(events.iter().map(parked).collect(), u64::MAX).await.expect("commits");
    let stop = CancellationToken::new();
    let refiller = Refiller {
        store: Arc::clone(&store) as _,
        replays: Arc::clone(&store) as _,
        dispatcher: Arc::clone(&dispatcher),
        clock,
    };
    refiller.start(requests, &stop);
    let deliveries: Vec<Delivery> = events.iter().filter_map(|event| event.delivery(0)).collect();
    dispatcher.arrived_for(PROJECT, &[ENDPOINT], Class::Live);
    let expected: Vec<Id> = deliveries.iter().map(|delivery| delivery.id).collect();
    let arrive = async {
        let (mut arrived, mut under_way) = (Vec::new(), Vec::new());
        while arrived.len() < EVENTS {
            let Some(Taken { work, .. }) = dispatcher.take() else {
                tokio::task::yield_now().await;
                continue;
            };
            let in_memory = dispatcher.lock().window_bytes;
            assert!(in_memory < LANE_BYTES_MAX + 2 * PAYLOAD_BYTES, "{in_memory} bytes");
            arrived.push(work.delivery.id);
            under_way.push(Report {
                delivery: Delivery { status: Status::Success, attempts: 1, ..work.delivery },
                attempt: None,
                meta_event: None,
            });
            if under_way.len() == AT_ONCE || arrived.len() == EVENTS {
                let reports: Arc<[Report]> = std::mem::take(&mut under_way).into();
                reports.iter().for_each(|_| dispatcher.finished(ENDPOINT, None, Exchanged::Succeeded));
                store.record(Arc::clone(&reports)).await.expect("records");
                dispatcher.recorded(&reports);
            }
        }
        arrived
    };
    let arrived = tokio::time::timeout(Duration::from_secs(60), arrive).await.expect("all of them arrive");
    assert_eq!(arrived, expected);
    stop.cancel();
}
