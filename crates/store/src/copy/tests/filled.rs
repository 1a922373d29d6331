//! An embedded store with some of everything in it, and whether two stores answer alike.

use crate::conformance::calls;
use crate::conformance::catalog::{endpoint, one_of_each};
use crate::conformance::subject::{
    ALL, ENDPOINT, ENDPOINT_2, ENDPOINT_3, FOREVER, OTHER_PROJECT, PROJECT, ROUTED_AT, START, UP, born, discard,
    target, target_discarded,
};
use crate::conformance::{Place, Subject};
use crate::document;
use crate::roles::{
    Catalog, DeliveryFilter, EventFilter, Idempotency, NewEvent, NewReplay, Query, Queue, ReplayWritten, Resend,
    ResendKind, Store,
};
use crate::sqlite::SqliteStore;
use async_trait::async_trait;
use bytes::Bytes;
use dacapo_model::attempt::HeaderLines;
use dacapo_model::catalog::Change;
use dacapo_model::delivery::Reason;
use dacapo_model::event::{Audience, ConnectFace, Related};
use dacapo_model::replay::{Call, CallKind};
use dacapo_model::{Class, Event, Id, Status, Timestamp};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const PROJECTS: [Id; 2] = [PROJECT, OTHER_PROJECT];
const ENDPOINTS: [Id; 3] = [ENDPOINT, ENDPOINT_2, ENDPOINT_3];
/// Reached by a large fan-out only.
const LATE_ENDPOINT: Id = Id::from_u128(0xB9);
const DAY_MS: u64 = 86_400_000;
/// More than a batch takes, so that its neighbours come in another one.
const LONG_BYTES: usize = 9 * 1024 * 1024;
/// Of each kind, over as many days.
const ROUNDS: u8 = 4;

struct At(Arc<TempDir>);

#[async_trait]
impl Place for At {
    async fn open(&self) -> crate::Result<Arc<dyn Store>> {
        Ok(Arc::new(SqliteStore::open(self.0.path())?))
    }

    async fn crash(&mut self) {
        unreachable!("it ends in order")
    }
}

pub struct Filled {
    directory: Arc<TempDir>,
    keys: Vec<String>,
    replays: Vec<NewReplay>,
}

impl Filled {
    pub async fn new() -> Self {
        let directory = Arc::new(TempDir::new().expect("a directory"));
        let subject = Subject::new(Box::new(At(Arc::clone(&directory)))).await;
        subject.store().write(one_of_each(), Vec::new()).await.expect("writes");
        // One has been otherwise.
        for second in 1..=5 {
            let Change::Endpoint(state) = endpoint(ENDPOINT, &format!("state {second}")) else { unreachable!() };
            let mut state = Arc::unwrap_or_clone(state);
            state.updated_at = START.plus(Duration::from_secs(second));
            subject.store().write(vec![Change::Endpoint(Arc::new(state))], Vec::new()).await.expect("writes");
        }
        crate::conformance::replays::some(&subject).await;
        for _ in 0..5 {
            crate::conformance::meta_events::kept(&subject).await;
        }
        let mut filled = Self { directory, keys: Vec::new(), replays: Vec::new() };
        for round in 0..ROUNDS {
            filled.histories(&subject).await;
            filled.keyed(&subject, round).await;
            filled.replays(&subject, round).await;
            subject.advance_ms(DAY_MS);
        }
        let mut long = subject.event(&[ENDPOINT_3]);
        long.data = Bytes::from(vec![0xFF; LONG_BYTES]);
        subject.stored_as(long).await;
        // A fan-out that is not finished: one of its endpoints is named nowhere but there.
        let later = vec![target(ENDPOINT), target(ENDPOINT_2), target(LATE_ENDPOINT)];
        let large = crate::conformance::fan_out::large_with(&subject, later);
        subject.store().commit(vec![large], ROUTED_AT).await.expect("commits");
        let part = subject.store().next_part(1).await.expect("reads").expect("is owed");
        assert!(subject.store().unfold(&part).await.expect("writes"));
        // Nobody has recorded these: their events alone imply them.
        subject.stored(&[ENDPOINT, ENDPOINT_2]).await;
        subject.store().release().await.expect("releases");
        filled
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Deliveries in every state, with and without a past.
    async fn histories(&self, subject: &Subject) {
        let done = subject.settled(Status::Success).await;
        subject.settled(Status::Discarded).await;
        let failed = subject.settled(Status::Failure).await;
        let store = subject.store();
        for (delivery, kind) in [(done, ResendKind::Succeeded), (failed, ResendKind::Failed)] {
            let again = store.resend(subject.resend(vec![delivery.id], kind)).await.expect("resends");
            assert!(matches!(again[0], Resend::Scheduled(_)), "{again:?}");
        }
        assert_eq!(subject.settled(Status::Success).await.attempts, 1);
        let retried = subject.fresh().await;
        let first = subject.attempted(&retried, Status::Retry);
        subject.record([first.clone()]).await;
        subject.record([subject.attempted(&first.delivery, Status::Success)]).await;
        let waits = subject.fresh().await;
        subject.record([subject.attempted(&waits, Status::Retry)]).await;
        subject.record([discard(&subject.fresh().await)]).await;
        let parked = subject.event_with(vec![target(ENDPOINT), target_discarded(ENDPOINT_2, Reason::EndpointDeleted)]);
        let parked = NewEvent { event: Arc::new(parked), parked: vec![0], later: Vec::new() };
        store.commit(vec![parked], ROUTED_AT).await.expect("commits");
    }

    /// Events with everything that is seldom set, twice with each key.
    async fn keyed(&mut self, subject: &Subject, round: u8) {
        let key = format!("key {round} \u{1F984}\0");
        for project in [PROJECT, PROJECT, OTHER_PROJECT] {
            let rare = Event {
                project_id: project,
                event_type: "sonder\0fall.\u{e4}".to_owned(),
                data: Bytes::from(vec![0, 0xC3, 0x28, round]),
                headers: HeaderLines::from_iter([("x-one", "1"), ("x-one", "2")]),
                source_id: Some(subject.mint()),
                url_query: "a=b&c".to_owned(),
                url_path: "/x/y".to_owned(),
                idempotency_key: key.clone(),
                audience: Audience::Endpoints(vec![ENDPOINT, ENDPOINT_3]),
                connect: ConnectFace {
                    livemode: false,
                    related: Some(Related { to: subject.mint(), kind: "order".to_owned() }),
                },
                ..subject.event(&[ENDPOINT, ENDPOINT_3])
            };
            subject.commit([rare]).await;
        }
        self.keys.push(key);
    }

    async fn replays(&mut self, subject: &Subject, round: u8) {
        let event = subject.stored(&[ENDPOINT]).await;
        subject.record([subject.attempted(&born(&event, 0), Status::Success)]).await;
        let unmatched = subject.stored(&[]).await;
        for (event, count) in [(event.id, 2), (unmatched.id, 1)] {
            let targets = ENDPOINTS.into_iter().take(count).map(|endpoint| (subject.mint(), target(endpoint)));
            let replay = NewReplay {
                project_id: PROJECT,
                event_id: event,
                replay_id: subject.mint(),
                targets: targets.collect(),
                idempotency: Some(Idempotency {
                    key: format!("replay {round} of {count} \u{e9}"),
                    fingerprint: [round; 32],
                    forget_before: Timestamp::default(),
                }),
                at: subject.now(),
                call: None,
            };
            let call = calls::replay(subject, event).call;
            let replay = NewReplay { call: call.map(|call| Call { id: replay.replay_id, ..call }), ..replay };
            let written = subject.store().replay(replay.clone()).await.expect("replays");
            assert!(matches!(written, ReplayWritten::New(_)), "{written:?}");
            self.replays.push(replay);
        }
    }

    /// Through the roles of both, everything there is.
    pub async fn compare(&self, left: &impl Store, right: &impl Store) {
        assert_eq!(configuration(left).await, configuration(right).await);
        for project in PROJECTS {
            let (mine, theirs) = (events(left, project).await, events(right, project).await);
            assert!(mine.len() >= usize::from(ROUNDS));
            for (mine, theirs) in mine.iter().zip(&theirs) {
                assert!(mine == theirs, "{} differs", mine.id);
            }
            assert_eq!(mine.len(), theirs.len());
            assert_eq!(histories(left, project).await, histories(right, project).await);
            for key in &self.keys {
                let first = left.event_by_idempotency_key(project, key).await.expect("reads");
                assert!(first.is_some());
                assert_eq!(first, right.event_by_idempotency_key(project, key).await.expect("reads"));
            }
        }
        let late = EventFilter { endpoints: vec![LATE_ENDPOINT], ..EventFilter::default() };
        for store in [left as &dyn Query, right as &dyn Query] {
            assert_eq!(store.events(PROJECT, late.clone(), UP).await.expect("reads").len(), 1);
        }
        assert!(
            left.next_part(9).await.expect("reads").is_none() && right.next_part(9).await.expect("reads").is_none()
        );
        assert_eq!(queue(left).await, queue(right).await);
        let replays = left.replays_of(PROJECT, Vec::new(), UP).await.expect("reads");
        assert!(replays.iter().any(|replay| replay.counts.settled() > 0 && replay.waiting() > 0));
        assert_eq!(replays, right.replays_of(PROJECT, Vec::new(), UP).await.expect("reads"));
        for kind in CallKind::ALL {
            let calls = left.calls_of(PROJECT, kind, UP).await.expect("reads");
            assert!(calls.len() > 3 && calls.iter().any(|view| view.now.known() > 0), "{}", kind.as_str());
            assert_eq!(calls, right.calls_of(PROJECT, kind, UP).await.expect("reads"));
        }
        let told = left.meta_events(PROJECT, Default::default(), UP).await.expect("reads");
        assert!(told.len() > 3);
        assert_eq!(told, right.meta_events(PROJECT, Default::default(), UP).await.expect("reads"));
        let newest = replays.iter().map(|replay| replay.revision).max().unwrap_or(0);
        assert!(right.replays_since(newest).await.expect("reads").is_empty(), "later changes come after these");
        for second in 0..8 {
            let at = START.plus(Duration::from_secs(second));
            let state = left.endpoint_as_of(ENDPOINT, at).await.expect("reads").map(|state| state.name);
            let theirs = right.endpoint_as_of(ENDPOINT, at).await.expect("reads").map(|state| state.name);
            assert_eq!(state, theirs, "after {second} s");
        }
        for replay in &self.replays {
            let answer = left.replay(replay.clone()).await.expect("answers");
            assert!(matches!(answer, ReplayWritten::Before(_)), "{answer:?}");
            assert_eq!(answer, right.replay(replay.clone()).await.expect("answers"));
        }
    }
}

async fn configuration(store: &impl Catalog) -> Vec<(i64, Id, String)> {
    let contents = store.load().await.expect("loads");
    contents.rows.iter().map(|change| document::encode(change).expect("encodes")).collect()
}

async fn events(store: &impl Query, project: Id) -> Vec<Arc<Event>> {
    store.events(project, EventFilter::default(), UP).await.expect("reads")
}

/// Deliveries with all their attempts, as text.
async fn histories(store: &impl Query, project: Id) -> Vec<String> {
    let mut told = Vec::new();
    for view in store.deliveries(project, DeliveryFilter::default(), UP).await.expect("reads") {
        let attempts = store.attempts(project, view.delivery.id, ALL).await.expect("reads");
        told.push(format!("{:?} of {} {attempts:?}", view.delivery, view.event.id));
    }
    told
}

async fn queue(store: &impl Queue) -> Vec<String> {
    let mut told = Vec::new();
    for endpoint in ENDPOINTS {
        for class in Class::ALL {
            let due = store.due(endpoint, class, FOREVER, ALL).await.expect("reads");
            told.extend(due.iter().map(|one| format!("{:?} of {}", one.delivery, one.event.id)));
        }
    }
    let mut backlog: Vec<String> =
        store.backlog().await.expect("reads").iter().map(|lane| format!("{lane:?}")).collect();
    backlog.sort_unstable();
    assert!(!told.is_empty() && !backlog.is_empty());
    told.extend(backlog);
    told
}
