//! Opening: one migration however many open, newer schemas, wrong addresses.

use super::server::Server;
use crate::StoreError;
use crate::postgres::{Options, PostgresStore};
use crate::roles::{Commit, Lease};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_together_migrate_once() {
    let database = Server::shared().empty("").await;
    let mut starts = JoinSet::new();
    for _ in 0..6 {
        let options = database.options();
        starts.spawn(async move { PostgresStore::migrate(&options, false).await.expect("migrates").applied });
    }
    let known = PostgresStore::migrate(&database.options(), true).await.expect("looks").known;
    assert_eq!(starts.join_all().await.iter().sum::<i64>(), known, "each step once");
    let mut opens = JoinSet::new();
    for _ in 0..4 {
        let options = database.options();
        opens.spawn(async move { PostgresStore::open(&options).await.expect("opens") });
    }
    for store in opens.join_all().await {
        store.probe().await.expect("can be written");
        store.release().await.expect("releases");
    }
}

#[tokio::test]
async fn a_check_changes_nothing() {
    let database = Server::shared().empty("").await;
    for _ in 0..2 {
        let looked = PostgresStore::migrate(&database.options(), true).await.expect("looks");
        assert_eq!((looked.found, looked.applied), (0, 0));
        assert!(looked.known > 0);
    }
}

#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let database = Server::shared().database().await;
    database.sql("INSERT INTO schema_version VALUES (1000)").await;
    let refused = PostgresStore::open(&database.options()).await.err();
    assert!(matches!(refused, Some(StoreError::NewerSchema { found: 1_000, .. })), "{refused:?}");
}

#[tokio::test]
async fn what_cannot_be_reached_is_unavailable() {
    let server = Server::shared();
    let open = async |url: String| PostgresStore::open(&Options::new(url, "test")).await.err().expect("is refused");
    let missing = open(server.postgres.url("no_such_database")).await;
    assert!(missing.is_unavailable() && missing.to_string().contains("no_such_database"), "{missing}");
    let closed = open("postgres://u@127.0.0.1:1/d?sslmode=disable".to_owned()).await;
    assert!(closed.is_unavailable(), "{closed}");
    let no_tls = open(server.postgres.url("postgres").replace("disable", "require")).await;
    assert!(no_tls.is_unavailable(), "{no_tls}");
}

/// As behind a pooler that knows no named prepared statements.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_can_be_sent_whole() {
    // Kept: with the last database goes the server.
    let database = Server::shared().database().await;
    let options = Options { prepared: false, ..database.options() };
    let store = PostgresStore::open(&options).await.expect("opens");
    store.hold().await.expect("joins");
    super::durability::one_of_everything(&store).await;
}
