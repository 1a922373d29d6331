//! Wiring of the stages, and what the surfaces call.

use crate::accept::{Accepted, Acceptor, Refusal, Submission};
use crate::breakers::Breakers;
use crate::commit::Committer;
use crate::deliver::{Courier, Helpers, Sampler};
use crate::dispatch::{Dispatcher, Follower, Refiller};
use crate::fan_out::Unfolder;
use crate::healing::Healing;
use crate::health::{Health, Readiness};
use crate::meta_events::MetaEvents;
use crate::metrics::Metrics;
use crate::record::{REPORTS_QUEUED_MAX, Recorder};
use crate::replay::beside::Beside;
use crate::replay::desk::Desk;
use crate::replay::follow::Follower as ReplayFollower;
use crate::replay::plan::Planner;
use crate::replay::run::Runner;
use crate::replay::{ReplayRefusal, ReplayRequest, Replayed, Replayer};
use crate::search::Searcher;
use crate::settings::Settings;
use crate::transport::Transport;
use crate::upkeep::Upkeep;
use crate::warden::Warden;
use dacapo_model::breaker::Policy;
use dacapo_model::health::Shown;
use dacapo_model::id::Entropy;
use dacapo_model::meta_event::{Bodies, Teller};
use dacapo_model::replay::Asker;
use dacapo_model::{Clock, Endpoint, Id, IdSource, Shard};
use dacapo_store::roles::{NodeView, Resend, ResendKind};
use dacapo_store::{LiveCatalog, Store, StoreError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What the pipeline is made of; all of it is handed in.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub catalog: Arc<LiveCatalog>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<IdSource>,
    pub entropy: Arc<dyn Entropy>,
    pub transport: Arc<dyn Transport>,
    pub settings: Settings,
    /// How meta events say what they tell of.
    pub bodies: Box<dyn Bodies>,
    /// Where deliveries are sent and recorded. A runtime of its own beside the one that takes events in:
    /// neither side's threads wake or wait for the other's per event, only per batch.
    pub delivery: DeliveryThreads,
}

/// Runtimes of deliveries.
#[derive(Clone, Debug)]
pub struct DeliveryThreads {
    /// Of one thread: carries an ordinary load, and records.
    pub first: Handle,
    /// Carry what is more than one thread should.
    pub helping: Handle,
    /// The helping ones need not share those that taking in, the first and the store need.
    pub helpers_have_cores: bool,
}

/// The running pipeline. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    catalog: Arc<LiveCatalog>,
    clock: Arc<dyn Clock>,
    acceptor: Acceptor,
    replayer: Replayer,
    searcher: Searcher,
    desk: Arc<Desk>,
    dispatcher: Arc<Dispatcher>,
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
    store: Arc<dyn Store>,
    /// Ends the committer.
    stop_committing: CancellationToken,
    /// Ends refills, timers, upkeep and the staffing of couriers.
    stop_dispatching: CancellationToken,
    /// Ends the following of the lease: after the last exchange, so that shards go as they get quiet.
    stop_following: CancellationToken,
    tasks: Mutex<Option<Tasks>>,
}

/// What a drain waits for.
struct Tasks {
    committer: JoinHandle<()>,
    recorder: JoinHandle<()>,
    breakers: JoinHandle<()>,
    meta_events: JoinHandle<()>,
}

/// For passing on how endpoints fare, at the end.
const LAST_WORD_WITHIN: Duration = Duration::from_secs(1);
/// How often a drain looks whether the exchanges are over.
const DRAIN_LOOK: Duration = Duration::from_millis(5);

impl Engine {
    /// Takes up what waits in the store and starts all stages.
    pub async fn start(parts: Parts) -> Result<Self, StoreError> {
        let Parts { store, catalog, clock, ids, entropy, transport, settings, bodies, delivery } = parts;
        store.hold().await?;
        let teller = Arc::new(Teller { bodies, ids: Arc::clone(&ids), clock: Arc::clone(&clock) });
        catalog.tell_by(Arc::clone(&teller));
        let metrics = Arc::new(Metrics::default());
        let readiness = Arc::new(Readiness::default());
        let (stop_committing, stop_dispatching) = (CancellationToken::new(), CancellationToken::new());
        let (dispatcher, refills) = Dispatcher::new(Arc::clone(&catalog), Arc::clone(&clock), settings.clone());
        let fan_outs = Arc::new(Notify::new());
        let follower = Follower {
            store: Arc::clone(&store),
            dispatcher: Arc::clone(&dispatcher),
            fan_outs: Arc::clone(&fan_outs),
        };
        follower.adopt();
        let replays = ReplayFollower { store: Arc::clone(&store), dispatcher: Arc::clone(&dispatcher) };
        // A replay that was stopped while nobody was here stays stopped.
        let seen = replays.adopt().await?;
        dispatcher.take_up(&store.backlog().await?);

        let warden = Warden::start(Arc::clone(&catalog), Arc::clone(&clock));
        let sending = delivery.first.enter();
        let (reports, reported) = mpsc::channel(REPORTS_QUEUED_MAX);
        let recorder = Recorder {
            store: Arc::clone(&store) as _,
            dispatcher: Arc::clone(&dispatcher),
            warden: warden.clone(),
            readiness: Arc::clone(&readiness),
            metrics: Arc::clone(&metrics),
        }
        .start(reported);
        let courier = Courier {
            catalog: Arc::clone(&catalog),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
            entropy: Arc::clone(&entropy),
            transport: Arc::clone(&transport),
            dispatcher: Arc::clone(&dispatcher),
            replays: Arc::clone(&store) as _,
            reports,
            settings: settings.clone(),
            metrics: Arc::clone(&metrics),
            templates: Default::default(),
            helpers: Helpers::new(delivery.helpers_have_cores),
            teller: Arc::clone(&teller),
        };
        let courier = Arc::new(courier);
        delivery.helping.spawn(Arc::clone(&courier).help(stop_dispatching.clone()));
        tokio::spawn(courier.staff(stop_dispatching.clone()));
        tokio::spawn(Arc::clone(&dispatcher).pace(stop_dispatching.clone()));
        Refiller {
            store: Arc::clone(&store) as _,
            replays: Arc::clone(&store) as _,
            dispatcher: Arc::clone(&dispatcher),
            clock: Arc::clone(&clock),
        }
        .start(refills, &stop_dispatching);
        drop(sending);
        let (intake, committer) = Committer {
            store: Arc::clone(&store) as _,
            catalog: Arc::clone(&catalog),
            ids: Arc::clone(&ids),
            clock: Arc::clone(&clock),
            dispatcher: Arc::clone(&dispatcher),
            readiness: Arc::clone(&readiness),
            metrics: Arc::clone(&metrics),
            fan_outs: Arc::clone(&fan_outs),
            fan_out_at_once_max: settings.fan_out_at_once_max,
        }
        .start(stop_committing.clone());
        let unfolder = Unfolder {
            store: Arc::clone(&store) as _,
            dispatcher: Arc::clone(&dispatcher),
            clock: Arc::clone(&clock),
            begun: fan_outs,
            part_targets_max: (settings.fan_out_at_once_max / 2).max(1),
        };
        // What nobody waits for shares no thread with what takes events in.
        delivery.helping.spawn(unfolder.run(stop_dispatching.clone()));
        Upkeep {
            store: Arc::clone(&store),
            dispatcher: Arc::clone(&dispatcher),
            readiness: Arc::clone(&readiness),
            clock: Arc::clone(&clock),
            settings: settings.clone(),
            metrics: Arc::clone(&metrics),
        }
        .start(&stop_dispatching);
        let breakers = Breakers {
            catalog: Arc::clone(&catalog),
            dispatcher: Arc::clone(&dispatcher),
            warden,
            metrics: Arc::clone(&metrics),
        };
        let breakers = tokio::spawn(breakers.pass_on(stop_dispatching.clone()));
        let stop_following = CancellationToken::new();
        tokio::spawn(follower.follow(stop_following.clone()));
        let runner = Runner {
            store: Arc::clone(&store),
            catalog: Arc::clone(&catalog),
            ids: Arc::clone(&ids),
            clock: Arc::clone(&clock),
            dispatcher: Arc::clone(&dispatcher),
            beside: Beside::new(Arc::clone(&metrics), store.is_shared()),
            teller: Arc::clone(&teller),
            driven: Mutex::default(),
            begun: Notify::new(),
        };
        delivery.helping.spawn(Arc::new(runner).keep(stop_dispatching.clone()));
        tokio::spawn(replays.follow(seen, stop_dispatching.clone()));
        let meta_events = MetaEvents {
            store: Arc::clone(&store),
            catalog: Arc::clone(&catalog),
            dispatcher: Arc::clone(&dispatcher),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
            entropy,
            transport: Arc::clone(&transport),
            settings: settings.clone(),
            turns: Mutex::default(),
        };
        let meta_events = delivery.helping.spawn(Arc::new(meta_events).send_all(stop_dispatching.clone()));
        metrics.ready.set(1);

        let acceptor = Acceptor {
            catalog: Arc::clone(&catalog),
            intake,
            readiness: Arc::clone(&readiness),
            metrics: Arc::clone(&metrics),
        };
        let searcher = Searcher { store: Arc::clone(&store), catalog: Arc::clone(&catalog), clock: Arc::clone(&clock) };
        let sampler = Sampler { replays: Arc::clone(&store) as _, clock: Arc::clone(&clock), settings };
        let desk = Desk {
            store: Arc::clone(&store),
            catalog: Arc::clone(&catalog),
            ids: Arc::clone(&ids),
            clock: Arc::clone(&clock),
            dispatcher: Arc::clone(&dispatcher),
            planner: Arc::new(Planner::new(Arc::clone(&store), Arc::clone(&clock), Arc::new(sampler))),
            transport,
            aside: delivery.helping.clone(),
            is_shared: store.is_shared(),
            teller,
        };
        let desk = Arc::new(desk);
        let healing = Healing {
            catalog: Arc::clone(&catalog),
            dispatcher: Arc::clone(&dispatcher),
            on_heal: Arc::clone(&desk) as _,
        };
        delivery.helping.spawn(healing.watch(stop_dispatching.clone()));
        let replayer = Replayer {
            store: Arc::clone(&store),
            catalog: Arc::clone(&catalog),
            ids,
            clock: Arc::clone(&clock),
            dispatcher: Arc::clone(&dispatcher),
        };
        let tasks = Mutex::new(Some(Tasks { committer, recorder, breakers, meta_events }));
        Ok(Self(Arc::new(Inner {
            catalog,
            clock,
            acceptor,
            replayer,
            searcher,
            desk,
            dispatcher,
            readiness,
            metrics,
            store,
            stop_committing,
            stop_dispatching,
            stop_following,
            tasks,
        })))
    }

    pub async fn accept(&self, submission: Submission) -> Result<Accepted, Refusal> {
        self.0.acceptor.accept(submission).await
    }

    pub async fn replay(&self, request: ReplayRequest) -> Result<Replayed, ReplayRefusal> {
        self.0.replayer.replay(request).await
    }

    /// Replays as resources.
    pub fn replays(&self) -> &Desk {
        &self.0.desk
    }

    /// One answer an id, in order. Deliveries whose endpoint takes none are for the caller to refuse first.
    pub async fn resend(
        &self,
        project: Id,
        deliveries: Vec<Id>,
        kind: ResendKind,
        by: Asker,
    ) -> Result<Vec<Resend>, StoreError> {
        self.0.replayer.resend(project, deliveries, kind, by).await
    }

    /// Looking without changing anything.
    pub fn searcher(&self) -> &Searcher {
        &self.0.searcher
    }

    /// Webhooks about this product itself: to look at, and to send again.
    pub fn meta_events(&self) -> &dyn dacapo_store::roles::MetaEvents {
        &*self.0.store
    }

    /// Who shares the store; none where nobody can.
    pub async fn nodes(&self) -> Result<Vec<NodeView>, StoreError> {
        self.0.store.nodes().await
    }

    /// What is known here of an endpoint's health: by the node that sends to it as it is, by the others
    /// as that one last told it.
    pub fn endpoint_health(&self, endpoint: &Endpoint) -> Shown {
        self.0.endpoint_health(endpoint)
    }

    pub fn health(&self) -> Health {
        self.0.readiness.get()
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    /// Takes no new events, commits what was taken, finishes what is in flight (at most `within`),
    /// records it and closes the store. What was not sent is sent after the next start.
    pub async fn drain(&self, within: Duration) {
        let inner = &self.0;
        let Some(tasks) = inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        inner.readiness.set(Health::Draining);
        inner.stop_committing.cancel();
        let _ = tasks.committer.await;
        inner.dispatcher.stop();
        inner.stop_dispatching.cancel();
        // The next owner starts from what is told now.
        let _ = tokio::time::timeout(LAST_WORD_WITHIN, tasks.breakers).await;
        // Other nodes take what is quiet while the last exchanges go on.
        if let Err(cause) = inner.store.retire().await {
            tracing::warn!(%cause, "other nodes could not be told that this one leaves");
        }
        if tokio::time::timeout(within, self.exchanges_end()).await.is_err() {
            tracing::warn!(
                exchanges = inner.dispatcher.in_exchange(),
                "gave up waiting; these deliveries are sent again after the next start"
            );
        }
        if tokio::time::timeout(within, tasks.meta_events).await.is_err() {
            tracing::warn!("gave up waiting for meta events; these are sent again after the next start");
        }
        // Couriers hold the recorder's door open; it ends when the last of them has.
        if tokio::time::timeout(within, tasks.recorder).await.is_err() {
            tracing::warn!("gave up waiting for the last records");
        }
        inner.stop_following.cancel();
        let everything: Vec<Shard> = Shard::all().collect();
        if let Err(cause) = inner.store.let_go(&everything, &inner.dispatcher.last_allowances()).await {
            tracing::warn!(%cause, "the last shards could not be handed over; others take them");
        }
        if let Err(cause) = inner.store.release().await {
            tracing::warn!(%cause, "the store did not close cleanly");
        }
    }

    async fn exchanges_end(&self) {
        while self.0.dispatcher.in_exchange() > 0 {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    }
}

impl Inner {
    fn endpoint_health(&self, endpoint: &Endpoint) -> Shown {
        if let Some(shown) = self.dispatcher.shown(endpoint) {
            return shown;
        }
        let snapshot = self.catalog.snapshot();
        let told = snapshot.health(endpoint.id).filter(|told| told.is_of(endpoint));
        let (Some(told), Some(view)) = (told, snapshot.project(endpoint.project_id)) else { return Shown::UNKNOWN };
        told.shown(&Policy::from(&view.project.config.circuit_breaker), self.clock.now())
    }
}
