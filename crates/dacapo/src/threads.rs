//! The runtimes of `serve`: one takes events in and answers, one delivers and records. Threads of one
//! runtime steal work from each other and wake each other for it; threads that each keep to one side of
//! the commit share far less, and an event crosses over once. Where a side has a single thread, its
//! runtime is tokio's single-threaded one, which is cheaper again (docs/benchmarks.md has figures).

use anyhow::{Context, Result};
use std::num::NonZero;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

/// Threads of each side, in quarters of the cores. Deliveries get more: an event is one request in, and
/// may be many out.
const INTAKE_QUARTERS: usize = 2;
const DELIVERY_QUARTERS: usize = 3;

/// Everything but deliveries; what commands other than `serve` use alone.
pub fn intake() -> Result<Runtime> {
    runtime("dacapo-intake", INTAKE_QUARTERS)
}

/// Runs until it is dropped; what is under way is cut off then.
pub struct Delivery {
    pub handle: Handle,
    /// What the runtime's thread waits for the end of.
    _running: oneshot::Sender<()>,
}

pub fn delivery() -> Result<Delivery> {
    let runtime = runtime("dacapo-deliver", DELIVERY_QUARTERS)?;
    let (handle, (running, stopped)) = (runtime.handle().clone(), oneshot::channel());
    let drive = move || {
        let _ = runtime.block_on(stopped);
        runtime.shutdown_background();
    };
    std::thread::Builder::new().name("dacapo-deliver".to_owned()).spawn(drive).context("cannot start threads")?;
    Ok(Delivery { handle, _running: running })
}

fn runtime(name: &str, quarters: usize) -> Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut builder = match cores * quarters / 4 {
        0 | 1 => Builder::new_current_thread(),
        threads => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads).thread_name(name);
            builder
        }
    };
    builder.enable_all().build().context("cannot start threads")
}
