//! Whether anybody answers at an address that is to be saved.

use async_trait::async_trait;

#[async_trait]
pub trait Pinger: Send + Sync + 'static {
    /// `Err`: why it will not do. `url` is https, as it would be stored.
    async fn ping(&self, url: &str) -> Result<(), String>;
}

/// Takes every address as it is.
pub struct NoPing;

#[async_trait]
impl Pinger for NoPing {
    async fn ping(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}
