//! A latency histogram of fixed size: 64 buckets per power of two (1.6 % wide), microseconds, lock-free.

use std::sync::atomic::{AtomicU64, Ordering};

/// Buckets per power of two; decides the precision.
const STEPS: u64 = 64;
/// log2 of `STEPS`.
const STEPS_LOG2: u32 = 6;
/// Longest latency told apart, microseconds (71 minutes); longer ones count as this.
const VALUE_MAX_US: u64 = u32::MAX as u64;
/// Enough for `VALUE_MAX_US`.
const BUCKETS: usize = (STEPS as usize) * (32 - STEPS_LOG2 as usize + 1);

#[derive(Debug)]
pub struct Histogram {
    buckets: Vec<AtomicU64>,
    max_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), max_us: AtomicU64::new(0) }
    }
}

impl Histogram {
    pub fn add(&self, micros: u64) {
        let value = micros.min(VALUE_MAX_US);
        self.buckets[bucket(value)].fetch_add(1, Ordering::Relaxed);
        self.max_us.fetch_max(value, Ordering::Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|b| b.load(Ordering::Relaxed)).sum()
    }

    pub fn max_us(&self) -> u64 {
        self.max_us.load(Ordering::Relaxed)
    }

    /// The value below which `share` (0..=1) of the entries lie; `None` when empty.
    pub fn quantile_us(&self, share: f64) -> Option<u64> {
        let total = self.count();
        if total == 0 {
            return None;
        }
        let rank = ((total as f64 * share).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count.load(Ordering::Relaxed);
            if seen >= rank {
                return Some(middle(index as u64).min(self.max_us()));
            }
        }
        Some(self.max_us())
    }

    /// Empties it; entries added meanwhile may be lost.
    pub fn clear(&self) {
        for bucket in &self.buckets {
            bucket.store(0, Ordering::Relaxed);
        }
        self.max_us.store(0, Ordering::Relaxed);
    }
}

fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let shift = u64::from(63 - value.leading_zeros() - STEPS_LOG2);
    ((shift + 1) * STEPS + (value >> shift) - STEPS) as usize
}

fn middle(index: u64) -> u64 {
    if index < STEPS {
        return index;
    }
    let shift = index / STEPS - 1;
    ((index % STEPS + STEPS) << shift) + ((1 << shift) >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_bucket() {
        let histogram = Histogram::default();
        for value in 1..=100_000 {
            histogram.add(value);
        }
        for (share, want) in [(0.5, 50_000.0), (0.99, 99_000.0), (1.0, 100_000.0)] {
            let got = histogram.quantile_us(share).unwrap() as f64;
            assert!((got - want).abs() / want < 0.016, "{share}: {got}");
        }
        assert_eq!(histogram.count(), 100_000);
    }

    #[test]
    fn every_value_has_a_bucket() {
        let histogram = Histogram::default();
        for power in 0..64 {
            histogram.add(1 << power);
        }
        assert_eq!(histogram.count(), 64);
        assert_eq!(histogram.max_us(), VALUE_MAX_US);
        assert_eq!(bucket(VALUE_MAX_US), BUCKETS - 1);
        histogram.clear();
        assert_eq!(histogram.quantile_us(0.5), None);
    }
}
