//! Connections and transactions: bounded in number and in time, given back clean or not at all.
//!
//! A [`Step`] is a statement with its values. The steps of one call are sent at once, without waiting
//! for each other's answers (pipelined). Everything a connection needs is said within the
//! transaction (`SET LOCAL`), so a pooler in transaction mode may stand in between; where it breaks
//! named prepared statements, statements are sent whole ([`super::Options::prepared`]).

use super::address::{Address, CONNECT_TIMEOUT};
use super::error;
use crate::{Result, StoreError};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, QueueMode, RecyclingMethod, Runtime};
use futures_util::future::{BoxFuture, join_all};
use std::sync::LazyLock;
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

/// The server ends a statement of the pipeline that runs longer.
const WORK_TIME_MAX: Duration = Duration::from_secs(8);
/// The server ends a transaction whose client has fallen silent in the middle of it: what it holds
/// (the node's fence, above all) must not outlast the client by much.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// A look at the server, at a start.
pub const LOOK_TIME_MAX: Duration = Duration::from_secs(5);
/// As long as a person's change may take between looking and writing.
const EDIT_SILENCE_MAX: Duration = Duration::from_secs(15);
/// After this much more than the server's own limit, no answer will come.
const ANSWER_GRACE: Duration = Duration::from_secs(4);
/// How long a caller waits for a connection to become free.
const CONNECTION_WAIT: Duration = Duration::from_secs(5);

/// A statement of ours; `types` are those of its values, `$1` first.
pub struct Sql {
    pub text: &'static str,
    pub types: &'static [Type],
}

pub type Value<'a> = &'a (dyn ToSql + Sync);

pub enum Step<'a> {
    Known(&'a Sql, Vec<Value<'a>>),
    /// Made for the occasion, not kept.
    Once(&'a str, Vec<(Value<'a>, Type)>),
}

/// A function of ours that is a transaction by itself and says what it needs; its first value, not among these, is
/// `synchronous_commit`.
pub struct Call<'a> {
    pub function: &'static Sql,
    pub values: Vec<Value<'a>>,
}

/// What a transaction is for: its limits, and how the planner is to go about it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Writes and short reads of the pipeline: always by index, whatever the statistics say of a
    /// queue that was empty a minute ago. (What cannot go by index counts as very dear then, which
    /// would set the just-in-time compiler off: it is off.)
    Work,
    /// People's lists: any plan, one snapshot, for a bounded time; longer is `TooSlow`.
    List(Duration),
    /// A page of what a selector means: a list, but by index as `Work`. The planner takes a range of ids that comes from
    /// another row for a two-hundredth of its table, so that for a page of them it would rather read all of it.
    Scan(Duration),
    /// A long read of the pipeline's own.
    Walk(Duration),
    /// One statement that is a transaction by itself and says what it needs.
    Alone,
    /// The same, for as long as it takes.
    Sweep,
    /// A change of the configuration: somebody looks at things between its lock and its write.
    Edit,
    /// Partitions and the like: waits for locks only briefly.
    Upkeep(Duration),
    /// A step of the schema: takes as long as it takes, an index over a large store above all. What it may
    /// wait for is the step's to say.
    Migration,
}

/// [`WORK_SETTINGS`] says the same for statements that are kept.
const BY_INDEX: &str =
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";

/// What `Work` sets, as one statement that need not be parsed each time; `$1`: `synchronous_commit`.
static WORK_SETTINGS: LazyLock<String> = LazyLock::new(|| {
    let (time, silence) = (WORK_TIME_MAX.as_millis(), SILENCE_MAX.as_millis());
    format!(
        "SELECT set_config('statement_timeout', '{time}', true), \
         set_config('idle_in_transaction_session_timeout', '{silence}', true), \
         set_config('synchronous_commit', $1, true), set_config('jit', 'off', true), \
         set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), \
         set_config('enable_mergejoin', 'off', true), \
         set_config('plan_cache_mode', 'force_generic_plan', true)"
    )
});

impl Purpose {
    /// Of one statement; `None`: a lost connection alone ends it.
    const fn time_max(self) -> Option<Duration> {
        match self {
            Self::Work | Self::Alone | Self::Edit => Some(WORK_TIME_MAX),
            Self::List(most) | Self::Scan(most) | Self::Walk(most) | Self::Upkeep(most) => Some(most),
            Self::Migration | Self::Sweep => None,
        }
    }

    fn begin(self, durability: &str) -> String {
        // 0 is no limit.
        let (time, silence) = (self.time_max().map_or(0, |most| most.as_millis()), SILENCE_MAX.as_millis());
        let limits =
            format!("SET LOCAL statement_timeout = {time}; SET LOCAL idle_in_transaction_session_timeout = {silence}");
        match self {
            Self::Work => {
                format!("BEGIN; {limits}; SET LOCAL synchronous_commit = {durability}; SET LOCAL jit = off; {BY_INDEX}")
            }
            Self::Alone | Self::Sweep => String::new(),
            // Compiling a plan takes longer than most lists.
            Self::List(_) | Self::Walk(_) => {
                format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {limits}; SET LOCAL jit = off")
            }
            Self::Scan(_) => {
                format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {limits}; SET LOCAL jit = off; {BY_INDEX}")
            }
            Self::Edit => format!(
                "BEGIN; {limits}; SET LOCAL synchronous_commit = {durability}; \
                 SET LOCAL idle_in_transaction_session_timeout = {}",
                EDIT_SILENCE_MAX.as_millis()
            ),
            Self::Upkeep(most) => format!(
                "BEGIN; {limits}; SET LOCAL synchronous_commit = {durability}; SET LOCAL lock_timeout = {}",
                most.as_millis() / 2
            ),
            Self::Migration => {
                format!("BEGIN; {limits}; SET LOCAL synchronous_commit = {durability}; SET LOCAL lock_timeout = 0")
            }
        }
    }
}

/// Connections to one server.
pub struct Sessions {
    pool: Pool,
    prepared: bool,
    /// What `synchronous_commit` is set to: `on`, or what is stronger than that.
    durability: std::sync::OnceLock<&'static str>,
}

impl Sessions {
    /// Connects when first asked.
    pub fn new(address: &Address, connections_max: usize, prepared: bool) -> Result<Self> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(address.config.clone(), address.tls.clone(), recycling);
        let pool = Pool::builder(manager)
            .max_size(connections_max)
            // The one used last: what its backend has in mind is still at hand, for it and for the processor.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(CONNECTION_WAIT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .recycle_timeout(Some(CONNECT_TIMEOUT))
            .build()
            .map_err(|cause| StoreError::Refused(cause.to_string()))?;
        Ok(Self { pool, prepared, durability: std::sync::OnceLock::new() })
    }

    /// Only ever stronger than `on`, as the server is configured to be.
    pub fn set_durability(&self, configured: &str) {
        let _ = self.durability.set(if configured == "remote_apply" { "remote_apply" } else { "on" });
    }

    pub fn check_open(&self) -> Result<()> {
        if self.pool.is_closed() { Err(error::closed()) } else { Ok(()) }
    }

    /// Not begun before its first steps are sent.
    pub async fn transaction(&self, purpose: Purpose) -> Result<Transaction> {
        self.check_open()?;
        let connection = self.pool.get().await?;
        let durability = self.durability();
        Ok(Transaction { connection: Some(connection), prepared: self.prepared, purpose, durability, begun: false })
    }

    fn durability(&self) -> &'static str {
        self.durability.get().copied().unwrap_or("on")
    }

    /// The rows it gives; durable then.
    pub async fn call(&self, call: Call<'_>) -> std::result::Result<Vec<Row>, Failure> {
        let durability = self.durability();
        let mut values: Vec<Value<'_>> = vec![&durability];
        values.extend(call.values);
        let step = Step::Known(call.function, values);
        let answers = self.transaction(Purpose::Alone).await?.try_commit(vec![step]).await?;
        Ok(answers.into_iter().next().unwrap_or_default())
    }

    /// One statement in a transaction of its own.
    pub async fn once(&self, purpose: Purpose, step: Step<'_>) -> Result<Vec<Row>> {
        let answers = self.transaction(purpose).await?.commit(vec![step]).await?;
        Ok(answers.into_iter().next().unwrap_or_default())
    }

    /// Callers get `Unavailable` from here on; what is under way is finished.
    pub fn close(&self) {
        self.pool.close();
    }
}

/// A transaction. Dropped without [`Self::commit`], it is rolled back.
pub struct Transaction {
    connection: Option<Object>,
    prepared: bool,
    purpose: Purpose,
    durability: &'static str,
    begun: bool,
}

/// Why a transaction failed, with the code by which a caller may know better.
pub struct Failure {
    pub cause: StoreError,
    pub code: Option<SqlState>,
}

type Answer<'a> = BoxFuture<'a, std::result::Result<Vec<Row>, tokio_postgres::Error>>;

impl Transaction {
    /// Rows of each step, in order; the first failure fails all of them.
    pub async fn run(&mut self, steps: Vec<Step<'_>>) -> Result<Vec<Vec<Row>>> {
        self.send(steps, false).await.map_err(|failure| failure.cause)
    }

    /// As [`Self::run`], with the code by which a caller may know better.
    pub async fn try_run(&mut self, steps: Vec<Step<'_>>) -> std::result::Result<Vec<Vec<Row>>, Failure> {
        self.send(steps, false).await
    }

    /// Durable when it returns `Ok`.
    pub async fn commit(self, steps: Vec<Step<'_>>) -> Result<Vec<Vec<Row>>> {
        self.try_commit(steps).await.map_err(|failure| failure.cause)
    }

    pub async fn try_commit(mut self, steps: Vec<Step<'_>>) -> std::result::Result<Vec<Vec<Row>>, Failure> {
        self.send(steps, true).await
    }

    /// Several statements of ours without values.
    pub async fn script(&mut self, text: &str) -> Result<()> {
        self.run(Vec::new()).await?;
        let Some(connection) = &self.connection else { return Err(lost()) };
        Ok(connection.batch_execute(text).await?)
    }

    async fn send(&mut self, steps: Vec<Step<'_>>, commit: bool) -> std::result::Result<Vec<Vec<Row>>, Failure> {
        let is_list = matches!(self.purpose, Purpose::List(_) | Purpose::Scan(_));
        let limit = self.purpose.time_max().map(|most| most + ANSWER_GRACE);
        let pipeline = self.pipeline(&steps, commit);
        let answers = match limit {
            Some(limit) => tokio::time::timeout(limit, pipeline).await,
            None => Ok(pipeline.await),
        };
        match answers {
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(failure)) if is_list && failure.code == Some(SqlState::QUERY_CANCELED) => {
                Err(Failure { cause: StoreError::TooSlow, ..failure })
            }
            Ok(Err(failure)) => Err(failure),
            Err(_) => {
                // Nobody knows what the connection is in the middle of: it is not used again.
                drop(self.connection.take().map(Object::take));
                let cause = StoreError::Unavailable("the database did not answer in time".to_owned());
                Err(Failure { cause, code: None })
            }
        }
    }

    async fn pipeline(&mut self, steps: &[Step<'_>], commit: bool) -> std::result::Result<Vec<Vec<Row>>, Failure> {
        let Some(connection) = &self.connection else { return Err(lost().into()) };
        // All statements are prepared before any is sent: one that waited for its preparation would
        // be overtaken by those behind it, the COMMIT among them.
        let mut prepared = Vec::with_capacity(steps.len());
        for step in steps {
            prepared.push(match step {
                Step::Known(sql, _) if self.prepared => {
                    Some(connection.prepare_typed_cached(sql.text, sql.types).await?)
                }
                _ => None,
            });
        }
        let is_bare = matches!(self.purpose, Purpose::Alone | Purpose::Sweep);
        let begins = !self.begun && !is_bare;
        let settings = if begins && self.prepared && self.purpose == Purpose::Work {
            Some(connection.prepare_typed_cached(&WORK_SETTINGS, &[Type::TEXT]).await?)
        } else {
            None
        };
        let preamble = match settings {
            Some(_) => "BEGIN".to_owned(),
            None => self.purpose.begin(self.durability),
        };
        self.begun = !is_bare;
        let mut answers: Vec<Answer<'_>> = Vec::with_capacity(steps.len() + 3);
        let durability: Value<'_> = &self.durability;
        if begins {
            answers.push(Box::pin(async { connection.batch_execute(&preamble).await.map(|()| Vec::new()) }));
        }
        if let Some(settings) = &settings {
            answers.push(Box::pin(async move { connection.query(settings, &[durability]).await }));
        }
        let before = answers.len();
        for (step, statement) in steps.iter().zip(&prepared) {
            answers.push(match (step, statement) {
                (Step::Known(_, values), Some(statement)) => Box::pin(connection.query(statement, values)),
                (Step::Known(sql, values), None) => {
                    let typed: Vec<_> = values.iter().copied().zip(sql.types.iter().cloned()).collect();
                    Box::pin(async move { connection.query_typed(sql.text, &typed).await })
                }
                (Step::Once(text, values), _) => Box::pin(connection.query_typed(text, values)),
            });
        }
        if commit && !is_bare {
            answers.push(Box::pin(async { connection.batch_execute("COMMIT").await.map(|()| Vec::new()) }));
        }
        // Polled in order, and each is sent when first polled. A COMMIT behind a failed statement
        // is a ROLLBACK.
        let answers = join_all(answers).await;
        self.begun = !commit;
        let mut rows = answers.into_iter().collect::<std::result::Result<Vec<_>, _>>()?;
        rows.drain(..before);
        rows.truncate(steps.len());
        Ok(rows)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if !self.begun || connection.is_closed() {
            return;
        }
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move {
                    let rolled_back = tokio::time::timeout(CONNECT_TIMEOUT, connection.batch_execute("ROLLBACK")).await;
                    if !matches!(rolled_back, Ok(Ok(()))) {
                        drop(Object::take(connection));
                    }
                });
            }
            Err(_) => drop(Object::take(connection)),
        }
    }
}

fn lost() -> StoreError {
    StoreError::Unavailable("the connection was lost".to_owned())
}

impl From<StoreError> for Failure {
    fn from(cause: StoreError) -> Self {
        Self { cause, code: None }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self { cause: error::from_postgres(&error), code: error.code().cloned() }
    }
}
