//! `Retention`: only what is old and owed to nobody, a bounded piece at a time.

use super::Subject;
use super::subject::{ALL, DOWN, ENDPOINT, ENDPOINT_2, FOREVER, PROJECT, UP, born, target};
use crate::roles::{Committed, DeliveryFilter, Dropped, EventFilter, NewReplay};
use dacapo_model::{Event, Id, Status, Timestamp};

async fn drop_before(subject: &Subject, cutoff: Timestamp, limit: usize) -> Dropped {
    subject.store().drop_before(cutoff, limit).await.expect("drops")
}

fn dropped(events: u64, deliveries: u64, attempts: u64) -> Dropped {
    Dropped { events, deliveries, attempts, ..Dropped::default() }
}

async fn kept(subject: &Subject) -> Vec<Id> {
    subject.events(EventFilter::default(), UP).await
}

pub async fn only_what_is_old_goes(mut subject: Subject) {
    let old = subject.settled(Status::Success).await;
    let longer = subject.attempted(&subject.fresh().await, Status::Retry);
    subject.record([longer.clone()]).await;
    subject.record([subject.attempted(&longer.delivery, Status::Failure)]).await;
    subject.advance_ms(1);
    let cutoff = subject.now();
    let young = subject.settled(Status::Success).await;
    assert_eq!(drop_before(&subject, cutoff, ALL).await, dropped(2, 2, 3));
    for _ in 0..2 {
        assert_eq!(kept(&subject).await, [young.event_id]);
        assert_eq!(subject.deliveries(DeliveryFilter::default(), DOWN).await, [young.id]);
        assert_eq!(subject.shown(old.id).await, None);
        assert_eq!(subject.attempts(longer.delivery.id).await, []);
        assert_eq!(subject.attempts(young.id).await.len(), 1);
        assert_eq!(drop_before(&subject, cutoff, ALL).await, Dropped::default());
        subject.crash().await;
    }
}

pub async fn what_is_owed_stays_and_so_does_what_is_younger(mut subject: Subject) {
    let oldest = subject.settled(Status::Success).await;
    let retry = subject.attempted(&subject.fresh().await, Status::Retry);
    subject.record([retry.clone()]).await;
    let younger = subject.settled(Status::Success).await;
    subject.advance_ms(1);
    assert_eq!(drop_before(&subject, FOREVER, ALL).await.events, 1);
    assert_eq!(subject.shown(oldest.id).await, None);
    assert_eq!(kept(&subject).await, [retry.delivery.event_id, younger.event_id]);
    subject.crash().await;
    assert_eq!(subject.due_ids().await, [retry.delivery.id]);
    subject.record([subject.attempted(&retry.delivery, Status::Success)]).await;
    assert_eq!(drop_before(&subject, FOREVER, ALL).await, dropped(2, 2, 3));
    assert_eq!(kept(&subject).await, []);
}

pub async fn a_sibling_still_fresh_keeps_its_event(mut subject: Subject) {
    let event = subject.stored(&[ENDPOINT_2, ENDPOINT_2, ENDPOINT]).await;
    subject.record([0, 1].map(|index| subject.attempted(&born(&event, index), Status::Success))).await;
    assert_eq!(drop_before(&subject, FOREVER, ALL).await, Dropped::default());
    subject.crash().await;
    assert_eq!(subject.due_ids().await, [event.id.child(2)]);
    assert_eq!(drop_before(&subject, FOREVER, ALL).await, Dropped::default());
    assert_eq!(kept(&subject).await, [event.id]);
    subject.stored(&[]).await;
}

pub async fn a_replay_still_owed_keeps_its_event(subject: Subject) {
    let event = subject.stored(&[]).await;
    let younger = subject.settled(Status::Success).await;
    let id = subject.mint();
    let replay = NewReplay {
        project_id: PROJECT,
        event_id: event.id,
        replay_id: subject.mint(),
        targets: vec![(id, target(ENDPOINT))],
        idempotency: None,
        at: subject.now(),
        call: None,
    };
    subject.store().replay(replay).await.expect("replays");
    assert_eq!(drop_before(&subject, FOREVER, ALL).await, Dropped::default());
    assert_eq!(kept(&subject).await, [event.id, younger.event_id]);
    let waiting = subject.shown(id).await.expect("is there");
    subject.record([subject.attempted(&waiting, Status::Success)]).await;
    // The first event goes with its replay, which is younger than the second event.
    assert_eq!(drop_before(&subject, FOREVER, 1).await, dropped(1, 1, 1));
    assert_eq!(subject.deliveries(DeliveryFilter::default(), UP).await, [younger.id]);
}

pub async fn a_call_is_bounded(subject: Subject) {
    let mut all = Vec::new();
    for _ in 0..10 {
        all.push(subject.settled(Status::Success).await.event_id);
    }
    assert_eq!(drop_before(&subject, FOREVER, 0).await, Dropped::default());
    let mut left = 10;
    for expected in [4, 4, 2, 0] {
        assert_eq!(drop_before(&subject, FOREVER, 4).await.events, expected);
        left -= expected as usize;
        assert_eq!(kept(&subject).await, all[10 - left..], "the oldest go first");
    }
}

pub async fn a_key_goes_with_its_event(subject: Subject) {
    let keyed = || Event { idempotency_key: "k".to_owned(), ..subject.event(&[]) };
    subject.stored_as(keyed()).await;
    drop_before(&subject, FOREVER, ALL).await;
    assert_eq!(subject.store().event_by_idempotency_key(PROJECT, "k").await.expect("reads"), None);
    subject.stored_as(keyed()).await;
}

pub async fn a_duplicate_takes_no_key_along(subject: Subject) {
    let keyed = || Event { idempotency_key: "k".to_owned(), ..subject.event(&[]) };
    let (duplicate, first) = (keyed(), keyed());
    subject.stored_as(first.clone()).await;
    assert_eq!(subject.commit([duplicate.clone()]).await, [Committed::Duplicate { first: first.id }]);
    assert_eq!(drop_before(&subject, FOREVER, 1).await.events, 1);
    assert_eq!(kept(&subject).await, [first.id]);
    assert_eq!(subject.commit([keyed()]).await, [Committed::Duplicate { first: first.id }]);
}
