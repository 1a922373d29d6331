//! One server for all tests of a run, a database for each of them.

use super::super::{Options, PostgresStore};
use crate::conformance::Place;
use crate::roles::Lease;
use crate::{Result, Store};
use async_trait::async_trait;
use dacapo_peers::Postgres;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::OnceCell;
use tokio_postgres::NoTls;

/// Lives as long as a test uses it: a process that ends does not drop what is static.
static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static DATABASES: AtomicU32 = AtomicU32::new(0);
/// What a power failure leaves is tested on a server that flushes (see durability.rs).
const UNSAFE_BUT_QUICK: &[&str] = &["fsync = off", "full_page_writes = off"];
const TEMPLATE: &str = "template_dacapo";

pub struct Server {
    pub postgres: Postgres,
    migrated: OnceCell<()>,
}

impl Server {
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self { postgres: Postgres::start(UNSAFE_BUT_QUICK), migrated: OnceCell::new() });
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// An empty, migrated database.
    pub async fn database(self: &Arc<Self>) -> Database {
        let migrated = self.migrated.get_or_init(async || {
            self.sql("postgres", &format!("CREATE DATABASE {TEMPLATE}")).await;
            let store = PostgresStore::open(&Options::new(self.postgres.url(TEMPLATE), "template")).await;
            store.expect("migrates").release().await.expect("releases");
            // A copy is made of a database nobody is connected to.
            self.sql("postgres", &format!("ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS false")).await;
            self.sql(
                "postgres",
                &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{TEMPLATE}'"),
            )
            .await;
        });
        migrated.await;
        self.empty(&format!("TEMPLATE {TEMPLATE}")).await
    }

    /// A database without a schema.
    pub async fn empty(self: &Arc<Self>, how: &str) -> Database {
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} {how}")).await;
        Database { server: Arc::clone(self), name }
    }

    pub async fn sql(&self, database: &str, text: &str) {
        let (client, connection) =
            tokio_postgres::connect(&self.postgres.url(database), NoTls).await.expect("connects");
        let drive = tokio::spawn(connection);
        client.batch_execute(text).await.expect("runs");
        drop(client);
        let _ = drive.await;
    }
}

#[derive(Clone)]
pub struct Database {
    pub server: Arc<Server>,
    pub name: String,
}

impl Database {
    pub fn options(&self) -> Options {
        Options::new(self.server.postgres.url(&self.name), "test")
    }

    pub async fn sql(&self, text: &str) {
        self.server.sql(&self.name, text).await;
    }

    /// The one number a statement gives.
    pub async fn count(&self, text: &str) -> i64 {
        let (client, connection) = tokio_postgres::connect(&self.options().url, NoTls).await.expect("connects");
        let drive = tokio::spawn(connection);
        let count = client.query_one(text, &[]).await.expect("counts").get(0);
        drop(client);
        let _ = drive.await;
        count
    }
}

/// A database that is made when it is first opened.
struct Lazy {
    database: OnceCell<Database>,
    /// Holds a lock that keeps deposed nodes' heartbeats waiting.
    held_up: Option<tokio_postgres::Client>,
}

impl Lazy {
    async fn database(&self) -> &Database {
        self.database.get_or_init(async || Server::shared().database().await).await
    }
}

#[async_trait]
impl Place for Lazy {
    async fn open(&self) -> Result<Arc<dyn Store>> {
        let store = PostgresStore::open(&self.database().await.options()).await?;
        store.hold().await?;
        Ok(Arc::new(store))
    }

    /// The node is gone and its lease has expired: its connections are cut, its rows taken away. (What
    /// a power failure of the server leaves is a test of its own.)
    async fn depose(&mut self) {
        let database = self.database().await;
        let (client, connection) = tokio_postgres::connect(&database.options().url, NoTls).await.expect("connects");
        tokio::spawn(connection);
        client.batch_execute("BEGIN; SELECT FROM nodes FOR UPDATE").await.expect("locks");
        database.sql("UPDATE shards SET owner = NULL WHERE shard % 2 = 0").await;
        self.held_up = Some(client);
    }

    async fn crash(&mut self) {
        let database = self.database().await;
        database
            .sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid(); \
                 UPDATE shards SET owner = NULL; DELETE FROM nodes",
            )
            .await;
    }
}

pub fn place() -> Box<dyn Place> {
    Box::new(Lazy { database: OnceCell::new(), held_up: None })
}
