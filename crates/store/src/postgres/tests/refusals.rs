//! What can be wrong with a database when a node starts on it: each is told with what to do about it.

use super::server::Server;
use crate::StoreError;
use crate::conformance::subject::{ENDPOINT, ROUTED_AT, Subject};
use crate::postgres::{Options, PostgresStore};
use crate::roles::{Commit, Lease, NewEvent};
use dacapo_peers::Postgres;
use std::sync::Arc;

async fn refusal(url: String) -> StoreError {
    let opened = PostgresStore::open(&Options::new(url, "test")).await;
    opened.err().expect("is refused")
}

fn says(told: &StoreError, words: &[&str]) {
    let told = told.to_string();
    for word in words {
        assert!(told.contains(word), "no \"{word}\" in: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_wrong_database_is_told_with_what_to_do() {
    let database = Server::shared().database().await;
    let server = &database.server;
    let as_role = |role: &str, name: &str| server.postgres.url(name).replace("dacapo@", &format!("{role}@"));

    let missing = refusal(server.postgres.url("no_such_database")).await;
    says(&missing, &["no_such_database", "CREATE DATABASE"]);
    let ascii = server.empty("ENCODING 'SQL_ASCII' TEMPLATE template0").await;
    says(&refusal(server.postgres.url(&ascii.name)).await, &["SQL_ASCII", "ENCODING 'UTF8'"]);

    let empty = server.empty("").await;
    server.sql("postgres", &format!("CREATE ROLE powerless_{} LOGIN", empty.name)).await;
    let powerless = refusal(as_role(&format!("powerless_{}", empty.name), &empty.name)).await;
    says(&powerless, &["permission denied", "GRANT"]);
    let stranger = refusal(as_role("nobody_knows", &empty.name)).await;
    says(&stranger, &["nobody_knows", "check the user"]);
    let role = format!("narrow_{}", empty.name);
    server.sql("postgres", &format!("CREATE ROLE {role} LOGIN SUPERUSER CONNECTION LIMIT 0")).await;
    server.sql("postgres", &format!("ALTER ROLE {role} NOSUPERUSER")).await;
    let crowded = refusal(as_role(&role, &empty.name)).await;
    says(&crowded, &["too many connections", "a node holds up to", "max_connections"]);
    assert!(crowded.is_unavailable(), "others may leave");
    server.sql("postgres", &format!("ALTER DATABASE {} SET default_transaction_read_only = on", empty.name)).await;
    says(&refusal(server.postgres.url(&empty.name)).await, &["read-only", "target_session_attrs=read-write"]);
    let strict = server.empty("").await;
    let change = format!("ALTER DATABASE {} SET default_transaction_isolation = 'repeatable read'", strict.name);
    server.sql("postgres", &change).await;
    says(&refusal(server.postgres.url(&strict.name)).await, &["repeatable read", "ALTER ROLE"]);
    says(&refusal("postgres://u@127.0.0.1:1/d?sslmode=disable".to_owned()).await, &["onnect"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_a_standby_are_told_with_what_to_do() {
    let primary = Postgres::start(&[]);
    primary.ask("postgres", "CREATE ROLE guarded LOGIN PASSWORD 'right'").expect("is made");
    primary.admit_first("host all guarded 127.0.0.1/32 scram-sha-256");
    let guarded = |password: &str| primary.url("postgres").replace("dacapo@", &format!("guarded:{password}@"));
    let told = refusal(guarded("wrong")).await;
    says(&told, &["guarded", "check the user and the password"]);
    assert!(!told.to_string().contains("wrong"), "{told}");

    let standby = tokio::task::block_in_place(|| primary.synchronous_standby());
    says(&refusal(standby.url("postgres")).await, &["standby", "name the primary"]);
}

/// The server's word for it, raised where it would be: nothing is half done, and it is over when there is space.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_commits_until_there_is_space() {
    let database = Server::shared().database().await;
    let store = PostgresStore::open(&database.options()).await.expect("opens");
    store.hold().await.expect("joins");
    database
        .sql(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$; \
             CREATE TRIGGER full_disk BEFORE INSERT ON waiting EXECUTE FUNCTION full_disk()",
        )
        .await;
    let subject = Subject::new(super::server::place()).await;
    let event = Arc::new(subject.event(&[ENDPOINT]));
    let batch = || vec![NewEvent { event: Arc::clone(&event), parked: Vec::new(), later: Vec::new() }];
    let told = store.commit(batch(), ROUTED_AT).await.expect_err("is refused");
    assert!(told.is_unavailable(), "{told}");
    says(&told, &["No space left", "free space"]);
    assert_eq!(database.count("SELECT count(*) FROM events").await, 0, "nothing is half done");
    database.sql("DROP TRIGGER full_disk ON waiting").await;
    store.commit(batch(), ROUTED_AT).await.expect("commits");
}
