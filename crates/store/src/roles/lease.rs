//! Who may dispatch. An endpoint has one owner at a time (design §4).

use crate::Result;
use async_trait::async_trait;

#[async_trait]
pub trait Lease: Send + Sync + 'static {
    /// Fails with `InUse` when another process owns what this one would dispatch. The embedded
    /// store has one owner: it holds a lock on the data directory from opening to closing.
    async fn hold(&self) -> Result<()>;

    /// Flushes, closes and gives up ownership. Verbs answer `Unavailable` from here on.
    async fn release(&self) -> Result<()>;
}
