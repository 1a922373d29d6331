//! `Queue`: what is owed is found again, once, in order.

use super::Subject;
use super::subject::{
    ALL, ENDPOINT, ENDPOINT_2, ENDPOINT_3, FOREVER, OTHER_PROJECT, PROJECT, ROUTED_AT, START, born, ids,
};
use crate::Store;
use crate::roles::{Backlog, Look, NewEvent, Waiting};
use bytes::Bytes;
use dacapo_model::{Class, Delivery, Event, Id, Status};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const NOBODY: Id = Id::from_u128(0xB9);

pub async fn fresh_deliveries_come_back_after_a_crash_once_and_in_order(mut subject: Subject) {
    let mut expected = Vec::new();
    for _ in 0..20 {
        let event = subject.stored(&[ENDPOINT, ENDPOINT_2, ENDPOINT]).await;
        expected.extend([born(&event, 0), born(&event, 2)]);
        subject.advance_ms(1);
    }
    for _ in 0..3 {
        subject.crash().await;
        assert_eq!(subject.due(ENDPOINT, Class::Live).await, expected);
        assert_eq!(subject.due(ENDPOINT_2, Class::Live).await.len(), 20);
    }
    subject.restart().await;
    assert_eq!(subject.due(ENDPOINT, Class::Live).await, expected);
}

pub async fn recorded_deliveries_do_not_come_back(mut subject: Subject) {
    let mut owed = Vec::new();
    for round in 0..30 {
        let delivery = subject.fresh().await;
        if round % 3 == 0 {
            owed.push(delivery.id);
        } else {
            subject.record([subject.attempted(&delivery, Status::Success)]).await;
        }
    }
    subject.crash().await;
    assert_eq!(subject.due_ids().await, owed);
}

/// Ids are given before the commit, so their order is not that of the commits.
pub async fn a_late_commit_of_an_early_id_survives_a_crash(mut subject: Subject) {
    let early = subject.event(&[ENDPOINT]);
    let earlier_in_batch = subject.event(&[ENDPOINT]);
    subject.advance_ms(10);
    for _ in 0..3 {
        subject.settled(Status::Success).await;
        subject.stored(&[]).await;
    }
    let late = subject.event(&[ENDPOINT]);
    subject.commit([late.clone(), earlier_in_batch.clone()]).await;
    subject.commit([early.clone()]).await;
    subject.record([subject.attempted(&born(&late, 0), Status::Success)]).await;
    subject.crash().await;
    assert_eq!(subject.due_ids().await, [born(&early, 0).id, born(&earlier_in_batch, 0).id]);
}

pub async fn parked_targets_are_due_at_once(mut subject: Subject) {
    let event = subject.event(&[ENDPOINT, ENDPOINT, ENDPOINT_2]);
    let batch = vec![NewEvent { event: Arc::new(event.clone()), parked: vec![1, 2], later: Vec::new() }];
    subject.store().commit(batch, ROUTED_AT).await.expect("commits");
    let due = subject.due(ENDPOINT, Class::Live).await;
    // An engine may give what the caller keeps in memory too: the caller leaves it out.
    assert_eq!(due.last(), Some(&born(&event, 1)));
    assert!(due.len() == 1 || due[..1] == [born(&event, 0)]);
    assert_eq!(subject.due(ENDPOINT_2, Class::Live).await, [born(&event, 2)]);
    subject.crash().await;
    assert_eq!(ids(&subject.due(ENDPOINT, Class::Live).await), [event.id.child(0), event.id.child(1)]);
    subject.record([0, 1].map(|index| subject.attempted(&born(&event, index), Status::Success))).await;
    assert_eq!(subject.due_ids().await, []);
}

/// Four deliveries that wait for a retry, the later ones due earlier, two of them at the same time.
async fn retries(subject: &Subject) -> Vec<Delivery> {
    let mut waiting = Vec::new();
    for seconds in [40, 20, 20, 10] {
        let mut report = subject.attempted(&subject.fresh().await, Status::Retry);
        report.delivery.due_at = START.plus(Duration::from_secs(seconds));
        subject.record([report.clone()]).await;
        waiting.push(report.delivery);
    }
    waiting
}

pub async fn due_is_ordered_limited_and_bounded_in_time(subject: Subject) {
    let waiting = retries(&subject).await;
    let in_order = [3, 1, 2, 0].map(|at| waiting[at].clone());
    assert_eq!(subject.due(ENDPOINT, Class::Retry).await, in_order);
    assert_eq!(subject.due(ENDPOINT, Class::Live).await, []);
    let store = subject.store();
    let due = async |seconds, limit| -> Vec<Id> {
        let until = START.plus(Duration::from_secs(seconds));
        let found = store.due(ENDPOINT, Class::Retry, until, limit).await.expect("reads");
        found.iter().map(|waiting| waiting.delivery.id).collect()
    };
    assert_eq!(due(20, ALL).await, ids(&in_order[..3]), "`until` is inclusive");
    assert_eq!(due(19, ALL).await, ids(&in_order[..1]));
    assert_eq!(due(40, 2).await, ids(&in_order[..2]));
    assert_eq!(due(40, 0).await, []);
    let with_event = store.due(ENDPOINT, Class::Retry, FOREVER, 1).await.expect("reads");
    assert_eq!(with_event[0].event.id, in_order[0].event_id);
}

pub async fn next_due_looks_past_a_moment(subject: Subject) {
    retries(&subject).await;
    let store = subject.store();
    let next = async |class, seconds| {
        let after = START.plus(Duration::from_secs(seconds));
        store.next_due(ENDPOINT, class, after).await.expect("reads").map(|due| due.since(START).as_secs())
    };
    assert_eq!(next(Class::Retry, 0).await, Some(10));
    assert_eq!(next(Class::Retry, 10).await, Some(20), "`after` is exclusive");
    assert_eq!(next(Class::Retry, 39).await, Some(40));
    assert_eq!(next(Class::Retry, 40).await, None);
    assert_eq!(next(Class::Live, 0).await, None);
}

pub async fn several_lanes_are_read_at_once_as_each_alone(mut subject: Subject) {
    retries(&subject).await;
    for _ in 0..3 {
        subject.stored(&[ENDPOINT, ENDPOINT_2]).await;
    }
    subject.crash().await;
    let (store, until) = (subject.store(), START.plus(Duration::from_secs(20)));
    let mut looks = Vec::new();
    for endpoint_id in [ENDPOINT_2, ENDPOINT] {
        for (class, limit) in [(Class::Live, 2), (Class::Retry, ALL), (Class::Retry, 1), (Class::Live, ALL)] {
            looks.push(Look { endpoint_id, class, limit, bytes_max: usize::MAX, known: Arc::default() });
        }
    }
    let found = store.due_in(&looks, until).await.expect("reads");
    assert_eq!(found.len(), looks.len());
    let mut rows = 0;
    for (look, due) in looks.iter().zip(&found) {
        let alone = store.due(look.endpoint_id, look.class, until, look.limit).await.expect("reads");
        let ids = |waiting: &[Waiting]| waiting.iter().map(|one| (one.delivery.id, one.event.id)).collect::<Vec<_>>();
        assert_eq!(ids(&due.waiting), ids(&alone));
        rows += alone.len();
        let next = store.next_due(look.endpoint_id, look.class, until).await.expect("reads");
        assert_eq!(due.is_all, alone.len() < look.limit, "{look:?}");
        assert_eq!(due.next, next.filter(|_| due.is_all), "{look:?}");
    }
    assert!(rows > 10 && found.iter().any(|due| due.next.is_some()), "the comparison is of something");
}

/// All of it, in stretches of so many.
pub async fn counted(store: &dyn Store, rows_max: usize) -> BTreeMap<u8, u64> {
    let (mut counts, mut after) = (BTreeMap::new(), None);
    loop {
        let depth = store.count_waiting(after, rows_max).await.expect("reads");
        let found: u64 = depth.counts.iter().map(|(_, count)| count).sum();
        assert!(found <= rows_max as u64 && (depth.next.is_none() || depth.next != after), "stands still");
        for (class, count) in depth.counts {
            *counts.entry(class.code()).or_default() += count;
        }
        after = depth.next;
        if after.is_none() {
            return counts;
        }
    }
}

/// However few are counted at once, over whatever lanes they lie.
pub async fn what_waits_is_counted_in_stretches(mut subject: Subject) {
    assert_eq!(counted(subject.store().as_ref(), 1).await, BTreeMap::new());
    retries(&subject).await;
    for n in 0..7 {
        subject.stored(&[ENDPOINT, ENDPOINT_2, ENDPOINT_3][..1 + n % 3]).await;
    }
    subject.settled(Status::Success).await;
    subject.crash().await;
    let expected = BTreeMap::from([(Class::Live.code(), 7 + 4 + 2), (Class::Retry.code(), 4)]);
    for rows_max in [1, 2, 3, 5, ALL] {
        assert_eq!(counted(subject.store().as_ref(), rows_max).await, expected, "{rows_max} at once");
    }
}

pub async fn the_backlog_has_each_lane(mut subject: Subject) {
    assert_eq!(subject.store().backlog().await.expect("reads"), []);
    retries(&subject).await;
    subject.stored_as(Event { project_id: OTHER_PROJECT, ..subject.event(&[ENDPOINT_2]) }).await;
    subject.settled(Status::Success).await;
    subject.crash().await;
    let mut backlog = subject.store().backlog().await.expect("reads");
    backlog.sort_by_key(|lane| lane.endpoint_id);
    let lane = |project_id, endpoint_id, class, next_due| Backlog { project_id, endpoint_id, class, next_due };
    let first = START.plus(Duration::from_secs(10));
    let expected = [lane(PROJECT, ENDPOINT, Class::Retry, first), lane(OTHER_PROJECT, ENDPOINT_2, Class::Live, START)];
    assert_eq!(backlog, expected);
}

pub async fn what_the_caller_holds_hides_nothing_else(mut subject: Subject) {
    for _ in 0..4 {
        subject.stored(&[ENDPOINT, ENDPOINT_2]).await;
    }
    subject.crash().await;
    let store = subject.store();
    let ids = |waiting: &[Waiting]| waiting.iter().map(|one| one.delivery.id).collect::<Vec<_>>();
    let all = ids(&store.due(ENDPOINT, Class::Live, FOREVER, ALL).await.expect("reads"));
    let known: Arc<[Id]> = all[1..3].iter().copied().collect();
    let look = |endpoint_id, limit| {
        let known = Arc::clone(&known);
        Look { endpoint_id, class: Class::Live, limit, bytes_max: usize::MAX, known }
    };
    let found = store.due_in(&[look(ENDPOINT, 4), look(ENDPOINT_2, ALL)], FOREVER).await.expect("reads");
    let mut new = ids(&found[0].waiting);
    new.retain(|id| !known.contains(id));
    assert_eq!(new, [all[0], all[3]]);
    assert_eq!(found[1].waiting.len(), 4, "they are of another lane");
}

/// Each lane for itself, and never none of what is due.
pub async fn a_read_takes_so_many_bytes_of_payload(mut subject: Subject) {
    const BYTES: usize = 1_000;
    let sized =
        |bytes: usize, endpoints: &[Id]| Event { data: Bytes::from(vec![b' '; bytes]), ..subject.event(endpoints) };
    for bytes in [BYTES, BYTES, 10, 10, 5 * BYTES, BYTES] {
        subject.stored_as(sized(bytes, &[ENDPOINT])).await;
    }
    subject.stored_as(sized(BYTES, &[ENDPOINT_2])).await;
    subject.crash().await;
    let store = subject.store();
    let look = |endpoint_id, limit, bytes_max| Look {
        endpoint_id,
        class: Class::Live,
        limit,
        bytes_max,
        known: Arc::default(),
    };
    let looks = [
        look(ENDPOINT, ALL, 1),
        look(ENDPOINT, ALL, BYTES + 1),
        look(ENDPOINT_2, ALL, 2 * BYTES),
        look(ENDPOINT, ALL, 2 * BYTES + 15),
        look(ENDPOINT, 3, 2 * BYTES + 15),
        look(ENDPOINT, ALL, 2 * BYTES + 21),
        look(ENDPOINT, ALL, 100 * BYTES),
        look(NOBODY, 1, 1),
    ];
    let found = store.due_in(&looks, FOREVER).await.expect("reads");
    let counts: Vec<(usize, bool)> = found.iter().map(|due| (due.waiting.len(), due.is_all)).collect();
    assert_eq!(
        counts,
        [(1, false), (2, false), (1, true), (4, false), (3, false), (5, false), (6, true), (0, true)],
        "at most one payload more"
    );
    let all = store.due(ENDPOINT, Class::Live, FOREVER, ALL).await.expect("reads");
    for due in found.iter().filter(|due| due.waiting.len() != 1) {
        let same = due.waiting.iter().zip(&all).all(|(one, other)| one.delivery.id == other.delivery.id);
        assert!(same, "the earliest");
    }
}
