//! The engine for more than one machine: PostgreSQL 15 or later, shared by any number of nodes.
//!
//! ```text
//!  commit, record, … ──► work: a few connections, a transaction a batch, several side by side
//!  due, backlog ───────► reads: never wait behind a batch
//!  look-ups, lists ────► history: never in the way of either; lists from a replica if one is named
//!  heartbeat, edits ───► upkeep: never wait behind anything
//!  word to other nodes ► upkeep, as soon as what it is about is committed (herald)
//!  other nodes' word ──► listen: one connection of its own, straight to the server
//! ```
//!
//! Unlike the embedded engine, every delivery has its `waiting` row from its commit on, so nothing is
//! to be recovered at a start, and any node can take any delivery over.

mod address;
mod births;
mod catalog;
mod codec;
mod commit;
pub(crate) mod copy;
mod detail;
mod error;
mod fan_out;
mod herald;
mod lease;
mod listen;
mod meta_events;
mod nodes;
mod partitions;
mod query;
mod queue;
mod record;
mod replays;
mod requeue;
mod retention;
mod rows;
mod scan;
mod schema;
mod session;
mod sql;
mod sweep;
#[cfg(test)]
pub(crate) mod tests;

pub use schema::Migrated;

use crate::{Result, StoreError};
use address::Address;
use dacapo_model::clock::SharedClock;
use dacapo_model::id::SystemEntropy;
use dacapo_model::{Clock, IdSource};
use session::{Purpose, Sessions, Step};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Batches under way; more wait for a connection.
const WORK_CONNECTIONS: usize = 5;
/// Reads of the queue at the same time.
const READ_CONNECTIONS: usize = 2;
/// Lists read at the same time, and now and then the sweep.
const HISTORY_CONNECTIONS: usize = 4;
/// The heartbeat, one change of the configuration, one hand-over, one word to the others.
const UPKEEP_CONNECTIONS: usize = 4;
/// A pooler that has no second connection keeps a start waiting this long.
const POOLER_ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// What the server must at least be: `server_version_num`.
const OLDEST_SERVER: i32 = 150_000;

/// How to reach the database.
#[derive(Clone, Debug)]
pub struct Options {
    pub url: String,
    /// Where lists are read, if not there: a replica, which may lag.
    pub read_url: Option<String>,
    /// Where to listen, if `url` leads to a pooler in transaction mode: straight to the server.
    pub direct_url: Option<String>,
    /// `false` behind a pooler that does not know named prepared statements (PgBouncer before 1.21).
    pub prepared: bool,
    /// What people call this node.
    pub label: String,
    /// Follows the database's time from [`crate::roles::Lease::hold`] on, where the node's own is wrong.
    pub clock: Arc<SharedClock>,
}

impl Options {
    pub fn new(url: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            read_url: None,
            direct_url: None,
            prepared: true,
            label: label.into(),
            clock: Arc::default(),
        }
    }
}

/// Whether this is a URL that [`PostgresStore::open`] understands.
pub fn check_url(url: &str) -> Result<()> {
    Address::parse(url).map(drop)
}

/// One node's store. Dropping it without [`crate::roles::Lease::release`] is a crash: what it owned is
/// taken over when its lease has expired.
pub struct PostgresStore {
    inner: Arc<Inner>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

struct Inner {
    work: Sessions,
    reads: Sessions,
    history: Sessions,
    /// Lists only: what was written a moment ago may not be there yet.
    replica: Option<Sessions>,
    upkeep: Sessions,
    lease: lease::Tenure,
    arrivals: listen::Announcer,
    herald: herald::Herald,
    left_behind: sweep::LeftBehind,
    newer: watch::Sender<u64>,
    newer_replays: watch::Sender<u64>,
    /// Rises when some may be due.
    meta_events_in: watch::Sender<u64>,
}

impl PostgresStore {
    /// Connects, migrates, and listens. Owns nothing yet: see [`crate::roles::Lease::hold`].
    pub async fn open(options: &Options) -> Result<Self> {
        let address = Address::parse(&options.url)?;
        let read = options.read_url.as_deref().map(Address::parse).transpose()?;
        let direct = options.direct_url.as_deref().map_or_else(|| Ok(address.clone()), Address::parse)?;
        let sessions = |address: &Address, most| Sessions::new(address, most, options.prepared);
        let node = IdSource::new(SystemEntropy).mint(options.clock.now()).0;
        let inner = Arc::new(Inner {
            work: sessions(&address, WORK_CONNECTIONS)?,
            reads: sessions(&address, READ_CONNECTIONS)?,
            history: sessions(&address, HISTORY_CONNECTIONS)?,
            replica: read.map(|read| sessions(&read, HISTORY_CONNECTIONS)).transpose()?,
            upkeep: sessions(&address, UPKEEP_CONNECTIONS)?,
            lease: lease::Tenure::new(node, options.label.clone(), Arc::clone(&options.clock)),
            arrivals: listen::Announcer::default(),
            herald: herald::Herald::default(),
            left_behind: sweep::LeftBehind::default(),
            newer: watch::channel(0).0,
            newer_replays: watch::channel(0).0,
            meta_events_in: watch::channel(0).0,
        });
        let durability = look_at_server(&inner.upkeep).await?;
        if options.prepared {
            look_at_poolers(&inner.upkeep).await?;
        }
        inner.work.set_durability(&durability);
        inner.upkeep.set_durability(&durability);
        schema::migrate(&inner.upkeep, false).await?;
        schema::make_partitions(&inner.upkeep, options.clock.now()).await?;
        let store = Self { inner: Arc::clone(&inner), tasks: Mutex::default() };
        store.run(listen::keep(Arc::clone(&inner), direct));
        store.run(sweep::keep(Arc::clone(&inner)));
        store.run(herald::keep(inner));
        Ok(store)
    }

    /// Brings the schema up to date, or with `check` only says what it is.
    pub async fn migrate(options: &Options, check: bool) -> Result<Migrated> {
        let address = Address::parse(&options.url)?;
        let sessions = Sessions::new(&address, UPKEEP_CONNECTIONS, options.prepared)?;
        schema::migrate(&sessions, check).await
    }

    fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(tokio::spawn(task));
    }

    fn close(&self) {
        let inner = &self.inner;
        let always = [&inner.work, &inner.reads, &inner.history, &inner.upkeep];
        for sessions in always.into_iter().chain(&inner.replica) {
            sessions.close();
        }
        self.end_tasks();
    }

    fn end_tasks(&self) {
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.end_tasks();
    }
}

impl Inner {
    fn check_open(&self) -> Result<()> {
        self.work.check_open()
    }

    /// Another node, or this one, has written the catalog.
    fn tell_newer(&self, version: u64) {
        tell(&self.newer, version);
    }

    /// Has changed a replay.
    fn tell_newer_replays(&self, revision: u64) {
        tell(&self.newer_replays, revision);
    }
}

fn tell(newer: &watch::Sender<u64>, version: u64) {
    newer.send_if_modified(|told| {
        let rises = version > *told;
        *told = version.max(*told);
        rises
    });
}

static ONE: session::Sql = session::Sql { text: "SELECT 1", types: &[] };

/// Whether a statement that a connection prepared is still known to it while another one is busy: a pooler in
/// transaction mode gives it another of its own connections then, and old ones forget what was prepared. (One
/// that has none to give says nothing, and is found out later.)
async fn look_at_poolers(sessions: &Sessions) -> Result<()> {
    sessions.once(Purpose::Work, Step::Known(&ONE, Vec::new())).await?;
    let prepared = sessions.transaction(Purpose::Work).await?;
    let mut busy = sessions.transaction(Purpose::Work).await?;
    busy.run(vec![Step::Once("SELECT 1", Vec::new())]).await?;
    let again = prepared.commit(vec![Step::Known(&ONE, Vec::new())]);
    tokio::time::timeout(POOLER_ANSWERS_WITHIN, again).await.map_or(Ok(()), |answer| answer.map(drop))
}

/// Things that would go wrong later and less clearly. Gives what `synchronous_commit` is set to.
async fn look_at_server(sessions: &Sessions) -> Result<String> {
    let look = "SELECT current_setting('server_version_num')::int4, current_setting('server_encoding'), \
                pg_is_in_recovery(), current_setting('synchronous_commit'), current_setting('default_transaction_isolation')";
    let rows = sessions.once(Purpose::List(session::LOOK_TIME_MAX), Step::Once(look, Vec::new())).await?;
    let row = &rows[0];
    let (version, encoding): (i32, String) = (row.try_get(0)?, row.try_get(1)?);
    if version < OLDEST_SERVER {
        return Err(StoreError::Refused(format!("PostgreSQL 15 or later is needed, this is {}", version / 10_000)));
    }
    if encoding != "UTF8" {
        return Err(StoreError::Refused(format!(
            "the database's encoding is {encoding}: make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )));
    }
    let isolation: String = row.try_get(4)?;
    // Who has waited for a lock has to see what its holder wrote.
    if isolation != "read committed" {
        return Err(StoreError::Refused(format!(
            "transactions are {isolation} by default here: ALTER ROLE … SET default_transaction_isolation = 'read committed' \
             for the role nodes connect as"
        )));
    }
    if row.try_get(2)? {
        return Err(StoreError::Unavailable(
            "the server is a standby and cannot be written; name the primary, or several hosts with \
             target_session_attrs=read-write"
                .to_owned(),
        ));
    }
    Ok(row.try_get(3)?)
}
