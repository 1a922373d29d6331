//! What a lane holds of the queue: placed, ready, in exchange, or not yet recorded.

use dacapo_model::Id;
use dacapo_model::id::IdMap;

#[derive(Default)]
pub struct Held {
    /// With the bytes of their payload.
    deliveries: IdMap<usize>,
    bytes: usize,
}

impl Held {
    /// `false`: it is held already.
    pub fn insert(&mut self, delivery: Id, bytes: usize) -> bool {
        if self.deliveries.contains_key(&delivery) {
            return false;
        }
        self.deliveries.insert(delivery, bytes);
        self.bytes += bytes;
        true
    }

    pub fn remove(&mut self, delivery: Id) {
        self.bytes -= self.deliveries.remove(&delivery).unwrap_or(0);
    }

    pub fn contains(&self, delivery: Id) -> bool {
        self.deliveries.contains_key(&delivery)
    }

    pub fn ids(&self) -> impl Iterator<Item = Id> {
        self.deliveries.keys().copied()
    }

    pub fn len(&self) -> usize {
        self.deliveries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// Of payload, in all.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}
