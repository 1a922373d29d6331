//! Fresh deliveries: born, held in memory by dispatch, not yet recorded.
//!
//! Most deliveries succeed within milliseconds. Writing a `waiting` row for each and deleting it
//! again would double the row operations of an event. Instead the event's `targets` imply its
//! deliveries, and `meta.fresh_floor` says from which event on an implied delivery may be nowhere
//! else. After a crash [`super::recover`] looks at the events from there on.
//!
//! Invariant: every delivery implied by an event is in exactly one of `settled`, `waiting`, or this
//! set; and `fresh_floor` is at most the order of every delivery in this set.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The orders of all fresh deliveries. Changed by the writer after each commit; read by queries.
#[derive(Default)]
pub struct Fresh(Mutex<BTreeSet<u64>>);

impl Fresh {
    pub fn contains(&self, order: u64) -> bool {
        self.lock().contains(&order)
    }

    pub fn first(&self) -> Option<u64> {
        self.lock().first().copied()
    }

    /// After a commit: what became fresh, and what no longer is.
    pub fn update(&self, born: &[u64], gone: &[u64]) {
        let mut set = self.lock();
        set.extend(born);
        for order in gone {
            set.remove(order);
        }
    }

    /// At most `limit` orders within `range`, from the end named by `ascending`.
    pub fn range(&self, range: RangeInclusive<u64>, ascending: bool, limit: usize) -> Vec<u64> {
        if range.is_empty() {
            return Vec::new();
        }
        let set = self.lock();
        if ascending {
            set.range(range).take(limit).copied().collect()
        } else {
            set.range(range).rev().take(limit).copied().collect()
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
