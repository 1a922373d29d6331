//! The fence between a record and a take-over: see lease.rs.

use super::server::Server;
use crate::postgres::PostgresStore;
use crate::postgres::lease::FENCES;
use crate::roles::Lease;
use dacapo_model::Shard;
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
