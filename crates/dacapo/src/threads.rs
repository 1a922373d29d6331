//! The runtimes of `serve`: one takes events in and answers, one delivers and records. Threads of one
//! runtime steal work from each other and wake each other for it; two threads that each keep to one
//! side of the commit share far less, and an event crosses over once.

use anyhow::{Context, Result};
use std::num::NonZero;
use tokio::runtime::{Builder, Runtime};

/// Of the cores, in quarters. Deliveries get more: an event is one request in, and may be many out.
const INTAKE_QUARTERS: usize = 2;
const DELIVERY_QUARTERS: usize = 3;

/// Everything but deliveries; what commands other than `serve` use alone.
pub fn intake() -> Result<Runtime> {
    runtime("dacapo-intake", INTAKE_QUARTERS)
}

pub fn delivery() -> Result<Runtime> {
    runtime("dacapo-deliver", DELIVERY_QUARTERS)
}

fn runtime(name: &str, quarters: usize) -> Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Builder::new_multi_thread()
        .worker_threads((cores * quarters / 4).max(1))
        .thread_name(name)
        .enable_all()
        .build()
        .context("cannot start threads")
}
