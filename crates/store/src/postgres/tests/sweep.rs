//! The queue's table stays small while rows come and go.

use super::durability::report_of_one_committed;
use super::server::Server;
use crate::postgres::{PostgresStore, sweep};
use crate::roles::{Lease, Record};
use std::time::Duration;

/// Statistics come a second late.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_records_leave_behind_is_vacuumed_by_the_node() {
    let database = Server::shared().database().await;
    let store = PostgresStore::open(&database.options()).await.expect("opens");
    store.hold().await.expect("joins");
    for _ in 0..sweep::LEFT_BEHIND_MIN {
        let report = report_of_one_committed(&store).await;
        store.record([report].into()).await.expect("records");
    }
    let count = || {
        let sql = "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'waiting'";
        tokio::task::block_in_place(|| database.server.postgres.ask(&database.name, sql)).expect("answers")
    };
    let swept = async {
        while count() == "0" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(SOON, swept).await.expect("it is swept");
}
