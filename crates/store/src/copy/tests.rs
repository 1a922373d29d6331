//! What a copy promises, on real stores of both engines: the same answers, nothing twice, no mixture.

mod filled;

use super::{Copied, CopyError, Table, copy};
use crate::StoreError;
use crate::conformance::catalog::organisation;
use crate::postgres::PostgresStore;
use crate::postgres::tests::server::{Database, Server};
use crate::roles::{Catalog, Commit, Lease};
use crate::sqlite::SqliteStore;
use filled::Filled;
use std::ops::ControlFlow;
use std::path::Path;

/// Runs a copy for at most so many batches.
async fn batches(from: &Path, to: &Database, most: usize) -> super::Result<Copied> {
    let mut seen = 0;
    let watch = |_: &super::Progress| {
        seen += 1;
        if seen >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    copy(from, &to.options().url, watch).await
}

async fn whole(from: &Path, to: &Database) -> super::Result<Copied> {
    batches(from, to, usize::MAX).await
}

async fn node(database: &Database) -> PostgresStore {
    let store = PostgresStore::open(&database.options()).await.expect("opens");
    store.hold().await.expect("joins");
    store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_stores_answer_alike() {
    let (filled, target) = (Filled::new().await, Server::shared().empty("").await);
    let mut last = None;
    let copied = copy(filled.path(), &target.options().url, |progress| {
        assert!(progress.done.sum() <= progress.total.sum());
        last = Some((progress.done, progress.total));
        ControlFlow::Continue(())
    })
    .await
    .expect("copies");
    let (done, total) = last.expect("said how far it was");
    assert_eq!((copied, done), (Copied::Whole(total), total));
    for table in Table::ALL {
        assert!(total[table] > 3, "{table}: the sample takes several batches of each table");
    }
    assert_eq!(whole(filled.path(), &target).await.expect("answers"), Copied::Before);

    let (embedded, shared) = (SqliteStore::open(filled.path()).expect("opens"), node(&target).await);
    filled.compare(&embedded, &shared).await;
    let stray = target.count("SELECT (SELECT count(*) FROM events_rest) + (SELECT count(*) FROM settled_rest)").await;
    assert_eq!(stray, 0, "every day has its partition");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_stopped_goes_on_where_it_was() {
    let (filled, target) = (Filled::new().await, Server::shared().empty("").await);
    let mut runs = 1;
    while batches(filled.path(), &target, 2).await.expect("copies") == Copied::Stopped {
        runs += 1;
    }
    assert!(runs > Table::ALL.len(), "{runs}");
    let (embedded, shared) = (SqliteStore::open(filled.path()).expect("opens"), node(&target).await);
    filled.compare(&embedded, &shared).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_in_the_end_is_told() {
    let (filled, target) = (Filled::new().await, Server::shared().empty("").await);
    assert_eq!(batches(filled.path(), &target, 8).await.expect("copies"), Copied::Stopped);
    target.sql("DELETE FROM catalog WHERE id = (SELECT id FROM catalog LIMIT 1)").await;
    for _ in 0..2 {
        let told = whole(filled.path(), &target).await.expect_err("does not agree");
        assert!(matches!(told, CopyError::Differs { table: Table::Catalog, .. }), "{told}");
    }
    let refused = PostgresStore::open(&target.options()).await.expect("opens").hold().await;
    assert!(refused.is_err(), "half a store is not served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_node_joins_before_it_is_whole() {
    let (filled, target) = (Filled::new().await, Server::shared().empty("").await);
    let early = PostgresStore::open(&target.options()).await.expect("opens");
    assert_eq!(batches(filled.path(), &target, 1).await.expect("copies"), Copied::Stopped);
    let refused = early.hold().await.expect_err("keeps out");
    assert!(matches!(refused, StoreError::Refused(_)) && refused.to_string().contains("dacapo copy"), "{refused}");
    assert!(matches!(whole(filled.path(), &target).await, Ok(Copied::Whole(_))));
    early.hold().await.expect("joins");
    early.release().await.expect("releases");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_holds_something_else_is_refused() {
    let (filled, other, server) = (Filled::new().await, Filled::new().await, Server::shared());
    let used = server.empty("").await;
    let store = node(&used).await;
    let told = whole(filled.path(), &used).await.expect_err("a node runs");
    assert!(matches!(told, CopyError::TargetInUse), "{told}");
    store.write(vec![organisation("another")], Vec::new()).await.expect("writes");
    store.release().await.expect("releases");
    let told = whole(filled.path(), &used).await.expect_err("is configured");
    assert!(matches!(told, CopyError::TargetNotEmpty), "{told}");
    node(&used).await.release().await.expect("is as it was");

    let begun = server.empty("").await;
    assert_eq!(batches(filled.path(), &begun, 3).await.expect("copies"), Copied::Stopped);
    let told = whole(other.path(), &begun).await.expect_err("another store's");
    assert!(matches!(told, CopyError::OtherCopy), "{told}");
    assert!(matches!(whole(filled.path(), &begun).await, Ok(Copied::Whole(_))));
    let told = whole(other.path(), &begun).await.expect_err("a whole store");
    assert!(matches!(told, CopyError::TargetNotEmpty), "{told}");
}

/// What it settled meanwhile would wait in the copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_ran_in_between_is_another_one() {
    let (filled, target) = (Filled::new().await, Server::shared().empty("").await);
    assert_eq!(batches(filled.path(), &target, 3).await.expect("copies"), Copied::Stopped);
    SqliteStore::open(filled.path()).expect("opens").release().await.expect("releases");
    let told = whole(filled.path(), &target).await.expect_err("ran in between");
    assert!(matches!(told, CopyError::OtherCopy), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_must_be_there_and_nobody_elses() {
    let (filled, target) = (Filled::new().await, Server::shared().empty("").await);
    let nowhere = tempfile::TempDir::new().expect("a directory");
    let told = whole(nowhere.path(), &target).await.expect_err("nothing there");
    assert!(matches!(told, CopyError::NoSource(_)), "{told}");
    assert_eq!(std::fs::read_dir(nowhere.path()).expect("reads").count(), 0, "and nothing was made");

    let running = SqliteStore::open(filled.path()).expect("opens");
    let told = whole(filled.path(), &target).await.expect_err("in use");
    assert!(matches!(told, CopyError::SourceInUse(_)), "{told}");
    running.probe().await.expect("and it is not disturbed");
    running.release().await.expect("releases");

    let newer = Server::shared().database().await;
    newer.sql("INSERT INTO schema_version VALUES (1000)").await;
    let told = whole(filled.path(), &newer).await.expect_err("newer");
    assert!(matches!(told, CopyError::Target(StoreError::NewerSchema { found: 1_000, .. })), "{told}");
}
