//! The rules' question whether an address answers, asked by the pipeline's way out.

use crate::config::Config;
use async_trait::async_trait;
use dacapo_control::pinger::{NoPing, Pinger};
use dacapo_engine::ping::{PING_TIME_MAX, Ping};
use dacapo_engine::transport::Transport;
use http::Uri;
use std::sync::Arc;

struct Pings(Ping);

#[async_trait]
impl Pinger for Pings {
    async fn ping(&self, url: &str) -> Result<(), String> {
        let address: Uri = url.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
        self.0.try_out(&address).await.map_err(|failed| failed.to_string())
    }
}

pub fn pinger(config: &Config, transport: Arc<dyn Transport>, user_agent: String) -> Arc<dyn Pinger> {
    if config.skip_ping_validation {
        return Arc::new(NoPing);
    }
    Arc::new(Pings(Ping { transport, methods: config.ping_methods.clone(), within: PING_TIME_MAX, user_agent }))
}
