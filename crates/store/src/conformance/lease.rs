//! `Lease`: one owner, and an end.

use super::Subject;
use super::subject::{ENDPOINT, PROJECT, ROUTED_AT, UP, born};
use crate::StoreError;
use crate::roles::{DeliveryFilter, NewEvent, ResendKind};
use dacapo_model::{Class, Status};
use std::sync::Arc;

pub async fn a_release_gives_the_store_up(subject: Subject) {
    let event = subject.stored(&[ENDPOINT]).await;
    let first = subject.store();
    first.release().await.expect("releases");
    let second = subject.place().open().await.expect("is free, though the first still exists");
    assert!(second.event(PROJECT, event.id).await.expect("reads").is_some());
    first.release().await.expect("once more is no harm");
    assert!(first.hold().await.is_err_and(|cause| cause.is_unavailable()));
    second.hold().await.expect("holds");
}

pub async fn verbs_answer_unavailable_after_a_release(subject: Subject) {
    let event = subject.event(&[ENDPOINT]);
    let report = subject.attempted(&born(&event, 0), Status::Success);
    let store = subject.store();
    store.release().await.expect("releases");
    let batch = vec![NewEvent { event: Arc::new(event.clone()), parked: Vec::new(), later: Vec::new() }];
    let unavailable = |cause: Option<StoreError>| assert!(cause.is_some_and(|cause| cause.is_unavailable()));
    unavailable(store.commit(batch, ROUTED_AT).await.err());
    unavailable(store.probe().await.err());
    unavailable(store.record([report].into()).await.err());
    unavailable(store.resend(subject.resend(vec![event.id], ResendKind::Failed)).await.err());
    unavailable(store.drop_before(subject.now(), 1).await.err());
    unavailable(store.write(Vec::new(), Vec::new()).await.err());
    unavailable(store.load().await.err());
    unavailable(store.backlog().await.err());
    unavailable(store.due(ENDPOINT, Class::Live, subject.now(), 1).await.err());
    unavailable(store.event(PROJECT, event.id).await.err());
    unavailable(store.deliveries(PROJECT, DeliveryFilter::default(), UP).await.err());
}

pub async fn a_release_loses_nothing(mut subject: Subject) {
    let store = subject.store();
    let mut sent = Vec::new();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let event = Arc::new(subject.event(&[ENDPOINT]));
        sent.push(Arc::clone(&event));
        let store = Arc::clone(&store);
        calls.spawn(async move {
            let id = event.id;
            (id, store.commit(vec![NewEvent { event, parked: Vec::new(), later: Vec::new() }], ROUTED_AT).await.is_ok())
        });
    }
    drop(store);
    subject.restart().await;
    let answers = calls.join_all().await;
    for (id, stored) in answers {
        let found = subject.store().event(PROJECT, id).await.expect("reads").is_some();
        assert_eq!(found, stored, "answered and durable are the same thing");
    }
}
