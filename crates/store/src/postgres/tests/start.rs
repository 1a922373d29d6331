//! Opening: one migration however many open, newer schemas, wrong addresses.

use super::server::Server;
use crate::StoreError;
use crate::conformance::subject::{PROJECT, UP};
use crate::postgres::address::Address;
use crate::postgres::session::Sessions;
use crate::postgres::{Options, PostgresStore, schema};
use crate::roles::{Commit, EventFilter, Lease, Query};
use dacapo_model::clock::{SharedClock, SystemClock};
use dacapo_model::{Clock, Timestamp};
use std::sync::Arc;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_together_migrate_once() {
    let database = Server::shared().empty("").await;
    let mut starts = JoinSet::new();
    for _ in 0..6 {
        let options = database.options();
        starts.spawn(async move { PostgresStore::migrate(&options, false).await.expect("migrates") });
    }
    let done = starts.join_all().await;
    assert_eq!(done.iter().map(|one| one.applied).sum::<i64>(), done[0].known, "each step once");
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

/// An index over a large store takes longer than any statement of the pipeline may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_takes_as_long_as_it_takes_but_holds_nobody_up_by_waiting() {
    let database = Server::shared().empty("").await;
    let address = Address::parse(&database.options().url).expect("an address");
    let sessions = Sessions::new(&address, 2, true).expect("sessions");
    let look = "CREATE TABLE seen AS SELECT current_setting('statement_timeout') AS statement, \
                current_setting('lock_timeout') AS lock";
    let done = schema::migrate_by(&[look], &sessions, false).await.expect("migrates");
    assert_eq!(done.applied, 1);
    let count = async |condition| database.count(&format!("SELECT count(*) FROM seen WHERE {condition}")).await;
    assert_eq!(count("statement = '0'").await, 1, "no limit");
    assert_eq!(count("lock = '30s'").await, 1, "who waits for a table makes everybody else wait");
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

/// A node of the first version, as far as the schema knows one.
const FIRST: &str = include_str!("../schema.sql");
/// What its commit sends, in short.
const FIRST_WRITES: &str = "INSERT INTO events (id, project, type, source, idem, related_to, flags, detail, data) \
     VALUES (gen_random_uuid(), '00000000-0000-0000-0000-0000000000a1', 'old', NULL, NULL, NULL, 20, '\\x0100000000000000', '{}')";

/// Expand, then contract: nodes of the version before go on while the others come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_upgrade_keeps_what_is_there_and_nodes_of_the_version_before() {
    let database = Server::shared().empty("").await;
    database
        .sql(&format!(
            "{FIRST}; CREATE TABLE schema_version (version bigint PRIMARY KEY); INSERT INTO schema_version VALUES (1)"
        ))
        .await;
    database.sql(FIRST_WRITES).await;
    let store = PostgresStore::open(&database.options()).await.expect("brings it up to date");
    let migrated = PostgresStore::migrate(&database.options(), true).await.expect("looks");
    assert!(migrated.found > 1 && migrated.found == migrated.known);
    database.sql(FIRST_WRITES).await;
    store.hold().await.expect("joins");
    let events = store.events(PROJECT, EventFilter::default(), UP).await.expect("reads");
    assert_eq!(events.iter().map(|event| event.event_type.as_str()).collect::<Vec<_>>(), ["old"; 2]);
}

/// By so many microseconds.
struct Wrong(i64);

impl Clock for Wrong {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(SystemClock.now().micros() + self.0)
    }
}

/// What one node calls due now must be due now for the owner of its endpoint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_clock_is_wrong_by_minutes_goes_by_the_databases() {
    let database = Server::shared().database().await;
    let now = async || database.count("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8").await;
    for wrong_by in [300_000_000i64, -300_000_000, 200_000] {
        let clock = Arc::new(SharedClock::over(Wrong(wrong_by)));
        let options = Options { clock: Arc::clone(&clock), ..database.options() };
        let store = PostgresStore::open(&options).await.expect("opens");
        store.hold().await.expect("joins");
        let apart = clock.now().micros() - now().await;
        assert!(apart.abs() < 2_000_000, "{apart} µs apart");
        assert_eq!(clock.correction() == 0, wrong_by == 200_000, "clocks that differ a little are left alone");
        store.release().await.expect("releases");
    }
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
