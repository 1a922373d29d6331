//! `Catalog` and the copy of it in memory.

use super::Subject;
use super::subject::{ENDPOINT, OTHER_PROJECT, PROJECT, ROUTED_AT, START, born, target};
use crate::LiveCatalog;
use crate::roles::{Catalog, Contents, EditLock, NewEvent, NewReplay};
use dacapo_model::catalog::Change;
use dacapo_model::endpoint::Endpoint;
use dacapo_model::event_type::EventType;
use dacapo_model::filter::scopes::Conditions;
use dacapo_model::id::SystemEntropy;
use dacapo_model::key::{self, ApiKey};
use dacapo_model::organisation::{Organisation, User};
use dacapo_model::project::Project;
use dacapo_model::{Health, Id, IdSource, MetaEvent, Status, Subscription};
use std::sync::Arc;
use tokio::sync::watch;

const ORGANISATION: Id = Id::from_u128(0x11);

pub fn organisation(name: &str) -> Change {
    Change::Organisation(Arc::new(Organisation { id: ORGANISATION, name: name.to_owned(), created_at: START }))
}

pub fn project(id: Id) -> Change {
    Change::Project(Arc::new(Project { name: "shop".to_owned(), ..Project::plain(id, ORGANISATION, START) }))
}

pub fn endpoint(id: Id, name: &str) -> Change {
    Change::Endpoint(Arc::new(Endpoint {
        name: name.to_owned(),
        description: "\u{1F984} \"quoted\"".to_owned(),
        http_timeout: u64::MAX,
        ..Endpoint::plain(id, PROJECT, "https://example.test/", START)
    }))
}

/// Some in one scope, none in the others.
fn conditions() -> Conditions {
    let body = [("amount".to_owned(), serde_json::json!({"$gte": 1000}))];
    Conditions { body: body.into_iter().collect(), ..Conditions::default() }
}

fn subscription(id: Id) -> Change {
    Change::Subscription(Arc::new(Subscription {
        name: "all".to_owned(),
        conditions: conditions(),
        ..Subscription::catch_all(id, PROJECT, ENDPOINT, START)
    }))
}

fn health() -> Change {
    Change::Health(Arc::new(Health {
        endpoint_id: ENDPOINT,
        project_id: PROJECT,
        activation: 1,
        open_until: Some(START),
        trips: 3,
        failing_since: Some(START),
        successes: 1,
        failures: u64::from(u32::MAX),
        reported_at: START,
        heals: 2,
        healed_at: Some(START),
        recovered: Default::default(),
    }))
}

/// One of each kind; what owns comes last.
pub fn one_of_each() -> Vec<Change> {
    let (key, _) = ApiKey::mint(&SystemEntropy, Id::from_u128(0x21), PROJECT, key::Kind::Project, "k", START);
    vec![
        health(),
        Change::Key(Arc::new(key)),
        Change::EventType(Arc::new(EventType {
            id: Id::from_u128(0x22),
            project_id: PROJECT,
            name: "a".to_owned(),
            category: String::new(),
            description: String::new(),
            json_schema: String::new(),
            deprecated_at: Some(START),
            created_at: START,
        })),
        subscription(Id::from_u128(0x23)),
        endpoint(ENDPOINT, "one"),
        project(PROJECT),
        Change::User(Arc::new(User {
            id: Id::from_u128(0x24),
            organisation_id: ORGANISATION,
            email: "a@example.test".to_owned(),
            first_name: String::new(),
            last_name: String::new(),
            password_hash: "$argon2id$".to_owned(),
            created_at: START,
        })),
        organisation("first"),
    ]
}

/// A row as text, for comparison: some kinds hide their fields in `Debug`.
fn text(change: &Change) -> String {
    let json = match change {
        Change::Organisation(row) => serde_json::to_string(row),
        Change::User(row) => serde_json::to_string(row),
        Change::Project(row) => serde_json::to_string(row),
        Change::Endpoint(row) => serde_json::to_string(row),
        Change::Subscription(row) => serde_json::to_string(row),
        Change::EventType(row) => serde_json::to_string(row),
        Change::Key(row) => serde_json::to_string(row),
        Change::Health(row) => serde_json::to_string(row),
    };
    json.expect("is JSON")
}

pub async fn rows_read_back_in_an_order_that_applies(mut subject: Subject) {
    assert!(subject.store().load().await.expect("loads").rows.is_empty());
    let rows = one_of_each();
    subject.store().write(rows.clone(), Vec::new()).await.expect("writes");
    subject.store().write(vec![endpoint(ENDPOINT, "two")], Vec::new()).await.expect("writes");
    subject.crash().await;
    let found = subject.store().load().await.expect("loads").rows;
    let mut expected: Vec<String> = rows.iter().map(text).collect();
    expected[4] = text(&endpoint(ENDPOINT, "two"));
    expected.sort();
    let mut texts: Vec<String> = found.iter().map(text).collect();
    texts.sort();
    assert_eq!(texts, expected);
    let snapshot = dacapo_model::catalog::Snapshot::default().apply(&found, 1);
    let view = snapshot.project(PROJECT).expect("is there");
    assert_eq!((view.endpoints.len(), view.subscriptions.len(), view.event_types.len()), (1, 1, 1));
    assert_eq!((snapshot.organisations().count(), snapshot.users().count(), snapshot.keys().count()), (1, 1, 1));
    assert_eq!(snapshot.health(ENDPOINT).map(|health| health.trips), Some(3));
}

pub async fn a_version_rises_with_each_write_and_survives(mut subject: Subject) {
    let mut last = subject.store().load().await.expect("loads").version;
    for name in ["a", "b", "c"] {
        let version = subject.store().write(vec![organisation(name)], Vec::new()).await.expect("writes");
        assert!(version > last);
        last = version;
        subject.crash().await;
        assert_eq!(subject.store().load().await.expect("loads").version, last);
    }
}

pub async fn ids_rise_over_restarts(mut subject: Subject) {
    assert_eq!(subject.store().load().await.expect("loads").newest_id, None);
    // The clock of the next run stands before all of these.
    let next_run = |newest| {
        let source = IdSource::new(SystemEntropy);
        source.start_after(newest);
        source.mint(START).0
    };
    subject.advance_ms(60_000);
    for step in 0..6 {
        subject.advance_ms(1);
        let newest = match step {
            0 => subject.stored(&[]).await.id,
            1 => subject.stored(&[ENDPOINT, ENDPOINT, ENDPOINT]).await.id.child(2),
            2 => subject.settled(Status::Success).await.id,
            3 => {
                let event = subject.stored(&[]).await.id;
                let id = subject.mint();
                let (replay_id, targets) = (subject.mint(), vec![(id, target(ENDPOINT))]);
                let at = subject.now();
                let replay = NewReplay {
                    project_id: PROJECT,
                    event_id: event,
                    replay_id,
                    targets,
                    idempotency: None,
                    at,
                    call: None,
                };
                subject.store().replay(replay).await.expect("replays");
                id
            }
            4 => {
                let id = subject.mint();
                subject.store().write(vec![project(PROJECT), endpoint(id, "new")], Vec::new()).await.expect("writes");
                id
            }
            _ => super::meta_events::kept(&subject).await.id,
        };
        for _ in 0..2 {
            let contents = subject.store().load().await.expect("loads");
            assert!(next_run(contents.newest_id.expect("something is there")) > newest, "step {step}");
            subject.crash().await;
        }
    }
}

pub async fn a_live_catalog_shows_what_was_written(subject: Subject) {
    subject.store().write(one_of_each(), Vec::new()).await.expect("writes");
    let store: Arc<dyn Catalog> = Arc::new(Roles(subject.store()));
    let (live, newest) = LiveCatalog::load(Arc::clone(&store)).await.expect("loads");
    assert_eq!(newest, Some(PROJECT.max(ENDPOINT).max(Id::from_u128(0x24))));
    assert!(live.snapshot().endpoint(PROJECT, ENDPOINT).is_some());
    let before = live.snapshot();
    let mut changes = live.changes();
    let edit = live.edit().await.expect("may edit");
    assert_eq!(edit.snapshot().version, before.version);
    edit.write(vec![project(OTHER_PROJECT), endpoint(ENDPOINT, "renamed")]).await.expect("writes");
    changes.changed().await.expect("is told");
    let after = live.snapshot();
    assert_eq!(*changes.borrow(), after.version);
    assert!(after.version > before.version && after.project(OTHER_PROJECT).is_some());
    assert!(before.project(OTHER_PROJECT).is_none(), "a snapshot does not change");
    let (again, _) = LiveCatalog::load(store).await.expect("loads");
    assert_eq!(again.snapshot().version, after.version);
    assert_eq!(again.snapshot().endpoint(PROJECT, ENDPOINT).expect("is there").name, "renamed");
}

/// A client that hangs up in the middle must not leave readers behind the store for good.
pub async fn an_edit_goes_through_when_its_caller_gives_up(subject: Subject) {
    let store: Arc<dyn Catalog> = Arc::new(Roles(subject.store()));
    let (live, _) = LiveCatalog::load(Arc::clone(&store)).await.expect("loads");
    let mut changes = live.changes();
    let edit = live.edit().await.expect("may edit");
    {
        let mut write = std::pin::pin!(edit.write(vec![project(PROJECT)]));
        let once = std::future::poll_fn(|context| std::task::Poll::Ready(write.as_mut().poll(context).is_ready()));
        let _ = once.await;
    }
    changes.changed().await.expect("is told all the same");
    assert!(live.snapshot().project(PROJECT).is_some());
    live.edit().await.expect("may edit").write(vec![project(OTHER_PROJECT)]).await.expect("the next one may write");
    assert_eq!(store.load().await.expect("loads").version, live.snapshot().version);
    let event = subject.event(&[ENDPOINT]);
    let batch = vec![NewEvent { event: Arc::new(event.clone()), parked: vec![0], later: Vec::new() }];
    subject.store().commit(batch, ROUTED_AT).await.expect("commits");
    assert_eq!(subject.due_ids().await, [born(&event, 0).id]);
}

/// One role of a whole store.
pub struct Roles(pub Arc<dyn crate::Store>);

#[async_trait::async_trait]
impl Catalog for Roles {
    async fn load(&self) -> crate::Result<Contents> {
        self.0.load().await
    }

    async fn write(&self, changes: Vec<Change>, told: Vec<MetaEvent>) -> crate::Result<u64> {
        self.0.write(changes, told).await
    }

    async fn load_since(&self, version: u64) -> crate::Result<Contents> {
        self.0.load_since(version).await
    }

    async fn lock(&self) -> crate::Result<Option<Box<dyn EditLock>>> {
        self.0.lock().await
    }

    fn newer(&self) -> watch::Receiver<u64> {
        self.0.newer()
    }
}
