//! Holds off people's lists for a moment, so that the log can start over.
//!
//! The log starts over only when all of it was moved, and moving stops at the oldest snapshot that a
//! reader still looks at. Lists that overlap for ever would let the log grow for ever.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
    /// Somebody left, or it was opened.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Set and cleared by the checkpointer alone.
    is_closed: bool,
    inside: usize,
}

/// One reader inside.
pub struct Inside<'g>(&'g Gate);

/// Nobody else comes in until this is dropped.
pub struct Closed<'g>(&'g Gate);

impl Gate {
    /// Blocks while the gate is closed; `None` when that lasted until `deadline`.
    pub fn enter(&self, deadline: Option<Instant>) -> Option<Inside<'_>> {
        let mut state = self.lock();
        while state.is_closed {
            state = match deadline.map(|deadline| deadline.checked_duration_since(Instant::now())) {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(None) => return None,
                Some(Some(left)) => self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        state.inside += 1;
        Some(Inside(self))
    }

    /// Closes the gate and waits, at most this long, for those inside to leave.
    pub fn close(&self, patience: Duration) -> Closed<'_> {
        let mut state = self.lock();
        state.is_closed = true;
        let until_empty = self.changed.wait_timeout_while(state, patience, |state| state.inside > 0);
        drop(until_empty.unwrap_or_else(PoisonError::into_inner));
        Closed(self)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.lock().inside -= 1;
        self.0.changed.notify_all();
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.lock().is_closed = false;
        self.0.changed.notify_all();
    }
}
