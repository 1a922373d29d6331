//! The fence between a record and a take-over: see lease.rs.

use super::server::Server;
use crate::StoreError;
use crate::conformance::subject::START;
use crate::postgres::PostgresStore;
use crate::postgres::lease::FENCES;
use crate::roles::{Lease, Record};
use bytes::Bytes;
use dacapo_model::attempt::HeaderLines;
use dacapo_model::{Attempt, Id, Shard};
use std::time::Duration;
use tokio_postgres::NoTls;

/// Longer than any take-over that nothing holds up.
const A_WHILE: Duration = Duration::from_millis(800);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_take_over_waits_for_records_under_way() {
    let database = Server::shared().database().await;
    let first = PostgresStore::open(&database.options()).await.expect("opens");
    first.hold().await.expect("joins");
    // A record of the first node, between its look and its commit.
    let (client, connection) = tokio_postgres::connect(&database.options().url, NoTls).await.expect("connects");
    tokio::spawn(connection);
    let begin = format!("BEGIN; SELECT pg_advisory_xact_lock_shared({FENCES}, fence) FROM nodes");
    client.batch_execute(&begin).await.expect("holds the fence");
    // It does nothing more, but it has not released anything either.
    drop(first);
    database.sql("UPDATE nodes SET heartbeat = now() - interval '1 minute'").await;
    let heir = PostgresStore::open(&database.options()).await.expect("opens");
    let taking = tokio::spawn(async move {
        heir.hold().await.expect("joins");
        heir
    });
    tokio::time::sleep(A_WHILE).await;
    assert!(!taking.is_finished(), "a record under way would be committed after its shard is another's");
    client.batch_execute("COMMIT").await.expect("is recorded");
    let heir = taking.await.expect("ends");
    let mut holding = heir.holding();
    let some = holding.wait_for(|held| held.shards.len() > Shard::COUNT / 8);
    tokio::time::timeout(Duration::from_secs(10), some).await.expect("then it takes").expect("lives");
}

fn first_attempt(delivery_id: Id) -> Attempt {
    Attempt {
        id: delivery_id,
        delivery_id,
        number: 1,
        url: String::new(),
        ip: None,
        request_headers: HeaderLines::new(),
        status: Some(200),
        response_headers: HeaderLines::new(),
        response_body: Bytes::new(),
        error: None,
        succeeded: true,
        requested_at: START,
        duration_us: 1,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_waits_for_a_take_over_under_way() {
    for at_first_attempt in [true, false] {
        a_record_waits(at_first_attempt).await;
    }
}

async fn a_record_waits(at_first_attempt: bool) {
    let database = Server::shared().database().await;
    let store = PostgresStore::open(&database.options()).await.expect("opens");
    store.hold().await.expect("joins");
    let mut report = super::durability::report_of_one_committed(&store).await;
    if at_first_attempt {
        report.delivery.attempts = 1;
        report.attempt = Some(first_attempt(report.delivery.id));
    }
    // A taker, between its update and its commit.
    let (client, connection) = tokio_postgres::connect(&database.options().url, NoTls).await.expect("connects");
    tokio::spawn(connection);
    let begin = format!(
        "BEGIN; SELECT FROM nodes FOR UPDATE; SELECT pg_advisory_xact_lock({FENCES}, fence) FROM nodes; \
         UPDATE shards SET owner = NULL, epoch = epoch + 1"
    );
    client.batch_execute(&begin).await.expect("takes");
    let recording = tokio::spawn(async move { store.record([report].into()).await });
    tokio::time::sleep(A_WHILE).await;
    assert!(!recording.is_finished(), "it has looked before the shard was another's");
    client.batch_execute("COMMIT").await.expect("is taken");
    let refused = recording.await.expect("ends");
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
}
