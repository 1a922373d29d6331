//! Every limit of the pipeline, named, with its unit. The binary fills some from its configuration.

use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Goes out as `User-Agent`.
    pub user_agent: String,
    /// Bytes of a response body that are kept (contracts/convoy.md §6.3).
    pub response_body_bytes_max: usize,
    /// Concurrent exchanges with one endpoint. As many as the benchmark has connections; other values have not
    /// been measured against each other.
    pub lane_concurrency_max: usize,
    /// Deliveries a lane keeps in memory per class; the rest waits in the store.
    pub lane_window_max: usize,
    /// Bytes of payload that reads of the store bring into a lane's memory per class, and at most one payload more.
    pub lane_bytes_max: usize,
    /// Concurrent exchanges in all.
    pub exchanges_max: usize,
    /// Bytes of payload kept in memory for dispatch, over all lanes.
    pub window_bytes_max: usize,
    /// Targets of one event whose deliveries are written in its transaction; those behind them are stored with it
    /// and become deliveries later, half as many at a time.
    pub fan_out_at_once_max: usize,
    /// History older than this is dropped; `None` keeps everything.
    pub retention: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            user_agent: concat!("Dacapo/", env!("CARGO_PKG_VERSION")).to_owned(),
            response_body_bytes_max: 50 * 1024,
            lane_concurrency_max: 64,
            lane_window_max: 8_192,
            lane_bytes_max: 8 * 1024 * 1024,
            exchanges_max: 2_048,
            window_bytes_max: 32 * 1024 * 1024,
            fan_out_at_once_max: 1_000,
            retention: None,
        }
    }
}
