//! Whatever happens in whatever order: every delivery is in exactly one state, none is lost, none is
//! owed twice. The store is compared with a list in memory after each step.

use super::Subject;
use super::subject::{ALL, FOREVER, PROJECT, ROUTED_AT, UP, born, discard, target, target_discarded};
use crate::roles::{DeliveryFilter, NewEvent, NewReplay, ReplayWritten, Resend, ResendKind};
use dacapo_model::delivery::Reason;
use dacapo_model::{Class, Delivery, Event, Id, Status};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

/// Sequences tried.
const CASES: u32 = 40;
const STEPS_MAX: usize = 30;

/// Numbers choose among what there is at that time.
#[derive(Clone, Debug)]
enum Step {
    Commit { targets: u8, discarded: bool, parked: Vec<u32> },
    Record { which: Vec<usize>, status: Status },
    Again { which: usize },
    GiveUp { which: usize },
    Resend { which: usize, kind: ResendKind },
    Replay { which: usize, targets: u8 },
    Wait { ms: u64 },
    Crash,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop::sample::select(vec![Status::Success, Status::Failure, Status::Retry]);
    let kind = prop::sample::select(vec![ResendKind::Failed, ResendKind::Succeeded]);
    prop_oneof![
        4 => (0u8..4, any::<bool>(), prop::collection::vec(0u32..4, 0..3))
            .prop_map(|(targets, discarded, parked)| Step::Commit { targets, discarded, parked }),
        6 => (prop::collection::vec(any::<usize>(), 1..5), status).prop_map(|(which, status)| Step::Record { which, status }),
        2 => any::<usize>().prop_map(|which| Step::Again { which }),
        1 => any::<usize>().prop_map(|which| Step::GiveUp { which }),
        3 => (any::<usize>(), kind).prop_map(|(which, kind)| Step::Resend { which, kind }),
        2 => (any::<usize>(), 0u8..3).prop_map(|(which, targets)| Step::Replay { which, targets }),
        2 => (0u64..50_000).prop_map(|ms| Step::Wait { ms }),
        2 => Just(Step::Crash),
        1 => Just(Step::Restart),
    ]
}

/// What the store should hold for one endpoint of a case's own.
struct Model {
    endpoint: Id,
    events: Vec<Event>,
    deliveries: Vec<Delivery>,
    /// Those the caller dispatches by itself: `due` may give them, but need not.
    held: BTreeSet<Id>,
    reports: Vec<crate::roles::Report>,
}

pub async fn any_sequence_keeps_every_delivery_in_one_state(subject: Subject) {
    let subject = Mutex::new(subject);
    let endpoints = AtomicU64::new(0xE000);
    let handle = Handle::current();
    let run = || {
        let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
        TestRunner::new(config).run(&prop::collection::vec(step(), 1..STEPS_MAX), |steps| {
            let endpoint = Id::from_u128(endpoints.fetch_add(1, Ordering::Relaxed).into());
            handle.block_on(async {
                let mut subject = subject.lock().await;
                let mut model = Model::of(endpoint);
                for step in steps {
                    model.take(&mut subject, step).await;
                    model.compare(&subject).await;
                }
            });
            Ok(())
        })
    };
    tokio::task::block_in_place(run).expect("holds for every sequence");
}

impl Model {
    fn of(endpoint: Id) -> Self {
        Self { endpoint, events: Vec::new(), deliveries: Vec::new(), held: BTreeSet::new(), reports: Vec::new() }
    }

    async fn take(&mut self, subject: &mut Subject, step: Step) {
        match step {
            Step::Commit { targets, discarded, parked } => self.commit(subject, targets, discarded, parked).await,
            Step::Record { which, status } => self.record(subject, &which, status).await,
            Step::Again { which } => {
                if let Some(at) = pick(&self.reports, which) {
                    subject.record([self.reports[at].clone()]).await;
                }
            }
            Step::GiveUp { which } => {
                if let Some(at) = pick(&self.deliveries, which).filter(|at| !self.deliveries[*at].status.is_settled()) {
                    self.report(subject, vec![discard(&self.deliveries[at])]).await;
                }
            }
            Step::Resend { which, kind } => self.resend(subject, which, kind).await,
            Step::Replay { which, targets } => self.replay(subject, which, targets).await,
            Step::Wait { ms } => subject.advance_ms(ms),
            Step::Crash => {
                subject.crash().await;
                self.held.clear();
            }
            Step::Restart => {
                subject.restart().await;
                self.held.clear();
            }
        }
    }

    async fn commit(&mut self, subject: &Subject, targets: u8, discarded: bool, parked: Vec<u32>) {
        let mut all = vec![target(self.endpoint); targets.into()];
        if discarded {
            all.push(target_discarded(self.endpoint, Reason::EndpointPaused));
        }
        let event = subject.event_with(all);
        for (index, _) in (0..).zip(&event.targets) {
            let delivery = born(&event, index);
            if !delivery.status.is_settled() && !parked.contains(&index) {
                self.held.insert(delivery.id);
            }
            self.deliveries.push(delivery);
        }
        self.events.push(event.clone());
        subject
            .store()
            .commit(vec![NewEvent { event: Arc::new(event), parked, later: Vec::new() }], ROUTED_AT)
            .await
            .expect("commits");
    }

    async fn record(&mut self, subject: &Subject, which: &[usize], status: Status) {
        let chosen: BTreeSet<usize> = which.iter().filter_map(|which| pick(&self.deliveries, *which)).collect();
        let unsettled = chosen.into_iter().map(|at| &self.deliveries[at]).filter(|one| !one.status.is_settled());
        let batch = unsettled.map(|delivery| subject.attempted(delivery, status)).collect();
        self.report(subject, batch).await;
    }

    async fn report(&mut self, subject: &Subject, batch: Vec<crate::roles::Report>) {
        for report in &batch {
            self.held.remove(&report.delivery.id);
            self.set(report.delivery.clone());
        }
        // Reports without an attempt carry nothing that tells a late one from one in time.
        self.reports.extend(batch.iter().filter(|report| report.attempt.is_some()).cloned());
        subject.record(batch).await;
    }

    async fn resend(&mut self, subject: &Subject, which: usize, kind: ResendKind) {
        let Some(at) = pick(&self.deliveries, which) else { return };
        let before = self.deliveries[at].clone();
        let allowed = match kind {
            ResendKind::Failed => matches!(before.status, Status::Failure | Status::Discarded),
            ResendKind::Succeeded => before.status == Status::Success,
        };
        let answer = subject.store().resend(subject.resend(vec![before.id], kind)).await.expect("resends");
        match &answer[..] {
            [Resend::Scheduled(after)] if allowed => {
                assert_eq!((after.id, after.attempts, after.status), (before.id, before.attempts, Status::Scheduled));
                self.set(after.clone());
            }
            [Resend::WrongState(same)] if !allowed => assert_eq!(*same, before),
            other => panic!("{other:?} for {before:?}"),
        }
    }

    async fn replay(&mut self, subject: &Subject, which: usize, targets: u8) {
        let Some(at) = pick(&self.events, which) else { return };
        let replay = NewReplay {
            project_id: PROJECT,
            event_id: self.events[at].id,
            replay_id: subject.mint(),
            targets: (0..targets).map(|_| (subject.mint(), target(self.endpoint))).collect(),
            idempotency: None,
            at: subject.now(),
            call: None,
        };
        match subject.store().replay(replay).await.expect("replays") {
            ReplayWritten::New(deliveries) => {
                assert_eq!(deliveries.len(), usize::from(targets));
                self.deliveries.extend(deliveries);
            }
            other => panic!("{other:?}"),
        }
    }

    fn set(&mut self, now: Delivery) {
        let at = self.deliveries.iter().position(|delivery| delivery.id == now.id).expect("is known");
        self.deliveries[at] = now;
    }

    async fn compare(&self, subject: &Subject) {
        let store = subject.store();
        let filter = DeliveryFilter { endpoints: vec![self.endpoint], ..Default::default() };
        let shown = store.deliveries(PROJECT, filter, UP).await.expect("reads");
        let shown: Vec<&Delivery> = shown.iter().map(|view| &view.delivery).collect();
        assert_eq!(shown, self.deliveries.iter().collect::<Vec<_>>(), "every delivery once, as it should be");
        let mut due = Vec::new();
        for class in Class::ALL {
            let found = store.due(self.endpoint, class, FOREVER, ALL).await.expect("reads");
            assert!(found.iter().all(|waiting| waiting.delivery.class() == class));
            due.extend(found.into_iter().map(|waiting| waiting.delivery.id));
        }
        let distinct: BTreeSet<Id> = due.iter().copied().collect();
        assert_eq!(distinct.len(), due.len(), "nothing is owed twice");
        let waiting = self.deliveries.iter().filter(|delivery| !delivery.status.is_settled());
        let owed: BTreeSet<Id> = waiting.map(|delivery| delivery.id).collect();
        assert!(distinct.is_subset(&owed), "nothing settled is owed");
        let missing: Vec<_> = owed.difference(&distinct).filter(|id| !self.held.contains(id)).collect();
        assert!(missing.is_empty(), "lost: {missing:?}");
        for delivery in &self.deliveries {
            assert_eq!(subject.attempts(delivery.id).await.len(), delivery.attempts as usize);
        }
        let backlog = store.backlog().await.expect("reads");
        assert_eq!(backlog.iter().any(|lane| lane.endpoint_id == self.endpoint), !due.is_empty());
    }
}

fn pick<T>(all: &[T], which: usize) -> Option<usize> {
    which.checked_rem(all.len())
}
