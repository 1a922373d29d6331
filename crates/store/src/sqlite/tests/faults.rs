//! What happens around the file: other programs, no space, no right to write, damage.

use super::Directory;
use crate::conformance::Place;
use crate::conformance::subject::{ENDPOINT, FOREVER, OTHER_PROJECT, PROJECT, START, Subject, born};
use crate::roles::{Commit, Committed, Lease, NewEvent, Query, Queue, Record};
use crate::sqlite::SqliteStore;
use crate::sqlite::readers::Readers;
use crate::sqlite::writer::Session;
use crate::{Result, StoreError};
use dacapo_model::{Class, Event, Id, Shard, Status};
use rusqlite::Connection;
use std::sync::Arc;
use std::time::Duration;

async fn commit(store: &SqliteStore, event: &Event) -> Result<Vec<Committed>> {
    store
        .commit(vec![NewEvent { event: Arc::new(event.clone()), parked: Vec::new(), later: Vec::new() }], u64::MAX)
        .await
}

/// A store and a source of events for it.
async fn opened() -> (Directory, SqliteStore, Subject) {
    let directory = Directory::new();
    let store = directory.open_store().expect("opens");
    (directory, store, Subject::new(super::directory()).await)
}

/// Runs on the writer's own connection.
async fn pragma(store: &SqliteStore, name: &'static str, value: i64) {
    let set = move |session: &mut Session<'_>| Ok(session.connection.pragma_update(None, name, value)?);
    store.writer.run(set).await.expect("sets");
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_left_alone() {
    let directory = Directory::new();
    drop(directory.open_store().expect("opens"));
    let other = Connection::open(directory.file()).expect("opens");
    other.pragma_update(None, "user_version", 1_000).expect("sets");
    drop(other);
    let refused = directory.open_store().err();
    assert!(matches!(refused, Some(StoreError::NewerSchema { found: 1_000, .. })), "{refused:?}");
    let other = Connection::open(directory.file()).expect("opens");
    let version: i64 = other.pragma_query_value(None, "user_version", |row| row.get(0)).expect("reads");
    assert_eq!(version, 1_000);
}

#[tokio::test]
async fn another_writer_makes_commits_unavailable_for_as_long_as_it_writes() {
    let (directory, store, subject) = opened().await;
    let other = Connection::open(directory.file()).expect("opens");
    let event = subject.event(&[ENDPOINT]);
    for _ in 0..2 {
        other.execute_batch("BEGIN IMMEDIATE").expect("begins");
        let refused = commit(&store, &event).await;
        assert!(refused.is_err_and(|cause| cause.is_unavailable()));
        assert!(store.probe().await.is_err_and(|cause| cause.is_unavailable()));
        assert!(store.delivery(PROJECT, event.id.child(0)).await.expect("reads go on").is_none());
        other.execute_batch("ROLLBACK").expect("ends");
    }
    assert_eq!(commit(&store, &event).await.expect("commits"), [Committed::Stored]);
    assert!(store.delivery(PROJECT, event.id.child(0)).await.expect("reads").is_some());
}

/// A commit that fails half-way must leave nothing behind: no row, and no fresh delivery.
#[tokio::test]
async fn a_full_disk_loses_nothing_and_invents_nothing() {
    let (directory, store, subject) = opened().await;
    let kept = subject.event(&[ENDPOINT]);
    commit(&store, &kept).await.expect("commits");
    let pages: i64 = Connection::open(directory.file())
        .and_then(|other| other.pragma_query_value(None, "page_count", |row| row.get(0)))
        .expect("reads");
    pragma(&store, "max_page_count", pages + 2).await;
    let large = Event { data: vec![b'x'; 100_000].into(), ..subject.event(&[ENDPOINT]) };
    let refused = commit(&store, &large).await;
    assert!(refused.as_ref().is_err_and(StoreError::is_unavailable), "{refused:?}");
    assert!(store.delivery(PROJECT, large.id.child(0)).await.expect("reads").is_none());
    assert!(!store.fresh.contains(large.id.child(0).order()));
    assert!(store.fresh.contains(kept.id.child(0).order()));
    pragma(&store, "max_page_count", i64::from(u32::MAX - 1)).await;
    assert_eq!(commit(&store, &large).await.expect("commits"), [Committed::Stored]);
    let report = subject.attempted(&born(&kept, 0), Status::Success);
    store.record([report].into()).await.expect("records");
    drop(store);
    let store = directory.open_store().expect("opens");
    let due = store.due(ENDPOINT, Class::Live, FOREVER, 9).await.expect("reads");
    assert_eq!(due.iter().map(|waiting| waiting.delivery.id).collect::<Vec<_>>(), [large.id.child(0)]);
}

/// The connection refuses to write, as it does on a file system that was mounted anew as read-only.
#[tokio::test]
async fn a_store_that_may_not_write_is_unavailable_and_still_reads() {
    let (directory, store, subject) = opened().await;
    let kept = subject.event(&[ENDPOINT]);
    commit(&store, &kept).await.expect("commits");
    // The transaction it is set in may be the first that is refused.
    let set = |session: &mut Session<'_>| Ok(session.connection.pragma_update(None, "query_only", 1)?);
    let _ = store.writer.run(set).await;
    let refused = subject.event(&[ENDPOINT]);
    for _ in 0..2 {
        assert!(commit(&store, &refused).await.is_err_and(|cause| cause.is_unavailable()));
        assert!(store.probe().await.is_err_and(|cause| cause.is_unavailable()));
        assert!(store.delivery(PROJECT, kept.id.child(0)).await.expect("reads").is_some());
        assert!(store.delivery(PROJECT, refused.id.child(0)).await.expect("reads").is_none());
    }
    drop(store);
    let store = directory.open_store().expect("opens");
    assert_eq!(commit(&store, &refused).await.expect("commits"), [Committed::Stored]);
}

/// One job's failure is not its neighbours': they ran in the same transaction, and run again.
#[tokio::test]
async fn a_job_that_fails_fails_alone() {
    let at_once = "INSERT INTO meta VALUES ('probe', NULL)";
    let only_the_commit = "CREATE TEMP TABLE parent (id PRIMARY KEY); \
         CREATE TEMP TABLE child (id REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED); \
         INSERT INTO child VALUES (1)";
    for refused in [at_once, only_the_commit] {
        let (_directory, store, subject) = opened().await;
        let store = Arc::new(store);
        let mut calls = tokio::task::JoinSet::new();
        for n in 0..60 {
            let (store, event) = (Arc::clone(&store), subject.event(&[ENDPOINT]));
            calls.spawn(async move {
                if n % 6 == 0 {
                    let fails = move |session: &mut Session<'_>| {
                        session.effects.born.push(NEVER);
                        Ok(session.connection.execute_batch(refused)?)
                    };
                    return store.writer.run(fails).await.is_err_and(|cause| !cause.is_unavailable());
                }
                let stored = commit(&store, &event).await.is_ok_and(|answers| answers == [Committed::Stored]);
                stored && store.delivery(PROJECT, event.id.child(0)).await.is_ok_and(|found| found.is_some())
            });
        }
        assert!(calls.join_all().await.into_iter().all(|as_expected| as_expected));
        assert!(!store.fresh.contains(NEVER), "what was rolled back is not under way");
    }
}

/// The order of a delivery that is never stored.
const NEVER: u64 = u64::MAX >> 1;

#[tokio::test]
async fn a_read_is_cut_off_when_its_time_is_over_and_the_reader_goes_on() {
    let directory = Directory::new();
    let _store = directory.open_store().expect("opens");
    let readers =
        Arc::new(Readers::open(&directory.file(), 1, Some(Duration::from_millis(50)), Arc::default()).expect("opens"));
    let endless = |connection: &Connection| -> Result<i64> {
        let sql = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
        Ok(connection.query_row(sql, [], |row| row.get(0))?)
    };
    for _ in 0..3 {
        assert!(matches!(readers.read(endless).await, Err(StoreError::TooSlow)));
        assert!(readers.read(|connection| Ok(connection.is_autocommit())).await.is_ok_and(|autocommit| !autocommit));
    }
}

/// A caller that hangs up, or work that panics, costs no place in the pool.
#[tokio::test]
async fn an_abandoned_read_gives_its_reader_back() {
    let directory = Directory::new();
    let _store = directory.open_store().expect("opens");
    let readers = Arc::new(Readers::open(&directory.file(), 1, None, Arc::default()).expect("opens"));
    for _ in 0..5 {
        let (go, wait) = std::sync::mpsc::sync_channel::<()>(0);
        let abandoned = {
            let readers = Arc::clone(&readers);
            tokio::spawn(async move { readers.read(move |_| Ok(wait.recv().is_ok())).await })
        };
        tokio::task::yield_now().await;
        abandoned.abort();
        let _ = abandoned.await;
        drop(go);
        assert!(readers.read(|_| Ok(())).await.is_ok());
        assert!(readers.read(|_| -> Result<()> { panic!("as a test") }).await.is_err());
    }
    assert!(readers.read(|connection| Ok(connection.is_autocommit())).await.is_ok_and(|autocommit| !autocommit));
}

#[tokio::test]
async fn a_place_that_is_no_directory_is_unavailable() {
    let directory = Directory::new();
    std::fs::create_dir(directory.file()).expect("makes");
    assert!(directory.open_store().is_err_and(|cause| cause.is_unavailable()));
    std::fs::remove_dir(directory.file()).expect("removes");
    assert!(directory.open().await.is_ok(), "the failed attempt holds no lock");
}

#[tokio::test]
async fn damage_is_named_by_its_place() {
    let (directory, store, subject) = opened().await;
    let event = subject.event(&[ENDPOINT]);
    commit(&store, &event).await.expect("commits");
    let other = Connection::open(directory.file()).expect("opens");
    other.execute("UPDATE events SET targets = x'00'", []).expect("damages");
    let found = store.event(PROJECT, event.id).await;
    assert!(matches!(found, Err(StoreError::Inconsistent { table: "events", column: "targets", .. })), "{found:?}");
    // It is not so much as read for others, to whom it is unknown.
    assert!(store.event(OTHER_PROJECT, event.id).await.expect("is not read").is_none());
    // Others go on, also when the damaged one is old enough to be moved.
    let (id, _) = subject.ids.event(START.plus(Duration::from_secs(600)), 1);
    let later = Event { id, ..subject.event(&[ENDPOINT]) };
    assert_eq!(commit(&store, &later).await.expect("commits"), [Committed::Stored]);
    assert_eq!(store.delivery(PROJECT, Id::child(id, 0)).await.expect("reads").map(|view| view.event.id), Some(id));
    let settled = born(&later, 0);
    store.record([subject.attempted(&settled, Status::Success)].into()).await.expect("records");
    let whole: Vec<u8> = other.query_row("SELECT detail FROM settled", [], |row| row.get(0)).expect("reads");
    let unknown = [&[0xff], &whole[1..]].concat();
    let longer = [&whole[..], &[0]].concat();
    for detail in [&[], &whole[..whole.len() - 1], &unknown, &longer] {
        other.execute("UPDATE settled SET detail = ?1", [detail]).expect("damages");
        let found = store.delivery(PROJECT, settled.id).await;
        assert!(matches!(found, Err(StoreError::Inconsistent { table: "settled", column: "detail", .. })), "{found:?}");
    }
    assert!(store.delivery(OTHER_PROJECT, settled.id).await.expect("is not read").is_none());
    other.execute("UPDATE settled SET detail = ?1", [&whole]).expect("mends");
    assert!(store.delivery(PROJECT, settled.id).await.expect("reads").is_some());
}

#[tokio::test]
async fn a_store_has_one_owner() {
    let (directory, store, subject) = opened().await;
    store.hold().await.expect("is held");
    for _ in 0..2 {
        assert!(matches!(directory.open_store().err(), Some(StoreError::InUse(_))));
    }
    commit(&store, &subject.event(&[ENDPOINT])).await.expect("commits");
    assert!(Shard::all().all(|shard| store.holding().borrow().dispatches(shard)), "one owner owns everything");
}

/// Rows are found by the rising half of their ids.
#[tokio::test]
async fn an_order_is_an_id() {
    let (_directory, store, subject) = opened().await;
    let taken = subject.event(&[ENDPOINT]);
    let intruder = Event { id: Id::from_parts(taken.id.order(), !taken.id.tail()), ..subject.event(&[ENDPOINT]) };
    assert_eq!(commit(&store, &taken).await.expect("commits"), [Committed::Stored]);
    assert_eq!(commit(&store, &intruder).await.expect("commits"), [Committed::IdTaken]);
    assert!(store.event(PROJECT, intruder.id).await.expect("reads").is_none());
}
