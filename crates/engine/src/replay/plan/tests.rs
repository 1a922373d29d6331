//! A plan in segments on a real store.

use super::*;
use crate::replay::run::SYSTEM;
use crate::settings::Settings;
use bytes::Bytes;
use dacapo_model::attempt::HeaderLines;
use dacapo_model::catalog::{Change, Snapshot};
use dacapo_model::clock::ManualClock;
use dacapo_model::delivery::{Mode, Status};
use dacapo_model::event::Target;
use dacapo_model::id::SystemEntropy;
use dacapo_model::replay::{Elsewhere, Options};
use dacapo_model::retry::Policy;
use dacapo_model::{Delivery, Endpoint, Event, Frozen, IdSource, Project, Subscription};
use dacapo_store::roles::{NewEvent, Report};
use dacapo_store::sqlite::SqliteStore;
use serde_json::{Value, json};

const PROJECT: Id = Id::from_u128(1);
const OTHER_PROJECT: Id = Id::from_u128(2);
const ENDPOINTS: [Id; 3] = [Id::from_u128(11), Id::from_u128(12), Id::from_u128(13)];
/// Got events, and is deleted.
const GONE: u128 = 1_000;
const AT: Timestamp = Timestamp::from_millis(1_790_000_000_000);
/// More than are listed: each event is of a type of its own, and comes twice.
const EVENTS: usize = 2 * (GROUPS_MAX + 100);
/// One event has so many deliveries: they come in slices.
const BROADCAST: u128 = 12_000;
const BROADCAST_AT: usize = 700;

fn project() -> Change {
    Change::Project(Arc::new(Project::plain(PROJECT, Id::from_u128(9), AT)))
}

fn subscription(endpoint: Id) -> Change {
    Change::Subscription(Arc::new(Subscription::catch_all(
        Id::from_u128(endpoint.as_u128() + 100),
        PROJECT,
        endpoint,
        AT,
    )))
}

struct Place {
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    ids: IdSource,
    view: Arc<ProjectView>,
    _directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(directory.path()).expect("opens"));
        let endpoint = |id| Change::Endpoint(Arc::new(Endpoint::plain(id, PROJECT, "https://a.test/", AT)));
        let mut changes = vec![project()];
        changes.extend(ENDPOINTS.map(endpoint));
        changes.extend(ENDPOINTS.map(subscription));
        let view = Arc::clone(Snapshot::default().apply(&changes, 1).project(PROJECT).expect("is there"));
        let ids = IdSource::new(SystemEntropy);
        Self { store, clock: Arc::new(ManualClock::at(AT)), ids, view, _directory: directory }
    }

    fn event(&self, project: Id, event_type: String, endpoints: impl Iterator<Item = Id>) -> Event {
        let target = |endpoint_id| Target {
            endpoint_id,
            subscription_id: Id::from_u128(77),
            mode: Mode::AtLeastOnce,
            policy: Policy { kind: dacapo_model::retry::Kind::Linear, interval_s: 1, limit: 0 },
            discarded: None,
        };
        let targets: Vec<Target> = endpoints.map(target).collect();
        let (id, created_at) = self.ids.event(self.clock.now(), u32::try_from(targets.len()).expect("few"));
        Event {
            headers: HeaderLines::from_iter([("x-kept", "yes")]),
            targets,
            ..Event::plain(id, project, event_type, Bytes::from(format!(r#"{{"id":"{id}"}}"#)), created_at)
        }
    }

    /// Events of all kinds, those of another project between them.
    async fn fill(&self) {
        let (mut events, mut reports) = (Vec::new(), Vec::new());
        for n in 0..EVENTS {
            self.clock.advance(Duration::from_millis(n as u64 % 2));
            let endpoints: Vec<Id> = match n {
                BROADCAST_AT => (0..BROADCAST).map(|n| Id::from_u128(GONE + n)).collect(),
                _ => ENDPOINTS.into_iter().take(n % 4).collect(),
            };
            let event = self.event(PROJECT, format!("type {}", n % (EVENTS / 2)), endpoints.into_iter());
            for (index, _) in event.targets.iter().enumerate().filter(|(index, _)| (n + index) % 3 > 0) {
                let status = if (n + index) % 3 == 1 { Status::Success } else { Status::Failure };
                let delivery = event.delivery(u32::try_from(index).expect("few")).expect("a target");
                reports.push(Report {
                    delivery: Delivery { status, attempts: 1, ..delivery },
                    attempt: None,
                    meta_event: None,
                });
            }
            events.push(event);
            if n % 5 == 0 {
                events.push(self.event(OTHER_PROJECT, "foreign".to_owned(), ENDPOINTS.into_iter()));
            }
        }
        let new = |event| NewEvent { event: Arc::new(event), parked: Vec::new(), later: Vec::new() };
        self.store.commit(events.into_iter().map(new).collect(), 0).await.expect("commits");
        self.store.record(reports.into()).await.expect("records");
    }

    fn planner(&self, segment_events: usize) -> Planner {
        let (clock, settings) = (Arc::clone(&self.clock) as Arc<dyn Clock>, Settings::default());
        let sampler = Sampler { replays: Arc::clone(&self.store) as _, clock: Arc::clone(&clock), settings };
        let planner = Planner::new(Arc::clone(&self.store), clock, Arc::new(sampler));
        Planner { segment_events, ..planner }
    }

    fn walk(&self, replay: Id, selector: &Value, options: Options) -> Walk {
        let mut parts = json!({"mode": "all", "first": Id::MIN, "last": replay, "high_water": replay});
        for (field, value) in selector.as_object().expect("fields") {
            parts[field] = value.clone();
        }
        let frozen: Frozen = serde_json::from_value(parts).expect("the parts of a selector");
        let definition = Definition {
            name: String::new(),
            reason: String::new(),
            asked_by: SYSTEM,
            created_at: AT,
            selector: Value::Null,
            mode: frozen.parts().mode,
            frozen,
            options,
            matched: None,
            sends: None,
        };
        let within = Duration::from_secs(60);
        Walk { view: Arc::clone(&self.view), replay, definition, within, samples_max: SAMPLES_MAX }
    }
}

/// Whatever is asked, and wherever it is cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_in_segments_is_the_plan_of_one_walk() {
    let place = Place::new();
    place.fill().await;
    let (replay, _) = place.ids.mint(place.clock.now());
    let elsewhere = Options {
        target: Some(Elsewhere::Url { url: "https://b.test/".to_owned(), secret: String::new() }),
        ..Options::default()
    };
    let again = Options { include_succeeded: true, ..Options::default() };
    for (selector, options) in [
        (json!({}), Options::default()),
        (json!({}), again),
        (json!({}), elsewhere.clone()),
        (json!({"mode": "missing"}), Options::default()),
        (json!({"mode": "failed"}), Options::default()),
        (json!({"delivery_status": ["Failure", "Success"]}), Options::default()),
        (json!({"delivery_status": ["Failure", "Success"]}), elsewhere),
        (json!({"endpoints": [ENDPOINTS[2]]}), Options::default()),
        (json!({"event_types": ["type 10*"]}), Options::default()),
        (json!({"filter": {"headers": {"x-kept": "yes"}}}), Options::default()),
        (json!({"event_types": ["nothing"]}), Options::default()),
    ] {
        let walk = || place.walk(replay, &selector, options.clone());
        let whole = place.planner(usize::MAX).plan(walk()).await.expect("plans");
        assert!(whole.is_complete);
        for segment_events in [300, 1_000] {
            let cut = place.planner(segment_events).plan(walk()).await.expect("plans");
            assert_eq!(cut, whole, "{selector} by {segment_events}");
        }
        // Another plan has the second reader.
        let planner = place.planner(300);
        let taken = planner.side_by_side.try_acquire().expect("nobody has it");
        assert_eq!(planner.plan(walk()).await.expect("plans"), whole, "{selector}, one after the other");
        drop(taken);
    }
    let everything = place.planner(300).plan(place.walk(replay, &json!({}), Options::default())).await.expect("plans");
    // The broadcast is looked at for each of its two slices.
    assert_eq!((everything.scanned, everything.per_event_type.len()), (EVENTS as u64 + 1, GROUPS_MAX));
    assert_eq!(everything.samples.len(), SAMPLES_MAX);
    assert!(everything.samples.iter().all(|sample| sample.body.contains(&sample.event_id.to_string())));
    assert!(everything.already_succeeded > 0);
    let of_deliveries = json!({"delivery_status": ["Failure", "Success"]});
    let settled = place.planner(300).plan(place.walk(replay, &of_deliveries, Options::default())).await.expect("plans");
    assert!(u128::from(settled.matched) > BROADCAST / 2, "the broadcast is in it");
    assert_eq!(settled.per_endpoint.len(), GROUPS_MAX);
}

/// When time is up, what was counted is the beginning of the walk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_ran_out_of_time_counted_the_first_segments() {
    let place = Place::new();
    place.fill().await;
    let (replay, _) = place.ids.mint(place.clock.now());
    let walk = || place.walk(replay, &json!({}), Options::default());
    // Longer than a page: the first segment goes on, and is asked for the time.
    let cut = place.planner(2_000).plan(Walk { within: Duration::ZERO, ..walk() }).await.expect("plans");
    assert!(!cut.is_complete);
    let whole = place.planner(usize::MAX).plan(walk()).await.expect("plans");
    assert_eq!((cut.oldest, &cut.samples), (whole.oldest, &whole.samples));
    assert!((1..whole.matched).contains(&cut.matched), "{}", cut.matched);
}
