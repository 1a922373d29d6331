//! Webhooks about Dacapo itself: a row each, written in the transaction of what it tells of
//! ([`super::Catalog::write`], [`super::Report::meta_event`], [`super::Replays::steer`]), and sent later by
//! whoever owns the shard that its *project's* id hashes to.

use super::{Page, Window};
use crate::Result;
use async_trait::async_trait;
use dacapo_model::{Id, MetaEvent, Timestamp};
use tokio::sync::watch;

#[async_trait]
pub trait MetaEvents: Send + Sync + 'static {
    /// Projects with meta events to be sent, by id, with when the first of each is due; of all shards.
    /// Costs a look a project, however much waits.
    async fn meta_events_owed(&self) -> Result<Vec<(Id, Timestamp)>>;

    /// Those of a project that are due up to `until`, earliest first, at most `limit`. Reading claims nothing.
    async fn meta_events_due(&self, project: Id, until: Timestamp, limit: usize) -> Result<Vec<MetaEvent>>;

    /// Writes what became of one that had been sent `seen` times. `false`, and nothing is written, when it
    /// is not there any more, or somebody else sent it in between.
    async fn record_meta_event(&self, after: MetaEvent, seen: u32) -> Result<bool>;

    /// By id, which is by age.
    async fn meta_events(&self, project: Id, window: Window, page: Page) -> Result<Vec<MetaEvent>>;

    /// `None` also when it is another project's.
    async fn meta_event(&self, project: Id, id: Id) -> Result<Option<MetaEvent>>;

    /// Makes it due at `at`, whatever became of it before; its attempts go on counting. `None`: it is not there.
    async fn resend_meta_event(&self, project: Id, id: Id, at: Timestamp) -> Result<Option<MetaEvent>>;

    /// Changes when some may have become due: written here, or by another process as far as it is known.
    fn meta_events_written(&self) -> watch::Receiver<u64>;
}
