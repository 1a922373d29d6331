//! Several processes on one store: who owns what, what is refused, who hears of what. Each test opens
//! a second store on the subject's place.

use super::Subject;
use super::catalog::{Roles, endpoint, organisation};
use super::subject::{ENDPOINT, PROJECT, ROUTED_AT, born, target};
use crate::roles::{
    Allowance, Arrival, Arrivals, Catalog, Committed, Holding, NewEvent, NewReplay, Release, ResendKind,
};
use crate::{LiveCatalog, Store, StoreError};
use dacapo_model::{Class, Event, Id, MetaEvent, Shard, Status};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Nothing here takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

async fn second(subject: &Subject) -> Arc<dyn Store> {
    subject.place().open().await.expect("one more may join")
}

/// Waits until the store owns something that `fits`.
async fn until(store: &Arc<dyn Store>, fits: impl Fn(&Holding) -> bool) -> Arc<Holding> {
    let mut holding = store.holding();
    let held = tokio::time::timeout(PATIENCE, holding.wait_for(|held| fits(held))).await;
    Arc::clone(&*held.expect("happens in time").expect("the store lives"))
}

/// Gives up whatever is to leave, as dispatch does when nothing of it is in flight.
fn obliging(store: &Arc<dyn Store>) -> tokio::task::JoinHandle<()> {
    let store = Arc::clone(store);
    tokio::spawn(async move {
        let mut holding = store.holding();
        loop {
            let leaving: Vec<Shard> = holding.borrow_and_update().leaving.iter().copied().collect();
            if !leaving.is_empty() {
                store.let_go(&leaving, &[]).await.expect("gives up");
            }
            if holding.changed().await.is_err() {
                return;
            }
        }
    })
}

/// Both of them with their shares of the shards.
async fn two(subject: &Subject) -> (Arc<dyn Store>, Arc<dyn Store>) {
    let (first, second) = (subject.store(), second(subject).await);
    let task = obliging(&first);
    let whole =
        async |store: &Arc<dyn Store>| until(store, |held| held.shards.len() > 64 && held.leaving.is_empty()).await;
    let together = async {
        loop {
            let (a, b) = (whole(&first).await, whole(&second).await);
            if a.shards.len() + b.shards.len() == Shard::COUNT {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, together).await.expect("they share");
    task.abort();
    (first, second)
}

/// An endpoint whose shard is (or is not) among these.
fn endpoint_in(shards: &watch::Receiver<Arc<Holding>>, inside: bool) -> Id {
    let holding = Arc::clone(&*shards.borrow());
    let fits = |id: &Id| holding.owns(Shard::of(*id)) == inside;
    (1u128..).map(|n| Id::from_u128(n << 80 | n)).find(fits).expect("some shard is")
}

async fn commit(store: &Arc<dyn Store>, event: &Event) {
    let batch = vec![NewEvent { event: Arc::new(event.clone()), parked: Vec::new(), later: Vec::new() }];
    assert_eq!(store.commit(batch, ROUTED_AT).await.expect("commits"), [Committed::Stored]);
}

async fn hears(arrivals: &mut Arrivals, endpoint: Id) {
    let heard = async {
        loop {
            match arrivals.next().await {
                Arrival::Endpoints(ids) | Arrival::Live(ids) if ids.contains(&endpoint) => return,
                Arrival::Endpoints(_) | Arrival::Live(_) | Arrival::FanOuts | Arrival::All => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("is told by name");
}

pub async fn two_stores_split_the_shards(subject: Subject) {
    assert_eq!(subject.store().holding().borrow().shards.len(), Shard::COUNT, "one alone owns everything");
    let (first, second) = two(&subject).await;
    let (a, b) = (first.holding().borrow().shards.clone(), second.holding().borrow().shards.clone());
    assert!(a.keys().all(|shard| !b.contains_key(shard)), "no shard has two owners");
    for shard in Shard::all() {
        assert_ne!(first.holding().borrow().dispatches(shard), second.holding().borrow().dispatches(shard));
    }
}

pub async fn a_shard_moves_only_when_it_is_let_go(subject: Subject) {
    let (first, second) = (subject.store(), second(&subject).await);
    let held = until(&first, |held| !held.leaving.is_empty()).await;
    assert_eq!(held.shards.len(), Shard::COUNT, "what is to leave is still its owner's");
    let shard = *held.leaving.first().expect("some");
    assert!(held.owns(shard) && !held.dispatches(shard));
    assert!(second.holding().borrow().shards.is_empty());
    first.let_go(&[shard], &[]).await.expect("gives up");
    assert!(!first.holding().borrow().owns(shard));
    let taken = until(&second, |held| held.owns(shard)).await;
    assert_eq!(taken.shards.keys().copied().collect::<Vec<_>>(), [shard]);
}

/// How exactly a moment is passed on: what is told is a difference of time, and telling takes some.
const PASSED_ON_WITHIN: Duration = Duration::from_secs(1);

pub async fn a_rate_limit_moves_with_its_shard_to_the_next_owner(subject: Subject) {
    let (first, second) = (subject.store(), second(&subject).await);
    let held = until(&first, |held| !held.leaving.is_empty()).await;
    let leaving: Vec<Shard> = held.leaving.iter().copied().collect();
    let moves = (1u128..).map(|n| Id::from_u128(n << 80 | n)).find(|id| Shard::of(*id) == leaving[0]);
    let moves = moves.expect("some shard is");
    let stays = (1u128..).map(|n| Id::from_u128(n << 80 | n)).find(|id| !held.leaving.contains(&Shard::of(*id)));
    let stays = stays.expect("some shard is");
    let later = subject.now().plus(Duration::from_secs(3_600));
    let told = |endpoint_id| Allowance { endpoint_id, whole_at: later };
    first.let_go(&leaving[..1], &[told(moves), told(stays)]).await.expect("gives up");
    let taken = until(&second, |held| held.owns(leaving[0])).await;
    assert_eq!(taken.allowances.len(), 1, "none of shards that stay");
    let (whole_at, before) = (taken.allowances[&moves], later.micros().unsigned_abs());
    assert!(whole_at.micros().unsigned_abs().abs_diff(before) < PASSED_ON_WITHIN.as_micros() as u64);
    // It has them as long as it has the shard.
    let task = obliging(&first);
    let taken = until(&second, |held| held.shards.len() > 64).await;
    assert!(taken.allowances.contains_key(&moves));
    task.abort();
    // And passes on nothing that it was not told to.
    second.release().await.expect("releases");
    let back = until(&first, |held| held.owns(leaving[0])).await;
    assert!(back.allowances.is_empty());
}

pub async fn a_release_hands_over_at_once(subject: Subject) {
    let (first, second) = two(&subject).await;
    let began = tokio::time::Instant::now();
    first.release().await.expect("releases");
    until(&second, |held| held.shards.len() == Shard::COUNT).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(first.holding().borrow().shards.is_empty());
}

pub async fn a_take_over_raises_the_epoch(subject: Subject) {
    let before = subject.store().holding().borrow().shards.clone();
    let (first, second) = two(&subject).await;
    for (shard, epoch) in &second.holding().borrow().shards {
        assert!(*epoch > before[shard]);
    }
    for (shard, epoch) in &first.holding().borrow().shards {
        assert_eq!(*epoch, before[shard], "what stays is not disturbed");
    }
}

/// The subject's store does not know what it has lost: a zombie. The second has some of it.
async fn depose(subject: &mut Subject) -> (Arc<dyn Store>, Arc<dyn Store>) {
    let zombie = subject.store();
    subject.place_mut().depose().await;
    let heir = second(subject).await;
    until(&heir, |held| held.shards.len() > 32).await;
    (zombie, heir)
}

pub async fn reports_of_lost_shards_are_refused_and_the_rest_is_recorded(mut subject: Subject) {
    let endpoints: Vec<Id> = (1u128..40).map(|n| Id::from_u128(n << 80 | n)).collect();
    let event = subject.stored(&endpoints).await;
    let reports: Vec<_> = (0..39).map(|index| subject.attempted(&born(&event, index), Status::Success)).collect();
    let (zombie, heir) = depose(&mut subject).await;
    let lost: BTreeSet<Shard> = heir.holding().borrow().shards.keys().copied().collect();
    let refused = zombie.record(reports.clone().into()).await.err();
    let Some(StoreError::Fenced { shards }) = refused else { panic!("{refused:?}") };
    assert!(shards.len() < Shard::COUNT / 4 * 3 && shards.iter().any(|shard| lost.contains(shard)));
    for report in &reports {
        let shown = subject.shown(report.delivery.id).await.expect("is there");
        let is_refused = shards.contains(&Shard::of(report.delivery.endpoint_id));
        assert_eq!(shown.status.is_settled(), !is_refused, "what is still held is recorded, nothing else");
        assert!(is_refused || !lost.contains(&Shard::of(report.delivery.endpoint_id)));
    }
    let theirs: Vec<_> =
        reports.into_iter().filter(|report| lost.contains(&Shard::of(report.delivery.endpoint_id))).collect();
    heir.record(theirs.clone().into()).await.expect("the heir may");
    for report in &theirs {
        assert_eq!(subject.shown(report.delivery.id).await.as_ref(), Some(&report.delivery));
    }
    assert!(!theirs.is_empty());
}

pub async fn a_lost_shard_gives_nothing_due(mut subject: Subject) {
    let (zombie, heir) = depose(&mut subject).await;
    let lost = endpoint_in(&heir.holding(), true);
    commit(&heir, &subject.event(&[lost])).await;
    let refused = zombie.due(lost, Class::Live, subject.now(), 9).await.err();
    assert!(matches!(&refused, Some(StoreError::Fenced { shards }) if shards[..] == [Shard::of(lost)]), "{refused:?}");
    assert_eq!(heir.due(lost, Class::Live, subject.now(), 9).await.expect("reads").len(), 1);
}

pub async fn the_backlog_is_that_of_the_shards_held(subject: Subject) {
    let (first, second) = two(&subject).await;
    let (own, others) = (endpoint_in(&first.holding(), true), endpoint_in(&first.holding(), false));
    commit(&first, &subject.event(&[own, others])).await;
    for (store, endpoint) in [(&first, own), (&second, others)] {
        let backlog = store.backlog().await.expect("reads");
        assert_eq!(backlog.iter().map(|lane| lane.endpoint_id).collect::<Vec<_>>(), [endpoint]);
    }
}

pub async fn owners_hear_of_what_others_commit(subject: Subject) {
    let (first, second) = two(&subject).await;
    let (mut heard, mut own) = (second.arrivals(), first.arrivals());
    let (mine, theirs) = (endpoint_in(&first.holding(), true), endpoint_in(&first.holding(), false));
    commit(&first, &subject.event(&[mine, theirs])).await;
    hears(&mut heard, theirs).await;
    assert_eq!(second.due(theirs, Class::Live, subject.now(), 9).await.expect("reads").len(), 1);
    // One's own, which memory has, is not announced: what comes next is what comes from elsewhere.
    commit(&second, &subject.event(&[mine])).await;
    let next = async {
        loop {
            if let Arrival::Live(ids) = own.next().await {
                return ids;
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, next).await.expect("is told"), [mine]);
    // More than can be named.
    let many: Vec<Id> = (1u128..2_000).map(|n| Id::from_u128(n << 80 | n)).collect();
    let all = async { while heard.next().await != Arrival::All {} };
    commit(&first, &subject.event(&many)).await;
    tokio::time::timeout(PATIENCE, all).await.expect("is told to look at everything");
}

/// Word of what it committed last may have died with it.
pub async fn when_one_is_gone_the_others_look_at_everything(subject: Subject) {
    let (first, second) = two(&subject).await;
    let mut heard = first.arrivals();
    second.release().await.expect("releases");
    let all = async { while heard.next().await != Arrival::All {} };
    tokio::time::timeout(PATIENCE, all).await.expect("is told to");
}

pub async fn owners_hear_of_replays_and_resends(subject: Subject) {
    let (first, second) = two(&subject).await;
    let theirs = endpoint_in(&first.holding(), false);
    let mut heard = second.arrivals();
    let event = subject.event(&[]);
    commit(&first, &event).await;
    let replay = NewReplay {
        project_id: PROJECT,
        event_id: event.id,
        replay_id: subject.mint(),
        targets: vec![(subject.mint(), target(theirs))],
        idempotency: None,
        at: subject.now(),
        call: None,
    };
    first.replay(replay).await.expect("replays");
    hears(&mut heard, theirs).await;
    let waiting = second.due(theirs, Class::Replay, subject.now(), 9).await.expect("reads");
    let report = subject.attempted(&waiting[0].delivery, Status::Failure);
    second.record([report.clone()].into()).await.expect("records");
    first.resend(subject.resend(vec![report.delivery.id], ResendKind::Failed)).await.expect("resends");
    hears(&mut heard, theirs).await;
}

pub async fn a_stale_catalog_commits_nothing(subject: Subject) {
    let (first, second) = (subject.store(), second(&subject).await);
    let version = first.write(vec![organisation("a")], Vec::new()).await.expect("writes");
    let event = subject.event(&[ENDPOINT]);
    let batch = || vec![NewEvent { event: Arc::new(event.clone()), parked: Vec::new(), later: Vec::new() }];
    second.commit(batch(), version).await.expect("is not stale");
    let event = subject.event(&[ENDPOINT]);
    let batch = || vec![NewEvent { event: Arc::new(event.clone()), parked: Vec::new(), later: Vec::new() }];
    let newer = first.write(vec![organisation("b")], Vec::new()).await.expect("writes");
    for _ in 0..2 {
        let refused = second.commit(batch(), version).await.err();
        assert!(matches!(refused, Some(StoreError::StaleCatalog { current }) if current == newer), "{refused:?}");
        assert!(first.event(PROJECT, event.id).await.expect("reads").is_none());
    }
    assert_eq!(second.commit(batch(), newer).await.expect("commits"), [Committed::Stored]);
}

async fn live(store: &Arc<dyn Store>) -> LiveCatalog {
    let roles: Arc<dyn Catalog> = Arc::new(Roles(Arc::clone(store)));
    LiveCatalog::load(roles).await.expect("loads").0
}

pub async fn a_change_here_is_a_change_there(subject: Subject) {
    let (here, there) = (live(&subject.store()).await, second(&subject).await);
    let there = live(&there).await;
    let mut told = there.changes();
    let rows = super::catalog::one_of_each();
    here.edit().await.expect("may edit").write(rows).await.expect("writes");
    let version = here.snapshot().version;
    let followed = tokio::time::timeout(Duration::from_secs(1), told.wait_for(|told| *told >= version)).await;
    followed.expect("within a second").expect("lives");
    assert!(there.snapshot().endpoint(PROJECT, ENDPOINT).is_some());
    here.edit().await.expect("may edit").write(vec![endpoint(ENDPOINT, "renamed")]).await.expect("writes");
    let refreshed = there.refresh().await.expect("reads");
    assert_eq!(refreshed.version, here.snapshot().version, "a refresh does not wait for word");
    assert_eq!(refreshed.endpoint(PROJECT, ENDPOINT).expect("is there").name, "renamed");
}

pub async fn an_edit_waits_for_the_edit_of_another_store(subject: Subject) {
    let other = second(&subject).await;
    let (here, there) = (live(&subject.store()).await, Arc::new(live(&other).await));
    let edit = here.edit().await.expect("may edit");
    let waiting = {
        let there = Arc::clone(&there);
        tokio::spawn(async move { there.edit().await.expect("may edit, later").snapshot().version })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished(), "two look before either has written");
    edit.write(vec![organisation("first")]).await.expect("writes");
    let seen = tokio::time::timeout(PATIENCE, waiting).await.expect("its turn comes").expect("ends");
    assert_eq!(seen, here.snapshot().version, "it looks at what the first has written");
}

pub async fn an_edit_dropped_lets_the_next_one_in(subject: Subject) {
    let other = second(&subject).await;
    let (here, there) = (live(&subject.store()).await, live(&other).await);
    for _ in 0..5 {
        let before = here.edit().await.expect("may edit").snapshot().version;
        let edit = tokio::time::timeout(PATIENCE, there.edit()).await.expect("is let in").expect("may edit");
        assert_eq!(edit.snapshot().version, before);
    }
}

pub async fn a_stop_is_known_to_be_heard_everywhere(subject: Subject) {
    let (first, second) = two(&subject).await;
    let id = super::replays::running(&subject).await;
    let replay = first.replay_by_id(PROJECT, id).await.expect("reads").expect("is there");
    for store in [&first, &second] {
        store.acknowledge_replays(replay.revision, Vec::new()).await.expect("acknowledges");
    }
    let mut newer = second.newer_replays();
    newer.mark_unchanged();
    let control = super::replays::paused(&replay, subject.now());
    let revision =
        first.steer(id, replay.revision, control, true, None).await.expect("steers").expect("nobody was first");
    let heard = tokio::time::timeout(PATIENCE, newer.wait_for(|told| *told >= revision)).await;
    heard.expect("is told").expect("the store lives");
    let told = async || first.acknowledged(id, revision).await.expect("reads");
    assert_eq!(told().await.missing, 2);
    first.acknowledge_replays(revision, vec![(id, 3)]).await.expect("acknowledges");
    assert_eq!((told().await.missing, told().await.in_flight), (1, 3));
    let seen = second.replays_since(replay.revision).await.expect("reads");
    assert_eq!(seen.iter().map(|replay| (replay.id, replay.revision)).collect::<Vec<_>>(), [(id, revision)]);
    second.acknowledge_replays(revision, vec![(id, 4)]).await.expect("acknowledges");
    assert_eq!((told().await.missing, told().await.in_flight), (0, 7));
    // An older one takes nothing back.
    second.acknowledge_replays(replay.revision, Vec::new()).await.expect("acknowledges");
    assert_eq!(told().await.missing, 0);
}

pub async fn owners_hear_of_items(subject: Subject) {
    let (first, second) = two(&subject).await;
    let (mut at_first, mut at_second) = (first.arrivals(), second.arrivals());
    let (here, there) = (endpoint_in(&first.holding(), true), endpoint_in(&first.holding(), false));
    let id = super::replays::running(&subject).await;
    let event = subject.stored(&[]).await;
    super::replays::scheduled(&subject, id, &event, &[here, there]).await;
    hears(&mut at_second, there).await;
    let held = second.hold_items(id, subject.now(), 10).await.expect("holds");
    assert_eq!(held, 2);
    let mut at_second = second.arrivals();
    second.release_items(id, Release::Held, subject.now(), 10).await.expect("releases");
    hears(&mut at_first, here).await;
    first.hold_items(id, subject.now(), 10).await.expect("holds");
    first.release_items(id, Release::Heads, subject.now(), 10).await.expect("releases");
    hears(&mut at_second, there).await;
}

pub async fn who_sends_meta_events_hears_of_those_of_another_store(subject: Subject) {
    let (first, second) = two(&subject).await;
    let theirs = loop {
        let project_id = subject.mint();
        if second.holding().borrow().owns(Shard::of(project_id)) {
            break MetaEvent { project_id, ..super::meta_events::told(&subject) };
        }
    };
    let mut written = second.meta_events_written();
    written.mark_unchanged();
    first.write(Vec::new(), vec![theirs.clone()]).await.expect("writes");
    tokio::time::timeout(PATIENCE, written.changed()).await.expect("is told").expect("the store lives");
    let due = second.meta_events_due(theirs.project_id, subject.now(), 9).await.expect("reads");
    assert_eq!(due, [theirs]);
}

pub async fn a_large_fan_out_is_for_who_owns_its_event(subject: Subject) {
    let (first, second) = two(&subject).await;
    let mut heard = second.arrivals();
    let theirs = loop {
        let item = super::fan_out::large(&subject);
        if second.holding().borrow().owns(Shard::of(item.event.id)) {
            break item;
        }
    };
    let event = theirs.event.id;
    first.commit(vec![theirs], ROUTED_AT).await.expect("commits");
    let told = async { while heard.next().await != Arrival::FanOuts {} };
    tokio::time::timeout(PATIENCE, told).await.expect("is told");
    assert!(first.next_part(9).await.expect("reads").is_none());
    assert!(first.part(event, 9).await.expect("reads").is_none());
    let part = second.next_part(9).await.expect("reads").expect("is theirs");
    assert_eq!(part.event.id, event);
    // A shard that changed hands in between: both have read it.
    let (here, there) = tokio::join!(first.unfold(&part), second.unfold(&part));
    assert_ne!(here.expect("writes"), there.expect("writes"), "one of them wrote it");
    let owner = if first.holding().borrow().owns(Shard::of(ENDPOINT)) { &first } else { &second };
    let due = owner.due(ENDPOINT, Class::Live, super::subject::FOREVER, 99).await.expect("reads");
    assert_eq!(due.len(), 7, "all of it, each once");
}
