//! One clock for generator and sink: microseconds since this process first asked. Both live in one process,
//! so an end-to-end latency is a plain subtraction.

use std::sync::LazyLock;
use std::time::Instant;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Microseconds since the first call.
pub fn micros() -> u64 {
    u64::try_from(START.elapsed().as_micros()).unwrap_or(u64::MAX)
}
