//! The one thread that writes. Everything queued while the last transaction was being flushed goes
//! into the next one: no delay when idle, large batches under load, one fsync for all.
//!
//! A job that fails must not fail its neighbours: the transaction is rolled back and each job runs
//! again in one of its own.

use super::checkpoint::Checkpointer;
use super::commit::CommitStatements;
use super::endpoint_log;
use super::floor::Floor;
use super::fresh::{Fresh, Parents};
use super::lease::DirectoryLock;
use super::record::RecordStatements;
use crate::{Result, StoreError};
use dacapo_model::Id;
use rusqlite::{Connection, Statement};
use std::collections::HashSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Jobs that may wait for the writer; callers beyond that wait for a place.
const JOBS_QUEUED_MAX: usize = 64;
/// Jobs one transaction takes in: bounds how long one fsync makes the first of them wait.
const JOBS_PER_TRANSACTION_MAX: usize = 32;
/// A fresh delivery older than this goes into the queue table, so that recovery looks at little.
const FRESH_AGE_MAX: Duration = Duration::from_secs(30);
/// How many of those one transaction moves.
const FRESH_PARKED_PER_TRANSACTION_MAX: usize = 256;

/// What the jobs of a transaction work with.
pub struct Session<'c> {
    pub connection: &'c Connection,
    /// Prepared, as parsing them would cost each transaction more than they do.
    begin: Statement<'c>,
    end: Statement<'c>,
    pub fresh: &'c Fresh,
    floor: Floor<'c>,
    pub commit: CommitStatements<'c>,
    pub record: RecordStatements<'c>,
    pub effects: Effects,
    /// Of committed events only.
    pub endpoint_tail: endpoint_log::Tail,
}

/// What a transaction changes in memory.
#[derive(Default)]
pub struct Effects {
    /// Orders of deliveries that became fresh.
    pub born: Vec<u64>,
    /// Orders of deliveries that are fresh no longer.
    pub gone: HashSet<u64>,
    /// The newest event stored.
    pub newest_event: Option<u64>,
    /// How many were stored.
    pub events: usize,
    /// The floor that was written.
    pub floor_written: Option<u64>,
    /// Endpoint and order of all deliveries born.
    pub endpoint_pairs: Vec<(Id, u64)>,
    /// What had gathered for the endpoint log is in it now.
    pub endpoint_tail_written: bool,
}

impl<'c> Session<'c> {
    fn prepare(connection: &'c Connection, fresh: &'c Fresh) -> Result<Self> {
        Ok(Self {
            connection,
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            end: connection.prepare("COMMIT")?,
            fresh,
            floor: Floor::prepare(connection)?,
            commit: CommitStatements::prepare(connection)?,
            record: RecordStatements::prepare(connection)?,
            effects: Effects::default(),
            endpoint_tail: endpoint_log::Tail::default(),
        })
    }

    /// The oldest delivery that no table holds, this transaction's births included.
    pub fn oldest_fresh(&self) -> Option<u64> {
        self.fresh.first().into_iter().chain(self.effects.born.iter().copied().min()).min()
    }
}

/// Dropped, it waits for what was queued; then the file is closed and its lock free.
pub struct Writer {
    messages: mpsc::Sender<Message>,
    /// After `messages`: fields are dropped in this order, and the thread ends when nobody can send.
    _thread: JoinOnDrop,
}

/// Waits for the thread's end. What makes it end must have happened before.
pub struct JoinOnDrop(pub Option<JoinHandle<()>>);

impl Drop for JoinOnDrop {
    fn drop(&mut self) {
        if self.0.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a thread of the store panicked");
        }
    }
}

enum Message {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

/// One atomic piece of work. May run twice: alone, after a neighbour failed.
trait Job: Send {
    fn run(&mut self, session: &mut Session<'_>) -> Result<()>;
    /// Tells the caller; one who has gone away is not waited for.
    fn reply(self: Box<Self>, failure: Option<&StoreError>);
}

struct Task<T, W> {
    work: W,
    outcome: Option<T>,
    answer: oneshot::Sender<Result<T>>,
}

impl<T: Send, W: FnMut(&mut Session<'_>) -> Result<T> + Send> Job for Task<T, W> {
    fn run(&mut self, session: &mut Session<'_>) -> Result<()> {
        self.outcome = Some((self.work)(session)?);
        Ok(())
    }

    fn reply(self: Box<Self>, failure: Option<&StoreError>) {
        let not_run = || StoreError::Refused("the job was not run".to_owned());
        let result = match failure {
            Some(cause) => Err(cause.clone()),
            None => self.outcome.ok_or_else(not_run),
        };
        let _ = self.answer.send(result);
    }
}

impl Writer {
    /// The thread owns all that writing needs, the directory's lock last of it.
    pub fn start(
        connection: Connection,
        fresh: Arc<Fresh>,
        checkpointer: Checkpointer,
        lock: DirectoryLock,
    ) -> Result<Self> {
        let (messages, queue) = mpsc::channel(JOBS_QUEUED_MAX);
        let thread = std::thread::Builder::new()
            .name("dacapo-writer".to_owned())
            .spawn(move || {
                let closing = write_until_closed(&connection, &fresh, &checkpointer, queue).unwrap_or_else(|cause| {
                    tracing::error!(%cause, "the writer cannot go on");
                    Vec::new()
                });
                drop((checkpointer, connection));
                drop(lock);
                for answer in closing {
                    let _ = answer.send(());
                }
            })
            .map_err(|cause| StoreError::Unavailable(format!("cannot start a thread: {cause}")))?;
        Ok(Self { messages, _thread: JoinOnDrop(Some(thread)) })
    }

    /// Hands work over and waits for the transaction it was part of.
    pub async fn run<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnMut(&mut Session<'_>) -> Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(Task { work, outcome: None, answer });
        self.messages.send(Message::Job(job)).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    pub fn check_open(&self) -> Result<()> {
        if self.messages.is_closed() { Err(closed()) } else { Ok(()) }
    }

    /// Ends the thread after what was queued before; then the file is closed and its lock free.
    pub async fn close(&self) {
        let (answer, answered) = oneshot::channel();
        if self.messages.send(Message::Close(answer)).await.is_ok() {
            let _ = answered.await;
        }
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

/// Gives those who asked for the end and wait for it.
fn write_until_closed(
    connection: &Connection,
    fresh: &Fresh,
    checkpointer: &Checkpointer,
    mut queue: mpsc::Receiver<Message>,
) -> Result<Vec<oneshot::Sender<()>>> {
    let mut session = Session::prepare(connection, fresh)?;
    let mut closing = Vec::new();
    let mut messages = Vec::with_capacity(JOBS_PER_TRANSACTION_MAX);
    while queue.blocking_recv_many(&mut messages, JOBS_PER_TRANSACTION_MAX) > 0 {
        let mut jobs = Vec::with_capacity(messages.len());
        for message in messages.drain(..) {
            match message {
                Message::Job(job) => jobs.push(job),
                Message::Close(answer) => closing.push(answer),
            }
        }
        if !jobs.is_empty() {
            transact(&mut session, jobs);
            checkpointer.after_commit(connection);
        }
        if !closing.is_empty() {
            queue.close();
        }
    }
    session.floor.catch_up(connection, fresh.first());
    Ok(closing)
}

fn transact(session: &mut Session<'_>, mut jobs: Vec<Box<dyn Job>>) {
    match try_together(session, &mut jobs) {
        Ok(()) => jobs.into_iter().for_each(|job| job.reply(None)),
        Err(cause) if jobs.len() == 1 || cause.is_unavailable() => {
            jobs.into_iter().for_each(|job| job.reply(Some(&cause)));
        }
        Err(_) => {
            for mut job in jobs {
                let result = try_together(session, std::slice::from_mut(&mut job));
                job.reply(result.err().as_ref());
            }
        }
    }
}

fn try_together(session: &mut Session<'_>, jobs: &mut [Box<dyn Job>]) -> Result<()> {
    session.effects = Effects::default();
    // Only after a ROLLBACK failed: without this no transaction could ever begin again.
    if !session.connection.is_autocommit() {
        session.connection.execute_batch("ROLLBACK")?;
    }
    session.begin.execute([])?;
    let result = run_and_commit(session, jobs);
    match &result {
        Ok(()) => {
            session.fresh.leave(&session.effects.gone);
            if session.effects.endpoint_tail_written {
                session.endpoint_tail.clear();
            }
            session.endpoint_tail.extend(&session.effects.endpoint_pairs);
            session.floor.committed(&session.effects);
        }
        Err(_) => {
            session.fresh.leave(&session.effects.born);
            // Some failures end the transaction by themselves.
            if !session.connection.is_autocommit() {
                session.connection.execute_batch("ROLLBACK")?;
            }
        }
    }
    result
}

fn run_and_commit(session: &mut Session<'_>, jobs: &mut [Box<dyn Job>]) -> Result<()> {
    for job in jobs {
        job.run(session)?;
    }
    park_old_fresh(session)?;
    session.effects.floor_written = session.floor.keep(session.oldest_fresh(), &session.effects)?;
    session.effects.endpoint_tail_written = endpoint_log::write_if_full(session)?;
    session.fresh.enter(&session.effects.born);
    session.end.execute([])?;
    Ok(())
}

/// Deliveries that dispatch holds for long (a slow or limited endpoint) go into the queue table.
fn park_old_fresh(session: &mut Session<'_>) -> Result<()> {
    let (Some(oldest), Some(newest)) = (session.fresh.first(), session.effects.newest_event) else {
        return Ok(());
    };
    let limit = Id::from_parts(newest, 0).time().minus(FRESH_AGE_MAX);
    if Id::from_parts(oldest, 0).time() >= limit {
        return Ok(());
    }
    let mut parents = Parents::prepare(session.connection)?;
    for order in session.fresh.oldest(Id::floor_of(limit).order(), FRESH_PARKED_PER_TRANSACTION_MAX) {
        if session.effects.gone.contains(&order) {
            continue;
        }
        // A row that does not read must not keep every later event from being stored.
        let delivery = match parents.of(order) {
            Ok(parent) => parent.and_then(|(event, index)| event.delivery(index)),
            Err(cause @ StoreError::Inconsistent { .. }) => {
                tracing::error!(%cause, "a delivery under way cannot be moved to the queue");
                continue;
            }
            Err(cause) => return Err(cause),
        };
        if let Some(delivery) = delivery {
            session.commit.park.run(&delivery)?;
        }
        session.effects.gone.insert(order);
    }
    Ok(())
}
