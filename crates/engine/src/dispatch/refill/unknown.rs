//! Replays that a read of the queue meets and nothing is known of, on a real store.

use super::*;
use crate::dispatch::runs::KNOWN_MAX;
use crate::settings::Settings;
use bytes::Bytes;
use dacapo_model::catalog::Change;
use dacapo_model::clock::ManualClock;
use dacapo_model::delivery::Mode;
use dacapo_model::event::Target;
use dacapo_model::id::SystemEntropy;
use dacapo_model::replay::{Asker, AskerKind, Control, Definition, Options, State};
use dacapo_model::retry::{self, Policy};
use dacapo_model::{IdSource, Project, Replay, SetMode, Trigger};
use dacapo_store::roles::{NewReplayRun, ReplayCreated};
use dacapo_store::sqlite::SqliteStore;
use dacapo_store::{LiveCatalog, Store};

const PROJECT: Id = Id::from_u128(1);
const ENDPOINT: Id = Id::from_u128(2);
const AT: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const SOMEBODY: Asker = Asker { kind: AskerKind::System, id: None };

struct Place {
    store: Arc<dyn Store>,
    ids: IdSource,
    clock: Arc<dyn Clock>,
    dispatcher: Arc<Dispatcher>,
    _directory: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(directory.path()).expect("opens"));
        let catalog = Arc::new(LiveCatalog::load(Arc::clone(&store) as _).await.expect("reads").0);
        let edit = catalog.edit().await.expect("nobody else");
        let project = Project::plain(PROJECT, Id::from_u128(9), AT);
        edit.write(vec![Change::Project(Arc::new(project))]).await.expect("writes");
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(AT));
        let (dispatcher, _) = Dispatcher::new(catalog, Arc::clone(&clock), Settings::default());
        Self { store, ids: IdSource::new(SystemEntropy), clock, dispatcher, _directory: directory }
    }

    /// One that the store has, in this state.
    async fn run(&self, state: State) -> Replay {
        let (id, created_at) = self.ids.mint(AT);
        let parts = serde_json::json!({"mode": "all", "first": Id::MIN, "last": id, "high_water": id});
        let definition = Definition {
            name: String::new(),
            reason: String::new(),
            asked_by: SOMEBODY,
            created_at,
            selector: serde_json::Value::Null,
            mode: SetMode::All,
            frozen: serde_json::from_value(parts).expect("a selector"),
            options: Options::default(),
            matched: None,
            sends: None,
        };
        let control = Control::new(&definition.options).to(State::Running, AT, &SOMEBODY).expect("an arrow");
        let control = control.to(state, AT, &SOMEBODY).unwrap_or(control);
        let new = NewReplayRun { id, project_id: PROJECT, definition, control, key: None, open_max: 9 };
        assert_eq!(self.store.create_replay(new).await.expect("creates"), ReplayCreated::New);
        self.store.replays_among(vec![id]).await.expect("reads").pop().expect("is there")
    }

    fn meets_singles(&self, count: usize) {
        self.dispatcher.adopt_single_replays((0..count as u128).map(|n| Id::from_u128(1_000 + n)));
    }

    /// Others like this one.
    fn meets_runs(&self, run: &Replay, count: usize) {
        let other = |n| Replay { id: Id::from_u128(1_000 + n), ..run.clone() };
        let others: Vec<Replay> = (0..count as u128).map(other).collect();
        self.dispatcher.adopt_replays(&others);
    }

    /// What a read found.
    fn item(&self, replay: Id) -> Work {
        let target = Target {
            endpoint_id: ENDPOINT,
            subscription_id: Id::MIN,
            mode: Mode::AtLeastOnce,
            policy: Policy { kind: retry::Kind::Linear, interval_s: 1, limit: 1 },
            discarded: None,
        };
        let (id, at) = self.ids.event(AT, 1);
        let event = Arc::new(Event::plain(id, PROJECT, "t", Bytes::from_static(b"{}"), at));
        let (id, at) = self.ids.mint(AT);
        Work { delivery: target.delivery(&event, id, Trigger::Replay, Some(replay), at), event }
    }

    async fn reads(&self, rows: Vec<Work>) {
        let refiller = Refiller {
            store: Arc::clone(&self.store) as _,
            replays: Arc::clone(&self.store) as _,
            dispatcher: Arc::clone(&self.dispatcher),
            clock: Arc::clone(&self.clock),
        };
        let request = Request {
            project_id: PROJECT,
            endpoint_id: ENDPOINT,
            class: Class::Replay,
            room: Room { rows: 100, bytes: 1_000_000 },
            held: Room { rows: 0, bytes: 0 },
            known: Arc::default(),
        };
        refiller.found(&request, Due { waiting: rows, is_all: true, next: None }, AT).await;
    }
}

/// However many replays were met before, and whichever of them has to make room.
#[tokio::test]
async fn an_item_of_a_run_is_never_taken_for_one_of_a_single_call() {
    for known in KNOWN_MAX - 3..KNOWN_MAX + 2 {
        let place = Place::new().await;
        let running = place.run(State::Running).await;
        let paused = place.run(State::Paused).await.id;
        place.meets_runs(&running, known);
        place.reads(vec![place.item(paused)]).await;
        assert!(place.dispatcher.take().is_none(), "sent while it is paused, behind {known} others");
    }
}

/// It would lose what its endpoints got, and that it was cancelled.
#[tokio::test]
async fn single_calls_make_room_for_each_other_and_no_run_goes_for_them() {
    let place = Place::new().await;
    let run = place.run(State::Running).await;
    place.dispatcher.adopt_replays(std::slice::from_ref(&run));
    for _ in 0..3 {
        place.meets_singles(KNOWN_MAX);
    }
    assert!(place.dispatcher.knows_replay(run.id));
}
