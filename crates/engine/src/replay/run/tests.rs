//! Steps of a replay on a real store.

use super::step::PAGE_EVENTS_MAX;
use super::*;
use crate::dispatch::Exchanged;
use crate::metrics::Metrics;
use crate::replay::page::PAGE_ITEMS_MAX;
use crate::settings::Settings;
use crate::upkeep::drop_old;
use bytes::Bytes;
use dacapo_model::catalog::Change;
use dacapo_model::clock::ManualClock;
use dacapo_model::delivery::{Mode, Status};
use dacapo_model::event::Target;
use dacapo_model::id::SystemEntropy;
use dacapo_model::meta_event::{Bodies, Outcome};
use dacapo_model::project::Config;
use dacapo_model::replay::{Control, Definition, Options, Order, State};
use dacapo_model::retry::{Kind, Policy};
use dacapo_model::{Class, Delivery, Endpoint, Event, Project, Replay, SetMode, Timestamp};
use dacapo_store::roles::lease::Deadline;
use dacapo_store::roles::{Holding, NewEvent, NewReplayRun, ReplayCreated, Report};
use dacapo_store::sqlite::SqliteStore;
use std::collections::BTreeSet;

const PROJECT: Id = Id::from_u128(1);
const ENDPOINT: Id = Id::from_u128(2);
const AT: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// Names the state.
struct Ends;

impl Bodies for Ends {
    fn endpoint(&self, _: &Endpoint, _: Timestamp) -> String {
        unreachable!()
    }

    fn delivery(&self, _: &Outcome<'_>, _: Timestamp) -> String {
        unreachable!()
    }

    fn replay(&self, replay: &Replay, _: Timestamp) -> String {
        format!("{:?}", replay.control.state.as_str())
    }
}

struct Place {
    runner: Runner,
    clock: Arc<ManualClock>,
    metrics: Arc<Metrics>,
    _directory: tempfile::TempDir,
}

/// Ends of replays are told.
fn telling() -> Config {
    let mut config = Config::default();
    config.meta_event.is_enabled = true;
    config.meta_event.event_type = ["completed", "failed", "cancelled"].map(|end| format!("replay.{end}")).to_vec();
    config
}

fn project() -> Change {
    Change::Project(Arc::new(Project { config: telling(), ..Project::plain(PROJECT, Id::from_u128(9), AT) }))
}

impl Place {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(directory.path()).expect("opens"));
        let catalog = Arc::new(LiveCatalog::load(Arc::clone(&store) as _).await.expect("reads").0);
        let edit = catalog.edit().await.expect("nobody else");
        edit.write(vec![project()]).await.expect("writes");
        let clock = Arc::new(ManualClock::at(AT));
        let shared = Arc::clone(&clock) as Arc<dyn Clock>;
        let (dispatcher, _) = Dispatcher::new(Arc::clone(&catalog), Arc::clone(&shared), Settings::default());
        let ids = Arc::new(IdSource::new(SystemEntropy));
        let metrics = Arc::new(Metrics::default());
        let teller = Teller { bodies: Box::new(Ends), ids: Arc::clone(&ids), clock: Arc::clone(&shared) };
        let teller = Arc::new(teller);
        let runner = Runner {
            store,
            catalog,
            ids,
            clock: shared,
            dispatcher,
            beside: Beside::new(Arc::clone(&metrics), false),
            teller,
            driven: Mutex::default(),
            begun: Notify::new(),
        };
        Self { runner, clock, metrics, _directory: directory }
    }

    /// An event with this many failed deliveries, each to an endpoint of its own.
    async fn failed(&self, deliveries: u128) -> Arc<Event> {
        let target = |n| Target {
            endpoint_id: Id::from_u128(ENDPOINT.as_u128() + n),
            subscription_id: Id::from_u128(77),
            mode: Mode::AtLeastOnce,
            policy: Policy { kind: Kind::Linear, interval_s: 1, limit: 0 },
            discarded: None,
        };
        let targets: Vec<Target> = (0..deliveries).map(target).collect();
        let (id, created_at) = self.runner.ids.event(self.clock.now(), u32::try_from(deliveries).expect("few"));
        let event =
            Arc::new(Event { targets, ..Event::plain(id, PROJECT, "t", Bytes::from_static(b"{}"), created_at) });
        let new = NewEvent { event: Arc::clone(&event), parked: Vec::new(), later: Vec::new() };
        self.runner.store.commit(vec![new], 0).await.expect("commits");
        let reports: Vec<Report> = (0..event.targets.len())
            .map(|n| self.report(event.delivery(u32::try_from(n).expect("few")).expect("a target"), Status::Failure))
            .collect();
        self.runner.store.record(reports.into()).await.expect("records");
        event
    }

    fn report(&self, mut delivery: Delivery, status: Status) -> Report {
        delivery.status = status;
        delivery.attempts += 1;
        Report { delivery, attempt: None, meta_event: None }
    }

    async fn replay(&self, options: Options) -> Id {
        let (id, at) = self.runner.ids.mint(self.clock.now());
        let parts = serde_json::json!({"mode": "failed", "first": Id::MIN, "last": id, "high_water": id});
        let definition = Definition {
            name: String::new(),
            reason: String::new(),
            asked_by: SYSTEM,
            created_at: at,
            selector: serde_json::Value::Null,
            frozen: serde_json::from_value(parts).expect("a selector"),
            mode: SetMode::Failed,
            options,
            matched: None,
            sends: None,
        };
        let control = Control::new(&definition.options);
        let new = NewReplayRun { id, project_id: PROJECT, definition, control, key: None, open_max: 9 };
        assert_eq!(self.runner.store.create_replay(new).await.expect("creates"), ReplayCreated::New);
        id
    }

    /// Until it waits for something.
    async fn steps(&self, replay: Id, pace: &mut Pace) -> (usize, Step) {
        for taken in 0.. {
            match self.runner.step(replay, pace).await.expect("steps") {
                Step::Again => {}
                last => return (taken, last),
            }
        }
        unreachable!()
    }

    async fn shown(&self, replay: Id) -> Replay {
        self.runner.store.replay_by_id(PROJECT, replay).await.expect("reads").expect("is there")
    }

    /// All that waits of the endpoints is sent.
    async fn settle(&self, event: &Event) -> usize {
        let mut reports = Vec::new();
        for target in &event.targets {
            let due = self.runner.store.due(target.endpoint_id, Class::Replay, self.clock.now(), 100).await;
            let due = due.expect("reads").into_iter().map(|waiting| self.report(waiting.delivery, Status::Success));
            reports.extend(due);
        }
        let reports: Arc<[Report]> = reports.into();
        self.runner.store.record(Arc::clone(&reports)).await.expect("records");
        self.runner.dispatcher.recorded(&reports);
        reports.len()
    }
}

/// One transaction is no larger for a broadcast, and each of its endpoints gets one item.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broadcast_is_written_in_pages_of_so_many_items() {
    const ENDPOINTS: u128 = 2 * PAGE_ITEMS_MAX as u128 + 7;
    let place = Place::new().await;
    place.failed(ENDPOINTS).await;
    let id = place.replay(Options { include_succeeded: true, ..Options::default() }).await;
    let (mut written, mut pace) = (0, Pace::starting(AT));
    loop {
        let step = place.runner.step(id, &mut pace).await.expect("steps");
        let shown = place.shown(id).await;
        assert!(shown.progress.items - written <= PAGE_ITEMS_MAX as u64, "{} at once", shown.progress.items - written);
        written = shown.progress.items;
        if step != Step::Again {
            break;
        }
    }
    // Of endpoints that are gone: each item says so, and none waits.
    let shown = place.shown(id).await;
    assert_eq!((shown.control.state, u128::from(written), shown.page), (State::Completed, ENDPOINTS, 3));
}

/// A replay whose items wait does nothing until they come to something; and is told then, alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_its_items_is_told_of_them_alone() {
    let place = Place::new().await;
    let event = place.failed(3).await;
    place.failed(1).await;
    let elsewhere = || Options {
        target: Some(dacapo_model::replay::Elsewhere::Url { url: "https://a.test/".to_owned(), secret: String::new() }),
        ..Options::default()
    };
    let (first, second) = (place.replay(elsewhere()).await, place.replay(elsewhere()).await);
    let (mut pace, mut second_pace) = (Pace::starting(AT), Pace::starting(AT));
    assert_eq!(place.steps(first, &mut pace).await.1, Step::AtEveryWord);
    assert_eq!(place.steps(second, &mut second_pace).await.1, Step::AtEveryWord);
    assert_eq!(place.steps(first, &mut pace).await, (0, Step::AtEveryWord), "nothing changed");
    let its = Event { targets: vec![Target { endpoint_id: first, ..event.targets[0].clone() }], ..(*event).clone() };
    assert_eq!(place.settle(&its).await, 2, "each event once");
    let said = place.runner.dispatcher.hear_of_replays().await;
    assert_eq!(said.moved.into_iter().collect::<Vec<_>>(), [first]);
    assert_eq!(place.steps(first, &mut pace).await.1, Step::Done);
    assert_eq!(place.shown(first).await.control.state, State::Completed);
    assert_eq!(place.steps(second, &mut second_pace).await, (0, Step::AtEveryWord));
}

/// Where no page takes it along, how fast it is is written by itself; who takes it over begins anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_fast_it_is_is_known_while_it_waits_for_its_items() {
    let place = Place::new().await;
    for _ in 0..4 {
        place.failed(1).await;
    }
    let target = dacapo_model::replay::Elsewhere::Url { url: "https://a.test/".to_owned(), secret: String::new() };
    let id = place.replay(Options { target: Some(target), ..Options::default() }).await;
    let succeed = async |items| {
        let due = place.runner.store.due(id, Class::Replay, place.clock.now(), items).await.expect("reads");
        let reports = due.into_iter().map(|waiting| place.report(waiting.delivery, Status::Success));
        place.runner.store.record(reports.collect()).await.expect("records");
    };
    let told = async || {
        let replay = place.shown(id).await;
        (replay.page, replay.pace(place.clock.now()))
    };
    let mut pace = Pace::starting(AT);
    assert_eq!(place.steps(id, &mut pace).await.1, Step::AtEveryWord);
    assert_eq!(told().await, (1, 0.0));
    succeed(2).await;
    place.clock.advance(Duration::from_secs(2));
    for _ in 0..2 {
        assert_eq!(place.steps(id, &mut pace).await, (0, Step::AtEveryWord));
        assert_eq!(told().await, (2, 1.0), "written once");
    }
    place.clock.advance(Duration::from_secs(600));
    let mut heir = Pace::starting(place.clock.now());
    assert_eq!(place.steps(id, &mut heir).await, (0, Step::AtEveryWord));
    succeed(1).await;
    place.clock.advance(Duration::from_secs(2));
    assert_eq!(place.steps(id, &mut heir).await, (0, Step::AtEveryWord));
    assert_eq!(told().await, (4, 0.5), "of what it was before the outage nothing is left");
    succeed(1).await;
    assert_eq!(place.steps(id, &mut heir).await.1, Step::Done);
}

/// Time alone gives a rate its next items; a pause waits for nothing once all it has is held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_time_changes_is_looked_at_again_after_a_time() {
    let place = Place::new().await;
    for _ in 0..3 {
        place.failed(1).await;
    }
    let target = dacapo_model::replay::Elsewhere::Url { url: "https://a.test/".to_owned(), secret: String::new() };
    let id = place.replay(Options { rate: Some(1), target: Some(target), ..Options::default() }).await;
    let mut pace = Pace::starting(AT);
    let a_second = |step: &Step| matches!(step, Step::Paced { wait, .. } if *wait == Duration::from_secs(1));
    assert!(a_second(&place.steps(id, &mut pace).await.1));
    place.clock.advance(Duration::from_millis(1_500));
    assert!(a_second(&place.steps(id, &mut pace).await.1), "one a second");
    assert_eq!(place.shown(id).await.progress.items, 1);
    let replay = place.shown(id).await;
    let control = replay.control.to(State::Paused, AT, &SYSTEM).expect("an arrow");
    place
        .runner
        .store
        .steer(id, replay.revision, control, true, None)
        .await
        .expect("steers")
        .expect("nobody was first");
    assert_eq!(place.steps(id, &mut pace).await.1, Step::AtWord, "all of it is held");
}

/// Who replays the 37 that failed does not wait for live traffic to end; who replays a million is told to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replays_first_page_is_written_at_once_beside_live_events_and_the_rest_gently() {
    let place = Place::new().await;
    for _ in 0..PAGE_EVENTS_MAX + 40 {
        place.failed(1).await;
    }
    let target = dacapo_model::replay::Elsewhere::Url { url: "https://a.test/".to_owned(), secret: String::new() };
    let id = place.replay(Options { target: Some(target), ..Options::default() }).await;
    place.metrics.committed.inc();
    let mut pace = Pace::starting(AT);
    assert!(matches!(place.steps(id, &mut pace).await.1, Step::Paced { .. }));
    assert_eq!(place.shown(id).await.progress.items, PAGE_EVENTS_MAX as u64);
    place.clock.advance(Duration::from_millis(50));
    place.metrics.committed.inc();
    assert!(matches!(place.steps(id, &mut pace).await.1, Step::Paced { .. }));
    let items = place.shown(id).await.progress.items - PAGE_EVENTS_MAX as u64;
    assert!((9..=13).contains(&items), "{items} in 50 ms");
}

/// Items of one event for two replays: what the first one delivers, the second one knows of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_in_memory_hears_of_what_its_endpoint_has_had_since() {
    let place = Place::new().await;
    let event = place.failed(1).await;
    let endpoint = Endpoint::plain(ENDPOINT, PROJECT, "https://a.test/", AT);
    let edit = place.runner.catalog.edit().await.expect("nobody else");
    edit.write(vec![Change::Endpoint(Arc::new(endpoint))]).await.expect("writes");
    let (first, second) = (place.replay(Options::default()).await, place.replay(Options::default()).await);
    let third = place.replay(Options { include_succeeded: true, ..Options::default() }).await;
    for replay in [first, second] {
        place.steps(replay, &mut Pace::starting(AT)).await;
    }
    let dispatcher = &place.runner.dispatcher;
    let taken = dispatcher.take().expect("an item in memory");
    assert_eq!((taken.work.event.id, taken.has_reached), (event.id, Some(false)));
    let reports = [place.report(taken.work.delivery.clone(), Status::Success)];
    dispatcher.finished(ENDPOINT, Some(first), Exchanged::Succeeded);
    place.runner.store.record(reports.to_vec().into()).await.expect("records");
    dispatcher.recorded(&reports);
    let other = dispatcher.take().expect("the second one's");
    assert_eq!(other.work.delivery.replay_id, Some(second));
    assert_ne!(other.has_reached, Some(false), "known, or to be looked up");
    place.steps(third, &mut Pace::starting(AT)).await;
    let taken = dispatcher.take().expect("the third one's");
    assert_eq!((taken.work.delivery.replay_id, taken.has_reached), (Some(third), Some(true)), "of the walk");
}

/// What this node holds from now on: all shards, or all but the endpoint's, or that one.
fn hold(place: &Place, which: impl Fn(Shard) -> bool) {
    let shards = Shard::all().filter(|shard| which(*shard)).map(|shard| (shard, 1)).collect();
    place.runner.dispatcher.adopt(Arc::new(Holding::new(shards, BTreeSet::new(), Deadline::never())));
}

/// Of items that are read from the queue later, by this node or another one, the walk reads no payload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_are_read_of_what_memory_takes_alone() {
    let place = Place::new().await;
    let event = place.failed(1).await;
    let endpoint = Endpoint::plain(ENDPOINT, PROJECT, "https://a.test/", AT);
    let edit = place.runner.catalog.edit().await.expect("nobody else");
    edit.write(vec![Change::Endpoint(Arc::new(endpoint))]).await.expect("writes");
    let read = async |id| {
        let replay = place.shown(id).await;
        let content = place.runner.reads_all(&replay);
        let page = place.runner.read(&replay, 10, content).await.expect("reads");
        page.items.iter().map(|item| (item.event.data.len(), item.data_bytes)).collect::<Vec<_>>()
    };
    let bytes = event.data.len();
    let unordered = place.replay(Options::default()).await;
    let ordered = place.replay(Options { order: Order::PerEndpoint, ..Options::default() }).await;
    let here = place.replay(Options { include_succeeded: true, ..Options::default() }).await;
    assert_eq!((read(unordered).await, read(ordered).await), (vec![(bytes, bytes)], vec![(0, bytes)]));
    // Another node sends to the endpoint.
    hold(&place, |shard| shard != Shard::of(ENDPOINT));
    assert_eq!(read(unordered).await, [(0, bytes)]);
    place.steps(unordered, &mut Pace::starting(AT)).await;
    assert!(place.runner.dispatcher.take().is_none());
    // This one does, and has it whole; to others another node does.
    hold(&place, |shard| shard == Shard::of(ENDPOINT));
    assert_eq!(read(here).await, [(0, bytes)]);
    place.steps(here, &mut Pace::starting(AT)).await;
    let taken = place.runner.dispatcher.take().expect("in memory");
    assert_eq!((taken.work.delivery.replay_id, &*taken.work.event), (Some(here), &*event));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_a_replay_ended_is_told_once() {
    let place = Place::new().await;
    let told = async || {
        let page = dacapo_store::roles::Page { limit: 99, from: None, ascending: true };
        let told = place.runner.store.meta_events(PROJECT, Default::default(), page).await.expect("reads");
        told.iter().map(|told| String::from_utf8(told.body.to_vec()).expect("text")).collect::<Vec<_>>()
    };
    let (empty, broken) = (place.replay(Options::default()).await, place.replay(Options::default()).await);
    let mut pace = Pace::starting(AT);
    assert_eq!(place.steps(empty, &mut pace).await.1, Step::Done);
    let completed = r#"{"event_type":"replay.completed","data":"completed"}"#;
    assert_eq!(told().await, [completed]);
    let before = place.shown(broken).await;
    for _ in 0..2 {
        // The second time it has moved on.
        place.runner.turn(&before, State::Failed, Some("unreadable".to_owned()), true).await.expect("steers");
    }
    let failed = r#"{"event_type":"replay.failed","data":"failed"}"#;
    assert_eq!(told().await, [completed, failed]);
    assert_eq!(place.steps(broken, &mut pace).await.1, Step::Done);
    assert_eq!(told().await.len(), 2, "giving up what was not sent is no other end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replay_has_still_to_walk_is_kept() {
    let place = Place::new().await;
    place.failed(1).await;
    let replay = place.replay(Options::default()).await;
    let a_day_later = AT.plus(Duration::from_secs(86_400));
    let dropped = async || drop_old(place.runner.store.as_ref(), a_day_later).await.expect("drops").events;
    assert_eq!(dropped().await, 0, "nothing of it waits yet");
    assert_eq!(place.steps(replay, &mut Pace::starting(AT)).await.1, Step::Done);
    assert_eq!(dropped().await, 1);
}
