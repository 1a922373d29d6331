//! The one thread that writes. Everything queued while the last transaction was being flushed goes
//! into the next one: no delay when idle, large batches under load, one fsync for all.
//!
//! A job that fails must not fail its neighbours: the transaction is rolled back and each job runs
//! again in one of its own.

use super::checkpoint::Checkpointer;
use super::codec;
use super::commit::CommitStatements;
use super::fresh::Fresh;
use super::record::RecordStatements;
use crate::{Result, StoreError};
use dacapo_model::Id;
use rusqlite::Connection;
use std::sync::Arc;
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
    pub fresh: &'c Fresh,
    pub commit: CommitStatements<'c>,
    pub record: RecordStatements<'c>,
    pub effects: Effects,
}

/// What a transaction changes in memory, applied after its commit.
#[derive(Default)]
pub struct Effects {
    /// Orders of deliveries that became fresh, rising.
    pub born: Vec<u64>,
    /// Orders of deliveries that are fresh no longer.
    pub gone: Vec<u64>,
    /// The newest event stored.
    pub newest_event: Option<u64>,
}

pub struct Writer(mpsc::Sender<Message>);

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
    pub fn start(connection: Connection, fresh: Arc<Fresh>, checkpointer: Checkpointer) -> Result<Self> {
        let (messages, queue) = mpsc::channel(JOBS_QUEUED_MAX);
        std::thread::Builder::new()
            .name("dacapo-writer".to_owned())
            .spawn(move || {
                if let Err(cause) = write_until_closed(&connection, &fresh, &checkpointer, queue) {
                    tracing::error!(%cause, "the writer cannot go on");
                }
            })
            .map_err(|cause| StoreError::Unavailable(format!("cannot start a thread: {cause}")))?;
        Ok(Self(messages))
    }

    /// Hands work over and waits for the transaction it was part of.
    pub async fn run<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnMut(&mut Session<'_>) -> Result<T> + Send + 'static,
    {
        let closed = || StoreError::Unavailable("the store is closed".to_owned());
        let (answer, answered) = oneshot::channel();
        let job = Box::new(Task { work, outcome: None, answer });
        self.0.send(Message::Job(job)).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// Ends the thread after what was queued before.
    pub async fn close(&self) {
        let (answer, answered) = oneshot::channel();
        if self.0.send(Message::Close(answer)).await.is_ok() {
            let _ = answered.await;
        }
    }
}

fn write_until_closed(
    connection: &Connection,
    fresh: &Fresh,
    checkpointer: &Checkpointer,
    mut queue: mpsc::Receiver<Message>,
) -> Result<()> {
    let mut session = Session {
        connection,
        fresh,
        commit: CommitStatements::prepare(connection)?,
        record: RecordStatements::prepare(connection)?,
        effects: Effects::default(),
    };
    let mut messages = Vec::with_capacity(JOBS_PER_TRANSACTION_MAX);
    while queue.blocking_recv_many(&mut messages, JOBS_PER_TRANSACTION_MAX) > 0 {
        let mut jobs = Vec::with_capacity(messages.len());
        let mut closing = Vec::new();
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
            for answer in closing {
                let _ = answer.send(());
            }
        }
    }
    Ok(())
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
    session.connection.execute_batch("BEGIN IMMEDIATE")?;
    if let Err(cause) = run_and_commit(session, jobs) {
        if !session.connection.is_autocommit() {
            session.connection.execute_batch("ROLLBACK")?;
        }
        return Err(cause);
    }
    session.fresh.update(&session.effects.born, &session.effects.gone);
    Ok(())
}

fn run_and_commit(session: &mut Session<'_>, jobs: &mut [Box<dyn Job>]) -> Result<()> {
    for job in jobs {
        job.run(session)?;
    }
    park_old_fresh(session)?;
    raise_floor(session)?;
    session.connection.execute_batch("COMMIT")?;
    Ok(())
}

/// See [`super::fresh`]: from which delivery on recovery must look.
fn raise_floor(session: &Session<'_>) -> Result<()> {
    let held = session.fresh.first();
    let born = session.effects.born.first().copied();
    let Some(floor) = held.into_iter().chain(born).min().or(session.effects.newest_event) else {
        return Ok(());
    };
    let sql = "UPDATE meta SET value = ?1 WHERE key = 'fresh_floor' AND value < ?1";
    session.connection.prepare_cached(sql)?.execute([floor.cast_signed()])?;
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
    let sql = format!("SELECT {} FROM events e WHERE e.ord < ?1 ORDER BY e.ord DESC LIMIT 1", codec::EVENT_COLUMNS);
    let mut event_of = session.connection.prepare_cached(&sql)?;
    for order in session.fresh.range(0..=Id::floor_of(limit).order(), true, FRESH_PARKED_PER_TRANSACTION_MAX) {
        if session.effects.gone.contains(&order) {
            continue;
        }
        let event = event_of.query_row([order.cast_signed()], |row| Ok(codec::event(row)))??;
        let index = u32::try_from(order - event.id.order() - 1).unwrap_or(u32::MAX);
        if let Some(delivery) = event.delivery(index) {
            session.commit.park.run(&delivery)?;
        }
        session.effects.gone.push(order);
    }
    Ok(())
}
