//! `Query`: what is shown, and to whom. Filters have a file of their own, and so have pages.

mod filters;

pub use filters::*;

use super::Subject;
use super::subject::{ALL, ENDPOINT, OTHER_PROJECT, PROJECT, UP, born};
use crate::roles::{DeliveryFilter, EventFilter};
use bytes::Bytes;
use dacapo_model::{Delivery, Event, Id, Status};

/// A delivery in each kind of place: settled, waiting, fresh.
async fn one_of_each(subject: &Subject) -> [Delivery; 3] {
    let settled = subject.settled(Status::Success).await;
    let retry = subject.attempted(&subject.fresh().await, Status::Retry);
    subject.record([retry.clone()]).await;
    [settled, retry.delivery, subject.fresh().await]
}

pub async fn an_id_is_found_by_all_of_its_bits(subject: Subject) {
    for delivery in one_of_each(&subject).await {
        let store = subject.store();
        let (id, event) = (delivery.id, delivery.event_id);
        let view = store.delivery(PROJECT, id).await.expect("reads").expect("is there");
        assert_eq!((view.delivery, view.event.id), (delivery, event));
        assert_eq!(store.event(PROJECT, event).await.expect("reads").expect("is there").id, event);
        for guess in [Id::from_parts(id.order(), id.tail() ^ 1), Id::from_parts(id.order(), 0), event] {
            assert_eq!(subject.shown(guess).await, None);
            assert_eq!(store.attempts(PROJECT, guess, ALL).await.expect("reads"), []);
        }
        let guess = Id::from_parts(event.order(), event.tail() ^ 1);
        for guess in [guess, id, Id::MIN, Id::MAX] {
            assert_eq!(store.event(PROJECT, guess).await.expect("reads"), None);
            let of_guess = DeliveryFilter { event: Some(guess), ..Default::default() };
            assert_eq!(subject.deliveries(of_guess, UP).await, []);
        }
    }
    assert_eq!(subject.shown(Id::MAX).await, None);
}

pub async fn nothing_is_shown_to_another_project(subject: Subject) {
    let each = one_of_each(&subject).await;
    let keyed = subject.stored_as(Event { idempotency_key: "k".to_owned(), ..subject.event(&[]) }).await;
    let store = subject.store();
    for delivery in &each {
        assert!(store.delivery(OTHER_PROJECT, delivery.id).await.expect("reads").is_none());
        assert!(store.event(OTHER_PROJECT, delivery.event_id).await.expect("reads").is_none());
        assert!(store.attempts(OTHER_PROJECT, delivery.id, ALL).await.expect("reads").is_empty());
        let of_event = DeliveryFilter { event: Some(delivery.event_id), ..Default::default() };
        assert!(store.deliveries(OTHER_PROJECT, of_event, UP).await.expect("reads").is_empty());
    }
    let of_endpoint = DeliveryFilter { endpoints: vec![ENDPOINT], ..Default::default() };
    assert!(store.deliveries(OTHER_PROJECT, of_endpoint, UP).await.expect("reads").is_empty());
    assert!(store.deliveries(OTHER_PROJECT, DeliveryFilter::default(), UP).await.expect("reads").is_empty());
    assert!(store.events(OTHER_PROJECT, EventFilter::default(), UP).await.expect("reads").is_empty());
    assert_eq!(store.event_by_idempotency_key(OTHER_PROJECT, "k").await.expect("reads"), None);
    assert_eq!(store.event_by_idempotency_key(PROJECT, "k").await.expect("reads"), Some(keyed.id));
}

pub async fn a_key_finds_its_first_event(subject: Subject) {
    let store = subject.store();
    assert_eq!(store.event_by_idempotency_key(PROJECT, "k").await.expect("reads"), None);
    let keyed = || Event { idempotency_key: "k".to_owned(), ..subject.event(&[]) };
    let (first, second) = (keyed(), keyed());
    subject.commit([second.clone(), first]).await;
    assert_eq!(store.event_by_idempotency_key(PROJECT, "k").await.expect("reads"), Some(second.id));
    assert_eq!(store.event_by_idempotency_key(PROJECT, "").await.expect("reads"), None);
}

pub async fn attempts_are_the_newest_oldest_first(subject: Subject) {
    let event = subject.stored(&[ENDPOINT]).await;
    let mut delivery = born(&event, 0);
    for number in 1..=5u32 {
        let status = if number == 5 { Status::Success } else { Status::Retry };
        let report = subject.attempted(&delivery, status);
        subject.record([report.clone()]).await;
        delivery = report.delivery;
        let found = subject.attempts(delivery.id).await;
        assert_eq!(found.last(), report.attempt.as_ref());
        for limit in 0..=6u32 {
            let found = subject.store().attempts(PROJECT, delivery.id, limit as usize).await.expect("reads");
            let numbers: Vec<u32> = found.iter().map(|attempt| attempt.number).collect();
            let first = number.saturating_sub(limit) + 1;
            assert_eq!(numbers, (first..=number).collect::<Vec<_>>());
        }
    }
    let inline = subject.settled(Status::Success).await;
    assert_eq!(subject.store().attempts(PROJECT, inline.id, 0).await.expect("reads"), []);
    assert_eq!(subject.store().attempts(PROJECT, inline.id, 1).await.expect("reads").len(), 1);
}

pub async fn some_events_are_read_together(subject: Subject) {
    let mut own = Vec::new();
    for n in 0..3 {
        let data = Bytes::from(format!(r#"{{"n":{n}}}"#));
        own.push(subject.stored_as(Event { data, ..subject.event(&[ENDPOINT]) }).await);
    }
    let foreign = Event { project_id: OTHER_PROJECT, ..subject.event(&[ENDPOINT]) };
    subject.commit([foreign.clone()]).await;
    let asked = vec![own[2].id, foreign.id, subject.mint(), own[0].id];
    let mut found = subject.store().events_among(PROJECT, asked).await.expect("reads");
    found.sort_by_key(|event| event.id);
    assert_eq!(found.iter().map(|event| &**event).collect::<Vec<_>>(), [&own[0], &own[2]]);
    assert_eq!(subject.store().events_among(PROJECT, Vec::new()).await.expect("reads"), []);
}
