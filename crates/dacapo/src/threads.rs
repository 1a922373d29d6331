//! The runtimes of `serve`: one takes events in and answers, one delivers and records. Threads of one
//! runtime steal work from each other and wake each other for it; threads that each keep to one side of
//! the commit share far less, and an event crosses over once. Where a side has a single thread, its
//! runtime is tokio's single-threaded one, which is cheaper again (docs/benchmarks.md has figures). More
//! than one delivery thread can carry goes to further ones.

use anyhow::{Context, Result};
use dacapo_engine::DeliveryThreads;
use std::num::NonZero;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

/// Threads of each part, in quarters of the cores; one at least.
const INTAKE_QUARTERS: usize = 2;
const HELPING_QUARTERS: usize = 2;
/// What wants a core under full load: taking in, the first delivery thread, the store's writer.
const BUSY_THREADS: usize = 3;

/// Everything but deliveries; what commands other than `serve` use alone.
pub fn intake() -> Result<Runtime> {
    runtime("dacapo-intake", threads(INTAKE_QUARTERS))
}

/// Run until this is dropped; what is under way is cut off then.
pub struct Delivery {
    pub handles: DeliveryThreads,
    /// What the runtimes' threads wait for the end of.
    _running: [oneshot::Sender<()>; 2],
}

pub fn delivery() -> Result<Delivery> {
    let (first, first_runs) = driven("dacapo-deliver", 1)?;
    let (helping, helping_runs) = driven("dacapo-help", threads(HELPING_QUARTERS))?;
    let handles = DeliveryThreads { first, helping, helpers_have_cores: cores() > BUSY_THREADS };
    Ok(Delivery { handles, _running: [first_runs, helping_runs] })
}

/// A runtime on a thread of its own, until the sender is dropped.
fn driven(name: &str, threads: usize) -> Result<(Handle, oneshot::Sender<()>)> {
    let runtime = runtime(name, threads)?;
    let (handle, (running, stopped)) = (runtime.handle().clone(), oneshot::channel());
    let drive = move || {
        let _ = runtime.block_on(stopped);
        runtime.shutdown_background();
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(drive).context("cannot start threads")?;
    Ok((handle, running))
}

fn threads(quarters: usize) -> usize {
    (cores() * quarters / 4).max(1)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

fn runtime(name: &str, threads: usize) -> Result<Runtime> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads).thread_name(name);
    }
    builder.enable_all().build().context("cannot start threads")
}
