//! The way of an event through the real binary, one file per part of it.

#[path = "pipeline/breaker.rs"]
mod breaker;
#[path = "pipeline/broadcast.rs"]
mod broadcast;
#[path = "pipeline/connect_replay.rs"]
mod connect_replay;
#[path = "pipeline/delivery.rs"]
mod delivery;
#[path = "pipeline/event_types.rs"]
mod event_types;
#[path = "pipeline/filters.rs"]
mod filters;
#[path = "pipeline/guard.rs"]
mod guard;
#[path = "pipeline/lifecycle.rs"]
mod lifecycle;
#[path = "pipeline/ping.rs"]
mod ping;
#[path = "pipeline/replay.rs"]
mod replay;
#[path = "pipeline/resend.rs"]
mod resend;
#[path = "pipeline/retries.rs"]
mod retries;
#[path = "pipeline/threads.rs"]
mod threads;

use anyhow::Result;
use dacapo_testkit::sink::{Answer, Keep, Plan, Sink};
use std::time::Duration;

/// What happens at once happens within this, on a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(10);

/// A sink that keeps every request of a small test.
async fn sink(plan: Plan) -> Result<Sink> {
    Sink::start(plan, Keep { markers: 1000, requests: 1000 }).await
}

async fn answering(status: u16) -> Result<Sink> {
    sink(Plan::always(Answer::status(status))).await
}
