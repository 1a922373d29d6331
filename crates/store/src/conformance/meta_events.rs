//! Meta events: written with what they tell of or not at all, due until they are settled, kept as events are.

use super::Subject;
use super::catalog::{endpoint, organisation, project};
use super::subject::{ALL, DOWN, ENDPOINT, FOREVER, OTHER_PROJECT, PROJECT, UP, discard};
use crate::roles::{Dropped, META_EVENTS_MAX, Page, Report, Window};
use bytes::Bytes;
use dacapo_model::replay::{Asker, AskerKind, State};
use dacapo_model::retry::{Kind, Policy};
use dacapo_model::{Id, MetaEvent, Status};
use std::time::Duration;

const SYSTEM: Asker = Asker { kind: AskerKind::System, id: None };

/// One of [`PROJECT`], as it is made.
pub fn told(subject: &Subject) -> MetaEvent {
    let at = subject.now();
    MetaEvent {
        id: subject.mint(),
        project_id: PROJECT,
        event_type: "endpoint.created".to_owned(),
        body: Bytes::from_static("{\"event_type\":\"endpoint.created\",\"data\":\"\u{1F984}\\u0000\"}".as_bytes()),
        policy: Policy { kind: Kind::Exponential, interval_s: 7, limit: 3 },
        status: Status::Scheduled,
        attempts: 0,
        due_at: at,
        created_at: at,
        updated_at: at,
        last: None,
    }
}

/// The same, in the store.
pub async fn kept(subject: &Subject) -> MetaEvent {
    kept_as(subject, told(subject)).await
}

async fn kept_as(subject: &Subject, told: MetaEvent) -> MetaEvent {
    subject.store().write(Vec::new(), vec![told.clone()]).await.expect("writes");
    told
}

/// After its next attempt.
fn sent(subject: &Subject, before: &MetaEvent, status: Status) -> MetaEvent {
    let made = subject.attempted(&super::subject::born(&subject.event(&[ENDPOINT]), 0), Status::Failure);
    let mut attempt = made.attempt.expect("was made");
    (attempt.delivery_id, attempt.number) = (before.id, before.attempts + 1);
    let due_at = subject.now().plus(Duration::from_secs(5));
    let (attempts, updated_at) = (attempt.number, subject.now());
    MetaEvent { status, attempts, due_at, updated_at, last: Some(attempt), ..before.clone() }
}

async fn all(subject: &Subject) -> Vec<Id> {
    let found = subject.store().meta_events(PROJECT, Window::default(), UP).await.expect("reads");
    found.iter().map(|told| told.id).collect()
}

async fn shown(subject: &Subject, id: Id) -> Option<MetaEvent> {
    subject.store().meta_event(PROJECT, id).await.expect("reads")
}

async fn due(subject: &Subject) -> Vec<Id> {
    let found = subject.store().meta_events_due(PROJECT, subject.now(), ALL).await.expect("reads");
    found.iter().map(|told| told.id).collect()
}

/// Looked at after a crash.
pub async fn what_is_told_of_a_change_is_written_with_it(mut subject: Subject) {
    let (first, second) = (told(&subject), told(&subject));
    let changes = vec![organisation("o"), project(PROJECT), endpoint(ENDPOINT, "one")];
    subject.store().write(changes, vec![first.clone(), second.clone()]).await.expect("writes");
    subject.crash().await;
    assert_eq!(shown(&subject, first.id).await, Some(first.clone()));
    assert_eq!(all(&subject).await, [first.id, second.id]);
    assert_eq!(due(&subject).await, [first.id, second.id]);
    assert_eq!(subject.store().load().await.expect("loads").rows.len(), 3);
}

pub async fn an_outcome_is_told_once(mut subject: Subject) {
    let (fresh, longer) = (subject.fresh().await, subject.fresh().await);
    let telling = |report: Report| Report { meta_event: Some(Box::new(told(&subject))), ..report };
    let delivered = telling(subject.attempted(&fresh, Status::Success));
    let retry = subject.attempted(&longer, Status::Retry);
    subject.record([delivered.clone(), retry.clone()]).await;
    let failed = telling(subject.attempted(&retry.delivery, Status::Failure));
    let ids = [&delivered, &failed].map(|report| report.meta_event.as_ref().expect("is told").id);
    subject.record([failed.clone()]).await;
    assert_eq!(all(&subject).await, ids);
    // An answer that was lost: all of it again, as it was or made anew.
    for again in [[delivered.clone(), failed.clone()], [telling(delivered), telling(failed)]] {
        subject.record(again).await;
    }
    subject.crash().await;
    assert_eq!(all(&subject).await, ids);
}

pub async fn what_settles_nothing_tells_nothing(subject: Subject) {
    let telling = |report: Report| Report { meta_event: Some(Box::new(told(&subject))), ..report };
    let (waits, done) = (subject.fresh().await, subject.settled(Status::Success).await);
    subject.record([telling(subject.attempted(&waits, Status::Retry)), telling(discard(&done))]).await;
    assert_eq!(all(&subject).await, []);
}

pub async fn a_change_of_a_replay_that_came_late_tells_nothing(subject: Subject) {
    let id = super::replays::running(&subject).await;
    let replay = subject.store().replay_by_id(PROJECT, id).await.expect("reads").expect("is there");
    let cancelled = replay.control.to(State::Cancelled, subject.now(), &SYSTEM).expect("an arrow");
    let steer = async |told: MetaEvent| {
        let (store, control) = (subject.store(), cancelled.clone());
        store.steer(id, replay.revision, control, true, Some(told)).await.expect("answers").is_some()
    };
    let (first, second) = (told(&subject), told(&subject));
    assert!(steer(first.clone()).await);
    assert!(!steer(second).await);
    assert_eq!(all(&subject).await, [first.id]);
}

pub async fn they_are_due_earliest_first_and_no_sooner(subject: Subject) {
    let at = |seconds| subject.now().plus(Duration::from_secs(seconds));
    let mut ids = Vec::new();
    for (seconds, project_id) in [(3, PROJECT), (1, PROJECT), (2, OTHER_PROJECT), (2, PROJECT)] {
        let told = MetaEvent { due_at: at(seconds), project_id, ..told(&subject) };
        ids.push(kept_as(&subject, told).await.id);
    }
    let store = subject.store();
    let due = async |project, until, limit| {
        let found = store.meta_events_due(project, until, limit).await.expect("reads");
        found.iter().map(|told| told.id).collect::<Vec<_>>()
    };
    assert_eq!(due(PROJECT, at(0), ALL).await, []);
    assert_eq!(due(PROJECT, at(2), ALL).await, [ids[1], ids[3]]);
    assert_eq!(due(PROJECT, FOREVER, 2).await, [ids[1], ids[3]]);
    assert_eq!(due(OTHER_PROJECT, FOREVER, ALL).await, [ids[2]]);
    let owed = async || store.meta_events_owed().await.expect("reads");
    assert_eq!(owed().await, [(PROJECT, at(1)), (OTHER_PROJECT, at(2))]);
    for id in [ids[1], ids[2]] {
        let project = if id == ids[2] { OTHER_PROJECT } else { PROJECT };
        let before = store.meta_event(project, id).await.expect("reads").expect("is there");
        assert!(store.record_meta_event(sent(&subject, &before, Status::Success), 0).await.expect("records"));
    }
    assert_eq!(owed().await, [(PROJECT, at(2))]);
}

pub async fn an_attempt_is_recorded_once(mut subject: Subject) {
    let before = kept(&subject).await;
    let retry = sent(&subject, &before, Status::Retry);
    assert!(subject.store().record_meta_event(retry.clone(), 0).await.expect("records"));
    let late = sent(&subject, &before, Status::Success);
    assert!(!subject.store().record_meta_event(late, 0).await.expect("answers"), "somebody else was first");
    subject.crash().await;
    assert_eq!(shown(&subject, before.id).await, Some(retry.clone()));
    assert_eq!(due(&subject).await, []);
    subject.advance_ms(5_000);
    assert_eq!(due(&subject).await, [before.id]);
    let done = sent(&subject, &retry, Status::Success);
    assert!(subject.store().record_meta_event(done.clone(), 1).await.expect("records"));
    assert_eq!((shown(&subject, before.id).await, due(&subject).await), (Some(done), Vec::new()));
    let unknown = MetaEvent { id: subject.mint(), ..retry };
    assert!(!subject.store().record_meta_event(unknown, 0).await.expect("answers"));
}

pub async fn a_resend_makes_it_due_whatever_became_of_it(mut subject: Subject) {
    let before = kept(&subject).await;
    for (seen, status) in [Status::Retry, Status::Success, Status::Failure, Status::Discarded].into_iter().enumerate() {
        let now = shown(&subject, before.id).await.expect("is there");
        let after = sent(&subject, &now, status);
        let seen = u32::try_from(seen).expect("few");
        assert!(subject.store().record_meta_event(after.clone(), seen).await.expect("records"));
        assert_eq!(due(&subject).await, [], "{status:?}");
        subject.advance_ms(1);
        let at = subject.now();
        let resent = subject.store().resend_meta_event(PROJECT, before.id, at).await.expect("answers");
        assert_eq!(resent, Some(MetaEvent { status: Status::Scheduled, due_at: at, updated_at: at, ..after }));
        subject.crash().await;
        assert_eq!(shown(&subject, before.id).await, resent);
        assert_eq!(due(&subject).await, [before.id], "{status:?}");
    }
    for (project, id) in [(OTHER_PROJECT, before.id), (PROJECT, subject.mint())] {
        let resent = subject.store().resend_meta_event(project, id, subject.now()).await.expect("answers");
        assert_eq!(resent, None);
    }
}

pub async fn meta_events_are_listed_by_age_within_a_window(subject: Subject) {
    let (mut ids, mut times) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        times.push(subject.now());
        ids.push(kept(&subject).await.id);
        subject.advance_ms(10);
    }
    kept_as(&subject, MetaEvent { project_id: OTHER_PROJECT, ..told(&subject) }).await;
    let list = async |project, window, page| {
        let found = subject.store().meta_events(project, window, page).await.expect("reads");
        found.iter().map(|told| told.id).collect::<Vec<_>>()
    };
    let reversed: Vec<Id> = ids.iter().rev().copied().collect();
    assert_eq!(list(PROJECT, Window::default(), DOWN).await, reversed);
    let page = Page { limit: 2, from: Some(ids[3]), ascending: false };
    assert_eq!(list(PROJECT, Window::default(), page).await, [ids[3], ids[2]]);
    assert_eq!(list(PROJECT, Window::default(), Page { ascending: true, ..page }).await, [ids[3], ids[4]]);
    let window = Window { from: Some(times[1]), to: Some(times[3]) };
    assert_eq!(list(PROJECT, window, UP).await, ids[1..=3]);
    assert_eq!(list(PROJECT, Window { from: Some(subject.now()), to: None }, UP).await, []);
    assert_eq!(list(OTHER_PROJECT, Window::default(), UP).await.len(), 1);
    assert_eq!(subject.store().meta_event(OTHER_PROJECT, ids[0]).await.expect("reads"), None);
    let near = Id::from_parts(ids[0].order(), ids[0].tail() ^ 1);
    assert_eq!(shown(&subject, near).await, None);
}

pub async fn they_are_kept_as_long_as_events_and_until_they_are_sent(subject: Subject) {
    let (done, owed) = (kept(&subject).await, kept(&subject).await);
    let after = sent(&subject, &done, Status::Success);
    assert!(subject.store().record_meta_event(after, 0).await.expect("records"));
    subject.advance_ms(1);
    let cutoff = subject.now();
    let young = kept(&subject).await;
    let after = sent(&subject, &young, Status::Failure);
    assert!(subject.store().record_meta_event(after, 0).await.expect("records"));
    let drop = async || subject.store().drop_before(cutoff, ALL).await.expect("drops");
    let dropped = drop().await;
    assert_eq!(dropped, Dropped { meta_events: 1, ..Dropped::default() });
    assert!(dropped.is_something() && !drop().await.is_something());
    assert_eq!(all(&subject).await, [owed.id, young.id]);
}

/// However many there are, nobody waits long for the call.
pub async fn a_call_drops_so_many_of_them(subject: Subject) {
    let more = 3;
    let settled = |_| MetaEvent { status: Status::Success, ..told(&subject) };
    let many: Vec<MetaEvent> = (0..META_EVENTS_MAX + more).map(settled).collect();
    subject.store().write(Vec::new(), many).await.expect("writes");
    let mut dropped = Vec::new();
    loop {
        match subject.store().drop_before(FOREVER, ALL).await.expect("drops") {
            one if one.is_something() => dropped.push(one.meta_events),
            _ => break,
        }
    }
    assert_eq!(dropped, [META_EVENTS_MAX as u64, more as u64]);
}

pub async fn who_sends_hears_of_each_way_in(subject: Subject) {
    let mut written = subject.store().meta_events_written();
    written.mark_unchanged();
    let mut heard = |what| {
        assert!(written.has_changed().expect("the store lives"), "{what}");
        written.mark_unchanged();
    };
    let before = kept(&subject).await;
    heard("a change");
    let fresh = subject.fresh().await;
    let report = subject.attempted(&fresh, Status::Success);
    subject.record([Report { meta_event: Some(Box::new(told(&subject))), ..report }]).await;
    heard("an outcome");
    let id = super::replays::running(&subject).await;
    let replay = subject.store().replay_by_id(PROJECT, id).await.expect("reads").expect("is there");
    let control = super::replays::paused(&replay, subject.now());
    let steered = subject.store().steer(id, replay.revision, control, true, Some(told(&subject))).await;
    assert!(steered.expect("steers").is_some());
    heard("a replay");
    subject.store().resend_meta_event(PROJECT, before.id, subject.now()).await.expect("resends");
    heard("a resend");
}
