//! Word of commits to the nodes whose shards they put something into.
//!
//! - In: endpoints of others' shards, after the commit that filled their queues; that others have meta events
//!   to send.
//! - Out: one `NOTIFY` for all that gathered since the last.
//! - Promise: word follows at once; under load, not before [`WORDS_APART`] after the last. It is no part of the commit: a
//!   transaction with a `NOTIFY` holds a lock of the whole server until it is flushed, so that commits
//!   of several nodes would be flushed one after the other.
//! - Failure: kept and told later. A node that dies between commit and word is missed by the others,
//!   who look at everything then (lease/rounds.rs).

use super::Inner;
use super::lease::Tenure;
use super::listen::{self, NAMED_MAX};
use super::session::Purpose;
use crate::Result;
use dacapo_model::Id;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Each word costs every node a look: under load, what is committed within this time after one goes into the next.
const WORDS_APART: Duration = Duration::from_millis(10);
/// Committed since the last word, these are load.
const DELIVERIES_BUSY: usize = 8;
/// Between two tries.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

#[derive(Default)]
pub struct Herald {
    /// Of others, and not told yet; one more than can be named stands for everything.
    news: Mutex<BTreeSet<Id>>,
    /// Deliveries committed for others since the last word.
    count: AtomicUsize,
    /// Others have meta events to send, and were not told yet.
    meta_events: AtomicBool,
    has_news: Notify,
}

impl Herald {
    fn tell(&self, others: impl Iterator<Item = Id>) {
        let mut news = self.news();
        for endpoint in others {
            if news.len() > NAMED_MAX {
                break;
            }
            news.insert(endpoint);
        }
        if !news.is_empty() {
            self.has_news.notify_one();
        }
    }

    /// Of these projects.
    pub fn tell_of_meta_events(&self, lease: &Tenure, projects: BTreeSet<Id>) {
        if listen::others(lease, projects).next().is_some() {
            self.meta_events.store(true, Ordering::Relaxed);
            self.has_news.notify_one();
        }
    }

    fn news(&self) -> MutexGuard<'_, BTreeSet<Id>> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// After a commit that filled the queues of `endpoints`, with this many deliveries in all.
    pub fn announce(&self, endpoints: BTreeSet<Id>, deliveries: usize) {
        self.herald.count.fetch_add(deliveries, Ordering::Relaxed);
        self.herald.tell(listen::others(&self.lease, endpoints));
    }

    /// All there is to tell so far.
    pub async fn pass_on_news(&self) -> Result<()> {
        if self.herald.meta_events.swap(false, Ordering::Relaxed) {
            let told = self.upkeep.once(Purpose::Alone, listen::speak_of_meta_events()).await;
            if told.is_err() {
                self.herald.meta_events.store(true, Ordering::Relaxed);
            }
            told?;
        }
        let news = std::mem::take(&mut *self.herald.news());
        let Some(mut notice) = listen::notice_of(&news) else { return Ok(()) };
        let told = self.upkeep.once(Purpose::Alone, listen::speak_of_live(&mut notice)).await;
        if told.is_err() {
            self.herald.tell(news.into_iter());
        }
        told.map(drop)
    }
}

/// Until the process ends.
pub async fn keep(inner: Arc<Inner>) {
    loop {
        inner.herald.has_news.notified().await;
        while let Err(cause) = inner.pass_on_news().await {
            tracing::warn!(%cause, "other nodes could not be told of new deliveries; trying again");
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        if inner.herald.count.swap(0, Ordering::Relaxed) >= DELIVERIES_BUSY {
            tokio::time::sleep(WORDS_APART).await;
        }
    }
}
