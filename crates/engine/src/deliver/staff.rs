//! How many couriers there are, and whose thread they run on.
//!
//! An ordinary load stays on the first thread, which costs least: on another one, each delivery is a thread to
//! wake, and both wait for each other. So others help with what the first one leaves when its couriers wait for
//! endpoints; when it works as fast as it can, only where there are cores to spare and much has gathered. A first
//! thread that is short of a core gains nothing by one more that wants it too.

use super::Courier;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Couriers of the first thread at once.
const FIRST_THREAD_COURIERS_MAX: usize = 64;
/// Couriers on other threads at first, and twice as many with each look that finds those of the first waiting. More
/// than the work needs would each open a connection, to close it again.
const HELPERS_AT_FIRST: usize = 64;
/// Bytes in memory, each delivery with what it takes beside its payload, from which on they are more than the
/// first thread gets done soon: some 2,700 small ones.
const MUCH_BYTES: usize = 2 * 1024 * 1024;
/// While all couriers of the first thread are out: between two looks at how they fare.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Fewer deliveries that end between two looks, and couriers wait for endpoints, if their thread was not busy for half
/// of that time either: four of each, an exchange in 5 ms.
const ENDED_MIN: usize = 4 * FIRST_THREAD_COURIERS_MAX;

impl Courier {
    /// Starts couriers whenever there is work and room for one, until `stop`; asks for help when there is
    /// more than one thread should carry.
    pub async fn staff(self: Arc<Self>, stop: CancellationToken) {
        let couriers = Arc::new(Semaphore::new(FIRST_THREAD_COURIERS_MAX));
        let ended = Arc::new(AtomicUsize::new(0));
        let mut stride = Stride::starting(Instant::now());
        // Of one thread.
        let thread = Handle::current().metrics();
        loop {
            while let Ok(place) = Arc::clone(&couriers).try_acquire_owned()
                && let Some(taken) = self.dispatcher.take()
            {
                let (courier, ended) = (Arc::clone(&self), Arc::clone(&ended));
                tokio::spawn(async move {
                    courier.carry_on(taken, || _ = ended.fetch_add(1, Ordering::Relaxed)).await;
                    drop(place);
                });
            }
            let all_are_out = couriers.available_permits() == 0;
            if all_are_out {
                let seen = Seen {
                    ended: ended.load(Ordering::Relaxed),
                    busy: thread.worker_total_busy_duration(0),
                    store_is_behind: self.reports.capacity() < self.reports.max_capacity() / 2,
                };
                let helpers = stride.look(Instant::now(), seen);
                self.helpers.allow(helpers);
                if helpers > HELPERS_AT_FIRST {
                    self.dispatcher.call_for_help(0);
                } else if self.helpers.have_cores {
                    self.dispatcher.call_for_help(MUCH_BYTES);
                }
            }
            tokio::select! {
                () = self.dispatcher.work() => {}
                () = sleep(LOOK_EVERY), if all_are_out => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Starts couriers on other threads for what the first one leaves, until `stop`.
    pub async fn help(self: Arc<Self>, stop: CancellationToken) {
        loop {
            while self.helpers.may_go()
                && let Some(taken) = self.dispatcher.take()
            {
                let helper = Helper::going(&self);
                tokio::spawn(async move { helper.0.carry_on(taken, || ()).await });
            }
            tokio::select! {
                () = self.dispatcher.help_called() => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Couriers on other threads than the first: as many as are out, and as many as may be.
pub struct Helpers {
    out: AtomicUsize,
    allowed: AtomicUsize,
    have_cores: bool,
}

impl Helpers {
    /// `have_cores`: they need not share those that taking in, the first thread and the store need.
    pub fn new(have_cores: bool) -> Self {
        Self { out: AtomicUsize::new(0), allowed: AtomicUsize::new(HELPERS_AT_FIRST), have_cores }
    }

    fn allow(&self, helpers: usize) {
        self.allowed.store(helpers, Ordering::Relaxed);
    }

    fn may_go(&self) -> bool {
        self.out.load(Ordering::Relaxed) < self.allowed.load(Ordering::Relaxed)
    }
}

/// What a look at the first thread finds: the first two in all, up to now.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// Deliveries that ended.
    ended: usize,
    /// How long the thread was.
    busy: Duration,
    /// Couriers wait to hand in their reports.
    store_is_behind: bool,
}

/// One that is out, until it is dropped.
struct Helper(Arc<Courier>);

impl Helper {
    fn going(courier: &Arc<Courier>) -> Self {
        courier.helpers.out.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(courier))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.0.helpers.out.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether couriers that are all out wait for endpoints, or work.
struct Stride {
    looked: Instant,
    seen: Seen,
    helpers: usize,
}

impl Stride {
    fn starting(now: Instant) -> Self {
        Self { looked: now, seen: Seen::default(), helpers: HELPERS_AT_FIRST }
    }

    /// How many may help: more than [`HELPERS_AT_FIRST`] when couriers wait for endpoints.
    fn look(&mut self, now: Instant, seen: Seen) -> usize {
        let passed = now.duration_since(self.looked);
        if passed < LOOK_EVERY {
            return self.helpers;
        }
        // Since a look that is long past they were not out all the time: how they fare is to be seen.
        let wait_for_endpoints = passed < 2 * LOOK_EVERY
            && !seen.store_is_behind
            && seen.ended.wrapping_sub(self.seen.ended) < ENDED_MIN
            && seen.busy.saturating_sub(self.seen.busy) < passed / 2;
        self.helpers = if wait_for_endpoints { self.helpers.saturating_mul(2) } else { HELPERS_AT_FIRST };
        (self.looked, self.seen) = (now, seen);
        self.helpers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn couriers_that_wait_for_endpoints_are_told_from_couriers_that_work() {
        let start = Instant::now();
        let after = |looks: u32| start + looks * LOOK_EVERY;
        let (few, many) = (HELPERS_AT_FIRST, ENDED_MIN);
        let seen = |ended: usize, looks: f64| Seen { ended, busy: LOOK_EVERY.mul_f64(looks), store_is_behind: false };
        let mut stride = Stride::starting(start);
        assert_eq!(stride.look(after(100), seen(0, 0.0)), few, "nothing is known yet");
        assert_eq!(stride.look(after(101), seen(many, 0.0)), few, "each has ended four");
        assert_eq!(stride.look(after(102), seen(2 * many - 1, 0.4)), 2 * few, "they wait");
        assert_eq!(stride.look(after(102) + LOOK_EVERY / 2, seen(10 * many, 0.9)), 2 * few, "until the next look");
        assert_eq!(stride.look(after(103), seen(10 * many, 0.9)), few);
        assert_eq!(stride.look(after(104), seen(10 * many, 0.9)), 2 * few, "they hang");
        assert_eq!(stride.look(after(105), seen(10 * many, 0.9)), 4 * few, "and more of them");
        assert_eq!(stride.look(after(106), seen(10 * many, 1.5)), few, "they end nothing, but the thread is busy");
        let behind = Seen { store_is_behind: true, ..seen(10 * many, 1.5) };
        assert_eq!(stride.look(after(107), behind), few, "they wait, but for the store");
        assert_eq!(stride.look(after(112), seen(10 * many, 1.5)), few, "it was long ago that all were out");
        assert_eq!(stride.look(after(113), seen(10 * many, 1.5)), 2 * few, "and they hang still");
    }
}
