//! On a real store, to receivers that answer or do not.

use super::*;
use crate::transport::{Answer, Outgoing};
use async_trait::async_trait;
use bytes::Bytes;
use dacapo_model::catalog::Change;
use dacapo_model::clock::ManualClock;
use dacapo_model::id::SystemEntropy;
use dacapo_model::project::{Config, Project};
use dacapo_model::retry::{Policy, Strategy};
use dacapo_model::{Status, Timestamp};
use dacapo_store::roles::Page;
use dacapo_store::sqlite::SqliteStore;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const AT: Timestamp = Timestamp::from_millis(1_790_000_000_000);
/// By id the first, whose turn comes first.
const HANGS: Id = Id::from_u128(1);
const ANSWERS: Id = Id::from_u128(2);
/// More than any test sends.
const ANSWERED_MAX: usize = 1_000;
/// Far beyond what it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// `hangs.test` never answers, others say 200.
struct Receivers {
    hanging: AtomicUsize,
    answered: mpsc::Sender<Outgoing>,
}

#[async_trait]
impl Transport for Receivers {
    async fn exchange(&self, request: Outgoing) -> Exchange {
        if request.uri.host() == Some("hangs.test") {
            self.hanging.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        self.answered.send(request).await.expect("somebody counts");
        let answer = Answer { status: 200, headers: Default::default(), body: Bytes::new() };
        Exchange { ip: None, result: Ok(answer) }
    }
}

fn project(id: Id, host: &str, is_enabled: bool) -> Change {
    let mut config = Config::default();
    config.meta_event.is_enabled = is_enabled;
    config.meta_event.url = format!("https://{host}/");
    let project = Project { config, ..Project::plain(id, Id::from_u128(9), AT) };
    Change::Project(Arc::new(project))
}

struct Place {
    store: Arc<SqliteStore>,
    receivers: Arc<Receivers>,
    answered: mpsc::Receiver<Outgoing>,
    ids: Arc<IdSource>,
    stop: CancellationToken,
    sending: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

impl Place {
    /// `since`: written after this process read the catalog, by another one.
    async fn new(before: Vec<Change>, since: Vec<Change>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Arc::new(SqliteStore::open(directory.path()).expect("opens"));
        let catalog = Arc::new(LiveCatalog::load(Arc::clone(&store) as _).await.expect("reads").0);
        catalog.edit().await.expect("nobody else").write(before).await.expect("writes");
        dacapo_store::roles::Catalog::write(&*store, since, Vec::new()).await.expect("writes");
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(AT));
        let (dispatcher, _) = Dispatcher::new(Arc::clone(&catalog), Arc::clone(&clock), Settings::default());
        let ids = Arc::new(IdSource::new(SystemEntropy));
        let (sender, answered) = mpsc::channel(ANSWERED_MAX);
        let receivers = Arc::new(Receivers { hanging: AtomicUsize::new(0), answered: sender });
        let stage = MetaEvents {
            store: Arc::clone(&store) as _,
            catalog,
            dispatcher,
            clock,
            ids: Arc::clone(&ids),
            entropy: Arc::new(SystemEntropy),
            transport: Arc::clone(&receivers) as _,
            settings: Settings::default(),
            turns: Mutex::default(),
        };
        let stop = CancellationToken::new();
        let sending = tokio::spawn(Arc::new(stage).send_all(stop.clone()));
        Self { store, receivers, answered, ids, stop, sending, _directory: directory }
    }

    async fn tell(&self, project_id: Id, count: usize) {
        let told = |_| MetaEvent {
            id: self.ids.mint(AT).0,
            project_id,
            event_type: "endpoint.created".to_owned(),
            body: Bytes::from_static(b"{}"),
            policy: Policy::from(Strategy::default()),
            status: Status::Scheduled,
            attempts: 0,
            due_at: AT,
            created_at: AT,
            updated_at: AT,
            last: None,
        };
        let told = (0..count).map(told).collect();
        dacapo_store::roles::Catalog::write(&*self.store, Vec::new(), told).await.expect("writes");
    }

    async fn come(&mut self, count: usize) {
        for _ in 0..count {
            let came = tokio::time::timeout(PATIENCE, self.answered.recv()).await.expect("in time");
            assert_eq!(came.expect("the stage runs").uri.host(), Some("answers.test"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_hangs_takes_its_places_and_no_others() {
    let both = vec![project(HANGS, "hangs.test", true), project(ANSWERS, "answers.test", true)];
    let mut place = Place::new(both, Vec::new()).await;
    place.tell(HANGS, 10 * PAGE_MAX).await;
    place.tell(ANSWERS, 10 * PAGE_MAX).await;
    place.come(10 * PAGE_MAX).await;
    place.tell(ANSWERS, 3).await;
    place.come(3).await;
    assert_eq!(place.receivers.hanging.load(Ordering::SeqCst), EXCHANGES_MAX);
    place.sending.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_node_was_just_told_to_send_is_not_taken_for_unwanted() {
    let (old, new) = (project(ANSWERS, "answers.test", false), project(ANSWERS, "answers.test", true));
    let mut place = Place::new(vec![old], vec![new]).await;
    place.tell(ANSWERS, 1).await;
    place.come(1).await;
    place.stop.cancel();
    place.sending.await.expect("ends when what it sent is recorded");
    let page = Page { limit: 9, from: None, ascending: true };
    let told = dacapo_store::roles::MetaEvents::meta_events(&*place.store, ANSWERS, Default::default(), page).await;
    let told = told.expect("reads");
    assert_eq!(told.iter().map(|told| (told.status, told.attempts)).collect::<Vec<_>>(), [(Status::Success, 1)]);
}
