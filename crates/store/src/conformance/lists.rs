//! `Query`'s pages: no gap, no repeat, also while events arrive.

use super::Subject;
use super::subject::{ENDPOINT, ENDPOINT_2, PROJECT, ROUTED_AT, UP, born, target, target_discarded};
use crate::roles::{DeliveryFilter, EventFilter, NewEvent, Page, Query, Store};
use dacapo_model::delivery::Reason;
use dacapo_model::{Id, Status};
use std::collections::BTreeSet;
use std::sync::Arc;

pub async fn events_page_both_ways(subject: Subject) {
    let mut all = Vec::new();
    for _ in 0..10 {
        all.push(subject.stored(&[ENDPOINT]).await.id);
    }
    let page = |from: Option<usize>, limit, ascending| Page { from: from.map(|at| all[at]), limit, ascending };
    let list = async |page| subject.events(EventFilter::default(), page).await;
    let down = |range: std::ops::Range<usize>| all[range].iter().rev().copied().collect::<Vec<_>>();
    assert_eq!(list(page(None, 3, true)).await, all[..3]);
    assert_eq!(list(page(None, 3, false)).await, down(7..10));
    assert_eq!(list(page(Some(4), 3, true)).await, all[4..7], "`from` is inclusive");
    assert_eq!(list(page(Some(4), 3, false)).await, down(2..5));
    assert_eq!(list(page(Some(9), 3, true)).await, all[9..]);
    assert_eq!(list(page(Some(0), 3, false)).await, all[..1]);
    assert_eq!(list(page(None, 0, true)).await, []);
}

/// Settled, waiting and fresh deliveries, mixed.
async fn mixed(subject: &Subject, events: u32) -> Vec<Id> {
    let mut all = Vec::new();
    for n in 0..events {
        let targets = vec![target(ENDPOINT), target_discarded(ENDPOINT, Reason::EndpointPaused), target(ENDPOINT_2)];
        let event = subject.stored_as(subject.event_with(targets)).await;
        let status = [Status::Success, Status::Retry, Status::Failure][n as usize % 3];
        subject.record([subject.attempted(&born(&event, n % 2 * 2), status)]).await;
        all.extend((0..3).map(|index| event.id.child(index)));
    }
    all
}

/// Walks as a client does: one row more than a page, whose id is where the next begins.
async fn walk(store: &dyn Store, filter: &DeliveryFilter, rows: usize, ascending: bool) -> Vec<Id> {
    let (mut seen, mut from) = (Vec::new(), None);
    loop {
        let page = Page { limit: rows + 1, from, ascending };
        let found = Query::deliveries(store, PROJECT, filter.clone(), page).await.expect("reads");
        seen.extend(found.iter().take(rows).map(|view| view.delivery.id));
        match found.get(rows) {
            Some(next) => from = Some(next.delivery.id),
            None => return seen,
        }
    }
}

pub async fn deliveries_page_both_ways_across_all_states(subject: Subject) {
    let all = mixed(&subject, 12).await;
    let reversed: Vec<Id> = all.iter().rev().copied().collect();
    assert_eq!(subject.deliveries(DeliveryFilter::default(), UP).await, all);
    for rows in [1, 2, 5, 36, 100] {
        let none = DeliveryFilter::default();
        assert_eq!(walk(&*subject.store(), &none, rows, true).await, all);
        assert_eq!(walk(&*subject.store(), &none, rows, false).await, reversed);
        let one = DeliveryFilter { endpoints: vec![ENDPOINT], ..none };
        assert_eq!(walk(&*subject.store(), &one, rows, true).await.len(), 24);
    }
    let nothing = Page { limit: 0, from: None, ascending: true };
    assert_eq!(subject.deliveries(DeliveryFilter::default(), nothing).await, []);
}

pub async fn a_walk_sees_each_row_once_while_events_arrive(subject: Subject) {
    let before = mixed(&subject, 30).await;
    let store = subject.store();
    let walks = async {
        for round in 0..12 {
            let ascending = round % 2 == 0;
            let mut seen = walk(&*store, &DeliveryFilter::default(), 7, ascending).await;
            if !ascending {
                seen.reverse();
            }
            assert!(seen.is_sorted_by(|a, b| a < b), "each row once, in order");
            let seen: BTreeSet<Id> = seen.into_iter().collect();
            assert!(before.iter().all(|id| seen.contains(id)), "nothing that was there is left out");
        }
    };
    // The deliveries change state and new ones come while the walks are under way.
    let arrivals = async {
        mixed(&subject, 60).await;
        for id in before.iter().step_by(3) {
            let delivery = subject.shown(*id).await.expect("is there");
            if !delivery.status.is_settled() {
                subject.record([subject.attempted(&delivery, Status::Success)]).await;
            }
        }
    };
    tokio::join!(walks, arrivals);
}

/// One writer, whose ids rise with its commits: a reader that has seen a delivery has seen all before it.
pub async fn a_walk_upward_meets_no_gap_within_what_is_committed(subject: Subject) {
    let events: Vec<_> = (0..400)
        .map(|_| Arc::new(subject.event_with(vec![target(ENDPOINT), target_discarded(ENDPOINT_2, Reason::Gone)])))
        .collect();
    let store = subject.store();
    let last = events[events.len() - 1].id.child(1);
    let expected: Vec<Id> = events.iter().flat_map(|event| [event.id.child(0), event.id.child(1)]).collect();
    let reading = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut from = Id::MIN;
            let mut seen = Vec::new();
            while seen.last() != Some(&last) {
                let page = Page { limit: 50, from: Some(from), ascending: true };
                let found = store.deliveries(PROJECT, DeliveryFilter::default(), page).await.expect("reads");
                seen.extend(found.iter().map(|view| view.delivery.id));
                from = seen.last().map_or(from, |last| Id::from_u128(last.as_u128() + 1));
                tokio::task::yield_now().await;
            }
            seen
        })
    };
    for event in events {
        let fresh = born(&event, 0);
        store
            .commit(vec![NewEvent { event, parked: Vec::new(), later: Vec::new() }], ROUTED_AT)
            .await
            .expect("commits");
        store.record([subject.attempted(&fresh, Status::Success)].into()).await.expect("records");
    }
    assert_eq!(reading.await.expect("walks"), expected);
}
