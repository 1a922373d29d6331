//! Whether events can be taken now: one flag that stages set and surfaces read.

use std::sync::{PoisonError, RwLock};

/// Whether events can be taken now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Ready,
    /// The store cannot be written; upkeep tries it again every second.
    Unready {
        reason: String,
    },
    Draining,
}

#[derive(Debug)]
pub struct Readiness(RwLock<Health>);

impl Default for Readiness {
    fn default() -> Self {
        Self(RwLock::new(Health::Ready))
    }
}

impl Readiness {
    pub fn get(&self) -> Health {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn is_draining(&self) -> bool {
        *self.0.read().unwrap_or_else(PoisonError::into_inner) == Health::Draining
    }

    /// Draining is final.
    pub fn set(&self, next: Health) {
        let mut health = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if *health == Health::Draining || *health == next {
            return;
        }
        match &next {
            Health::Ready => tracing::info!("the store can be written again: ready"),
            Health::Unready { reason } => {
                tracing::error!(%reason, "not ready: events are refused until the store can be written")
            }
            Health::Draining => {}
        }
        *health = next;
    }
}
