//! `Replays`: items once, counts that follow them, states that hold.

use super::catalog::{endpoint, organisation, project};
use super::subject::{
    ALL, DOWN, ENDPOINT, ENDPOINT_2, ENDPOINT_3, OTHER_PROJECT, PROJECT, START, UP, born, ids, target, target_discarded,
};
use super::{Subject, fan_out};
use crate::roles::{
    DeliveryFilter, HELD_UNTIL, ItemPage, NewReplayRun, OpenItems, Page, Release, ReplayCreated, ResendKind, Scheduled,
};
use dacapo_model::delivery::Reason;
use dacapo_model::event::{FanOut, Target};
use dacapo_model::replay::{Asker, AskerKind, Control, Definition, Options, Progress, Sends, State};
use dacapo_model::{Class, Delivery, Event, Id, Replay, SetMode, Status, Trigger};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const SYSTEM: Asker = Asker { kind: AskerKind::System, id: None };
/// More than any of these tests opens, unless it is about that.
const MANY: u64 = 100;

fn definition(subject: &Subject) -> Definition {
    let parts = json!({"mode": "failed", "first": Id::MIN, "last": Id::MAX, "high_water": Id::MAX});
    Definition {
        name: "after the outage".to_owned(),
        reason: "\"quoted\" \u{1F984}".to_owned(),
        asked_by: SYSTEM,
        created_at: subject.now(),
        selector: json!({"from": "-1h"}),
        frozen: serde_json::from_value(parts).expect("a frozen selector"),
        mode: SetMode::Failed,
        options: Options::default(),
        matched: Some(7),
        sends: Some(Sends { all: 6, busiest: 4 }),
    }
}

fn new(subject: &Subject) -> NewReplayRun {
    let definition = definition(subject);
    NewReplayRun {
        id: subject.mint(),
        project_id: PROJECT,
        control: Control::new(&definition.options),
        definition,
        key: None,
        open_max: MANY,
    }
}

async fn created(subject: &Subject) -> Id {
    let new = new(subject);
    let id = new.id;
    assert_eq!(subject.store().create_replay(new).await.expect("creates"), ReplayCreated::New);
    id
}

async fn shown(subject: &Subject, id: Id) -> Replay {
    subject.store().replay_by_id(PROJECT, id).await.expect("reads").expect("is there")
}

async fn become_state(subject: &Subject, id: Id, state: State) -> Replay {
    let replay = shown(subject, id).await;
    let control = replay.control.to(state, subject.now(), &SYSTEM).expect("an arrow");
    let open = state != State::Completed;
    subject.store().steer(id, replay.revision, control, open, None).await.expect("steers").expect("nobody was first");
    shown(subject, id).await
}

pub async fn running(subject: &Subject) -> Id {
    let id = created(subject).await;
    become_state(subject, id, State::Running).await;
    id
}

/// Its control when somebody pauses it.
pub fn paused(replay: &Replay, at: dacapo_model::Timestamp) -> Control {
    replay.control.to(State::Paused, at, &SYSTEM).expect("an arrow")
}

/// An item that waits for its turn.
pub fn held(subject: &Subject, replay: Id, event: &Event, endpoint: Id) -> Delivery {
    Delivery { due_at: HELD_UNTIL, ..item_for(subject, replay, event, &target(endpoint)) }
}

/// The page after so many.
pub async fn schedule_page(subject: &Subject, replay: Id, after: u64, items: Vec<Delivery>) {
    assert_ne!(schedule(subject, page(replay, after, items)).await, Scheduled::Void);
}

/// Its first page: the event to each of these.
pub async fn scheduled(subject: &Subject, replay: Id, event: &Event, endpoints: &[Id]) {
    let items = endpoints.iter().map(|endpoint| item_for(subject, replay, event, &target(*endpoint))).collect();
    schedule(subject, page(replay, 0, items)).await;
}

fn item_for(subject: &Subject, replay: Id, event: &Event, target: &Target) -> Delivery {
    target.delivery(event, subject.mint(), Trigger::Replay, Some(replay), subject.now())
}

fn page(replay: Id, after: u64, items: Vec<Delivery>) -> ItemPage {
    let progress = Progress { cursor: Some(Id::from_u128(5)), scanned: 9, ..Progress::default() };
    ItemPage { replay, after, progress, items }
}

async fn schedule(subject: &Subject, page: ItemPage) -> Scheduled {
    subject.store().schedule(page).await.expect("schedules")
}

/// In several states, with items that wait, are held and are settled, and a key. For tests of other things.
pub async fn some(subject: &Subject) {
    for n in 0..4 {
        let id = running(subject).await;
        let event = subject.stored(&[ENDPOINT]).await;
        let items = vec![
            item_for(subject, id, &event, &target(ENDPOINT)),
            item_for(subject, id, &event, &target(ENDPOINT_2)),
            item_for(subject, id, &event, &target_discarded(ENDPOINT_3, Reason::AlreadyDelivered)),
        ];
        schedule(subject, page(id, 0, items.clone())).await;
        subject.record([subject.attempted(&items[0], Status::Failure)]).await;
        if n > 1 {
            become_state(subject, id, State::Paused).await;
            subject.store().hold_items(id, subject.now(), ALL).await.expect("holds");
        }
    }
    let keyed = NewReplayRun { key: Some(("k".to_owned(), [7; 32])), ..new(subject) };
    subject.store().create_replay(keyed).await.expect("creates");
}

pub async fn what_was_asked_for_reads_back(mut subject: Subject) {
    let new = new(&subject);
    let (id, asked) = (new.id, new.definition.clone());
    subject.store().create_replay(new).await.expect("creates");
    subject.crash().await;
    let replay = shown(&subject, id).await;
    assert_eq!(replay.definition, asked);
    assert_eq!((replay.control.state, replay.page, replay.progress), (State::Planned, 0, Progress::default()));
    assert!(replay.counts.0.is_empty());
    assert_eq!(subject.store().replay_by_id(OTHER_PROJECT, id).await.expect("reads"), None);
    assert_eq!(subject.store().replay_by_id(PROJECT, subject.mint()).await.expect("reads"), None);
}

pub async fn a_page_is_written_once(mut subject: Subject) {
    let id = running(&subject).await;
    let event = subject.stored(&[ENDPOINT]).await;
    let items = vec![
        item_for(&subject, id, &event, &target(ENDPOINT)),
        item_for(&subject, id, &event, &target(ENDPOINT_2)),
        item_for(&subject, id, &event, &target_discarded(ENDPOINT_3, Reason::AlreadyDelivered)),
    ];
    let written = schedule(&subject, page(id, 0, items.clone())).await;
    assert_eq!(written, Scheduled::Written { items: 3, gone: 0 });
    for _ in 0..2 {
        // The same page by who did not hear the answer, with other ids.
        let again = items.iter().map(|item| Delivery { id: subject.mint(), ..item.clone() }).collect();
        assert_eq!(schedule(&subject, page(id, 0, again)).await, Scheduled::Void);
        subject.crash().await;
    }
    let replay = shown(&subject, id).await;
    assert_eq!((replay.page, replay.progress.items, replay.progress.scanned), (1, 3, 9));
    assert_eq!(replay.progress.cursor, Some(Id::from_u128(5)));
    assert_eq!((replay.counts.settled(), replay.counts.with_reason(Reason::AlreadyDelivered)), (1, 1));
    assert_eq!(ids(&subject.due(ENDPOINT, Class::Replay).await), [items[0].id]);
    let filter = DeliveryFilter { replay: Some(id), ..DeliveryFilter::default() };
    let all: Vec<Id> = items.iter().map(|item| item.id).collect();
    assert_eq!(subject.deliveries(filter.clone(), UP).await, all);
    let second = Page { limit: 1, from: Some(all[1]), ascending: false };
    assert_eq!(subject.deliveries(filter.clone(), second).await, [all[1]]);
    let discarded = DeliveryFilter { statuses: vec![Status::Discarded], ..filter };
    assert_eq!(subject.deliveries(discarded, DOWN).await, [all[2]]);
}

pub async fn how_fast_it_is_is_written_down_without_items(mut subject: Subject) {
    let id = running(&subject).await;
    let event = subject.stored(&[ENDPOINT]).await;
    schedule(&subject, page(id, 0, vec![item_for(&subject, id, &event, &target(ENDPOINT))])).await;
    let before = shown(&subject, id).await;
    let marks = before.progress.marks.with(before.revision, 0, subject.now(), true).expect("the first one");
    let progress = Progress { marks, ..before.progress.clone() };
    let page = ItemPage { replay: id, after: before.page, progress: progress.clone(), items: Vec::new() };
    assert_eq!(schedule(&subject, page).await, Scheduled::Written { items: 0, gone: 0 });
    subject.crash().await;
    let after = shown(&subject, id).await;
    assert_eq!((after.waiting(), after.revision), (1, before.revision));
    assert_eq!((after.page, after.progress), (2, progress));
}

pub async fn only_what_runs_takes_items(subject: Subject) {
    let event = subject.stored(&[ENDPOINT]).await;
    let id = created(&subject).await;
    let item = item_for(&subject, id, &event, &target(ENDPOINT));
    assert_eq!(schedule(&subject, page(id, 0, vec![item.clone()])).await, Scheduled::Void, "planned");
    for state in [State::Running, State::Paused, State::Cancelled] {
        become_state(&subject, id, state).await;
        if state != State::Running {
            assert_eq!(schedule(&subject, page(id, 0, vec![item.clone()])).await, Scheduled::Void, "{state:?}");
        }
    }
    let unknown = page(subject.mint(), 0, vec![item]);
    assert_eq!(schedule(&subject, unknown).await, Scheduled::Void);
    assert!(subject.due(ENDPOINT, Class::Replay).await.is_empty());
}

pub async fn an_event_that_is_gone_gives_no_item(subject: Subject) {
    let id = running(&subject).await;
    let (kept, foreign) = (subject.stored(&[ENDPOINT]).await, subject.event(&[ENDPOINT]));
    let items = vec![
        item_for(&subject, id, &foreign, &target(ENDPOINT)),
        item_for(&subject, id, &kept, &target(ENDPOINT)),
        item_for(&subject, id, &foreign, &target_discarded(ENDPOINT, Reason::EndpointDeleted)),
    ];
    assert_eq!(schedule(&subject, page(id, 0, items)).await, Scheduled::Written { items: 1, gone: 2 });
    let replay = shown(&subject, id).await;
    assert_eq!((replay.progress.items, replay.progress.gone, replay.counts.settled()), (1, 2, 0));
}

pub async fn an_event_nobody_matched_has_matched(subject: Subject) {
    let id = running(&subject).await;
    let event = subject.stored(&[]).await;
    schedule(&subject, page(id, 0, vec![item_for(&subject, id, &event, &target(ENDPOINT))])).await;
    let shown = subject.store().event(PROJECT, event.id).await.expect("reads").expect("is there");
    assert_eq!(shown.fan_out, FanOut::Success);
}

pub async fn counts_follow_the_items(mut subject: Subject) {
    let id = running(&subject).await;
    let event = subject.stored(&[ENDPOINT]).await;
    let items: Vec<Delivery> = (0..4).map(|_| item_for(&subject, id, &event, &target(ENDPOINT))).collect();
    schedule(&subject, page(id, 0, items.clone())).await;
    let reports = [
        subject.attempted(&items[0], Status::Success),
        subject.attempted(&items[1], Status::Failure),
        subject.attempted(&items[2], Status::Retry),
    ];
    subject.record(reports.clone()).await;
    // The same again, after an unclear failure.
    subject.record(reports.clone()).await;
    subject.crash().await;
    let counted = shown(&subject, id).await;
    assert_eq!((counted.counts.of(Status::Success), counted.counts.of(Status::Failure)), (1, 1));
    assert_eq!((counted.counts.with_reason(Reason::RetryLimit), counted.waiting()), (1, 2));
    subject.store().resend(subject.resend(vec![items[1].id], ResendKind::Failed)).await.expect("resends");
    assert_eq!((shown(&subject, id).await.counts.of(Status::Failure), shown(&subject, id).await.waiting()), (0, 3));
    let again = subject.shown(items[1].id).await.expect("is there");
    subject.record([subject.attempted(&again, Status::Success)]).await;
    assert_eq!(shown(&subject, id).await.counts.of(Status::Success), 2);
    // A single call's deliveries are of no replay that is counted.
    assert_eq!(subject.store().replays_among(vec![subject.mint()]).await.expect("reads"), []);
}

pub async fn held_items_are_not_due(mut subject: Subject) {
    let id = running(&subject).await;
    let event = subject.stored(&[ENDPOINT]).await;
    let items: Vec<Delivery> = (0..3).map(|_| item_for(&subject, id, &event, &target(ENDPOINT))).collect();
    schedule(&subject, page(id, 0, items.clone())).await;
    let retry = subject.attempted(&items[2], Status::Retry);
    subject.record([retry.clone()]).await;
    let (store, now) = (subject.store(), subject.now());
    assert_eq!(store.open_items(id).await.expect("reads"), OpenItems { all: 3, fresh: 2, held: 0 });
    assert_eq!(store.hold_items(id, now, 1).await.expect("holds"), 1);
    assert_eq!(store.hold_items(id, now, ALL).await.expect("holds"), 1, "the retry is not due");
    drop(store);
    subject.crash().await;
    let store = subject.store();
    assert_eq!(store.open_items(id).await.expect("reads"), OpenItems { all: 3, fresh: 0, held: 2 });
    let until = HELD_UNTIL.minus(Duration::from_micros(1));
    let due = store.due(ENDPOINT, Class::Replay, until, ALL).await.expect("reads");
    assert_eq!(due.iter().map(|waiting| waiting.delivery.id).collect::<Vec<_>>(), [items[2].id]);
    let released = store.release_items(id, Release::Held, now, 1).await.expect("releases");
    assert_eq!((released.items, released.endpoints), (1, vec![ENDPOINT]));
    let due = store.due(ENDPOINT, Class::Replay, now, ALL).await.expect("reads");
    assert_eq!(due.iter().map(|waiting| waiting.delivery.id).collect::<Vec<_>>(), [items[0].id], "oldest first");
    let released = store.release_items(id, Release::Everything, now, ALL).await.expect("releases");
    assert_eq!(released.items, 2, "the one that is held and the one that waits for a retry");
    assert_eq!(store.due(ENDPOINT, Class::Replay, now, ALL).await.expect("reads").len(), 3);
    let nothing = store.release_items(id, Release::Everything, now, ALL).await.expect("releases");
    assert_eq!((nothing.items, nothing.endpoints), (0, Vec::new()));
}

/// Whatever else is said of it: one engine packs the mark of a resend behind numbers of different lengths.
pub async fn what_is_resent_by_hand_is_not_put_on_hold(subject: Subject) {
    let id = running(&subject).await;
    let event = subject.stored(&[ENDPOINT]).await;
    let mut items: Vec<Delivery> = (0..6).map(|_| item_for(&subject, id, &event, &target(ENDPOINT))).collect();
    for (item, interval_s) in items.iter_mut().zip([0, 127, 128, 300, 70_000, u32::MAX]) {
        item.policy.interval_s = interval_s;
        item.policy.limit = 1 + interval_s / 2;
    }
    let resent: Vec<Id> = items.iter().map(|item| item.id).collect();
    let others: Vec<Delivery> = items.iter().map(|item| Delivery { id: subject.mint(), ..item.clone() }).collect();
    schedule(&subject, page(id, 0, items.iter().chain(&others).cloned().collect())).await;
    // Tried more often than fits into a byte, then given up.
    let given_up = items.iter().zip([1, 2, 127, 128, 129, 20_000]).map(|(item, attempts)| {
        subject.attempted(&Delivery { attempts: attempts - 1, ..item.clone() }, Status::Failure)
    });
    subject.record(given_up.collect::<Vec<_>>()).await;
    let answers = subject.store().resend(subject.resend(resent.clone(), ResendKind::Failed)).await.expect("resends");
    assert_eq!(answers.len(), resent.len());
    let (store, now) = (subject.store(), subject.now());
    assert_eq!(store.hold_items(id, now, ALL).await.expect("holds"), others.len() as u64);
    assert_eq!(ids_of(&subject, ENDPOINT, now).await, resent, "due as they were");
    // Tried, it waits for its retry as any other of the replay.
    let due = store.due(ENDPOINT, Class::Replay, now, ALL).await.expect("reads");
    let tried = subject.attempted(&due[0].delivery, Status::Retry);
    subject.record([tried.clone()]).await;
    assert_eq!(store.hold_items(id, tried.delivery.due_at, 1).await.expect("holds"), 1);
}

pub async fn heads_are_the_oldest_of_each_endpoint(subject: Subject) {
    let id = running(&subject).await;
    let mut items = Vec::new();
    for endpoint in [ENDPOINT, ENDPOINT_2, ENDPOINT, ENDPOINT_2] {
        let event = subject.stored(&[endpoint]).await;
        let held = Delivery { due_at: HELD_UNTIL, ..item_for(&subject, id, &event, &target(endpoint)) };
        items.push(held);
    }
    schedule(&subject, page(id, 0, items.clone())).await;
    let (store, now) = (subject.store(), subject.now());
    let heads = async || store.release_items(id, Release::Heads, now, ALL).await.expect("releases");
    assert_eq!((heads().await.items, heads().await.items), (2, 0), "once");
    let due = async |endpoint| ids_of(&subject, endpoint, now).await;
    assert_eq!((due(ENDPOINT).await, due(ENDPOINT_2).await), (vec![items[0].id], vec![items[1].id]));
    // The head waits for a retry: what follows it waits too.
    let head = subject.shown(items[0].id).await.expect("is there");
    subject.record([subject.attempted(&head, Status::Retry)]).await;
    assert_eq!(heads().await.items, 0);
    let head = subject.shown(items[0].id).await.expect("is there");
    subject.record([subject.attempted(&head, Status::Failure)]).await;
    let released = heads().await;
    assert_eq!((released.items, released.endpoints), (1, vec![ENDPOINT]));
    assert_eq!(due(ENDPOINT).await, [items[2].id]);
}

async fn ids_of(subject: &Subject, endpoint: Id, until: dacapo_model::Timestamp) -> Vec<Id> {
    let due = subject.store().due(endpoint, Class::Replay, until, ALL).await.expect("reads");
    due.iter().map(|waiting| waiting.delivery.id).collect()
}

pub async fn an_event_has_reached_whom_it_succeeded_at(subject: Subject) {
    let id = running(&subject).await;
    let event = subject.stored(&[ENDPOINT, ENDPOINT_2, ENDPOINT_3]).await;
    let neighbour = subject.stored(&[ENDPOINT_2]).await;
    subject
        .record([
            subject.attempted(&born(&event, 0), Status::Success),
            subject.attempted(&born(&event, 1), Status::Failure),
            subject.attempted(&born(&neighbour, 0), Status::Success),
        ])
        .await;
    let event = Arc::new(event);
    let neighbour = Arc::new(neighbour);
    let all = [ENDPOINT, ENDPOINT_2, ENDPOINT_3].map(|endpoint| (Arc::clone(&event), endpoint));
    let all: Vec<_> =
        all.into_iter().chain([ENDPOINT, ENDPOINT_2].map(|endpoint| (Arc::clone(&neighbour), endpoint))).collect();
    let reached = async || subject.store().have_reached(all.clone()).await.expect("reads");
    assert_eq!(reached().await, [true, false, false, false, true]);
    let item = item_for(&subject, id, &event, &target(ENDPOINT_2));
    schedule(&subject, page(id, 0, vec![item.clone()])).await;
    subject.record([subject.attempted(&item, Status::Success)]).await;
    assert_eq!(reached().await, [true, true, false, false, true], "by a replay");
    assert_eq!(subject.store().have_reached(Vec::new()).await.expect("reads"), [false; 0]);
}

pub async fn a_later_target_of_a_large_fan_out_is_reached_too(subject: Subject) {
    let large = fan_out::large_with(&subject, vec![target(ENDPOINT_2), target(ENDPOINT_3)]);
    let event = fan_out::stored(&subject, large).await;
    fan_out::finish(&subject).await;
    let asked = [ENDPOINT_2, ENDPOINT_3].map(|endpoint| (Arc::clone(&event), endpoint));
    let reached = async || subject.store().have_reached(asked.to_vec()).await.expect("reads");
    assert_eq!(reached().await, [false, false]);
    let due = subject.due(ENDPOINT_2, Class::Live).await;
    subject.record([subject.attempted(&due[0], Status::Success)]).await;
    assert_eq!(reached().await, [true, false]);
}

pub async fn a_key_finds_its_replay(mut subject: Subject) {
    let keyed = |subject: &Subject, fingerprint| {
        let new = new(subject);
        NewReplayRun { key: Some(("k".to_owned(), [fingerprint; 32])), ..new }
    };
    let first = keyed(&subject, 1);
    let id = first.id;
    assert_eq!(subject.store().create_replay(first).await.expect("creates"), ReplayCreated::New);
    subject.crash().await;
    let again = keyed(&subject, 1);
    assert_eq!(subject.store().create_replay(again).await.expect("creates"), ReplayCreated::Before(id));
    let found = subject.store().replay_by_key(PROJECT, "k".to_owned()).await.expect("reads");
    assert_eq!(found, Some((id, [1; 32])));
    assert_eq!(subject.store().replay_by_key(OTHER_PROJECT, "k".to_owned()).await.expect("reads"), None);
    let other = keyed(&subject, 2);
    assert_eq!(subject.store().create_replay(other).await.expect("creates"), ReplayCreated::Conflict);
    let foreign = NewReplayRun { project_id: OTHER_PROJECT, ..keyed(&subject, 2) };
    assert_eq!(subject.store().create_replay(foreign).await.expect("creates"), ReplayCreated::New);
    assert_eq!(subject.store().replays_of(PROJECT, Vec::new(), UP).await.expect("reads").len(), 1);
}

pub async fn so_many_may_be_open(subject: Subject) {
    let bounded = |subject: &Subject| NewReplayRun { open_max: 2, ..new(subject) };
    let mut made = Vec::new();
    for _ in 0..2 {
        let new = bounded(&subject);
        made.push(new.id);
        assert_eq!(subject.store().create_replay(new).await.expect("creates"), ReplayCreated::New);
    }
    let create = async || subject.store().create_replay(bounded(&subject)).await.expect("creates");
    assert_eq!(create().await, ReplayCreated::TooMany(2));
    become_state(&subject, made[0], State::Running).await;
    become_state(&subject, made[0], State::Completed).await;
    assert_eq!(create().await, ReplayCreated::New);
    let open = subject.store().open_replays().await.expect("reads");
    assert!(open.iter().all(|replay| replay.id != made[0]) && open.len() == 2);
    // One that was cancelled still has items to settle, and takes nobody's place.
    assert_eq!(create().await, ReplayCreated::TooMany(2));
    become_state(&subject, made[1], State::Cancelled).await;
    assert_eq!(create().await, ReplayCreated::New);
    let open = subject.store().open_replays().await.expect("reads");
    assert!(open.iter().any(|replay| replay.id == made[1]) && open.len() == 3);
}

pub async fn who_steers_has_seen_the_last_change(subject: Subject) {
    let id = created(&subject).await;
    let seen = shown(&subject, id).await;
    let running = become_state(&subject, id, State::Running).await;
    assert!(running.revision > seen.revision);
    let late = seen.control.to(State::Cancelled, subject.now(), &SYSTEM).expect("an arrow");
    assert_eq!(subject.store().steer(id, seen.revision, late, true, None).await.expect("steers"), None);
    assert_eq!(shown(&subject, id).await, running);
    // Whoever follows sees every change, the newest state of each, in order.
    let other = created(&subject).await;
    let changes = subject.store().replays_since(seen.revision).await.expect("reads");
    assert_eq!(changes.iter().map(|replay| replay.id).collect::<Vec<_>>(), [id, other]);
    assert!(subject.store().replays_since(changes[1].revision).await.expect("reads").is_empty());
    // A page of items is no change of this kind.
    let event = subject.stored(&[ENDPOINT]).await;
    schedule(&subject, page(id, 0, vec![item_for(&subject, id, &event, &target(ENDPOINT))])).await;
    assert_eq!(shown(&subject, id).await.revision, running.revision);
}

pub async fn replays_are_listed_by_age_and_state(subject: Subject) {
    let mut made = Vec::new();
    for _ in 0..5 {
        subject.advance_ms(1);
        made.push(created(&subject).await);
    }
    let foreign = NewReplayRun { project_id: OTHER_PROJECT, ..new(&subject) };
    subject.store().create_replay(foreign).await.expect("creates");
    let of = async |states: &[State], page| {
        let found = subject.store().replays_of(PROJECT, states.to_vec(), page).await.expect("reads");
        found.iter().map(|replay| replay.id).collect::<Vec<_>>()
    };
    let list = async |page| of(&[], page).await;
    assert_eq!(list(UP).await, made);
    assert_eq!(list(Page { limit: 2, from: Some(made[3]), ascending: false }).await, [made[3], made[2]]);
    assert_eq!(list(Page { limit: 2, from: Some(made[3]), ascending: true }).await, made[3..]);
    for (id, state) in [(made[1], State::Cancelled), (made[3], State::Paused)] {
        let seen = shown(&subject, id).await;
        let control = seen.control.to(state, subject.now(), &SYSTEM).expect("an arrow");
        subject.store().steer(id, seen.revision, control, true, None).await.expect("steers").expect("it was still so");
    }
    let first = shown(&subject, made[0]).await.control.state;
    assert_eq!(of(&[State::Cancelled], UP).await, [made[1]]);
    assert_eq!(of(&[State::Paused, State::Cancelled], Page { ascending: false, ..UP }).await, [made[3], made[1]]);
    assert_eq!(of(&[first], UP).await, [made[0], made[2], made[4]]);
    assert_eq!(of(&[State::Completed], UP).await, []);
    // A page goes on over those that are in none of them.
    assert_eq!(of(&[first], Page { limit: 2, from: Some(made[1]), ascending: true }).await, [made[2], made[4]]);
}

pub async fn an_endpoint_is_as_it_was(mut subject: Subject) {
    let at = |seconds| START.plus(Duration::from_secs(seconds));
    let named = |name: &str, seconds| {
        let dacapo_model::catalog::Change::Endpoint(endpoint) = endpoint(ENDPOINT, name) else { unreachable!() };
        let mut endpoint = Arc::unwrap_or_clone(endpoint);
        endpoint.created_at = at(1);
        endpoint.updated_at = at(seconds);
        dacapo_model::catalog::Change::Endpoint(Arc::new(endpoint))
    };
    let store = subject.store();
    store.write(vec![organisation("o"), project(PROJECT), named("first", 1)], Vec::new()).await.expect("writes");
    store.write(vec![named("second", 10)], Vec::new()).await.expect("writes");
    store.write(vec![named("third", 20)], Vec::new()).await.expect("writes");
    drop(store);
    subject.crash().await;
    let name = async |seconds| {
        let found = subject.store().endpoint_as_of(ENDPOINT, at(seconds)).await.expect("reads");
        found.map(|endpoint| endpoint.name)
    };
    for (seconds, expected) in [
        (0, None),
        (1, Some("first")),
        (9, Some("first")),
        (10, Some("second")),
        (19, Some("second")),
        (20, Some("third")),
        (99, Some("third")),
    ] {
        assert_eq!(name(seconds).await.as_deref(), expected, "at {seconds}");
    }
    assert_eq!(subject.store().endpoint_as_of(ENDPOINT_2, at(5)).await.expect("reads"), None);
}

pub async fn replays_are_kept_as_long_as_events(subject: Subject) {
    let (open, over) = (running(&subject).await, running(&subject).await);
    become_state(&subject, over, State::Completed).await;
    subject.advance_ms(10_000);
    let young = running(&subject).await;
    become_state(&subject, young, State::Completed).await;
    let cutoff = subject.now().minus(Duration::from_secs(5));
    subject.store().drop_before(cutoff, ALL).await.expect("drops");
    let left = subject.store().replays_of(PROJECT, Vec::new(), UP).await.expect("reads");
    assert_eq!(left.iter().map(|replay| replay.id).collect::<Vec<_>>(), [open, young]);
}

pub async fn a_waiting_item_keeps_its_event(subject: Subject) {
    let id = running(&subject).await;
    let event = subject.stored(&[ENDPOINT]).await;
    subject.record([subject.attempted(&born(&event, 0), Status::Failure)]).await;
    let held = Delivery { due_at: HELD_UNTIL, ..item_for(&subject, id, &event, &target(ENDPOINT)) };
    schedule(&subject, page(id, 0, vec![held.clone()])).await;
    subject.advance_ms(1_000);
    subject.store().drop_before(subject.now(), ALL).await.expect("drops");
    assert!(subject.store().event(PROJECT, event.id).await.expect("reads").is_some());
    subject.record([subject.attempted(&held, Status::Success)]).await;
    subject.store().drop_before(subject.now(), ALL).await.expect("drops");
    assert!(subject.store().event(PROJECT, event.id).await.expect("reads").is_none());
    let filter = DeliveryFilter { replay: Some(id), ..DeliveryFilter::default() };
    assert!(subject.deliveries(filter, UP).await.is_empty(), "items go with their events");
    assert_eq!(shown(&subject, id).await.counts.settled(), 1, "what came of it stays");
}
