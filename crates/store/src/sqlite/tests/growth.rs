//! What must stay bounded: the log, and what recovery looks at.

use super::Directory;
use crate::conformance::Place;
use crate::conformance::subject::{ENDPOINT, FOREVER, PROJECT, START, Subject, UP, born};
use crate::roles::{Commit, DeliveryFilter, NewEvent, Query, Queue, Record};
use crate::sqlite::{FILE_NAME, SqliteStore};
use dacapo_model::{Class, Event, Id, Status, Timestamp};
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Enough commits for many times the log's bound, with lists that overlap all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_does_not_grow_without_end() {
    const LOG_BYTES_MAX: u64 = 4 * 16 * 1024 * 1024;
    const WRITTEN_BYTES: u64 = 6 * LOG_BYTES_MAX;
    const LISTS_AT_ONCE: usize = 5;
    const PAYLOAD_BYTES: usize = 64 * 1024;
    let directory = Directory::new();
    let store = Arc::new(directory.open_store().expect("opens"));
    let subject = Subject::new(super::directory()).await;
    let done = Arc::new(AtomicBool::new(false));
    let mut reading = tokio::task::JoinSet::new();
    for _ in 0..LISTS_AT_ONCE {
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        reading.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let page = crate::roles::Page { limit: 20, from: None, ascending: false };
                store.deliveries(PROJECT, DeliveryFilter::default(), page).await.expect("reads");
            }
        });
    }
    let log = directory.0.path().join(format!("{FILE_NAME}-wal"));
    let (mut written, mut largest) = (0, 0);
    while written < WRITTEN_BYTES {
        let event = Event { data: vec![b'x'; PAYLOAD_BYTES].into(), ..subject.event(&[ENDPOINT]) };
        let batch = (0..8).map(|_| {
            let (id, _) = subject.ids.event(START, 1);
            NewEvent { event: Arc::new(Event { id, ..event.clone() }), parked: Vec::new(), later: Vec::new() }
        });
        store.commit(batch.collect(), u64::MAX).await.expect("commits");
        written += 8 * PAYLOAD_BYTES as u64;
        largest = largest.max(std::fs::metadata(&log).expect("is there").len());
    }
    done.store(true, Ordering::Relaxed);
    reading.join_all().await;
    assert!(largest > 1024 * 1024, "the log is where it was looked for");
    assert!(largest < LOG_BYTES_MAX, "the log grew to {largest} bytes");
}

async fn commit(store: &SqliteStore, subject: &Subject, at: Timestamp) -> Event {
    let (id, created_at) = subject.ids.event(at, 2);
    let event = Event { id, created_at, ..subject.event(&[ENDPOINT, ENDPOINT]) };
    let batch = vec![NewEvent { event: Arc::new(event.clone()), parked: Vec::new(), later: Vec::new() }];
    store.commit(batch, u64::MAX).await.expect("commits");
    event
}

async fn due(store: &SqliteStore) -> Vec<Id> {
    let due = store.due(ENDPOINT, Class::Live, FOREVER, 100_000).await.expect("reads");
    due.iter().map(|waiting| waiting.delivery.id).collect()
}

/// What dispatch holds for long moves to the table, where recovery need not look for it.
#[tokio::test]
async fn old_fresh_deliveries_move_to_the_queue_and_settle_from_there() {
    let directory = Directory::new();
    let store = directory.open_store().expect("opens");
    let subject = Subject::new(super::directory()).await;
    let old = commit(&store, &subject, START).await;
    let done = born(&old, 0);
    store.record([subject.attempted(&done, Status::Success)].into()).await.expect("records");
    commit(&store, &subject, START.plus(Duration::from_secs(29))).await;
    assert_eq!(due(&store).await, []);
    let new = commit(&store, &subject, START.plus(Duration::from_secs(40))).await;
    assert_eq!(due(&store).await, [born(&old, 1).id], "only what is old moves");
    assert_eq!(store.fresh.first().map(|first| first > old.id.child(1).order()), Some(true));
    let listed = store.deliveries(PROJECT, DeliveryFilter::default(), UP).await.expect("reads");
    assert_eq!(listed.len(), 6, "each once");
    store.record([subject.attempted(&born(&old, 1), Status::Success)].into()).await.expect("records");
    assert_eq!(due(&store).await, []);
    drop(store);
    let store = directory.open_store().expect("opens");
    assert_eq!(due(&store).await.len(), 4);
    assert_eq!(due(&store).await.last(), Some(&born(&new, 1).id));
}

/// Between a COMMIT and the moment the set of fresh deliveries lets go, both know of a delivery.
#[tokio::test]
async fn a_row_counts_for_more_than_the_memory_of_a_fresh_delivery() {
    let directory = Directory::new();
    let store = directory.open_store().expect("opens");
    let subject = Subject::new(super::directory()).await;
    let event = commit(&store, &subject, START).await;
    let report = subject.attempted(&born(&event, 0), Status::Success);
    store.record(Arc::new([report.clone()])).await.expect("records");
    store.fresh.enter(&[report.delivery.id.order()]);
    let all = store.deliveries(PROJECT, DeliveryFilter::default(), UP).await.expect("reads");
    let states: Vec<Status> = all.iter().map(|view| view.delivery.status).collect();
    assert_eq!(states, [Status::Success, Status::Scheduled]);
    let scheduled = DeliveryFilter { statuses: vec![Status::Scheduled], ..Default::default() };
    let found = store.deliveries(PROJECT, scheduled, UP).await.expect("reads");
    assert_eq!(found.iter().map(|view| view.delivery.id).collect::<Vec<_>>(), [event.id.child(1)]);
    let one = store.delivery(PROJECT, report.delivery.id).await.expect("reads");
    assert_eq!(one.map(|view| view.delivery), Some(report.delivery));
}

/// More than one transaction moves: the rest follows with the next ones.
#[tokio::test]
async fn many_old_ones_move_piece_by_piece() {
    let directory = Directory::new();
    let store = directory.open_store().expect("opens");
    let subject = Subject::new(super::directory()).await;
    for _ in 0..400 {
        commit(&store, &subject, START).await;
    }
    let mut moved = Vec::new();
    for n in 0..5 {
        commit(&store, &subject, START.plus(Duration::from_secs(100 + n))).await;
        moved.push(due(&store).await.len());
    }
    assert_eq!(moved, [256, 512, 768, 800, 800]);
}

/// Where recovery would begin, and how many events it would look at.
fn floor(directory: &Directory) -> (i64, i64) {
    let other = Connection::open(directory.file()).expect("opens");
    let floor = other.query_row("SELECT value FROM meta WHERE key = 'fresh_floor'", [], |row| row.get(0));
    let floor: i64 = floor.expect("reads");
    let count = other.query_row("SELECT count(*) FROM events WHERE ord >= ?1", [floor], |row| row.get(0));
    (floor, count.expect("reads"))
}

/// It rises at its leisure, but what is born below it must be found at once.
#[tokio::test]
async fn recovery_finds_an_event_that_was_committed_after_later_ones() {
    let mut directory = Directory::new();
    let store = directory.open_store().expect("opens");
    let subject = Subject::new(super::directory()).await;
    let (early, created_at) = subject.ids.event(START, 2);
    for n in 1..200 {
        let event = commit(&store, &subject, START.plus(Duration::from_millis(n))).await;
        let reports = (0..2).map(|index| subject.attempted(&born(&event, index), Status::Success));
        store.record(reports.collect()).await.expect("records");
    }
    assert!(floor(&directory).0 > early.order().cast_signed(), "it has risen");
    let event = Event { id: early, created_at, ..subject.event(&[ENDPOINT, ENDPOINT]) };
    let batch = vec![NewEvent { event: Arc::new(event.clone()), parked: Vec::new(), later: Vec::new() }];
    store.commit(batch, u64::MAX).await.expect("commits");
    assert!(floor(&directory).0 <= event.id.child(0).order().cast_signed());
    directory.crash().await;
    drop(store);
    assert_eq!(due(&directory.open_store().expect("opens")).await, [event.id.child(0), event.id.child(1)]);
}

#[tokio::test]
async fn recovery_begins_at_the_oldest_that_is_not_settled() {
    let directory = Directory::new();
    let store = directory.open_store().expect("opens");
    let subject = Subject::new(super::directory()).await;
    let mut owed = Vec::new();
    for n in 0..500u64 {
        let event = commit(&store, &subject, START.plus(Duration::from_millis(n))).await;
        let reports = (0..2).map(|index| subject.attempted(&born(&event, index), Status::Success));
        // The last few are still under way, each in part.
        let settled = if n < 490 { 2 } else { 1 };
        store.record(reports.take(settled).collect()).await.expect("records");
        if settled == 1 {
            owed.push(event.id.child(1));
        }
    }
    let first = owed[0].order().cast_signed();
    let (floor, looked_at) = floor(&directory);
    assert!(floor <= first, "below everything that is owed");
    assert!(looked_at <= 11 + 64, "{looked_at} events for 10 that are owed, after a crash");
    drop(store);
    let (floor, looked_at) = self::floor(&directory);
    assert!(floor <= first, "below everything that is owed");
    assert!(looked_at <= 11, "{looked_at} events for 10 that are owed");
    for _ in 0..2 {
        assert_eq!(due(&directory.open_store().expect("opens")).await, owed);
    }
}
