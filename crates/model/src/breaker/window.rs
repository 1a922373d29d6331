//! Attempts of the last minutes, counted in buckets: constant memory whatever the traffic, exact to
//! one bucket at the far end.

use crate::clock::Timestamp;

/// Buckets of a window; each is a tenth of it.
pub const BUCKETS: usize = 10;

/// How many attempts ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub successes: u64,
    pub failures: u64,
}

impl Counts {
    pub const fn requests(self) -> u64 {
        self.successes + self.failures
    }

    /// Percent; `None` when there were no attempts.
    pub fn failure_rate(self) -> Option<f64> {
        let requests = self.requests();
        (requests > 0).then(|| self.failures as f64 * 100.0 / requests as f64)
    }
}

/// A ring of buckets, by the number of bucket lengths since 1970.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// The bucket that is being filled.
    current: i64,
    /// Its length; another length makes the ring start anew.
    bucket_us: i64,
    successes: [u32; BUCKETS],
    failures: [u32; BUCKETS],
}

impl Window {
    pub fn record(&mut self, bucket_us: i64, success: bool, now: Timestamp) {
        self.move_to(bucket_us, now);
        let bucket = self.bucket(self.current);
        let counter = if success { &mut self.successes[bucket] } else { &mut self.failures[bucket] };
        *counter = counter.saturating_add(1);
    }

    /// The buckets that reach into the window which ends now.
    pub fn counts(&self, bucket_us: i64, now: Timestamp) -> Counts {
        let mut counts = Counts::default();
        if bucket_us != self.bucket_us {
            return counts;
        }
        // A clock that jumped back sees what was counted last.
        let gone = (number(bucket_us, now) - self.current).max(0);
        let first = self.current - (BUCKETS as i64 - 1) + gone;
        for at in first..=self.current {
            let bucket = self.bucket(at);
            counts.successes += u64::from(self.successes[bucket]);
            counts.failures += u64::from(self.failures[bucket]);
        }
        counts
    }

    fn move_to(&mut self, bucket_us: i64, now: Timestamp) {
        let number = number(bucket_us, now);
        if bucket_us != self.bucket_us || number - self.current >= BUCKETS as i64 {
            *self = Self { current: number, bucket_us, ..Self::default() };
            return;
        }
        while self.current < number {
            self.current += 1;
            let bucket = self.bucket(self.current);
            (self.successes[bucket], self.failures[bucket]) = (0, 0);
        }
    }

    fn bucket(&self, number: i64) -> usize {
        usize::try_from(number.rem_euclid(BUCKETS as i64)).unwrap_or(0)
    }
}

fn number(bucket_us: i64, at: Timestamp) -> i64 {
    at.micros().div_euclid(bucket_us.max(1))
}
